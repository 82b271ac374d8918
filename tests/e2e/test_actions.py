"""Actions on a real Flink: cancel, stop, drained and not, a savepoint, what cannot be written, run again.

One job that counts goes from test to test, always on at its number: no row may be missing, none come twice.
"""

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


class Counting:
    """The job of the module, its newest run, and what is asked for."""

    def __init__(self, stack: Stack, records: Collection[Document], directory: Path) -> None:
        self.stack = stack
        self.records = records
        self.directory = directory

    def start(self) -> None:
        """Submits it, and waits until it has counted."""
        kept = {
            "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "execution.checkpointing.dir": self.uri("checkpoints"),
            "state.checkpoints.dir": self.uri("checkpoints"),
        }
        script = {"inline": COUNT.format(sink=self.uri("counted"))}
        submit(self.stack, template_id="counting", script=script, parallelism=1, flink_conf=kept)
        self.wait_until_it_counts()

    def run_again(self) -> Document:
        """Runs it again, and waits until it has counted on; the answer."""
        url = f"{self.stack.functions['submit'].url}/jobs/{self.record()['job_id']}/run-again"
        answer = httpx.post(url, json={}, timeout=60, trust_env=False)
        assert answer.status_code == 202, answer.text
        self.wait_until_it_counts()
        return dict(answer.json())

    def uri(self, name: str) -> str:
        return (self.directory / name).as_uri()

    def rows(self) -> list[int]:
        """Numbers in the files that are complete."""
        parts = (self.directory / "counted").glob("part-*")
        return [int(line) for part in parts for line in part.read_text().split()]

    def wait_until_it_counts(self) -> None:
        """Waits until all its tasks run, and more rows come."""

        def runs() -> bool:
            sync(self.stack)
            record = self.record()
            if record["status"] != "RUNNING":
                assert record["status"] == "CREATED", record.get("reason")
                return False
            url = f"{self.stack.flink.rest_url}/jobs/{record['flink_job_id']}"
            vertices = httpx.get(url, timeout=10, trust_env=False).json()["vertices"]
            return all(vertex["status"] == "RUNNING" for vertex in vertices)

        until(runs, timeout_seconds=SECONDS, what="it runs")
        before = len(self.rows())
        until(lambda: len(self.rows()) > before, timeout_seconds=SECONDS, what="more rows")

    def record(self) -> Document:
        """Of its newest run."""
        found = self.records.find_one({"template_id": "counting"}, sort={"attempt": -1})
        assert found is not None
        return found

    def act(self, kind: str, **body: object) -> Document:
        """Asks for it, and runs passes until it has ended; the action as the record has it."""
        url = f"{self.stack.functions['submit'].url}/jobs/{self.record()['job_id']}/{kind}"
        answer = httpx.post(url, json=body, timeout=60, trust_env=False)
        assert answer.status_code == 202, answer.text
        id_ = answer.json()["action"]["id"]

        def action() -> Document:
            [found] = [each for each in self.record()["actions"] if each["id"] == id_]
            return dict(found)

        def ended() -> bool:
            assert not sync(self.stack)["errors"]
            return action()["state"] in ("done", "failed")

        until(ended, timeout_seconds=SECONDS, what=f"{kind} has ended")
        return action()

    def wait_for(self, status: str) -> None:
        def is_so() -> bool:
            sync(self.stack)
            return bool(self.record()["status"] == status)

        until(is_so, timeout_seconds=SECONDS, what=f"it is {status}")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    with Stack(environ={}) as stack:
        client: MongoClient[Document] = MongoClient(stack.mongodb_uri, tz_aware=True)
        with client:
            found = Counting(stack, client["lemo_recommender"].flink_jobs, tmp_path_factory.mktemp("actions"))
            found.start()
            yield found


def is_savepoint(path: str) -> bool:
    """Whether a savepoint lies there."""
    return (Path(urlsplit(path).path) / "_metadata").is_file()


def test_a_savepoint_and_a_stop_that_cannot_be_written_leave_it_running(job: Counting) -> None:
    done = job.act("savepoint", savepoint_directory=job.uri("savepoints"))
    assert (done["state"], is_savepoint(done["savepoint_path"])) == ("done", True)
    (job.directory / "file").touch()
    failed = job.act("stop", savepoint_directory=job.uri("file/below"))
    assert (failed["state"], failed["code"]) == ("failed", "SAVEPOINT_FAILED")
    assert "Failed to create savepoint directory" in failed["message"]
    assert job.record()["status"] == "RUNNING"


def test_it_is_stopped_and_goes_on_from_the_savepoint(job: Counting) -> None:
    first = job.record()
    done = job.act("stop", savepoint_directory=job.uri("savepoints"))
    assert (done["state"], is_savepoint(done["savepoint_path"])) == ("done", True)
    assert done["savepoint_path"] not in [each.get("savepoint_path") for each in first["actions"]]
    job.wait_for("FINISHED")
    again = job.run_again()
    run = (again["run_of"], again["attempt"], again["savepoint_path"])
    assert run == (first["job_id"], 2, done["savepoint_path"])


def test_it_is_cancelled_and_goes_on_from_a_checkpoint(job: Counting) -> None:
    first = job.record()["run_of"]
    assert job.act("cancel")["state"] == "done"
    assert job.record()["status"] == "CANCELLED"

    def latest() -> str | None:
        sync(job.stack)
        state = job.record().get("latest_state")
        return state and str(state["path"])

    checkpoint = until(latest, timeout_seconds=SECONDS, what="its latest state is known")
    again = job.run_again()
    assert (again["run_of"], again["attempt"], again["savepoint_path"]) == (first, 3, checkpoint)
    assert "/chk-" in checkpoint


def test_it_is_drained_and_has_counted_without_a_gap(job: Counting) -> None:
    done = job.act("stop", drain=True, savepoint_directory=job.uri("drained"))
    assert (done["state"], is_savepoint(done["savepoint_path"])) == ("done", True)
    job.wait_for("FINISHED")
    numbers = sorted(job.rows())
    assert numbers == list(range(len(numbers)))
