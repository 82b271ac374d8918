"""A pod template of each kind, through the settings to the API server and into a pod that runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.kubernetes.faults import RequestFault
from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import ProcessError
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import UrlScript
from local.functions import FunctionServer
from tests.integration.submit.conftest import DATABASE, Document, Traces, post, synchronise
from tests.integration.submit.test_pod import JOB_ID, RULES, SUBMISSIONS, pod_of
from tests.support.kubernetes_world import KubernetesWorld

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "how-to" / "shape-the-pod.md").read_text()
DOCUMENTED: dict[str, str] = {
    part.partition("\n")[0]: example
    for part in PAGE.split("\n## ")
    for example in re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)
}

SIDECAR = "initContainers: [{name: proxy, image: envoy, restartPolicy: Always, args: [-x], %s}]"
MOUNTED = """\
spec:
  containers: [{name: submit, volumeMounts: [{name: v, mountPath: /v, readOnly: true}]}]
  volumes: [{name: v, secret: {secretName: s}}]
"""
PREFERRED, SPREAD = (
    "preferredDuringSchedulingIgnoredDuringExecution",
    "{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/hostname}}",
)
OF_SECRET = "valueFrom: {secretKeyRef: {name: s, key: k}}"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "labels": ("metadata: {labels: {team: data}}", {"metadata labels team": "data"}),
    "annotations": ("metadata: {annotations: {a.b/c: 'd'}}", {"metadata annotations a.b/c": "d"}),
    "a variable": (
        "spec: {containers: [{name: submit, env: [{name: TZ, value: UTC}]}]}",
        {"spec containers 0 env 0": {"name": "TZ", "value": "UTC"}, "spec containers 0 env 1 name": "LC_ALL"},
    ),
    "a variable of a Secret": (
        f"spec: {{containers: [{{name: submit, env: [{{name: K, {OF_SECRET}}}]}}]}}",
        {"spec containers 0 env 0 valueFrom secretKeyRef name": "s"},
    ),
    "variables of a ConfigMap": (
        "spec: {containers: [{name: submit, envFrom: [{configMapRef: {name: c}}]}]}",
        {"spec containers 0 envFrom 0 configMapRef name": "c"},
    ),
    "a volume": (
        MOUNTED,
        {"spec volumes 0 secret secretName": "s", "spec containers 0 volumeMounts 0 mountPath": "/v"},
    ),
    "a node selector": ("spec: {nodeSelector: {pool: batch}}", {"spec nodeSelector pool": "batch"}),
    "a toleration": ("spec: {tolerations: [{operator: Exists}]}", {"spec tolerations 0 operator": "Exists"}),
    "affinity": (
        f"spec: {{affinity: {{podAntiAffinity: {{{PREFERRED}: [{SPREAD}]}}}}}}",
        {f"spec affinity podAntiAffinity {PREFERRED} 0 weight": 1},
    ),
    "a priority class": ("spec: {priorityClassName: high}", {"spec priorityClassName": "high"}),
    "a service account": ("spec: {serviceAccountName: etl}", {"spec serviceAccountName": "etl"}),
    "an image pull policy": (
        "spec: {containers: [{name: submit, imagePullPolicy: Always}]}",
        {"spec containers 0 imagePullPolicy": "Always"},
    ),
    "a pull secret": ("spec: {imagePullSecrets: [{name: r}]}", {"spec imagePullSecrets 0 name": "r"}),
    "a native sidecar": (
        f"spec: {{{SIDECAR % 'readinessProbe: {tcpSocket: {port: 80}}'}}}",
        {"spec initContainers 0 restartPolicy": "Always", "spec initContainers 1 name": "fetch"},
    ),
    "a classic sidecar": (
        "spec: {containers: [{name: metrics, image: exporter, ports: [{containerPort: 80}]}]}",
        {"spec containers 0 image": "exporter", "spec containers 1 name": "submit"},
    ),
    "an init container": (
        "spec: {initContainers: [{name: prepare, image: curl, command: [/bin/true]}]}",
        {"spec initContainers 0 command": ["/bin/true"], "spec initContainers 1 name": "fetch"},
    ),
    "other resources": (
        "spec: {containers: [{name: submit, resources: {limits: {ephemeral-storage: 1Gi}}}]}",
        {"spec containers 0 resources limits": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}},
    ),
    "as Flink's operator writes one": (
        "{apiVersion: v1, kind: Pod, metadata: {labels: {a: b}}, spec: {restartPolicy: Never}}",
        {"metadata labels a": "b", "spec restartPolicy": "Never"},
    ),
}


def manifest_with(template: str, settings: Mapping[str, str]) -> Document:
    """The Job of a submission that fetches its script."""
    function = SubmitFunction(read_settings({**settings, "POD_TEMPLATE": template}))
    submission = SUBMISSIONS["a URL"]
    assert isinstance(submission.script, UrlScript)
    return job_manifest(submission, JOB_ID, function._target("default"))


def at(value: Any, path: str) -> Any:
    for part in path.split(" "):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


@pytest.mark.parametrize(("template", "expected"), KINDS.values(), ids=KINDS)
def test_a_template_of_each_kind_reaches_the_api_server(
    template: str, expected: Mapping[str, Any], settings: Mapping[str, str], traces: Traces
) -> None:
    api = kubernetes_client.connect(
        "lemo-dev", auth="kubeconfig", kubeconfig=settings["KUBECONFIG"], in_cluster=False
    )
    job = api.create_job(manifest_with(template, settings))  # under strict validation
    stored = traces.kubernetes.get("jobs", job.name)
    assert stored is not None
    pod = stored["spec"]["template"]
    assert {path: at(pod, path) for path in expected} == expected


PSS = {name: rule for name, rule in RULES.items() if not name.startswith("ours:")}


@pytest.mark.parametrize("template", [template for template, _ in KINDS.values()], ids=KINDS)
def test_every_pod_of_a_template_keeps_the_restricted_profile(
    template: str, settings: Mapping[str, str]
) -> None:
    pod = pod_of(manifest_with(template, settings))
    assert [name for name, (keeps, _) in PSS.items() if not keeps(pod)] == []


@pytest.mark.parametrize("template", DOCUMENTED.values(), ids=DOCUMENTED)
def test_a_documented_template_makes_a_job(
    template: str, settings: Mapping[str, str], traces: Traces, scratch_file: Callable[[str], Path]
) -> None:
    file = scratch_file("pod.yaml")
    file.write_text(template)
    settings = {**settings, "POD_TEMPLATE": f"@{file}"}
    with FunctionServer("submit", settings) as submit:
        accepted = post(submit, {"template_id": "etl", "script": {"inline": "pass"}})
    assert accepted.status_code == 202, accepted.text
    stored = traces.kubernetes.get("jobs", accepted.json()["k8s_job_name"])
    assert stored is not None
    given, pod = yaml.safe_load(template), stored["spec"]["template"]
    for member, values in given.get("metadata", {}).items():
        assert pod["metadata"][member].items() >= values.items()
    for member, value in given.get("spec", {}).items():
        is_merged = member in ("containers", "initContainers", "volumes")
        assert is_merged or pod["spec"][member] == value
        assert not is_merged or [each["name"] for each in value] == [
            each["name"] for each in pod["spec"][member][: len(value)]
        ]


def test_the_documented_templates_are_those_that_teams_ask_for() -> None:
    assert {"S3 credentials", "A node pool", "A mesh switched off"} <= set(DOCUMENTED)


def test_submit_does_not_start_with_a_bad_template(settings: Mapping[str, str]) -> None:
    with (
        pytest.raises(ProcessError, match=r"flinkjobs: POD_TEMPLATE /spec/hostNetwork must be false"),
        FunctionServer("submit", {**settings, "POD_TEMPLATE": '{"spec": {"hostNetwork": true}}'}),
    ):
        pass


RUNNING = """\
spec:
  initContainers:
    - {name: prepare, image: any, command: [/bin/sh, -c, 'echo prepared >"$0"', /data/file],
       volumeMounts: [{name: data, mountPath: /data}]}
    - {name: proxy, image: any, restartPolicy: Always, command: [/bin/sh, -c, "sleep 600"]}
  containers:
    - name: submit
      env: [{name: GREETING, value: "hello $(TEAM)"}]
      envFrom: [{configMapRef: {name: team}}]
      volumeMounts: [{name: data, mountPath: /data, readOnly: true}]
  volumes: [{name: data, emptyDir: {}}]
