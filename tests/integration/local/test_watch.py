"""A running stack outlives parts that stop answering, and servers of Flink that end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.database import Database

from local.flink import FlinkCluster, ask
from local.mongodb import MongoServer
from local.watch import Watch
from tests.support.waiting import until

SECONDS = 120.0
ANSWER_SECONDS = 0.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[FlinkCluster]:
    with FlinkCluster() as running:
        yield running


@pytest.fixture
def watched(
    cluster: FlinkCluster, mongo_server: MongoServer, mongo_database: Database[dict[str, Any]]
) -> Iterator[Watch]:
    watch = Watch(
        mongodb_uri=mongo_server.uri,
        database=mongo_database.name,
        rest_url=cluster.rest_url,
        cluster=cluster,
        answer_seconds=ANSWER_SECONDS,
    )
    with watch:
        yield watch


def wait_for(line: str, watched: Watch) -> None:
    until(lambda: line in list(watched.news()), timeout_seconds=SECONDS, what=line)


def task_managers(cluster: FlinkCluster) -> set[str]:
    answer = ask(f"{cluster.rest_url}/taskmanagers") or {"taskmanagers": []}
    return {entry["id"] for entry in answer["taskmanagers"]}


def test_watch_starts_a_taskmanager_that_died_again(watched: Watch, cluster: FlinkCluster) -> None:
    before = task_managers(cluster)
    assert len(before) == 1
    cluster.servers["taskmanager"].kill()
    wait_for("Flink's taskmanager ended with exit code 137, and was started again", watched)
    until(
        lambda: task_managers(cluster) - before,
        timeout_seconds=SECONDS,
        what="another TaskManager is registered",
    )


def test_watch_reports_that_flink_does_not_answer_and_that_it_answers_again(
    watched: Watch, cluster: FlinkCluster
) -> None:
    cluster.servers["jobmanager"].pause()
    try:
        wait_for("Flink does not answer; everything else keeps running", watched)
    finally:
        cluster.servers["jobmanager"].resume()
    wait_for("Flink answers again", watched)


def test_watch_reports_the_passes_after_mongodb_was_silent(
    watched: Watch, mongo_server: MongoServer, mongo_database: Database[dict[str, Any]]
) -> None:
    run = {
        "run_id": "1",
        "started_at": datetime.now(UTC),
        "scanned": 3,
        "changed": {"RUNNING": 1},
        "errors": [],
    }
    mongo_server.pause()
    try:
        wait_for("MongoDB does not answer; everything else keeps running", watched)
    finally:
        mongo_server.resume()
    wait_for("MongoDB answers again", watched)
    mongo_database.sync_runs.insert_one(run)
    wait_for("sync scanned 3, wrote 1 RUNNING", watched)
