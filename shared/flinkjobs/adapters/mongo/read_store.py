"""MongoDB for the read side: lists, one record, and statistics of `flink_jobs`.

Every query is answered from an index of `mongo.JOB_INDEXES`, and reads as many documents as it returns. The
planner cannot know that, so the index is named; where it is missing, because no function that may create it
has run yet, the query is answered without it. Nothing is written: a user with the role `read` is enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import pymongo
from bson import json_util
from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING, DESCENDING

from flinkjobs.adapters.mongo import runs, unmanaged
from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.conditions import (
    KEYS_CHECKED,
    MAX_FOUND,
    RECORDS_CHECKED,
    UNHEALTHY,
    Document,
    Index,
    Plan,
    bounds_after,
    bounds_before,
    newest_first,
    plan_of,
    submitted_between,
    text_conditions,
)
from flinkjobs.adapters.mongo.documents import (
    LISTED_FIELDS,
    newest_with_id,
    read_record,
    time_or_none,
    unpacked_log,
)
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.adapters.mongo.health_store import COLLECTION as HEALTH_MARKS
from flinkjobs.adapters.mongo.health_store import read_marks
from flinkjobs.adapters.mongo.indexes import (
    BY_HEALTH,
    BY_STATUS,
    BY_TEMPLATE,
    BY_TEMPLATE_AND_STATUS,
    BY_TIME,
    hinted,
)
from flinkjobs.adapters.mongo.notify_store import IS_PENDING, read_channel
from flinkjobs.adapters.mongo.stats_store import COLLECTION as STATS
from flinkjobs.adapters.mongo.stats_store import has
from flinkjobs.adapters.mongo.tallies import SUBMITTED, tally
from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.health_values import HealthState, Mark
from flinkjobs.domain.job_query import Filter, Form, Place, Row, ScanEnd, Sort
from flinkjobs.domain.unmanaged import UnmanagedJob, UnmanagedJobs
from flinkjobs.ports.read_store import Backlog, Cause, Counted, TemplateHealth

T = TypeVar("T")
SHOWN_FIELDS: Final = LISTED_FIELDS | dict.fromkeys(("spec", "submitter_log", "history", "notified"), 1)

NEWEST_FIRST: Final = {"submitted_at": DESCENDING, "_id": DESCENDING}
ERRORS_KEPT: Final = 20
"""Errors of a pass that are read."""

_NO_LIMIT: Final = 2**62
"""A `$limit` that keeps the stages behind it behind it: they then work on the index's keys."""
COUNTED: Final = KEYS_CHECKED
"""Up to here the records of a status are counted."""
_KNOWN: Final = [status.value for status in Status]
_BY_STATUS: Final[Mapping[Index, Index]] = {BY_TIME: BY_STATUS, BY_TEMPLATE: BY_TEMPLATE_AND_STATUS}
"""Of the index of a list: the one whose keys are the same records, status by status."""
ANSWER_SECONDS: Final = 2.5
"""How long a server may take to say that it is there; what it is asked for may take longer."""


