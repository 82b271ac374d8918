"""Decides which targets may be deleted, and why the others are kept. Pure.

The rule is a table; the first row that holds is the verdict. Each target is judged twice: for the plan, and
again right before its deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import structs

from flinkjobs.domain.flink_states import is_settled
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.records import JobRecord
from flinkjobs.ports.store import Settled

MAX_CLOCK_SKEW: Final = timedelta(minutes=5)
"""Maximum difference between two clocks: beyond it an age cannot be computed."""


class Kept(StrEnum):
    """Why a target is kept."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    YOUNG = "young"
    UNSETTLED = "unsettled"
    NO_RECORD = "no_record"
    FOREIGN = "foreign"
    NO_END_TIME = "no_end_time"
    UNREADABLE = "unreadable"
    OVER_LIMIT = "over_limit"
    """The run reached its maximum number of deletions, or its deadline."""
    CHANGED = "changed"
    """It changed since it was listed, or another object has its name."""
    UNCONFIRMED = "unconfirmed"
    """The API server did not answer: it may be deleted or not."""
    ERROR = "error"


class Next(StrEnum):
    """Action for a target that may be deleted."""

    DELETE = "delete"
    READ_OUTPUT = "read_output"
    """Its output may hold what its record lacks: it is deleted if reading the output settles the record."""
    GIVE_UP = "give_up"
    """As READ_OUTPUT; but if the record stays unsettled, the end of the log is saved on it first."""


Verdict: TypeAlias = Kept | Next


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long finished Jobs are kept.

    Attributes:
        retention: age up to which every target is kept.
        unsettled: age up to which a target without a settled record is kept.
    """

    retention: timedelta
    unsettled: timedelta


def record_of(target: CleanupTarget, records: Sequence[Settled]) -> Settled | None:
    """The record that decides about a target; None when there is none.

    A collection without a unique index may hold several records of one job id. An unsettled one decides,
    since it still needs the target; a record that follows another Job decides last.

    Args:
        target: as listed.
        records: all records of its job id.
    """
    return min(
        records, key=lambda record: (_follows_another(target, record), record.is_settled), default=None
    )


def with_end(target: CleanupTarget, record: Settled | None) -> CleanupTarget:
    """A target with the time of its end: a Job that a sidecar keeps active has that of its record."""
    if record is not None and _is_kept_active_by_sidecar(target, record):
        return structs.replace(target, over_since=record.updated_at)
    return target


def _is_kept_active_by_sidecar(target: CleanupTarget, record: Settled | None) -> bool:
    """Whether an active Job has nothing left to do: its submitter has ended, a sidecar still runs."""
    return (
        target.kind is Kind.JOB
        and target.phase is JobPhase.ACTIVE
        and record is not None
        and record.is_settled
        and record.submitter_ended
    )


def _follows_another(target: CleanupTarget, record: Settled) -> bool:
    return record.k8s_job_name not in (None, target.job_name)


def judge(target: CleanupTarget, record: Settled | None, now: datetime, policy: RetentionPolicy) -> Verdict:
    """What to do with a target.

    Args:
        target: as listed.
        record: of its job id; None when there is none.
        now: the API server's time, by whose clock the target ended.
        policy: see `RetentionPolicy`.
    """
    if record is not None and _follows_another(target, record):
        record = None  # it was settled by the other Job, not by this one
    age = timedelta(0) if target.over_since is None else now - target.over_since
    for verdict, holds in _RULES:
        if holds(target, record, age, policy):
            return verdict
    return Next.DELETE


_Rule: TypeAlias = Callable[[CleanupTarget, Settled | None, timedelta, RetentionPolicy], bool]


def _is_active(target: CleanupTarget, record: Settled | None) -> bool:
    return target.phase is JobPhase.ACTIVE and not _is_kept_active_by_sidecar(target, record)


_RULES: Final[tuple[tuple[Verdict, _Rule], ...]] = (
    (Kept.UNREADABLE, lambda target, _record, _age, _policy: bool(target.unreadable)),
    (Kept.FOREIGN, lambda target, _record, _age, _policy: not target.job_id),
    (Kept.DELETING, lambda target, _record, _age, _policy: target.deleting),
    (Kept.SUSPENDED, lambda target, _record, _age, _policy: target.phase is JobPhase.SUSPENDED),
    (Kept.ACTIVE, lambda target, record, _age, _policy: _is_active(target, record)),
    (Kept.NO_END_TIME, lambda target, _record, _age, _policy: target.over_since is None),
    (Kept.YOUNG, lambda _target, _record, age, policy: age <= policy.retention),
    (Kept.NO_RECORD, lambda _target, record, age, policy: record is None and age <= policy.unsettled),
    (Next.DELETE, lambda _target, record, _age, _policy: record is None or record.is_settled),
    (Next.READ_OUTPUT, lambda _target, _record, age, policy: age <= policy.unsettled),
    (Next.GIVE_UP, lambda _target, _record, _age, _policy: True),
)


def settled(record: JobRecord) -> Settled:
    """The part of a whole record that cleanup needs."""
    return Settled(
        record.job_id,
        record.status,
        is_settled(record.status, has_id=bool(record.flink_jobs), submitter_done=record.submitter_done),
        record.k8s_job_name,
        document_id=record.document_id.value,
    )


def clock_skew(server: datetime, *, before: datetime, after: datetime) -> timedelta:
    """Minimum by which a server's clock is ahead of ours; negative when it is behind.

    Args:
        server: the time in its answer.
        before: our time when the request was sent.
        after: our time when the answer arrived.
    """
    if server < before:
        return server - before
    return max(server - after, timedelta(0))


def is_doubtful(*, listed: int, known: int) -> bool:
    """Whether fewer than half of the listed targets have a record: the settings may be wrong."""
    return 2 * known < listed
