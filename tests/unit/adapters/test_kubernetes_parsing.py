"""Reading Jobs, pods and events out of an API server's JSON."""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from flinkjobs.adapters.kubernetes import parsing as kubernetes_parsing
from flinkjobs.domain import kubernetes_objects
from flinkjobs.domain.kubernetes_objects import (
    Condition,
    Container,
    Event,
    Kind,
    KubernetesJob,
    Pod,
    Terminated,
    Waiting,
)
from flinkjobs.domain.observations import JobPhase
from tests.support.kubernetes_objects import NOON, condition, raw_job, raw_pod

COMPLETE = condition("Complete", reason="CompletionsReached")
FAILED = condition(
    "Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit"
)


def encoded(raw: dict[str, Any]) -> bytes:
    return json.dumps(raw).encode()


def read_job(raw: dict[str, Any]) -> KubernetesJob:
    return kubernetes_parsing.parse_job(encoded(raw))


def read_pod(raw: dict[str, Any]) -> Pod:
    return kubernetes_parsing.parse_pod(encoded(raw))


@pytest.mark.parametrize(
    ("conditions", "phase"),
    [
        pytest.param([], JobPhase.ACTIVE, id="none"),
        pytest.param([COMPLETE], JobPhase.COMPLETE, id="complete"),
        pytest.param([FAILED], JobPhase.FAILED, id="failed"),
        pytest.param(
            [condition("SuccessCriteriaMet")], JobPhase.ACTIVE, id="success criteria met is not the end"
        ),
        pytest.param([condition("FailureTarget")], JobPhase.ACTIVE, id="failure target is not the end"),
        pytest.param([condition("Complete", "False")], JobPhase.ACTIVE, id="complete is False"),
        pytest.param([condition("Failed", "Unknown")], JobPhase.ACTIVE, id="failed is Unknown"),
        pytest.param(
            [condition("Suspended", "False"), COMPLETE], JobPhase.COMPLETE, id="resumed, then complete"
        ),
        pytest.param([condition("Complete", "False"), FAILED], JobPhase.FAILED, id="not complete but failed"),
        pytest.param([{"status": "True"}], JobPhase.ACTIVE, id="no type"),
        pytest.param([{"type": "Complete"}], JobPhase.ACTIVE, id="no status"),
    ],
)
def test_a_job_is_over_by_its_conditions(conditions: Any, phase: JobPhase) -> None:
    assert read_job(raw_job(conditions=conditions)).phase is phase


@pytest.mark.parametrize("end", [COMPLETE, FAILED], ids=["complete", "failed"])
def test_the_order_of_the_conditions_does_not_matter(end: dict[str, Any]) -> None:
    others = [condition("SuccessCriteriaMet"), condition("FailureTarget"), condition("Suspended", "False")]
    phases = {read_job(raw_job(conditions=list(order))).phase for order in permutations([*others, end])}
    assert phases == {JobPhase.COMPLETE if end is COMPLETE else JobPhase.FAILED}


@pytest.mark.parametrize(
    "counts",
    [
        {"succeeded": 1},
        {"failed": 1},
        {"succeeded": 1, "failed": 3},
        {"active": 0},
        {"completionTime": "2025-11-01T12:00:00Z"},
    ],
    ids=str,
)
def test_pod_counts_are_no_outcome(counts: dict[str, Any]) -> None:
    assert read_job(raw_job(**counts)).phase is JobPhase.ACTIVE


def test_the_pods_that_have_ended_are_counted_whether_they_failed_or_not() -> None:
    assert read_job(raw_job(failed=2, succeeded=1)).ended_pods == 3
    assert read_job(raw_job()).ended_pods == 0


def test_the_end_is_the_transition_of_the_condition_because_a_failed_job_has_no_completion_time() -> None:
    early = condition("FailureTarget") | {"lastTransitionTime": "2025-11-01T11:00:00Z"}
    late = condition("Suspended", "False") | {"lastTransitionTime": "2025-11-01T13:00:00Z"}
    job = read_job(raw_job(conditions=[early, FAILED, late]))
    assert job.finished_at == NOON


