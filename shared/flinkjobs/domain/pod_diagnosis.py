"""Diagnosis of a submitter that does not start or failed: one cause from Job, pods and events.

The words are Kubernetes' own, from the fields that `kubectl describe pod` shows:
https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from flinkjobs.domain.kubernetes_objects import (
    Condition,
    Container,
    Event,
    KubernetesJob,
    Pod,
    Terminated,
    Waiting,
)
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.submitter_log import IMAGE_LACKS

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
        "SignatureValidationFailed": ReasonCode.IMAGE_PULL,
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

CODE_OF_DISRUPTION: Final[Mapping[str, ReasonCode]] = MappingProxyType(
    {
        "Evicted": ReasonCode.EVICTED,
        "TerminationByKubelet": ReasonCode.EVICTED,
        "Terminated": ReasonCode.PREEMPTED,
        "NodeShutdown": ReasonCode.PREEMPTED,
        "Shutdown": ReasonCode.PREEMPTED,
        "Preempting": ReasonCode.PREEMPTED,
        "PreemptionByScheduler": ReasonCode.PREEMPTED,
        "EvictionByEvictionAPI": ReasonCode.PREEMPTED,
        "DeletionByTaintManager": ReasonCode.PREEMPTED,
        "DeletionByPodGC": ReasonCode.PREEMPTED,
    }
)
"""Code by a pod's `status.reason`, or by the reason of its condition `DisruptionTarget`:
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions"""

SHORTAGE: Final = re.compile(r"low on resource")
MAKES_ROOM: Final = re.compile(r"node shutdown|node is shutting|admit critical pod")
"""The kubelet's words, which name the cause also where a reason is lost or covers several causes."""

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

PROGRESS: Final = frozenset(
    {"SuccessfulCreate", "SuccessfulAttachVolume", "Pulling", "Pulled", "Created", "Started"}
)
"""Reasons of events after which an earlier failure of the same object is over."""

RELEVANT_EVENTS: Final = frozenset(CODE_OF_EVENT) | PROGRESS
"""Reasons of the events that `diagnose` reads."""

CODE_OF_REFUSED_POD: Final = (
    (re.compile(r"exceeded quota|insufficient quota"), ReasonCode.QUOTA),
    (
        re.compile(
            r"violates PodSecurity|admission webhook .* denied|ValidatingAdmissionPolicy .* denied"
            r"|unable to validate against any security context constraint|failed quota:"
            r"|(maximum|minimum) \S+ usage per |max limit to request ratio per "
        ),
        ReasonCode.POLICY,
    ),
)
"""Code by the message of `FailedCreate`, the first that matches: the words of webhooks, of policies, and of
https://github.com/kubernetes/kubernetes/tree/master/plugin/pkg/admission. A quota that demands limits of
the pod (`failed quota:`) is a policy: the pod is refused however much of the quota is free."""

BACK_OFF: Final = re.compile(
    r'BackOff(: [Bb]ack-off (pulling image "[^"]*"|\S+ restarting failed container.*))?$'
)
"""A back-off that does not name its cause. That of an image does since Kubernetes 1.32."""

UNSUITABLE_IMAGE: Final = re.compile(
    rf"^{IMAGE_LACKS}.*$|exec: \"/bin/bash\": .*(?:no such file|not found|permission denied).*$", re.MULTILINE
)
"""What our submitter prints of an image that lacks a program, with exit code 127, and what the container
runtime says of one without bash."""

NOT_RUN_EXIT_CODES: Final = frozenset({126, 127, 128})
"""Of the submitter's program where it has not run flink, and of a container that could not be started."""

MESSAGE_OF_EXIT_CODE: Final[Mapping[int, str]] = MappingProxyType(
    {
        124: "flink run did not end in time and was stopped (exit code 124)",
        137: "flink run was killed (exit code 137)",
    }
)
"""Exit codes of coreutils' `timeout`, which runs the submitter; flink's own are 0 and 31."""


def diagnose(job: KubernetesJob, pods: Sequence[Pod], events: Iterable[Event] = ()) -> Cause | None:
    """Names the one cause that keeps a Job from running, or that ended it.

    Args:
        job: the submitter's Job.
        pods: its pods, in the order of their creation. The newest one names the cause; of a Job that is
            over, the newest that has one.
        events: where they were read. Those about the newest pod count, or without a pod those about the Job.

    Returns:
        (code, message), or None when everything goes its normal way.
    """
    is_over = job.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    for pod in reversed(pods if is_over else pods[-1:]):
        if cause := _of_pod(pod):
            return cause
    if is_over:
        return None
    if job.phase is JobPhase.SUSPENDED:
        return ReasonCode.K8S_JOB_SUSPENDED, _of_suspended(job)
    return _of_events(job, pods, events)


def is_better(new: str, old: str) -> bool:
    """Whether a new message says more than the one that is kept for the same code: it names the cause."""
    return BACK_OFF.search(old) is not None and BACK_OFF.search(new) is None


