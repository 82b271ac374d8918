"""Snapshots of the Flink clusters in one pass, and requests for jobs that they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.flink_states import TERMINAL_STATES, Status
from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    Missing,
    NamedJobs,
    Overview,
    OverviewEntry,
    Unreachable,
)
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import CLOCK_SKEW
from flinkjobs.ports.flink import Flink

T = TypeVar("T")

_Seen: TypeAlias = Overview | Unreachable


CLUSTERS_AT_ONCE: Final = 32
"""Overviews under way at once; one that does not come keeps no other waiting below this number."""


class Snapshots:
    """Snapshots of all Flink clusters, taken in parallel; thread-safe."""

    def __init__(self, flinks: Mapping[str, Flink], overviews: Mapping[str, Future[_Seen]]) -> None:
        """Args:
        flinks: the clusters, by name.
        overviews: of each, under way or there.
        """
        self._flinks = flinks
        self._overviews = overviews
        self._history_locks = {name: Lock() for name in flinks}
        self._histories: dict[str, _Seen] = {}
        self._missing: Counter[str] = Counter()
        self._count_lock = Lock()

    def overviews(self) -> dict[str, Mapping[str, OverviewEntry] | None]:
        """Overview of each cluster; None if it is unreachable. Waits for all."""
        seen = {name: self._overview(name) for name in self._overviews}
        return {
            name: None if isinstance(overview, Unreachable) else overview.entries
            for name, overview in seen.items()
        }

    def _overview(self, cluster: str) -> _Seen:
        if cluster not in self._overviews:
            return Unreachable(f"the settings describe no Flink cluster {cluster!r}")
        return self._overviews[cluster].result()

    def get(self, cluster: str, flink_job_id: str) -> FlinkJob | Unreachable | None:
        """The job as the snapshot shows it; None when the snapshot lacks it."""
        overview = self._overview(cluster)
        return overview if isinstance(overview, Unreachable) else overview.get(flink_job_id)

    def flink(self, cluster: str) -> Flink:
        """The cluster of this name, for questions beyond the snapshot."""
        return self._flinks[cluster]

    def named(self, records: Sequence[JobRecord], *, again: Collection[str]) -> dict[str, NamedJobs]:
        """Flink jobs with the name of a record that began after it, by job id.

        Args:
            records: those without a Flink Job ID, or that may lack one. Of a LOST record, the History Server
                is searched as well: it may have got the job since.
            again: job ids whose submitters have ended: what they did up to now must show, and the snapshot
                may be older. Their clusters are asked again, and the History Servers, which still know
                the jobs that the clusters have forgotten.
        """
        found: dict[str, NamedJobs] = {}
        for cluster in {record.cluster for record in records}:
            own = [record for record in records if record.cluster == cluster]
            ended = [record for record in own if record.job_id in again]
            rest = [record for record in own if record.job_id not in again]
            lost = [record for record in rest if record.status is Status.LOST]
            others = [record for record in rest if record.status is not Status.LOST]
            if others:
                found |= _named(cluster, others, [self._overview(cluster)])
            if lost:
                found |= _named(cluster, lost, [*self._archived(cluster), self._overview(cluster)])
            if ended:
                found |= _named(cluster, ended, self._seen_again(cluster))
        return found

    def _archived(self, cluster: str) -> list[_Seen]:
        """What the History Server of a cluster showed in this pass, where there is one that answers."""
        flink = self._flinks.get(cluster)
        history = self._history(flink) if flink is not None and flink.has_history else None
        return [history] if isinstance(history, Overview) else []

    def _seen_again(self, cluster: str) -> list[_Seen]:
        """The snapshot, and what the cluster and its History Server show now."""
        seen = [self._overview(cluster)]
        if isinstance(seen[0], Overview):
            flink = self._flinks[cluster]
            if flink.has_history:
                seen.insert(0, or_unreachable(flink.history))
            seen.append(or_unreachable(flink.overview))  # may leave out a job that the snapshot shows
        return seen

    def ask(self, record: JobRecord, flink_job_id: str) -> FlinkObservation:
        """One job beyond the snapshot: its root exception, or whether it is really missing.

        Missing means that the snapshot lacks it, that a direct request got Flink's own 404, and that
        the History Server, where there is one, does not know it either. That one is believed also where
        the direct request got no answer. A LOST record's job is not asked for directly: if it is back,
        the snapshot has it.
        """
        job: FlinkObservation | None = self.get(record.cluster, flink_job_id)
        if isinstance(job, Unreachable):
            return job
        flink = self._flinks[record.cluster]
        if job is None:
            is_lost = record.status is Status.LOST
            job = Missing() if is_lost else or_unreachable(lambda: flink.job(flink_job_id))
        if isinstance(job, FlinkJob):
            return _with_failure(job, flink.failure, *([flink.history_failure] if flink.has_history else []))
        if flink.has_history:
            archived = self._from_history(flink, flink_job_id)
            if isinstance(job, Missing) or isinstance(archived, FlinkJob):  # an archived job is over for good
                job = archived
        if isinstance(job, Missing) and record.status is not Status.LOST:
            with self._count_lock:
                self._missing[record.cluster] += 1
        return job

    def _history(self, flink: Flink) -> _Seen:
        with self._history_locks[flink.name]:  # asked once per pass, and only if a snapshot lacks a job
            if flink.name not in self._histories:
                self._histories[flink.name] = or_unreachable(flink.history)
            return self._histories[flink.name]

    def _from_history(self, flink: Flink, flink_job_id: str) -> FlinkObservation:
        history = self._history(flink)
        if isinstance(history, Unreachable):
            return history
        archived = history.get(flink_job_id)
        if archived is None or archived.state not in TERMINAL_STATES:  # Flink before 1.15 archives SUSPENDED
            return Missing()
        return _with_failure(archived, flink.history_failure)

    def missing(self) -> Mapping[str, int]:
        """Number of jobs that each cluster does not know, by cluster."""
        return dict(self._missing)

    def report(self) -> dict[str, dict[str, Any]]:
        """Per cluster, whether it answered, how many jobs it knows, and the error.

        How many of them are unmanaged is not known to a snapshot: None.
        """
        described: dict[str, dict[str, Any]] = {}
        for name in self._flinks:
            overview = self._overview(name)
            described[name] = {
                "reachable": isinstance(overview, Overview),
                "jobs": len(overview) if isinstance(overview, Overview) else None,
                "unmanaged": None,
                "error": overview.error if isinstance(overview, Unreachable) else None,
            }
        return described


@contextmanager
def take_snapshots(flinks: Mapping[str, Flink]) -> Iterator[Snapshots]:
    """Starts a request to every cluster; when the block ends, each has answered or timed out."""
    threads = ThreadPoolExecutor(max(1, min(len(flinks), CLUSTERS_AT_ONCE)), thread_name_prefix="overview")
    with threads:
        yield Snapshots(
            flinks, {name: threads.submit(or_unreachable, flink.overview) for name, flink in flinks.items()}
        )


def _named(cluster: str, records: Sequence[JobRecord], seen: Sequence[_Seen]) -> dict[str, NamedJobs]:
    """The jobs named like each record; `Unreachable` while a job that cannot be read may be the record's.

    Args:
        cluster: name of the cluster.
        records: of this cluster.
        seen: overviews to search; a later one counts more. All must have been answered.
    """
    for overview in seen:
        if isinstance(overview, Unreachable):
            return dict.fromkeys((record.job_id for record in records), overview)
    overviews = [overview for overview in seen if isinstance(overview, Overview)]
    hidden = {name for overview in overviews for name in overview.unreadable}
    names = {record.job_id for record in records} | {fixed_flink_job_id(record.job_id) for record in records}
    jobs: dict[str, FlinkJob] = {}
    for overview in overviews:  # what the cluster says counts more than its History Server
        for flink_job_id, entry in overview.entries.items():
            if entry.name in names or flink_job_id in names:
                jobs[flink_job_id] = overview[flink_job_id]
    found: dict[str, NamedJobs] = {}
    for record in records:
        own = find_by_name(record.job_id, record.submitted_at, jobs)
        is_hidden = record.job_id in hidden or (None in hidden and not own)
        found[record.job_id] = Unreachable(_HIDDEN.format(cluster=cluster)) if is_hidden else own
    return found


def _with_failure(job: FlinkJob, *sources: Callable[[str], str | None]) -> FlinkJob:
    """A failed job with its root exception, from the first source that answers.

    That it could not be read does not make the job less failed, nor later known to have failed.
    """
    if job.state != "FAILED":
        return job
    errors = []
    for failure in sources:
        cause = or_unreachable(partial(failure, job.id))
        if not isinstance(cause, Unreachable):
            return replace(job, failure=cause)
        errors.append(cause.error)
    unread = (
        f"the root exception could not be read ({'; '.join(errors)}): ask Flink's web page for job {job.id}"
    )
    return replace(job, failure=unread)


def or_unreachable(ask: Callable[[], T]) -> T | Unreachable:
    """The result of a request, or `Unreachable` with its error."""
    try:
        return ask()
    except FlinkjobsError as error:
        return Unreachable(str(error))


_HIDDEN: Final = "cluster {cluster} shows a job that cannot be read, and that may be of this name"


def find_by_name(job_id: str, submitted_at: datetime, jobs: Mapping[str, FlinkJob]) -> tuple[FlinkJob, ...]:
    """Flink jobs with the name of a record that began after its submission, oldest first.

    They are several where the script submits several and names none of them itself. A job that failed while
    it initialised may have no start.

    Args:
        job_id: the record's; the submitter passes it as `pipeline.name`.
        submitted_at: when the record was made.
        jobs: by Flink Job ID.
    """
    fixed_id, begin = fixed_flink_job_id(job_id), submitted_at - CLOCK_SKEW
    own = [
        job
        for job in jobs.values()
        if (job.name == job_id or job.id == fixed_id) and (job.start_time is None or job.start_time >= begin)
    ]
    return tuple(sorted(own, key=lambda job: (job.start_time or begin, job.id)))
