"""Decides which targets a cleanup run may delete. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flinkjobs.cleanup.context import SelectorOrDatabaseError
from flinkjobs.cleanup.progress import Outcome
from flinkjobs.cleanup.retention import Kept, Next, RetentionPolicy, is_doubtful, judge
from flinkjobs.cleanup.work_queue import Candidate, ResumePosition, WorkQueue
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.ports.store import Settled


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of a run.

    Attributes:
        certain: candidates that may be deleted right away.
        unsettled: candidates whose output is read first.
        kept: outcomes of all other targets.
    """

    certain: WorkQueue
    unsettled: WorkQueue
    kept: Sequence[Outcome]


def make_plan(
    targets: Sequence[tuple[CleanupTarget, Settled | None]],
    *,
    now: datetime,
    policy: RetentionPolicy,
    max_deletions: int,
    resume: ResumePosition,
) -> Plan:
    """Decides for every target whether it may be deleted.

    Args:
        targets: each with its record, or None where it has none.
        now: the API server's time.
        policy: see `RetentionPolicy`.
        max_deletions: of the run; the queues hold no more than it can use.
        resume: where the last run stopped.

    Raises:
        SelectorOrDatabaseError: the records do not belong to these targets.
    """
    _check_records(targets)
    certain: list[Candidate] = []
    unsettled: list[Candidate] = []
    kept: list[Outcome] = []
    for target, record in targets:
        verdict = judge(target, record, now, policy)
        if isinstance(verdict, Kept):
            kept.append(Outcome(target, verdict, was_tried=False))
        else:
            queue = certain if verdict is Next.DELETE else unsettled
            queue.append(Candidate(target, record is not None))
    if _is_doubtful(targets):  # a single target without a record does not prove a wrong setting: it stays
        kept += [Outcome(candidate.target, Kept.NO_RECORD, was_tried=False) for candidate in certain]
        certain = []
    queues = (
        # twice the deletions: some candidates are kept when their records are read again
        WorkQueue.of(certain, capacity=2 * max_deletions, resume_after=resume.certain),
        WorkQueue.of(unsettled, capacity=max_deletions, resume_after=resume.unsettled),
    )
    overflow = [candidate for queue in queues for candidate in queue.overflow]
    kept += [Outcome(candidate.target, Kept.OVER_LIMIT, was_tried=False) for candidate in overflow]
    return Plan(*queues, kept)


def _check_records(targets: Sequence[tuple[CleanupTarget, Settled | None]]) -> None:
    """Raises SelectorOrDatabaseError where most of several targets, or of several Jobs, have no record."""
    jobs = [(target, record) for target, record in targets if target.kind is Kind.JOB]
    for name, some in (("object", targets), (Kind.JOB.value, jobs)):
        listed, known = _counts(some)
        if listed > 1 and _is_doubtful(some):
            raise SelectorOrDatabaseError(
                f"selector_or_database: of {listed} {name}s with our label only {known} have a record: the "
                "database or the namespace is the wrong one, or records were lost: nothing was deleted"
            )


def _is_doubtful(targets: Sequence[tuple[CleanupTarget, Settled | None]]) -> bool:
    listed, known = _counts(targets)
    return is_doubtful(listed=listed, known=known)


def _counts(targets: Sequence[tuple[CleanupTarget, Settled | None]]) -> tuple[int, int]:
    """Number of the targets with a job id, and of those with a record."""
    listed = sum(bool(target.job_id) for target, _ in targets)
    known = sum(record is not None for _, record in targets)
    return listed, known
