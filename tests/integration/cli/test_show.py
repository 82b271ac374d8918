"""`jobs`, `show`, `logs` and `metrics`, over HTTP and directly."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.kubernetes.faults import Outcome, PodFault, RequestFault
from flinkjobs.doctor.codes import REMEDIES
from flinkjobs.domain.flink_states import Status
from tests.integration.cli.conftest import COMMAND, Run, one_line, own_environment
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import followed
from tests.support.records import labelled
from tests.support.terminal import CTRL_C, Terminal

RUNNING_ID, FAILED_ID = "a" * 32, "b" * 32
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOSTILE = "\x1b[2J\x1b]0;gotcha\x07[bold red]not markup[/]\x9b31m\u202eevil"
"""What a script may have printed: it clears the screen, sets the title, changes colour and direction."""


@pytest.fixture
def three_jobs(world: World) -> str:
    """One runs, one failed, of one the submitter has printed a log; the name of its Kubernetes Job."""
    two = labelled({"team": "search", "stage": "test"})
    world.add_record("runs_1", submitted_at=NOON.replace(hour=9), **followed(RUNNING_ID), **two)
    world.add_record(
        "fails_1",
        submitted_at=NOON.replace(hour=10),
        **followed(FAILED_ID)
        | {
            "status": "FAILED",
            "flink_state": "FAILED",
            "end_time": NOON,
            "duration": 252.5,
            "reason": {"code": "JOB_FAILED", "message": f"ValueError: {HOSTILE}\n  at x", "since": NOON},
        },
    )
    world.kubernetes.control.set_outcome(
        Outcome(exit_code=31, log=f"begin\n{HOSTILE}\nValueError: no table\n")
    )
    name = world.create_job("waits_1")
    world.kubernetes.wait_finished(name)
    world.add_record(
        "waits_1", submitted_at=NOON.replace(hour=11), k8s_job_name=name, **labelled({"team": "search"})
    )
    return name


# --- jobs -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_jobs")
def test_jobs_are_listed_newest_first(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("jobs", "--json", environ=environ)
    assert (ran.code, ran.err) == (0, "")
    assert [job["job_id"] for job in ran.json["jobs"]] == ["waits_1", "fails_1", "runs_1"]
    assert ran.json["counts"] == {status.value: 0 for status in Status} | {
        "CREATED": 1,
        "RUNNING": 1,
        "FAILED": 1,
    }
    plain = run("jobs", environ=environ)
    lines = plain.out.splitlines()
    assert lines[0].split() == ["Job", "Status", "Age", "Duration", "Flink", "Job", "ID", "Reason"]
    assert [line.split()[0] for line in lines[1:4]] == ["waits_1", "fails_1", "runs_1"]
    assert "4 min 12 s" in lines[2]
    assert RUNNING_ID in lines[3], "nothing is cut where no terminal is"
    assert plain.out == re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", "", plain.out)
    assert "[bold red]not markup[/]31mevil" in lines[2]
    assert max(map(len, lines)) < 250


@pytest.mark.usefixtures("three_jobs")
def test_jobs_are_filtered(run: Run, urls: Mapping[str, str]) -> None:
    def ids(*arguments: str) -> list[str]:
        return [job["job_id"] for job in run("jobs", "--json", *arguments, environ=urls).json["jobs"]]

    assert ids("--status", "failed", "--status", "RUNNING") == ["fails_1", "runs_1"]
    assert ids("--since", "2026-11-01T09:30:00Z", "--search", "wait") == ["waits_1"]
    assert ids("-l", "team=search") == ["waits_1", "runs_1"]
    assert ids("--selector", "team=search", "--selector", "stage=test") == ["runs_1"]
    first = run("jobs", "--json", "--limit", "2", environ=urls).json
    assert ids("--limit", "2", "--cursor", first["next_cursor"]) == ["runs_1"]
    wrong = run("jobs", "--since", "yesterday", environ=urls)
    assert (wrong.code, wrong.out) == (2, "")
    assert "--since" in one_line(wrong.err)
    assert "--selector must be labels" in one_line(run("jobs", "-l", "team", environ=urls).err)
    assert run("jobs", "-o", "name", "--status", "failed", environ=urls).out == "fails_1\n"
    assert run("jobs", "--since", "1h", "-o", "name", environ=urls).out == ""


@pytest.mark.usefixtures("three_jobs")
def test_jobs_are_printed_as_data(run: Run, urls: Mapping[str, str]) -> None:
    wanted = [{"job_id": "waits_1", "status": "CREATED"}]
    arguments = ("jobs", "--limit", "1", "--fields", "job_id,status")
    assert run(*arguments, "--json", environ=urls).json["jobs"] == wanted
    as_yaml = run(*arguments, "-o", "yaml", environ=urls)
    assert yaml.safe_load(as_yaml.out)["jobs"] == wanted
    assert as_yaml.out.startswith("jobs:\n- job_id: waits_1\n  status: CREATED\n")
    shown = run("show", RUNNING_ID, "-o", "yaml", environ=urls)
    assert yaml.safe_load(shown.out)["job"]["flink_job_id"] == RUNNING_ID
    assert run("show", RUNNING_ID, "-o", "name", environ=urls).out == "runs_1\n"
    unknown = run("jobs", "--fields", "job_id,owner", "-o", "json", environ=urls)
    assert unknown.code == 2
    assert "'owner' is no field of a job" in json.loads(unknown.err)["error"]["message"]
    assert "--fields needs --json" in one_line(run("jobs", "--fields", "job_id", environ=urls).err)


@pytest.mark.usefixtures("three_jobs")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("flinkjobs show w", ["waits_1"]),
        (f"flinkjobs show {FAILED_ID[:6]}", [FAILED_ID]),
        ("flinkjobs jobs --template-id w", ["word_count"]),
        ("flinkjobs submit --cluster d", ["default"]),
    ],
)
def test_words_of_the_records_are_completed(
    tmp_path: Path, urls: Mapping[str, str], world: World, words: str, expected: list[str]
) -> None:
    world.jobs.update_one({"job_id": "runs_1"}, {"$set": {"template_id": "word_count"}})
    asked = {
        "_FLINKJOBS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }

    def completed(environ: Mapping[str, str]) -> list[str]:
        env = {**own_environment(tmp_path), **asked, **environ}
        done = subprocess.run(
            COMMAND, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed(urls) == expected
    assert completed({}) == [], "nothing to complete from, and no error on the line"


# --- show, logs -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_jobs")
def test_one_job_is_shown_by_its_flink_job_id(run: Run, urls: Mapping[str, str]) -> None:
    found = run("show", FAILED_ID, "--json", environ=urls)
    assert found.json["job"]["job_id"] == "fails_1"
    assert found.json["job"]["reason"]["code"] == "JOB_FAILED"


@pytest.mark.usefixtures("three_jobs")
def test_a_failed_job_is_shown_with_what_to_do(run: Run, urls: Mapping[str, str]) -> None:
    ran = run("show", "fails_1", environ=urls)
    assert re.search(r"^Reason +JOB_FAILED: ValueError: \[bold red\]not markup", ran.out, re.MULTILINE)
    assert re.search(rf"^What to do +{re.escape(REMEDIES['JOB_FAILED'])}$", ran.out, re.MULTILINE)
    assert re.search(
        r"^2026-11-01 12:00:00 +ended FAILED after 4 min 12 s, JOB_FAILED", ran.out, re.MULTILINE
    )


def test_a_job_is_shown_with_its_story_its_reason_and_its_log(
    run: Run, environ: Mapping[str, str], three_jobs: str
) -> None:
    ran = run("show", three_jobs, environ=environ)
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"^Job +waits_1$", ran.out, re.MULTILINE)
    assert re.search(r"^Labels +team=search$", ran.out, re.MULTILINE)
    assert re.search(r"^2026-11-01 11:00:00 +submitted", ran.out, re.MULTILINE)
    assert "  kubectl describe job,pods -n lemo-dev -l app=flink-python-job,job-id=waits_1\n" in ran.out
    assert ran.out.endswith("begin\n[bold red]not markup[/]31mevil\nValueError: no table\n")


def test_a_story_says_who_submitted_what_holds_a_job_up_and_what_only_sync_noticed(
    run: Run, urls: Mapping[str, str], world: World
) -> None:
    at = NOON.replace(hour=11)
    reason = {"code": "QUOTA", "message": "no pods left", "since": NOON}
    world.add_record("waits_2", submitted_at=at, submitted_by="ann", reason=reason)
    out = run("show", "waits_2", environ=urls).out
    assert re.search(r"^2026-11-01 11:00:00 +submitted by ann", out, re.MULTILINE)
    assert re.search(r"^2026-11-01 12:00:00 +held up by QUOTA: no pods left$", out, re.MULTILINE)
    raised = {"code": "SUBMIT_FAILED", "message": "KeyError", "since": NOON}
    world.add_record("fails_2", submitted_at=at, status="FAILED", reason=raised)
    out = run("show", "fails_2", environ=urls).out
    assert "ended FAILED, as sync noticed, SUBMIT_FAILED: KeyError" in out


@pytest.mark.usefixtures("three_jobs")
def test_a_log_is_printed_alone(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("logs", "waits_1", environ=environ)
    assert (ran.code, ran.out) == (0, "begin\n[bold red]not markup[/]31mevil\nValueError: no table\n")
    as_json = run("logs", "waits_1", "--json", environ=environ)
    assert as_json.json["text"].startswith("begin\n[bold red]not markup[/]\x9b31m\u202eevil\n")
    assert not set("\x1b\x9b\u202e") & set(as_json.out)


def test_a_log_that_cannot_be_read_is_an_error_and_no_empty_log(
    run: Run, urls: Mapping[str, str], three_jobs: str, world: World
) -> None:
    """Its pod is there, and its node does not answer."""
    assert three_jobs
    with world.kubernetes.control.fault(RequestFault(effect="status", status=500, path=".*/log")):
        ran = run("logs", "waits_1", environ=urls)
        shown = run("show", "waits_1", environ=urls)
    assert (ran.code, ran.out) == (5, "")
    assert "the log of waits_1 cannot be read" in one_line(ran.err)
    assert "Its log could not be read: " in shown.out


@pytest.mark.usefixtures("three_jobs")
def test_a_log_that_is_gone_is_not_found(run: Run, urls: Mapping[str, str]) -> None:
    ran = run("logs", "runs_1", environ=urls)
    assert (ran.code, ran.out) == (4, "")
    assert "runs_1 has no log" in one_line(ran.err)


def test_a_log_that_cannot_be_read_is_no_empty_log(
    run: Run, environ: Mapping[str, str], world: World, three_jobs: str
) -> None:
    with world.kubernetes.control.fault(
        RequestFault(effect="status", status=500, verb="get", resource="pods/log")
    ):
        ran, shown = run("logs", three_jobs, environ=environ), run("show", three_jobs, environ=environ)
    assert (ran.code, ran.out) == (5, "")
    assert "the log of waits_1 cannot be read: " in one_line(ran.err)
    assert shown.code == 0
    assert "Its log could not be read: " in shown.out


def test_a_pod_that_has_printed_nothing_is_not_called_gone(
    run: Run, urls: Mapping[str, str], world: World
) -> None:
    world.kubernetes.control.add(PodFault(effect="image-pull"))
    name = world.create_job("pulls_1")
    pod = world.kubernetes.wait_pod(name)["metadata"]["name"]
    world.add_record("pulls_1", submitted_at=NOON, k8s_job_name=name)
    ran, shown = run("logs", name, environ=urls), run("show", name, environ=urls)
    assert (ran.code, ran.out) == (4, "")
    cause = f"pod {pod} is Pending, and has printed nothing"
    assert f"pulls_1 has no log: {cause}; see flinkjobs show pulls_1" in one_line(ran.err)
    assert f"No log: {cause}." in shown.out


@pytest.mark.usefixtures("world")
def test_an_unknown_id_is_not_found(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("show", "unknown_1", environ=environ)
    assert (ran.code, ran.out) == (4, "")
    assert "unknown_1" in one_line(ran.err)


@pytest.mark.usefixtures("world")
def test_an_error_is_json_where_the_result_would_be(
    run: Run, environ: Mapping[str, str], nowhere: str
) -> None:
    unknown = run("show", "unknown_\x1b[2J1", "--json", environ=environ)
    assert (unknown.code, unknown.out) == (4, "")
    assert json.loads(unknown.err)["error"] == {
        "code": "JOB_NOT_FOUND",
        "message": "no record has the id unknown_1",
        "hint": "",
        "exit_code": 4,
    }
    misused = run("jobs", "--json", "--limit", "many", environ=environ)
    error = json.loads(misused.err)["error"]
    assert (misused.code, error["code"], error["exit_code"]) == (2, "USAGE", 2)
    assert error["hint"] == "see flinkjobs jobs --help"
    away = run("metrics", "--json", environ={"JOBS_URL": nowhere})
    error = json.loads(away.err)["error"]
    assert (away.code, error["code"], error["exit_code"]) == (5, "FUNCTION_UNAVAILABLE", 5)


# --- metrics ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_jobs")
def test_the_statistics_are_shown(run: Run, environ: Mapping[str, str]) -> None:
    statistics: dict[str, Any] = run("metrics", "--json", environ=environ).json
    assert statistics["windows"]["all"]["by_status"]["FAILED"] == 1
    ran = run("metrics", environ=environ)
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["Jobs", "submitted", "within", "24h", "7d", "30d", "all"]
    of_all = {row[0]: row[-1] for row in rows[1 : 1 + len(Status)]}
    assert of_all == {status.value: "0" for status in Status} | {
        "CREATED": "1",
        "RUNNING": "1",
        "FAILED": "1",
    }
    assert re.search(r"^Failed, of all .* 33\.3 %$", ran.out, re.MULTILINE)
    assert re.search(r"^FINISHED took on average .* -$", ran.out, re.MULTILINE)
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "No complete synchronisation yet." in ran.out


# --- --watch ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_jobs")
def test_watching_draws_what_changes_until_ctrl_c(
    tmp_path: Path, settings: Mapping[str, str], world: World
) -> None:
    command = [*COMMAND, "jobs", "--watch", "--interval", "0.3"]
    with Terminal(command, env={**own_environment(tmp_path), **settings}, cwd=tmp_path) as terminal:
        terminal.wait_for("FAILED 1")
        assert RUNNING_ID in terminal.text
        world.jobs.update_one({"job_id": "runs_1"}, {"$set": {"status": "FINISHED"}})
        terminal.wait_for("FINISHED 1")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "\x1b]0;" not in terminal.raw
        assert "Traceback" not in terminal.text
        assert terminal.raw.rstrip().endswith("\x1b[?25h"), "the cursor is back"


@pytest.mark.usefixtures("three_jobs")
def test_watching_without_a_terminal_prints_one_json_line_per_change(
    tmp_path: Path, settings: Mapping[str, str], world: World
) -> None:
    command = ["sh", "-c", '"$@" 2>/dev/null | head -n 1', "-", *COMMAND, "jobs", "--watch", "--json"]
    with Terminal(
        [*command, "--interval", "0.2"], env={**own_environment(tmp_path), **settings}, cwd=tmp_path
    ) as terminal:
        terminal.wait_for("}")
        world.jobs.update_one({"job_id": "runs_1"}, {"$set": {"status": "FINISHED"}})
        assert terminal.wait() == 0, "the second line had no reader, and that ended the command"
        [line] = terminal.text.split("\r\n")[:-1]
    assert json.loads(line)["counts"]["RUNNING"] == 1
