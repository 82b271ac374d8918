"""The HTTP surface: refusals, changes, deletion, watches, tables, and the official client."""

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from threading import Thread
from typing import Any

import httpx
import pytest
from kubernetes import client, config

from doubles.kubernetes.process import KubernetesDouble
from doubles.tests.kubernetes_helpers import Cluster, Obj, config_map, job_manifest, true_conditions, until

MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with KubernetesDouble(run=False) as double:
        cluster = Cluster(double)
        yield cluster
        cluster.close()
    assert "Traceback" not in double.output


def status_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", answer.status_code)
    return answer.status_code, body["reason"]


def spoilt(path: str, value: Any) -> Obj:
    """A Job that is right but for one field."""
    job = job_manifest("wrong")
    place: Any = job
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return job


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"


@pytest.mark.parametrize(
    ("path", "value", "code", "reason", "part"),
    [
        ("metadata.name", "UPPER", 422, "Invalid", 'Invalid value: "UPPER": a lowercase RFC 1123 subdomain'),
        ("metadata.name", None, 422, "Invalid", "Required value: name or generateName is required"),
        ("metadata.name", "x" * 64, 422, "Invalid", "must be no more than 63"),
        ("metadata.labels.k", "v" * 64, 422, "Invalid", "metadata.labels"),
        ("metadata.labels.k", "a/b", 422, "Invalid", "a valid label must be an empty string or consist of"),
        ("metadata.labels.a b", "v", 422, "Invalid", "name part must consist of"),
        ("metadata.annotations.k", "x" * 262_144, 422, "Invalid", "metadata.annotations: Too long"),
        ("metadata.namespace", "default", 400, "BadRequest", "does not match the namespace sent"),
        ("metadata.resourceVersion", "5", 400, "BadRequest", "resourceVersion should not be set"),
        ("metadata.ownerReferences", [{"kind": "Job"}], 422, "Invalid", "metadata.ownerReferences[0].uid"),
        ("spec.backoffLimit", -1, 422, "Invalid", "spec.backoffLimit: Invalid value: -1: must be"),
        ("spec.backoffLimit", "none", 400, "BadRequest", "field JobSpec.spec.backoffLimit of type int32"),
        ("spec.suspend", "yes", 400, "BadRequest", "of type bool"),
        ("spec.template", [], 400, "BadRequest", "JobSpec.spec.template of type v1.PodTemplateSpec"),
        ("spec.completionMode", "Indexed", 422, "Invalid", 'Unsupported value: "Indexed"'),
        ("spec.podFailurePolicy", {"rules": []}, 422, "Invalid", "spec.podFailurePolicy: Forbidden"),
        ("spec.podReplacementPolicy", "Never", 422, "Invalid", "podReplacementPolicy: Unsupported"),
        ("spec.selector", {"matchLabels": {"a": "b"}}, 422, "Invalid", "`selector` not auto-generated"),
        (f"{POD}.restartPolicy", "Always", 422, "Invalid", 'valid values: "OnFailure", "Never"'),
        (f"{POD}.containers", [], 422, "Invalid", f"{POD}.containers: Required value"),
        (f"{POD}.terminationGracePeriodSeconds", -1, 422, "Invalid", "terminationGracePeriodSeconds"),
        (f"{POD}.initContainers", [{"name": "submit", "image": "i"}], 422, "Invalid", "Duplicate value"),
        (f"{POD}.volumes", [{"name": "v", "configMap": {}}], 422, "Invalid", "configMap.name: Required"),
        (f"{CONTAINER}.image", None, 422, "Invalid", "containers[0].image: Required value"),
        (f"{CONTAINER}.name", "A_B", 422, "Invalid", "a lowercase RFC 1123 label"),
        (f"{CONTAINER}.volumeMounts", [{"name": "v", "mountPath": "/v"}], 422, "Invalid", 'Not found: "v"'),
        (f"{CONTAINER}.resources", {"limits": {"cpu": "much"}}, 422, "Invalid", "quantities must match"),
        (f"{CONTAINER}.resources", {"requests": {"cpu": "-1"}}, 422, "Invalid", "greater than or equal to 0"),
        (f"{CONTAINER}.resources", {"requests": {"example.org/gpu": 1}}, 422, "Invalid", "Limit must be set"),
        (f"{CONTAINER}.terminationMessagePolicy", "Log", 422, "Invalid", "Unsupported value"),
        (f"{CONTAINER}.command", "true", 400, "BadRequest", "containers[0].command of type []string"),
        ("kind", "Pod", 400, "BadRequest", "does not match the expected API version"),
    ],
)  # fmt: skip
def test_wrong_jobs_are_refused(
    cluster: Cluster, path: str, value: Any, code: int, reason: str, part: str
) -> None:
    answer = cluster.http.post(cluster.jobs, json=spoilt(path, value))
    assert status_of(answer) == (code, reason)
    assert part in answer.json()["message"]


