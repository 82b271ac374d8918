"""Starts the double from Python, as a process that cannot outlive its starter."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httpx

from local.scheduler.dispatcher import DeadlineClock

ROOT = Path(__file__).resolve().parents[2]
READY = "scheduler double on "
READY_SECONDS = 30.0
REQUEST_SECONDS = 10.0
GRACE_SECONDS = 5.0


class SchedulerDouble:
    """A running double on a free port of 127.0.0.1.

        with SchedulerDouble(speed=36) as double:
            CloudSchedules(project="local", location="here", endpoint=double.url)
            double.wait_for(finished=3, job="sync")

    The methods below talk to its control endpoint; attempts come as ``attempts.Attempt.as_json`` gives them.
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
            self.url = self._ready_url()
        except BaseException:
            self._end()
            raise
        self._client = httpx.Client(base_url=self.url, timeout=REQUEST_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process and everything it holds; does nothing the second time."""
        self._client.close()
        self._end()

    def attempts(self, job: str = "", *, after: int = 0) -> list[dict[str, Any]]:
        """Returns what was sent with a number above `after`: of one job (full name or id) or of all."""
        return self._attempts({"job": job, "after": after}, REQUEST_SECONDS)

    def wait_for(
        self,
        *,
        started: int = 0,
        finished: int = 0,
        job: str = "",
        after: int = 0,
        timeout_seconds: float = 30.0,
    ) -> list[dict[str, Any]]:
        """Returns the attempts as soon as so many of them have started and finished.

        Raises:
            TimeoutError: they did not within `timeout_seconds`.
        """
        query: dict[str, str | float] = {
            "job": job,
            "after": after,
            "started": started,
            "finished": finished,
            "timeout_seconds": timeout_seconds,
        }
        return self._attempts(query, timeout_seconds + REQUEST_SECONDS)

    def duplicate(
        self, *, attempts: int = 1, copies: int = 2, delay_seconds: float = 0.0, job: str = ""
    ) -> None:
        """Sends each of the next attempts `copies` times, at once or so much scheduler time apart."""
        self._post(
            "/_control/duplicates",
            {"job": job, "attempts": attempts, "copies": copies, "delay_seconds": delay_seconds},
        )

    def now(self) -> datetime:
        """Returns scheduler time."""
        return _time(self._client.get("/_control/clock").raise_for_status().json())

    def stop_clock(self) -> datetime:
        """Makes scheduler time stand still; returns it."""
        return self._post("/_control/clock/stop", {})

    def start_clock(self) -> datetime:
        """Makes scheduler time run again; returns it."""
        return self._post("/_control/clock/start", {})

    def forward(self, seconds: float) -> datetime:
        """Moves scheduler time forward; returns it."""
        return self._post("/_control/clock/forward", {"seconds": seconds})

    def forward_to_next(self) -> datetime:
        """Moves scheduler time to the next moment anything is due; returns it."""
        return self._post("/_control/clock/next", {})

    def _attempts(self, query: Mapping[str, str | float], timeout_seconds: float) -> list[dict[str, Any]]:
        answer = self._client.get("/_control/attempts", params=query, timeout=timeout_seconds)
        if answer.status_code == httpx.codes.GATEWAY_TIMEOUT:
            raise TimeoutError(f"waited for {dict(query)}, came {answer.text}")
        return cast("list[dict[str, Any]]", answer.raise_for_status().json()["attempts"])

    def _post(self, path: str, body: dict[str, object]) -> datetime:
        return _time(self._client.post(path, json=body).raise_for_status().json())

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


def _time(clock: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(clock["now"])
