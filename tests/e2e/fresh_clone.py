"""The first session of a new user on a fresh clone: README, tutorial, commit hooks. `make test-clone`.

It runs the commands as they are typed, and prints the duration of each step. It needs the network.
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

from tests.e2e.test_documentation import BLOCK, commands
from tests.e2e.test_tutorial import JOB_ID, SCRIPT, STEP

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = re.compile(r"^ *(source .*)$")
PREPARE_SECONDS: Final = 1200
"""Seconds that `make up` may take until it is ready: the first run downloads about 550 MB."""


def main() -> int:
    """Runs every step; fails at the first that does not do what its page shows."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "flinkjobs"
        shell(f"git clone -q {ROOT} {clone}", Path(folder), name="git clone")
        with stack(clone) as source:
            ready = time.monotonic()
            follow(clone, source)
            say(time.monotonic() - ready, "from a ready stack to the end of the tutorial")
        shell(".venv/bin/pre-commit run --all-files", clone, name="commit hooks")
    return 0


def follow(clone: Path, source: str) -> None:
    """README, then tutorial, in a second terminal in which `build/up.env` was read."""
    [curl] = BLOCK.findall((clone / "README.md").read_text(encoding="utf-8"))
    shell(f"{source}\n{commands(curl)}", clone, name="README: first job")
    page = (clone / "docs" / "tutorial.md").read_text(encoding="utf-8")
    [script] = SCRIPT.findall(page)
    (clone / "first_job.py").write_text(script, encoding="utf-8")
    prompt = f"{source}\n"
    job_id, shown = "", []
    for step in STEP.findall(page):
        command = commands(step).replace(" ID", f" {job_id}")
        shown.append(shell(prompt + command, clone, name=f"tutorial: {command.splitlines()[0]}"))
        if found := JOB_ID.search(shown[-1]):
            job_id = found[1]
    if "is FINISHED after" not in shown[0] or "SUBMIT_FAILED" not in shown[2]:
        raise SystemExit("\n".join(shown))
    (clone / "first_job.py").unlink()


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


def shell(script: str, directory: Path, *, name: str) -> str:
    """Runs commands in bash; prints their name and duration; returns what they printed."""
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    say(time.monotonic() - began, name)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


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
