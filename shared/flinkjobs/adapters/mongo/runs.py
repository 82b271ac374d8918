"""MongoDB: what `sync_runs` says of the passes over all records."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pymongo import DESCENDING
from pymongo.collection import Collection

DATED: Final = {"started_at": {"$type": "date"}}

WHOLE: Final = {**DATED, "whole": {"$ne": False}}
"""Passes over all records; one over a few job ids says nothing of the others."""


def last_complete_at(runs: Collection[dict[str, Any]]) -> datetime | None:
    """When the latest complete pass began: of an invocation that follows, its last complete tick."""
    is_complete = {"$or": [{"complete": True}, {"last_complete_at": {"$type": "date"}}]}
    found = runs.find_one(
        {**WHOLE, **is_complete}, {"started_at": 1, "last_complete_at": 1}, sort={"started_at": DESCENDING}
    )
    if found is None:
        return None
    at: datetime = found.get("last_complete_at") or found["started_at"]
    return at
