"""A second JobManager takes over, and no status moves: real Flink with ZooKeeper, passes without a pause."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from local.flink.cluster import ask
from local.functions import FunctionServer
from local.stack import Stack
from tests.e2e.console import Document, submit, sync, sync_by
from tests.support.flink_with_standby import FlinkWithStandby
from tests.support.waiting import until

SUBMIT_SECONDS = 120.0
TAKEOVER_SECONDS = 180.0

ENDLESS = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.get_config().set("execution.checkpointing.interval", "1 s")
tables.execute_sql("CREATE TABLE endless (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='1')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM endless")
"""


@pytest.fixture(scope="module")
def flink() -> Iterator[FlinkWithStandby]:
    with FlinkWithStandby() as running:
        yield running


@pytest.fixture(scope="module")
def takeover_stack(flink: FlinkWithStandby) -> Iterator[Stack]:
    """Its sync asks the JobManager that leads at first. A job that is missing for a second is LOST."""
    environ = {"FLINK_REST_URL": flink.cluster.rest_url}
    with Stack(environ=environ, settings={"LOST_AFTER_SECONDS": "1"}) as running:
        yield running


@pytest.fixture(scope="module")
def records(takeover_stack: Stack) -> Iterator[Collection[Document]]:
    client: MongoClient[Document] = MongoClient(takeover_stack.mongodb_uri, tz_aware=True)
    with client:
        yield client["lemo_recommender"].flink_jobs


def test_a_running_job_stays_running_while_another_jobmanager_takes_over(
    flink: FlinkWithStandby, takeover_stack: Stack, records: Collection[Document]
) -> None:
    stack = takeover_stack
    accepted = submit(stack, template_id="takeover", script={"inline": ENDLESS})
    own = {"job_id": accepted["job_id"]}

    def running() -> Document | None:
        sync(stack)
        return records.find_one({**own, "status": "RUNNING", "submitter_done": True})

    before = until(running, timeout_seconds=SUBMIT_SECONDS, what="the record is RUNNING")
    path = f"/jobs/{before['flink_job_id']}"
    started = httpx.get(f"{flink.standby_url}{path}", timeout=10, trust_env=False).json()["start-time"]
    seen: list[Document] = []
    errors: dict[str, set[str | None]] = {"first": set(), "standby": set()}
    ask_standby = stack.function_settings | {"FLINK_REST_URL": flink.standby_url}
    with FunctionServer("sync", ask_standby) as sync_of_standby:

        def a_pass_by_each() -> None:
            for name, function in (("first", stack.functions["sync"]), ("standby", sync_of_standby)):
                errors[name].add(sync_by(function)["clusters"]["default"]["error"])
                record = records.find_one(own)
                assert record is not None
                seen.append(record)

        def is_taken_over() -> bool:
            a_pass_by_each()
            job = ask(f"{flink.standby_url}{path}")
            return job is not None and job["state"] == "RUNNING" and job["start-time"] > started

        def answers_again() -> bool:
            a_pass_by_each()
            return None in errors["first"]

        flink.cluster.kill("jobmanager")
        until(is_taken_over, timeout_seconds=TAKEOVER_SECONDS, what="the second JobManager runs the job")
        flink.cluster.start("jobmanager")
        until(answers_again, timeout_seconds=TAKEOVER_SECONDS, what="the killed JobManager answers again")
        a_pass_by_each()

    assert {record["status"] for record in seen} == {"RUNNING"}
    assert {tuple(record["flink_job_ids"]) for record in seen} == {(before["flink_job_id"],)}
    assert any("refused" in error for error in errors["first"] if error)
    assert errors["standby"] > {None}, "for a while the second JobManager could not be asked"
    assert seen[-1]["start_time"] == before["start_time"]
