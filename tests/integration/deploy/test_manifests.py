"""The set for a cluster without Google: every name in it leads to an object, its values are the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import count
from pathlib import Path

import httpx
import pytest

from deploy.lock import FUNCTIONS
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.naming import APP, APP_LABEL
from flinkjobs.entrypoints import follow as entry_point
from flinkjobs.settings.functions import Settings, read_settings
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from local import stack
from tests.integration.deploy.manifests import (
    FOLDER,
    SECRETS,
    Document,
    container,
    document,
    documents,
    environment,
    trigger,
)
from tests.support.kubernetes_world import KubernetesWorld

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
SOURCE = (ROOT / "shared" / "flinkjobs" / "settings" / "functions.py").read_text(encoding="utf-8")
OF_CLUSTERS = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', SOURCE))
KNOWN = {each.name.upper() for each in fields(Settings)} | OF_CLUSTERS | {"THREADS"}
"""Names that settings/functions.py reads, and the one that the functions framework does."""
TRIGGERED = ("sync", "cleanup")
NUMBERS = count()
SIGN_IN_IMAGE = "quay.io/oauth2-proxy/oauth2-proxy"


def instruction(name: str) -> list[str]:
    """The arguments of every instruction of this name in the Dockerfile, in their order."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def pod_of(workload: Document) -> Document:
    """The pod template of a Deployment or CronJob."""
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Document = spec["template"]
    return found


def workloads() -> list[Document]:
    components = [
        *documents("Deployment", file="follow/*.yaml"),
        *documents("Deployment", file="sign-in/*.yaml"),
    ]
    return documents("Deployment") + documents("CronJob") + components


# --- the whole --------------------------------------------------------------------------------------


def test_the_kustomization_names_every_file_but_the_example() -> None:
    [kustomization] = documents("Kustomization")
    files = {path.name for path in FOLDER.glob("*.yaml")}
    assert set(kustomization["resources"]) == files - {"kustomization.yaml", "secrets.example.yaml"}
    assert [image["name"] for image in kustomization["images"]] == ["flinkjobs"]


def test_everything_is_in_the_namespace_that_is_the_default() -> None:
    [namespace] = documents("Namespace")
    name = namespace["metadata"]["name"]
    assert name == read_settings({"MONGODB_URI": "mongodb://mongo"}).k8s_namespace
    for each in documents():
        if each["kind"] not in ("Namespace", "Kustomization"):
            assert each["metadata"]["namespace"] == name, each["metadata"]


