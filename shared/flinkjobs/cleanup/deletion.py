"""Deletes the planned Jobs, rate limited and with retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from flinkjobs import log
from flinkjobs.cleanup.context import _Work
from flinkjobs.cleanup.report import NAMES_REPORTED
from flinkjobs.cleanup.retention import (
    Kept,
    Next,
    judge,
)
from flinkjobs.cleanup.unsettled import _fresh
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesConflictError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import Missing
from flinkjobs.ports.kubernetes import Deletion, KubernetesCleanupClient

ATTEMPTS: Final = 3
"""How often a deletion is tried that got no answer; one that has to wait, for as long as there is time."""


def _delete(work: _Work, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Deletes those about which a fresh read of the records agrees, as long as there are places."""
    may_go = []
    for candidate, record in _fresh(work, candidates):
        verdict = judge(candidate.target, record, work.now, work.cleanup.policy)
        if verdict is Next.DELETE or (verdict is Next.GIVE_UP and candidate.target.uid in work.given_up):
            may_go.append(candidate)
        else:
            work.stay(candidate, verdict if isinstance(verdict, Kept) else Kept.CHANGED)
    while may_go and work.places > 0 and not work.stopped:
        now_going = may_go[: work.places]
        del may_go[: work.places]
        _delete_all(work, now_going)
    for candidate in may_go:
        work.put_off(candidate)
    return []


_Outcome: TypeAlias = Deletion | Kept | FlinkjobsError


def _delete_all(work: _Work, candidates: Sequence[Candidate]) -> None:
    """Deletes these, several at once, and counts what came of it."""
    outcomes = list(work.threads.map(lambda candidate: _delete_one(work, candidate.target), candidates))
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        if isinstance(outcome, KubernetesUnavailableError):
            work.stay(candidate, Kept.UNCONFIRMED if _is_unanswered(outcome) else Kept.OVER_LIMIT)
            work.error(None, outcome)
        elif isinstance(outcome, FlinkjobsError):
            work.stay(candidate, Kept.ERROR)
            work.error(candidate.target.job_id, outcome)
        elif outcome is Kept.OVER_LIMIT:
            work.put_off(candidate)
        elif isinstance(outcome, Kept):
            work.stay(candidate, outcome)
        elif outcome is Deletion.BEGUN:
            work.stay(candidate, Kept.DELETING)
        else:
            _count(work, candidate, outcome)
    if all(map(_is_unanswered, outcomes)):
        work.stopped = True  # nobody is there: the next run finds out more cheaply


def _count(work: _Work, candidate: Candidate, outcome: Deletion) -> None:
    """Counts an object that is not there any more."""
    target, tally = candidate.target, work.tally(candidate.target)
    if outcome is Deletion.GONE:
        tally.gone += 1
        return
    tally.deleted += 1
    if len(tally.names) < NAMES_REPORTED:
        tally.names.append(target.name)
    if not candidate.has_record and not work.dry_run:
        what = {"kind": target.kind.value, "name": target.name, "job_id": target.job_id}
        log.warning("cleanup.without_record", **what)


def _is_unanswered(outcome: _Outcome) -> bool:
    throttled = isinstance(outcome, KubernetesThrottledError)
    return isinstance(outcome, KubernetesUnavailableError) and not throttled


def _delete_one(work: _Work, target: CleanupTarget) -> _Outcome:
    """One deletion, in its turn; repeated where no answer came, as long as there is time.

    After an attempt that got no answer, only a good answer says what became of the object.
    """
    unanswered: list[FlinkjobsError] = []
    outcome: _Outcome = Kept.OVER_LIMIT
    while len(unanswered) < ATTEMPTS and (work.dry_run or work.limiter.acquire()):
        try:
            if target.kind is not Kind.JOB and _has_job(work.cleanup.cluster, target):
                return Kept.ACTIVE
            return Deletion.DONE if work.dry_run else work.cleanup.cluster.delete(target)
        except KubernetesConflictError:
            outcome = Kept.CHANGED
            break
        except KubernetesThrottledError as throttled:
            outcome = throttled
            work.limiter.pause(throttled.retry_after_seconds)
        except KubernetesUnavailableError as unavailable:
            unanswered.append(unavailable)
        except FlinkjobsError as refused:
            outcome = refused
            break
    return unanswered[-1] if unanswered else outcome


def _has_job(cluster: KubernetesCleanupClient, target: CleanupTarget) -> bool:
    """Whether the Job is there that a pod or ConfigMap belongs to, although it does not say so."""
    job = cluster.job(target.job_name)
    return not isinstance(job, Missing) and target.job_uid in ("", job.uid)
