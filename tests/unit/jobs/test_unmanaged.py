"""The list of Flink jobs without a record: its filters and its pages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain.observations import time_of
from flinkjobs.domain.unmanaged import UnmanagedJob, UnmanagedJobs
from flinkjobs.jobs.unmanaged import page_of, parse_unmanaged_query

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
STARTS = st.lists(st.integers(0, 5), max_size=30)


def kept(cluster: str, starts: list[int], *, first: int = 0) -> UnmanagedJobs:
    """Jobs that began at these times; 0 is a job without a start."""
    jobs = [
        UnmanagedJob(f"{first + number:032x}", f"Job {number}", "RUNNING", time_of(start))
        for number, start in enumerate(starts)
    ]
    return UnmanagedJobs(cluster, NOON, len(jobs), tuple(jobs))


def ids(lists: list[UnmanagedJobs], **query: str) -> tuple[list[str], str | None]:
    page = page_of(lists, parse_unmanaged_query([("unmanaged", "true"), *query.items()]), {}, now=NOON)
    return [job["flink_job_id"] for job in page["flink_jobs"]], page["next_cursor"]


@given(first=STARTS, second=STARTS, limit=st.integers(1, 7))
def test_pages_hold_each_job_once_the_newest_first(first: list[int], second: list[int], limit: int) -> None:
    lists = [kept("a", first), kept("b", second, first=1_000)]
    starts = {
        job.flink_job_id: job.start_time.timestamp() if job.start_time else 0.0
        for each in lists
        for job in each.jobs
    }
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = ids(lists, limit=str(limit), cursor=cursor)
        assert len(page) == limit or cursor is None
        found += page
    assert sorted(found) == sorted(starts)
    assert [starts[id_] for id_ in found] == sorted(starts.values(), reverse=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"cluster": "a"}, 12),
        ({"cluster": "nowhere"}, 0),
        ({"q": "JOB 1"}, 3),
        ({"q": "0000000000000000000000000000000b"}, 1),
        ({"q": "0B"}, 0),
    ],
)
def test_a_filter_leaves_the_jobs_that_meet_it(query: dict[str, str], expected: int) -> None:
    """The text is looked for in the name, and at the beginning of the id."""
    assert len(ids([kept("a", [1] * 12)], **query)[0]) == expected
