"""What the read side costs as the history grows: time, keys and documents of each request, and the indexes.

    python -m bench.history [--sizes 10000 100000 1000000]

Each size has the same number of jobs a day, and so more days: that is how a history grows. The days are
summed as cleanup does it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from rich.console import Console
from rich.table import Table

from bench.checks import Check
from bench.worlds import document_of_history
from flinkjobs.adapters.mongo.indexes import JOB_INDEXES, ensure_indexes
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.cleanup.day_sums import sum_days
from flinkjobs.domain.errors import KubernetesUnavailableError
from flinkjobs.domain.records import whole_milliseconds
from flinkjobs.jobs import prometheus, service
from flinkjobs.ports.kubernetes import KubernetesClient
from local.mongodb import MongoServer

Document = dict[str, Any]
SIZES: Final = (10_000, 100_000, 1_000_000)
PER_DAY: Final = 2_500
RUNS: Final = 31
BATCH: Final = 5_000
USERS_INDEXES: Final = 4
"""The indexes that the platform's users know stand first."""

MAX_KEYS: Final = 100_000
"""Of one request: each of seven statuses is counted up to 10,000; what filters check is bounded too."""
MAX_DOCUMENTS: Final = 6_000
"""Of one request: its page, what a text finds by index, and the runs that the statistics read."""
MAX_DOCUMENTS_OF: Final = {"search, many hits": 16_000}
"""What matches is counted among all records where they are at most 10,000, else among the newest ones."""
MAX_SECONDS: Final = 0.1
MAX_SECONDS_OF: Final = {"statistics": 0.3, "/metrics": 0.3}
"""They also count, record by record, the days that are not summed yet, and what is left of the day in which a
window begins: up to 10,000 records here."""
MAX_GROWTH: Final = 1.5
OPEN: Final = 200
"""Jobs that run since they were submitted, at any time of the history: as many in each size."""


class Spy(CommandListener):
    """Keeps every command that was sent."""

    def __init__(self) -> None:
        self.commands: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Of the commands that read; `getMore` goes on with one of them."""
        if event.command_name in ("find", "aggregate", "count"):
            self.commands.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing is kept."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing is kept."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request cost: the median of its seconds; what the plans of its commands examine, in all."""

    seconds: float
    keys: int
    documents: int


@dataclass(slots=True)
class Measured:
    """One size: its requests, and what the records and their indexes weigh.

    Attributes:
        sum_seconds: that the sums of all days took.
        index_bytes: of each record; `user_index_bytes` with the users' four alone.
        insert_ratio: records a second with all indexes ÷ with the users' four.
    """

    records: int
    costs: dict[str, Cost] = field(default_factory=dict)
    sum_seconds: float = 0.0
    data_bytes: float = 0.0
    index_bytes: float = 0.0
    insert_ratio: float = 0.0


def _no_kubernetes() -> KubernetesClient:
    raise KubernetesUnavailableError("there is none in this benchmark")


def requests(side: service.Jobs, some_job_id: str) -> Mapping[str, Callable[[], object]]:
    """What is measured, by name."""

    def list_(*query: tuple[str, str]) -> Callable[[], object]:
        return lambda: service.list_jobs(side, query)

    return {
        "list": list_(),
        "list of a status and template": list_(("status", "FAILED"), ("template_id", "template_3")),
        "list of a rare combination": list_(("cluster", "nowhere"), ("submitted_by", "ann*")),
        "list by the end": list_(("sort", "end_time")),
        "search, hit": list_(("q", some_job_id[:-2])),
        "search, many hits": list_(("q", "template_3")),
        "search, no hit": list_(("q", "nowhere to be found")),
        "details": lambda: service.show(side, some_job_id),
        "statistics": lambda: service.metrics(side),
        "/metrics": lambda: prometheus.exposition(service.metrics(side)),
    }


