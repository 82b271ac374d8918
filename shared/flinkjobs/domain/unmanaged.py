"""Unmanaged Flink jobs: those that run and belong to no record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from flinkjobs.domain.flink_states import OPEN, STATUS_OF
from flinkjobs.domain.observations import OverviewEntry, time_of
from flinkjobs.domain.text import cut
from flinkjobs.domain.transition import CLOCK_SKEW

MAX_NAME: Final = 200
"""Characters of a Flink job's name that are kept."""


class UnmanagedJob(msgspec.Struct, frozen=True):
    """A Flink job that runs and belongs to no record, as the overview of its cluster showed it.

    Attributes:
        name: cut to `MAX_NAME`; "" for a job without one.
        state: Flink's own word, that of a job that is not over.
        start_time: when INITIALIZING began; None where Flink names no start.
        twin_of: job ids of the records with a running Flink job of the same name.
    """

    flink_job_id: str
    name: str
    state: str
    start_time: datetime | None
    twin_of: tuple[str, ...] = ()


class UnmanagedJobs(msgspec.Struct, frozen=True):
    """The unmanaged Flink jobs of one cluster.

    Attributes:
        seen_at: when the latest pass that established them began, aware UTC.
        count: how many there are.
        jobs: the newest of them first, as far as they are kept.
    """

    cluster: str
    seen_at: datetime
    count: int
    jobs: tuple[UnmanagedJob, ...]


def is_unmanaged(start_time: datetime | None, awaited_since: datetime | None) -> bool:
    """Whether a Flink job that no record has can be no record's.

    A submitter that has not printed its Flink Job ID yet may have submitted any job that began after its
    record.

    Args:
        start_time: of the job.
        awaited_since: when the earliest of the records was submitted whose ids are still to come.
    """
    if awaited_since is None:
        return True
    return start_time is not None and start_time < awaited_since - CLOCK_SKEW


def namesakes(ids: Collection[str], shown: Mapping[str, OverviewEntry]) -> Mapping[str, Sequence[str]]:
    """The other running jobs with the name of any of these, by name. A job without a name has none.

    Args:
        ids: Flink Job IDs.
        shown: the overview of their cluster.
    """
    names = {shown[flink_job_id].name for flink_job_id in ids} - {None, ""}
    found: dict[str, list[str]] = defaultdict(list)
    for flink_job_id, entry in shown.items() if names else ():
        is_running = STATUS_OF.get(entry.state) in OPEN
        if entry.name in names and entry.name and is_running and flink_job_id not in ids:
            found[entry.name].append(flink_job_id)
    return found


def unmanaged_job(flink_job_id: str, entry: OverviewEntry, twin_of: Collection[str] = ()) -> UnmanagedJob:
    """The job as an overview shows it."""
    return UnmanagedJob(
        flink_job_id=flink_job_id,
        name=cut(entry.name or "", MAX_NAME),
        state=entry.state,
        start_time=time_of(entry.start_ms),
        twin_of=tuple(sorted(twin_of)),
    )
