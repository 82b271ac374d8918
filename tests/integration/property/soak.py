"""Draws fresh random histories until the time is over, and says what was seen.

    python -m tests.integration.property.soak --seconds 600

Exit code 1, and the shortest history found, when a record was wrong.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from local.mongodb import MongoServer
from tests.integration.property.bench import Bench
from tests.integration.property.machine import StatusMachine

EXAMPLES_AT_ONCE = 50
STEPS_PER_EXAMPLE = 40


def main() -> int:
    """Runs until the time is over; returns the exit code."""
    arguments = argparse.ArgumentParser(description="Random histories against the real store.")
    arguments.add_argument("--seconds", type=float, default=600.0, help="how long to go on (default: 600)")
    arguments.add_argument("--seed", type=int, help="draw the histories of an earlier soak again")
    given = arguments.parse_args()
    logging.getLogger("flinkjobs").addHandler(logging.NullHandler())
    number = time.time_ns() % 1_000_000_000 if given.seed is None else given.seed
    _say(f"seed {number}")
    began = time.monotonic()
    with MongoServer() as server:
        bench = Bench(server.uri, "soak")
        try:
            while time.monotonic() - began < given.seconds:
                _round(bench, number + bench.tally["rounds"])
                bench.tally["rounds"] += 1
                _print_counts(bench.tally, time.monotonic() - began)
        except Exception:  # noqa: BLE001 - whatever it is, it is what was searched for
            traceback.print_exc()
            _print_counts(bench.tally, time.monotonic() - began, whole=True)
            return 1
        finally:
            bench.close()
    _print_counts(bench.tally, time.monotonic() - began, whole=True)
    return 0


def _round(bench: Bench, number: int) -> None:
    run_state_machine_as_test(
        seed(number)(StatusMachine.on(bench)),
        settings=settings(
            max_examples=EXAMPLES_AT_ONCE,
            stateful_step_count=STEPS_PER_EXAMPLE,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),  # a step is a pass against a real database
        ),
    )


def _print_counts(tally: Counter[str], seconds: float, *, whole: bool = False) -> None:
    """The counts so far; in the end also how records moved."""
    totals = ("examples", "steps", "passes", "quiet passes")
    _say(f"{seconds:.0f} s: " + ", ".join(f"{tally[name]} {name}" for name in totals))
    if whole:
        for name in sorted(set(tally) - {*totals, "rounds", "ends"}):
            _say(f"  {name}: {tally[name]}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program for a person at a terminal


if __name__ == "__main__":
    sys.exit(main())
