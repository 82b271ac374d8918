"""One cleanup run: delete what is left of finished submissions, once their records hold all that they tell.

    lease → clocks → list with records: the plan → guards
          → look at the unsettled → read again → delete → report

The plan changes nothing. Where it makes no sense, the run ends there and says why. A run that comes to its
limit keeps what it has done, and the next one goes on: what is deleted is not listed again.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import structs

from flinkjobs import joblog, log
from flinkjobs.errors import (
    FlinkjobsError,
    KubernetesConflictError,
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
    TemporaryError,
)
from flinkjobs.kube import SELECTOR, SUBMIT_CONTAINER, Kind, Leftover, Pod, Terminated, by_age
from flinkjobs.lease import Held, held
from flinkjobs.model import JobPhase, Missing
from flinkjobs.names import selector_of
from flinkjobs.pace import Pace
from flinkjobs.ports import TAIL_LINES, Deletion, Housekeeping, JobStore, Settled, SubmitterLog
from flinkjobs.retention import (
    MAX_CLOCK_SKEW,
    Kept,
    Next,
    RetentionPolicy,
    clock_skew,
    is_doubtful,
    judge,
    record_of,
    settled,
)
from flinkjobs.sync import (
    KUBERNETES_UNAVAILABLE,
    LOG_UNREACHABLE,
    REQUEST_GRACE_SECONDS,
    RUN_NOT_SAVED,
    Sync,
    harvest,
)
from flinkjobs.turns import Age, Candidate, Line, Marks, in_turn

T = TypeVar("T")

LEASE: Final = "cleanup"
THREADS: Final = 8
"""Requests to Kubernetes under way at once."""
RECORDS_PER_LOOKUP: Final = 500
PORTION: Final = 100
"""The records of so many objects are read again right before these are deleted."""
ATTEMPTS: Final = 3
"""How often a deletion is tried that got no answer; one that has to wait, for as long as there is time."""
NAMES_REPORTED: Final = 100
"""Names in the report, and errors; the counts are always whole."""


class ClockSkewError(TemporaryError):
    """The API server's clock and ours are too far apart to tell how old a Job is; nothing was deleted."""

    code = "CLOCK_SKEW"


