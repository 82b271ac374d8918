"""One synchronisation pass: observe every open record, decide each, write what changed in bulk.

    lease → one snapshot per Flink cluster, and the records beside it
          → those of which only the snapshot says something new: decide → bulk write, portion by portion
          → those that need more: Jobs, pods, logs, single Flink jobs → decide → bulk write
          → report

Of most records nothing is new: the scan passes over them.

An error of one peer costs what depends on that peer; an error of one record costs that record. A pass that
runs out of time keeps what it has done, and the next one begins where it stopped.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from flinkjobs import log
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesUnreadableError,
    StoreRefusedError,
    TemporaryError,
)
from flinkjobs.domain.flink_states import TERMINAL_STATES
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.naming import JOB_NAME_LABEL, selector_of_all
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    LogState,
    Missing,
    NoKubernetesJob,
    Observation,
    Submitter,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.records import FlinkJobRef, JobRecord, ReasonCode, Skipped, Status, UnreadableRecord
from flinkjobs.domain.transition import Action, Keep, Policy, Update, decide
from flinkjobs.lease import Held, held
from flinkjobs.observers.flink_snapshot import Snapshots, taken
from flinkjobs.observers.submitter_output import observe_orphans, observe_submitter
from flinkjobs.ports.flink import Flink
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.ports.store import Applied, JobStore
from flinkjobs.sync.change_detection import Scan

T = TypeVar("T")

LEASE: Final = "sync"

THREADS: Final = 8
"""Requests under way at once, to all peers together."""

RECORDS_PER_STEP: Final = 1_000
"""Of the records for which somebody is asked, what changed is written after so many."""

RECORDS_PER_WRITE: Final = 250
"""Of the records that only moved in Flink, so many are written at once, while the next ones are decided."""

WRITES_AT_ONCE: Final = 3
"""So many writes are under way beside the deciding."""

REQUEST_GRACE_SECONDS: Final = 10.0
"""A request to Kubernetes or Flink that is under way when the time is up gets so much longer."""

JOB_IDS_PER_SELECTOR: Final = 80
"""Job ids in one label selector: the URL stays below the 8 KiB that every proxy lets through."""

LOST_WATCHED_FOR: Final = timedelta(days=30)
"""A LOST record goes back if its job reappears within this time."""

JOBS_MISSING: Final = "JOBS_MISSING"
KUBERNETES_UNAVAILABLE: Final = "KUBERNETES_UNAVAILABLE"
LOG_UNREACHABLE: Final = "LOG_UNREACHABLE"
FLINK_UNAVAILABLE: Final = "FLINK_UNAVAILABLE"
RUN_NOT_SAVED: Final = "RUN_NOT_SAVED"
UNREADABLE_RECORD: Final = "UNREADABLE_RECORD"
WRITE_REFUSED: Final = "WRITE_REFUSED"


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
        budget_seconds: after this long the pass looks at no further record.
        clock: the time now, aware UTC.
    """

    store: JobStore
    cluster: KubernetesClient
    flinks: Mapping[str, Flink]
    policy: Policy
    budget_seconds: float
    clock: Callable[[], datetime]


