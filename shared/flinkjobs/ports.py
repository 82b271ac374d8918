"""What the core asks of the outside world. The adapters fulfil it; tests may too.

Every method may raise the `TemporaryError` or `PermanentError` of its side (`flinkjobs.errors`) and
nothing else of what its library raises. An error is never an empty answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from flinkjobs.kube import Event, KubernetesJob, Pod
from flinkjobs.model import FlinkJob, JobRecord, Missing, Status, UnreadableRecord, Update


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of conditional writes.

    Attributes:
        job_ids: records that were written.
        conflicts: records that were not as read any more, and so were left alone.
    """

    job_ids: frozenset[str]
    conflicts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Submitted:
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
    """

    job_id: str
    status: Status | None
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Lease:
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
        self, *, lost_since: datetime, job_ids: Collection[str] | None = None
    ) -> Iterator[JobRecord | UnreadableRecord]:
        """Streams the records a pass looks at, or only those of the given job ids.

        These are the open ones, and the LOST ones whose jobs are missing since `lost_since` or later.
        """

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str) -> Applied:
        """Writes all updates in one bulk, each only if its record still is as it was read."""

    def fail_submission(self, job_id: str, *, code: str, message: str, now: datetime) -> bool:
        """Marks a record that is still CREATED as FAILED. Returns whether it was."""

    def settled(self, job_ids: Collection[str]) -> Mapping[str, Settled]:
        """The records of these job ids that exist, by job id."""

    def save_run(self, report: Mapping[str, Any]) -> None:
        """Keeps the report of a pass in `sync_runs`."""

    def ensure_indexes(self) -> None:
        """Creates the indexes that are missing; idempotent."""

    def ping(self) -> None:
        """Asks whether the store answers."""


class Cluster(Protocol):
    """The Kubernetes API, in one namespace."""

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


class Flink(Protocol):
    """One Flink cluster, with its History Server where it has one."""

    @property
    def name(self) -> str:
        """Name of the cluster in the settings."""

    @property
    def has_history(self) -> bool:
        """Whether a History Server is configured."""

    def overview(self) -> Mapping[str, FlinkJob]:
        """Every job the cluster knows, by id, in one request."""

    def job(self, job_id: str) -> FlinkJob | Missing:
        """One job, asked for directly."""

    def failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, in telling lines."""

    def history(self) -> Mapping[str, FlinkJob]:
        """Every job the History Server knows, by id, in one request."""

    def history_failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, from the History Server."""
