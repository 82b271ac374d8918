"""Observes one submitter: its Job, its pods, and the Flink Job IDs in their output.

The termination message comes first: it arrives with the pod list, without a request of its own, and
survives the log. The log comes next, from its start and, where that was cut, from its end. Every pod of
the Job is read, failed ones too: the CLI exits with an error although it submitted, when the script
raises afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from flinkjobs.domain import submitter_log
from flinkjobs.domain.errors import KubernetesRefusedError, KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import Event, KubernetesJob, Pod, Terminated, Waiting, by_age
from flinkjobs.domain.naming import SUBMIT_CONTAINER
from flinkjobs.domain.observations import (
    FoundId,
    JobPhase,
    LogState,
    Missing,
    NoKubernetesJob,
    Submitter,
    Unreachable,
)
from flinkjobs.domain.pod_diagnosis import diagnose
from flinkjobs.domain.records import IdSource
from flinkjobs.domain.submission_proof import (
    init_failure_proves_nothing_submitted,
    is_whole_log,
    proves_nothing_submitted,
)
from flinkjobs.domain.text import cut
from flinkjobs.ports.kubernetes import KubernetesClient

CUT_LOG_BYTES: Final = 2 * 1024 * 1024
"""A log this long was cut at the adapter's byte limit, so that its end is read as well. Measured in UTF-8:
decoding may have made it longer, a replacement character for each bad byte, but never shorter."""

EVENTS_AFTER: Final = timedelta(seconds=60)
"""How old a Job that has nothing running is when its events are asked for."""


class Output(msgspec.Struct, frozen=True):
    """Output of one pod, as far as it can be read.

    Attributes:
        proves_nothing_submitted: it holds no id, and shows that no job was submitted.
        is_whole: as in `Submitter`.
        unread: the error that came instead of the log, where `state` is UNREACHABLE.
    """

    ids: tuple[FoundId, ...] = ()
    error_lines: str = ""
    state: LogState = LogState.READ
    proves_nothing_submitted: bool = False
    is_whole: bool = False
    unread: str = ""


def observe_submitter(
    job: KubernetesJob,
    pods: Sequence[Pod],
    cluster: KubernetesClient,
    *,
    events: Callable[[str], Sequence[Event] | Unreachable],
    is_followed: bool,
    now: datetime,
    events_after: timedelta = EVENTS_AFTER,
) -> Submitter:
    """Observes one submitter with as few requests as possible.

    Args:
        job: its Job.
        pods: all pods of the Job.
        cluster: asked for logs.
        events: asked for the events about the object of a name, where nothing starts.
        is_followed: a Flink job of it is known to go on: the log of a pod that still runs can wait. A script
            that waits for its jobs may print the next id as soon as one of them is over.
        now: the time of the pass.
        events_after: how old a Job that has nothing running must be to have its events asked for.
    """
    pods = by_age(pods)
    phase = submission_phase(job, pods)
    is_over = phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    outputs = [read_output(pod, cluster, skip_running=is_followed) for pod in pods]
    if is_over and not pods:
        outputs.append(Output(state=LogState.GONE))
    ids = _ids_of(outputs)
    has_all_pods = len(pods) >= job.ended_pods  # a pod that was deleted may have submitted a job
    problem, events_unread = diagnose(job, pods), None
    if problem is None and not is_over and not ids and _is_stuck(job, pods, now - events_after):
        found = events(pods[-1].name if pods else job.name)
        if isinstance(found, Unreachable):
            events_unread = found
        else:
            problem = diagnose(job, pods, found)
    return Submitter(
        phase=phase,
        job_uid=job.uid,
        ended=job.ended,
        ids=ids,
        log=_worst([output.state for output in outputs]),
        error_lines=_error_lines_of(outputs),
        proves_nothing_submitted=has_all_pods and all(output.proves_nothing_submitted for output in outputs),
        is_whole=has_all_pods and all(output.is_whole for output in outputs),
        exit_code=_exit_code(pods),
        problem=problem,
        events_unread=events_unread,
        unread=_unread_of(outputs),
    )


def observe_orphans(pods: Sequence[Pod], cluster: KubernetesClient, *, is_followed: bool) -> NoKubernetesJob:
    """Observes the pods that a deleted Job left behind.

    Args:
        pods: all pods that carry the Job's name.
        cluster: asked for logs.
        is_followed: as in `observe_submitter`.
    """
    outputs = [read_output(pod, cluster, skip_running=is_followed) for pod in by_age(pods)]
    return NoKubernetesJob(
        ids=_ids_of(outputs),
        log=_worst([output.state for output in outputs]) if outputs else LogState.GONE,
        error_lines=_error_lines_of(outputs),
        unread=_unread_of(outputs),
    )


def _ids_of(outputs: Sequence[Output]) -> tuple[FoundId, ...]:
    """The ids in the order printed, each once, with the first source that had it."""
    ids = dict.fromkeys(found.id for output in outputs for found in output.ids)
    sources = {found.id: found.source for output in outputs for found in reversed(output.ids)}
    return tuple(FoundId(id=flink_job_id, source=sources[flink_job_id]) for flink_job_id in ids)


def _error_lines_of(outputs: Sequence[Output]) -> str:
    """The error lines of all pods, equal ones once, each cut at its end so that every first line is kept."""
    blocks = dict.fromkeys(output.error_lines for output in outputs if output.error_lines)
    share = (submitter_log.MAX_ERROR_CHARACTERS + 1) // max(len(blocks), 1)
    return "\n".join(cut(block, share - 1) for block in blocks)


def _unread_of(outputs: Sequence[Output]) -> str:
    return "; ".join(output.unread for output in outputs if output.unread)


def submission_phase(job: KubernetesJob, pods: Sequence[Pod]) -> JobPhase:
    """The phase of the submission: a sidecar keeps pod and Job active after the submitter has ended."""
    if job.phase is not JobPhase.ACTIVE or not pods:
        return job.phase
    *earlier, newest = by_age(pods)
    state = newest.submit.state if newest.submit else None
    if not isinstance(state, Terminated) or not all(map(_has_ended, earlier)):
        return job.phase
    if state.exit_code == 0:
        return JobPhase.COMPLETE
    return JobPhase.FAILED if job.is_single_attempt else job.phase


def _has_ended(pod: Pod) -> bool:
    return pod.is_over or (pod.submit is not None and isinstance(pod.submit.state, Terminated))


def _exit_code(pods: Sequence[Pod]) -> int | None:
    states = [pod.submit.state for pod in pods if pod.submit is not None]
    codes = [state.exit_code for state in states if isinstance(state, Terminated)]
    return codes[-1] if codes else None


def read_output(pod: Pod, cluster: KubernetesClient, *, skip_running: bool = False) -> Output:
    """The ids of one pod, and the lines that name the cause where it has failed."""
    state = pod.submit.state if pod.submit else None
    if isinstance(state, Terminated):
        message = submitter_log.marked_message(state.message)
        if message is not None and message.is_whole and state.exit_code == 0:
            ids = _found(message.ids, IdSource.TERMINATION_MESSAGE)
            return Output(ids=ids, proves_nothing_submitted=not ids, is_whole=True)
        return _read_log(pod, cluster, state)
    if pod.is_over:
        if init_failure_proves_nothing_submitted(_exit_codes_of_init(pod)):
            return Output(proves_nothing_submitted=True)
        return _read_log(pod, cluster, None)
    if isinstance(state, Waiting) or pod.submit is None or skip_running:
        return Output(state=LogState.RUNNING)
    return _read_log(pod, cluster, None)


def _exit_codes_of_init(pod: Pod) -> list[int]:
    states = [
        container.state for container in pod.containers if container.is_init and not container.is_sidecar
    ]
    return [state.exit_code for state in states if isinstance(state, Terminated)]


def _read_log(pod: Pod, cluster: KubernetesClient, state: Terminated | None) -> Output:
    """What the log holds, and the termination message of a container that has ended."""
    message = state.message if state else ""
    message_ids = _found(submitter_log.job_ids(message), IdSource.TERMINATION_MESSAGE)
    container = pod.submit.name if pod.submit else SUBMIT_CONTAINER
    is_whole = True
    try:
        text = cluster.pod_log(pod.name, container)
        if isinstance(text, str) and len(text.encode()) >= CUT_LOG_BYTES:
            end = cluster.pod_log(pod.name, container, tail=True)
            text += "\n" + (end if isinstance(end, str) else "")
            is_whole = False
    except (KubernetesUnavailableError, KubernetesRefusedError) as error:
        return Output(ids=message_ids, state=LogState.UNREACHABLE, unread=str(error))
    if isinstance(text, Missing):
        # A failed container's message holds the end of its log, unless it holds ids.
        is_log_end = not message_ids and state is not None and state.exit_code != 0
        return Output(
            ids=message_ids,
            error_lines=submitter_log.error_lines(message) if is_log_end else "",
            state=LogState.GONE,
            proves_nothing_submitted=is_log_end and is_whole_log(message) and _proves(message, state),
        )
    ids = _merged(_found(submitter_log.job_ids(text), IdSource.LOG), message_ids)
    is_failed = state is not None and state.exit_code != 0
    if not pod.is_over and state is None:
        log = LogState.RUNNING
    else:  # of a log that is too long, the middle was not read
        log = LogState.READ if ids or is_whole else LogState.GONE
    return Output(
        ids=ids,
        error_lines=submitter_log.error_lines(text) if is_failed or not ids else "",
        state=log,
        proves_nothing_submitted=not ids and is_whole and _proves(text, state),
    )


def _proves(output: str, state: Terminated | None) -> bool:
    if state is None or state.exit_code == 0:
        return False
    return proves_nothing_submitted(output, state.exit_code, state.reason)


def _merged(ids: tuple[FoundId, ...], others: tuple[FoundId, ...]) -> tuple[FoundId, ...]:
    known = {found.id for found in ids}
    return ids + tuple(found for found in others if found.id not in known)


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
    """Whether no submitter of these pods has run yet. Later, older events name obstacles that are gone."""
    return all(
        not pod.is_over and (pod.submit is None or isinstance(pod.submit.state, Waiting)) for pod in pods
    )
