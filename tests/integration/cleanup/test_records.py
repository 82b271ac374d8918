"""Retention of records: what goes, what stays, and that a run may be killed at any step."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandSucceededEvent

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.record_store import MongoRecordStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.cleanup import records, service
from flinkjobs.domain.kubernetes_objects import Kind
from flinkjobs.domain.observations import JobPhase
from flinkjobs.ports.record_store import Expiry
from local.mongodb import MongoServer
from tests.integration.cleanup.retention_world import (
    DAY,
    DAYS,
    NOW,
    RETENTION,
    STAYS,
    Document,
    check,
    cleaning,
    expect_same,
    fill,
    statistics_of,
)
from tests.integration.property.cleanup_world import Known, TrueObject

EXPIRY = Expiry(before=NOW - RETENTION, lost_before=NOW - 31 * DAY)
DAY_OF_MOST = (NOW - DAYS[0] * DAY).replace(hour=0)


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Passes calls on; dies right before or right after one of them."""

    def __init__(self, target: Any, tick: Callable[[], None]) -> None:
        self._target, self._tick = target, tick

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            self._tick()
            answer = getattr(self._target, name)(*args, **named)
            self._tick()
            return answer

        return call


def run_until(step: int | None, database: MongoDatabase) -> Document | None:
    """A run that is killed at this step; its report where it ends before."""
    steps = count()

    def tick() -> None:
        if next(steps) == step:
            raise Killed

    store, sums = Mortal(MongoRecordStore(database), tick), Mortal(MongoStatsStore(database), tick)
    try:
        return service.run(cleaning(database, store=store, sums=sums))
    except Killed:
        return None


def test_what_has_expired_goes_and_everything_else_stays(mongo_database: MongoDatabase) -> None:
    ids = fill(mongo_database, 1_200)
    before = {each["_id"]: each for each in mongo_database["flink_jobs"].find()}
    plan = service.run(cleaning(mongo_database), dry_run=True)
    assert plan["records"] == {"before": NOW - RETENTION, "deleted": 1_080}
    assert {each["_id"]: each for each in mongo_database["flink_jobs"].find()} == before
    shown = statistics_of(mongo_database)
    report = service.run(cleaning(mongo_database))
    assert (report["records"], report["complete"]) == (plan["records"], True)
    expect_same(shown, statistics_of(mongo_database))
    assert check(mongo_database, ids) == {"stays": 120}
    left = {each["_id"]: each for each in mongo_database["flink_jobs"].find()}
    assert left == {id_: before[id_] for id_ in left}
    again = service.run(cleaning(mongo_database))
    assert again["records"] == {"before": NOW - RETENTION, "deleted": 0}


def test_a_run_killed_at_any_step_loses_no_sum_and_the_next_one_ends_it(
    mongo_database: MongoDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BATCH", 40)
    days = DAYS[:2]
    for step in count():
        mongo_database["flink_jobs"].delete_many({})
        mongo_database["job_stats"].delete_many({})
        ids = fill(mongo_database, 120, days)
        shown = statistics_of(mongo_database)
        if run_until(step, mongo_database) is not None:
            break
        check(mongo_database, ids)
        expect_same(shown, statistics_of(mongo_database))
        report = run_until(None, mongo_database)
        assert report is not None
        assert report["complete"]
        assert check(mongo_database, ids) == {"stays": 12}
        expect_same(shown, statistics_of(mongo_database))
    assert step >= 2 * (2 + 2 * len(days) + 2 + 2 * len(days)), (
        "days, sums of each, roll-ups, batches of each"
    )


@pytest.mark.parametrize("fields", STAYS)
def test_each_reason_to_stay_holds_alone(fields: Document, mongo_database: MongoDatabase) -> None:
    at = NOW - DAYS[0] * DAY
    mongo_database["flink_jobs"].insert_one({"submitted_at": at, "end_time": at, "updated_at": at} | fields)
    store = MongoRecordStore(mongo_database)
    assert list(store.expired_days(EXPIRY)) == []
    assert store.delete_expired(DAY_OF_MOST, EXPIRY, but=(), limit=10) == (0, 0)


def test_a_record_of_an_object_that_exists_stays(mongo_database: MongoDatabase) -> None:
    """Without its record the object would count as one of another database."""
    fill(mongo_database, 20)
    kept = TrueObject("goes_1", Known.FINAL, JobPhase.ACTIVE, NOW, uid="1")
    run = cleaning(mongo_database)
    run.cluster.objects[Kind.JOB, "goes_1"] = kept  # type: ignore[attr-defined]
    report = service.run(run)
    assert (report["kept"], report["records"]["deleted"]) == ({"active": 1}, 17)
    assert mongo_database["flink_jobs"].find_one({"job_id": "goes_1"}) is not None


def test_where_not_all_objects_are_known_no_record_goes(mongo_database: MongoDatabase) -> None:
    fill(mongo_database, 20)
    run = cleaning(mongo_database)
    run.cluster.breaks_after = 0  # type: ignore[attr-defined]
    run.cluster.objects[Kind.JOB, "x"] = TrueObject("x", Known.FINAL, JobPhase.ACTIVE, NOW)  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="the connection broke"):
        service.run(run)
    assert mongo_database["flink_jobs"].count_documents({}) == 20


