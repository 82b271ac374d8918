"""Values of the health of jobs, as records and marks hold them; the rule is in `flinkjobs.domain.health`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from flinkjobs.domain.reasons import ReasonCode


class Tasks(msgspec.Struct, frozen=True, gc=False):
    """Number of a job's tasks: in all, and in some of their states."""

    total: int = 0
    running: int = 0
    scheduled: int = 0
    finished: int = 0
    created: int = 0


class HealthState(StrEnum):
    """How a job does."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
    """Its cluster did not answer: derived by readers, never written."""


class Limits(msgspec.Struct, frozen=True):
    """Thresholds of health.

    Attributes:
        window: the time within which restarts are counted; how long a job must be healthy before that is
            an event.
        max_restarts: number of restarts within the window from which a job is unhealthy.
        wait: how long tasks may wait for slots.
        requests: maximum number of requests to Flink in one pass; 0 switches health off.
    """

    window: timedelta = timedelta(seconds=600)
    max_restarts: int = 10
    wait: timedelta = timedelta(seconds=120)
    requests: int = 200

    @property
    def calm(self) -> timedelta:
        """Without a restart for this long, a job no longer restarts: twice the mean time between them."""
        return 2 * self.window / self.max_restarts


class Checkpoint(msgspec.Struct, frozen=True):
    """What Flink last said of a job's checkpoints.

    Attributes:
        observed_at: when it was asked.
        completed_at: when the newest one completed; None without any.
        failed: how many failed since, one after the other, as far as Flink lists them.
        message: why the newest one failed; None where none did.
        since: from when the first one can be expected: the start or the latest restore.
    """

    observed_at: datetime
    completed_at: datetime | None = None
    failed: int = 0
    message: str | None = None
    since: datetime | None = None


class CheckpointSettings(msgspec.Struct, frozen=True):
    """How a job checkpoints.

    Attributes:
        interval: between two checkpoints.
        timeout: of one.
        kept: a job that ends without being cancelled leaves its newest checkpoint behind.
        kept_on_cancel: one that is cancelled does.
    """

    interval: timedelta
    timeout: timedelta
    kept: bool
    kept_on_cancel: bool


class LatestState(msgspec.Struct, frozen=True):
    """The newest state that a job can be resumed from.

    Attributes:
        kind: `savepoint` or `checkpoint`.
        at: when it completed.
        deleted: when the job's own setting deletes it: `at_end` or `on_cancel`; None: it stays.
    """

    kind: str
    path: str
    at: datetime
    deleted: str | None = None


class Checkpoints(msgspec.Struct, frozen=True):
    """An answer about the checkpoints of a job.

    Attributes:
        checkpoint: see `Checkpoint`.
        states: the newest savepoint and checkpoint that exist.
    """

    checkpoint: Checkpoint
    states: Sequence[LatestState] = ()


class Health(msgspec.Struct, frozen=True):
    """Health of a job or a record.

    Attributes:
        code: why it is unhealthy; else None.
        message: the cause, cut.
        since: when a pass first found this state and code.
        restarts: within the window.
        tasks: as the overview shows them.
        checkpoint: the latest observation; None where the job does not checkpoint.
    """

    state: HealthState
    since: datetime
    code: ReasonCode | None = None
    message: str | None = None
    restarts: int = 0
    tasks: Tasks = Tasks()
    checkpoint: Checkpoint | None = None

    def is_same(self, other: Health | None) -> bool:
        """Whether neither state nor code differ; a job of which nothing is known counts as healthy."""
        if other is None:
            return self.state is HealthState.HEALTHY
        return (self.state, self.code) == (other.state, other.code)


class Mark(msgspec.Struct, frozen=True):
    """What is remembered of a Flink job that moved, or that checkpoints, from pass to pass.

    Attributes:
        job_id: of its record; None while it belongs to none.
        template_id: of its record.
        start_ms: its start as it was when the restarts were counted.
        modified_ms: `last-modification` as it was when the restarts were counted.
        counted_at: when that was.
        counts: (time, number of restarts since the start), oldest first.
        cause: the latest root exception.
        settings: None where it does not checkpoint, or was not asked yet.
        checkpoint: the latest observation.
        latest_state: as of then.
        health: the latest; None until the first.
        settles_at: until then the end of *unhealthy* is no event; None where none is due.
    """

    flink_job_id: str
    cluster: str
    job_id: str | None = None
    template_id: str | None = None
    start_ms: int = 0
    modified_ms: int = 0
    counted_at: datetime | None = None
    counts: tuple[tuple[datetime, int], ...] = ()
    cause: str | None = None
    settings: CheckpointSettings | None = None
    checkpoint: Checkpoint | None = None
    latest_state: LatestState | None = None
    health: Health | None = None
    settles_at: datetime | None = None