def test_a_failed_job_says_why() -> None:
    assert read_job(raw_job(conditions=[FAILED])).ended == (
        "BackoffLimitExceeded: Job has reached the specified backoff limit"
    )


def test_a_failed_job_that_says_nothing_has_failed() -> None:
    assert read_job(raw_job(conditions=[condition("Failed")])).ended == "Failed"


def test_only_a_failed_job_has_ended_words() -> None:
    assert read_job(raw_job(conditions=[COMPLETE])).ended is None
    assert read_job(raw_job()).ended is None


@pytest.mark.parametrize(
    ("suspend", "conditions", "phase"),
    [
        (True, [], JobPhase.SUSPENDED),
        (False, [], JobPhase.ACTIVE),
        (True, [FAILED], JobPhase.FAILED),
    ],
    ids=["suspended", "not", "an ended Job is over all the same"],
)
def test_a_suspended_job_is_suspended(suspend: bool, conditions: list[Any], phase: JobPhase) -> None:
    raw = raw_job(conditions=conditions)
    raw["spec"]["suspend"] = suspend
    assert read_job(raw).phase is phase


def test_a_job_with_the_least_an_api_server_may_send() -> None:
    job = read_job({"metadata": {"name": "j"}})
    assert job == kubernetes_objects.KubernetesJob(
        name="j", uid="", job_id="", phase=JobPhase.ACTIVE, created_at=None
    )


def test_a_job_under_deletion_is_seen() -> None:
    raw = raw_job()
    raw["metadata"]["deletionTimestamp"] = "2025-11-01T12:00:00Z"
    assert read_job(raw).deleting
    assert not read_job(raw_job()).deleting


def test_a_job_of_kueue_names_its_queue() -> None:
    raw = raw_job()
    raw["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team-a"}
    assert kubernetes_parsing.parse_job(encoded(raw)).queue == "team-a"
    assert kubernetes_parsing.parse_job(encoded(raw_job())).queue == ""


def test_the_exact_job_id_is_the_annotation() -> None:
    assert read_job(raw_job()).job_id == "etl_1761998400000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-01T12:00:00Z", NOON),
        ("2025-11-01T20:00:00+08:00", NOON),
        ("2025-11-01T12:00:00.123456Z", NOON.replace(microsecond=123456)),
        (None, None),
    ],
)
def test_times_are_aware(text: str | None, expected: datetime | None) -> None:
    raw = raw_job()
    raw["metadata"]["creationTimestamp"] = text
    parsed = read_job(raw).created_at
    assert parsed == expected
    assert parsed is None or parsed.tzinfo is not None


# --- pods -------------------------------------------------------------------------------------------


def state_of(state: dict[str, Any] | None) -> Waiting | Terminated | None:
    pod = read_pod(raw_pod(containerStatuses=[{"name": "submit", "state": state}]))
    assert pod.submit is not None
    return pod.submit.state


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"running": {"startedAt": "2025-11-01T12:00:00Z"}}, None, id="running"),
        pytest.param({"running": {}}, None, id="running, empty"),
        pytest.param(
            {"waiting": {"reason": "ErrImagePull", "message": "no"}},
            Waiting("ErrImagePull", "no"),
            id="waiting",
        ),
        pytest.param({"waiting": {}}, Waiting("", ""), id="waiting, empty"),
        pytest.param({}, Waiting("", ""), id="empty means waiting"),
        pytest.param(
            {"terminated": {"exitCode": 31, "reason": "Error", "message": "m"}},
            Terminated(31, "Error", "m"),
            id="terminated",
        ),
        pytest.param({"terminated": {"exitCode": 0}}, Terminated(0, "", ""), id="terminated without a word"),
    ],
)
def test_a_containers_state(state: dict[str, Any] | None, expected: Waiting | Terminated | None) -> None:
    assert state_of(state) == expected


