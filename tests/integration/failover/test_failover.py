"""A replica set under the functions: its primary is killed, and its secondaries answer the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pymongo import MongoClient, WriteConcern

from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from tests.integration.failover.storm import rage
from tests.support.records import new_record
from tests.support.replica_set import ReplicaSet
from tests.support.waiting import until

KILLS = 1
"""`python -m tests.integration.failover.storm --kills 10` goes on for longer."""


@pytest.fixture(scope="module")
def replica_set() -> Iterator[ReplicaSet]:
    with ReplicaSet() as running:
        yield running


@pytest.mark.timeout(300)
def test_no_acknowledged_submission_is_lost_and_no_status_wrong_when_the_primary_is_killed(
    replica_set: ReplicaSet, kubernetes_double: KubernetesDouble
) -> None:
    seen = rage(replica_set, kubernetes_double, kills=KILLS)
    assert len(seen.acknowledged) > 2 * KILLS
    assert sum(seen.hit.values()) > 0, "no function was at work when the primary was killed"


def test_the_page_says_when_a_secondary_answers_which_may_be_behind(replica_set: ReplicaSet) -> None:
    """Both secondaries stand still, so that they are behind; a page of the primary is not."""
    urls = {False: replica_set.uri, True: f"{replica_set.uri}&readPreference=secondaryPreferred"}
    settings = {
        "MONGODB_DATABASE": "staleness",
        "FLINK_REST_URL": "http://127.0.0.1:9",
        "K8S_AUTH": "incluster",
    }
    record = new_record("etl_1", datetime(2026, 11, 1, tzinfo=UTC))

    def ask(page: FunctionServer) -> tuple[bool, list[str]]:
        answer: dict[str, Any] = httpx.get(f"{page.url}/api/jobs", timeout=60, trust_env=False).json()
        return answer["from_secondary"], [job["status"] for job in answer["jobs"]]

    with ExitStack() as stack:
        client = stack.enter_context(MongoClient[dict[str, Any]](replica_set.uri))
        jobs = client["staleness"]["flink_jobs"]
        jobs.with_options(write_concern=WriteConcern(w=3)).insert_one(record)
        pages = {
            is_secondary: stack.enter_context(FunctionServer("jobs", {**settings, "MONGODB_URI": uri}))
            for is_secondary, uri in urls.items()
        }
        with replica_set.secondaries_behind():
            change = {"$set": {"status": "CANCELLED"}}
            jobs.with_options(write_concern=WriteConcern(w=1)).update_one({"job_id": "etl_1"}, change)
            assert ask(pages[False]) == (False, ["CANCELLED"])
            assert ask(pages[True]) == (True, ["CREATED"])
        until(lambda: ask(pages[True]) == (True, ["CANCELLED"]), timeout_seconds=60, what="the change")
