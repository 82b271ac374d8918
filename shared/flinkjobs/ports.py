"""What the core asks of the outside world. The adapters fulfil it; tests may too.

Every method may raise the `TemporaryError` or `PermanentError` of its side (`flinkjobs.errors`) and
nothing else of what its library raises. An error is never an empty answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import msgspec

from flinkjobs.kube import AccessReview, Event, Kind, KubernetesJob, Leftover, Permission, Pod
from flinkjobs.model import (
    AtRest,
    FlinkJob,
    JobRecord,
    Missing,
    Overview,
    Skipped,
    Status,
    UnreadableRecord,
    Update,
)

if TYPE_CHECKING:  # of the read side and of the command: a pass needs neither
    from flinkjobs.listing import Filter, Form, Place, Row
    from flinkjobs.schedules import Applied as ScheduleApplied
    from flinkjobs.schedules import Schedule, ScheduleState


def reads_all(_: AtRest) -> bool:
    """Skips no record."""
    return False


class Applied(msgspec.Struct, frozen=True):
    """What became of a batch of conditional writes.

    Attributes:
        job_ids: records that were written.
        conflicts: records that were not as read any more, and so were left alone.
        refused: records that the store does not take as they would be, and why; they are as they were.
    """

    job_ids: frozenset[str]
    conflicts: frozenset[str]
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)


class Submitted(msgspec.Struct, frozen=True):
    """A submission as its record tells it to a repeated request.

    Attributes:
        request_hash: of the request that made it.
        details: as given to `insert`.
    """

    record: JobRecord
    request_hash: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """What cleanup needs of a record.

    Attributes:
        status: None where the record holds no status that is known here; such a record is not settled.
        is_settled: nothing more will be needed of the Kubernetes Job: every id was read, or the
            failure was recorded.
        k8s_job_name: of the record's Job; None in documents of the old platform.
        document_id: tells it from others of its job id.
    """

    job_id: str
    status: Status | None
    is_settled: bool
    k8s_job_name: str | None = None
    document_id: Any = field(default=None, compare=False)


class SubmitterLog(msgspec.Struct, frozen=True):
    """The end of a submitter's log, kept on the record of a Job that goes without its ids.

    Attributes:
        truncated: there was more before it.
        pod: whose log it is.
        saved_at: when it was kept.
    """

    text: str
    truncated: bool
    pod: str
    saved_at: datetime


class Deletion(StrEnum):
    """What a request to delete came to."""

    DONE = "DONE"
    """Confirmed by the API server."""
    GONE = "GONE"
    """There was nothing to delete any more."""
    BEGUN = "BEGUN"
    """Accepted; somebody's finalizer still holds the object."""


class Lease(msgspec.Struct, frozen=True):
    """A lease that was taken.

    Attributes:
        name: what it is for.
        holder: who has it, unique per taking.
        fence: higher than that of every taking before.
        cursor: what the last holder left for the next: where to go on.
    """

    name: str
    holder: str
    fence: int
    cursor: str | None


class LeaseStore(Protocol):
    """Where leases are kept. Times are told by the store's clock alone."""

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        """Takes a lease that is free or has run out; None while another holds it."""

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        """Prolongs a lease; False when it is not ours any more."""

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        """Gives a lease back with a note for the next holder; False when it is not ours any more."""

    def cursor_of_lease(self, name: str) -> str | None:
        """What the last holder left, for one who only looks."""


class JobStore(LeaseStore, Protocol):
    """The collection `flink_jobs` and its companions."""

    def insert(self, record: JobRecord, details: Mapping[str, Any]) -> None:
        """Adds a record with the details that only people need.

        Raises DuplicateJobIdError when its `job_id` is taken, InFlightError when its idempotency key is.
        """

    def submitted_with(self, idempotency_key: str) -> Submitted | None:
        """The submission that used this idempotency key."""

    def take_up(self, record: JobRecord, *, until: datetime) -> JobRecord | None:
        """Makes a CREATED record in flight again; None when it is not as it was read any more."""

    def accept(self, job_id: str, *, now: datetime) -> bool:
        """Notes that the Kubernetes Job is there; False when the record was given up for want of it."""

    def template(self, template_id: str) -> Mapping[str, Any] | None:
        """The document of a template."""

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        job_ids: Collection[str] | None = None,
        skip: Callable[[AtRest], bool] = reads_all,
        run_id: str | None = None,
    ) -> Iterator[JobRecord | UnreadableRecord | Skipped]:
        """Streams the records a pass looks at, or only those of the given job ids.

        What the run `run_id` itself writes meanwhile does not come again.

        These are the open ones, and the LOST ones whose jobs are missing since `lost_since` or later. Those
        at rest are offered to `skip` first; what it takes is only counted, and costs a tenth.
        """

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str) -> Applied:
        """Writes all updates in one bulk, each only if its record still is as it was read.

        A record that the store refuses, by a rule of the collection, costs only itself.
        """

    def fail_submission(self, job_id: str, *, code: str, message: str, now: datetime) -> bool:
        """Marks a record that is still CREATED as FAILED. Returns whether it was."""

    def settled(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Settled]]:
        """All records of these job ids that exist, by job id; as a rule one of each."""

    def save_run(self, report: Mapping[str, Any]) -> None:
        """Keeps the report of a pass in `sync_runs`."""

    def save_submitter_log(self, job_id: str, k8s_job_name: str, log: SubmitterLog) -> bool:
        """Keeps the end of a submitter's log on the record that names its Job, or none.

        False when there is no such record.
        """

    def save_cleanup_run(self, report: Mapping[str, Any]) -> None:
        """Keeps the report of a cleanup run in `cleanup_runs`."""

    def ensure_indexes(self) -> None:
        """Creates the indexes that are missing; idempotent."""

    def ping(self) -> None:
        """Asks whether the store answers."""


