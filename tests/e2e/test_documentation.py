"""The command blocks of the documentation run as they stand.

The word after `console` says where: `runnable` on a running stack, `tutorial` there too, one after the other,
`clone` in a new clone (`fresh_clone.py`, or a run of CI). An `example` is not run: it names an account, a
cluster, or a job that only its reader has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[bdt]*/README.md")])
BLOCK = re.compile(r"^```console runnable\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^ *```(?:console|sh|bash|shell) *(\w*)$", re.MULTILINE)
SCRIPT = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^```console tutorial\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOB_ID = re.compile(r"^(first_job_\d+) is ", re.MULTILINE)
KINDS = {"runnable", "tutorial", "clone", "example"}
BLOCK_SECONDS = 120


def commands(block: str) -> str:
    """The commands of a block: what follows a `$ `, with its continuation lines; output is left out."""
    lines: list[str] = []
    is_command = False
    for line in block.splitlines():
        if line.startswith("$ "):
            lines.append(line.removeprefix("$ "))
            is_command = True
        elif is_command and line.startswith(("    ", "  }", "> ")):
            lines.append(line.removeprefix("> "))
        else:
            is_command = False
    return "\n".join(lines)


def run_block(script: str, settings: Mapping[str, str], *, home: Path, directory: Path) -> str:
    """Runs commands as a reader's shell would; returns what they printed, errors included."""
    environ = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        **settings,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environ,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=BLOCK_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


BLOCKS = [
    pytest.param(commands(block), id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text()), start=1)
]

EACH_ONCE = list({block.values[0]: block for block in reversed(BLOCKS)}.values())[::-1]
"""The commands that pages of two languages share run once."""


def test_there_are_commands_in_the_readme_of_either_language() -> None:
    pages = {str(block.id).rpartition("-")[0] for block in BLOCKS}
    assert {"README.md", "README.zh-CN.md"} <= pages
    assert all(block.values[0] for block in BLOCKS)


def test_every_block_of_commands_says_where_it_runs() -> None:
    unmarked = {page.name: set(ANY_BLOCK.findall(page.read_text())) - KINDS for page in PAGES}
    assert {name: kinds for name, kinds in unmarked.items() if kinds} == {}


@pytest.mark.parametrize("script", EACH_ONCE)
def test_the_commands_run(script: str, stack: Stack, tmp_path: Path) -> None:
    """With the settings that `make up` writes."""
    settings = {**stack.function_settings, **stack.command_settings}
    run_block(script, settings, home=tmp_path, directory=ROOT)


def followed(name: str) -> tuple[str, list[str]]:
    """The script of a tutorial, and the commands of its steps."""
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    [script] = SCRIPT.findall(page)
    return script, [commands(step) for step in STEP.findall(page)]


def test_tutorial_has_the_same_steps_in_both_languages() -> None:
    assert followed("tutorial.zh-CN.md") == followed("tutorial.md")


def test_tutorial_each_step_gives_what_the_page_shows(stack: Stack, tmp_path: Path) -> None:
    script, steps = followed("tutorial.md")
    (tmp_path / "first_job.py").write_text(script)
    job_id, shown = "", []
    for step in steps:
        command = step.replace(" ID", f" {job_id}")
        output = run_block(command, stack.command_settings, home=tmp_path, directory=tmp_path)
        if found := JOB_ID.search(output):
            job_id = found[1]
        shown.append(output)
    finished, details, failed, log = shown
    assert "is FINISHED after" in finished
    assert re.search(r"\b[0-9a-f]{32}\b", details), details
    assert "SUBMIT_FAILED: ValueError: invalid literal for int() with base 10: 'ten'" in failed
    assert "exit code 1" in failed
    assert "Traceback" in log