@pytest.mark.parametrize(
    ("name", "request_", "limit", "problem"),
    [
        ("cpu", "2", "1", "must be less than or equal to cpu limit of 1"),
        ("cpu", "1001m", "1", "must be less than or equal to cpu limit of 1"),
        ("memory", "1Gi", "1G", "must be less than or equal to memory limit of 1G"),
        ("memory", "1e9", "0.5G", "must be less than or equal to memory limit of 0.5G"),
        ("example.org/device", "1", "2", "must be equal to example.org/device limit of 2"),
        ("hugepages-2Mi", "2Mi", "4Mi", "must be equal to hugepages-2Mi limit of 4Mi"),
        ("cpu", "1000m", "1", ""),
        ("memory", "1E", "1e18", ""),
        ("memory", "128Mi", "1Gi", ""),
    ],
)
def test_create_request_above_its_limit_is_refused(
    cluster: Cluster, name: str, request_: str, limit: str, problem: str
) -> None:
    job = spoilt(f"{CONTAINER}.resources", {"requests": {name: request_}, "limits": {name: limit}})
    answer = cluster.http.post(cluster.jobs, json=job, params={"dryRun": "All"})
    if not problem:
        assert answer.status_code == 201
        return
    assert status_of(answer) == (422, "Invalid")
    path = "spec.template.spec.containers[0].resources.requests"
    assert answer.json()["message"].endswith(f'{path}: Invalid value: "{request_}": {problem}')


def test_patch_of_requests_is_validated_too(cluster: Cluster) -> None:
    """A suspended Job may get other resources."""
    cluster.submit("resized", suspend=True, container={"resources": {"limits": {"cpu": "1"}}})
    for request, code in (("2", 422), ("500m", 200)):
        resources = {"requests": {"cpu": request}, "limits": {"cpu": "1"}}
        job = job_manifest("resized", container={"resources": resources})
        patch = {"spec": {"template": {"spec": job["spec"]["template"]["spec"]}}}
        assert cluster.http.patch(f"{cluster.jobs}/resized", json=patch, headers=MERGE).status_code == code


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({"k": "x" * 1_048_577}, "[]: Too long: may not be more than 1048576 bytes"),
        ({"a/b": "x"}, "a valid config key must consist of"),
    ],
)
def test_wrong_config_maps_are_refused(cluster: Cluster, data: dict[str, str], part: str) -> None:
    answer = cluster.http.post(cluster.maps, json=config_map("wrong", **data))
    assert status_of(answer) == (422, "Invalid")
    assert part in answer.json()["message"]


def test_bodies_that_are_no_objects(cluster: Cluster) -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff"):
        assert status_of(cluster.http.post(cluster.jobs, content=body)) == (400, "BadRequest")
    assert status_of(cluster.http.post(cluster.jobs, content=b" " * 3_145_729)) == (
        413,
        "RequestEntityTooLarge",
    )
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert status_of(cluster.http.post(cluster.jobs, content=b"k8s\0", headers=headers)) == (
        415,
        "UnsupportedMediaType",
    )


