"""MongoDB: the collection `leases`. Every time in it is the server's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.ports.lease import Lease

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MongoLeaseStore:
    """`flinkjobs.ports.lease.LeaseStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._leases = database.get_collection(
            "leases", write_concern=_without_journal(database.write_concern)
        )

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        taken = {"holder": holder, "expires_at": _from_now(ttl_seconds)}
        with translated():
            found = self._leases.find_one_and_update(
                {"_id": name, "$expr": {"$lte": ["$expires_at", "$$NOW"]}},
                [{"$set": {**taken, "fence": {"$add": ["$fence", 1]}}}],
                return_document=ReturnDocument.AFTER,
            )
            if found is None:
                found = self._first_lease(name, taken)
        if found is None:
            return None
        return Lease(name=name, holder=holder, fence=found["fence"], cursor=found.get("cursor"))

    def _first_lease(self, name: str, taken: Mapping[str, Any]) -> dict[str, Any] | None:
        """Makes the lease where there is none yet, already run out, and takes it; None when it is held."""
        try:
            self._leases.insert_one({"_id": name, "holder": None, "expires_at": _LONG_AGO, "fence": 0})
        except DuplicateKeyError:
            return None
        return self._leases.find_one_and_update(
            {"_id": name, "fence": 0},
            [{"$set": {**taken, "fence": 1}}],
            return_document=ReturnDocument.AFTER,
        )

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        return self._change_lease(lease, {"expires_at": _from_now(ttl_seconds)})

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        return self._change_lease(
            lease, {"holder": None, "expires_at": _LONG_AGO, "cursor": {"$literal": cursor}}
        )

    def cursor_of_lease(self, name: str) -> str | None:
        with translated():
            found = self._leases.find_one({"_id": name}, {"cursor": 1})
        return found.get("cursor") if found else None

    def _change_lease(self, lease: Lease, fields: Mapping[str, Any]) -> bool:
        ours = {"_id": lease.name, "holder": lease.holder, "fence": lease.fence}
        with translated():
            return self._leases.update_one(ours, [{"$set": dict(fields)}]).matched_count == 1


def _without_journal(concern: WriteConcern) -> WriteConcern:
    """Of a lease: if a server that crashes forgets it, its holder finds it gone before the next write."""
    return WriteConcern(**{name: value for name, value in concern.document.items() if name != "j"})


def _from_now(seconds: float) -> dict[str, Any]:
    """A time by the server's clock: an aggregation expression for an update."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}
