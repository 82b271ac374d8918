"""Leases in a real MongoDB; the tests of the passes show that they keep two apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from doubles.processes import free_port
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.domain.errors import StoreUnavailableError
from flinkjobs.ports.lease import Lease

OURS = Lease(name="sync", holder="a", fence=1, cursor=None)


def test_the_cursor_of_a_lease_is_what_its_last_holder_left(mongo_database: Database[dict[str, Any]]) -> None:
    store = MongoLeaseStore(mongo_database)
    assert store.cursor_of_lease("cleanup") is None
    lease = store.take_lease("cleanup", holder="a", ttl_seconds=60)
    assert lease is not None
    assert store.cursor_of_lease("cleanup") is None
    assert store.release_lease(lease, cursor="$here")
    assert store.cursor_of_lease("cleanup") == "$here"


def test_a_lease_that_was_taken_over_is_neither_renewed_nor_released(
    mongo_database: Database[dict[str, Any]],
) -> None:
    store = MongoLeaseStore(mongo_database)
    slow = store.take_lease("sync", holder="a", ttl_seconds=0)
    assert slow is not None
    taken = store.take_lease("sync", holder="b", ttl_seconds=60)
    assert taken is not None
    assert taken.fence > slow.fence
    assert not store.renew_lease(slow, ttl_seconds=60)
    assert not store.release_lease(slow, cursor="mine")
    assert store.take_lease("sync", holder="c", ttl_seconds=60) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.take_lease("sync", holder="a", ttl_seconds=1),
        lambda store: store.renew_lease(OURS, ttl_seconds=1),
        lambda store: store.release_lease(OURS, cursor=None),
        lambda store: store.cursor_of_lease("sync"),
    ],
    ids=["take", "renew", "release", "cursor"],
)
def test_a_server_that_is_away_is_unavailable(call: Callable[[MongoLeaseStore], object]) -> None:
    database = connect(f"mongodb://127.0.0.1:{free_port()}", "db", server_selection_timeout_ms=100)
    with pytest.raises(StoreUnavailableError, match="MongoDB did not answer"):
        call(MongoLeaseStore(database))
    database.client.close()
