"""Deletes candidates: in parallel, rate limited, and retried where the API server does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from flinkjobs import log
from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.listing import read_records_again
from flinkjobs.cleanup.logs import keep_logs
from flinkjobs.cleanup.progress import Outcome, Progress, error_entry, kept, postponed
from flinkjobs.cleanup.retention import Kept, Next, judge
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesConflictError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase, Missing
from flinkjobs.observers.submitter_output import submission_phase
from flinkjobs.observers.submitters import find_job_and_pods
from flinkjobs.ports.kubernetes import Deletion, KubernetesCleanupClient

ATTEMPTS: Final = 3
"""Maximum number of unanswered requests per deletion. A throttled one is repeated until the deadline."""

_Answer: TypeAlias = Deletion | Kept | FlinkjobsError
"""What the API server answered, or why it was not asked."""


def delete(run: Run, candidates: Sequence[Candidate], *, limit: int) -> Progress:
    """Deletes candidates whose records, read again, still allow it; at most `limit` of them.

    The end of each submitter's log is on its record before.

    Raises:
        StoreUnavailableError: the records could not be read; nothing was deleted.
    """
    current, changed = read_records_again(run.cleanup.store, candidates)
    done = Progress()
    for candidate in changed:
        done += kept(candidate, Kept.CHANGED)
    may_go = []
    for candidate, record in current:
        verdict = judge(candidate.target, record, run.now, run.cleanup.policy)
        if verdict is Next.DELETE or (verdict is Next.GIVE_UP and candidate.is_given_up):
            may_go.append(candidate)
        else:
            done += kept(candidate, verdict if isinstance(verdict, Kept) else Kept.CHANGED)
    while may_go and (places := limit - done.deleted) > 0 and not done.is_stopped:
        chosen = may_go[:places]
        saved = keep_logs(run, [each for each in chosen if not each.is_given_up])
        ready = {each.target.uid for each in saved.ready}
        going = [each for each in chosen if each.is_given_up or each.target.uid in ready]
        done += replace(saved, ready=()) + _delete_all(run, going)
        del may_go[:places]
    return done + postponed(may_go)


def _delete_all(run: Run, candidates: Sequence[Candidate]) -> Progress:
    """Deletes these in parallel. The run stops when the API server answered none of the requests."""
    if not candidates:
        return Progress()
    answers = list(run.threads.map(lambda candidate: _delete_one(run, candidate.target), candidates))
    done = Progress(is_stopped=all(map(_is_unanswered, answers)))
    for candidate, answer in zip(candidates, answers, strict=True):
        done += _progress_of(candidate, answer)
        if answer is Deletion.DONE and not candidate.has_record and not run.dry_run:
            target = candidate.target
            log.warning(
                "cleanup.without_record", kind=target.kind.value, name=target.name, job_id=target.job_id
            )
    return done


def _progress_of(candidate: Candidate, answer: _Answer) -> Progress:
    target = candidate.target
    match answer:
        case KubernetesUnavailableError():
            reason = Kept.UNCONFIRMED if _is_unanswered(answer) else Kept.OVER_LIMIT
            return kept(candidate, reason) + Progress(errors=(error_entry(None, answer),))
        case FlinkjobsError():
            return kept(candidate, Kept.ERROR) + Progress(errors=(error_entry(target.job_id, answer),))
        case Kept.OVER_LIMIT:
            return postponed((candidate,))
        case Kept():
            return kept(candidate, answer)
        case Deletion.BEGUN:
            return kept(candidate, Kept.DELETING)
        case Deletion():
            return Progress(outcomes=(Outcome(target, answer),))


def _is_unanswered(answer: _Answer) -> bool:
    throttled = isinstance(answer, KubernetesThrottledError)
    return isinstance(answer, KubernetesUnavailableError) and not throttled


def _delete_one(run: Run, target: CleanupTarget) -> _Answer:
    """Deletes a target within the rate limit; retries until the deadline.

    An attempt without an answer may have deleted the target. So its error is the result, unless a later
    attempt succeeds.
    """
    cluster = run.cleanup.cluster.in_namespace(target.namespace)
    unanswered: list[FlinkjobsError] = []
    answer: _Answer = Kept.OVER_LIMIT
    while len(unanswered) < ATTEMPTS and (run.dry_run or run.limiter.acquire()):
        try:
            if _is_in_use(cluster, target):
                return Kept.ACTIVE
            return Deletion.DONE if run.dry_run else cluster.delete(target)
        except KubernetesConflictError:
            answer = Kept.CHANGED
            break
        except KubernetesThrottledError as throttled:
            answer = throttled
            run.limiter.pause(throttled.retry_after_seconds)
        except KubernetesUnavailableError as unavailable:
            unanswered.append(unavailable)
        except FlinkjobsError as refused:
            answer = refused
            break
    return unanswered[-1] if unanswered else answer


def _is_in_use(cluster: KubernetesCleanupClient, target: CleanupTarget) -> bool:
    """Whether an orphan's Job exists after all, or the submitter of an active Job still runs."""
    if target.kind is not Kind.JOB:
        job = cluster.job(target.job_name)
        return not isinstance(job, Missing) and target.job_uid in ("", job.uid)
    if target.phase is not JobPhase.ACTIVE:
        return False
    job, pods = find_job_and_pods(cluster, target.job_id, target.job_name)
    return not isinstance(job, Missing) and submission_phase(job, pods) is JobPhase.ACTIVE