"""
FLINK_JOB_ID = "0123456789abcdef" * 2
FLINK = f"""#!/bin/bash
echo "$GREETING, LC_ALL is $LC_ALL, the file says $(cat $DATA/file)"
echo 'Job has been submitted with JobID {FLINK_JOB_ID}'
"""


@pytest.fixture
def flink_home(scratch_file: Callable[[str], Path]) -> Path:
    flink = scratch_file("flink") / "bin" / "flink"
    flink.parent.mkdir(parents=True)
    flink.write_text(FLINK)
    flink.chmod(0o755)
    return flink.parents[1]


def test_flink_runs_with_what_the_template_gives_it(settings: Mapping[str, str], flink_home: Path) -> None:
    template = RUNNING.replace(
        "env: [", "env: [{name: DATA, value: /data}, "
    )  # the double maps paths in values, and not those that a script holds
    with KubernetesDouble(image_paths={"/opt/flink": flink_home}) as double, KubernetesWorld(double) as world:
        world.create("configmaps", {"metadata": {"name": "team"}, "data": {"TEAM": "data"}})
        here = {**settings, "KUBECONFIG": str(double.kubeconfig), "POD_TEMPLATE": template}
        with FunctionServer("submit", here) as submit:
            accepted = post(submit, {"template_id": "etl", "script": {"path": "/jobs/etl.py"}})
        name = accepted.json()["k8s_job_name"]
        world.wait_finished(name)
        api = kubernetes_client.connect(
            "lemo-dev", auth="kubeconfig", kubeconfig=str(double.kubeconfig), in_cluster=False
        )
        pod = world.pod_of(name)
        assert pod is not None
        log = api.pod_log(pod["metadata"]["name"], "submit")
    assert isinstance(log, str)
    assert log.splitlines()[0] == "hello data, LC_ALL is C.UTF-8, the file says prepared"
    [submitter] = pod["status"]["containerStatuses"]
    assert FLINK_JOB_ID in submitter["state"]["terminated"]["message"]


def test_an_image_without_sed_fails_the_record_as_unsuitable(
    settings: Mapping[str, str], traces: Traces, flink_home: Path, scratch_file: Callable[[str], Path]
) -> None:
    tools = scratch_file("tools")
    tools.mkdir()
    (tools / "timeout").symlink_to("/usr/bin/timeout")
    with KubernetesDouble(
        image_paths={"/opt/flink": flink_home}, image_environment={"PATH": str(tools)}
    ) as double:
        here = {**settings, "KUBECONFIG": str(double.kubeconfig), "MONGODB_DATABASE": DATABASE}
        with (
            KubernetesWorld(double) as world,
            FunctionServer("submit", here) as submit,
            FunctionServer("sync", here) as sync,
        ):
            accepted = post(submit, {"template_id": "etl", "script": {"path": "/jobs/etl.py"}})
            world.wait_finished(accepted.json()["k8s_job_name"])
            synchronise(sync)
    record = traces.record()
    assert (record["status"], record["reason"]["code"]) == ("FAILED", "IMAGE_UNSUITABLE")
    assert (
        "container submit: flinkjobs: the image lacks sed: flink was not run" in record["reason"]["message"]
    )


# --- a repetition -----------------------------------------------------------------------------------

BODY = {"template_id": "etl", "script": {"inline": "pass"}}
FIRST = '{"metadata": {"labels": {"release": "first"}}}'
SECOND = '{"metadata": {"labels": {"release": "second"}}}'
OF_FIRST = "6607135a94bc84ed47ca4a0fe592d832e79451f53b39eb848420a489943b1967"
"""SHA-256 of `{"metadata":{"labels":{"release":"first"}}}`, by sha256sum."""


@pytest.mark.parametrize(
    ("then", "label"), [(SECOND, "first"), ("", "first")], ids=["another template", "none any more"]
)
def test_a_repetition_after_the_template_changed_makes_the_first_job(
    then: str, label: str, settings: Mapping[str, str], traces: Traces
) -> None:
    with (
        FunctionServer("submit", {**settings, "POD_TEMPLATE": FIRST}) as submit,
        traces.kubernetes.control.fault(
            RequestFault(effect="status", status=503, verb="create", resource="jobs")
        ),
    ):
        assert post(submit, BODY, "template").status_code == 503
    cut_off = traces.record()
    assert yaml.safe_load(cut_off["pod_template"]) == yaml.safe_load(FIRST)
    assert cut_off["pod_template_hash"] == OF_FIRST
    traces.let_repeat()
    with FunctionServer("submit", {**settings, "POD_TEMPLATE": then}) as submit:
        repeated = post(submit, BODY, "template")
    assert repeated.status_code == 200, repeated.text
    [job] = traces.kubernetes.items("jobs")
    assert job["spec"]["template"]["metadata"]["labels"]["release"] == label
    record = traces.record()
    assert (record["pod_template_hash"], "pod_template" in record) == (OF_FIRST, False)


def test_a_repetition_of_a_request_without_a_template_makes_a_job_without_one(
    settings: Mapping[str, str], submit: FunctionServer, traces: Traces
) -> None:
    fault = RequestFault(effect="status", status=503, verb="create", resource="jobs")
    with traces.kubernetes.control.fault(fault):
        assert post(submit, BODY, "bare").status_code == 503
    traces.let_repeat()
    with FunctionServer("submit", {**settings, "POD_TEMPLATE": SECOND}) as later:
        assert post(later, BODY, "bare").status_code == 200
    [job] = traces.kubernetes.items("jobs")
    assert "release" not in job["spec"]["template"]["metadata"]["labels"]
    assert "pod_template_hash" not in traces.record()


def test_a_refused_job_leaves_no_template_on_its_record(settings: Mapping[str, str], traces: Traces) -> None:
    fault = RequestFault(effect="status", status=422, verb="create", resource="jobs")
    with (
        FunctionServer("submit", {**settings, "POD_TEMPLATE": FIRST}) as submit,
        traces.kubernetes.control.fault(fault),
    ):
        assert post(submit, BODY).status_code == 502
    record = traces.record()
    assert (record["status"], record["pod_template_hash"]) == ("FAILED", OF_FIRST)
    assert "pod_template" not in record
