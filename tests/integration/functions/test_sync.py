"""The sync function over HTTP: one pass over a small world, and what a pass costs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from doubles.kubernetes.faults import Outcome, RequestFault
from doubles.processes import free_port
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, events_after, problem
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.records import Document, termination_message
from tests.support.scripted_server import html

RUNNING_ID, FINISHED_ID, FAILED_ID, MISSING_ID = "1" * 32, "2" * 32, "3" * 32, "4" * 32
NEW_ID, BATCH_ID, ARCHIVED_ID = "5" * 32, "6" * 32, "7" * 32
SECONDS = 15.0
START = round((datetime.now(UTC) - timedelta(minutes=30)).timestamp()) * 1000
"""Records are submitted an hour ago: these jobs began after them."""
END = START + 17_365
CAUSE = "java.lang.ArithmeticException: / by zero"
REPORT = {
    *("run_id", "started_at", "duration_seconds", "complete", "skipped", "scanned", "unresolved", "resolved"),
    *("changed", "unchanged", "conflicts", "errors", "clusters", "notified"),
}


def at(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def followed(id_: str, **ref: Any) -> Document:
    """Fields of a record whose id was found and confirmed in an earlier pass."""
    known: Document = {
        "id": id_,
        "source": "LOG",
        "confirmed": True,
        "state": "RUNNING",
        "start_time": at(START),
        "end_time": None,
        "failure": None,
        "missing_since": None,
        "missing_passes": 0,
    }
    return {
        "status": "RUNNING",
        "flink_job_id": id_,
        "flink_job_ids": [id_],
        "flink_jobs": [known | ref],
        "flink_state": "RUNNING",
        "submitter_done": True,
        "start_time": at(START),
    }


def run_pass(sync: FunctionServer, **body: Any) -> Document:
    """One pass; its report."""
    answer = call(sync, json=body)
    assert answer.status_code == 200, answer.text
    report: Document = answer.json()
    assert set(report) == REPORT
    return report


def fill(world: World) -> None:
    """A record in every shape, its Kubernetes Job and its Flink job where it has them."""
    world.kubernetes.control.set_outcome(Outcome(message=termination_message(NEW_ID), log="noise\n"))
    submitted = world.create_job("submitted_1")
    world.kubernetes.wait_finished(submitted)
    world.kubernetes.control.set_outcome(
        Outcome(exit_code=31, log="Traceback (most recent call last):\n  File x\nValueError: no such table\n")
    )
    refused = world.create_job("raises_1")
    world.kubernetes.wait_finished(refused)
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    waits = world.create_job("waits_1")
    world.kubernetes.wait_pod(waits)
    world.add_record("submitted_1", k8s_job_name=submitted)
    world.add_record("raises_1", k8s_job_name=refused)
    world.add_record("waits_1", k8s_job_name=waits)
    world.add_record("nowhere_1", k8s_job_name="flink-py-etl-00000000", in_flight_until=at(START))
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.add_record("finishes_1", **followed(FINISHED_ID))
    world.add_record("fails_1", **followed(FAILED_ID))
    world.add_record("missing_1", **followed(MISSING_ID))
    world.add_record("batch_1", cluster="batch", **followed(BATCH_ID))
    world.add_record("archived_1", cluster="batch", **followed(ARCHIVED_ID))
    world.add_record("over_1", **followed(RUNNING_ID) | {"status": "FINISHED"})
    world.add_record("unreadable_1", submitted_at="yesterday")
    world.flink.jobs += [
        Job(id=RUNNING_ID, state="RUNNING", start=START),
        Job(id=NEW_ID, state="RESTARTING", start=START),
        Job(id=FINISHED_ID, state="FINISHED", start=START, end=END),
        Job(id=FAILED_ID, state="FAILED", start=START, end=END, root_exception=f"{CAUSE}\n\tat x"),
    ]
    world.batch.jobs.append(Job(id=BATCH_ID, state="SUSPENDED", start=START))
    world.history.jobs.append(Job(id=ARCHIVED_ID, state="CANCELED", start=START, end=END))


def statuses(world: World) -> dict[str, str]:
    return {document["job_id"]: document["status"] for document in world.jobs.find({})}


# --- a whole pass -----------------------------------------------------------------------------------


def test_a_pass_moves_every_record_as_its_peers_say(sync: FunctionServer, world: World) -> None:
    fill(world)
    report = run_pass(sync)
    assert statuses(world) == {
        "submitted_1": "RUNNING",
        "raises_1": "FAILED",
        "waits_1": "CREATED",
        "nowhere_1": "FAILED",
        "runs_1": "RUNNING",
        "finishes_1": "FINISHED",
        "fails_1": "FAILED",
        "missing_1": "RUNNING",
        "batch_1": "SUSPENDED",
        "archived_1": "CANCELLED",
        "over_1": "FINISHED",
        "unreadable_1": "CREATED",
    }
    changed = {"CANCELLED": 1, "FAILED": 3, "FINISHED": 1, "RUNNING": 2, "SUSPENDED": 1}
    assert report["changed"] == changed
    assert (report["scanned"], report["unchanged"], report["conflicts"]) == (10, 2, 0)
    assert (report["resolved"], report["unresolved"]) == (1, 1)
    assert (report["complete"], report["skipped"]) == (True, False)
    of_records = [(error["job_id"], error["code"]) for error in report["errors"] if error["job_id"]]
    assert of_records == [("unreadable_1", "UNREADABLE_RECORD")]
    assert report["clusters"] == {
        "default": {"reachable": True, "jobs": 4, "unmanaged": 0, "error": None},
        "batch": {"reachable": True, "jobs": 1, "unmanaged": 0, "error": None},
    }


def test_a_pass_writes_what_it_learned(sync: FunctionServer, world: World) -> None:
    fill(world)
    run_pass(sync)
    submitted = world.record("submitted_1")
    assert (submitted["flink_job_id"], submitted["flink_state"]) == (NEW_ID, "RESTARTING")
    assert submitted["flink_jobs"][0]["source"] == "TERMINATION_MESSAGE"
    assert (submitted["start_time"], submitted["end_time"]) == (at(START), None)
    raised = world.record("raises_1")["reason"]
    assert (raised["code"], "ValueError: no such table" in raised["message"]) == ("SUBMIT_FAILED", True)
    assert world.record("nowhere_1")["reason"]["code"] == "K8S_JOB_MISSING"
    finished = world.record("finishes_1")
    assert (finished["start_time"], finished["end_time"]) == (at(START), at(END))
    assert finished["duration"] == 17.365
    failed = world.record("fails_1")
    assert (failed["reason"]["code"], failed["reason"]["message"]) == ("JOB_FAILED", CAUSE)
    assert failed["duration"] == 17.365
    missing = world.record("missing_1")
    assert missing["missing_since"] == missing["updated_at"]
    archived = world.record("archived_1")
    assert (archived["status"], archived["end_time"]) == ("CANCELLED", at(END))


def test_the_report_of_a_pass_is_kept(sync: FunctionServer, world: World) -> None:
    fill(world)
    report = run_pass(sync)
    [kept] = world.database["sync_runs"].find({}, {"_id": 0})
    assert (
        kept["started_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z") == report["started_at"]
    )
    assert kept.pop("whole") is True
    assert {name: value for name, value in kept.items() if name != "started_at"} == {
        name: value for name, value in report.items() if name != "started_at"
    }


def test_a_pass_over_a_few_records_is_kept_as_such(sync: FunctionServer, world: World) -> None:
    """It says nothing of the others, so it makes no lag shorter."""
    run_pass(sync, job_ids=["unknown"])
    [kept] = world.database["sync_runs"].find({})
    assert (kept["complete"], kept["whole"]) == (True, False)


def test_only_the_asked_for_records_are_looked_at(sync: FunctionServer, world: World) -> None:
    fill(world)
    report = run_pass(sync, job_ids=["finishes_1", "over_1", "unknown"])
    assert (report["scanned"], report["changed"]) == (1, {"FINISHED": 1})
    assert statuses(world)["fails_1"] == "RUNNING"


@pytest.mark.parametrize("job_ids", ["etl_1", [1], {"a": 1}, 5, ["\ud800"]])
def test_job_ids_that_are_none_are_refused(sync: FunctionServer, job_ids: Any) -> None:
    answer = call(sync, content=json.dumps({"job_ids": job_ids}))
    assert answer.status_code == 400
    assert problem(answer)["errors"] == [{"pointer": "/job_ids", "detail": "must be an array of strings"}]


def test_the_log_has_an_event_of_each_move_and_of_the_whole_pass(sync: FunctionServer, world: World) -> None:
    fill(world)
    before = sync.process.lines_printed
    report = run_pass(sync)
    events = events_after(sync, before, last="sync.pass")
    moved = {event["job_id"]: event["status"] for event in events if event["message"] == "job.moved"}
    assert moved == {
        "submitted_1": "RUNNING",
        "raises_1": "FAILED",
        "nowhere_1": "FAILED",
        "finishes_1": "FINISHED",
        "fails_1": "FAILED",
        "batch_1": "SUSPENDED",
        "archived_1": "CANCELLED",
    }
    [passed] = [event for event in events if event["message"] == "sync.pass"]
    assert (passed["run_id"], passed["whole"]) == (report["run_id"], True)


def create_old_job(
    world: World, name: str, outcome: Outcome, *, labels: Mapping[str, str] = MappingProxyType({})
) -> None:
    """A Kubernetes Job as the platform before this one made it, which has ended so."""
    world.kubernetes.control.set_outcome(outcome)
    app = {"app": "flink-python-job"}
    container = {"name": "flink", "image": "flink:1.17", "command": ["flink", "run", "-py", "a.py"]}
    pod = {"metadata": {"labels": app}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    world.kubernetes.create(
        "jobs",
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": {**app, **labels}},
            "spec": {"template": pod, "backoffLimit": 0},
        },
    )
    world.kubernetes.wait_finished(name)


@pytest.mark.parametrize("labelled", ["neither", "only the Job"])
def test_the_pods_of_a_job_are_read_with_or_without_our_labels(
    labelled: str, sync: FunctionServer, world: World
) -> None:
    """Of the platform before this one only the label `app` is known; `job-name` is Kubernetes' own."""
    create_old_job(
        world,
        "old-etl",
        Outcome(log=f"Job has been submitted with JobID {NEW_ID}\n"),
        labels={"job-id": "etl_1"} if labelled == "only the Job" else {},
    )
    world.add_record("etl_1", k8s_job_name="old-etl")
    world.flink.jobs.append(Job(id=NEW_ID, state="RUNNING", start=START))
    run_pass(sync)
    moved = world.record("etl_1")
    assert (moved["status"], moved["flink_job_id"], moved["reason"]) == ("RUNNING", NEW_ID, None)


