"""One synchronisation pass: observe the open records, decide each, write what changed in bulk.

    lease → one snapshot per Flink cluster; in parallel, the fingerprints of the open records
          → whole, only the records whose fingerprint is not in the snapshots
          → those that the snapshot decides: decide → bulk write, batch by batch
          → the others: Jobs, pods, logs, single Flink jobs → decide → bulk write → stuck Jobs
          → the actions that people asked for
          → health of the jobs that moved or checkpoint → report → events to the channels

An error of one peer costs what depends on that peer; an error of one record costs that record. A pass that
runs out of time keeps what it has done, and the next one begins where it stopped.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from flinkjobs import log
from flinkjobs.domain.batches import batches, chunks
from flinkjobs.domain.errors import FlinkjobsError, StoreRefusedError, TemporaryError
from flinkjobs.domain.history import Writer
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, ObservationError
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.ticks import is_submitter_due
from flinkjobs.lease import ActiveLease, hold_lease
from flinkjobs.observers.deadline import Deadline
from flinkjobs.ports.health_store import Marks
from flinkjobs.ports.store import NO_FINGERPRINTS
from flinkjobs.sync.actions import act
from flinkjobs.sync.batch import DecidedBatch, decide_batch, log_moves, write_batch
from flinkjobs.sync.change_detection import changes_since_last_write, is_decided_by_snapshot
from flinkjobs.sync.clusters import note_clusters
from flinkjobs.sync.context import Pass, Sync, begin_pass
from flinkjobs.sync.health import update_health
from flinkjobs.sync.report import (
    ACTIONS_NOT_SAVED,
    HEALTH_NOT_SAVED,
    NOT_NOTIFIED,
    RUN_NOT_SAVED,
    UNMANAGED_NOT_SAVED,
    UNREADABLE_RECORD,
    BatchResult,
    error_views,
    missing_jobs,
    pass_report,
    total,
)
from flinkjobs.sync.unmanaged import save_unmanaged_jobs

LEASE: Final = "sync"

RECORDS_PER_BATCH: Final = 250
"""Maximum number of records that are decided and written together where the snapshot decides them."""

RECORDS_PER_STEP: Final = 1_000
"""Maximum number of records that are observed, decided and written together where peers are asked."""

MAX_CONCURRENT_WRITES: Final = 8
"""Maximum number of bulk writes under way while the next batch is decided."""

LOST_WATCHED_FOR: Final = timedelta(days=30)
"""A LOST record goes back if its job reappears within this time."""


MARKS_KEPT: Final = timedelta(hours=1)
"""How long moves stay marked for delivery where no channel is configured.

During a rollout a function of another version may know a channel, and deliver them.
"""

MARKS_PER_PASS: Final = 1_000
"""Maximum number of records whose marks one pass clears where no channel is configured."""


class NothingReachableError(TemporaryError):
    """Neither Kubernetes nor any Flink cluster could be asked: the pass could do nothing."""

    code = "NOTHING_REACHABLE"


def run_pass(sync: Sync, *, job_ids: Collection[str] | None = None) -> dict[str, Any]:
    """Synchronises every record that is not final, or only those of `job_ids`.

    A pass over everything holds a lease; while another one holds it, the answer says `skipped`. A pass over
    a few job ids needs none: its writes are conditional on the records being as it read them.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        NothingReachableError: there was work, but no peer could be asked.
    """
    run_id = uuid.uuid4().hex
    deadline = Deadline.after(sync.budget_seconds, is_stopping=sync.is_stopping)
    lease = nullcontext() if job_ids is not None else hold_lease(sync.leases, LEASE, holder=run_id)
    with lease as active:
        if active is None and job_ids is None:
            return skipped_report(run_id, sync.clock())
        return pass_under_lease(sync, run_id, deadline, active, job_ids=job_ids)


def skipped_report(run_id: str, now: datetime) -> dict[str, Any]:
    """The report of a pass whose lease another holds."""
    log.info("sync.skipped", run_id=run_id)
    return pass_report(run_id=run_id, started_at=now, duration_seconds=0, result=None, clusters={})


def pass_under_lease(
    sync: Sync,
    run_id: str,
    deadline: Deadline,
    active: ActiveLease | None,
    *,
    job_ids: Collection[str] | None = None,
    last_observed_at: datetime | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Runs one pass, as `run_pass` does.

    Args:
        sync: see `Sync`.
        run_id: names the pass on what it writes.
        deadline: of the pass.
        active: the lease; None where the pass needs none.
        job_ids: the records; None means all.
        last_observed_at: as of `is_submitter_due`.
        save: keeps the report; None keeps it as a document of its own.
    """
    started_at, began = sync.clock(), time.monotonic()  # not before: another pass may still be running

    def is_due(record: JobRecord) -> bool:
        return is_submitter_due(record.submitted_at, started_at, last_observed_at)

    with begin_pass(sync, run_id, deadline, active, is_due) as current:
        if active is not None and sync.delivery is not None:
            sync.delivery.begin()
        marks = None if active is None else _load_marks(current)
        results = list(_reconcile(current, lost_since=started_at - LOST_WATCHED_FOR, job_ids=job_ids))
        results.append(_act(current, job_ids))
        results.append(_judge_health(current, marks, total(results)))
    result, clusters = total(results), current.snapshots.report()
    _expect_any_answer(result, clusters)
    no_events = current.events.errors()
    result = replace(
        result,
        is_complete=result.is_complete and not no_events,
        errors=(*result.errors, *no_events, *missing_jobs(current.snapshots, clusters)),
    )
    if active is not None and result.is_complete and active.is_ours():
        result, clusters = _with_unmanaged_jobs(current, result, clusters, started_at)
    report = pass_report(
        run_id=run_id,
        started_at=started_at,
        duration_seconds=time.monotonic() - began,
        result=result,
        clusters=clusters,
    )
    try:
        if active is not None:
            note_clusters(sync, current.snapshots, clusters, started_at, is_complete=result.is_complete)
        (save or sync.store.save_run)({**report, "whole": job_ids is None})
    except FlinkjobsError as error:  # the records are written: the pass itself has done its work
        report["errors"].append({"job_id": None, "code": RUN_NOT_SAVED, "message": str(error)})
    if active is not None:
        report["notified"] = _notify(sync, report, deadline, active)
    log.info("sync.pass", whole=job_ids is None, **report)
    return report


