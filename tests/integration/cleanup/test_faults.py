"""Every fault in the middle of a cleanup run: rows of `docs/explanation/reliability.md`."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

import flask
import httpx
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.faults import FinishedJobs, Outcome, PodEffect, PodFault, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import free_port
from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.cleanup.context import Cleanup
from flinkjobs.domain.naming import APP
from flinkjobs.entrypoints.cleanup import CleanupFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from flinkjobs.web import server
from local.mongodb import MongoServer
from tests.integration.faults.table import DOCUMENT, read
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.waiting import until

Document = dict[str, Any]
DATABASE = "cleanup_faults"
APPLICATION = flask.Flask("cleanup")
PATIENCE_SECONDS, BUDGET_SECONDS = 0.7, 3.0
"""How long the adapter waits for an answer here: what is slow is slower, all the rest far quicker."""
STORE_PATIENCE_MS = 1_000
FLINK_JOB_ID = "3e" * 16
GO = {
    "settled": ["finished", "failed"],
    "unsettled": ["unread"],
    "given up": ["hopeless"],
}
"""The Jobs that go without a fault, by the column of the table."""
STAY = {"young": "young", "no-record": "no_record", "foreign": "foreign", "suspended": "suspended"}
"""The Jobs that never go, and why."""
ROWS = {row.id: row for row in read(DOCUMENT.read_text(encoding="utf-8"), "cleanup fault")}


@dataclass(slots=True)
class Stage:
    """The peers of a cleanup, and the function itself in this process."""

    kubernetes: KubernetesWorld
    mongo: MongoServer
    database: Database[Document]
    function: CleanupFunction
    cleanup: Cleanup

    def run(self) -> tuple[int, Document]:
        """`POST /`, through the same boundary as the deployed function."""
        self.function._cleanup = self.cleanup
        with APPLICATION.test_request_context("/", method="POST", json={}):
            answer = server.serve(flask.request, post=self.function.post, ready=self.function.ready)
        return answer.status_code, answer.get_json()

    def add(self, name: str, hours: float, **fields: Any) -> None:
        """A finished Job whose job id is its name, with its pod."""
        known: Document = {
            "labels": {"app": APP, "job-id": name},
            "annotations": {"flinkjobs/job-id": name},
            "log": f"Job has been submitted with JobID {FLINK_JOB_ID}\n",
        }
        wanted = FinishedJobs(count=1, name=name, age_seconds=hours * 3600, **known | fields)
        self.kubernetes.control.add_finished_jobs(wanted)

    def record(self, job_id: str, **fields: Any) -> None:
        now = datetime.now(UTC)
        known = {"status": "CREATED", "submitted_at": now, "k8s_job_name": job_id, "submitter_done": False}
        known |= {"revision": 0}
        self.database["flink_jobs"].insert_one({"job_id": job_id, **known, **fields})

    def submit(self, job_id: str, **spec: Any) -> None:
        """A Job as submit makes it, under the name of its job id."""
        target = Target("lemo-dev", "flink:1.20", "/opt/flink/bin/flink", "flink:8081", 600)
        manifest = job_manifest(Submission("etl", PathScript("/opt/a.py")), job_id, target)
        manifest["metadata"]["name"] = job_id
        manifest["spec"] |= spec
        self.kubernetes.create("jobs", manifest)
        self.record(job_id)

    def fill(self) -> None:
        """One Job for every way to go or to stay."""
        self.add("finished", 25)
        self.record("finished", status="FINISHED")
        self.add("failed", 26, failed=True)
        self.record("failed", status="FAILED")
        self.add("unread", 27)
        self.record("unread")
        self.add("hopeless", 200, log="the end\n")
        self.record("hopeless", k8s_job_name=None)
        self.add("young", 23)
        self.record("young", status="FINISHED")
        self.add("no-record", 48)
        self.add("foreign", 999, annotations={})
        self.submit("suspended", suspend=True)
        self.kubernetes.control.reset_requests()


@pytest.fixture(scope="module")
def parts(
    mongo_server: MongoServer, mongo_client: MongoClient[Document], kubernetes_double: KubernetesDouble
) -> Iterator[tuple[CleanupFunction, Cleanup]]:
    """The function as it is deployed, and its parts with little patience. Flink knows no job."""
    with FlinkServer() as flink:
        yield from parts_with(flink, mongo_server, mongo_client, kubernetes_double)


def parts_with(
    flink: FlinkServer,
    mongo_server: MongoServer,
    mongo_client: MongoClient[Document],
    kubernetes_double: KubernetesDouble,
) -> Iterator[tuple[CleanupFunction, Cleanup]]:
    settings = {
        "FLINK_REST_URL": flink.url,
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
        "CLEANUP_DELETIONS_PER_SECOND": "200",
    }
    function = CleanupFunction(read_settings(settings))
    built = function._cleanup
    assert isinstance(built.store, MongoJobStore)
    built.store.close()
    database = connect(
        mongo_server.uri,
        DATABASE,
        timeout_ms=STORE_PATIENCE_MS,
        server_selection_timeout_ms=STORE_PATIENCE_MS,
    )
    store, leases = MongoJobStore(database), MongoLeaseStore(database)
    cluster = kubernetes_client.connect(
        "lemo-dev",
        auth="kubeconfig",
        kubeconfig=settings["KUBECONFIG"],
        in_cluster=False,
        read_timeout_seconds=PATIENCE_SECONDS,
    )
    sync = replace(built.sync, kubernetes=lambda: cluster, store=store, leases=leases)
    stats = MongoStatsStore(database)
    yield function, replace(built, cluster=cluster, sync=sync, stats=stats, budget_seconds=BUDGET_SECONDS)
    store.close()
    for one in sync.flinks.values():
        assert isinstance(one, HttpFlink)
        one._connection.close()
    mongo_client.drop_database(DATABASE)


@pytest.fixture
def stage(
    parts: tuple[CleanupFunction, Cleanup],
    kubernetes_world: KubernetesWorld,
    mongo_server: MongoServer,
    mongo_client: MongoClient[Document],
) -> Iterator[Stage]:
    database = mongo_client[DATABASE]
    for name in ("flink_jobs", "leases", "cleanup_runs"):
        database[name].delete_many({})
    built = Stage(kubernetes_world, mongo_server, database, *parts)
    built.fill()
    yield built
    kubernetes_world.control.clear()
    kubernetes_world.control.set_clock_offset(0)


# --- scenarios --------------------------------------------------------------------------------------

Scenario = Callable[[Stage], AbstractContextManager[None]]


def switched_on(effect: Any, **fields: Any) -> Scenario:
    """A fault of the API server."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        stage.kubernetes.control.add(RequestFault(effect=effect, **fields))
        yield
        [active] = stage.kubernetes.control.faults()
        stage.kubernetes.control.clear()
        assert active.hits > 0

    return scenario


