"""Actions on a real Flink: cancel, stop, drained and not, a savepoint alone, and a stop that cannot write."""

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


class Jobs:
    """The jobs of one stack, and what is asked for."""

    def __init__(self, stack: Stack, records: Collection[Document], directory: Path) -> None:
        self.stack = stack
        self.records = records
        self.directory = directory

    def start(self, name: str) -> None:
        """Submits a job, and waits until all its tasks run."""
        submit(self.stack, template_id=name, script={"inline": SCRIPT}, parallelism=1)

        def runs() -> bool:
            sync(self.stack)
            record = self.record(name)
            if record["status"] != "RUNNING":
                return False
            url = f"{self.stack.flink.rest_url}/jobs/{record['flink_job_id']}"
            vertices = httpx.get(url, timeout=10, trust_env=False).json()["vertices"]
            return all(vertex["status"] == "RUNNING" for vertex in vertices)

        until(runs, timeout_seconds=SECONDS, what=f"{name} runs")

    def record(self, name: str) -> Document:
        found = self.records.find_one({"template_id": name})
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
