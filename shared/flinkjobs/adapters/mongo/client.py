"""The connection to MongoDB and its timeouts."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import pymongo
from bson.codec_options import DatetimeConversion
from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import ConfigurationError

from flinkjobs.adapters.mongo.errors import translated, unusable_uri

MongoDatabase: TypeAlias = Database[dict[str, Any]]

TIMEOUT_MS: Final = 20_000
SERVER_SELECTION_TIMEOUT_MS: Final = 5_000


def connect(
    uri: str,
    database: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    server_selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
    only_primary: bool = True,
) -> MongoDatabase:
    """The database at this URI. Nothing is sent before the first call.

    Args:
        uri: a MongoDB connection string.
        database: its name.
        timeout_ms: longest silence of a server that was asked. Not pymongo's `timeoutMS`, under which a
            server that is away is looked for just as long, whatever `serverSelectionTimeoutMS` says.
        server_selection_timeout_ms: how long to look for a server that answers.
        only_primary: reads go to the primary, whatever the URI says: who writes must not decide by old data.

    Raises:
        StoreRefusedError: the URI, or a file that it names, cannot be used.
        StoreUnavailableError: DNS does not resolve the name of a `mongodb+srv` URI.
    """
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            appname="flinkjobs",
            tz_aware=True,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,  # a date beyond the year 9999 costs itself
            serverSelectionTimeoutMS=server_selection_timeout_ms,
            connectTimeoutMS=server_selection_timeout_ms,
            socketTimeoutMS=timeout_ms,
            unicode_decode_error_handler="replace",  # as does text that is not UTF-8
            journal=True,  # a standalone server may forget what it acknowledged without
            w="majority",  # a new primary has it: no failover takes back what was acknowledged
        )
    except (ConfigurationError, OSError, ValueError) as error:
        raise unusable_uri(uri, error) from None  # a traceback would show what `unusable_uri` leaves out
    return client.get_database(database, read_preference=ReadPreference.PRIMARY if only_primary else None)


def may_read_secondaries(database: MongoDatabase) -> bool:
    """Whether a secondary may answer reads, by `readPreference` in the URI."""
    return bool(database.read_preference != ReadPreference.PRIMARY)


def await_server(database: MongoDatabase, *, seconds: float) -> None:
    """Waits until a server answers, longer than any later call does.

    Raises:
        StoreUnavailableError: none answered.
    """
    with translated(), pymongo.timeout(seconds):
        database.client.admin.command("ping")
