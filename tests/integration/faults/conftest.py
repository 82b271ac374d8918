"""The stage of the fault matrix: built once, filled anew for each scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from doubles.kubernetes.process import KubernetesDouble
from local.mongodb import MongoServer
from tests.integration.faults import records
from tests.integration.faults.environment import Stage, Submitters, sync_function
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld

DATABASE = "faults"
Open = Callable[..., Stage]


@pytest.fixture(scope="package")
def submitters() -> Iterator[KubernetesDouble]:
    """A cluster of its own that holds the Jobs of the cast. Its pods are not run."""
    with KubernetesDouble(run=False) as double:
        with KubernetesWorld(double) as world:
            records.add_submitters(world)
        yield double


@pytest.fixture(scope="package")
def flink_of_the_cast() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="package")
def fragile_mongo() -> Iterator[MongoServer]:
    """A server that is stopped, killed and paused."""
    with MongoServer() as running:
        yield running


@pytest.fixture(scope="package")
def replica_set() -> Iterator[MongoServer]:
    """A replica set that loses its primary."""
    with MongoServer(replica_set=True) as running:
        yield running


@pytest.fixture(scope="package")
def open_stage(
    submitters: KubernetesDouble,
    flink_of_the_cast: FlinkServer,
    mongo_server: MongoServer,
    fragile_mongo: MongoServer,
    replica_set: MongoServer,
) -> Iterator[Open]:
    """Makes the stage on a MongoDB; the function of each MongoDB is built once, as in production."""
    servers = {mongo_server.uri, fragile_mongo.uri, replica_set.uri}  # they outlive the clients
    with ExitStack() as stack:
        built: dict[str, Any] = {}
        world = stack.enter_context(Submitters(submitters))

        def opened(mongo: MongoServer, *, version: str, scratch: Path) -> Stage:
            assert mongo.uri in servers
            mongo.start()  # in case that the test before ended in the middle of its fault
            if mongo.uri not in built:
                settings = {
                    "MONGODB_URI": mongo.uri,
                    "MONGODB_DATABASE": DATABASE,
                    "FLINK_REST_URL": flink_of_the_cast.url,
                    "K8S_AUTH": "kubeconfig",
                    "KUBECONFIG": str(submitters.kubeconfig),
                }
                client: MongoClient[dict[str, Any]] = MongoClient(
                    mongo.uri, tz_aware=True, unicode_decode_error_handler="replace"
                )
                stack.callback(client.close)
                built[mongo.uri] = (client, *stack.enter_context(sync_function(settings)))
            client, function, sync = built[mongo.uri]
            database = client[DATABASE]
            for name in ("flink_jobs", "leases", "sync_runs"):
                database[name].delete_many({})
            database["flink_jobs"].insert_many(records.documents())
            flink_of_the_cast.reset()
            flink_of_the_cast.jobs.extend(records.flink_jobs())
            return Stage(
                version=version,
                database=database,
                kubernetes=world,
                flink=flink_of_the_cast,
                function=function,
                sync=sync,
                scratch=scratch,
            )

        yield opened
