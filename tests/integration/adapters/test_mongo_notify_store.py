"""The store of what channels still have to be sent, against the real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.cluster_moves import ClusterMove, ClusterRecord, ClusterStatus
from flinkjobs.domain.records import JobRecord
from flinkjobs.ports.notify_store import ChannelState, Pending, Progress, Sent
from local.mongodb import MongoServer

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=3)
MOVE: Mapping[str, Any] = {"seq": 0, "at": NOON, "was": None, "status": "CREATED", "by": "submit", "new": 1}
NONE: frozenset[str] = frozenset()
Document = dict[str, Any]


@pytest.fixture
def store(mongo_database: Database[Document]) -> MongoNotifyStore:
    ensure_indexes(mongo_database)
    return MongoNotifyStore(mongo_database)


def job(name: str = "etl_1", **fields: Any) -> Document:
    known = {"job_id": name, "status": "RUNNING", "submitted_at": NOON, "revision": 3, "history": [MOVE]}
    return {**known, "pending_since": NOON, "unknown": "kept", **fields}


def add(database: Database[Document], *documents: Document) -> None:
    database["flink_jobs"].insert_many(documents)


def marks(database: Database[Document], name: str = "etl_1") -> Document:
    """The marks of delivery on a record."""
    found = database["flink_jobs"].find_one({"job_id": name}) or {}
    assert found["unknown"] == "kept"
    assert found["revision"] in (3, 4)
    return {key: found[key] for key in ("pending_since", "delivered", "waiting_for") if key in found}


def names(found: Iterator[Pending] | Any) -> list[str]:
    return [each.name for each in found]


# --- what is pending --------------------------------------------------------------------------------


def test_pending_is_read_with_its_moves_as_they_are_written(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    add(mongo_database, job(delivered={"ops": 0, "odd": "x"}, template_id="etl", spec={"args": ["secret"]}))
    [found] = store.pending(waiting_for=[], limit=10)
    assert (found.name, found.version, found.since, found.waiting_for) == ("etl_1", 3, NOON, NONE)
    assert (found.moves, found.delivered) == ([MOVE], {"ops": 0})
    assert isinstance(found.record, JobRecord)
    assert found.details["template_id"] == "etl"
    assert "spec" not in found.details


def test_records_that_are_not_as_they_should_be_are_read_nevertheless(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    add(
        mongo_database,
        job("odd", status=5, history=["x", MOVE], delivered=[1], submitted_at="yesterday"),
        job("odder", history="none", pending_since=5),
    )
    found = {each.name: each for each in store.pending(waiting_for=[], limit=10)}
    assert {name: list(each.moves) for name, each in found.items()} == {"odd": [MOVE], "odder": []}
    assert all(each.record is not None for each in found.values())


def test_what_waits_for_a_channel_is_read_for_that_channel_only(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    add(
        mongo_database,
        job("a", pending_since=NOON + timedelta(seconds=2)),
        job("b", pending_since=NOON + timedelta(seconds=1), waiting_for=["ops"]),
        job("c", pending_since=NOON, waiting_for=["chat", "ops"]),
        job("done") | {"pending_since": NOON},
    )
    mongo_database["flink_jobs"].update_one({"job_id": "done"}, {"$unset": {"pending_since": ""}})
    assert names(store.pending(waiting_for=[], limit=10)) == ["a"]
    assert names(store.pending(waiting_for=["ops"], limit=10)) == ["c", "b", "a"]
    assert names(store.pending(waiting_for=["chat"], limit=1)) == ["c"]
    assert names(store.waiting("ops", limit=10)) == ["c", "b"]
    assert names(store.waiting("ops", limit=1)) == ["c"]
    assert (store.count_waiting("ops"), store.count_waiting("chat"), store.count_waiting("new")) == (2, 1, 0)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("method", ["pending", "waiting", "count_waiting", "forget"])
def test_no_record_is_looked_at_that_is_not_asked_for(
    method: str, mongo_server: MongoServer, mongo_database: Database[Document]
) -> None:
    """Five hundred wait for a channel that fails; three have moved since, and two wait for another."""
    add(mongo_database, *(job(f"w{number}", waiting_for=["down"]) for number in range(500)))
    add(mongo_database, *(job(f"f{number}", pending_since=LATER) for number in range(3)))
    add(mongo_database, *(job(f"o{number}", waiting_for=["ops"]) for number in range(2)))
    asked = Asked()
    with MongoClient[Document](mongo_server.uri, event_listeners=[asked], tz_aware=True) as client:
        listening = MongoNotifyStore(client[mongo_database.name])
        match method:
            case "pending":
                assert len(listening.pending(waiting_for=["ops"], limit=1_000)) == 5
            case "waiting":
                assert len(listening.waiting("ops", limit=1_000)) == 2
            case "count_waiting":
                assert listening.count_waiting("ops") == 2
            case _:
                listening.forget(before=NOON + timedelta(seconds=1), limit=5, now=LATER)
    examined = [_examined(mongo_database, command) for command in asked.commands]
    assert examined == [{"pending": 5, "waiting": 2, "count_waiting": 2, "forget": 5}[method]]


class Asked(CommandListener):
    """The commands that read `flink_jobs`."""

    def __init__(self) -> None:
        self.commands: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate") and event.command[event.command_name] == "flink_jobs":
            without = ("lsid", "$db", "$clusterTime", "txnNumber")
            self.commands.append({k: v for k, v in event.command.items() if k not in without})

    def succeeded(self, event: Any) -> None:
        """Nothing to note."""

    def failed(self, event: Any) -> None:
        """Nothing to note."""


def _examined(database: Database[Document], command: Document) -> int:
    """How many documents the server looked at."""
    explained: Document = database.command({"explain": command, "verbosity": "executionStats"})
    found = explained["stages"][0]["$cursor"] if "stages" in explained else explained
    return int(found["executionStats"]["totalDocsExamined"])


# --- what is noted ----------------------------------------------------------------------------------


def test_progress_is_noted_without_a_new_revision(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    add(mongo_database, job())
    [found] = store.pending(waiting_for=[], limit=10)
    store.note([Progress(found, {"ops": 2})])
    assert marks(mongo_database) == {"pending_since": NOON, "delivered": {"ops": 2}}
    store.note([Progress(found, {"ops": 1, "chat": 3}, frozenset({"late"}))])
    assert marks(mongo_database) == {
        "pending_since": NOON,
        "delivered": {"ops": 2, "chat": 3},
        "waiting_for": ["late"],
    }
    store.note([Progress(found, {"late": 3}, NONE)])
    assert marks(mongo_database) == {"delivered": {"ops": 2, "chat": 3, "late": 3}}


def test_a_record_that_has_moved_since_stays_pending(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    add(mongo_database, job("a"), job("b"))
    first, second = store.pending(waiting_for=[], limit=10)
    mongo_database["flink_jobs"].update_many({}, {"$set": {"revision": 4}})
    store.note([Progress(first, {"ops": 0}, NONE), Progress(second, {}, frozenset({"ops"}))])
    assert marks(mongo_database, "a") == {"pending_since": NOON, "delivered": {"ops": 0}}
    assert marks(mongo_database, "b") == {"pending_since": NOON}


def test_what_a_channel_has_taken_is_kept_with_its_time(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    """The newest hundred: a job that restarts all day does not fill its record."""
    add(mongo_database, job())
    [found] = store.pending(waiting_for=[], limit=1)
    sent = [Sent("ops", seq, "flinkjobs.job.running", NOON + timedelta(seconds=seq)) for seq in range(101)]
    store.note([Progress(found, {"ops": 0}, sent=sent[:1])])
    store.note([Progress(found, {"ops": 100}, sent=sent[1:])])
    kept = (mongo_database["flink_jobs"].find_one() or {})["notified"]
    assert len(kept) == 100
    assert kept[-1] == {"channel": "ops", "seq": 100, "type": "flinkjobs.job.running", "at": sent[-1].at}
    assert kept[0]["seq"] == 1


def test_without_channels_old_marks_are_cleared_a_part_at_a_time(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    old = NOON - timedelta(hours=2)
    before = {"history": [{**MOVE, "at": old}], "pending_since": old}
    add(mongo_database, *(job(f"o{number}", **before, waiting_for=["x"]) for number in range(3)), job("new"))
    add(mongo_database, job("moved again", pending_since=old))
    store.save_cluster(
        ClusterRecord("batch"),
        ClusterRecord("batch", 1),
        [ClusterMove(1, old, None, ClusterStatus.REACHABLE)],
    )
    store.save_channel(None, ChannelState("ops", since=old))
    hour_ago = NOON - timedelta(hours=1)
    store.forget(before=hour_ago, limit=2, now=NOON)
    assert len(store.pending(waiting_for=["x"], limit=10)) == 3
    store.forget(before=hour_ago, limit=2, now=LATER)
    assert sorted(names(store.pending(waiting_for=["x"], limit=10))) == ["moved again", "new"]
    assert marks(mongo_database, "o0") == {}
    assert store.channels()["ops"].removed_at == NOON


# --- clusters and channels --------------------------------------------------------------------------

AWAY = ClusterRecord("batch", 1, ClusterStatus.UNREACHABLE, 3, NOON)
LEAVES = ClusterMove(1, LATER, ClusterStatus.REACHABLE, ClusterStatus.UNREACHABLE, NOON)


def test_a_cluster_is_kept_with_its_moves(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    assert store.clusters() == {}
    counted = ClusterRecord("batch", failed_passes=2, unreachable_since=NOON)
    store.save_cluster(ClusterRecord("batch"), counted, [])
    assert store.pending(waiting_for=[], limit=10) == []
    store.save_cluster(counted, AWAY, [LEAVES])
    assert store.clusters() == {"batch": AWAY}
    [found] = store.pending(waiting_for=[], limit=10)
    assert (found.name, found.version, found.since, found.record) == ("batch", 1, LATER, None)
    expected = {
        "seq": 1,
        "at": LATER,
        "was": "reachable",
        "status": "unreachable",
        "since": NOON,
        "by": "sync",
    }
    assert found.moves == [expected]
    mongo_database["clusters"].update_one({}, {"$set": {"of_a_newer_version": True}})
    store.note([Progress(found, {"ops": 1}, NONE)])
    store.save_cluster(AWAY, replace(AWAY, seq=2, state=ClusterStatus.REACHABLE), [replace(LEAVES, seq=2)])
    document = mongo_database["clusters"].find_one() or {}
    assert (document["delivered"], document["of_a_newer_version"]) == ({"ops": 1}, True)
    assert [move["seq"] for move in document["history"]] == [1, 2]
    assert document["pending_since"] == LATER


def test_a_cluster_that_another_pass_has_moved_is_left_alone(store: MongoNotifyStore) -> None:
    store.save_cluster(ClusterRecord("batch"), AWAY, [LEAVES])
    store.save_cluster(ClusterRecord("batch"), replace(AWAY, jobs_missing=True), [LEAVES])
    assert store.clusters() == {"batch": AWAY}
    [found] = store.pending(waiting_for=[], limit=10)
    assert len(found.moves) == 1


def test_a_channel_is_kept_and_its_set_aside_events_are_added_up(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    new = ChannelState("ops", since=NOON)
    store.save_channel(None, new)
    store.save_channel(None, ChannelState("ops", since=LATER))
    assert store.channels() == {"ops": new}
    mongo_database["channels"].update_one({}, {"$set": {"of_a_newer_version": True}})
    failed = replace(
        new, failing_since=LATER, attempts=1, next_attempt_at=LATER, last_error="500", set_aside=2
    )
    store.save_channel(new, failed)
    store.save_channel(new, replace(new, set_aside=3))
    assert store.channels() == {"ops": replace(failed, set_aside=5)}
    store.save_channel(failed, new)
    found = mongo_database["channels"].find_one() or {}
    assert (found["of_a_newer_version"], found["last_error"], found["since"]) == (True, None, NOON)


def test_the_counts_of_a_channel_are_added_up(store: MongoNotifyStore) -> None:
    """Whichever pass counted: a count is never set."""
    new = ChannelState("ops", since=NOON)
    store.save_channel(None, new)
    store.save_channel(new, replace(new, delivered=2, failed=1, last_success_at=NOON))
    store.save_channel(new, replace(new, delivered=3, failed=4))
    assert store.channels() == {"ops": replace(new, delivered=5, failed=5, last_success_at=NOON)}


def test_a_retry_makes_a_channel_as_one_that_never_failed(store: MongoNotifyStore) -> None:
    good = ChannelState("ops", since=NOON, last_success_at=NOON, last_error="500", delivered=3, failed=2)
    fails = replace(good, failing_since=LATER, attempts=3, next_attempt_at=LATER, set_aside=4, gone_at=LATER)
    for each in (fails, replace(fails, name="team"), replace(fails, name="old", removed_at=NOON)):
        store.save_channel(None, each)
    assert store.retry("ops") == ["ops"]
    assert store.channels()["ops"] == good
    assert store.channels()["team"] == replace(fails, name="team")
    assert store.retry(None) == ["ops", "team"]
    assert store.retry("nowhere") == []


def test_the_last_pass_is_the_last_whole_one(
    store: MongoNotifyStore, mongo_database: Database[Document]
) -> None:
    assert store.last_pass_at() is None
    runs = [(NOON, True), (LATER, True), (LATER + timedelta(minutes=1), False)]
    mongo_database["sync_runs"].insert_many({"started_at": at, "whole": whole} for at, whole in runs)
    assert store.last_pass_at() == LATER
