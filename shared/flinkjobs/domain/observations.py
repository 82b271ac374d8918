"""Observations of a record in Kubernetes and Flink, as values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import msgspec

from flinkjobs.domain.health_values import Tasks
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import IdSource


class Missing(msgspec.Struct, frozen=True):
    """The peer answered that the object does not exist."""


class Unreachable(msgspec.Struct, frozen=True):
    """The peer gave no valid answer. Decides nothing.

    Attributes:
        error: what happened, one line.
    """

    error: str


class FlinkJob(msgspec.Struct, frozen=True, gc=False):
    """One Flink job as a cluster or a History Server described it.

    Attributes:
        name: "" for a job without one.
        start_time: when INITIALIZING began; None where Flink names none.
        end_time: None unless globally terminal (Flink answers -1 until then).
        failure: root exception, only where it was asked for.
    """

    id: str
    name: str
    state: str
    start_time: datetime | None = None
    end_time: datetime | None = None
    failure: str | None = None


FlinkObservation: TypeAlias = FlinkJob | Missing | Unreachable

NamedJobs: TypeAlias = tuple[FlinkJob, ...] | Unreachable
"""The Flink jobs that are named like a record."""


class OverviewEntry(Protocol):
    """One job as an overview shows it; times in milliseconds since 1970, not positive where there is none."""

    @property
    def name(self) -> str | None:
        """As in `FlinkJob`; None for a job without a name."""

    @property
    def state(self) -> str:
        """As in `FlinkJob`."""

    @property
    def start_ms(self) -> int:
        """When INITIALIZING began."""

    @property
    def end_ms(self) -> int:
        """When it ended."""

    @property
    def modified_ms(self) -> int:
        """When its state or that of a task last changed."""

    @property
    def tasks(self) -> Tasks:
        """The states of its tasks."""

    @property
    def job_type(self) -> str | None:
        """`STREAMING` or `BATCH`; None before Flink 2."""


class Overview(Mapping[str, FlinkJob]):
    """Every job that a cluster or a History Server knows, by id.

    Holds the entries as they were decoded and makes a `FlinkJob` only of one that is asked for: of ten
    thousand jobs a pass needs a few hundred.
    """

    __slots__ = ("duplicates", "entries", "unreadable")

    def __init__(
        self,
        entries: Mapping[str, OverviewEntry],
        unreadable: Sequence[str | None] = (),
        duplicates: int = 0,
    ) -> None:
        """Args:
        entries: by Flink Job ID.
        unreadable: the names of the jobs whose entries could not be read; None for a name that could not.
        duplicates: number of entries left out because another one has the same id.
        """
        self.entries: Final = entries
        self.unreadable: Final = unreadable
        self.duplicates: Final = duplicates

    def __getitem__(self, flink_job_id: str) -> FlinkJob:
        return job_of(flink_job_id, self.entries[flink_job_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(milliseconds: int) -> datetime | None:
    """Flink's time. It writes -1 (and 0 before the start) where there is none yet."""
    return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None


def job_of(flink_job_id: str, entry: OverviewEntry) -> FlinkJob:
    """The job that an entry shows."""
    return FlinkJob(
        id=flink_job_id,
        name=entry.name or "",
        state=entry.state,
        start_time=time_of(entry.start_ms),
        end_time=time_of(entry.end_ms),
    )


class JobPhase(StrEnum):
    """Phase of a Kubernetes Job, by its conditions."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


class LogState(StrEnum):
    """What could be learned from the submitter's output."""

    READ = "READ"
    """Every pod of the Job was read, by termination message or log."""
    RUNNING = "RUNNING"
    """A pod still runs or waits; what it printed so far was read."""
    GONE = "GONE"
    """At least one pod's output does not exist any more, or is too long to be read whole."""
    UNREACHABLE = "UNREACHABLE"
    """The API server could not be asked for it this time."""


class FoundId(msgspec.Struct, frozen=True):
    """A Flink Job ID in a submitter's output."""

    id: str
    source: IdSource


