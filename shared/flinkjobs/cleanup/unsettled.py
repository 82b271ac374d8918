"""Reads the submitter's output of targets whose records are not settled, before they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flinkjobs import log
from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.listing import read_records_again
from flinkjobs.cleanup.progress import Progress, error_entry, kept, postponed
from flinkjobs.cleanup.retention import Kept, Next, judge, settled
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain import submitter_log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Pod, Terminated, by_age
from flinkjobs.domain.naming import SUBMIT_CONTAINER, selector_of
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE, Missing
from flinkjobs.ports.kubernetes import TAIL_LINES, KubernetesCleanupClient
from flinkjobs.ports.store import SubmitterLog
from flinkjobs.sync.service import reconcile_records

_NOT_READ: Final = (KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE)
"""Error codes after which the log may still hold an id: the target is kept."""


def read_output(run: Run, candidates: Sequence[Candidate], *, budget_seconds: float) -> Progress:
    """Reads the output of unsettled candidates as a sync pass does.

    Returns:
        As `ready`, the candidates that may be deleted: their records are settled now, or they are too old
        to wait any longer and the end of their log is saved.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        StoreRefusedError: the store refused a record.
    """
    sync = replace(run.cleanup.sync, budget_seconds=budget_seconds)
    job_ids = list(dict.fromkeys(candidate.target.job_id for candidate in candidates))
    read = reconcile_records(sync, job_ids, run_id=run.run_id, write=not run.dry_run)
    if run.dry_run:
        expected = [settled(record) for record in read.records]
        candidates = [
            replace(each, expected=[record for record in expected if record.job_id == each.target.job_id])
            for each in candidates
        ]
    not_read = {error["job_id"] for error in read.errors if error["code"] in _NOT_READ}
    current, changed = read_records_again(run.cleanup.store, candidates)
    done = Progress(errors=read.errors)
    for candidate in changed:
        done += kept(candidate, Kept.CHANGED)
    hopeless = []
    for candidate, record in current:
        job_id = candidate.target.job_id
        verdict = judge(candidate.target, record, run.now, run.cleanup.policy)
        if verdict is Next.DELETE:
            done += Progress(ready=(candidate,), settled_by_output=1)
        elif isinstance(verdict, Kept):
            done += kept(candidate, verdict)
        elif job_id in read.passed_over:
            done += postponed((candidate,))
        elif verdict is Next.READ_OUTPUT or {job_id, None} & not_read:
            done += kept(candidate, Kept.UNSETTLED)
        elif job_id in read.conflicts:  # what was read is not on the record
            done += kept(candidate, Kept.CHANGED)
        else:
            hopeless.append(candidate)
    return done + _give_up(run, hopeless)


def _give_up(run: Run, candidates: Sequence[Candidate]) -> Progress:
    """Saves the end of each log on its record; after an error of the store the other logs are not saved."""
    done = Progress()
    logs = run.threads.map(lambda candidate: _log_of(run, candidate.target), candidates)
    for candidate, found in zip(candidates, logs, strict=True):
        if isinstance(found, FlinkjobsError):
            entry = error_entry(candidate.target.job_id, found)
            done += kept(candidate, Kept.ERROR) + Progress(errors=(entry,))
        elif found is None:
            done += Progress(ready=(replace(candidate, is_given_up=True),))
        elif done.is_stopped:
            done += kept(candidate, Kept.ERROR)
        else:
            done += _save_log(run, candidate, found)
    return done


def _save_log(run: Run, candidate: Candidate, found: SubmitterLog) -> Progress:
    """Saves a log on the record of its candidate, which may then be deleted. A dry run writes nothing."""
    target = candidate.target
    if not run.dry_run:
        try:
            is_saved = run.cleanup.store.save_submitter_log(target.job_id, target.job_name, found)
        except FlinkjobsError as error:
            return kept(candidate, Kept.ERROR) + Progress(errors=(error_entry(None, error),), is_stopped=True)
        if not is_saved:
            return kept(candidate, Kept.CHANGED)
        log.warning("job.given_up", job_id=target.job_id, k8s_job_name=target.job_name, pod=found.pod)
    return Progress(ready=(replace(candidate, is_given_up=True),), logs_saved=1)


def _log_of(run: Run, target: CleanupTarget) -> SubmitterLog | FlinkjobsError | None:
    """The end of the submitter's newest log that exists; None when there is none."""
    cluster = run.cleanup.cluster.in_namespace(target.namespace)
    try:
        pods = cluster.pods(selector_of(target.job_id))
        for pod in reversed(by_age(pod for pod in pods if pod.job_name == target.job_name)):
            if text := _output_of(cluster, pod):
                tail = submitter_log.tail(text, submitter_log.KEPT_BYTES)
                is_cut = tail != text or len(text.splitlines()) >= TAIL_LINES
                return SubmitterLog(tail, truncated=is_cut, pod=pod.name, saved_at=run.cleanup.sync.clock())
    except FlinkjobsError as error:
        return error
    return None


def _output_of(cluster: KubernetesCleanupClient, pod: Pod) -> str:
    """The end of a pod's log; its termination message where the log is gone."""
    container = pod.submit
    text = cluster.pod_log(pod.name, container.name if container else SUBMIT_CONTAINER, tail=True)
    if not isinstance(text, Missing):
        return text
    return container.state.message if container and isinstance(container.state, Terminated) else ""
