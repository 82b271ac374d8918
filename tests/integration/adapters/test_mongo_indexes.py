"""The indexes, on the real server: new, with those of the old platform, and where a value occurs twice."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.domain.errors import StoreRefusedError

Document = dict[str, Any]


@pytest.fixture
def jobs(mongo_database: Database[Document]) -> Collection[Document]:
    return mongo_database["flink_jobs"]


INDEXES = {
    "_id_": ([("_id", 1)], False),
    "status_1": ([("status", 1)], False),
    "status_1_fingerprint_1": ([("status", 1), ("fingerprint", 1)], False),
    "job_id_1": ([("job_id", 1)], True),
    "flink_job_id_1": ([("flink_job_id", 1)], False),
    "submitted_at_-1": ([("submitted_at", -1)], False),
    "flink_job_ids_1": ([("flink_job_ids", 1)], False),
    "k8s_job_name_1": ([("k8s_job_name", 1)], False),
    "idempotency_key_1": ([("idempotency_key", 1)], True),
    "list_by_time": (
        [
            *(("submitted_at", -1), ("_id", -1), ("status", 1), ("template_id", 1)),
            *(("submitted_by", 1), ("cluster", 1), ("reason.code", 1), ("duration", 1), ("flink_job_id", 1)),
            ("ended_by", 1),
        ],
        False,
    ),
    "list_by_end": ([("end_time", -1), ("_id", -1), ("status", 1)], False),
    "list_by_status": (
        [("status", 1), ("submitted_at", -1), ("_id", -1), ("reason.code", 1)],
        False,
    ),
    "list_by_template": (
        [("template_id", 1), ("submitted_at", -1), ("_id", -1), ("status", 1)],
        False,
    ),
    "list_by_template_and_status": (
        [("template_id", 1), ("status", 1), ("submitted_at", -1), ("_id", -1)],
        False,
    ),
    "list_by_owner": ([("submitted_by", 1), ("submitted_at", -1), ("_id", -1)], False),
    "job_name_1": ([("job_name", 1)], False),
    "pending_since_1": ([("pending_since", 1)], False),
    "waiting_for_1_pending_since_1": ([("waiting_for", 1), ("pending_since", 1)], False),
    "run_of_1_attempt_1": ([("run_of", 1), ("attempt", 1)], True),
    "open_action_since_1": ([("open_action_since", 1)], False),
    "list_by_health": ([("health.state", 1), ("submitted_at", -1), ("_id", -1)], False),
    "list_by_label": (
        [("label_pairs", 1), ("submitted_at", -1), ("_id", -1), ("status", 1), ("template_id", 1)],
        False,
    ),
}


def indexes(jobs: Collection[Document]) -> dict[str, tuple[list[tuple[str, int]], bool]]:
    """Fields and uniqueness of every index, by name."""
    return {
        name: (index["key"], index.get("unique", False)) for name, index in jobs.index_information().items()
    }


def test_the_indexes_exist_and_making_them_again_changes_nothing(jobs: Collection[Document]) -> None:
    for _ in range(2):
        ensure_indexes(jobs.database)
        assert indexes(jobs) == INDEXES
        for name in ("sync_runs", "cleanup_runs"):
            runs = jobs.database[name].index_information()
            assert runs["started_at_-1"]["expireAfterSeconds"] == 14 * 24 * 3600


def test_a_unique_index_is_made_in_addition_to_an_old_one_of_job_id(jobs: Collection[Document]) -> None:
    jobs.insert_one({"job_id": "etl_1"})
    jobs.create_index("job_id")
    for _ in range(2):
        ensure_indexes(jobs.database)
        expected = INDEXES | {"job_id_1": ([("job_id", 1)], False)}
        assert indexes(jobs) == expected | {"job_id_1_unique": ([("job_id", 1)], True)}
    with pytest.raises(DuplicateKeyError):
        jobs.insert_one({"job_id": "etl_1"})


def test_old_indexes_of_the_same_fields_serve_as_they_are(jobs: Collection[Document]) -> None:
    jobs.create_index("status", name="by_status")
    jobs.create_index("flink_job_id", sparse=True)
    jobs.create_index("job_id", unique=True, name="by_job_id")
    ensure_indexes(jobs.database)
    named = {name: index for name, index in INDEXES.items() if name not in ("status_1", "job_id_1")}
    assert indexes(jobs) == named | {
        "by_status": ([("status", 1)], False),
        "by_job_id": ([("job_id", 1)], True),
    }


def test_an_index_of_ours_with_the_fields_of_an_earlier_version_is_replaced(
    jobs: Collection[Document],
) -> None:
    jobs.create_index([("submitted_at", -1), ("_id", -1)], name="list_by_time")
    ensure_indexes(jobs.database)
    assert indexes(jobs) == INDEXES


def test_a_job_id_that_occurs_twice_is_reported_and_hinders_nothing_else(jobs: Collection[Document]) -> None:
    jobs.insert_many([{"job_id": "etl_1"}, {"job_id": "etl_1"}])
    jobs.create_index("job_id")
    with pytest.raises(StoreRefusedError, match=r"duplicate key error.*etl_1"):
        ensure_indexes(jobs.database)
    assert indexes(jobs) == INDEXES | {"job_id_1": ([("job_id", 1)], False)}


def test_a_lookup_by_each_of_the_users_fields_uses_an_index(jobs: Collection[Document]) -> None:
    ensure_indexes(jobs.database)
    jobs.insert_one({"job_id": "etl_1"})
    for field in ("status", "job_id", "flink_job_id", "k8s_job_name", "flink_job_ids"):
        plan = jobs.find({field: "x"}).explain()["queryPlanner"]["winningPlan"]
        assert plan["inputStage"]["indexName"] == f"{field}_1"
