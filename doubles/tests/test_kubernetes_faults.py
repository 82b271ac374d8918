"""Everything that can be made to go wrong, as a client meets it."""

import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.control import ControlClient, ControlError
from doubles.kubernetes.faults import FinishedJobs, Outcome, PodFault, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from doubles.tests.kubernetes_helpers import Cluster, config_map, true_conditions, until

READER = Rule(api_groups=("batch",), resources=("jobs",), verbs=("get", "list"))


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with KubernetesDouble(images=("flink:1.20",), backoff_seconds=0.05) as double:
        cluster = Cluster(double)
        yield cluster
        cluster.close()
    assert "Traceback" not in double.output


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    yield shared
    shared.control.clear()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (409, "Conflict"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_statuses(cluster: Cluster, status: int, reason: str) -> None:
    cluster.control.add(RequestFault(effect="status", status=status, resource="jobs"))
    answer = cluster.http.get(cluster.jobs)
    body = answer.json()
    assert (answer.status_code, body["kind"], body["code"], body["reason"]) == (
        status,
        "Status",
        status,
        reason,
    )
    assert "Retry-After" not in answer.headers
    assert cluster.http.get(cluster.pods).status_code == 200


def test_retry_after(cluster: Cluster) -> None:
    cluster.control.add(RequestFault(effect="status", status=429, retry_after=2, times=1))
    answer = cluster.http.get(cluster.jobs)
    assert (answer.headers["Retry-After"], answer.json()["details"]) == ("2", {"retryAfterSeconds": 2})
    assert cluster.http.get(cluster.jobs).status_code == 200


def test_a_410_hits_continued_lists_only(cluster: Cluster) -> None:
    cluster.control.add_finished_jobs(FinishedJobs(count=3, name="gone-{index}", labels={"test": "gone"}))
    cluster.control.add(RequestFault(effect="status", status=410))
    first = cluster.get(cluster.jobs, labelSelector="test=gone", limit=2)
    query: dict[str, str | int] = {"labelSelector": "test=gone", "continue": first["metadata"]["continue"]}
    answer = cluster.http.get(cluster.jobs, params=query)
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


def test_skip_times_and_hits(cluster: Cluster) -> None:
    number = cluster.control.add(RequestFault(effect="status", status=503, skip=1, times=2))
    assert [cluster.http.get(cluster.jobs).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    [active] = cluster.control.faults()
    assert (active.id, active.hits) == (number, 2)


def test_conditions_are_all_needed(cluster: Cluster) -> None:
    fault = RequestFault(
        effect="status", status=503, method="GET", verb="list", resource="jobs", path=r"labelSelector=x"
    )
    with cluster.control.fault(fault):
        assert cluster.http.get(cluster.jobs).status_code == 200
        assert cluster.http.get(cluster.jobs, params={"labelSelector": "x"}).status_code == 503
        assert cluster.http.get(cluster.pods, params={"labelSelector": "x"}).status_code == 200
    assert cluster.http.get(cluster.jobs, params={"labelSelector": "x"}).status_code == 200
    with cluster.control.fault(RequestFault(effect="status", probability=0.0)):
        assert cluster.http.get(cluster.jobs).status_code == 200


def test_a_slow_answer(cluster: Cluster) -> None:
    cluster.control.add(RequestFault(effect="delay", seconds=0.3, resource="jobs"))
    begun = time.monotonic()
    assert cluster.http.get(cluster.jobs).status_code == 200
    assert time.monotonic() - begun >= 0.3
    cluster.control.add(RequestFault(effect="delay", seconds=30, verb="create"))
    with pytest.raises(httpx.ReadTimeout):
        cluster.http.post(cluster.maps, json=config_map("late"), timeout=0.1)
    assert cluster.http.get(f"{cluster.maps}/late").status_code == 200, (
        "created, although the client got no answer"
    )


def test_a_dropped_connection_carries_nothing_out(cluster: Cluster) -> None:
    with (
        cluster.control.fault(RequestFault(effect="drop", verb="create")),
        pytest.raises(httpx.RemoteProtocolError),
    ):
        cluster.submit("dropped")
    assert cluster.http.get(f"{cluster.jobs}/dropped").status_code == 404


def test_an_answer_cut_short_was_carried_out(cluster: Cluster) -> None:
    with (
        cluster.control.fault(RequestFault(effect="cut", verb="create")),
        pytest.raises(httpx.RemoteProtocolError),
    ):
        cluster.submit("cut")
    assert cluster.job("cut")["metadata"]["name"] == "cut"


def test_an_answer_that_is_no_json(cluster: Cluster) -> None:
    cluster.control.add(RequestFault(effect="malformed"))
    answer = cluster.http.get(cluster.jobs)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_a_log_that_is_gone(cluster: Cluster) -> None:
    cluster.submit("gone", "echo", "hello")
    assert cluster.log_of("gone") == b"hello\n"
    pod = cluster.pod_of("gone")
    name = pod["metadata"]["name"]
    with cluster.control.fault(RequestFault(effect="log-gone-404")):
        answer = cluster.log(name)
        assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
        assert cluster.http.get(f"{cluster.pods}/{name}").status_code == 200
    with cluster.control.fault(RequestFault(effect="log-gone-200", path=name)):
        answer = cluster.log(name)
        container = pod["status"]["containerStatuses"][0]["containerID"]
        assert container.startswith("containerd://")
        assert (answer.status_code, answer.text) == (
            200,
            f"unable to retrieve container logs for {container}",
        )
    assert cluster.log(name).content == b"hello\n"


def test_log_kubelet_away_is_a_500_without_reason(cluster: Cluster) -> None:
    cluster.submit("away", "echo", "hello")
    assert cluster.log_of("away") == b"hello\n"
    name = cluster.pod_of("away")["metadata"]["name"]
    path = f"containerLogs/{cluster.double.namespace}/{name}/submit"
    with cluster.control.fault(RequestFault(effect="log-kubelet-away")):
        answer = cluster.log(name, container="submit")
        assert answer.status_code == 500
        assert answer.json() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'Get "https://127.0.0.1:10250/{path}": '
            "dial tcp 127.0.0.1:10250: connect: connection refused",
            "code": 500,
        }
        assert cluster.log("none").status_code == 404
        assert cluster.log(name, container="none").status_code == 400
        assert cluster.http.get(f"{cluster.pods}/{name}").status_code == 200
    assert cluster.log(name).content == b"hello\n"


def test_an_image_that_cannot_be_pulled(cluster: Cluster) -> None:
    number = cluster.control.add(PodFault(effect="image-pull", job="pull-.*"))
    cluster.submit("pull-1", "echo", "pulled")
    state = cluster.waiting("pull-1", "ImagePullBackOff")
    assert state["message"].startswith('Back-off pulling image "flink:1.20": ErrImagePull: rpc error')
    pod = cluster.pod_of("pull-1")["metadata"]["name"]
    assert cluster.message(pod, "BackOff") == 'Back-off pulling image "flink:1.20"'

    def refusal() -> bool:
        text = str(cluster.log(pod).json()["message"])
        return text.endswith("is waiting to start: trying and failing to pull image")

    until("the log endpoint says why", refusal)
    cluster.control.remove(number)
    assert cluster.log_of("pull-1") == b"pulled\n"


@pytest.mark.parametrize(
    ("image", "reason"), [("other:1", "ImagePullBackOff"), ("Not A Name", "InvalidImageName")]
)
def test_an_image_the_double_was_not_given(cluster: Cluster, image: str, reason: str) -> None:
    name = f"image-{reason.lower()}"
    cluster.submit(name, container={"image": image})
    assert image in cluster.waiting(name, reason)["message"]
    cluster.delete(f"{cluster.jobs}/{name}", propagationPolicy="Background")
    until("its pod is gone", lambda: not cluster.pods_of(name))


def test_a_pod_no_node_takes(cluster: Cluster) -> None:
    number = cluster.control.add(PodFault(effect="unschedulable", labels={"which": "this"}))
    cluster.submit("stuck", labels={"which": "this"})
    cluster.submit("free", labels={"which": "that"})
    assert true_conditions(cluster.finished("free"))[-1] == "Complete"
    conditions = until("it is refused", lambda: cluster.pod_of("stuck")["status"].get("conditions"))
    [condition] = conditions
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    assert condition["message"].startswith("0/1 nodes are available")
    pod = cluster.pod_of("stuck")["metadata"]["name"]
    assert cluster.reasons("Pod", pod) == ["FailedScheduling"]
    cluster.control.remove(number)
    assert true_conditions(cluster.finished("stuck"))[-1] == "Complete"


def test_a_configuration_that_is_missing(cluster: Cluster) -> None:
    number = cluster.control.add(PodFault(effect="config-error", job="config"))
    cluster.submit("config")
    assert (
        cluster.waiting("config", "CreateContainerConfigError")["message"] == 'configmap "missing" not found'
    )
    cluster.control.remove(number)
    cluster.finished("config")


def test_a_quota_without_room(cluster: Cluster) -> None:
    number = cluster.control.add(PodFault(effect="quota", job="quota"))
    cluster.submit("quota")
    assert "is forbidden: exceeded quota" in cluster.message("quota", "FailedCreate")
    assert cluster.pods_of("quota") == []
    assert "conditions" not in cluster.job("quota")["status"]
    cluster.control.remove(number)
    cluster.finished("quota")


def test_an_evicted_pod(cluster: Cluster) -> None:
    cluster.submit("evicted", "sh", "-c", "echo before; exec sleep 600")
    pod = cluster.running("evicted")["metadata"]["name"]
    until("it has spoken", lambda: cluster.log(pod).content == b"before\n")
    cluster.control.add(PodFault(effect="evict", job="evicted"))
    assert true_conditions(cluster.finished("evicted")) == ["FailureTarget", "Failed"]
    [after] = cluster.pods_of("evicted")
    assert (after["status"]["phase"], after["status"]["reason"]) == ("Failed", "Evicted")
    assert "low on resource: memory" in after["status"]["message"]
    assert after["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    assert "Evicted" in cluster.reasons("Pod", pod)


def test_a_pod_out_of_memory(cluster: Cluster) -> None:
    cluster.control.add(PodFault(effect="oom", job="oom"))
    cluster.submit("oom", "sleep", "600")
    ended = cluster.terminated("oom")
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_a_node_that_is_lost_takes_its_pod_along(cluster: Cluster) -> None:
    cluster.control.add(PodFault(effect="node-lost", job="lost"))
    cluster.submit("lost", "sleep", "600")
    job = cluster.finished("lost")
    assert (true_conditions(job)[-1], job["status"]["failed"]) == ("Failed", 1)
    assert cluster.pods_of("lost") == []


def test_a_program_that_is_started_twice(cluster: Cluster) -> None:
    cluster.control.add(PodFault(effect="run-twice", job="twice"))
    cluster.submit("twice", "echo", "ran")
    assert true_conditions(cluster.finished("twice"))[-1] == "Complete"
    pods = cluster.pods_of("twice")
    assert [cluster.log(pod["metadata"]["name"]).content for pod in pods] == [b"ran\n", b"ran\n"]


def test_a_fault_for_one_pod_does_not_hit_the_next(cluster: Cluster) -> None:
    cluster.control.add(PodFault(effect="oom", job="once", times=1))
    cluster.submit("once", "sleep", "0.1", backoffLimit=3)
    job = cluster.finished("once")
    assert (true_conditions(job)[-1], job["status"]["failed"], job["status"]["succeeded"]) == (
        "Complete",
        1,
        1,
    )


def test_the_servers_clock_can_be_wrong(cluster: Cluster) -> None:
    true_time = time.time()
    cluster.control.set_clock_offset(600)
    shown = parsedate_to_datetime(cluster.http.get(cluster.jobs).headers["Date"]).timestamp()
    cluster.control.set_clock_offset(0)
    assert 595 < shown - true_time < 660
    shown = parsedate_to_datetime(cluster.http.get(cluster.jobs).headers["Date"]).timestamp()
    assert abs(shown - time.time()) < 60


def test_requests_are_counted(cluster: Cluster) -> None:
    cluster.control.reset_requests()
    cluster.get(cluster.jobs)
    cluster.get(cluster.jobs, limit=5)
    cluster.http.get(f"{cluster.jobs}/none")
    cluster.log("none")
    cluster.delete(f"{cluster.jobs}/none")
    assert cluster.control.requests() == {"list jobs": 2, "get jobs": 1, "get pods/log": 1, "delete jobs": 1}


def test_finished_jobs_look_as_if_they_had_run(cluster: Cluster) -> None:
    wanted = FinishedJobs(
        count=1200,
        name="old-{index}",
        labels={"test": "old", "job-id": "j-{index}"},
        annotations={"flinkjobs/job-id": "exact {index}"},
        age_seconds=90_000,
        message="id {hex}",
        log="Job {name}\n",
    )
    assert cluster.control.add_finished_jobs(wanted) == 1200
    job = cluster.job("old-7")
    assert true_conditions(job) == ["SuccessCriteriaMet", "Complete"]
    assert job["metadata"]["annotations"] == {"flinkjobs/job-id": "exact 7"}
    age = time.time() - datetime.fromisoformat(job["status"]["completionTime"]).timestamp()
    assert 89_990 < age < 90_060
    [pod] = cluster.get(cluster.pods, labelSelector="job-id=j-7")["items"]
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (0, "id 38cd9c605884fcc867303b75ae9699a0")
    assert cluster.log(pod["metadata"]["name"]).text == "Job old-7\n"
    sizes, token = [], ""
    while True:
        query = {"continue": token} if token else {}
        page = cluster.get(cluster.jobs, labelSelector="test=old", limit=500, **query)
        sizes.append(len(page["items"]))
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert sizes == [500, 500, 200]
    cluster.control.add_finished_jobs(FinishedJobs(count=1, name="old-bad", failed=True, with_pods=False))
    bad = cluster.job("old-bad")
    assert (true_conditions(bad), "completionTime" in bad["status"]) == (["FailureTarget", "Failed"], False)
    assert cluster.pods_of("old-bad") == []


def test_nothing_is_run_where_nothing_shall_run() -> None:
    with KubernetesDouble(run=False) as double:
        cluster = Cluster(double)
        for number in range(30):
            cluster.submit(f"n{number}", "/no/such/program")
        assert true_conditions(cluster.finished("n29"))[-1] == "Complete"
        cluster.control.set_outcome(Outcome(exit_code=31, message="id {name}", log="said {name}\n"))
        cluster.submit("bad")
        ended = cluster.terminated("bad")
        assert (ended["exitCode"], ended["message"]) == (31, "id bad")
        assert cluster.log_of("bad") == b"said bad\n"
        cluster.control.add(PodFault(effect="evict", job="ev"))
        cluster.submit("ev")
        cluster.finished("ev")
        assert cluster.pod_of("ev")["status"]["reason"] == "Evicted"
        cluster.close()


def test_a_role_is_enforced(cluster: Cluster) -> None:
    cluster.control.grant("reader", "reader-token", [READER])
    headers = {"Authorization": "Bearer reader-token"}
    review = {
        "spec": {
            "resourceAttributes": {
                "verb": "delete",
                "group": "batch",
                "resource": "jobs",
                "namespace": "lemo-dev",
            }
        }
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert cluster.http.get(cluster.jobs, headers=headers).status_code == 200
    for method, where in (
        ("DELETE", f"{cluster.jobs}/x"),
        ("GET", cluster.pods),
        ("GET", "/apis/batch/v1/jobs"),
    ):
        answer = cluster.http.request(method, where, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
        assert 'is forbidden: User "reader" cannot' in answer.json()["message"]
    refused = cluster.http.post(path, json=review, headers=headers)
    assert (refused.status_code, refused.json()["status"]) == (201, {"allowed": False})
    assert refused.json()["spec"] == review["spec"]
    assert cluster.http.post(path, json=review).json()["status"]["allowed"] is True
    cluster.control.revoke("reader")
    assert cluster.http.get(cluster.jobs, headers=headers).status_code == 401


def test_an_access_review_needs_to_say_what_is_asked(cluster: Cluster) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = cluster.http.post(path, json={"spec": {}})
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert "spec.resourceAttributes: Required value: exactly one of" in answer.json()["message"]
    assert cluster.http.get(path).status_code == 405


def test_a_self_subject_review_names_the_user(cluster: Cluster) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    cluster.control.grant("reader", "reader-token", [READER])
    for headers, user in (({}, "admin"), ({"Authorization": "Bearer reader-token"}, "reader")):
        answer = cluster.http.post(path, json=review, headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (201, "SelfSubjectReview")
        assert answer.json()["status"]["userInfo"] == {"username": user, "groups": ["system:authenticated"]}
    cluster.control.revoke("reader")
    assert cluster.http.post(path, json=review, headers=headers).status_code == 401


def test_a_stranger_may_not_ask_about_itself(cluster: Cluster) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = f"/apis/{review['apiVersion']}/selfsubjectreviews"
    answer = httpx.post(f"{cluster.double.url}{path}", json=review, trust_env=False)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == (
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create '
        'resource "selfsubjectreviews" in API group "authentication.k8s.io" at the cluster scope'
    )


def test_both_reviews_can_be_discovered(cluster: Cluster) -> None:
    groups = {group["name"] for group in cluster.get("/apis")["groups"]}
    assert groups == {"batch", "authorization.k8s.io", "authentication.k8s.io"}
    for group, name in (
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    ):
        assert cluster.get(f"/apis/{group}")["preferredVersion"]["groupVersion"] == f"{group}/v1"
        [resource] = cluster.get(f"/apis/{group}/v1")["resources"]
        assert (resource["name"], resource["verbs"]) == (name, ["create"])


def test_the_control_endpoint_is_guarded_and_strict(cluster: Cluster) -> None:
    with ControlClient(cluster.double.url, "wrong") as stranger, pytest.raises(ControlError, match="401"):
        stranger.faults()
    headers = {"Authorization": f"Bearer {cluster.double.token}"}
    for body in ('{"type": "request"}', '{"type": "pod", "effect": "evict", "x": 1}', "nonsense"):
        answer = cluster.http.post("/_control/faults", content=body, headers=headers)
        assert answer.status_code == 400
    with pytest.raises(ControlError, match="there is no fault 999"):
        cluster.control.remove(999)
    assert cluster.http.get("/_control/nothing").status_code == 404
