"""MongoDB: the sums of days in `job_stats`, and the groups of records that they are made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from bson.decimal128 import Decimal128
from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.conditions import Document
from flinkjobs.adapters.mongo.errors import translated
from flinkjobs.adapters.mongo.indexes import BY_TIME, hinted
from flinkjobs.domain.actions import ActionKind
from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.job_sums import DAY, EPOCH, Durations, Group, Row, Sums, add, day_of, sums_of

COLLECTION: Final = "job_stats"
ROLLED_UP: Final = {"before": (None, 30), "month": (28, 7), "week": (5, 1)}
"""`_id` of the documents with the sums of several days; of the others it is the day. How many days ago the
first of them is, and the first after them: no window begins in them today, nor tomorrow until 23:00."""
MAX_APART: Final = 50_000
"""Maximum number of records that the sums of a day leave apart; a day with more is not summed."""
MAX_TEMPLATES: Final = 200
"""Maximum number of templates that the sums of all earlier days hold one by one."""

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


class MongoStatsStore:
    """`flinkjobs.ports.stats_store.StatsStore` on one MongoDB database."""

    def __init__(self, database: MongoDatabase, *, max_templates: int = MAX_TEMPLATES) -> None:
        """Args: the database, and how many templates the sums of all earlier days hold one by one."""
        self._max_templates = max_templates
        self._jobs = database["flink_jobs"]
        self._stats = database[COLLECTION]

    def changed_days(self, before: datetime, *, every: bool = False) -> Sequence[datetime]:
        day = {"$floor": {"$divide": [{"$subtract": ["$submitted_at", EPOCH]}, DAY_MS]}}
        stages: list[Document] = [
            {"$match": {"submitted_at": {"$gte": EPOCH, "$lt": day_of(before)}}},
            {"$group": {"_id": {"day": day, "status": text_or_null("$status")}, "count": {"$sum": 1}}},
        ]
        present: defaultdict[datetime, Counter[str | None]] = defaultdict(Counter)
        with translated():
            for group in hinted(BY_TIME, lambda hint: list(self._jobs.aggregate(stages, **hint))):
                key = group["_id"]
                present[EPOCH + DAY * int(key["day"])][key["status"]] = group["count"]
            changed = []
            fields = {"seen": 1, "retired_at": 1, "apart": 1}
            for held in self._stats.find({"_id": {"$gte": EPOCH}}, fields):
                found = present.pop(held["_id"], Counter())
                is_changed = bool(held["apart"]) if held["retired_at"] else _pairs(found) != held["seen"]
                changed += [held["_id"]] if is_changed or every else []
        return sorted([*changed, *present])

    def sum_day(self, day: datetime, *, lost_before: datetime) -> bool:
        with translated():
            held = self._stats.find_one({"_id": day})
            if held is not None and held["retired_at"]:
                return self._add_settled(held, lost_before)
            made = self._summed(day, lost_before)
            return made is not None and self._write(day, held, made | {"retired_at": None})

    def retire_day(self, day: datetime, *, lost_before: datetime, now: datetime) -> Sequence[Any] | None:
        with translated():
            held = self._stats.find_one({"_id": day})
            if held is not None and held["retired_at"]:
                is_written = self._add_settled(held, lost_before)
            else:
                made = self._summed(day, lost_before)
                is_written = made is not None and self._write(day, held, made | {"retired_at": now})
            held = self._stats.find_one({"_id": day}, {"apart": 1}) if is_written else None
        return None if held is None else held["apart"]

    def roll_up(self, now: datetime) -> bool:
        today = day_of(now.astimezone(UTC))
        with translated():
            written = [
                self._roll_up(id_, EPOCH if first is None else today - first * DAY, today - end * DAY)
                for id_, (first, end) in ROLLED_UP.items()
            ]
        return all(written)

    def _roll_up(self, id_: str, begin: datetime, limit: datetime) -> bool:
        """Adds up these days, up to the first that has records and no sums."""
        held = self._stats.find_one_and_update(
            {"_id": id_},
            {"$setOnInsert": {"revision": 0, "begin": EPOCH, "end": EPOCH}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        end, sums, apart = begin, list[Sums](), list[Any]()
        for found in self._stats.find({"_id": {"$gte": begin, "$lt": limit}}, sort={"_id": ASCENDING}):
            if self._has_records(end, found["_id"]):
                break
            end = found["_id"] + DAY
            sums.append(read_sums(found))
            apart += found["apart"]
        else:
            end = end if self._has_records(end, limit) else limit
        whole = add(sums, templates=self._max_templates)
        if begin == EPOCH:
            whole = msgspec.structs.replace(whole, hours=())
        return self._write(id_, held, {**_fields(whole), "apart": apart, "begin": begin, "end": end})

    def _has_records(self, begin: datetime, end: datetime) -> bool:
        found = begin < end and self._jobs.find_one({"submitted_at": {"$gte": begin, "$lt": end}}, {"_id": 1})
        return bool(found)

    def differences(self, day: datetime, *, lost_before: datetime) -> Sequence[str]:
        with translated():
            held = self._stats.find_one({"_id": day})
            if held is not None and held["retired_at"]:
                return []
            made = self._summed(day, lost_before) or {}
        return [name for name in made if held is None or held.get(name) != made[name]]

    # --- one day ------------------------------------------------------------------------------------

    def _summed(self, day: datetime, lost_before: datetime) -> Document | None:
        """What the document of a day holds; None where too many records may still change."""
        span = {"submitted_at": {"$gte": day, "$lt": day + DAY}}
        may_change = {**span, "$or": _may_change(lost_before)}
        found = list(self._jobs.find(may_change, {"status": 1}, limit=MAX_APART + 1))
        if len(found) > MAX_APART:
            return None
        apart = sorted((each["_id"] for each in found), key=str)
        groups = self._groups({**span, "_id": {"$nin": apart}, "status": {"$nin": sorted(OPEN)}}, day)
        seen = Counter(str(each["status"]) for each in found)
        for group in groups:
            seen[group.status] += group.count  # type: ignore[index] # None is a key as well
        return {**_fields(sums_of(groups, day)), "apart": apart, "seen": _pairs(seen)}

    def _groups(self, condition: Document, day: datetime) -> list[Group]:
        hour = {"$ceil": {"$divide": [{"$subtract": ["$submitted_at", day]}, HOUR_MS]}}
        stages = group_stages(condition, {"hour": hour})
        found = hinted(BY_TIME, lambda hint: list(self._jobs.aggregate(stages, **hint)))
        return [_group(each) for each in found]

    def _add_settled(self, held: Document, lost_before: datetime) -> bool:
        """Adds to a day whose records may be deleted those that were apart and cannot change any more."""
        day, ids = held["_id"], held["apart"]
        span = {"submitted_at": {"$gte": day, "$lt": day + DAY}, "_id": {"$in": ids}}
        settled = [
            each["_id"] for each in self._jobs.find({**span, "$nor": _may_change(lost_before)}, {"_id": 1})
        ]
        if not settled:
            return True
        groups = self._groups({**span, "_id": {"$in": settled}}, day)
        sums = add([read_sums(held), sums_of(groups, day)])
        return self._write(day, held, {**_fields(sums), "apart": [id_ for id_ in ids if id_ not in settled]})

    def _write(self, id_: Any, held: Document | None, made: Document) -> bool:
        """Writes a document, if it still is as it was read."""
        revision = None if held is None else held["revision"]
        change = {"$set": {**made, "revision": (revision or 0) + 1, "summed_at": datetime.now(UTC)}}
        unchanged = {"_id": id_, "revision": revision}
        try:
            result = self._stats.update_one(unchanged, change, upsert=held is None)
        except DuplicateKeyError:
            return False
        return bool(result.matched_count or result.upserted_id is not None)


def note_late(stats: Collection[Document], ids: Mapping[datetime, Sequence[Any]]) -> None:
    """Leaves records apart that get a date, or are inserted, after their days were summed.

    Before they are written: until then no condition finds them. What `roll_up` has read before, it does not
    write; what it has written before, is found by its days.
    """
    changes = {day: {"$addToSet": {"apart": {"$each": list(late)}}} for day, late in ids.items()}
    again = {"$inc": {"revision": 1}}
    for day, change in changes.items():
        stats.update_one({"_id": day}, change | again)
    stats.update_many({"_id": {"$in": list(ROLLED_UP)}}, again)
    for day, change in changes.items():
        stats.update_many({"begin": {"$lte": day}, "end": {"$gt": day}}, change)


def _may_change(lost_before: datetime) -> list[Document]:
    """Open, or LOST and still watched by sync; or LOST at a time that cannot be compared.

    Or with an action that is followed: what ended the job may become known.
    """
    watched = {"missing_since": {"$not": {"$lt": lost_before}, "$ne": None}}
    is_followed = {"open_action_since": {"$exists": True}}
    return [{"status": {"$in": sorted(OPEN)}}, {"status": Status.LOST.value, **watched}, is_followed]


def group_stages(condition: Document, also: Mapping[str, Any]) -> list[Document]:
    """The stages that count records with the same values, from the keys of `BY_TIME` alone.

    Values stand as they are; `text_of` and `numbers_of` read them. One stage is twice as fast as two.
    """
    is_finished = {"$eq": ["$status", Status.FINISHED.value]}
    values = {"status": "$status", "template_id": "$template_id", "has_id": has("$flink_job_id"), **also}
    durations = {"$push": {"$cond": [is_finished, "$duration", "$$REMOVE"]}}
    stopped = {"$sum": {"$cond": [{"$eq": ["$ended_by", ActionKind.STOP.value]}, 1, 0]}}
    sums = {"count": {"$sum": 1}, "durations": durations, "stopped": stopped}
    return [{"$match": condition}, {"$group": {"_id": values, **sums}}]


def text_of(value: Any) -> str | None:
    """A value that is a text, else None."""
    return value if isinstance(value, str) else None


def numbers_of(values: Iterable[Any]) -> list[float]:
    """Those of the values that are numbers."""
    plain = (value.to_decimal() if isinstance(value, Decimal128) else value for value in values)
    return [
        float(one) for one in plain if isinstance(one, int | float | Decimal) and not isinstance(one, bool)
    ]


def has(field: str) -> Document:
    """Whether a field is there and not null."""
    return {"$gt": [field, None]}


def text_or_null(field: str) -> Document:
    """A field that is a text, else null."""
    return {"$cond": [{"$eq": [{"$type": field}, "string"]}, field, None]}


def _group(found: Document) -> Group:
    key, durations = found["_id"], numbers_of(found["durations"])
    status, template_id = text_of(key.get("status")), text_of(key.get("template_id"))
    counts = found["count"], durations, found["stopped"]
    return Group(status, template_id, key["has_id"], int(key["hour"]), *counts)


# --- documents --------------------------------------------------------------------------------------


def _fields(sums: Sums) -> Document:
    return {
        "rows": [{**msgspec.structs.asdict(row), "durations": _kept(row.durations)} for row in sums.rows],
        "hours": [list(hours) for hours in sums.hours],
        "bars": list(sums.bars),
        "durations": _kept(sums.durations),
    }


def _kept(durations: Durations | None) -> Document | None:
    if durations is None:
        return None
    buckets = [number for pair in sorted(durations.buckets.items()) for number in pair]
    return {**msgspec.structs.asdict(durations), "total": list(durations.total), "buckets": buckets}


def read_sums(document: Mapping[str, Any]) -> Sums:
    """The sums that a document of `job_stats` holds."""
    rows = [
        Row(
            row["status"],
            row["template_id"],
            row["has_id"],
            row["count"],
            _durations(row["durations"]),
            row["stopped"],
        )
        for row in document["rows"]
    ]
    hours = [(day, status, counts) for day, status, counts in document["hours"]]
    return Sums(rows, hours, document["bars"], _durations(document["durations"]), *days_of(document))


def days_of(document: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """The first day that a document of `job_stats` sums, and the first after it that it does not."""
    day = document["_id"]
    return (document["begin"], document["end"]) if day in ROLLED_UP else (day, day + DAY)


def _durations(kept: Mapping[str, Any] | None) -> Durations | None:
    if kept is None:
        return None
    pairs, total = kept["buckets"], kept["total"]
    buckets = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return Durations(kept["count"], (total[0], total[1]), kept["least"], kept["most"], buckets)


def _pairs(counts: Mapping[Any, int]) -> list[list[Any]]:
    return [[status, count] for status, count in sorted(counts.items(), key=str) if count]


def ids_by_day(times: Iterable[tuple[Any, datetime]]) -> Mapping[datetime, Sequence[Any]]:
    """`_id`s by the day of their times."""
    found: defaultdict[datetime, list[Any]] = defaultdict(list)
    for id_, time in times:
        found[day_of(time.astimezone(UTC))].append(id_)
    return found
