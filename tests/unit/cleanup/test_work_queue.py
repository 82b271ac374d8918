"""Deletion order, and where the next run resumes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from flinkjobs.cleanup.work_queue import Candidate, ResumePosition, WorkQueue
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase
from tests.support.kubernetes_objects import NOON


def candidate(name: str) -> Candidate:
    """A target that ended at the hour in its name."""
    ended = NOON + timedelta(hours=int(name))
    return Candidate(
        CleanupTarget(Kind.JOB, name, name, "1", phase=JobPhase.COMPLETE, over_since=ended), True
    )


def age(name: str) -> tuple[datetime, str, str]:
    return NOON + timedelta(hours=int(name)), name, name


def names(candidates: Sequence[Candidate]) -> str:
    return "".join(each.target.name for each in candidates)


def queue_of(present: str, *, capacity: int, resume_after: str | None) -> WorkQueue:
    candidates = [candidate(name) for name in present]
    return WorkQueue.of(
        candidates, capacity=capacity, resume_after=age(resume_after) if resume_after else None
    )


@pytest.mark.parametrize(
    ("resume_after", "capacity", "expected"),
    [
        (None, 9, "12345"),
        (None, 2, "12"),
        ("2", 9, "34512"),
        ("2", 4, "3451"),
        ("5", 2, "12"),
        ("9", 9, "12345"),
    ],
)
def test_queue_starts_after_the_position_with_the_oldest(
    resume_after: str | None, capacity: int, expected: str
) -> None:
    queue = queue_of("53142", capacity=capacity, resume_after=resume_after)
    assert names(queue.candidates) == expected
    assert sorted(names(queue.overflow)) == sorted(set("12345") - set(expected))


@pytest.mark.parametrize(
    ("resume_after", "capacity", "untried", "stayed", "expected"),
    [
        pytest.param(None, 9, "", "", None, id="all were deleted"),
        pytest.param(None, 9, "", "12345", None, id="all were tried: begin with the oldest"),
        pytest.param(None, 9, "345", "", None, id="none was kept: the oldest is the next one anyway"),
        pytest.param(None, 9, "345", "1", "2", id="resume after those that were tried"),
        pytest.param(None, 9, "35", "1", "2", id="an untried one is not skipped"),
        pytest.param(None, 2, "", "12", "2", id="all in the queue were tried, others overflowed"),
        pytest.param(None, 9, "12345", "", "1", id="the first one took the whole run: skip it once"),
        pytest.param("2", 9, "12", "", "5", id="the position advances although none was kept"),
        pytest.param("2", 9, "2", "", "1", id="and wraps round"),
        pytest.param("2", 9, "", "12345", None, id="until a run has tried all"),
        pytest.param("2", 9, "34512", "", "3", id="it always advances"),
    ],
)
def test_next_position_lets_younger_candidates_have_their_run(
    resume_after: str | None, capacity: int, untried: str, stayed: str, expected: str | None
) -> None:
    queue = queue_of("12345", capacity=capacity, resume_after=resume_after)
    left = queue.next_position(queue.candidates, untried=set(untried), stayed=set(stayed))
    assert left == (age(expected) if expected else None)


def test_next_position_of_an_empty_queue_is_none() -> None:
    queue = queue_of("", capacity=1, resume_after="2")
    assert (names(queue.candidates), names(queue.overflow)) == ("", "")
    assert queue.next_position([], untried=(), stayed=()) is None


@pytest.mark.parametrize(
    "position",
    [
        ResumePosition(),
        ResumePosition(certain=age("1")),
        ResumePosition(unsettled=age("1")),
        ResumePosition(certain=age("1"), unsettled=age("2")),
    ],
)
def test_resume_position_is_read_as_it_was_written(position: ResumePosition) -> None:
    assert ResumePosition.from_text(position.to_text()) == position


def test_resume_position_at_the_oldest_stores_nothing() -> None:
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
def test_resume_position_that_cannot_be_read_begins_with_the_oldest(text: str) -> None:
    assert ResumePosition.from_text(text) == ResumePosition()
