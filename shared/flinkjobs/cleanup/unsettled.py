"""Reads the output of Jobs whose records are not settled yet, before they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from flinkjobs import log
from flinkjobs.cleanup.context import _Work
from flinkjobs.cleanup.retention import (
    Kept,
    Next,
    judge,
    record_of,
    settled,
)
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain import submitter_log
from flinkjobs.domain.errors import (
    FlinkjobsError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Pod, Terminated, by_age
from flinkjobs.domain.naming import SUBMIT_CONTAINER, selector_of
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE, Missing
from flinkjobs.ports.kubernetes import TAIL_LINES, KubernetesCleanupClient
from flinkjobs.ports.store import Settled, SubmitterLog
from flinkjobs.sync.service import reconcile_records


def _look(work: _Work, candidates: Sequence[Candidate], *, budget_seconds: float) -> list[Candidate]:
    """Looks at the unsettled as a pass does; returns those that may go now."""
    sync = replace(work.cleanup.sync, budget_seconds=budget_seconds)
    job_ids = list(dict.fromkeys(candidate.target.job_id for candidate in candidates))
    look = reconcile_records(sync, job_ids, run_id=work.run_id, write=not work.dry_run)
    work.errors += look.errors
    if work.dry_run:
        for seen in look.records:
            work.settled_by_look[seen.job_id].append(settled(seen))
    unseen = {error["job_id"] for error in look.errors if error["code"] in _NOT_LOOKED_AT}
    ready, hopeless = [], []
    for candidate, record in _fresh(work, candidates):
        target = candidate.target
        verdict = judge(target, record, work.now, work.cleanup.policy)
        if verdict is Next.DELETE:
            work.harvested += 1
            ready.append(candidate)
        elif isinstance(verdict, Kept):
            work.stay(candidate, verdict)
        elif target.job_id in look.passed_over:
            work.put_off(candidate)
        elif verdict is Next.HARVEST or {target.job_id, None} & unseen:
            work.stay(candidate, Kept.UNSETTLED)
        elif target.job_id in look.conflicts:  # what was found is not written
            work.stay(candidate, Kept.CHANGED)
        else:
            hopeless.append(candidate)
    return ready + _give_up(work, hopeless)


_NOT_LOOKED_AT: Final = (KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE)
"""Errors of a look after which the log may still hold an id: nothing is given up then."""


def _fresh(work: _Work, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Settled | None]]:
    """The candidates with their records as they are now; one whose record came or went is kept."""
    stored = work.cleanup.store.settled({candidate.target.job_id for candidate in candidates})
    for candidate in candidates:
        target = candidate.target
        looked_at = work.settled_by_look.get(target.job_id, ())
        found = [
            next((look for look in looked_at if look.document_id == each.document_id), each)
            for each in stored.get(target.job_id, ())
        ]
        record = record_of(target, found)
        if candidate.has_record == (record is not None):
            yield candidate, record
        else:
            work.stay(candidate, Kept.CHANGED)


def _give_up(work: _Work, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Keeps the end of each log on its record; returns those for which that is done."""
    done = []
    logs = work.threads.map(lambda candidate: _log_of(work, candidate.target), candidates)
    for candidate, found in zip(candidates, logs, strict=True):
        target = candidate.target
        if isinstance(found, FlinkjobsError):
            work.stay(candidate, Kept.ERROR)
            work.error(target.job_id, found)
            continue
        if found is not None and not work.dry_run:
            if (refused := _save_log(work, target, found)) is not None:
                work.stay(candidate, refused)
                continue
            log.warning("job.given_up", job_id=target.job_id, k8s_job_name=target.job_name, pod=found.pod)
        work.logs_saved += found is not None
        work.given_up.add(target.uid)
        done.append(candidate)
    return done


def _save_log(work: _Work, target: CleanupTarget, found: SubmitterLog) -> Kept | None:
    """Keeps a log on its record; else says why its object has to stay. Without the store the run ends."""
    if work.stopped:
        return Kept.ERROR
    try:
        is_saved = work.cleanup.store.save_submitter_log(target.job_id, target.job_name, found)
    except FlinkjobsError as error:
        work.error(None, error)
        work.stopped = True
        return Kept.ERROR
    return None if is_saved else Kept.CHANGED


def _log_of(work: _Work, target: CleanupTarget) -> SubmitterLog | FlinkjobsError | None:
    """The end of the newest log that is left of a submitter; None when nothing is."""
    try:
        pods = work.cleanup.cluster.pods(selector_of(target.job_id))
        for pod in reversed(by_age(pod for pod in pods if pod.job_name == target.job_name)):
            if text := _output_of(work.cleanup.cluster, pod):
                kept = submitter_log.tail(text, submitter_log.KEPT_BYTES)
                is_cut = kept != text or len(text.splitlines()) >= TAIL_LINES
                return SubmitterLog(kept, truncated=is_cut, pod=pod.name, saved_at=work.cleanup.sync.clock())
    except FlinkjobsError as error:
        return error
    return None


def _output_of(cluster: KubernetesCleanupClient, pod: Pod) -> str:
    """The end of a pod's log, or what Kubernetes kept of it."""
    container = pod.submit
    text = cluster.pod_log(pod.name, container.name if container else SUBMIT_CONTAINER, tail=True)
    if not isinstance(text, Missing):
        return text
    return container.state.message if container and isinstance(container.state, Terminated) else ""
