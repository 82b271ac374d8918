"""The pod template: what submit refuses at its start, and what is merged under our pod."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.errors import SettingsError
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.pod_template import template_hash, template_text
from flinkjobs.submit.submission import PathScript, Submission, Target, UrlScript

BAD = yaml.safe_load((Path(__file__).parents[2] / "data" / "bad_pod_templates.yaml").read_text())
ENVIRON = {
    "MONGODB_URI": "mongodb://localhost",
    "FLINK_REST_URL": "http://flink:8081",
    "FLINK_IMAGE": "flink:1.20",
}
TARGET = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink:8081",
    timeout_seconds=600,
)
SECRET = "hunter2-geheim"

Pod = dict[str, Any]


def refusal(template: str, **settings: str) -> str:
    with pytest.raises(SettingsError) as refused:
        SubmitFunction(read_settings({**ENVIRON, **settings, "POD_TEMPLATE": template}))
    return str(refused.value)


def pointers_of(message: str) -> set[str]:
    return {fault.split(" ", 1)[0] for fault in message.removeprefix("POD_TEMPLATE ").split("; ")}


@pytest.mark.parametrize("row", BAD, ids=lambda row: row["rule"])
def test_a_bad_template_is_refused_at_the_start_with_its_pointer(row: dict[str, Any]) -> None:
    message = refusal(yaml.safe_dump(row["template"], sort_keys=False), **row.get("settings", {}))
    assert message.startswith("POD_TEMPLATE /")
    assert "\n" not in message
    pointers = {part for part in pointers_of(message) if part.startswith("/")}  # a reason may hold "; "
    assert pointers == set(row["pointers"])


def test_forty_bad_templates_and_more_are_refused() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize(
    "member",
    [
        {"command": [SECRET]},
        {"env": [{"name": "A", "value": [SECRET]}]},
        {"env": [{"name": "LC_ALL", "value": SECRET}]},
        {"imagePullPolicy": SECRET},
    ],
    ids=["refused", "of the wrong type", "ours", "none of its words"],
)
def test_a_refusal_does_not_quote_a_value(member: dict[str, Any]) -> None:
    message = refusal(json.dumps({"spec": {"containers": [{"name": "submit", **member}]}}))
    assert SECRET not in message


def test_a_bad_template_of_a_cluster_is_named_by_its_cluster() -> None:
    batch = {"rest_url": "http://batch:8081", "pod_template": {"spec": {"hostNetwork": True}}}
    with pytest.raises(SettingsError, match=r"^FLINK_CLUSTERS batch: pod_template /spec/hostNetwork "):
        SubmitFunction(read_settings({**ENVIRON, "FLINK_CLUSTERS": json.dumps({"batch": batch})}))


def pod_of(template: Pod, submission: Submission, target: Target = TARGET) -> Pod:
    manifest = job_manifest(submission, "etl_1", replace(target, pod_template=template))
    pod: Pod = manifest["spec"]["template"]
    return pod


BY_PATH = Submission(template_id="etl", script=PathScript("/jobs/etl.py"))
BY_URL = Submission(template_id="etl", script=UrlScript("https://scripts.example.org/etl.py"))


def test_maps_are_merged_by_key_and_ours_wins() -> None:
    """A template of another version may have been stored that this one would refuse."""
    template = {"metadata": {"labels": {"team": "data", "app": "x"}}, "spec": {"restartPolicy": "Always"}}
    pod = pod_of(template, BY_PATH)
    assert pod["metadata"]["labels"]["team"] == "data"
    assert pod["metadata"]["labels"]["app"] == "flink-python-job"
    assert pod["spec"]["restartPolicy"] == "Never"


def test_lists_are_merged_by_name_the_templates_entries_first() -> None:
    template = {
        "spec": {
            "containers": [
                {"name": "metrics", "image": "exporter"},
                {
                    "name": "submit",
                    "env": [{"name": "TZ", "value": "UTC"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "resources": {"limits": {"ephemeral-storage": "2Gi"}},
                },
            ],
            "initContainers": [{"name": "proxy", "image": "envoy", "restartPolicy": "Always"}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "imagePullSecrets": [{"name": "theirs"}],
        }
    }
    spec = pod_of(template, BY_URL, replace(TARGET, image_pull_secrets=("ours",)))["spec"]
    assert [one["name"] for one in spec["containers"]] == ["metrics", "submit"]
    assert [one["name"] for one in spec["initContainers"]] == ["proxy", "fetch"]
    assert [one["name"] for one in spec["volumes"]] == ["data", "script"]
    assert [one["name"] for one in spec["imagePullSecrets"]] == ["theirs", "ours"]
    submit = spec["containers"][1]
    assert submit["image"] == "flink:1.20"
    assert [one["name"] for one in submit["env"]] == ["TZ", "LC_ALL"]
    assert [one["mountPath"] for one in submit["volumeMounts"]] == ["/data", "/opt/flinkjobs"]
    assert submit["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"}
    assert submit["command"][:2] == ["/bin/bash", "-c"]


def test_every_container_of_the_template_stands_on_the_security_floor() -> None:
    template = {
        "spec": {
            "containers": [{"name": "metrics", "image": "exporter", "securityContext": {"runAsUser": 1337}}],
            "initContainers": [{"name": "proxy", "image": "envoy"}],
        }
    }
    spec = pod_of(template, BY_PATH)["spec"]
    floor = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert [one["securityContext"] for one in [*spec["initContainers"], *spec["containers"]]] == [
        floor,
        {**floor, "runAsUser": 1337},
        floor,
    ]


def test_a_template_without_metadata_or_spec_changes_nothing() -> None:
    assert pod_of({}, BY_URL) == pod_of({"metadata": {}, "spec": {}}, BY_URL)
    assert pod_of({}, BY_URL) == job_manifest(BY_URL, "etl_1", TARGET)["spec"]["template"]


def test_a_template_written_otherwise_has_the_same_hash() -> None:
    """SHA-256 of `{"spec":{"priorityClassName":"high"}}`, by sha256sum."""
    one = template_text({"spec": {"priorityClassName": "high"}})
    assert one == '{"spec":{"priorityClassName":"high"}}'
    assert template_hash(one) == "31bc4227af5f6b3f5864427aab9598636c508b3a59264f37fd15eddafb30ba38"
    assert template_text({"metadata": {}, "spec": {}}) == template_text({"spec": {}, "metadata": {}})
