"""Actions over HTTP: requested at submit, sent and followed by sync, shown by jobs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from doubles.kubernetes.faults import Outcome, PodFault
from flinkjobs.submit.webhook_signature import sign
from local.functions import FunctionServer
from tests.integration.faults.table import DOCUMENT, Row, read
from tests.integration.functions.conftest import World, call, problem
from tests.integration.functions.test_sync import RUNNING_ID, START, followed, run_pass
from tests.support.flink_rest_server import Job, checkpoints
from tests.support.records import Document
from tests.support.scripted_server import Answer, html

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
BAD: list[Document] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "bad_actions.yaml").read_text(encoding="utf-8")
)
DIRECTORY = "file:/savepoints"
OTHER_ID = "2" * 32
KINDS = ("cancel", "stop", "savepoint")


def request(submit: FunctionServer, kind: str, any_id: str = "runs_1", **sent: Any) -> httpx.Response:
    body = {} if kind == "cancel" else {"savepoint_directory": DIRECTORY}
    return call(submit, path=f"/jobs/{any_id}/{kind}", **{"json": body, **sent})


def action(world: World, job_id: str = "runs_1") -> Document:
    """The only action of a record."""
    [found] = world.record(job_id)["actions"]
    return dict(found)


def move_back(world: World, seconds: float, *fields: str) -> None:
    """As if the action of `runs_1` had come this much earlier."""
    past = datetime.now(UTC) - timedelta(seconds=seconds)
    world.jobs.update_one({"job_id": "runs_1"}, {"$set": {f"actions.0.{name}": past for name in fields}})


@pytest.fixture
def running(world: World) -> World:
    """A record whose Flink job runs."""
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.flink.jobs.append(Job(id=RUNNING_ID, state="RUNNING", start=START))
    return world


# --- requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("any_id", ["runs_1", RUNNING_ID])
def test_a_request_is_written_and_nothing_is_sent(
    submit: FunctionServer, running: World, kind: str, any_id: str
) -> None:
    answer = request(submit, kind, any_id)
    assert answer.status_code == 202, answer.text
    shown = answer.json()["action"]
    assert (answer.json()["job_id"], shown["kind"], shown["state"]) == ("runs_1", kind, "requested")
    assert action(running)["id"] == shown["id"]
    assert [asked.method for asked in running.flink.asked if asked.method != "GET"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_kind_again_answers_with_the_open_one(
    submit: FunctionServer, running: World, kind: str
) -> None:
    answers = [request(submit, kind) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["action"]["id"] for answer in answers} == {action(running)["id"]}


def test_a_key_makes_a_repetition(submit: FunctionServer, running: World, sync: FunctionServer) -> None:
    """It gets its own action, also once that has ended; another request with the key is refused."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = request(submit, "savepoint", headers=headers)
    run_pass(sync)
    run_pass(sync)
    again = request(submit, "savepoint", headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["action"]["id"] == first.json()["action"]["id"] == action(running)["id"]
    assert again.json()["action"]["state"] == "done"
    for kind, body in (("stop", {"savepoint_directory": DIRECTORY}), ("savepoint", {})):
        refused = request(submit, kind, headers=headers, json=body)
        assert (refused.status_code, problem(refused)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "CANCELLED"])
def test_a_job_that_is_over_is_refused(submit: FunctionServer, world: World, status: str) -> None:
    world.add_record("over_1", **followed(RUNNING_ID) | {"status": status})
    refused = request(submit, "cancel", "over_1")
    assert (refused.status_code, problem(refused)["code"]) == (409, "JOB_OVER")
    assert "actions" not in world.record("over_1")


@pytest.mark.parametrize("row", BAD, ids=[row["name"] for row in BAD])
def test_a_bad_request_leaves_no_trace(submit: FunctionServer, running: World, row: Document) -> None:
    content = row["text"] if "text" in row else json.dumps(row.get("body", {}))
    headers = {"Content-Type": "application/json", **row.get("headers", {})}
    method, _, path = row.get("target", "POST /jobs/runs_1/stop").partition(" ")
    answer = call(submit, method, path, content=content.encode(), headers=headers)
    refused = problem(answer)
    assert (answer.status_code, refused["code"]) == (row["status"], row.get("code", "BAD_REQUEST"))
    assert [fault["pointer"] for fault in refused.get("errors", [])] == row.get("at", [])
    assert "actions" not in running.record("runs_1")
    assert running.jobs.count_documents({}) == 1