def test_an_exit_code_that_is_missing_is_no_success() -> None:
    assert state_of({"terminated": {}}) == Terminated(-1, "", "")


def test_init_containers_come_first_and_are_marked() -> None:
    raw = raw_pod(
        initContainerStatuses=[{"name": "fetch", "state": {"running": {}}}],
        containerStatuses=[{"name": "submit", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )
    assert read_pod(raw).containers == (
        Container("fetch", None, is_init=True),
        Container("submit", Waiting("PodInitializing", "")),
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["submit"], "submit"),
        (["sidecar", "submit"], "submit"),
        (["main"], "main"),
        (["a", "b"], None),
        ([], None),
    ],
    ids=["its name", "with a sidecar", "the only one", "neither of two", "none yet"],
)
def test_the_submitting_container(names: list[str], expected: str | None) -> None:
    statuses = [{"name": name, "state": {"running": {}}} for name in names]
    submit = read_pod(raw_pod(containerStatuses=statuses)).submit
    assert (submit.name if submit else None) == expected


def test_an_init_container_is_never_the_submitting_one() -> None:
    raw = raw_pod(initContainerStatuses=[{"name": "submit", "state": {"running": {}}}])
    assert read_pod(raw).submit is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"batch.kubernetes.io/job-name": "new", "job-name": "old"}, "new"),
        ({"job-name": "old"}, "old"),
        ({}, ""),
    ],
    ids=["1.27 and later", "before 1.27", "no label"],
)
def test_a_pod_names_its_job(labels: dict[str, str], expected: str) -> None:
    raw = raw_pod()
    raw["metadata"]["labels"] = labels
    assert read_pod(raw).job_name == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (
            [condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")],
            "Unschedulable: 0/3 nodes",
        ),
        (
            [condition("Ready", "False"), condition("PodScheduled", "False", reason="Unschedulable")],
            "Unschedulable",
        ),
        ([condition("PodScheduled", "False")], ""),
        ([condition("PodScheduled")], None),
        ([condition("Ready", "False", reason="ContainersNotReady")], None),
    ],
    ids=["no node", "among others", "without a word", "scheduled", "not ready only"],
)
def test_an_unschedulable_pod_says_so(conditions: Any, expected: str | None) -> None:
    assert read_pod(raw_pod(conditions=conditions)).unschedulable == expected


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_condition_counts_by_its_status(status: str) -> None:
    kinds = ("PodScheduled", "DisruptionTarget")
    conditions = [condition(kind, status, reason="TerminationByKubelet", message="m") for kind in kinds]
    found = kubernetes_parsing.parse_pod(encoded(raw_pod(conditions=conditions)))
    is_true = status == "True"
    assert found.is_scheduled is is_true
    assert found.disruption == (Condition("TerminationByKubelet", "m") if is_true else None)


def test_a_native_sidecar_is_known_by_the_spec() -> None:
    spec = {"initContainers": [{"name": "fetch"}, {"name": "proxy", "restartPolicy": "Always"}]}
    statuses = [{"name": "fetch", "state": {}}, {"name": "proxy", "state": {}}]
    found = kubernetes_parsing.parse_pod(encoded(raw_pod(initContainerStatuses=statuses) | {"spec": spec}))
    assert [each.is_sidecar for each in found.containers] == [False, True]


@pytest.mark.parametrize(
    ("phase", "expected"), [("Succeeded", datetime(2025, 11, 1, 12, 5, tzinfo=UTC)), ("Running", None)]
)
def test_a_pod_ended_with_its_last_container(phase: str, expected: datetime | None) -> None:
    ends = ["2025-11-01T12:05:00Z", "2025-11-01T12:04:00Z"]
    statuses = [
        {"name": str(number), "state": {"terminated": {"exitCode": 0, "finishedAt": end}}}
        for number, end in enumerate(ends)
    ]
    assert read_pod(raw_pod(phase=phase, containerStatuses=statuses)).ended_at == expected


