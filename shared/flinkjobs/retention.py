"""Which finished Kubernetes Jobs may be deleted, and why the others are kept. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from flinkjobs.kube import KubernetesJob
from flinkjobs.model import JobPhase
from flinkjobs.ports import Settled


class Kept(StrEnum):
    """Why a Job stays."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    YOUNG = "young"
    UNSETTLED = "unsettled"
    NO_RECORD = "no_record"
    FOREIGN = "foreign"
    NO_END_TIME = "no_end_time"
    OVER_LIMIT = "over_limit"
    CHANGED = "changed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long finished Jobs stay.

    Attributes:
        retention: after its end a settled Job stays this long.
        unharvested: a Job whose record is not settled, or is not there, stays this long.
    """

    retention: timedelta
    unharvested: timedelta


def kept_because(
    job: KubernetesJob, record: Settled | None, now: datetime, policy: RetentionPolicy
) -> Kept | None:
    """Why this Job must stay; None when it may go.

    Args:
        job: as the API server shows it.
        record: what the store says of the Job's record; None when it has none.
        now: the API server's time, because ages are told by its clock.
        policy: see `RetentionPolicy`.
    """
    age = timedelta(0) if job.finished_at is None else now - job.finished_at
    for reason, holds in _RULES:
        if holds(job, record, age, policy):
            return reason
    return None


_Rule: TypeAlias = Callable[[KubernetesJob, Settled | None, timedelta, RetentionPolicy], bool]

_RULES: Final[tuple[tuple[Kept, _Rule], ...]] = (
    (Kept.FOREIGN, lambda job, _record, _age, _policy: not job.job_id),
    (Kept.DELETING, lambda job, _record, _age, _policy: job.deleting),
    (Kept.SUSPENDED, lambda job, _record, _age, _policy: job.phase is JobPhase.SUSPENDED),
    (Kept.ACTIVE, lambda job, _record, _age, _policy: job.phase is JobPhase.ACTIVE),
    (Kept.NO_END_TIME, lambda job, _record, _age, _policy: job.finished_at is None),
    (Kept.YOUNG, lambda _job, _record, age, policy: age <= policy.retention),
    (Kept.NO_RECORD, lambda _job, record, age, policy: record is None and age <= policy.unharvested),
    (
        Kept.UNSETTLED,
        lambda _job, record, age, policy: (
            record is not None and not record.is_settled and age <= policy.unharvested
        ),
    ),
)
"""The first that holds is the reason; a Job for which none holds may go."""
