"""MongoDB: the retention of the records of `flink_jobs`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DeleteOne

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.domain.errors import PermanentError
from flinkjobs.domain.flink_states import FINAL, Status
from flinkjobs.ports.record_store import Expiry

_DAY: Final = timedelta(days=1)
_FIRST_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BY_DAY: Final = {"submitted_at": ASCENDING}
_PER_BATCH: Final = 500
"""Maximum number of records in one answer of MongoDB."""
_WHOLE: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Reads documents without replacing anything."""


class MongoRecordStore:
    """`flinkjobs.ports.record_store.RecordStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._jobs = database["flink_jobs"]

    def expired_days(self, expiry: Expiry) -> Iterator[datetime]:
        submitted: dict[str, Any] = {"$gte": _FIRST_DAY, "$lt": _midnight(expiry.before)}
        while True:
            wanted = {"submitted_at": submitted, **_expired(expiry), **_unused(expiry)}
            with translated():
                found = self._jobs.find_one(wanted, {"submitted_at": 1}, sort=_BY_DAY)
            if found is None:
                return
            day = _midnight(found["submitted_at"])
            yield day
            submitted["$gte"] = day + _DAY

    def count_expired(self, day: datetime, expiry: Expiry) -> int:
        with translated():
            return self._jobs.count_documents(_of_day(day) | _expired(expiry) | _unused(expiry))

    def delete_expired(
        self, day: datetime, expiry: Expiry, *, but: Collection[Any], limit: int
    ) -> tuple[int, int]:
        expired = _expired(expiry)
        wanted = _of_day(day) | expired | _unused(expiry) | {"_id": {"$nin": list(but)}}
        with translated():
            ids = [found["_id"] for found in self._jobs.find(wanted, {"_id": 1}, limit=limit)]
            if not ids:
                return 0, 0
            # One by one: the driver may repeat such a write after a failover, and it still counts once.
            writes = [DeleteOne({"_id": own, **expired}, hint="_id_") for own in ids]
            return len(ids), self._jobs.bulk_write(writes, ordered=False).deleted_count

    def export(self, before: datetime) -> Iterator[str]:
        """Streams the records submitted before a time as Extended JSON, each in one line, the oldest first.

        Dates that are texts are compared as the old platform wrote them.

        Raises:
            PermanentError: JSON cannot hold a record whole.
        """
        text = before.replace(tzinfo=None).isoformat()
        jobs = self._jobs.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
        for bound in (before, text):
            with translated():
                found = jobs.find({"submitted_at": {"$lt": bound}}, sort=_BY_DAY, batch_size=_PER_BATCH)
                for document in found:
                    yield _exported(bytes(document.raw))


def _exported(raw: bytes) -> str:
    """A document in one line; a text that is not UTF-8, which MongoDB takes, has no form in JSON."""
    try:
        return json_util.dumps(bson.decode(raw, _WHOLE), ensure_ascii=False)
    except InvalidBSON as error:
        readable = bson.decode(raw, _WHOLE.with_options(unicode_decode_error_handler="replace"))
        raise PermanentError(f"the record {readable.get('job_id')!r} cannot be exported: {error}") from error


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _of_day(day: datetime) -> dict[str, Any]:
    return {"submitted_at": {"$gte": day, "$lt": day + _DAY}}


def _expired(expiry: Expiry) -> dict[str, Any]:
    """The conditions but the time of the submission."""
    recent = {"$not": {"$gte": expiry.before}}
    is_over = [
        {"status": {"$in": sorted(FINAL)}},
        {"status": Status.LOST.value, "missing_since": {"$not": {"$gte": expiry.lost_before}}},
    ]
    return {
        "$or": is_over,
        "end_time": recent,
        "updated_at": recent,
        "open_action_since": {"$exists": False},
        "pending_since": {"$exists": False},
    }


def _unused(expiry: Expiry) -> dict[str, Any]:
    return {"job_id": {"$nin": sorted(expiry.in_use)}}
