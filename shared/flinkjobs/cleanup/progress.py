"""What a run has done: one outcome per target, and the errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flinkjobs.cleanup.retention import Kept
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.kubernetes_objects import CleanupTarget
from flinkjobs.ports.kubernetes import Deletion

ErrorEntry: TypeAlias = Mapping[str, str | None]
"""An error in the report: `job_id` (None for an error of a peer), `code` and `message`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result for one target. A run has exactly one for each.

    Attributes:
        result: DONE when the run deleted it, GONE when it did not exist any more, else why it was kept.
        was_tried: the run read its output or tried to delete it.
    """

    target: CleanupTarget
    result: Deletion | Kept
    was_tried: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """Results of a part of a run; parts are added up.

    Attributes:
        outcomes: of the targets that the run is done with.
        ready: candidates that may be deleted, now that their output was read.
        errors: in the order in which they occurred.
        settled_by_output: number of candidates whose output settled their records.
        logs_saved: number of submitter logs saved on records.
        is_stopped: MongoDB or the API server does not answer; the run starts nothing new.
    """

    outcomes: Sequence[Outcome] = ()
    ready: Sequence[Candidate] = ()
    errors: Sequence[ErrorEntry] = ()
    settled_by_output: int = 0
    logs_saved: int = 0
    is_stopped: bool = False

    def __add__(self, other: Progress) -> Progress:
        return Progress(
            outcomes=(*self.outcomes, *other.outcomes),
            ready=(*self.ready, *other.ready),
            errors=(*self.errors, *other.errors),
            settled_by_output=self.settled_by_output + other.settled_by_output,
            logs_saved=self.logs_saved + other.logs_saved,
            is_stopped=self.is_stopped or other.is_stopped,
        )

    @property
    def deleted(self) -> int:
        """Number of deletions that the API server confirmed."""
        return sum(outcome.result is Deletion.DONE for outcome in self.outcomes)


def kept(candidate: Candidate, reason: Kept) -> Progress:
    """Keeps a candidate after the run tried to settle its record or to delete it."""
    return Progress(outcomes=(Outcome(candidate.target, reason),))


def postponed(candidates: Iterable[Candidate], reason: Kept = Kept.OVER_LIMIT) -> Progress:
    """Keeps candidates that the run did not reach."""
    return Progress(outcomes=[Outcome(each.target, reason, was_tried=False) for each in candidates])


def error_entry(job_id: str | None, error: FlinkjobsError) -> ErrorEntry:
    """An error as the report shows it; `job_id` is None for an error of a peer."""
    return {"job_id": job_id, "code": error.code, "message": str(error)}
