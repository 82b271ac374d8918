"""Whose turn it is: the oldest first, and behind those that were tried in vain."""

from datetime import datetime, timedelta

import pytest

from flinkjobs.cleanup.work_queue import Candidate, ResumePosition, WorkQueue
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase
from tests.support.kubernetes_objects import NOON


def candidate(name: str) -> Candidate:
    """An object that ended at the hour that its name says."""
    ended = NOON + timedelta(hours=int(name))
    return Candidate(
        CleanupTarget(Kind.JOB, name, name, "1", phase=JobPhase.COMPLETE, over_since=ended), True
    )


def age(name: str) -> tuple[datetime, str, str]:
    return NOON + timedelta(hours=int(name)), name, name


def names(candidates: list[Candidate]) -> str:
    return "".join(each.target.name for each in candidates)


@pytest.mark.parametrize(
    ("mark", "most", "expected"),
    [
        (None, 9, "12345"),
        (None, 2, "12"),
        ("2", 9, "34512"),
        ("2", 4, "3451"),
        ("5", 2, "12"),
        ("9", 9, "12345"),
    ],
)
def test_those_behind_the_mark_come_first_each_time_the_oldest(
    mark: str | None, most: int, expected: str
) -> None:
    line = WorkQueue(most, age(mark) if mark else None)
    dropped = "".join(names(line.offer(candidate(name))) for name in "53142")
    found, rest = line.close()
    assert names(found) == expected
    assert sorted(dropped + names(rest)) == sorted(set("12345") - set(expected)), "each is told once"
    assert line.is_cut == (most < 5)


@pytest.mark.parametrize(
    ("mark", "most", "untried", "stayed", "expected"),
    [
        pytest.param(None, 9, "", "", None, id="all went"),
        pytest.param(None, 9, "", "12345", None, id="all were tried: the next run begins with the oldest"),
        pytest.param(None, 9, "345", "", None, id="nothing stayed: the oldest is the next one anyway"),
        pytest.param(None, 9, "345", "1", "2", id="the next run begins behind those that were tried"),
        pytest.param(None, 9, "35", "1", "2", id="nobody is passed over"),
        pytest.param(None, 2, "", "12", "2", id="all in the line were tried, others had no room"),
        pytest.param(None, 9, "12345", "", "1", id="what takes all the time of a run is passed over once"),
        pytest.param("2", 9, "12", "", "5", id="a mark moves on although nothing stayed"),
        pytest.param("2", 9, "2", "", "1", id="and round"),
        pytest.param("2", 9, "", "12345", None, id="until a run has tried all"),
        pytest.param("2", 9, "34512", "", "3", id="it always moves"),
    ],
)
def test_a_run_leaves_a_mark_where_younger_ones_would_wait_for_ever(
    mark: str | None, most: int, untried: str, stayed: str, expected: str | None
) -> None:
    line = WorkQueue(most, age(mark) if mark else None)
    for name in "12345":
        line.offer(candidate(name))
    found, _ = line.close()
    left = line.next_position(found, untried=set(untried), stayed=set(stayed))
    assert left == (age(expected) if expected else None)


def test_nothing_in_line_leaves_no_mark() -> None:
    line = WorkQueue(1, age("2"))
    assert line.close() == ([], [])
    assert line.next_position([], untried=(), stayed=()) is None


@pytest.mark.parametrize(
    "marks",
    [
        ResumePosition(),
        ResumePosition(certain=age("1")),
        ResumePosition(unsettled=age("1")),
        ResumePosition(certain=age("1"), unsettled=age("2")),
    ],
)
def test_marks_are_read_as_they_were_written(marks: ResumePosition) -> None:
    assert ResumePosition.from_text(marks.to_text()) == marks


def test_without_a_mark_nothing_is_kept() -> None:
    assert ResumePosition().to_text() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etl_1",
        "[]",
        "7",
        '{"certain": null}',
        '{"certain": ["2026-03-01", "x", "u"]}',
        '{"certain": ["2026-03-01T00:00:00+00:00", 1, "u"]}',
        '{"certain": ["now", "x", "u"]}',
        '{"certain": ["2026-03-01T00:00:00+00:00"]}',
        '{"other": ["2026-03-01T00:00:00+00:00", "x", "u"]}',
    ],
)
def test_what_is_no_mark_begins_with_the_oldest(text: str) -> None:
    assert ResumePosition.from_text(text) == ResumePosition()
