"""Leases in MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from pymongo.write_concern import WriteConcern

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _without_journal(concern: WriteConcern) -> WriteConcern:
    """Of a lease: if a server that crashes forgets it, its holder finds it gone before the next write."""
    return WriteConcern(**{name: value for name, value in concern.document.items() if name != "j"})


def _from_now(seconds: float) -> dict[str, Any]:
    """A time by the server's clock: an aggregation expression for an update."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}
