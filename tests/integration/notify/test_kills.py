"""A pass that is killed at any of its messages, to the store or to a receiver, loses no event."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import IO, Any, Final

import pytest
from pymongo import MongoClient

from bench.worlds import flink_job_id
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from local.mongodb import MongoServer
from tests.integration.notify.conftest import BEGIN, running
from tests.integration.submit.message_proxy import PATIENCE_SECONDS, Fate, Gate, MongoRoad
from tests.support.scripted_server import Answer, Asked, ScriptedServer

ROOT: Final = Path(__file__).parents[3]
NOW: Final = BEGIN + timedelta(hours=1)
CHANNELS: Final = ("hook", "other")
STATES: Final = {flink_job_id(0): "FINISHED", flink_job_id(1): "SUSPENDED", flink_job_id(2): "RUNNING"}
EXPECTED: Final = {"etl_00000/2", "etl_00001/2", "sync/1"}
"""The moves of a pass that meets these states, an hour after the last one."""
FATES: Final = (Fate.LOST, Fate.LATE, Fate.UNANSWERED)
MESSAGES: Final = {
    *("findAndModify leases", "update leases", "find flink_jobs", "update flink_jobs", "insert sync_runs"),
    *("find channels", "update channels", "find clusters", "update clusters", "find sync_runs"),
    *("update sync_runs", "update unmanaged_jobs", "insert leases", "POST hook", "POST other"),
}
"""Every kind of message of such a pass."""


@dataclass
class Mortal:
    """Passes as processes, their roads to the store and to the receivers, and what arrived there."""

    gate: Gate
    client: MongoClient[dict[str, Any]]
    arrived: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    commands: IO[str] | None = None
    answers: IO[str] | None = None

    def receive(self, asked: Asked) -> Answer:
        name = asked.path.strip("/")

        def take() -> Answer:
            self.arrived[name].append(json.loads(asked.body))
            return Answer()

        return self.gate.pass_on(f"POST {name}", take) or Answer(cut_after=0)

    def begin(self, database: str) -> int:
        """Begins a pass; its process id."""
        assert self.commands is not None
        self.commands.write(f"{database}\n")
        self.commands.flush()
        while not (line := self.next_line()).isdigit():
            pass
        return int(line)

    def next_line(self) -> str:
        assert self.answers is not None
        return self.answers.readline().strip()

    def end(self) -> list[str]:
        """What the process said until it had ended."""
        said = []
        while (line := self.next_line()) != "ended":
            assert line, "the process that begins the passes has ended"
            said.append(line)
        return said

    def prepare(self, database: str) -> None:
        """Three jobs, two of which move in the next pass; channels and clusters as passes leave them."""
        found = self.client[database]
        for name in ("flink_jobs", "clusters", "channels", "leases", "sync_runs"):
            found[name].delete_many({})
        found["flink_jobs"].insert_many([running(number, cluster="default") for number in range(3)])
        found["sync_runs"].insert_one({"started_at": BEGIN, "whole": True})
        found["channels"].insert_many({"_id": name, "since": BEGIN, "set_aside": 0} for name in CHANNELS)
        self.arrived.clear()

    def let_lease_run_out(self, database: str) -> None:
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        self.client[database]["leases"].update_many({}, {"$set": {"expires_at": long_ago}})


@pytest.fixture
def mortal(mongo_server: MongoServer) -> Iterator[Mortal]:
    gate = Gate()
    with (
        MongoClient[dict[str, Any]](mongo_server.uri, tz_aware=True) as client,
        MongoRoad(gate, mongo_server.port) as road,
    ):
        ensure_indexes(client["kills"])
        new = Mortal(gate, client)
        with ScriptedServer(new.receive) as receiver:
            command = [sys.executable, "-m", "tests.integration.notify.mortal_pass", road.uri, receiver.url]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            ) as process:
                new.commands, new.answers = process.stdin, process.stdout
                try:
                    yield new
                finally:
                    gate.open()
                    process.stdin.close()  # type: ignore[union-attr]


def check(mortal: Mortal, database: str, why: str) -> None:
    """Every event has arrived at every channel, each time the same; nothing is left."""
    for name in CHANNELS:
        by_id = defaultdict(list)
        for body in mortal.arrived[name]:
            by_id[body["id"]].append(body)
        assert by_id.keys() == EXPECTED, f"{why}: {name} got {sorted(by_id)}"
        for repeated in by_id.values():
            assert all(body == repeated[0] for body in repeated), why
    left = {"pending_since": {"$exists": True}}
    found = mortal.client[database]
    assert (found["flink_jobs"].count_documents(left), found["clusters"].count_documents(left)) == (0, 0), why


def test_these_are_the_messages_of_a_pass_that_delivers(mortal: Mortal) -> None:
    """At each of them it is killed below."""
    mortal.prepare("kills")
    mortal.gate.expect(None, Fate.LOST)
    mortal.begin("kills")
    assert mortal.end() == ["done"]
    assert set(mortal.gate.passed) == MESSAGES
    check(mortal, "kills", "undisturbed")
    assert Counter(body["id"] for name in CHANNELS for body in mortal.arrived[name]) == dict.fromkeys(
        EXPECTED, 2
    )


@pytest.mark.timeout(600)  # about a hundred processes, each killed
@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.name)
def test_a_pass_killed_at_any_message_loses_no_event(mortal: Mortal, fate: Fate) -> None:
    for number in count():
        mortal.prepare("kills")
        mortal.gate.expect(number, fate)
        pid = mortal.begin("kills")
        if not _is_reached(mortal, number):
            assert mortal.end() == ["done"]
            break
        message = mortal.gate.passed[number]
        os.kill(pid, signal.SIGKILL)
        mortal.end()
        mortal.gate.died.set()
        assert mortal.gate.settled.wait(PATIENCE_SECONDS)
        mortal.gate.expect(None, Fate.LOST)
        mortal.let_lease_run_out("kills")
        mortal.begin("kills")
        assert mortal.end() == ["done"]
        check(mortal, "kills", f"{message}, number {number}, {fate.value}")
    assert number >= len(MESSAGES)


def _is_reached(mortal: Mortal, number: int) -> bool:
    """Whether the pass has come to its message of this number; False when it has ended before."""
    while not mortal.gate.reached.wait(0.05):
        found = mortal.client["kills"]["leases"].find_one({"holder": None, "fence": {"$gt": 0}})
        if found is not None and len(mortal.gate.passed) <= number:
            return False
    return True
