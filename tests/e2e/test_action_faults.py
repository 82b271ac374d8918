"""Actions whose savepoint is slow, while Flink forgets results, loses its TaskManager, and its JobManager.

One job, whose Python function waits while the file `closed` exists: no barrier passes it, so a savepoint
takes as long as the test wants. Each trigger is seen in Flink's own history of checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from flinkjobs.domain.actions import UNKNOWN_FOR, UNKNOWN_PASSES
from local.flink.cluster import ask
from local.functions import FunctionServer
from local.stack import Stack
from tests.e2e.console import Document, submit, sync, sync_by
from tests.integration.faults.table import DOCUMENT, read
from tests.support.flink_with_standby import FlinkWithStandby
from tests.support.waiting import until

SECONDS = 180.0
PASSES = UNKNOWN_PASSES + 2
"""More than after which Flink may be said to know nothing of an action."""
RESULTS_KEPT = "4 s"
"""How long Flink keeps the result of a savepoint; 5 minutes by default."""

GATED = """
import pathlib
import time
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import udf

closed, waiting = pathlib.Path("{closed}"), pathlib.Path("{waiting}")

@udf(result_type=DataTypes.BIGINT())
def gated(n):
    while closed.exists():
        waiting.touch()
        time.sleep(0.1)
    return n

tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.get_config().set("python.fn-execution.bundle.time", "100")
tables.create_temporary_function("gated", gated)
tables.execute_sql("CREATE TABLE endless (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='5')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT gated(n) FROM endless")
"""
ENDS = {row.id: row.cells["ends"] for row in read(DOCUMENT.read_text(encoding="utf-8"), "fault on the way")}
RESTARTS = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "1000",
    "restart-strategy.fixed-delay.delay": "1 s",
}


class Gate:
    """The files that hold the job's function up."""

    def __init__(self, directory: Path) -> None:
        self.closed = directory / "closed"
        self.waiting = directory / "waiting"

    def close(self) -> None:
        """Returns once a row waits: no barrier passes from then on."""
        self.waiting.unlink(missing_ok=True)
        self.closed.touch()
        until(self.waiting.exists, timeout_seconds=SECONDS, what="a row waits")

    def open(self) -> None:
        self.closed.unlink(missing_ok=True)


class Jobs:
    """The gated job, its record, and what is asked for; `sync` may be that of the second JobManager."""

    def __init__(
        self, flink: FlinkWithStandby, stack: Stack, records: Collection[Document], gate: Gate
    ) -> None:
        self.flink = flink
        self.stack = stack
        self.sync: FunctionServer = stack.functions["sync"]
        self.rest_url = flink.cluster.rest_url
        self.records = records
        self.gate = gate
        self.directory = gate.closed.parent / "savepoints"

    def start(self) -> None:
        script = GATED.format(closed=self.gate.closed, waiting=self.gate.waiting)
        submit(self.stack, template_id="gated", script={"inline": script}, parallelism=1, flink_conf=RESTARTS)
        self.wait_until_it_runs()

    def wait_until_it_runs(self) -> None:
        def runs() -> bool:
            sync_by(self.sync)
            record = self.record()
            if record["status"] != "RUNNING":
                return False
            job = ask(f"{self.rest_url}/jobs/{record['flink_job_id']}")
            return job is not None and all(each["status"] == "RUNNING" for each in job["vertices"])

        until(runs, timeout_seconds=SECONDS, what="the job runs")

    def record(self) -> Document:
        [found] = self.records.find({"template_id": "gated"})
        return dict(found)

    def request(self, kind: str) -> str:
        """Asks for it, and sends it by a pass; the id of the action."""
        url = f"{self.stack.functions['submit'].url}/jobs/{self.record()['job_id']}/{kind}"
        answer = httpx.post(
            url, json={"savepoint_directory": self.directory.as_uri()}, timeout=60, trust_env=False
        )
        assert answer.status_code == 202, answer.text
        id_ = str(answer.json()["action"]["id"])
        sync_by(self.sync)
        assert self.action(id_)["state"] == "sent"
        return id_

    def action(self, id_: str) -> Document:
        [found] = [each for each in self.record()["actions"] if each["id"] == id_]
        return dict(found)

    def ended(self, id_: str) -> Document:
        """The action, once passes have ended it."""

        def is_over() -> bool:
            sync_by(self.sync)
            return self.action(id_)["state"] in ("done", "failed")

        until(is_over, timeout_seconds=SECONDS, what="the action has ended")
        return self.action(id_)

    def savepoints(self) -> list[str]:
        """The states of all savepoints of the job that this JobManager knows."""
        found = ask(f"{self.rest_url}/jobs/{self.record()['flink_job_id']}/checkpoints") or {"history": []}
        return [each["status"] for each in found["history"] if each["is_savepoint"]]

    def is_forgotten(self, id_: str) -> bool:
        """Whether Flink has no result of this action any more."""
        url = f"{self.rest_url}/jobs/{self.record()['flink_job_id']}/savepoints/{id_}"
        return httpx.get(url, timeout=10, trust_env=False).status_code == 404


