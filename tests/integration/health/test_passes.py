"""Health in whole passes: a real MongoDB, a Flink double over HTTP, a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from bench.worlds import flink_job_id
from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.adapters.mongo.health_store import COLLECTION, MongoHealthStore
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.domain.errors import BadRequestError
from flinkjobs.domain.health_values import Limits
from flinkjobs.domain.history import Writer
from flinkjobs.domain.transition import Policy, Update
from flinkjobs.jobs import service as jobs
from flinkjobs.notify.delivery import Delivery
from flinkjobs.ports.store import Applied
from flinkjobs.settings.functions import FlinkCluster
from flinkjobs.sync import service
from flinkjobs.sync.context import Sync
from tests.integration.notify.conftest import BEGIN, PERIOD, START_MS, Document, running
from tests.support.flink_rest_server import FlinkServer, Job, checkpoints
from tests.support.receivers import MemoryChannel

A = flink_job_id(1)
UNHEALTHY, HEALTHY = "job.unhealthy", "job.healthy"
CAUSE = "java.lang.ArithmeticException: / by zero\n\tat X.y(Z.java:1)\n"
NO_SLOTS = "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: too few\n\tat X.y()\n"


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def restarted(job: Job, times: int, now: datetime) -> Job:
    """The job after more restarts, one a second, the last of them 20 seconds ago."""
    at = ms(now - timedelta(seconds=20))
    failed_at = [at - number * 1_000 for number in range(times)]
    return replace(
        job,
        restarts=(job.restarts or 0) + times,
        modified=at,
        failed_at=[*failed_at, *job.failed_at],
        root_exception=CAUSE,
    )


class Overtaken(MongoJobStore):
    """Another writer changes every record between reading and writing."""

    def __init__(self, database: Database[Document]) -> None:
        super().__init__(database)
        self._database = database

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        self._database["flink_jobs"].update_many({}, {"$inc": {"revision": 1}})
        return super().apply(updates, now=now, run_id=run_id, by=by)


class Stage:
    """One cluster with jobs that the test sets, one channel, and a clock that a pass moves on."""

    def __init__(self, database: Database[Document], flink: FlinkServer) -> None:
        self.database = database
        self.flink = flink
        self.now = BEGIN
        self.inbox = MemoryChannel()
        self.limits = Limits()
        self.store: MongoJobStore | None = None
        self.budget_seconds = 120.0

    def begin_with(self, *numbers: int, **fields: Any) -> None:
        """Records of jobs that run since yesterday, and of which it is known whether they checkpoint."""
        self.database["flink_jobs"].insert_many([running(number) for number in numbers])
        self.flink.jobs = [
            Job(flink_job_id(number), "RUNNING", start=START_MS, modified=START_MS, **fields)
            for number in numbers
        ]

    def know_all(self) -> None:
        """As after the passes that asked every job whether it checkpoints."""
        known = {"_id": "cluster default", "start_ms": START_MS + 1, "flink_job_id": ""}
        self.database[COLLECTION].insert_one(known)

    def change(self, flink_id: str = A, **fields: Any) -> None:
        self.flink.jobs = [replace(job, **fields) if job.id == flink_id else job for job in self.flink.jobs]

    def restart(self, flink_id: str = A, *, times: int, **fields: Any) -> None:
        """Restarts, the last of them 20 seconds before the next pass; the job runs again."""
        self.flink.jobs = [
            replace(restarted(job, times, self.now), **fields) if job.id == flink_id else job
            for job in self.flink.jobs
        ]

    def run_pass(self, **sync: Any) -> Mapping[str, Any]:
        cluster = FlinkCluster("default", self.flink.url, None, "flink:8081")
        notify_store, clock = MongoNotifyStore(self.database), lambda: self.now
        with FlinkConnection(cluster) as connection:
            report = service.run_pass(
                Sync(
                    store=self.store or MongoJobStore(self.database),
                    notify_store=notify_store,
                    leases=MongoLeaseStore(self.database),
                    kubernetes=lambda: pytest.fail("no record needs Kubernetes"),
                    flinks={"default": HttpFlink(cluster, connection)},
                    policy=Policy(),
                    budget_seconds=self.budget_seconds,
                    clock=clock,
                    delivery=Delivery(notify_store, [self.inbox], clock=clock),
                    health_store=MongoHealthStore(self.database),
                    health=self.limits,
                    **sync,
                )
            )
        assert not report["errors"]
        self.now += PERIOD
        return report

    def record(self, number: int = 1) -> Document:
        found = self.database["flink_jobs"].find_one({"job_id": f"etl_{number:05}"})
        assert found is not None
        return found

    def health(self, number: int = 1) -> tuple[str, str | None] | None:
        """State and code as they are on the record."""
        health = self.record(number).get("health")
        return health and (health["state"], health["code"])

    def marks(self) -> list[Document]:
        return list(self.database[COLLECTION].find({"job_id": {"$exists": True}}))

    def events(self) -> list[str]:
        return self.inbox.types


@pytest.fixture
def stage(mongo_database: Database[Document]) -> Iterator[Stage]:
    ensure_indexes(mongo_database)
    with FlinkServer() as flink:
        yield Stage(mongo_database, flink)


def test_restarts_between_two_passes_are_counted_though_the_job_runs_at_both(stage: Stage) -> None:
    stage.begin_with(1, 2)
    stage.run_pass()
    stage.restart(times=12)
    stage.restart(flink_job_id(2), times=9)
    stage.run_pass()
    assert (stage.health(1), stage.health(2)) == (("unhealthy", "RESTARTING"), None)
    health = stage.record()["health"]
    assert (health["restarts"], health["message"]) == (12, "java.lang.ArithmeticException: / by zero")
    assert stage.record()["status"] == "RUNNING"


def test_an_hour_of_a_restart_loop_is_one_unhealthy_and_one_healthy_once_it_is_mended(stage: Stage) -> None:
    stage.begin_with(1)
    for number in range(20):
        stage.restart(times=3 if number == 7 else 12)
        stage.run_pass()
    assert stage.events() == [UNHEALTHY]
    assert stage.health() == ("unhealthy", "RESTARTING")
    writes = stage.record()["revision"]
    stage.run_pass()
    assert stage.health() == ("healthy", None)
    for _ in range(10):
        stage.run_pass()
    assert stage.events() == [UNHEALTHY, HEALTHY]
    assert stage.record()["revision"] == writes + 2
    assert stage.marks() == []


def test_unhealthy_again_within_the_window_is_no_new_event(stage: Stage) -> None:
    stage.begin_with(1)
    for _ in range(2):
        stage.restart(times=12)
        stage.run_pass()
        stage.run_pass()
        assert stage.health() == ("healthy", None)
    for _ in range(5):
        stage.run_pass()
    assert stage.events() == [UNHEALTHY, HEALTHY]


def test_a_new_start_time_begins_a_new_baseline(stage: Stage) -> None:
    """After a takeover `numRestarts` begins at 0 again."""
    stage.begin_with(1, restarts=500)
    stage.restart(times=2)
    stage.run_pass()
    start = ms(stage.now - timedelta(seconds=60))
    stage.change(start=start, modified=start + 40_000, restarts=4)
    stage.run_pass()
    [mark] = stage.marks()
    assert stage.health() is None
    assert mark["health"]["restarts"] == 4


def test_a_quiet_cluster_costs_one_request_and_writes_nothing(stage: Stage) -> None:
    stage.begin_with(*range(50))
    stage.run_pass()
    before = list(stage.database["flink_jobs"].find()), list(stage.database[COLLECTION].find())
    stage.flink.asked.clear()
    for _ in range(3):
        stage.run_pass()
    assert stage.flink.paths == ["/jobs/overview"] * 3
    assert before == (list(stage.database["flink_jobs"].find()), list(stage.database[COLLECTION].find()))


def test_three_hundred_restarting_jobs_are_named_within_four_passes_and_the_limit(stage: Stage) -> None:
    """All of them restart all the time, and as many others checkpoint."""
    ids = {flink_job_id(number) for number in range(300)}
    stage.begin_with(*range(300), *range(600, 10_000))
    stage.flink.jobs, others = [], stage.flink.jobs
    stage.begin_with(*range(300, 600), checkpoints=checkpoints(("COMPLETED", ms(BEGIN))))
    stage.flink.jobs += others
    for _ in range(4):
        stage.flink.jobs = [
            restarted(job, 12, stage.now) if job.id in ids else job for job in stage.flink.jobs
        ]
        stage.flink.asked.clear()
        stage.run_pass()
        assert len(stage.flink.asked) <= 1 + stage.limits.requests
    found = stage.database["flink_jobs"].find({"health.code": "RESTARTING"}, {"flink_job_id": 1})
    assert {each["flink_job_id"] for each in found} == ids


def test_jobs_that_checkpoint_are_asked_in_rotation_the_longest_unseen_first(stage: Stage) -> None:
    stage.begin_with(*range(30), checkpoints=checkpoints(("COMPLETED", ms(BEGIN))))
    stage.limits = Limits(requests=10)
    for _ in range(8):
        stage.run_pass()
    stage.flink.asked.clear()
    for _ in range(3):
        stage.run_pass()
    asked = Counter(path for path in stage.flink.paths if path.endswith("/checkpoints"))
    assert set(asked.values()) == {1}
    assert len(asked) == 30


def test_failing_checkpoints_are_named_and_their_end_is_too(stage: Stage) -> None:
    done = ("COMPLETED", ms(BEGIN) - 1_000)
    stage.begin_with(1, checkpoints=checkpoints(done))
    stage.run_pass()
    stage.run_pass()
    assert stage.health() is None
    failed = [("FAILED", ms(stage.now) - number) for number in range(3)]
    stage.change(checkpoints=checkpoints(*failed, done))
    stage.run_pass()
    assert stage.health() == ("unhealthy", "CHECKPOINTS_FAILING")
    assert stage.record()["health"]["message"] == "IO-problem detected."
    stage.change(checkpoints=checkpoints(("COMPLETED", ms(stage.now)), *failed, done))
    stage.run_pass()
    assert stage.health() == ("healthy", None)


@pytest.mark.parametrize("is_looping", [True, False], ids=["looping", "waiting"])
def test_missing_slots_are_named_whether_the_job_loops_or_waits(stage: Stage, is_looping: bool) -> None:
    stage.begin_with(1)
    if is_looping:
        stage.restart(times=30, root_exception=NO_SLOTS)
    else:
        at = ms(stage.now - timedelta(seconds=130))
        stage.change(modified=at, tasks={"total": 16, "running": 0, "scheduled": 16})
    stage.run_pass()
    assert stage.health() == ("unhealthy", "WAITING_FOR_SLOTS")
    stage.change(modified=ms(stage.now - timedelta(seconds=20)), tasks={"total": 16, "running": 16})
    stage.run_pass()
    stage.run_pass()
    assert stage.health() == ("healthy", None)


@pytest.mark.parametrize(
    ("state", "retained", "kept"),
    [("CANCELED", True, True), ("FINISHED", True, True), ("CANCELED", False, False)],
)
def test_the_latest_state_is_kept_after_the_end(stage: Stage, state: str, retained: bool, kept: bool) -> None:
    at = ms(BEGIN)
    stage.begin_with(1, checkpoints=checkpoints(("COMPLETED", at)), retained=retained)
    stage.run_pass()
    stage.run_pass()
    [mark] = stage.marks()
    assert mark["latest_state"]["path"] == f"file:/chk-{at}"
    stage.change(state=state, end=ms(stage.now))  # Flink's answer about checkpoints is one of before the end
    stage.run_pass()
    assert "latest_state" not in stage.record()
    stage.change(checkpoints=checkpoints(("COMPLETED", at + 1), ("COMPLETED", at)))
    stage.run_pass()
    latest = stage.record().get("latest_state")
    assert (latest and latest["path"]) == (f"file:/chk-{at + 1}" if kept else None)
    assert stage.marks() == []


def test_a_job_that_ends_unhealthy_has_no_health_and_no_event_of_it(stage: Stage) -> None:
    stage.begin_with(1)
    stage.restart(times=12)
    stage.run_pass()
    stage.change(state="CANCELED", end=ms(stage.now))
    stage.run_pass()
    stage.run_pass()
    assert stage.health() is None
    assert stage.events() == [UNHEALTHY, "job.cancelled"]
    assert stage.marks() == []


def test_nothing_is_written_while_the_cluster_does_not_answer(stage: Stage) -> None:
    stage.begin_with(1)
    stage.restart(times=12)
    stage.run_pass()
    before = stage.record(), stage.marks()
    stage.flink.jobs, jobs = [], stage.flink.jobs
    stage.flink.play("1.20", "ha--jobs_overview--standby-503")
    stage.run_pass()
    stage.flink.reset()
    stage.flink.jobs = jobs
    assert (stage.record(), stage.marks()) == before


def test_a_record_that_changes_in_between_is_judged_in_the_next_pass(stage: Stage) -> None:
    stage.begin_with(1)
    stage.restart(times=12)
    stage.store = Overtaken(stage.database)
    stage.run_pass()
    assert (stage.health(), stage.record()["revision"]) == (None, 2)
    stage.store = None
    stage.restart(times=1)
    stage.run_pass()
    assert stage.health() == ("unhealthy", "RESTARTING")


def test_without_requests_health_is_not_judged(stage: Stage) -> None:
    stage.begin_with(1)
    stage.limits = Limits(requests=0)
    stage.restart(times=12)
    stage.run_pass()
    assert (stage.health(), stage.marks()) == (None, [])


# --- what readers are shown -------------------------------------------------------------------------


def read_side(stage: Stage) -> jobs.Jobs:
    return jobs.Jobs(
        store=MongoReadStore(stage.database),
        cluster=lambda: pytest.fail("no reader of a list asks Kubernetes"),
        namespace="lemo-dev",
        ui_urls={},
        history_urls={},
        sync=None,
        sync_period_seconds=180,
        clock=lambda: stage.now,
    )


def test_readers_see_what_needs_attention_and_what_is_unknown(stage: Stage) -> None:
    stage.begin_with(1, 2, 3)
    stage.restart(times=12)
    stage.run_pass()
    side = read_side(stage)
    asked = jobs.list_jobs(side, [("health", "unhealthy")])
    assert [(job["job_id"], job["health"]["code"]) for job in asked["jobs"]] == [("etl_00001", "RESTARTING")]
    assert asked["counts"]["RUNNING"] == 1
    shown = {job["job_id"]: job["health"]["state"] for job in jobs.list_jobs(side)["jobs"]}
    assert shown == {"etl_00001": "unhealthy", "etl_00002": "healthy", "etl_00003": "healthy"}
    metrics = jobs.metrics(side)
    assert metrics["health"]["by_state"] == {"healthy": 2, "starting": 0, "unhealthy": 1, "unknown": 0}
    assert metrics["health"]["templates"] == [
        {"template_id": "etl", "restarts": 12, "oldest_checkpoint_seconds": None}
    ]
    problems = [each for each in metrics["problems"] if each["problem"] == "UNHEALTHY"]
    assert [(each["code"], each["count"], each["job_ids"]) for each in problems] == [
        ("RESTARTING", 1, ["etl_00001"])
    ]
    stage.flink.play("1.20", "ha--jobs_overview--standby-503")
    stage.run_pass()
    shown = {job["job_id"]: job["health"]["state"] for job in jobs.list_jobs(side)["jobs"]}
    assert set(shown.values()) == {"unknown"}
    assert jobs.metrics(side)["health"]["by_state"]["unknown"] == 3


def test_details_show_the_latest_checkpoint_though_the_record_is_not_written(stage: Stage) -> None:
    at = ms(BEGIN)
    stage.begin_with(1, checkpoints=checkpoints(("COMPLETED", at)))
    stage.database["flink_jobs"].update_many({}, {"$set": {"k8s_job_name": None}})
    stage.run_pass()
    for number in range(3):
        stage.change(checkpoints=checkpoints(("COMPLETED", at + number)))
        stage.run_pass()
    found = jobs.show(read_side(stage), "etl_00001")["job"]
    assert found["health"]["state"] == "healthy"
    assert ms(found["health"]["checkpoint"]["completed_at"]) == at + 2
    assert found["latest_state"]["path"] == f"file:/chk-{at + 2}"
    assert stage.record()["revision"] == 1


def test_only_what_is_unhealthy_can_be_looked_for(stage: Stage) -> None:
    with pytest.raises(BadRequestError, match="query:health must be unhealthy"):
        jobs.list_jobs(read_side(stage), [("health", "healthy")])