class SelectorOrDatabaseError(TemporaryError):
    """Most of what is listed has no record: this is the wrong database or namespace; nothing was deleted."""

    code = "SELECTOR_OR_DATABASE"


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a run works with.

    Attributes:
        sync: how a pass looks at a record, with the records, the Flink clusters and the clock.
        cluster: Kubernetes.
        policy: see `RetentionPolicy`.
        max_deletions: per run.
        deletions_per_second: at most.
        budget_seconds: the run begins nothing new after this long, and gives up soon after what is under way.
    """

    sync: Sync
    cluster: Housekeeping
    policy: RetentionPolicy
    max_deletions: int
    deletions_per_second: float
    budget_seconds: float

    @property
    def store(self) -> JobStore:
        """The records."""
        return self.sync.store


@dataclass(frozen=True, slots=True)
class _Plan:
    """What may go, in the order of its turn.

    Attributes:
        certain: what needs no look.
        unsettled: what goes if a look settles its record, or if it is given up.
        lines: the two lines in which they stand.
    """

    certain: Sequence[Candidate]
    unsettled: Sequence[Candidate]
    lines: tuple[Line, Line]


@dataclass(slots=True)
class _Tally:
    """What became of the Jobs, or of the orphans; counted after it happened."""

    found: int = 0
    deleted: int = 0
    gone: int = 0
    names: list[str] = field(default_factory=list)
    kept: Counter[Kept] = field(default_factory=Counter)


@dataclass(slots=True)
class _Work:
    """One run under way.

    Attributes:
        now: the API server's time.
        lease: None in a dry run.
        marks: of the run before.
        settled_by_look: records as a dry run's look would have left them, by job id.
        given_up: uids of what goes although its record is not settled.
        untried: uids of the candidates that the run did not come to.
        stayed: uids of those that it tried in vain.
        stopped: the lease, the store or the API server is gone.
    """

    cleanup: Cleanup
    run_id: str
    dry_run: bool
    now: datetime
    pace: Pace
    threads: ThreadPoolExecutor
    lease: Held | None
    marks: Marks
    jobs: _Tally = field(default_factory=_Tally)
    orphans: _Tally = field(default_factory=_Tally)
    oldest_kept: datetime | None = None
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    harvested: int = 0
    settled_by_look: dict[str, list[Settled]] = field(default_factory=lambda: defaultdict(list))
    given_up: set[str] = field(default_factory=set)
    untried: set[str] = field(default_factory=set)
    stayed: set[str] = field(default_factory=set)
    logs_saved: int = 0
    stopped: bool = False

    def tally(self, leftover: Leftover) -> _Tally:
        return self.jobs if leftover.kind is Kind.JOB else self.orphans

    def keep(self, leftover: Leftover, reason: Kept) -> None:
        self.tally(leftover).kept[reason] += 1
        if leftover.kind is Kind.JOB and leftover.over_since is not None:
            self.oldest_kept = min(self.oldest_kept or leftover.over_since, leftover.over_since)

    def put_off(self, candidate: Candidate, reason: Kept = Kept.OVER_LIMIT) -> None:
        """Keeps a candidate that the run does not come to."""
        self.untried.add(candidate.leftover.uid)
        self.keep(candidate.leftover, reason)

    def stay(self, candidate: Candidate, reason: Kept) -> None:
        """Keeps a candidate that the run has tried to settle or to delete."""
        self.stayed.add(candidate.leftover.uid)
        self.keep(candidate.leftover, reason)

    def error(self, job_id: str | None, error: FlinkjobsError) -> None:
        """Notes an error; one of a peer, with no job id, once."""
        what = {"job_id": job_id, "code": error.code}
        if job_id is not None or not any(what.items() <= noted.items() for noted in self.errors):
            self.errors.append({**what, "message": str(error)})

    @property
    def places(self) -> int:
        """How many more deletions this run may do."""
        return self.cleanup.max_deletions - self.jobs.deleted - self.orphans.deleted

    def is_over(self) -> bool:
        """Whether nothing new is to be begun."""
        if not self.stopped and self.lease is not None and not self.lease.is_ours():
            self.stopped = True
        return self.stopped or self.places <= 0 or self.pace.is_over()


def run(cleanup: Cleanup, *, dry_run: bool = False) -> dict[str, Any]:
    """Deletes what may go, or with `dry_run` only says what would go, writing nothing anywhere.

    One run at a time holds a lease; while another one holds it, the answer says `skipped`.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime. A deletion counts after
        the API server confirmed it.

    Raises:
        ClockSkewError: two clocks are too far apart.
        SelectorOrDatabaseError: the records do not belong to these Jobs.
        KubernetesUnavailableError: what is there could not be listed.
        StoreUnavailableError: the records could not be read.
            After any of these nothing was deleted.
    """
    run_id, deadline = uuid.uuid4().hex, time.monotonic() + cleanup.budget_seconds
    lease = nullcontext() if dry_run else held(cleanup.store, LEASE, holder=run_id)
    with ThreadPoolExecutor(max_workers=THREADS) as threads, lease as holding:
        started_at, began = cleanup.sync.clock(), time.monotonic()  # not before: another may still be at work
        if holding is None and not dry_run:
            log.info("cleanup.skipped", run_id=run_id)
            return _report(run_id, started_at, began, None, dry_run=False)
        cleanup = replace(cleanup, cluster=cleanup.cluster.until(deadline + REQUEST_GRACE_SECONDS))
        pace = Pace(
            cleanup.deletions_per_second,
            deadline=deadline,
            monotonic=time.monotonic,
            sleep=time.sleep,
        )
        cursor = holding.cursor if holding is not None else cleanup.store.cursor_of_lease(LEASE)
        marks = Marks.from_text(cursor)

        def begin() -> tuple[_Work, _Plan]:
            now = _server_time(cleanup)
            work = _Work(cleanup, run_id, dry_run, now, pace, threads, holding, marks)
            return work, _plan(work)

        work, plan = _patiently(pace, begin)
        left = _work_through(work, plan)
        if holding is not None:
            holding.cursor = left.to_text()
        report = _report(run_id, started_at, began, work, dry_run=dry_run)
        if not dry_run:
            try:
                cleanup.store.save_cleanup_run(report)
            except FlinkjobsError as error:  # what is deleted is deleted: the run itself has done its work
                report["errors"].append({"job_id": None, "code": RUN_NOT_SAVED, "message": str(error)})
    log.info("cleanup.run", **report)
    return report


def _patiently(pace: Pace, ask: Callable[[], T]) -> T:
    """Asks again, from the beginning, after each pause that the API server wants, while there is time."""
    while True:
        try:
            return ask()
        except KubernetesThrottledError as error:
            pace.hold(error.retry_after_seconds)
            if not pace.turn():
                raise


def _server_time(cleanup: Cleanup) -> datetime:
    before = cleanup.sync.clock()
    server = cleanup.cluster.time()
    skew = clock_skew(server, before=before, after=cleanup.sync.clock())
    if abs(skew) > MAX_CLOCK_SKEW:
        seconds = skew.total_seconds()
        where = "ahead of" if seconds > 0 else "behind"
        raise ClockSkewError(
            f"clock_skew: the API server's clock is {abs(seconds):.0f} s {where} ours, and more than "
            f"{MAX_CLOCK_SKEW.total_seconds():.0f} s are too much: nothing was deleted"
        )
    return server


# --- the plan ---------------------------------------------------------------------------------------


def _plan(work: _Work) -> _Plan:
    """Judges everything there is."""
    cleanup = work.cleanup
    certain = Line(2 * cleanup.max_deletions, work.marks.certain)  # some of them may turn out to stay
    unsettled = Line(cleanup.max_deletions, work.marks.unsettled)
    listed: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for leftover, record in _with_records(cleanup.store, _leftovers(work)):
        work.tally(leftover).found += 1
        for those in (_EVERYTHING, leftover.kind.value):
            listed[those] += bool(leftover.job_id)
            known[those] += record is not None
        verdict = judge(leftover, record, work.now, cleanup.policy)
        if isinstance(verdict, Kept):
            work.keep(leftover, verdict)
            continue
        line = certain if verdict is Next.DELETE else unsettled
        for dropped in line.offer(Candidate(leftover, record is not None)):
            work.keep(dropped.leftover, Kept.OVER_LIMIT)
    (first, over), (first_unsettled, over_unsettled) = certain.close(), unsettled.close()
    for dropped in over + over_unsettled:
        work.keep(dropped.leftover, Kept.OVER_LIMIT)
    for those in (_EVERYTHING, Kind.JOB.value):
        if listed[those] > 1 and is_doubtful(listed=listed[those], known=known[those]):
            raise SelectorOrDatabaseError(
                f"selector_or_database: of {listed[those]} {those}s with our label only {known[those]} have "
                "a record: the database or the namespace is the wrong one, or records were lost: nothing was "
                "deleted"
            )
    if not is_doubtful(listed=listed[_EVERYTHING], known=known[_EVERYTHING]):
        return _Plan(first, first_unsettled, (certain, unsettled))
    for candidate in first:  # a single one without a record says nothing about the settings: it stays
        work.keep(candidate.leftover, Kept.NO_RECORD)
    return _Plan((), (), (certain, unsettled))


_EVERYTHING: Final = "object"


def _leftovers(work: _Work) -> Iterator[Leftover]:
    """Every Job with our label, then what is left of others; where that cannot be listed, the Jobs alone."""
    uid_of_job = {}
    for job in work.cleanup.cluster.leftovers(Kind.JOB, SELECTOR):
        uid_of_job[job.name] = job.uid
        yield job
    try:
        yield from _orphans(work.cleanup.cluster, uid_of_job)
    except KubernetesThrottledError:
        raise
    except (KubernetesRefusedError, KubernetesUnavailableError) as error:
        work.error(None, error)


def _orphans(cluster: Housekeeping, uid_of_job: Mapping[str, str]) -> Iterator[Leftover]:
    """The pods and the ConfigMaps of ours for which no Job is responsible; in use while theirs is there."""

    def is_in_use(orphan: Leftover) -> bool:
        uid = uid_of_job.get(orphan.job_name)
        return uid is not None and orphan.job_uid in ("", uid)

    busy = set()
    for pod in cluster.leftovers(Kind.POD, SELECTOR):
        if pod.job_id and not pod.has_owner:
            if pod.phase is JobPhase.ACTIVE:
                busy.add(pod.job_id)
            yield structs.replace(pod, phase=JobPhase.ACTIVE) if is_in_use(pod) else pod
    for script in cluster.leftovers(Kind.CONFIG_MAP, SELECTOR):
        if script.job_id and not script.has_owner:
            in_use = script.job_id in busy or is_in_use(script)
            yield structs.replace(script, phase=JobPhase.ACTIVE) if in_use else script


def _with_records(
    store: JobStore, leftovers: Iterable[Leftover]
) -> Iterator[tuple[Leftover, Settled | None]]:
    """Each object with its record, looked up in portions."""
    portion: list[Leftover] = []
    for leftover in leftovers:
        portion.append(leftover)
        if len(portion) == RECORDS_PER_LOOKUP:
            yield from _looked_up(store, portion)
            portion = []
    yield from _looked_up(store, portion)


def _looked_up(store: JobStore, portion: Sequence[Leftover]) -> list[tuple[Leftover, Settled | None]]:
    job_ids = {leftover.job_id for leftover in portion if leftover.job_id}
    known = store.settled(job_ids) if job_ids else {}
    return [(leftover, record_of(leftover, known.get(leftover.job_id, ()))) for leftover in portion]


# --- carrying it out --------------------------------------------------------------------------------


def _work_through(work: _Work, plan: _Plan) -> Marks:
    """Looks at what is unsettled, for half of the time at most; then deletes up to the limits of the run.

    Returns:
        The marks for the next run.
    """
    ready = list(plan.certain)
    least_seconds_left = work.pace.seconds_left() / 2
    for chunk in _growing_chunks(plan.unsettled, THREADS, RECORDS_PER_LOOKUP):
        budget_seconds = max(0.0, work.pace.seconds_left() - least_seconds_left)
        ready += _unless_over(work, chunk, partial(_look, budget_seconds=budget_seconds))
    ready = in_turn(ready, work.marks.certain)
    for portion in _chunks(ready, PORTION):
        _unless_over(work, portion, _delete)
    marks: list[Age | None] = [
        line.next_mark(candidates, untried=work.untried, stayed=work.stayed)
        for line, candidates in zip(plan.lines, (ready, plan.unsettled), strict=True)
    ]
    return Marks(*marks)


_Step: TypeAlias = Callable[[_Work, Sequence[Candidate]], Sequence[Candidate]]


def _unless_over(work: _Work, candidates: Sequence[Candidate], step: _Step) -> Sequence[Candidate]:
    """Takes a step with these candidates. Once the run is over, or when the store goes, they are kept."""
    reason = Kept.OVER_LIMIT
    try:
        if not work.is_over():
            return step(work, candidates)
    except FlinkjobsError as error:
        work.error(None, error)
        work.stopped, reason = True, Kept.ERROR
    for candidate in candidates:
        work.put_off(candidate, reason)
    return []


def _look(work: _Work, candidates: Sequence[Candidate], *, budget_seconds: float) -> list[Candidate]:
    """Looks at the unsettled as a pass does; returns those that may go now."""
    sync = replace(work.cleanup.sync, budget_seconds=budget_seconds)
    job_ids = list(dict.fromkeys(candidate.leftover.job_id for candidate in candidates))
    look = harvest(sync, job_ids, run_id=work.run_id, write=not work.dry_run)
    work.errors += look.errors
    if work.dry_run:
        for seen in look.records:
            work.settled_by_look[seen.job_id].append(settled(seen))
    unseen = {error["job_id"] for error in look.errors if error["code"] in _NOT_LOOKED_AT}
    ready, hopeless = [], []
    for candidate, record in _fresh(work, candidates):
        leftover = candidate.leftover
        verdict = judge(leftover, record, work.now, work.cleanup.policy)
        if verdict is Next.DELETE:
            work.harvested += 1
            ready.append(candidate)
        elif isinstance(verdict, Kept):
            work.stay(candidate, verdict)
        elif leftover.job_id in look.passed_over:
            work.put_off(candidate)
        elif verdict is Next.HARVEST or {leftover.job_id, None} & unseen:
            work.stay(candidate, Kept.UNSETTLED)
        elif leftover.job_id in look.conflicts:  # what was found is not written
            work.stay(candidate, Kept.CHANGED)
        else:
            hopeless.append(candidate)
    return ready + _give_up(work, hopeless)


_NOT_LOOKED_AT: Final = (KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE)
"""Errors of a look after which the log may still hold an id: nothing is given up then."""


def _fresh(work: _Work, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Settled | None]]:
    """The candidates with their records as they are now; one whose record came or went is kept."""
    stored = work.cleanup.store.settled({candidate.leftover.job_id for candidate in candidates})
    for candidate in candidates:
        leftover = candidate.leftover
        looked_at = work.settled_by_look.get(leftover.job_id, ())
        found = [
            next((look for look in looked_at if look.document_id == each.document_id), each)
            for each in stored.get(leftover.job_id, ())
        ]
        record = record_of(leftover, found)
        if candidate.has_record == (record is not None):
            yield candidate, record
        else:
            work.stay(candidate, Kept.CHANGED)


def _give_up(work: _Work, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Keeps the end of each log on its record; returns those for which that is done."""
    done = []
    logs = work.threads.map(lambda candidate: _log_of(work, candidate.leftover), candidates)
    for candidate, found in zip(candidates, logs, strict=True):
        leftover = candidate.leftover
        if isinstance(found, FlinkjobsError):
            work.stay(candidate, Kept.ERROR)
            work.error(leftover.job_id, found)
            continue
        if found is not None and not work.dry_run:
            if (refused := _save_log(work, leftover, found)) is not None:
                work.stay(candidate, refused)
                continue
            log.warning("job.given_up", job_id=leftover.job_id, k8s_job_name=leftover.job_name, pod=found.pod)
        work.logs_saved += found is not None
        work.given_up.add(leftover.uid)
        done.append(candidate)
    return done


