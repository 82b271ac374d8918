"""Actions on a real Flink: cancel, stop, drained and not, a savepoint, what cannot be written, run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from local.stack import Stack
from tests.e2e.console import Document, submit, sync
from tests.support.waiting import until

SECONDS = 120.0
SCRIPT = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE endless (n STRING) WITH ('connector'='datagen', 'rows-per-second'='5')")
tables.execute_sql("CREATE TABLE sink (n STRING) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM endless")
"""
COUNT = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE numbers (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='20', "
                   "'fields.n.kind'='sequence', 'fields.n.start'='0', 'fields.n.end'='1000000')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='filesystem', 'path'='{sink}', "
                   "'format'='csv', 'sink.rolling-policy.rollover-interval'='1 s', "
                   "'sink.rolling-policy.check-interval'='1 s')")
tables.execute_sql("INSERT INTO sink SELECT n FROM numbers")
"""


class Jobs:
    """The jobs of one stack, and what is asked for."""

    def __init__(self, stack: Stack, records: Collection[Document], directory: Path) -> None:
        self.stack = stack
        self.records = records
        self.directory = directory

    def start(self, name: str, script: str = SCRIPT, **request: object) -> None:
        """Submits a job, and waits until all its tasks run."""
        submit(self.stack, template_id=name, script={"inline": script}, parallelism=1, **request)
        self.wait_until_it_runs(name)

    def run_again(self, name: str, **body: object) -> Document:
        """Runs it again, and waits until all its tasks run; the answer."""
        url = f"{self.stack.functions['submit'].url}/jobs/{self.record(name)['job_id']}/run-again"
        answer = httpx.post(url, json=body, timeout=60, trust_env=False)
        assert answer.status_code == 202, answer.text
        self.wait_until_it_runs(name)
        return dict(answer.json())

    def wait_until_it_runs(self, name: str) -> None:
        def runs() -> bool:
            sync(self.stack)
            record = self.record(name)
            if record["status"] != "RUNNING":
                assert record["status"] == "CREATED", record.get("reason")
                return False
            url = f"{self.stack.flink.rest_url}/jobs/{record['flink_job_id']}"
            vertices = httpx.get(url, timeout=10, trust_env=False).json()["vertices"]
            return all(vertex["status"] == "RUNNING" for vertex in vertices)

        until(runs, timeout_seconds=SECONDS, what=f"{name} runs")

    def record(self, name: str) -> Document:
        """Of its newest run."""
        found = self.records.find_one({"template_id": name}, sort={"attempt": -1})
        assert found is not None
        return found

    def act(self, name: str, kind: str, **body: object) -> Document:
        """Asks for it, and runs passes until it has ended; the action as the record has it."""
        url = f"{self.stack.functions['submit'].url}/jobs/{self.record(name)['job_id']}/{kind}"
        answer = httpx.post(url, json=body, timeout=60, trust_env=False)
        assert answer.status_code == 202, answer.text
        id_ = answer.json()["action"]["id"]

        def action() -> Document:
            [found] = [each for each in self.record(name)["actions"] if each["id"] == id_]
            return dict(found)

        def ended() -> bool:
            assert not sync(self.stack)["errors"]
            return action()["state"] in ("done", "failed")

        until(ended, timeout_seconds=SECONDS, what=f"{kind} of {name} has ended")
        return action()

    def wait_for(self, name: str, status: str) -> None:
        def is_so() -> bool:
            sync(self.stack)
            return bool(self.record(name)["status"] == status)

        until(is_so, timeout_seconds=SECONDS, what=f"{name} is {status}")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    with Stack(environ={}) as stack:
        client: MongoClient[Document] = MongoClient(stack.mongodb_uri, tz_aware=True)
        with client:
            yield Jobs(stack, client["lemo_recommender"].flink_jobs, tmp_path_factory.mktemp("actions"))


def is_savepoint(path: str) -> bool:
    """Whether a savepoint lies there."""
    return (Path(urlsplit(path).path) / "_metadata").is_file()


def test_cancel(jobs: Jobs) -> None:
    jobs.start("cancelled")
    assert jobs.act("cancelled", "cancel")["state"] == "done"
    assert jobs.record("cancelled")["status"] == "CANCELLED"


def test_savepoint_then_stop(jobs: Jobs) -> None:
    """The job goes on after a savepoint, and after a stop whose directory cannot be written."""
    jobs.start("stopped")
    directory = (jobs.directory / "savepoints").as_uri()
    alone = jobs.act("stopped", "savepoint", savepoint_directory=directory)
    assert (alone["state"], is_savepoint(alone["savepoint_path"])) == ("done", True)
    (jobs.directory / "file").touch()
    failed = jobs.act("stopped", "stop", savepoint_directory=(jobs.directory / "file" / "below").as_uri())
    assert (failed["state"], failed["code"]) == ("failed", "SAVEPOINT_FAILED")
    assert "Failed to create savepoint directory" in failed["message"]
    assert jobs.record("stopped")["status"] == "RUNNING"
    done = jobs.act("stopped", "stop", savepoint_directory=directory)
    assert (done["state"], is_savepoint(done["savepoint_path"])) == ("done", True)
    assert done["savepoint_path"] != alone["savepoint_path"]
    jobs.wait_for("stopped", "FINISHED")


def test_stop_drained(jobs: Jobs) -> None:
    jobs.start("drained")
    directory = (jobs.directory / "drained").as_uri()
    done = jobs.act("drained", "stop", drain=True, savepoint_directory=directory)
    assert (done["state"], is_savepoint(done["savepoint_path"])) == ("done", True)
    jobs.wait_for("drained", "FINISHED")


@pytest.mark.timeout(900)  # three submissions, three actions
def test_run_again_from_a_savepoint_and_from_a_checkpoint(jobs: Jobs) -> None:
    """A job that counts goes on at its number: no row is missing, and none comes twice."""
    sink = jobs.directory / "counted"

    def rows() -> list[int]:
        """Numbers in the files that are complete."""
        return [int(line) for part in sink.glob("part-*") for line in part.read_text().split()]

    def wait_for_more() -> None:
        before = len(rows())
        until(lambda: len(rows()) > before, timeout_seconds=SECONDS, what="more rows")

    kept = {
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.dir": (jobs.directory / "checkpoints").as_uri(),
        "state.checkpoints.dir": (jobs.directory / "checkpoints").as_uri(),
    }
    jobs.start("counting", COUNT.format(sink=sink.as_uri()), flink_conf=kept)
    wait_for_more()
    stopped = jobs.act("counting", "stop", savepoint_directory=(jobs.directory / "counting").as_uri())
    jobs.wait_for("counting", "FINISHED")
    second = jobs.run_again("counting")
    assert (second["attempt"], second["savepoint_path"]) == (2, stopped["savepoint_path"])
    wait_for_more()
    assert jobs.act("counting", "cancel")["state"] == "done"

    def latest() -> str | None:
        sync(jobs.stack)
        state = jobs.record("counting").get("latest_state")
        return state and str(state["path"])

    checkpoint = until(latest, timeout_seconds=SECONDS, what="its latest state is known")
    third = jobs.run_again("counting")
    assert (third["run_of"], third["attempt"]) == (second["run_of"], 3)
    assert (third["savepoint_path"], "/chk-" in checkpoint) == (checkpoint, True)
    wait_for_more()
    jobs.act("counting", "stop", savepoint_directory=(jobs.directory / "counting").as_uri())
    numbers = sorted(rows())
    assert numbers == list(range(len(numbers)))
