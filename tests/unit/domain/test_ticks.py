"""The plan of follow mode, each rule a row of `tests/data/ticks.yaml`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.ticks import end_of_invocation, is_submitter_due, next_tick

ROWS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "ticks.yaml").read_text(encoding="utf-8")
)
BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
EVERY = timedelta(seconds=5)


def at(text: str | None) -> datetime | None:
    if text is None:
        return None
    minutes, seconds = text.split(":")
    return BEGIN + timedelta(minutes=int(minutes), seconds=int(seconds))


def time_at(text: str) -> datetime:
    found = at(text)
    assert found is not None
    return found


def rows(table: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", ROWS[table], ids=[row["rule"] for row in ROWS[table]])


@rows("ends")
def test_an_invocation_ends_as_in_the_row(row: dict[str, Any]) -> None:
    assert at(row["ends"]) == end_of_invocation(time_at(row["began"]))


@rows("ticks")
def test_the_next_tick_begins_as_in_the_row(row: dict[str, Any]) -> None:
    found = next_tick(time_at(row["first"]), time_at(row["ended"]), EVERY, at(row["ends"]))
    assert at(row["next"]) == found


@rows("due")
def test_a_submitter_is_due_as_in_the_row(row: dict[str, Any]) -> None:
    submitted_at = time_at(row.get("submitted", "0:00"))
    assert row["due"] == is_submitter_due(submitted_at, time_at(row["now"]), at(row["last"]))


@pytest.mark.parametrize("delay_ms", range(0, 2_001, 250))
def test_the_ticks_of_a_minute_leave_no_longer_gap_than_eleven_seconds(delay_ms: int) -> None:
    """Two calls that come 0 to 2 s late: from the last tick of one to the first of the next."""
    first = tick = BEGIN + timedelta(milliseconds=delay_ms)
    while (following := next_tick(first, tick, EVERY, end_of_invocation(first))) is not None:
        assert following - tick == EVERY
        tick = following
    latest_next = BEGIN + timedelta(minutes=1, seconds=2)
    assert latest_next - tick <= timedelta(seconds=11)
