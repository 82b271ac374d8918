"""The manifests of `deploy/kubernetes/`, read as Kubernetes reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
Document = dict[str, Any]
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAGE_SECRET = "whsec_cGFnZXBhZ2VwYWdlcGFnZXBhZ2VwYWdlcGFnZXBhZ2U="
CHANNEL = {"name": "ops", "type": "webhook", "url": "http://127.0.0.1:9/", "secret": WEBHOOK_SECRET}
SECRETS = {
    "MONGODB_URI": "mongodb://mongo.example:27017",
    "WEBHOOK_SECRETS": WEBHOOK_SECRET,
    "PAGE_ACTION_SECRET": PAGE_SECRET,
    "NOTIFY_CHANNELS": json.dumps([CHANNEL]),
}
"""What a user puts in the place of the values of secrets.example.yaml, which nothing takes."""


def documents(kind: str | None = None, *, file: str = "*.yaml") -> list[Document]:
    """The documents of the files of this name, those of one kind or all."""
    found = [
        document
        for path in sorted(FOLDER.glob(file))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    return [document for document in found if kind in (None, document["kind"])]


def document(kind: str, name: str) -> Document:
    """The only one of this kind and name."""
    [found] = [each for each in documents(kind) if each["metadata"]["name"] == name]
    return found


def container(function: str) -> Document:
    """The container of a function's Deployment."""
    [found] = document("Deployment", f"flinkjobs-{function}")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def trigger(function: str) -> Document:
    """The container of a function's CronJob."""
    job = document("CronJob", f"flinkjobs-{function}")["spec"]["jobTemplate"]["spec"]
    [found] = job["template"]["spec"]["containers"]
    return dict(found)


def environment(function: str) -> dict[str, str]:
    """The variables that a function's container gets, with the Secret filled in."""
    described = container(function)
    found: dict[str, str] = {}
    for source in described["envFrom"]:
        found |= document("ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in described["env"]:
        match entry:
            case {"value": value}:
                found[entry["name"]] = value
            case {"valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}:
                found[entry["name"]] = document("Deployment", f"flinkjobs-{function}")["metadata"][
                    "namespace"
                ]
            case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
                assert key in document("Secret", name)["stringData"]
                found[entry["name"]] = SECRETS[key]
            case _:
                raise AssertionError(entry)
    return found