def documents(count: int, now: datetime) -> Iterator[Document]:
    """A history that ends now: all jobs but `OPEN` are over."""
    chance = random.Random(5)  # noqa: S311 - no secret
    for number in range(count):
        at = whole_milliseconds(now - timedelta(days=1) * (number / PER_DAY))
        yield document_of_history(number, at, chance, is_open=number % (count // OPEN or 1) == 0)


def build(database: Database[Document], count: int, now: datetime) -> None:
    """Inserts the history, then makes the indexes."""
    batch: list[Document] = []
    for document in documents(count, now):
        batch.append(document)
        if len(batch) == BATCH:
            database["flink_jobs"].insert_many(batch, ordered=False)
            batch = []
    if batch:
        database["flink_jobs"].insert_many(batch, ordered=False)
    ensure_indexes(database)


def measure(server: MongoServer, count: int, *, runs: int = RUNS, inserts: int = 4 * BATCH) -> Measured:
    """Builds a history of this many records and measures every request."""
    spy, now, measured = Spy(), datetime.now(UTC), Measured(count)
    client: MongoClient[Document] = MongoClient(server.uri, tz_aware=True, event_listeners=[spy])
    database = client[f"history_{count}"]
    with client:
        build(database, count, now)
        began = time.perf_counter()
        stats = MongoStatsStore(database)
        if not all(is_summed for _, is_summed in sum_days(stats, now)) or not stats.roll_up(now):
            raise RuntimeError("a day was not summed")
        measured.sum_seconds = time.perf_counter() - began
        side = service.Jobs(
            store=MongoReadStore(database),
            cluster=_no_kubernetes,
            namespace="lemo-dev",
            ui_urls={},
            history_urls={},
            sync=None,
            sync_period_seconds=180,
            clock=lambda: now,
        )
        middle = database["flink_jobs"].find_one(
            {}, {"job_id": 1}, sort={"submitted_at": -1}, skip=count // 2
        )
        assert middle is not None  # noqa: S101 - it was inserted
        measured.costs = _costs(database, spy, requests(side, middle["job_id"]), runs)
        size = database.command("collStats", "flink_jobs")
        measured.data_bytes, measured.index_bytes = size["size"] / count, size["totalIndexSize"] / count
        client.drop_database(database.name)
        measured.insert_ratio = _insert_ratio(client, inserts)
    return measured


def _costs(
    database: Database[Document], spy: Spy, asked: Mapping[str, Callable[[], object]], runs: int
) -> dict[str, Cost]:
    """Asks for each, then for each again: a busy moment of the machine falls on all requests."""
    examined: dict[str, list[tuple[int, int]]] = {}
    for name, ask in asked.items():
        ask()
        spy.commands.clear()
        ask()
        examined[name] = [_examined(database, command) for command in list(spy.commands)]
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(runs):
        for name, ask in asked.items():
            began = time.perf_counter()
            ask()
            seconds[name].append(time.perf_counter() - began)
    return {
        name: Cost(median(seconds[name]), sum(keys for keys, _ in found), sum(read for _, read in found))
        for name, found in examined.items()
    }


def _examined(database: Database[Document], command: Document) -> tuple[int, int]:
    asked = {name: value for name, value in command.items() if name not in ("lsid", "$db", "$clusterTime")}
    explained: Document = database.command(
        {"explain": asked, "verbosity": "executionStats"},
        codec_options=CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO),
    )
    cursor = explained["stages"][0]["$cursor"] if "stages" in explained else explained
    stats = cursor.get("executionStats") or {"totalKeysExamined": 0, "totalDocsExamined": 0}
    return stats["totalKeysExamined"], stats["totalDocsExamined"]


def _insert_ratio(client: MongoClient[Document], count: int) -> float:
    rates = []
    made = list(documents(count, datetime.now(UTC)))
    for indexes in (JOB_INDEXES, JOB_INDEXES[:USERS_INDEXES]):
        jobs = client["history_inserts"]["flink_jobs"]
        jobs.create_indexes(list(indexes))
        began = time.perf_counter()
        for place in range(0, len(made), BATCH):
            jobs.insert_many(made[place : place + BATCH], ordered=False)
        rates.append(len(made) / (time.perf_counter() - began))
        client.drop_database("history_inserts")
    return rates[0] / rates[1]


def checks(measured: Sequence[Measured]) -> list[Check]:
    """The bounds; those of time at the largest size alone, where it is whole."""
    found = []
    for one in measured:
        for name, cost in one.costs.items():
            title = f"{one.records:,} records, {name}"
            documents = MAX_DOCUMENTS_OF.get(name, MAX_DOCUMENTS)
            found.append(Check(f"{title}: keys examined", cost.keys, MAX_KEYS))
            found.append(Check(f"{title}: documents examined", cost.documents, documents))
    by_size = {one.records: one for one in measured}
    last, before = by_size.get(SIZES[-1]), by_size.get(SIZES[-2])
    for name, cost in last.costs.items() if last else ():
        most = MAX_SECONDS_OF.get(name, MAX_SECONDS)
        found.append(Check(f"1,000,000 records, {name}: seconds", cost.seconds, most))
        if before:
            growth = cost.seconds / before.costs[name].seconds
            found.append(Check(f"100,000 → 1,000,000 records, {name}: growth", growth, MAX_GROWTH))
    return found


def table(measured: Sequence[Measured]) -> Table:
    """What each request costs, by size."""
    shown = Table("request", title="The read side by history (medians; keys and documents of one request)")
    for one in measured:
        shown.add_column(f"{one.records:,}", justify="right")
    for name in measured[0].costs:
        shown.add_row(
            name,
            *(
                f"{cost.seconds * 1000:,.0f} ms · {cost.keys:,} · {cost.documents:,}"
                for cost in (one.costs[name] for one in measured)
            ),
        )
    for title, values in (
        ("summing every day, seconds", [one.sum_seconds for one in measured]),
        ("bytes of a record", [one.data_bytes for one in measured]),
        ("bytes of its indexes", [one.index_bytes for one in measured]),
        ("inserts ÷ with the users' four indexes", [one.insert_ratio for one in measured]),
    ):
        shown.add_row(title, *(f"{value:,.2f}" for value in values))
    return shown


def as_json(measured: Sequence[Measured]) -> list[Document]:
    """As in `results.json`."""
    return [asdict(one) for one in measured]


def main() -> int:
    """Measures and prints; returns 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of records")
    sizes = parser.parse_args().sizes
    console = Console(width=None if sys.stdout.isatty() else 170)
    with MongoServer() as server:
        measured = []
        for count in sizes:
            measured.append(measure(server, count))
            console.print(table(measured))
    missed = [check for check in checks(measured) if not check.holds]
    for check in missed:
        console.print(f"MISSED {check.name}: {check.value:,.4g}, must be {check.sign} {check.bound:g}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
