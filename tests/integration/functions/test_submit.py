"""The submit function over HTTP: a record, a Kubernetes Job, and what is left when one of them fails."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from doubles.kubernetes.faults import Fault, Outcome, RequestFault
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, events_after, problem
from tests.support.records import Document, termination_message

PATH = {"template_id": "etl", "script": {"path": "/opt/jobs/etl.py"}}
INLINE = {"template_id": "etl", "script": {"inline": "print('ü €')\n"}}
CREATE_JOB: dict[str, Any] = {"verb": "create", "resource": "jobs"}
CREATE_CONFIG_MAP: dict[str, Any] = {"verb": "create", "resource": "configmaps"}


def accepted(answer: httpx.Response) -> Document:
    """The contract's answer."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: Document = answer.json()
    assert set(body) == {"job_id", "k8s_job_name", "flink_job_id", "status", "submitted_at"}
    return body


# --- accepted ---------------------------------------------------------------------------------------


def test_the_answer_names_the_job_and_its_kubernetes_job(submit: FunctionServer, world: World) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    body = accepted(call(submit, json=PATH))
    assert re.fullmatch(r"etl_\d{13}", body["job_id"])
    assert re.fullmatch(r"flink-py-etl-[0-9a-f]{8}", body["k8s_job_name"])
    assert (body["flink_job_id"], body["status"]) == (None, "CREATED")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["submitted_at"])
    submitted_at = datetime.fromisoformat(body["submitted_at"])
    assert before <= submitted_at <= datetime.now(UTC)
    assert int(submitted_at.timestamp() * 1000) == int(body["job_id"].removeprefix("etl_"))
    assert world.kubernetes.names("jobs") == {body["k8s_job_name"]}


def test_the_record_holds_what_was_submitted(submit: FunctionServer, world: World) -> None:
    request = {
        **PATH,
        "job_name": "nightly",
        "args": ["--date", "2025-11-01"],
        "parallelism": 4,
        "py_files": ["/opt/a.py"],
        "jars": ["/opt/a.jar"],
        "flink_conf": {"taskmanager.memory.process.size": "1g"},
        "savepoint_path": "s3://bucket/savepoint",
        "cluster": "batch",
        "attached": True,
        "resources": {"cpu": "2", "memory": "512Mi"},
        "submitted_by": "ann",
        "labels": {"team": "search", "example.com/stage": ""},
    }
    body = accepted(call(submit, json=request))
    record = world.record(body["job_id"])
    assert record["template_id"] == "etl"
    assert record["job_name"] == "nightly"
    assert record["cluster"] == "batch"
    assert record["submitted_by"] == "ann"
    assert record["labels"] == {"team": "search", "example.com/stage": ""}
    assert record["k8s_job_name"] == body["k8s_job_name"]
    assert record["status"] == "CREATED"
    assert record["submitted_at"] == datetime.fromisoformat(body["submitted_at"])
    nothing = ("flink_job_id", "flink_state", "start_time", "end_time", "duration", "reason", "missing_since")
    assert {name: record[name] for name in nothing} == dict.fromkeys(nothing)
    given = {name: request[name] for name in ("args", "parallelism", "py_files", "jars", "flink_conf")}
    assert record["spec"].items() >= given.items()
    assert record["spec"]["script"] == {"path": "/opt/jobs/etl.py"}


def test_the_kubernetes_job_carries_the_labels_and_the_command(submit: FunctionServer, world: World) -> None:
    own = {"team": "search", "example.com/stage": ""}
    body = accepted(call(submit, json={**PATH, "args": ["a b", "$(x)"], "cluster": "batch", "labels": own}))
    job = world.kubernetes.get("jobs", body["k8s_job_name"])
    assert job is not None
    template = job["spec"]["template"]
    for metadata in (job["metadata"], template["metadata"]):
        ours = {"app": "flink-python-job", "job-id": body["job_id"]}
        assert metadata["labels"].items() >= {**own, **ours}.items()
        assert metadata["annotations"]["flinkjobs/job-id"] == body["job_id"]
    assert (job["spec"]["backoffLimit"], template["spec"]["restartPolicy"]) == (0, "Never")
    [container] = template["spec"]["containers"]
    assert container["image"] == "flink:1.20"
    command = container["command"]
    assert command[command.index("-m") + 1] == world.batch.url.removeprefix("http://")
    assert f"-Dpipeline.name={body['job_id']}" in command
    assert command[-3:] == ["--", "a b", "$$(x)"]