def test_an_evicted_pod_keeps_its_words() -> None:
    pod = read_pod(raw_pod(phase="Failed", reason="Evicted", message="low on memory"))
    assert (pod.reason, pod.message, pod.is_over, pod.containers) == ("Evicted", "low on memory", True, ())


@pytest.mark.parametrize(
    ("phase", "is_over"),
    [("Pending", False), ("Running", False), ("Unknown", False), ("Succeeded", True), ("Failed", True)],
)
def test_a_pod_is_over_by_its_phase(phase: str, *, is_over: bool) -> None:
    assert read_pod(raw_pod(phase=phase)).is_over is is_over


def test_a_pod_with_the_least_an_api_server_may_send() -> None:
    least = read_pod({"metadata": {"name": "p"}})
    assert least == kubernetes_objects.Pod(name="p", uid="", job_name="", created_at=None, phase="Unknown")


# --- what is left -----------------------------------------------------------------------------------

META = {
    "name": "etl-1",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2025-11-01T11:00:00Z",
    "labels": {"app": "flink-python-job"},
    "annotations": {"flinkjobs/job-id": "etl_1"},
}
OF_JOB = {"batch.kubernetes.io/job-name": "etl", "batch.kubernetes.io/controller-uid": "j"}
ELEVEN = NOON - timedelta(hours=1)


def pod_status(**fields: Any) -> dict[str, Any]:
    ended = {"name": "submit", "state": {"terminated": {"exitCode": 0, "finishedAt": "2025-11-01T11:00:00Z"}}}
    return {"phase": "Succeeded", "containerStatuses": [ended], **fields}


TARGETS: dict[str, tuple[Kind, dict[str, Any], dict[str, Any]]] = {
    "a Job": (
        Kind.JOB,
        {
            "metadata": META,
            "status": {"conditions": [condition("SuccessCriteriaMet"), condition("Complete")]},
        },
        {"job_name": "etl-1", "phase": JobPhase.COMPLETE, "over_since": NOON},
    ),
    "a failed Job": (
        Kind.JOB,
        {"metadata": META, "status": {"conditions": [condition("Failed", reason="DeadlineExceeded")]}},
        {"job_name": "etl-1", "phase": JobPhase.FAILED, "over_since": NOON},
    ),
    "an active Job": (Kind.JOB, {"metadata": META}, {"job_name": "etl-1"}),
    "a suspended Job": (
        Kind.JOB,
        {"metadata": META, "spec": {"suspend": True}},
        {"job_name": "etl-1", "phase": JobPhase.SUSPENDED},
    ),
    "a pod with its Job": (
        Kind.POD,
        {
            "metadata": META | {"labels": OF_JOB, "ownerReferences": [{"kind": "Job"}]},
            "status": pod_status(),
        },
        {
            "job_name": "etl",
            "job_uid": "j",
            "has_owner": True,
            "phase": JobPhase.COMPLETE,
            "over_since": ELEVEN,
        },
    ),
    "a pod of an old cluster": (
        Kind.POD,
        {"metadata": META | {"labels": {"job-name": "etl", "controller-uid": "j"}}, "status": pod_status()},
        {"job_name": "etl", "job_uid": "j", "phase": JobPhase.COMPLETE, "over_since": ELEVEN},
    ),
    "an evicted pod": (
        Kind.POD,
        {
            "metadata": META | {"labels": OF_JOB, "deletionTimestamp": "2025-11-01T12:00:00Z"},
            "status": {"phase": "Failed", "conditions": [condition("DisruptionTarget")]},
        },
        {
            "job_name": "etl",
            "job_uid": "j",
            "phase": JobPhase.FAILED,
            "over_since": NOON,
            "deleting": True,
        },
    ),
    "a pod that went on after a container had ended": (
        Kind.POD,
        {
            "metadata": META | {"labels": OF_JOB},
            "status": pod_status(conditions=[condition("Ready", "False")]),
        },
        {"job_name": "etl", "job_uid": "j", "phase": JobPhase.COMPLETE, "over_since": NOON},
    ),
    "a running pod": (
        Kind.POD,
        {"metadata": META | {"labels": OF_JOB}, "status": pod_status(phase="Running")},
        {"job_name": "etl", "job_uid": "j"},
    ),
    "a Job copied with the labels of another": (
        Kind.JOB,
        {"metadata": META | {"labels": OF_JOB}},
        {"job_name": "etl-1", "job_uid": "j"},
    ),
    "a ConfigMap": (
        Kind.CONFIG_MAP,
        {"metadata": META, "data": {"job.py": "x"}},
        {"job_name": "etl-1", "phase": JobPhase.COMPLETE, "over_since": ELEVEN},
    ),
    "an unreadable Job": (
        Kind.JOB,
        {
            "metadata": META,
            "status": {"conditions": [{"type": "Complete", "status": "True"} | {"lastTransitionTime": "x"}]},
        },
        {
            "job_name": "etl-1",
            "unreadable": "Invalid RFC3339 encoded datetime - at `$.status.conditions[0].lastTransitionTime`",
        },
    ),
}


