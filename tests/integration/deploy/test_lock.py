"""The pinned requirements: what `pyproject.toml` asks for, pinned with hashes; a drift is reported."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy import lock
from deploy.lock import FUNCTIONS, pins

ROOT = Path(__file__).parents[3]


def pinned(name: str) -> dict[str, str]:
    """Version by package, of one function."""
    text = (ROOT / "functions" / name / "requirements.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)
    assert len(found) == len(re.findall(r"^\S", text, re.MULTILINE)), "a package is not pinned"
    return dict(found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_pinned_to_what_its_extras_ask_for(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    versions = pinned(name)
    for text in [*extras[name], *extras["gke"]]:
        asked = Requirement(text)
        assert asked.specifier.contains(versions[asked.name]), f"{text}: {versions[asked.name]}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_pin_has_hashes(name: str) -> None:
    text = (ROOT / "functions" / name / "requirements.txt").read_text(encoding="utf-8")
    for block in re.split(r"\n(?=\S)", text):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


OF_OTHERS = {
    "submit": {"apprise", "httpx", "prometheus-client"},
    "sync": {"prometheus-client"},
    "cleanup": {"apprise", "prometheus-client", "standardwebhooks"},
    "jobs": {"apprise"},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_carries_what_others_need_or_what_only_people_use(name: str) -> None:
    only_people = {"typer", "rich", "google-cloud-scheduler", "pytest", "cryptography-vectors"}
    assert pinned(name).keys() & (OF_OTHERS[name] | only_people) == set()


def test_the_pins_are_compared_without_their_hashes() -> None:
    text = (
        "# compiled\n"
        "attrs==26.1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "cffi==2.1.1 ; python_version < '3.12' \\\n    --hash=sha256:cc\n"
        "h11==0.16.0\n"
    )
    assert pins(text) == ["attrs==26.1.0", "cffi==2.1.1 ; python_version < '3.12'", "h11==0.16.0"]


def test_everything_that_is_pinned_is_locked_together() -> None:
    """A requirements file that the lock does not know would never be checked."""
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*/requirements*.txt")}
    there |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("requirements/*.txt")}
    there = {path for path in there if not path.startswith((".", "build/"))}
    assert {locked.output for locked in lock.LOCKED} == there


def test_functions_that_share_a_package_share_its_version() -> None:
    """One image holds all of them over one environment."""
    versions: dict[str, set[str]] = {}
    for name in FUNCTIONS:
        for package, version in pinned(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