class MongoReadStore:
    """`flinkjobs.ports.store.ReadStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase) -> None:
        self._jobs = database["flink_jobs"]
        self._runs = database["sync_runs"]
        self._cleanups = database["cleanup_runs"]
        self._clusters = database["clusters"]
        self._channels = database["channels"]
        self._unmanaged = database[unmanaged.COLLECTION]
        self._marks = database[HEALTH_MARKS]
        self._stats = database[STATS]
        self._client = database.client

    # --- lists --------------------------------------------------------------------------------------

    def search(self, text: str) -> Sequence[Any] | None:
        with translated():
            conditions = {"$or": text_conditions(text)}
            found = list(self._jobs.find(conditions, {"_id": 1}, limit=MAX_FOUND + 1))
        return [document["_id"] for document in found] if len(found) <= MAX_FOUND else None

    def rows(
        self,
        form: Form,
        wanted: Filter,
        *,
        after: Place | None,
        limit: int,
        ids: Collection[Any] | None = None,
        with_history: bool = False,
    ) -> Sequence[Row | ScanEnd]:
        plan, order = plan_of(wanted, ids), newest_first(wanted.sort)
        fields = LISTED_FIELDS | {"history": 1} if with_history else LISTED_FIELDS
        found: list[Row | ScanEnd] = []
        with translated():
            for bounds in bounds_after(form, wanted, after):
                if missing := limit - len(found):
                    condition = {"$and": [bounds, plan.within]}
                    if plan.checked and ids is None:
                        some = self._matching(condition, plan.index, plan.checked, missing, order, plan.most)
                        documents = self._by_id(some, fields)
                    else:
                        condition["$and"] += plan.checked
                        documents = self._newest(condition, plan.index, order, missing, fields)
                    found += [_row(document, wanted.sort) for document in documents]
                    if plan.checked and ids is None and len(documents) < missing:
                        found += self._end_of_scan(condition, plan, wanted.sort)
                        if isinstance(found[-1] if found else None, ScanEnd):
                            break
        return found

    def _end_of_scan(self, condition: Document, plan: Plan, sort: Sort) -> list[ScanEnd]:
        """The last place that was searched, where there may be more behind it."""
        last = hinted(
            plan.index,
            lambda hint: list(
                self._jobs.find(
                    condition, {sort.value: 1}, sort=newest_first(sort), skip=plan.most - 1, limit=1, **hint
                )
            ),
        )
        return [ScanEnd(_place(document, sort), time_or_none(document.get(sort))) for document in last]

    def _newest(
        self,
        condition: Document,
        index: Index,
        order: Mapping[str, int],
        limit: int,
        fields: Document = LISTED_FIELDS,
    ) -> list[Document]:
        return hinted(
            index,
            lambda hint: list(self._jobs.find(condition, fields, sort=order, limit=limit, **hint)),
        )

    def count_before(
        self,
        form: Form,
        wanted: Filter,
        last: Place | None,
        *,
        limit: int,
        ids: Collection[Any] | None = None,
    ) -> int:
        counted, plan = 0, plan_of(wanted, ids)
        with translated():
            for bounds in bounds_before(form, wanted, last):
                within = {"$and": [bounds, plan.within]}
                stages: list[Document] = [{"$match": within}, {"$sort": newest_first(wanted.sort)}]
                if plan.checked:
                    stages += [{"$limit": plan.most}, {"$match": {"$and": plan.checked}}]
                    if self._is_longer(within, plan.index, plan.most):
                        return limit
                stages += [{"$limit": limit - counted}, {"$count": "count"}]
                if counted < limit:
                    counted += sum(found["count"] for found in self._aggregate(stages, plan.index))
        return counted

    def _is_longer(self, within: Document, index: Index, most: int) -> bool:
        """Whether one query cannot check all of these keys."""
        return most < self._count(within, index, most + 1)

    def _matching(
        self,
        condition: Document,
        index: Index,
        also: Sequence[Document],
        limit: int,
        order: Mapping[str, int],
        most: int,
    ) -> list[Any]:
        """The `_id`s of the newest that meet all; the other conditions are checked on the index's keys."""
        stages: list[Document] = [
            {"$match": condition},
            {"$sort": order},
            {"$limit": most},
            {"$match": {"$and": also}},
            {"$limit": limit},
            {"$project": {"_id": 1}},
        ]
        return [found["_id"] for found in self._aggregate(stages, index)]

    def _by_id(self, ids: Sequence[Any], fields: Document = LISTED_FIELDS) -> list[Document]:
        """The documents in the order of the ids; one that was deleted in between is left out."""
        if not ids:
            return []
        found = {
            json_util.dumps(document["_id"]): document
            for document in self._jobs.find({"_id": {"$in": list(ids)}}, fields)
        }
        return [found[key] for key in map(json_util.dumps, ids) if key in found]

    def counts(
        self, wanted: Filter, *, ids: Collection[Any] | None = None
    ) -> tuple[Mapping[str | None, int], Collection[str]]:
        is_bounded = wanted.since is not None or wanted.before is not None
        forms: Iterable[Form | None] = (Form.DATE, Form.TEXT) if is_bounded else (None,)
        every = replace(wanted, statuses=(), sort=Sort.SUBMITTED)
        plan = plan_of(every, ids)
        totals: Counter[str | None] = Counter()
        more: set[str] = set()
        with translated():
            for form in forms:
                bounds = {} if form is None else submitted_between(form, wanted)
                within = {"$and": [bounds, plan.within]}
                if plan.index in _BY_STATUS and not plan.checked:
                    for status in _KNOWN:
                        of_status = within | {"status": status}
                        totals[status] += self._count(of_status, _BY_STATUS[plan.index], COUNTED + 1)
                else:
                    is_longer = bool(plan.checked) and self._is_longer(within, plan.index, COUNTED)
                    counted = self._counted(within, plan, RECORDS_CHECKED if is_longer else COUNTED + 1)
                    totals += counted
                    if is_longer or counted.total() > COUNTED:
                        more |= set(_KNOWN)
        return totals, more | {status for status in _KNOWN if totals[status] > COUNTED}

    def _counted(self, within: Document, plan: Plan, most: int) -> Counter[str | None]:
        stages: list[Document] = [{"$match": within}, {"$sort": NEWEST_FIRST}, {"$limit": most}]
        stages += [{"$match": {"$and": plan.checked}}] if plan.checked else []
        stages += [{"$group": {"_id": "$status", "count": {"$sum": 1}}}]
        return Counter({group["_id"]: group["count"] for group in self._aggregate(stages, plan.index)})

    def _count(self, condition: Document, index: Index, limit: int) -> int:
        """How many records meet a condition, up to the limit.

        By the server's command `count`, which examines the index's keys alone. The driver's `count_documents`
        aggregates, which takes three times as long for each key; what it calls an estimate sends `count` with
        these arguments, and is exact with a condition, on a sharded cluster too.
        https://jira.mongodb.org/browse/SERVER-3645
        """
        return hinted(
            index,
            lambda hint: self._jobs.estimated_document_count(query=condition, limit=limit, **hint),
        )

    # --- one record ---------------------------------------------------------------------------------

    def look_up(self, any_id: str) -> Row | None:
        with translated():
            found = newest_with_id(self._jobs, any_id, SHOWN_FIELDS)
        return None if found is None else _row(found)

    # --- statistics ---------------------------------------------------------------------------------

    def tallies(self, now: datetime, begins: Sequence[datetime]) -> Counted:
        with translated():
            return tally(self._jobs, self._stats, now, begins)

    def causes(self, *, created_before: datetime, failed_since: datetime, examples: int) -> Sequence[Cause]:
        created, failed = Status.CREATED.value, Status.FAILED.value
        recent = Filter(since=failed_since)
        conditions = [
            {"status": created},
            *({"status": failed, **submitted_between(form, recent)} for form in (Form.DATE, Form.TEXT)),
        ]
        waits = {"$and": [{"$eq": ["$status", created]}, {"$not": [has("$reason.code")]}]}
        normal = {"$and": [waits, _is_not_before(created_before)]}
        count = {"$group": {"_id": {"status": "$status", "code": "$reason.code"}, "count": {"$sum": 1}}}
        counted: Counter[tuple[str, str | None]] = Counter()
        ids: dict[tuple[str, str | None], list[str]] = {}
        with translated():
            for condition in conditions:
                odd = {"$match": {"$expr": {"$not": [normal]}}}
                stages: list[Document] = [{"$match": condition}, {"$limit": _NO_LIMIT}, odd, count]
                for group in self._aggregate(stages, BY_STATUS):
                    cause = (group["_id"]["status"], group["_id"].get("code"))
                    counted[cause] += group["count"]
                    held = ids.setdefault(cause, [])
                    held += self._examples(condition, cause[1], created_before, examples - len(held))
        causes = [
            Cause(status=status, code=code, count=count, job_ids=ids[status, code])
            for (status, code), count in sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))
        ]
        return [*causes, *self._unhealthy(examples)]

    def _unhealthy(self, examples: int) -> list[Cause]:
        """The open records that are unhealthy, by code."""
        count = {"$group": {"_id": "$health.code", "count": {"$sum": 1}}}
        causes = list[Cause]()
        with translated():
            for group in self._aggregate([{"$match": UNHEALTHY}, count], BY_HEALTH):
                same = {**UNHEALTHY, "health.code": group["_id"]}
                newest = self._newest(same, BY_HEALTH, NEWEST_FIRST, examples)
                ids = [str(document.get("job_id")) for document in newest]
                causes.append(Cause(Status.RUNNING.value, group["_id"], group["count"], ids))
        return causes

    def _examples(
        self, condition: Document, code: str | None, created_before: datetime, limit: int
    ) -> list[str]:
        if limit <= 0:
            return []
        also: Document = {"reason.code": code}
        if code is None and condition["status"] == Status.CREATED.value:
            also["$expr"] = {"$not": [_is_not_before(created_before)]}
        ids = self._matching(condition, BY_STATUS, [also], limit, NEWEST_FIRST, _NO_LIMIT)
        return [str(document.get("job_id")) for document in self._by_id(ids)]

    # --- health -------------------------------------------------------------------------------------

    def marks_of(self, flink_job_ids: Collection[str]) -> Sequence[Mark]:
        with translated():
            return read_marks(self._marks.find({"_id": {"$in": list(flink_job_ids)}}))

    def health_counts(self, unreachable: Collection[str]) -> Mapping[tuple[Status, HealthState], int]:
        away = {"$in": sorted(unreachable)}
        count = {"$group": {"_id": {"status": "$status", "state": "$health.state"}, "count": {"$sum": 1}}}
        written = {"health.state": {"$in": sorted(HealthState)}, "cluster": {"$not": away}}
        unknown = {"status": {"$in": sorted(OPEN)}, "cluster": away}
        counted: Counter[tuple[Status, HealthState]] = Counter()
        with translated():
            for group in self._aggregate([{"$match": written}, count], BY_HEALTH):
                counted[Status(group["_id"]["status"]), HealthState(group["_id"]["state"])] += group["count"]
            for group in self._aggregate([{"$match": unknown}, count], BY_STATUS) if unreachable else ():
                counted[Status(group["_id"]["status"]), HealthState.UNKNOWN] += group["count"]
        return counted

    def health_by_template(self) -> Sequence[TemplateHealth]:
        """Of the jobs that moved within the window, or that checkpoint."""
        stages: list[Document] = [
            {"$match": {"job_id": {"$gt": ""}}},
            {
                "$group": {
                    "_id": "$template_id",
                    "restarts": {"$sum": "$health.restarts"},
                    "oldest": {"$min": "$checkpoint.completed_at"},
                }
            },
        ]
        with translated():
            found = list(self._marks.aggregate(stages))
        return [TemplateHealth(each["_id"], each["restarts"], each["oldest"]) for each in found]

    # --- unmanaged jobs -----------------------------------------------------------------------------

    def unmanaged(self) -> Sequence[UnmanagedJobs]:
        with translated():
            return [unmanaged.read_document(found) for found in self._unmanaged.find(sort={"_id": ASCENDING})]

    def twins(self, job_id: str) -> Sequence[UnmanagedJob]:
        is_twin = {"$in": [job_id, "$$job.twin_of"]}
        own = {"$filter": {"input": "$jobs", "as": "job", "cond": is_twin}}
        stages: list[Document] = [{"$match": {"jobs.twin_of": job_id}}, {"$set": {"jobs": own}}]
        with translated():
            return [
                job
                for found in self._unmanaged.aggregate(stages)
                for job in unmanaged.read_document(found).jobs
            ]

    # --- runs ---------------------------------------------------------------------------------------

    def last_runs(self, *, limit: int) -> Sequence[Mapping[str, Any]]:
        fields = {"_id": 0, "errors": {"$slice": ERRORS_KEPT}}
        with translated():
            return list(self._runs.find(runs.WHOLE, fields, sort={"started_at": DESCENDING}, limit=limit))

    def last_complete_run(self) -> datetime | None:
        with translated():
            return runs.last_complete_at(self._runs)

    def last_cleanup(self) -> Mapping[str, Any] | None:
        fields = {"_id": 0, "errors": {"$slice": ERRORS_KEPT}}
        with translated():
            return self._cleanups.find_one(
                {**runs.DATED, "dry_run": {"$ne": True}}, fields, sort={"started_at": DESCENDING}
            )

    # --- notifications ------------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        pending, oldest = 0, list[datetime]()
        with translated():
            channels = [read_channel(found) for found in self._channels.find({}, sort={"_id": 1})]
            for collection in (self._jobs, self._clusters):
                pending += collection.count_documents(IS_PENDING)
                first = collection.find_one(IS_PENDING, {"pending_since": 1}, sort={"pending_since": 1})
                if first and isinstance(first["pending_since"], datetime):
                    oldest.append(first["pending_since"])
            waiting = {
                channel.name: sum(
                    collection.count_documents(IS_PENDING | {"waiting_for": channel.name})
                    for collection in (self._jobs, self._clusters)
                )
                for channel in channels
            }
        return Backlog(pending, min(oldest, default=None), waiting, channels)

    def ping(self) -> None:
        with translated(), pymongo.timeout(ANSWER_SECONDS):
            self._client.admin.command("ping")

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._client.close()

    def _aggregate(self, stages: Sequence[Document], index: Index) -> list[Document]:
        return hinted(index, lambda hint: list(self._jobs.aggregate(list(stages), **hint)))


# --- documents --------------------------------------------------------------------------------------


def _row(document: Document, sort: Sort = Sort.SUBMITTED) -> Row:
    details = {**document, "updated_at": time_or_none(document.get("updated_at"))}
    if "submitter_log" in document:
        details["submitter_log"] = unpacked_log(document["submitter_log"])
    return Row(
        place=_place(document, sort),
        time=time_or_none(document.get(sort)),
        record=read_record(document),
        details=details,
    )


def _place(document: Document, sort: Sort) -> Place:
    stored = document.get(sort)
    at: int | str | None = None
    if isinstance(stored, datetime | DatetimeMS):
        at = int(stored if isinstance(stored, DatetimeMS) else DatetimeMS(stored))
    elif isinstance(stored, str):
        at = stored
    return Place(at=at, id=json_util.dumps(document["_id"]))


def _is_not_before(time: datetime) -> Document:
    """Whether a record was submitted then or later, or does not say when."""
    return {"$not": [{"$and": [{"$ne": [SUBMITTED, None]}, {"$lt": [SUBMITTED, time]}]}]}
