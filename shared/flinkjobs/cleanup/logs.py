"""Saves the end of submitters' logs on their records, before the Jobs that hold them are deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from flinkjobs import log
from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.progress import Progress, error_entry, kept
from flinkjobs.cleanup.retention import Kept
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain import submitter_log
from flinkjobs.domain.batches import chunks
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind, Pod, Terminated, by_age
from flinkjobs.domain.naming import JOB_NAME_LABEL, SUBMIT_CONTAINER
from flinkjobs.domain.observations import Missing
from flinkjobs.domain.redaction import secrets_of, without
from flinkjobs.observers.submitters import JOB_IDS_PER_SELECTOR
from flinkjobs.ports.kubernetes import TAIL_LINES, KubernetesCleanupClient
from flinkjobs.ports.store import SubmitterLog

_Found: TypeAlias = SubmitterLog | FlinkjobsError | None
"""A log, or why it could not be read; None where there is none, or none that has to be saved."""


def keep_logs(run: Run, candidates: Sequence[Candidate]) -> Progress:
    """Saves the logs that no record holds yet; each is read once. A dry run reads them and writes nothing.

    A Job whose log cannot be read is kept: up to the age limit of unsettled ones, and longer where its record
    is not settled. After an error of the store no further log is saved.

    Returns:
        As `ready`, in the given order, the candidates that may be deleted now.

    Raises:
        StoreUnavailableError: the records could not be read.
    """
    done = Progress()
    for candidate, found in zip(candidates, _logs_of(run, candidates), strict=True):
        if isinstance(found, FlinkjobsError):
            entry = Progress(errors=(error_entry(candidate.target.job_id, found),))
            done += entry + (
                _ready(candidate) if _goes_without(run, candidate) else kept(candidate, Kept.ERROR)
            )
        elif found is None:
            done += _ready(candidate)
        elif done.is_stopped:
            done += kept(candidate, Kept.ERROR)
        else:
            done += _save(run, candidate, found)
    return done


def _ready(candidate: Candidate) -> Progress:
    return Progress(ready=(candidate,))


def _goes_without(run: Run, candidate: Candidate) -> bool:
    """Whether a settled Job has waited long enough for a log that cannot be read."""
    over_since = candidate.target.over_since
    is_old = over_since is not None and run.now - over_since > run.cleanup.policy.unsettled
    return is_old and not candidate.is_given_up


def _save(run: Run, candidate: Candidate, found: SubmitterLog) -> Progress:
    target = candidate.target
    if not run.dry_run:
        try:
            is_saved = run.cleanup.store.save_submitter_log(target.job_id, target.job_name, found)
        except FlinkjobsError as error:
            return kept(candidate, Kept.ERROR) + Progress(errors=(error_entry(None, error),), is_stopped=True)
        if not is_saved:  # its record follows another Job, or none any more
            return kept(candidate, Kept.CHANGED) if candidate.is_given_up else _ready(candidate)
        if candidate.is_given_up:
            log.warning("job.given_up", job_id=target.job_id, k8s_job_name=target.job_name, pod=found.pod)
    return _ready(candidate) + Progress(logs_saved=1)


def _logs_of(run: Run, candidates: Sequence[Candidate]) -> Iterator[_Found]:
    """The log of each candidate, in their order."""
    targets = [each.target for each in candidates if each.has_record]
    with_pods = [target for target in targets if target.kind is not Kind.CONFIG_MAP]
    specs = run.cleanup.store.specs_without_log({target.job_id for target in with_pods})
    pods = _pods_of(run, [target for target in with_pods if target.job_id in specs])

    def read(candidate: Candidate) -> _Found:
        target = candidate.target
        found = pods.get(target.uid, ())
        if isinstance(found, FlinkjobsError):
            return found
        return _log_of(run, target, found, secrets_of(specs.get(target.job_id)))

    return run.threads.map(read, candidates)


def _pods_of(run: Run, targets: Sequence[CleanupTarget]) -> dict[str, Sequence[Pod] | FlinkjobsError]:
    """The pods of each target, oldest first, by its uid; the error where they could not be listed."""
    by_namespace: dict[str | None, list[CleanupTarget]] = defaultdict(list)
    for target in targets:
        by_namespace[target.namespace].append(target)
    found: dict[str, Sequence[Pod] | FlinkjobsError] = {}
    for namespace, own in by_namespace.items():
        cluster = run.cleanup.cluster.in_namespace(namespace)
        for chunk in chunks(own, JOB_IDS_PER_SELECTOR):
            # Kubernetes' own label: the pods of the platform before this one have no label of the job id.
            selector = f"{JOB_NAME_LABEL} in ({','.join(sorted({each.job_name for each in chunk}))})"
            try:
                pods = by_age(cluster.pods(selector))
            except FlinkjobsError as error:
                found |= dict.fromkeys((each.uid for each in chunk), error)
                continue
            for each in chunk:
                found[each.uid] = [pod for pod in pods if pod.job_name == each.job_name]
    return found


def _log_of(run: Run, target: CleanupTarget, pods: Sequence[Pod], secrets: frozenset[str]) -> _Found:
    """The end of the submitter's newest log that exists, without the secrets of its submission."""
    cluster = run.cleanup.cluster.in_namespace(target.namespace)
    try:
        for pod in reversed(pods):
            if text := _output_of(cluster, pod):
                shown = without(secrets, text)
                tail = submitter_log.tail(shown, submitter_log.KEPT_BYTES)
                is_cut = tail != shown or len(text.splitlines()) >= TAIL_LINES
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
