"""Every command block of the documentation that is marked `console runnable` runs as it stands."""

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
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```console runnable\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


def test_there_are_commands_in_the_readme_of_either_language() -> None:
    pages = {str(block.id).rpartition("-")[0] for block in BLOCKS}
    assert {"README.md", "README.zh-CN.md"} <= pages
    assert all(block.values[0] for block in BLOCKS)


@pytest.mark.parametrize("script", BLOCKS)
def test_the_commands_run(script: str, stack: Stack, tmp_path: Path) -> None:
    """With the addresses that the text names, as `make up` prints them."""
    addresses = {f"{name.upper()}_URL": function.url for name, function in stack.functions.items()}
    run_block(script, {**stack.function_settings, **addresses}, home=tmp_path, directory=ROOT)
