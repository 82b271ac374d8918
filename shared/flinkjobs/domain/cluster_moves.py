"""Moves of a Flink cluster, and of sync itself: one for all jobs that are concerned, never one per job. Pure.

1. A cluster is *unreachable* after three passes in a row that it did not answer, over at least 120 seconds.
2. It is *reachable* again with the first answer.
3. *Jobs are missing* once per episode, which ends with a complete pass in which the cluster knew every job.
4. Sync has *resumed* where the pass before began more than three periods ago.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.history import Writer

SYNC: Final = "_sync"
"""Name under which sync itself is kept among the clusters, whose names begin with a letter or a digit."""

PASSES_BEFORE_UNREACHABLE: Final = 3
"""Number of passes in a row that a cluster does not answer before it counts as unreachable."""

UNREACHABLE_AFTER: Final = timedelta(seconds=120)
"""Minimum time between the first and the last of these passes."""

PERIODS_BEFORE_RESUMED: Final = 3
"""Number of periods between two passes from which on the later one resumes sync."""


class ClusterStatus(StrEnum):
    """Whether a cluster answers, and what else can be said of it or of sync in a move."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    JOBS_MISSING = "jobs_missing"
    RESUMED = "resumed"


class ClusterRecord(msgspec.Struct, frozen=True):
    """What sync keeps of one cluster.

    Attributes:
        name: of the cluster in the settings.
        seq: of its last move; 0 before the first.
        state: `reachable` or `unreachable`.
        failed_passes: passes in a row that it did not answer, counted up to three.
        unreachable_since: the first of them; None while it answers.
        jobs_missing: it answers, and does not know jobs that it was given.
        resumed_after: of sync itself: when the pass before its last gap began.
    """

    name: str
    seq: int = 0
    state: ClusterStatus = ClusterStatus.REACHABLE
    failed_passes: int = 0
    unreachable_since: datetime | None = None
    jobs_missing: bool = False
    resumed_after: datetime | None = None


class ClusterMove(msgspec.Struct, frozen=True):
    """One change of what is said of a cluster, or of sync.

    Attributes:
        seq: counts the moves of one cluster, from 1.
        at: the time of the pass, aware UTC.
        was: the state before; None where there is none.
        status: what is said from now on.
        since: since when: the first pass without an answer, or the pass before a gap.
        jobs: how many jobs are missing.
        by: the writer.
    """

    seq: int
    at: datetime
    was: ClusterStatus | None
    status: ClusterStatus
    since: datetime | None = None
    jobs: int | None = None
    by: Writer = Writer.SYNC

    def known(self) -> dict[str, Any]:
        """The fields that apply."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value is not None}


def after_pass(
    before: ClusterRecord, *, is_answered: bool, missing: int, is_complete: bool, now: datetime
) -> tuple[ClusterRecord, tuple[ClusterMove, ...]]:
    """What one whole pass makes of a cluster.

    Args:
        before: as it was stored.
        is_answered: whether it answered.
        missing: how many jobs it turned out not to know.
        is_complete: whether the pass looked at all records.
        now: the time of the pass.

    Returns:
        The record afterwards, equal to `before` where nothing is to be written, and the moves.
    """
    if not is_answered:
        return _not_answered(before, now)
    after = replace(before, state=ClusterStatus.REACHABLE, failed_passes=0, unreachable_since=None)
    moves: list[ClusterMove] = []
    if before.state is ClusterStatus.UNREACHABLE:
        after = replace(after, seq=after.seq + 1)
        moves.append(
            ClusterMove(after.seq, now, before.state, ClusterStatus.REACHABLE, before.unreachable_since)
        )
    if missing and not before.jobs_missing:
        after = replace(after, seq=after.seq + 1, jobs_missing=True)
        moves.append(ClusterMove(after.seq, now, after.state, ClusterStatus.JOBS_MISSING, jobs=missing))
    elif not missing and is_complete:
        after = replace(after, jobs_missing=False)
    return after, tuple(moves)


def _not_answered(before: ClusterRecord, now: datetime) -> tuple[ClusterRecord, tuple[ClusterMove, ...]]:
    if before.state is ClusterStatus.UNREACHABLE:
        return before, ()
    since = before.unreachable_since or now
    passes = min(before.failed_passes + 1, PASSES_BEFORE_UNREACHABLE)
    after = replace(before, failed_passes=passes, unreachable_since=since)
    if passes < PASSES_BEFORE_UNREACHABLE or now - since < UNREACHABLE_AFTER:
        return after, ()
    after = replace(after, seq=after.seq + 1, state=ClusterStatus.UNREACHABLE)
    return after, (ClusterMove(after.seq, now, before.state, ClusterStatus.UNREACHABLE, since),)


def resumed(
    before: ClusterRecord, *, last_pass_at: datetime | None, now: datetime, period: timedelta
) -> tuple[ClusterRecord, tuple[ClusterMove, ...]]:
    """What one whole pass makes of sync itself.

    Args:
        before: as it was stored, under the name `SYNC`.
        last_pass_at: when the whole pass before this one began; None where there is none.
        now: when this one began.
        period: the time between two passes, by the settings.
    """
    is_noted = last_pass_at == before.resumed_after  # by a pass that was killed before it was saved
    if last_pass_at is None or is_noted or now - last_pass_at <= PERIODS_BEFORE_RESUMED * period:
        return before, ()
    after = replace(before, seq=before.seq + 1, resumed_after=last_pass_at)
    return after, (ClusterMove(after.seq, now, None, ClusterStatus.RESUMED, last_pass_at),)