def test_a_job_of_the_records_name_is_followed_while_its_submitter_runs_and_has_printed_no_id(
    sync: FunctionServer, world: World
) -> None:
    """The log of a pod may be rotated before the line with the id is read."""
    world.kubernetes.control.set_outcome(Outcome(seconds=600, log="loading\n"))
    name = world.create_job("etl_1")
    world.kubernetes.wait_running(name)
    world.add_record("etl_1", k8s_job_name=name)
    world.flink.jobs.append(Job(id=NEW_ID, state="RUNNING", name="etl_1"))
    run_pass(sync)
    record = world.record("etl_1")
    assert (record["status"], record["flink_job_id"], record["reason"]) == ("RUNNING", NEW_ID, None)
    assert record["flink_jobs"][0]["source"] == "JOB_NAME"


def test_a_submitter_that_has_ended_is_over_although_a_sidecar_keeps_its_pod_running(
    sync: FunctionServer, world: World
) -> None:
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    name = world.create_job("etl_1", sidecars=[{"name": "proxy", "image": "flink:1.20"}])
    world.end_submit_container(world.kubernetes.wait_running(name), FINISHED_ID)
    world.add_record("etl_1", k8s_job_name=name)
    world.flink.jobs.append(Job(id=FINISHED_ID, state="FINISHED", start=START, end=END))
    run_pass(sync)
    assert world.kubernetes.wait_pod(name)["status"]["phase"] == "Running"
    record = world.record("etl_1")
    assert (record["status"], record["flink_job_id"]) == ("FINISHED", FINISHED_ID)


