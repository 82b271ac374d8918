"""MongoDB: what channels still have to be sent, and the collections `clusters` and `channels`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import structs
from pymongo import DESCENDING, UpdateOne
from pymongo.errors import DuplicateKeyError

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.documents import LISTED_FIELDS, read_record, time_or_none
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.domain.cluster_moves import ClusterMove, ClusterRecord, ClusterStatus
from flinkjobs.domain.history import MOVES_KEPT
from flinkjobs.domain.records import DocumentId
from flinkjobs.ports.notify_store import ChannelState, Pending, Progress

_Document = dict[str, Any]

IS_PENDING: Final[_Document] = {"pending_since": {"$exists": True}}
"""What is pending, in `flink_jobs` and in `clusters`."""
_MARKS: Final = ("pending_since", "delivered", "waiting_for", "history")
_OF_JOBS: Final = LISTED_FIELDS | dict.fromkeys(_MARKS, 1)
_OF_CLUSTERS: Final = dict.fromkeys(("seq", *_MARKS), 1)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTERS: Final = ("set_aside", "delivered", "failed")
_SENT_KEPT: Final = 100
"""Number of events, the newest ones, of which a record keeps when they were sent."""
_NO_LONGER_PENDING: Final = {"pending_since": "", "waiting_for": ""}


class MongoNotifyStore:
    """`flinkjobs.ports.notify_store.NotifyStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._jobs = database["flink_jobs"]
        self._clusters = database["clusters"]
        self._channels = database["channels"]
        self._runs = database["sync_runs"]

    # --- clusters

    def last_pass_at(self) -> datetime | None:
        with translated():
            found = self._runs.find_one({"whole": True}, {"started_at": 1}, sort={"started_at": DESCENDING})
        return time_or_none(found.get("started_at")) if found else None

    def clusters(self) -> Mapping[str, ClusterRecord]:
        with translated():
            return {found["_id"]: _cluster(found) for found in self._clusters.find({}, {"history": 0})}

    def save_cluster(self, before: ClusterRecord, after: ClusterRecord, moves: Sequence[ClusterMove]) -> None:
        names = [name for name in after.__struct_fields__ if name != "name"]
        fields = {name: _plain(getattr(after, name)) for name in names}
        change: _Document = {"$set": fields}
        if moves:
            added = [{name: _plain(value) for name, value in move.known().items()} for move in moves]
            change["$push"] = {"history": {"$each": added, "$slice": -MOVES_KEPT}}
            change["$min"] = {"pending_since": moves[0].at}
        with translated():
            try:
                self._clusters.update_one({"_id": after.name, "seq": before.seq}, change, upsert=True)
            except DuplicateKeyError:  # another pass has moved it
                return

    # --- channels

    def channels(self) -> Mapping[str, ChannelState]:
        with translated():
            return {found["_id"]: read_channel(found) for found in self._channels.find()}

    def save_channel(self, before: ChannelState | None, after: ChannelState) -> None:
        names = [name for name in after.__struct_fields__ if name not in ("name", *_COUNTERS)]
        fields = {
            name: getattr(after, name)
            for name in names
            if before is None or getattr(after, name) != getattr(before, name)
        }
        if before is None:
            change: _Document = {"$setOnInsert": fields | {name: getattr(after, name) for name in _COUNTERS}}
        else:
            added = {name: getattr(after, name) - getattr(before, name) for name in _COUNTERS}
            change = ({"$set": fields} if fields else {}) | {"$inc": added}
        with translated():
            self._channels.update_one({"_id": after.name}, change, upsert=before is None)

    # --- what is pending

    def pending(self, *, waiting_for: Collection[str], limit: int) -> Sequence[Pending]:
        wanted = IS_PENDING | {"waiting_for": {"$in": [None, *sorted(waiting_for)]}}
        with translated():
            clusters = [_pending(found) for found in self._clusters.find(IS_PENDING, _OF_CLUSTERS)]
            jobs = self._jobs.find(wanted, _OF_JOBS, sort={"pending_since": 1}, limit=limit)
            return [*clusters, *map(_pending_job, jobs)]

    def waiting(self, channel: str, *, limit: int) -> Sequence[Pending]:
        wanted = IS_PENDING | {"waiting_for": channel}
        with translated():
            found = self._jobs.find(wanted, _OF_JOBS, sort={"pending_since": 1}, limit=limit)
            return [_pending_job(document) for document in found]

    def count_waiting(self, channel: str) -> int:
        wanted = IS_PENDING | {"waiting_for": channel}
        with translated():
            return self._jobs.count_documents(wanted) + self._clusters.count_documents(wanted)

    def note(self, progress: Sequence[Progress]) -> None:
        for collection, of_jobs in ((self._jobs, True), (self._clusters, False)):
            own = [each for each in progress if (each.pending.record is not None) is of_jobs]
            writes = [write for each in own for write in _writes(each, "revision" if of_jobs else "seq")]
            if writes:
                with translated():
                    collection.bulk_write(writes, ordered=False)

    def retry(self, channel: str | None) -> Sequence[str]:
        wanted = {"removed_at": None} if channel is None else {"_id": channel}
        reset = {"attempts": 0, "next_attempt_at": None, "failing_since": None, "gone_at": None}
        with translated():
            found = sorted(each["_id"] for each in self._channels.find(wanted, {"_id": 1}))
            self._channels.update_many({"_id": {"$in": found}}, {"$set": reset | {"set_aside": 0}})
        return found

    def forget(self, *, before: datetime, limit: int, now: datetime) -> None:
        is_new = {"$elemMatch": {"at": {"$gte": before}}}
        old = {"pending_since": {"$lt": before}, "history": {"$not": is_new}}
        with translated():
            self._channels.update_many({"removed_at": None}, {"$set": {"removed_at": now}})
            for collection in (self._jobs, self._clusters):
                ids = [found["_id"] for found in collection.find(old, {"_id": 1}, limit=limit)]
                if ids:
                    collection.update_many({"_id": {"$in": ids}} | old, {"$unset": _NO_LONGER_PENDING})


def _writes(progress: Progress, version: str) -> Iterator[UpdateOne]:
    pending = progress.pending
    found = {"_id": pending.document_id.value}
    if progress.delivered:
        marks = {f"delivered.{channel}": seq for channel, seq in progress.delivered.items()}
        sent = [structs.asdict(each) for each in progress.sent]
        pushed = {"$push": {"notified": {"$each": sent, "$slice": -_SENT_KEPT}}} if sent else {}
        yield UpdateOne(found, {"$max": marks, **pushed})
    as_read = found | {version: pending.version}
    if progress.waiting_for == frozenset():
        yield UpdateOne(as_read, {"$unset": _NO_LONGER_PENDING})
    elif progress.waiting_for is not None and progress.waiting_for != pending.waiting_for:
        yield UpdateOne(as_read, {"$set": {"waiting_for": sorted(progress.waiting_for)}})


def _pending_job(document: _Document) -> Pending:
    record = read_record(document)
    details = {**document, "updated_at": time_or_none(document.get("updated_at"))}
    return _pending(document, record=record, details=details)


def _pending(document: _Document, **of_job: Any) -> Pending:
    """What is not as this version writes it counts as absent: the rest is still delivered."""
    history, delivered = document.get("history"), document.get("delivered")
    moves = [move for move in (history if isinstance(history, list) else ()) if isinstance(move, dict)]
    sent = (delivered if isinstance(delivered, dict) else {}).items()
    return Pending(
        document_id=DocumentId(document["_id"]),
        name=str(document["job_id"] if of_job else document["_id"]),
        version=document.get("revision" if of_job else "seq"),
        since=time_or_none(document.get("pending_since")) or _EARLIEST,
        moves=moves,
        delivered={channel: seq for channel, seq in sent if isinstance(seq, int)},
        waiting_for=frozenset(document.get("waiting_for") or ()),
        **of_job,
    )


def _cluster(document: _Document) -> ClusterRecord:
    known = {name: document[name] for name in ClusterRecord.__struct_fields__ if name in document}
    return ClusterRecord(**known | {"name": document["_id"], "state": ClusterStatus(document["state"])})


def read_channel(document: _Document) -> ChannelState:
    """A document of `channels`; fields of a newer version are ignored."""
    known = {name: document[name] for name in ChannelState.__struct_fields__ if name in document}
    return ChannelState(**known | {"name": document["_id"]})


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value
