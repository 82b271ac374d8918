"""`indexes`: on a collection as the old platform left it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from flinkjobs.adapters.mongo.documents import read_record
from flinkjobs.domain.records import JobRecord
from local.mongodb import MongoServer
from tests.integration.cli.conftest import COMMAND, Run, one_line, own_environment
from tests.support.terminal import Terminal

OLD: tuple[dict[str, Any], ...] = (
    {"job_id": "old_1", "status": "FINISHED", "submitted_at": "2025-11-01T12:00:00", "duration": 30},
    {
        "job_id": "old_2",
        "status": "RUNNING",
        "submitted_at": "2025-11-01T12:00:00.123987",
        "start_time": "2025-11-01T20:00:30.5+08:00",
        "end_time": None,
        "flink_job_id": "a" * 32,
    },
    {
        "job_id": "mixed_1",
        "status": "FAILED",
        "submitted_at": datetime(2025, 11, 1, 12, tzinfo=UTC),
        "end_time": "2025-11-01T12:01:00Z",
        "updated_at": "2025-11-01",
    },
)
"""What a record of the old platform looks like: texts, with and without microseconds and a zone."""

MILLISECONDS = {
    "old_1": {"submitted_at": datetime(2025, 11, 1, 12, tzinfo=UTC)},
    "old_2": {
        "submitted_at": datetime(2025, 11, 1, 12, 0, 0, 123_000, tzinfo=UTC),
        "start_time": datetime(2025, 11, 1, 12, 0, 30, 500_000, tzinfo=UTC),
    },
    "mixed_1": {
        "end_time": datetime(2025, 11, 1, 12, 1, tzinfo=UTC),
        "updated_at": datetime(2025, 11, 1, tzinfo=UTC),
    },
}
"""What these texts mean."""

NO_DATES: tuple[dict[str, Any], ...] = (
    {"job_id": "bad_1", "status": "LOST", "submitted_at": "yesterday", "start_time": "2025-11-01T12:00:00"},
    {"job_id": "bad_2", "status": "FINISHED", "submitted_at": "0001-01-01T00:00:00+23:00"},
)


@pytest.fixture
def environ(mongo_server: MongoServer, mongo_database: Database[dict[str, Any]]) -> Mapping[str, str]:
    return {"MONGODB_URI": mongo_server.uri, "MONGODB_DATABASE": mongo_database.name}


@pytest.fixture
def old(mongo_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """With an index of the old platform's own."""
    mongo_database.flink_jobs.insert_many([dict(document) for document in OLD])
    mongo_database.flink_jobs.create_index("status")
    return mongo_database


def stored(database: Database[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {document["job_id"]: document for document in database.flink_jobs.find({})}


def test_dates_become_what_was_read_from_their_texts(
    run: Run, environ: Mapping[str, str], old: Database[dict[str, Any]]
) -> None:
    before = stored(old)
    ran = run("indexes", "--json", environ=environ)
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["records"], ran.json["converted"], ran.json["values"]) == (3, 3, 5)
    after = stored(old)
    for job_id, dates in MILLISECONDS.items():
        assert after[job_id] == before[job_id] | dates
        record = read_record(after[job_id])
        assert isinstance(record, JobRecord)
        assert record == read_record(before[job_id])


def test_a_second_run_changes_nothing(
    run: Run, environ: Mapping[str, str], old: Database[dict[str, Any]]
) -> None:
    first = run("indexes", "--json", environ=environ)
    assert "submitted_at_-1" in first.json["created"]
    assert "status_1" not in first.json["created"]
    after = stored(old)
    second = run("indexes", environ=environ)
    assert second.code == 0
    assert second.out.splitlines() == [
        "No index is missing.",
        "0 of 0 records with dates as text converted.",
    ]
    assert stored(old) == after
    indexes = old.flink_jobs.index_information()
    assert {"job_id_1", "flink_job_id_1", "submitted_at_-1", "status_1"} <= set(indexes)
    assert indexes["job_id_1"]["unique"]


def test_a_dry_run_changes_nothing(
    run: Run, environ: Mapping[str, str], old: Database[dict[str, Any]]
) -> None:
    before = stored(old)
    ran = run("indexes", "--dry-run", environ=environ)
    assert ran.code == 0
    assert "index submitted_at_-1: would be created" in ran.out
    assert "3 of 3 records with dates as text would be converted." in ran.out
    assert stored(old) == before
    assert set(old.flink_jobs.index_information()) == {"_id_", "status_1"}


def test_a_value_that_is_no_date_is_reported_and_left(
    run: Run, environ: Mapping[str, str], old: Database[dict[str, Any]]
) -> None:
    old.flink_jobs.insert_many([dict(document) for document in NO_DATES])
    ran = run("indexes", environ=environ)
    assert ran.code == 1
    assert "2 values left as found, being no date:" in ran.out
    assert [line.split()[:3] for line in ran.out.splitlines()[-2:]] == [
        ["bad_1", "submitted_at", "yesterday"],
        ["bad_2", "submitted_at", "0001-01-01T00:00:00+23:00"],
    ]
    after = stored(old)
    assert (after["bad_1"]["submitted_at"], after["bad_2"]["submitted_at"]) == (
        "yesterday",
        "0001-01-01T00:00:00+23:00",
    )
    assert after["bad_1"]["start_time"] == datetime(2025, 11, 1, 12, tzinfo=UTC)
    again = run("indexes", "--json", environ=environ)
    assert (again.code, again.json["records"], again.json["converted"]) == (1, 2, 0)


def test_many_records_are_converted_in_batches_with_a_progress_bar(
    tmp_path: Path, environ: Mapping[str, str], mongo_database: Database[dict[str, Any]]
) -> None:
    count = 1_203
    documents = [{"job_id": f"o_{n}", "submitted_at": "2025-11-01T12:00:00"} for n in range(count)]
    mongo_database.flink_jobs.insert_many(documents)
    env = {**own_environment(tmp_path), **environ}
    with Terminal([*COMMAND, "indexes"], env=env, cwd=tmp_path) as terminal:
        assert terminal.wait() == 0
        assert f"{count}/{count}" in terminal.text
        assert f"{count} of {count} records with dates as text converted." in terminal.text
    assert mongo_database.flink_jobs.count_documents({"submitted_at": {"$type": "date"}}) == count


def test_a_value_that_occurs_twice_is_refused_by_name(
    run: Run, environ: Mapping[str, str], old: Database[dict[str, Any]]
) -> None:
    old.flink_jobs.insert_one(dict(OLD[0]))
    ran = run("indexes", environ=environ)
    assert ran.code == 3
    assert "old_1" in one_line(ran.err)
    assert "index submitted_at_-1: created" in ran.out
    assert "index job_id_1: created" not in ran.out
    assert "4 of 4 records" in ran.out, "the dates were converted all the same"


def test_a_database_that_does_not_answer_is_unavailable(run: Run, nowhere: str) -> None:
    uri = f"mongodb://{nowhere.removeprefix('http://')}/"
    ran = run("indexes", environ={"MONGODB_URI": uri})
    assert (ran.code, ran.out) == (5, "")
    assert "MONGODB_URI" in one_line(ran.err)