class Tally(msgspec.Struct, frozen=True):
    """The records that have the same values of all these, counted by the store.

    Attributes:
        status: as the document holds it, whatever that is.
        template_id: None where the document holds none that is a text.
        age: how long ago they were submitted, in whole hours below a day, in whole days from there on;
            None where the document does not tell.
        unit: what `age` counts.
        has_id: a Flink job of theirs is known.
        count: how many they are.
        durations: in seconds, of those that hold a number there.
    """

    status: str | None
    template_id: str | None
    age: int | None
    unit: Literal["hours", "days"]
    has_id: bool
    count: int
    durations: Sequence[float]


class Cause(msgspec.Struct, frozen=True):
    """Records that are not moving, or have ended, for the same reason.

    Attributes:
        code: of the reason; None where the document holds no reason.
        job_ids: of the newest ones.
    """

    status: str
    code: str | None
    count: int
    job_ids: Sequence[str]


class ReadStore(Protocol):
    """The same collections for those who only look. Nothing is ever written, not even an index."""

    def rows(self, form: Form, wanted: Filter, *, after: Place | None, limit: int) -> Sequence[Row]:
        """The next records of one stream, newest first. Reads as many documents as it returns."""

    def counts(self, wanted: Filter) -> Mapping[str | None, int]:
        """How many records there are of each status, which `wanted.statuses` does not restrict."""

    def look_up(self, any_id: str) -> Row | None:
        """The record with this `job_id`, `k8s_job_name` or Flink Job ID, looked for in this order.

        Of several that share an id, the newest.
        """

    def tallies(self, now: datetime) -> Sequence[Tally]:
        """All records, counted."""

    def causes(self, *, created_before: datetime, failed_since: datetime, examples: int) -> Sequence[Cause]:
        """Of the records that are CREATED since `created_before` or with a reason, and of those that were
        submitted since `failed_since` and FAILED: how many have which reason, and the newest of each.
        """

    def last_runs(self, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """The latest passes over all records, newest first; the last errors of each only."""

    def last_complete_run(self) -> datetime | None:
        """When the latest complete pass over all records began."""

    def last_cleanup(self) -> Mapping[str, Any] | None:
        """The latest cleanup run that was no dry run."""

    def ping(self) -> None:
        """Asks whether the store answers."""


class StoreProbe(ReadStore, Protocol):
    """What a person on call asks of the store."""

    def version(self) -> str:
        """Of the server."""

    def user(self) -> str | None:
        """Who we are there; None where it asks for no credentials."""

    def try_write(self) -> None:
        """Writes, as the functions do, and leaves no trace on any record."""

    def missing_indexes(self) -> Sequence[str]:
        """The names of the indexes that should be there and are not."""

    def waiting(self, *, submitted_before: datetime) -> Sequence[JobRecord | UnreadableRecord]:
        """The records that are CREATED since then, and the CREATED ones that cannot be read."""

    def without_id(self, *, submitted_since: datetime) -> Sequence[JobRecord]:
        """The records submitted since then that FAILED before Flink had a job of theirs."""

    def unconfirmed(self) -> Sequence[JobRecord]:
        """The records with an id that no Flink cluster knows."""

    def lost(self, *, since: datetime) -> Sequence[JobRecord]:
        """The records that became LOST since then."""


class Cluster(Protocol):
    """The Kubernetes API, in one namespace."""

    def until(self, moment: float) -> Cluster:
        """The same, but a request that is under way at this moment, by `time.monotonic`, is given up then.

        It fails as if nobody had answered.
        """

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        """Creates a Job. Raises KubernetesConflictError when its name is taken."""

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        """Creates a ConfigMap."""

    def job(self, name: str) -> KubernetesJob | Missing:
        """One Job."""

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        """Streams the Jobs that match a label selector, in pages."""

    def pods(self, selector: str) -> Iterator[Pod]:
        """Streams the pods that match a label selector, in pages."""

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        """A container's log: its first part, or with `tail` its last.

        Returns `Missing` when the log does not exist (any more), and "" while the container waits.
        """

    def events(self, name: str) -> tuple[Event, ...]:
        """The events about the object of this name."""

    def delete_job(self, name: str, uid: str) -> bool:
        """Deletes a Job and its pods. Returns False when it was gone already.

        Raises KubernetesConflictError when the name belongs to another Job by now.
        """

    def ping(self) -> None:
        """Asks whether the API server answers and accepts who we are."""


TAIL_LINES: Final = 2_000
"""How many lines `Cluster.pod_log` returns at most of a log's end."""


class Housekeeping(Cluster, Protocol):
    """What cleanup asks of the Kubernetes API besides."""

    def until(self, moment: float) -> Housekeeping:
        """As `Cluster.until`."""

    def time(self) -> datetime:
        """The time by the API server's clock, aware UTC, in whole seconds."""

    def leftovers(self, kind: Kind, selector: str) -> Iterator[Leftover]:
        """Streams the objects of one kind that match a label selector, in pages."""

    def delete(self, leftover: Leftover) -> Deletion:
        """Deletes an object, and a Job's pods with it, provided that it still is as it was listed.

        Raises KubernetesConflictError when it is not, or when its name belongs to another one by now.
        """


class Flink(Protocol):
    """One Flink cluster, with its History Server where it has one."""

    @property
    def name(self) -> str:
        """Name of the cluster in the settings."""

    @property
    def has_history(self) -> bool:
        """Whether a History Server is configured."""

    def until(self, moment: float) -> Flink:
        """As `Cluster.until`."""

    def overview(self) -> Overview:
        """Every job the cluster knows, by id, in one request."""

    def job(self, job_id: str) -> FlinkJob | Missing:
        """One job, asked for directly."""

    def failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, in telling lines."""

    def history(self) -> Overview:
        """Every job the History Server knows, by id, in one request."""

    def history_failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, from the History Server."""


class ClusterProbe(Cluster, Protocol):
    """What a person on call asks of the Kubernetes API besides."""

    @property
    def address(self) -> str:
        """URL of the API server."""

    def version(self) -> str:
        """Of the API server."""

    def who_we_are(self) -> str:
        """The user that the API server takes us for. KubernetesNotFoundError before Kubernetes 1.28."""

    def review(self, permission: Permission) -> AccessReview:
        """Whether this is allowed to us in the namespace."""


class FlinkProbe(Flink, Protocol):
    """What a person on call asks of a Flink cluster besides."""

    def cluster_overview(self) -> tuple[str, int, int, int]:
        """(version, task managers, slots, free slots)."""


class RemoteFunction(Protocol):
    """A deployed function, as who calls it from outside sees it."""

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: str | None,
        telling: str,
    ) -> dict[str, Any]:
        """Sends one request; the JSON object of its answer, which is told from another's by a member.

        Raises FunctionUnavailableError (NoFunctionError where something else answered), NotFoundError,
        UnauthorizedError or FunctionRefusedError.
        """

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""


