"""MongoDB: all records, counted: the sums of days, and the records of the days that were not summed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection as MongoCollection

from flinkjobs.adapters.mongo.conditions import Document, Index
from flinkjobs.adapters.mongo.indexes import BY_TIME, hinted
from flinkjobs.adapters.mongo.stats_store import (
    HOUR_MS,
    ROLLED_UP,
    days_of,
    group_stages,
    numbers_of,
    read_sums,
    text_of,
)
from flinkjobs.domain.job_sums import DAY, EPOCH, day_of
from flinkjobs.ports.read_store import Counted, Tally

Jobs = MongoCollection[dict[str, Any]]

FIRST_DATE: Final = DatetimeMS(-(2**63))
HOURS_OF_A_DAY: Final = 24
_BY_ID: Final[Index] = (("_id", 1),)

SUBMITTED: Final = {
    "$switch": {
        "branches": [
            {"case": {"$eq": [{"$type": "$submitted_at"}, "date"]}, "then": "$submitted_at"},
            {
                "case": {"$eq": [{"$type": "$submitted_at"}, "string"]},
                "then": {"$dateFromString": {"dateString": "$submitted_at", "onError": None}},
            },
        ],
        "default": None,
    }
}
"""The time of the submission, whichever form it has; null where there is none."""


def tally(jobs: Jobs, stats: Jobs, now: datetime, begins: Sequence[datetime]) -> Counted:
    """See `flinkjobs.ports.read_store.ReadStore.tallies`."""
    held = _summed(stats, begins)
    others = {"$and": [{"submitted_at": {"$not": {"$gte": least}}} for least in ("", FIRST_DATE)]}
    conditions: list[tuple[Any, Index, Document]] = [
        *(
            ("$submitted_at", BY_TIME, {"submitted_at": span})
            for span in _gaps(FIRST_DATE, map(days_of, held))
        ),
        (SUBMITTED, BY_TIME, {"submitted_at": {"$gte": ""}}),
        (SUBMITTED, BY_TIME, others),
    ]
    if apart := [id_ for document in held for id_ in document["apart"]]:
        late = {"_id": {"$in": apart}, "submitted_at": {"$type": "date"}}
        conditions.append(("$submitted_at", _BY_ID, late))
    tallies, steps = list[Tally](), list[Tally]()
    for time, index, condition in conditions:
        found = _aggregate(jobs, index, group_stages(condition, {"window": _window(time, begins)}))
        tallies += [_tally(group, now, begins) for group in found]
        if found:
            hours = {"$floor": {"$divide": [{"$subtract": [now, time]}, HOUR_MS]}}
            group = {"_id": {"status": "$status", "hours": hours}, "count": {"$sum": 1}}
            steps += map(_step, _aggregate(jobs, index, [{"$match": condition}, {"$group": group}]))
    return Counted(tallies, steps, list(map(read_sums, held)), _edges(jobs, now, begins, held))


def _summed(stats: Jobs, begins: Sequence[datetime]) -> list[Document]:
    """The documents of `job_stats` to be added up, oldest first. No window begins in one of several days."""
    held, end = list[Document](), EPOCH
    for document in stats.find({"_id": {"$in": list(ROLLED_UP)}}, sort={"begin": 1}):
        first, after = days_of(document)
        if end <= first < after and not any(first <= begin < after for begin in begins):
            held.append(document)
            end = after
    days = [{"_id": span} for span in _gaps(EPOCH, map(days_of, held))]
    return sorted([*held, *stats.find({"$or": days})], key=days_of)


def _edges(
    jobs: Jobs, now: datetime, begins: Sequence[datetime], held: Sequence[Document]
) -> Mapping[datetime, Sequence[Tally]]:
    """By the begin of a window, the records of the rest of its day, where this is summed."""
    edges = {}
    days = {document["_id"]: document for document in held}
    for begin in begins:
        document = days.get(day_of(begin))
        if document and not document["retired_at"]:
            rest = {"submitted_at": {"$gt": begin, "$lt": document["_id"] + DAY}}
            stages = group_stages(rest | {"_id": {"$nin": document["apart"]}}, {"window": {"$literal": 0}})
            edges[begin] = [_tally(group, now, begins) for group in _aggregate(jobs, BY_TIME, stages)]
    return edges


def _aggregate(jobs: Jobs, index: Index, stages: list[Document]) -> list[Document]:
    return hinted(index, lambda hint: list(jobs.aggregate(stages, **hint)))


def _window(time: Any, begins: Sequence[datetime]) -> Document:
    """The number of the smallest window that holds a record."""
    branches = [{"case": {"$gt": [time, begin]}, "then": number} for number, begin in enumerate(begins)]
    return {"$switch": {"branches": branches, "default": len(begins)}}


def _gaps(begin: Any, held: Iterable[tuple[datetime, datetime]]) -> Sequence[Document]:
    """The spans of dates from then on, without those that are held, oldest first."""
    spans = list[Document]()
    for first, after in held:
        if begin != first:
            spans.append({"$gte": begin, "$lt": first})
        begin = after
    return [*spans, {"$gte": begin}]


def _tally(group: Document, now: datetime, begins: Sequence[datetime]) -> Tally:
    """Its age is that of the youngest records that its window holds and no smaller one."""
    key = group["_id"]
    number = int(key["window"])
    return Tally(
        status=text_of(key.get("status")),
        template_id=text_of(key.get("template_id")),
        age=(now - begins[number - 1]).days if number else 0,
        unit="days" if number else "hours",
        has_id=key["has_id"],
        count=group["count"],
        durations=numbers_of(group["durations"]),
        stopped=group["stopped"],
    )


def _step(group: Document) -> Tally:
    hours = group["_id"]["hours"]
    age = None if hours is None else max(int(hours), 0)
    return Tally(
        status=text_of(group["_id"].get("status")),
        template_id=None,
        age=age if age is None or age < HOURS_OF_A_DAY else age // HOURS_OF_A_DAY,
        unit="hours" if age is None or age < HOURS_OF_A_DAY else "days",
        has_id=False,
        count=group["count"],
        durations=(),
    )