class _Unready(MongoStatsStore):
    """One day cannot be summed, or the sums cannot be merged."""

    def __init__(self, database: MongoDatabase, day: datetime | None) -> None:
        super().__init__(database)
        self._day = day

    def retire_day(self, day: datetime, *, lost_before: datetime, now: datetime) -> Any:
        return None if day == self._day else super().retire_day(day, lost_before=lost_before, now=now)

    def roll_up(self, now: datetime) -> bool:
        return self._day is not None and super().roll_up(now)


@pytest.mark.parametrize(("day", "left"), [(DAY_OF_MOST, 40), (None, 270)])
def test_of_a_day_that_could_not_be_summed_no_record_goes(
    day: datetime | None, left: int, mongo_database: MongoDatabase
) -> None:
    ids = fill(mongo_database, 300)
    report = service.run(cleaning(mongo_database, sums=_Unready(mongo_database, day)))
    assert report["complete"] is False
    assert check(mongo_database, ids)["goes"] == left


class _AfterFind(CommandListener):
    def __init__(self, deed: Callable[[], object]) -> None:
        self._deed = deed

    def started(self, event: Any) -> None:
        pass

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "find":
            self._deed()

    def failed(self, event: Any) -> None:
        pass


CHANGES = [
    {"open_action_since": NOW},
    {"pending_since": NOW},
    {"status": "RUNNING"},
    {"updated_at": NOW},
    {"end_time": NOW},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_that_changes_before_it_is_deleted_stays(
    change: Document, mongo_server: MongoServer, mongo_database: MongoDatabase
) -> None:
    jobs = mongo_database["flink_jobs"]
    fields = {"submitted_at": DAY_OF_MOST, "status": "LOST"}
    jobs.insert_many([fields | {"job_id": name} for name in ("a", "b")])
    listener = _AfterFind(lambda: jobs.update_one({"job_id": "a"}, {"$set": change}))
    with MongoClient[Document](mongo_server.uri, tz_aware=True, event_listeners=[listener]) as client:
        store = MongoRecordStore(client[mongo_database.name])
        assert store.delete_expired(DAY_OF_MOST, EXPIRY, but=(), limit=10) == (2, 1)
    assert jobs.distinct("job_id") == ["a"]


def test_the_time_of_a_run_is_kept(mongo_database: MongoDatabase) -> None:
    ids = fill(mongo_database, 300)
    report = service.run(cleaning(mongo_database, seconds=0))
    assert (report["records"]["deleted"], report["complete"]) == (0, False)
    assert check(mongo_database, ids)["goes"] == 270


def test_an_export_holds_every_record_before_its_time_and_can_be_read_again(
    mongo_database: MongoDatabase,
) -> None:
    fill(mongo_database, 110)
    lines = list(MongoRecordStore(mongo_database).export(NOW - 45 * DAY))
    assert all("\n" not in line and isinstance(json.loads(line), dict) for line in lines)
    read = [json_util.loads(line, json_options=json_util.JSONOptions(tz_aware=True)) for line in lines]
    stored = {each["_id"]: each for each in mongo_database["flink_jobs"].find()}
    assert len(read) == sum(each["submitted_at"] != NOW - 39 * DAY for each in stored.values()) == 109
    assert all(each == stored[each["_id"]] for each in read)
