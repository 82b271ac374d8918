"""Some records of a pass: observe, decide, write, act."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec

from flinkjobs import log
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.observations import (
    JobPhase,
    NamedJobs,
    Observation,
    ObservationError,
    Submitter,
    SubmitterObservation,
    found_ids,
    may_lack_ids,
)
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Action, Update, decide
from flinkjobs.ports.store import Applied
from flinkjobs.sync.context import Pass
from flinkjobs.sync.report import WRITE_REFUSED, BatchResult
from flinkjobs.sync.stuck_submissions import delete_stuck_job, is_stuck_submission

INTERNAL: Final = "INTERNAL"


class DecidedBatch(msgspec.Struct, frozen=True):
    """What was decided of some records.

    Attributes:
        now: when it was decided.
        records: as they are to be; those that were decided, changed or not.
        updates: what is to be written.
        stuck: submissions to be taken back, with what was seen of them.
        passed_over: job ids for which the time did not suffice.
        errors: of the observations, and of the records on which the rules failed.
        is_kubernetes_answered: Kubernetes has answered at least one request.
        awaited: records whose submitters may have a Flink job that is not known yet.
    """

    now: datetime
    records: tuple[JobRecord, ...] = ()
    updates: tuple[Update, ...] = ()
    stuck: tuple[tuple[JobRecord, Submitter], ...] = ()
    passed_over: frozenset[str] = frozenset()
    errors: tuple[ObservationError, ...] = ()
    is_kubernetes_answered: bool = False
    awaited: tuple[JobRecord, ...] = ()


def decide_batch(current: Pass, records: Sequence[JobRecord]) -> DecidedBatch:
    """Observes and decides records until the time budget is exhausted."""
    now = current.sync.clock()
    parts = [_decide(current, distinct, now) for distinct in _without_repeated_job_ids(records)]
    return DecidedBatch(
        now=now,
        records=tuple(record for part in parts for record in part.records),
        updates=tuple(update for part in parts for update in part.updates),
        stuck=tuple(stuck for part in parts for stuck in part.stuck),
        passed_over=frozenset().union(*(part.passed_over for part in parts)),
        errors=tuple(error for part in parts for error in part.errors),
        is_kubernetes_answered=any(part.is_kubernetes_answered for part in parts),
        awaited=tuple(record for part in parts for record in part.awaited),
    )


def _decide(current: Pass, records: Sequence[JobRecord], now: datetime) -> DecidedBatch:
    policy = current.sync.policy
    submitters = current.submitters.observe(records, now)
    named = _named_jobs(current, records, submitters.by_job_id)
    flink = current.flink_jobs.observe(records, submitters.by_job_id, named)
    foreign = _foreign_ids(current, records, submitters.by_job_id, named)
    passed_over = submitters.passed_over | flink.passed_over
    errors = [*submitters.errors, *flink.errors]
    after: list[JobRecord] = []
    updates: list[Update] = []
    stuck: list[tuple[JobRecord, Submitter]] = []
    for record in records:
        if record.job_id in passed_over:
            continue
        submitter = submitters.by_job_id.get(record.job_id)
        observation = Observation(
            submitter,
            flink.by_job_id[record.job_id],
            named.get(record.job_id),
            foreign.get(record.job_id, frozenset()),
        )
        action = _decide_one(record, observation, now, current)
        if isinstance(action, ObservationError):
            errors.append(action)
        elif isinstance(action, Update):
            updates.append(action)
        after.append(action.after if isinstance(action, Update) else record)
        if isinstance(submitter, Submitter) and is_stuck_submission(record, submitter, now, policy):
            stuck.append((record, submitter))
    return DecidedBatch(
        now=now,
        records=tuple(after),
        updates=tuple(updates),
        stuck=tuple(stuck),
        passed_over=passed_over,
        errors=tuple(errors),
        is_kubernetes_answered=submitters.is_answered,
        awaited=tuple(record for record in after if _is_awaited(current, record, submitters.by_job_id)),
    )


def _is_awaited(current: Pass, record: JobRecord, submitters: Mapping[str, SubmitterObservation]) -> bool:
    """Whether the submitter of a record without an id may have submitted a Flink job already."""
    submitter = submitters.get(record.job_id)
    if record.flink_jobs or record.status is not Status.CREATED:
        return False
    if submitter is None:  # any other reason is a problem of its pod
        is_waiting = record.reason is not None and record.reason.code is not ReasonCode.OUTCOME_UNKNOWN
        return not current.is_due(record) and not is_waiting
    if not isinstance(submitter, Submitter):
        return True
    is_waiting = submitter.phase is JobPhase.ACTIVE and submitter.problem is not None
    return not is_waiting and submitter.phase is not JobPhase.SUSPENDED


def _named_jobs(
    current: Pass, records: Sequence[JobRecord], submitters: Mapping[str, SubmitterObservation]
) -> Mapping[str, NamedJobs]:
    """The Flink jobs that are named like the records that have no id, or may lack one."""
    ended = {
        record.job_id
        for record in records
        if record.job_id in submitters and may_lack_ids(submitters[record.job_id], record.dropped_ids)
    }
    wanted = [
        record
        for record in records
        if record.job_id in ended
        or (
            not record.flink_jobs
            and (record.job_id in submitters or record.status is Status.LOST or not current.is_due(record))
        )
    ]
    return current.snapshots.named(wanted, again=ended) if wanted else {}


def _foreign_ids(
    current: Pass,
    records: Sequence[JobRecord],
    submitters: Mapping[str, SubmitterObservation],
    named: Mapping[str, NamedJobs],
) -> Mapping[str, frozenset[str]]:
    """The ids that submitters have printed and that belong to other records, by job id."""
    claims: dict[str, list[JobRecord]] = defaultdict(list)
    for record in records:
        known = set(record.flink_job_ids)
        for flink_job_id in found_ids(submitters.get(record.job_id)):
            if flink_job_id not in known:
                claims[flink_job_id].append(record)
    owners = current.sync.store.owners(claims.keys()) if claims else {}
    foreign: dict[str, set[str]] = defaultdict(set)
    for flink_job_id, claimants in claims.items():
        by_name = [each for each in claimants if _is_named(flink_job_id, named.get(each.job_id))]
        first = min(by_name or claimants, key=attrgetter("submitted_at"))
        for record in claimants:
            others = owners.get(flink_job_id, frozenset()) - {record.job_id}
            if others or record is not first:
                foreign[record.job_id].add(flink_job_id)
    return {job_id: frozenset(ids) for job_id, ids in foreign.items()}


def _is_named(flink_job_id: str, named: NamedJobs | None) -> bool:
    return isinstance(named, tuple) and any(job.id == flink_job_id for job in named)


def _without_repeated_job_ids(records: Sequence[JobRecord]) -> Iterator[Sequence[JobRecord]]:
    """The records in portions that hold no job id twice: as a rule, all of them at once.

    Observations are kept by job id, and two documents of one job id may have different submitters.
    """
    rest = records
    while rest:
        seen: set[str] = set()
        portion: list[JobRecord] = []
        repeated: list[JobRecord] = []
        for record in rest:
            (repeated if record.job_id in seen else portion).append(record)
            seen.add(record.job_id)
        yield portion
        rest = repeated


def _decide_one(
    record: JobRecord, observation: Observation, now: datetime, current: Pass
) -> Action | ObservationError:
    try:
        return decide(record, observation, now, current.sync.policy)
    except Exception as error:  # noqa: BLE001 - one record on which the rules fail must not stop the others
        log.error("job.not_decided", exception=error, job_id=record.job_id)
        return ObservationError(record.job_id, INTERNAL, f"{type(error).__name__}: {error}")


def write_batch(current: Pass, decided: DecidedBatch) -> BatchResult:
    """Writes the decisions of a batch, then deletes stuck Jobs; does neither without the lease."""
    has_work = decided.updates or decided.stuck
    if has_work and current.lease is not None and not current.lease.is_ours():
        return BatchResult(
            is_complete=False,
            errors=decided.errors,
            is_kubernetes_answered=decided.is_kubernetes_answered,
        )
    awaited_since = {
        cluster: min(record.submitted_at for record in decided.awaited if record.cluster == cluster)
        for cluster in {record.cluster for record in decided.awaited}
    }
    applied = current.sync.store.apply(
        decided.updates, now=decided.now, run_id=current.run_id, by=Writer.SYNC
    )
    written = [update for update in decided.updates if update.after.job_id in applied.job_ids]
    log_moves(written)
    failed_actions = [delete_stuck_job(current, record, submitter) for record, submitter in decided.stuck]
    return BatchResult(
        is_complete=not decided.passed_over,
        scanned=len(decided.records),
        unresolved=sum(
            not record.flink_jobs and record.status is Status.CREATED for record in decided.records
        ),
        resolved=sum(bool(update.after.flink_jobs) and not update.before.flink_jobs for update in written),
        unchanged=len(decided.records) - len(decided.updates) - _undecided(decided),
        conflicts=len(applied.conflicts),
        changed=Counter(update.after.status.value for update in written),
        errors=(
            *decided.errors,
            *_refused(applied),
            *(error for error in failed_actions if error is not None),
        ),
        is_kubernetes_answered=decided.is_kubernetes_answered,
        flink_job_ids=frozenset(ref.id for record in decided.records for ref in record.flink_jobs),
        awaited_since=awaited_since,
    )


def _undecided(decided: DecidedBatch) -> int:
    return sum(error.code == INTERNAL for error in decided.errors)


def _refused(applied: Applied) -> Iterator[ObservationError]:
    for job_id, message in applied.refused.items():
        yield ObservationError(job_id, WRITE_REFUSED, message)


def log_moves(written: Sequence[Update]) -> None:
    """Logs a line for every record whose status has changed."""
    log.info_each(
        "job.moved",
        [
            {
                "job_id": after.job_id,
                "flink_job_id": after.flink_job_id,
                "status": after.status.value,
                "was": update.before.status.value,
                "reason": after.reason.code.value if after.reason else None,
            }
            for update in written
            if (after := update.after).status is not update.before.status
        ],
    )
