"""One invocation after the other, the first of which is disturbed at any of its messages to the store.

Whatever happens to it: the next one brings the records up to date, each move is written once, and a process
that goes on after another has the lease writes no more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import pytest
from pymongo import MongoClient

from bench.worlds import flink_job_id
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from local.mongodb import MongoServer
from tests.integration.notify.conftest import running
from tests.integration.submit.message_proxy import PATIENCE_SECONDS, Fate, Gate, MongoRoad

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[3]
DATABASE: Final = "handovers"
STATES: Final = {flink_job_id(0): "FINISHED", flink_job_id(1): "SUSPENDED", flink_job_id(2): "RUNNING"}
AFTERWARDS: Final = {"etl_00000": ["FINISHED"], "etl_00001": ["SUSPENDED"], "etl_00002": []}
"""The moves of each record."""
WRITES: Final = ("findAndModify leases", "update flink_jobs", "update sync_runs", "update leases")
KILLED: Final = (Fate.LOST, Fate.LATE, Fate.UNANSWERED)


class Delay(Gate):
    """A gate whose message is only late: it is answered when its sender goes on."""

    def pass_on(self, message: str, send: Callable[[], T]) -> T | None:
        passed = super().pass_on(message, lambda: [send()])
        return send() if passed is None else passed[0]


@dataclass
class Invocations:
    """Begins invocations as processes, one at a time."""

    process: subprocess.Popen[str]
    pid: int | None = None

    @property
    def commands(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    def begin(self) -> int:
        """Its process id."""
        self.commands.write(f"{DATABASE}\n")
        self.commands.flush()
        while not (line := self.next_line()).isdigit():
            assert line, "the process that begins the invocations has ended"
        self.pid = int(line)
        return self.pid

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """What became of the invocation; nothing of one that was killed."""
        became = ""
        while (line := self.next_line()) != "ended":
            assert line, "the process that begins the invocations has ended"
            became = line
        self.pid = None
        return became

    def close(self) -> None:
        """Ends whatever still runs."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.commands.close()


@dataclass
class Handover:
    """Two invocations, and what is between the first one and the store."""

    gate: Gate
    first: Invocations
    next: Invocations
    client: MongoClient[dict[str, Any]]

    def prepare(self) -> None:
        """Three jobs, two of which move in the next pass; a pass has run before."""
        found = self.client[DATABASE]
        for name in ("flink_jobs", "clusters", "channels", "leases", "sync_runs", "unmanaged_jobs"):
            found[name].delete_many({})
        found["flink_jobs"].insert_many([running(number, cluster="default") for number in range(3)])
        found["sync_runs"].insert_one({"started_at": datetime.now(UTC), "whole": True, "complete": True})

    def lease(self) -> dict[str, Any]:
        return self.client[DATABASE]["leases"].find_one({"_id": "sync"}) or {}

    def let_lease_run_out(self) -> None:
        """As it does 20 s after its last renewal."""
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        self.client[DATABASE]["leases"].update_many({}, {"$set": {"expires_at": long_ago}})

    def check(self, why: str) -> None:
        """Each record has moved once, and the lease is free."""
        records = self.client[DATABASE]["flink_jobs"].find()
        moves = {each["job_id"]: [move["status"] for move in each["history"]] for each in records}
        assert moves == AFTERWARDS, why
        revisions = {each["job_id"]: each["revision"] for each in self.client[DATABASE]["flink_jobs"].find()}
        assert revisions == {"etl_00000": 2, "etl_00001": 2, "etl_00002": 1}, why
        assert self.lease()["holder"] is None, why

    def is_reached(self, pid: int) -> bool:
        """Whether the first invocation has come to the message that is held; False when it has ended."""
        while not self.gate.reached.wait(0.02):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return False
        return True


@pytest.fixture
def gate(request: pytest.FixtureRequest) -> Gate:
    made: Gate = getattr(request, "param", Gate)()
    return made


@pytest.fixture
def handover(mongo_server: MongoServer, gate: Gate) -> Iterator[Handover]:
    with ExitStack() as stack:
        client = stack.enter_context(MongoClient[dict[str, Any]](mongo_server.uri, tz_aware=True))
        road = stack.enter_context(MongoRoad(gate, mongo_server.port))
        ensure_indexes(client[DATABASE])
        first, following = (stack.enter_context(_invocations(uri)) for uri in (road.uri, mongo_server.uri))
        made = Handover(gate, Invocations(first), Invocations(following), client)
        try:
            yield made
        finally:
            gate.open()
            made.first.close()
            made.next.close()


