"""The plan of follow mode: when the passes of one invocation begin, and which submitters each observes. Pure.

Cloud Scheduler never overlaps two runs of a schedule, and a late run delays the next one. So an invocation
ends within the minute that it was called for, and leaves the rest of that minute to the next call.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

MINUTE: Final = timedelta(minutes=1)

ENDS_AT: Final = timedelta(seconds=57)
"""Second of its minute by which an invocation answers, and the longest that it takes."""

LAST_TICK: Final = timedelta(seconds=1)
"""Time that a tick needs at least: none begins later before the end."""

OBSERVE_EVERY: Final = (
    (timedelta(minutes=1), timedelta(0)),
    (timedelta(minutes=10), timedelta(seconds=10)),
    (timedelta.max, timedelta(minutes=3)),
)
"""Up to which age of a record its submitter is observed how often; 0: in every tick."""


def end_of_invocation(began: datetime) -> datetime:
    """When an invocation has to answer: by second 57 of the minute that it was called for.

    A call in the last three seconds of a minute came early, and is for the next one.
    """
    called_for = (began + (MINUTE - ENDS_AT)).replace(second=0, microsecond=0)
    return min(called_for + ENDS_AT, began + ENDS_AT)


def next_tick(first: datetime, now: datetime, every: timedelta, ends_at: datetime | None) -> datetime | None:
    """When the next tick begins; None where the one before was the last.

    A tick that takes longer than `every` skips the beginnings that it has missed.

    Args:
        first: when the first tick began.
        now: when the tick before the next one ended.
        every: time between two beginnings.
        ends_at: when the invocation has to answer; None has no end.
    """
    begins = first + (max(now - first, timedelta(0)) // every + 1) * every
    return None if ends_at is not None and begins > ends_at - LAST_TICK else begins


def is_submitter_due(submitted_at: datetime, now: datetime, last_observed_at: datetime | None) -> bool:
    """Whether a pass observes the submitter of a record that has no Flink Job ID yet.

    Args:
        submitted_at: when the record was made.
        now: when the pass began.
        last_observed_at: when the last complete pass before it began, which observed every submitter that
            was due; None observes all.
    """
    age = now - submitted_at
    every = next(interval for up_to, interval in OBSERVE_EVERY if age < up_to)
    if last_observed_at is None or not every:
        return True
    return age // every > (last_observed_at - submitted_at) // every
