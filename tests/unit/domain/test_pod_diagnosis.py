"""Naming the one cause that keeps a submitter from running, or that ended it."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from flinkjobs.domain.kubernetes_objects import Condition, Event, KubernetesJob, Pod, Terminated, Waiting
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.pod_diagnosis import diagnose, is_better
from flinkjobs.domain.reasons import ReasonCode
from tests.support.kubernetes_objects import NOON, container, ended, job, pod

ACTIVE = job()


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ErrImagePull", ReasonCode.IMAGE_PULL),
        ("ImagePullBackOff", ReasonCode.IMAGE_PULL),
        ("InvalidImageName", ReasonCode.IMAGE_PULL),
        ("ErrImageNeverPull", ReasonCode.IMAGE_PULL),
        ("SignatureValidationFailed", ReasonCode.IMAGE_PULL),
        ("CreateContainerConfigError", ReasonCode.CONFIG),
        ("CreateContainerError", ReasonCode.CONFIG),
        ("RunContainerError", ReasonCode.POD_START),
        ("CrashLoopBackOff", ReasonCode.POD_START),
        ("SomethingOfTheYear2030", ReasonCode.POD_START),
    ],
)
@pytest.mark.parametrize("is_init", [False, True], ids=["container", "init container"])
def test_a_container_that_cannot_start(reason: str, code: ReasonCode, *, is_init: bool) -> None:
    waiting = container(Waiting(reason, "the words of the kubelet"), is_init=is_init)
    cause = diagnose(ACTIVE, [pod("Pending", waiting)])
    assert cause is not None
    assert cause[0] is code
    assert cause[1].endswith(f"container submit: {reason}: the words of the kubelet")
    assert ("init container" in cause[1]) is is_init


@pytest.mark.parametrize("reason", ["", "ContainerCreating", "PodInitializing"])
def test_a_container_on_its_way_has_no_cause(reason: str) -> None:
    assert diagnose(ACTIVE, [pod("Pending", container(Waiting(reason, "")))]) is None


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        ([], "a new Job has no pod for a moment"),
        ([pod("Running", container(None))], "it runs"),
        ([pod("Succeeded", container(ended()))], "it ended well"),
        ([pod("Failed", container(ended(31)))], "the log says why flink failed, not Kubernetes"),
        ([pod("Failed", container(ended(127, message="java: not found")))], "the log says it as well"),
        (
            [pod("Failed", container(Terminated(137, "OOMKilled", ""))), pod("Running", container(None))],
            "its first pod failed, and the next one runs",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_normal_way_has_no_cause(pods: list[Any], why: str) -> None:
    assert diagnose(ACTIVE, pods) is None, why


def test_a_pod_that_fits_nowhere() -> None:
    cause = diagnose(ACTIVE, [pod("Pending", unschedulable="Unschedulable: 0/3 nodes are available")])
    assert cause == (
        ReasonCode.UNSCHEDULABLE,
        "pod pod-1 cannot be scheduled: Unschedulable: 0/3 nodes are available",
    )


NO_BASH = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    "failed: unable to start container process: error during container init: "
    'exec: "/bin/bash": stat /bin/bash: no such file or directory: unknown'
)
LACKS = "flinkjobs: the image lacks sed: flink was not run\n"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (ended(137, reason="OOMKilled"), ReasonCode.OOM),
        (ended(128, reason="StartError"), ReasonCode.POD_START),
        (ended(127, reason="ContainerCannotRun"), ReasonCode.POD_START),
        (ended(128, message=NO_BASH, reason="StartError"), ReasonCode.IMAGE_UNSUITABLE),
        (ended(127, message=LACKS), ReasonCode.IMAGE_UNSUITABLE),
        (ended(124), ReasonCode.SUBMIT_FAILED),
    ],
    ids=["out of memory", "no such command", "cannot run", "no bash", "no sed", "timed out"],
)
@pytest.mark.parametrize("phase", [JobPhase.ACTIVE, JobPhase.FAILED])
def test_an_end_that_its_reason_explains(end: Terminated, code: ReasonCode, phase: JobPhase) -> None:
    cause = diagnose(job(phase), [pod("Failed", container(end))])
    assert cause is not None
    assert cause[0] is code


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (ended(0), None),
        (
            ended(1, message="404"),
            (ReasonCode.SUBMIT_FAILED, "pod pod-1, init container fetch: exit code 1: 404"),
        ),
        (ended(1), (ReasonCode.SUBMIT_FAILED, "pod pod-1, init container fetch: exit code 1")),
        (
            ended(137, reason="OOMKilled"),
            (ReasonCode.OOM, "pod pod-1, init container fetch: OOMKilled (exit code 137)"),
        ),
    ],
    ids=["well", "with words", "silent", "out of memory"],
)
def test_an_init_container_that_ended(end: Terminated, expected: tuple[ReasonCode, str] | None) -> None:
    fetch = container(end, name="fetch", is_init=True)
    submit = container(Waiting("PodInitializing", ""))
    assert diagnose(ACTIVE, [pod("Pending", fetch, submit)]) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [("The node was low on resource: memory", ": The node was low on resource: memory"), ("", "")],
    ids=["with words", "silent"],
)
def test_an_eviction(message: str, expected: str) -> None:
    evicted = pod("Failed", reason="Evicted", message=message)
    assert diagnose(job(JobPhase.FAILED), [evicted]) == (
        ReasonCode.EVICTED,
        f"pod pod-1 was evicted{expected}",
    )


SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
KILLED = container(ended(137))


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        (
            pod("Failed", KILLED, reason="Terminated", message=SHUTDOWN),
            (ReasonCode.PREEMPTED, f"pod pod-1 was stopped (Terminated): {SHUTDOWN}"),
        ),
        (
            pod("Failed", reason="NodeShutdown", message="Pod was rejected as the node is shutting down."),
            (
                ReasonCode.PREEMPTED,
                "pod pod-1 was stopped (NodeShutdown): Pod was rejected as the node is shutting down.",
            ),
        ),
        (
            pod("Failed", KILLED, disruption=Condition("TerminationByKubelet", SHUTDOWN)),
            (ReasonCode.PREEMPTED, f"pod pod-1 was stopped (TerminationByKubelet): {SHUTDOWN}"),
        ),
        (
            pod("Failed", KILLED, message=SHUTDOWN),
            (ReasonCode.PREEMPTED, f"pod pod-1 was stopped: {SHUTDOWN}"),
        ),
        (
            pod("Running", container(None), disruption=Condition("PreemptionByScheduler", "makes room")),
            (ReasonCode.PREEMPTED, "pod pod-1 was stopped (PreemptionByScheduler): makes room"),
        ),
        (
            pod("Failed", KILLED, disruption=Condition("SomethingOfTheYear2030", "")),
            (ReasonCode.PREEMPTED, "pod pod-1 was stopped (SomethingOfTheYear2030)"),
        ),
        (
            pod(
                "Failed",
                KILLED,
                disruption=Condition("TerminationByKubelet", "The node was low on resource: m."),
            ),
            (ReasonCode.EVICTED, "pod pod-1 was evicted: The node was low on resource: m."),
        ),
        (
            pod("Failed", KILLED, message="The node was low on resource: memory."),
            (ReasonCode.EVICTED, "pod pod-1 was evicted: The node was low on resource: memory."),
        ),
        (
            pod("Failed", KILLED, reason="DeadlineExceeded", message="too long"),
            (ReasonCode.SUBMIT_FAILED, "pod pod-1: DeadlineExceeded: too long"),
        ),
        (pod("Succeeded", container(ended()), disruption=Condition("EvictionByEvictionAPI", "")), None),
    ],
    ids=[
        *("shutdown", "shutdown before the start", "shutdown by the condition", "shutdown by the message"),
        *("preempted", "of a newer Kubernetes", "evicted by the condition", "evicted by the message"),
        *("the pod's deadline", "ended before the eviction"),
    ],
)
def test_what_ended_the_pod_stands_before_how_its_containers_ended(
    stopped: Pod, expected: tuple[ReasonCode, str] | None
) -> None:
    assert diagnose(job(JobPhase.FAILED), [stopped]) == expected


PROXY_KILLED = container(ended(137), name="istio-proxy", is_init=True, is_sidecar=True)


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ((PROXY_KILLED, container(ended(1))), None),
        ((replace(PROXY_KILLED, is_sidecar=False), container(ended(1))), None),
        ((container(ended(1)), container(ended(137), name="classic")), None),
        (
            (
                PROXY_KILLED,
                container(ended(1, message="404"), name="fetch", is_init=True),
                container(Waiting("PodInitializing", "")),
            ),
            (ReasonCode.SUBMIT_FAILED, "pod pod-1, init container fetch: exit code 1: 404"),
        ),
        ((container(Waiting("CrashLoopBackOff", ""), name="proxy", is_init=True), container(ended(1))), None),
    ],
    ids=["native", "native by its place", "classic", "native, and an init container failed", "it crashes"],
)
def test_a_sidecar_never_stands_before_the_cause(
    containers: tuple[Any, ...], expected: tuple[ReasonCode, str] | None
) -> None:
    assert diagnose(job(JobPhase.FAILED), [pod("Failed", *containers)]) == expected


def test_a_sidecar_that_does_not_start_is_no_cause_while_the_submitter_runs() -> None:
    waiting = container(Waiting("ErrImagePull", "denied"), name="classic")
    assert diagnose(ACTIVE, [pod("Running", container(None), waiting)]) is None


def test_a_pod_that_its_node_has_not_let_in() -> None:
    rejected = pod("Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu")
    assert diagnose(job(JobPhase.FAILED), [rejected]) == (
        ReasonCode.POD_START,
        "pod pod-1: OutOfcpu: Node didn't have enough resource: cpu",
    )


def test_of_several_pods_the_newest_with_a_cause_names_it() -> None:
    older = pod("Failed", container(ended(137, reason="OOMKilled")), name="older")
    newer = pod(
        "Pending", unschedulable="Unschedulable", name="newer", created_at=NOON + timedelta(seconds=9)
    )
    cause = diagnose(ACTIVE, [older, newer])
    assert cause is not None
    assert cause[0] is ReasonCode.UNSCHEDULABLE


def test_a_pod_that_is_over_is_neither_waiting_nor_to_be_scheduled() -> None:
    over = pod("Failed", container(Waiting("ImagePullBackOff", "")), unschedulable="Unschedulable")
    assert diagnose(job(JobPhase.FAILED), [over]) is None


def event(
    reason: str,
    *,
    about: KubernetesJob | Pod = ACTIVE,
    message: str = "the words of the controller",
    seconds: int | None = 0,
) -> Event:
    return Event(
        about_kind="Pod" if isinstance(about, Pod) else "Job",
        about_name=about.name,
        about_uid=about.uid,
        reason=reason,
        message=message,
        last_seen=None if seconds is None else NOON + timedelta(seconds=seconds),
    )


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FailedCreate", ReasonCode.POD_START),
        ("FailedCreatePodSandBox", ReasonCode.POD_START),
        ("FailedMount", ReasonCode.MOUNT),
        ("FailedAttachVolume", ReasonCode.MOUNT),
        ("FailedScheduling", ReasonCode.UNSCHEDULABLE),
    ],
)
def test_what_only_an_event_shows(reason: str, code: ReasonCode) -> None:
    events = [event("SuccessfulCreate"), event(reason)]
    assert diagnose(ACTIVE, [], events) == (
        code,
        f"Job {ACTIVE.name}: {reason}: the words of the controller",
    )


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            'pods "x-abcde" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=0',
            ReasonCode.QUOTA,
        ),
        ('pods "x-abcde" is forbidden: insufficient quota to match these scopes: []', ReasonCode.QUOTA),
        ('pods "x-abcde" is forbidden: failed quota: compute: must specify limits.cpu', ReasonCode.POLICY),
        (
            'pods "x-abcde" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot',
            ReasonCode.POLICY,
        ),
        ('admission webhook "validate.kyverno.svc-fail" denied the request: no tag', ReasonCode.POLICY),
        ("ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no", ReasonCode.POLICY),
        ('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2', ReasonCode.POLICY),
        ('pods "x" is forbidden: [minimum memory usage per Pod is 1Gi. No request]', ReasonCode.POLICY),
        ('pods "x" is forbidden: cpu max limit to request ratio per Container is 2', ReasonCode.POLICY),
        ('failed calling webhook "a.b": no endpoints available', ReasonCode.POD_START),
        ('pods "quota-abcde" is forbidden: error looking up service account', ReasonCode.POD_START),
    ],
)
def test_a_refused_pod_is_named_by_what_refused_it(message: str, code: ReasonCode) -> None:
    message = f"(combined from similar events): Error creating: {message}"
    refused = event("FailedCreate", message=message)
    assert diagnose(ACTIVE, [], [refused]) == (code, f"Job {ACTIVE.name}: FailedCreate: {message}")


QUOTA_EVENT = "Error creating: exceeded quota: pods"
LIMIT_EVENT = "Error creating: maximum cpu usage per Container is 1"


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_the_newest_event_names_the_cause(order: int) -> None:
    events = [
        event("FailedCreate", message=QUOTA_EVENT),
        event("FailedCreate", message=LIMIT_EVENT, seconds=9),
        event("FailedCreate", message=QUOTA_EVENT, seconds=None),
    ]
    cause = diagnose(ACTIVE, [], events[::order])
    assert cause is not None
    assert cause[0] is ReasonCode.POLICY


CREATING = pod("Pending", container(Waiting("ContainerCreating", "")))


def test_of_events_of_one_second_the_last_listed_names_the_cause() -> None:
    events = [event("FailedScheduling", about=CREATING), event("FailedMount", about=CREATING)]
    cause = diagnose(ACTIVE, [CREATING], events)
    assert cause is not None
    assert cause[0] is ReasonCode.MOUNT


def test_a_scheduled_pod_has_no_scheduling_problem() -> None:
    scheduled = replace(CREATING, is_scheduled=True)
    late = event("FailedScheduling", about=scheduled, seconds=9)
    assert diagnose(ACTIVE, [scheduled], [late]) is None
    cause = diagnose(ACTIVE, [scheduled], [event("FailedMount", about=scheduled), late])
    assert cause is not None
    assert cause[0] is ReasonCode.MOUNT


def test_a_failure_is_over_once_the_object_gets_on() -> None:
    events = [event("FailedMount", about=CREATING), event("Pulling", about=CREATING, seconds=9)]
    assert diagnose(ACTIVE, [CREATING], events) is None


@pytest.mark.parametrize(
    ("pods", "one"),
    [
        ([CREATING], event("FailedCreate", seconds=9)),
        ([CREATING], event("FailedMount", about=replace(CREATING, name="pod-0"), seconds=9)),
        ([CREATING], event("FailedMount", about=replace(CREATING, uid="earlier"), seconds=9)),
        ([], event("FailedCreate", about=replace(ACTIVE, uid="earlier"))),
        ([], event("FailedMount", about=CREATING)),
        ([], event("BackoffLimitExceeded")),
    ],
    ids=["the Job", "another pod", "a namesake of the pod", "a namesake", "a pod that is gone", "no cause"],
)
def test_an_event_about_anything_but_the_newest_attempt_says_nothing(pods: list[Pod], one: Event) -> None:
    assert diagnose(ACTIVE, pods, [one]) is None


def test_a_field_of_the_pod_says_more_than_an_event() -> None:
    waiting = pod("Pending", container(Waiting("ErrImagePull", "denied")))
    cause = diagnose(ACTIVE, [waiting], [event("FailedMount", about=waiting)])
    assert cause is not None
    assert cause[0] is ReasonCode.IMAGE_PULL


@pytest.mark.parametrize("phase", [JobPhase.COMPLETE, JobPhase.FAILED])
def test_old_events_say_nothing_of_a_job_that_is_over(phase: JobPhase) -> None:
    assert diagnose(job(phase), [], [event("FailedCreate")]) is None


def test_a_suspended_job_is_suspended() -> None:
    assert diagnose(job(JobPhase.SUSPENDED), []) == (
        ReasonCode.K8S_JOB_SUSPENDED,
        "the Kubernetes Job flink-py-etl-0a1b2c3d is suspended (spec.suspend)",
    )


def test_a_job_that_kueue_suspends_waits_in_its_queue() -> None:
    queued = job(JobPhase.SUSPENDED, queue="team-a")
    assert diagnose(queued, [], [event("FailedCreate")]) == (
        ReasonCode.K8S_JOB_SUSPENDED,
        "the Kubernetes Job flink-py-etl-0a1b2c3d waits in Kueue's queue team-a, which starts it",
    )


BACK_OFF = 'ImagePullBackOff: Back-off pulling image "registry.example/flink:1.20"'


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ("pod p, container submit: ErrImagePull: 401 Unauthorized", BACK_OFF, True),
        (f"{BACK_OFF}: ErrImagePull: 401 Unauthorized", BACK_OFF, True),
        ("pod p, container submit: ErrImagePull: 401 Unauthorized", "pod p: ImagePullBackOff", True),
        (
            "RunContainerError: no such file",
            "CrashLoopBackOff: back-off 10s restarting failed container=s",
            True,
        ),
        (BACK_OFF, BACK_OFF, False),
        (BACK_OFF, "pod p, container submit: ErrImagePull: 401 Unauthorized", False),
        ("ErrImagePull: 403 Forbidden", "ErrImagePull: 401 Unauthorized", False),
        ("ErrImagePull: 403 Forbidden", f"{BACK_OFF}: ErrImagePull: 401 Unauthorized", False),
    ],
)
def test_a_text_that_names_the_cause_is_better_than_a_back_off(new: str, old: str, *, expected: bool) -> None:
    assert is_better(new, old) is expected
