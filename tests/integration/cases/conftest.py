"""The functions, with a real MongoDB, and with peers that answer what a case says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.cases.kubernetes_api import ScriptedKubernetes
from tests.support.cases import load_input, older, until_now, with_dates
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.records import Document
from tests.support.scripted_server import Answer

DATABASE = "cases"
Functions = Callable[[str], FunctionServer]


@dataclass(slots=True)
class World:
    """All that the functions see, empty at the beginning of a test."""

    database: Database[Document]
    kubernetes: ScriptedKubernetes
    flink: FlinkServer
    history: FlinkServer
    shift: timedelta = timedelta()
    """From the times of the inputs to the world's."""

    @property
    def records(self) -> Collection[Document]:
        return self.database["flink_jobs"]

    def begin(self, case: str) -> None:
        """Stores the record of a case, as it was before the first pass."""
        self.shift = until_now(case)
        self.records.insert_one(with_dates(load_input(case, "input.json", self.shift)["record"]))

    def show(self, case: str, name: str) -> None:
        """Gives the peers the answers of an input."""
        given = load_input(case, name, self.shift)
        self.kubernetes.show(given["kubernetes"])
        _give(self.flink, given["flink"])
        _give(self.history, given.get("history_server", {"jobs": [], "answers": {}}))

    def elapse(self, seconds: float) -> None:
        """Lets time pass: all that is stored, and all that the next input says, is older by as much."""
        elapsed = timedelta(seconds=seconds)
        self.shift -= elapsed
        for name in self.database.list_collection_names():
            for document in self.database[name].find():
                self.database[name].replace_one({"_id": document["_id"]}, older(document, elapsed))


def _give(server: FlinkServer, given: Mapping[str, Any]) -> None:
    server.jobs[:] = [
        Job(entry["jid"], entry["state"], entry["name"], entry["start-time"], entry["end-time"])
        for entry in given["jobs"]
    ]
    server.answers = {
        path: Answer(answer["status"], answer["body"].encode(), answer["headers"])
        for path, answer in given["answers"].items()
    }


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[ScriptedKubernetes]:
    with ScriptedKubernetes() as running:
        yield running


@pytest.fixture(scope="session")
def flink() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def history() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="session")
def settings(
    mongo_server: MongoServer,
    kubernetes: ScriptedKubernetes,
    flink: FlinkServer,
    history: FlinkServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, str]:
    """Of all functions."""
    return {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "FLINK_REST_URL": flink.url,
        "FLINK_HISTORY_URL": history.url,
        "FLINK_IMAGE": "flink:1.20",
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes.write_kubeconfig(tmp_path_factory.mktemp("cases") / "kubeconfig")),
    }


@pytest.fixture(scope="session")
def functions(settings: Mapping[str, str]) -> Iterator[Functions]:
    """Starts a function when it is first asked for."""
    running: dict[str, FunctionServer] = {}
    with ExitStack() as stack:

        def function(name: str) -> FunctionServer:
            if name not in running:
                running[name] = stack.enter_context(FunctionServer(name, settings))
            return running[name]

        yield function


@pytest.fixture
def world(
    mongo_client: MongoClient[Document],
    kubernetes: ScriptedKubernetes,
    flink: FlinkServer,
    history: FlinkServer,
) -> World:
    database = mongo_client[DATABASE]
    for name in database.list_collection_names():
        database[name].delete_many({})
    for server in (kubernetes, flink, history):
        server.reset()
    return World(database, kubernetes, flink, history)
