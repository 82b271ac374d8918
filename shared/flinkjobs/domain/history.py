"""Moves of a record: every change of its status, and into or out of stuck, as its history keeps it.

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
    """One change of a record's status, or one into or out of stuck.

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
    """

    seq: int
    at: datetime
    was: Status | None
    status: Status
    flink_state: str | None
    reason_code: ReasonCode | None
    by: Writer
    stuck: bool | None = None


def move_of(before: JobRecord | None, after: JobRecord, *, at: datetime, by: Writer) -> Move | None:
    """The move that a write makes; None where the status stays and the record is as stuck as before.

    Args:
        before: the record as it was read; None for a new one.
        after: the record as it is written.
        at: the time of the write, aware UTC.
        by: the writer.
    """
    stuck = None
    if before is not None and before.status is after.status:
        stuck = after.stuck_since is not None
        if stuck == (before.stuck_since is not None):
            return None
    return Move(
        seq=0 if before is None else before.next_revision,
        at=at,
        was=None if before is None else before.status,
        status=after.status,
        flink_state=after.flink_state,
        reason_code=after.reason.code if after.reason else None,
        by=by,
        stuck=stuck,
    )