def test_an_inline_script_travels_in_a_config_map_of_the_job(submit: FunctionServer, world: World) -> None:
    body = accepted(call(submit, json=INLINE))
    job = world.kubernetes.get("jobs", body["k8s_job_name"])
    config_map = world.kubernetes.get("configmaps", body["k8s_job_name"])
    assert job is not None
    assert config_map is not None
    assert list(config_map["data"].values()) == ["print('ü €')\n"]
    [owner] = config_map["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
    [mount] = job["spec"]["template"]["spec"]["volumes"]
    assert mount["configMap"]["name"] == body["k8s_job_name"]


def test_a_script_of_the_image_needs_no_config_map(submit: FunctionServer, world: World) -> None:
    accepted(call(submit, json=PATH))
    assert world.kubernetes.names("configmaps") == set()


def test_requests_of_the_same_moment_are_different_jobs(submit: FunctionServer, world: World) -> None:
    bodies = [accepted(call(submit, json=PATH)) for _ in range(5)]
    assert len({body["job_id"] for body in bodies}) == 5
    assert world.kubernetes.names("jobs") == {body["k8s_job_name"] for body in bodies}
    assert world.jobs.count_documents({}) == 5


def test_a_submitted_job_is_resolved_by_the_next_pass(
    submit: FunctionServer, sync: FunctionServer, world: World
) -> None:
    world.kubernetes.control.set_outcome(Outcome(message=termination_message()))
    body = accepted(call(submit, json=PATH))
    world.kubernetes.wait_finished(body["k8s_job_name"])
    assert call(sync).json()["changed"] == {"FAILED": 1}
    record = world.record(body["job_id"])
    assert (record["status"], record["reason"]["code"]) == ("FAILED", "NO_JOB_SUBMITTED")


def test_the_log_has_an_event_of_the_submission(submit: FunctionServer, world: World) -> None:
    before = submit.process.lines_printed
    body = accepted(call(submit, json=PATH))
    events = events_after(submit, before, last="job.submitted")
    [submitted] = [event for event in events if event["message"] == "job.submitted"]
    assert (submitted["job_id"], submitted["k8s_job_name"]) == (body["job_id"], body["k8s_job_name"])
    assert world.jobs.count_documents({}) == 1


# --- not valid --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"template_id": None}, "/template_id"),
        ({"template_id": "../etc"}, "/template_id"),
        ({"script": {}}, "/script"),
        ({"script": {"path": "/a.py", "inline": "x"}}, "/script"),
        ({"script": {"path": "a.py"}}, "/script/path"),
        ({"args": ["a", 5]}, "/args/1"),
        ({"args": ["\ud800"]}, "/args/0"),
        ({"parallelism": 0}, "/parallelism"),
        ({"parallelism": "4"}, "/parallelism"),
        ({"cluster": "nowhere"}, "/cluster"),
        ({"flink_conf": {"rest.address": "elsewhere"}}, "/flink_conf/rest.address"),
        ({"resources": {"cpu": "lots"}}, "/resources/cpu"),
        ({"attached": "yes"}, "/attached"),
        ({"scripts": {}}, "/scripts"),
    ],
)
def test_a_faulty_field_is_named_and_nothing_is_submitted(
    change: Document, pointer: str, submit: FunctionServer, world: World
) -> None:
    answer = call(submit, content=json.dumps({**PATH, **change}))
    assert answer.status_code == 400
    assert problem(answer)["code"] == "BAD_REQUEST"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
    assert world.jobs.count_documents({}) == 0
    assert world.kubernetes.requests().get("create jobs", 0) == 0


