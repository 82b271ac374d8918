"""Why a submitter does not start or did not end well: one cause out of its Job, pods and events.

The words are Kubernetes' own, from the fields that `kubectl describe pod` shows:
https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from flinkjobs.kube import Container, Event, KubernetesJob, Pod, Terminated, Waiting
from flinkjobs.model import JobPhase, ReasonCode

Cause = tuple[ReasonCode, str]
"""A code and a message for people."""

NORMAL_WAITING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
"""A container that waits for one of these is on its way."""

CODE_OF_WAITING: Final[Mapping[str, ReasonCode]] = MappingProxyType(
    {
        "ErrImagePull": ReasonCode.IMAGE_PULL,
        "ImagePullBackOff": ReasonCode.IMAGE_PULL,
        "InvalidImageName": ReasonCode.IMAGE_PULL,
        "ErrImageNeverPull": ReasonCode.IMAGE_PULL,
        "ImageInspectError": ReasonCode.IMAGE_PULL,
        "RegistryUnavailable": ReasonCode.IMAGE_PULL,
        "CreateContainerConfigError": ReasonCode.CONFIG,
        "CreateContainerError": ReasonCode.CONFIG,
        "RunContainerError": ReasonCode.POD_START,
        "CrashLoopBackOff": ReasonCode.POD_START,
    }
)
"""Code by `state.waiting.reason`; any other abnormal word is POD_START."""

CODE_OF_TERMINATED: Final[Mapping[str, ReasonCode]] = MappingProxyType(
    {
        "OOMKilled": ReasonCode.OOM,
        "StartError": ReasonCode.POD_START,
        "ContainerCannotRun": ReasonCode.POD_START,
    }
)
"""Code by `state.terminated.reason`, where the reason says more than the exit code."""

CODE_OF_EVENT: Final[Mapping[str, ReasonCode]] = MappingProxyType(
    {
        "FailedCreate": ReasonCode.QUOTA,
        "FailedMount": ReasonCode.MOUNT,
        "FailedAttachVolume": ReasonCode.MOUNT,
        "FailedScheduling": ReasonCode.UNSCHEDULABLE,
    }
)
"""Code by an event's reason, for causes that no status field shows."""

TIMEOUT_EXIT_CODE: Final = 124
"""Exit code of coreutils' `timeout` when it had to end the command."""


def diagnose(job: KubernetesJob, pods: Sequence[Pod], events: Iterable[Event] = ()) -> Cause | None:
    """Names the one cause that keeps a Job from running, or that ended it.

    Args:
        job: the submitter's Job.
        pods: its pods, in the order of their creation; the last that has a cause names it.
        events: events about the Job or its pods, where they were asked for.

    Returns:
        (code, message), or None when everything goes its normal way.
    """
    for pod in reversed(pods):
        if cause := _of_pod(pod):
            return cause
    if job.phase in (JobPhase.COMPLETE, JobPhase.FAILED):
        return None
    for event in events:
        if code := CODE_OF_EVENT.get(event.reason):
            return code, f"{event.about_kind} {event.about_name}: {event.reason}: {event.message}"
    if job.phase is JobPhase.SUSPENDED:
        return ReasonCode.K8S_JOB_SUSPENDED, f"the Kubernetes Job {job.name} is suspended (spec.suspend)"
    return None


def _of_pod(pod: Pod) -> Cause | None:
    if pod.reason == "Evicted":
        return ReasonCode.EVICTED, f"pod {pod.name} was evicted: {pod.message}".rstrip(": ")
    for container in pod.containers:
        if cause := _of_container(pod, container):
            return cause
    if pod.unschedulable is not None and not pod.is_over:
        return ReasonCode.UNSCHEDULABLE, f"pod {pod.name} cannot be scheduled: {pod.unschedulable}"
    return None


def _of_container(pod: Pod, container: Container) -> Cause | None:
    where = f"pod {pod.name}, {'init ' if container.is_init else ''}container {container.name}"
    state = container.state
    if isinstance(state, Waiting) and state.reason not in NORMAL_WAITING and not pod.is_over:
        code = CODE_OF_WAITING.get(state.reason, ReasonCode.POD_START)
        return code, f"{where}: {state.reason}: {state.message}".rstrip(": ")
    if isinstance(state, Terminated):
        if code_of_end := CODE_OF_TERMINATED.get(state.reason):
            return code_of_end, f"{where}: {state.reason} (exit code {state.exit_code})"
        if state.exit_code == TIMEOUT_EXIT_CODE and not container.is_init:
            return ReasonCode.SUBMIT_FAILED, f"{where}: flink run did not end in time and was stopped"
        if container.is_init and state.exit_code != 0:
            return ReasonCode.SUBMIT_FAILED, f"{where}: exit code {state.exit_code}: {state.message}".rstrip(
                ": "
            )
    return None
