"""Events: what a move means to who wants to be notified, and the filter of a channel. Pure.

An event exists because a move was written, and only then. Its id is made of what moved and of the move's
`seq`, so every repetition carries the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

import msgspec

from flinkjobs.domain.flink_states import FINAL, Status
from flinkjobs.domain.history import Move

SYNC_SUBJECT: Final = "sync"
"""Subject of the events of sync itself."""
TEST_SUBJECT: Final = "test"
"""Subject of the events that try a channel."""


class EventType(StrEnum):
    """What happened."""

    JOB_CREATED = "flinkjobs.job.created"
    JOB_RUNNING = "flinkjobs.job.running"
    JOB_SUSPENDED = "flinkjobs.job.suspended"
    JOB_FINISHED = "flinkjobs.job.finished"
    JOB_FAILED = "flinkjobs.job.failed"
    JOB_CANCELLED = "flinkjobs.job.cancelled"
    JOB_LOST = "flinkjobs.job.lost"
    JOB_STUCK = "flinkjobs.job.stuck"
    JOB_RECOVERED = "flinkjobs.job.recovered"
    JOB_UNHEALTHY = "flinkjobs.job.unhealthy"
    JOB_HEALTHY = "flinkjobs.job.healthy"
    CLUSTER_UNREACHABLE = "flinkjobs.cluster.unreachable"
    CLUSTER_REACHABLE = "flinkjobs.cluster.reachable"
    CLUSTER_JOBS_MISSING = "flinkjobs.cluster.jobs_missing"
    SYNC_RESUMED = "flinkjobs.sync.resumed"
    NOTIFY_TEST = "flinkjobs.notify.test"
    """Sent by a person to try a channel; nothing has happened."""


_OF_STATUS: Final[Mapping[Status, EventType]] = MappingProxyType(
    {
        Status.CREATED: EventType.JOB_CREATED,
        Status.RUNNING: EventType.JOB_RUNNING,
        Status.SUSPENDED: EventType.JOB_SUSPENDED,
        Status.FINISHED: EventType.JOB_FINISHED,
        Status.FAILED: EventType.JOB_FAILED,
        Status.CANCELLED: EventType.JOB_CANCELLED,
        Status.LOST: EventType.JOB_LOST,
    }
)


class Event(msgspec.Struct, frozen=True):
    """One event, for any number of channels.

    Attributes:
        id: `<job id>/<seq>`, `cluster/<name>/<seq>` or `sync/<seq>`; the same in every repetition.
        type: what happened.
        time: of the move, aware UTC.
        subject: the job id, the cluster's name, or `sync`.
        cluster: name of the cluster; None for sync.
        move: as it was written.
        job: the record as the API shows it now; None for clusters and sync.
    """

    id: str
    type: EventType
    time: datetime
    subject: str
    cluster: str | None
    move: Mapping[str, Any]
    job: Mapping[str, Any] | None = None


def job_event_type(move: Move) -> EventType:
    """The type of a job's move.

    `recovered` is the end of `stuck` without a change of status, and of LOST where the job is not over.
    """
    if move.unhealthy is not None:
        return EventType.JOB_UNHEALTHY if move.unhealthy else EventType.JOB_HEALTHY
    if move.stuck is not None:
        return EventType.JOB_STUCK if move.stuck else EventType.JOB_RECOVERED
    if move.was is Status.LOST and move.status not in FINAL:
        return EventType.JOB_RECOVERED
    return _OF_STATUS[move.status]


def job_event_id(job_id: str, seq: int) -> str:
    return f"{job_id}/{seq}"


def cluster_event_id(name: str, seq: int) -> str:
    return f"cluster/{name}/{seq}"


def sample_event(id_: str, now: datetime) -> Event:
    """What `flinkjobs notify test` sends: marked as a test by its type, and about no job."""
    return Event(f"{TEST_SUBJECT}/{id_}", EventType.NOTIFY_TEST, now, TEST_SUBJECT, None, {"at": now})


def sync_event_id(seq: int) -> str:
    return f"{SYNC_SUBJECT}/{seq}"


class EventFilter(msgspec.Struct, frozen=True):
    """Which events a channel receives: those that pass every part. An empty part lets everything pass.

    The parts but `labels` are globs (`*`, `?`, `[…]`), case-sensitive; one that matches is enough. An event
    that lacks what a part asks for does not pass: a filter by template admits no event of a cluster.

    Attributes:
        events: types, as in `flinkjobs.job.failed` or `flinkjobs.cluster.*`.
        templates: of the job's `template_id`.
        clusters: of the cluster's name.
        submitted_by: of the job's `submitted_by`.
        labels: the job has each of these, with this value.
    """

    events: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    submitted_by: tuple[str, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})

    def admits(self, event: Event) -> bool:
        """Whether the channel receives this event."""
        job = event.job or {}
        labels = job.get("labels") or {}
        return (
            _any_matches(self.events, event.type.value)
            and _any_matches(self.templates, job.get("template_id"))
            and _any_matches(self.clusters, event.cluster)
            and _any_matches(self.submitted_by, job.get("submitted_by"))
            and all(labels.get(name) == value for name, value in self.labels.items())
        )


def _any_matches(globs: Iterable[str], value: str | None) -> bool:
    """Whether one of the globs matches; without globs, everything does."""
    if not globs:
        return True
    return value is not None and any(fnmatchcase(value, glob) for glob in globs)
