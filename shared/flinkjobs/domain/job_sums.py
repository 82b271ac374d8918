"""Sums of the records of a day: counts by status and template, and durations as a sketch that merges. Pure.

A sketch counts durations in buckets whose bounds grow by a constant factor: a percentile out of it is within
`ACCURACY` of the duration at its rank. Counts, average, minimum and maximum stay exact.
https://www.vldb.org/pvldb/vol12/p2195-masson.pdf
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from ddsketch.mapping import LogarithmicMapping

ACCURACY: Final = 0.01
"""Maximum relative error of a percentile."""
BAR_ENDS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
"""Upper bounds of the duration histogram's buckets, in seconds; the last bucket has none."""
OTHER_TEMPLATES: Final = "*"
"""Stands for the templates with fewer jobs, where there are too many to be kept one by one."""

K = TypeVar("K")
V = TypeVar("V")
DAY: Final = timedelta(days=1)
HOURS: Final = 24
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Records of earlier days are not summed."""
SUMMED_AFTER: Final = timedelta(hours=1)
"""A day is summed when it has ended as long ago: what was submitted in it is written by then."""
_LEAST: Final = 0.000_1
"""Shorter durations, and negative ones, share a bucket: times have milliseconds."""


@cache
def _mapping() -> LogarithmicMapping:
    from ddsketch.mapping import LogarithmicMapping  # noqa: PLC0415 - only where a day has durations

    return LogarithmicMapping(ACCURACY)


class Durations(msgspec.Struct, frozen=True):
    """Durations of FINISHED jobs, in seconds; at least one.

    Attributes:
        total: their sum: a float, and what it lacks for the exact sum.
        buckets: how many there are in each bucket of the sketch.
    """

    count: int
    total: tuple[float, float]
    least: float
    most: float
    buckets: Mapping[int, int]

    @classmethod
    def of(cls, values: Sequence[float]) -> Durations | None:
        """The durations of these jobs, those that are finite numbers; None without any."""
        finite = [float(value) for value in values if math.isfinite(value)]
        if not finite:
            return None
        key = _mapping().key
        buckets = Counter(key(max(value, _LEAST)) for value in finite)
        return cls(len(finite), exact_sum(finite), min(finite), max(finite), buckets)

    @property
    def average(self) -> float:
        """Of all of them."""
        return math.fsum(self.total) / self.count

    def percentiles(self, *percents: int) -> list[float]:
        """Each within `ACCURACY` of the nearest-rank percentile."""
        keys = sorted(self.buckets)
        passed = list(accumulate(map(self.buckets.__getitem__, keys)))
        ranks = [max(-(-self.count * percent // 100), 1) for percent in percents]
        values = [_mapping().value(keys[bisect_left(passed, rank)]) for rank in ranks]
        return [min(max(value, self.least), self.most) for value in values]


def exact_sum(values: Sequence[float]) -> tuple[float, float]:
    """The sum as a float, and what rounding has taken from it."""
    total = math.fsum(values)
    return total, math.fsum([*values, -total])


def merged(durations: Iterable[Durations | None]) -> Durations | None:
    """All of these durations; None without any."""
    some = [one for one in durations if one is not None]
    if len(some) < 2:  # noqa: PLR2004 - nothing to merge
        return some[0] if some else None
    some.sort(key=lambda one: len(one.buckets))
    buckets = dict(some[-1].buckets)
    for one in some[:-1]:
        for key, count in one.buckets.items():
            buckets[key] = buckets.get(key, 0) + count
    return Durations(
        count=sum(one.count for one in some),
        total=exact_sum([part for one in some for part in one.total]),
        least=min(one.least for one in some),
        most=max(one.most for one in some),
        buckets=buckets,
    )


class Row(msgspec.Struct, frozen=True):
    """Records with the same values.

    Attributes:
        status: None where it is no text; `template_id` likewise.
        has_id: a Flink job of theirs is known.
        durations: of those that are FINISHED.
        stopped: how many of them a stop has ended.
    """

    status: str | None
    template_id: str | None
    has_id: bool
    count: int
    durations: Durations | None = None
    stopped: int = 0


class Sums(msgspec.Struct, frozen=True):
    """The sums of one day, or of several that follow one another.

    Attributes:
        rows: by status, template and whether there is an id.
        hours: by day and status, the number of records at each hour after midnight, rounded up: 0 to 24.
        bars: the duration histogram.
        durations: of all rows.
        begin: a midnight, UTC.
        end: likewise; the first day that is not among them.
    """

    rows: Sequence[Row] = ()
    hours: Sequence[tuple[datetime, str | None, Sequence[int]]] = ()
    bars: Sequence[int] = ()
    durations: Durations | None = None
    begin: datetime = EPOCH
    end: datetime = EPOCH


class Group(msgspec.Struct, frozen=True):
    """Records of a day with the same values, as the store counts them; `durations` in seconds."""

    status: str | None
    template_id: str | None
    has_id: bool
    hour: int
    count: int
    durations: Sequence[float] = ()
    stopped: int = 0


def sums_of(groups: Iterable[Group], day: datetime) -> Sums:
    """The sums of these records of a day."""
    counts: Counter[tuple[str | None, str | None, bool]] = Counter()
    stopped: Counter[tuple[str | None, str | None, bool]] = Counter()
    hours: defaultdict[str | None, list[int]] = defaultdict(lambda: [0] * (HOURS + 1))
    values: defaultdict[tuple[str | None, str | None, bool], list[float]] = defaultdict(list)
    for group in groups:
        key = (group.status, group.template_id, group.has_id)
        counts[key] += group.count
        stopped[key] += group.stopped
        hours[group.status][group.hour] += group.count
        values[key] += group.durations
    rows = [Row(*key, count, Durations.of(values[key]), stopped[key]) for key, count in _in_order(counts)]
    every = [value for some in values.values() for value in some]
    by_hour = [(day, status, each) for status, each in _in_order(hours)]
    return Sums(rows, by_hour, bars_of(every), Durations.of(every), day, day + DAY)


def add(spans: Sequence[Sums], *, templates: int | None = None) -> Sums:
    """All of these sums together, without their days.

    Args:
        spans: to be added.
        templates: maximum number of templates that are kept one by one, those with the most jobs.
    """
    by_key: defaultdict[tuple[str | None, str | None, bool], list[Row]] = defaultdict(list)
    hours: dict[tuple[datetime, str | None], Sequence[int]] = {}
    bars = [0] * (len(BAR_ENDS) + 1)
    for sums in spans:
        for row in sums.rows:
            by_key[row.status, row.template_id, row.has_id].append(row)
        for day, status, counts in sums.hours:
            before = hours.get((day, status), [0] * len(counts))
            hours[day, status] = [one + other for one, other in zip(before, counts, strict=True)]
        for place, count in enumerate(sums.bars):
            bars[place] += count
    if templates is not None:
        by_key = _folded(by_key, templates)
    rows = [
        Row(
            *key,
            sum(row.count for row in rows),
            merged(row.durations for row in rows),
            sum(row.stopped for row in rows),
        )
        for key, rows in _in_order(by_key)
    ]
    durations = merged(sums.durations for sums in spans)
    return Sums(rows, [(*key, counts) for key, counts in _in_order(hours)], bars, durations)


def _folded(
    by_key: Mapping[tuple[str | None, str | None, bool], list[Row]], templates: int
) -> defaultdict[tuple[str | None, str | None, bool], list[Row]]:
    jobs: Counter[str | None] = Counter()
    for (_, template_id, _), rows in by_key.items():
        jobs[template_id] += sum(row.count for row in rows)
    kept = {template_id for template_id, _ in jobs.most_common(templates)}
    folded: defaultdict[tuple[str | None, str | None, bool], list[Row]] = defaultdict(list)
    for (status, template_id, has_id), rows in by_key.items():
        folded[status, template_id if template_id in kept else OTHER_TEMPLATES, has_id] += rows
    return folded


def _in_order(held: Mapping[K, V]) -> list[tuple[K, V]]:
    return sorted(held.items(), key=lambda item: str(item[0]))


def bars_of(durations: Iterable[float]) -> list[int]:
    """The duration histogram: how many durations each bucket holds."""
    bars = Counter(bisect_left(BAR_ENDS, duration) for duration in durations if math.isfinite(duration))
    return [bars[place] for place in range(len(BAR_ENDS) + 1)]


def day_of(time: datetime) -> datetime:
    """The midnight, UTC, at which the day of this time began."""
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
