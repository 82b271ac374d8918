"""Converting the old platform's dates while another client writes; the tests of `indexes` show the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.database import Database

from flinkjobs.adapters.mongo.admin import BATCH, MongoAdmin
from flinkjobs.adapters.mongo.client import connect
from local.mongodb import MongoServer

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def admin(mongo_server: MongoServer, mongo_database: Database[dict[str, Any]]) -> Iterator[MongoAdmin]:
    with closing(MongoAdmin(connect(mongo_server.uri, mongo_database.name))) as admin:
        yield admin


def test_a_record_that_was_written_during_the_conversion_is_left_alone(
    admin: MongoAdmin, mongo_database: Database[dict[str, Any]]
) -> None:
    """It is written after it was read and before it is converted; the next batch converts what is left."""
    jobs = mongo_database.flink_jobs
    old = {"submitted_at": "2025-11-01T12:00:00", "end_time": "2025-11-01T12:00:00"}
    jobs.insert_many([{"job_id": f"old_{n}", **old} for n in range(BATCH + 2)])
    batches = admin.convert_dates(dry_run=False)
    first = next(batches)
    assert (first.records, first.converted, first.values, first.conflicts) == (BATCH, BATCH, 2 * BATCH, 0)
    read = list(jobs.find({"submitted_at": old["submitted_at"]}))
    jobs.update_one({"_id": read[0]["_id"]}, {"$set": {"end_time": NOON.replace(hour=13)}})
    last = admin._convert(read, dry_run=False)
    assert (last.records, last.converted, last.conflicts) == (2, 1, 1)
    kept = jobs.find_one({"_id": read[0]["_id"]}) or {}
    assert (kept["submitted_at"], kept["end_time"]) == (old["submitted_at"], NOON.replace(hour=13))
    assert [batch.converted for batch in batches] == [1]
    assert (jobs.find_one({"_id": read[0]["_id"]}) or {})["submitted_at"] == NOON
    assert admin.count_text_dates() == 0
