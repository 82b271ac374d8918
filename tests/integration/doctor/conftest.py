"""One system for all tests of doctor; real MongoDB, both doubles, and a Flink that plays recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pymongo import MongoClient
from typer.testing import CliRunner, Result

from doubles.scheduler.process import SchedulerDouble
from flinkjobs import log
from flinkjobs.cli.app import app
from local.mongodb import MongoServer
from tests.integration.doctor.system import Functions, System, env_file, ready
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.scripted_server import ScriptedServer

DATABASE = "lemo_recommender"
Doctor: TypeAlias = Callable[..., Result]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[SchedulerDouble]:
    """Its clock stands still: a schedule runs when a test triggers it."""
    with SchedulerDouble(speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def function() -> Iterator[ScriptedServer]:
    """Both functions, as a scheduler and the command see them."""
    with ScriptedServer(ready) as running:
        yield running


@pytest.fixture(scope="module")
def flinks() -> Iterator[tuple[FlinkServer, FlinkServer]]:
    """A cluster and its History Server."""
    with FlinkServer() as cluster, FlinkServer() as history:
        yield cluster, history


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Functions() as built:
        yield built


@pytest.fixture
def system(
    mongo_server: MongoServer,
    mongo_client: MongoClient[dict[str, Any]],
    kubernetes_world: KubernetesWorld,
    flinks: tuple[FlinkServer, FlinkServer],
    scheduler: SchedulerDouble,
    function: ScriptedServer,
    functions: Functions,
    tmp_path: Path,
) -> System:
    """Healthy."""
    found = System(
        mongo=mongo_server,
        database=mongo_client[DATABASE],
        kubernetes=kubernetes_world,
        flink=flinks[0],
        history=flinks[1],
        scheduler=scheduler,
        function=function,
        functions=functions,
        scratch=tmp_path,
    )
    found.recover()
    return found


@pytest.fixture
def doctor(system: System, tmp_path: Path) -> Iterator[Doctor]:
    """Runs the command in this process; its settings come from a file, and nothing from this environment."""
    logger = log.LOGGER
    before = list(logger.handlers), logger.propagate, logger.level

    def run(*options: str) -> Result:
        settings = env_file(tmp_path / "settings.env", system.environ)
        return CliRunner().invoke(app, ["--env-file", str(settings), "doctor", *options])

    yield run
    logger.handlers, logger.propagate, logger.level = before
