"""The MongoDB adapter against the real server: documents, conditional writes, errors."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from bson.datetime_ms import DatetimeMS
from msgspec.structs import replace
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from doubles.processes import free_port
from flinkjobs.adapters.mongo import client as mongo_client
from flinkjobs.adapters.mongo import documents as mongo_documents
from flinkjobs.adapters.mongo import job_store
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.domain.errors import (
    DuplicateJobIdError,
    InFlightError,
    StoreRefusedError,
    StoreUnavailableError,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason, UnreadableRecord
from flinkjobs.domain.transition import Update
from flinkjobs.ports.store import Applied, Settled, SubmitterLog
from local.mongodb import MongoServer
from tests.support.late_network import LateNetwork

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=3)
LONG_AGO = NOON - timedelta(days=30)
A, B, C = "a" * 32, "b" * 32, "c" * 32
NONE: frozenset[str] = frozenset()
ETL_1 = frozenset({"etl_1"})
Document = dict[str, Any]


class Connect(Protocol):
    """A store at this URI, but the connections are closed after the test."""

    def __call__(self, uri: str, database: str, **timeouts: int) -> MongoJobStore: ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:

        def opened(uri: str, database: str, **timeouts: Any) -> MongoJobStore:
            store = MongoJobStore(mongo_client.connect(uri, database, **timeouts))
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(mongo_server: MongoServer, mongo_database: Database[Document], connect: Connect) -> MongoJobStore:
    return connect(mongo_server.uri, mongo_database.name)


@pytest.fixture
def jobs(mongo_database: Database[Document]) -> Collection[Document]:
    return mongo_database["flink_jobs"]


def record(job_id: str = "etl_1", *, status: Status = Status.CREATED, **fields: Any) -> JobRecord:
    known: dict[str, Any] = {"submitted_at": NOON, "k8s_job_name": "flink-py-etl-1"} | fields
    return JobRecord(job_id=job_id, status=status, **known)


def ref(id_: str = A, **fields: Any) -> FlinkJobRef:
    return FlinkJobRef(id=id_, source=fields.pop("source", IdSource.LOG), **fields)


def followed(store: MongoJobStore, *, lost_since: datetime = LONG_AGO) -> list[JobRecord]:
    """The records of a pass, by job id."""
    found = list(store.records_to_follow(lost_since=lost_since))
    assert not [entry for entry in found if isinstance(entry, UnreadableRecord)]
    return sorted((entry for entry in found if isinstance(entry, JobRecord)), key=lambda entry: entry.job_id)


def only(store: MongoJobStore) -> JobRecord:
    """The one record there is to follow."""
    [found] = followed(store)
    return found


def types_of(jobs: Collection[Document], query: Document) -> dict[str, str]:
    """The BSON type of every field of one document, as MongoDB names it."""
    [document] = jobs.find(query)
    [types] = jobs.aggregate(
        [{"$match": query}, {"$project": {name: {"$type": f"${name}"} for name in document if name != "_id"}}]
    )
    del types["_id"]
    return dict(types)


# --- documents --------------------------------------------------------------------------------------

NEW_DOCUMENT: Document = {
    "job_id": "etl_1761998400000",
    "template_id": "etl",
    "job_name": "nightly",
    "cluster": "batch",
    "submitted_by": "ann",
    "labels": {"example.com/team": "search", "stage": ""},
    "label_pairs": ["example.com/team=search", "stage="],
    "spec": {"script": {"path": "/opt/job.py"}, "args": ["a", "b"]},
    "k8s_job_name": "flink-py-etl-1",
    "k8s_namespace": None,
    "flink_job_id": None,
    "flink_job_ids": [],
    "status": "CREATED",
    "flink_state": None,
    "submitted_at": NOON,
    "start_time": None,
    "end_time": None,
    "updated_at": NOON,
    "duration": None,
    "reason": None,
    "missing_since": None,
    "missing_passes": 0,
    "fingerprint": None,
    "flink_jobs": [],
    "submitter_done": False,
    "dropped_ids": [],
    "in_flight_until": None,
    "health": None,
    "unhealthy_since": None,
    "latest_state": None,
    "ended_by": None,
    "stuck_since": None,
    "pending_since": NOON,
    "revision": 0,
    "history": [
        {
            "seq": 0,
            "at": NOON,
            "was": None,
            "status": "CREATED",
            "flink_state": None,
            "reason_code": None,
            "by": "submit",
        }
    ],
}
DETAILS = {name: NEW_DOCUMENT[name] for name in ("template_id", "job_name", "submitted_by", "labels", "spec")}


def test_a_new_document_has_the_fields_of_the_contract(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record("etl_1761998400000", cluster="batch"), DETAILS)
    [document] = jobs.find({}, {"_id": 0})
    assert document == NEW_DOCUMENT


def test_a_new_document_has_the_types_of_the_contract(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record("etl_1761998400000", cluster="batch"), DETAILS)
    texts = ("job_id", "template_id", "job_name", "cluster", "submitted_by", "k8s_job_name", "status")
    nulls = (
        *("flink_job_id", "flink_state", "start_time", "end_time", "duration", "reason", "missing_since"),
        *("in_flight_until", "fingerprint", "stuck_since", "k8s_namespace"),
        *("health", "unhealthy_since", "latest_state", "ended_by"),
    )
    assert types_of(jobs, {}) == {
        **dict.fromkeys(texts, "string"),
        **dict.fromkeys(nulls, "null"),
        **dict.fromkeys(("submitted_at", "updated_at", "pending_since"), "date"),
        **dict.fromkeys(("flink_job_ids", "flink_jobs", "dropped_ids", "history", "label_pairs"), "array"),
        **dict.fromkeys(("spec", "labels"), "object"),
        "submitter_done": "bool",
        "revision": "int",
        "missing_passes": "int",
    }


def test_a_document_that_is_over_has_the_types_of_the_contract(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    before = only(store)
    after = replace(
        before,
        status=Status.FAILED,
        flink_jobs=(ref(confirmed=True, state="FAILED", start_time=NOON, end_time=LATER, failure="no"),),
        flink_state="FAILED",
        submitter_done=True,
        start_time=NOON,
        end_time=LATER,
        duration=180.125,
        reason=Reason(code=ReasonCode.JOB_FAILED, message="no", since=LATER),
        missing_since=NOON,
    )
    store.apply([Update(before=before, after=after)], now=LATER, run_id="run", by=Writer.SYNC)
    types = types_of(jobs, {})
    dates = ("submitted_at", "start_time", "end_time", "updated_at", "missing_since")
    assert {types[name] for name in dates} == {"date"}
    assert types["duration"] == "double"
    assert types["flink_job_id"] == types["flink_state"] == types["status"] == "string"
    [document] = jobs.find({})
    assert document["flink_job_id"] == A
    assert document["flink_job_ids"] == [A]
    assert document["reason"] == {"code": "JOB_FAILED", "message": "no", "since": LATER}
    assert document["updated_at"] == LATER
    assert document["revision"] == 1


SHAPES = {
    "just submitted": record(),
    "with a reason": record(reason=Reason(code=ReasonCode.IMAGE_PULL, message="ErrImagePull", since=NOON)),
    "without a Kubernetes Job": record(k8s_job_name=None),
    "one id, not confirmed": record(flink_jobs=(ref(source=IdSource.TERMINATION_MESSAGE),)),
    "running": record(
        status=Status.RUNNING,
        cluster="batch",
        flink_state="RESTARTING",
        flink_jobs=(ref(confirmed=True, state="RESTARTING", start_time=NOON),),
        submitter_done=True,
        start_time=NOON,
    ),
    "several ids": record(
        status=Status.RUNNING,
        flink_state="RUNNING",
        flink_jobs=(
            ref(A, confirmed=True, state="FAILED", start_time=NOON, end_time=LATER, failure="ValueError: ü"),
            ref(B, source=IdSource.JOB_NAME),
            ref(C, confirmed=True, state="RUNNING", start_time=LATER),
        ),
        dropped_ids=("d" * 32, "e" * 32),
        start_time=NOON,
    ),
    "missing": record(
        status=Status.SUSPENDED,
        flink_state="SUSPENDED",
        flink_jobs=(ref(confirmed=True, state="SUSPENDED", missing_since=LATER, missing_passes=2),),
        missing_since=LATER,
    ),
    "lost": record(
        status=Status.LOST,
        flink_jobs=(ref(source=IdSource.RECORD, missing_since=LATER, missing_passes=3),),
        submitter_done=True,
        missing_since=LATER,
        reason=Reason(code=ReasonCode.OUTCOME_UNKNOWN, message="it is not known", since=LATER),
    ),
    "with milliseconds": record(
        submitted_at=NOON.replace(microsecond=123_000),
        status=Status.RUNNING,
        flink_jobs=(ref(confirmed=True, state="RUNNING", start_time=NOON.replace(microsecond=1_000)),),
        start_time=NOON.replace(microsecond=1_000),
    ),
}


@pytest.mark.parametrize("written", SHAPES.values(), ids=SHAPES.keys())
def test_a_record_is_read_as_it_was_written(written: JobRecord, store: MongoJobStore) -> None:
    store.insert(written, {})
    assert only(store) == replace(written, revision=0)


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.CANCELLED])
def test_a_record_that_is_over_is_read_as_it_was_written_and_not_followed(
    status: Status, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    written = record(status=status, start_time=NOON, end_time=LATER, duration=180.0, submitter_done=True)
    store.insert(written, {})
    assert followed(store) == []
    [document] = jobs.find({})
    assert mongo_documents.read_record(document) == replace(written, revision=0)


# --- documents of the old platform ------------------------------------------------------------------


def old_document(**fields: Any) -> Document:
    return {
        "job_id": "template_id_timestamp",
        "flink_job_id": A,
        "status": "RUNNING",
        "submitted_at": "2025-11-01T12:00:00",
        "start_time": "2025-11-01T12:00:30",
        "end_time": None,
        "duration": None,
    } | fields


def test_an_old_document_is_followed(store: MongoJobStore, jobs: Collection[Document]) -> None:
    jobs.insert_one(old_document())
    assert only(store) == JobRecord(
        job_id="template_id_timestamp",
        status=Status.RUNNING,
        submitted_at=NOON,
        cluster="default",
        flink_jobs=(ref(source=IdSource.RECORD),),
        submitter_done=True,
        start_time=NOON + timedelta(seconds=30),
        revision=None,
    )


def test_an_old_document_without_an_id_still_waits_for_its_submitter(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_one(old_document(flink_job_id=None, status="CREATED", k8s_job_name="old-job"))
    found = only(store)
    assert found.flink_jobs == ()
    assert not found.submitter_done
    assert found.k8s_job_name == "old-job"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-01T12:00:00", NOON),
        ("2025-11-01T12:00:00Z", NOON),
        ("2025-11-01T20:00:00+08:00", NOON),
        ("2025-11-01T12:00:00.250000", NOON.replace(microsecond=250_000)),
        ("2025-11-01 12:00:00", NOON),
    ],
)
def test_every_spelling_of_a_time_is_read(
    text: str, expected: datetime, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_one(old_document(submitted_at=text))
    assert only(store).submitted_at == expected


def test_a_time_without_a_zone_is_utc_wherever_this_runs(
    store: MongoJobStore, jobs: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.insert_one(old_document())
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "CST-8")
        time.tzset()
        found = only(store)
    time.tzset()
    assert found.submitted_at == NOON


def test_an_old_document_loses_nothing_when_it_is_written(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    own = {"config": {"parallelism": 2}, "user": "ann", "tags": ["a"]}
    jobs.insert_one(old_document(**own))
    before = only(store)
    after = replace(
        before,
        status=Status.FINISHED,
        flink_state="FINISHED",
        flink_jobs=(ref(source=IdSource.RECORD, confirmed=True, state="FINISHED", end_time=LATER),),
        end_time=LATER,
        duration=150.0,
    )
    applied = store.apply([Update(before=before, after=after)], now=LATER, run_id="run", by=Writer.SYNC)
    assert applied.job_ids == {"template_id_timestamp"}
    [document] = jobs.find({}, {"_id": 0})
    kept = {"submitted_at": "2025-11-01T12:00:00", "start_time": "2025-11-01T12:00:30"}
    assert document == {
        **old_document(),
        **own,
        **kept,
        "status": "FINISHED",
        "flink_state": "FINISHED",
        "end_time": LATER,
        "duration": 150.0,
        "flink_job_ids": [A],
        "flink_jobs": [
            {
                "id": A,
                "source": "RECORD",
                "confirmed": True,
                "state": "FINISHED",
                "start_time": None,
                "end_time": LATER,
                "failure": None,
                "missing_since": None,
                "missing_passes": 0,
            }
        ],
        "submitter_done": True,
        "updated_at": LATER,
        "revision": 1,
        "history": [move(1, "RUNNING", "FINISHED", flink_state="FINISHED")],
        "pending_since": LATER,
        "synced_by": "run",
    }


# --- documents that cannot be read ------------------------------------------------------------------

UNREADABLE: Mapping[str, tuple[Document, str]] = {
    "no submission time": ({"submitted_at": None}, "submitted_at is missing"),
    "a time that is none": ({"submitted_at": "yesterday"}, "Invalid isoformat string"),
    "a time that is a number": ({"start_time": 1761998400}, "TypeError"),
    "a time before the calendar": ({"submitted_at": "0001-01-01T00:00:00+05:00"}, "OverflowError"),
    "a date beyond the calendar": ({"submitted_at": DatetimeMS(2**60)}, "TypeError"),
    "an id that is none": ({"flink_job_id": "abc123def456..."}, "no Flink Job ID: 'abc123def456...'"),
    "an id that is a number": ({"flink_job_id": 12}, "no Flink Job ID: '12'"),
    "a job id that is a number": ({"job_id": 12}, "job_id is no text but int"),
    "a Job name that is a number": ({"k8s_job_name": 12}, "k8s_job_name is no text but int"),
    "a cluster that is a list": ({"cluster": ["batch"]}, "cluster is no text but list"),
    "a revision that is a text": ({"revision": "3"}, "revision is no whole number but str"),
    "an unknown reason": ({"reason": {"code": "BAD_LUCK", "message": "", "since": NOON}}, "BAD_LUCK"),
    "a reason that is a text": ({"reason": "bad luck"}, "TypeError"),
    "jobs that are texts": ({"flink_jobs": [A]}, "TypeError"),
    "jobs without their fields": ({"flink_jobs": [{"id": A}]}, "KeyError: 'source'"),
}


@pytest.mark.parametrize(("fields", "error"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_document_that_cannot_be_read_costs_only_itself(
    fields: Document, error: str, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    bad = old_document(job_id="bad") | fields
    jobs.insert_many([old_document(job_id="good_1"), bad, old_document(job_id="good_2")])
    found = list(store.records_to_follow(lost_since=LONG_AGO))
    good = [entry.job_id for entry in found if isinstance(entry, JobRecord)]
    [unreadable] = [entry for entry in found if isinstance(entry, UnreadableRecord)]
    assert good == ["good_1", "good_2"]
    assert unreadable.job_id == str(bad["job_id"])
    assert error in unreadable.error
    assert len(unreadable.error) <= 200


def test_a_document_without_a_job_id_costs_only_itself(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_many([{"status": "CREATED"}, old_document()])
    found = list(store.records_to_follow(lost_since=LONG_AGO))
    assert UnreadableRecord(job_id="None", error="ValueError: job_id is missing") in found
    assert len(found) == 2


# --- which records are followed ---------------------------------------------------------------------


def test_open_records_are_followed_and_final_ones_are_not(store: MongoJobStore) -> None:
    for status in Status:
        if status is not Status.LOST:
            store.insert(record(status.value, status=status), {})
    assert [found.job_id for found in followed(store)] == ["CREATED", "RUNNING", "SUSPENDED"]


def test_a_lost_record_is_followed_up_to_the_horizon(store: MongoJobStore) -> None:
    for name, missing_since in (
        ("before", LONG_AGO - timedelta(milliseconds=1)),
        ("at", LONG_AGO),
        ("after", NOON),
        ("never", None),
    ):
        store.insert(record(name, status=Status.LOST, missing_since=missing_since), {})
    assert [found.job_id for found in followed(store, lost_since=LONG_AGO)] == ["after", "at"]


def test_only_the_asked_for_job_ids_are_followed(store: MongoJobStore) -> None:
    for name in ("a", "b", "c"):
        store.insert(record(name), {})
    store.insert(record("over", status=Status.FINISHED), {})
    found = store.records_to_follow(lost_since=LONG_AGO, job_ids=["c", "a", "over", "unknown"])
    assert {entry.job_id for entry in found} == {"a", "c"}
    assert list(store.records_to_follow(lost_since=LONG_AGO, job_ids=[])) == []


def test_what_a_run_writes_while_it_reads_does_not_come_again(
    store: MongoJobStore, jobs: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that becomes SUSPENDED moves behind those that are RUNNING, in the index by status."""
    monkeypatch.setattr(job_store, "RECORDS_PER_BATCH", 10)
    ensure_indexes(jobs.database)
    job_ids = many_old_documents(jobs, 400)  # of the first hundred, MongoDB remembers that it gave them out
    came: list[JobRecord] = []
    for found in store.records_to_follow(lost_since=LONG_AGO, run_id="run"):
        assert isinstance(found, JobRecord)
        came.append(found)
        if len(came) % 50 == 0:
            moved = [Update(each, replace(each, status=Status.SUSPENDED)) for each in came[-50:]]
            store.apply(moved, now=LATER, run_id="run", by=Writer.SYNC)
    assert sorted(each.job_id for each in came) == job_ids


