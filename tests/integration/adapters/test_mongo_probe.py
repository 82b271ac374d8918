"""What a person on call asks of MongoDB, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from doubles.processes import free_port
from flinkjobs.adapters.mongo import client as mongo
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.probe import MongoProbe
from flinkjobs.domain.errors import StoreRefusedError, StoreUnavailableError
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from local.mongodb import MongoServer

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FLINK_ID = "a" * 32
Document = dict[str, Any]


@pytest.fixture
def probe(mongo_server: MongoServer, mongo_database: Database[Document]) -> Iterator[MongoProbe]:
    found = MongoProbe(mongo.connect(mongo_server.uri, mongo_database.name))
    yield found
    found.close()


def document(job_id: str, status: str, code: ReasonCode | None = None, **fields: Any) -> Document:
    """A record that was submitted at noon, with this reason since then."""
    reason = {"code": code.value, "message": "why", "since": NOON} if code else None
    return {"job_id": job_id, "status": status, "submitted_at": NOON, "reason": reason, **fields}


def ids(records: Any) -> set[str]:
    return {record.job_id for record in records}


def test_a_server_without_users(probe: MongoProbe) -> None:
    assert probe.version() == "6.0.5"
    assert probe.user() is None


@pytest.fixture
def user(mongo_database: Database[Document]) -> Iterator[str]:
    """A user of this database. A server that demands no credentials checks those that it gets."""
    mongo_database.command("createUser", "app", pwd="right", roles=["readWrite"])
    yield "app"
    mongo_database.command("dropUser", "app")


@pytest.mark.usefixtures("user")
def test_a_user_is_named_with_its_database(
    mongo_server: MongoServer, mongo_database: Database[Document]
) -> None:
    name = mongo_database.name
    uri = f"mongodb://app:right@127.0.0.1:{mongo_server.port}/?authSource={name}"
    probe = MongoProbe(mongo.connect(uri, name))
    assert probe.user() == f"app@{name}"
    probe.close()


@pytest.mark.usefixtures("user")
def test_a_wrong_password_is_refused_and_not_repeated_in_words(
    mongo_server: MongoServer, mongo_database: Database[Document]
) -> None:
    name = mongo_database.name
    uri = f"mongodb://app:wr0ng@127.0.0.1:{mongo_server.port}/?authSource={name}"
    probe = MongoProbe(mongo.connect(uri, name))
    with pytest.raises(StoreRefusedError, match="Authentication failed") as caught:
        probe.version()
    assert "wr0ng" not in str(caught.value)
    probe.close()


def test_a_write_leaves_no_trace_but_a_lease_that_is_free(
    probe: MongoProbe, mongo_database: Database[Document]
) -> None:
    for fence in (1, 2):
        probe.try_write()
        [lease] = mongo_database["leases"].find()
        assert (lease["_id"], lease["holder"], lease["fence"]) == ("doctor", None, fence)
    assert mongo_database.list_collection_names() == ["leases"]


def test_a_server_that_is_not_there_is_unavailable(mongo_database: Database[Document]) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}"
    probe = MongoProbe(mongo.connect(uri, mongo_database.name, server_selection_timeout_ms=200))
    for ask in (probe.try_write, probe.version, probe.user, probe.missing_indexes):
        with pytest.raises(StoreUnavailableError):
            ask()
    probe.close()


def test_a_write_that_is_refused(mongo_server: MongoServer, mongo_client: MongoClient[Document]) -> None:
    """No user may write to this database: its collection is a view."""
    name = "doctor_refused"
    mongo_client[name].create_collection("flink_jobs", viewOn="other", pipeline=[])
    probe = MongoProbe(mongo.connect(mongo_server.uri, name))
    try:
        with pytest.raises(StoreRefusedError, match="view"):
            probe.try_write()
    finally:
        probe.close()
        mongo_client.drop_database(name)


def test_missing_indexes_are_named(probe: MongoProbe, mongo_database: Database[Document]) -> None:
    assert {"status_1", "job_id_1", "flink_job_id_1", "submitted_at_-1"} <= set(probe.missing_indexes())
    ensure_indexes(mongo_database)
    assert list(probe.missing_indexes()) == []
    mongo_database["flink_jobs"].drop_index("submitted_at_-1")
    assert list(probe.missing_indexes()) == ["submitted_at_-1"]


def test_who_waits(probe: MongoProbe, mongo_database: Database[Document]) -> None:
    mongo_database["flink_jobs"].insert_many(
        [
            document("waits", "CREATED"),
            document("waits_for_a_reason", "CREATED", ReasonCode.QUOTA),
            document("old_platform", "CREATED", submitted_at="2026-01-05T11:00:00"),
            document("old_platform_young", "CREATED", submitted_at="2026-01-05T13:00:00"),
            document("young", "CREATED", submitted_at=NOON + HOUR),
            document("runs", "RUNNING"),
            document("unreadable", "CREATED", submitted_at=None),
        ]
    )
    waiting = probe.waiting(submitted_before=NOON + HOUR / 2)
    assert ids(waiting) == {"waits", "waits_for_a_reason", "old_platform", "unreadable"}
    assert ids(record for record in waiting if isinstance(record, UnreadableRecord)) == {"unreadable"}
    [held] = [record for record in waiting if record.job_id == "waits_for_a_reason"]
    assert isinstance(held, JobRecord)
    assert held.reason is not None
    assert held.reason.code is ReasonCode.QUOTA


def test_who_has_no_id(probe: MongoProbe, mongo_database: Database[Document]) -> None:
    mongo_database["flink_jobs"].insert_many(
        [
            *(
                document(f"failed_{code}", "FAILED", code)
                for code in (*ReasonCode,)
                if code is not ReasonCode.ID_UNCONFIRMED
            ),
            document("yesterday", "FAILED", ReasonCode.SUBMIT_FAILED, submitted_at=NOON - 2 * HOUR),
            document("unconfirmed", "RUNNING", ReasonCode.ID_UNCONFIRMED, flink_job_id=FLINK_ID),
            document("unconfirmed_and_over", "LOST", ReasonCode.ID_UNCONFIRMED, flink_job_id=FLINK_ID),
            document("well", "FINISHED"),
        ]
    )
    assert ids(probe.without_id(submitted_since=NOON - HOUR)) == {
        "failed_K8S_REFUSED",
        "failed_K8S_JOB_MISSING",
        "failed_IMAGE_UNSUITABLE",
        "failed_SUBMIT_FAILED",
        "failed_NO_JOB_SUBMITTED",
        "failed_LOG_UNAVAILABLE",
    }
    assert ids(probe.unconfirmed()) == {"unconfirmed"}


def test_who_is_lost(probe: MongoProbe, mongo_database: Database[Document]) -> None:
    long_ago = document("long_ago", "LOST", ReasonCode.OUTCOME_UNKNOWN)
    long_ago["reason"]["since"] = NOON - 2 * HOUR
    mongo_database["flink_jobs"].insert_many(
        [long_ago, document("lost", "LOST", ReasonCode.OUTCOME_UNKNOWN), document("failed", "FAILED")]
    )
    assert ids(probe.lost(since=NOON - HOUR)) == {"lost"}