def _save_log(work: _Work, leftover: Leftover, found: SubmitterLog) -> Kept | None:
    """Keeps a log on its record; else says why its object has to stay. Without the store the run ends."""
    if work.stopped:
        return Kept.ERROR
    try:
        is_saved = work.cleanup.store.save_submitter_log(leftover.job_id, leftover.job_name, found)
    except FlinkjobsError as error:
        work.error(None, error)
        work.stopped = True
        return Kept.ERROR
    return None if is_saved else Kept.CHANGED


def _log_of(work: _Work, leftover: Leftover) -> SubmitterLog | FlinkjobsError | None:
    """The end of the newest log that is left of a submitter; None when nothing is."""
    try:
        pods = work.cleanup.cluster.pods(selector_of(leftover.job_id))
        for pod in reversed(by_age(pod for pod in pods if pod.job_name == leftover.job_name)):
            if text := _output_of(work.cleanup.cluster, pod):
                kept = joblog.tail(text, joblog.KEPT_BYTES)
                is_cut = kept != text or len(text.splitlines()) >= TAIL_LINES
                return SubmitterLog(kept, truncated=is_cut, pod=pod.name, saved_at=work.cleanup.sync.clock())
    except FlinkjobsError as error:
        return error
    return None


def _output_of(cluster: Housekeeping, pod: Pod) -> str:
    """The end of a pod's log, or what Kubernetes kept of it."""
    container = pod.submit
    text = cluster.pod_log(pod.name, container.name if container else SUBMIT_CONTAINER, tail=True)
    if not isinstance(text, Missing):
        return text
    return container.state.message if container and isinstance(container.state, Terminated) else ""


