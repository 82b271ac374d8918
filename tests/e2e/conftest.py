"""The whole stack, once for each file of tests: real MongoDB, real Flink, pods that run `flink run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from local.stack import Stack

SPEED = 60.0
"""`*/3 * * * *` ticks every three seconds."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Passes run by schedule; a finished Kubernetes Job may be deleted at once, when a test calls cleanup.

    The schedule of cleanup is paused: at this speed, its hour would come in one of twelve runs.
    """
    settings = {"CLEANUP_RETENTION_HOURS": "0", "LOST_AFTER_SECONDS": "5"}
    with Stack(environ={}, settings=settings, speed=SPEED) as running:
        _, cleanup = running.create_schedules()
        running.schedules.pause(cleanup.name)
        yield running


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Database[dict[str, Any]]]:
    """The database that the functions of the stack write to."""
    client: MongoClient[dict[str, Any]] = MongoClient(stack.mongodb_uri, tz_aware=True)
    with client:
        yield client["lemo_recommender"]


@pytest.fixture(scope="module")
def quiet_stack() -> Iterator[Stack]:
    """A stack whose passes are run by the tests alone, with a History Server."""
    with Stack(environ={}, settings={"LOST_AFTER_SECONDS": "3"}, history_server=True) as running:
        yield running
