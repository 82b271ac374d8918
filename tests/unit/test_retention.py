"""Which finished Kubernetes Jobs may go, and why the others stay."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from flinkjobs.kube import KubernetesJob
from flinkjobs.model import JobPhase, Status
from flinkjobs.ports import Settled
from flinkjobs.retention import Kept, RetentionPolicy, kept_because
from tests.unit.kube_objects import NOON, job

POLICY = RetentionPolicy(retention=timedelta(hours=24), unharvested=timedelta(hours=168))
SETTLED = Settled(job_id="etl_1", status=Status.RUNNING, is_settled=True)
UNSETTLED = Settled(job_id="etl_1", status=Status.CREATED, is_settled=False)


def finished(hours_ago: float, phase: JobPhase = JobPhase.COMPLETE, **fields: Any) -> KubernetesJob:
    return job(phase, finished_at=NOON - timedelta(hours=hours_ago), **fields)


@pytest.mark.parametrize(
    ("kubernetes_job", "record", "expected"),
    [
        pytest.param(finished(25), SETTLED, None, id="old and settled goes"),
        pytest.param(finished(25, JobPhase.FAILED), SETTLED, None, id="a failed one goes too"),
        pytest.param(finished(23), SETTLED, Kept.YOUNG, id="young"),
        pytest.param(finished(24), SETTLED, Kept.YOUNG, id="exactly the retention is not more than it"),
        pytest.param(finished(-1), SETTLED, Kept.YOUNG, id="ended in the future: a wrong clock"),
        pytest.param(finished(25), UNSETTLED, Kept.UNSETTLED, id="unsettled"),
        pytest.param(finished(168), UNSETTLED, Kept.UNSETTLED, id="unsettled, exactly the hard limit"),
        pytest.param(finished(169), UNSETTLED, None, id="unsettled, past the hard limit"),
        pytest.param(finished(25), None, Kept.NO_RECORD, id="no record"),
        pytest.param(finished(169), None, None, id="no record, past the hard limit"),
        pytest.param(finished(23), None, Kept.YOUNG, id="no record and young"),
        pytest.param(job(), SETTLED, Kept.ACTIVE, id="active"),
        pytest.param(job(JobPhase.SUSPENDED), SETTLED, Kept.SUSPENDED, id="suspended"),
        pytest.param(
            job(JobPhase.COMPLETE), SETTLED, Kept.NO_END_TIME, id="over, but nobody knows since when"
        ),
        pytest.param(finished(999, job_id=""), SETTLED, Kept.FOREIGN, id="our label without our annotation"),
        pytest.param(finished(999, deleting=True), SETTLED, Kept.DELETING, id="under deletion already"),
        pytest.param(job(deleting=True), SETTLED, Kept.DELETING, id="active and under deletion"),
        pytest.param(
            job(created_at=NOON - timedelta(days=999)), None, Kept.ACTIVE, id="old but still active"
        ),
    ],
)
def test_the_rule(kubernetes_job: KubernetesJob, record: Settled | None, expected: Kept | None) -> None:
    assert kept_because(kubernetes_job, record, NOON, POLICY) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOON + timedelta(hours=24), Kept.YOUNG),
        (NOON + timedelta(hours=24, microseconds=1), None),
    ],
    ids=["at the limit", "a microsecond later"],
)
def test_the_limit_is_exact(now: datetime, expected: Kept | None) -> None:
    assert kept_because(finished(0), SETTLED, now, POLICY) == expected


def test_a_retention_beyond_the_hard_limit_still_holds_for_unsettled_jobs() -> None:
    policy = replace(POLICY, retention=timedelta(hours=200))
    assert kept_because(finished(180), UNSETTLED, NOON, policy) == Kept.YOUNG
