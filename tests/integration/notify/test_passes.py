"""What passes deliver: to receivers that fail, with other versions, and where channels come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener, CommandSucceededEvent

from bench.worlds import flink_job_id
from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.ports.channels import Failed, Gone, SendResult
from local.mongodb import MongoServer
from tests.integration.notify.conftest import BEGIN, Stage, running
from tests.support.receivers import TAKEN, MemoryChannel

DAY = timedelta(days=1)


def fails(_: Sequence[Event]) -> SendResult:
    return Failed("500 Internal Server Error")


def is_gone(_: Sequence[Event]) -> SendResult:
    return Gone("410 Gone")


def refuses(*ids: str) -> Callable[[Sequence[Event]], SendResult]:
    """A receiver that takes every event but these."""
    return lambda events: Failed("400") if events[0].id in ids else TAKEN


@pytest.fixture
def ops(stage: Stage) -> MemoryChannel:
    """A channel that a pass has found, and a hundred jobs that run."""
    channel = MemoryChannel("ops")
    stage.channels = [channel]
    stage.jobs.insert_many([running(number) for number in range(100)])
    move(stage, {})
    stage.run_pass()
    return channel


def move(stage: Stage, states: dict[int, str]) -> None:
    """What the cluster shows: these jobs in these states, all others RUNNING."""
    stage.states = {flink_job_id(number): states.get(number, "RUNNING") for number in range(100)}


def ends(*numbers: int) -> dict[int, str]:
    return dict.fromkeys(numbers, "FINISHED")


# --- the course of things ---------------------------------------------------------------------------


def test_a_pass_delivers_what_it_has_written(stage: Stage, ops: MemoryChannel) -> None:
    move(stage, {3: "FINISHED", 5: "SUSPENDED"})
    report = stage.run_pass()
    assert sorted(ops.ids) == ["etl_00003/2", "etl_00005/2"]
    assert sorted(ops.types) == ["job.finished", "job.suspended"]
    assert report["notified"] == {"ops": {"delivered": 2, "failed": 0, "waiting": 0, "set_aside": 0}}
    [stored] = stage.database["sync_runs"].find({"run_id": report["run_id"]})
    assert stored["notified"] == report["notified"]
    found = stage.jobs.find_one({"job_id": "etl_00003"})
    assert (found["revision"], found["delivered"]) == (2, {"ops": 2})
    assert "pending_since" not in found
    assert stage.run_pass()["notified"]["ops"]["delivered"] == 0
    assert len(ops.sent) == 2


def test_an_event_shows_the_move_as_it_was_and_the_job_as_it_is(stage: Stage, ops: MemoryChannel) -> None:
    ops.answer = fails
    move(stage, {3: "SUSPENDED"})
    stage.run_pass()
    ops.answer, ops.sent = refuses(), []
    move(stage, ends(3))
    stage.run_pass()
    [[suspended], [finished]] = ops.sent
    assert (suspended.id, finished.id) == ("etl_00003/2", "etl_00003/3")
    assert suspended.move["status"] == "SUSPENDED"
    assert suspended.job is not None
    assert suspended.job["status"] == "FINISHED"


def test_a_pass_over_a_few_records_delivers_nothing(stage: Stage, ops: MemoryChannel) -> None:
    move(stage, ends(3))
    report = stage.run_pass(job_ids=["etl_00003"])
    assert (report["changed"], report["notified"]) == ({"FINISHED": 1}, {})
    assert ops.sent == []
    assert list(stage.marks()) == ["etl_00003"]
    stage.run_pass()
    assert ops.ids == ["etl_00003/2"]


def test_a_channel_gets_what_its_filter_admits(stage: Stage, ops: MemoryChannel) -> None:
    other = MemoryChannel("other", filter=EventFilter(events=("*.suspended",)))
    stage.channels = [ops, other]
    move(stage, {3: "FINISHED", 5: "SUSPENDED"})
    stage.run_pass()
    assert other.ids == ["etl_00005/2"]
    assert len(ops.ids) == 2
    found = stage.jobs.find_one({"job_id": "etl_00003"})
    assert found["delivered"] == {"ops": 2, "other": 2}  # a wider filter admits nothing of the past


def test_more_than_ten_events_of_a_type_are_one_message_to_a_chat(stage: Stage, ops: MemoryChannel) -> None:
    chat = MemoryChannel("chat", digest_above=10)
    stage.channels = [ops, chat]
    move(stage, ends(*range(11)) | dict.fromkeys(range(20, 30), "SUSPENDED"))
    stage.run_pass()
    assert sorted(len(events) for events in chat.sent) == [1] * 10 + [11]
    assert sorted(len(events) for events in ops.sent) == [1] * 21


def test_a_pass_without_time_delivers_nothing_and_the_next_does(stage: Stage, ops: MemoryChannel) -> None:
    move(stage, ends(3))
    stage.budget_seconds = -1.0
    report = stage.run_pass()
    assert (report["changed"], ops.sent) == ({"FINISHED": 1}, [])
    assert report["notified"]["ops"] == {"delivered": 0, "failed": 0, "waiting": 1, "set_aside": 0}
    stage.budget_seconds = 120.0
    stage.run_pass()
    assert ops.ids == ["etl_00003/2"]


# --- receivers that fail ----------------------------------------------------------------------------


def test_a_channel_that_fails_holds_up_itself_alone_and_gets_everything_later(
    stage: Stage, ops: MemoryChannel
) -> None:
    other = MemoryChannel("other")
    stage.channels = [ops, other]
    ops.answer = fails
    move(stage, ends(*range(20)))
    report = stage.run_pass()
    assert len(other.sent) == 20
    assert 3 <= len(ops.sent) <= 8  # requests under way when the third has failed
    failed = len(ops.sent)
    assert report["notified"]["ops"] == {"delivered": 0, "failed": failed, "waiting": 20, "set_aside": 0}
    assert report["notified"]["other"] == {"delivered": 20, "failed": 0, "waiting": 0, "set_aside": 0}
    channel = stage.database["channels"].find_one({"_id": "ops"}) or {}
    assert (channel["attempts"], channel["last_error"]) == (1, "500 Internal Server Error")
    ops.answer, ops.sent = refuses(), []
    while stage.marks():
        assert stage.run_pass()["notified"]["ops"]["failed"] == 0
    assert sorted(ops.ids) == [f"etl_{number:05}/2" for number in range(20)]
    assert len(other.sent) == 20
    channel = stage.database["channels"].find_one({"_id": "ops"}) or {}
    assert (channel["failing_since"], channel["next_attempt_at"], channel["attempts"]) == (None, None, 0)


def test_passes_leave_alone_what_waits_for_a_channel_that_pauses(
    stage: Stage, ops: MemoryChannel, mongo_server: MongoServer
) -> None:
    ops.answer = fails
    move(stage, ends(*range(90)))
    for _ in range(9):
        stage.run_pass()  # the pause has grown to half an hour by now
    with listening(stage, mongo_server) as read:
        move(stage, ends(*range(92)))
        report = stage.run_pass()
    assert report["notified"]["ops"]["waiting"] == 92
    # The two that move are read by the pass, by their fingerprints, and once more by the delivery.
    assert sum(read) == 2 + 2


class Read(CommandListener):
    """How many records each answer of MongoDB held, without those of the index of fingerprints."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def started(self, event: Any) -> None:
        """Nothing to note."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        if cursor.get("ns", "").endswith(".flink_jobs"):
            batch = cursor.get("firstBatch") or cursor.get("nextBatch") or []
            self.counts.append(sum("job_id" in document for document in batch))

    def failed(self, event: Any) -> None:
        """Nothing to note."""


@contextmanager
def listening(stage: Stage, server: MongoServer) -> Iterator[list[int]]:
    read, before = Read(), stage.database
    with MongoClient[dict[str, Any]](server.uri, tz_aware=True, event_listeners=[read]) as client:
        stage.database = client[before.name]
        yield read.counts
    stage.database = before


def test_a_job_whose_event_is_never_taken_does_not_hold_up_the_others(
    stage: Stage, ops: MemoryChannel
) -> None:
    ops.answer = refuses("etl_00003/2", "etl_00004/2", "etl_00005/2", "etl_00006/2")
    move(stage, ends(*range(40)))
    for _ in range(60):
        stage.run_pass()
    assert set(stage.marks()) == {f"etl_0000{number}" for number in (3, 4, 5, 6)}
    assert len({*ops.ids}) == 40


def test_an_event_is_set_aside_after_a_day(stage: Stage, ops: MemoryChannel) -> None:
    ops.answer = fails
    move(stage, ends(3))
    stage.run_pass()
    stage.now += DAY
    move(stage, ends(3, 4))
    report = stage.run_pass()
    assert report["notified"]["ops"]["set_aside"] == 1
    assert list(stage.marks()) == ["etl_00004"]
    channel = stage.database["channels"].find_one({"_id": "ops"}) or {}
    assert channel["set_aside"] == 1
    ops.answer, ops.sent = refuses(), []
    stage.now += DAY / 48
    stage.run_pass()
    assert "etl_00003/2" not in ops.ids
    assert "etl_00004/2" in ops.ids
    assert stage.marks() == {}


def test_a_receiver_that_is_gone_is_not_asked_again(stage: Stage, ops: MemoryChannel) -> None:
    ops.answer = is_gone
    move(stage, ends(3))
    assert stage.run_pass()["notified"]["ops"]["set_aside"] == 1
    ops.sent.clear()
    move(stage, ends(3, 4, 5))
    report = stage.run_pass()
    assert (ops.sent, report["notified"]["ops"]["set_aside"]) == ([], 2)
    assert stage.marks() == {}


def test_a_restart_loop_counts_what_its_history_has_lost(stage: Stage, ops: MemoryChannel) -> None:
    ops.answer = fails
    for number in range(101):
        move(stage, {3: "SUSPENDED"} if number % 2 == 0 else {})
        stage.run_pass()
    ops.answer, ops.sent = refuses(), []
    stage.now += timedelta(hours=1)
    move(stage, {3: "SUSPENDED"})
    reports = [stage.run_pass() for _ in range(3)]
    assert len([id_ for id_ in ops.ids if id_.startswith("etl_00003/")]) == 100
    assert sum(report["notified"]["ops"]["set_aside"] for report in reports) == 1
    assert stage.marks() == {}


# --- channels that come and go ----------------------------------------------------------------------


def test_a_new_channel_gets_nothing_of_the_past(stage: Stage, ops: MemoryChannel) -> None:
    move(stage, ends(3))
    stage.run_pass()
    new = MemoryChannel("new")
    stage.channels = [ops, new]
    move(stage, {**ends(3), 5: "SUSPENDED"})
    stage.run_pass()
    move(stage, ends(3, 5))
    stage.run_pass()
    assert new.ids == ["etl_00005/2", "etl_00005/3"]


def test_a_version_that_does_not_know_a_channel_keeps_its_events(stage: Stage, ops: MemoryChannel) -> None:
    other = MemoryChannel("other")
    stage.channels = [ops, other]
    stage.run_pass()
    stage.channels = [ops]  # the earlier version of the function
    move(stage, ends(3))
    stage.run_pass()
    stage.channels = []
    move(stage, ends(3, 4))
    stage.run_pass()
    stage.channels = [ops, other]
    stage.run_pass()
    assert sorted(other.ids) == ["etl_00003/2", "etl_00004/2"]
    assert sorted(ops.ids) == ["etl_00003/2", "etl_00004/2"]
    assert stage.marks() == {}


def test_a_channel_that_is_removed_keeps_nothing_pending(stage: Stage, ops: MemoryChannel) -> None:
    other = MemoryChannel("other", answer=fails)
    stage.channels = [ops, other]
    stage.run_pass()
    move(stage, ends(3))
    stage.run_pass()
    stage.channels = [ops]
    stage.run_pass()
    assert list(stage.marks()) == ["etl_00003"]
    stage.now += timedelta(hours=1)
    stage.run_pass()
    assert stage.marks() == {}
    other.answer, other.sent = refuses(), []
    stage.channels = [ops, other]
    move(stage, ends(3, 4))
    stage.run_pass()
    assert other.ids == ["etl_00004/2"]


def test_without_channels_marks_go_after_an_hour(stage: Stage) -> None:
    stage.jobs.insert_many([running(number) for number in range(100)])
    move(stage, ends(3))
    assert stage.run_pass()["notified"] == {}
    assert list(stage.marks()) == ["etl_00003"]
    stage.now += timedelta(hours=1)
    stage.run_pass()
    assert stage.marks() == {}


# --- other versions ---------------------------------------------------------------------------------


def test_fields_of_a_newer_version_survive(stage: Stage, ops: MemoryChannel) -> None:
    newer = {"of_a_newer_version": {"a": [1]}}
    for name in ("flink_jobs", "channels"):
        stage.database[name].update_many({}, {"$set": newer})
    stage.states = None
    for _ in range(3):
        stage.run_pass()
    stage.database["clusters"].update_many({}, {"$set": newer})
    ops.answer = fails
    move(stage, ends(3))
    stage.run_pass()
    ops.answer = refuses()
    stage.now += timedelta(hours=1)
    stage.run_pass()
    assert ops.types[0] == "cluster.unreachable"
    assert {"cluster.reachable", "job.finished"} <= {*ops.types}
    for name in ("flink_jobs", "channels", "clusters"):
        found = list(stage.database[name].find({"_id": {"$ne": "_sync"}}))
        assert found
        assert all(document["of_a_newer_version"] == {"a": [1]} for document in found)


def test_a_move_of_an_older_version_is_delivered_with_the_next(stage: Stage, ops: MemoryChannel) -> None:
    """It keeps the history, and marks nothing for delivery."""
    known = {"was": "RUNNING", "flink_state": "SUSPENDED", "reason_code": None, "by": "sync"}
    older = {"seq": 2, "at": BEGIN + timedelta(minutes=4), "status": "SUSPENDED", **known}
    fields = {"status": "SUSPENDED", "flink_state": "SUSPENDED", "revision": 2, "fingerprint": None}
    stage.jobs.update_one({"job_id": "etl_00003"}, {"$set": fields, "$push": {"history": older}})
    stage.run_pass()
    move(stage, ends(3))
    stage.run_pass()
    assert ops.ids[:1] == ["etl_00003/2"]
    assert [id_ for id_ in ops.ids if id_.startswith("etl_00003/")] == ops.ids


@pytest.mark.usefixtures("ops")
def test_a_status_of_a_newer_version_is_set_aside(stage: Stage) -> None:
    newer = {
        "seq": 2,
        "at": BEGIN + timedelta(minutes=4),
        "was": "RUNNING",
        "status": "ASLEEP",
        "by": "someone",
    }
    marks = {"pending_since": newer["at"]}
    stage.jobs.update_one(
        {"job_id": "etl_00003"}, {"$set": {"revision": 2, **marks}, "$push": {"history": newer}}
    )
    report = stage.run_pass()
    assert report["notified"]["ops"] == {"delivered": 0, "failed": 0, "waiting": 0, "set_aside": 1}
    assert stage.marks() == {}


def test_sync_says_that_it_has_resumed(stage: Stage, ops: MemoryChannel) -> None:
    stage.now += timedelta(hours=5)
    stage.run_pass()
    stage.run_pass()
    assert (ops.ids, ops.types) == (["sync/1"], ["sync.resumed"])
    [[event]] = ops.sent
    assert (event.subject, event.job, event.move["since"]) == ("sync", None, BEGIN)
