"""The Roles of `deploy/kubernetes/rbac.yaml`, as a cluster would enforce them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from doubles.kubernetes.authorization import Rule

FUNCTIONS = ("submit", "sync", "cleanup", "jobs")
RBAC = Path(__file__).parents[2] / "deploy" / "kubernetes" / "rbac.yaml"

Document = dict[str, Any]


def documents(kind: str) -> dict[str, Document]:
    """The documents of one kind, by name."""
    every = yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))
    return {each["metadata"]["name"]: each for each in every if each["kind"] == kind}


def granted(function: str) -> list[tuple[str, str, str]]:
    """Verb, API group and resource of everything that a function's Role allows."""
    return [
        (verb, group, resource)
        for rule in documents("Role")[f"flinkjobs-{function}"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def rules(function: str, *, but: tuple[str, str] | None = None) -> list[Rule]:
    """A function's Role for the double, without one verb of one resource."""
    return [
        Rule(api_groups=(group,), resources=(resource,), verbs=(verb,))
        for verb, group, resource in granted(function)
        if (verb, resource) != but
    ]


VERBS = [(function, verb, resource) for function in FUNCTIONS for verb, _, resource in granted(function)]
"""Every verb of every resource that a function's Role allows."""
