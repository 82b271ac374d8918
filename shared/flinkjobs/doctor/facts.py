"""Facts that the probes collect and the checks judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar

from flinkjobs.domain.errors import (
    FlinkCredentialError,
    FlinkjobsError,
    FlinkUntrustedError,
    KubernetesRefusedError,
    TemporaryError,
)
from flinkjobs.domain.observations import SubmitterObservation, Unreachable
from flinkjobs.domain.permissions import AccessReview, Function
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.schedule import ScheduleState
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule

T = TypeVar("T")

CREATED_FOR: Final = timedelta(minutes=5)
"""Time after which a CREATED record becomes a finding; a submission usually takes less than a minute."""

IDLE_POD_AGE: Final = timedelta(minutes=10)
"""Age from which a pod that only sidecars keep running is a finding; a sidecar may end a little later."""

RECENT: Final = timedelta(hours=24)
"""Period in which failed submissions and lost jobs are findings; older ones are ignored."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer refused the request.

    Attributes:
        error: what it said, one line.
        reason: the word of a Kubernetes Status object, e.g. `Forbidden`; the code of a refusal on the way to
            Flink; else "".
    """

    error: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The probe did not run.

    Attributes:
        because: the reason.
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
    """Only the URLs of the functions are known, not their settings: the probes ask the functions."""


NoAnswer: TypeAlias = Unreachable | Refused | NotAsked
"""Why a probe found nothing."""

ProbeResult: TypeAlias = T | NoAnswer
"""What a probe found, or why it found nothing. An error is a value here, never a default."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """The MongoDB deployment.

    Attributes:
        user: the authenticated user; None without authentication.
    """

    address: str
    version: str
    user: str | None


@dataclass(frozen=True, slots=True)
class FlinkFacts:
    """The Flink cluster's overview."""

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
    """One pass of sync, or one run of cleanup, as its report describes it.

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
    """The last run, and the last complete one; None where there is none."""

    last: Run | None
    last_complete: Run | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is CREATED for too long.

    Attributes:
        submitter: its Kubernetes Job and pods now; None if the record already has a reason.
    """

    record: JobRecord
    submitter: SubmitterObservation | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Records that may need attention, read from MongoDB.

    Attributes:
        waiting: CREATED for longer than `CREATED_FOR`, but for the unconfirmed.
        without_id: recently failed before Flink had a job of theirs.
        unconfirmed: with an id that no Flink cluster knows.
        lost: recently LOST.
        unhealthy: open, and unhealthy.
        unreadable: documents that are no records.
    """

    waiting: tuple[Waiting, ...] = ()
    without_id: tuple[JobRecord, ...] = ()
    unconfirmed: tuple[JobRecord, ...] = ()
    lost: tuple[JobRecord, ...] = ()
    unhealthy: tuple[JobRecord, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Jobs with the same cause, as the jobs function reports them.

    Attributes:
        code: of the reason on their records; NO_REASON where there is none.
        count: how many.
        job_ids: of some of them.
    """

    code: str
    count: int
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problems:
    """Records that may need attention, as the jobs function reports them.

    Attributes:
        created: jobs that stay CREATED.
        without_id: recently failed without a Flink Job ID.
        lost: number of jobs submitted recently that are LOST.
        unhealthy: open jobs that are unhealthy.
    """

    created: tuple[Problem, ...]
    without_id: tuple[Problem, ...]
    lost: int
    unhealthy: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One channel, as sync has left it.

    Attributes:
        state: a `flinkjobs.jobs.notifications.ChannelCondition`.
        waiting: number of jobs and clusters whose events wait for it.
        set_aside: number of events that it will not be sent.
    """

    name: str
    state: str
    last_success_at: datetime | None
    failing_since: datetime | None
    last_error: str | None
    waiting: int
    set_aside: int


@dataclass(frozen=True, slots=True)
class Notifications:
    """What sync still has to send.

    Attributes:
        oldest_pending: age of the oldest event that is not sent to every channel; None without any.
    """

    oldest_pending: timedelta | None
    channels: tuple[ChannelFacts, ...]


@dataclass(frozen=True, slots=True)
class SeenBy:
    """For whom jobs takes the sender of a request.

    Attributes:
        user: None: no sign-in proxy has named one.
        may_act: whether that one may act on jobs.
    """

    user: str | None
    may_act: bool


_UNASKED: Final = NotAsked("the settings are wrong")


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks judge.

    Attributes:
        now: when the probes ran.
        settings: those of the functions, or what is wrong with them, or that only the functions are known.
        store: MongoDB.
        write: None when a write went well.
        indexes: the names of those that `flink_jobs` lacks.
        kubernetes: (address, version) of the API server.
        identity: our user name there.
        function: the one whose rights and settings are judged; all four are where it is None.
        access: the permissions that it uses, or that all use, each allowed or not.
        sidecars: by container that keeps Jobs active although their submitters have ended, those Jobs.
        flink: by cluster; `Passed` where only the functions are known.
        history: number of jobs that its History Server knows, by cluster that has one.
        functions: None where its `/ready` says so, by function that has a URL in the settings.
        own: the schedules that should exist.
        schedules: by function; None where there is none of that name. Empty where no scheduler is known.
        sync: passes over all records.
        cleanup: runs of cleanup.
        records: see `Records`; `Problems` where only the functions are known.
        channels: names of the channels that NOTIFY_CHANNELS names here.
        notifications: what sync still has to send, and to which channels.
        sign_in: for whom jobs takes doctor, None without actions; None where no header is trusted here.
        sync_period_seconds: period of the passes, as the jobs function reports it; None if it was not asked.
    """

    now: datetime
    settings: Settings | Refused | OnlyFunctions
    store: ProbeResult[StoreFacts] = _UNASKED
    write: ProbeResult[None] = _UNASKED
    indexes: ProbeResult[tuple[str, ...]] = _UNASKED
    kubernetes: ProbeResult[tuple[str, str]] = _UNASKED
    identity: ProbeResult[str] = _UNASKED
    function: Function | None = None
    access: ProbeResult[tuple[AccessReview, ...]] = _UNASKED
    sidecars: ProbeResult[Mapping[str, Sequence[str]]] = _UNASKED
    flink: Mapping[str, ProbeResult[FlinkFacts | Passed]] = field(default_factory=dict)
    history: Mapping[str, ProbeResult[int]] = field(default_factory=dict)
    functions: Mapping[str, ProbeResult[NotReady | None]] = field(default_factory=dict)
    own: tuple[OwnSchedule, ...] = ()
    schedules: Mapping[str, ProbeResult[ScheduleState | None]] = field(default_factory=dict)
    sync: ProbeResult[Runs] = _UNASKED
    cleanup: ProbeResult[Runs] = _UNASKED
    records: ProbeResult[Records | Problems] = _UNASKED
    channels: ProbeResult[tuple[str, ...]] = _UNASKED
    notifications: ProbeResult[Notifications] = _UNASKED
    sign_in: ProbeResult[SeenBy | None] | None = None
    sync_period_seconds: int | None = None


