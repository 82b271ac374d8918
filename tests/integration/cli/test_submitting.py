"""`submit` and `wait`: what is sent, how often, and how the command ends."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from doubles.kubernetes.faults import Outcome, RequestFault
from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.cli.submit import _template_of, key_and_value, script_of
from flinkjobs.doctor.codes import REMEDIES
from tests.integration.cli.conftest import COMMAND, Run, one_line, own_environment
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import followed
from tests.support.flink_rest_server import Job
from tests.support.records import termination_message
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.terminal import CTRL_C, Terminal
from tests.support.waiting import until

FLINK_ID = "c" * 32
SCRIPT = "print('ü €')\n"
ANSWER = {
    "job_id": "etl_1795335824614",
    "k8s_job_name": "flink-py-etl-00000000",
    "flink_job_id": None,
    "status": "CREATED",
    "submitted_at": "2026-11-22T08:23:44.614Z",
}
SECRET = "whsec_" + "bmV3" * 8


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "daily report.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def problem(status: int, code: str, **members: Any) -> Answer:
    body = {"type": "about:blank", "title": "", "status": status, "detail": f"refused: {code}", "code": code}
    headers = {"Content-Type": "application/problem+json"} | members.pop("headers", {})
    return Answer(status=status, body=json.dumps(body | members).encode(), headers=headers)


@contextmanager
def deployed(*answers: Answer) -> Iterator[ScriptedServer]:
    """A submit function that answers so, one after the other, and in the end as if all were well."""
    left = list(answers)

    def answer(_asked: Asked) -> Answer:
        return left.pop(0) if left else Answer(status=202, body=json.dumps(ANSWER).encode())

    with ScriptedServer(answer) as server:
        yield server


# --- what is sent -----------------------------------------------------------------------------------


def test_every_field_of_the_request_has_its_option(
    run: Run, environ: Mapping[str, str], world: World, script: Path
) -> None:
    ran = run(
        *("submit", script, "--json", "--job-name", "nightly", "--arg", "--date", "--arg", "2025-11-01"),
        *("--parallelism", "4", "--py-file", "/opt/a.py", "--py-file", "/opt/b.py", "--jar", "/opt/a.jar"),
        *("--conf", "taskmanager.numberOfTaskSlots=2", "--conf", "a.b=c=d", "--savepoint-path", "s3://b/s"),
        "--allow-non-restored-state",
        *("--label", "team=search", "--label", "example.com/stage="),
        *("--cluster", "batch", "--attached", "--cpu", "2", "--memory", "512Mi", "--submitted-by", "ann"),
        *("--idempotency-key", "key-1", "--", "--json", "--", "-x"),
        environ=environ,
    )
    assert (ran.code, ran.err) == (0, "")
    accepted = ran.json
    record = world.record(accepted["job_id"])
    assert record["template_id"] == "daily_report"
    assert (record["job_name"], record["cluster"], record["submitted_by"]) == ("nightly", "batch", "ann")
    assert record["idempotency_key"] == "key-1"
    assert record["labels"] == {"team": "search", "example.com/stage": ""}
    assert record["spec"] == {
        "script": {"inline": SCRIPT},
        "entry_module": None,
        "args": ["--date", "2025-11-01", "--json", "--", "-x"],
        "parallelism": 4,
        "py_files": ["/opt/a.py", "/opt/b.py"],
        "jars": ["/opt/a.jar"],
        "flink_conf": {"taskmanager.numberOfTaskSlots": "2", "a.b": "c=d"},
        "cluster_conf": {},
        "savepoint_path": "s3://b/s",
        "allow_non_restored_state": True,
        "attached": True,
        "exactly_once": False,
        "resources": {"cpu": "2", "memory": "512Mi"},
    }
    assert accepted["k8s_job_name"] in world.kubernetes.names("jobs")


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (
            ["--path", "/opt/jobs/etl.py", "--exactly-once"],
            {"template_id": "etl", "script": {"path": "/opt/jobs/etl.py"}, "exactly_once": True},
        ),
        (
            ["--entry-module", "main", "--py-file", "/a.zip", "--template-id", "t", "--", "x"],
            {"template_id": "t", "entry_module": "main", "py_files": ["/a.zip"], "args": ["x"]},
        ),
    ],
    ids=["path", "module"],
)
def test_a_script_is_also_named(run: Run, arguments: list[str], body: Mapping[str, Any]) -> None:
    with deployed() as server:
        ran = run("submit", *arguments, environ={"SUBMIT_URL": server.url})
        assert ran.code == 0
        assert ran.out == "Accepted etl_1795335824614 as Kubernetes Job flink-py-etl-00000000.\n"
        [asked] = server.asked
    assert (asked.method, asked.path) == ("POST", "/")
    assert json.loads(asked.body) == body
    assert len(asked.headers["idempotency-key"]) == 36


def test_a_request_is_signed_where_a_secret_is_known(run: Run) -> None:
    with deployed(problem(503, "STORE_UNAVAILABLE", headers={"Retry-After": "10"})) as server:
        environ = {"SUBMIT_URL": server.url, "WEBHOOK_SECRETS": SECRET}
        assert run("submit", "--path", "/opt/etl.py", environ=environ).code == 0
        first, second = server.asked
    for asked in (first, second):
        Webhook(SECRET).verify(asked.body, dict(asked.headers))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert "idempotency-key" not in first.headers


def test_a_signed_request_is_accepted_by_the_function_itself(
    run: Run, settings: Mapping[str, str], world: World
) -> None:
    environ = {**settings, "WEBHOOK_SECRETS": SECRET}
    ran = run("submit", "--path", "/opt/etl.py", "--json", environ=environ)
    assert (ran.code, ran.err) == (0, "")
    assert world.record(ran.json["job_id"])["spec"]["script"] == {"path": "/opt/etl.py"}


# --- what goes wrong --------------------------------------------------------------------------------


def test_each_fault_is_named_by_its_option_in_one_line(
    run: Run, urls: Mapping[str, str], world: World
) -> None:
    ran = run(
        *("submit", "--path", "relative.py", "--parallelism", "0", "--cpu", "much"),
        *("--conf", "execution.target=x"),
        environ=urls,
    )
    assert (ran.code, ran.out) == (3, "")
    line = one_line(ran.err)
    for option in ("--path ", "--parallelism ", "--cpu ", "--conf "):
        assert f"; {option}" in line
    assert world.jobs.count_documents({}) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--template-id", "unknown"], 4, "there is no template unknown"),
        (["missing.py"], 2, "missing.py cannot be read"),
        (["latin1.py"], 3, "not UTF-8"),
        (["--parallelism", "many", "--path", "/opt/a.py"], 2, "--parallelism"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_mistake_has_its_exit_code(
    run: Run, urls: Mapping[str, str], tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "latin1.py").write_bytes(b"print('\xfc')\n")
    ran = run("submit", *arguments, environ=urls)
    assert (ran.code, ran.out) == (code, "")
    assert message in one_line(ran.err)


def test_what_needs_no_answer_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(MisuseError, match="--conf must be KEY=VALUE"):
        key_and_value("--conf", "nothing")
    assert key_and_value("--conf", "a.b=c=d") == ("a.b", "c=d")
    with pytest.raises(MisuseError, match="SCRIPT and --url are two scripts"):
        script_of(Path("a.py"), None, "https://host.example/a.py")
    with pytest.raises(MisuseError, match="--template-id is required"):
        _template_of(None, None, None, "main")
    with pytest.raises(MisuseError, match="there is nothing to run: give a SCRIPT"):
        _template_of(None, None, None, None)
    assert _template_of(Path("x/daily report (2).py"), None, None, None) == "daily_report_2_"
    assert _template_of(None, "/opt/.hidden.py", None, None) == "hidden"
    url = "https://host.example/a/my.py?v=1"
    assert (_template_of(None, None, url, None), script_of(None, None, url)) == ("my", {"url": url})


def test_a_repeated_command_submits_nothing_twice(
    run: Run, urls: Mapping[str, str], world: World, script: Path
) -> None:
    arguments = ("submit", script, "--json", "--idempotency-key", "again")
    first, second = (run(*arguments, environ=urls) for _ in range(2))
    assert first.json == second.json
    assert world.jobs.count_documents({}) == 1
    other = run(*arguments, "--parallelism", "3", environ=urls)
    assert other.code == 3
    error = json.loads(other.err)["error"]
    assert error["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert "--idempotency-key" in error["hint"]


def test_what_may_succeed_later_is_sent_again_with_the_same_key(run: Run) -> None:
    with deployed(
        Answer(status=502, body=b""), problem(409, "IN_FLIGHT", headers={"Retry-After": "10"})
    ) as server:
        ran = run("submit", "--path", "/opt/etl.py", "--json", environ={"SUBMIT_URL": server.url})
        keys = {asked.headers["idempotency-key"] for asked in server.asked}
        assert (len(server.asked), len(keys)) == (3, 1)
    assert (ran.code, ran.json) == (0, ANSWER)
    assert ran.err.count("trying again") == 2


def test_the_first_error_is_reported_and_not_the_answer_to_its_repetition(run: Run) -> None:
    echo = problem(409, "IN_FLIGHT", headers={"Retry-After": "10"})
    with deployed(problem(503, "KUBERNETES_UNAVAILABLE", headers={"Retry-After": "5"}), echo, echo) as server:
        ran = run("submit", "--path", "/opt/etl.py", "--json", environ={"SUBMIT_URL": server.url})
        assert len(server.asked) == 3
    error = json.loads(ran.err.splitlines()[-1])["error"]
    assert (ran.code, error["code"]) == (5, "KUBERNETES_UNAVAILABLE")
    assert "K8S_AUTH" in error["hint"]


def test_a_function_that_does_not_answer_leaves_the_key_to_go_on_with(run: Run, nowhere: str) -> None:
    ran = run("submit", "--path", "/opt/etl.py", "--idempotency-key", "k-7", environ={"SUBMIT_URL": nowhere})
    assert (ran.code, ran.out) == (5, "")
    assert "--idempotency-key k-7" in ran.err
    assert nowhere in ran.err.splitlines()[-1]


def test_a_job_that_kubernetes_refuses_is_refused(run: Run, urls: Mapping[str, str], world: World) -> None:
    with world.kubernetes.control.fault(
        RequestFault(effect="status", status=403, verb="create", resource="jobs")
    ):
        ran = run("submit", "--path", "/opt/etl.py", environ=urls)
    assert (ran.code, ran.out) == (3, "")
    assert "Kubernetes refused the job" in one_line(ran.err)


# --- to the end -------------------------------------------------------------------------------------


def known(state: str, **job: Any) -> Job:
    """A job that has begun now, and has ended, unless it runs, after 17.365 s."""
    begun = Job(id=FLINK_ID, state=state, **job)
    return begun if state == "RUNNING" else replace(begun, end=begun.start + 17_365)


def arrange(world: World, state: str, **job: Any) -> None:
    """Submitters hand over a job that Flink knows so."""
    world.kubernetes.control.set_outcome(Outcome(message=termination_message(FLINK_ID), log="handed over\n"))
    world.flink.jobs.append(known(state, **job))


@pytest.mark.parametrize(
    ("environ", "state", "code", "outcome"),
    [
        ("http", "FINISHED", 0, "is FINISHED after 17.4 s"),
        ("direct", "FAILED", 1, "is FAILED after 17.4 s. JOB_FAILED: ValueError: no"),
        ("http", "CANCELED", 7, "is CANCELLED after 17.4 s"),
    ],
    indirect=["environ"],
)
def test_waiting_ends_with_the_job_and_exits_by_its_outcome(
    run: Run, environ: Mapping[str, str], world: World, script: Path, state: str, code: int, outcome: str
) -> None:
    arrange(world, state, root_exception="ValueError: no" if state == "FAILED" else None)
    ran = run("submit", script, "--wait", "--interval", "0.3", environ=environ)
    assert ran.code == code
    accepted, ended = ran.out.splitlines()
    assert accepted.startswith("Accepted daily_report_")
    assert outcome in ended
    said = ran.err.splitlines()
    if state == "FAILED":
        assert said.pop() == f"→ {REMEDIES['JOB_FAILED']}"
    assert f" {FLINK_ID}" in said[-1]


def test_waiting_for_a_submitter_that_fails_ends_with_its_error(
    run: Run, urls: Mapping[str, str], world: World, script: Path
) -> None:
    world.kubernetes.control.set_outcome(Outcome(exit_code=31, log="Traceback:\nKeyError: 'x'\n"))
    ran = run("submit", script, "--wait", "--interval", "0.3", "--json", environ=urls)
    assert ran.code == 1
    assert ran.json["job"]["reason"]["code"] == "SUBMIT_FAILED"


def test_a_finished_job_whose_script_failed_after_it_ends_as_a_failed_one(
    run: Run, urls: Mapping[str, str], world: World
) -> None:
    incomplete = {"code": "SUBMIT_INCOMPLETE", "message": "KeyError: 'x'", "since": datetime.now(UTC)}
    world.add_record("half_1", **followed(FLINK_ID) | {"status": "FINISHED", "reason": incomplete})
    ran = run("wait", "half_1", environ=urls)
    assert (ran.code, ran.out) == (1, "half_1 is FINISHED. SUBMIT_INCOMPLETE: KeyError: 'x'\n")
    assert "SUBMIT_INCOMPLETE: KeyError: 'x'" in run("jobs", environ=urls).out
    assert re.search(
        r"^Reason +SUBMIT_INCOMPLETE: KeyError: 'x'", run("show", "half_1", environ=urls).out, re.MULTILINE
    )


def test_a_lost_job_is_reported_as_lost(run: Run, urls: Mapping[str, str], world: World) -> None:
    world.add_record("old_1", **followed(FLINK_ID) | {"status": "LOST"})
    ran = run("wait", FLINK_ID, environ=urls)
    assert (ran.code, ran.out) == (8, "old_1 is LOST\n")


def test_a_job_goes_on_when_the_time_to_wait_is_over(run: Run, urls: Mapping[str, str], world: World) -> None:
    world.add_record("runs_1", **followed(FLINK_ID))
    world.flink.jobs.append(known("RUNNING"))
    ran = run("wait", "runs_1", "--timeout", "0.5", "--interval", "0.3", environ=urls)
    assert (ran.code, ran.out) == (6, "")
    assert "flinkjobs wait runs_1" in ran.err


def test_waiting_goes_on_while_a_part_does_not_answer(
    run: Run, settings: Mapping[str, str], world: World
) -> None:
    world.add_record("runs_1", **followed(FLINK_ID))
    world.flink.jobs.append(known("FINISHED"))
    world.flink.answers[""] = Answer(status=503, body=b"{}")

    def come_back() -> None:
        until(lambda: world.database.sync_runs.find_one({}), timeout_seconds=30, what="a pass")
        world.flink.answers.clear()

    back = threading.Thread(target=come_back)
    back.start()
    ran = run("wait", "runs_1", "--interval", "0.3", environ=settings)
    back.join()
    assert ran.code == 0
    assert "going on" in ran.err


def test_waiting_needs_no_sync_function(run: Run, urls: Mapping[str, str], world: World) -> None:
    """The read side alone is enough: it asks for the pass itself, or the schedule's passes are waited for."""
    world.add_record("runs_1", **followed(FLINK_ID, start_time=None) | {"start_time": None})
    world.flink.jobs.append(known("FINISHED"))
    ran = run("wait", "runs_1", "--interval", "0.3", environ={"JOBS_URL": urls["JOBS_URL"]})
    assert (ran.code, ran.out) == (0, "runs_1 is FINISHED after 17.4 s\n")


