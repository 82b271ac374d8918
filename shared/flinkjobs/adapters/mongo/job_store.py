"""MongoDB: the collection `flink_jobs`, the job templates and the reports of runs.

Documents of the old platform are read too: ISO strings where dates belong, and without the newer fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from msgspec.structs import replace
from pymongo.errors import BulkWriteError, DuplicateKeyError

from flinkjobs.adapters.mongo import runs, unmanaged
from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.documents import (
    FOLLOWED,
    conditional_update,
    new_document,
    newest_with_id,
    packed_log,
    read_record,
    readable,
    settled_state,
    with_move,
)
from flinkjobs.adapters.mongo.errors import refused_job_ids, translated
from flinkjobs.adapters.mongo.health_store import COLLECTION as HEALTH_MARKS
from flinkjobs.adapters.mongo.stats_store import COLLECTION as STATS
from flinkjobs.adapters.mongo.stats_store import ids_by_day, note_late
from flinkjobs.domain.batches import chunks
from flinkjobs.domain.errors import (
    DuplicateJobIdError,
    InFlightError,
)
from flinkjobs.domain.flink_states import FINAL, OPEN, Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.job_sums import SUMMED_AFTER
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, Reason, UnreadableRecord
from flinkjobs.domain.transition import Update
from flinkjobs.domain.unmanaged import UnmanagedJob
from flinkjobs.ports.store import NO_FINGERPRINTS, Applied, SeenJob, Settled, Submitted, SubmitterLog

RECORDS_PER_BATCH: Final = 1_000
"""Maximum number of records in one answer of MongoDB."""

KEYS_PER_BATCH: Final = 50_000
"""Maximum number of fingerprints in one answer of MongoDB, about 5 MB."""


class MongoJobStore:
    """`flinkjobs.ports.store.JobStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._jobs = database["flink_jobs"]
        self._runs = database["sync_runs"]
        self._cleanup_runs = database["cleanup_runs"]
        self._templates = database["job_templates"]
        self._unmanaged = database[unmanaged.COLLECTION]
        self._stats = database[STATS]
        self._marks = database[HEALTH_MARKS]
        self._client = database.client

    def insert(self, record: JobRecord, details: Mapping[str, Any], *, now: datetime | None = None) -> None:
        document = new_document(record, details, now=now or record.submitted_at)
        with translated():
            if now is not None and now - record.submitted_at > SUMMED_AFTER:
                document["_id"] = ObjectId()
                note_late(self._stats, ids_by_day([(document["_id"], record.submitted_at)]))
            try:
                self._jobs.insert_one(document)
            except DuplicateKeyError as error:
                taken = (error.details or {}).get("keyPattern") or {}
                if "idempotency_key" in taken:
                    raise InFlightError("another request with this idempotency key came first") from error
                if "run_of" in taken:
                    message = f"another request runs {record.run_of} again, and came first"
                    raise InFlightError(message) from error
                raise DuplicateJobIdError(f"a record {record.job_id} exists already") from error

    def submitted_with(self, idempotency_key: str) -> Submitted | None:
        with translated():
            found = self._jobs.find_one({"idempotency_key": idempotency_key})
        return None if found is None else _submitted(found)

    def submission_with_id(self, any_id: str) -> Submitted | None:
        with translated():
            found = newest_with_id(self._jobs, any_id)
        return None if found is None else _submitted(found)

    def runs_of(self, job_id: str) -> Sequence[JobRecord]:
        with translated():
            found = [
                *self._jobs.find({"job_id": job_id}, FOLLOWED),
                *self._jobs.find({"run_of": job_id}, FOLLOWED),
            ]
        return [readable(document) for document in found]

    def awaits_state(self, record: JobRecord) -> bool:
        marked = {"_id": {"$in": list(record.flink_job_ids)}, "settings": {"$ne": None}}
        with translated():
            return record.status in FINAL and self._marks.find_one(marked, {"_id": 1}) is not None

    def take_up(self, record: JobRecord, *, until: datetime) -> JobRecord | None:
        unchanged = {"job_id": record.job_id, "status": Status.CREATED.value, "revision": record.revision}
        revision = record.next_revision
        with translated():
            result = self._jobs.update_one(
                unchanged, {"$set": {"in_flight_until": until, "revision": revision}}
            )
        return replace(record, in_flight_until=until, revision=revision) if result.matched_count else None

    def accept(self, job_id: str, *, now: datetime) -> bool:
        codes = (ReasonCode.K8S_JOB_MISSING.value, ReasonCode.CANCELLED_BEFORE_START.value)
        given_up = {"status": {"$in": sorted(FINAL)}, "reason.code": {"$in": codes}}
        with translated():
            result = self._jobs.update_one(
                {"job_id": job_id, "status": {"$nin": sorted(FINAL)}},
                {
                    "$set": {"in_flight_until": None, "updated_at": now},
                    "$unset": {"pod_template": ""},
                    "$inc": {"revision": 1},
                },
            )
            if result.matched_count:
                return True
            return self._jobs.find_one({"job_id": job_id, **given_up}, {"_id": 1}) is None

    def template(self, template_id: str) -> Mapping[str, Any] | None:
        with translated():
            return self._templates.find_one({"template_id": template_id}, {"_id": 0})

    def fingerprints(self, status: Status) -> Iterator[str]:
        query = {"status": status.value, "fingerprint": {"$gt": ""}}
        keys = {"_id": 0, "fingerprint": 1}
        with translated():
            for document in self._jobs.find(query, keys, batch_size=KEYS_PER_BATCH):
                yield document["fingerprint"]

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        fingerprints: Mapping[Status, Sequence[str]] = NO_FINGERPRINTS,
        job_ids: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> Iterator[JobRecord | UnreadableRecord]:
        is_open: dict[str, Any] = {"status": {"$in": sorted(OPEN)}}
        lost: dict[str, Any] = {"status": Status.LOST.value, "missing_since": {"$gte": lost_since}}
        # Its own write may move a record to where the run reads later.
        others = {} if run_id is None else {"synced_by": {"$ne": run_id}}
        if job_ids is None:
            query: dict[str, Any] = {"$or": [is_open | {"fingerprint": None}, lost]}
        else:
            query = {"job_id": {"$in": sorted(job_ids)}, "$or": [is_open, lost]}
        with translated():
            found = self._jobs.find(query | others, FOLLOWED, batch_size=RECORDS_PER_BATCH)
            yield from map(read_record, found)
            for status, group in _in_groups(fingerprints):
                changed = {"status": status.value, "fingerprint": {"$in": group}} | others
                found = self._jobs.find(changed, FOLLOWED, batch_size=RECORDS_PER_BATCH)
                yield from map(read_record, found)

    def owners(self, flink_job_ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        wanted = set(flink_job_ids)
        found: dict[str, set[str]] = defaultdict(set)
        ids = {"$in": sorted(wanted)}
        query = {"$or": [{"flink_job_ids": ids}, {"flink_job_id": ids}]}  # the old platform wrote only one
        keys = {"_id": 0, "job_id": 1, "flink_job_ids": 1, "flink_job_id": 1}
        with translated():
            for document in self._jobs.find(query, keys):
                own = {document.get("flink_job_id"), *(document.get("flink_job_ids") or ())}
                for flink_job_id in wanted & own:
                    found[flink_job_id].add(document["job_id"])
        return {flink_job_id: frozenset(job_ids) for flink_job_id, job_ids in found.items()}

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        if not updates:
            return Applied(job_ids=frozenset(), conflicts=frozenset())
        wanted = frozenset(update.after.job_id for update in updates)
        refused: dict[str, str] = {}
        with translated():
            try:
                result = self._jobs.bulk_write(
                    [conditional_update(update, now=now, run_id=run_id, by=by) for update in updates],
                    ordered=False,
                )
            except BulkWriteError as error:
                refused = refused_job_ids(error, updates)
            else:
                if result.matched_count == len(updates):
                    return Applied(job_ids=wanted, conflicts=frozenset())
            ours = {"job_id": {"$in": sorted(wanted)}, "synced_by": run_id}
            written = frozenset(document["job_id"] for document in self._jobs.find(ours, {"job_id": 1}))
        return Applied(job_ids=written, conflicts=wanted - written - refused.keys(), refused=refused)

    def save_unmanaged(self, cluster: str, jobs: Sequence[UnmanagedJob], *, seen_at: datetime) -> None:
        document = unmanaged.document_of(cluster, jobs, seen_at=seen_at)
        same = {"_id": cluster, "digest": document["digest"]}
        with translated():
            if not self._unmanaged.update_one(same, {"$set": {"seen_at": seen_at}}).matched_count:
                self._unmanaged.replace_one({"_id": cluster}, document, upsert=True)

    def unmanaged(self, flink_job_id: str) -> SeenJob | None:
        with translated():
            found = self._unmanaged.find_one(
                {"jobs.flink_job_id": flink_job_id}, {"seen_at": 1, "count": 1, "jobs.$": 1}
            )
        if found is None:
            return None
        kept = unmanaged.read_document(found)
        return SeenJob(cluster=kept.cluster, seen_at=kept.seen_at, job=kept.jobs[0])

    def forget_unmanaged(self, cluster: str, flink_job_id: str) -> None:
        change = {
            "$pull": {"jobs": {"flink_job_id": flink_job_id}},
            "$inc": {"count": -1},
            "$set": {"digest": None},
        }
        with translated():
            self._unmanaged.update_one({"_id": cluster, "jobs.flink_job_id": flink_job_id}, change)

    def fail_submission(self, job_id: str, *, code: ReasonCode, message: str, now: datetime) -> bool:
        waiting = {"job_id": job_id, "status": Status.CREATED.value, "flink_job_id": None}
        with translated():
            # Repeated where another writer came in between: the record may still be CREATED.
            while (found := self._jobs.find_one(waiting, FOLLOWED)) is not None:
                before = readable(found)
                reason = Reason(code=code, message=message, since=now)
                after = replace(before, status=Status.FAILED, reason=reason)
                failed = {
                    "status": Status.FAILED.value,
                    "reason": {"code": code.value, "message": message, "since": now},
                    "submitter_done": True,
                    "stuck_since": None,
                    "in_flight_until": None,
                    "updated_at": now,
                    "revision": before.next_revision,
                }
                unchanged = {**waiting, "_id": found["_id"], "revision": before.revision}
                change = with_move(failed, before, after, at=now, by=Writer.SUBMIT)
                change["$unset"] = {"pod_template": ""}
                if self._jobs.update_one(unchanged, change).matched_count:
                    return True
        return False

    def settled(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Settled]]:
        names = ("job_id", "status", "flink_job_id", "submitter_done", "k8s_job_name", "updated_at")
        found: dict[str, list[Settled]] = {}
        with translated():
            for document in self._jobs.find({"job_id": {"$in": sorted(job_ids)}}, dict.fromkeys(names, 1)):
                found.setdefault(document["job_id"], []).append(settled_state(document))
        return found

    def save_run(self, report: Mapping[str, Any]) -> None:
        with translated():
            self._runs.insert_one(dict(report))

    def save_tick(self, invocation: str, report: Mapping[str, Any]) -> None:
        with translated():
            self._runs.replace_one({"_id": invocation}, dict(report), upsert=True)

    def last_complete_pass_at(self) -> datetime | None:
        with translated():
            return runs.last_complete_at(self._runs)

    def save_notified(
        self, run_id: str, started_at: datetime, notified: Mapping[str, Mapping[str, int]]
    ) -> None:
        with translated():
            self._runs.update_one(
                {"started_at": started_at, "run_id": run_id}, {"$set": {"notified": notified}}
            )

    def specs_without_log(self, job_ids: Collection[str]) -> Mapping[str, Sequence[Any]]:
        wanted = {"job_id": {"$in": sorted(job_ids)}, "submitter_log": None}
        fields: dict[str, Any] = {"job_id": 1, "spec": 1}
        without_script = {"$unset": "spec.script.inline"}
        stages: list[Mapping[str, Any]] = [{"$match": wanted}, {"$project": fields}, without_script]
        found: dict[str, list[Any]] = {}
        with translated():
            for document in self._jobs.aggregate(stages) if job_ids else ():
                found.setdefault(document["job_id"], []).append(document.get("spec"))
        return found

    def save_submitter_log(self, job_id: str, k8s_job_name: str, log: SubmitterLog) -> bool:
        kept = packed_log(log)
        with translated():
            of_the_job = {"job_id": job_id, "k8s_job_name": {"$in": [k8s_job_name, None]}}
            result = self._jobs.update_many(of_the_job, {"$set": {"submitter_log": kept}})
        return result.matched_count > 0

    def save_cleanup_run(self, report: Mapping[str, Any]) -> None:
        with translated():
            self._cleanup_runs.insert_one(dict(report))

    def ping(self) -> None:
        with translated():
            self._client.admin.command("ping")

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._client.close()


def _submitted(document: Mapping[str, Any]) -> Submitted:
    request_hash = document.get("request_hash", "")
    return Submitted(record=readable(document), request_hash=request_hash, details=document)


def _in_groups(
    fingerprints: Mapping[Status, Sequence[str]],
) -> Iterator[tuple[Status, Sequence[str]]]:
    for status, own in fingerprints.items():
        for group in chunks(own, RECORDS_PER_BATCH):
            yield status, group
