"""One synchronisation pass: observe every open record, decide each, write what changed in one bulk.

    records → one snapshot per Flink cluster → Jobs, pods and logs of the records that need them
            → decide → bulk write → report

An error of one peer costs what depends on that peer; an error of one record costs that record.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final, TypeVar

from flinkjobs import log
from flinkjobs.decide import decide
from flinkjobs.errors import FlinkjobsError, TemporaryError
from flinkjobs.harvest import find_by_name, observe_submitter
from flinkjobs.kube import APP, APP_LABEL, JOB_ID_LABEL, KubernetesJob, Pod
from flinkjobs.manifest import label_safe
from flinkjobs.model import (
    FlinkJob,
    FlinkObservation,
    JobRecord,
    LogState,
    Missing,
    NoKubernetesJob,
    Observation,
    Policy,
    Status,
    Submitter,
    SubmitterObservation,
    Unreachable,
    UnreadableRecord,
    Update,
)
from flinkjobs.ports import Cluster, Flink, JobStore
from flinkjobs.states import TERMINAL_STATES

T = TypeVar("T")

THREADS: Final = 8
"""Requests under way at once, to all peers together."""

RECORDS_PER_STEP: Final = 1_000
"""The budget is looked at, and what changed is written, after so many records."""

JOB_IDS_PER_SELECTOR: Final = 80
"""Job ids in one label selector: the URL stays below the 8 KiB that every proxy lets through."""

LOST_WATCHED_FOR: Final = timedelta(days=30)
"""A LOST record goes back if its job reappears within this time."""


class NothingReachableError(TemporaryError):
    """Neither Kubernetes nor any Flink cluster could be asked: the pass could do nothing."""

    code = "NOTHING_REACHABLE"


@dataclass(frozen=True, slots=True)
class Sync:
    """What a pass works with.

    Attributes:
        store: the records.
        cluster: Kubernetes.
        flinks: every Flink cluster, by its name in the settings.
        policy: see `Policy`.
        budget_seconds: the pass begins no further step after this long.
        clock: the time now, aware UTC.
    """

    store: JobStore
    cluster: Cluster
    flinks: Mapping[str, Flink]
    policy: Policy
    budget_seconds: float
    clock: Callable[[], datetime]


@dataclass(slots=True)
class _Tally:
    """Counts what happened, after it happened."""

    scanned: int = 0
    unresolved: int = 0
    resolved: int = 0
    unchanged: int = 0
    conflicts: int = 0
    complete: bool = True
    changed: Counter[str] = field(default_factory=Counter)
    errors: dict[tuple[str | None, str], str] = field(default_factory=dict)

    def error(self, job_id: str | None, code: str, message: str) -> None:
        """Notes an error once per record and code; a peer's error, with no record, once per pass."""
        self.errors.setdefault((job_id, code), message)


def run(sync: Sync, *, job_ids: Collection[str] | None = None) -> dict[str, Any]:
    """Synchronises every record that is not final, or only those of `job_ids`.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        NothingReachableError: there was work, but nobody could be asked.
    """
    started_at, began = sync.clock(), time.monotonic()
    run_id = uuid.uuid4().hex
    tally = _Tally()
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        snapshots = _Snapshots(sync.flinks, threads)
        records = _readable(
            sync.store.records_to_follow(lost_since=started_at - LOST_WATCHED_FOR, job_ids=job_ids), tally
        )
        for step in _chunks(records, RECORDS_PER_STEP):
            if time.monotonic() - began > sync.budget_seconds:
                tally.complete = False
                break
            _step(sync, step, snapshots, threads, tally, run_id)
        clusters = snapshots.report()
    if (
        records
        and not any(seen["reachable"] for seen in clusters.values())
        and tally.errors.keys() >= {(None, "KUBERNETES_UNAVAILABLE")}
    ):
        raise NothingReachableError("neither Kubernetes nor any Flink cluster answered: nothing was done")
    report = {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(time.monotonic() - began, 3),
        "complete": tally.complete,
        "skipped": False,
        "scanned": tally.scanned,
        "unresolved": tally.unresolved,
        "resolved": tally.resolved,
        "changed": dict(sorted(tally.changed.items())),
        "unchanged": tally.unchanged,
        "conflicts": tally.conflicts,
        "errors": [
            {"job_id": job_id, "code": code, "message": message}
            for (job_id, code), message in tally.errors.items()
        ],
        "clusters": clusters,
    }
    sync.store.save_run(report)
    log.info("sync.pass", **report)
    return report


def _readable(found: Iterator[JobRecord | UnreadableRecord], tally: _Tally) -> list[JobRecord]:
    records = []
    for record in found:
        if isinstance(record, JobRecord):
            records.append(record)
        else:
            tally.error(record.job_id, "UNREADABLE_RECORD", record.error)
    return records


