"""Each trouble that users know, for real: the command `doctor` names its cause in the first line that fails.

`tests/doctor/test_troubles.py` has more of them, with a Flink that plays recordings. Here nothing is played:
pods run `flink run`, servers go down and come back, and the schedules ring by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.faults import PodEffect, PodFault
from doubles.processes import free_port
from flinkjobs.domain.permissions import PERMISSIONS
from local.functions import FunctionServer
from local.mongodb import MongoServer
from local.stack import DATABASE, Stack
from tests.e2e.conftest import SPEED
from tests.e2e.console import Document, kubernetes, run_command, submit_to
from tests.integration.cli.conftest import Ran, own_environment
from tests.support.waiting import until

SECONDS = 120.0
USER, TOKEN = "flinkjobs", "token-of-the-functions"
RULES = [Rule((each.group,), (each.resource,), (each.verb,)) for each in PERMISSIONS]

TWO_ROWS = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE two_rows (n BIGINT) WITH ('connector'='datagen', 'number-of-rows'='2')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM two_rows")
"""
IMPATIENT = {"rest.retry.delay": "100 ms"}
"""Flink's client asks a JobManager that does not answer twenty times, by default every three seconds."""
RAISES = "raise ValueError('amount -3 is negative')\n"

Settings: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class System:
    """A stack with schedules that ring, whose functions have their Role and no more, as they are deployed.

    Attributes:
        mongo: its server.
        home: where the command runs.
    """

    stack: Stack
    mongo: MongoServer
    database: Database[Document]
    home: Path

    def run(self, *arguments: str, changed: Settings | None = None) -> Ran:
        """Runs the command with the settings of the functions, some of them changed."""
        ours = {**self.stack.function_settings, **self.stack.command_settings, **(changed or {})}
        return run_command(*arguments, environ=own_environment(self.home) | ours, directory=self.home)

    def run_well(self, *arguments: str) -> Ran:
        """Runs a command that has to succeed."""
        ran = self.run(*arguments)
        assert ran.code == 0, ran.out + ran.err
        return ran

    def wait_for_a_pass(self) -> None:
        """Returns when the schedule has rung once more, and its pass is over."""
        begun = [attempt["number"] for attempt in self.stack.scheduler.attempts("sync")]
        self.stack.scheduler.wait_for(
            finished=1, job="sync", after=max(begun, default=0), timeout_seconds=SECONDS
        )

    def wait_for_health(self) -> None:
        """A pass that began after the trouble was over, and then doctor."""
        self.wait_for_a_pass()
        assert self.run_well("doctor").out.splitlines()[-1] == "All is well."

    def grant(self) -> None:
        """Lets the functions in."""
        with self.stack.kubernetes.control() as control:
            control.grant(USER, TOKEN, RULES)

    def revoke(self) -> None:
        """Lets them in no longer."""
        with self.stack.kubernetes.control() as control:
            control.revoke(USER)

    def submit(self, template_id: str, script: str, *, function: FunctionServer | None = None) -> Document:
        """Submits a job an hour ago; returns the answer."""
        accepted = submit_to(
            function or self.stack.functions["submit"],
            template_id=template_id,
            script={"inline": script},
            flink_conf=IMPATIENT,
        )
        self.move_back(template_id, hours=1)
        return accepted

    def move_back(self, template_id: str, *, hours: int) -> None:
        """As if its job had been submitted so long ago."""
        change = {"$set": {"submitted_at": datetime.now(UTC) - timedelta(hours=hours)}}
        changed = self.database.flink_jobs.update_many({"template_id": template_id}, change)
        assert changed.modified_count == 1

    def wait_for(self, template_id: str, **fields: Any) -> None:
        """Waits until its record is so."""
        wanted = {"template_id": template_id, **fields}
        until(
            lambda: self.database.flink_jobs.find_one(wanted),
            timeout_seconds=SECONDS,
            what=f"a record with {wanted}",
        )

    def hour_passes_without_sync(self) -> None:
        """As if the last pass had been an hour earlier."""
        an_hour_earlier = {"$subtract": ["$started_at", 3_600_000]}
        self.database.sync_runs.update_many({}, [{"$set": {"started_at": an_hour_earlier}}])


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Healthy."""
    home = tmp_path_factory.mktemp("home")
    kubeconfig = home / "kubeconfig"
    with ExitStack() as parts:
        mongo = parts.enter_context(MongoServer())
        client: MongoClient[Document] = parts.enter_context(MongoClient(mongo.uri, tz_aware=True))
        stack = parts.enter_context(
            Stack(
                environ={"MONGODB_URI": mongo.uri},
                settings={"KUBECONFIG": str(kubeconfig)},
                speed=SPEED,
                history_server=True,
            )
        )
        of_the_admin = stack.kubernetes.kubeconfig.read_text(encoding="utf-8")
        kubeconfig.write_text(of_the_admin.replace(str(stack.kubernetes.token), TOKEN), encoding="utf-8")
        running = System(stack, mongo, client[DATABASE], home)
        running.grant()
        stack.create_schedules()
        stack.schedules.run("cleanup")
        stack.scheduler.wait_for(finished=1, job="cleanup")
        running.wait_for_health()
        yield running


# --- the troubles -----------------------------------------------------------------------------------


Trouble: TypeAlias = Callable[[System, ExitStack], Settings | None]
"""Produces it, and leaves with the ExitStack what removes it again; returns the settings it is in, if any."""


def pod_is_held_up(system: System, undo: ExitStack, effect: PodEffect) -> Document:
    undo.callback(system.wait_for, effect, status="FINISHED")  # the job runs once nothing holds it up
    control = undo.enter_context(system.stack.kubernetes.control())
    undo.enter_context(control.fault(PodFault(effect=effect)))
    return system.submit(effect, TWO_ROWS)


def image_cannot_be_pulled(system: System, undo: ExitStack) -> None:
    pod_is_held_up(system, undo, "image-pull")
    system.wait_for("image-pull", status="CREATED", reason={"$ne": None})


def quota_is_used_up(system: System, undo: ExitStack) -> None:
    """Passes ask for the events of a Job that is a minute old, doctor does at once."""
    name = pod_is_held_up(system, undo, "quota")["k8s_job_name"]
    events = "/api/v1/namespaces/lemo-dev/events"
    until(
        lambda: kubernetes(system.stack, events, fieldSelector=f"involvedObject.name={name}").json()["items"],
        timeout_seconds=SECONDS,
        what="an event of the Job",
    )


def script_raises(system: System, undo: ExitStack) -> None:
    system.submit("raises", RAISES)
    undo.callback(system.move_back, "raises", hours=48)
    system.wait_for("raises", status="FAILED")


def jobmanager_is_down(system: System, undo: ExitStack) -> None:
    undo.callback(system.stack.flink_cluster.restart_jobmanager)
    system.stack.flink_cluster.kill_jobmanager()
    system.wait_for_a_pass()


def pod_gets_a_wrong_jobmanager_address(system: System, undo: ExitStack) -> Settings:
    """Nothing listens at the one; at the other it is the JobManager, but not its REST API."""
    for template_id, port in (("nobody", free_port()), ("rpc", system.stack.flink_cluster.rpc_port)):
        wrong = {"FLINK_JOBMANAGER": f"localhost:{port}"}
        function = undo.enter_context(FunctionServer("submit", system.stack.function_settings | wrong))
        system.submit(template_id, TWO_ROWS, function=function)
        undo.callback(system.move_back, template_id, hours=48)
    for template_id in ("nobody", "rpc"):
        system.wait_for(template_id, status="FAILED")
    return wrong


def schedule_is_paused(system: System, undo: ExitStack) -> None:
    undo.callback(system.run_well, "schedules", "resume", "sync")
    system.stack.schedules.pause("sync")
    system.hour_passes_without_sync()


def schedule_is_missing(system: System, undo: ExitStack) -> None:
    undo.callback(system.run_well, "schedules", "apply")
    system.stack.schedules.delete("sync")
    system.hour_passes_without_sync()


def token_is_wrong(system: System, undo: ExitStack) -> None:
    undo.callback(system.grant)
    system.revoke()
    system.wait_for_a_pass()


def token_of_the_functions_is_wrong(system: System, undo: ExitStack) -> Settings:
    """Doctor has another, which is right."""
    token_is_wrong(system, undo)
    return {"KUBECONFIG": str(system.stack.kubernetes.kubeconfig)}


def mongodb_is_down(system: System, undo: ExitStack) -> None:
    undo.callback(system.mongo.start)
    system.mongo.stop()


def index_is_missing(system: System, undo: ExitStack) -> None:
    undo.callback(system.run_well, "indexes")
    system.database.flink_jobs.drop_index("status_1")


TROUBLES: list[tuple[Trouble, str, str, str]] = [
    (
        image_cannot_be_pulled,
        "records.created",
        "IMAGE_PULL",
        r"^1 job CREATED for longer than 5 min: image-pull_\d+, 60 min old: pod flink-py-.*: ErrImagePull: ",
    ),
    (quota_is_used_up, "records.created", "QUOTA", r"^1 job CREATED .*FailedCreate: .*exceeded quota"),
    (script_raises, "records.no-id", "SUBMIT_FAILED", r"^1 job .*: ValueError: amount -3 is negative$"),
    (jobmanager_is_down, "flink.default", "FLINK_UNAVAILABLE", r"http://127\.0\.0\.1:\d+: .*refused"),
    (
        pod_gets_a_wrong_jobmanager_address,
        "records.no-id",
        "JOBMANAGER_UNREACHABLE",
        r"^2 jobs .*rpc_\d+: ConnectionClosedException: .*nobody_\d+: .*: Connection refused: localhost/127",
    ),
    (schedule_is_paused, "schedule.sync", "SCHEDULE_PAUSED", "^sync is PAUSED"),
    (schedule_is_missing, "schedule.sync", "SCHEDULE_MISSING", "^there is no schedule sync"),
    (token_is_wrong, "kubernetes", "KUBERNETES_UNAUTHORIZED", "401 Unauthorized"),
    (
        token_of_the_functions_is_wrong,
        "function.submit",
        "FUNCTION_UNAVAILABLE",
        "^http://.* is not ready: KUBERNETES_REFUSED: .*401 Unauthorized",
    ),
    (mongodb_is_down, "mongodb", "STORE_UNAVAILABLE", r"127\.0\.0\.1:\d+: \[Errno 111\] Connection refused$"),
    (index_is_missing, "mongodb.indexes", "INDEX_MISSING", "^flink_jobs lacks status_1$"),
]
"""What is done, and what the first line that fails says of it: check, code and evidence."""


@pytest.mark.parametrize(
    ("trouble", "check", "code", "evidence"), TROUBLES, ids=[row[0].__name__ for row in TROUBLES]
)
def test_the_first_failing_line_names_the_cause(
    system: System, trouble: Trouble, check: str, code: str, evidence: str
) -> None:
    with ExitStack() as undo, ThreadPoolExecutor() as threads:
        changed = trouble(system, undo)
        told, shown = threads.map(
            lambda options: system.run("doctor", *options, changed=changed), [["--json"], []]
        )
    system.wait_for_health()

    assert (told.code, told.err, shown.code, shown.err) == (1, "", 1, "")
    first = next(found for found in told.json["findings"] if found["verdict"] in ("fail", "unknown"))
    assert (first["verdict"], first["check"], first["code"]) == ("fail", check, code), shown.out
    assert re.search(evidence, first["evidence"]), shown.out
    line = next(line for line in shown.out.splitlines() if line.startswith(("fail", "unknown")))
    assert line.split()[:3] == ["fail", check, f"{code}:"]
    assert shown.out.splitlines()[-1].startswith(f"Begin with {check}: {code}")
