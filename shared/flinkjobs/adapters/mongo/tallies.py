"""MongoDB: all records, counted: the sums of days, and the records of the days that were not summed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection as MongoCollection

from flinkjobs.adapters.mongo.conditions import Document, Index
from flinkjobs.adapters.mongo.indexes import BY_TIME, hinted
from flinkjobs.adapters.mongo.stats_store import (
    BEFORE,
    EPOCH,
    HOUR_MS,
    group_stages,
    numbers_of,
    read_sums,
    text_of,
)
from flinkjobs.domain.job_sums import DAY, Sums, day_of
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
    before = stats.find_one({"_id": BEFORE})
    sums, apart, through = list[Sums](), list[Any](), EPOCH
    if before is not None:
        sums, apart, through = [read_sums(before)], list(before["apart"]), before["through"]
    edges, summed = {day_of(begin) for begin in begins}, list[datetime]()
    for held in stats.find({"_id": {"$gte": through}}, sort={"_id": 1}):
        if held["_id"] not in edges or held["retired_at"]:
            sums.append(read_sums(held))
            apart += held["apart"]
            summed.append(held["_id"])
    dates: list[tuple[Index, Document]] = [
        (BY_TIME, {"submitted_at": span}) for span in _gaps(through, summed)
    ]
    other = {"$and": [{"submitted_at": {"$not": {"$gte": least}}} for least in ("", FIRST_DATE)]}
    others: list[tuple[Index, Document]] = [(BY_TIME, {"submitted_at": {"$gte": ""}}), (BY_TIME, other)]
    if apart:
        dates.append((_BY_ID, {"_id": {"$in": apart}, "submitted_at": {"$type": "date"}}))
    tallies, steps = list[Tally](), list[Tally]()
    for time, conditions in (("$submitted_at", dates), (SUBMITTED, others)):
        window = {"window": _window(time, begins)}
        hours = {"$floor": {"$divide": [{"$subtract": [now, time]}, HOUR_MS]}}
        by_hour: Document = {"$group": {"_id": {"status": "$status", "hours": hours}, "count": {"$sum": 1}}}
        for index, condition in conditions:
            found = _aggregate(jobs, index, group_stages(condition, window))
            tallies += [_tally(group, now, begins) for group in found]
            if found:
                steps += map(_step, _aggregate(jobs, index, [{"$match": condition}, by_hour]))
    return Counted(tallies, steps, sums)


def _aggregate(jobs: Jobs, index: Index, stages: list[Document]) -> list[Document]:
    return hinted(index, lambda hint: list(jobs.aggregate(stages, **hint)))


def _window(time: Any, begins: Sequence[datetime]) -> Document:
    """The number of the smallest window that holds a record."""
    branches = [{"case": {"$gt": [time, begin]}, "then": number} for number, begin in enumerate(begins)]
    return {"$switch": {"branches": branches, "default": len(begins)}}


def _gaps(through: datetime, summed: Iterable[datetime]) -> Sequence[Document]:
    """The spans of `submitted_at`, of dates, without those of the days that are summed."""
    spans: list[Document] = [{"$gte": FIRST_DATE, "$lt": EPOCH}]
    for day in summed:
        if through < day:
            spans.append({"$gte": through, "$lt": day})
        through = day + DAY
    return [*spans, {"$gte": through}]


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
