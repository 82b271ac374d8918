"""Measures a pass against its peers, and prints tables; exits 1 when a bound is missed.

    python -m bench [--quick] [--output FILE] [--only CASE]

A whole run writes `build/bench/results.json`. `make bench-publish` copies the results
to `bench/results.json`, which is tracked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import cold, freshness, history
from bench.arena import Arena
from bench.checks import Check
from bench.measure import Measurements, middle
from bench.worlds import World
from deploy.lock import FUNCTIONS, ROOT
from flinkjobs.adapters.flink.connection import CONNECT_TIMEOUT_SECONDS
from local.mongodb import MongoServer

RESULTS = ROOT / "build" / "bench" / "results.json"
RUNS = 7
COLD_RUNS = {True: 21, False: 5}
"""With bytecode, where a bound hangs on it, and without."""
FLOOR, BARE, POLLING, OURS, CLEANUP = "floor", "bare floor", "polling", "sync", "cleanup"
OURS_WITH_CHANNELS = "sync, two channels"
OURS_WITHOUT_HEALTH = "sync, without health"
OURS_WITH_A_DEAD_CLUSTER = "sync, one cluster dead"

TEN = World(10_000, 10)
EIGHT = World(10_000, 10, clusters=8)
FULL_HOUSE = World(1_000, without_id=500, finished_jobs=20_000)


@dataclass(frozen=True, slots=True)
class Case:
    """One world and the contenders that are measured in it, one after the other.

    Attributes:
        runs: of each contender; the first call of each, before these, is not counted.
    """

    name: str
    world: World
    contenders: tuple[str, ...]
    runs: int = RUNS


CASES = (
    Case("hundred", World(100, 10), (FLOOR, OURS)),
    Case("thousand", World(1_000, 10), (FLOOR, OURS)),
    Case("ten", TEN, (FLOOR, OURS, BARE), runs=21),
    Case("polled", TEN, (POLLING, OURS), runs=5),
    Case("hundred-thousand", World(100_000, 10), (FLOOR, OURS), runs=9),
    Case("unchanged", World(10_000), (FLOOR, OURS)),
    Case("health", World(10_000), (OURS, OURS_WITHOUT_HEALTH), runs=61),
    Case("hundred-thousand-unchanged", World(100_000), (FLOOR, OURS), runs=5),
    Case("all-changed", World(10_000, 100), (FLOOR, OURS), runs=5),
    Case("failed", World(10_000, 10, failed=100), (OURS,), runs=5),
    Case("clusters", EIGHT, (OURS, OURS_WITH_A_DEAD_CLUSTER), runs=5),
    Case("channels", World(10_000, 10, do_all_end=True), (OURS, OURS_WITH_CHANNELS), runs=15),
    Case("without-id", FULL_HOUSE, (OURS, CLEANUP), runs=5),
)
FLOOR_BOUNDS = {"ten": 1.2, "hundred-thousand": 1.7, "hundred-thousand-unchanged": 0.8}
"""Maximum of ours ÷ floor in seconds, by case."""
QUICK = ("thousand", "ten", "unchanged", "clusters")


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of one case: by contender, every run."""

    case: Case
    runs: Mapping[str, Sequence[Measurements]]

    def middle(self, contender: str) -> Measurements:
        """The medians of a contender's measurements."""
        return middle(list(self.runs[contender]))

    def paired(self, one: str, other: str, by: Callable[[Measurements, Measurements], float]) -> float:
        """The median over the pairs of runs that followed each other."""
        return median(by(*pair) for pair in zip(self.runs[one], self.runs[other], strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure a pass and its peers.")
    parser.add_argument("--quick", action="store_true", help="a few worlds, three runs each, no cold starts")
    parser.add_argument(
        "--only",
        action="append",
        choices=[case.name for case in CASES],
        help="the case of this name; may be repeated",
    )
    parser.add_argument(
        "--output", type=Path, help="the file for the results; a whole run writes build/bench/results.json"
    )
    parser.add_argument(
        "--freshness-seconds",
        type=float,
        default=120,
        help="of each way of `bench.freshness`; 600 measures more",
    )
    options = parser.parse_args(arguments)
    names = options.only or (QUICK if options.quick else [case.name for case in CASES])
    cases = [case for case in CASES if case.name in names]
    if options.quick:
        cases = [replace(case, runs=3) for case in cases]
    console = Console(width=None if sys.stdout.isatty() else 150)
    is_whole = not options.quick and not options.only
    with Arena() as arena:
        starts = _cold_starts(arena, console) if is_whole else {}  # while nothing lies around in Kubernetes
        measured = {case.name: _run(arena, case, console) for case in cases}
        say = lambda line: console.print(f"[dim]{line}[/dim]")  # noqa: E731 - one line
        fresh = freshness.measure(arena, options.freshness_seconds, say) if is_whole else []
    long_ago = _history(console) if is_whole else []
    checks = [*_checks(measured, starts), *(check for one in fresh for check in one.checks())]
    checks += history.checks(long_ago)
    if fresh:
        console.print(freshness.table(fresh))
    _show(console, measured.values(), starts, checks)
    output = options.output or (RESULTS if is_whole else None)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        results = _results(measured.values(), starts, checks)
        results["freshness"] = [one.as_json() for one in fresh]
        results["history"] = history.as_json(long_ago)
        output.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(check.holds for check in checks) else 1


# --- measuring --------------------------------------------------------------------------------------


def _run(arena: Arena, case: Case, console: Console) -> Measured:
    console.print(f"[dim]{case.world.name}: {', '.join(case.contenders)}[/dim]")
    arena.build(case.world)
    runs: dict[str, list[Measurements]] = {name: [] for name in case.contenders}
    with ExitStack() as stack:
        peers = {name: stack.enter_context(_peer(arena, case.world, name)) for name in case.contenders}
        for number in range(case.runs + 1):
            for name, peer in peers.items():
                measurements = peer.run()
                arena.put_back(everything=name == POLLING)
                if number:
                    runs[name].append(measurements)
    return Measured(case, runs)


def _history(console: Console) -> list[history.Measured]:
    measured = []
    with MongoServer() as server:
        for count in history.SIZES:
            console.print(f"[dim]a history of {count:,} records[/dim]")
            measured.append(history.measure(server, count))
    console.print(history.table(measured))
    return measured


def _peer(arena: Arena, world: World, contender: str) -> Any:
    if contender == OURS_WITH_A_DEAD_CLUSTER:
        return arena.peer(OURS, replace(world, is_one_dead=True))
    if contender == OURS_WITH_CHANNELS:
        return arena.peer(OURS, world, channels=("first", "second"))
    if contender == OURS_WITHOUT_HEALTH:
        return arena.peer(OURS, world, settings={"HEALTH_REQUESTS_PER_PASS": "0"})
    if contender == BARE:
        return arena.peer(FLOOR, world, path="/?bare")
    return arena.peer(contender, world, path="/?dry_run=true" if contender == CLEANUP else "/")


def _cold_starts(arena: Arena, console: Console) -> dict[bool, dict[str, list[cold.Start]]]:
    world = World(100, 10)
    arena.build(world)
    settings = arena.settings(world) | {"FLINK_IMAGE": "flink:1.20"}
    found = {}
    for with_bytecode in (True, False):
        console.print(f"[dim]cold starts {'with' if with_bytecode else 'without'} bytecode[/dim]")
        found[with_bytecode] = cold.measure(
            settings, with_bytecode=with_bytecode, runs=COLD_RUNS[with_bytecode]
        )
    return found


# --- the bounds -------------------------------------------------------------------------------------


def _seconds_ratio(one: Measurements, other: Measurements) -> float:
    return one.seconds / other.seconds


def _checks(
    measured: Mapping[str, Measured], starts: Mapping[bool, Mapping[str, Sequence[cold.Start]]]
) -> list[Check]:
    """Every bound whose cases were measured."""
    checks = [*_floor_checks(measured), *_pass_checks(measured)]
    return [*checks, *_cold_checks(starts[True])] if starts else checks


def _floor_checks(measured: Mapping[str, Measured]) -> Iterator[Check]:
    for name, bound in FLOOR_BOUNDS.items():
        if one := measured.get(name):
            ratio = one.paired(OURS, FLOOR, _seconds_ratio)
            yield Check(f"{one.case.world.name}: ours ÷ floor, seconds", ratio, bound)
    if one := measured.get("health"):
        ratio = one.paired(OURS, OURS_WITHOUT_HEALTH, _seconds_ratio)
        yield Check(f"{one.case.world.name}: with health ÷ without, seconds", ratio, 1.1)


def _cold_checks(starts: Mapping[str, Sequence[cold.Start]]) -> Iterator[Check]:
    empty = starts[cold.EMPTY]
    health = median(ours.health / other.health for ours, other in zip(starts[OURS], empty, strict=True))
    yield Check("cold start of sync ÷ empty function, first /health", health, 2.0)
    for name in FUNCTIONS:
        answer = median(one.answer / other.answer for one, other in zip(starts[name], empty, strict=True))
        yield Check(f"cold start of {name} ÷ empty function, first real answer", answer, 3.5)


def _pass_checks(measured: Mapping[str, Measured]) -> Iterator[Check]:
    if polled := measured.get("polled"):
        ratio = polled.paired(POLLING, OURS, _seconds_ratio)
        yield Check("10,000 open, 10 % changed: polling ÷ ours, seconds", ratio, 60, at_most=False)
    if hundred := measured.get("hundred-thousand"):
        peak = max(run.peak_rss_mib for run in hundred.runs[OURS])
        yield Check("100,000 open: peak RSS of the function, MiB", peak, 300)
    if unchanged := measured.get("unchanged"):
        measurements = unchanged.middle(OURS)
        yield Check("10,000 open, nothing changed: documents written", measurements.documents_written, 0)
        yield Check(
            "10,000 open, nothing changed: Flink requests per cluster", measurements.flink_requests, 1
        )
    if without_id := measured.get("without-id"):
        asked = max(run.kubernetes_requests for run in without_id.runs[OURS])
        yield Check("500 without an id, with 20,000 finished Jobs: Kubernetes requests", asked, 25)
    if clusters := measured.get("clusters"):
        added = clusters.paired(
            OURS_WITH_A_DEAD_CLUSTER, OURS, lambda dead, alive: dead.seconds - alive.seconds
        )
        name = "one of 8 clusters dead: seconds added to the pass, at most a connect timeout"
        yield Check(name, added, CONNECT_TIMEOUT_SECONDS + 0.1)
    if channels := measured.get("channels"):
        ratio = channels.paired(
            OURS_WITH_CHANNELS,
            OURS,
            lambda one, other: one.before_delivery_seconds / other.before_delivery_seconds,
        )
        yield Check("10,000 open, 1,000 move: time before delivery, two channels ÷ none", ratio, 1.2)
    if hundred and (thousand := measured.get("thousand")):
        growth = (hundred.middle(OURS).seconds / 100) / thousand.middle(OURS).seconds
        yield Check("growth 1,000 → 100,000: seconds per record at 100,000 ÷ at 1,000", growth, 1.0)


# --- the output ------------------------------------------------------------------------------------


def _show(
    console: Console,
    measured: Sequence[Measured] | Any,
    starts: Mapping[bool, Mapping[str, Sequence[cold.Start]]],
    checks: Sequence[Check],
) -> None:
    table = Table("world", "who", title="What a pass costs (medians)")
    for title in ("seconds", "CPU s", "peak MiB", "Flink", "Kubernetes", "MongoDB", "written"):
        table.add_column(title, justify="right")
    for one in measured:
        for name in one.case.contenders:
            measurements = one.middle(name)
            table.add_row(
                one.case.world.name,
                name,
                f"{measurements.seconds:.3f}",
                f"{measurements.cpu_seconds:.3f}",
                f"{measurements.peak_rss_mib:.0f}",
                *(f"{getattr(measurements, part):,.0f}" for part in _COUNTS),
            )
    console.print(table)
    if starts:
        table = Table("function", title="Cold starts, seconds (medians)")
        for title in ("/health", "real answer", "/health, no bytecode", "real answer, no bytecode"):
            table.add_column(title, justify="right")
        for name in cold.CONTENDERS:
            both = [cold.middle(list(starts[with_bytecode][name])) for with_bytecode in (True, False)]
            table.add_row(name, *(f"{value:.2f}" for one in both for value in (one.health, one.answer)))
        console.print(table)
    table = Table("bound", title="Bounds")
    for title in ("value", "must be", ""):
        table.add_column(title, justify="right")
    for check in checks:
        result = "[green]holds[/green]" if check.holds else "[red]MISSED[/red]"
        table.add_row(check.name, f"{check.value:,.3g}", f"{check.sign} {check.bound:g}", result)
    console.print(table)


_COUNTS = ("flink_requests", "kubernetes_requests", "mongodb_commands", "documents_written")


def _results(
    measured: Sequence[Measured] | Any,
    starts: Mapping[bool, Mapping[str, Sequence[cold.Start]]],
    checks: Sequence[Check],
) -> dict[str, Any]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processors": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("pymongo", "httpx", "msgspec", "kubernetes")},
        },
        "cases": [
            {
                "world": one.case.world.name,
                "who": name,
                "runs": one.case.runs,
                "median": _rounded(asdict(one.middle(name))),
                "seconds": [round(run.seconds, 4) for run in one.runs[name]],
            }
            for one in measured
            for name in one.case.contenders
        ],
        "cold_starts": [
            {
                "function": name,
                "bytecode": with_bytecode,
                "median": _rounded(asdict(cold.middle(list(found[name])))),
                "health_seconds": [round(start.health, 3) for start in found[name]],
                "answer_seconds": [round(start.answer, 3) for start in found[name]],
            }
            for with_bytecode, found in starts.items()
            for name in cold.CONTENDERS
        ],
        "checks": [check.as_json() for check in checks],
    }


def _rounded(measurements: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in measurements.items()}


if __name__ == "__main__":
    sys.exit(main())
