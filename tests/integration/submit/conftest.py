"""The submit and sync functions, and what they leave in MongoDB and Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Scratch
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld

DATABASE = "submissions"
LONG_AGO = timedelta(hours=2)

Document = dict[str, Any]


def post(server: FunctionServer, body: Document, key: str | None = None) -> httpx.Response:
    """One submission over HTTP."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return httpx.post(f"{server.url}/", json=body, headers=headers, timeout=60, trust_env=False)


def synchronise(server: FunctionServer) -> Document:
    """One pass; returns its report."""
    answer = httpx.post(f"{server.url}/", timeout=60, trust_env=False)
    report: Document = answer.raise_for_status().json()
    return report


@pytest.fixture(scope="session")
def flink() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def settings(
    mongo_server: MongoServer, kubernetes_double: KubernetesDouble, flink: FlinkServer
) -> Mapping[str, str]:
    """Of every function here."""
    return {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "FLINK_REST_URL": flink.url,
        "FLINK_IMAGE": "flink:1.20",
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
        "ALLOWED_SCRIPT_HOSTS": "scripts.example.org",
    }


@pytest.fixture(scope="session")
def submit(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("submit", settings) as running:
        yield running


@pytest.fixture(scope="session")
def sync(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with FunctionServer("sync", settings) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Traces:
    """What submissions have left, empty at the beginning of a test."""

    jobs: Collection[Document]
    kubernetes: KubernetesWorld
    flink: FlinkServer

    def records(self) -> list[Document]:
        """All documents, oldest first."""
        return list(self.jobs.find({}, {"_id": 0}).sort("_id"))

    def record(self) -> Document:
        """The only document."""
        [document] = self.records()
        return document

    def grow_old(self) -> None:
        """Makes every record two hours older: nothing is in flight any more, and no grace is left."""
        for record in self.records():
            older = {"submitted_at": record["submitted_at"] - LONG_AGO}
            if record.get("in_flight_until") is not None:
                older["in_flight_until"] = record["in_flight_until"] - LONG_AGO
            self.jobs.update_one({"job_id": record["job_id"]}, {"$set": older})

    def miss_for(self, period: timedelta) -> None:
        """Makes each record have waited for `period` for a Flink job of its name."""
        is_waiting = {"missing_since": {"$ne": None}}
        self.jobs.update_many(is_waiting, {"$set": {"missing_since": datetime.now(UTC) - period}})

    def let_repeat(self) -> None:
        """Nothing is in flight any more: a repetition takes up what the first request left."""
        in_flight = {"in_flight_until": {"$ne": None}}
        past = datetime.now(UTC) - timedelta(seconds=1)
        self.jobs.update_many(in_flight, {"$set": {"in_flight_until": past}})


@pytest.fixture
def traces(
    mongo_client: MongoClient[Document], kubernetes_world: KubernetesWorld, flink: FlinkServer
) -> Traces:
    database = mongo_client[DATABASE]
    for name in ("flink_jobs", "job_templates", "sync_runs", "leases"):
        database[name].delete_many({})
    flink.reset()
    return Traces(database["flink_jobs"], kubernetes_world, flink)


@pytest.fixture
def scratch_file() -> Iterator[Callable[[str], Path]]:
    """Makes paths in a directory that goes with the test."""
    with Scratch("flinkjobs-submit") as scratch:
        yield lambda name: scratch.path / name
