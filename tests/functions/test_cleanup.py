"""The cleanup function over HTTP: what goes, what stays and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from local.functions import FunctionServer
from local.kubernetes.faults import FinishedJobs, Outcome, RequestFault
from tests.functions.conftest import Document, World, call, events_after, problem
from tests.support.waiting import until

HOUR = 3600.0
REPORT = {"dry_run", "complete", "scanned", "deleted", "names", "kept", "errors", "oldest_kept_hours"}
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
    known: Document = {"annotations": {"flinkjobs/job-id": name}, "log": "x\n"}
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
    assert report["oldest_kept_hours"] == pytest.approx(1000, abs=0.1)
    assert world.kubernetes.names("jobs") == jobs - set(GOES)
    until(lambda: len(world.kubernetes.names("pods")) == pods - 5, timeout_seconds=10, what="their pods gone")


@pytest.mark.parametrize(
    "request_", [{"params": {"dry_run": "true"}}, {"json": {"dry_run": True}}], ids=["query", "body"]
)
def test_a_dry_run_says_what_the_real_run_then_does(
    request_: Document, cleanup: FunctionServer, world: World
) -> None:
    fill(world)
    jobs = world.kubernetes.names("jobs")
    world.kubernetes.control.reset_requests()
    plan = run_cleanup(cleanup, **request_)
    assert world.kubernetes.requests() == {"list jobs": 1}
    assert world.kubernetes.names("jobs") == jobs
    assert plan["dry_run"] is True
    done = run_cleanup(cleanup)
    varying = {"dry_run", "oldest_kept_hours"}
    assert {name: value for name, value in plan.items() if name not in varying} == {
        name: value for name, value in done.items() if name not in varying
    }


def test_a_second_run_finds_nothing_more(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    run_cleanup(cleanup)
    again = run_cleanup(cleanup)
    assert (again["deleted"], again["kept"]) == (0, KEPT)


def test_a_script_goes_with_its_job(cleanup: FunctionServer, world: World) -> None:
    add_finished(world, "old", hours=25)
    world.add_record("old", status="FINISHED")
    job = world.kubernetes.get("jobs", "old")
    assert job is not None
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "old", "uid": job["metadata"]["uid"]}
    world.kubernetes.create(
        "configmaps",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "old", "ownerReferences": [owner]},
            "data": {"job.py": "x"},
        },
    )
    run_cleanup(cleanup)
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


def test_a_job_replaced_meanwhile_is_left_alone(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    fault = RequestFault(effect="status", status=409, verb="delete", path="/old-finished")
    with world.kubernetes.control.fault(fault):
        report = run_cleanup(cleanup)
    assert (report["deleted"], report["kept"]["changed"], report["errors"]) == (4, 1, [])


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


def test_the_log_tells_the_run(cleanup: FunctionServer, world: World) -> None:
    fill(world)
    before = cleanup.process.lines_printed
    report = run_cleanup(cleanup)
    events = events_after(cleanup, before, last="cleanup.run")
    [ran] = [event for event in events if event["message"] == "cleanup.run"]
    assert ran["names"] == report["names"]
