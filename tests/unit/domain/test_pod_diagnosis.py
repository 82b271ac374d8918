"""Naming the one cause that keeps a submitter from running, or that ended it."""

from datetime import timedelta
from typing import Any

import pytest

from flinkjobs.domain.kubernetes_objects import Event, Terminated, Waiting
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.pod_diagnosis import diagnose
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


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (ended(137, reason="OOMKilled"), ReasonCode.OOM),
        (ended(128, reason="StartError"), ReasonCode.POD_START),
        (ended(127, reason="ContainerCannotRun"), ReasonCode.POD_START),
        (ended(124), ReasonCode.SUBMIT_FAILED),
    ],
    ids=["out of memory", "no such command", "cannot run", "timed out"],
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


def event(reason: str, *, kind: str = "Job", message: str = "the words of the controller") -> Event:
    return Event(about_kind=kind, about_name="x", reason=reason, message=message, last_seen=NOON)


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
    assert diagnose(ACTIVE, [], events) == (code, f"Job x: {reason}: the words of the controller")


def test_a_pod_that_a_quota_forbids_is_named_so() -> None:
    message = (
        'Error creating: pods "x-abcde" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=0'
    )
    told = Event("Job", "x", "FailedCreate", message, None)
    assert diagnose(ACTIVE, [], [told]) == (ReasonCode.QUOTA, f"Job x: FailedCreate: {message}")


def test_a_field_of_the_pod_says_more_than_an_event() -> None:
    waiting = pod("Pending", container(Waiting("ErrImagePull", "denied")))
    cause = diagnose(ACTIVE, [waiting], [event("FailedMount", kind="Pod")])
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