def test_an_id_that_another_record_has_is_not_followed(sync: FunctionServer, world: World) -> None:
    """A script may print any line."""
    world.kubernetes.control.set_outcome(Outcome(message=termination_message(RUNNING_ID, NEW_ID)))
    name = world.create_job("etl_1")
    world.kubernetes.wait_finished(name)
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.add_record("etl_1", k8s_job_name=name)
    world.flink.jobs += [Job(id=RUNNING_ID, state="FAILED", end=END), Job(id=NEW_ID, state="RUNNING")]
    run_pass(sync)
    assert statuses(world) == {"runs_1": "FAILED", "etl_1": "RUNNING"}
    record = world.record("etl_1")
    assert (record["flink_job_ids"], record["dropped_ids"]) == ([NEW_ID], [RUNNING_ID])


def test_a_submitter_that_was_killed_is_lost_after_three_passes_and_found_again_by_its_name(
    sync: FunctionServer, world: World
) -> None:
    world.kubernetes.control.set_outcome(Outcome(exit_code=137, log="submitting\n"))
    name = world.create_job("etl_1")
    world.kubernetes.wait_finished(name)
    world.add_record("etl_1", k8s_job_name=name)
    seen = []
    for _ in range(3):
        run_pass(sync)
        record = world.record("etl_1")
        seen.append((record["status"], record["reason"]["code"]))
        two_minutes_ago = record["missing_since"] - timedelta(seconds=120)
        world.jobs.update_one({"job_id": "etl_1"}, {"$set": {"missing_since": two_minutes_ago}})
    assert seen == [*[("CREATED", "OUTCOME_UNKNOWN")] * 2, ("LOST", "OUTCOME_UNKNOWN")]
    world.flink.jobs.append(Job(id=NEW_ID, state="RUNNING", name="etl_1"))
    run_pass(sync)
    found = world.record("etl_1")
    assert (found["status"], found["flink_job_id"], found["reason"]) == ("RUNNING", NEW_ID, None)


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ([Job(id=RUNNING_ID, state="RUNNING", start=START)], [RUNNING_ID]),
        ([Job(id=RUNNING_ID, state="FINISHED", start=START, end=END)], [RUNNING_ID, NEW_ID]),
        ([], [RUNNING_ID, NEW_ID]),
    ],
    ids=["goes on", "is over", "is missing"],
)
def test_a_running_submitter_is_read_again_in_the_pass_in_which_its_first_job_goes_on_no_more(
    first: list[Job], found: list[str], sync: FunctionServer, world: World
) -> None:
    """A script that waits for its jobs prints the next id when one of them is over, and not before."""
    printed = [f"Job has been submitted with JobID {flink_job_id}\n" for flink_job_id in (RUNNING_ID, NEW_ID)]
    world.kubernetes.control.set_outcome(Outcome(seconds=600, log="".join(printed)))
    name = world.create_job("etl_1")
    world.kubernetes.wait_running(name)
    world.add_record("etl_1", **followed(RUNNING_ID) | {"k8s_job_name": name, "submitter_done": False})
    world.flink.jobs += [*first, Job(id=NEW_ID, state="RUNNING", start=START)]
    run_pass(sync)
    record = world.record("etl_1")
    assert (record["flink_job_ids"], record["status"]) == (found, "RUNNING")


