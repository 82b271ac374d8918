"""Invocations in follow mode as processes that may be killed: each line of its input names a database.

    python -m tests.integration.follow.mortal_follow MONGODB_URI

Prints the process id of each invocation, then what became of it, and `ended`.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from pymongo import MongoClient

from flinkjobs.sync.follow import follow
from tests.integration.follow.test_handover import STATES
from tests.integration.notify.conftest import Stage

EVERY = timedelta(seconds=30)
LASTS = timedelta(seconds=57)
STEP = timedelta(seconds=5)


class Clock:
    """Goes on by a step with each reading, however busy the machine is."""

    def __init__(self, step: timedelta) -> None:
        self.now = datetime.now(UTC)
        self.step = step

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


def run_one(uri: str, database: str) -> str:
    """One invocation of two ticks; its report in short."""
    stopped, clock = Event(), Clock(STEP)
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        stage = Stage(client[database], [], states=STATES)
        sync = replace(stage.sync(), clock=clock, is_stopping=stopped.is_set)
        report = follow(sync, every=EVERY, ends_at=clock.now + LASTS)
    return "skipped" if report["skipped"] else f"ticks={report['ticks']} errors={len(report['errors'])}"


def main(uri: str) -> None:
    """Forks for each line; this process itself has no thread and no connection."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                became = run_one(uri, line.strip())
            except BaseException as error:  # noqa: BLE001 - the test shows it
                became = f"{type(error).__name__}: {error}".replace("\n", " ")
            say(became)
            os._exit(0)
        say(str(pid))
        os.waitpid(pid, 0)
        say("ended")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