@pytest.fixture(scope="module")
def signing(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("submit", {**settings, "WEBHOOK_SECRETS": SECRET}) as server:
        yield server


def signed(body: Document) -> Document:
    text = json.dumps(body)
    headers = sign(text, message_id=uuid.uuid4().hex, secret=SECRET, now=datetime.now(UTC))
    return {"content": text, "headers": {"Content-Type": "application/json", **headers}, "json": None}


def test_a_signed_request_names_job_and_kind(signing: FunctionServer, running: World) -> None:
    """A signature covers the body alone: it must not do for another job, nor for another action."""
    named = {"job_id": "runs_1", "kind": "cancel"}
    assert problem(request(signing, "cancel"))["code"] == "UNAUTHORIZED"
    for body in ({}, {"job_id": "runs_1"}, {**named, "kind": "stop"}, {**named, "job_id": "other_1"}):
        assert request(signing, "cancel", **signed(body)).status_code == 400
    assert "actions" not in running.record("runs_1")
    assert request(signing, "cancel", **signed(named)).status_code == 202


def test_submit_asks_sync_for_this_record(
    settings: Mapping[str, str], sync: FunctionServer, running: World
) -> None:
    with FunctionServer("submit", {**settings, "SYNC_URL": sync.url}) as submit:
        assert request(submit, "savepoint").status_code == 202
    assert action(running)["state"] == "sent"


def test_a_sync_that_is_away_costs_nothing(settings: Mapping[str, str], running: World) -> None:
    with FunctionServer("submit", {**settings, "SYNC_URL": "http://127.0.0.1:9"}) as submit:
        assert request(submit, "savepoint").status_code == 202
    assert action(running)["state"] == "requested"


# --- cancel -----------------------------------------------------------------------------------------


def test_cancel(submit: FunctionServer, sync: FunctionServer, jobs: FunctionServer, running: World) -> None:
    request(submit, "cancel", json={"requested_by": "ann"})
    run_pass(sync)
    assert action(running)["state"] == "sent"
    run_pass(sync)
    record = running.record("runs_1")
    assert (record["status"], action(running)["state"]) == ("CANCELLED", "done")
    assert "open_action_since" not in record
    shown = call(jobs, "GET", "/api/jobs/runs_1").json()
    assert shown["job"]["ended_by"] == "cancel"
    assert [each["state"] for each in shown["actions"]] == ["done"]
    events = [event for event in shown["timeline"] if event["event"].startswith("action")]
    assert [(event["event"], event["data"].get("by")) for event in events] == [
        ("action_requested", "ann"),
        ("action_ended", None),
    ]


def test_cancel_of_a_record_with_several_jobs(
    submit: FunctionServer, sync: FunctionServer, running: World
) -> None:
    """Each is cancelled; a stop would have to choose one."""
    other = {**running.record("runs_1")["flink_jobs"][0], "id": OTHER_ID}
    running.jobs.update_one({"job_id": "runs_1"}, {"$push": {"flink_jobs": other, "flink_job_ids": OTHER_ID}})
    running.flink.jobs.append(Job(id=OTHER_ID, state="RUNNING", start=START))
    request(submit, "stop")
    run_pass(sync)
    assert (action(running)["state"], action(running)["code"]) == ("failed", "SEVERAL_JOBS")
    request(submit, "cancel")
    run_pass(sync)
    assert [job.state for job in running.flink.jobs] == ["CANCELED", "CANCELED"]
    run_pass(sync)
    assert running.record("runs_1")["status"] == "CANCELLED"
    assert [each["state"] for each in running.record("runs_1")["actions"]] == ["failed", "done"]


def test_cancel_of_a_job_that_ends_by_itself(
    submit: FunctionServer, sync: FunctionServer, running: World
) -> None:
    request(submit, "cancel")
    running.flink.end(RUNNING_ID, "FINISHED")
    run_pass(sync)
    assert running.record("runs_1")["status"] == "FINISHED"
    assert (action(running)["state"], action(running)["code"]) == ("failed", "JOB_ENDED")


def test_cancel_supersedes_a_stop(submit: FunctionServer, sync: FunctionServer, running: World) -> None:
    running.flink.savepoint_outcome = "IN_PROGRESS"
    request(submit, "stop")
    run_pass(sync)
    request(submit, "cancel")
    run_pass(sync)
    run_pass(sync)
    stop, cancel = running.record("runs_1")["actions"]
    assert (stop["state"], stop["code"], cancel["state"]) == ("failed", "SUPERSEDED", "done")


# --- stop and savepoint -----------------------------------------------------------------------------


@pytest.mark.parametrize("drain", [False, True])
def test_stop(
    submit: FunctionServer, sync: FunctionServer, jobs: FunctionServer, running: World, *, drain: bool
) -> None:
    request(submit, "stop", json={"drain": drain, "savepoint_directory": DIRECTORY})
    run_pass(sync)
    [(key, body)] = running.flink.triggered.items()
    kept = action(running)
    assert key == (RUNNING_ID, kept["id"])
    assert body == {"triggerId": kept["id"], "drain": drain, "targetDirectory": DIRECTORY}
    run_pass(sync)
    kept = action(running)
    assert (kept["state"], kept["savepoint_path"]) == ("done", f"{DIRECTORY}/savepoint-{kept['id'][:6]}")
    shown = call(jobs, "GET", "/api/jobs/runs_1").json()
    assert (shown["job"]["status"], shown["job"]["ended_by"]) == ("FINISHED", "stop")
    assert running.record("runs_1")["ended_by"] == "stop"
    window = call(jobs, "GET", "/api/metrics").json()["windows"]["24h"]
    assert (window["by_status"]["FINISHED"], window["stopped"]) == (1, 1)
    assert [(each["template_id"], each["stopped"]) for each in window["templates"]] == [("etl", 1)]
    assert 'flinkjobs_jobs_stopped{window="24h"} 1.0' in call(jobs, "GET", "/metrics").text


def test_savepoint(submit: FunctionServer, sync: FunctionServer, running: World) -> None:
    """The job goes on, and further passes ask Flink for nothing."""
    request(submit, "savepoint")
    for _ in range(2):
        run_pass(sync)
    assert (action(running)["state"], running.record("runs_1")["status"]) == ("done", "RUNNING")
    running.flink.asked.clear()
    run_pass(sync)
    assert not [asked for asked in running.flink.asked if "savepoints" in asked.path]


def test_a_directory_that_cannot_be_written(
    submit: FunctionServer, sync: FunctionServer, running: World
) -> None:
    running.flink.savepoint_outcome = "java.io.IOException: Failed to create savepoint directory"
    request(submit, "stop")
    run_pass(sync)
    run_pass(sync)
    kept = action(running)
    assert (kept["state"], kept["code"]) == ("failed", "SAVEPOINT_FAILED")
    assert "Failed to create savepoint directory" in kept["message"]
    assert running.record("runs_1")["status"] == "RUNNING"


def test_a_refusal_is_shown(submit: FunctionServer, sync: FunctionServer, running: World) -> None:
    request(submit, "savepoint", json={})
    run_pass(sync)
    kept = action(running)
    assert (kept["state"], kept["code"]) == ("failed", "REFUSED")
    assert kept["message"].endswith("Property [target-directory] must be provided.")


def test_an_answer_that_is_lost_is_not_repeated(
    submit: FunctionServer, sync: FunctionServer, running: World
) -> None:
    path = f"/jobs/{RUNNING_ID}/stop"
    running.flink.answers[path] = html(502)
    request(submit, "stop")
    report = run_pass(sync)
    assert [error["code"] for error in report["errors"]] == ["FLINK_UNAVAILABLE"]
    del running.flink.answers[path]
    for passes in (1, 2):
        run_pass(sync)
        assert (action(running)["state"], action(running)["unknown_passes"]) == ("sent", passes)
    move_back(running, 61, "unknown_since")
    run_pass(sync)
    kept = action(running)
    assert (kept["state"], kept["code"]) == ("failed", "OUTCOME_UNKNOWN")
    assert [asked.path for asked in running.flink.asked].count(path) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_a_savepoint_that_comes_after_its_failure_is_stored(
    submit: FunctionServer, sync: FunctionServer, running: World, *, is_late: bool
) -> None:
    """Passes look for it for five minutes."""
    running.flink.answers[f"/jobs/{RUNNING_ID}/savepoints"] = html(502)
    request(submit, "savepoint")
    run_pass(sync)
    for _ in range(2):
        run_pass(sync)
    move_back(running, 61, "unknown_since")
    run_pass(sync)
    assert (action(running)["state"], action(running)["code"]) == ("failed", "OUTCOME_UNKNOWN")
    assert "open_action_since" in running.record("runs_1")
    if is_late:
        move_back(running, 301, "ended_at")
        run_pass(sync)
    running.flink.answers[f"/jobs/{RUNNING_ID}/checkpoints"] = with_savepoint("savepoint-late")
    run_pass(sync)
    assert action(running)["state"] == ("failed" if is_late else "done")
    assert action(running)["savepoint_path"] == (None if is_late else f"{DIRECTORY}/savepoint-late")
    assert "open_action_since" not in running.record("runs_1")


def with_savepoint(name: str) -> Answer:
    """An answer about the checkpoints that lists a savepoint which was triggered just now."""
    listed = checkpoints()
    later = round((datetime.now(UTC) + timedelta(seconds=1)).timestamp() * 1000)
    listed["latest"]["savepoint"] = {
        "status": "COMPLETED",
        "is_savepoint": True,
        "trigger_timestamp": later,
        "latest_ack_timestamp": later,
        "external_path": f"{DIRECTORY}/{name}",
        "discarded": False,
    }
    return Answer(body=json.dumps(listed).encode())


def test_a_result_that_flink_forgot_is_found_among_the_checkpoints(
    submit: FunctionServer, sync: FunctionServer, running: World
) -> None:
    """As after five minutes without a pass."""
    request(submit, "savepoint")
    run_pass(sync)
    running.flink.forgets = True
    running.flink.answers[f"/jobs/{RUNNING_ID}/checkpoints"] = with_savepoint("savepoint-late")
    run_pass(sync)
    assert (action(running)["state"], action(running)["savepoint_path"]) == (
        "done",
        f"{DIRECTORY}/savepoint-late",
    )


def test_what_could_not_be_sent_expires(submit: FunctionServer, sync: FunctionServer, world: World) -> None:
    """It waits for the id of its job; its request does not stay open for ever."""
    world.add_record("runs_1", k8s_job_name=None)
    request(submit, "stop")
    run_pass(sync)
    assert action(world)["state"] == "requested"
    move_back(world, 900, "requested_at")
    run_pass(sync)
    assert (action(world)["state"], action(world)["code"]) == ("failed", "EXPIRED")


def errors(status: int, message: str) -> Answer:
    body = {"errors": [f"org.apache.flink.runtime.rest.handler.RestHandlerException: {message}\n\tat org"]}
    return Answer(status=status, body=json.dumps(body).encode())


FAULTS: Mapping[str, Answer] = {
    "act-dropped": Answer(is_reset=True),
    "act-cut": Answer(status=202, body=b'{"request-id": "0"}', cut_after=5),
    "act-502": html(502),
    "act-503": errors(503, "Service temporarily unavailable due to an ongoing leader election."),
    "act-page": html(202),
    "act-401": html(401),
    "act-403": html(403),
    "act-404": errors(404, "Job could not be found."),
    "act-409": errors(409, "Job cancellation failed because the job has already reached another state."),
}
ROWS = read(DOCUMENT.read_text(encoding="utf-8"), "action fault")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_fault_of_the_request_does_what_the_page_says(
    submit: FunctionServer, sync: FunctionServer, running: World, row: Row, kind: str
) -> None:
    paths = {"cancel": "?mode=cancel", "stop": "/stop", "savepoint": "/savepoints"}
    running.flink.answers[f"/jobs/{RUNNING_ID}{paths[kind]}"] = FAULTS[row.id]
    request(submit, kind)
    run_pass(sync)
    kept = action(running)
    assert " ".join(filter(None, (kept["state"], kept["code"]))) == row.cells[kind]
    assert running.record("runs_1")["status"] == "RUNNING"
    assert not running.flink.triggered


def test_every_fault_is_a_row() -> None:
    assert [row.id for row in ROWS] == list(FAULTS)
    assert [row.id for row in RESULT_ROWS] == list(RESULT_FAULTS)


FAILED = Answer(
    body=json.dumps(
        {
            "status": {"id": "COMPLETED"},
            "operation": {"failure-cause": {"class": "java.io.IOException", "stack-trace": "no space left"}},
        }
    ).encode()
)
RESULT_FAULTS: Mapping[str, tuple[Answer | None, str]] = {
    "result-dropped": (Answer(is_reset=True), ""),
    "result-cut": (replace(FAILED, cut_after=5), ""),
    "result-502": (html(502), ""),
    "result-503": (FAULTS["act-503"], ""),
    "result-page": (html(200), ""),
    "result-401": (html(401), ""),
    "result-403": (html(403), ""),
    "result-404": (None, ""),
    "result-404-newer": (None, "newer"),
    "result-404-blind": (None, "blind"),
    "result-failed": (FAILED, ""),
    "result-failed-newer": (FAILED, "newer"),
    "result-failed-blind": (FAILED, "blind"),
}
"""The answer to the question for the result, None: it is forgotten; and to that for the checkpoints."""
RESULT_ROWS = read(DOCUMENT.read_text(encoding="utf-8"), "result fault")


@pytest.mark.parametrize("kind", ["stop", "savepoint"])
@pytest.mark.parametrize("row", RESULT_ROWS, ids=[row.id for row in RESULT_ROWS])
def test_a_fault_of_the_result_does_what_the_page_says(
    submit: FunctionServer, sync: FunctionServer, running: World, row: Row, kind: str
) -> None:
    flink = running.flink
    flink.savepoint_outcome = "IN_PROGRESS"
    request(submit, kind)
    run_pass(sync)
    [key] = flink.triggered
    result, checkpoints_answer = RESULT_FAULTS[row.id]
    if result is not None:
        flink.answers[f"/jobs/{RUNNING_ID}/savepoints/{key[1]}"] = result
    flink.forgets = result is None
    if checkpoints_answer:
        answer = html(502) if checkpoints_answer == "blind" else with_savepoint("savepoint-newer")
        flink.answers[f"/jobs/{RUNNING_ID}/checkpoints"] = answer
    run_pass(sync)
    kept = action(running)
    assert " ".join(filter(None, (kept["state"], kept["code"]))) == row.cells[kind]
    assert running.record("runs_1")["status"] == "RUNNING"
    is_unknown = result is None and checkpoints_answer != "blind" and kept["state"] == "sent"
    assert kept["unknown_passes"] == int(is_unknown)
    path = f"{DIRECTORY}/savepoint-newer" if kept["state"] == "done" else None
    if kept["state"] == "sent":
        path = flink.savepoints[key] = f"{DIRECTORY}/savepoint-made"
        flink.answers.clear()
        flink.forgets = False
        run_pass(sync)
    assert (action(running)["savepoint_path"], list(flink.triggered)) == (path, [key])


# --- before the job has an id -----------------------------------------------------------------------


def test_cancel_before_the_submitter_started(
    submit: FunctionServer, sync: FunctionServer, world: World
) -> None:
    """The Kubernetes Job is deleted; CANCELLED comes only with the evidence that there is no Flink job."""
    world.kubernetes.control.add(PodFault(effect="image-pull"))
    name = world.create_job("runs_1")
    world.add_record("runs_1", k8s_job_name=name)
    world.kubernetes.wait_pod(name)
    request(submit, "cancel")
    run_pass(sync)
    assert world.kubernetes.get("jobs", name) is None
    assert action(world)["state"] == "requested"
    for passes in (1, 2):
        run_pass(sync)
        record = world.record("runs_1")
        assert (record["status"], record["missing_passes"]) == ("CREATED", passes)
    assert action(world)["state"] == "sent"
    world.jobs.update_one(
        {"job_id": "runs_1"}, {"$set": {"missing_since": datetime.now(UTC) - timedelta(seconds=121)}}
    )
    run_pass(sync)
    record = world.record("runs_1")
    assert (record["status"], record["reason"]["code"]) == ("CANCELLED", "CANCELLED_BEFORE_START")
    assert action(world)["state"] == "done"


def test_cancel_while_the_submitter_runs_waits_for_the_id(
    submit: FunctionServer, sync: FunctionServer, world: World
) -> None:
    """Deleting the Kubernetes Job now could leave a Flink job without a record."""
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    name = world.create_job("runs_1")
    world.add_record("runs_1", k8s_job_name=name)
    world.kubernetes.wait_running(name)
    request(submit, "cancel")
    run_pass(sync)
    assert world.kubernetes.get("jobs", name) is not None
    assert (action(world)["state"], action(world)["k8s_job_uid"]) == ("requested", None)
    now = round(datetime.now(UTC).timestamp() * 1000)
    world.flink.jobs.append(Job(id=RUNNING_ID, state="RUNNING", name="runs_1", start=now))
    run_pass(sync)
    run_pass(sync)
    assert (action(world)["state"], world.flink.jobs[0].state) == ("sent", "CANCELED")