def status(code: int, **fields: Any) -> Scenario:
    return switched_on("status", status=code, **fields)


@contextmanager
def list_expired(stage: Stage) -> Iterator[None]:
    """The list has more than one page, and its second one is always too late."""
    crowd = FinishedJobs(count=501, name="crowd-{index}", labels={"app": APP}, with_pods=False)
    stage.kubernetes.control.add_finished_jobs(crowd)
    with status(410)(stage):
        yield


@contextmanager
def api_away(stage: Stage) -> Iterator[None]:
    nowhere = f"http://127.0.0.1:{free_port()}"
    directory = stage.kubernetes.double.state_dir
    config = stage.kubernetes.kubeconfig(directory / "nowhere", server=nowhere)
    cluster = kubernetes_client.connect(
        "lemo-dev", auth="kubeconfig", kubeconfig=str(config), in_cluster=False
    )
    before = stage.cleanup
    stage.cleanup = replace(before, cluster=cluster, sync=replace(before.sync, kubernetes=lambda: cluster))
    yield
    stage.cleanup = before


@contextmanager
def clock_wrong(stage: Stage) -> Iterator[None]:
    stage.kubernetes.control.set_clock_offset(3600)
    yield
    stage.kubernetes.control.set_clock_offset(0)


@contextmanager
def other_database(stage: Stage) -> Iterator[None]:
    """The records are somewhere else."""
    jobs = stage.database["flink_jobs"]
    jobs.rename("elsewhere")
    yield
    stage.database["elsewhere"].rename("flink_jobs", dropTarget=True)


@contextmanager
def mongo_frozen(stage: Stage) -> Iterator[None]:
    stage.mongo.pause()
    try:
        yield
    finally:
        stage.mongo.resume()


@contextmanager
def mongo_frozen_midway(stage: Stage) -> Iterator[None]:
    """MongoDB hangs once the plan is made, while a log is read."""
    control = stage.kubernetes.control

    def freeze() -> None:
        until(lambda: any(active.hits for active in control.faults()), timeout_seconds=10, what="a log read")
        stage.mongo.pause()

    try:
        with control.fault(RequestFault(effect="delay", seconds=PATIENCE_SECONDS / 2, **LOG)):
            freezer = threading.Thread(target=freeze)
            freezer.start()
            yield
            freezer.join()
    finally:
        stage.mongo.resume()
    stage.database["leases"].update_many({}, {"$set": {"expires_at": datetime.now(UTC)}})  # 20 s later


