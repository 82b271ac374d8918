"""The workflows run the Makefile's targets, on every Python that the project names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE_COMMAND = "gh release create"


def jobs(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(workflow: Path) -> Iterator[str]:
    for job in jobs(workflow).values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


def test_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    run = [command for workflow in WORKFLOWS for command in commands(workflow)]
    others = [command for command in run if not command.startswith("make ")]
    assert [command.startswith(RELEASE_COMMAND) for command in others] == [True]
    named = {command.split(" ")[1] for command in run if command not in others}
    assert named >= {"check", "coverage", "test", "lock-check", "test-browser", "test-terraform", "release"}
    assert {"make demo FLINK=2", "make test-e2e FLINK=2"} <= set(run)
    assert named - targets == set()


def test_checked_pythons_are_those_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: "
    named = [each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)]
    checked = jobs(ROOT / ".github" / "workflows" / "ci.yml")["check"]["strategy"]["matrix"]["python"]
    assert checked == named
    assert project["requires-python"] == f">={named[0]}"
