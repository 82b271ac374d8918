"""The order of changes to a deployment, from Terraform's own plans: what goes before what comes.

Each test applies the module to doubles of the providers, changes one value, and reads the plan and its graph.
`make test-terraform` runs this file by its name, where terraform is installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import pytest

from tests.terraform import providers
from tests.terraform.workspace import Workspace, workspace

MODULE: Final = "terraform"
FUNCTIONS: Final = ("cleanup", "jobs", "submit", "sync")
VARIABLES: Final[Mapping[str, Any]] = {
    "bundle_dir": "../functions",
    "flink_image": "registry.example.com/flink:1.20",
    "flink_rest_url": "http://10.0.0.5:8081",
    "gke_cluster": "projects/my-project/locations/europe-west1/clusters/main",
    "mongodb_read_uri": "mongodb://reader@10.0.0.6",
    "mongodb_uri": "mongodb://writer@10.0.0.6",
    "notify_channels": '[{"name": "ops", "type": "chat", "url": "slack://a/b/c"}]',
    "page_action_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "project_id": "my-project",
    "webhook_secrets": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
CONNECTOR: Final = "google_vpc_access_connector.this[0]"
NO_CHANGE: Final = ({"no-op"}, {"read"})

State: TypeAlias = dict[str, Any]


def function(name: str) -> str:
    return f'google_cloudfunctions2_function.this["{name}"]'


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of changes.

    Attributes:
        actions: what is done to each resource that changes, by its address, in the order in which it is done.
        graph: by node, the nodes that come before it.
    """

    actions: Mapping[str, tuple[str, ...]]
    graph: Mapping[str, frozenset[str]]

    def comes_after(self, later: str, earlier: str) -> bool:
        """Whether one node of the graph waits for another one, directly or not."""
        assert {later, earlier} <= self.graph.keys(), (later, earlier, sorted(self.graph))
        seen: set[str] = set()
        left = [later]
        while left:
            for before in self.graph.get(left.pop(), frozenset()) - seen:
                seen.add(before)
                left.append(before)
        return earlier in seen


@dataclass(frozen=True, slots=True)
class Deployment:
    """The module as the root of a configuration, with its state."""

    copy: Workspace
    variables: Mapping[str, Any]

    def apply(self) -> None:
        self._run("apply", "-auto-approve")

    def plan(self) -> Plan:
        self._run("plan", "-out=changes")
        planned = json.loads(self._terraform("show", "-json", "changes"))
        changes = planned.get("resource_changes", [])
        actions = {change["address"]: tuple(change["change"]["actions"]) for change in changes}
        dot = self._terraform("graph", "-type=apply", "-plan=changes")
        graph: dict[str, set[str]] = {}
        for node in re.findall(r'^\t+"\[root\] ((?:[^"\\]|\\.)+)" \[', dot, re.MULTILINE):
            graph[_address(node)] = set()
        for later, earlier in re.findall(
            r'"\[root\] ((?:[^"\\]|\\.)+)" -> "\[root\] ((?:[^"\\]|\\.)+)"', dot
        ):
            graph.setdefault(_address(later), set()).add(_address(earlier))
            graph.setdefault(_address(earlier), set())
        return Plan(
            {address: done for address, done in actions.items() if set(done) not in NO_CHANGE},
            {node: frozenset(before) for node, before in graph.items()},
        )

    def changed(self, **variables: Any) -> Deployment:
        """The same with other variables; None leaves one out."""
        given = {**self.variables, **variables}
        return replace(self, variables={name: value for name, value in given.items() if value is not None})

    def rewrite(self, file: str, old: str, new: str) -> None:
        """Changes a file of the module."""
        path = self.copy.directory / MODULE / file
        text = path.read_text()
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new))

    def rewrite_state(self, kind: str, **changes: Any) -> None:
        """Changes every resource of a type in the state: attributes, and `create_before_destroy`."""
        path = self.copy.directory / MODULE / "terraform.tfstate"
        state = json.loads(path.read_text())
        [resource] = [found for found in state["resources"] if found["type"] == kind]
        for instance in resource["instances"]:
            for name, value in changes.items():
                (instance if name == "create_before_destroy" else instance["attributes"])[name] = value
        state["serial"] += 1
        path.write_text(json.dumps(state))

    def _run(self, *command: str) -> str:
        given = (
            f"-var={name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in self.variables.items()
        )
        return self._terraform(*command, "-input=false", "-lock=false", *given)

    def _terraform(self, *command: str) -> str:
        done = self.copy.run(MODULE, *command)
        assert done.returncode == 0, done.stdout
        return done.stdout


