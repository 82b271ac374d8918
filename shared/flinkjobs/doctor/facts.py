"""Facts that the probes collect and the checks judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from flinkjobs.domain.observations import (
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.permissions import AccessReview
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.schedule import ScheduleState
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule

T = TypeVar("T")

CREATED_FOR: Final = timedelta(minutes=5)
"""A record that is CREATED for longer has a cause that somebody should know. As a rule, a submission takes
less than a minute."""

RECENT: Final = timedelta(hours=24)
"""Submissions that failed, and jobs that were lost, within this time are findings; older ones are history."""


# --- what was gathered ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer answered, and refused.

    Attributes:
        error: what it said, one line.
        reason: the word of a Kubernetes Status object, e.g. `Forbidden`; "" from other peers.
    """

    error: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Nobody asked.

    Attributes:
        because: why not.
    """

    because: str


@dataclass(frozen=True, slots=True)
class NotReady:
    """A function answered that it cannot do its work.

    Attributes:
        error: what it said, one line.
    """

    error: str


@dataclass(frozen=True, slots=True)
class OnlyFunctions:
    """None of the functions' settings is here, only where the functions are: they are asked instead."""


Seen: TypeAlias = T | Unreachable | Refused | NotAsked
"""What was asked for, or what came instead. An error is a value here, never a default."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What MongoDB says of itself.

    Attributes:
        user: who we are there; None where it asks for no credentials.
    """

    address: str
    version: str
    user: str | None


@dataclass(frozen=True, slots=True)
class FlinkFacts:
    """What a Flink cluster says of itself."""

    version: str
    taskmanagers: int
    slots: int
    free_slots: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A Flink cluster as the last pass saw it.

    Attributes:
        at: when that pass began.
        error: why it did not answer; None where it did.
    """

    at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of sync, or one run of cleanup, as its report tells it.

    Attributes:
        errors: (job id, code, message); the job id is None where it concerns a peer.
        unreachable: the Flink clusters that it could not ask, each with the error.
    """

    started_at: datetime
    complete: bool
    errors: tuple[tuple[str | None, str, str], ...] = ()
    unreachable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Runs:
    """The last run, and the last that got to its end; None where there is none."""

    last: Run | None
    last_complete: Run | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is CREATED for too long.

    Attributes:
        submitter: what its Kubernetes Job says now; None when nobody looked, because the record says enough.
    """

    record: JobRecord
    submitter: SubmitterObservation | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The records that somebody may have to look at.

    Attributes:
        waiting: CREATED for longer than `CREATED_FOR`, but for the unconfirmed.
        without_id: recently failed before Flink had a job of theirs.
        unconfirmed: with an id that no Flink cluster knows.
        lost: recently LOST.
        unreadable: documents that are no records.
    """

    waiting: tuple[Waiting, ...] = ()
    without_id: tuple[JobRecord, ...] = ()
    unconfirmed: tuple[JobRecord, ...] = ()
    lost: tuple[JobRecord, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Jobs with the same cause, as the function jobs tells it.

    Attributes:
        code: of the reason on their records; NO_REASON where there is none.
        count: how many.
        job_ids: of some of them.
    """

    code: str
    count: int
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Troubles:
    """The records that somebody may have to look at, as the function jobs tells of them.

    Attributes:
        created: that stay CREATED.
        without_id: recently failed without a Flink Job ID.
        lost: number of jobs submitted recently that are LOST.
    """

    created: tuple[Trouble, ...]
    without_id: tuple[Trouble, ...]
    lost: int


_UNASKED: Final = NotAsked("the settings are wrong")


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that the checks look at.

    Attributes:
        now: when it was gathered.
        settings: those of the functions, or what is wrong with them, or that only the functions are known.
        store: MongoDB.
        write: None when a write went well.
        indexes: the names of those that `flink_jobs` lacks.
        kubernetes: (address, version) of the API server.
        identity: who we are there.
        access: what we may do there of what the functions need.
        flink: by cluster; `Passed` where only the functions are known.
        history: number of jobs that its History Server knows, by cluster that has one.
        functions: None where its `/ready` says so, by function that has a URL in the settings.
        own: the schedules that should exist.
        schedules: by function; None where there is none of that name. Empty where no scheduler is known.
        sync: passes over all records.
        cleanup: runs of cleanup.
        records: see `Records`; `Troubles` where only the functions are known.
        sync_period_seconds: how often a pass is due, as the function jobs tells; None where nobody asked it.
    """

    now: datetime
    settings: Settings | Refused | OnlyFunctions
    store: Seen[StoreFacts] = _UNASKED
    write: Seen[None] = _UNASKED
    indexes: Seen[tuple[str, ...]] = _UNASKED
    kubernetes: Seen[tuple[str, str]] = _UNASKED
    identity: Seen[str] = _UNASKED
    access: Seen[tuple[AccessReview, ...]] = _UNASKED
    flink: Mapping[str, Seen[FlinkFacts | Passed]] = field(default_factory=dict)
    history: Mapping[str, Seen[int]] = field(default_factory=dict)
    functions: Mapping[str, Seen[NotReady | None]] = field(default_factory=dict)
    own: tuple[OwnSchedule, ...] = ()
    schedules: Mapping[str, Seen[ScheduleState | None]] = field(default_factory=dict)
    sync: Seen[Runs] = _UNASKED
    cleanup: Seen[Runs] = _UNASKED
    records: Seen[Records | Troubles] = _UNASKED
    sync_period_seconds: int | None = None