def test_unknown_fields_by_validation_level(cluster: Cluster) -> None:
    job = spoilt("spec.backofLimit", 1)
    answer = cluster.http.post(cluster.jobs, json=job, params={"fieldValidation": "Strict"})
    assert status_of(answer) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.backofLimit"' in answer.json()["message"]
    answer = cluster.http.post(cluster.jobs, json=job, params={"dryRun": "All"})
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.backofLimit\\""'
    assert "backofLimit" not in answer.json()["spec"], "what the server does not know it does not keep"
    query = {"dryRun": "All", "fieldValidation": "Ignore"}
    assert "Warning" not in cluster.http.post(cluster.jobs, json=job, params=query).headers


@pytest.mark.parametrize(
    ("second", "hides"),
    [
        ({"value": "2"}, True),
        ({}, True),
        ({"value": "$(A)"}, True),
        ({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, True),
        ({"value": "$(A):2"}, False),
    ],
)
def test_create_variable_defined_twice_warns_where_it_hides_the_first(
    cluster: Cluster, second: Obj, *, hides: bool
) -> None:
    job = spoilt(f"{CONTAINER}.env", [{"name": "A", "value": "1"}, {"name": "A", **second}])
    answer = cluster.http.post(cluster.jobs, json=job, params={"dryRun": "All", "fieldValidation": "Ignore"})
    assert answer.status_code == 201
    warning = (
        '299 - "spec.template.spec.containers[0].env[1]: hides previous definition of \\"A\\", '
        'which may be dropped when using apply"'
    )
    assert answer.headers.get("Warning") == (warning if hides else None)


def test_create_refused_as_already_there_still_warns(cluster: Cluster) -> None:
    job = job_manifest("warned", suspend=True)
    job["spec"]["template"]["spec"]["initContainers"] = [
        {"name": "first", "image": "i", "env": [{"name": "A"}, {"name": "A"}]}
    ]
    for code in (201, 409):
        answer = cluster.http.post(cluster.jobs, json=job)
        assert answer.status_code == code
        assert "spec.template.spec.initContainers[0].env[1]: hides previous" in answer.headers["Warning"]


def test_patch_warns_only_where_it_changes_the_spec(cluster: Cluster) -> None:
    job = spoilt(f"{CONTAINER}.env", [{"name": "A"}, {"name": "A"}])
    job["metadata"]["name"] = "warned-again"
    job["spec"]["suspend"] = True
    cluster.create(cluster.jobs, job)
    for patch, warns in (({"metadata": {"labels": {"x": "y"}}}, False), ({"spec": {"parallelism": 0}}, True)):
        answer = cluster.http.patch(f"{cluster.jobs}/warned-again", json=patch, headers=MERGE)
        assert ("Warning" in answer.headers) is warns


def test_defaults_and_generated_names(cluster: Cluster) -> None:
    job = job_manifest("x")
    job["metadata"] = {"generateName": "made-"}
    del job["spec"]["backoffLimit"], job["spec"]["podReplacementPolicy"]
    made = cluster.create(cluster.jobs, job)
    assert made["metadata"]["name"].startswith("made-")
    assert len(made["metadata"]["name"]) == 10
    assert made["metadata"]["labels"] == {"app": "flink-python-job"}, (
        "without labels a Job takes its template's"
    )
    spec = made["spec"]
    assert {name: spec[name] for name in ("parallelism", "completions", "backoffLimit", "suspend")} == {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "suspend": False,
    }
    assert spec["podReplacementPolicy"] == "TerminatingOrFailed"
    container = spec["template"]["spec"]["containers"][0]
    assert (container["terminationMessagePath"], container["terminationMessagePolicy"]) == (
        "/dev/termination-log",
        "File",
    )


def test_numbers_are_quantities_too(cluster: Cluster) -> None:
    job = spoilt(f"{CONTAINER}.resources", {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}})
    answer = cluster.http.post(cluster.jobs, json=job, params={"dryRun": "All"})
    assert answer.status_code == 201
    resources = answer.json()["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.5"}}


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"spec": {"parallelism": 0}}, 200),
        ({"spec": {"activeDeadlineSeconds": 100}}, 200),
        ({"metadata": {"annotations": {"a": "b"}}}, 200),
        ({"spec": {"completions": 5}}, 422),
        ({"spec": {"template": {"spec": {"containers": []}}}}, 422),
        ({"metadata": {"name": "other"}}, 400),
        ({"metadata": {"uid": "other"}}, 409),
        ({"metadata": {"resourceVersion": "1"}}, 409),
        ({"spec": {"backoffLimit": "x"}}, 400),
    ],
)
def test_patches(cluster: Cluster, patch: Obj, code: int) -> None:
    cluster.http.post(cluster.jobs, json=job_manifest("patched", suspend=True))
    answer = cluster.http.patch(f"{cluster.jobs}/patched", json=patch, headers=MERGE)
    assert answer.status_code == code


