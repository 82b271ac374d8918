"""The stage of a scenario: every peer of the sync function, and the function itself in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import flask
import httpx
from pymongo.database import Database

from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.kubernetes.client import KubernetesApi
from flinkjobs.adapters.mongo import client as mongo_client
from flinkjobs.adapters.mongo.action_store import MongoActionStore
from flinkjobs.adapters.mongo.health_store import MongoHealthStore
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.entrypoints.sync import SyncFunction
from flinkjobs.settings.functions import FlinkCluster, read_settings
from flinkjobs.sync.context import Sync
from flinkjobs.web import server
from tests.integration.faults import records
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import Document
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.waiting import until

PATIENCE_SECONDS = 1.5
"""How long the adapters wait for an answer here: what is slow is slower, all the rest far quicker."""
STORE_PATIENCE_MS = 2_500
SECONDS = 15.0
APP = flask.Flask("sync")


class Submitters(KubernetesWorld):
    """The Kubernetes double with what only these tests need of it."""

    def delete(self, name: str) -> None:
        """Deletes a Job with its pods, if there is one; returns when nothing of it is left."""
        if self.get("jobs", name) is not None:
            query = {"propagationPolicy": "Foreground", "gracePeriodSeconds": "0"}
            self._client.delete(f"{self.paths['jobs']}/{name}", params=query).raise_for_status()
            until(lambda: self.get("jobs", name) is None, timeout_seconds=SECONDS, what=f"no Job {name}")

    def delete_all(self, selector: str) -> None:
        """Deletes all Jobs with these labels."""
        query = {"labelSelector": selector, "propagationPolicy": "Background"}
        self._client.delete(self.paths["jobs"], params=query).raise_for_status()


@dataclass(frozen=True, slots=True)
class Passed:
    """The answer of one pass."""

    status: int
    body: Document

    @property
    def reported(self) -> list[str]:
        """The report in the words of the tables, sorted: status, errors, clusters, what it left out."""
        if self.status != httpx.codes.OK:
            return [f"{self.status} {self.body['code']}"]
        counted = Counter((error["code"], error["job_id"] is not None) for error in self.body["errors"])
        reported = [
            f"{code} ×{count}" if is_of_records else code for (code, is_of_records), count in counted.items()
        ]
        reported += [
            f"{name} unreachable" for name, seen in self.body["clusters"].items() if not seen["reachable"]
        ]
        reported += ["skipped"] * self.body["skipped"]
        reported += ["incomplete"] * (not self.body["complete"] and not self.body["skipped"])
        return ["200", *sorted(reported)]

    @property
    def text(self) -> str:
        """All that it says, for a person."""
        return json.dumps(self.body, ensure_ascii=False)


@dataclass(slots=True)
class Stage:
    """What a scenario works on.

    Attributes:
        version: whose recordings Flink plays.
        database: holds the records, past the function.
        sync: what the next pass works with; a scenario may put another one in its place.
        scratch: an empty directory.
    """

    version: str
    database: Database[Document]
    kubernetes: Submitters
    flink: FlinkServer
    function: SyncFunction
    sync: Sync
    scratch: Path

    def run_pass(self) -> Passed:
        """`POST /`, through the same boundary as the deployed function."""
        self.function._sync = self.sync
        with APP.test_request_context("/", method="POST", json={}):
            answer = server.serve(flask.request, post=self.function.post, ready=self.function.ready)
        return Passed(answer.status_code, answer.get_json())

    def documents(self) -> dict[str, Document]:
        """Every record by its kind (by its job id where it is none of the cast)."""
        kinds = {records.job_id_of(kind): kind for kind in (*records.KINDS, *records.FINAL)}
        found = self.database["flink_jobs"].find({}, {"_id": 0})
        return {kinds.get(document["job_id"], str(document["job_id"])): document for document in found}

    def let_the_lease_run_out(self) -> None:
        """As if its twenty seconds were over."""
        self.database["leases"].update_many({}, {"$set": {"expires_at": records.HOUR_AGO}})

    def has_lease(self) -> bool:
        """Whether a pass that died still holds the lease."""
        return self.database["leases"].find_one({"holder": {"$ne": None}}) is not None

    @contextmanager
    def instead(self, **parts: Any) -> Iterator[None]:
        """Other parts of `sync` inside the block; `cluster` is the Kubernetes client."""
        if "cluster" in parts:
            cluster = parts.pop("cluster")
            parts["kubernetes"] = lambda: cluster
        before = self.sync
        self.sync = replace(before, **parts)
        try:
            yield
        finally:
            self.sync = before

    @contextmanager
    def between(self, change: Callable[[Asked, Answer], Answer]) -> Iterator[None]:
        """Every answer of the Kubernetes API goes through `change` inside the block."""

        def answer(asked: Asked) -> Answer:
            headers = {"Authorization": asked.headers["authorization"], "Accept": asked.headers["accept"]}
            received = client.request(asked.method, asked.path, headers=headers)
            content_type = {"Content-Type": received.headers["Content-Type"]}
            return change(asked, Answer(received.status_code, received.content, content_type))

        with (
            httpx.Client(base_url=self.kubernetes.double.url, trust_env=False) as client,
            ScriptedServer(answer) as proxy,
            self.instead(cluster=self.kubernetes_at(proxy.url)),
        ):
            yield

    @contextmanager
    def once_the_records_are_read(self, deed: Callable[[], None]) -> Iterator[None]:
        """Calls `deed` in mid-pass: between the reading of the records and the writing."""
        done: list[bool] = []

        def change(_: Asked, answer: Answer) -> Answer:
            if not done:
                done.append(True)
                deed()
            return answer

        with self.between(change):
            yield
        assert done, "no pass came so far"

    def kubernetes_at(self, url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> KubernetesApi:
        """The adapter, for an API server at another address."""
        return kubernetes_client.connect(
            "lemo-dev",
            auth="kubeconfig",
            kubeconfig=str(self.kubernetes.kubeconfig(self.scratch / "kubeconfig", server=url)),
            in_cluster=False,
            read_timeout_seconds=patience_seconds,
        )

    @contextmanager
    def flink_at(self, url: str, history_url: str | None = None) -> Iterator[None]:
        """The cluster `default` is at another address inside the block."""
        with flinks_at(url, history_url) as flinks, self.instead(flinks=flinks):
            yield


@contextmanager
def flinks_at(
    url: str, history_url: str | None = None, *, name: str = "default"
) -> Iterator[Mapping[str, HttpFlink]]:
    """One cluster at this address, with little patience."""
    cluster = FlinkCluster(name=name, rest_url=url, history_url=history_url, jobmanager="flink:8081")
    with FlinkConnection(cluster, read_timeout_seconds=PATIENCE_SECONDS) as connection:
        yield {name: HttpFlink(cluster, connection)}


@contextmanager
def sync_function(settings: Mapping[str, str]) -> Iterator[tuple[SyncFunction, Sync]]:
    """The function as it is deployed, and its parts with little patience."""
    function = SyncFunction(read_settings(settings))
    built = function._sync
    assert isinstance(built.store, MongoJobStore)
    built.store.close()
    database = mongo_client.connect(
        settings["MONGODB_URI"],
        settings["MONGODB_DATABASE"],
        timeout_ms=STORE_PATIENCE_MS,
        server_selection_timeout_ms=STORE_PATIENCE_MS,
    )
    store = MongoJobStore(database)
    stores: dict[str, Any] = {
        "store": store,
        "leases": MongoLeaseStore(database),
        "notify_store": MongoNotifyStore(database),
        "health_store": MongoHealthStore(database),
        "action_store": MongoActionStore(database),
    }
    cluster = kubernetes_client.connect(
        "lemo-dev",
        auth="kubeconfig",
        kubeconfig=settings["KUBECONFIG"],
        in_cluster=False,
        read_timeout_seconds=PATIENCE_SECONDS,
    )
    with flinks_at(settings["FLINK_REST_URL"]) as flinks:
        try:
            yield (
                function,
                replace(built, **stores, kubernetes=lambda: cluster, flinks=flinks),
            )
        finally:
            store.close()
