"""The connection to MongoDB and its timeouts."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError

from flinkjobs.domain.errors import StoreRefusedError

MongoDatabase: TypeAlias = Database[dict[str, Any]]

TIMEOUT_MS: Final = 20_000
SERVER_SELECTION_TIMEOUT_MS: Final = 5_000


def connect(
    uri: str,
    database: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    server_selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
) -> MongoDatabase:
    """The database at this URI. Nothing is sent before the first call.

    Args:
        uri: a MongoDB connection string.
        database: its name.
        timeout_ms: longest silence of a server that was asked. Not pymongo's `timeoutMS`, under which a
            server that is away is looked for just as long, whatever `serverSelectionTimeoutMS` says.
        server_selection_timeout_ms: how long to look for a server that answers.

    Raises:
        StoreRefusedError: the URI cannot be understood. It is not quoted: it holds a password.
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
        )
    except (ConfigurationError, ValueError) as error:
        raise StoreRefusedError(f"MONGODB_URI cannot be used: {type(error).__name__}") from None
    return client[database]
