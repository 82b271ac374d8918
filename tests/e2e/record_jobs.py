"""Draws `docs/flinkjobs-jobs.svg` from a real run: `python -m tests.e2e.record_jobs`.

Four jobs run on the real stack while `flinkjobs jobs --watch` is open; the picture is what it shows once one
of them is FINISHED, two have FAILED and one is RUNNING.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import httpx

from local.demo import EXAMPLES
from local.functions import ROOT
from local.stack import Stack
from tests.integration.cli.conftest import COMMAND, own_environment
from tests.support.picture import svg
from tests.support.terminal import CTRL_C, Terminal
from tests.support.waiting import until

PICTURE: Final = ROOT / "docs" / "flinkjobs-jobs.svg"
TITLE: Final = "flinkjobs jobs --watch"
COLUMNS: Final = 144
ROWS: Final = 16
SPEED: Final = 60.0
SECONDS: Final = 240.0


def main() -> None:
    """Runs the stack and the jobs, and writes the picture."""
    with tempfile.TemporaryDirectory() as home, Stack(environ={}, speed=SPEED, say=print) as stack:
        stack.create_schedules()
        environ = {**own_environment(Path(home)), **stack.command_settings}
        command = [*COMMAND, "jobs", "--watch", "--interval", "1"]
        with Terminal(command, env=environ, cwd=Path(home), columns=COLUMNS, rows=ROWS) as terminal:
            for example in EXAMPLES:
                url = f"{stack.functions['submit'].url}/"
                httpx.post(url, json=dict(example.request), timeout=60, trust_env=False).raise_for_status()

            until(
                lambda: all(count in terminal.shown for count in ("FINISHED 1", "FAILED 2", "RUNNING 1")),
                timeout_seconds=SECONDS,
                what="all four outcomes in one picture",
            )
            terminal.type(CTRL_C)
            terminal.wait()
            PICTURE.write_text(svg(terminal.frames[-1], title=TITLE, columns=COLUMNS), encoding="utf-8")


if __name__ == "__main__":
    main()