def test_a_merge_patch_removes_by_null_and_moves_the_generation(cluster: Cluster) -> None:
    cluster.submit("merge", suspend=True, labels={"a": "1", "b": "2"})
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}}
    first = cluster.http.patch(f"{cluster.jobs}/merge", json=patch, headers=MERGE).json()
    assert first["metadata"]["labels"] == {"app": "flink-python-job", "b": "2", "c": "3"}
    assert first["metadata"]["generation"] == 1
    second = cluster.http.patch(
        f"{cluster.jobs}/merge", json={"spec": {"parallelism": 2}}, headers=MERGE
    ).json()
    assert second["metadata"]["generation"] == 2
    answer = cluster.http.patch(
        f"{cluster.jobs}/merge", json={}, headers={"Content-Type": "application/json-patch+json"}
    )
    assert status_of(answer) == (415, "UnsupportedMediaType")


def test_a_replacement_needs_the_present_version(cluster: Cluster) -> None:
    old = cluster.create(cluster.maps, config_map("put", k="1"))
    new = {**old, "data": {"k": "2"}}
    assert cluster.http.put(f"{cluster.maps}/put", json=new).json()["data"] == {"k": "2"}
    assert status_of(cluster.http.put(f"{cluster.maps}/put", json=new)) == (409, "Conflict")
    assert cluster.get(f"{cluster.maps}/put")["metadata"]["uid"] == old["metadata"]["uid"]


def test_the_status_has_a_path_of_its_own(cluster: Cluster) -> None:
    cluster.submit("status", suspend=True)
    until("it is noticed", lambda: cluster.job("status")["status"])
    patch = {"status": {"failed": 7}, "spec": {"parallelism": 9}}
    answer = cluster.http.patch(f"{cluster.jobs}/status/status", json=patch, headers=MERGE)
    assert (answer.json()["status"]["failed"], answer.json()["spec"]["parallelism"]) == (7, 1)
    answer = cluster.http.patch(f"{cluster.jobs}/status", json={"status": {"failed": 8}}, headers=MERGE)
    assert answer.json()["status"]["failed"] == 7