def test_every_fault_is_named_at_once(submit: FunctionServer) -> None:
    answer = call(submit, json={"args": "x", "parallelism": -1, "cluster": "nowhere", "unknown": 1})
    pointers = {fault["pointer"] for fault in problem(answer)["errors"]}
    assert pointers >= {"/template_id", "/args", "/parallelism", "/cluster", "/unknown"}


# --- Kubernetes says no, or nothing -----------------------------------------------------------------

REFUSALS: dict[str, tuple[Document, RequestFault, str]] = {
    "a quota": (PATH, RequestFault(effect="status", status=403, **CREATE_JOB), "403 Forbidden"),
    "an invalid value": (PATH, RequestFault(effect="status", status=422, **CREATE_JOB), "422"),
    "a quota for the script": (
        INLINE,
        RequestFault(effect="status", status=403, **CREATE_CONFIG_MAP),
        "403 Forbidden",
    ),
}


@pytest.mark.parametrize(("request_", "fault", "word"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_fails_the_record_with_its_cause_and_leaves_no_job(
    request_: Document, fault: Fault, word: str, submit: FunctionServer, world: World
) -> None:
    with world.kubernetes.control.fault(fault):
        answer = call(submit, json=request_)
    assert answer.status_code == 502
    assert "retry-after" not in answer.headers
    details = problem(answer)
    assert details["code"] == "K8S_REFUSED"
    assert word in details["detail"]
    [record] = world.jobs.find({})
    assert record["job_id"] in details["detail"]
    assert (record["status"], record["reason"]["code"]) == ("FAILED", "K8S_REFUSED")
    assert word in record["reason"]["message"]
    assert timedelta(0) <= record["reason"]["since"] - record["submitted_at"] < timedelta(seconds=30)
    assert world.kubernetes.names("jobs") == set()


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "status", "status": 500},
        {"effect": "status", "status": 429, "retry_after": 1},
        {"effect": "drop"},
        {"effect": "cut"},
        {"effect": "malformed"},
    ],
)
def test_when_it_is_unknown_whether_the_job_was_created_the_record_stays_open(
    fault: Any, submit: FunctionServer, world: World
) -> None:
    with world.kubernetes.control.fault(RequestFault(**fault, **CREATE_JOB)):
        answer = call(submit, json=PATH)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert problem(answer)["code"] == "KUBERNETES_UNAVAILABLE"
    [record] = world.jobs.find({})
    assert (record["status"], record["reason"]) == ("CREATED", None)


def test_a_job_that_was_created_although_the_answer_was_lost_is_found_by_the_next_pass(
    submit: FunctionServer, sync: FunctionServer, world: World
) -> None:
    world.kubernetes.control.set_outcome(Outcome(message=termination_message()))
    with world.kubernetes.control.fault(RequestFault(effect="cut", **CREATE_JOB)):
        assert call(submit, json=PATH).status_code == 503
    [name] = world.kubernetes.names("jobs")
    [record] = world.jobs.find({})
    assert record["k8s_job_name"] == name
    world.kubernetes.wait_finished(name)
    assert call(sync).json()["changed"] == {"FAILED": 1}
    assert world.record(record["job_id"])["reason"]["code"] == "NO_JOB_SUBMITTED"


def test_when_it_is_unknown_whether_the_script_was_stored_the_record_stays_open(
    submit: FunctionServer, world: World
) -> None:
    with world.kubernetes.control.fault(RequestFault(effect="status", status=500, **CREATE_CONFIG_MAP)):
        answer = call(submit, json=INLINE)
    assert answer.status_code == 503
    assert problem(answer)["code"] == "KUBERNETES_UNAVAILABLE"
    [record] = world.jobs.find({})
    assert (record["status"], record["reason"]) == ("CREATED", None)