class Schedules(Protocol):
    """The schedules of one place in Cloud Scheduler."""

    def get(self, name: str) -> ScheduleState | None:
        """A schedule; None where there is none of this name."""

    def apply(self, schedule: Schedule) -> ScheduleApplied:
        """Makes the scheduler keep this schedule; one that is there already causes no write."""

    def pause(self, name: str) -> ScheduleState:
        """Stops a schedule; returns its state afterwards."""

    def resume(self, name: str) -> ScheduleState:
        """Starts a schedule again; returns its state afterwards."""

    def run(self, name: str) -> None:
        """Sends a schedule's request now."""


class UnreadableDate(msgspec.Struct, frozen=True):
    """A text that stands where a date belongs, and is none.

    Attributes:
        text: as it stands there, cut.
    """

    job_id: str
    field: str
    text: str


class Converted(msgspec.Struct, frozen=True):
    """What became of a batch of records that hold dates as text.

    Attributes:
        records: how many were looked at.
        converted: records that were written, or would be.
        values: dates in them.
        conflicts: records that somebody else wrote meanwhile; they were left alone.
        unreadable: values that were left as they are.
    """

    records: int
    converted: int
    values: int
    conflicts: int
    unreadable: tuple[UnreadableDate, ...]


class StoreAdmin(Protocol):
    """What is done to the store once, by a person."""

    def missing_indexes(self) -> Sequence[str]:
        """Names of the indexes that records need and that are not there."""

    def ensure_indexes(self) -> None:
        """As `JobStore.ensure_indexes`."""

    def count_text_dates(self) -> int:
        """How many records hold a date as text."""

    def convert_dates(self, *, dry_run: bool) -> Iterator[Converted]:
        """Turns them into the dates that every pass reads from these texts, in batches; idempotent.

        A value is only written where it still is the text that was read.
        """