def test_preconditions_of_a_deletion(cluster: Cluster) -> None:
    job = cluster.submit("pre", suspend=True)
    path = f"{cluster.jobs}/pre"
    answer = cluster.delete(path, preconditions={"uid": "other"})
    assert status_of(answer) == (409, "Conflict")
    assert f"does not match the UID in record ({job['metadata']['uid']})" in answer.json()["message"]
    assert status_of(cluster.delete(path, preconditions={"resourceVersion": "1"})) == (409, "Conflict")
    assert status_of(cluster.delete(path, propagationPolicy="Sideways")) == (422, "Invalid")
    assert cluster.delete(path, dryRun=["All"]).json()["status"] == "Success"
    gone = cluster.delete(path, propagationPolicy="Background", preconditions={"uid": job["metadata"]["uid"]})
    details = {"name": "pre", "group": "batch", "kind": "jobs", "uid": job["metadata"]["uid"]}
    assert (gone.json()["status"], gone.json()["details"]) == ("Success", details)
    assert status_of(cluster.delete(path)) == (404, "NotFound")


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
def test_delete_failed_precondition_names_the_kind(cluster: Cluster, precondition: str) -> None:
    name = f"kind-{precondition.lower()}"
    cluster.submit(name, suspend=True)
    cluster.create(cluster.maps, config_map(name))
    for path, kind, group in ((cluster.jobs, "Job", "batch"), (cluster.maps, "ConfigMap", "")):
        body = cluster.delete(f"{path}/{name}", preconditions={precondition: "1"}).json()
        qualified = f"{kind}.{group}" if group else kind
        assert body["message"].startswith(f'Operation cannot be fulfilled on {qualified} "{name}": the ')
        assert body["details"] == {"name": name, "kind": kind} | ({"group": group} if group else {})


def test_create_over_an_object_being_deleted_says_so(cluster: Cluster) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.org/keep"]
    cluster.create(cluster.maps, held)
    plain = 'configmaps "held" already exists'
    for message in (plain, f"object is being deleted: {plain}"):
        answer = cluster.http.post(cluster.maps, json=config_map("held"))
        assert status_of(answer) == (409, "AlreadyExists")
        assert answer.json()["message"] == message
        assert cluster.delete(f"{cluster.maps}/held").status_code == 200
    cluster.http.patch(f"{cluster.maps}/held", json={"metadata": {"finalizers": None}}, headers=MERGE)
    cluster.create(cluster.maps, config_map("held"))


@pytest.mark.parametrize(
    ("policy", "orphaned"), [("Background", False), ("Foreground", False), ("Orphan", True), (None, True)]
)
def test_what_becomes_of_the_pods(cluster: Cluster, policy: str | None, *, orphaned: bool) -> None:
    name = f"del-{policy or 'none'}".lower()
    job = cluster.submit(name)
    cluster.finished(name)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    owned = config_map(name)
    owned["metadata"]["ownerReferences"] = [owner]
    cluster.create(cluster.maps, owned)
    options = {"propagationPolicy": policy} if policy else {}
    assert cluster.delete(f"{cluster.jobs}/{name}", **options).status_code == 200
    until("the Job is gone", lambda: cluster.http.get(f"{cluster.jobs}/{name}").status_code == 404)
    if orphaned:
        [pod] = cluster.pods_of(name)
        assert "ownerReferences" not in pod["metadata"]
        assert "ownerReferences" not in cluster.get(f"{cluster.maps}/{name}")["metadata"]
    else:
        until("its pods are gone", lambda: not cluster.pods_of(name))
        until("its ConfigMap is gone", lambda: cluster.http.get(f"{cluster.maps}/{name}").status_code == 404)


@pytest.mark.parametrize(
    ("options", "warns"),
    [({}, True), ({"propagationPolicy": "Orphan"}, False), ({"orphanDependents": True}, False)],
)
def test_delete_job_without_a_policy_warns(cluster: Cluster, options: Obj, *, warns: bool) -> None:
    job = cluster.create(cluster.jobs, {**job_manifest(""), "metadata": {"generateName": "unasked-"}})
    path = f"{cluster.jobs}/{job['metadata']['name']}"
    nothing = {"labelSelector": "absent"}
    for code, answer in (
        (200, cluster.delete(path, **options)),
        (404, cluster.delete(f"{cluster.jobs}/none", **options)),
        (200, cluster.http.request("DELETE", cluster.jobs, params=nothing, json=options)),
    ):
        assert answer.status_code == code
        warning = answer.headers.get("Warning", "")
        assert warning.startswith('299 - "child pods are preserved by default when jobs are deleted') is warns