# --- fingerprints -----------------------------------------------------------------------------------


def fingerprinted(name: str, fingerprint: str | None, status: Status = Status.RUNNING) -> JobRecord:
    return record(name, status=status, fingerprint=fingerprint)


def test_the_fingerprints_of_a_status_are_listed(store: MongoJobStore, jobs: Collection[Document]) -> None:
    ensure_indexes(jobs.database)
    store.insert(fingerprinted("a", "default|a|RUNNING|1"), {})
    store.insert(fingerprinted("b", "default|b|RUNNING|1"), {})
    store.insert(fingerprinted("c", None), {})
    store.insert(fingerprinted("d", "default|d|SUSPENDED|1", Status.SUSPENDED), {})
    jobs.update_one({"job_id": "c"}, {"$unset": {"fingerprint": ""}})
    assert sorted(store.fingerprints(Status.RUNNING)) == ["default|a|RUNNING|1", "default|b|RUNNING|1"]


def test_the_fingerprints_are_read_from_the_index_alone(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    ensure_indexes(jobs.database)
    store.insert(fingerprinted("a", "default|a|RUNNING|1"), {})
    query = {"status": "RUNNING", "fingerprint": {"$gt": ""}}
    plan = jobs.find(query, {"_id": 0, "fingerprint": 1}).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 0
    assert plan["executionStats"]["totalKeysExamined"] <= 2


def test_a_record_with_a_fingerprint_is_followed_when_it_is_asked_for(store: MongoJobStore) -> None:
    store.insert(fingerprinted("changed", "default|a|RUNNING|1"), {})
    store.insert(fingerprinted("unchanged", "default|b|RUNNING|1"), {})
    store.insert(fingerprinted("without", None), {})
    found = store.records_to_follow(
        lost_since=LONG_AGO, fingerprints={Status.RUNNING: ["default|a|RUNNING|1"]}
    )
    assert {entry.job_id for entry in found} == {"changed", "without"}


def test_a_job_id_is_followed_whatever_its_fingerprint(store: MongoJobStore) -> None:
    store.insert(fingerprinted("a", "default|a|RUNNING|1"), {})
    [found] = store.records_to_follow(lost_since=LONG_AGO, job_ids=["a"])
    assert found == replace(fingerprinted("a", "default|a|RUNNING|1"), revision=0)


# --- writes -----------------------------------------------------------------------------------------


def running(before: JobRecord) -> Update:
    """What a pass makes of a record whose id it has just found."""
    after = replace(before, status=Status.RUNNING, flink_jobs=(ref(confirmed=True, state="RUNNING"),))
    return Update(before=before, after=after)


class Commands(CommandListener):
    """Every command that was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Document]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to note."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to note."""


@pytest.fixture
def listened(
    mongo_server: MongoServer, mongo_database: Database[Document]
) -> Iterator[tuple[MongoJobStore, Commands]]:
    """A store, and what it sends."""
    commands = Commands()
    client: MongoClient[Document] = MongoClient(mongo_server.uri, tz_aware=True, event_listeners=[commands])
    with client:
        yield MongoJobStore(client[mongo_database.name]), commands


def test_a_write_sets_only_what_changed(
    listened: tuple[MongoJobStore, Commands], jobs: Collection[Document]
) -> None:
    store, commands = listened
    store.insert(record(), {})
    before = only(store)
    commands.sent.clear()
    store.apply([running(before)], now=LATER, run_id="run", by=Writer.SYNC)
    [(name, command)] = commands.sent
    [statement] = command["updates"]
    assert name == "update"
    assert set(statement["u"]) == {"$set", "$push", "$min", "$unset"}
    assert statement["u"]["$min"] == {"pending_since": LATER}
    assert statement["u"]["$unset"] == {"waiting_for": ""}  # every channel may have to be sent the move
    found = {"status", "flink_job_id", "flink_job_ids", "flink_jobs"}
    assert set(statement["u"]["$set"]) == found | {"updated_at", "revision", "synced_by"}
    [document] = jobs.find({}, {"_id": 1})
    assert statement["q"] == document | {"job_id": "etl_1", "status": "CREATED", "revision": 0}


def test_what_is_as_it_was_is_not_set_again(listened: tuple[MongoJobStore, Commands]) -> None:
    """MongoDB looks at every index of a field that is set, whether or not it changes."""
    store, commands = listened
    store.insert(record(status=Status.RUNNING, flink_jobs=(ref(confirmed=True, state="RUNNING"),)), {})
    before = only(store)
    commands.sent.clear()
    store.apply(
        [Update(before=before, after=replace(before, end_time=LATER))],
        now=LATER,
        run_id="run",
        by=Writer.SYNC,
    )
    [(_, command)] = commands.sent
    [statement] = command["updates"]
    assert set(statement["u"]) == {"$set"}, "a status that stays is no move"
    assert set(statement["u"]["$set"]) == {"end_time", "updated_at", "revision", "synced_by"}


def many_old_documents(jobs: Collection[Document], count: int) -> list[str]:
    """Written past the adapter, whose writes wait for the journal; returns the job ids."""
    job_ids = [f"etl_{number:03}" for number in range(count)]
    jobs.insert_many([old_document(job_id=job_id, flink_job_id=None) for job_id in job_ids])
    return job_ids


def test_a_hundred_writes_are_one_command(
    listened: tuple[MongoJobStore, Commands], jobs: Collection[Document]
) -> None:
    store, commands = listened
    many_old_documents(jobs, 100)
    updates = [running(before) for before in followed(store)]
    commands.sent.clear()
    applied = store.apply(updates, now=LATER, run_id="run", by=Writer.SYNC)
    assert len(applied.job_ids) == 100
    assert [name for name, _ in commands.sent] == ["update"]


def test_nothing_to_write_sends_nothing(listened: tuple[MongoJobStore, Commands]) -> None:
    store, commands = listened
    applied = store.apply([], now=LATER, run_id="run", by=Writer.SYNC)
    assert applied == Applied(job_ids=NONE, conflicts=NONE)
    assert commands.sent == []


def test_a_record_that_changed_since_it_was_read_is_a_conflict(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    before = only(store)
    first = store.apply([running(before)], now=NOON, run_id="first", by=Writer.SYNC)
    cancelled = Update(before=before, after=replace(before, status=Status.CANCELLED))
    second = store.apply([cancelled], now=LATER, run_id="second", by=Writer.SYNC)
    assert first == Applied(job_ids=ETL_1, conflicts=NONE)
    assert second == Applied(job_ids=NONE, conflicts=ETL_1)
    [document] = jobs.find({})
    assert (document["status"], document["updated_at"], document["synced_by"]) == ("RUNNING", NOON, "first")


@pytest.mark.parametrize("change", [{"status": "CANCELLED"}, {"revision": 7}, {"job_id": "renamed"}])
def test_a_foreign_write_is_not_overwritten(
    change: Document, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    before = only(store)
    jobs.update_one({}, {"$set": change})
    as_changed = jobs.find_one({})
    applied = store.apply([running(before)], now=LATER, run_id="run", by=Writer.SYNC)
    assert applied == Applied(job_ids=NONE, conflicts=ETL_1)
    assert jobs.find_one({}) == as_changed


def test_a_bulk_writes_what_it_can_and_names_the_conflicts(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    for number in range(6):
        store.insert(record(f"etl_{number}"), {})
    updates = [running(before) for before in followed(store)]
    jobs.update_many({"job_id": {"$in": ["etl_1", "etl_4"]}}, {"$set": {"status": "CANCELLED"}})
    jobs.delete_one({"job_id": "etl_2"})
    applied = store.apply(updates, now=LATER, run_id="run", by=Writer.SYNC)
    assert applied.job_ids == {"etl_0", "etl_3", "etl_5"}
    assert applied.conflicts == {"etl_1", "etl_2", "etl_4"}
    assert sorted(jobs.distinct("job_id", {"status": "RUNNING"})) == ["etl_0", "etl_3", "etl_5"]
    assert sorted(jobs.distinct("job_id", {"status": "CANCELLED"})) == ["etl_1", "etl_4"]


def test_an_old_document_can_be_lost_to_another_writer_too(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_one(old_document())
    before = only(store)
    update = Update(before=before, after=replace(before, flink_state="RUNNING"))
    assert store.apply([update], now=NOON, run_id="first", by=Writer.SYNC).job_ids == {
        "template_id_timestamp"
    }
    assert store.apply([update], now=NOON, run_id="second", by=Writer.SYNC).conflicts == {
        "template_id_timestamp"
    }


def test_of_two_writers_each_record_gets_one(
    mongo_server: MongoServer, store: MongoJobStore, jobs: Collection[Document], connect: Connect
) -> None:
    job_ids = many_old_documents(jobs, 200)
    updates = [running(before) for before in followed(store)]
    written: dict[str, frozenset[str]] = {}
    barrier = threading.Barrier(2)

    def write(run_id: str) -> None:
        own = connect(mongo_server.uri, jobs.database.name)
        own.ping()
        barrier.wait(10)
        applied = own.apply(updates, now=LATER, run_id=run_id, by=Writer.SYNC)
        assert applied.job_ids | applied.conflicts == set(job_ids)
        assert not applied.job_ids & applied.conflicts
        written[run_id] = applied.job_ids

    writers = [threading.Thread(target=write, args=[name]) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not written["one"] & written["two"]
    assert len(written["one"]) + len(written["two"]) == 200
    for run_id, own_job_ids in written.items():
        assert set(jobs.distinct("job_id", {"synced_by": run_id})) == own_job_ids
    assert jobs.distinct("revision") == [1]


def test_a_failed_submission_is_marked(store: MongoJobStore, jobs: Collection[Document]) -> None:
    store.insert(record(), {})
    assert store.fail_submission("etl_1", code=ReasonCode.K8S_REFUSED, message="quota", now=LATER)
    [document] = jobs.find({})
    assert document["status"] == "FAILED"
    assert document["reason"] == {"code": "K8S_REFUSED", "message": "quota", "since": LATER}
    assert document["updated_at"] == LATER
    assert document["submitter_done"] is True
    assert document["revision"] == 1


def test_a_submission_that_runs_is_not_marked_failed(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    store.apply([running(only(store))], now=LATER, run_id="run", by=Writer.SYNC)
    assert not store.fail_submission("etl_1", code=ReasonCode.K8S_REFUSED, message="quota", now=LATER)
    assert not store.fail_submission("unknown", code=ReasonCode.K8S_REFUSED, message="quota", now=LATER)
    assert jobs.distinct("status") == ["RUNNING"]


def test_a_pass_that_read_before_a_failed_submission_does_not_undo_it(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    before = only(store)
    store.fail_submission("etl_1", code=ReasonCode.K8S_REFUSED, message="quota", now=NOON)
    assert store.apply([running(before)], now=LATER, run_id="run", by=Writer.SYNC).conflicts == {"etl_1"}
    assert jobs.distinct("status") == ["FAILED"]


# --- history ----------------------------------------------------------------------------------------

CREATED = NEW_DOCUMENT["history"][0]


def move(seq: int, was: str, status: str, **fields: Any) -> Document:
    known = {"at": LATER, "flink_state": None, "reason_code": None, "by": "sync"} | fields
    return {"seq": seq, "was": was, "status": status} | known


def history_of(jobs: Collection[Document]) -> list[Document]:
    """The history of the one record, which its last move has written."""
    [document] = jobs.find({})
    history: list[Document] = document["history"]
    last = history[-1]
    assert (last["seq"], last["status"]) == (document["revision"], document["status"])
    return history


@pytest.mark.parametrize("by", [Writer.SYNC, Writer.CLEANUP])
def test_apply_of_a_changed_status_adds_one_move(
    by: Writer, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(in_flight_until=LATER), {})
    store.accept("etl_1", now=LATER)  # no move, but a revision
    before = only(store)
    after = replace(running(before).after, flink_state="RUNNING")
    store.apply([Update(before=before, after=after)], now=LATER, run_id="run", by=by)
    moved = move(2, "CREATED", "RUNNING", flink_state="RUNNING", by=by.value)
    assert history_of(jobs) == [CREATED, moved]


def test_apply_that_loses_the_race_adds_no_move(store: MongoJobStore, jobs: Collection[Document]) -> None:
    store.insert(record(), {})
    before = only(store)
    store.apply([running(before)], now=LATER, run_id="first", by=Writer.SYNC)
    cancelled = Update(before=before, after=replace(before, status=Status.CANCELLED))
    store.apply([cancelled, running(before)], now=LATER, run_id="second", by=Writer.CLEANUP)
    assert history_of(jobs) == [CREATED, move(1, "CREATED", "RUNNING")]


def test_apply_keeps_the_newest_hundred_moves(store: MongoJobStore, jobs: Collection[Document]) -> None:
    full = [{"seq": seq} for seq in range(100)]
    jobs.insert_one(NEW_DOCUMENT | {"status": "SUSPENDED", "revision": 99, "history": full})
    before = only(store)
    store.apply([running(before)], now=LATER, run_id="run", by=Writer.SYNC)
    assert history_of(jobs) == [*full[1:], move(100, "SUSPENDED", "RUNNING")]


def test_a_pass_does_not_read_the_history(listened: tuple[MongoJobStore, Commands]) -> None:
    store, commands = listened
    store.insert(record(), {})
    commands.sent.clear()
    only(store)
    [(_, command)] = commands.sent
    assert "status" in command["projection"]
    assert "history" not in command["projection"]


def test_a_failed_submission_adds_one_move(
    listened: tuple[MongoJobStore, Commands], jobs: Collection[Document]
) -> None:
    store, commands = listened
    store.insert(record(in_flight_until=NOON), {})
    store.take_up(only(store), until=LATER)  # no move, but a revision
    commands.sent.clear()
    store.fail_submission("etl_1", code=ReasonCode.K8S_REFUSED, message="quota", now=LATER)
    assert [name for name, _ in commands.sent] == ["find", "update"]
    moved = move(2, "CREATED", "FAILED", reason_code="K8S_REFUSED", by="submit")
    assert history_of(jobs) == [CREATED, moved]


class AfterTheFirstRead(CommandListener):
    """Does this once, between the first read of a record and the write that follows it."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self._deeds = [deed]

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing to do."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "find" and self._deeds:
            self._deeds.pop()()

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"reason": {"code": "MOUNT", "message": "m", "since": NOON}}, "FAILED"),
        ({"status": "RUNNING", "flink_job_id": A}, "RUNNING"),
    ],
    ids=["the record is still CREATED", "the record has moved"],
)
def test_a_failed_submission_that_another_write_overtakes_is_judged_again(
    change: Document,
    status: str,
    mongo_server: MongoServer,
    store: MongoJobStore,
    jobs: Collection[Document],
) -> None:
    store.insert(record(), {})
    overtaking = AfterTheFirstRead(lambda: jobs.update_one({}, {"$set": change, "$inc": {"revision": 1}}))
    client: MongoClient[Document] = MongoClient(mongo_server.uri, tz_aware=True, event_listeners=[overtaking])
    with client:
        overtaken = MongoJobStore(client[jobs.database.name])
        is_failed = overtaken.fail_submission(
            "etl_1", code=ReasonCode.K8S_REFUSED, message="quota", now=LATER
        )
    [document] = jobs.find({})
    failed = move(2, "CREATED", "FAILED", reason_code="K8S_REFUSED", by="submit")
    assert (is_failed, document["status"]) == (status == "FAILED", status)
    assert document["history"] == ([CREATED, failed] if is_failed else [CREATED])


# --- idempotency ------------------------------------------------------------------------------------


def test_a_submission_is_found_by_its_idempotency_key(store: MongoJobStore) -> None:
    store.insert(record("etl_1"), {"idempotency_key": "k", "request_hash": "h", "spec": {"args": []}})
    store.insert(record("etl_2"), {})
    found = store.submitted_with("k")
    assert found is not None
    assert found.record == record("etl_1", revision=0)
    assert found.request_hash == "h"
    assert found.details["spec"] == {"args": []}
    assert store.submitted_with("other") is None


def test_a_submission_is_taken_up_once(store: MongoJobStore, jobs: Collection[Document]) -> None:
    store.insert(record(), {})
    before = only(store)
    taken = store.take_up(before, until=LATER)
    assert taken == replace(before, in_flight_until=LATER, revision=1)
    assert store.take_up(before, until=LATER + timedelta(hours=1)) is None
    [document] = jobs.find({})
    assert (document["in_flight_until"], document["revision"]) == (LATER, 1)
    assert only(store) == taken


def test_a_submission_that_moved_on_is_not_taken_up(store: MongoJobStore, jobs: Collection[Document]) -> None:
    store.insert(record(), {})
    before = only(store)
    jobs.update_one({}, {"$set": {"status": "RUNNING"}})
    assert store.take_up(before, until=LATER) is None


@pytest.mark.parametrize(
    ("fields", "accepted", "written"),
    [
        ({"status": "CREATED"}, True, True),
        ({"status": "RUNNING"}, True, True),
        ({"status": "FINISHED"}, True, False),
        ({"status": "FAILED", "reason": {"code": "JOB_FAILED"}}, True, False),
        ({"status": "FAILED", "reason": {"code": "K8S_JOB_MISSING"}}, False, False),
    ],
)
def test_a_submission_is_accepted_unless_it_was_given_up(
    fields: Document, accepted: bool, written: bool, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(in_flight_until=LATER), {})
    jobs.update_one({}, {"$set": fields})
    assert store.accept("etl_1", now=LATER) is accepted
    [document] = jobs.find({})
    assert (document["in_flight_until"], document["revision"]) == ((None, 1) if written else (LATER, 0))


def test_a_template_is_found_by_its_id(store: MongoJobStore, mongo_database: Database[Document]) -> None:
    mongo_database["job_templates"].insert_one({"template_id": "etl", "parallelism": 4})
    assert store.template("etl") == {"template_id": "etl", "parallelism": 4}
    assert store.template("other") is None


def test_the_report_of_a_pass_is_kept(store: MongoJobStore, mongo_database: Database[Document]) -> None:
    report = {"run_id": "r", "started_at": NOON, "clusters": {"eu.batch": {"reachable": True}}}
    store.save_run(report)
    [kept] = mongo_database["sync_runs"].find({}, {"_id": 0})
    assert kept == {"run_id": "r", "started_at": NOON, "clusters": {"eu.batch": {"reachable": True}}}
    assert "_id" not in report


def test_the_ticks_of_an_invocation_are_one_document(
    store: MongoJobStore, mongo_database: Database[Document]
) -> None:
    """Its `started_at` is that of the last tick; the age of the records is that of the last complete one."""
    assert store.last_complete_pass_at() is None
    first = {"started_at": NOON, "complete": True, "whole": True, "last_complete_at": NOON}
    later = NOON + timedelta(seconds=5)
    store.save_tick("a/12:00", first)
    assert store.last_complete_pass_at() == NOON
    store.save_tick("a/12:00", {**first, "started_at": later, "complete": False})
    [kept] = mongo_database["sync_runs"].find({})
    assert (kept["started_at"], kept["complete"]) == (later, False)
    assert store.last_complete_pass_at() == NOON
    store.save_run({"started_at": NOON + timedelta(seconds=9), "complete": True, "whole": False})
    store.save_run({"started_at": NOON - timedelta(seconds=9), "complete": True, "whole": True})
    assert store.last_complete_pass_at() == NOON


# --- indexes and duplicates -------------------------------------------------------------------------


def test_a_job_id_is_unique(store: MongoJobStore, jobs: Collection[Document]) -> None:
    ensure_indexes(jobs.database)
    store.insert(record(), {"template_id": "first"})
    with pytest.raises(DuplicateJobIdError, match="a record etl_1 exists already"):
        store.insert(record(), {"template_id": "second"})
    assert jobs.distinct("template_id") == ["first"]


def test_an_idempotency_key_is_unique_where_present(store: MongoJobStore, jobs: Collection[Document]) -> None:
    ensure_indexes(jobs.database)
    store.insert(record("etl_1"), {})
    store.insert(record("etl_2"), {})
    store.insert(record("etl_3"), {"idempotency_key": "k"})
    with pytest.raises(InFlightError, match="another request with this idempotency key came first"):
        store.insert(record("etl_4"), {"idempotency_key": "k"})
    assert sorted(jobs.distinct("job_id")) == ["etl_1", "etl_2", "etl_3"]


def test_both_records_of_a_job_id_that_occurs_twice_are_followed_and_written(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_many([old_document(), old_document()])
    updates = [
        Update(before=before, after=replace(before, status=Status.FINISHED)) for before in followed(store)
    ]
    assert len(updates) == 2
    assert store.apply(updates, now=LATER, run_id="run", by=Writer.SYNC).job_ids == {"template_id_timestamp"}
    assert jobs.distinct("status") == ["FINISHED"]


def test_of_two_records_of_one_job_id_each_is_written_as_itself(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    jobs.insert_many([old_document(flink_job_id=A), old_document(flink_job_id=B)])
    updates = [
        Update(before=before, after=replace(before, flink_state=before.flink_job_id))
        for before in followed(store)
    ]
    for update in reversed(updates):
        store.apply([update], now=LATER, run_id="run", by=Writer.SYNC)
    assert {document["flink_job_id"]: document["flink_state"] for document in jobs.find({})} == {A: A, B: B}


# --- settled ----------------------------------------------------------------------------------------

SETTLED: Mapping[str, tuple[Document, Status | None, bool]] = {
    "finished": ({"status": "FINISHED", "flink_job_id": A}, Status.FINISHED, True),
    "failed without an id": ({"status": "FAILED", "flink_job_id": None}, Status.FAILED, True),
    "cancelled": ({"status": "CANCELLED", "submitter_done": False}, Status.CANCELLED, True),
    "running, all ids read": ({"status": "RUNNING", "submitter_done": True}, Status.RUNNING, True),
    "running, more may come": ({"status": "RUNNING", "submitter_done": False}, Status.RUNNING, False),
    "created, no id": ({"status": "CREATED", "flink_job_id": None}, Status.CREATED, False),
    "done, no id": (
        {"status": "CREATED", "flink_job_id": None, "submitter_done": True},
        Status.CREATED,
        False,
    ),
    "lost, all ids read": ({"status": "LOST", "submitter_done": True}, Status.LOST, True),
    "old, with an id": ({}, Status.RUNNING, True),
    "old, with a text that is no id": ({"flink_job_id": "pending"}, Status.RUNNING, False),
    "with a number for an id": ({"flink_job_id": 7, "submitter_done": True}, Status.RUNNING, False),
    "an unknown status": ({"status": "SLEEPING"}, None, False),
    "no status": ({"status": None}, None, False),
}


@pytest.mark.parametrize(("fields", "status", "is_settled"), SETTLED.values(), ids=SETTLED.keys())
def test_a_record_is_settled_when_nothing_more_is_needed_of_its_kubernetes_job(
    fields: Document,
    status: Status | None,
    is_settled: bool,
    store: MongoJobStore,
    jobs: Collection[Document],
) -> None:
    jobs.insert_one(old_document() | fields)
    found = dict(store.settled(["template_id_timestamp", "unknown"]))
    [known] = found.pop("template_id_timestamp")
    assert (known.job_id, known.status, known.is_settled) == ("template_id_timestamp", status, is_settled)
    assert found == {}


def test_what_is_settled_names_its_kubernetes_job_and_its_last_write(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(k8s_job_name="flink-py-etl-1"), {})
    jobs.update_one({}, {"$set": {"updated_at": NOON}})
    expected = Settled("etl_1", Status.CREATED, False, "flink-py-etl-1", updated_at=NOON)
    assert store.settled(["etl_1"]) == {"etl_1": [expected]}


@pytest.mark.parametrize(("fields", "expected"), [({}, False), ({"submitter_done": True}, True)])
def test_the_end_of_a_submitter_is_settled_only_where_a_pass_saw_it(
    fields: Document, expected: bool, store: MongoJobStore, jobs: Collection[Document]
) -> None:
    """The old platform's records do not say."""
    jobs.insert_one(old_document() | fields)
    [found] = store.settled(["template_id_timestamp"])["template_id_timestamp"]
    assert (found.is_settled, found.submitter_ended) == (True, expected)


def test_of_a_job_id_that_several_documents_have_all_are_reported(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    twins = [{"job_id": "twin", "status": status} for status in ("FINISHED", "CREATED")]
    jobs.insert_many(twins)
    found = store.settled(["twin"])["twin"]
    assert {(each.document_id, each.is_settled) for each in found} == {
        (twins[0]["_id"], True),
        (twins[1]["_id"], False),
    }


def test_the_end_of_a_log_is_kept_on_its_record_and_hinders_no_update(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    store.insert(record(), {})
    before = only(store)
    end = SubmitterLog(text="the ünd\n", truncated=True, pod="etl-1-x7k2p", saved_at=LATER)
    assert store.save_submitter_log("etl_1", before.k8s_job_name or "", end)
    [document] = jobs.find()
    expected = document["submitter_log"]
    assert zlib.decompress(expected["zlib"]).decode() == "the ünd\n"
    others = {"truncated": True, "pod": "etl-1-x7k2p", "saved_at": LATER}
    assert expected == {"zlib": expected["zlib"], **others}
    assert only(store) == before
    assert store.apply([running(before)], now=LATER, run_id="run", by=Writer.SYNC).job_ids == ETL_1
    assert jobs.find_one({"submitter_log": expected}) is not None


def test_a_log_without_its_record_is_not_kept(store: MongoJobStore, jobs: Collection[Document]) -> None:
    assert not store.save_submitter_log("etl_1", "flink-py-etl-1", SubmitterLog("x", False, "pod", LATER))
    assert jobs.count_documents({}) == 0


def test_a_log_is_kept_on_every_document_that_it_belongs_to_and_on_no_other(
    store: MongoJobStore, jobs: Collection[Document]
) -> None:
    names = ("mine", None, "another")
    jobs.insert_many({"job_id": "twin", "status": "LOST", "k8s_job_name": name} for name in names)
    jobs.insert_one({"job_id": "twin", "status": "LOST"})
    assert store.save_submitter_log("twin", "mine", SubmitterLog("x", False, "pod", LATER))
    kept = [each.get("k8s_job_name") for each in jobs.find({"submitter_log": {"$exists": True}})]
    assert kept == ["mine", None, None]
    assert not store.save_submitter_log("other", "mine", SubmitterLog("x", False, "pod", LATER))


def test_the_report_of_a_cleanup_run_is_kept(
    store: MongoJobStore, mongo_database: Database[Document]
) -> None:
    report = {"run_id": "r", "started_at": NOON, "deleted": 3}
    store.save_cleanup_run(report)
    assert list(mongo_database["cleanup_runs"].find({}, {"_id": 0})) == [report]


def test_of_no_job_ids_nothing_is_settled(store: MongoJobStore) -> None:
    assert store.settled([]) == {}


# --- errors -----------------------------------------------------------------------------------------

Call = Callable[[MongoJobStore], object]
CALLS: Mapping[str, Call] = {
    "insert": lambda store: store.insert(record(), {}),
    "records_to_follow": lambda store: list(store.records_to_follow(lost_since=LONG_AGO)),
    "apply": lambda store: store.apply(
        [running(record(revision=0))], now=LATER, run_id="run", by=Writer.SYNC
    ),
    "fail_submission": lambda store: store.fail_submission(
        "etl_1", code=ReasonCode.K8S_REFUSED, message="x", now=NOON
    ),
    "settled": lambda store: store.settled(["etl_1"]),
    "save_run": lambda store: store.save_run({"run_id": "r"}),
    "save_submitter_log": lambda store: store.save_submitter_log(
        "etl_1", "flink-py-etl-1", SubmitterLog("x", False, "pod", NOON)
    ),
    "save_cleanup_run": lambda store: store.save_cleanup_run({"run_id": "r"}),
    "ping": lambda store: store.ping(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_server_that_is_not_there_is_unavailable(call: Call, connect: Connect) -> None:
    uri = f"mongodb://ann:s3cret@127.0.0.1:{free_port()}/"
    nowhere = connect(uri, "db", timeout_ms=200, server_selection_timeout_ms=100)
    with pytest.raises(StoreUnavailableError, match="MongoDB did not answer") as caught:
        call(nowhere)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_error_names_each_server_with_its_cause_and_nothing_else(connect: Connect) -> None:
    ports = free_port(), free_port()
    servers = ",".join(f"127.0.0.1:{port}" for port in ports)
    nowhere = connect(f"mongodb://{servers}/?replicaSet=rs", "db", server_selection_timeout_ms=500)
    with pytest.raises(StoreUnavailableError) as caught:
        nowhere.ping()
    beginning, *causes = re.split("[:,] ?(?=127)", str(caught.value))
    assert beginning == "MongoDB did not answer"
    assert sorted(causes) == sorted(f"127.0.0.1:{port}: [Errno 111] Connection refused" for port in ports)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_wrong_credentials_are_refused_without_being_shown(
    call: Call, mongo_server: MongoServer, connect: Connect
) -> None:
    uri = f"mongodb://ann:s3cret@127.0.0.1:{mongo_server.port}/?authSource=admin"
    with pytest.raises(StoreRefusedError, match=r"MongoDB refused: Authentication failed\.") as caught:
        call(connect(uri, "db"))
    assert "s3cret" not in str(caught.value)


UNUSABLE = {
    "mongodb://zoe:s3cret@": "Empty host",
    "mongodb://zoe:s3cret@host:99999/": "Port must be an integer between 0 and 65535",
    "mongodb://zoe:s3/cret@host/": "its user and password must be percent-encoded",
    "mongodb://zo?e:s3cret@host/": "its user and password must be percent-encoded",
    "mongodb+srv://zo/es3:cret@host/": "its user and password must be percent-encoded",
    "mongodb://zoe:s3cret%@host/": "Username and password must be escaped",
    "mongodb://zoe:s3cret@host/?tls=true&tlsInsecure=true&tlsAllowInvalidCertificates=true": "URI options",
    "mongodb://zoe:s3cret@host/?tls=true&tlsCAFile=/nowhere/ca.pem": "tlsCAFile /nowhere/ca.pem: [Errno 2]",
    "mongodb://zoe:s3cret@host/?tls=true&tlsCAFile=/dev/null": "tlsCAFile /dev/null: [X509",
    "mongodb://zoe:s3cret@host/?tls=true&tlsCAFile=/etc": "tlsCAFile /etc: ",
    "mongodb+srv://zoe:s3cret@host:27017/": "mongodb+srv:// URIs must not include a port",
    "http://zoe:s3cret@host/": "Invalid URI scheme",
    "": "Empty host",
}
"""The beginning of the reason, by URI."""


@pytest.mark.parametrize(("uri", "reason"), UNUSABLE.items())
def test_a_uri_that_cannot_be_used_is_refused_without_its_credentials(uri: str, reason: str) -> None:
    with pytest.raises(
        StoreRefusedError, match=f"^MONGODB_URI cannot be used: {re.escape(reason)}"
    ) as caught:
        mongo_client.connect(uri, "db")
    for part in ("zo", "s3", "cret"):
        assert part not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_name_that_dns_does_not_resolve_is_unavailable_and_named() -> None:
    name = "cluster0.nowhere.invalid"
    with pytest.raises(StoreUnavailableError, match=f"MONGODB_URI: DNS does not resolve {name}: ") as caught:
        mongo_client.connect(f"mongodb+srv://zoe:s3cret@{name}/?w=majority", "db")
    assert "cret" not in str(caught.value)


def test_a_server_that_falls_silent_is_unavailable_and_comes_back(
    mongo_server: MongoServer, mongo_database: Database[Document], connect: Connect
) -> None:
    impatient = connect(
        mongo_server.uri, mongo_database.name, timeout_ms=300, server_selection_timeout_ms=300
    )
    impatient.insert(record(), {})
    before = only(impatient)
    mongo_server.pause()
    try:
        for call in (CALLS["ping"], CALLS["records_to_follow"], CALLS["apply"], CALLS["insert"]):
            with pytest.raises(StoreUnavailableError, match="MongoDB did not answer"):
                call(impatient)
    finally:
        mongo_server.resume()
    assert impatient.settled(["etl_1"]).keys() == {"etl_1"}
    applied = impatient.apply([running(before)], now=LATER, run_id="second", by=Writer.SYNC)
    assert applied.job_ids | applied.conflicts == {"etl_1"}


def test_a_server_behind_a_late_network_is_waited_for(mongo_server: MongoServer) -> None:
    with LateNetwork(1.0) as network:
        uri = f"mongodb://127.0.0.1:{network.way_to(mongo_server.port)}/"
        database = mongo_client.connect(uri, "db", server_selection_timeout_ms=200)
        with database.client:
            with pytest.raises(StoreUnavailableError):
                MongoJobStore(database).ping()
            mongo_client.await_server(database, seconds=60)
            MongoJobStore(database).ping()


def test_a_server_that_does_not_come_is_waited_for_as_long_as_was_said(mongo_server: MongoServer) -> None:
    with LateNetwork(60) as network:
        uri = f"mongodb://127.0.0.1:{network.way_to(mongo_server.port)}/"
        database = mongo_client.connect(uri, "db")
        with database.client, pytest.raises(StoreUnavailableError, match="MongoDB did not answer"):
            mongo_client.await_server(database, seconds=0.5)
        assert not network.is_open


def test_a_server_that_restarts_is_found_again(
    mongo_server: MongoServer, mongo_database: Database[Document], connect: Connect
) -> None:
    store = connect(mongo_server.uri, mongo_database.name, timeout_ms=500, server_selection_timeout_ms=300)
    store.insert(record(), {})
    mongo_server.stop()
    try:
        with pytest.raises(StoreUnavailableError):
            store.ping()
        with pytest.raises(StoreUnavailableError):
            followed(store)
    finally:
        mongo_server.start()
    patient = connect(mongo_server.uri, mongo_database.name)
    assert only(patient).job_id == "etl_1"
    store.ping()


def test_a_write_that_the_database_forbids_costs_only_its_record(
    store: MongoJobStore, mongo_database: Database[Document]
) -> None:
    """Else one such record would keep all that are written with it from moving, in every pass."""
    rule = {"$jsonSchema": {"properties": {"status": {"enum": ["CREATED", "RUNNING"]}}}}
    mongo_database.create_collection("flink_jobs", validator=rule)
    for number in range(4):
        store.insert(record(f"etl_{number}"), {})
    first, second, third, fourth = followed(store)
    mongo_database["flink_jobs"].update_one({"job_id": "etl_2"}, {"$set": {"revision": 7}})
    lost = Update(before=second, after=replace(second, status=Status.LOST))
    updates = [running(first), lost, running(third), running(fourth)]
    applied = store.apply(updates, now=LATER, run_id="run", by=Writer.SYNC)
    assert applied.job_ids == {"etl_0", "etl_3"}
    assert applied.conflicts == {"etl_2"}
    assert dict(applied.refused) == {"etl_1": "MongoDB refused the write: Document failed validation"}
    assert [found.status for found in followed(store)] == ["RUNNING", "CREATED", "CREATED", "RUNNING"]
