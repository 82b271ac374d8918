"""Health of an open record's Flink job: the rule, as a table, and the newest state to resume from. Pure.

The overview alone shows that a job moved (`last-modification`) and how many of its tasks run. Restarts are
the growth of `numRestarts` within the window; the times of exceptions stand in where no earlier count exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.flink_states import OPEN, TERMINAL_STATES, Status
from flinkjobs.domain.health_values import CheckpointSettings, Health, HealthState, LatestState, Limits, Mark
from flinkjobs.domain.observations import OverviewEntry, time_of
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.text import cut

MAX_MESSAGE: Final = 500
"""Characters of a health's message kept on a record."""

FAILED_IN_A_ROW: Final = 3
"""Number of checkpoints that fail one after the other before the job is unhealthy."""

INTERVALS_WITHOUT: Final = 3
"""Number of checkpoint intervals, in addition to the timeout, within which one must complete."""

COUNT_LAG: Final = timedelta(seconds=15)
"""For how long after a restart `numRestarts` may not show it: up to 10 s were seen."""

ANSWERED_ANEW_AFTER: Final = timedelta(seconds=10)
"""How long after a job has ended Flink answers anew: it caches for 3 s, and its clock may differ."""

SAMPLES_PER_WINDOW: Final = 10
"""Maximum number of counts of restarts that are kept for each window."""

NO_SLOTS: Final = "NoResourceAvailableException"
"""Missing slots look like a restart loop with this root cause."""


# --- restarts ---------------------------------------------------------------------------------------


def has_moved(entry: OverviewEntry, mark: Mark | None, begin_ms: int) -> bool:
    """Whether a job may have restarted since the window began, and since its restarts were counted."""
    if entry.modified_ms < begin_ms:
        return False
    return mark is None or (mark.start_ms, mark.modified_ms) != (entry.start_ms, entry.modified_ms)


def counted(
    mark: Mark,
    entry: OverviewEntry,
    restarts: int | None,
    failures: Sequence[datetime],
    cause: str | None,
    now: datetime,
    limits: Limits,
) -> Mark:
    """A mark with a new count of restarts.

    A lower count, or another start, begins a new baseline: all restarts since a start within the window,
    else as many as there are exceptions within it.

    Args:
        mark: as it was.
        entry: the job in the overview.
        restarts: `numRestarts`; None where Flink does not name it yet.
        failures: the times of the exceptions that Flink lists.
        cause: the root exception of the latest one.
        now: the time of the pass, aware UTC.
        limits: see `Limits`.
    """
    begin = now - limits.window
    lately = [at for at in failures if at > begin]
    started = time_of(entry.start_ms) or begin
    counts = mark.counts
    total = len(lately) if restarts is None else restarts
    if mark.start_ms != entry.start_ms or (counts and total < counts[-1][1]):
        counts = ()
    if not counts:
        is_new = started > begin
        first = started if is_new else min(lately, default=begin)
        counts = ((first, 0 if is_new else total - min(len(lately), total)),)
    if len(counts) > 1 and now - counts[-2][0] < limits.window / SAMPLES_PER_WINDOW:
        counts = counts[:-1]
    passed = [each for each in counts if each[0] <= begin][-1:]
    counts = (*passed, *(each for each in counts if each[0] > begin), (now, total))
    modified = time_of(entry.modified_ms) or begin
    is_sure = now - modified >= COUNT_LAG
    return replace(
        mark,
        start_ms=entry.start_ms,
        modified_ms=entry.modified_ms if is_sure else 0,
        counted_at=now,
        counts=counts,
        cause=cause or mark.cause,
    )


def restarts_within(counts: Sequence[tuple[datetime, int]], begin: datetime) -> int:
    """Restarts since then; between two counts they are taken as evenly spread."""
    if not counts:
        return 0
    at, number = counts[0]
    for later, more in counts:
        if later > begin:
            if at < begin:
                number += round((more - number) * ((begin - at) / (later - at)))
            break
        at, number = later, more
    return counts[-1][1] - number


# --- the rule ---------------------------------------------------------------------------------------


