"""Which targets may be deleted, and why the others are kept."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from flinkjobs.cleanup.retention import (
    Kept,
    Next,
    RetentionPolicy,
    Verdict,
    clock_skew,
    is_doubtful,
    judge,
    record_of,
    settled,
    with_end,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord
from flinkjobs.ports.store import Settled
from tests.support.kubernetes_objects import NOON

POLICY = RetentionPolicy(retention=timedelta(hours=24), unsettled=timedelta(hours=168))
SETTLED = Settled(job_id="etl_1", status=Status.RUNNING, is_settled=True)
UNSETTLED = Settled(job_id="etl_1", status=Status.CREATED, is_settled=False)
JOB = CleanupTarget(Kind.JOB, "etl-1", "u", "7", job_id="etl_1", job_name="etl-1")

ACTIVE = structs.replace(JOB, phase=JobPhase.ACTIVE)


def finished(hours_ago: float, phase: JobPhase = JobPhase.COMPLETE, **fields: Any) -> CleanupTarget:
    return structs.replace(JOB, phase=phase, over_since=NOON - timedelta(hours=hours_ago), **fields)


@pytest.mark.parametrize(
    ("target", "record", "expected"),
    [
        pytest.param(finished(25), SETTLED, Next.DELETE, id="old and settled goes"),
        pytest.param(finished(25, JobPhase.FAILED), SETTLED, Next.DELETE, id="a failed one goes too"),
        pytest.param(finished(23), SETTLED, Kept.YOUNG, id="young"),
        pytest.param(finished(24), SETTLED, Kept.YOUNG, id="exactly the retention is not more than it"),
        pytest.param(finished(-1), SETTLED, Kept.YOUNG, id="ended in the future: a wrong clock"),
        pytest.param(finished(23), UNSETTLED, Kept.YOUNG, id="young and unsettled"),
        pytest.param(finished(25), UNSETTLED, Next.READ_OUTPUT, id="unsettled"),
        pytest.param(finished(168), UNSETTLED, Next.READ_OUTPUT, id="unsettled, exactly the hard limit"),
        pytest.param(finished(169), UNSETTLED, Next.GIVE_UP, id="unsettled, past the hard limit"),
        pytest.param(finished(169), SETTLED, Next.DELETE, id="settled, past the hard limit"),
        pytest.param(finished(25), None, Kept.NO_RECORD, id="no record"),
        pytest.param(finished(168), None, Kept.NO_RECORD, id="no record, exactly the hard limit"),
        pytest.param(finished(169), None, Next.DELETE, id="no record, past the hard limit"),
        pytest.param(finished(23), None, Kept.YOUNG, id="no record and young"),
        pytest.param(
            finished(25), replace(SETTLED, k8s_job_name="etl-1"), Next.DELETE, id="the record names this Job"
        ),
        pytest.param(
            finished(25), replace(SETTLED, k8s_job_name="etl-2"), Kept.NO_RECORD, id="the record has another"
        ),
        pytest.param(ACTIVE, SETTLED, Kept.ACTIVE, id="active"),
        pytest.param(
            finished(999, JobPhase.ACTIVE), SETTLED, Kept.ACTIVE, id="active, whatever else it may say"
        ),
        pytest.param(structs.replace(JOB, phase=JobPhase.SUSPENDED), SETTLED, Kept.SUSPENDED, id="suspended"),
        pytest.param(
            structs.replace(JOB, phase=JobPhase.COMPLETE),
            SETTLED,
            Kept.NO_END_TIME,
            id="over, without an end time",
        ),
        pytest.param(finished(999, job_id=""), SETTLED, Kept.FOREIGN, id="our label without our annotation"),
        pytest.param(finished(999, deleting=True), SETTLED, Kept.DELETING, id="under deletion already"),
        pytest.param(
            structs.replace(JOB, deleting=True), SETTLED, Kept.DELETING, id="active and under deletion"
        ),
        pytest.param(finished(999, unreadable="KeyError"), None, Kept.UNREADABLE, id="unreadable"),
        pytest.param(finished(25, kind=Kind.POD), SETTLED, Next.DELETE, id="a pod goes by the same rule"),
        pytest.param(finished(25, kind=Kind.CONFIG_MAP), None, Kept.NO_RECORD, id="a ConfigMap stays by it"),
    ],
)
def test_judge_follows_the_table(target: CleanupTarget, record: Settled | None, expected: Verdict) -> None:
    assert judge(target, record, NOON, POLICY) == expected


@pytest.mark.parametrize(
    ("record", "limit", "before", "after"),
    [
        (SETTLED, 24, Kept.YOUNG, Next.DELETE),
        (UNSETTLED, 24, Kept.YOUNG, Next.READ_OUTPUT),
        (UNSETTLED, 168, Next.READ_OUTPUT, Next.GIVE_UP),
        (None, 168, Kept.NO_RECORD, Next.DELETE),
    ],
    ids=["settled", "unsettled", "unsettled, hard", "no record, hard"],
)
def test_judge_at_a_limit_keeps_and_after_it_does_not(
    record: Settled | None, limit: int, before: Verdict, after: Verdict
) -> None:
    at_the_limit = NOON + timedelta(hours=limit)
    assert judge(finished(0), record, at_the_limit, POLICY) == before
    assert judge(finished(0), record, at_the_limit + timedelta(microseconds=1), POLICY) == after


MINE, ANOTHER = "etl-1", "etl-2"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param([(True, MINE)], Next.DELETE, id="one"),
        pytest.param([(True, MINE), (True, None)], Next.DELETE, id="both settled"),
        pytest.param([(True, MINE), (False, MINE)], Next.READ_OUTPUT, id="one unsettled"),
        pytest.param([(True, MINE), (False, None)], Next.READ_OUTPUT, id="one unsettled that may follow it"),
        pytest.param([(True, MINE), (False, ANOTHER)], Next.DELETE, id="the unsettled one follows another"),
        pytest.param(
            [(False, MINE), (True, ANOTHER)], Next.READ_OUTPUT, id="the settled one follows another"
        ),
        pytest.param([(True, ANOTHER), (False, ANOTHER)], Kept.NO_RECORD, id="both follow another"),
    ],
)
def test_record_of_several_is_an_unsettled_one_that_may_need_the_job(
    records: list[tuple[bool, str | None]], expected: Verdict
) -> None:
    known = [Settled("etl_1", Status.CREATED, is_settled, name) for is_settled, name in records]
    for ordered in (known, known[::-1]):
        assert judge(finished(25), record_of(finished(25), ordered), NOON, POLICY) == expected


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        pytest.param(Kind.JOB, {}, Next.DELETE, id="the submitter has ended"),
        pytest.param(Kind.JOB, {"updated_at": NOON - timedelta(hours=23)}, Kept.YOUNG, id="young"),
        pytest.param(Kind.JOB, {"updated_at": None}, Kept.NO_END_TIME, id="without a time"),
        pytest.param(Kind.JOB, {"is_settled": False}, Kept.ACTIVE, id="unsettled"),
        pytest.param(Kind.JOB, {"submitter_ended": False}, Kept.ACTIVE, id="the submitter may run"),
        pytest.param(Kind.JOB, {"k8s_job_name": "etl-2"}, Kept.ACTIVE, id="the record has another Job"),
        pytest.param(Kind.POD, {}, Kept.ACTIVE, id="a pod without a Job"),
    ],
)
def test_an_active_job_goes_only_if_its_record_shows_that_its_submitter_has_ended(
    kind: Kind, changed: dict[str, Any], expected: Verdict
) -> None:
    record = replace(SETTLED, submitter_ended=True, updated_at=NOON - timedelta(hours=25))
    record = replace(record, **changed)
    target = with_end(structs.replace(ACTIVE, kind=kind), record)
    assert judge(target, record, NOON, POLICY) == expected


def test_record_of_no_records_is_none() -> None:
    assert record_of(finished(25), []) is None


def test_judge_with_a_retention_above_the_unsettled_limit_keeps_young_jobs() -> None:
    policy = replace(POLICY, retention=timedelta(hours=200))
    assert judge(finished(180), UNSETTLED, NOON, policy) == Kept.YOUNG
    assert judge(finished(180), None, NOON, policy) == Kept.YOUNG


REF = FlinkJobRef(id="a" * 32, source=IdSource.LOG)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"flink_jobs": (REF,), "submitter_done": True}, True),
        ({"flink_jobs": (REF,)}, False),
        ({"submitter_done": True}, False),
    ],
)
def test_settled_reads_the_ids_and_the_submitter_of_a_record(fields: Any, expected: bool) -> None:
    record = JobRecord(
        job_id="etl_1", status=Status.RUNNING, submitted_at=NOON, k8s_job_name="etl-1", **fields
    )
    assert settled(record) == Settled("etl_1", Status.RUNNING, expected, "etl-1")


@pytest.mark.parametrize(
    ("server", "expected"),
    [(-10, -10), (-1, -1), (0, 0), (3, 0), (5, 0), (6, 1), (600, 595)],
)
def test_clock_skew_of_a_slow_answer_is_zero(server: int, expected: int) -> None:
    def at(seconds: int) -> datetime:
        return NOON + timedelta(seconds=seconds)

    assert clock_skew(at(server), before=at(0), after=at(5)) == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("listed", "known", "expected"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (2, 1, False), (3, 1, True), (10, 5, False), (10, 4, True)],
)
def test_is_doubtful_below_half(listed: int, known: int, expected: bool) -> None:
    assert is_doubtful(listed=listed, known=known) is expected