class Submitter(msgspec.Struct, frozen=True):
    """The Kubernetes Job of a record, its pods and their output, boiled down.

    Attributes:
        job_uid: of the Job, so that nothing else of its name is deleted.
        phase: by the Job's conditions, never by its pod counts.
        ended: the Job's own words when it failed, e.g. `DeadlineExceeded: …`; else None.
        ids: in the order printed, pods in the order of their creation, without repeats.
        log: what of the output could be read.
        error_lines: the lines that name the cause of a failed submission, cut; "" when there are none.
        proves_nothing_submitted: no id was printed, and the output shows that no job was submitted.
        is_whole: it ended without an error, and its termination messages hold every id that it printed.
        exit_code: of the newest submit container that has ended; None where none has.
        problem: why it does not start, found by `diagnose`; `since` is filled in by `decide`.
        events_unread: why the events that may name the problem could not be read; None where they were
            read, or not needed.
        unread: the error that came instead of a log, where `log` is UNREACHABLE.
    """

    phase: JobPhase
    job_uid: str = ""
    ended: str | None = None
    ids: tuple[FoundId, ...] = ()
    log: LogState = LogState.READ
    error_lines: str = ""
    proves_nothing_submitted: bool = False
    is_whole: bool = False
    exit_code: int | None = None
    problem: tuple[ReasonCode, str] | None = None
    events_unread: Unreachable | None = None
    unread: str = ""


class NoKubernetesJob(msgspec.Struct, frozen=True):
    """The API server answered that the record's Job does not exist.

    Its pods may be there without it: the Job alone was deleted. What they say counts as ever, but not
    what they do not say: there may have been others.

    Attributes:
        ids, error_lines, unread: as in `Submitter`.
        log: GONE also where no pod is left.
    """

    ids: tuple[FoundId, ...] = ()
    log: LogState = LogState.GONE
    error_lines: str = ""
    unread: str = ""


SubmitterObservation: TypeAlias = Submitter | NoKubernetesJob | Unreachable


def found_ids(submitter: SubmitterObservation | None) -> tuple[str, ...]:
    """The Flink Job IDs that a submitter has printed, as far as it was observed."""
    if submitter is None or isinstance(submitter, Unreachable):
        return ()
    return tuple(found.id for found in submitter.ids)


def may_lack_ids(submitter: SubmitterObservation, dropped_ids: Collection[str]) -> bool:
    """Whether a submitter has ended, and may have submitted a job without an id in its output.

    Args:
        submitter: as it was observed.
        dropped_ids: ids in its output that belong to other jobs.
    """
    if isinstance(submitter, Submitter):
        has_ended = submitter.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
        has_own_id = any(found.id not in dropped_ids for found in submitter.ids)
        return has_ended and not (has_own_id and submitter.is_whole)
    return isinstance(submitter, NoKubernetesJob)


class Observation(msgspec.Struct, frozen=True):
    """All that one pass saw of one record.

    Attributes:
        submitter: None when it was not asked for, because the record needs nothing of it.
        flink: by Flink Job ID: of every id the record knows and every id found in this pass.
        named: the Flink jobs named like the record, or with the id that `exactly_once` fixes, the first one
            first; None when they were not looked for.
        foreign_ids: ids found in this pass that belong to other records.
    """

    submitter: SubmitterObservation | None = None
    flink: Mapping[str, FlinkObservation] = msgspec.field(default_factory=dict)
    named: NamedJobs | None = None
    foreign_ids: frozenset[str] = frozenset()


KUBERNETES_UNAVAILABLE: Final = "KUBERNETES_UNAVAILABLE"
LOG_UNREACHABLE: Final = "LOG_UNREACHABLE"
FLINK_UNAVAILABLE: Final = "FLINK_UNAVAILABLE"


class ObservationError(msgspec.Struct, frozen=True):
    """A peer or a part of an answer that could not be read.

    Attributes:
        job_id: the record that it costs; None for a whole peer.
        code: e.g. `KUBERNETES_UNAVAILABLE`.
        message: one line.
        cluster: the Flink cluster that is concerned.
    """

    job_id: str | None
    code: str
    message: str
    cluster: str | None = None
