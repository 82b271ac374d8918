"""Composition root of `flinkjobs notify retry`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.ports.notify_store import NotifyStore
from flinkjobs.settings.functions import Settings


@contextmanager
def connect_notify_store(settings: Settings) -> Iterator[NotifyStore]:
    """The store of the channels, for as long as the block lasts."""
    database = connect(settings.mongodb_uri, settings.mongodb_database)
    with database.client:
        yield MongoNotifyStore(database)
