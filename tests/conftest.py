"""The real parts that tests share: one MongoDB with a fresh database for each test, one Kubernetes double."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.process import KubernetesDouble
from local.mongodb import MongoServer
from tests.support.kubernetes_world import KubernetesWorld

ROOT: Final = Path(__file__).parents[1]
SLOW: Final = (
    "tests/e2e",
    "tests/integration/property",
    "tests/integration/local",
    "tests/integration/bench",
    "tests/integration/cleanup",
    "tests/integration/cli",
    "tests/integration/faults",
    "tests/integration/failover",
    "tests/integration/follow",
    "tests/integration/submit",
    "tests/integration/doctor",
    "tests/integration/deploy/test_bundle_runs.py",
    "tests/integration/deploy/test_namespaces.py",
    "tests/integration/functions/test_actions.py",
    "tests/integration/functions/test_cold_start.py",
    "tests/integration/functions/test_openapi.py",
    "tests/integration/functions/test_generated_client.py",
    "tests/integration/functions/test_cleanup.py",
    "tests/integration/functions/test_follow.py",
    "tests/integration/functions/test_page_actions.py",
    "tests/integration/adapters/test_mongo_stats_store.py",
    "tests/integration/health/test_passes.py",
    "tests/integration/notify/test_kills.py",
    "tests/integration/notify/test_passes.py",
    "tests/integration/notify/test_volume.py",
)
"""Folders and files that `make check` leaves out; `pytest --durations=0` shows what each takes."""

# A busy machine is no fault of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-docs",
        action="store_true",
        help="write the recordings in docs/ anew instead of checking them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow tests and runs them first, so that no worker waits for the last of them alone."""
    items.sort(key=_place_among_slow)
    for item in items:
        if _place_among_slow(item) < len(SLOW):
            item.add_marker("slow")


def _place_among_slow(item: pytest.Item) -> int:
    return next(
        (place for place, name in enumerate(SLOW) if item.path.is_relative_to(ROOT / name)), len(SLOW)
    )


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[MongoServer]:
    with MongoServer() as running:
        yield running


@pytest.fixture(scope="session")
def mongo_client(mongo_server: MongoServer) -> Iterator[MongoClient[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri, tz_aware=True)
    with client:
        yield client


@pytest.fixture
def mongo_database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """Empty, and gone after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


@pytest.fixture(scope="session")
def kubernetes_double() -> Iterator[KubernetesDouble]:
    """Its pods are not run: they end as the test says."""
    with KubernetesDouble(run=False) as running:
        yield running


@pytest.fixture
def kubernetes_world(kubernetes_double: KubernetesDouble) -> Iterator[KubernetesWorld]:
    """The double as an admin sees it, empty and without faults."""
    with KubernetesWorld(kubernetes_double) as world:
        world.reset()
        yield world
