"""MongoDB for doctor: whether it is writable, missing indexes, records that need attention."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import DESCENDING

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.conditions import UNHEALTHY
from flinkjobs.adapters.mongo.documents import FOLLOWED, read_record
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.adapters.mongo.indexes import missing_indexes
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.reasons import ENDED_WITHOUT_ID, ReasonCode
from flinkjobs.domain.records import JobRecord, UnreadableRecord

LEASE: Final = "doctor"
"""A lease that no function uses: taking it is a write without effect."""


class MongoProbe(MongoReadStore):
    """`flinkjobs.ports.store.StoreProbe` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        super().__init__(database)
        self._database = database

    def version(self) -> str:
        with translated():
            return str(self._client.server_info()["version"])

    def user(self) -> str | None:
        with translated():
            users = self._client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
        return f"{users[0]['user']}@{users[0]['db']}" if users else None

    def try_write(self) -> None:
        """Takes a lease of its own and gives it back; then changes a record that does not exist."""
        leases = MongoLeaseStore(self._database)
        lease = leases.take_lease(LEASE, holder=uuid.uuid4().hex, ttl_seconds=1)
        if lease is not None:
            leases.release_lease(lease, cursor=None)
        with translated():
            self._jobs.update_one({"_id": ObjectId()}, {"$set": {"revision": 0}})

    def missing_indexes(self) -> Sequence[str]:
        return missing_indexes(self._database)

    def waiting(self, *, submitted_before: datetime) -> Sequence[JobRecord | UnreadableRecord]:
        """Times are compared here: the old platform wrote them as text, which MongoDB keeps apart."""
        return [
            record
            for record in self._records({"status": Status.CREATED.value})
            if isinstance(record, UnreadableRecord) or record.submitted_at < submitted_before
        ]

    def without_id(self, *, submitted_since: datetime) -> Sequence[JobRecord]:
        codes = {"$in": [code.value for code in ENDED_WITHOUT_ID]}
        recent = {"status": Status.FAILED.value, "submitted_at": {"$gte": submitted_since}}
        return self._readable({**recent, "reason.code": codes})

    def unconfirmed(self) -> Sequence[JobRecord]:
        code = ReasonCode.ID_UNCONFIRMED.value
        return self._readable({"status": {"$in": sorted(OPEN)}, "reason.code": code})

    def lost(self, *, since: datetime) -> Sequence[JobRecord]:
        return self._readable({"status": Status.LOST.value, "reason.since": {"$gte": since}})

    def unhealthy(self) -> Sequence[JobRecord]:
        return self._readable(UNHEALTHY)

    def _readable(self, condition: Mapping[str, Any]) -> list[JobRecord]:
        """Every pass reports a record that cannot be read."""
        return [record for record in self._records(condition) if isinstance(record, JobRecord)]

    def _records(self, condition: Mapping[str, Any]) -> Iterator[JobRecord | UnreadableRecord]:
        with translated():
            for document in self._jobs.find(condition, FOLLOWED, sort={"submitted_at": DESCENDING}):
                yield read_record(document)
