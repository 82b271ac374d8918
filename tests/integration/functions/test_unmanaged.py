"""Flink jobs without a record, over HTTP: seen by a pass, listed, adopted, followed to their end."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from doubles.kubernetes.faults import Outcome
from flinkjobs.submit.webhook_signature import sign
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, problem
from tests.integration.functions.test_sync import (
    END,
    FINISHED_ID,
    RUNNING_ID,
    START,
    at,
    commands,
    followed,
    run_pass,
)
from tests.support.flink_rest_server import Job
from tests.support.records import Document
from tests.support.scripted_server import html

BY_HAND, OTHER, THIRD = "a" * 32, "b" * 32, "c" * 32
MANY = 5_000
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def running(id_: str, **fields: Any) -> Job:
    """A Flink job that began half an hour ago."""
    return Job(id=id_, state=fields.pop("state", "RUNNING"), start=fields.pop("start", START), **fields)


def listed(jobs: FunctionServer, **query: Any) -> Document:
    answer = call(jobs, "GET", "/api/flink-jobs", params={"unmanaged": "true", **query})
    assert answer.status_code == 200, answer.text
    body: Document = answer.json()
    return body


def ids(page: Document) -> list[str]:
    return [job["flink_job_id"] for job in page["flink_jobs"]]


def adopt(submit: FunctionServer, flink_job_id: str = BY_HAND, **fields: Any) -> httpx.Response:
    return call(
        submit, path="/jobs/adopt", json={"flink_job_id": flink_job_id, "template_id": "etl", **fields}
    )


def shown(jobs: FunctionServer, any_id: str) -> Document:
    answer = call(jobs, "GET", f"/api/jobs/{any_id}")
    assert answer.status_code == 200, answer.text
    body: Document = answer.json()
    return body


# --- seen -------------------------------------------------------------------------------------------


def test_a_pass_sees_the_running_jobs_that_no_record_has(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    """A job that is over is none, nor is one of a record, whatever its status and cluster."""
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.add_record("lost_1", **followed(THIRD) | {"status": "LOST", "missing_since": None})
    world.add_record("old_1", status="FAILED", flink_job_id=OTHER)  # the old platform wrote only one field
    world.flink.jobs += [
        running(RUNNING_ID),
        running(OTHER),
        running(THIRD),
        running(BY_HAND, name="<b>by hand</b>", state="RESTARTING"),
        running(FINISHED_ID, state="FINISHED", end=END),
    ]
    world.batch.jobs.append(running("d" * 32, start=START + 1, state="SUSPENDED", name=""))
    report = run_pass(sync)
    assert {name: seen["unmanaged"] for name, seen in report["clusters"].items()} == {
        "default": 1,
        "batch": 1,
    }
    page = listed(jobs)
    began = datetime.fromisoformat(report["started_at"])
    assert page.pop("now") >= report["started_at"]
    assert page == {
        "flink_jobs": [
            {
                "flink_job_id": "d" * 32,
                "cluster": "batch",
                "name": None,
                "state": "SUSPENDED",
                "start_time": at(START + 1).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "twin_of": [],
                "ui_url": f"{world.batch.url}/#/job/running/{'d' * 32}/overview",
            },
            {
                "flink_job_id": BY_HAND,
                "cluster": "default",
                "name": "<b>by hand</b>",
                "state": "RESTARTING",
                "start_time": at(START).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "twin_of": [],
                "ui_url": f"https://flink.example/ui/#/job/running/{BY_HAND}/overview",
            },
        ],
        "next_cursor": None,
        "total": 2,
        "clusters": {
            name: {"unmanaged": 1, "seen_at": began.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
            for name in ("batch", "default")
        },
    }


def test_five_thousand_of_them_cost_no_further_request_and_are_written_once(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.flink.jobs += [running(RUNNING_ID), *(running(f"{n:032x}") for n in range(MANY))]
    run_pass(sync)
    world.flink.asked.clear()
    world.kubernetes.control.reset_requests()
    with commands(world) as seen:
        report = run_pass(sync)
    assert report["clusters"]["default"]["unmanaged"] == MANY
    assert world.flink.paths == ["/jobs/overview"]
    assert world.kubernetes.requests() == {}
    writes = {what: n for what, n in seen.items() if what[0] in ("insert", "update", "remove")}
    clusters = 2
    assert writes == {
        ("insert", "sync_runs"): 1,
        ("update", "channels"): 1,  # of those that are no longer configured
        ("update", "unmanaged_jobs"): clusters,  # of the time alone
        ("update", "leases"): writes["update", "leases"],
    }
    page = listed(jobs, limit="200")
    assert (len(page["flink_jobs"]), page["total"]) == (200, MANY)


def test_the_list_follows_the_cluster(sync: FunctionServer, jobs: FunctionServer, world: World) -> None:
    world.flink.jobs += [running(BY_HAND), running(OTHER)]
    run_pass(sync)
    world.flink.jobs[:] = [running(OTHER, state="CANCELLING"), running(THIRD, start=START + 1)]
    run_pass(sync)
    assert [(job["flink_job_id"], job["state"]) for job in listed(jobs)["flink_jobs"]] == [
        (THIRD, "RUNNING"),
        (OTHER, "CANCELLING"),
    ]
    world.flink.jobs.clear()
    run_pass(sync)
    assert ids(listed(jobs)) == []


def test_a_cluster_that_is_away_keeps_what_was_seen(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    """Unreachable is not empty; `seen_at` says how old it is."""
    world.flink.jobs.append(running(BY_HAND))
    seen_at = run_pass(sync)["started_at"]
    world.flink.answers[""] = html(502)
    report = run_pass(sync)
    assert report["clusters"]["default"]["unmanaged"] is None
    page = listed(jobs)
    assert ids(page) == [BY_HAND]
    assert page["clusters"]["default"] == {"unmanaged": 1, "seen_at": seen_at}
    assert page["clusters"]["batch"] == {"unmanaged": 0, "seen_at": report["started_at"]}


def test_a_job_may_belong_to_a_submission_whose_id_is_not_known_yet(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    """It may be that submission's if it began after it, in its cluster; a pod that cannot start has none."""
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    waits = world.create_job("waits_1")
    world.kubernetes.wait_pod(waits)
    world.add_record("waits_1", k8s_job_name=waits)
    before = START - 3_600_000
    world.flink.jobs += [running(BY_HAND), running(OTHER, start=before)]
    world.batch.jobs.append(running(THIRD))
    report = run_pass(sync)
    assert report["unresolved"] == 1
    assert sorted(ids(listed(jobs))) == [OTHER, THIRD]
    world.jobs.update_one({"job_id": "waits_1"}, {"$set": {"status": "FAILED"}, "$inc": {"revision": 1}})
    run_pass(sync)
    assert sorted(ids(listed(jobs))) == [BY_HAND, OTHER, THIRD]


