"""An overview as a cluster shows it, made of jobs instead of an answer's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flinkjobs.domain.health_values import Tasks
from flinkjobs.domain.observations import FlinkJob, Overview

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME = -1
ONE_RUNNING = Tasks(1, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """`flinkjobs.domain.records.OverviewEntry`."""

    name: str
    state: str
    start_ms: int
    end_ms: int
    modified_ms: int = NO_TIME
    tasks: Tasks = ONE_RUNNING
    job_type: str | None = None


def overview_of(jobs: Mapping[str, FlinkJob]) -> Overview:
    """The overview that shows these jobs, by id."""
    return Overview(
        {
            id_: Entry(job.name, job.state, milliseconds(job.start_time), milliseconds(job.end_time))
            for id_, job in jobs.items()
        }
    )


def milliseconds(time: datetime | None) -> int:
    """A time as Flink writes it."""
    return NO_TIME if time is None else (time - EPOCH) // timedelta(milliseconds=1)
