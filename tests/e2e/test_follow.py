"""Follow mode on the real stack: a status is a few seconds old, by Flink's own times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pymongo import MongoClient

from local.stack import DATABASE, Stack
from tests.e2e.console import Document, submit
from tests.support.waiting import until

OUTCOME_SECONDS = 180.0
FRESH = timedelta(seconds=6)


@pytest.fixture(scope="module")
def following() -> Iterator[Stack]:
    """A stack whose passes follow every two seconds; the clock of its schedules is the real one."""
    with Stack(environ={}, settings={"SYNC_FOLLOW_SECONDS": "2"}) as running:
        sync, _ = running.create_schedules()
        running.schedules.run(sync.name)  # the first minute is not waited for
        yield running


def timestamps_of_finished(stack: Stack, flink_job_id: str) -> dict[str, int]:
    """When Flink saw each state of a job, in ms. `/jobs/{id}` shows the end up to seconds late."""

    def finished() -> dict[str, int] | None:
        address = f"{stack.flink.rest_url}/jobs/{flink_job_id}"
        job = httpx.get(address, trust_env=False).raise_for_status().json()
        timestamps: dict[str, int] = job["timestamps"]
        return timestamps if job["state"] == "FINISHED" else None

    return until(finished, timeout_seconds=30, what="the job is over in Flink's details")


def test_word_count_is_seen_running_and_finished_within_six_seconds(following: Stack) -> None:
    script = {"path": "/opt/flink/examples/datastream/word_count.py"}
    job_id = submit(following, template_id="word_count", script=script)["job_id"]
    with MongoClient[Document](following.mongodb_uri, tz_aware=True) as client:
        jobs = client[DATABASE].flink_jobs

        def ended() -> Document | None:
            return jobs.find_one({"job_id": job_id, "status": "FINISHED"})

        record = until(ended, timeout_seconds=OUTCOME_SECONDS, what="the end of word_count")
    seen = {move["status"]: move["at"] for move in record["history"]}
    timestamps = timestamps_of_finished(following, record["flink_job_id"])
    happened = {
        status: datetime.fromtimestamp(timestamps[status] / 1000, UTC) for status in ("RUNNING", "FINISHED")
    }
    if happened["FINISHED"] - happened["RUNNING"] > FRESH:  # else it may end between two passes
        assert seen["RUNNING"] - happened["RUNNING"] <= FRESH
    assert seen["FINISHED"] - happened["FINISHED"] <= FRESH
