"""Health of the open records' Flink jobs: few requests, judged, written only where state or code changes.

    overviews + marks → which jobs moved, checkpoint or are new → requests, up to the limit
          → answers into the marks → judge → changed records in bulk → changed marks in bulk

A job that neither moved within the window nor checkpoints has no mark, and costs no request.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from flinkjobs import log
from flinkjobs.domain import health
from flinkjobs.domain.fingerprint import cluster_and_id
from flinkjobs.domain.flink_states import OPEN, TERMINAL_STATES
from flinkjobs.domain.health_values import LatestState, Limits, Mark
from flinkjobs.domain.history import Writer
from flinkjobs.domain.observations import OverviewEntry, Unreachable
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Update
from flinkjobs.observers.flink_snapshot import or_unreachable
from flinkjobs.ports.health_store import HealthStore, Marks, Position
from flinkjobs.sync.context import Pass
from flinkjobs.sync.report import BatchResult

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_FOR_OTHERS: Final = 4
"""Jobs that moved leave one request of this many to checkpoints and new jobs."""
_Shown: TypeAlias = Mapping[str, Mapping[str, OverviewEntry]]


class _Kind(StrEnum):
    RESTARTS = "restarts"
    SETTINGS = "settings"
    CHECKPOINTS = "checkpoints"


class _Look(msgspec.Struct, frozen=True):
    """What is asked about one job: two requests about restarts, else one.

    Attributes:
        rank: those with the least come first.
        mark: of the job, as it was.
    """

    kind: _Kind
    id: str
    cluster: str
    entry: OverviewEntry
    mark: Mark | None
    rank: tuple[Any, ...]


def update_health(current: Pass, result: BatchResult, store: HealthStore, before: Marks) -> None:
    """Judges the jobs that moved or checkpoint, and writes records whose health has changed.

    Args:
        current: a pass over all records that has written them.
        result: of that pass.
        store: where the marks are.
        before: all of them.

    Raises:
        StoreUnavailableError: marks or records could not be read or written; the next pass repeats it.
    """
    limits, now = current.sync.health, current.sync.clock()
    if current.deadline.is_over():
        return
    shown = {name: jobs for name, jobs in current.snapshots.overviews().items() if jobs is not None}
    looks = _chosen(_looks(before, shown, _foreign(result), now, limits.window), limits.requests)
    if not (looks or before.by_id) or (current.lease is not None and not current.lease.is_ours()):
        return
    answers = list(current.threads.map(lambda look: _answer(current, look, now), looks))
    answered = [each for each in zip(looks, answers, strict=True) if not isinstance(each[1], Unreachable)]
    unowned = {look.id for look, _ in answered if not (look.mark and look.mark.job_id)}
    owners = store.owners(unowned) if unowned else {}
    marks = _with_answers(before.by_id, answered, owners, now, limits)
    for id_, mark in marks.items():
        entry = shown.get(mark.cluster, {}).get(id_)
        if entry is not None and mark.job_id and entry.state not in TERMINAL_STATES:
            marks[id_] = health.judged(mark, entry, now, limits)
    marks = _write_records(current, before.by_id, marks, now)
    kept, states = _still_needed(current, marks, shown, now)
    store.keep_states(states)
    store.save(before, Marks(kept, _known_until(before, looks, answered)))
    if looks:
        log.info("sync.health", looks=len(looks), unanswered=len(looks) - len(answered), marks=len(kept))


def _foreign(result: BatchResult) -> frozenset[str]:
    """The Flink jobs that belong to no record, as far as this pass knows."""
    ids = (cluster_and_id(fingerprint)[1] for fingerprint in result.unmatched)
    return frozenset(ids) - result.flink_job_ids


# --- which jobs are asked about ---------------------------------------------------------------------


def _looks(
    marks: Marks, shown: _Shown, foreign: Collection[str], now: datetime, window: timedelta
) -> Mapping[_Kind, Sequence[_Look]]:
    """All looks that are of use, by kind, longest unseen first.

    Of checkpoints nothing new is to be seen before the job's own interval is over; of those of a job that is
    over, nothing certain before Flink answers anew.
    """
    begin_ms = int((now - window).timestamp() * 1000)
    looks: dict[_Kind, list[_Look]] = {kind: [] for kind in _Kind}
    for cluster, entries in shown.items():
        known = marks.known_until.get(cluster, (0, ""))
        for id_, entry in entries.items():
            is_quiet = entry.modified_ms < begin_ms and entry.start_ms < known[0]
            if is_quiet and id_ not in marks.by_id:
                continue  # as most jobs
            mark, position = marks.by_id.get(id_), (entry.start_ms, id_)
            is_over, is_new = entry.state in TERMINAL_STATES, position > known
            if mark is None and is_over:
                continue
            ranks: dict[_Kind, tuple[Any, ...]] = {}
            if not is_over and is_new:
                ranks[_Kind.SETTINGS] = position
            if id_ not in foreign and not is_over and health.has_moved(entry, mark, begin_ms):
                ranks[_Kind.RESTARTS] = ((mark and mark.counted_at) or _NEVER, id_)
            if id_ not in foreign and mark is not None and mark.settings is not None:
                observed_at = mark.checkpoint.observed_at if mark.checkpoint else _NEVER
                is_due = now - observed_at >= mark.settings.interval
                if health.is_answered_anew(entry, now) if is_over else is_due:
                    ranks[_Kind.CHECKPOINTS] = (not is_over, observed_at, id_)  # soon its cluster forgets it
            for kind, rank in ranks.items():
                looks[kind].append(_Look(kind, id_, cluster, entry, mark, rank))
    return {kind: sorted(own, key=lambda look: look.rank) for kind, own in looks.items()}


def _chosen(looks: Mapping[_Kind, Sequence[_Look]], requests: int) -> Sequence[_Look]:
    """As many looks as the number of requests allows; checkpoints and new jobs alternate."""
    pairs = itertools.zip_longest(looks[_Kind.CHECKPOINTS], looks[_Kind.SETTINGS])
    others = [look for pair in pairs for look in pair if look is not None]
    kept = min(len(others), requests // _KEPT_FOR_OTHERS)
    moved = looks[_Kind.RESTARTS][: (requests - kept) // 2]
    return [*moved, *others[: requests - 2 * len(moved)]]


# --- answers ----------------------------------------------------------------------------------------


def _answer(current: Pass, look: _Look, now: datetime) -> Any:
    """What Flink answers; `Unreachable` where it does not, or there is no time left."""
    flink = current.snapshots.flink(look.cluster)
    if current.deadline.is_over():
        return Unreachable("there was no time left to ask")
    match look.kind:
        case _Kind.SETTINGS:
            return or_unreachable(lambda: flink.checkpoint_settings(look.id))
        case _Kind.CHECKPOINTS:
            return or_unreachable(lambda: flink.checkpoints(look.id, now))
    restarts = or_unreachable(lambda: flink.restarts(look.id))
    is_same_start = look.mark is not None and look.mark.start_ms == look.entry.start_ms
    counted = look.mark.counts[-1][1] if look.mark and look.mark.counts and is_same_start else 0
    if isinstance(restarts, Unreachable) or restarts == counted:
        return restarts if isinstance(restarts, Unreachable) else (restarts, None, ())
    failures = or_unreachable(lambda: flink.exceptions(look.id))
    return failures if isinstance(failures, Unreachable) else (restarts, *failures)


def _with_answers(
    before: Mapping[str, Mark],
    answered: Sequence[tuple[_Look, Any]],
    owners: Mapping[str, tuple[str, str | None]],
    now: datetime,
    limits: Limits,
) -> dict[str, Mark]:
    marks = dict(before)
    for look, answer in answered:
        if answer is None and look.id not in marks:
            continue  # it does not checkpoint
        mark = marks.get(look.id) or Mark(look.id, look.cluster)
        if not mark.job_id:
            job_id, template_id = owners.get(look.id, (None, None))
            mark = replace(mark, job_id=job_id, template_id=template_id)
        match look.kind:
            case _Kind.SETTINGS:
                mark = replace(mark, settings=answer)
            case _Kind.CHECKPOINTS:
                states = health.with_deletion(answer.states, mark.settings)
                latest = health.latest_state(states, look.entry.state)
                mark = replace(mark, checkpoint=answer.checkpoint, latest_state=latest)
            case _Kind.RESTARTS:
                restarts, cause, failures = answer
                mark = health.counted(mark, look.entry, restarts, failures, cause, now, limits)
        marks[look.id] = mark
    return marks


def _known_until(
    before: Marks, looks: Sequence[_Look], answered: Sequence[tuple[_Look, Any]]
) -> Mapping[str, Position]:
    """As far as every job was asked whether it checkpoints, without a gap."""
    known, done = dict(before.known_until), {(look.kind, look.id) for look, _ in answered}
    stopped: set[str] = set()
    for look in looks:
        if look.kind is _Kind.SETTINGS and look.cluster not in stopped:
            if (look.kind, look.id) in done:
                known[look.cluster] = (look.entry.start_ms, look.id)
            else:
                stopped.add(look.cluster)
    return known


# --- records ----------------------------------------------------------------------------------------


def _write_records(
    current: Pass, before: Mapping[str, Mark], marks: Mapping[str, Mark], now: datetime
) -> dict[str, Mark]:
    """Writes the records whose health has changed; a mark whose record was not written stays as it was."""
    updates = _updates(current, before, marks, now)
    run_id = f"{current.run_id}/health"  # what the pass itself wrote must not count as written here
    applied = current.sync.store.apply(updates, now=now, run_id=run_id, by=Writer.SYNC)
    for update in updates:
        found = update.after.health
        if update.after.job_id in applied.job_ids and found is not None and found != update.before.health:
            log.info("job.health", job_id=update.after.job_id, state=found.state, code=found.code)
    for job_id, message in applied.refused.items():
        log.warning("health.not_written", job_id=job_id, error=message)
    unwritten = applied.conflicts | applied.refused.keys()
    result = dict(marks)
    for id_, mark in marks.items():
        if mark.job_id in unwritten:
            known = before.get(id_) or Mark(id_, mark.cluster)
            result[id_] = replace(mark, health=known.health, settles_at=known.settles_at)
        elif _is_settled(mark, now):
            result[id_] = replace(mark, settles_at=None)
    return result


def _updates(
    current: Pass, before: Mapping[str, Mark], marks: Mapping[str, Mark], now: datetime
) -> Sequence[Update]:
    """What becomes of the records of which a job has changed, is new, or is settled."""
    of_record: dict[str, list[Mark]] = defaultdict(list)
    changed: set[str] = set()
    for id_, mark in marks.items():
        if mark.job_id:
            of_record[mark.job_id].append(mark)
            is_known = id_ in before and (mark.health is None or mark.health.is_same(before[id_].health))
            if not is_known or _is_settled(mark, now):
                changed.add(mark.job_id)
    updates = []
    for record in _records(current, changed):
        own = of_record[record.job_id]
        healths = [mark.health for mark in own if mark.health is not None]
        is_settled = all(mark.settles_at is None or _is_settled(mark, now) for mark in own)
        after = health.with_health(record, healths, is_settled=is_settled, now=now)
        if after != record:
            updates.append(Update(record, after))
    return updates


def _is_settled(mark: Mark, now: datetime) -> bool:
    return mark.settles_at is not None and mark.settles_at <= now


def _records(current: Pass, job_ids: Collection[str]) -> Sequence[JobRecord]:
    """The records of these that are open."""
    if not job_ids:
        return []
    found = current.sync.store.records_to_follow(lost_since=current.sync.clock(), job_ids=job_ids)
    return [each for each in found if isinstance(each, JobRecord) and each.status in OPEN]


def _still_needed(
    current: Pass, marks: Mapping[str, Mark], shown: _Shown, now: datetime
) -> tuple[Mapping[str, Mark], Mapping[str, LatestState]]:
    """The marks that a later pass needs; and the latest states of the records that are over."""
    kept: dict[str, Mark] = {}
    over: list[Mark] = []
    missing: list[Mark] = []
    for id_, mark in marks.items():
        entries = shown.get(mark.cluster)
        entry = entries.get(id_) if entries is not None else None
        if entries is not None and entry is None:
            missing.append(mark)
        elif entry is not None and entry.state in TERMINAL_STATES:
            is_asked = mark.checkpoint is not None and mark.checkpoint.observed_at == now
            if mark.settings is None or not mark.job_id or is_asked:
                over.append(mark)
            else:
                kept[id_] = mark
        elif entry is None or health.is_needed(mark, entry, now, current.sync.health):
            kept[id_] = mark
    is_open = {
        record.job_id for record in _records(current, {mark.job_id for mark in missing if mark.job_id})
    }
    for mark in missing:
        if mark.job_id in is_open:
            kept[mark.flink_job_id] = mark
        else:
            over.append(mark)
    return kept, {mark.job_id: mark.latest_state for mark in over if mark.job_id and mark.latest_state}
