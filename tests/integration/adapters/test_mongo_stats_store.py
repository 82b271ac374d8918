"""The sums of days on the real server: after any history, the statistics are those of the records."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from flinkjobs.adapters.mongo.admin import MongoAdmin
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore, note_late
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.records import JobRecord
from flinkjobs.jobs import statistics
from local.mongodb import MongoServer

NOW = datetime(2025, 11, 20, 12, 30, tzinfo=UTC)
END = datetime(2025, 11, 20, 13, tzinfo=UTC)
TODAY = datetime(2025, 11, 20, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LOST_BEFORE = NOW - timedelta(days=31)
WINDOWS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
Document = dict[str, Any]


@dataclass
class World:
    """The database, and every record that there ever was, as it was last."""

    database: Database[Document]
    stats: MongoStatsStore
    reads: MongoReadStore
    admin: MongoAdmin
    jobs: MongoJobStore
    chance: random.Random
    records: dict[Any, Document] = field(default_factory=dict)

    def write(self, record: Document) -> None:
        self.records[record["_id"]] = record
        self.database.flink_jobs.replace_one({"_id": record["_id"]}, record, upsert=True)

    def fill(self, count: int) -> None:
        """Many new records of any age."""
        made = [record(self.chance) for _ in range(count)]
        self.records |= {one["_id"]: one for one in made}
        self.database.flink_jobs.insert_many(made)

    def change(self, record: Document, **fields: Any) -> None:
        self.write(record | fields)

    def some(self, is_wanted: Callable[[Document], bool], most: int) -> list[Document]:
        """Records that are still in the database."""
        stored = {found["_id"] for found in self.database.flink_jobs.find({}, {"_id": 1})}
        found = [one for one in self.records.values() if one["_id"] in stored and is_wanted(one)]
        return self.chance.sample(found, min(most, len(found)))

    def windows(self, end: datetime = END) -> dict[str, Any]:
        return statistics.windows(self.reads.tallies(end, statistics.begins(end)), end)


@pytest.fixture
def world(mongo_server: MongoServer, mongo_database: Database[Document]) -> Iterator[World]:
    ensure_indexes(mongo_database)
    database = connect(mongo_server.uri, mongo_database.name)
    with contextlib.closing(database.client):
        yield World(
            database,
            MongoStatsStore(database),
            MongoReadStore(database),
            MongoAdmin(database),
            MongoJobStore(database),
            random.Random(7),  # noqa: S311 - no secret
        )


def record(chance: random.Random, *, days: float = 70) -> Document:
    """A record of any age; times have milliseconds, and some are whole hours or midnights."""
    at = NOW - timedelta(seconds=chance.randrange(int(days * 86_400)), milliseconds=chance.randrange(1000))
    if chance.random() < 0.2:
        at = at.replace(minute=0, second=0, microsecond=0, hour=chance.choice([0, at.hour]))
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    status = chance.choice(["FINISHED"] * 6 + ["FAILED", "CANCELLED", "LOST", "RUNNING", "CREATED", "PAUSED"])
    measured = chance.choice([None, chance.randrange(100_000) / 1000, chance.randrange(90_000)])
    return {
        "_id": ObjectId(),
        "job_id": f"etl_{chance.randrange(2**48)}",
        "template_id": chance.choice(["etl", "report", "train", None]),
        "status": status,
        "submitted_at": at,
        "flink_job_id": chance.choice([None, "a" * 32]),
        "duration": measured if status == "FINISHED" else None,
        "missing_since": at + HOUR if status == "LOST" and chance.random() < 0.8 else None,
        "ended_by": chance.choice([None, "stop"]) if status == "FINISHED" else None,
    }


def submitted(one: Document) -> datetime:
    at = one["submitted_at"]
    return at if isinstance(at, datetime) else datetime.fromisoformat(at).replace(tzinfo=UTC)


def check(world: World, end: datetime = END) -> None:
    """Every figure, against a count of all records that there were."""
    windows = world.windows(end)
    every = list(world.records.values())
    for name, window in windows.items():
        inside = [one for one in every if name == "all" or end - submitted(one) < WINDOWS[name]]
        statuses = Counter(one["status"] for one in inside)
        known = {status.value: statuses[status.value] for status in Status}
        assert (window["jobs"], window["by_status"]) == (len(inside), known), name
        took = sorted(
            one["duration"] for one in inside if one["status"] == "FINISHED" and one["duration"] is not None
        )
        durations = window["durations"]
        assert durations["count"] == len(took), name
        if took:
            assert (durations["min"], durations["max"]) == (took[0], took[-1])
            assert durations["average"] == pytest.approx(sum(took) / len(took), rel=1e-12)
            for percent in (50, 95):
                nearest = took[-(-len(took) * percent // 100) - 1]
                assert durations[f"p{percent}"] == pytest.approx(nearest, rel=0.0101, abs=0.0002), name
        failed = sum(one["status"] == "FAILED" and one["flink_job_id"] is None for one in inside)
        assert window["never_submitted"] == failed
        stopped = sum(one.get("ended_by") == "stop" for one in inside)
        assert window["stopped"] == stopped == sum(each["stopped"] for each in window["templates"]), name
        templates = {each["template_id"]: each["jobs"] for each in window["templates"]}
        assert templates == Counter(one["template_id"] for one in inside)
        assert sum(bar["count"] for bar in window["duration_histogram"]) == len(took)
        for step in window.get("over_time", ()):
            expected = [one for one in every if step["from"] < submitted(one) <= step["to"]]
            if step["to"] == end:
                expected += [one for one in every if submitted(one) > end]
            assert step["jobs"] == len(expected), (name, step)


def sum_all(world: World, *, most: int = 1_000) -> None:
    for day in world.stats.changed_days(NOW - HOUR)[:most]:
        assert world.stats.sum_day(day, lost_before=LOST_BEFORE)
    assert world.stats.roll_up(NOW)


# --- any history ------------------------------------------------------------------------------------


def submit_some(world: World) -> None:
    for _ in range(20):
        world.write(record(world.chance, days=0.5))


def submit_late(world: World) -> None:
    """As adoption does for a job that began long ago."""
    at = submitted(record(world.chance))
    found = JobRecord(
        job_id=f"adopted_{world.chance.randrange(2**48)}", status=Status.RUNNING, submitted_at=at
    )
    world.jobs.insert(found, {"template_id": "etl"}, now=NOW)
    [kept] = world.database.flink_jobs.find({"job_id": found.job_id})
    names = ("_id", "job_id", "template_id", "status", "submitted_at", "flink_job_id", "duration")
    world.records[kept["_id"]] = {name: kept.get(name) for name in names}


def end_some(world: World) -> None:
    for one in world.some(lambda one: one["status"] in ("RUNNING", "CREATED"), 5):
        status = world.chance.choice(["FINISHED", "FAILED", "CANCELLED"])
        took = world.chance.randrange(50_000) / 1000 if status == "FINISHED" else None
        followed = {"open_action_since": NOW} if world.chance.random() < 0.3 else {}
        world.change(one, status=status, duration=took, **followed)


def know_what_ended_some(world: World) -> None:
    """The success of a stop comes after the job was seen to be over."""
    for one in world.some(lambda one: "open_action_since" in one, 5):
        world.change(one, ended_by="stop" if one["status"] == "FINISHED" else None)
        del world.records[one["_id"]]["open_action_since"]
        world.write(world.records[one["_id"]])


def lose_some(world: World) -> None:
    for one in world.some(lambda one: one["status"] == "RUNNING", 3):
        world.change(one, status="LOST", missing_since=NOW)


def lost_come_back(world: World) -> None:
    """Those that sync still watches."""

    def is_watched(one: Document) -> bool:
        since = one.get("missing_since")
        return one["status"] == "LOST" and since is not None and since >= LOST_BEFORE

    for one in world.some(is_watched, 3):
        world.change(one, status=world.chance.choice(["RUNNING", "FINISHED"]), missing_since=None)


def arrive_as_text(world: World) -> None:
    """Records of the old platform."""
    for _ in range(3):
        one = record(world.chance)
        world.write(one | {"submitted_at": one["submitted_at"].replace(tzinfo=None).isoformat()})


def convert(world: World) -> None:
    for batch in world.admin.convert_dates(dry_run=False):
        assert not batch.conflicts
    for id_, one in world.records.items():
        world.records[id_] = one | {"submitted_at": submitted(one)}


def sum_some(world: World) -> None:
    sum_all(world, most=world.chance.randrange(80))


def retire_some(world: World) -> None:
    """What the retention of records does; it may stop anywhere."""
    age = world.chance.choice([35, 40, 50])
    days = {
        submitted(one).replace(hour=0, minute=0, second=0, microsecond=0) for one in world.records.values()
    }
    for day in sorted(day for day in days if day + DAY < NOW - age * DAY):
        kept = world.stats.retire_day(day, lost_before=LOST_BEFORE, now=NOW)
        assert kept is not None
        assert world.stats.roll_up(NOW)
        old = {"submitted_at": {"$gte": day, "$lt": day + DAY}, "_id": {"$nin": kept}}
        ids = [found["_id"] for found in world.database.flink_jobs.find(old, {"_id": 1})]
        gone = world.chance.sample(ids, world.chance.randrange(len(ids) + 1))
        world.database.flink_jobs.delete_many({"_id": {"$in": gone}})


STEPS = (
    submit_some,
    submit_late,
    end_some,
    know_what_ended_some,
    lose_some,
    lost_come_back,
    arrive_as_text,
    convert,
    sum_some,
    retire_some,
)


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_the_statistics_are_those_of_all_records(world: World, seed: int) -> None:
    world.chance.seed(seed)
    world.fill(250)
    check(world)
    sum_all(world)
    check(world)
    for _ in range(25):
        step = world.chance.choice(STEPS)
        step(world)
        check(world)
    sum_all(world)
    check(world)
    assert [day for day in world.stats.changed_days(NOW - HOUR) if not _is_retired(world, day)] == []


def _is_retired(world: World, day: datetime) -> bool:
    return bool((world.database.job_stats.find_one({"_id": day}) or {}).get("retired_at"))


# --- one rule each ----------------------------------------------------------------------------------


def test_whenever_they_are_read_the_statistics_are_those_of_all_records(world: World) -> None:
    """At midnight, on the day after the last sums, and later: the windows have moved on."""
    world.fill(300)
    for days in (0, 1, 7, 8, 30, 31):  # at the edges of the windows
        for at in (TODAY - days * DAY, END - days * DAY, END - days * DAY + HOUR / 3600):
            world.write(record(world.chance) | {"submitted_at": at})
    sum_all(world)
    for hours in (0, 1, 10, 11, 12, 24, 34, 35, 36, 60, 24 * 9):
        check(world, END + hours * HOUR)


def test_weeks_and_months_are_read_instead_of_their_days(world: World) -> None:
    world.fill(300)
    sum_all(world)
    before = world.windows()
    for id_ in ("before", "month", "week"):
        held = world.database.job_stats.find_one({"_id": id_}) or {}
        days = {"$gte": held["begin"], "$lt": held["end"]}
        assert world.database.job_stats.delete_many({"_id": days}).deleted_count > 2
    assert world.windows() == before


def test_days_that_a_late_record_joins_while_they_are_added_up_are_not_written(world: World) -> None:
    class Slow(MongoStatsStore):
        def _has_records(self, begin: datetime, end: datetime) -> bool:
            note_late(world.database.job_stats, {TODAY - 10 * DAY: [ObjectId()]})
            return super()._has_records(begin, end)

    world.fill(100)
    sum_all(world)
    assert not Slow(world.database).roll_up(NOW)
    assert world.stats.roll_up(NOW)


def test_a_window_that_begins_within_a_day_of_deleted_records_holds_all_of_it(world: World) -> None:
    """And says so; its steps are exact."""
    day = TODAY - 7 * DAY
    for hour in (3, 20):
        world.write(
            record(world.chance) | {"submitted_at": day + hour * HOUR, "status": "FAILED", "duration": None}
        )
    assert world.stats.retire_day(day, lost_before=LOST_BEFORE, now=NOW) == []
    world.database.flink_jobs.delete_many({})
    window = world.windows()["7d"]
    assert (window["jobs"], window["approximate"]) == (2, ["from"])
    assert [step["jobs"] for step in window["over_time"]] == [1, 0, 0, 0, 0, 0, 0]


def test_records_deleted_by_hand_are_gone_after_the_next_sums(world: World) -> None:
    world.fill(200)
    sum_all(world)
    for one in world.some(lambda one: submitted(one) < TODAY - 3 * DAY, 40):
        world.database.flink_jobs.delete_one({"_id": world.records.pop(one["_id"])["_id"]})
    sum_all(world)
    check(world)


def test_a_day_summed_twice_is_the_same(world: World) -> None:
    world.fill(100)
    sum_all(world)
    volatile = {"revision": 0, "summed_at": 0}
    first = list(world.database.job_stats.find({}, volatile))
    for day in world.stats.changed_days(NOW - HOUR, every=True):
        assert world.stats.differences(day, lost_before=LOST_BEFORE) == []
        assert world.stats.sum_day(day, lost_before=LOST_BEFORE)
    assert world.stats.roll_up(NOW)
    assert list(world.database.job_stats.find({}, volatile)) == first


def test_a_sum_that_was_overtaken_is_not_written(world: World) -> None:
    """A record that comes late while its day is summed is left apart by the next sum, not lost."""
    day = TODAY - 5 * DAY
    one = record(world.chance) | {"submitted_at": day + HOUR, "status": "FINISHED", "duration": 1.0}
    world.write(one)
    sum_all(world)
    held = world.database.job_stats.find_one({"_id": day})
    made = world.stats._summed(day, LOST_BEFORE)
    assert made is not None
    note_late(world.database.job_stats, {day: [ObjectId()]})
    assert not world.stats._write(day, held, made | {"retired_at": None})


def test_difference_of_a_day_is_named(world: World) -> None:
    day = TODAY - 5 * DAY
    one = record(world.chance) | {"submitted_at": day + HOUR, "status": "FINISHED", "duration": 1.0}
    world.write(one)
    sum_all(world)
    assert world.stats.differences(day, lost_before=LOST_BEFORE) == []
    world.change(one, duration=2.0)
    assert world.stats.differences(day, lost_before=LOST_BEFORE) == ["rows", "bars", "durations"]


def test_the_templates_with_fewest_jobs_are_added_up_where_there_are_too_many(world: World) -> None:
    world.stats = MongoStatsStore(world.database, max_templates=2)
    for template, count in (("a", 3), ("b", 2), ("c", 1), ("d", 1)):
        for _ in range(count):
            one = record(world.chance) | {"template_id": template, "submitted_at": TODAY - 60 * DAY}
            world.write(one | {"status": "FAILED", "duration": None})
    sum_all(world)
    window = world.windows()["all"]
    assert (window["jobs"], window["approximate"]) == (7, ["templates"])
    assert [each["template_id"] for each in window["templates"]] == ["a", "b"]
