"""Records of every kind for retention: what has expired, what must stay, and runs that are killed.

    python -m tests.integration.cleanup.retention_world --records 100000 --kills 12

kills as many real processes (SIGKILL) in the middle of their runs: as they begin, sum, and delete. Then runs
to the end, and checks by ids that the records that are left are those that must stay, and that the statistics
are what they were.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo import MongoClient

from flinkjobs.adapters.mongo.client import MongoDatabase, connect
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.adapters.mongo.record_store import MongoRecordStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.cleanup import service
from flinkjobs.cleanup.context import Cleanup, RecordRetention
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.domain.transition import Policy
from flinkjobs.jobs.service import Jobs, metrics
from flinkjobs.sync.context import Sync
from local.mongodb import MongoServer
from tests.integration.property.cleanup_world import CleanupWorld

Document = dict[str, Any]

NOW: Final = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
RETENTION: Final = 40 * DAY
DAYS: Final = range(50, 56)
"""Ages, in days, of most records."""

GOES: Final[tuple[Document, ...]] = (
    {"status": "FINISHED"},
    {"status": "FAILED"},
    {"status": "CANCELLED"},
    {"status": "LOST", "missing_since": NOW - 45 * DAY},
    {"status": "LOST"},
)
STAYS: Final[tuple[Document, ...]] = (
    {"status": "CREATED"},
    {"status": "RUNNING"},
    {"status": "SUSPENDED"},
    {"status": "SLEEPING"},
    {"status": "LOST", "missing_since": NOW - 20 * DAY},
    {"status": "FINISHED", "open_action_since": NOW - 45 * DAY},
    {"status": "FINISHED", "pending_since": NOW - 45 * DAY},
    {"status": "FINISHED", "end_time": NOW - 2 * DAY},
    {"status": "FINISHED", "updated_at": NOW - 2 * DAY},
    {"status": "FINISHED", "submitted_at": "2026-09-25T10:00:00"},
    {"status": "FINISHED", "submitted_at": NOW - 39 * DAY},
)


def documents(count: int, days: range = DAYS) -> Iterator[Document]:
    """Nine in ten records have expired; the job id of each says whether it goes."""
    for number in range(count):
        goes = number % 10 > 0
        kinds = GOES if goes else STAYS
        at = NOW - days[number % len(days)] * DAY + timedelta(minutes=number % 600)
        fields = kinds[number // 10 % len(kinds)] | {"job_id": f"{'goes' if goes else 'stays'}_{number}"}
        yield {
            "submitted_at": at,
            "end_time": at,
            "updated_at": at,
            "template_id": "etl",
            "duration": number % 500 + 1.5,
        } | fields


def fill(database: MongoDatabase, count: int, days: range = DAYS) -> dict[str, Any]:
    """Inserts the records; the document id of each by its job id."""
    ensure_indexes(database)
    batch = list(documents(count, days))
    database["flink_jobs"].insert_many(batch)
    return {each["job_id"]: each["_id"] for each in batch}


def cleaning(database: MongoDatabase, *, seconds: float = 60, store: Any = None, sums: Any = None) -> Cleanup:
    """A cleanup without Kubernetes objects; `store` and `sums` may be others."""
    world = CleanupWorld(NOW, {}, lambda _: None)
    sync = Sync(
        store=MongoJobStore(database),
        notify_store=MongoNotifyStore(database),
        leases=MongoLeaseStore(database),
        kubernetes=lambda: world,
        flinks={},
        policy=Policy(),
        budget_seconds=60,
        clock=lambda: world.now,
    )
    return Cleanup(
        sync=sync,
        cluster=world,
        policy=RetentionPolicy(retention=DAY, unsettled=7 * DAY),
        max_deletions=1,
        deletions_per_second=1_000,
        budget_seconds=seconds,
        stats=sums or MongoStatsStore(database),
        records=RecordRetention(store or MongoRecordStore(database), RETENTION),
    )


def statistics_of(database: MongoDatabase) -> Document:
    """The statistics over all records, as the page shows them, without what the clock of the page adds."""
    jobs = Jobs(
        store=MongoReadStore(database),
        cluster=_no_kubernetes,
        namespace="dev",
        ui_urls={},
        history_urls={},
        sync=None,
        sync_period_seconds=180,
        clock=lambda: NOW,
    )
    shown: Document = metrics(jobs)["windows"]["all"]
    return shown


def expect_same(before: Document, after: Document) -> None:
    """Whether statistics are the same; the percentiles are approximations once days are summed."""
    for old, new in ((before, after), *zip(before["templates"], after["templates"], strict=True)):
        for name in ("p50", "p95"):
            exact, approximate = old["durations"][name], new["durations"][name]
            assert abs(approximate - exact) <= 0.01 * exact, f"{name}: {exact}, {approximate}"
    assert _without_percentiles(before) == _without_percentiles(after)


def _without_percentiles(whole: Document) -> Document:
    durations = {name: value for name, value in whole["durations"].items() if name not in ("p50", "p95")}
    shown = {name: value for name, value in whole.items() if name != "approximate"}
    return shown | {
        "durations": durations,
        "templates": [_without_percentiles(each) for each in whole.get("templates", ())],
    }


def _no_kubernetes() -> Any:
    raise AssertionError


def check(database: MongoDatabase, ids: dict[str, Any]) -> Counter[str]:
    """Whether what stays is there; counts what is left."""
    left = set(database["flink_jobs"].distinct("_id"))
    wrong = [name for name, id_ in ids.items() if name.startswith("stays") and id_ not in left]
    assert wrong == [], f"deleted: {wrong[:10]}"
    return Counter(name.partition("_")[0] for name, id_ in ids.items() if id_ in left)


STEPS: Final[tuple[Callable[[MongoDatabase], object], ...]] = (
    lambda database: database["leases"].count_documents({}),
    lambda database: sorted(each["revision"] for each in database["job_stats"].find({}, {"revision": 1})),
    lambda database: database["flink_jobs"].estimated_document_count(),
)
"""What a run changes, one after the other."""


def _run(uri: str, name: str) -> None:
    service.run(cleaning(connect(uri, name)))


def main() -> int:
    """Runs the program; the exit code is 0 only if every check held."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--kills", type=int, default=12)
    given = arguments.parse_args()
    processes = multiprocessing.get_context("spawn")
    with MongoServer() as server, MongoClient[Document](server.uri, tz_aware=True) as client:
        database = client["retention"]
        ids = fill(database, given.records)
        before = statistics_of(database)
        expected = Counter(name.partition("_")[0] for name in ids)
        _say(f"{given.records} records: {dict(expected)}")
        began = time.monotonic()
        for number in range(given.kills):
            process = processes.Process(target=_run, args=(server.uri, "retention"))
            step = STEPS[number % len(STEPS)]
            unchanged = step(database)
            process.start()
            while process.is_alive() and step(database) == unchanged:
                time.sleep(0.002)
            process.join(random.uniform(0, 0.3))  # noqa: S311 - no secret
            process.kill()
            process.join()
            database["leases"].delete_many({})  # as if its time were over
            _say(f"kill {number + 1}: left {dict(check(database, ids))}")
            expect_same(before, statistics_of(database))
        report = service.run(cleaning(connect(server.uri, "retention"), seconds=600))
        kinds = check(database, ids)
        expect_same(before, statistics_of(database))
        _say(f"last run: {report['records']}, left {dict(kinds)}, {time.monotonic() - began:.1f} s")
        return int(kinds != Counter({"stays": expected["stays"]}) or not report["complete"])


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program for a person at a terminal


if __name__ == "__main__":
    sys.exit(main())
