"""Composition root of `flinkjobs indexes`."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing

from flinkjobs.adapters.mongo.admin import MongoAdmin
from flinkjobs.adapters.mongo.client import new_client
from flinkjobs.ports.store_admin import StoreAdmin
from flinkjobs.settings.functions import Settings


def connect_store_admin(settings: Settings) -> AbstractContextManager[StoreAdmin]:
    """What an administrator does to the store, for as long as the block lasts."""
    client = new_client(settings.mongodb_uri)
    return closing(MongoAdmin(client, settings.mongodb_database))
