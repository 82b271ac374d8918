"""Moves of a record: changes of its status, into or out of stuck or unhealthy, as its history keeps them.

A move goes into the same conditional write as the status, so that the history holds what was written and
nothing else.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord

MOVES_KEPT: Final = 100
"""Maximum number of moves on a record: the newest."""


class Writer(StrEnum):
    """The function that wrote a status."""

    SUBMIT = "submit"
    SYNC = "sync"
    CLEANUP = "cleanup"


class Move(msgspec.Struct, frozen=True):
    """One change of a record's status, or one into or out of stuck or unhealthy.

    Attributes:
        seq: the `revision` that the write creates; 0 for a new record. It increases from move to move.
        at: when the writer decided it, aware UTC.
        was: the status before; None for a new record.
        status: the status after.
        flink_state: Flink's raw word after it.
        reason_code: code of the record's reason after it.
        by: the writer.
        stuck: True where the record has become stuck, False where it no longer is; `was` equals `status`
            then. None for a change of status.
        unhealthy: likewise.
    """

    seq: int
    at: datetime
    was: Status | None
    status: Status
    flink_state: str | None
    reason_code: ReasonCode | None
    by: Writer
    stuck: bool | None = None
    unhealthy: bool | None = None


def move_of(before: JobRecord | None, after: JobRecord, *, at: datetime, by: Writer) -> Move | None:
    """The move that a write makes; None where the status stays, and it is as stuck and unhealthy as before.

    Args:
        before: the record as it was read; None for a new one.
        after: the record as it is written.
        at: the time of the write, aware UTC.
        by: the writer.
    """
    stuck = unhealthy = None
    if before is not None and before.status is after.status:
        stuck = _change(before.stuck_since, after.stuck_since)
        unhealthy = _change(before.unhealthy_since, after.unhealthy_since)
        if stuck is None and unhealthy is None:
            return None
    code = after.reason.code if after.reason else None
    if unhealthy is not None:
        code = after.health.code if after.health else None
    return Move(
        seq=0 if before is None else before.next_revision,
        at=at,
        was=None if before is None else before.status,
        status=after.status,
        flink_state=after.flink_state,
        reason_code=code,
        by=by,
        stuck=stuck,
        unhealthy=unhealthy,
    )


def _change(before: datetime | None, after: datetime | None) -> bool | None:
    """Whether it is so now; None where it is as it was."""
    return None if (before is None) == (after is None) else after is not None