@pytest.mark.parametrize(("kind", "raw", "expected"), TARGETS.values(), ids=TARGETS.keys())
def test_a_cleanup_target(kind: Kind, raw: dict[str, Any], expected: dict[str, Any]) -> None:
    known = {"name": "etl-1", "uid": "u", "resource_version": "7", "job_id": "etl_1"}
    assert kubernetes_parsing.parse_cleanup_target(kind, encoded(raw)) == kubernetes_objects.CleanupTarget(
        kind, **known | expected
    )


def test_a_cleanup_target_that_is_not_ours_has_no_job_id() -> None:
    raw = {"metadata": {"name": "etl-1", "labels": {"app": "other"}}}
    least = kubernetes_objects.CleanupTarget(Kind.JOB, "etl-1", "", "", job_name="etl-1")
    assert kubernetes_parsing.parse_cleanup_target(Kind.JOB, encoded(raw)) == least


# --- events -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"lastTimestamp": "2025-11-01T12:00:00Z"}, NOON),
        ({"lastTimestamp": None, "eventTime": "2025-11-01T12:00:00.000000Z"}, NOON),
        (
            {
                "series": {"count": 9, "lastObservedTime": "2025-11-01T12:00:00.000000Z"},
                "eventTime": "2025-11-01T11:00:00.000000Z",
            },
            NOON,
        ),
        ({"firstTimestamp": "2025-11-01T12:00:00Z", "lastTimestamp": None}, NOON),
        ({"metadata": {"name": "e", "creationTimestamp": "2025-11-01T12:00:00Z"}}, NOON),
        ({}, None),
    ],
    ids=["old kind", "new kind", "repeated", "first time", "created", "none"],
)
def test_an_event_with_the_newest_of_its_times(times: dict[str, Any], expected: datetime | None) -> None:
    raw = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Job", "name": "j", "uid": "u"},
        "reason": "FailedCreate",
        "message": "quota",
        **times,
    }
    assert kubernetes_parsing.parse_event(encoded(raw)) == Event(
        "Job", "j", "FailedCreate", "quota", expected, "u"
    )


def test_an_event_with_the_least_an_api_server_may_send() -> None:
    raw: dict[str, Any] = {"metadata": {"name": "e"}, "involvedObject": {}, "eventTime": None}
    assert kubernetes_parsing.parse_event(encoded(raw)) == Event("", "", "", "", None)


# --- lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "items", "token"),
    [
        ({"metadata": {"continue": "t"}, "items": [{"a": 1}]}, [{"a": 1}], "t"),
        ({"metadata": {}, "items": []}, [], ""),
        ({"metadata": {"continue": ""}, "items": None}, [], ""),
    ],
    ids=["more to come", "nothing", "null"],
)
def test_a_page_of_a_list(raw: dict[str, Any], items: list[Any], token: str) -> None:
    found, more = kubernetes_parsing.parse_page(encoded(raw))
    assert ([json.loads(bytes(item)) for item in found], more) == (items, token)
