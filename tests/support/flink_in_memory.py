"""Flink clusters in memory that are asked for nothing but their overview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.observations import FlinkJob, Missing, Overview
from tests.support.overviews import Entry

START_MS = 1_795_335_824_614


@dataclass(frozen=True, slots=True)
class OverviewOnly:
    """`flinkjobs.ports.flink.Flink`, of which every other call is a fault of the test."""

    name: str
    answer: Callable[[], Overview]
    has_history: bool = False

    def overview(self) -> Overview:
        return self.answer()

    def until(self, moment: float) -> OverviewOnly:
        raise AssertionError(moment)

    def job(self, job_id: str) -> FlinkJob | Missing:
        raise AssertionError(job_id)

    def failure(self, job_id: str) -> str | None:
        raise AssertionError(job_id)

    def history(self) -> Overview:
        raise AssertionError(self.name)

    def history_failure(self, job_id: str) -> str | None:
        raise AssertionError(job_id)


def shows(**states: str) -> Callable[[], Overview]:
    """A cluster with these jobs; the id of `a` is 32 times `a`."""
    entries = {letter * 32: Entry("a job", state, START_MS, -1) for letter, state in states.items()}
    return lambda: Overview(entries)


def is_away() -> Overview:
    raise FlinkUnavailableError("connection refused")


def clusters(**answers: Callable[[], Overview]) -> Mapping[str, OverviewOnly]:
    return {name: OverviewOnly(name, answer) for name, answer in answers.items()}