def test_delete_config_map_without_a_policy_does_not_warn(cluster: Cluster) -> None:
    cluster.create(cluster.maps, config_map("unasked"))
    assert "Warning" not in cluster.delete(f"{cluster.maps}/unasked").headers


def test_evict_pod_deletes_it(cluster: Cluster) -> None:
    cluster.submit("evicted")
    name = cluster.pod_of("evicted")["metadata"]["name"]
    assert cluster.evict(name, dryRun=["All"]).status_code == 201
    refused = cluster.evict(name, preconditions={"uid": "other"})
    assert (status_of(refused), refused.json()["details"]["kind"]) == ((409, "Conflict"), "Pod")
    assert status_of(cluster.evict(name, propagationPolicy="Sideways")) == (422, "Invalid")
    cluster.get(f"{cluster.pods}/{name}")
    answer = cluster.evict(name)
    expected = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    assert (answer.status_code, answer.json()) == (201, expected)
    until("the pod is gone", lambda: cluster.http.get(f"{cluster.pods}/{name}").status_code == 404)
    assert status_of(cluster.evict(name)) == (404, "NotFound")


@pytest.mark.parametrize(
    ("method", "body", "code", "part"),
    [
        ("POST", {"metadata": {"name": "other"}}, 400, "name in URL does not match name in Eviction object"),
        ("POST", {}, 400, "name in URL does not match"),
        ("POST", {"kind": "Pod", "metadata": {"name": "none"}}, 400, "does not match the expected API"),
        ("GET", None, 405, "the server does not allow this method"),
    ],
)
def test_evict_malformed_request_is_refused(
    cluster: Cluster, method: str, body: Obj | None, code: int, part: str
) -> None:
    answer = cluster.http.request(method, f"{cluster.pods}/none/eviction", json=body)
    assert status_of(answer)[0] == code
    assert part in answer.json()["message"]


def test_evict_job_is_404(cluster: Cluster) -> None:
    assert cluster.http.post(f"{cluster.jobs}/none/eviction", json={}).status_code == 404


def test_a_collection_is_deleted_by_selector(cluster: Cluster) -> None:
    for number in range(3):
        cluster.create(
            cluster.maps,
            {**config_map(f"c{number}"), "metadata": {"name": f"c{number}", "labels": {"n": str(number)}}},
        )
    answer = cluster.http.delete(cluster.maps, params={"labelSelector": "n in (0,1)"})
    assert len(answer.json()["items"]) == 2
    assert [cluster.http.get(f"{cluster.maps}/c{number}").status_code for number in range(3)] == [
        404,
        404,
        200,
    ]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/batch/v1/namespaces/lemo-dev/nothings", 404),
        ("GET", "/apis/apps/v1/namespaces/lemo-dev/deployments", 404),
        ("GET", "/api/v1/namespaces/nowhere", 404),
        ("POST", "/api/v1/namespaces", 405),
        ("POST", "/apis/batch/v1/jobs", 405),
        ("DELETE", "/apis/batch/v1/jobs", 405),
        ("GET", "/api/v1/namespaces/lemo-dev/pods/none/log", 404),
        ("GET", "/api/v1/namespaces/lemo-dev/pods/none/exec", 404),
        ("GET", "/apis/batch/v1/jobs?limit=many", 400),
        ("GET", "/apis/batch/v1/jobs?continue=bogus", 400),
        ("GET", "/apis/batch/v1/namespaces/nowhere/jobs", 200),
        ("GET", "/apis/batch/v1/jobs", 200),
        ("GET", "/api/v1/namespaces/lemo-dev", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/version", 200),
        ("GET", "/api", 200),
        ("GET", "/apis", 200),
        ("GET", "/api/v1", 200),
        ("GET", "/apis/batch/v1", 200),
        ("GET", "/openapi/v3", 200),
    ],
)
def test_paths(cluster: Cluster, method: str, path: str, code: int) -> None:
    answer = cluster.http.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == code
    assert "Date" in answer.headers


