"""Doctor with the identity of each deployed function, on a cluster that enforces the Roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from tests.integration.doctor.conftest import Doctor
from tests.integration.doctor.system import System
from tests.integration.doctor.test_command import findings, verdicts
from tests.support.roles import FUNCTIONS, VERBS, granted, rules

TOKEN = "token-of-a-function"
NUMBER = "112233445566778899001"
"""A Google service account where its token lacks the scope of its address."""

Become: TypeAlias = Callable[..., None]


@pytest.fixture
def become(system: System) -> Iterator[Become]:
    """Gives doctor the identity, the Role and the settings of one function."""
    users: list[str] = []

    def change(name: str, *, user: str | None = None, but: tuple[str, str] | None = None) -> None:
        users.append(user or f"system:serviceaccount:lemo-dev:flinkjobs-{name}")
        system.kubernetes.control.grant(users[-1], TOKEN, rules(name, but=but))
        kubeconfig = system.kubernetes.kubeconfig(system.scratch / "of-a-function", token=TOKEN)
        system.environ["KUBECONFIG"] = str(kubeconfig)
        if name != "submit":
            del system.environ["FLINK_IMAGE"]

    yield change
    for user in users:
        system.kubernetes.control.revoke(user)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_all_is_well_with_the_role_of_the_function(doctor: Doctor, become: Become, name: str) -> None:
    become(name)
    result = doctor()
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "All is well."), result.output
    assert set(verdicts(result.stdout).values()) == {"ok"}
    evidence = findings(doctor("--json").stdout)["kubernetes.role"]["evidence"]
    listed, _, whose = evidence.removeprefix("allowed: ").partition(" (")
    assert sorted(listed.split(", ")) == sorted(f"{verb} {resource}" for verb, _, resource in granted(name))
    assert whose == f"all that {name} uses)"


@pytest.mark.parametrize(("name", "verb", "resource"), VERBS)
def test_the_finding_names_the_verb_that_the_role_lacks(
    doctor: Doctor, become: Become, name: str, verb: str, resource: str
) -> None:
    become(name, but=(verb, resource))
    result = doctor("--json")
    assert result.exit_code == 1
    [failing] = [each for each in findings(result.stdout).values() if each["verdict"] != "ok"]
    assert (failing["check"], failing["code"]) == ("kubernetes.role", "PERMISSION_MISSING")
    assert failing["evidence"] == f"not allowed: {verb} {resource} (for {name})"


def test_the_option_names_the_function_of_an_identity_with_another_name(
    doctor: Doctor, become: Become
) -> None:
    become("jobs", user=NUMBER)
    assert doctor("--function", "jobs", "--strict").exit_code == 0
    denied = findings(doctor("--json").stdout)["kubernetes.role"]
    assert "create jobs (for submit)" in denied["evidence"]
    assert "`--function`" in denied["next_step"]
