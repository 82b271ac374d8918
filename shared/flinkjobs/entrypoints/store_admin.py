"""Composition root of `flinkjobs indexes`."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing

from flinkjobs.adapters.mongo.admin import MongoAdmin
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.ports.store_admin import StoreAdmin
from flinkjobs.settings.functions import Settings


def connect_store_admin(settings: Settings) -> AbstractContextManager[StoreAdmin]:
    """Administration of the store, for the duration of the block."""
    return closing(MongoAdmin(connect(settings.mongodb_uri, settings.mongodb_database)))