@pytest.fixture
def no_unique_job_id(world: World) -> Iterator[None]:
    """The collection as it is while a job id occurs twice: the unique index cannot be made."""
    there = world.jobs.index_information()
    unique = {name: index for name, index in there.items() if index["key"] == [("job_id", 1)]}
    for name in unique:
        world.jobs.drop_index(name)
    yield
    world.jobs.delete_many({})
    for name, index in unique.items():
        world.jobs.create_index(index["key"], name=name, unique=True)


@pytest.mark.usefixtures("no_unique_job_id")
def test_two_documents_of_one_job_id_are_each_written_by_their_own_submitter(
    sync: FunctionServer, world: World
) -> None:
    """The platform before this one made job ids by the second, and no unique index."""
    create_old_job(world, "old-a", Outcome(log=f"Job has been submitted with JobID {NEW_ID}\n"))
    create_old_job(world, "old-b", Outcome(exit_code=31, log="Traceback\nValueError: no such table\n"))
    for name in ("old-b", "old-a"):
        world.add_record("etl_1", k8s_job_name=name)
        world.jobs.update_one({"k8s_job_name": name}, {"$unset": {"revision": ""}})
    world.flink.jobs.append(Job(id=NEW_ID, state="RUNNING", start=START))
    run_pass(sync)
    found = {document["k8s_job_name"]: document for document in world.jobs.find({})}
    assert (found["old-a"]["status"], found["old-a"]["flink_job_id"]) == ("RUNNING", NEW_ID)
    assert (found["old-b"]["status"], found["old-b"]["flink_job_id"]) == ("FAILED", None)


