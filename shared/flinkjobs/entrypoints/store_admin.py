"""Composition root of `flinkjobs indexes`, `flinkjobs export` and `flinkjobs stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime

from flinkjobs.adapters.mongo.admin import MongoAdmin
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.record_store import MongoRecordStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.ports.stats_store import StatsStore
from flinkjobs.ports.store_admin import StoreAdmin
from flinkjobs.settings.functions import Settings


def connect_store_admin(settings: Settings) -> AbstractContextManager[StoreAdmin]:
    """Administration of the store, for the duration of the block."""
    return closing(MongoAdmin(connect(settings.mongodb_uri, settings.mongodb_database)))


@contextmanager
def connect_record_export(settings: Settings) -> Iterator[Callable[[datetime], Iterator[str]]]:
    """Streams the records submitted before a time as lines of Extended JSON."""
    database = connect(settings.mongodb_uri, settings.mongodb_database)
    with closing(database.client):
        yield MongoRecordStore(database).export


@contextmanager
def connect_stats(settings: Settings) -> Iterator[StatsStore]:
    """The sums of days, for the duration of the block."""
    database = connect(settings.mongodb_uri, settings.mongodb_database)
    with closing(database.client):
        yield MongoStatsStore(database)