class _Seen(msgspec.Struct, frozen=True):
    mark: Mark
    entry: OverviewEntry
    now: datetime
    limits: Limits
    restarts: int

    @property
    def unmoved_for(self) -> timedelta:
        return self.now - (time_of(self.entry.modified_ms) or self.now)

    @property
    def was_looping(self) -> bool:
        """Whether its latest health says that it restarts again and again."""
        health, lacks_slots = self.mark.health, NO_SLOTS in (self.mark.cause or "")
        looping = {ReasonCode.RESTARTING, *([ReasonCode.WAITING_FOR_SLOTS] if lacks_slots else [])}
        return health is not None and health.code in looping


def _is_looping(seen: _Seen) -> bool:
    """Once it does, it does until it is calm: a rate about the threshold makes no series of changes."""
    is_calm = seen.unmoved_for >= seen.limits.calm
    return not is_calm and (seen.restarts >= seen.limits.max_restarts or seen.was_looping)


def _lacks_slots(seen: _Seen) -> bool:
    """Tasks of a batch job wait for slots while others run: that is how it works.

    Before Flink 2 the overview does not name the type: there, only a batch job has tasks that wait for others
    or have finished while tasks wait for slots.
    """
    tasks, kind = seen.entry.tasks, seen.entry.job_type
    is_batch = kind == "BATCH" or (kind is None and tasks.created + tasks.finished > 0)
    is_waiting = tasks.scheduled > 0 and (tasks.running == 0 or not is_batch)
    return seen.entry.state == "RUNNING" and is_waiting and seen.unmoved_for > seen.limits.wait


def _fails_checkpoints(seen: _Seen) -> bool:
    checkpoint, settings = seen.mark.checkpoint, seen.mark.settings
    if checkpoint is None or settings is None:
        return False
    since = [checkpoint.completed_at, checkpoint.since, time_of(seen.entry.modified_ms)]
    latest = max((at for at in since if at is not None), default=checkpoint.observed_at)
    overdue = INTERVALS_WITHOUT * settings.interval + settings.timeout
    return checkpoint.failed >= FAILED_IN_A_ROW or checkpoint.observed_at - latest > overdue


def _is_starting(seen: _Seen) -> bool:
    tasks = seen.entry.tasks
    return seen.entry.state in ("INITIALIZING", "CREATED") or (
        seen.entry.state == "RUNNING" and tasks.total > 0 and tasks.running + tasks.finished == 0
    )


def _cause(seen: _Seen) -> str | None:
    return seen.mark.cause


def _waiting(seen: _Seen) -> str:
    return f"{seen.entry.tasks.scheduled} of {seen.entry.tasks.total} tasks wait for slots"


def _checkpoint_message(seen: _Seen) -> str | None:
    return (seen.mark.checkpoint and seen.mark.checkpoint.message) or "no checkpoint has completed in time"


RULES: Final[
    Sequence[
        tuple[Callable[[_Seen], bool], HealthState, ReasonCode | None, Callable[[_Seen], str | None] | None]
    ]
] = (
    (
        lambda seen: _is_looping(seen) and NO_SLOTS in (seen.mark.cause or ""),
        HealthState.UNHEALTHY,
        ReasonCode.WAITING_FOR_SLOTS,
        _cause,
    ),
    (_is_looping, HealthState.UNHEALTHY, ReasonCode.RESTARTING, _cause),
    (_lacks_slots, HealthState.UNHEALTHY, ReasonCode.WAITING_FOR_SLOTS, _waiting),
    (_fails_checkpoints, HealthState.UNHEALTHY, ReasonCode.CHECKPOINTS_FAILING, _checkpoint_message),
    (_is_starting, HealthState.STARTING, None, None),
    (lambda seen: seen.entry.state == "RUNNING", HealthState.HEALTHY, None, None),
)
"""What is looked at, the state, the code, and its message: the first row that holds decides.

Where none does, because a job is between two states, it keeps the health that it had."""


