"""`export`: every record before a time, whole, one in a line, the oldest first; or an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId, json_util
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from local.mongodb import MongoServer
from tests.integration.cli.conftest import Run, one_line

DAY = datetime(2025, 11, 1, tzinfo=UTC)
OPTIONS = json_util.JSONOptions(tz_aware=True)
Document = dict[str, Any]


def record(job_id: str, submitted_at: Any, **fields: Any) -> Document:
    return {"_id": ObjectId(), "job_id": job_id, "status": "FINISHED", "submitted_at": submitted_at, **fields}


@pytest.fixture
def environ(mongo_server: MongoServer, mongo_database: Database[Document]) -> Mapping[str, str]:
    return {"MONGODB_URI": mongo_server.uri, "MONGODB_DATABASE": mongo_database.name}


def test_records_are_written_whole_and_in_order(
    run: Run, environ: Mapping[str, str], mongo_database: Database[Document]
) -> None:
    odd = {
        "spec": {"args": ["two\nlines\u2028", "作业", 'a "quote"'], "nothing": None},
        "duration": 0.1 + 0.2,
        "revision": Int64(2**53 + 1),
        "submitter_log": {"gzip": b"\x00\xff"},
        "a.b": {"$set": 1},
    }
    expected = [
        record("first", DAY - timedelta(days=400)),
        record("odd", DAY - timedelta(milliseconds=1), **odd),
        record("text", "2025-10-20T10:00:00"),
    ]
    later = [record("at", DAY), record("text_later", "2025-11-01T00:00:00"), record("never", None)]
    for each in reversed([*expected, *later]):
        mongo_database["flink_jobs"].insert_one(RawBSONDocument(bson.encode(each)))
    ran = run("export", "--before", "2025-11-01T00:00:00Z", environ=environ)
    assert ran.code == 0
    assert ran.out.endswith("\n")
    lines = ran.out.removesuffix("\n").split("\n")
    assert [json_util.loads(line, json_options=OPTIONS) for line in lines] == expected
    assert ran.err == "3 records submitted before 2025-11-01 00:00 UTC written.\n"


def test_a_thousand_records_are_written_once_each(
    run: Run, environ: Mapping[str, str], mongo_database: Database[Document]
) -> None:
    """Several answers of MongoDB; many records of the same moment."""
    made = [record(f"etl_{number}", DAY + timedelta(seconds=number // 10)) for number in range(1_200)]
    mongo_database["flink_jobs"].insert_many(made)
    lines = run("export", "--before", "2025-12-01", environ=environ).out.splitlines()
    found = [json_util.loads(line, json_options=OPTIONS) for line in lines]
    assert sorted(one["job_id"] for one in found) == sorted(one["job_id"] for one in made)
    times = [one["submitted_at"] for one in found]
    assert times == sorted(times)


def test_a_record_that_json_cannot_hold_is_an_error_that_names_it(
    run: Run, environ: Mapping[str, str], mongo_database: Database[Document]
) -> None:
    """What was written before is whole; nothing is written for it, or in its place."""
    broken = bson.encode(record("broken", DAY + timedelta(days=1), job_name="x~~x")).replace(
        b"~~", b"\xff\xfe"
    )
    for each in (
        bson.encode(record("fine", DAY)),
        broken,
        bson.encode(record("last", DAY + timedelta(days=2))),
    ):
        mongo_database["flink_jobs"].insert_one(RawBSONDocument(each))
    ran = run("export", "--before", "2025-12-01", environ=environ)
    assert ran.code == 3
    assert [json_util.loads(line)["job_id"] for line in ran.out.splitlines()] == ["fine"]
    assert "the record 'broken' cannot be exported" in one_line(ran.err)