def test_no_two_documents_have_one_name() -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in documents() if "metadata" in each]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "workload", workloads(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_a_pod_is_what_kubernetes_knows(workload: Document, kubernetes_world: KubernetesWorld) -> None:
    """The double refuses a field that is unknown or misspelt, as the API server does."""
    template = pod_of(workload)
    metadata = {"name": f"checked-{next(NUMBERS)}", "labels": template["metadata"]["labels"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    created = validated(kubernetes_world.double, "/api/v1/namespaces/lemo-dev/pods", pod)
    assert created["spec"]["containers"][0]["image"].partition(":")[0] in ("flinkjobs", SIGN_IN_IMAGE)


@pytest.mark.parametrize("name", TRIGGERED)
def test_a_trigger_is_a_job_that_kubernetes_knows(name: str, kubernetes_world: KubernetesWorld) -> None:
    template = document("CronJob", f"flinkjobs-{name}")["spec"]["jobTemplate"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"checked-{name}"}, **template}
    created = validated(kubernetes_world.double, "/apis/batch/v1/namespaces/lemo-dev/jobs", job)
    assert created["spec"]["backoffLimit"] == 0


def validated(double: KubernetesDouble, path: str, body: Document) -> Document:
    answer = httpx.post(
        double.url + path,
        params={"fieldValidation": "Strict"},
        json=body,
        headers={"Authorization": f"Bearer {double.token}"},
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    created: Document = answer.json()
    return created


@pytest.mark.parametrize(
    "workload", workloads(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_a_pod_meets_the_restricted_standard_and_writes_nowhere_but_tmp(workload: Document) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec = pod_of(workload)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    user, group = spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]
    assert instruction("USER") == [f"{user}:{group}"]
    assert {next(iter(set(volume) - {"name"})) for volume in spec.get("volumes", [])} <= {"emptyDir"}
    for each in spec["containers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [mount["mountPath"] for mount in each.get("volumeMounts", [])] in ([], ["/tmp"])  # noqa: S108 of the container
        assert each["resources"]["limits"]["memory"]
        assert each["resources"]["requests"].keys() == {"cpu", "memory"}


# --- the image --------------------------------------------------------------------------------------


def test_the_image_holds_every_function_and_its_requirements() -> None:
    assert instruction("COPY")[0] == ". /functions/"
    assert re.findall(r"--requirement ([^\s;]+)", DOCKERFILE) == [
        f"{name}/requirements.txt" for name in FUNCTIONS
    ]
    assert instruction("FROM") == ["python:3.12-slim AS build", "python:3.12-slim"]
    assert instruction("ENV")[0].startswith("HOME=/tmp ")


# --- the functions ----------------------------------------------------------------------------------


def test_there_is_a_deployment_and_a_service_for_each_function() -> None:
    names = [f"flinkjobs-{name}" for name in FUNCTIONS]
    assert [each["metadata"]["name"] for each in documents("Deployment")] == names
    assert [each["metadata"]["name"] for each in documents("Service")] == names


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_deployment_fits_its_service_its_account_and_the_image(name: str) -> None:
    deployment, service = (
        document("Deployment", f"flinkjobs-{name}"),
        document("Service", f"flinkjobs-{name}"),
    )
    pod, described = pod_of(deployment), container(name)
    labels = pod["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    assert document("ServiceAccount", pod["spec"]["serviceAccountName"])["metadata"]["name"].endswith(name)
    [port] = described["ports"]
    assert instruction("EXPOSE") == [str(port["containerPort"])]
    assert f"--port={port['containerPort']}" in described["command"]
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": port["name"]}]
    probes = {kind: described[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/health",
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert described["readinessProbe"]["timeoutSeconds"] <= described["readinessProbe"]["periodSeconds"]


@pytest.mark.parametrize("name", TRIGGERED)
def test_sync_and_cleanup_are_one(name: str) -> None:
    assert document("Deployment", f"flinkjobs-{name}")["spec"]["replicas"] == 1


def test_follow_mode_is_one_pod_that_is_set_as_sync_is() -> None:
    """Two would only wait for each other's lease; the CronJob stays."""
    [component] = documents("Component", file="follow/*.yaml")
    [deployment] = documents("Deployment", file="follow/*.yaml")
    assert component["resources"] == ["deployment.yaml"]
    assert document("CronJob", "flinkjobs-sync")
    spec, pod = deployment["spec"], pod_of(deployment)
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    sync = pod_of(document("Deployment", "flinkjobs-sync"))["spec"]
    assert pod["spec"]["serviceAccountName"] == sync["serviceAccountName"]
    [follow], [function] = pod["spec"]["containers"], sync["containers"]
    assert follow["envFrom"] == function["envFrom"]
    assert follow["env"] == [{"name": "PYTHONPATH", "value": "/functions/sync"}, *function["env"]]
    assert follow["command"][1:] == ["-m", entry_point.__name__]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gets_settings_that_it_knows(name: str) -> None:
    given = environment(name)
    assert given.keys() - KNOWN == set()
    settings = read_settings(given, required=["FLINK_REST_URL", "FLINK_IMAGE"])
    assert (settings.k8s_auth, settings.k8s_namespace) == ("incluster", "lemo-dev")
    assert bool(settings.webhook_secrets) == (name == "submit")
    assert bool(settings.page_action_secret) == (name in ("jobs", "submit"))
    assert bool(settings.sync_url) == (name in ("jobs", "submit"))


def test_secrets_are_in_no_other_document() -> None:
    [secret] = documents("Secret")
    settings = document("ConfigMap", "flinkjobs")["data"]
    assert settings.keys() & secret["stringData"].keys() == set()
    assert secret["stringData"].keys() == SECRETS.keys()


@pytest.mark.parametrize("name", ["MONGODB_URI", "NOTIFY_CHANNELS", "PAGE_ACTION_SECRET", "WEBHOOK_SECRETS"])
def test_no_function_starts_with_a_secret_of_the_example(name: str) -> None:
    """Applied as it is by mistake, it would let in everybody who can read it here."""
    [secret] = documents("Secret")
    with pytest.raises(SettingsError, match=f"^{name} must "):
        read_settings({**SECRETS, name: secret["stringData"][name]})
    assert read_settings(SECRETS).webhook_secrets == (SECRETS["WEBHOOK_SECRETS"],)


@pytest.mark.parametrize("name", ["jobs", "submit"])
def test_who_asks_sync_finds_it(name: str) -> None:
    address = f"http://{document('Service', 'flinkjobs-sync')['metadata']['name']}"
    assert environment(name)["SYNC_URL"] == address


def test_the_page_acts_on_jobs_only_where_that_is_switched_on() -> None:
    """One line, which names the Service of submit."""
    assert "SUBMIT_URL" not in environment("jobs")
    [line] = re.findall(r"^  # (SUBMIT_URL: .*)$", (FOLDER / "settings.yaml").read_text(), re.MULTILINE)
    assert line == f"SUBMIT_URL: http://{document('Service', 'flinkjobs-submit')['metadata']['name']}"


# --- the triggers -----------------------------------------------------------------------------------


def test_the_schedules_are_the_defaults_and_never_overlap() -> None:
    specs = {name: document("CronJob", f"flinkjobs-{name}")["spec"] for name in TRIGGERED}
    assert {name: spec["schedule"] for name, spec in specs.items()} == {
        "sync": stack.SYNC_CRON,
        "cleanup": stack.CLEANUP_CRON,
    }
    assert {(spec["concurrencyPolicy"], spec["timeZone"]) for spec in specs.values()} == {
        ("Forbid", "Etc/UTC")
    }


@pytest.mark.parametrize("name", TRIGGERED)
def test_a_trigger_waits_longer_than_a_pass_works_and_ends_before_the_next(name: str) -> None:
    job = document("CronJob", f"flinkjobs-{name}")["spec"]["jobTemplate"]["spec"]
    url, wait = trigger(name)["args"]
    assert url == f"http://{document('Service', f'flinkjobs-{name}')['metadata']['name']}/"
    settings = read_settings(environment(name))
    assert settings.sync_budget_seconds < float(wait) < job["activeDeadlineSeconds"]
    assert job["activeDeadlineSeconds"] < settings.sync_period_seconds
    assert job["template"]["spec"]["automountServiceAccountToken"] is False
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")


# --- the network ------------------------------------------------------------------------------------


def selected(selector: Document) -> set[str]:
    """The workloads whose pods a selector means."""
    return {
        f"{each['kind']} {each['metadata']['name']}"
        for each in workloads()
        if selector["matchLabels"].items() <= pod_of(each)["metadata"]["labels"].items()
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_reached_on_its_port_by_who_carries_its_label(name: str) -> None:
    spec = document("NetworkPolicy", f"flinkjobs-{name}")["spec"]
    assert selected(spec["podSelector"]) == {f"Deployment flinkjobs-{name}"}
    assert spec["policyTypes"] == ["Ingress"]
    [rule] = spec["ingress"]
    assert [port["port"] for port in rule["ports"]] == [container(name)["ports"][0]["containerPort"]]
    label = {"matchLabels": {f"flinkjobs/calls-{name}": "true"}}
    pods, namespaces = {"podSelector": label}, {"namespaceSelector": label}
    assert rule["from"] == ([pods] if name in TRIGGERED else [pods, namespaces])


def test_only_the_triggers_the_page_and_submit_reach_a_function() -> None:
    """Who else reaches submit, and who reaches the page, is up to who deploys them."""
    reach = {
        name: selected(
            document("NetworkPolicy", f"flinkjobs-{name}")["spec"]["ingress"][0]["from"][0]["podSelector"]
        )
        for name in FUNCTIONS
    }
    assert reach == {
        "submit": {"Deployment flinkjobs-jobs"},
        "sync": {"CronJob flinkjobs-sync", "Deployment flinkjobs-jobs", "Deployment flinkjobs-submit"},
        "cleanup": {"CronJob flinkjobs-cleanup"},
        "jobs": set(),
    }


def test_the_guide_says_how_a_caller_is_let_in() -> None:
    guide = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for name in ("submit", "jobs"):
        assert f"flinkjobs/calls-{name}=true" in guide


def test_the_submitters_reach_flink_names_and_the_public_web_only() -> None:
    spec = document("NetworkPolicy", "flinkjobs-submitters")["spec"]
    target = Target(
        namespace="lemo-dev",
        image="flink:1.20",
        flink_bin="/opt/flink/bin/flink",
        jobmanager="flink:8081",
        timeout_seconds=600,
    )
    submission = Submission(template_id="etl", script=PathScript("/opt/a.py"))
    template = job_manifest(submission, "etl_1", target)["spec"]["template"]
    assert spec["podSelector"]["matchLabels"] == {APP_LABEL: APP}
    assert spec["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert selected(spec["podSelector"]) == set()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec, "the API server drops an empty list: every `kubectl apply` would change it"
    assert [[port["port"] for port in rule["ports"]] for rule in spec["egress"]] == [[53, 53], [8081], [443]]
    [web] = spec["egress"][2]["to"]
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"}
    assert (web["ipBlock"]["cidr"], set(web["ipBlock"]["except"])) == ("0.0.0.0/0", private)