@pytest.fixture
def no_failure(world: World) -> Iterator[None]:
    """A rule of the collection, as an administrator may have made it: no record may become FAILED."""
    world.database.command("collMod", "flink_jobs", validator={"status": {"$ne": "FAILED"}})
    yield
    world.database.command("collMod", "flink_jobs", validator={})


@pytest.mark.usefixtures("no_failure")
def test_a_record_that_the_database_refuses_does_not_stop_the_others(
    sync: FunctionServer, world: World
) -> None:
    fill(world)
    report = run_pass(sync)
    assert report["changed"] == {"CANCELLED": 1, "FINISHED": 1, "RUNNING": 2, "SUSPENDED": 1}
    assert (report["scanned"], report["conflicts"], report["complete"]) == (10, 0, True)
    refused = {error["job_id"]: error["message"] for error in report["errors"] if "REFUSED" in error["code"]}
    assert sorted(refused) == ["fails_1", "nowhere_1", "raises_1"]
    assert refused["fails_1"] == "MongoDB refused the write: Document failed validation"
    assert statuses(world)["fails_1"] == "RUNNING"


# --- what a pass costs ------------------------------------------------------------------------------


@contextmanager
def commands(world: World) -> Iterator[Counter[tuple[str, str]]]:
    """What the MongoDB server itself did inside the block: (operation, collection) and how often."""
    seen: Counter[tuple[str, str]] = Counter()
    world.database.drop_collection("system.profile")
    world.database.command("profile", 2)
    try:
        yield seen
    finally:
        world.database.command("profile", 0)
    for entry in world.database["system.profile"].find({"ns": {"$not": {"$regex": r"system\.profile$"}}}):
        seen[entry["op"], entry["ns"].partition(".")[2]] += 1


QUERIES = 6
"""Of any pass: the fingerprints of the three open statuses, the records without a fingerprint, those with an
open action, and, without channels, those whose marks of delivery are old."""


def test_an_unchanged_pass_writes_no_record_and_asks_each_peer_once(
    sync: FunctionServer, world: World
) -> None:
    for number in range(50):
        flink_job_id = f"{number:032x}"
        world.add_record(f"runs_{number}", **followed(flink_job_id))
        world.flink.jobs.append(Job(id=flink_job_id, state="RUNNING", start=START))
    run_pass(sync)
    before = list(world.jobs.find({}))
    for server in (world.flink, world.batch, world.history):
        server.asked.clear()
    world.kubernetes.control.reset_requests()
    with commands(world) as seen:
        report = run_pass(sync)
    assert (report["scanned"], report["unchanged"], report["changed"]) == (50, 50, {})
    assert {what: times for what, times in seen.items() if what[1] == "flink_jobs"} == {
        ("query", "flink_jobs"): QUERIES
    }
    assert seen["insert", "sync_runs"] == 1
    assert {collection for _, collection in seen} <= {
        "flink_jobs",
        "sync_runs",
        "leases",
        "clusters",
        "channels",
        "health_marks",
        "unmanaged_jobs",
    }
    assert world.flink.paths == ["/jobs/overview"]
    assert world.batch.paths == ["/jobs/overview"]
    assert world.history.paths == []
    assert world.kubernetes.requests() == {}
    assert list(world.jobs.find({})) == before


