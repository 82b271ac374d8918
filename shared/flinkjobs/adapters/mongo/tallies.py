"""MongoDB: all records, counted: the sums of days, and the records of the days that were not summed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection as MongoCollection

from flinkjobs.adapters.mongo.conditions import Document, Index
from flinkjobs.adapters.mongo.indexes import BY_TIME, hinted
from flinkjobs.adapters.mongo.stats_store import (
    BEFORE,
    DAY_MS,
    EPOCH,
    HOUR_MS,
    group_stages,
    has,
    read_sums,
)
from flinkjobs.domain.job_sums import DAY, Sums, day_of
from flinkjobs.ports.read_store import Tally

Jobs = MongoCollection[dict[str, Any]]

FIRST_DATE: Final = DatetimeMS(-(2**63))
_DAYS_APART: Final = 30
"""Days: greater ages are rounded down to a multiple of it."""
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


def tally(
    jobs: Jobs, stats: Jobs, now: datetime, begins: Collection[datetime]
) -> tuple[Sequence[Tally], Sequence[Sums]]:
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
    conditions: list[tuple[Index, Document]] = [
        (BY_TIME, {"submitted_at": span}) for span in _gaps(through, summed)
    ]
    other = {"$and": [{"submitted_at": {"$not": {"$gte": least}}} for least in ("", FIRST_DATE)]}
    conditions += [(BY_TIME, {"submitted_at": {"$gte": ""}}), (BY_TIME, other)]
    if apart:
        conditions.append((_BY_ID, {"_id": {"$in": apart}, "submitted_at": {"$type": "date"}}))
    ages = _ages(now)
    groups = [group for index, condition in conditions for group in _count(jobs, index, condition, ages)]
    return list(map(_tally, groups)), sums


def _count(jobs: Jobs, index: Index, condition: Document, ages: Document) -> list[Document]:
    stages = group_stages(condition, ages)
    return hinted(index, lambda hint: list(jobs.aggregate(stages, **hint)))


def _gaps(through: datetime, summed: Iterable[datetime]) -> Sequence[Document]:
    """The spans of `submitted_at`, of dates, without those of the days that are summed."""
    spans: list[Document] = [{"$gte": FIRST_DATE, "$lt": EPOCH}]
    for day in summed:
        if through < day:
            spans.append({"$gte": through, "$lt": day})
        through = day + DAY
    return [*spans, {"$gte": through}]


def _ages(now: datetime) -> Document:
    """The values that say how old records are, in hours or days."""
    age = {"$subtract": [now, SUBMITTED]}
    days = {"$floor": {"$divide": ["$$age", DAY_MS]}}
    coarse = {"$multiply": [_DAYS_APART, {"$floor": {"$divide": [days, _DAYS_APART]}}]}
    rounded = {
        "$switch": {
            "branches": [
                {"case": {"$not": [has("$$age")]}, "then": None},
                {"case": {"$lt": ["$$age", 0]}, "then": 0},
                {
                    "case": {"$lt": ["$$age", DAY_MS]},
                    "then": {"$floor": {"$divide": ["$$age", HOUR_MS]}},
                },
                {"case": {"$lt": ["$$age", _DAYS_APART * DAY_MS]}, "then": days},
            ],
            "default": coarse,
        }
    }
    unit = {"$cond": [{"$lt": ["$$age", DAY_MS]}, "hours", "days"]}
    return {
        name: {"$let": {"vars": {"age": age}, "in": one}} for name, one in (("age", rounded), ("unit", unit))
    }


def _tally(group: Document) -> Tally:
    key = group["_id"]
    return Tally(
        status=key["status"],
        template_id=key["template_id"],
        age=None if key["age"] is None else int(key["age"]),
        unit=key["unit"],
        has_id=key["has_id"],
        count=group["count"],
        durations=[duration for duration in group["durations"] if duration is not None],
    )