def _delete(work: _Work, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Deletes those about which a fresh read of the records agrees, as long as there are places."""
    may_go = []
    for candidate, record in _fresh(work, candidates):
        verdict = judge(candidate.leftover, record, work.now, work.cleanup.policy)
        if verdict is Next.DELETE or (verdict is Next.GIVE_UP and candidate.leftover.uid in work.given_up):
            may_go.append(candidate)
        else:
            work.stay(candidate, verdict if isinstance(verdict, Kept) else Kept.CHANGED)
    while may_go and work.places > 0 and not work.stopped:
        now_going = may_go[: work.places]
        del may_go[: work.places]
        _delete_all(work, now_going)
    for candidate in may_go:
        work.put_off(candidate)
    return []


_Outcome: TypeAlias = Deletion | Kept | FlinkjobsError


def _delete_all(work: _Work, candidates: Sequence[Candidate]) -> None:
    """Deletes these, several at once, and counts what came of it."""
    outcomes = list(work.threads.map(lambda candidate: _delete_one(work, candidate.leftover), candidates))
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        if isinstance(outcome, KubernetesUnavailableError):
            work.stay(candidate, Kept.UNCONFIRMED if _is_unanswered(outcome) else Kept.OVER_LIMIT)
            work.error(None, outcome)
        elif isinstance(outcome, FlinkjobsError):
            work.stay(candidate, Kept.ERROR)
            work.error(candidate.leftover.job_id, outcome)
        elif outcome is Kept.OVER_LIMIT:
            work.put_off(candidate)
        elif isinstance(outcome, Kept):
            work.stay(candidate, outcome)
        elif outcome is Deletion.BEGUN:
            work.stay(candidate, Kept.DELETING)
        else:
            _count(work, candidate, outcome)
    if all(map(_is_unanswered, outcomes)):
        work.stopped = True  # nobody is there: the next run finds out more cheaply


def _count(work: _Work, candidate: Candidate, outcome: Deletion) -> None:
    """Counts an object that is not there any more."""
    leftover, tally = candidate.leftover, work.tally(candidate.leftover)
    if outcome is Deletion.GONE:
        tally.gone += 1
        return
    tally.deleted += 1
    if len(tally.names) < NAMES_REPORTED:
        tally.names.append(leftover.name)
    if not candidate.has_record and not work.dry_run:
        what = {"kind": leftover.kind.value, "name": leftover.name, "job_id": leftover.job_id}
        log.warning("cleanup.without_record", **what)


def _is_unanswered(outcome: _Outcome) -> bool:
    throttled = isinstance(outcome, KubernetesThrottledError)
    return isinstance(outcome, KubernetesUnavailableError) and not throttled


def _delete_one(work: _Work, leftover: Leftover) -> _Outcome:
    """One deletion, in its turn; repeated where no answer came, as long as there is time.

    After an attempt that got no answer, only a good answer says what became of the object.
    """
    unanswered: list[FlinkjobsError] = []
    outcome: _Outcome = Kept.OVER_LIMIT
    while len(unanswered) < ATTEMPTS and (work.dry_run or work.pace.turn()):
        try:
            if leftover.kind is not Kind.JOB and _has_job(work.cleanup.cluster, leftover):
                return Kept.ACTIVE
            return Deletion.DONE if work.dry_run else work.cleanup.cluster.delete(leftover)
        except KubernetesConflictError:
            outcome = Kept.CHANGED
            break
        except KubernetesThrottledError as throttled:
            outcome = throttled
            work.pace.hold(throttled.retry_after_seconds)
        except KubernetesUnavailableError as unavailable:
            unanswered.append(unavailable)
        except FlinkjobsError as refused:
            outcome = refused
            break
    return unanswered[-1] if unanswered else outcome


def _has_job(cluster: Housekeeping, leftover: Leftover) -> bool:
    """Whether the Job is there that a pod or ConfigMap belongs to, although it does not say so."""
    job = cluster.job(leftover.job_name)
    return not isinstance(job, Missing) and leftover.job_uid in ("", job.uid)


# --- the report -------------------------------------------------------------------------------------


def _report(
    run_id: str, started_at: datetime, began: float, work: _Work | None, *, dry_run: bool
) -> dict[str, Any]:
    """The report of the contract; without work it says that this run was skipped."""
    jobs, orphans = (work.jobs, work.orphans) if work else (_Tally(), _Tally())
    errors = work.errors if work else []
    oldest_kept = work.oldest_kept if work else None
    left = sum(tally.kept[reason] for tally in (jobs, orphans) for reason in _LEFT)
    return {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(time.monotonic() - began, 3),
        "dry_run": dry_run,
        "complete": work is not None and not left and not errors,
        "skipped": work is None,
        "scanned": jobs.found,
        "deleted": jobs.deleted,
        "gone": jobs.gone,
        "harvested": work.harvested if work else 0,
        "logs_saved": work.logs_saved if work else 0,
        "names": jobs.names,
        "kept": _counts(jobs.kept),
        "errors": errors[:NAMES_REPORTED],
        "oldest_kept_hours": (
            None
            if work is None or oldest_kept is None
            else round((work.now - oldest_kept).total_seconds() / 3600, 3)
        ),
        "orphans": {
            "found": orphans.found,
            "deleted": orphans.deleted,
            "gone": orphans.gone,
            "names": orphans.names,
            "kept": _counts(orphans.kept),
        },
    }


_LEFT: Final = (Kept.OVER_LIMIT, Kept.CHANGED, Kept.UNCONFIRMED, Kept.ERROR)
"""What is kept for one of these may have to go, or be gone: the next run finds out."""


def _counts(kept: Counter[Kept]) -> dict[str, int]:
    return {reason.value: count for reason, count in sorted(kept.items()) if count}


def _growing_chunks(items: Sequence[T], first: int, most: int) -> Iterator[Sequence[T]]:
    """Each twice as long as the one before: the first ones are through however long the others take."""
    start, size = 0, first
    while start < len(items):
        yield items[start : start + size]
        start, size = start + size, min(2 * size, most)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