def _step(
    sync: Sync,
    records: Sequence[JobRecord],
    snapshots: _Snapshots,
    threads: ThreadPoolExecutor,
    tally: _Tally,
    run_id: str,
) -> None:
    """Observes, decides and writes one portion of the records."""
    now = sync.clock()
    submitters = _observe_submitters(sync, records, snapshots, threads, tally, now)
    flinks = _observe_flink(records, submitters, snapshots, threads)
    updates = []
    for record in records:
        observation = Observation(submitter=submitters.get(record.job_id), flink=flinks[record.job_id])
        try:
            action = decide(record, observation, now, sync.policy)
        except Exception as error:  # noqa: BLE001 - one record that we do not understand must not stop the others
            log.error("job.not_decided", exception=error, job_id=record.job_id)
            tally.error(record.job_id, "INTERNAL", f"{type(error).__name__}: {error}")
            continue
        if isinstance(action, Update):
            updates.append(action)
        else:
            tally.unchanged += 1
        after = action.after if isinstance(action, Update) else record
        tally.unresolved += not after.flink_jobs and after.status is Status.CREATED
    applied = sync.store.apply(updates, now=now, run_id=run_id)
    tally.scanned += len(records)
    tally.conflicts += len(applied.conflicts)
    for update in updates:
        if update.after.job_id in applied.job_ids:
            tally.changed[update.after.status.value] += 1
            tally.resolved += bool(update.after.flink_jobs) and not update.before.flink_jobs
            if update.after.status is not update.before.status:
                _log_move(update)


def _log_move(update: Update) -> None:
    before, after = update.before, update.after
    log.info(
        "job.moved",
        job_id=after.job_id,
        flink_job_id=after.flink_job_id,
        status=after.status.value,
        was=before.status.value,
        reason=after.reason.code.value if after.reason else None,
    )


# --- Kubernetes -------------------------------------------------------------------------------------


def _observe_submitters(
    sync: Sync,
    records: Sequence[JobRecord],
    snapshots: _Snapshots,
    threads: ThreadPoolExecutor,
    tally: _Tally,
    now: datetime,
) -> dict[str, SubmitterObservation]:
    """What Kubernetes says of every record whose submitter may still say something, by job id."""
    wanted = [
        record
        for record in records
        if not record.submitter_done and record.k8s_job_name and record.status is not Status.LOST
    ]
    observed: dict[str, SubmitterObservation] = {}
    chunks = list(_chunks(wanted, JOB_IDS_PER_SELECTOR))
    for chunk, seen in zip(
        chunks, threads.map(lambda chunk: _jobs_and_pods(sync.cluster, chunk), chunks), strict=True
    ):
        if isinstance(seen, Unreachable):
            tally.error(None, "KUBERNETES_UNAVAILABLE", seen.error)
            observed |= {record.job_id: seen for record in chunk}
            continue
        jobs, pods = seen
        looks = threads.map(
            lambda record, jobs=jobs, pods=pods: _look(sync, record, jobs, pods, snapshots, now), chunk
        )
        for record, look in zip(chunk, looks, strict=True):
            observed[record.job_id] = look
            if isinstance(look, Unreachable):
                tally.error(record.job_id, "KUBERNETES_UNAVAILABLE", look.error)
    return observed


def _jobs_and_pods(
    cluster: Cluster, records: Sequence[JobRecord]
) -> tuple[dict[str, KubernetesJob], dict[str, list[Pod]]] | Unreachable:
    """The Jobs by name, and the pods by their Job's name, of these records: two lists for all of them."""
    values = ",".join(label_safe(record.job_id) for record in records)
    selector = f"{APP_LABEL}={APP},{JOB_ID_LABEL} in ({values})"
    pods: dict[str, list[Pod]] = defaultdict(list)
    try:
        jobs = {job.name: job for job in cluster.jobs(selector)}
        for pod in cluster.pods(selector):
            pods[pod.job_name].append(pod)
    except FlinkjobsError as error:
        return Unreachable(str(error))
    return jobs, pods


def _look(
    sync: Sync,
    record: JobRecord,
    jobs: Mapping[str, KubernetesJob],
    pods: Mapping[str, Sequence[Pod]],
    snapshots: _Snapshots,
    now: datetime,
) -> SubmitterObservation:
    """One record's submitter; a Job that the list lacks is asked for by its name."""
    name = record.k8s_job_name or ""
    try:
        job: KubernetesJob | Missing = jobs.get(name) or sync.cluster.job(name)
    except FlinkjobsError as error:
        return Unreachable(str(error))
    if isinstance(job, Missing) or job.job_id not in ("", record.job_id):
        is_old = now - record.submitted_at > sync.policy.grace
        return NoKubernetesJob(named=snapshots.named(record) if is_old and not record.flink_jobs else None)
    submitter = observe_submitter(
        job, pods.get(name, ()), sync.cluster, has_ids=bool(record.flink_jobs), now=now
    )
    if submitter.log is LogState.GONE and not submitter.ids and not record.flink_jobs:
        return replace(submitter, named=snapshots.named(record))
    return submitter


# --- Flink ------------------------------------------------------------------------------------------


