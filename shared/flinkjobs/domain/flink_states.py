"""The states of Flink and of a record, as tables.

Flink's eleven job states are the same from 1.17 to 2.3:
https://nightlies.apache.org/flink/flink-docs-stable/docs/internals/job_scheduling/#jobmanager-data-structures
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Status(StrEnum):
    """The status of a record, in MongoDB and on the page."""

    CREATED = "CREATED"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


STATUS_OF: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "INITIALIZING": Status.CREATED,
        "CREATED": Status.CREATED,
        "RUNNING": Status.RUNNING,
        "FAILING": Status.RUNNING,
        "CANCELLING": Status.RUNNING,
        "RESTARTING": Status.RUNNING,
        "RECONCILING": Status.RUNNING,
        "SUSPENDED": Status.SUSPENDED,
        "FINISHED": Status.FINISHED,
        "FAILED": Status.FAILED,
        "CANCELED": Status.CANCELLED,
    }
)
"""Status of a record by Flink's word. A word that is not here is kept raw and moves nothing.

CANCELED has one L and CANCELLING two. SUSPENDED is not terminal: the JobManager lost leadership.
"""

TERMINAL_STATES: Final = frozenset({"FINISHED", "FAILED", "CANCELED"})
"""Flink's globally terminal states: only these carry an end time."""

FINAL: Final = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
"""A record with one of these never changes again."""

OPEN: Final = frozenset({Status.CREATED, Status.RUNNING, Status.SUSPENDED})
"""Open: a pass examines every record with one of these."""

LIVE_BY_PRECEDENCE: Final = (Status.RUNNING, Status.SUSPENDED, Status.CREATED)
"""Of several jobs that are not all over, the first of these that any job has is the record's."""

OVER_BY_PRECEDENCE: Final = (Status.FAILED, Status.CANCELLED, Status.FINISHED)
"""Of several jobs that are all over, the first of these that any job has is the record's."""


_PROGRESS_OF: Final[Mapping[Status | None, int]] = MappingProxyType(
    {
        None: 0,
        Status.CREATED: 1,
        Status.SUSPENDED: 2,
        Status.RUNNING: 3,
        Status.FINISHED: 4,
        Status.FAILED: 4,
        Status.CANCELLED: 4,
    }
)


def progress(state: str) -> int:
    """Rank of a Flink state: terminal states highest, unknown states lowest."""
    return _PROGRESS_OF[STATUS_OF.get(state)]


def combine(states: Sequence[str]) -> tuple[Status, str] | None:
    """The status of a record whose jobs are in these Flink states, and the state that decided it.

    Args:
        states: Flink's words, one per job, at least one.

    Returns:
        (status, Flink's word); None when no word is known, which moves nothing. A word that is not
        known counts as a job that is not over.
    """
    live = [state for state in states if state not in TERMINAL_STATES]
    wanted = LIVE_BY_PRECEDENCE if live else OVER_BY_PRECEDENCE
    for status in wanted:
        for state in live or states:
            if STATUS_OF.get(state) is status:
                # One job has ended and the next has not begun: the script as a whole is under way.
                under_way = status is Status.CREATED and len(live) < len(states)
                return (Status.RUNNING if under_way else status), state
    return None


def is_settled(status: Status, *, has_id: bool, submitter_done: bool) -> bool:
    """Whether a record is settled, so that its Kubernetes Job may be deleted.

    Args:
        status: of the record.
        has_id: whether the record has a Flink Job ID.
        submitter_done: whether the submitter has ended and all its output was read.
    """
    return status in FINAL or (has_id and submitter_done)
