"""`ended_by` goes into the write that comes last: the end of the record, or the success of the action."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo.database import Database

from flinkjobs.adapters.mongo.action_store import MongoActionStore
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.documents import plain, readable
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.domain.actions import Action, ActionKind, ActionState
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Update
from local.mongodb import MongoServer
from tests.support.records import Document, new_record

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SENT = Action(id="a" * 32, kind=ActionKind.STOP, requested_at=NOW, state=ActionState.SENT)


class World:
    """One record with one action."""

    def __init__(self, database: Database[Document]) -> None:
        self.jobs = database["flink_jobs"]
        self.actions = MongoActionStore(database)
        self.store = MongoJobStore(database)

    def add(self, status: Status, action: Action) -> JobRecord:
        document = new_record("runs_1", NOW, status=status.value, revision=4, actions=[plain(action)])
        self.jobs.insert_one(document)
        return readable(document)

    def done(self, record: JobRecord, action: Action) -> bool:
        return self.actions.move(record, action, replace(action, state=ActionState.DONE, ended_at=NOW))

    def end(self, record: JobRecord) -> int:
        """As a pass does; how many writes were lost to another writer."""
        after = replace(record, status=Status.FINISHED)
        written = self.store.apply(
            [Update(before=record, after=after)], now=NOW, run_id="run", by=Writer.SYNC
        )
        return len(written.conflicts)

    @property
    def kept(self) -> dict[str, Any]:
        return self.jobs.find_one({"job_id": "runs_1"}) or {}


@pytest.fixture
def world(mongo_server: MongoServer, mongo_database: Database[Document]) -> Iterator[World]:
    database = connect(mongo_server.uri, mongo_database.name)
    with contextlib.closing(database.client):
        yield World(database)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        (ActionKind.STOP, Status.FINISHED, "stop"),
        (ActionKind.CANCEL, Status.CANCELLED, "cancel"),
        (ActionKind.SAVEPOINT, Status.FINISHED, None),
    ],
)
def test_success_on_a_record_that_is_over(
    world: World, kind: ActionKind, status: Status, expected: str | None
) -> None:
    action = replace(SENT, kind=kind)
    assert world.done(world.add(status, action), action)
    assert (world.kept.get("ended_by"), world.kept["revision"]) == (expected, 4)


def test_success_after_the_end_was_written_by_another_pass(world: World) -> None:
    """The pass with the success has read the record while it was open."""
    read = world.add(Status.RUNNING, SENT)
    assert world.end(read) == 0
    assert world.done(read, SENT)
    assert (world.kept["status"], world.kept["ended_by"]) == ("FINISHED", "stop")


def test_success_before_the_end(world: World) -> None:
    """A pass that has read the record before knows of no success: it must not end it."""
    read = world.add(Status.RUNNING, SENT)
    assert world.done(read, SENT)
    assert world.kept.get("ended_by") is None
    assert world.end(read) == 1
    assert world.kept["status"] == "RUNNING"


def test_a_success_is_written_once(world: World) -> None:
    read = world.add(Status.RUNNING, SENT)
    assert [world.done(read, SENT) for _ in range(2)] == [True, False]
    assert world.kept["revision"] == 5


@pytest.mark.parametrize("stored", [{}, {"ended_by": None}, {"ended_by": "stop"}], ids=str)
def test_ended_by_of_a_record_of_an_earlier_version(stored: Document) -> None:
    action = plain(replace(SENT, state=ActionState.DONE))
    document = new_record("runs_1", NOW, status="FINISHED", actions=[action]) | stored
    assert readable(document).ended_by is ActionKind.STOP