def _invocations(uri: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.follow.mortal_follow", uri]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    )


def test_an_undisturbed_invocation_writes_once_in_two_ticks(handover: Handover) -> None:
    handover.prepare()
    handover.first.begin()
    assert handover.first.end() == "ticks=2 errors=0"
    assert set(WRITES) <= set(handover.gate.passed)
    assert handover.gate.passed.count("update flink_jobs") == 1
    handover.check("undisturbed")
    assert handover.lease()["fence"] == 1
    [run] = handover.client[DATABASE]["sync_runs"].find({"ticks": {"$exists": True}})
    assert (run["ticks"], run["complete"]) == (2, True)


@pytest.mark.timeout(600)  # about thirty messages, and two processes for each
@pytest.mark.parametrize("fate", KILLED, ids=lambda fate: fate.name)
def test_after_a_kill_at_any_message_the_next_invocation_goes_on(handover: Handover, fate: Fate) -> None:
    for number in count():
        handover.prepare()
        handover.gate.expect(number, fate)
        pid = handover.first.begin()
        if not handover.is_reached(pid):
            handover.first.end()
            break
        message = handover.gate.passed[number]
        os.kill(pid, signal.SIGKILL)
        assert handover.first.end() == ""
        handover.gate.died.set()
        assert handover.gate.settled.wait(PATIENCE_SECONDS)
        handover.let_lease_run_out()
        handover.next.begin()
        assert handover.next.end() == "ticks=2 errors=0"
        handover.check(f"{message}, number {number}, {fate.value}")
    assert number > len(WRITES)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("gate", [Delay], indirect=True)
def test_sigterm_at_any_message_ends_the_invocation_and_frees_the_lease(handover: Handover) -> None:
    for number in count():
        handover.prepare()
        handover.gate.expect(number, Fate.LOST)
        pid = handover.first.begin()
        if not handover.is_reached(pid):
            handover.first.end()
            break
        why = f"{handover.gate.passed[number]}, number {number}"
        os.kill(pid, signal.SIGTERM)
        handover.gate.died.set()
        became = handover.first.end()
        assert became == "skipped" or became.startswith("ticks="), why
        assert handover.lease().get("holder") is None, why
        handover.next.begin()  # without waiting
        assert handover.next.end() == "ticks=2 errors=0", why
        handover.check(why)
    assert number > len(WRITES)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("gate", [Delay], indirect=True)
def test_an_invocation_frozen_at_any_message_writes_nothing_after_its_lease_is_gone(
    handover: Handover,
) -> None:
    for number in count():
        handover.prepare()
        handover.gate.expect(number, Fate.LOST)
        pid = handover.first.begin()
        if not handover.is_reached(pid):
            handover.first.end()
            break
        why = f"{handover.gate.passed[number]}, number {number}"
        os.kill(pid, signal.SIGSTOP)
        had_lease = handover.lease().get("holder") is not None
        handover.let_lease_run_out()
        handover.next.begin()
        assert handover.next.end() == "ticks=2 errors=0", why
        handover.check(why)
        os.kill(pid, signal.SIGCONT)
        handover.gate.died.set()
        handover.first.end()
        after = handover.gate.passed[number + 1 :]
        assert "update flink_jobs" not in after, why
        if had_lease:  # else it has taken the lease when the next one had given it back
            assert handover.lease()["fence"] == 2, why
        handover.check(why)
    assert number > len(WRITES)


def test_after_a_kill_the_lease_is_free_within_its_20_seconds(handover: Handover) -> None:
    """A call that comes at once waits 10 s and answers `skipped`; one that comes then gets it."""
    handover.prepare()
    handover.gate.expect(len(WRITES) * 2, Fate.LOST)
    pid = handover.first.begin()
    assert handover.is_reached(pid)
    assert handover.lease()["holder"] is not None
    os.kill(pid, signal.SIGKILL)
    handover.gate.died.set()
    became: list[str] = []
    while not became or became[-1] == "skipped":
        handover.next.begin()
        became.append(handover.next.end())
    assert 1 <= became.count("skipped") <= 2
    handover.check("killed")
