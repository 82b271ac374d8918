"""Composition root of the commands that work on MongoDB: `indexes`, `export`, `stats` and `notify retry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from flinkjobs.adapters.mongo.admin import MongoAdmin
from flinkjobs.adapters.mongo.client import MongoDatabase, connect
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.adapters.mongo.record_store import MongoRecordStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.ports.notify_store import NotifyStore
from flinkjobs.ports.stats_store import StatsStore
from flinkjobs.ports.store_admin import StoreAdmin
from flinkjobs.settings.functions import Settings


@contextmanager
def _database(settings: Settings) -> Iterator[MongoDatabase]:
    """The database, for the duration of the block, as is all that follows."""
    database = connect(settings.mongodb_uri, settings.mongodb_database)
    with database.client:
        yield database


@contextmanager
def connect_store_admin(settings: Settings) -> Iterator[StoreAdmin]:
    """Administration of the store."""
    with _database(settings) as database:
        yield MongoAdmin(database)


@contextmanager
def connect_record_export(settings: Settings) -> Iterator[Callable[[datetime], Iterator[str]]]:
    """Streams the records submitted before a time as lines of Extended JSON."""
    with _database(settings) as database:
        yield MongoRecordStore(database).export


@contextmanager
def connect_stats(settings: Settings) -> Iterator[StatsStore]:
    """The sums of days."""
    with _database(settings) as database:
        yield MongoStatsStore(database)


@contextmanager
def connect_notify_store(settings: Settings) -> Iterator[NotifyStore]:
    """The store of the channels."""
    with _database(settings) as database:
        yield MongoNotifyStore(database)
