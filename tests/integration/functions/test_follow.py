"""The sync function in follow mode: calls of a schedule, and all other calls in parallel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call
from tests.integration.functions.test_sync import followed
from tests.support.flink_rest_server import Job
from tests.support.records import Document
from tests.support.waiting import until

SECONDS = 30.0
LATEST_SECOND = 35
SCHEDULED = {"X-CloudScheduler": "true"}
RUNNING_ID, OTHER_ID = "1" * 32, "2" * 32
START, END = 1_795_335_824_614, 1_795_335_841_979


@pytest.fixture
def following(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """A function that may be ended."""
    with FunctionServer("sync", {**settings, "SYNC_FOLLOW_SECONDS": "2"}) as running:
        yield running


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def begin(threads: ThreadPoolExecutor, server: FunctionServer, world: World) -> Future[httpx.Response]:
    """A schedule's call that has made a tick; its minute leaves enough time for the test."""
    until(lambda: datetime.now(UTC).second < LATEST_SECOND, timeout_seconds=SECONDS, what="a new minute")
    called = threads.submit(call, server, headers=SCHEDULED)
    until(lambda: ticks(world), timeout_seconds=SECONDS, what="a tick")
    return called


def ticks(world: World) -> int:
    return sum(run["ticks"] for run in world.database["sync_runs"].find({"ticks": {"$exists": True}}))


def lease(world: World) -> Document:
    found = world.database["leases"].find_one({"_id": "sync"})
    assert found is not None
    return found


def test_a_scheduled_call_repeats_passes_until_sigterm(
    following: FunctionServer, world: World, threads: ThreadPoolExecutor
) -> None:
    world.add_record("etl_1", **followed(RUNNING_ID))
    world.flink.jobs.append(Job(id=RUNNING_ID, state="RUNNING", start=START))
    called = begin(threads, following, world)
    world.flink.jobs[:] = [Job(id=RUNNING_ID, state="FINISHED", start=START, end=END)]
    until(
        lambda: world.record("etl_1")["status"] == "FINISHED",
        timeout_seconds=SECONDS,
        what="the end of etl_1",
    )
    assert not called.done()
    os.kill(following.process.pid, signal.SIGTERM)
    answer = called.result(SECONDS)
    assert answer.status_code == 200
    report = answer.json()
    assert (report["skipped"], report["changed"].get("FINISHED")) == (False, 1)
    assert report["last_complete_at"] >= report["started_at"]
    assert lease(world)["holder"] is None
    runs = list(world.database["sync_runs"].find())
    assert sum(run["ticks"] for run in runs) >= report["ticks"]
    assert all(run["last_complete_at"] for run in runs)


def test_sync_now_answers_while_another_instance_follows(
    following: FunctionServer, sync: FunctionServer, world: World, threads: ThreadPoolExecutor
) -> None:
    called = begin(threads, following, world)
    world.add_record("etl_2", **followed(OTHER_ID))
    world.flink.jobs.append(Job(id=OTHER_ID, state="FINISHED", start=START, end=END))
    answer = call(sync, json={"job_ids": ["etl_2"]})
    assert (answer.status_code, answer.json()["skipped"]) == (200, False)
    assert world.record("etl_2")["status"] == "FINISHED"
    assert not called.done()
    os.kill(following.process.pid, signal.SIGTERM)
    called.result(SECONDS)


def test_a_pass_of_the_safety_net_answers_skipped_while_another_follows(
    following: FunctionServer, sync: FunctionServer, world: World, threads: ThreadPoolExecutor
) -> None:
    called = begin(threads, following, world)
    assert call(sync).json()["skipped"] is True
    os.kill(following.process.pid, signal.SIGTERM)
    called.result(SECONDS)
    assert call(sync).json()["skipped"] is False


def test_a_call_that_no_schedule_sent_is_one_pass(following: FunctionServer, world: World) -> None:
    report = call(following).json()
    assert (report["complete"], "ticks" in report) == (True, False)
    [run] = world.database["sync_runs"].find()
    assert "ticks" not in run


def test_a_scheduled_call_waits_for_the_lease_and_then_answers_skipped(
    following: FunctionServer, sync: FunctionServer, world: World
) -> None:
    call(sync)  # makes the lease
    held = {"$set": {"holder": "another"}, "$currentDate": {"expires_at": True}}
    world.database["leases"].update_one({"_id": "sync"}, held)
    ahead = [{"$set": {"expires_at": {"$add": ["$$NOW", 60_000]}}}]
    world.database["leases"].update_one({"_id": "sync"}, ahead)
    report = call(following, headers=SCHEDULED).json()
    assert report["skipped"] is True
    assert ticks(world) == 0
