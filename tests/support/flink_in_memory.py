"""Flink clusters in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flinkjobs.domain.actions import Refused, Reply, Result
from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.health_values import Checkpoints, CheckpointSettings
from flinkjobs.domain.observations import FlinkJob, Missing, Overview
from tests.support.overviews import Entry

START_MS = 1_795_335_824_614


def _unexpected(job_id: str) -> FlinkJob | Missing:
    raise AssertionError(f"Flink must not be asked for {job_id}")


class NoHealth:
    """A cluster that says nothing of the health of its jobs."""

    def exceptions(self, job_id: str) -> tuple[str | None, Sequence[datetime]]:
        raise FlinkUnavailableError(f"exceptions of {job_id}: 500")

    def restarts(self, job_id: str) -> int | None:
        raise FlinkUnavailableError(f"restarts of {job_id}: 500")

    def checkpoint_settings(self, job_id: str) -> CheckpointSettings | None:
        raise FlinkUnavailableError(f"checkpoint settings of {job_id}: 500")

    def checkpoints(self, job_id: str, now: datetime) -> Checkpoints:
        raise FlinkUnavailableError(f"checkpoints of {job_id} at {now}: 500")


class NoActions:
    """A cluster that must not be asked for an action."""

    def cancel(self, job_id: str) -> Reply | Refused:
        raise AssertionError(f"unexpected: {job_id} to be cancelled")

    def stop(self, job_id: str, trigger_id: str, *, directory: str | None, drain: bool) -> Reply | Refused:
        raise AssertionError(f"unexpected: {job_id} to be stopped: {(trigger_id, directory, drain)}")

    def savepoint(self, job_id: str, trigger_id: str, *, directory: str | None) -> Reply | Refused:
        raise AssertionError(f"unexpected: a savepoint of {job_id}: {(trigger_id, directory)}")

    def savepoint_result(self, job_id: str, trigger_id: str) -> Result:
        raise AssertionError(f"unexpected: a savepoint of {job_id}: {trigger_id}")

    def newer_savepoint(self, job_id: str, since: datetime) -> str | None:
        raise AssertionError(f"unexpected: a savepoint of {job_id} since {since}")


@dataclass(frozen=True)
class FlinkInMemory(NoHealth, NoActions):
    """`flinkjobs.ports.flink.Flink` with given answers; where a test gives none, asking is a fault.

    Attributes:
        answer: returns the overview, or raises.
        job_answer: the same for one job.
        archived: overview of the History Server; None where there is no such server.
        failures: root exceptions by who is asked, `cluster` or `history`; who is not named is unavailable.
    """

    name: str
    answer: Callable[[], Overview]
    job_answer: Callable[[str], FlinkJob | Missing] = _unexpected
    archived: Overview | None = None
    failures: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def has_history(self) -> bool:
        return self.archived is not None

    def overview(self) -> Overview:
        return self.answer()

    def until(self, moment: float) -> FlinkInMemory:
        assert moment > 0
        return self

    def job(self, job_id: str) -> FlinkJob | Missing:
        return self.job_answer(job_id)

    def failure(self, job_id: str) -> str | None:  # noqa: ARG002 of any job the same
        return self._failure("cluster")

    def history(self) -> Overview:
        assert self.archived is not None
        return self.archived

    def history_failure(self, job_id: str) -> str | None:  # noqa: ARG002 of any job the same
        return self._failure("history")

    def _failure(self, asked: str) -> str | None:
        if asked not in self.failures:
            raise FlinkUnavailableError(f"{asked}: 500")
        return self.failures[asked]


def shows(**states: str) -> Callable[[], Overview]:
    """A cluster with these jobs; the id of `a` is 32 times `a`."""
    entries = {letter * 32: Entry("a job", state, START_MS, -1) for letter, state in states.items()}
    return lambda: Overview(entries)


def is_away() -> Overview:
    raise FlinkUnavailableError("connection refused")


def clusters(**answers: Callable[[], Overview]) -> Mapping[str, FlinkInMemory]:
    return {name: FlinkInMemory(name, answer) for name, answer in answers.items()}
