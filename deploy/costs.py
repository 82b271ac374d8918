"""What the default schedule costs a month on Google Cloud, as the table of run-in-production.md.

    python -m deploy.costs            prints the table, as `make costs` does
    python -m deploy.costs --write    writes it into the pages, as `make bench-publish` does

Seconds are measured (`bench/results.json`), prices are Google's list prices in US dollars, region tier 1,
without free allowances, as they stood in November 2026.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flinkjobs.settings.functions import read_settings

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "bench" / "results.json"

HOURS_PER_MONTH: Final = 730
VCPU_SECOND: Final = 0.000024
"""https://cloud.google.com/run/pricing, request-based billing; so are the next two."""
GIB_SECOND: Final = 0.0000025
REQUEST: Final = 0.40 / 1_000_000
BILLED_IN_SECONDS: Final = 0.1
"""Cloud Run rounds up to the nearest 100 milliseconds."""
SCHEDULE: Final = 0.10
"""https://cloud.google.com/scheduler/pricing, a month."""
SCHEDULES: Final = 2
SECRET_VERSION: Final = 0.06
"""https://cloud.google.com/secret-manager/pricing, a month."""
SECRETS: Final = 2
CONNECTOR_HOUR: Final = 0.0092
"""https://cloud.google.com/compute/vm-instance-pricing, one e2-micro; a connector has two or more."""
CONNECTOR_INSTANCES: Final = 2

VCPU: Final = 1.0
"""Of one instance of sync or cleanup, as terraform/functions.tf sets it; and its memory."""
GIB: Final = 0.5

SYNC_WORLD: Final = ("10,000 open, 10 % changed", "sync")
CLEANUP_WORLD: Final = ("1,000 open, 0 % changed, 500 without an id, 20,000 finished Jobs", "cleanup")
"""Of which the benchmark measures a dry run: everything but the deletions, which have a pace of their own."""


@dataclass(frozen=True, slots=True)
class Words:
    """The table's words in one language; what is in braces is filled in."""

    head: str
    sync: str
    passes: str
    cleanup: str
    runs: str
    schedules: str
    secrets: str
    versions: str
    together: str
    instead: str
    connector: str


PAGE: Final = "docs/how-to/run-in-production.md"

WORDS: Final[Mapping[str, Words]] = {
    PAGE: Words(
        head="US$ a month",
        sync="sync, `*/{minutes}`",
        passes="{passes:,.0f} passes × {seconds:.2f} s × ({vcpu:g} vCPU, {gib:g} GiB)",
        cleanup="cleanup, daily",
        runs="{runs:.0f} runs × ({seconds:.1f} s + {deletions:,} deletions at {pace} a second)",
        schedules="two schedules",
        secrets="two secrets",
        versions="{secrets} versions × ${price:.2f}",
        together="together",
        instead="with `*/{minutes}` instead",
        connector="with a VPC connector instead of direct egress",
    ),
    "docs/how-to/run-in-production.zh-CN.md": Words(
        head="每月美元",
        sync="sync，`*/{minutes}`",  # noqa: RUF001 Chinese punctuation
        passes="{passes:,.0f} 轮 × {seconds:.2f} 秒 ×（{vcpu:g} vCPU，{gib:g} GiB）",  # noqa: RUF001 Chinese punctuation
        cleanup="cleanup，每天",  # noqa: RUF001 Chinese punctuation
        runs="{runs:.0f} 次 ×（{seconds:.1f} 秒 + 以每秒 {pace} 个删除 {deletions:,} 个）",  # noqa: RUF001 Chinese punctuation
        schedules="两个调度",
        secrets="两个机密",
        versions="{secrets} 个版本 × ${price:.2f}",
        together="合计",
        instead="改用 `*/{minutes}`",
        connector="用 VPC 连接器代替直接出站",
    ),
}
"""By the file that shows the table."""


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
    """The cost in dollars of `runs` runs of `seconds` seconds each."""
    billed = math.ceil(round(seconds / BILLED_IN_SECONDS, 6)) * BILLED_IN_SECONDS
    return runs * (billed * (VCPU * VCPU_SECOND + GIB * GIB_SECOND) + REQUEST)


