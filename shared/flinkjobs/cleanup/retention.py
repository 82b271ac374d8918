"""Which objects of finished submissions may be deleted, and why the others are kept. Pure.

The rule is a table: the first row that holds is the verdict. It is asked twice of each object, when the plan
is made and again right before the deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from flinkjobs.domain.flink_states import FINAL
from flinkjobs.domain.kubernetes_objects import CleanupTarget
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.records import JobRecord
from flinkjobs.ports.store import Settled

MAX_CLOCK_SKEW: Final = timedelta(minutes=5)
"""With clocks further apart nobody knows how old anything is."""


class Kept(StrEnum):
    """Why an object stays."""

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
    """The run's number of deletions, or its time, did not suffice."""
    CHANGED = "changed"
    """It is not as it was listed any more, or another one has its name."""
    UNCONFIRMED = "unconfirmed"
    """The API server did not answer: it may be deleted, and it may not."""
    ERROR = "error"


class Next(StrEnum):
    """What is to be done with an object that need not stay."""

    DELETE = "delete"
    HARVEST = "harvest"
    """Its record lacks something that it may hold: it goes if a look at it settles the record."""
    GIVE_UP = "give_up"
    """As HARVEST; if the look does not settle the record, the log's end is kept on it, and it goes."""


Verdict: TypeAlias = Kept | Next


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long finished Jobs stay.

    Attributes:
        retention: after its end a settled Job stays this long.
        unharvested: a Job whose record is not settled, or is not there, stays this long.
    """

    retention: timedelta
    unharvested: timedelta


def record_of(target: CleanupTarget, records: Sequence[Settled]) -> Settled | None:
    """The record that counts for an object; None when there is none.

    A collection that came without a unique index may hold several of one job id. The object has to stay as
    long as one of them still needs it, so that one counts; one that follows another Job counts last.

    Args:
        target: the object.
        records: all of its job id.
    """
    return min(
        records, key=lambda record: (_follows_another(target, record), record.is_settled), default=None
    )


def _follows_another(target: CleanupTarget, record: Settled) -> bool:
    return record.k8s_job_name not in (None, target.job_name)


def judge(target: CleanupTarget, record: Settled | None, now: datetime, policy: RetentionPolicy) -> Verdict:
    """What becomes of one object.

    Args:
        target: as the API server shows it.
        record: what the store says of its job id; None when it has no such record.
        now: the API server's time, because ages are told by its clock.
        policy: see `RetentionPolicy`.
    """
    if record is not None and _follows_another(target, record):
        record = None  # what it knows, it does not know from this Job
    age = timedelta(0) if target.over_since is None else now - target.over_since
    for verdict, holds in _RULES:
        if holds(target, record, age, policy):
            return verdict
    return Next.DELETE


_Rule: TypeAlias = Callable[[CleanupTarget, Settled | None, timedelta, RetentionPolicy], bool]

_RULES: Final[tuple[tuple[Verdict, _Rule], ...]] = (
    (Kept.UNREADABLE, lambda target, _record, _age, _policy: bool(target.unreadable)),
    (Kept.FOREIGN, lambda target, _record, _age, _policy: not target.job_id),
    (Kept.DELETING, lambda target, _record, _age, _policy: target.deleting),
    (Kept.SUSPENDED, lambda target, _record, _age, _policy: target.phase is JobPhase.SUSPENDED),
    (Kept.ACTIVE, lambda target, _record, _age, _policy: target.phase is JobPhase.ACTIVE),
    (Kept.NO_END_TIME, lambda target, _record, _age, _policy: target.over_since is None),
    (Kept.YOUNG, lambda _target, _record, age, policy: age <= policy.retention),
    (Kept.NO_RECORD, lambda _target, record, age, policy: record is None and age <= policy.unharvested),
    (Next.DELETE, lambda _target, record, _age, _policy: record is None or record.is_settled),
    (Next.HARVEST, lambda _target, _record, age, policy: age <= policy.unharvested),
    (Next.GIVE_UP, lambda _target, _record, _age, _policy: True),
)


def settled(record: JobRecord) -> Settled:
    """What cleanup needs of a record that was read whole."""
    is_settled = record.status in FINAL or (bool(record.flink_jobs) and record.submitter_done)
    return Settled(record.job_id, record.status, is_settled, record.k8s_job_name, record.document_id.value)


def clock_skew(server: datetime, *, before: datetime, after: datetime) -> timedelta:
    """How far a server's clock is ahead of ours at least (negative: behind).

    Args:
        server: the time that it named.
        before: ours when it was asked.
        after: ours when its answer was there.
    """
    if server < before:
        return server - before
    return max(server - after, timedelta(0))


def is_doubtful(*, listed: int, known: int) -> bool:
    """Whether so few of the listed objects have a record that the settings may be wrong."""
    return 2 * known < listed
