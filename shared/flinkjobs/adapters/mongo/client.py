"""The MongoDB client and its timeouts."""

from __future__ import annotations

from typing import Any, Final

from bson.codec_options import DatetimeConversion
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
)

from flinkjobs.domain.errors import (
    StoreRefusedError,
)

TIMEOUT_MS: Final = 20_000
SERVER_SELECTION_TIMEOUT_MS: Final = 5_000


def new_client(
    uri: str,
    *,
    timeout_ms: int = TIMEOUT_MS,
    server_selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
) -> MongoClient[dict[str, Any]]:
    """A connection pool for `connect`, with its arguments and errors."""
    try:
        return MongoClient(
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