def _address(node: str) -> str:
    return node.replace('\\"', '"')


@contextmanager
def deployed(
    found: Mapping[str, Mapping[str, Any]] = providers.FOUND, **variables: Any
) -> Iterator[Deployment]:
    """The module, applied with these variables."""
    with workspace(found) as copy:
        deployment = Deployment(copy, VARIABLES).changed(**variables)
        deployment._terraform("init", "-backend=false")
        deployment.apply()
        yield deployment


@pytest.fixture
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """As it is by default, or with the variables of the parameter."""
    with deployed(**getattr(request, "param", {})) as applied:
        yield applied


def test_a_second_plan_changes_nothing(deployment: Deployment) -> None:
    assert deployment.plan().actions == {}


def test_a_further_service_is_switched_on_and_changes_nothing_else(deployment: Deployment) -> None:
    """Else it takes the build's grant away for a while, and the bundles under their own names."""
    deployment.rewrite(
        "main.tf",
        '    "container.googleapis.com",\n',
        '    "compute.googleapis.com",\n    "container.googleapis.com",\n',
    )
    actions = dict(deployment.plan().actions)
    assert actions.pop('google_project_service.this["compute.googleapis.com"]') == ("create",)
    assert set(actions.pop("time_sleep.services")) == {"create", "delete"}
    assert actions == {}


@pytest.mark.parametrize(
    ("version", "secret", "reader"),
    [
        ("webhook_secrets_version", "webhook-secrets", "submit"),
        ("page_action_secret_version", "page-action-secret", "jobs"),
        ("notify_channels_version", "notify-channels", "sync"),
        ("mongodb_read_uri_version", "mongodb-read-uri", "jobs"),
    ],
)
def test_a_function_gets_a_new_secret_once_its_grant_is_known_everywhere(
    deployment: Deployment, version: str, secret: str, reader: str
) -> None:
    plan = deployment.changed(**{version: 1}).plan()
    grant = f'google_secret_manager_secret_iam_member.function["{reader}:{secret}"]'
    assert plan.actions[grant] == ("create",)
    assert set(plan.actions["time_sleep.grants"]) == {"create", "delete"}
    assert plan.actions[function(reader)] == ("update",)
    assert plan.comes_after("time_sleep.grants", grant)
    assert plan.comes_after(function(reader), "time_sleep.grants")


@pytest.mark.parametrize("deployment", [{"webhook_secrets_version": 1}], indirect=True)
def test_a_secret_that_goes_is_readable_until_its_function_has_moved(deployment: Deployment) -> None:
    plan = deployment.changed(webhook_secrets_version=None).plan()
    assert plan.actions[function("submit")] == ("update",)
    for gone in (
        'google_secret_manager_secret_iam_member.function["submit:webhook-secrets"]',
        'google_secret_manager_secret_version.this["webhook-secrets"]',
        'google_secret_manager_secret.this["webhook-secrets"]',
    ):
        assert plan.actions[gone] == ("delete",)
        assert plan.comes_after(f"{gone} (destroy)", function("submit")), gone


def test_a_new_version_of_a_secret_is_in_use_before_the_old_one_is_disabled(deployment: Deployment) -> None:
    plan = deployment.changed(mongodb_uri_version=2).plan()
    version = 'google_secret_manager_secret_version.this["mongodb-uri"]'
    assert plan.actions[version] == ("create", "delete")
    [destroyed] = [node for node in plan.graph if node.startswith(f"{version} (destroy")]
    for name in FUNCTIONS:
        assert plan.comes_after(function(name), version)
        assert plan.comes_after(destroyed, function(name))


