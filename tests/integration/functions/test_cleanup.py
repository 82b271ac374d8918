"""The cleanup function over HTTP: what goes, what stays and why."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doubles.kubernetes.faults import FinishedJobs, Outcome, RequestFault
from doubles.processes import free_port
from flinkjobs.submit.manifest import config_map_manifest
from flinkjobs.submit.submission import InlineScript
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, events_after, problem
from tests.support.flink_rest_server import Job
from tests.support.records import Document, termination_message
from tests.support.waiting import until

HOUR = 3600.0
CONTRACT = {"dry_run", "complete", "scanned", "deleted", "names", "kept", "errors", "oldest_kept_hours"}
REPORT = CONTRACT | {
    *("run_id", "started_at", "duration_seconds", "skipped", "gone", "harvested", "logs_saved", "orphans"),
    "records",
}
VARYING = ("run_id", "started_at", "duration_seconds", "oldest_kept_hours", "dry_run")
NO_ORPHANS = {"found": 0, "deleted": 0, "gone": 0, "names": [], "kept": {}}
SUBMITTED = "Job has been submitted with JobID"
GOES = ["old-failed", "old-finished", "old-running", "very-old-no-record", "very-old-unsettled"]
KEPT = {
    "active": 1,
    "foreign": 1,
    "no_record": 1,
    "suspended": 1,
    "unsettled": 1,
    "young": 1,
}


def add_finished(world: World, name: str, *, hours: float, **fields: Any) -> None:
    """A finished Job whose job id is its name, with a pod."""
    known: Document = {
        "labels": {"app": "flink-python-job", "job-id": name},
        "annotations": {"flinkjobs/job-id": name},
        "log": "x\n",
    }
    wanted = FinishedJobs(count=1, name=name, age_seconds=hours * HOUR, **known | fields)
    assert world.kubernetes.control.add_finished_jobs(wanted) == 1


def fill(world: World) -> None:
    """A Job for every reason to go or to stay."""
    add_finished(world, "old-finished", hours=25)
    world.add_record("old-finished", status="FINISHED")
    add_finished(world, "old-failed", hours=30, failed=True)
    world.add_record("old-failed", status="FAILED")
    add_finished(world, "old-running", hours=26)
    world.add_record("old-running", status="RUNNING", flink_job_id="1" * 32, submitter_done=True)
    add_finished(world, "very-old-unsettled", hours=169)
    world.add_record("very-old-unsettled")
    add_finished(world, "very-old-no-record", hours=170)
    add_finished(world, "young", hours=23)
    world.add_record("young", status="FINISHED")
    add_finished(world, "unsettled", hours=48)
    world.add_record("unsettled")
    add_finished(world, "no-record", hours=100)
    add_finished(world, "foreign", hours=1000, annotations={})
    add_finished(world, "other-app", hours=1000, labels={"app": "other"})
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    world.add_record("active_1", k8s_job_name=world.create_job("active_1"))
    world.add_record("suspended_1", k8s_job_name=world.create_job("suspended_1", suspend=True))


def run_cleanup(cleanup: FunctionServer, **request: Any) -> Document:
    answer = call(cleanup, **request)
    assert answer.status_code == 200, answer.text
    report: Document = answer.json()
    assert set(report) == REPORT
    return report


def test_what_may_go_goes_with_its_pods_and_the_rest_stays(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    jobs, pods = world.kubernetes.names("jobs"), len(world.kubernetes.names("pods"))
    report = run_cleanup(cleanup)
    assert sorted(report["names"]) == GOES
    assert report["kept"] == KEPT
    assert (report["deleted"], report["scanned"]) == (5, 11)
    assert (report["dry_run"], report["complete"], report["errors"]) == (False, True, [])
    assert (report["gone"], report["skipped"], report["orphans"]) == (0, False, NO_ORPHANS)
    assert report["oldest_kept_hours"] == pytest.approx(1000, abs=0.1)
    assert world.kubernetes.names("jobs") == jobs - set(GOES)
    until(lambda: len(world.kubernetes.names("pods")) == pods - 5, timeout_seconds=10, what="their pods gone")


def test_a_job_that_only_a_sidecar_keeps_active_goes(cleanup: FunctionServer, world: World) -> None:
    """The record alone is no proof: the submit container must have ended, too."""
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    names = {}
    for job_id in ("ended_1", "runs_1"):
        names[job_id] = world.create_job(job_id, sidecars=[{"name": "proxy", "image": "flink:1.20"}])
        known = {"status": "RUNNING", "flink_job_id": job_id[0] * 32, "submitter_done": True}
        world.add_record(job_id, k8s_job_name=names[job_id], updated_at=two_days_ago, **known)
        pod = world.kubernetes.wait_running(names[job_id])
        if job_id == "ended_1":
            world.end_submit_container(pod, "e" * 32)
    report = run_cleanup(cleanup)
    assert (report["names"], report["kept"]) == ([names["ended_1"]], {"active": 1})
    assert world.kubernetes.names("jobs") == {names["runs_1"]}


def everything(world: World) -> Document:
    """Every object and every document there is."""
    kinds = ("jobs", "pods", "configmaps")
    found: Document = {kind: world.kubernetes.items(kind) for kind in kinds}
    for name in world.database.list_collection_names():
        found[name] = list(world.database[name].find().sort("_id"))
    return found


def steady(report: Document) -> Document:
    """A report without what differs from run to run."""
    return {name: value for name, value in report.items() if name not in VARYING}


@pytest.mark.parametrize(
    "request_", [{"params": {"dry_run": "true"}}, {"json": {"dry_run": True}}], ids=["query", "body"]
)
def test_a_dry_run_says_what_the_real_run_then_does_and_writes_nothing(
    request_: Document, cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    add_harvestable(world, "harvest")
    add_harvestable(world, "no-job", message=termination_message())
    add_harvestable(world, "log-gone", log="", with_pods=False)
    before = everything(world)
    world.kubernetes.control.reset_requests()
    plan = run_cleanup(cleanup, **request_)
    assert {request.split()[0] for request in world.kubernetes.requests()} == {"list", "get"}
    assert everything(world) == before
    assert plan["dry_run"] is True
    done = run_cleanup(cleanup)
    assert done["dry_run"] is False
    assert sorted(done["names"]) == sorted([*GOES, "harvest", "no-job"])
    assert (done["harvested"], done["logs_saved"]) == (2, len(GOES) - 1 + 2), "of no record none is saved"
    assert steady(plan) == steady(done)


def test_a_second_run_finds_nothing_more(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    run_cleanup(cleanup)
    again = run_cleanup(cleanup)
    assert (again["deleted"], again["kept"]) == (0, KEPT)


def add_script(world: World, job_id: str, job_name: str, job_uid: str | None) -> None:
    """The ConfigMap of a submission as submit makes it, but without an owner where no uid is given."""
    manifest = config_map_manifest(
        InlineScript("x"), job_id, namespace="lemo-dev", job_name=job_name, job_uid=job_uid or ""
    )
    if job_uid is None:
        del manifest["metadata"]["ownerReferences"]
    world.kubernetes.create("configmaps", manifest)


def test_a_script_goes_with_its_job(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    job = world.kubernetes.get("jobs", "old")
    assert job is not None
    add_script(world, "old", "old", job["metadata"]["uid"])
    assert run_cleanup(cleanup)["orphans"] == NO_ORPHANS
    until(world.kubernetes.is_empty, timeout_seconds=10, what="Job, pod and ConfigMap gone")


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({"params": {"dry_run": "yes"}}, "query:dry_run"),
        ({"params": {"dry_run": ""}}, "query:dry_run"),
        ({"json": {"dry_run": "true"}}, "/dry_run"),
        ({"json": {"dry_run": 1}}, "/dry_run"),
        ({"json": {"dryRun": True}}, "/dryRun"),
    ],
)
def test_a_dry_run_that_is_misspelt_deletes_nothing(
    request_: Document, pointer: str, cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    jobs = world.kubernetes.names("jobs")
    answer = call(cleanup, **request_)
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in problem(answer)["errors"]] == [pointer]
    assert world.kubernetes.names("jobs") == jobs


def test_a_deletion_that_fails_is_not_counted(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    fault = RequestFault(effect="status", status=403, verb="delete", path="/old-finished")
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert report["deleted"] == 4
    assert "old-finished" not in report["names"]
    assert report["kept"] == {**KEPT, "error": 1}
    assert report["complete"] is False
    [error] = report["errors"]
    assert (error["job_id"], error["code"]) == ("old-finished", "KUBERNETES_REFUSED")
    assert "403 Forbidden" in error["message"]
    assert run_cleanup(cleanup)["names"] == ["old-finished"]


def test_a_job_replaced_during_a_run_is_left_alone(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    fault = RequestFault(effect="status", status=409, verb="delete", path="/old-finished")
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"]["changed"], report["errors"]) == (4, 1, [])


def test_a_job_that_is_gone_already_is_done_but_not_counted_as_deleted(
    cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    fault = RequestFault(effect="status", status=404, verb="delete", path="/old-finished")
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert (report["deleted"], report["gone"], report["errors"]) == (4, 1, [])
    assert (report["kept"], report["complete"]) == (KEPT, True)


def test_a_job_that_a_finalizer_holds_counts_once_it_is_gone(cleanup: FunctionServer, world: World) -> None:
    for name in ("held", "old"):
        add_finished(world, name, hours=25)
        world.add_record(name, status="FINISHED")
    world.kubernetes.patch("jobs", "held", {"metadata": {"finalizers": ["example.com/audit"]}})
    for names in (["old"], []):
        report = run_cleanup(cleanup)
        assert (report["names"], report["deleted"], report["kept"]) == (names, len(names), {"deleting": 1})
    assert world.kubernetes.names("jobs") == {"held"}
    world.kubernetes.patch("jobs", "held", {"metadata": {"finalizers": None}})
    until(lambda: not world.kubernetes.names("jobs"), timeout_seconds=10, what="it is gone")


# --- between the plan and the deletion --------------------------------------------------------------


@contextmanager
def between_plan_and_deletion(cleanup: FunctionServer, world: World, seen: Document) -> Iterator[None]:
    """Inside the block a run knows what it will do, and has deleted nothing; afterwards `seen` is its report.

    It reads the log of a Job of its own by then, which takes a while.
    """
    add_harvestable(world, "slow")
    slow_log = RequestFault(effect="delay", seconds=1.5, resource="pods/log", times=1)
    with ThreadPoolExecutor() as threads, world.kubernetes.control.fault(slow_log):
        running = threads.submit(run_cleanup, cleanup)
        until(
            lambda: any(active.hits for active in world.kubernetes.control.faults()),
            timeout_seconds=10,
            what="the plan is made",
        )
        yield
        assert not running.done()
        seen.update(running.result())
    assert seen["names"][0] == "slow"
    seen["names"] = seen["names"][1:]


def test_a_job_that_was_deleted_and_created_again_survives(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=25)
    add_finished(world, "other", hours=26)
    world.add_record("old", status="FINISHED")
    world.add_record("other", status="FINISHED")
    before = world.kubernetes.get("jobs", "old")
    report: Document = {}
    with between_plan_and_deletion(cleanup, world, report):
        world.kubernetes.remove("jobs", "old")
        add_finished(world, "old", hours=25)
    after = world.kubernetes.get("jobs", "old")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (report["names"], report["kept"], report["errors"]) == (["other"], {"changed": 1}, [])


def test_a_job_that_was_changed_is_looked_at_again_first(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    report: Document = {}
    with between_plan_and_deletion(cleanup, world, report):
        world.kubernetes.patch("jobs", "old", {"metadata": {"annotations": {"keep": "please"}}})
    assert (report["names"], report["kept"]) == ([], {"changed": 1})
    assert run_cleanup(cleanup)["names"] == ["old"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"$set": {"status": "CREATED"}}, "changed"),
        ({"$set": {"k8s_job_name": "another"}}, "no_record"),
        (None, "changed"),
    ],
    ids=["unsettled again", "follows another Job", "gone"],
)
def test_a_record_is_read_again_right_before_the_deletion(
    change: Document | None, reason: str, cleanup: FunctionServer, world: World
) -> None:
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    report: Document = {}
    with between_plan_and_deletion(cleanup, world, report):
        if change is None:
            world.jobs.delete_one({"job_id": "old"})
        else:
            world.jobs.update_one({"job_id": "old"}, change)
    assert (report["names"], report["kept"]) == ([], {reason: 1})
    assert world.kubernetes.names("jobs") == {"old"}


def test_two_runs_at_once_are_one(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    report: Document = {}
    with between_plan_and_deletion(cleanup, world, report):
        second = run_cleanup(cleanup)
        assert (second["skipped"], second["complete"], second["scanned"], second["deleted"]) == (
            *(True, False, 0, 0),
        )
        assert run_cleanup(cleanup, json={"dry_run": True})["names"] == ["slow", "old"]
    assert (report["skipped"], report["names"]) == (False, ["old"])


def test_a_run_deletes_the_oldest_first_up_to_its_limit(settings: Mapping[str, str], world: World) -> None:
    fill(world)
    with FunctionServer("cleanup", {**settings, "CLEANUP_MAX_DELETIONS": "2"}) as server:
        report = run_cleanup(server)
        assert report["names"] == ["very-old-no-record", "very-old-unsettled"]
        assert (report["kept"]["over_limit"], report["complete"]) == (3, False)
        assert run_cleanup(server)["names"] == ["old-failed", "old-running"]
        last = run_cleanup(server)
        assert (last["names"], last["complete"]) == (["old-finished"], True)


def test_more_jobs_than_a_page_are_deleted(cleanup: FunctionServer, world: World) -> None:
    wanted = FinishedJobs(
        count=620, name="old-{index}", age_seconds=25 * HOUR, annotations={"flinkjobs/job-id": "{name}"}
    )
    world.kubernetes.control.add_finished_jobs(wanted)
    world.jobs.insert_many([{"job_id": f"old-{number}", "status": "FINISHED"} for number in range(620)])
    report = run_cleanup(cleanup)
    assert (report["deleted"], len(report["names"]), report["kept"]) == (620, 100, {})
    until(world.kubernetes.is_empty, timeout_seconds=15, what="all Jobs and pods gone")


def test_a_record_that_cannot_be_read_keeps_its_job(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "odd", hours=48)
    world.jobs.insert_one({"job_id": "odd", "status": "SLEEPING"})
    report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"]) == (0, {"unsettled": 1})


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (RequestFault(effect="status", status=500, verb="list"), 503, "KUBERNETES_UNAVAILABLE"),
        (RequestFault(effect="status", status=403, verb="list"), 502, "KUBERNETES_REFUSED"),
        (RequestFault(effect="malformed", verb="list"), 503, "KUBERNETES_UNAVAILABLE"),
    ],
)
def test_without_a_list_nothing_is_deleted(
    fault: RequestFault, status: int, code: str, cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    jobs = world.kubernetes.names("jobs")
    with world.kubernetes.control.fault(fault):
        answer = call(cleanup)
    assert answer.status_code == status
    assert problem(answer)["code"] == code
    assert ("retry-after" in answer.headers) == (status == 503)
    assert world.kubernetes.names("jobs") == jobs


def test_the_log_has_an_event_of_the_run(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    before = cleanup.process.lines_printed
    report = run_cleanup(cleanup)
    events = events_after(cleanup, before, last="cleanup.run")
    [ran] = [event for event in events if event["message"] == "cleanup.run"]
    assert ran["names"] == report["names"]
    [unknown] = [event for event in events if event["message"] == "cleanup.without_record"]
    assert (unknown["job_id"], unknown["severity"]) == ("very-old-no-record", "WARNING")


def test_a_run_is_kept_and_a_dry_one_is_not(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    run_cleanup(cleanup, json={"dry_run": True})
    report = run_cleanup(cleanup)
    [kept] = world.database["cleanup_runs"].find({}, {"_id": 0})
    assert isinstance(kept["started_at"], datetime)
    assert abs(kept["started_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert {**kept, "started_at": None} == {**report, "started_at": None}


def test_a_run_sums_the_days_that_have_changed_and_a_dry_one_does_not(
    cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    long_ago = datetime(2025, 11, 1, 12, tzinfo=UTC)
    world.add_record("old_1", status="FINISHED", submitted_at=long_ago, duration=2.0)
    world.add_record("open_1", status="RUNNING", submitted_at=long_ago)
    sums = world.database["job_stats"]
    run_cleanup(cleanup, json={"dry_run": True})
    assert sums.count_documents({}) == 0
    run_cleanup(cleanup)
    day = sums.find_one({"_id": datetime(2025, 11, 1, tzinfo=UTC)})
    assert day is not None
    assert ([row["count"] for row in day["rows"]], len(day["apart"])) == ([1], 1)
    whole = sums.find_one({"_id": "before"})
    assert whole is not None
    assert whole["apart"] == day["apart"]


# --- what the record still lacks --------------------------------------------------------------------

FLINK_JOB_ID = "3e" * 16


def read_log(record: Document) -> str:
    return zlib.decompress(record["submitter_log"]["zlib"]).decode()


def add_harvestable(world: World, name: str, *, hours: float = 48, **fields: Any) -> None:
    """A finished Job of an open record that names it; its log holds an id unless it says otherwise."""
    add_finished(world, name, hours=hours, **{"log": f"{SUBMITTED} {FLINK_JOB_ID}\n"} | fields)
    world.add_record(name, k8s_job_name=name)


def test_an_id_that_was_not_read_is_read_and_then_the_job_goes(cleanup: FunctionServer, world: World) -> None:
    add_harvestable(world, "old")
    report = run_cleanup(cleanup)
    assert (report["names"], report["harvested"], report["kept"]) == (["old"], 1, {})
    record = world.record("old")
    assert (record["flink_job_id"], record["submitter_done"]) == (FLINK_JOB_ID, True)
    assert (read_log(record), report["logs_saved"]) == (f"{SUBMITTED} {FLINK_JOB_ID}\n", 1)


@pytest.fixture
def twins(world: World) -> Iterator[World]:
    """A collection of the old platform, in which two documents may have one job id."""
    had_unique = "job_id_1" in world.jobs.index_information()
    if had_unique:
        world.jobs.drop_index("job_id_1")
    yield world
    world.jobs.delete_many({})
    if had_unique:
        world.jobs.create_index("job_id", unique=True)


@pytest.mark.parametrize(
    "names", [(1, 2), ({"n": 1}, {"n": 2})], ids=["plain names", "names that are documents"]
)
@pytest.mark.parametrize("statuses", [("FINISHED", "CREATED"), ("CREATED", "FINISHED")])
def test_of_two_documents_of_one_job_id_the_one_that_still_lacks_its_id_gets_it_first(
    statuses: tuple[str, str], names: tuple[Any, Any], cleanup: FunctionServer, twins: World
) -> None:
    add_finished(twins, "twin", hours=48, log=f"{SUBMITTED} {FLINK_JOB_ID}\n")
    for name, status in zip(names, statuses, strict=True):
        twins.add_record("twin", _id=name, status=status, k8s_job_name="twin")
    plan = run_cleanup(cleanup, json={"dry_run": True})
    report = run_cleanup(cleanup)
    assert (report["names"], report["harvested"], report["kept"]) == (["twin"], 1, {})
    assert steady(plan) == steady(report)
    found = {each["status"]: each.get("flink_job_id") for each in twins.jobs.find({"job_id": "twin"})}
    assert found == {"FINISHED": None, "CREATED": FLINK_JOB_ID}


def test_two_documents_of_one_job_id_keep_the_job_until_both_are_settled(
    cleanup: FunctionServer, twins: World
) -> None:
    add_finished(twins, "twin", hours=48)
    twins.add_record("twin", status="FINISHED", k8s_job_name="twin")
    twins.add_record("twin", k8s_job_name=None)  # it names no Job, so that no look can settle it
    assert run_cleanup(cleanup, json={"dry_run": True})["kept"] == {"unsettled": 1}
    assert run_cleanup(cleanup)["kept"] == {"unsettled": 1}
    assert twins.kubernetes.names("jobs") == {"twin"}


@pytest.mark.parametrize("configured", [True, False], ids=["away", "not configured"])
def test_without_flink_the_id_is_stored_and_the_status_stays(
    configured: bool, settings: Mapping[str, str], world: World
) -> None:
    add_harvestable(world, "old", message=termination_message(FLINK_JOB_ID))
    flink = {"FLINK_REST_URL": f"http://127.0.0.1:{free_port()}"} if configured else {}
    without = {name: value for name, value in settings.items() if not name.startswith("FLINK_")}
    with FunctionServer("cleanup", {**without, **flink}) as server:
        report = run_cleanup(server)
    assert (report["names"], report["harvested"], report["errors"]) == (["old"], 1, [])
    record = world.record("old")
    assert (record["flink_job_id"], record["status"], record["reason"]) == (FLINK_JOB_ID, "CREATED", None)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"message": termination_message()}, "FAILED", "NO_JOB_SUBMITTED"),
        ({"log": "KeyError: 'x'\n", "failed": True}, "FAILED", "SUBMIT_FAILED"),
    ],
    ids=["submitted nothing", "failed"],
)
def test_a_failure_that_was_not_recorded_is_recorded_and_then_the_job_goes(
    fields: Document, status: str, code: str, cleanup: FunctionServer, world: World
) -> None:
    add_harvestable(world, "old", **fields)
    assert run_cleanup(cleanup)["names"] == ["old"]
    record = world.record("old")
    assert (record["status"], record["reason"]["code"]) == (status, code)


def test_a_job_whose_output_is_gone_stays_until_flink_shows_a_job_of_its_name(
    cleanup: FunctionServer, world: World
) -> None:
    add_harvestable(world, "old", log="", with_pods=False)
    assert run_cleanup(cleanup)["kept"] == {"unsettled": 1}
    waiting = world.record("old")
    assert (waiting["status"], waiting["reason"]["code"]) == ("CREATED", "OUTCOME_UNKNOWN")
    world.flink.jobs.append(Job(FLINK_JOB_ID, "RUNNING", name="old"))
    assert run_cleanup(cleanup)["names"] == ["old"]
    found = world.record("old")
    assert (found["status"], found["flink_job_id"], found["reason"]) == ("RUNNING", FLINK_JOB_ID, None)


def test_a_log_that_cannot_be_read_keeps_its_job_whatever_its_age(
    cleanup: FunctionServer, world: World
) -> None:
    add_harvestable(world, "old", log=f"{SUBMITTED} {'2d' * 16}\n")
    add_harvestable(world, "very-old", hours=500)
    before = [world.record("old"), world.record("very-old")]
    fault = RequestFault(effect="status", status=500, resource="pods/log")
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"], report["complete"]) == (0, {"unsettled": 2}, False)
    assert {(error["job_id"], error["code"]) for error in report["errors"]} == {
        ("old", "LOG_UNREACHABLE"),
        ("very-old", "LOG_UNREACHABLE"),
    }
    assert [world.record("old"), world.record("very-old")] == before
    assert sorted(run_cleanup(cleanup)["names"]) == ["old", "very-old"]


def test_nothing_is_given_up_after_a_look_that_failed(cleanup: FunctionServer, world: World) -> None:
    add_harvestable(world, "very-old", hours=500)
    fault = RequestFault(effect="status", status=500, resource="pods/log", times=1)
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"]) == (0, {"unsettled": 1})
    assert run_cleanup(cleanup)["names"] == ["very-old"]
    assert world.record("very-old")["flink_job_id"] == FLINK_JOB_ID


def test_past_the_hard_limit_the_end_of_the_log_is_kept_and_the_job_goes(
    cleanup: FunctionServer, world: World
) -> None:
    lines = [f"{number} äöü" for number in range(1500)]
    add_finished(world, "old", hours=169, log="\n".join([*lines, "the end"]))
    world.add_record("old")  # it names no Job, so that no look can settle it
    [pod] = world.kubernetes.names("pods")
    report = run_cleanup(cleanup)
    assert (report["names"], report["logs_saved"], report["harvested"]) == (["old"], 1, 0)
    kept = world.record("old")["submitter_log"]
    assert (kept["truncated"], kept["pod"]) == (True, pod)
    text = read_log(world.record("old"))
    assert text.splitlines() == [*lines, "the end"][-len(text.splitlines()) :]
    assert 16 * 1024 - 20 < len(text.encode()) <= 16 * 1024
    assert abs(kept["saved_at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_short_log_is_kept_whole(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=169, log="one\ntwo\n")
    world.add_record("old", status="RUNNING", flink_job_id="1" * 32)
    assert run_cleanup(cleanup)["names"] == ["old"]
    kept = world.record("old")["submitter_log"]
    assert (read_log(world.record("old")), kept["truncated"]) == ("one\ntwo\n", False)


@pytest.mark.parametrize(
    ("message", "expected"),
    [("KeyError: 'x'", "KeyError: 'x'"), ("", None)],
    ids=["kept by Kubernetes", "gone"],
)
def test_of_a_log_that_is_gone_what_kubernetes_kept_is_kept(
    message: str, expected: str | None, cleanup: FunctionServer, world: World
) -> None:
    add_finished(world, "old", hours=169, message=message)
    world.add_record("old")
    with world.kubernetes.control.fault(RequestFault(effect="log-gone-404")):
        assert run_cleanup(cleanup)["names"] == ["old"]
    record = world.record("old")
    assert (read_log(record) if "submitter_log" in record else None) == expected


def add_settled(world: World, name: str, *, log: str, hours: float = 48, **fields: Any) -> None:
    add_finished(world, name, hours=hours, log=log)
    known = {"status": "FINISHED", "flink_job_id": FLINK_JOB_ID, "submitter_done": True}
    world.add_record(name, k8s_job_name=name, **known | fields)


def test_the_end_of_every_log_is_on_its_record_without_the_secrets_of_its_submission(
    cleanup: FunctionServer, world: World
) -> None:
    spec = {"args": ["--password", "hunter22"], "script": {"inline": "import this"}}
    add_settled(world, "old", log="login with hunter22\ndone\n", spec=spec)
    add_settled(world, "other", log="hunter22\n", spec=None)
    add_settled(world, "silent", log="")
    plan = run_cleanup(cleanup, json={"dry_run": True})
    report = run_cleanup(cleanup)
    assert (len(report["names"]), report["logs_saved"]) == (3, 2)
    assert steady(plan) == steady(report)
    assert read_log(world.record("old")) == "login with ******\ndone\n"
    assert read_log(world.record("other")) == "hunter22\n"
    assert "submitter_log" not in world.record("silent")


def test_a_log_is_read_once_however_often_its_job_cannot_be_deleted(
    cleanup: FunctionServer, world: World
) -> None:
    add_settled(world, "old", log="one\n")
    with world.kubernetes.control.fault(RequestFault(effect="status", status=403, verb="delete")):
        assert run_cleanup(cleanup)["kept"] == {"error": 1}
    world.kubernetes.control.reset_requests()
    report = run_cleanup(cleanup)
    assert (report["names"], report["logs_saved"]) == (["old"], 0)
    assert not [request for request in world.kubernetes.requests() if "log" in request]
    assert read_log(world.record("old")) == "one\n"


def test_a_job_whose_log_cannot_be_read_waits_for_it_up_to_the_hard_limit(
    cleanup: FunctionServer, world: World
) -> None:
    add_settled(world, "old", log="one\n")
    add_settled(world, "very-old", log="two\n", hours=169)
    with world.kubernetes.control.fault(RequestFault(effect="status", status=500, resource="pods/log")):
        report = run_cleanup(cleanup)
    assert (report["names"], report["kept"], report["logs_saved"]) == (["very-old"], {"error": 1}, 0)
    assert [error["job_id"] for error in report["errors"]] == ["very-old", "old"]
    assert run_cleanup(cleanup)["names"] == ["old"]
    assert read_log(world.record("old")) == "one\n"


def test_jobs_that_failed_and_jobs_that_hit_their_deadline_go_too(
    brisk: FunctionServer, world: World
) -> None:
    control = world.kubernetes.control
    control.set_outcome(Outcome(exit_code=31, log="KeyError: 'x'\n"))
    failed = world.create_job("failed_1")
    world.add_record("failed_1", k8s_job_name=failed)
    world.kubernetes.wait_finished(failed)
    control.set_outcome(Outcome(seconds=600))
    late = world.create_job("late_1", activeDeadlineSeconds=1)
    world.add_record("late_1", k8s_job_name=late)
    conditions = world.kubernetes.wait_finished(late)["status"]["conditions"]
    assert [one["reason"] for one in conditions if one["type"] == "Failed"] == ["DeadlineExceeded"]
    world.flink.jobs.append(Job(FLINK_JOB_ID, "RUNNING", name="late_1"))
    running = world.create_job("running_1")
    world.add_record("running_1", k8s_job_name=running)

    def gone() -> bool:
        run_cleanup(brisk)
        return world.kubernetes.names("jobs") == {running}

    until(gone, timeout_seconds=10, what="both gone")
    assert world.record("failed_1")["reason"]["code"] == "SUBMIT_FAILED"
    assert world.record("late_1")["flink_job_id"] == FLINK_JOB_ID, "its output went with its pod"


# --- guards -----------------------------------------------------------------------------------------


@contextmanager
def clock_ahead(world: World, seconds: float) -> Iterator[None]:
    """The API server's clock is so much ahead of ours inside the block."""
    world.kubernetes.control.set_clock_offset(seconds)
    try:
        yield
    finally:
        world.kubernetes.control.set_clock_offset(0)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("seconds", "where"), [(310, "ahead of"), (-310, "behind")])
