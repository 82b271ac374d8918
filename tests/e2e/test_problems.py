"""What only a real Flink can say of a problem: doctor names it in its first failing line, and recovers.

`tests/integration/doctor/test_problems.py` has all problems, with a Flink that plays recordings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo.database import Database

from doubles.processes import free_port
from local.functions import FunctionServer
from local.stack import Stack
from tests.e2e.console import Document, run_command, submit_to
from tests.integration.cli.conftest import own_environment
from tests.support.waiting import until

SECONDS = 120.0
IMPATIENT = {"rest.retry.delay": "100 ms"}
"""Flink's client asks a JobManager that does not answer twenty times, by default every three seconds."""
SCRIPT = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE two_rows (n BIGINT) WITH ('connector'='datagen', 'number-of-rows'='2')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM two_rows")
"""


@dataclass(frozen=True, slots=True)
class Doctor:
    """The command, with the settings of a stack whose schedules run."""

    stack: Stack
    home: Path

    def first_failing(self, **changed: str) -> tuple[str, str, str]:
        """Check, code and evidence of the first finding that fails."""
        settings = {**self.stack.function_settings, **self.stack.command_settings, **changed}
        environ = own_environment(self.home) | settings
        ran = run_command("doctor", "--json", environ=environ, directory=self.home)
        found = (each for each in ran.json["findings"] if each["verdict"] in ("fail", "unknown"))
        first = next(found, {"check": "", "code": "", "evidence": ""})
        return first["check"], first["code"], first["evidence"]

    def wait_for_a_pass(self) -> None:
        """Returns when the schedule has triggered one more pass, and that is over."""
        begun = [attempt["number"] for attempt in self.stack.scheduler.attempts("sync")]
        self.stack.scheduler.wait_for(
            finished=1, job="sync", after=max(begun, default=0), timeout_seconds=SECONDS
        )


@pytest.fixture(scope="module")
def doctor(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    """Finds nothing, before a test and after it."""
    found = Doctor(stack, tmp_path_factory.mktemp("home"))
    stack.schedules.resume("cleanup")
    stack.schedules.run("cleanup")
    stack.scheduler.wait_for(finished=1, job="cleanup")
    found.wait_for_a_pass()
    assert found.first_failing() == ("", "", "")
    yield found
    found.wait_for_a_pass()
    assert found.first_failing() == ("", "", "")


def test_doctor_names_a_jobmanager_that_is_down(doctor: Doctor) -> None:
    doctor.stack.flink_cluster.kill("jobmanager")
    try:
        doctor.wait_for_a_pass()
        check, code, evidence = doctor.first_failing()
    finally:
        doctor.stack.flink_cluster.restart_jobmanager()
    assert (check, code) == ("flink.default", "FLINK_UNAVAILABLE")
    assert re.search(r"http://127\.0\.0\.1:\d+: .*refused", evidence)


def test_doctor_names_a_wrong_jobmanager_address(doctor: Doctor, database: Database[Document]) -> None:
    """Nothing listens at one of them; at the other it is the JobManager, but not its REST API."""
    ports = {"closed": free_port(), "rpc": doctor.stack.flink_cluster.rpc_port}
    with ExitStack() as functions:
        for template_id, port in ports.items():
            wrong = {"FLINK_JOBMANAGER": f"localhost:{port}"}
            submit = FunctionServer("submit", doctor.stack.function_settings | wrong)
            submit_to(
                functions.enter_context(submit),
                template_id=template_id,
                script={"inline": SCRIPT},
                flink_conf=IMPATIENT,
            )
        ours = {"template_id": {"$in": list(ports)}}
        until(
            lambda: database.flink_jobs.count_documents({**ours, "reason": {"$ne": None}}) == len(ports),
            timeout_seconds=SECONDS,
            what="two records with a reason",
        )
    check, code, evidence = doctor.first_failing(**wrong)
    cut_off = database.flink_jobs.find_one({"template_id": "rpc"})
    long_ago = datetime.now(UTC) - timedelta(hours=48)  # doctor looks at the records of a day
    database.flink_jobs.update_many(ours, {"$set": {"status": "FAILED", "submitted_at": long_ago}})
    assert (check, code) == ("records.no-id", "JOBMANAGER_UNREACHABLE")
    assert "1 job" in evidence
    assert re.search(r"closed_\d+: .*: Connection refused: localhost/127", evidence)
    assert cut_off is not None
    # The server that closed the connection may have taken the job first.
    assert (cut_off["status"], cut_off["reason"]["code"]) == ("CREATED", "OUTCOME_UNKNOWN")
    assert "ConnectionClosedException: " in cut_off["reason"]["message"]