def test_many_changes_are_one_write(sync: FunctionServer, world: World) -> None:
    for number in range(50):
        flink_job_id = f"{number:032x}"
        world.add_record(f"runs_{number}", **followed(flink_job_id))
        world.flink.jobs.append(Job(id=flink_job_id, state="FINISHED", start=START, end=END))
    with commands(world) as seen:
        report = run_pass(sync)
    assert report["changed"] == {"FINISHED": 50}
    assert seen[("query", "flink_jobs")] == QUERIES
    assert world.flink.paths == ["/jobs/overview"]


# --- peers that are away ----------------------------------------------------------------------------


def test_a_dead_cluster_does_not_stop_the_others(
    settings: Mapping[str, str], history: FlinkServer, world: World
) -> None:
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.add_record("batch_1", cluster="batch", **followed(FINISHED_ID))
    world.add_record("gone_1", cluster="gone", **followed(FAILED_ID))
    world.batch.jobs.append(Job(id=FINISHED_ID, state="FINISHED", start=START, end=END))
    clusters = {
        "batch": {"rest_url": world.batch.url, "history_url": history.url},
        "dead": {"rest_url": f"http://127.0.0.1:{free_port()}"},
    }
    world.flink.answers[""] = html(502)
    with FunctionServer("sync", {**settings, "FLINK_CLUSTERS": json.dumps(clusters)}) as server:
        report = run_pass(server)
    assert statuses(world) == {"runs_1": "RUNNING", "batch_1": "FINISHED", "gone_1": "RUNNING"}
    assert report["clusters"]["batch"] == {"reachable": True, "jobs": 1, "unmanaged": 0, "error": None}
    assert report["clusters"]["default"]["reachable"] is False
    assert "502" in report["clusters"]["default"]["error"]
    assert report["clusters"]["dead"]["reachable"] is False
    assert "Connection refused" in report["clusters"]["dead"]["error"]
    assert world.record("runs_1")["revision"] == 0


@dataclass(frozen=True, slots=True)
class Away:
    """A way in which Kubernetes cannot be asked, and a word of the error."""

    fault: RequestFault
    word: str


@pytest.mark.parametrize(
    "away",
    [
        Away(RequestFault(effect="status", status=500), "500 InternalError"),
        Away(RequestFault(effect="status", status=403), "403 Forbidden"),
        Away(RequestFault(effect="malformed"), "the answer is no JSON"),
        Away(RequestFault(effect="drop"), "Error"),
    ],
)
def test_without_kubernetes_the_records_with_ids_are_still_followed(
    away: Away, sync: FunctionServer, world: World
) -> None:
    fill(world)
    with world.kubernetes.control.fault(away.fault):
        report = run_pass(sync)
    left = {"submitted_1": "CREATED", "raises_1": "CREATED", "waits_1": "CREATED", "nowhere_1": "CREATED"}
    assert statuses(world).items() >= left.items()
    assert statuses(world)["finishes_1"] == "FINISHED"
    [error] = [error for error in report["errors"] if error["code"] == "KUBERNETES_UNAVAILABLE"]
    assert error["job_id"] is None
    assert away.word in error["message"]
    assert run_pass(sync)["changed"]["FAILED"] == 2


def test_a_pass_that_no_peer_answers_is_a_503(settings: Mapping[str, str], world: World) -> None:
    world.add_record("waits_1", k8s_job_name="flink-py-etl-00000000")
    lonely = {**settings, "FLINK_REST_URL": f"http://127.0.0.1:{free_port()}", "FLINK_CLUSTERS": ""}
    down = RequestFault(effect="status", status=503)
    with FunctionServer("sync", lonely) as server, world.kubernetes.control.fault(down):
        answer = call(server)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert problem(answer)["code"] == "NOTHING_REACHABLE"
    assert statuses(world) == {"waits_1": "CREATED"}
