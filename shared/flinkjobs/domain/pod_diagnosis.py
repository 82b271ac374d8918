"""Diagnosis of a submitter that does not start or failed: one cause from Job, pods and events.

The words are Kubernetes' own, from the fields that `kubectl describe pod` shows:
https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from flinkjobs.domain.kubernetes_objects import Container, Event, KubernetesJob, Pod, Terminated, Waiting
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.reasons import ReasonCode

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
        "FailedCreate": ReasonCode.POD_START,
        "FailedCreatePodSandBox": ReasonCode.POD_START,
        "FailedMount": ReasonCode.MOUNT,
        "FailedAttachVolume": ReasonCode.MOUNT,
        "FailedScheduling": ReasonCode.UNSCHEDULABLE,
    }
)
"""Code by an event's reason, for causes that no status field shows."""

MESSAGE_OF_EXIT_CODE: Final[Mapping[int, str]] = MappingProxyType(
    {
        124: "flink run did not end in time and was stopped (exit code 124)",
        137: "flink run was killed (exit code 137)",
    }
)
"""What the submitter's exit codes mean besides flink's own 0 and 31: those of coreutils' `timeout`."""


def diagnose(job: KubernetesJob, pods: Sequence[Pod], events: Iterable[Event] = ()) -> Cause | None:
    """Names the one cause that keeps a Job from running, or that ended it.

    Args:
        job: the submitter's Job.
        pods: its pods, in the order of their creation. The newest one names the cause; of a Job that is
            over, the newest that has one.
        events: events about the Job or its pods, where they were asked for.

    Returns:
        (code, message), or None when everything goes its normal way.
    """
    is_over = job.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    for pod in reversed(pods if is_over else pods[-1:]):
        if cause := _of_pod(pod):
            return cause
    if is_over:
        return None
    for event in events:
        if code := _code_of_event(event):
            return code, f"{event.about_kind} {event.about_name}: {event.reason}: {event.message}"
    if job.phase is JobPhase.SUSPENDED:
        return ReasonCode.K8S_JOB_SUSPENDED, f"the Kubernetes Job {job.name} is suspended (spec.suspend)"
    return None


def _code_of_event(event: Event) -> ReasonCode | None:
    if event.reason == "FailedCreate" and "quota" in event.message:
        return ReasonCode.QUOTA
    return CODE_OF_EVENT.get(event.reason)


def _of_pod(pod: Pod) -> Cause | None:
    if pod.reason == "Evicted":
        return ReasonCode.EVICTED, f"pod {pod.name} was evicted: {pod.message}".rstrip(": ")
    for container in pod.containers:
        if cause := _of_container(pod, container):
            return cause
    if pod.phase == "Failed" and pod.reason and not pod.containers:  # its node has not let it in
        return ReasonCode.POD_START, f"pod {pod.name}: {pod.reason}: {pod.message}".rstrip(": ")
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
        if not container.is_init and state.exit_code in MESSAGE_OF_EXIT_CODE:
            return ReasonCode.SUBMIT_FAILED, f"{where}: {MESSAGE_OF_EXIT_CODE[state.exit_code]}"
        if container.is_init and state.exit_code != 0:
            return ReasonCode.SUBMIT_FAILED, f"{where}: exit code {state.exit_code}: {state.message}".rstrip(
                ": "
            )
    return None
