"""Starts the double from Python, as a process that cannot outlive its starter."""

import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from local.scheduler.client import ControlClient
from local.scheduler.dispatcher import DeadlineClock

ROOT = Path(__file__).resolve().parents[2]
READY = "scheduler double on "
READY_SECONDS = 30.0
GRACE_SECONDS = 5.0


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
        stopped: bool = False,
        deadlines: DeadlineClock = DeadlineClock.SCHEDULER,
    ) -> None:
        """Starts the process and returns when it is ready.

        Args:
            port: 0 picks a free one.
            speed: seconds of scheduler time per second of the wall clock.
            start: the first moment of scheduler time; None means the real time.
            stopped: start with the clock standing still.
            deadlines: the clock by which attempt deadlines are counted.

        Raises:
            RuntimeError: it ended, or was not ready within 30 s; what it said went to standard error.
        """
        command = [sys.executable, "-m", "local.scheduler", f"--port={port}", f"--speed={speed}"]
        command += [f"--deadlines={deadlines}"]
        if start is not None:
            command += [f"--start={start.isoformat()}"]
        if stopped:
            command += ["--stopped"]
        tether = [
            sys.executable,
            "-I",
            "-S",
            str(ROOT / "local" / "tether.py"),
            f"--grace={GRACE_SECONDS}",
            "--",
        ]
        self._process = subprocess.Popen(
            [*tether, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        try:
            super().__init__(self._ready_url())
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process and everything it holds; does nothing the second time."""
        super().close()
        self._end()

    def _ready_url(self) -> str:
        """Reads the first line. The watch ends a process that is not ready in time, and so the reading."""
        watch = threading.Timer(READY_SECONDS, self._process.terminate)
        watch.start()
        try:
            line = self._process.stdout.readline().strip() if self._process.stdout else ""
        finally:
            watch.cancel()
        if not line.startswith(READY):
            raise RuntimeError(f"the scheduler double did not start: {line or 'it said nothing'}")
        return line.removeprefix(READY)

    def _end(self) -> None:
        """Lets the tether see end-of-file, which makes it end the double."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(timeout=3 * GRACE_SECONDS)