@contextmanager
def runs_refused(stage: Stage) -> Iterator[None]:
    """The database takes no report."""
    stage.database.command("collMod", "cleanup_runs", validator={"never": 1})
    yield
    stage.database.command("collMod", "cleanup_runs", validator={})


@contextmanager
def records_refused(stage: Stage) -> Iterator[None]:
    """The database takes no write to a record."""
    stage.database.command("collMod", "flink_jobs", validator={"never": 1})
    yield
    stage.database.command("collMod", "flink_jobs", validator={})


LIST: Mapping[str, Any] = {"verb": "list", "resource": "jobs"}
PODS: Mapping[str, Any] = {"verb": "list", "resource": "pods"}
LOG: Mapping[str, Any] = {"resource": "pods/log"}
DELETE: Mapping[str, Any] = {"verb": "delete"}
SLOW = 3 * PATIENCE_SECONDS
SCENARIOS: Mapping[str, Scenario] = {
    "cleanup-api-refused": api_away,
    "cleanup-list-401": status(401, **LIST),
    "cleanup-list-403": status(403, **LIST),
    "cleanup-list-410": list_expired,
    "cleanup-list-429": status(429, **LIST),
    "cleanup-list-429-once": status(429, retry_after=1, times=1, **LIST),
    "cleanup-list-500": status(500, **LIST),
    "cleanup-list-503": status(503, **LIST),
    "cleanup-list-slow": switched_on("delay", seconds=SLOW, **LIST),
    "cleanup-list-dropped": switched_on("drop", **LIST),
    "cleanup-list-cut": switched_on("cut", **LIST),
    "cleanup-list-malformed": switched_on("malformed", **LIST),
    "cleanup-pods-403": status(403, **PODS),
    "cleanup-pods-500": status(500, **PODS),
    "cleanup-log-403": status(403, **LOG),
    "cleanup-log-429": status(429, **LOG),
    "cleanup-log-500": status(500, **LOG),
    "cleanup-log-slow": switched_on("delay", seconds=SLOW, **LOG),
    "cleanup-log-dropped": switched_on("drop", **LOG),
    "cleanup-log-cut": switched_on("cut", **LOG),
    "cleanup-log-gone-404": switched_on("log-gone-404"),
    "cleanup-log-gone-200": switched_on("log-gone-200"),
    "cleanup-delete-401": status(401, **DELETE),
    "cleanup-delete-403": status(403, **DELETE),
    "cleanup-delete-404": status(404, **DELETE),
    "cleanup-delete-409": status(409, **DELETE),
    "cleanup-delete-429": status(429, **DELETE),
    "cleanup-delete-429-long": status(429, retry_after=30, **DELETE),
    "cleanup-delete-429-once": status(429, retry_after=1, times=1, **DELETE),
    "cleanup-delete-500": status(500, **DELETE),
    "cleanup-delete-500-once": status(500, times=1, **DELETE),
    "cleanup-delete-503": status(503, **DELETE),
    "cleanup-delete-slow": switched_on("delay", seconds=SLOW, **DELETE),
    "cleanup-delete-dropped": switched_on("drop", **DELETE),
    "cleanup-delete-dropped-once": switched_on("drop", times=1, **DELETE),
    "cleanup-delete-cut": switched_on("cut", **DELETE),
    "cleanup-delete-malformed": switched_on("malformed", **DELETE),
    "cleanup-clock": clock_wrong,
    "cleanup-database": other_database,
    "cleanup-records-refused": records_refused,
    "cleanup-runs-refused": runs_refused,
    "cleanup-mongo-frozen": mongo_frozen,
    "cleanup-mongo-frozen-midway": mongo_frozen_midway,
}


# --- what is checked --------------------------------------------------------------------------------


def answer_in_words(code: int, body: Document) -> str:
    """The answer in the words of the table."""
    if code != httpx.codes.OK:
        return f"{code} {body['code']}"
    counts = Counter((error["code"], error["job_id"] is not None) for error in body["errors"])
    errors = [
        f"{name} ×{count}" if is_of_jobs else name for (name, is_of_jobs), count in sorted(counts.items())
    ]
    return ", ".join(["200", *errors, *(["incomplete"] if not body["complete"] else [])])


