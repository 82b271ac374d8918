"""What a submitter's Job, pods and output say, gathered for `decide`: the ladder to a Flink Job ID.

The termination message comes first: it arrives with the pod list, without a request of its own, and
survives the log. The log comes next, from its start and, where that was cut, from its end. Every pod of
the Job is read, failed ones too: the CLI exits with an error although it submitted, when the script
raises afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from flinkjobs.domain import submitter_log
from flinkjobs.domain.errors import KubernetesRefusedError, KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import Event, KubernetesJob, Pod, Terminated, Waiting, by_age
from flinkjobs.domain.observations import (
    FoundId,
    JobPhase,
    LogState,
    Missing,
    NoKubernetesJob,
    Submitter,
)
from flinkjobs.domain.pod_diagnosis import diagnose
from flinkjobs.domain.records import IdSource
from flinkjobs.ports.kubernetes import KubernetesClient

FULL_MESSAGE_BYTES: Final = 4000
"""A termination message this long may have lost lines: Kubernetes keeps 4096 bytes."""

FALLBACK_BYTES: Final = 2048
FALLBACK_LINES: Final = 80
"""Of the log of a failed container that wrote no termination message, Kubernetes keeps so much of its end:
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/"""

CUT_LOG_BYTES: Final = 2 * 1024 * 1024
"""A log this long was cut at the adapter's byte limit, so that its end is read as well. Measured in UTF-8:
decoding may have made it longer, a replacement character for each bad byte, but never shorter."""

EVENTS_AFTER: Final = timedelta(seconds=60)
"""How old a Job that has nothing running is when its events are asked for."""


class Output(msgspec.Struct, frozen=True):
    """What one pod printed, as far as it can be known.

    Attributes:
        unread: the error that came instead of the log, where `state` is UNREACHABLE.
    """

    ids: tuple[FoundId, ...] = ()
    telling: str = ""
    state: LogState = LogState.READ
    unread: str = ""


def observe_submitter(
    job: KubernetesJob,
    pods: Sequence[Pod],
    cluster: KubernetesClient,
    *,
    is_followed: bool,
    now: datetime,
    events_after: timedelta = EVENTS_AFTER,
) -> Submitter:
    """Gathers what is known of one submitter, with as few requests as that takes.

    Args:
        job: its Job.
        pods: all pods of the Job.
        cluster: asked for logs, and for events where nothing starts.
        is_followed: a Flink job of it is known to go on: the log of a pod that still runs can wait. A script
            that waits for its jobs may print the next id as soon as one of them is over.
        now: the time of the pass.
        events_after: how old a Job that has nothing running must be to have its events asked for.
    """
    pods = by_age(pods)
    is_over = job.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    outputs = [read_output(pod, cluster, skip_running=is_followed) for pod in pods]
    if is_over and not pods:
        outputs.append(Output(state=LogState.GONE))
    ids = _ids_of(outputs)
    trouble = diagnose(job, pods)
    if trouble is None and not is_over and not ids and _is_stuck(job, pods, now - events_after):
        trouble = diagnose(job, pods, _events(job, pods, cluster))
    return Submitter(
        phase=job.phase,
        job_uid=job.uid,
        ended=job.ended,
        ids=ids,
        log=_worst([output.state for output in outputs]),
        telling=_telling_of(outputs),
        trouble=trouble,
        unread=_unread_of(outputs),
    )


def observe_orphans(pods: Sequence[Pod], cluster: KubernetesClient, *, is_followed: bool) -> NoKubernetesJob:
    """Gathers what the pods of a Job that does not exist any more still say.

    Args:
        pods: all pods that carry the Job's name.
        cluster: asked for logs.
        is_followed: as in `observe_submitter`.
    """
    outputs = [read_output(pod, cluster, skip_running=is_followed) for pod in by_age(pods)]
    return NoKubernetesJob(
        ids=_ids_of(outputs),
        log=_worst([output.state for output in outputs]) if outputs else LogState.GONE,
        telling=_telling_of(outputs),
        unread=_unread_of(outputs),
    )


def _ids_of(outputs: Sequence[Output]) -> tuple[FoundId, ...]:
    """The ids in the order printed, each once, with the first source that had it."""
    ids = dict.fromkeys(found.id for output in outputs for found in output.ids)
    sources = {found.id: found.source for output in outputs for found in reversed(output.ids)}
    return tuple(FoundId(id=flink_job_id, source=sources[flink_job_id]) for flink_job_id in ids)


def _telling_of(outputs: Sequence[Output]) -> str:
    return "\n".join(output.telling for output in outputs if output.telling)[
        -submitter_log.MAX_ERROR_CHARACTERS :
    ]


def _unread_of(outputs: Sequence[Output]) -> str:
    return "; ".join(output.unread for output in outputs if output.unread)


def read_output(pod: Pod, cluster: KubernetesClient, *, skip_running: bool = False) -> Output:
    """The ids and error lines of one pod."""
    container = pod.submit
    state = container.state if container else None
    if isinstance(state, Terminated) and _holds_every_id(state):
        return Output(ids=_found(submitter_log.job_ids(state.message), IdSource.TERMINATION_MESSAGE))
    if not pod.is_over and (isinstance(state, Waiting) or container is None):
        return Output(state=LogState.RUNNING)  # nothing was printed yet
    if not pod.is_over and skip_running:
        return Output(state=LogState.RUNNING)
    return _read_log(pod, cluster, state)


def _holds_every_id(state: Terminated) -> bool:
    """Whether the termination message holds ids, and all that there are.

    The submitter writes lines with ids and nothing else. Where it could not write, Kubernetes puts the end of
    a failed container's log there, which may lack the first ids.
    """
    if not submitter_log.job_ids(state.message) or len(state.message.encode()) >= FULL_MESSAGE_BYTES:
        return False
    lines = [line for line in submitter_log.lines_of(state.message) if line.strip()]
    return state.exit_code == 0 or all(map(submitter_log.job_ids, lines))


def _read_log(pod: Pod, cluster: KubernetesClient, state: Waiting | Terminated | None) -> Output:
    container = pod.submit
    is_whole = True
    try:
        text = cluster.pod_log(pod.name, container.name if container else "submit")
        if isinstance(text, str) and len(text.encode()) >= CUT_LOG_BYTES:
            end = cluster.pod_log(pod.name, container.name if container else "submit", tail=True)
            text += "\n" + (end if isinstance(end, str) else "")
            is_whole = False
    except (KubernetesUnavailableError, KubernetesRefusedError) as error:
        return Output(state=LogState.UNREACHABLE, unread=str(error))
    if isinstance(text, Missing):
        return _without_log(state)
    ids = _found(submitter_log.job_ids(text), IdSource.LOG)
    told = "" if ids else submitter_log.error_lines(text)
    if not pod.is_over:
        return Output(ids=ids, telling=told, state=LogState.RUNNING)
    # Of a log that is too long, the middle was not read: no id in the rest is no evidence.
    return Output(ids=ids, telling=told, state=LogState.READ if ids or is_whole else LogState.GONE)


def _without_log(state: Waiting | Terminated | None) -> Output:
    """Of a failed container the termination message holds the log's end, unless it holds ids.

    An end that is as long as Kubernetes keeps it may be the end only: no id in it is no evidence.
    """
    if not isinstance(state, Terminated) or not state.message:
        return Output(state=LogState.GONE)
    if ids := submitter_log.job_ids(state.message):
        return Output(ids=_found(ids, IdSource.TERMINATION_MESSAGE))
    if state.exit_code == 0:
        return Output(state=LogState.GONE)
    size, lines = len(state.message.encode()), len(state.message.splitlines())
    is_whole = size < FALLBACK_BYTES and lines < FALLBACK_LINES
    return Output(
        telling=submitter_log.error_lines(state.message), state=LogState.READ if is_whole else LogState.GONE
    )


def _found(ids: Sequence[str], source: IdSource) -> tuple[FoundId, ...]:
    return tuple(FoundId(id=flink_job_id, source=source) for flink_job_id in ids)


def _worst(states: Sequence[LogState]) -> LogState:
    """One word for all pods: what is missing counts more than what was read."""
    for state in (LogState.UNREACHABLE, LogState.RUNNING, LogState.GONE):
        if state in states:
            return state
    return LogState.READ


def _is_stuck(job: KubernetesJob, pods: Sequence[Pod], created_before: datetime) -> bool:
    """Nothing has started, and the Job was created before this time."""
    return job.created_at is not None and job.created_at <= created_before and has_not_started(pods)


def has_not_started(pods: Sequence[Pod]) -> bool:
    """Whether no submitter of these pods has run yet. Once one has, old events tell of what was overcome."""
    return all(
        not pod.is_over and (pod.submit is None or isinstance(pod.submit.state, Waiting)) for pod in pods
    )


def _events(job: KubernetesJob, pods: Sequence[Pod], cluster: KubernetesClient) -> tuple[Event, ...]:
    """Events about the Job, and about its newest pod where it has one; none when they cannot be had."""
    try:
        return cluster.events(pods[-1].name if pods else job.name)
    except (KubernetesUnavailableError, KubernetesRefusedError):
        return ()
