"""Which Kubernetes Jobs a cleanup run may delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import structs

from flinkjobs.cleanup.context import RECORDS_PER_LOOKUP, SelectorOrDatabaseError, _Plan, _Work
from flinkjobs.cleanup.retention import (
    Kept,
    Next,
    is_doubtful,
    judge,
    record_of,
)
from flinkjobs.cleanup.work_queue import Candidate, WorkQueue
from flinkjobs.domain.errors import (
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.naming import SELECTOR
from flinkjobs.domain.observations import JobPhase
from flinkjobs.ports.kubernetes import KubernetesCleanupClient
from flinkjobs.ports.store import JobStore, Settled

# --- the plan ---------------------------------------------------------------------------------------


def _plan(work: _Work) -> _Plan:
    """Judges everything there is."""
    cleanup = work.cleanup
    certain = WorkQueue(2 * cleanup.max_deletions, work.marks.certain)  # some of them may turn out to stay
    unsettled = WorkQueue(cleanup.max_deletions, work.marks.unsettled)
    listed: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for target, record in _with_records(cleanup.store, _targets(work)):
        work.tally(target).found += 1
        for those in (_EVERYTHING, target.kind.value):
            listed[those] += bool(target.job_id)
            known[those] += record is not None
        verdict = judge(target, record, work.now, cleanup.policy)
        if isinstance(verdict, Kept):
            work.keep(target, verdict)
            continue
        line = certain if verdict is Next.DELETE else unsettled
        for dropped in line.offer(Candidate(target, record is not None)):
            work.keep(dropped.target, Kept.OVER_LIMIT)
    (first, over), (first_unsettled, over_unsettled) = certain.close(), unsettled.close()
    for dropped in over + over_unsettled:
        work.keep(dropped.target, Kept.OVER_LIMIT)
    for those in (_EVERYTHING, Kind.JOB.value):
        if listed[those] > 1 and is_doubtful(listed=listed[those], known=known[those]):
            raise SelectorOrDatabaseError(
                f"selector_or_database: of {listed[those]} {those}s with our label only {known[those]} have "
                "a record: the database or the namespace is the wrong one, or records were lost: nothing was "
                "deleted"
            )
    if not is_doubtful(listed=listed[_EVERYTHING], known=known[_EVERYTHING]):
        return _Plan(first, first_unsettled, (certain, unsettled))
    for candidate in first:  # a single one without a record says nothing about the settings: it stays
        work.keep(candidate.target, Kept.NO_RECORD)
    return _Plan((), (), (certain, unsettled))


_EVERYTHING: Final = "object"


def _targets(work: _Work) -> Iterator[CleanupTarget]:
    """Every Job with our label, then what is left of others; where that cannot be listed, the Jobs alone."""
    uid_of_job = {}
    for job in work.cleanup.cluster.cleanup_targets(Kind.JOB, SELECTOR):
        uid_of_job[job.name] = job.uid
        yield job
    try:
        yield from _orphans(work.cleanup.cluster, uid_of_job)
    except KubernetesThrottledError:
        raise
    except (KubernetesRefusedError, KubernetesUnavailableError) as error:
        work.error(None, error)


def _orphans(cluster: KubernetesCleanupClient, uid_of_job: Mapping[str, str]) -> Iterator[CleanupTarget]:
    """The pods and the ConfigMaps of ours for which no Job is responsible; in use while theirs is there."""

    def is_in_use(orphan: CleanupTarget) -> bool:
        uid = uid_of_job.get(orphan.job_name)
        return uid is not None and orphan.job_uid in ("", uid)

    busy = set()
    for pod in cluster.cleanup_targets(Kind.POD, SELECTOR):
        if pod.job_id and not pod.has_owner:
            if pod.phase is JobPhase.ACTIVE:
                busy.add(pod.job_id)
            yield structs.replace(pod, phase=JobPhase.ACTIVE) if is_in_use(pod) else pod
    for script in cluster.cleanup_targets(Kind.CONFIG_MAP, SELECTOR):
        if script.job_id and not script.has_owner:
            in_use = script.job_id in busy or is_in_use(script)
            yield structs.replace(script, phase=JobPhase.ACTIVE) if in_use else script


def _with_records(
    store: JobStore, targets: Iterable[CleanupTarget]
) -> Iterator[tuple[CleanupTarget, Settled | None]]:
    """Each object with its record, looked up in portions."""
    portion: list[CleanupTarget] = []
    for target in targets:
        portion.append(target)
        if len(portion) == RECORDS_PER_LOOKUP:
            yield from _looked_up(store, portion)
            portion = []
    yield from _looked_up(store, portion)


def _looked_up(
    store: JobStore, portion: Sequence[CleanupTarget]
) -> list[tuple[CleanupTarget, Settled | None]]:
    job_ids = {target.job_id for target in portion if target.job_id}
    known = store.settled(job_ids) if job_ids else {}
    return [(target, record_of(target, known.get(target.job_id, ()))) for target in portion]
