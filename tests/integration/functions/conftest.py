"""The three functions under the real functions-framework, in a world of real and played peers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import Document, new_record, termination_message
from tests.support.waiting import until

DATABASE = "functions"
HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
"""As of the import, as the times of the tests' jobs: these begin after it, however long the tests take."""


def call(server: FunctionServer, method: str = "POST", path: str = "/", **request: Any) -> httpx.Response:
    """One request to a function."""
    return httpx.request(method, server.url + path, trust_env=False, timeout=60, **request)


def problem(answer: httpx.Response) -> Document:
    """The problem details, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: Document = answer.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert body["status"] == answer.status_code
    return body


@pytest.fixture(scope="session")
def flink() -> Iterator[FlinkServer]:
    """The cluster `default`."""
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def batch() -> Iterator[FlinkServer]:
    """The cluster `batch`."""
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def history() -> Iterator[FlinkServer]:
    """The History Server of `batch`."""
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def settings(
    mongo_server: MongoServer,
    kubernetes_double: KubernetesDouble,
    flink: FlinkServer,
    batch: FlinkServer,
    history: FlinkServer,
) -> Mapping[str, str]:
    """Of all three functions."""
    return {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "FLINK_REST_URL": flink.url,
        "FLINK_CLUSTERS": json.dumps({"batch": {"rest_url": batch.url, "history_url": history.url}}),
        "FLINK_IMAGE": "flink:1.20",
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
        "LOST_AFTER_SECONDS": "600",
        "CLEANUP_DELETIONS_PER_SECOND": "500",
    }


@pytest.fixture(scope="session")
def submit(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("submit", settings) as running:
        yield running


@pytest.fixture(scope="session")
def sync(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("sync", settings) as running:
        yield running


@pytest.fixture(scope="session")
def cleanup(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("cleanup", settings) as running:
        yield running


@pytest.fixture(scope="session")
def jobs(settings: Mapping[str, str], sync: FunctionServer) -> Iterator[FunctionServer]:
    own = {"SYNC_URL": sync.url, "FLINK_UI_URL": "https://flink.example/ui/"}
    with FunctionServer("jobs", {**settings, **own}) as running:
        yield running


@pytest.fixture
def function(request: pytest.FixtureRequest) -> FunctionServer:
    """The function that a test is parametrized with, by its name."""
    server: FunctionServer = request.getfixturevalue(request.param)
    return server


@dataclass(frozen=True, slots=True)
class World:
    """All that the functions see, empty at the beginning of a test."""

    database: Database[Document]
    kubernetes: KubernetesWorld
    flink: FlinkServer
    batch: FlinkServer
    history: FlinkServer

    @property
    def jobs(self) -> Collection[Document]:
        return self.database["flink_jobs"]

    def record(self, job_id: str) -> Document:
        """One document without `_id`."""
        [document] = self.jobs.find({"job_id": job_id}, {"_id": 0})
        return document

    def add_record(self, job_id: str, **fields: Any) -> None:
        """A document as submit leaves it behind an hour ago, but for the given fields."""
        self.jobs.insert_one(new_record(job_id, HOUR_AGO, **fields))

    def create_job(self, job_id: str, *, sidecars: Sequence[Document] = (), **spec: Any) -> str:
        """A Kubernetes Job as submit makes it, with further containers; returns its name."""
        target = Target(
            namespace="lemo-dev",
            image="flink:1.20",
            flink_bin="/opt/flink/bin/flink",
            jobmanager="flink:8081",
            timeout_seconds=600,
        )
        manifest = job_manifest(Submission(template_id="etl", script=PathScript("/opt/a.py")), job_id, target)
        manifest["spec"] |= spec
        manifest["spec"]["template"]["spec"]["containers"] += sidecars
        name: str = self.kubernetes.create("jobs", manifest)["metadata"]["name"]
        return name

    def end_submit_container(self, pod: Document, *ids: str) -> None:
        """Ends the submit container of a running pod; its sidecars keep the pod and the Job active."""
        ended = {"exitCode": 0, "reason": "Completed", "message": termination_message(*ids)}
        for status in pod["status"]["containerStatuses"]:
            if status["name"] == "submit":
                status["state"] = {"terminated": ended}
        changed = {"status": {"containerStatuses": pod["status"]["containerStatuses"]}}
        self.kubernetes.patch("pods", f"{pod['metadata']['name']}/status", changed)


@pytest.fixture
def world(
    mongo_client: MongoClient[Document],
    kubernetes_world: KubernetesWorld,
    flink: FlinkServer,
    batch: FlinkServer,
    history: FlinkServer,
) -> World:
    database = mongo_client[DATABASE]
    collections = ("flink_jobs", "sync_runs", "cleanup_runs", "leases", "clusters", "channels")
    for name in (*collections, "unmanaged_jobs", "job_stats"):
        database[name].delete_many({})
    for server in (flink, batch, history):
        server.reset()
    return World(database, kubernetes_world, flink, batch, history)


def events_after(
    server: FunctionServer, lines_printed: int, *, last: str, count: int = 1
) -> list[dict[str, Any]]:
    """The events that a function logs after `lines_printed` lines, once `count` of the kind `last` are there.

    What it answers may be here before the lines that it printed first.
    """

    def look() -> list[dict[str, Any]] | None:
        events = [json.loads(line) for line in server.process.output_after(lines_printed)]
        return events if [event["message"] for event in events].count(last) >= count else None

    return until(look, timeout_seconds=10, what=f"{count} events {last}")