@pytest.mark.parametrize(
    ("header", "code", "reason"),
    [
        ("Bearer wrong", 401, "Unauthorized"),
        ("Basic bG9jYWw6", 401, "Unauthorized"),
        (None, 403, "Forbidden"),
    ],
)
def test_strangers(cluster: Cluster, header: str | None, code: int, reason: str) -> None:
    headers = {"Authorization": header} if header else {}
    answer = httpx.get(cluster.double.url + cluster.jobs, headers=headers, trust_env=False)
    assert status_of(answer) == (code, reason)
    if not header:
        assert (
            'User "system:anonymous" cannot list resource "jobs" in API group "batch"'
            in answer.json()["message"]
        )
    assert httpx.get(cluster.double.url + "/healthz", trust_env=False).text == "ok"


def test_version_zero_ignores_the_limit(cluster: Cluster) -> None:
    for number in range(3):
        cluster.submit(f"zero-{number}", suspend=True, labels={"t": "zero"})
    query: dict[str, str | int] = {"labelSelector": "t=zero", "limit": 1}
    assert len(cluster.get(cluster.jobs, **query)["items"]) == 1
    whole = cluster.get(cluster.jobs, resourceVersion="0", **query)
    assert len(whole["items"]) == 3
    assert "continue" not in whole["metadata"]


def lines(answer: httpx.Response) -> Iterator[Obj]:
    return (json.loads(line) for line in answer.iter_lines())


