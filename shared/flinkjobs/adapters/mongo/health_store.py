"""MongoDB: the collection `health_marks`, one document for each job that moved or checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pymongo import DeleteOne, ReplaceOne, UpdateOne

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.documents import plain, read_value
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.domain.health_values import LatestState, Mark
from flinkjobs.ports.health_store import Marks

COLLECTION: Final = "health_marks"
_CLUSTER: Final = "cluster "
"""Begins the `_id` of a document that says how far a cluster's jobs are known."""


class MongoHealthStore:
    """`flinkjobs.ports.health_store.HealthStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._marks = database[COLLECTION]
        self._jobs = database["flink_jobs"]

    def load(self) -> Marks:
        with translated():
            found = list(self._marks.find())
        of_clusters = [each for each in found if str(each["_id"]).startswith(_CLUSTER)]
        return Marks(
            by_id={mark.flink_job_id: mark for mark in read_marks(found)},
            known_until={
                each["_id"].removeprefix(_CLUSTER): (each["start_ms"], each["flink_job_id"])
                for each in of_clusters
            },
        )

    def owners(self, flink_job_ids: Collection[str]) -> Mapping[str, tuple[str, str | None]]:
        wanted = set(flink_job_ids)
        keys = {"_id": 0, "job_id": 1, "template_id": 1, "flink_job_ids": 1, "flink_job_id": 1}
        ids = {"$in": sorted(wanted)}
        owners: dict[str, tuple[str, str | None]] = {}
        with translated():
            for found in self._jobs.find({"$or": [{"flink_job_ids": ids}, {"flink_job_id": ids}]}, keys):
                own = {found.get("flink_job_id"), *(found.get("flink_job_ids") or ())}
                owners |= dict.fromkeys(wanted & own, (found["job_id"], found.get("template_id")))
        return owners

    def save(self, before: Marks, after: Marks) -> None:
        writes: list[Any] = [
            ReplaceOne({"_id": id_}, {"_id": id_, **plain(mark)}, upsert=True)
            for id_, mark in after.by_id.items()
            if mark != before.by_id.get(id_)
        ]
        writes += [DeleteOne({"_id": id_}) for id_ in before.by_id.keys() - after.by_id.keys()]
        for cluster, (start_ms, id_) in after.known_until.items():
            if before.known_until.get(cluster) != (start_ms, id_):
                document = {"start_ms": start_ms, "flink_job_id": id_}
                writes.append(ReplaceOne({"_id": f"{_CLUSTER}{cluster}"}, document, upsert=True))
        if writes:
            with translated():
                self._marks.bulk_write(writes, ordered=False)

    def keep_states(self, states: Mapping[str, LatestState]) -> None:
        writes = [
            UpdateOne({"job_id": job_id}, {"$set": {"latest_state": plain(state)}})
            for job_id, state in states.items()
        ]
        if writes:
            with translated():
                self._jobs.bulk_write(writes, ordered=False)


def read_marks(found: Any) -> list[Mark]:
    """The marks; one of a newer version is begun anew."""
    marks = (read_value(document, Mark) for document in found)
    return [mark for mark in marks if mark is not None]
