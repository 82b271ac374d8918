"""Sums of days: counts and durations of records, alone and added together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain.job_sums import (
    BAR_ENDS,
    DAY,
    OTHER_TEMPLATES,
    Durations,
    Group,
    Row,
    Sums,
    add,
    bars_of,
    day_of,
    merged,
    sums_of,
)

SECONDS = st.lists(st.floats(min_value=0.001, max_value=1e7), min_size=1, max_size=60)
FINISHED, FAILED = "FINISHED", "FAILED"


def durations(values: Sequence[float]) -> Durations:
    found = Durations.of(values)
    assert found is not None
    return found


@given(values=SECONDS, percent=st.sampled_from([1, 50, 95, 100]))
def test_a_percentile_is_within_one_percent_of_the_duration_at_its_rank(
    values: list[float], percent: int
) -> None:
    exact = sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]
    assert durations(values).percentiles(percent) == [pytest.approx(exact, rel=0.0101)]


@given(parts=st.lists(SECONDS, min_size=1, max_size=5))
def test_durations_of_days_merge_to_those_of_all_their_records(parts: list[list[float]]) -> None:
    values = [value for part in parts for value in part]
    together = merged([durations(part) for part in parts])
    assert together is not None
    assert (together.count, together.least, together.most) == (len(values), min(values), max(values))
    assert together.average == math.fsum(values) / len(values)
    assert together.buckets == durations(values).buckets


def test_durations_that_are_no_numbers_do_not_count() -> None:
    assert Durations.of([math.nan, math.inf]) is None
    assert durations([math.nan, 2.0]).count == 1
    assert merged([None, None]) is None
    assert merged([None, durations([3.0])]) == durations([3.0])


def test_a_histogram_has_a_bucket_up_to_each_bound_and_one_beyond() -> None:
    bars = bars_of([0.5, 1.0, 1.1, 86_400.0, 86_401.0, math.nan])
    assert len(bars) == len(BAR_ENDS) + 1
    assert {place: count for place, count in enumerate(bars) if count} == {0: 2, 1: 1, 13: 1, 14: 1}


def test_groups_are_summed_by_status_template_and_hour() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    summed = sums_of(
        [
            Group(FINISHED, "etl", has_id=True, hour=3, count=2, durations=(10.0, 20.0)),
            Group(FINISHED, "etl", has_id=True, hour=4, count=1, durations=(30.0,)),
            Group(FAILED, None, has_id=False, hour=4, count=5),
        ],
        day,
    )
    assert (summed.begin, summed.end) == (day, day + DAY)
    assert {(row.status, row.template_id, row.has_id): row.count for row in summed.rows} == {
        (FINISHED, "etl", True): 3,
        (FAILED, None, False): 5,
    }
    assert summed.hours == [
        (day, FAILED, [0, 0, 0, 0, 5, *[0] * 20]),
        (day, FINISHED, [0, 0, 0, 2, 1, *[0] * 20]),
    ]
    [average] = [row.durations.average for row in summed.rows if row.durations is not None]
    assert average == 20.0


def test_days_are_added_and_the_smaller_templates_together() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    hours = [(day, FINISHED, [0, 4])]
    rows = [Row(FINISHED, "big", True, 7, stopped=2), Row(FAILED, "small", False, 2)]
    one = Sums(rows, [(day, FINISHED, [7, 0])], [7])
    other = Sums([Row(FINISHED, "big", True, 1, stopped=1), Row(FAILED, "tiny", False, 1)], hours, [1])
    whole = add([one, other], templates=1)
    assert {(row.status, row.template_id, row.has_id): row.count for row in whole.rows} == {
        (FINISHED, "big", True): 8,
        (FAILED, OTHER_TEMPLATES, False): 3,
    }
    assert (whole.hours, whole.bars[0]) == ([(day, FINISHED, [7, 4])], 8)
    assert [row.stopped for row in whole.rows] == [0, 3]
    assert add([one, Sums(hours=[(day + DAY, FAILED, [1])])]).hours == [
        (day, FINISHED, [7, 0]),
        (day + DAY, FAILED, [1]),
    ]
    assert len(add([one, other]).rows) == 3


def test_a_day_begins_at_midnight() -> None:
    noon = datetime(2026, 11, 1, 12, 30, 5, 7, tzinfo=UTC)
    assert day_of(noon) == datetime(2026, 11, 1, tzinfo=UTC)