def test_a_watch_follows_a_selection(cluster: Cluster) -> None:
    version = cluster.get(cluster.maps)["metadata"]["resourceVersion"]
    cluster.create(cluster.maps, config_map("seen-before"))
    query: dict[str, str | int] = {"watch": "true", "resourceVersion": version, "labelSelector": "!hidden"}
    with cluster.http.stream("GET", cluster.maps, params=query) as answer:
        events = lines(answer)
        assert (first := next(events))["type"] == "ADDED"
        assert first["object"]["kind"] == "ConfigMap"
        path = f"{cluster.maps}/seen-before"
        for labels in ({"x": "1"}, {"hidden": "1"}, {"hidden": "2"}, {"hidden": None}):
            cluster.http.patch(path, json={"metadata": {"labels": labels}}, headers=MERGE)
        cluster.http.delete(path)
        types = [next(events)["type"] for _ in range(4)]
    assert types == ["MODIFIED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_without_a_version_begins_with_what_there_is(cluster: Cluster) -> None:
    cluster.create(cluster.maps, config_map("present"))
    query = {"watch": "true", "fieldSelector": "metadata.name=present", "timeoutSeconds": "1"}
    with cluster.http.stream("GET", cluster.maps, params=query) as answer:
        assert [(one["type"], one["object"]["metadata"]["name"]) for one in lines(answer)] == [
            ("ADDED", "present")
        ]


def test_a_watch_needs_a_version_that_is_a_number(cluster: Cluster) -> None:
    query = {"watch": "true", "resourceVersion": "nonsense"}
    assert status_of(cluster.http.get(cluster.maps, params=query)) == (400, "BadRequest")


def test_a_list_as_a_table(cluster: Cluster) -> None:
    cluster.submit("table")
    cluster.finished("table")
    answer = cluster.http.get(
        cluster.jobs, params={"fieldSelector": "metadata.name=table"}, headers=TABLE
    ).json()
    assert [one["name"] for one in answer["columnDefinitions"] if not one["priority"]] == [
        "Name",
        "Status",
        "Completions",
        "Duration",
        "Age",
    ]
    [row] = answer["rows"]
    assert row["cells"][:3] == ["table", "Complete", "1/1"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    answer = cluster.http.get(cluster.pods, params={"labelSelector": "job-name=table"}, headers=TABLE).json()
    columns = [one["name"] for one in answer["columnDefinitions"] if not one["priority"]]
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert answer["rows"][0]["cells"][1:4] == ["0/1", "Completed", "0"]


def test_scheduler_event_in_a_table_is_as_old_as_its_event_time(cluster: Cluster) -> None:
    cluster.submit("seen")
    pod = cluster.pod_of("seen")["metadata"]["name"]
    query = {"fieldSelector": f"involvedObject.name={pod},reason=Scheduled"}
    [row] = until(
        "it is scheduled",
        lambda: cluster.http.get(cluster.events, params=query, headers=TABLE).json()["rows"],
    )
    seen, *_, source, _, first, count, _ = row["cells"]
    assert (source, count, seen) == ("default-scheduler", 1, first)
    assert seen != "<unknown>"


def official(cluster: Cluster) -> client.ApiClient:
    configuration = client.Configuration(host=cluster.double.url)
    for name in ("authorization", "BearerToken"):
        configuration.api_key[name] = f"Bearer {cluster.double.token}"
    return client.ApiClient(configuration)


def test_the_official_client(cluster: Cluster) -> None:
    """The models validate: an answer that lacks a required field would raise."""
    namespace = cluster.double.namespace
    with closing(official(cluster)) as api:
        batch: Any = client.BatchV1Api(api)
        core: Any = client.CoreV1Api(api)
        made = batch.create_namespaced_job(namespace, job_manifest("official"))
        assert made.metadata.name == "official"
        cluster.finished("official")
        job = batch.read_namespaced_job("official", namespace)
        assert [one.type for one in job.status.conditions] == ["SuccessCriteriaMet", "Complete"]
        [pod] = core.list_namespaced_pod(namespace, label_selector="job-name=official").items
        assert pod.status.container_statuses[0].state.terminated.exit_code == 0
        assert core.read_namespaced_pod_log(pod.metadata.name, namespace) == ""
        events = core.list_namespaced_event(namespace, field_selector="involvedObject.name=official").items
        assert {event.reason for event in events} == {"SuccessfulCreate", "Completed"}
        page = batch.list_namespaced_job(namespace, limit=1)
        assert page.metadata._continue
        with pytest.raises(client.ApiException) as caught:
            batch.create_namespaced_job(namespace, job_manifest("official"))
        assert (caught.value.status, json.loads(str(caught.value.body))["reason"]) == (409, "AlreadyExists")
        batch.delete_namespaced_job("official", namespace, propagation_policy="Background")
        until("its pod is gone", lambda: not cluster.pods_of("official"))


def test_the_kubeconfig_leads_here_over_tls(cluster: Cluster) -> None:
    """The server's certificate is verified; one byte of another protocol does no harm."""
    path = cluster.double.kubeconfig
    assert path.stat().st_mode & 0o077 == 0
    loaded: Any = config
    with closing(loaded.new_client_from_config(str(path))) as api:
        assert client.VersionApi(api).get_code().major == "1"
        core: Any = client.CoreV1Api(api)
        names = [one.metadata.name for one in core.list_namespace().items]
        assert names == ["default", "kube-system", "lemo-dev"]
    secure = cluster.double.url.replace("http:", "https:")
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(secure, verify=ssl.create_default_context(), trust_env=False)
    assert cluster.http.get("/healthz").status_code == 200


def test_many_clients_at_once(cluster: Cluster) -> None:
    cluster.submit("crowd", suspend=True)
    codes: list[int] = []

    def patch(number: int) -> None:
        headers = {**MERGE, "Authorization": f"Bearer {cluster.double.token}"}
        body = {"metadata": {"labels": {f"n{number}": "x"}}}
        answer = httpx.patch(
            f"{cluster.double.url}{cluster.jobs}/crowd", json=body, headers=headers, trust_env=False
        )
        codes.append(answer.status_code)

    threads = [Thread(target=patch, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 10
    assert len(cluster.job("crowd")["metadata"]["labels"]) == 11
    assert true_conditions(cluster.job("crowd")) in ([], ["Suspended"])
