"""Runs passes in processes that may be killed: each line of its input names a database, each is one process.

    python -m tests.integration.notify.mortal_pass MONGODB_URI RECEIVER_URL

Prints the process id of each pass, and `done` or the error when it has ended by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import httpx
from pymongo import MongoClient

from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.ports.channels import Delivered, Failed, SendResult
from flinkjobs.sync import service
from tests.integration.notify.conftest import Stage
from tests.integration.notify.test_kills import CHANNELS, NOW, STATES


class HttpChannel:
    """Posts each event, without any of what the real one adds."""

    filter = EventFilter()
    digest_above = None

    def __init__(self, name: str, client: httpx.Client) -> None:
        self.name, self._client = name, client

    def send(self, events: Sequence[Event]) -> SendResult:
        [event] = events
        body = {
            "id": event.id,
            "type": event.type.value,
            "at": event.time.isoformat(),
            "by": event.move.get("by"),
        }
        try:
            self._client.post(self.name, json=body).raise_for_status()
        except httpx.HTTPError as error:
            return Failed(type(error).__name__)
        return Delivered()


def run_one(uri: str, url: str, database: str) -> None:
    """One whole pass."""
    with (
        MongoClient[dict[str, Any]](uri, tz_aware=True) as client,
        httpx.Client(base_url=url, trust_env=False, timeout=60, verify=False) as receivers,  # noqa: S501 - no TLS
    ):
        channels = [HttpChannel(name, receivers) for name in CHANNELS]
        stage = Stage(client[database], channels, now=NOW, states=STATES)
        report = service.run_pass(stage.sync())
        assert report["complete"]
        assert not report["errors"]


def main(uri: str, url: str) -> None:
    """Forks for each line; this process itself has no thread and no connection."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                run_one(uri, url, line.strip())
                ended = "done"
            except BaseException as error:  # noqa: BLE001 - the test shows it
                ended = f"{type(error).__name__}: {error}".replace("\n", " ")
            _say(ended)
            os._exit(0)
        _say(str(pid))
        os.waitpid(pid, 0)
        _say("ended")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
