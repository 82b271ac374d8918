"""The real store of the property test, and what is counted there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore

MARKS = ("pending_since", "delivered", "waiting_for", "notified")
"""The fields of a record that only say what was delivered."""


WRITES = ("insert", "update", "delete", "findAndModify", "bulkWrite")


class Writes(CommandListener):
    """Counts the commands that write.

    Attributes:
        count: to `flink_jobs`, more than what was delivered.
        ended: to any collection, whatever became of them.
    """

    def __init__(self) -> None:
        self.count = self.ended = 0

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in WRITES and event.command.get(event.command_name) == "flink_jobs":
            self.count += not _is_of_marks(event.command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self.ended += event.command_name in WRITES

    def failed(self, event: CommandFailedEvent) -> None:
        self.ended += event.command_name in WRITES


def _is_of_marks(command: Mapping[str, Any]) -> bool:
    """Whether a command writes nothing but marks."""
    changes = [update["u"] for update in command.get("updates", ())]
    named = {name.partition(".")[0] for change in changes for fields in change.values() for name in fields}
    return bool(changes) and named <= {*MARKS}


class Bench:
    """One database of a real MongoDB, the real adapter on it, and the counts over all examples."""

    def __init__(self, uri: str, database: str) -> None:
        self.writes = Writes()
        self.client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            tz_aware=True,
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
            event_listeners=[self.writes],
        )
        self.database = database
        self._database = self.client[database]
        self.store = MongoJobStore(self._database)
        self.lease_store = MongoLeaseStore(self._database)
        self.notify_store = MongoNotifyStore(self._database)
        self.tally: Counter[str] = Counter()
        ensure_indexes(self._database)
        self.jobs = self._database["flink_jobs"]
        self.leases = self._database["leases"]
        self.clusters = self._database["clusters"]
        self.channels = self._database["channels"]
        raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
        self._raw_jobs = self.jobs.with_options(codec_options=raw)
        self._documents: dict[str, bytes] = {}
        self._read_at = -1

    def close(self) -> None:
        """Drops the database."""
        self.client.drop_database(self.database)
        self.client.close()

    def clear(self) -> None:
        """Every collection empty."""
        for name in ("flink_jobs", "leases", "sync_runs", "clusters", "channels"):
            self._database[name].delete_many({})

    def documents(self) -> dict[str, bytes]:
        """Every record as its bytes, by job id, without the marks of delivery; read again after a write."""
        if self._read_at != (ended := self.writes.ended):
            found = self._raw_jobs.find({}, dict.fromkeys(MARKS, 0))
            self._documents = {document["job_id"]: bytes(document.raw) for document in found}
            self._read_at = ended
        return self._documents

    def revisions(self) -> dict[str, tuple[str, int | None]]:
        """Status and revision of every record."""
        found = self.jobs.find({}, {"job_id": 1, "status": 1, "revision": 1})
        return {each["job_id"]: (each["status"], each.get("revision")) for each in found}

    def written_by(self, run_id: str) -> dict[str, str]:
        """The statuses of the records that bear the mark of a run."""
        marked = self.jobs.find({"synced_by": run_id}, {"job_id": 1, "status": 1})
        return {document["job_id"]: document["status"] for document in marked}
