"""What the default schedule costs a month on Google Cloud: ``python -m deploy.costs`` prints it as a table.

Seconds and memory are measured (`bench/results.json`), prices are Google's list prices in US dollars, region
tier 1, without free allowances, as they stood in November 2026.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parent.parent / "bench" / "results.json"

HOURS_PER_MONTH: Final = 730
VCPU_SECOND: Final = 0.000024
"""https://cloud.google.com/run/pricing, request-based billing; so are the next two."""
GIB_SECOND: Final = 0.0000025
REQUEST: Final = 0.40 / 1_000_000
BILLED_IN_SECONDS: Final = 0.1
"""Cloud Run rounds up to the nearest 100 milliseconds."""
SCHEDULE: Final = 0.10
"""https://cloud.google.com/scheduler/pricing, a month."""
SECRET_VERSION: Final = 0.06
"""https://cloud.google.com/secret-manager/pricing, a month."""
CONNECTOR_HOUR: Final = 0.0092
"""https://cloud.google.com/compute/vm-instance-pricing, one e2-micro; a connector has two or more."""
CONNECTOR_INSTANCES: Final = 2

VCPU: Final = 1.0
"""Of one instance of sync or cleanup, as terraform/functions.tf sets it; and its memory."""
GIB: Final = 0.5

SYNC_WORLD: Final = ("10,000 open, 10 % changed", "sync")
CLEANUP_WORLD: Final = ("1,000 open, 0 % changed, 500 without an id, 20,000 finished Jobs", "cleanup")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        how: where the sum comes from.
        dollars: a month.
    """

    name: str
    how: str
    dollars: float


def of_runs(runs: float, seconds: float) -> float:
    """What so many runs of so many seconds cost, in dollars."""
    billed = math.ceil(round(seconds / BILLED_IN_SECONDS, 6)) * BILLED_IN_SECONDS
    return runs * (billed * (VCPU * VCPU_SECOND + GIB * GIB_SECOND) + REQUEST)


def lines(sync_seconds: float, cleanup_seconds: float, *, sync_minutes: int = 3) -> list[Line]:
    """What a month costs.

    Args:
        sync_seconds: of one pass.
        cleanup_seconds: of one run.
        sync_minutes: time between two passes.
    """
    passes, runs = HOURS_PER_MONTH * 60 / sync_minutes, HOURS_PER_MONTH / 24
    return [
        Line(
            f"sync, `*/{sync_minutes}`",
            f"{passes:,.0f} passes × {sync_seconds:.2f} s × ({VCPU:g} vCPU, {GIB:g} GiB)",
            of_runs(passes, sync_seconds),
        ),
        Line("cleanup, daily", f"{runs:.0f} runs × {cleanup_seconds:.1f} s", of_runs(runs, cleanup_seconds)),
        Line("two schedules", f"2 × ${SCHEDULE:.2f}", 2 * SCHEDULE),
        Line("one secret", f"1 version × ${SECRET_VERSION:.2f}", SECRET_VERSION),
        Line(
            "VPC connector",
            f"{CONNECTOR_INSTANCES} × e2-micro × {HOURS_PER_MONTH} h × ${CONNECTOR_HOUR}",
            CONNECTOR_INSTANCES * HOURS_PER_MONTH * CONNECTOR_HOUR,
        ),
    ]


def table(results: Mapping[str, Any]) -> str:
    """The table, in Markdown, from the results of a benchmark."""
    sync_seconds, cleanup_seconds = seconds_of(results, *SYNC_WORLD), seconds_of(results, *CLEANUP_WORLD)
    rows = ["| | | US$ a month |", "|---|---|---:|"]
    found = lines(sync_seconds, cleanup_seconds)
    rows += [f"| {line.name} | {line.how} | {line.dollars:.2f} |" for line in found]
    rows.append(f"| **together** | | **{sum(line.dollars for line in found):.2f}** |")
    for minutes in (1, 10):
        others = lines(sync_seconds, cleanup_seconds, sync_minutes=minutes)
        together = sum(line.dollars for line in others)
        rows.append(f"| with `*/{minutes}` instead | sync {others[0].dollars:.2f} | {together:.2f} |")
    return "\n".join(rows)


def seconds_of(results: Mapping[str, Any], world: str, who: str) -> float:
    """The median seconds that one contender took in one world."""
    return next(
        float(case["median"]["seconds"])
        for case in results["cases"]
        if (case["world"], case["who"]) == (world, who)
    )


def main() -> int:
    """Prints the table."""
    sys.stdout.write(table(json.loads(RESULTS.read_text())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