def test_a_pod_that_cannot_start_hides_no_job(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    stuck = world.create_job("stuck_1")
    pod = world.kubernetes.wait_pod(stuck)
    statuses = pod["status"]["containerStatuses"]
    statuses[0]["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    changed = {"status": {"phase": "Pending", "containerStatuses": statuses}}
    world.kubernetes.patch("pods", f"{pod['metadata']['name']}/status", changed)
    world.add_record("stuck_1", k8s_job_name=stuck)
    world.flink.jobs.append(running(BY_HAND))
    run_pass(sync)
    assert world.record("stuck_1")["reason"]["code"] == "IMAGE_PULL"
    assert ids(listed(jobs)) == [BY_HAND]


def test_a_pass_over_a_few_records_says_nothing_of_the_others(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    world.flink.jobs.append(running(BY_HAND))
    report = run_pass(sync, job_ids=["runs_1"])
    assert report["clusters"]["default"]["unmanaged"] is None
    assert listed(jobs)["clusters"] == {}


def test_the_metric_is_of_the_last_pass(sync: FunctionServer, jobs: FunctionServer, world: World) -> None:
    world.flink.jobs += [running(BY_HAND), running(OTHER)]
    world.batch.answers[""] = html(502)
    run_pass(sync)
    world.flink.asked.clear()
    text = call(jobs, "GET", "/metrics").text
    [family] = [
        each for each in text_string_to_metric_families(text) if each.name == "flinkjobs_unmanaged_jobs"
    ]
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"cluster": "default"}, 2.0)]
    assert world.flink.paths == []


BAD_QUERIES = {
    "": "query:unmanaged",
    "unmanaged=": "query:unmanaged",
    "unmanaged=false": "query:unmanaged",
    "unmanaged=true&unmanaged=true": "query:unmanaged",
    "unmanaged=true&status=RUNNING": "query:status",
    "unmanaged=true&limit=0": "query:limit",
    "unmanaged=true&cursor=x": "query:cursor",
    "unmanaged=true&q=%00": "query:q",
}


@pytest.mark.parametrize(("query", "pointer"), BAD_QUERIES.items())
def test_a_faulty_query_is_refused_with_its_parameter(jobs: FunctionServer, query: str, pointer: str) -> None:
    answer = call(jobs, "GET", f"/api/flink-jobs?{query}")
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in problem(answer)["errors"]] == [pointer]


# --- adopted ----------------------------------------------------------------------------------------