def check_report(body: Document, before: set[str], after: set[str]) -> None:
    """The report says what happened, no more and no less."""
    vanished = before - after
    assert set(body["names"]) <= vanished
    assert len(body["names"]) == body["deleted"]
    unknown = len(vanished) - body["deleted"]
    assert 0 <= unknown <= body["gone"] + body["kept"].get("unconfirmed", 0)
    assert body["scanned"] == len(before) == body["deleted"] + body["gone"] + sum(body["kept"].values())
    assert {reason: body["kept"][reason] for reason in STAY.values()} == dict.fromkeys(STAY.values(), 1)


def check_nothing_is_lost(stage: Stage, jobs: set[str]) -> None:
    """Whatever is gone has left behind what only it knew; and what must stay is there."""
    assert set(STAY) <= jobs
    assert len(stage.kubernetes.names("pods")) >= len(jobs & {"young", "no-record", "foreign"})
    found = {record["job_id"]: record for record in stage.database["flink_jobs"].find()}
    if "unread" not in jobs:
        assert found["unread"]["flink_job_id"] == FLINK_JOB_ID or found["unread"]["status"] == "FAILED"
    assert found["finished"]["status"] == "FINISHED"


def fate(names: list[str], body: Document, after: set[str]) -> str:
    """What became of these Jobs, in the words of the table."""
    fates = {
        "stays" if name in after else "goes" if name in body.get("names", ()) else "goes, uncounted"
        for name in names
    }
    return " or ".join(sorted(fates))


def test_every_row_has_a_scenario_and_every_scenario_a_row() -> None:
    assert list(ROWS) == list(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_does_what_its_row_says_and_the_next_run_finishes(name: str, stage: Stage) -> None:
    before = stage.kubernetes.names("jobs")
    with SCENARIOS[name](stage):
        code, body = stage.run()
    after = stage.kubernetes.names("jobs")
    row = ROWS[name]
    seen = {"answer": answer_in_words(code, body)} | {
        kind: fate(jobs, body, after) for kind, jobs in GO.items()
    }
    assert seen == {column: row.cells[column] for column in seen}, body
    assert row.cells["it says"] in json.dumps(body, ensure_ascii=False)
    if code == httpx.codes.OK:
        check_report(body, before, after)
    check_nothing_is_lost(stage, after)
    check_finished(stage)


def check_finished(stage: Stage) -> None:
    """The next run, without the fault, does the rest."""
    code, body = stage.run()
    assert (code, body["complete"], body["errors"]) == (200, True, [])
    jobs = {name for name in stage.kubernetes.names("jobs") if not name.startswith("crowd")}
    assert jobs == set(STAY)
    check_nothing_is_lost(stage, jobs)
    assert stage.run()[1]["deleted"] == 0


POD_EFFECTS: tuple[PodEffect, ...] = get_args(PodEffect)


def test_no_fault_of_a_pod_lets_its_job_go(stage: Stage) -> None:
    """A Job that Kubernetes cannot run, or has just lost, is not old: it stays whatever its record says."""
    stage.kubernetes.control.set_outcome(Outcome(seconds=600))
    for effect in POD_EFFECTS:
        stage.kubernetes.control.add(PodFault(effect=effect, job=effect))
        stage.submit(effect)
    until(
        lambda: all(active.hits for active in stage.kubernetes.control.faults()),
        timeout_seconds=10,
        what="every pod is hit",
    )
    code, body = stage.run()
    assert (code, body["errors"], body["complete"]) == (200, [], True)
    assert body["deleted"] == sum(map(len, GO.values()))
    assert stage.kubernetes.names("jobs") == {*STAY, *POD_EFFECTS}


def test_whatever_half_of_the_requests_get_nothing_is_lost(stage: Stage) -> None:
    """Failing requests at random, and runs again and again: every report is true, and all go in the end."""
    control = stage.kubernetes.control
    lost = [
        RequestFault(effect="status", status=500, probability=0.2),
        RequestFault(effect="cut", probability=0.2, verb="delete"),
        RequestFault(effect="log-gone-404", probability=0.2),
        RequestFault(effect="drop", probability=0.2),
    ]
    for _ in range(6):
        before = stage.kubernetes.names("jobs")
        for fault in lost:
            control.add(fault)
        code, body = stage.run()
        control.clear()
        after = stage.kubernetes.names("jobs")
        if code == httpx.codes.OK:
            check_report(body, before, after)
        else:
            assert (code, after) == (503, before)
        check_nothing_is_lost(stage, after)
    check_finished(stage)
