"""Protocol for what a pass remembers of the health of jobs. Errors as in `flinkjobs.ports.store`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, TypeAlias

import msgspec

from flinkjobs.domain.health_values import LatestState, Mark

Position: TypeAlias = tuple[int, str]
"""Start in milliseconds and Flink Job ID: the order in which jobs are asked whether they checkpoint."""


class Marks(msgspec.Struct, frozen=True):
    """All marks, and how far the jobs of each cluster have been asked whether they checkpoint.

    Attributes:
        by_id: by Flink Job ID.
        known_until: the last job that was asked, by cluster; the next one starts later.
    """

    by_id: Mapping[str, Mark]
    known_until: Mapping[str, Position]


class HealthStore(Protocol):
    """The collection `health_marks`: a document for each job that moved or checkpoints."""

    def load(self) -> Marks:
        """All marks."""

    def owners(self, flink_job_ids: Collection[str]) -> Mapping[str, tuple[str, str | None]]:
        """Job id and template of the record of each job; a job without a record is left out."""

    def save(self, before: Marks, after: Marks) -> None:
        """Writes in one bulk what differs; marks that are only in `before` are deleted."""

    def keep_states(self, states: Mapping[str, LatestState]) -> None:
        """Sets the latest state of records that are over, by job id."""