def judged(mark: Mark, entry: OverviewEntry, now: datetime, limits: Limits) -> Mark:
    """A mark with the health of its job in this pass."""
    before = mark.health
    restarts = restarts_within(mark.counts, now - limits.window)
    seen = _Seen(mark, entry, now, limits, restarts)
    for holds, state, code, message in RULES:
        if not holds(seen):
            continue
        health = Health(
            state,
            since=now,
            code=code,
            message=cut(text, MAX_MESSAGE) if message and (text := message(seen)) else None,
            restarts=restarts,
            tasks=entry.tasks,
            checkpoint=mark.checkpoint,
        )
        if before is not None and health.is_same(before):
            return replace(mark, health=replace(health, since=before.since))
        settles_at = mark.settles_at
        if state is HealthState.UNHEALTHY:
            settles_at = None
        elif before is not None and before.state is HealthState.UNHEALTHY:
            settles_at = now + limits.window
        return replace(mark, health=health, settles_at=settles_at)
    return mark


def is_needed(mark: Mark, entry: OverviewEntry, now: datetime, limits: Limits) -> bool:
    """Whether a later pass needs the mark: the job checkpoints, moved within the window, or is unsettled."""
    is_calm = now - (time_of(entry.modified_ms) or now) >= limits.window
    is_well = mark.health is None or mark.health.state is HealthState.HEALTHY
    return mark.settings is not None or not is_calm or not is_well or mark.settles_at is not None


_SEVERITY: Final = (HealthState.UNHEALTHY, HealthState.STARTING, HealthState.HEALTHY)


def with_health(
    record: JobRecord, healths: Sequence[Health], *, is_settled: bool, now: datetime
) -> JobRecord:
    """A record with the worst of these healths: it changes only with state or code, and its status never.

    Args:
        record: as it was read; one that is not open has no health.
        healths: of its Flink jobs.
        is_settled: it has been healthy long enough for that to be an event.
        now: the time of the pass, aware UTC.
    """
    found = worst(healths)
    if record.status not in OPEN or found is None:
        return record
    unhealthy_since = None if is_settled else record.unhealthy_since
    if found.state is HealthState.UNHEALTHY:
        unhealthy_since = record.unhealthy_since or now
    health = record.health if found.is_same(record.health) else found
    return replace(record, health=health, unhealthy_since=unhealthy_since)


def health_by_status(status: Status) -> HealthState:
    """The health of an open record for which none was ever written."""
    return HealthState.HEALTHY if status is Status.RUNNING else HealthState.STARTING


def worst(healths: Iterable[Health]) -> Health | None:
    """The health of a record whose script submitted several jobs; None without any."""
    return min(healths, key=lambda health: _SEVERITY.index(health.state), default=None)


# --- state to resume from ---------------------------------------------------------------------------


def is_answered_anew(entry: OverviewEntry, now: datetime) -> bool:
    """Whether Flink now answers about the checkpoints of a job that is over as they are after its end.

    Before, it may list a checkpoint that a later one has replaced, and whose files are deleted
    (`web.refresh-interval`).
    """
    ended_at = time_of(entry.end_ms)
    return ended_at is None or now - ended_at >= ANSWERED_ANEW_AFTER


def latest_state(states: Iterable[LatestState], flink_state: str) -> LatestState | None:
    """The newest by time of completed savepoint and checkpoint that is there, or will be, after the end.

    Args:
        states: as Flink listed them.
        flink_state: the job's; once it is over, what its setting deletes is gone.
    """
    gone = {"at_end"} if flink_state in TERMINAL_STATES else set[str]()
    if flink_state == "CANCELED":
        gone.add("on_cancel")
    left = [state for state in states if state.deleted not in gone]
    return max(left, key=lambda state: state.at, default=None)


def with_deletion(states: Iterable[LatestState], settings: CheckpointSettings | None) -> list[LatestState]:
    """The states, those marked that the job's own setting deletes."""
    deleted = None
    if settings is None or not settings.kept:
        deleted = "at_end"
    elif not settings.kept_on_cancel:
        deleted = "on_cancel"
    return [replace(each, deleted=deleted) if each.kind == "checkpoint" else each for each in states]