def test_nothing_is_submitted_that_could_not_be_followed(run: Run) -> None:
    with deployed() as server:
        ran = run("submit", "--path", "/opt/etl.py", "--wait", environ={"SUBMIT_URL": server.url})
        assert server.asked == []
    assert ran.code == 2
    assert "JOBS_URL" in one_line(ran.err)


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    tmp_path: Path, urls: Mapping[str, str], world: World, script: Path
) -> None:
    arrange(world, "RUNNING")
    command = [*COMMAND, "submit", str(script), "--wait", "--interval", "0.3"]
    with Terminal(command, env={**own_environment(tmp_path), **urls}, cwd=tmp_path) as terminal:
        terminal.wait_for("RUNNING")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        [document] = world.jobs.find({})
        job_id = document["job_id"]
        assert (
            f"Interrupted. {job_id} goes on; follow it again with: flinkjobs wait {job_id}" in terminal.text
        )
        assert "Traceback" not in terminal.text
    assert document["status"] == "RUNNING"
    assert [asked for asked in world.flink.asked if asked.method != "GET"] == []
    assert document["k8s_job_name"] in world.kubernetes.names("jobs")


def test_ctrl_c_before_the_answer_leaves_the_key_to_go_on_with(tmp_path: Path) -> None:
    with deployed(Answer(delay_seconds=30)) as server:
        environ = {**own_environment(tmp_path), "SUBMIT_URL": server.url}
        command = [*COMMAND, "submit", "--path", "/opt/etl.py"]
        with Terminal(command, env=environ, cwd=tmp_path) as terminal:
            until(lambda: server.asked, timeout_seconds=30, what="a request")
            terminal.type(CTRL_C)
            assert terminal.wait() == 130
            key = server.asked[0].headers["idempotency-key"]
            assert f"--idempotency-key {key}" in terminal.text