def lines(
    sync_seconds: float, cleanup_seconds: float, *, sync_minutes: int = 3, words: Words = WORDS[PAGE]
) -> list[Line]:
    """What a month costs with direct egress.

    Args:
        sync_seconds: of one pass.
        cleanup_seconds: of one run, without its deletions: it is taken to delete as much as one run may.
        sync_minutes: time between two passes.
        words: of the language to say it in.
    """
    passes, runs = HOURS_PER_MONTH * 60 / sync_minutes, HOURS_PER_MONTH / 24
    defaults = read_settings({"MONGODB_URI": "mongodb://host"})
    deletions, pace = defaults.cleanup_max_deletions, defaults.cleanup_deletions_per_second
    sizes = {"vcpu": VCPU, "gib": GIB}
    return [
        Line(
            words.sync.format(minutes=sync_minutes),
            words.passes.format(passes=passes, seconds=sync_seconds, **sizes),
            of_runs(passes, sync_seconds),
        ),
        Line(
            words.cleanup,
            words.runs.format(runs=runs, seconds=cleanup_seconds, deletions=deletions, pace=pace),
            of_runs(runs, cleanup_seconds + deletions / pace),
        ),
        Line(words.schedules, f"{SCHEDULES} × ${SCHEDULE:.2f}", SCHEDULES * SCHEDULE),
        Line(
            words.secrets,
            words.versions.format(secrets=SECRETS, price=SECRET_VERSION),
            SECRETS * SECRET_VERSION,
        ),
    ]


def connector_line(words: Words = WORDS[PAGE]) -> Line:
    """What a connector costs a month; direct egress costs nothing."""
    return Line(
        words.connector,
        f"{CONNECTOR_INSTANCES} × e2-micro × {HOURS_PER_MONTH} h × ${CONNECTOR_HOUR}",
        CONNECTOR_INSTANCES * HOURS_PER_MONTH * CONNECTOR_HOUR,
    )


def table(results: Mapping[str, Any], words: Words = WORDS[PAGE]) -> str:
    """The table, in Markdown, from the results of a benchmark."""
    sync_seconds, cleanup_seconds = seconds_of(results, *SYNC_WORLD), seconds_of(results, *CLEANUP_WORLD)
    rows = [f"| | | {words.head} |", "|---|---|---:|"]
    found = lines(sync_seconds, cleanup_seconds, words=words)
    rows += [f"| {line.name} | {line.how} | {line.dollars:.2f} |" for line in found]
    together = sum(line.dollars for line in found)
    rows.append(f"| **{words.together}** | | **{together:.2f}** |")
    for minutes in (1, 10):
        others = lines(sync_seconds, cleanup_seconds, sync_minutes=minutes, words=words)
        name = words.instead.format(minutes=minutes)
        rows.append(f"| {name} | sync {others[0].dollars:.2f} | {sum(line.dollars for line in others):.2f} |")
    connector = connector_line(words)
    rows.append(
        f"| {connector.name} | {connector.how} = {connector.dollars:.2f} "
        f"| {together + connector.dollars:.2f} |"
    )
    return "\n".join(rows)


def seconds_of(results: Mapping[str, Any], world: str, who: str) -> float:
    """The median seconds that one contender took in one world."""
    return next(
        float(case["median"]["seconds"])
        for case in results["cases"]
        if (case["world"], case["who"]) == (world, who)
    )


def written(text: str, new: str) -> str:
    """A page with this table in the place of the one that it has.

    Raises:
        ValueError: it has none, or several.
    """
    there = re.findall(r"^\|.*\|\n\|---\|---\|---:\|\n(?:\|.*\n)+", text, re.MULTILINE)
    if len(there) != 1:
        raise ValueError(f"{len(there)} tables of costs instead of one")
    return text.replace(there[0], f"{new}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m deploy.costs", description="The costs of a month.")
    parser.add_argument("--write", action="store_true", help="write the table into the pages")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    if not parser.parse_args(arguments).write:
        sys.stdout.write(table(results) + "\n")
        return 0
    for name, words in WORDS.items():
        path = ROOT / name
        path.write_text(written(path.read_text(encoding="utf-8"), table(results, words)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
