"""Starts the double from Python, as a process that cannot outlive its starter."""

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Self

from doubles.processes import Process
from doubles.scheduler.client import ControlClient
from doubles.scheduler.dispatcher import DeadlineClock

ROOT = Path(__file__).resolve().parents[2]
READY_LINE = re.compile(r"^scheduler double on (http://\S+)")
READY_SECONDS = 30.0


class SchedulerDouble(ControlClient):
    """A running double on a free port of 127.0.0.1.

        with SchedulerDouble(speed=36) as double:
            CloudSchedules(project="local", location="here", endpoint=double.url)
            double.wait_for(finished=3, job="sync")

    Attributes:
        url: of its API, and of its control endpoint, which the methods talk to.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        speed: float = 1.0,
        start: datetime | None = None,
        deadlines: DeadlineClock = DeadlineClock.SCHEDULER,
    ) -> None:
        """Starts the process and returns when it is ready.

        Args:
            port: 0 picks a free one.
            speed: seconds of scheduler time per second of the wall clock; 0: the clock stands still.
            start: the first moment of scheduler time; None means the real time.
            deadlines: the clock by which attempt deadlines are counted.

        Raises:
            ProcessError: it ended, or was not ready within 30 s; with its last lines.
        """
        command = [sys.executable, "-m", "doubles.scheduler", f"--port={port}", f"--speed={speed}"]
        command += [f"--deadlines={deadlines}"]
        if start is not None:
            command += [f"--start={start.isoformat()}"]
        self._process = Process(command, name="the scheduler double", cwd=ROOT)
        try:
            match = self._process.wait_ready(READY_LINE, timeout_seconds=READY_SECONDS)
        except BaseException:
            self._process.stop()
            raise
        assert match is not None  # noqa: S101 a pattern was waited for
        super().__init__(match[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process and everything it holds; does nothing the second time."""
        super().close()
        self._process.stop()