def test_an_adopted_job_is_followed_to_its_end(
    sync: FunctionServer, submit: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    world.flink.jobs.append(running(BY_HAND, name="nightly"))
    run_pass(sync)
    answer = adopt(submit, submitted_by="ann")
    assert answer.status_code == 201, answer.text
    started = at(START).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert answer.json() == {
        "job_id": f"etl_{START}",
        "k8s_job_name": None,
        "flink_job_id": BY_HAND,
        "cluster": "default",
        "status": "RUNNING",
        "submitted_at": started,
    }
    assert ids(listed(jobs)) == []
    with commands(world) as seen:
        report = run_pass(sync)
    assert (report["scanned"], report["unchanged"], report["clusters"]["default"]["unmanaged"]) == (1, 1, 0)
    assert ("update", "flink_jobs") not in seen
    world.flink.jobs[:] = [running(BY_HAND, name="nightly", state="FINISHED", end=END)]
    assert run_pass(sync)["changed"] == {"FINISHED": 1}
    details = shown(jobs, BY_HAND)
    job = details["job"]
    assert (job["status"], job["duration"], job["job_name"]) == ("FINISHED", 17.365, "nightly")
    assert (job["submitted_by"], job["k8s_job_name"], details["spec"]) == ("ann", None, None)
    assert details["timeline"][0]["at"] == started
    assert [event["event"] for event in details["timeline"]] == ["started", "adopted", "ended"]
    assert (details["kubernetes"]["found"], details["log_tail"]) == (None, None)
    history = world.record(f"etl_{START}")["history"]
    assert [(move["seq"], move["was"], move["status"], move["by"]) for move in history] == [
        (0, None, "RUNNING", "submit"),
        (1, "RUNNING", "FINISHED", "sync"),
    ]
    assert history[0]["at"] > at(START)
    assert world.kubernetes.requests() == {}


def test_an_adopted_job_that_flink_forgets_becomes_lost_like_any_other(
    sync: FunctionServer, submit: FunctionServer, world: World
) -> None:
    world.flink.jobs.append(running(BY_HAND))
    run_pass(sync)
    job_id = adopt(submit).json()["job_id"]
    world.flink.jobs.clear()
    run_pass(sync)
    missing = world.record(job_id)
    assert (missing["status"], missing["missing_since"]) == ("RUNNING", missing["updated_at"])
    for _ in range(2):
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        aged = {"missing_since": hour_ago, "flink_jobs.0.missing_since": hour_ago}
        world.jobs.update_one({"job_id": job_id}, {"$set": aged, "$inc": {"revision": 1}})
        run_pass(sync)
    lost = world.record(job_id)
    assert (lost["status"], lost["reason"]["code"]) == ("LOST", "OUTCOME_UNKNOWN")


def test_cleanup_has_nothing_to_delete_for_an_adopted_job(
    sync: FunctionServer, submit: FunctionServer, cleanup: FunctionServer, world: World
) -> None:
    world.flink.jobs.append(running(BY_HAND))
    run_pass(sync)
    adopt(submit)
    answer = call(cleanup, json={})
    assert (answer.status_code, answer.json()["scanned"], answer.json()["errors"]) == (200, 0, [])


def test_adopting_again_answers_with_the_same_record(
    sync: FunctionServer, submit: FunctionServer, world: World
) -> None:
    world.flink.jobs.append(running(BY_HAND))
    run_pass(sync)
    first = adopt(submit)
    world.flink.jobs[:] = [running(BY_HAND, state="FINISHED", end=END)]
    run_pass(sync)
    for fields in ({}, {"job_id": f"etl_{START}"}, {"submitted_by": "bob"}):
        again = adopt(submit, **fields)
        assert again.status_code == 200
        assert again.json() == first.json() | {"status": "FINISHED"}
    for fields in ({"template_id": "other"}, {"job_id": "other_1"}):
        refused = adopt(submit, **fields)
        assert (refused.status_code, problem(refused)["code"]) == (409, "HAS_RECORD")
        assert f"etl_{START}" in problem(refused)["detail"]
    assert world.jobs.count_documents({}) == 1


@pytest.mark.parametrize(
    "fields", [followed(BY_HAND), {"flink_job_id": BY_HAND}], ids=["new", "old platform"]
)
def test_a_job_of_a_record_is_refused_with_the_name_of_the_record(
    submit: FunctionServer, world: World, fields: Document
) -> None:
    world.add_record("runs_1", **fields)
    answer = adopt(submit)
    assert (answer.status_code, problem(answer)["code"]) == (409, "HAS_RECORD")
    assert "belongs to the record runs_1" in problem(answer)["detail"]
    assert world.jobs.count_documents({}) == 1


def test_a_job_that_no_pass_has_seen_is_not_adopted(
    sync: FunctionServer, submit: FunctionServer, world: World
) -> None:
    """Neither one that is not there, nor one that was seen long ago."""
    world.flink.jobs.append(running(BY_HAND))
    unseen = adopt(submit)
    assert (unseen.status_code, problem(unseen)["code"]) == (404, "FLINK_JOB_NOT_SEEN")
    run_pass(sync)
    long_ago = datetime.now(UTC) - timedelta(minutes=31)
    world.database["unmanaged_jobs"].update_many({}, {"$set": {"seen_at": long_ago}})
    stale = adopt(submit)
    assert (stale.status_code, problem(stale)["code"]) == (404, "FLINK_JOB_NOT_SEEN")
    assert f"{long_ago:%Y-%m-%dT%H:%M}" in problem(stale)["detail"]
    assert world.jobs.count_documents({}) == 0


def test_a_job_id_can_be_given_and_must_be_free(
    sync: FunctionServer, submit: FunctionServer, world: World
) -> None:
    world.flink.jobs += [running(BY_HAND), running(OTHER), running(THIRD)]
    run_pass(sync)
    assert adopt(submit, job_id="mine").json()["job_id"] == "mine"
    taken = adopt(submit, OTHER, job_id="mine")
    assert (taken.status_code, problem(taken)["code"]) == (409, "DUPLICATE_JOB_ID")
    started = [adopt(submit, id_).json()["job_id"] for id_ in (OTHER, THIRD)]
    assert started == [f"etl_{START}", f"etl_{START + 1}"], "two jobs began in one millisecond"


BAD_BODIES: dict[str, tuple[Document, list[str]]] = {
    "nothing": ({}, ["/flink_job_id", "/template_id"]),
    "no id": ({"flink_job_id": "A" * 32, "template_id": "etl"}, ["/flink_job_id"]),
    "a template": ({"flink_job_id": BY_HAND, "template_id": "../x"}, ["/template_id"]),
    "a job id": ({"flink_job_id": BY_HAND, "template_id": "etl", "job_id": "a b"}, ["/job_id"]),
    "a submission": ({"template_id": "etl", "script": {"path": "/a.py"}}, ["/flink_job_id", "/script"]),
    "a person": ({"flink_job_id": BY_HAND, "template_id": "etl", "submitted_by": 1}, ["/submitted_by"]),
}


@pytest.mark.parametrize(("body", "pointers"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_faulty_request_names_every_field_and_adopts_nothing(
    submit: FunctionServer, world: World, body: Document, pointers: list[str]
) -> None:
    answer = call(submit, path="/jobs/adopt", json=body)
    assert answer.status_code == 400
    assert sorted(fault["pointer"] for fault in problem(answer)["errors"]) == pointers
    assert world.jobs.count_documents({}) == 0


def test_an_adoption_is_signed_where_secrets_are_set(
    sync: FunctionServer, settings: dict[str, str], world: World
) -> None:
    """And its body submits nothing where a job is submitted, nor the other way round."""
    world.flink.jobs.append(running(BY_HAND))
    run_pass(sync)
    body = json.dumps({"flink_job_id": BY_HAND, "template_id": "etl"})
    signed = sign(body, message_id=str(uuid.uuid4()), secret=SECRET, now=datetime.now(UTC))
    headers = {**signed, "Content-Type": "application/json"}
    with FunctionServer("submit", {**settings, "WEBHOOK_SECRETS": SECRET}) as guarded:
        assert adopt(guarded).status_code == 401
        assert call(guarded, content=body, headers=headers).status_code == 400
        assert world.jobs.count_documents({}) == 0
        assert call(guarded, path="/jobs/adopt", content=body, headers=headers).status_code == 201


# --- twins ------------------------------------------------------------------------------------------


def test_a_running_job_with_the_name_of_a_records_is_its_twin(
    sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    """On both sides, while both run in one cluster; a job without a name is no twin."""
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.add_record("nameless_1", **followed(OTHER))
    world.flink.jobs += [
        running(RUNNING_ID, name="nightly"),
        running(BY_HAND, name="nightly"),
        running(OTHER, name=""),
        running(THIRD, name=""),
    ]
    world.batch.jobs.append(running("d" * 32, name="nightly"))
    run_pass(sync)
    twins = {job["flink_job_id"]: job["twin_of"] for job in listed(jobs)["flink_jobs"]}
    assert twins == {BY_HAND: ["runs_1"], THIRD: [], "d" * 32: []}
    [twin] = shown(jobs, "runs_1")["twins"]
    assert (twin["flink_job_id"], twin["name"]) == (BY_HAND, "nightly")
    assert shown(jobs, "nameless_1")["twins"] == []
    assert world.record("runs_1")["status"] == "RUNNING"
    world.flink.jobs[0] = running(RUNNING_ID, name="nightly", state="FINISHED", end=END)
    run_pass(sync)
    assert {tuple(job["twin_of"]) for job in listed(jobs)["flink_jobs"]} == {()}
    assert shown(jobs, "runs_1")["twins"] == []
