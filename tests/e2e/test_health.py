"""Health of jobs on a real Flink: each problem is named, and so is its end, in short times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from local.flink.cluster import SLOTS, ask
from local.stack import Stack
from tests.e2e.console import Document, submit, sync
from tests.support.waiting import until

SECONDS = 120.0
PASSES = 50
SETTINGS = {
    "HEALTH_WINDOW_SECONDS": "20",
    "HEALTH_MAX_RESTARTS": "3",
    "HEALTH_WAIT_SECONDS": "2",
    "LOST_AFTER_SECONDS": "600",
}
HEALTHY, UNHEALTHY = "healthy", "unhealthy"
FOREVER = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2147483647",
    "restart-strategy.fixed-delay.delay": "500 ms",
}
SCRIPT = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE endless (n STRING) WITH ('connector'='datagen', 'rows-per-second'='5')")
tables.execute_sql("CREATE TABLE sink (n STRING) WITH ({sink})")
tables.execute_sql("INSERT INTO sink SELECT n FROM endless")
"""
BLACKHOLE = SCRIPT.format(sink="'connector'='blackhole'")


class Jobs:
    """The jobs of one stack, submitted and watched by passes that the test runs."""

    def __init__(self, stack: Stack, records: Collection[Document], directory: Path) -> None:
        self.stack = stack
        self.records = records
        self.directory = directory

    def submit(self, name: str, script: str, **request: object) -> None:
        submit(self.stack, template_id=name, script={"inline": script}, **request)

    def record(self, name: str) -> Document:
        found = self.records.find_one({"template_id": name})
        assert found is not None
        return found

    def wait_for(self, name: str, state: str, *codes: str) -> None:
        """Passes until the health of a job is this; its status is RUNNING all the time."""

        def is_so() -> bool:
            report = sync(self.stack)
            assert not report["errors"]
            record = self.record(name)
            health = record.get("health") or {"state": HEALTHY, "code": None}
            if record["status"] != "RUNNING":
                assert record["status"] == "CREATED"
                return False
            return health["state"] == state and (not codes or health["code"] in codes)

        until(is_so, timeout_seconds=SECONDS, what=f"{name} is {state} {codes}")

    def states_of_passes(self, name: str) -> list[str]:
        """The health of a job after each of `PASSES` passes."""
        states = []
        for _ in range(PASSES):
            assert not sync(self.stack)["errors"]
            states.append((self.record(name).get("health") or {"state": HEALTHY})["state"])
        return states

    def cancel(self, name: str) -> None:
        path = f"/jobs/{self.record(name)['flink_job_id']}?mode=cancel"
        httpx.patch(f"{self.stack.flink.rest_url}{path}", timeout=10, trust_env=False).raise_for_status()

    def checkpoints(self, name: str) -> int:
        counts = ask(f"{self.stack.flink.rest_url}/jobs/{self.record(name)['flink_job_id']}/checkpoints")
        return counts["counts"]["completed"] if counts else 0


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with Stack(environ={}, settings=SETTINGS) as stack:
        client: MongoClient[Document] = MongoClient(stack.mongodb_uri, tz_aware=True)
        with client:
            yield Jobs(stack, client["lemo_recommender"].flink_jobs, tmp_path_factory.mktemp("health"))


def test_restarts_and_failing_checkpoints_are_named_and_their_end_is(jobs: Jobs) -> None:
    """A sink and a checkpoint directory that are files cannot be written; as directories they can."""
    sink, states = jobs.directory / "sink", jobs.directory / "states"
    sink.touch()
    states.mkdir()
    files = f"'connector'='filesystem', 'path'='{sink.as_uri()}', 'format'='raw'"
    jobs.submit("looping", SCRIPT.format(sink=files), flink_conf=FOREVER)
    checkpointing = {
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.tolerable-failed-checkpoints": "1000000",
        "execution.checkpointing.dir": states.as_uri(),
        "state.checkpoints.dir": states.as_uri(),
    }
    jobs.submit("checkpointing", BLACKHOLE, flink_conf=checkpointing)
    jobs.wait_for("checkpointing", HEALTHY)
    until(lambda: jobs.checkpoints("checkpointing") > 0, timeout_seconds=SECONDS, what="a checkpoint")
    assert jobs.states_of_passes("checkpointing") == [HEALTHY] * PASSES
    away = states.rename(jobs.directory / "away")
    states.touch()
    jobs.wait_for("looping", UNHEALTHY, "RESTARTING")
    jobs.wait_for("checkpointing", UNHEALTHY, "CHECKPOINTS_FAILING")
    assert "sink" in jobs.record("looping")["health"]["message"]
    sink.unlink()
    states.unlink()
    away.rename(states)
    jobs.wait_for("checkpointing", HEALTHY)
    jobs.wait_for("looping", HEALTHY)


def test_missing_slots_and_a_taskmanager_that_is_away_are_named_and_their_end_is(jobs: Jobs) -> None:
    jobs.submit("wide", BLACKHOLE, parallelism=SLOTS, flink_conf=FOREVER)
    jobs.wait_for("wide", UNHEALTHY, "WAITING_FOR_SLOTS")
    jobs.cancel("looping")
    jobs.cancel("checkpointing")
    jobs.wait_for("wide", HEALTHY)
    jobs.stack.flink_cluster.stop("taskmanager")
    jobs.wait_for("wide", UNHEALTHY, "WAITING_FOR_SLOTS")
    jobs.stack.flink_cluster.start("taskmanager")
    jobs.wait_for("wide", HEALTHY)
    ended = jobs.record("checkpointing")
    assert (ended["status"], ended["health"], ended.get("latest_state")) == ("CANCELLED", None, None)
