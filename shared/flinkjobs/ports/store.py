"""Protocol for the store of the records.

Every method may raise the `TemporaryError` or `PermanentError` of its side (`flinkjobs.domain.errors`) and
nothing else of what its library raises. An error is never an empty answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.transition import Update
from flinkjobs.domain.unmanaged import UnmanagedJob

NO_FINGERPRINTS: Final[Mapping[Status, Sequence[str]]] = MappingProxyType({})


class Applied(msgspec.Struct, frozen=True):
    """Results of a batch of conditional writes.

    Attributes:
        job_ids: records that were written.
        conflicts: records that were not as read any more, and so were left alone.
        refused: records that the store does not take as they would be, and why; they are as they were.
    """

    job_ids: frozenset[str]
    conflicts: frozenset[str]
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)


class Submitted(msgspec.Struct, frozen=True):
    """A submission as its record answers a repeated request.

    Attributes:
        request_hash: of the request that made it.
        details: as given to `insert`.
    """

    record: JobRecord
    request_hash: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeenJob:
    """An unmanaged Flink job, and the evidence for it.

    Attributes:
        cluster: name of its cluster in the settings.
        seen_at: when the latest pass that saw it so began, aware UTC.
    """

    cluster: str
    seen_at: datetime
    job: UnmanagedJob


@dataclass(frozen=True, slots=True)
class Settled:
    """What cleanup needs of a record.

    Attributes:
        status: None where the record holds no status that is known here; such a record is not settled.
        is_settled: nothing more will be needed of the Kubernetes Job: every id was read, or the
            failure was recorded.
        k8s_job_name: of the record's Job; None in documents of the old platform.
        submitter_ended: sync saw the end of the submitter; false where that is only assumed.
        updated_at: last write of the record.
        document_id: distinguishes it from others of its job id.
    """

    job_id: str
    status: Status | None
    is_settled: bool
    k8s_job_name: str | None = None
    submitter_ended: bool = False
    updated_at: datetime | None = None
    document_id: Any = field(default=None, compare=False)


class SubmitterLog(msgspec.Struct, frozen=True):
    """The end of a submitter's log without secrets, saved on its record before its Job is deleted.

    Attributes:
        truncated: there was more before it.
        pod: whose log it is.
        saved_at: when it was kept.
    """

    text: str
    truncated: bool
    pod: str
    saved_at: datetime


class JobStore(Protocol):
    """The collection `flink_jobs`, the job templates and the reports of runs."""

    def insert(self, record: JobRecord, details: Mapping[str, Any], *, now: datetime | None = None) -> None:
        """Adds a record, with the submission's details.

        Args:
            record: the new record.
            details: by the names of their fields.
            now: when it is written; None where that is its submission.

        Raises DuplicateJobIdError when its `job_id` is taken, InFlightError when its idempotency key is, or
        its attempt.
        """

    def submitted_with(self, idempotency_key: str) -> Submitted | None:
        """The submission that used this idempotency key."""

    def submission_with_id(self, any_id: str) -> Submitted | None:
        """The submission whose record has this id, of any of the three kinds; of several, the newest."""

    def runs_of(self, job_id: str) -> Sequence[JobRecord]:
        """The record with this `job_id`, if it is there, and those that run it again."""

    def awaits_state(self, record: JobRecord) -> bool:
        """Whether the record is final, and a pass has yet to ask Flink for the newest state of its job."""

    def take_up(self, record: JobRecord, *, until: datetime) -> JobRecord | None:
        """Resumes a submission: marks its CREATED record as in flight; None if the record has changed."""

    def accept(self, job_id: str, *, now: datetime) -> bool:
        """Records that the Kubernetes Job exists; False if sync has given up the record, or cancelled it."""

    def template(self, template_id: str) -> Mapping[str, Any] | None:
        """The document of a template."""

    def fingerprints(self, status: Status) -> Iterator[str]:
        """Streams the fingerprints of the records with this status, from an index alone."""

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        fingerprints: Mapping[Status, Sequence[str]] = NO_FINGERPRINTS,
        job_ids: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> Iterator[JobRecord | UnreadableRecord]:
        """Streams the records that a pass reads whole.

        Args:
            lost_since: LOST records are among them whose jobs are missing since then or later.
            fingerprints: by status; of the open records that have one, only these are among them.
            job_ids: only these records, whatever their fingerprints.
            run_id: what this run itself has written is not among them.
        """

    def owners(self, flink_job_ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The job ids of the records that have each of these Flink Job IDs; an id of none is left out."""

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        """Writes all updates in one bulk, each only if its record still is as it was read.

        The same write adds the move, where the status changes, to the record's history.

        Where the store refuses a record, by a rule of the collection, the others are still written.
        """

    def save_unmanaged(self, cluster: str, jobs: Sequence[UnmanagedJob], *, seen_at: datetime) -> None:
        """Keeps the unmanaged jobs of a cluster, the newest first; where they are the same, only the time."""

    def unmanaged(self, flink_job_id: str) -> SeenJob | None:
        """The unmanaged job with this id, as the latest pass saw it."""

    def forget_unmanaged(self, cluster: str, flink_job_id: str) -> None:
        """Takes a job from the unmanaged ones, as it has a record now."""

    def fail_submission(self, job_id: str, *, code: ReasonCode, message: str, now: datetime) -> bool:
        """Marks a record that is still CREATED as FAILED. Returns whether it was."""

    def settled(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Settled]]:
        """All records of these job ids that exist, by job id; as a rule one of each."""

    def save_run(self, report: Mapping[str, Any]) -> None:
        """Keeps the report of a pass in `sync_runs`."""

    def save_tick(self, invocation: str, report: Mapping[str, Any]) -> None:
        """Keeps the report of the last tick of an invocation in `sync_runs`, in place of the one before."""

    def last_complete_pass_at(self) -> datetime | None:
        """When the latest complete pass over all records began."""

    def save_notified(
        self, run_id: str, started_at: datetime, notified: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Adds to the report of a pass that is kept what it has delivered, by channel."""

    def specs_without_log(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Any]]:
        """Of those of these records that hold no submitter's log: their specs by job id, without scripts."""

    def save_submitter_log(self, job_id: str, k8s_job_name: str, log: SubmitterLog) -> bool:
        """Keeps the end of a submitter's log on the record that names its Job, or none.

        False when there is no such record.
        """

    def save_cleanup_run(self, report: Mapping[str, Any]) -> None:
        """Keeps the report of a cleanup run in `cleanup_runs`."""

    def ping(self) -> None:
        """Checks that the store answers."""
