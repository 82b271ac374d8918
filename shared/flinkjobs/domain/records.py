"""Records of jobs as frozen values: a changed record is a new value.

Times are aware UTC datetimes; durations are seconds unless a name says otherwise. Enums keep the spelling of
MongoDB, Flink or Kubernetes. The types are `msgspec.Struct`s: these are created, copied and compared several
times as fast as dataclasses, and cost almost nothing to define at a cold start.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from flinkjobs.domain.actions import Action, ActionKind
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import Health, LatestState
from flinkjobs.domain.reasons import ReasonCode


class IdSource(StrEnum):
    """Where a Flink Job ID was found."""

    TERMINATION_MESSAGE = "TERMINATION_MESSAGE"
    LOG = "LOG"
    JOB_NAME = "JOB_NAME"
    RECORD = "RECORD"
    """The record held it already, without saying from where: written by the old platform."""
    ADOPTED = "ADOPTED"
    """The record was made for a Flink job that was running without one."""


class Reason(msgspec.Struct, frozen=True):
    """A cause, for programs (`code`) and for people (`message`, cut to a stated length).

    Attributes:
        since: when this cause was first seen; it stays while the code stays.
    """

    code: ReasonCode
    message: str
    since: datetime


class FlinkJobRef(msgspec.Struct, frozen=True, gc=False):
    """One Flink job that a record's script submitted, and the last that Flink said of it.

    Attributes:
        id: 32 lower-case hex digits.
        source: where the id was found.
        confirmed: Flink itself has answered for this id at least once. A script can print the
            CLI's line with an id that never existed; such an id decides nothing.
        state: Flink's own word, raw; None until confirmed.
        start_time: the earliest start Flink ever named: it resets when a JobManager fails over.
        end_time: set once `state` is globally terminal.
        failure: root exception of a FAILED job, cut.
        missing_since: set while a reachable cluster does not know this job.
        missing_passes: in how many passes since then that was so; counted up to two.
    """

    id: str
    source: IdSource
    confirmed: bool = False
    state: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    failure: str | None = None
    missing_since: datetime | None = None
    missing_passes: int = 0


class DocumentId:
    """The store's own name of a document: no part of what a record says, so each is equal to every other.

    Attributes:
        value: for the store alone.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value: Final = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DocumentId)

    def __hash__(self) -> int:
        return hash(DocumentId)


class JobRecord(msgspec.Struct, frozen=True, gc=False):
    """What a synchronisation pass needs of one document of `flink_jobs`.

    Attributes:
        job_id: `{template_id}_{milliseconds}`, unique.
        k8s_job_name: name of the submitter's Kubernetes Job; None in documents of the old platform, and where
            the Flink job was adopted.
        k8s_namespace: of that Job; None is `K8S_NAMESPACE`, as in documents of earlier versions.
        cluster: name of the Flink cluster in the settings.
        flink_state: Flink's raw word for the job that decides `status`.
        flink_jobs: every Flink job found, in the order the CLI printed them.
        submitter_done: the submitter has ended and its output was read: no further id will come.
        dropped_ids: ids that were printed but that no cluster has ever known.
        start_time: Flink's earliest start over all jobs.
        end_time: Flink's latest end over all jobs; None until all are over.
        duration: seconds with milliseconds' precision, end - start by Flink's clock.
        reason: see `Reason`.
        missing_since: earliest `missing_since` of its jobs.
        in_flight_until: until then a submission is under way that will create its Kubernetes Job; None
            once that is there.
        missing_passes: in how many passes no Flink job of its name was known, while it has no id; counted up
            to three.
        stuck_since: when a pass found it stuck, see `flinkjobs.domain.stuck`; None while it is not.
        health: the latest that was written, see `flinkjobs.domain.health`; None: never unhealthy while open.
        unhealthy_since: since when it is unhealthy for those who are notified: until it has been healthy for
            the whole window.
        latest_state: newest state to resume from, once its job is over.
        fingerprint: see `flinkjobs.domain.fingerprint`.
        ended_by: the action that ended it; None while it is open, and where it ended by itself.
        actions: oldest first; those that this version cannot read are left out.
        run_of: `job_id` of the first, where this runs it again; else None.
        attempt: number of this run, from 2 on; None of the first. Unique together with `run_of`.
        revision: counts the writes; every write is conditional on it being as read.
        document_id: the store's own name of the document that was read, by which it is written: a job id of
            the old platform may occur twice.
    """

    job_id: str
    status: Status
    submitted_at: datetime
    k8s_job_name: str | None = None
    k8s_namespace: str | None = None
    cluster: str = "default"
    flink_state: str | None = None
    flink_jobs: tuple[FlinkJobRef, ...] = ()
    submitter_done: bool = False
    dropped_ids: tuple[str, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration: float | None = None
    reason: Reason | None = None
    missing_since: datetime | None = None
    in_flight_until: datetime | None = None
    missing_passes: int = 0
    stuck_since: datetime | None = None
    health: Health | None = None
    unhealthy_since: datetime | None = None
    latest_state: LatestState | None = None
    fingerprint: str | None = None
    ended_by: ActionKind | None = None
    actions: tuple[Action, ...] = ()
    run_of: str | None = None
    attempt: int | None = None
    revision: int | None = None
    document_id: DocumentId = DocumentId(None)

    @property
    def flink_job_id(self) -> str | None:
        """The first confirmed id, else the first id, else None."""
        for ref in self.flink_jobs:
            if ref.confirmed:
                return ref.id
        return self.flink_jobs[0].id if self.flink_jobs else None

    @property
    def flink_job_ids(self) -> tuple[str, ...]:
        """All ids, in the order the CLI printed them."""
        return tuple(ref.id for ref in self.flink_jobs)

    @property
    def next_revision(self) -> int:
        """The `revision` that the next write creates."""
        return (self.revision or 0) + 1


class UnreadableRecord(msgspec.Struct, frozen=True):
    """A document that cannot be read as a record; the others are still processed.

    Attributes:
        error: what is wrong with it, one line.
    """

    job_id: str
    error: str


def whole_milliseconds(at: datetime) -> datetime:
    """The time as MongoDB keeps it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