def attempt(ask: Callable[[], T]) -> ProbeResult[T]:
    """The result of a request, or its error as a value."""
    try:
        return ask()
    except (FlinkUntrustedError, FlinkCredentialError) as error:
        return Refused(str(error), error.code)
    except TemporaryError as error:
        return Unreachable(str(error))
    except FlinkjobsError as error:
        return Refused(str(error), error.reason if isinstance(error, KubernetesRefusedError) else "")


def notifications_from_view(view: Mapping[str, Any]) -> Notifications:
    """What `flinkjobs.jobs.notifications.backlog_view` shows, as it is or as JSON."""
    oldest = view["oldest_pending_seconds"]
    return Notifications(
        oldest_pending=None if oldest is None else timedelta(seconds=oldest),
        channels=tuple(
            ChannelFacts(
                name=str(channel["name"]),
                state=str(channel["state"]),
                last_success_at=_time(channel["last_success_at"]),
                failing_since=_time(channel["failing_since"]),
                last_error=channel["last_error"],
                waiting=int(channel["waiting"]),
                set_aside=int(channel["set_aside"]),
            )
            for channel in view["channels"]
        ),
    )


def _time(shown: datetime | str | None) -> datetime | None:
    return datetime.fromisoformat(shown) if isinstance(shown, str) else shown


def run_from_report(report: Mapping[str, Any]) -> Run:
    """The run that a report of sync or cleanup describes."""
    clusters = report.get("clusters") or {}
    return Run(
        started_at=report["started_at"],
        complete=bool(report.get("complete")),
        errors=tuple(
            (error.get("job_id"), error["code"], error["message"]) for error in report.get("errors") or ()
        ),
        unreachable=tuple(
            (name, str(cluster.get("error")))
            for name, cluster in clusters.items()
            if not cluster["reachable"]
        ),
    )