def _of_suspended(job: KubernetesJob) -> str:
    if job.queue:
        return f"the Kubernetes Job {job.name} waits in Kueue's queue {job.queue}, which starts it"
    return f"the Kubernetes Job {job.name} is suspended (spec.suspend)"


# --- events -----------------------------------------------------------------------------------------


def _of_events(job: KubernetesJob, pods: Sequence[Pod], events: Iterable[Event]) -> Cause | None:
    """The cause that the newest event about the newest attempt names. Of the same second, the last listed."""
    relevant = [event for event in events if _is_relevant(event, job, pods)]
    # An event without a time is the oldest.
    by_time = sorted(relevant, key=lambda event: (event.last_seen is not None, event.last_seen))
    if not by_time or by_time[-1].reason in PROGRESS:
        return None
    newest = by_time[-1]
    about = f"{newest.about_kind} {newest.about_name}"
    return _code_of_event(newest), f"{about}: {newest.reason}: {newest.message}"


def _is_relevant(event: Event, job: KubernetesJob, pods: Sequence[Pod]) -> bool:
    kind, name, uid = ("Pod", pods[-1].name, pods[-1].uid) if pods else ("Job", job.name, job.uid)
    if (event.about_kind, event.about_name) != (kind, name) or event.about_uid not in ("", uid):
        return False
    if event.reason == "FailedScheduling" and pods and pods[-1].is_scheduled:
        return False
    return event.reason in RELEVANT_EVENTS


def _code_of_event(event: Event) -> ReasonCode:
    if event.reason == "FailedCreate":
        for words, code in CODE_OF_REFUSED_POD:
            if words.search(event.message):
                return code
    return CODE_OF_EVENT[event.reason]


# --- the pod ----------------------------------------------------------------------------------------


def _of_pod(pod: Pod) -> Cause | None:
    if cause := _of_disruption(pod):
        return cause
    submit = pod.submit
    if pod.phase == "Failed" and pod.reason:  # its node has not let it in, or has stopped it
        has_run = submit is not None and isinstance(submit.state, Terminated)
        code = ReasonCode.SUBMIT_FAILED if has_run else ReasonCode.POD_START
        return code, f"pod {pod.name}: {pod.reason}: {pod.message}".rstrip(": ")
    # Once the submitter has started, no init container or sidecar keeps it from running.
    has_started = submit is not None and not isinstance(submit.state, Waiting)
    for container in (submit,) if submit is not None and has_started else pod.containers:
        if cause := _of_container(pod, container):
            return cause
    if pod.unschedulable is not None and not pod.is_over:
        return ReasonCode.UNSCHEDULABLE, f"pod {pod.name} cannot be scheduled: {pod.unschedulable}"
    return None


def _of_disruption(pod: Pod) -> Cause | None:
    """Why the cluster has ended the pod, which its script is not to blame for."""
    if pod.phase == "Succeeded":
        return None
    disruption = pod.disruption or Condition("", "")
    reason = pod.reason if pod.reason in CODE_OF_DISRUPTION else disruption.reason
    message = (pod.message or disruption.message).strip()
    code = CODE_OF_DISRUPTION.get(reason)
    if MAKES_ROOM.search(message):
        code = ReasonCode.PREEMPTED
    elif SHORTAGE.search(message):
        code = ReasonCode.EVICTED
    elif code is None and pod.disruption is not None:  # of a newer Kubernetes
        code = ReasonCode.PREEMPTED
    if code is None:
        return None
    if code is ReasonCode.EVICTED:
        return code, f"pod {pod.name} was evicted: {message}".rstrip(": ")
    named = f" ({reason})" if reason else ""
    return code, f"pod {pod.name} was stopped{named}: {message}".rstrip(": ")


def _of_container(pod: Pod, container: Container) -> Cause | None:
    where = f"pod {pod.name}, {'init ' if container.is_init else ''}container {container.name}"
    state = container.state
    if isinstance(state, Waiting) and state.reason not in NORMAL_WAITING and not pod.is_over:
        code = CODE_OF_WAITING.get(state.reason, ReasonCode.POD_START)
        return code, f"{where}: {state.reason}: {state.message}".rstrip(": ")
    if isinstance(state, Terminated) and not container.is_sidecar:
        unsuitable = UNSUITABLE_IMAGE.search(state.message)
        if container == pod.submit and state.exit_code in NOT_RUN_EXIT_CODES and unsuitable:
            return ReasonCode.IMAGE_UNSUITABLE, f"{where}: {unsuitable[0]}"
        if code_of_end := CODE_OF_TERMINATED.get(state.reason):
            return code_of_end, f"{where}: {state.reason} (exit code {state.exit_code})"
        if container == pod.submit and state.exit_code in MESSAGE_OF_EXIT_CODE:
            return ReasonCode.SUBMIT_FAILED, f"{where}: {MESSAGE_OF_EXIT_CODE[state.exit_code]}"
        if container.is_init and state.exit_code != 0:
            return ReasonCode.SUBMIT_FAILED, f"{where}: exit code {state.exit_code}: {state.message}".rstrip(
                ": "
            )
    return None