def _act(current: Pass, job_ids: Collection[str] | None) -> BatchResult:
    """Takes the actions further; the error where that failed: the records are written all the same."""
    try:
        return act(current, job_ids)
    except FlinkjobsError as error:
        failed = ObservationError(None, ACTIONS_NOT_SAVED, str(error))
        return BatchResult(is_complete=False, errors=(failed,))


def _load_marks(current: Pass) -> Future[Marks] | None:
    """Reads what is remembered of the health of jobs while the clusters answer; None where it is off."""
    store = current.sync.health_store
    return current.threads.submit(store.load) if store is not None and current.sync.health.requests else None


def _judge_health(current: Pass, marks: Future[Marks] | None, result: BatchResult) -> BatchResult:
    """Judges the health of jobs; the error where that failed: the records are written all the same."""
    store = current.sync.health_store
    if marks is None or store is None:
        return BatchResult()
    try:
        update_health(current, result, store, marks.result())
    except FlinkjobsError as error:
        return BatchResult(errors=(ObservationError(None, HEALTH_NOT_SAVED, str(error)),))
    return BatchResult()


def _notify(
    sync: Sync, report: Mapping[str, Any], deadline: Deadline, lease: ActiveLease
) -> Mapping[str, Mapping[str, int]]:
    """Sends the events of what was written; the counts, by channel."""
    notified: Mapping[str, Mapping[str, int]] = {}
    try:
        if sync.delivery is None:
            now = report["started_at"]
            sync.notify_store.forget(before=now - MARKS_KEPT, limit=MARKS_PER_PASS, now=now)
        else:
            notified = sync.delivery.run(deadline, lease)
            sync.store.save_notified(report["run_id"], report["started_at"], notified)
    except FlinkjobsError as error:  # the next pass delivers what is still pending
        report["errors"].append({"job_id": None, "code": NOT_NOTIFIED, "message": str(error)})
    return notified


def _with_unmanaged_jobs(
    current: Pass, result: BatchResult, clusters: dict[str, dict[str, Any]], started_at: datetime
) -> tuple[BatchResult, dict[str, dict[str, Any]]]:
    """The clusters with the number of their unmanaged jobs.

    Where it cannot be established, the result with an error: the records are written all the same.
    """
    try:
        counts = save_unmanaged_jobs(current.sync.store, current.snapshots, result, seen_at=started_at)
    except FlinkjobsError as error:
        failed = ObservationError(None, UNMANAGED_NOT_SAVED, str(error))
        return replace(result, errors=(*result.errors, failed)), clusters
    return result, {name: {**seen, "unmanaged": counts.get(name)} for name, seen in clusters.items()}


def _expect_any_answer(result: BatchResult, clusters: Mapping[str, Mapping[str, Any]]) -> None:
    is_kubernetes_away = not result.is_kubernetes_answered and any(
        error.job_id is None and error.code == KUBERNETES_UNAVAILABLE for error in result.errors
    )
    if is_kubernetes_away and not any(cluster["reachable"] for cluster in clusters.values()):
        raise NothingReachableError("neither Kubernetes nor any Flink cluster answered: nothing was done")


def _reconcile(
    current: Pass, *, lost_since: datetime, job_ids: Collection[str] | None
) -> Iterator[BatchResult]:
    """Brings the records up to date; ends when all are done, the time is up, or the lease is gone."""
    store = current.sync.store
    changed = NO_FINGERPRINTS
    if job_ids is None:
        changes = changes_since_last_write(store, current.snapshots)
        yield BatchResult(scanned=changes.unchanged, unchanged=changes.unchanged, unmatched=changes.unmatched)
        changed = changes.changed
    found = store.records_to_follow(
        lost_since=lost_since, fingerprints=changed, job_ids=job_ids, run_id=current.run_id
    )
    others = yield from _reconcile_by_snapshot(current, found)
    yield from _reconcile_by_request(current, others)


