"""Administration of MongoDB: missing indexes, and the dates that the old platform wrote as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, TypeAlias

from pymongo import UpdateOne

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.documents import read_time
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.adapters.mongo.indexes import ensure_indexes, missing_indexes
from flinkjobs.adapters.mongo.stats_store import COLLECTION as STATS
from flinkjobs.adapters.mongo.stats_store import ids_by_day, note_late
from flinkjobs.domain.text import cut
from flinkjobs.ports.store_admin import Converted, UnreadableDate

Document: TypeAlias = dict[str, Any]

DATE_FIELDS: Final = (
    "submitted_at",
    "start_time",
    "end_time",
    "updated_at",
    "missing_since",
    "in_flight_until",
)
"""The fields of a record that hold a date; the old platform wrote ISO 8601 texts into some of them."""

BATCH: Final = 500
"""Records that are converted by one write."""


class MongoAdmin:
    """`flinkjobs.ports.store.StoreAdmin` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._jobs = database["flink_jobs"]
        self._stats = database[STATS]

    def missing_indexes(self) -> tuple[str, ...]:
        return missing_indexes(self._database)

    def ensure_indexes(self) -> None:
        ensure_indexes(self._database)

    def count_text_dates(self) -> int:
        with translated():
            return self._jobs.count_documents(_HOLDS_TEXT)

    def convert_dates(self, *, dry_run: bool) -> Iterator[Converted]:
        with translated():
            fields = {"job_id": 1, **dict.fromkeys(DATE_FIELDS, 1)}
            documents: list[Document] = []
            for document in self._jobs.find(_HOLDS_TEXT, fields, batch_size=BATCH):
                documents.append(document)
                if len(documents) == BATCH:
                    yield self._convert(documents, dry_run=dry_run)
                    documents = []
            if documents:
                yield self._convert(documents, dry_run=dry_run)

    def _convert(self, documents: list[Document], *, dry_run: bool) -> Converted:
        writes: list[UpdateOne] = []
        unreadable: list[UnreadableDate] = []
        submitted: list[tuple[Any, datetime]] = []
        values = 0
        for document in documents:
            texts = {name: document[name] for name in DATE_FIELDS if isinstance(document.get(name), str)}
            dates = {name: date for name, text in texts.items() if (date := _date(text)) is not None}
            unreadable += [
                UnreadableDate(job_id=str(document.get("job_id")), field=name, text=cut(text, 80))
                for name, text in texts.items()
                if name not in dates
            ]
            if dates:
                values += len(dates)
                submitted += [(document["_id"], dates["submitted_at"])] if "submitted_at" in dates else []
                as_read = {name: texts[name] for name in dates}
                writes.append(UpdateOne({"_id": document["_id"], **as_read}, {"$set": dates}))
        converted = len(writes)
        if writes and not dry_run:
            note_late(self._stats, ids_by_day(submitted))
            converted = self._jobs.bulk_write(writes, ordered=False).matched_count
        return Converted(
            records=len(documents),
            converted=converted,
            values=values,
            conflicts=len(writes) - converted,
            unreadable=tuple(unreadable),
        )

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._database.client.close()


_HOLDS_TEXT: Final = {"$or": [{name: {"$type": "string"}} for name in DATE_FIELDS]}


def _date(text: str) -> datetime | None:
    """What a pass reads from this text; None where it cannot read it."""
    try:
        return read_time(text)
    except (ValueError, OverflowError):
        return None
