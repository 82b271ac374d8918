"""Ended at any moment and in any way, the demo leaves no process and no file behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
END_SECONDS = 40.0


def processes_of(directory: Path) -> list[str]:
    """Command lines of the processes that work below a directory, by their environment or arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in environment + command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, in a session of its own; everything it writes goes below a temporary directory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "PYTHONUNBUFFERED": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> None:
    """Reads the demo's output up to a line; the demo must not end before it."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return
    pytest.fail(f"the demo ended before it printed {pattern!r}:\n{''.join(seen)}")


@pytest.mark.parametrize(
    ("moment", "number", "exit_code"),
    [
        ("Starting the stack", signal.SIGINT, 130),
        (r"Kubernetes +http", signal.SIGTERM, 143),
        ("after [1-9][0-9]* passes", signal.SIGINT, 130),
        ("after [1-9][0-9]* passes", signal.SIGKILL, -9),
    ],
    ids=["Ctrl-C at the start", "SIGTERM half way up", "Ctrl-C in mid-run", "SIGKILL in mid-run"],
)
def test_the_demo_ended_at_any_moment_leaves_nothing(
    demo: subprocess.Popen[str], tmp_path: Path, moment: str, number: int, exit_code: int
) -> None:
    read_until(demo, moment)
    assert processes_of(tmp_path)

    demo.send_signal(number)

    assert demo.wait(END_SECONDS) == exit_code
    until(lambda: not processes_of(tmp_path), timeout_seconds=END_SECONDS, what="every process ends")
    until(lambda: not any(tmp_path.iterdir()), timeout_seconds=END_SECONDS, what="every file goes")
