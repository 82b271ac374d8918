"""A pass over more records than one list covers, when only a part of it comes through."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from doubles.kubernetes.faults import FinishedJobs, RequestFault
from doubles.processes import free_port
from flinkjobs.domain.naming import APP
from flinkjobs.observers import deadline
from flinkjobs.observers.submitters import JOB_IDS_PER_SELECTOR
from local.mongodb import MongoServer
from tests.integration.faults import records
from tests.integration.faults.conftest import Open
from tests.integration.faults.environment import Passed, Stage
from tests.integration.faults.records import SUBMITTED
from tests.support.flink_rest_server import VERSIONS, Job

BUDGET_SECONDS = 4.0
LIST_SECONDS = 2.2
"""How long each list takes from the second portion on: two of them are more than the budget."""
PATIENCE_SECONDS = 20.0
NAMES = sorted(f"bulk-{number}" for number in range(2 * JOB_IDS_PER_SELECTOR))


def fill(stage: Stage) -> None:
    """Twice as many records as two lists cover, whose Jobs are complete and name their Flink jobs."""
    stage.kubernetes.control.add_finished_jobs(
        FinishedJobs(
            count=len(NAMES),
            name="bulk-{index}",
            labels={"app": APP, "job-id": "{name}", "bulk": "yes"},
            annotations={"flinkjobs/job-id": "{name}"},
            age_seconds=60,
            message=f"{SUBMITTED}{{hex}}\n",
        )
    )
    ids = {name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in NAMES}
    stage.flink.jobs[:] = [Job(flink_job_id, "RUNNING", start=records.START) for flink_job_id in ids.values()]
    jobs = stage.database["flink_jobs"]
    jobs.delete_many({})
    jobs.insert_many([records.record("bulk", job_id=name, k8s_job_name=name) for name in NAMES])


def running(stage: Stage) -> list[str]:
    """Job ids of the records that have moved."""
    return sorted(
        document["job_id"] for document in stage.documents().values() if document["status"] == "RUNNING"
    )


def statistics(passed: Passed) -> tuple[bool, int, int]:
    """(complete, scanned, resolved)."""
    return passed.body["complete"], passed.body["scanned"], passed.body["resolved"]


def test_a_pass_that_is_out_of_time_says_so_and_the_next_goes_on_from_there(
    open_stage: Open, mongo_server: MongoServer, tmp_path: Path
) -> None:
    stage = open_stage(mongo_server, version=VERSIONS[0], scratch=tmp_path)
    fill(stage)
    slow = RequestFault(effect="delay", seconds=LIST_SECONDS, verb="list", skip=2)
    patient = stage.kubernetes_at(stage.kubernetes.double.url, patience_seconds=PATIENCE_SECONDS)
    half = JOB_IDS_PER_SELECTOR
    try:
        with stage.kubernetes.control.fault(slow), stage.instead(cluster=patient):
            with stage.instead(budget_seconds=BUDGET_SECONDS):
                first = stage.run_pass()
            assert first.reported == ["200", "incomplete"]
            assert statistics(first) == (False, half, half)
            assert running(stage) == NAMES[:half]
            [lease] = stage.database["leases"].find()
            assert (lease["holder"], lease["cursor"]) == (None, NAMES[half - 1])
            second = stage.run_pass()
        assert statistics(second) == (True, 2 * half, half)
        assert running(stage) == NAMES
    finally:
        stage.kubernetes.delete_all("bulk=yes")


def test_who_does_not_answer_in_time_is_not_waited_for_longer_than_the_pass_has(
    open_stage: Open, mongo_server: MongoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes would answer in the end, and the client would wait: the function would be stopped first."""
    monkeypatch.setattr(deadline, "REQUEST_GRACE_SECONDS", 0.5)
    stage = open_stage(mongo_server, version=VERSIONS[0], scratch=tmp_path)
    fill(stage)
    late = RequestFault(effect="delay", seconds=PATIENCE_SECONDS / 2, verb="list")
    patient = stage.kubernetes_at(stage.kubernetes.double.url, patience_seconds=PATIENCE_SECONDS)
    try:
        with stage.kubernetes.control.fault(late), stage.instead(cluster=patient, budget_seconds=0.5):
            passed = stage.run_pass()
        assert passed.reported == ["200", "KUBERNETES_UNAVAILABLE", "incomplete"]
        assert running(stage) == []
        assert statistics(stage.run_pass()) == (True, 2 * JOB_IDS_PER_SELECTOR, 2 * JOB_IDS_PER_SELECTOR)
    finally:
        stage.kubernetes.delete_all("bulk=yes")


def test_what_kubernetes_said_before_it_went_away_is_written(
    open_stage: Open, mongo_server: MongoServer, tmp_path: Path
) -> None:
    """Flink is away as well: still, the pass has done a part of its work, and says so."""
    stage = open_stage(mongo_server, version=VERSIONS[0], scratch=tmp_path)
    fill(stage)
    gone = RequestFault(effect="status", status=503, verb="list", skip=2)
    half = JOB_IDS_PER_SELECTOR
    try:
        with stage.kubernetes.control.fault(gone), stage.flink_at(f"http://127.0.0.1:{free_port()}"):
            passed = stage.run_pass()
        assert passed.reported == ["200", "KUBERNETES_UNAVAILABLE", "default unreachable"]
        assert statistics(passed) == (True, 2 * half, half)
        with_ids = [one["job_id"] for one in stage.documents().values() if one["flink_job_id"] is not None]
        assert sorted(with_ids) == NAMES[:half]
        assert running(stage) == []
        assert statistics(stage.run_pass()) == (True, 2 * half, half)
        assert running(stage) == NAMES
    finally:
        stage.kubernetes.delete_all("bulk=yes")