def test_a_wrong_clock_deletes_nothing(
    seconds: int, where: str, dry_run: bool, cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    jobs = world.kubernetes.names("jobs")
    with clock_ahead(world, seconds):
        answer = call(cleanup, json={"dry_run": dry_run})
    assert answer.status_code == 503
    fault = problem(answer)
    assert fault["code"] == "CLOCK_SKEW"
    assert "clock_skew" in fault["detail"]
    assert where in fault["detail"]
    assert world.kubernetes.names("jobs") == jobs
    assert run_cleanup(cleanup)["deleted"] == 5


def test_ages_are_measured_by_the_clock_of_the_api_server(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "almost", hours=24 - 3 / 60)
    world.add_record("almost", status="FINISHED")
    assert run_cleanup(cleanup)["kept"] == {"young": 1}
    with clock_ahead(world, 4 * 60):
        assert run_cleanup(cleanup)["names"] == ["almost"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_records_of_fewer_than_half_of_the_jobs_delete_nothing(
    dry_run: bool, cleanup: FunctionServer, world: World
) -> None:
    for number in range(5):
        add_finished(world, f"old-{number}", hours=200)
    world.add_record("old-0", status="FINISHED")
    world.add_record("old-1", status="FINISHED")
    answer = call(cleanup, json={"dry_run": dry_run})
    assert answer.status_code == 503
    assert problem(answer)["code"] == "SELECTOR_OR_DATABASE"
    assert "of 5 objects with our label only 2 have a record" in answer.json()["detail"]
    assert len(world.kubernetes.names("jobs")) == 5
    world.add_record("old-2", status="FINISHED")
    assert run_cleanup(cleanup)["deleted"] == 5


def test_scripts_with_a_record_do_not_make_up_for_jobs_without(cleanup: FunctionServer, world: World) -> None:
    for number in range(3):
        add_finished(world, f"old-{number}", hours=200)
    world.add_record("old-0", status="FINISHED")
    for number in range(5):
        add_script(world, f"etl_{number}", f"etl-{number}", None)
        world.add_record(f"etl_{number}", status="FINISHED")
    answer = call(cleanup)
    assert answer.status_code == 503
    assert "of 3 Jobs with our label only 1 have a record" in problem(answer)["detail"]
    assert len(world.kubernetes.names("jobs")) == 3


@pytest.mark.parametrize("hours", [48, 500])
def test_a_single_job_without_a_record_stays(hours: float, cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "alone", hours=hours)
    report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"]) == (0, {"no_record": 1})


def test_jobs_that_are_not_ours_do_not_count(cleanup: FunctionServer, world: World) -> None:
    for number in range(3):
        add_finished(world, f"foreign-{number}", hours=200, annotations={})
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    report = run_cleanup(cleanup)
    assert (report["names"], report["kept"]) == (["old"], {"foreign": 3})


def test_a_job_whose_record_follows_another_one_counts_as_without_record(
    cleanup: FunctionServer, world: World
) -> None:
    add_finished(world, "copy", hours=48)
    world.add_record("copy", status="FINISHED", k8s_job_name="original")
    assert run_cleanup(cleanup)["kept"] == {"no_record": 1}


# --- orphans ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def brisk(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """Keeps what has ended for no time."""
    brisk = {"CLEANUP_RETENTION_HOURS": "0", "CLEANUP_UNHARVESTED_HOURS": "1"}
    with FunctionServer("cleanup", {**settings, **brisk}) as running:
        yield running


def make_orphans(world: World, job_id: str) -> str:
    """A submission whose Job was deleted with `--cascade=orphan`; returns the Job's name."""
    name = world.create_job(job_id)
    job = world.kubernetes.get("jobs", name)
    assert job is not None
    add_script(world, job_id, name, job["metadata"]["uid"])
    world.kubernetes.wait_finished(name)
    world.kubernetes.remove("jobs", name, policy="Orphan")
    return name


def test_what_a_job_left_behind_goes_by_the_same_rule(brisk: FunctionServer, world: World) -> None:
    gone = make_orphans(world, "etl_1")
    world.add_record("etl_1", status="FINISHED", k8s_job_name=gone)
    kept = make_orphans(world, "etl_2")  # it has no record
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    stays = world.create_job("etl_3")  # it has its Job
    world.add_record("etl_3", status="RUNNING", k8s_job_name=stays, flink_job_id="1" * 32)
    [pod] = [pod for pod in world.kubernetes.names("pods") if pod.startswith(gone)]

    def two() -> Document | None:
        orphans: Document = run_cleanup(brisk, json={"dry_run": True})["orphans"]
        return None if "young" in orphans["kept"] else orphans

    plan = until(two, timeout_seconds=10, what="the orphans are old enough")
    assert plan == {**plan, "found": 4, "deleted": 2, "kept": {"no_record": 2}}
    assert sorted(plan["names"]) == sorted([gone, pod])
    before = world.kubernetes.names("pods") | world.kubernetes.names("configmaps")
    assert {gone, pod, kept} <= before
    report = run_cleanup(brisk)
    assert report["orphans"] == plan
    after = world.kubernetes.names("pods") | world.kubernetes.names("configmaps")
    assert before - after == {gone, pod}
    assert stays in world.kubernetes.names("jobs")


def test_an_orphan_that_runs_stays_and_so_does_its_script(brisk: FunctionServer, world: World) -> None:
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    name = world.create_job("etl_1")
    job = world.kubernetes.get("jobs", name)
    assert job is not None
    add_script(world, "etl_1", name, job["metadata"]["uid"])
    world.kubernetes.wait_pod(name)
    world.kubernetes.remove("jobs", name, policy="Orphan")
    world.add_record("etl_1", status="FINISHED", k8s_job_name=name)

    def orphaned() -> bool:
        objects = [*world.kubernetes.items("pods"), *world.kubernetes.items("configmaps")]
        return not any(item["metadata"].get("ownerReferences") for item in objects)

    until(orphaned, timeout_seconds=10, what="they have no owner")
    report = run_cleanup(brisk)
    assert report["orphans"] == {**NO_ORPHANS, "found": 2, "kept": {"active": 2}}


def test_what_says_nothing_of_its_owner_but_has_a_job_stays(brisk: FunctionServer, world: World) -> None:
    world.kubernetes.control.set_outcome(Outcome(seconds=600))
    name = world.create_job("etl_1")
    add_script(world, "etl_1", name, None)
    world.add_record("etl_1", status="FINISHED", k8s_job_name=name)

    def looked_at() -> Document | None:
        kept: Document = run_cleanup(brisk)["orphans"]["kept"]
        return kept if kept != {"young": 1} else None

    assert until(looked_at, timeout_seconds=10, what="it is old enough") == {"active": 1}
    assert world.kubernetes.names("configmaps") == {name}


# --- pauses -----------------------------------------------------------------------------------------


def test_a_pause_that_the_api_server_asks_for_is_made(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    pauses = [
        RequestFault(effect="status", status=429, retry_after=1, times=1, verb="list", resource="pods"),
        RequestFault(effect="status", status=429, retry_after=1, times=1, verb="delete"),
    ]
    for pause in pauses:
        world.kubernetes.control.add(pause)
    report = run_cleanup(cleanup)
    assert report["duration_seconds"] >= 2
    assert (report["deleted"], report["kept"], report["errors"]) == (5, KEPT, [])
    assert world.kubernetes.requests()["list jobs"] == 4, "each time the clock and the Jobs"
    assert world.kubernetes.requests()["delete jobs"] == 6
