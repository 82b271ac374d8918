"""Which running Flink jobs belong to no record, and which have the name of a record's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flinkjobs.domain.observations import OverviewEntry, time_of
from flinkjobs.domain.unmanaged import MAX_NAME, UnmanagedJob, is_unmanaged, namesakes, unmanaged_job
from tests.support.overviews import Entry

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B, C, D = "a" * 32, "b" * 32, "c" * 32, "d" * 32


@pytest.mark.parametrize(
    ("start_time", "awaited_since", "expected"),
    [
        (NOON, None, True),
        (None, None, True),
        (NOON, NOON + 2 * MINUTE, True),
        (NOON, NOON + MINUTE, False),  # the clocks may differ by a minute
        (NOON, NOON, False),
        (NOON, NOON - MINUTE, False),
        (None, NOON, False),
    ],
)
def test_a_job_that_began_after_a_submission_without_an_id_may_be_that_submissions(
    start_time: datetime | None, awaited_since: datetime | None, *, expected: bool
) -> None:
    assert is_unmanaged(start_time, awaited_since) is expected


def test_namesakes_are_the_other_running_jobs_of_the_name() -> None:
    shown: dict[str, OverviewEntry] = {
        A: Entry("x", "RUNNING", 1, -1),
        B: Entry("x", "RESTARTING", 1, -1),
        C: Entry("x", "FINISHED", 1, 2),
        D: Entry("y", "RUNNING", 1, -1),
    }
    assert namesakes({A}, shown) == {"x": [B]}
    assert namesakes({A, B}, shown) == {}
    assert namesakes(set(), shown) == {}


def test_a_job_without_a_name_has_no_namesake() -> None:
    shown: dict[str, OverviewEntry] = {A: Entry("", "RUNNING", 1, -1), B: Entry("", "RUNNING", 1, -1)}
    assert namesakes({A}, shown) == {}


def test_a_job_is_kept_as_it_was_seen_with_its_name_cut() -> None:
    job = unmanaged_job(A, Entry("n" * 1_000, "RUNNING", 5, -1), {"b_2", "a_1"})
    assert (job.flink_job_id, job.state, job.start_time) == (A, "RUNNING", time_of(5))
    assert len(job.name) == MAX_NAME
    assert job.twin_of == ("a_1", "b_2")
    assert unmanaged_job(A, Entry("", "CREATED", -1, -1)) == UnmanagedJob(A, "", "CREATED", None)