def _observe_flink(
    records: Sequence[JobRecord],
    submitters: Mapping[str, SubmitterObservation],
    snapshots: _Snapshots,
    threads: ThreadPoolExecutor,
) -> dict[str, dict[str, FlinkObservation]]:
    """What Flink says of every id of every record, by job id and Flink Job ID.

    Only the ids for which a snapshot is not enough cost a request of their own: those it lacks, and
    those that have just failed, for their root exception.
    """
    observed: dict[str, dict[str, FlinkObservation]] = {}
    asked: list[tuple[JobRecord, str]] = []
    for record in records:
        seen = observed[record.job_id] = {}
        known = {ref.id: ref.state for ref in record.flink_jobs}
        for flink_job_id in (*known, *_found_ids(submitters.get(record.job_id), known)):
            state = known.get(flink_job_id)
            if state in TERMINAL_STATES:
                continue
            job = snapshots.get(record.cluster, flink_job_id)
            if isinstance(job, FlinkJob) and job.state != "FAILED":
                seen[flink_job_id] = job
            else:
                asked.append((record, flink_job_id))
    for (record, flink_job_id), seen_now in zip(
        asked, threads.map(lambda pair: snapshots.ask(*pair), asked), strict=True
    ):
        observed[record.job_id][flink_job_id] = seen_now
    return observed


def _found_ids(submitter: SubmitterObservation | None, known: Collection[str]) -> list[str]:
    found: list[str] = []
    if isinstance(submitter, Submitter):
        found += [entry.id for entry in submitter.ids if entry.id not in known]
    if isinstance(submitter, Submitter | NoKubernetesJob) and isinstance(submitter.named, FlinkJob):
        found.append(submitter.named.id)
    return found


class _Snapshots:
    """One look at every Flink cluster per pass, taken side by side, and the questions that remain."""

    def __init__(self, flinks: Mapping[str, Flink], threads: ThreadPoolExecutor) -> None:
        self._flinks = flinks
        self._overviews = {
            name: threads.submit(_or_unreachable, flink.overview) for name, flink in flinks.items()
        }
        self._history_lock = Lock()
        self._histories: dict[str, Mapping[str, FlinkJob] | Unreachable] = {}

    def _overview(self, cluster: str) -> Mapping[str, FlinkJob] | Unreachable:
        if cluster not in self._overviews:
            return Unreachable(f"the settings describe no Flink cluster {cluster!r}")
        return self._overviews[cluster].result()

    def get(self, cluster: str, flink_job_id: str) -> FlinkJob | Unreachable | None:
        """The job as the snapshot shows it; None when the snapshot lacks it."""
        overview = self._overview(cluster)
        return overview if isinstance(overview, Unreachable) else overview.get(flink_job_id)

    def named(self, record: JobRecord) -> FlinkObservation:
        """The one job that is named like the record and began after it."""
        overview = self._overview(record.cluster)
        if isinstance(overview, Unreachable):
            return overview
        return find_by_name(record.job_id, record.submitted_at, overview)

    def ask(self, record: JobRecord, flink_job_id: str) -> FlinkObservation:
        """One job beyond the snapshot: its root exception, or whether it is really missing.

        Missing means that the snapshot lacks it, that a direct request got Flink's own 404, and that
        the History Server, where there is one, does not know it either.
        """
        job: FlinkObservation | None = self.get(record.cluster, flink_job_id)
        if isinstance(job, Unreachable):
            return job
        flink = self._flinks[record.cluster]
        if job is None:
            is_lost = record.status is Status.LOST
            job = Missing() if is_lost else _or_unreachable(lambda: flink.job(flink_job_id))
        if isinstance(job, FlinkJob):
            return _with_failure(job, flink.failure)
        if isinstance(job, Missing) and flink.has_history:
            return self._from_history(flink, flink_job_id)
        return job

    def _from_history(self, flink: Flink, flink_job_id: str) -> FlinkObservation:
        with self._history_lock:  # asked once per pass, and only if a job is missing
            if flink.name not in self._histories:
                self._histories[flink.name] = _or_unreachable(flink.history)
            history = self._histories[flink.name]
        if isinstance(history, Unreachable):
            return history
        archived = history.get(flink_job_id)
        return _with_failure(archived, flink.history_failure) if archived else Missing()

    def report(self) -> dict[str, dict[str, Any]]:
        """Per cluster, whether it answered, how many jobs it knows, and the error."""
        described = {}
        for name in self._flinks:
            overview = self._overview(name)
            reachable = not isinstance(overview, Unreachable)
            described[name] = {
                "reachable": reachable,
                "jobs": len(overview) if not isinstance(overview, Unreachable) else None,
                "error": overview.error if isinstance(overview, Unreachable) else None,
            }
        return described


def _with_failure(job: FlinkJob, failure: Callable[[str], str | None]) -> FlinkJob:
    """A failed job with its root exception; that it could not be read does not make it less failed."""
    if job.state != "FAILED":
        return job
    told = _or_unreachable(lambda: failure(job.id))
    if isinstance(told, Unreachable):
        return replace(job, failure=f"the root exception could not be read ({told.error})")
    return replace(job, failure=told)


def _or_unreachable(ask: Callable[[], T]) -> T | Unreachable:
    try:
        return ask()
    except FlinkjobsError as error:
        return Unreachable(str(error))


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
