"""Moves: which writes make one, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Move, Writer, move_of
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, Reason

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=3)
QUOTA = Reason(ReasonCode.QUOTA, "no room", NOON)
REFUSED = Reason(ReasonCode.K8S_REFUSED, "no", LATER)


def record(status: Status, **fields: Any) -> JobRecord:
    return JobRecord(job_id="etl_1", status=status, submitted_at=NOON, **fields)


MOVES: dict[str, tuple[JobRecord | None, JobRecord, Writer, Move]] = {
    "a new record": (
        None,
        record(Status.CREATED, revision=0),
        Writer.SUBMIT,
        Move(0, LATER, None, Status.CREATED, None, None, Writer.SUBMIT),
    ),
    "Flink runs it": (
        record(Status.CREATED, revision=1),
        record(Status.RUNNING, revision=1, flink_state="RUNNING"),
        Writer.SYNC,
        Move(2, LATER, Status.CREATED, Status.RUNNING, "RUNNING", None, Writer.SYNC),
    ),
    "with another reason": (
        record(Status.CREATED, revision=4, reason=QUOTA),
        record(Status.FAILED, revision=4, reason=REFUSED),
        Writer.SUBMIT,
        Move(5, LATER, Status.CREATED, Status.FAILED, None, ReasonCode.K8S_REFUSED, Writer.SUBMIT),
    ),
    "the first write of an old record": (
        record(Status.RUNNING, revision=None),
        record(Status.FINISHED, revision=None, flink_state="FINISHED"),
        Writer.CLEANUP,
        Move(1, LATER, Status.RUNNING, Status.FINISHED, "FINISHED", None, Writer.CLEANUP),
    ),
    "a lost job is back": (
        record(Status.LOST, revision=7, reason=QUOTA),
        record(Status.RUNNING, revision=7, flink_state="RESTARTING"),
        Writer.SYNC,
        Move(8, LATER, Status.LOST, Status.RUNNING, "RESTARTING", None, Writer.SYNC),
    ),
}


@pytest.mark.parametrize(("before", "after", "by", "expected"), MOVES.values(), ids=MOVES.keys())
def test_move_of_a_changed_status_says_what_is_written(
    before: JobRecord | None, after: JobRecord, by: Writer, expected: Move
) -> None:
    assert move_of(before, after, at=LATER, by=by) == expected


@pytest.mark.parametrize("status", Status)
def test_move_of_the_same_status_is_none(status: Status) -> None:
    before = record(status, revision=1)
    after = record(status, revision=1, flink_state="RESTARTING", reason=QUOTA)
    assert move_of(before, after, at=LATER, by=Writer.SYNC) is None
