"""The component `sign-in`: with it only the proxy reaches jobs, which believes the proxy's header alone."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from flinkjobs.settings.functions import read_settings
from tests.integration.deploy.manifests import SECRETS, Document, documents

PROXY = {"app.kubernetes.io/name": "flinkjobs-sign-in"}
JOBS = {"app.kubernetes.io/name": "flinkjobs-jobs"}


def component(kind: str) -> Document:
    """The only one of this kind in the component."""
    [found] = documents(kind, file="sign-in/*.yaml")
    return found


def patched() -> list[Document]:
    """Everything that is applied with the component."""
    [described] = documents("Component", file="sign-in/*.yaml")
    added = [each for name in described["resources"] for each in documents(file=f"sign-in/{name}")]
    found = copy.deepcopy([each for each in documents() if each["kind"] != "Kustomization"])
    for patch in described["patches"]:
        kind, name = patch["target"]["kind"], patch["target"]["name"]
        [target] = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        for operation in yaml.safe_load(patch["patch"]):
            apply(target, operation)
    return found + added


def apply(target: Any, operation: Document) -> None:
    """One operation of https://www.rfc-editor.org/rfc/rfc6902"""
    *parents, last = operation["path"].split("/")[1:]
    for name in parents:
        target = target[int(name) if isinstance(target, list) else name]
    if last == "-":
        assert operation["op"] == "add"
        target.append(operation["value"])
    else:
        assert (operation["op"], last in target) == ("replace", True)
        target[last] = operation["value"]


def test_only_the_proxy_reaches_jobs() -> None:
    """Policies add up: no other may let anything in."""
    policies = [each["spec"] for each in patched() if each["kind"] == "NetworkPolicy"]
    of_jobs = [
        spec for spec in policies if spec["podSelector"].get("matchLabels", {}).items() <= JOBS.items()
    ]
    [policy] = of_jobs
    assert policy["podSelector"] == {"matchLabels": JOBS}
    assert policy["policyTypes"] == ["Ingress"]
    [rule] = policy["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": PROXY}}]
    pods = [each for each in patched() if each["kind"] in ("Deployment", "CronJob")]
    reaching = [each["metadata"]["name"] for each in pods if PROXY.items() <= labels_of(each).items()]
    assert reaching == ["flinkjobs-sign-in"]


def labels_of(workload: Document) -> Document:
    spec = workload["spec"].get("jobTemplate", workload)["spec"]
    labels: Document = spec["template"]["metadata"]["labels"]
    return labels


def test_who_reached_jobs_reaches_the_proxy() -> None:
    [of_jobs] = [each for each in documents("NetworkPolicy") if each["metadata"]["name"] == "flinkjobs-jobs"]
    [before], [now] = of_jobs["spec"]["ingress"], component("NetworkPolicy")["spec"]["ingress"]
    assert now["from"] == before["from"]
    [container] = component("Deployment")["spec"]["template"]["spec"]["containers"]
    assert [port["port"] for port in now["ports"]] == [container["ports"][0]["containerPort"]]
    assert component("Service")["spec"]["selector"] == PROXY
    assert labels_of(component("Deployment")).items() >= PROXY.items()


def test_jobs_believes_the_header_that_the_proxy_sets() -> None:
    settings = component("ConfigMap")["data"]
    [jobs] = [
        each
        for each in patched()
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", "flinkjobs-jobs")
    ]
    [container] = jobs["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry for entry in container["env"]}
    assert given["OPERATORS"]["valueFrom"] == {
        "configMapKeyRef": {"name": component("ConfigMap")["metadata"]["name"], "key": "OPERATORS"}
    }
    header = given["TRUSTED_USER_HEADER"]["value"]
    read = read_settings({**SECRETS, "TRUSTED_USER_HEADER": header, "OPERATORS": settings["OPERATORS"]})
    assert (
        read.trusted_user_header == "X-Forwarded-Email"
    )  # of PASS_USER_HEADERS, in oauth2-proxy's reference
    assert read.operators == ("ops@example.com",)
    assert settings["OAUTH2_PROXY_PASS_USER_HEADERS"] == "true"
    assert settings["OAUTH2_PROXY_UPSTREAMS"] == f"http://{jobs['metadata']['name']}"


def test_the_proxy_lets_nothing_through_without_a_sign_in_and_believes_no_forwarded_address() -> None:
    names = set(component("ConfigMap")["data"]) - {"OPERATORS"}
    assert all(name.startswith("OAUTH2_PROXY_") for name in names)
    assert not [name for name in names if "SKIP_AUTH" in name or "SKIP_JWT" in name or "INSECURE" in name]
    assert "OAUTH2_PROXY_REVERSE_PROXY" not in names
    [container] = component("Deployment")["spec"]["template"]["spec"]["containers"]
    image, _, version = container["image"].partition(":v")
    assert image == "quay.io/oauth2-proxy/oauth2-proxy"
    assert tuple(map(int, version.split("."))) >= (7, 15, 2)


def test_the_secrets_are_in_the_secret_alone_and_its_pattern_is_not_applied() -> None:
    [described] = documents("Component", file="sign-in/*.yaml")
    assert "secrets.example.yaml" not in described["resources"]
    secret, settings = component("Secret"), component("ConfigMap")["data"]
    assert secret["stringData"].keys() & settings.keys() == set()
    assert set(secret["stringData"].values()) == {"REPLACE-THIS"}
    assert len("REPLACE-THIS") not in (16, 24, 32), "oauth2-proxy would take it for a cookie secret"
    [container] = component("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": component("ConfigMap")["metadata"]["name"]}},
        {"secretRef": {"name": secret["metadata"]["name"]}},
    ]


def test_everything_is_in_the_namespace_of_the_functions() -> None:
    named = [each for each in documents(file="sign-in/*.yaml") if each["kind"] != "Component"]
    assert {each["metadata"]["namespace"] for each in named} == {"lemo-dev"}
