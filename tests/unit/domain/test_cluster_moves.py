"""Moves of clusters, each rule a row of `tests/data/cluster_moves.yaml`; and those of sync itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.cluster_moves import (
    SYNC,
    ClusterMove,
    ClusterRecord,
    ClusterStatus,
    after_pass,
    resumed,
)

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "cluster_moves.yaml").read_text(encoding="utf-8")
)
BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
PERIOD = timedelta(minutes=3)


def said(move: ClusterMove) -> list[Any]:
    """A move as a row names it."""
    if move.status is ClusterStatus.JOBS_MISSING:
        return [move.status.value, move.jobs]
    assert move.since is not None
    return [move.status.value, (move.since - BEGIN).total_seconds()]


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_passes_make_the_moves_of_the_row(row: dict[str, Any]) -> None:
    record = ClusterRecord("default")
    seqs: list[int] = []
    for seconds, seen, *moves in row["passes"]:
        now = BEGIN + timedelta(seconds=seconds)
        missing = seen["missing"] if isinstance(seen, dict) else 0
        record, made = after_pass(
            record,
            is_answered=seen != "away",
            missing=missing,
            is_complete=seen != "incomplete",
            now=now,
        )
        assert [said(move) for move in made] == (moves[0] if moves else [])
        assert {move.at for move in made} <= {now}
        seqs += [move.seq for move in made]
    assert seqs == list(range(1, len(seqs) + 1))
    assert record.seq == len(seqs)


@pytest.mark.parametrize("seen", ["up", "away"])
def test_a_cluster_that_stays_as_it_is_is_not_written(seen: str) -> None:
    """Beyond the passes that are counted until it is unreachable."""
    record = ClusterRecord("default")
    for number in range(5):
        now = BEGIN + number * PERIOD
        last = record
        record, _ = after_pass(record, is_answered=seen == "up", missing=0, is_complete=True, now=now)
    assert record == last


@pytest.mark.parametrize(
    ("minutes", "is_resumed"), [(None, False), (3, False), (9, False), (9.1, True), (9000, True)]
)
def test_sync_has_resumed_after_a_gap_of_three_periods(minutes: float | None, is_resumed: bool) -> None:
    last = None if minutes is None else BEGIN - timedelta(minutes=minutes)
    before = ClusterRecord(SYNC, seq=4)
    after, moves = resumed(before, last_pass_at=last, now=BEGIN, period=PERIOD)
    expected = ClusterMove(5, BEGIN, None, ClusterStatus.RESUMED, last)
    assert moves == ((expected,) if is_resumed else ())
    assert after.seq == 4 + is_resumed
    assert (after != before) is is_resumed


def test_one_gap_makes_one_move_although_the_pass_was_not_saved() -> None:
    """A pass that is killed before its report is saved leaves the pass before as the last one."""
    last = BEGIN - timedelta(hours=1)
    noted, _ = resumed(ClusterRecord(SYNC), last_pass_at=last, now=BEGIN, period=PERIOD)
    after, moves = resumed(noted, last_pass_at=last, now=BEGIN + PERIOD, period=PERIOD)
    assert (after, moves) == (noted, ())
