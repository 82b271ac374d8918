"""`stats rebuild`: sums, compares, and says what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from local.mongodb import MongoServer
from tests.integration.cli.conftest import Run

DAY = datetime(2025, 11, 1, tzinfo=UTC)


@pytest.fixture
def environ(mongo_server: MongoServer, mongo_database: Database[dict[str, Any]]) -> Mapping[str, str]:
    for number in range(3):
        at = DAY + timedelta(days=number, hours=1)
        record = {"job_id": f"etl_{number}", "status": "FINISHED", "submitted_at": at, "duration": 1.5}
        mongo_database.flink_jobs.insert_one(record)
    return {"MONGODB_URI": mongo_server.uri, "MONGODB_DATABASE": mongo_database.name}


def report(days: int, **fields: Any) -> dict[str, Any]:
    return {"dry_run": False, "check": False, "days": days, "different": [], "conflicts": []} | fields


def test_days_are_summed_and_then_are_as_their_records(
    run: Run, environ: Mapping[str, str], mongo_database: Database[dict[str, Any]]
) -> None:
    assert run("stats", "rebuild", "--dry-run", "--json", environ=environ).json == report(3, dry_run=True)
    assert mongo_database.job_stats.count_documents({}) == 0
    different = ["2025-11-01", "2025-11-02", "2025-11-03"]
    ran = run("stats", "rebuild", "--check", "--json", environ=environ)
    assert (ran.code, ran.json) == (1, report(3, check=True, different=different))
    ran = run("stats", "rebuild", environ=environ)
    assert (ran.code, ran.out) == (0, "3 days summed.\n")
    assert run("stats", "rebuild", "--check", "--json", environ=environ).json == report(3, check=True)
    assert run("stats", "rebuild", "--dry-run", "--json", environ=environ).json == report(0, dry_run=True)


def test_a_day_that_differs_is_named(
    run: Run, environ: Mapping[str, str], mongo_database: Database[dict[str, Any]]
) -> None:
    run("stats", "rebuild", environ=environ)
    mongo_database.flink_jobs.update_one({"job_id": "etl_1"}, {"$set": {"duration": 2.5}})
    ran = run("stats", "rebuild", "--check", environ=environ)
    assert (ran.code, ran.out) == (1, "3 days compared.\nNot as their records: 2025-11-02\n")