def _reconcile_by_snapshot(
    current: Pass, found: Iterator[JobRecord | UnreadableRecord]
) -> Generator[BatchResult, None, list[JobRecord]]:
    """Decides the records of which the snapshots say everything, each batch while earlier ones are written.

    However little time there is, the first batch is written: every pass gets on.

    Returns:
        The other records; none if the pass has to end.
    """
    overviews = current.snapshots.overviews()
    others: list[JobRecord] = []
    writes: deque[Future[BatchResult]] = deque()
    is_complete = True
    for number, batch in enumerate(batches(found, RECORDS_PER_BATCH)):
        if number and current.deadline.is_over():
            is_complete = False
            break
        errors, records = _readable(batch)
        yield BatchResult(errors=errors)
        decided: list[JobRecord] = []
        for record in records:
            shown = overviews.get(record.cluster)
            (decided if is_decided_by_snapshot(record, shown) else others).append(record)
        if decided:
            writes.append(current.threads.submit(write_batch, current, decide_batch(current, decided)))
        while len(writes) > MAX_CONCURRENT_WRITES:
            written = writes.popleft().result()
            is_complete = is_complete and written.is_complete
            yield written
        if not is_complete:
            break
    for write in writes:
        written = write.result()
        is_complete = is_complete and written.is_complete
        yield written
    yield BatchResult(is_complete=is_complete)
    return others if is_complete else []


def _reconcile_by_request(current: Pass, records: Sequence[JobRecord]) -> Iterator[BatchResult]:
    """Steps through the records for which a peer is asked, in the order of their job ids.

    Those behind the cursor of the lease come first: they have waited longest.
    """
    begin = current.lease.cursor if current.lease else None
    cursor = begin
    ordered = sorted(
        records, key=lambda record: (begin is not None and record.job_id <= begin, record.job_id)
    )
    for step in chunks(ordered, RECORDS_PER_STEP):
        decided = decide_batch(current, step)
        result = write_batch(current, decided)
        yield result
        done = list(itertools.takewhile(partial(_is_done, decided), step))
        if done:
            cursor = done[-1].job_id
        if not result.is_complete:
            break
    else:
        cursor = None
    if current.lease is not None:
        current.lease.cursor = cursor


def _is_done(decided: DecidedBatch, record: JobRecord) -> bool:
    return record.job_id not in decided.passed_over


def _readable(
    found: Iterable[JobRecord | UnreadableRecord],
) -> tuple[tuple[ObservationError, ...], list[JobRecord]]:
    """The errors of the documents that cannot be read, and the records."""
    errors, records = [], []
    for one in found:
        if isinstance(one, UnreadableRecord):
            errors.append(ObservationError(one.job_id, UNREADABLE_RECORD, one.error))
        else:
            records.append(one)
    return tuple(errors), records


class ReconcileResult(msgspec.Struct, frozen=True):
    """Result of reconciling a few records.

    Attributes:
        records: as they are after it, or would be; only those that are open and could be read.
        passed_over: job ids for which the time did not suffice.
        conflicts: job ids of records that another writer changed in between: what was found is not on them.
        errors: as in the report of a pass.
    """

    records: Sequence[JobRecord]
    passed_over: Collection[str]
    conflicts: Collection[str]
    errors: Sequence[Mapping[str, str | None]]


def reconcile_records(sync: Sync, job_ids: Sequence[str], *, run_id: str, write: bool) -> ReconcileResult:
    """Reconciles these records as a pass does: for cleanup, which is about to delete what a pass reads.

    Args:
        sync: as of a pass.
        job_ids: the records, in the order in which they are examined while time is left.
        run_id: of the caller.
        write: whether what was decided is written; else nothing is changed anywhere.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        StoreRefusedError: the store refused, if only one record.
    """
    lost_since = sync.clock() - LOST_WATCHED_FOR
    with begin_pass(sync, run_id, Deadline.after(sync.budget_seconds), None) as current:
        found = sync.store.records_to_follow(lost_since=lost_since, job_ids=job_ids)
        errors, records = _readable(found)
        order = {job_id: number for number, job_id in enumerate(job_ids)}
        decided = decide_batch(current, sorted(records, key=lambda record: order[record.job_id]))
        conflicts: Collection[str] = ()
        if write:
            applied = sync.store.apply(decided.updates, now=decided.now, run_id=run_id, by=Writer.CLEANUP)
            for job_id, message in applied.refused.items():
                raise StoreRefusedError(f"{job_id}: {message}")  # the caller must not delete what it read
            conflicts = applied.conflicts
            log_moves([update for update in decided.updates if update.after.job_id in applied.job_ids])
    after = [record for record in decided.records if record.job_id not in conflicts]
    return ReconcileResult(after, decided.passed_over, conflicts, error_views((*errors, *decided.errors)))