CONNECTED: Final[Mapping[str, Any]] = {"vpc_access": "connector"}
OTHER_WAYS: Final = pytest.mark.parametrize(
    "other",
    [
        {"vpc_access": "direct"},
        {"vpc_connector": "projects/my-project/locations/europe-west1/connectors/main"},
    ],
    ids=["direct", "another connector"],
)


@OTHER_WAYS
@pytest.mark.parametrize("deployment", [CONNECTED], indirect=True)
def test_a_connector_stays_until_the_functions_have_moved(
    deployment: Deployment, other: Mapping[str, Any]
) -> None:
    plan = deployment.changed(**other).plan()
    assert plan.actions[CONNECTOR] == ("delete",)
    for name in FUNCTIONS:
        assert plan.actions[function(name)] == ("update",)
        assert plan.comes_after(f"{CONNECTOR} (destroy)", function(name))


@pytest.mark.parametrize("deployment", [CONNECTED], indirect=True)
def test_an_older_connector_stays_if_it_was_applied_as_it_is_before(deployment: Deployment) -> None:
    """The two steps of terraform/README.md, and why there are two."""
    deployment.rewrite_state("google_vpc_access_connector", create_before_destroy=False)
    at_once = deployment.changed(vpc_access="direct")
    plan = at_once.plan()
    assert not plan.comes_after(f"{CONNECTOR} (destroy)", function("sync"))
    deployment.apply()
    plan = at_once.plan()
    for name in FUNCTIONS:
        assert plan.comes_after(f"{CONNECTOR} (destroy)", function(name))


def test_direct_egress_moves_to_a_connector_that_is_there(deployment: Deployment) -> None:
    plan = deployment.changed(**CONNECTED).plan()
    assert plan.actions[CONNECTOR] == ("create",)
    for name in FUNCTIONS:
        assert plan.comes_after(function(name), CONNECTOR)


def test_the_functions_keep_their_way_into_the_cluster_when_its_role_is_replaced(
    deployment: Deployment,
) -> None:
    """As where the role's id has no suffix yet."""
    role = "google_project_iam_custom_role.cluster_access"
    old = "projects/my-project/roles/flinkjobs_cluster_access"
    deployment.rewrite_state(
        "google_project_iam_custom_role",
        role_id="flinkjobs_cluster_access",
        name=old,
        create_before_destroy=False,
    )
    plan = deployment.plan()
    assert plan.actions[role] == ("create", "delete")
    [role_destroyed] = [node for node in plan.graph if node.startswith(f"{role} (destroy")]
    for name in FUNCTIONS:
        grant = f'google_project_iam_member.cluster_access["{name}"]'
        assert plan.actions[grant] == ("create", "delete")
        [destroyed] = [node for node in plan.graph if node.startswith(f"{grant} (destroy")]
        assert plan.comes_after(destroyed, grant)
        assert plan.comes_after(role_destroyed, destroyed)


def test_a_role_has_another_id_after_a_destroy(deployment: Deployment) -> None:
    """From day 7 to day 37 after it Google takes the old one neither for a new role nor back."""
    first = role_id(deployment)
    deployment._run("destroy", "-auto-approve")
    deployment.apply()
    assert role_id(deployment) != first


def role_id(deployment: Deployment) -> str:
    state = json.loads((deployment.copy.directory / MODULE / "terraform.tfstate").read_text())
    [role] = [found for found in state["resources"] if found["type"] == "google_project_iam_custom_role"]
    id_: str = role["instances"][0]["attributes"]["role_id"]
    assert re.fullmatch(r"[a-zA-Z0-9_.]{3,64}", id_.replace("-", "_"))
    return id_


def test_a_paused_schedule_stays_paused(deployment: Deployment) -> None:
    """Also where the provider resumes what the configuration does not pause."""
    deployment.rewrite_state("google_cloud_scheduler_job", paused=True)
    assert deployment.plan().actions == {}