@dataclass(slots=True)
class _Pass:
    """One pass under way: what it works with, and what happened so far, counted after it happened.

    Attributes:
        lease: None where the pass needs none.
        deadline: by `time.monotonic`.
        passed_over: job ids that the time did not suffice for.
        may_take_back: whether a Job that waits for its script in vain may be deleted.
        heard_of_kubernetes: it has answered at least once.
        errors: messages by job id (None for a peer) and code.
    """

    sync: Sync
    threads: ThreadPoolExecutor
    snapshots: Snapshots
    lease: Held | None
    run_id: str
    deadline: float
    may_take_back: bool = True
    passed_over: set[str] = field(default_factory=set)
    heard_of_kubernetes: bool = False
    complete: bool = True
    scanned: int = 0
    unresolved: int = 0
    resolved: int = 0
    unchanged: int = 0
    conflicts: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    errors: dict[tuple[str | None, str], str] = field(default_factory=dict)

    def error(self, job_id: str | None, code: str, message: str) -> None:
        """Notes an error once per record and code; a peer's error, with no record, once per pass."""
        self.errors.setdefault((job_id, code), message)

    def is_out_of_time(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def end(self) -> float:
        """When the requests under way are given up, by `time.monotonic`."""
        return _end(self.deadline)

    @property
    def cluster(self) -> KubernetesClient:
        """Kubernetes, as long as there is time."""
        return self.sync.cluster.until(self.end)


def run(sync: Sync, *, job_ids: Collection[str] | None = None) -> dict[str, Any]:
    """Synchronises every record that is not final, or only those of `job_ids`.

    A pass over everything holds a lease; while another one holds it, the answer says `skipped`. A pass over
    a few job ids needs none: its writes are conditional on the records being as it read them.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        NothingReachableError: there was work, but nobody could be asked.
    """
    run_id, deadline = uuid.uuid4().hex, time.monotonic() + sync.budget_seconds
    lease = nullcontext() if job_ids is not None else held(sync.store, LEASE, holder=run_id)
    with lease as holding:
        started_at, began = sync.clock(), time.monotonic()  # not before: another may still be at work
        if holding is None and job_ids is None:
            log.info("sync.skipped", run_id=run_id)
            return _report(run_id, started_at, began, None, {})
        with (
            ThreadPoolExecutor(max_workers=THREADS) as threads,
            taken(_until(deadline, sync.flinks)) as snapshots,
        ):
            passing = _Pass(sync, threads, snapshots, holding, run_id, deadline)
            seen = _go_through(passing, lost_since=started_at - LOST_WATCHED_FOR, job_ids=job_ids)
        clusters = snapshots.report()
        _tell_missing(passing, clusters)
        report = _report(run_id, started_at, began, passing, clusters)
        nobody = not any(seen["reachable"] for seen in clusters.values())
        is_deaf = (None, KUBERNETES_UNAVAILABLE) in passing.errors and not passing.heard_of_kubernetes
        if seen and nobody and is_deaf:
            raise NothingReachableError("neither Kubernetes nor any Flink cluster answered: nothing was done")
        try:
            sync.store.save_run({**report, "whole": job_ids is None})
        except FlinkjobsError as error:  # the records are written: the pass itself has done its work
            report["errors"].append({"job_id": None, "code": RUN_NOT_SAVED, "message": str(error)})
    log.info("sync.pass", whole=job_ids is None, **report)
    return report


class Harvest(msgspec.Struct, frozen=True):
    """What a look at a few records came to.

    Attributes:
        records: as they are after it, or would be; only those that are open and could be read.
        passed_over: job ids that the time did not suffice for.
        conflicts: job ids of which somebody else wrote a record meanwhile: what was found is not on it.
        errors: as in the report of a pass.
    """

    records: Sequence[JobRecord]
    passed_over: Collection[str]
    conflicts: Collection[str]
    errors: Sequence[Mapping[str, str | None]]


def harvest(sync: Sync, job_ids: Sequence[str], *, run_id: str, write: bool) -> Harvest:
    """Looks at these records just as a pass does: for whoever is about to delete what a pass reads.

    Args:
        sync: as of a pass.
        job_ids: the records, in the order in which they are looked at as long as there is time.
        run_id: of the caller.
        write: whether what was decided is written; else nothing is changed anywhere.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        StoreRefusedError: the store refused, if only one record.
    """
    now, deadline = sync.clock(), time.monotonic() + sync.budget_seconds
    with (
        ThreadPoolExecutor(max_workers=THREADS) as threads,
        taken(_until(deadline, sync.flinks)) as snapshots,
    ):
        passing = _Pass(sync, threads, snapshots, None, run_id, deadline, may_take_back=write)
        found = sync.store.records_to_follow(lost_since=now - LOST_WATCHED_FOR, job_ids=job_ids)
        turn = {job_id: number for number, job_id in enumerate(job_ids)}
        records = sorted(_readable(found, passing), key=lambda record: turn[record.job_id])
        actions = _actions(passing, records, now)
        updates = [action for _, action in actions if isinstance(action, Update)]
        after = [action.after if isinstance(action, Update) else record for record, action in actions]
        conflicts: Collection[str] = ()
        if write:
            applied = sync.store.apply(updates, now=now, run_id=run_id)
            for job_id, message in applied.refused.items():
                raise StoreRefusedError(f"{job_id}: {message}")  # whoever deletes next must not go on
            conflicts = applied.conflicts  # these are not known as they are now
            after = [record for record in after if record.job_id not in conflicts]
            _log_moves([update for update in updates if update.after.job_id in applied.job_ids])
    return Harvest(after, frozenset(passing.passed_over), conflicts, _told(passing.errors))


def _end(deadline: float) -> float:
    return deadline + REQUEST_GRACE_SECONDS


def _until(deadline: float, flinks: Mapping[str, Flink]) -> dict[str, Flink]:
    return {name: flink.until(_end(deadline)) for name, flink in flinks.items()}


def _readable(found: Iterator[JobRecord | UnreadableRecord | Skipped], passing: _Pass) -> list[JobRecord]:
    records = []
    for record in found:
        if isinstance(record, JobRecord):
            records.append(record)
        elif isinstance(record, UnreadableRecord):
            passing.error(record.job_id, UNREADABLE_RECORD, record.error)
    return records


def _go_through(passing: _Pass, *, lost_since: datetime, job_ids: Collection[str] | None) -> bool:
    """Writes what the snapshots say of the records, then asks for the rest.

    Ends when all records are done, the time is up, or the lease is gone.

    Returns:
        Whether there is any record.
    """
    scan = Scan(passing.snapshots)
    found = passing.sync.store.records_to_follow(
        lost_since=lost_since, job_ids=job_ids, skip=scan.skip, run_id=passing.run_id
    )
    _write_what_moved(passing, scan.moved(_in_time(passing, found), size=RECORDS_PER_WRITE))
    passing.scanned += scan.unchanged
    passing.unchanged += scan.unchanged
    for document in scan.unreadable:
        passing.error(document.job_id, UNREADABLE_RECORD, document.error)
    if passing.complete:
        _ask_for_the_rest(passing, scan.asking)
    return bool(passing.scanned or scan.asking)


def _in_time(
    passing: _Pass, found: Iterator[JobRecord | UnreadableRecord | Skipped]
) -> Iterator[JobRecord | UnreadableRecord | Skipped]:
    """What the store finds until the time is up: it may be slow too. Enough for the first portion comes."""
    for number, one in enumerate(found):
        if number >= RECORDS_PER_WRITE and passing.is_out_of_time():
            passing.complete = False
            return
        yield one


def _write_what_moved(passing: _Pass, portions: Iterator[list[JobRecord]]) -> None:
    """What the snapshots say is decided portion by portion, each beside the writing of those before it.

    However little time there is, the first portion is written: every pass gets on.
    """
    writing: deque[tuple[_Step, Future[Applied | None]]] = deque()
    for number, records in enumerate(portions):
        if number and passing.is_out_of_time():
            passing.complete = False
            break
        step = _decide_all(passing, records)
        writing.append((step, passing.threads.submit(_write, passing, step)))
        if len(writing) > WRITES_AT_ONCE:
            _finish(passing, writing)
        if not passing.complete:
            break
    while writing:
        _finish(passing, writing)


def _finish(passing: _Pass, writing: deque[tuple[_Step, Future[Applied | None]]]) -> None:
    """Waits for the oldest write and counts it."""
    step, under_way = writing.popleft()
    _count(passing, step, under_way.result())


def _ask_for_the_rest(passing: _Pass, records: list[JobRecord]) -> None:
    """Steps through the records for which somebody is asked, in the order of their job ids.

    Those behind the cursor come first, as they waited longest.
    """
    lease = passing.lease
    last = begin = lease.cursor if lease else None
    records.sort(key=lambda record: (begin is not None and record.job_id <= begin, record.job_id))
    for chunk in _chunks(records, RECORDS_PER_STEP):
        step = _decide_all(passing, chunk)
        is_through = _count(passing, step, _write(passing, step))
        in_a_row = list(itertools.takewhile(lambda record: record.job_id not in passing.passed_over, chunk))
        if is_through and in_a_row:
            last = in_a_row[-1].job_id
        if not is_through or len(in_a_row) < len(chunk):
            passing.complete = False
            break
    if lease is not None:
        lease.cursor = None if passing.complete else last


class _Step(msgspec.Struct, frozen=True):
    """What was decided of a portion of the records.

    Attributes:
        now: when it was decided.
        scanned: how many records were decided.
        unresolved: those that still have no id.
    """

    now: datetime
    updates: Sequence[Update]
    scanned: int
    unchanged: int
    unresolved: int


def _decide_all(passing: _Pass, records: Sequence[JobRecord]) -> _Step:
    """Observes and decides; records for which the time did not suffice are in `passed_over` afterwards."""
    now = passing.sync.clock()
    updates, scanned, unchanged, unresolved = [], 0, 0, 0
    for record, action in _actions(passing, records, now):
        scanned += 1
        if isinstance(action, Update):
            updates.append(action)
        elif isinstance(action, Keep):
            unchanged += 1
        after = action.after if isinstance(action, Update) else record
        unresolved += not after.flink_jobs and after.status is Status.CREATED
    return _Step(now, updates, scanned, unchanged, unresolved)


def _write(passing: _Pass, step: _Step) -> Applied | None:
    """Writes what was decided; None when the lease is gone, and nothing may be written any more."""
    if step.updates and passing.lease is not None and not passing.lease.is_ours():
        return None
    return passing.sync.store.apply(step.updates, now=step.now, run_id=passing.run_id)


def _count(passing: _Pass, step: _Step, applied: Applied | None) -> bool:
    """Counts what was written; False when the lease is gone."""
    if applied is None:
        passing.complete = False
        return False
    passing.scanned += step.scanned
    passing.unchanged += step.unchanged
    passing.unresolved += step.unresolved
    passing.conflicts += len(applied.conflicts)
    for job_id, message in applied.refused.items():
        passing.error(job_id, WRITE_REFUSED, message)
    written = [update for update in step.updates if update.after.job_id in applied.job_ids]
    for update in written:
        passing.changed[update.after.status.value] += 1
        passing.resolved += bool(update.after.flink_jobs) and not update.before.flink_jobs
    _log_moves(written)
    return True


def _actions(
    passing: _Pass, records: Sequence[JobRecord], now: datetime
) -> list[tuple[JobRecord, Action | None]]:
    """Observes the records and decides each, but those for which the time did not suffice."""
    decided: list[tuple[JobRecord, Action | None]] = []
    for unlike in _one_of_each_job_id(records):
        submitters = _observe_submitters(passing, unlike, now)
        flinks = _observe_flink(passing, unlike, submitters)
        for record in unlike:
            if record.job_id not in passing.passed_over:
                observation = Observation(submitters.get(record.job_id), flinks[record.job_id])
                decided.append((record, _decided(passing, record, observation, now)))
    return decided


def _one_of_each_job_id(records: Sequence[JobRecord]) -> Iterator[Sequence[JobRecord]]:
    """The records in portions that hold no job id twice: as a rule, all of them at once.

    What is observed is kept by job id, and two documents of one job id may have different submitters.
    """
    rest = records
    while rest:
        portion = {record.job_id: record for record in reversed(rest)}
        if len(portion) == len(rest):
            yield rest
            return
        taken_now = {id(record) for record in portion.values()}
        yield [record for record in rest if id(record) in taken_now]
        rest = [record for record in rest if id(record) not in taken_now]


def _decided(passing: _Pass, record: JobRecord, observation: Observation, now: datetime) -> Action | None:
    """What becomes of one record; None when the rules themselves failed on it."""
    try:
        return decide(record, observation, now, passing.sync.policy)
    except Exception as error:  # noqa: BLE001 - one record that we do not understand must not stop the others
        log.error("job.not_decided", exception=error, job_id=record.job_id)
        passing.error(record.job_id, "INTERNAL", f"{type(error).__name__}: {error}")
        return None


def _log_moves(written: Sequence[Update]) -> None:
    """A line for every record whose status has changed."""
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


# --- Kubernetes -------------------------------------------------------------------------------------


class _Listed(msgspec.Struct, frozen=True):
    """The Jobs by name, and the pods by their Job's name."""

    jobs: Mapping[str, KubernetesJob]
    pods: Mapping[str, Sequence[Pod]]


def _observe_submitters(
    passing: _Pass, records: Sequence[JobRecord], now: datetime
) -> dict[str, SubmitterObservation]:
    """What Kubernetes says of every record whose submitter may still say something, by job id."""
    wanted = [
        record
        for record in records
        if not record.submitter_done and record.k8s_job_name and record.status is not Status.LOST
    ]
    observed: dict[str, SubmitterObservation] = {}
    for chunk in _chunks(wanted, JOB_IDS_PER_SELECTOR):
        observed |= _look_at(passing, chunk, now)
    return observed


def _look_at(passing: _Pass, records: Sequence[JobRecord], now: datetime) -> dict[str, SubmitterObservation]:
    """One list of Jobs and one of pods for all these records, then a closer look at each."""
    if passing.is_out_of_time():
        passing.passed_over.update(record.job_id for record in records)
        return {}
    try:
        listed = _jobs_and_pods(passing.cluster, records)
    except KubernetesUnreadableError:
        listed = None  # one object among them cannot be read: it must not cost the other records
    except FlinkjobsError as error:
        passing.error(None, KUBERNETES_UNAVAILABLE, str(error))
        return dict.fromkeys((record.job_id for record in records), Unreachable(str(error)))
    passing.heard_of_kubernetes = True
    looks = passing.threads.map(
        lambda record: None if passing.is_out_of_time() else _look(passing, record, listed, now), records
    )
    observed: dict[str, SubmitterObservation] = {}
    for record, look in zip(records, looks, strict=True):
        if look is None:
            passing.passed_over.add(record.job_id)
            continue
        observed[record.job_id] = look
        if isinstance(look, Unreachable):
            passing.error(record.job_id, KUBERNETES_UNAVAILABLE, look.error)
        elif look.unread:
            passing.error(record.job_id, LOG_UNREACHABLE, look.unread)
    return observed | _with_names(passing, records, observed, now)


def _with_names(
    passing: _Pass, records: Sequence[JobRecord], observed: Mapping[str, SubmitterObservation], now: datetime
) -> dict[str, SubmitterObservation]:
    """The submitters of which nothing is left to read, with the Flink jobs that are named like the record."""
    nameless = {
        record.job_id: look
        for record in records
        if isinstance(look := observed.get(record.job_id), Submitter | NoKubernetesJob)
        and _needs_name(record, look, now, passing.sync.policy)
    }
    named = passing.snapshots.named([record for record in records if record.job_id in nameless])
    return {job_id: replace(look, named=named[job_id]) for job_id, look in nameless.items()}


def _needs_name(record: JobRecord, look: Submitter | NoKubernetesJob, now: datetime, policy: Policy) -> bool:
    if record.flink_jobs or look.ids:
        return False
    if isinstance(look, Submitter):
        return look.log is LogState.GONE
    return now - max(record.submitted_at, record.in_flight_until or record.submitted_at) > policy.grace


def _jobs_and_pods(cluster: KubernetesClient, records: Sequence[JobRecord]) -> _Listed:
    """The Jobs and pods of these records, or the error of the cluster."""
    selector = selector_of_all(record.job_id for record in records)
    jobs = {job.name: job for job in cluster.jobs(selector)}
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in cluster.pods(selector):
        pods[pod.job_name].append(pod)
    return _Listed(jobs, pods)


def _look(passing: _Pass, record: JobRecord, listed: _Listed | None, now: datetime) -> SubmitterObservation:
    """One record's submitter; without a list for several records, its Job and pods are listed alone."""
    try:
        return _look_closely(passing, record, listed, now)
    except FlinkjobsError as error:
        return Unreachable(str(error))
    except Exception as error:  # noqa: BLE001 - one object that we do not understand must not stop the others
        log.error("job.not_observed", exception=error, job_id=record.job_id)
        return Unreachable(f"{type(error).__name__}: {error}")


def _look_closely(
    passing: _Pass, record: JobRecord, listed: _Listed | None, now: datetime
) -> SubmitterObservation:
    """As `_look`; a Job that the list lacks is asked for by its name. Its pods are listed after it.

    Of a Job that does not exist, pods may be left: somebody deleted it with `--cascade=orphan`, or the
    garbage collector has not come to them yet.
    """
    cluster, policy = passing.cluster, passing.sync.policy
    name = record.k8s_job_name or ""
    is_followed = any(_goes_on(passing, record.cluster, ref) for ref in record.flink_jobs)
    job = (listed.jobs.get(name) if listed else None) or cluster.job(name)
    if isinstance(job, Missing):
        return observe_orphans(_pods_of(cluster, name, listed), cluster, is_followed=is_followed)
    if job.job_id not in ("", record.job_id):
        return NoKubernetesJob()
    is_listed = listed is not None and name in listed.jobs  # else its pods may have come after the list
    pods = _pods_of(cluster, name, listed if is_listed else None)
    submitter = observe_submitter(job, pods, cluster, is_followed=is_followed, now=now)
    if passing.may_take_back and _waits_for_its_script_in_vain(record, submitter, now, policy):
        cluster.delete_job(job.name, job.uid)
        log.warning("job.taken_back", job_id=record.job_id, k8s_job_name=job.name)
        return NoKubernetesJob()
    return submitter


def _goes_on(passing: _Pass, cluster: str, ref: FlinkJobRef) -> bool:
    """Whether a job of a record is known to go on: by the snapshot, or by the record where there is none."""
    if not ref.confirmed or ref.state in TERMINAL_STATES:
        return False
    job = passing.snapshots.get(cluster, ref.id)
    return isinstance(job, Unreachable) or (job is not None and job.state not in TERMINAL_STATES)


def _pods_of(cluster: KubernetesClient, job_name: str, listed: _Listed | None) -> Sequence[Pod]:
    """The pods of one Job; where none is listed, those that bear Kubernetes' own label, whoever made the Job.

    The platform before this one gave its Jobs and pods no label of the job id.
    """
    if listed is not None and job_name in listed.pods:
        return listed.pods[job_name]
    return [pod for pod in cluster.pods(f"{JOB_NAME_LABEL}={job_name}") if pod.job_name == job_name]


def _waits_for_its_script_in_vain(
    record: JobRecord, submitter: Submitter, now: datetime, policy: Policy
) -> bool:
    """The submission was cut off before the script's ConfigMap was there, and nobody repeated it.

    The pod of an attached job would wait for ever: it has no deadline.
    """
    cut_off = record.in_flight_until
    is_stuck = submitter.trouble is not None and submitter.trouble[0] is ReasonCode.MOUNT
    return is_stuck and cut_off is not None and now - cut_off > policy.grace and not record.flink_jobs


# --- Flink ------------------------------------------------------------------------------------------


def _observe_flink(
    passing: _Pass, records: Sequence[JobRecord], submitters: Mapping[str, SubmitterObservation]
) -> dict[str, dict[str, FlinkObservation]]:
    """What Flink says of every id of every record, by job id and Flink Job ID.

    Only the ids for which a snapshot is not enough cost a request of their own: those it lacks, and
    those that have just failed, for their root exception. What Kubernetes took all the time to say is not
    thrown away for that: else the next pass would come no further.
    """
    observed: dict[str, dict[str, FlinkObservation]] = {}
    asked: list[tuple[JobRecord, str]] = []
    for record in records:
        seen = observed[record.job_id] = {}
        known = {ref.id: ref.state for ref in record.flink_jobs}
        for flink_job_id in (*known, *_found_ids(submitters.get(record.job_id), known)):
            if known.get(flink_job_id) in TERMINAL_STATES:
                continue
            job = passing.snapshots.get(record.cluster, flink_job_id)
            if isinstance(job, Unreachable) or (isinstance(job, FlinkJob) and job.state != "FAILED"):
                seen[flink_job_id] = job
            else:
                asked.append((record, flink_job_id))
    answers = passing.threads.map(
        lambda pair: None if time.monotonic() > passing.end else passing.snapshots.ask(*pair), asked
    )
    for (record, flink_job_id), answer in zip(asked, answers, strict=True):
        if answer is None:
            passing.passed_over.add(record.job_id)
            continue
        observed[record.job_id][flink_job_id] = answer
        if isinstance(answer, Unreachable):  # said once per cluster: it may have gone away in mid-pass
            passing.error(None, f"{FLINK_UNAVAILABLE} {record.cluster}", answer.error)
    return observed


def _found_ids(submitter: SubmitterObservation | None, known: Collection[str]) -> list[str]:
    found: list[str] = []
    if isinstance(submitter, Submitter | NoKubernetesJob):
        found += [entry.id for entry in submitter.ids if entry.id not in known]
        if isinstance(submitter.named, tuple):
            found += [job.id for job in submitter.named]
    return found


# --- the report -------------------------------------------------------------------------------------


def _tell_missing(passing: _Pass, clusters: Mapping[str, Mapping[str, Any]]) -> None:
    """Says once per cluster that jobs are missing there, however many they are."""
    for name, count in passing.snapshots.missing().items():
        message = f"cluster {name} answers, and does not know {count} of the jobs it was given"
        if clusters[name]["jobs"] == 0:
            message += "; it knows no job at all: was its JobManager restarted without high availability?"
        passing.error(None, f"{JOBS_MISSING} {name}", message)


def _report(
    run_id: str,
    started_at: datetime,
    began: float,
    passing: _Pass | None,
    clusters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The report of the contract; without a pass it says that this one was skipped."""
    errors = passing.errors if passing else {}
    return {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(time.monotonic() - began, 3),
        "complete": passing.complete if passing else False,
        "skipped": passing is None,
        "scanned": passing.scanned if passing else 0,
        "unresolved": passing.unresolved if passing else 0,
        "resolved": passing.resolved if passing else 0,
        "changed": dict(sorted(passing.changed.items())) if passing else {},
        "unchanged": passing.unchanged if passing else 0,
        "conflicts": passing.conflicts if passing else 0,
        "errors": _told(errors),
        "clusters": dict(clusters),
    }


def _told(errors: Mapping[tuple[str | None, str], str]) -> list[dict[str, str | None]]:
    """Errors as a report lists them."""
    return [
        {"job_id": job_id, "code": code.partition(" ")[0], "message": message}
        for (job_id, code), message in errors.items()
    ]


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
