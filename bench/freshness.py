"""How old a status is: from a change in Flink to the record's write, while a world changes without end.

    python -m bench.freshness [--seconds 600] [--output FILE]

Twenty jobs a second change at random. The ways of running sync are measured one after the other:
follow mode as Cloud Scheduler runs it, a call a minute that comes 0 to 2 s late and never overlaps another;
follow mode in a Deployment; and, from ten minutes on, a pass every three minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import httpx
from rich.console import Console
from rich.table import Table

from bench.arena import Arena
from bench.checks import Check
from bench.measure import CALL_SECONDS, cpu_seconds, rss_mib, worker
from bench.worlds import World, flink_job_id
from deploy.lock import ROOT
from doubles.processes import Process
from local.functions import FunctionServer

EVERY_SECONDS = 5
CHANGES_PER_SECOND = 20
LATE_SECONDS = 2.0
"""Maximum number of seconds that a scheduled call comes late."""
LOOK_SECONDS = 0.1
"""Seconds between two looks for written records: no age is more precise."""
LONG_SECONDS = 600
"""From this length on, both worlds and a pass every three minutes are measured."""
SETTLE_SECONDS = 15.0
"""Seconds after the last change in which what is still pending is awaited."""
GOOGLE, DEPLOYMENT, PERIODIC = "follow, a call a minute", "follow without end", "*/3"


@dataclass(frozen=True, slots=True)
class Aged:
    """One change: when it was made, and when its write was seen; by `time.time`."""

    changed_at: float
    seen_at: float

    @property
    def seconds(self) -> float:
        """The age of the status when it was written."""
        return self.seen_at - self.changed_at


@dataclass
class Freshness:
    """What one way of running sync has shown.

    Attributes:
        calls: begin and end of each call; empty without calls.
        unseen: changes that were never seen written.
        cpu_per_hour: CPU-seconds of the process that runs the passes.
        rss_mib: its resident memory after a third of the time, and at the end.
    """

    way: str
    records: int
    seconds: float
    aged: list[Aged] = field(default_factory=list)
    calls: list[tuple[float, float]] = field(default_factory=list)
    unseen: int = 0
    cpu_per_hour: float = 0.0
    rss_mib: tuple[float, float] = (0.0, 0.0)

    def within_calls(self) -> list[float]:
        """The ages of changes that were made and written within one call."""
        return [
            each.seconds
            for each in self.aged
            if any(
                begin <= each.changed_at and each.seen_at <= end + LOOK_SECONDS for begin, end in self.calls
            )
        ]

    def ages(self) -> list[float]:
        """All ages."""
        return [each.seconds for each in self.aged]

    def checks(self) -> Iterator[Check]:
        """The bounds of this way."""
        name = f"freshness, {self.records:,} open, {self.way}"
        if self.way == GOOGLE:
            yield Check(f"{name}: p95 within a call, seconds", percentile(self.within_calls(), 95), 6.0)
            yield Check(f"{name}: max over hand-overs, seconds", max(self.ages()), 12.0)
        elif self.way == DEPLOYMENT:
            yield Check(f"{name}: max, seconds", max(self.ages()), 8.0)
        if self.way != PERIODIC:
            yield Check(f"{name}: changes never written", self.unseen, 0)

    def as_json(self) -> dict[str, object]:
        """As in `results.json`."""
        ages = self.ages()
        found = {f"p{percent}": round(percentile(ages, percent), 2) for percent in (50, 95)}
        return {
            "way": self.way,
            "records": self.records,
            "seconds": self.seconds,
            "changes": len(ages),
            "age_seconds": {**found, "max": round(max(ages, default=0.0), 2)},
            "cpu_seconds_per_hour": round(self.cpu_per_hour, 1),
            "rss_mib": [round(each, 1) for each in self.rss_mib],
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """One percentile; 0 of too few values."""
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


class Changes:
    """Changes jobs at random and looks for the writes; a job changes again only once its write was seen."""

    def __init__(self, arena: Arena, records: int) -> None:
        """Starts nothing yet."""
        self.aged: list[Aged] = []
        self._arena, self._records = arena, records
        self._states: dict[str, str] = {}
        self._pending: dict[str, float] = {}
        self._chance = random.Random(1)  # noqa: S311 no secret depends on it

    def run(self, seconds: float) -> int:
        """Changes jobs for this time; returns how many changes were not seen written."""
        begin = time.time()
        made, next_look = 0, begin
        while (now := time.time()) < begin + seconds + SETTLE_SECONDS:
            if now < begin + seconds:
                while made < (now - begin) * CHANGES_PER_SECOND:
                    self._change()
                    made += 1
            elif not self._pending:
                break
            if now >= next_look:
                self._look()
                next_look = now + LOOK_SECONDS
            time.sleep(0.01)
        return len(self._pending)

    def _change(self) -> None:
        if len(self._pending) == self._records:  # none is left: the next pass frees them
            return
        while (job := flink_job_id(self._chance.randrange(self._records))) in self._pending:
            continue
        state = "RUNNING" if self._states.get(job) == "RESTARTING" else "RESTARTING"
        changed_at = time.time()
        self._arena.flink.change(0, {job: state})
        self._states[job], self._pending[job] = state, changed_at

    def _look(self) -> None:
        query = {"flink_job_id": {"$in": list(self._pending)}}
        for found in self._arena.database["flink_jobs"].find(query, {"flink_job_id": 1, "flink_state": 1}):
            if found["flink_state"] == self._states[found["flink_job_id"]]:
                changed_at = self._pending.pop(found["flink_job_id"])
                self.aged.append(Aged(changed_at, time.time()))


class Scheduler(threading.Thread):
    """Calls a function at minutes of the wall clock, 0 to 2 s late and never twice at once.

    As Cloud Scheduler does.
    """

    def __init__(self, url: str, *, minutes: int) -> None:
        """Args: the function, and the minutes from one call to the next."""
        super().__init__(name="scheduler", daemon=True)
        self.calls: list[tuple[float, float]] = []
        self.began = 0.0
        self.errors: list[str] = []
        self._url, self._period = url, minutes * 60
        self._stopped = threading.Event()
        self._chance = random.Random(2)  # noqa: S311 no secret depends on it

    def run(self) -> None:
        """Until it is stopped."""
        due = time.time()  # the first call at once: the rest of its minute
        while not self._stopped.wait(max(0.0, due + self._chance.uniform(0, LATE_SECONDS) - time.time())):
            self.began = time.time()
            try:
                answer = httpx.post(
                    self._url, headers={"X-CloudScheduler": "true"}, timeout=CALL_SECONDS, trust_env=False
                )
                if answer.status_code != httpx.codes.OK or answer.json()["skipped"]:
                    self.errors.append(answer.text[:200])
            except httpx.HTTPError as error:
                if not self._stopped.is_set():
                    self.errors.append(str(error))
            self.calls.append((self.began, time.time()))
            due = (time.time() // self._period + 1) * self._period

    def stop(self) -> None:
        """No further call; the one under way ends with its function."""
        self._stopped.set()


@contextmanager
def _google(arena: Arena, world: World, *, follow: bool) -> Iterator[tuple[int, Scheduler | None]]:
    own = {"SYNC_FOLLOW_SECONDS": str(EVERY_SECONDS)} if follow else {}
    with FunctionServer("sync", arena.settings(world) | own) as server:
        scheduler = Scheduler(f"{server.url}/", minutes=1 if follow else 3)
        scheduler.start()
        try:
            yield worker(server), scheduler
        finally:
            scheduler.stop()
    if scheduler.errors:
        raise RuntimeError(f"calls failed: {scheduler.errors}")


@contextmanager
def _deployment(arena: Arena, world: World) -> Iterator[tuple[int, Scheduler | None]]:
    settings = arena.settings(world) | {"SYNC_FOLLOW_SECONDS": str(EVERY_SECONDS), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "flinkjobs.entrypoints.follow"]
    with Process(command, name="follow", env=settings, cwd=ROOT) as process:
        yield process.pid, None


def measure(
    arena: Arena, seconds: float, say: Callable[[str], None], worlds: Sequence[int] | None = None
) -> list[Freshness]:
    """Every way, one after the other, in worlds of this many records."""
    is_long = seconds >= LONG_SECONDS
    found = []
    for records in worlds or ((1_000, 10_000) if is_long else (10_000,)):
        for way in (GOOGLE, DEPLOYMENT, *([PERIODIC] if is_long else [])):
            say(f"freshness, {records:,} open, {way}: {seconds:.0f} s")
            found.append(_measure(arena, records, way, seconds))
    return found


def _measure(arena: Arena, records: int, way: str, seconds: float) -> Freshness:
    world = World(records)
    arena.build(world)
    running = _deployment(arena, world) if way == DEPLOYMENT else _google(arena, world, follow=way == GOOGLE)
    result = Freshness(way, records, seconds)
    with running as (pid, scheduler):
        _until_a_pass(arena)
        cpu, began = cpu_seconds(pid), time.monotonic()
        changes = Changes(arena, records)
        memory: list[float] = []
        timer = threading.Timer(seconds / 3, lambda: memory.append(rss_mib(pid)))
        timer.start()
        result.unseen = changes.run(seconds)
        result.cpu_per_hour = (cpu_seconds(pid) - cpu) / (time.monotonic() - began) * 3600
        result.rss_mib = (memory[0], rss_mib(pid))
        if scheduler is not None:
            result.calls = [*scheduler.calls, (scheduler.began, time.time())]
    result.aged = changes.aged
    return result


def _until_a_pass(arena: Arena) -> None:
    deadline = time.monotonic() + CALL_SECONDS
    while arena.database["sync_runs"].find_one() is None:
        if time.monotonic() > deadline:
            raise RuntimeError("no pass has ended")
        time.sleep(LOOK_SECONDS)


def table(found: Sequence[Freshness]) -> Table:
    """The ages, a row for each way."""
    drawn = Table("world", "way", title="Age of a status when it is written, seconds")
    for title in ("changes", "p50", "p95", "max", "CPU s per hour", "MiB after ⅓, at the end"):
        drawn.add_column(title, justify="right")
    for one in found:
        ages = one.ages()
        drawn.add_row(
            f"{one.records:,} open",
            one.way,
            f"{len(ages):,}",
            *(f"{percentile(ages, percent):.1f}" for percent in (50, 95)),
            f"{max(ages, default=0.0):.1f}",
            f"{one.cpu_per_hour:.0f}",
            " → ".join(f"{each:.0f}" for each in one.rss_mib),
        )
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 when a bound is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.freshness", description="Measure the age of statuses."
    )
    parser.add_argument("--seconds", type=float, default=120, help="of each way; 600 measures more of them")
    parser.add_argument("--records", type=int, action="append", help="of the world; may be repeated")
    parser.add_argument("--output", type=Path, help="the file for the results")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    with Arena() as arena:
        found = measure(
            arena, options.seconds, lambda line: console.print(f"[dim]{line}[/dim]"), options.records
        )
    checks = [check for one in found for check in one.checks()]
    console.print(table(found))
    for check in checks:
        mark = "holds" if check.holds else "MISSED"
        console.print(f"{check.name}: {check.value:.2f}, must be {check.sign} {check.bound:g}: {mark}")
    if options.output is not None:
        parts = {
            "freshness": [one.as_json() for one in found],
            "checks": [check.as_json() for check in checks],
        }
        options.output.write_text(json.dumps(parts, indent=1) + "\n")
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