@pytest.fixture(scope="module")
def flink() -> Iterator[FlinkWithStandby]:
    with FlinkWithStandby({"rest.async.store-duration": RESULTS_KEPT}) as running:
        yield running


@pytest.fixture(scope="module")
def jobs(flink: FlinkWithStandby, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    gate = Gate(tmp_path_factory.mktemp("gate"))
    with Stack(environ={"FLINK_REST_URL": flink.cluster.rest_url}) as stack:
        client: MongoClient[Document] = MongoClient(stack.mongodb_uri, tz_aware=True)
        with client:
            found = Jobs(flink, stack, client["lemo_recommender"].flink_jobs, gate)
            found.start()
            yield found
            gate.open()


def outcome(action: Document) -> str:
    """As the page has it."""
    return " ".join(filter(None, (action["state"], action["code"])))


def test_a_savepoint_slower_than_three_passes_whose_result_is_forgotten(jobs: Jobs) -> None:
    """Flink's history of checkpoints shows that it was made."""
    jobs.gate.close()
    id_ = jobs.request("savepoint")
    for _ in range(PASSES):
        sync(jobs.stack)
    assert jobs.action(id_)["state"] == "sent"
    until(lambda: jobs.savepoints() == ["IN_PROGRESS"], timeout_seconds=SECONDS, what="it is being made")
    jobs.gate.open()
    until(lambda: jobs.savepoints() == ["COMPLETED"], timeout_seconds=SECONDS, what="the savepoint is made")
    until(lambda: jobs.is_forgotten(id_), timeout_seconds=SECONDS, what="Flink has forgotten its result")
    done = jobs.ended(id_)
    assert outcome(done) == ENDS["slow"]
    assert (Path(urlsplit(done["savepoint_path"]).path) / "_metadata").is_file()
    assert (jobs.record()["status"], jobs.savepoints()) == ("RUNNING", ["COMPLETED"])


def test_a_taskmanager_is_killed_in_the_middle_of_a_stop(jobs: Jobs) -> None:
    """The stop fails with Flink's cause, and the job goes on where there is a TaskManager again."""
    before = jobs.savepoints()
    jobs.gate.close()
    id_ = jobs.request("stop")
    begun = ["IN_PROGRESS", *before]
    until(lambda: jobs.savepoints() == begun, timeout_seconds=SECONDS, what="its savepoint is being made")
    jobs.flink.cluster.kill("taskmanager")
    failed = jobs.ended(id_)
    assert (outcome(failed), failed["savepoint_path"]) == (ENDS["taskmanager"], None)
    assert failed["message"]
    jobs.gate.open()
    jobs.flink.cluster.start("taskmanager")
    jobs.wait_until_it_runs()
    assert jobs.savepoints() == ["FAILED", *before]
    assert jobs.record()["ended_by"] is None


def test_a_jobmanager_takes_over_in_the_middle_of_a_stop(jobs: Jobs) -> None:
    """The new one knows nothing of it: its outcome is unknown, the job goes on, and nothing is sent again."""
    jobs.gate.close()
    id_ = jobs.request("stop")
    until(
        lambda: "IN_PROGRESS" in jobs.savepoints(),
        timeout_seconds=SECONDS,
        what="its savepoint is being made",
    )
    path = f"/jobs/{jobs.record()['flink_job_id']}"
    started = (ask(f"{jobs.rest_url}{path}") or {})["start-time"]
    jobs.flink.cluster.kill("jobmanager")
    ask_standby = jobs.stack.function_settings | {"FLINK_REST_URL": jobs.flink.standby_url}
    with FunctionServer("sync", ask_standby) as jobs.sync:
        jobs.rest_url = jobs.flink.standby_url
        jobs.gate.open()

        def is_taken_over() -> bool:
            job = ask(f"{jobs.rest_url}{path}")
            return bool(job and job["state"] == "RUNNING" and job["start-time"] > started)

        def is_unknown() -> bool:
            sync_by(jobs.sync)
            return bool(jobs.action(id_)["unknown_passes"] >= UNKNOWN_PASSES)

        until(is_taken_over, timeout_seconds=SECONDS, what="the second JobManager runs the job")
        until(is_unknown, timeout_seconds=SECONDS, what="passes have found that Flink does not know of it")
        assert jobs.action(id_)["state"] == "sent", "it takes a minute too"
        kept = jobs.action(id_)["unknown_since"] - UNKNOWN_FOR - timedelta(seconds=1)
        mine = {"actions.id": id_}
        jobs.records.update_one(
            mine, {"$set": {"actions.$.unknown_since": kept}}
        )  # as if it had begun earlier
        failed = jobs.ended(id_)
        assert outcome(failed) == ENDS["jobmanager"]
        sync_by(jobs.sync)
        assert (jobs.record()["status"], list(jobs.savepoints())) == ("RUNNING", [])
