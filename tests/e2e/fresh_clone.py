"""The first hours of a new user on a fresh clone, in a terminal of 100 columns. `make test-clone`.

README, tutorial, every further command of the documentation that can run on a stack of one's own, commit
hooks. It runs the commands as they are typed, and prints them, their duration and their output. It needs the
network.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.test_documentation import BLOCK, JOB_ID, PAGES, SCRIPT, STEP, commands
from tests.support.terminal import Terminal

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = re.compile(r"^ *(source .*)$")
IN_CLONE: Final = re.compile(r"^```console clone\n(\$ flinkjobs .*?)^```$", re.MULTILINE | re.DOTALL)
COLUMNS: Final = 100
STEP_SECONDS: Final = 600
PREPARE_SECONDS: Final = 1200
"""Seconds that `make up` may take until it is ready: the first run downloads about 550 MB."""


def main() -> int:
    """Runs every step; fails at the first that does not do what its page shows."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "flinkjobs"
        shell(f"git clone -q {ROOT} {clone}", Path(folder))
        shell("make demo", clone)
        with stack(clone) as source:
            follow(clone, source)
        shell(".venv/bin/pre-commit run --all-files", clone)
        if left := shell("git status --porcelain", clone):
            raise SystemExit(f"the clone is changed:\n{left}")
    return 0


def follow(clone: Path, source: str) -> None:
    """README, tutorial, then all other pages, in a second terminal in which `build/up.env` was read."""
    ready = time.monotonic()
    [curl] = BLOCK.findall((clone / "README.md").read_text(encoding="utf-8"))
    shell(f"{source}\n{commands(curl)}", clone)
    page = (clone / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [script] = SCRIPT.findall(page)
    (clone / "first_job.py").write_text(script, encoding="utf-8")
    prompt = f"{source}\n"
    job_id, shown = "", []
    for step in STEP.findall(page):
        command = commands(step).replace(" ID", f" {job_id}")
        shown.append(shell(prompt + command, clone))
        if found := JOB_ID.search(shown[-1]):
            job_id = found[1]
    if "is FINISHED after" not in shown[0] or "SUBMIT_FAILED" not in shown[2]:
        raise SystemExit("\n".join(shown))
    (clone / "first_job.py").unlink()
    say(time.monotonic() - ready, "from a ready stack to the end of the tutorial")
    for other in PAGES:
        text = other.read_text(encoding="utf-8")
        for block in [*BLOCK.findall(text), *IN_CLONE.findall(text)]:
            shell(prompt + commands(block), clone)


@contextmanager
def stack(clone: Path) -> Iterator[str]:
    """`make up` in a first terminal, ended by Ctrl-C; yields the line that reads its addresses."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "up"],
        cwd=clone,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        source = next((found[1] for line in process.stdout if (found := SOURCE.match(line))), None)
        seconds = time.monotonic() - began
        if source is None or seconds > PREPARE_SECONDS:
            raise SystemExit(f"make up was not ready after {seconds:.0f} s")
        say(seconds, "make up")
        yield source
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()


def shell(script: str, directory: Path) -> str:
    """Runs commands in bash on a terminal; prints them and their output; returns their output."""
    began = time.monotonic()
    command = ["bash", "-euo", "pipefail", "-c", script]
    with Terminal(command, env=environment(), cwd=directory, columns=COLUMNS) as terminal:
        code = terminal.wait(timeout_seconds=STEP_SECONDS)
        shown = re.sub(r"\r+\n?", "\n", terminal.text)
    say(time.monotonic() - began, script.replace("\n", "\n          "))
    print(shown, flush=True)  # noqa: T201 - likewise
    if code:
        raise SystemExit(f"it ended with {code}")
    return shown


def say(seconds: float, step: str) -> None:
    """Prints the duration of a step."""
    print(f"{seconds:6.1f} s  {step}", flush=True)  # noqa: T201 - a program for a person at a terminal


def environment() -> dict[str, str]:
    """The environment of a new terminal: without the settings and the Python of this one."""
    kept = ("HOME", "LANG", "PATH", "TMPDIR", "USER")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or "proxy" in name.lower() or name.startswith(("PIP_", "UV_", "SSL_"))
    }


if __name__ == "__main__":
    sys.exit(main())
