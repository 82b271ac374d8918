"""What the Flink clusters say in one pass: a snapshot each, and the few questions that it leaves open."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    Missing,
    NamedJobs,
    Overview,
    OverviewEntry,
    Unreachable,
)
from flinkjobs.domain.records import JobRecord, Status
from flinkjobs.ports.flink import Flink

T = TypeVar("T")

_Seen: TypeAlias = Overview | Unreachable


CLUSTERS_AT_ONCE: Final = 32
"""Overviews under way at once; one that does not come keeps no other waiting below this number."""


class Snapshots:
    """One look at every Flink cluster, all taken side by side; may be asked by several threads."""

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
        """What each cluster shows, by Flink Job ID; None where it could not be asked. Waits for all."""
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

    def named(self, records: Sequence[JobRecord]) -> dict[str, NamedJobs]:
        """The jobs that are named like each record and began after it, by job id.

        Every cluster concerned is looked at again: what the submitters did up to now must show, and the
        snapshot may be older than that. Its History Server still knows the jobs that it has forgotten.
        """
        names = {record.job_id for record in records}
        known = {
            cluster: self._named_now(cluster, names) for cluster in {record.cluster for record in records}
        }
        found: dict[str, NamedJobs] = {}
        for record in records:
            of_cluster = known[record.cluster]
            jobs = of_cluster if isinstance(of_cluster, Unreachable) else of_cluster.get(record.job_id, {})
            found[record.job_id] = (
                jobs
                if isinstance(jobs, Unreachable)
                else find_by_name(record.job_id, record.submitted_at, jobs)
            )
        return found

    def _named_now(
        self, cluster: str, names: Collection[str]
    ) -> Mapping[str, Mapping[str, FlinkJob] | Unreachable] | Unreachable:
        """The jobs of these names, by name and id, that a cluster and its History Server know.

        A name is `Unreachable` while a job that cannot be read bears it, or may be the only one to bear it.
        """
        overview = self._overview(cluster)
        if isinstance(overview, Unreachable):
            return overview
        flink = self._flinks[cluster]
        overview = or_unreachable(flink.overview)
        history = or_unreachable(flink.history) if flink.has_history else Overview({})
        if isinstance(overview, Unreachable):
            return overview
        if isinstance(history, Unreachable):
            return history
        found: dict[str, dict[str, FlinkJob]] = defaultdict(dict)
        for seen in (history, overview):  # what the cluster says counts more
            for flink_job_id, entry in seen.entries.items():
                if entry.name in names:
                    found[entry.name][flink_job_id] = seen[flink_job_id]
        hidden = {*history.unreadable, *overview.unreadable}
        unknown = Unreachable(f"cluster {cluster} shows a job that cannot be read, and may be of this name")
        return found | {
            name: unknown for name in names if name in hidden or (None in hidden and name not in found)
        }

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

    def _from_history(self, flink: Flink, flink_job_id: str) -> FlinkObservation:
        with self._history_locks[flink.name]:  # asked once per pass, and only if a snapshot lacks a job
            if flink.name not in self._histories:
                self._histories[flink.name] = or_unreachable(flink.history)
            history = self._histories[flink.name]
        if isinstance(history, Unreachable):
            return history
        archived = history.get(flink_job_id)
        return _with_failure(archived, flink.history_failure) if archived else Missing()

    def missing(self) -> Mapping[str, int]:
        """How many jobs each cluster turned out not to know, by cluster."""
        return dict(self._missing)

    def report(self) -> dict[str, dict[str, Any]]:
        """Per cluster, whether it answered, how many jobs it knows, and the error."""
        described: dict[str, dict[str, Any]] = {}
        for name in self._flinks:
            overview = self._overview(name)
            if isinstance(overview, Unreachable):
                described[name] = {"reachable": False, "jobs": None, "error": overview.error}
            else:
                described[name] = {"reachable": True, "jobs": len(overview), "error": None}
        return described


@contextmanager
def take_snapshots(flinks: Mapping[str, Flink]) -> Iterator[Snapshots]:
    """Begins to ask every cluster, and has them all answered, or given up, when the block is left."""
    threads = ThreadPoolExecutor(max(1, min(len(flinks), CLUSTERS_AT_ONCE)), thread_name_prefix="overview")
    with threads:
        yield Snapshots(
            flinks, {name: threads.submit(or_unreachable, flink.overview) for name, flink in flinks.items()}
        )


def _with_failure(job: FlinkJob, *sources: Callable[[str], str | None]) -> FlinkJob:
    """A failed job with its root exception, from the first source that answers.

    That it could not be read does not make the job less failed, nor later known to have failed.
    """
    if job.state != "FAILED":
        return job
    errors = []
    for failure in sources:
        told = or_unreachable(partial(failure, job.id))
        if not isinstance(told, Unreachable):
            return replace(job, failure=told)
        errors.append(told.error)
    unread = (
        f"the root exception could not be read ({'; '.join(errors)}): ask Flink's web page for job {job.id}"
    )
    return replace(job, failure=unread)


def or_unreachable(ask: Callable[[], T]) -> T | Unreachable:
    """What was asked for, or `Unreachable` with the error that came instead."""
    try:
        return ask()
    except FlinkjobsError as error:
        return Unreachable(str(error))


CLOCK_SKEW: Final = timedelta(seconds=60)
"""How far Flink's clock may be behind ours: a job that began so long before its submission counts as begun
after it. Its name, which holds the millisecond of the submission, tells it from every other."""


def find_by_name(
    job_id: str, submitted_at: datetime, snapshot: Mapping[str, FlinkJob]
) -> tuple[FlinkJob, ...]:
    """The Flink jobs that are named like a record and began after it was submitted, the first one first.

    They are several where the script submits several and names none of them itself.

    Args:
        job_id: the record's; the submitter passes it as `pipeline.name`.
        submitted_at: when the record was made.
        snapshot: every job the record's cluster knows, by id.
    """
    named = [
        (job.start_time, job.id, job)
        for job in snapshot.values()
        if job.name == job_id and job.start_time is not None and job.start_time >= submitted_at - CLOCK_SKEW
    ]
    return tuple(job for _, _, job in sorted(named, key=lambda entry: entry[:2]))
