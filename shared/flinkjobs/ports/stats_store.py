"""Protocol for the sums of days, collection `job_stats`.

The statistics are the sums of the days that were summed, the records that these leave apart, and the records
of all other days. A record that may still change is left apart, whatever becomes of it: what sync writes
counts at once, and sync marks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol


class StatsStore(Protocol):
    """Sums of the records of whole days, by the date of their submission."""

    def changed_days(self, before: datetime, *, every: bool = False) -> Sequence[datetime]:
        """The days that ended before then and whose records are not those that were summed, oldest first.

        Args:
            before: a time of the first day that is not among them.
            every: the others too, and those whose records may be deleted.
        """

    def sum_day(self, day: datetime, *, lost_before: datetime) -> bool:
        """Sums one day; idempotent. False where another writer came in between: it is to be repeated.

        Of a day whose records may be deleted, only adds those that were apart and cannot change any more.

        Args:
            day: its midnight, UTC.
            lost_before: LOST records count as final that are missing since before then.
        """

    def retire_day(self, day: datetime, *, lost_before: datetime, now: datetime) -> Sequence[Any] | None:
        """Sums one day for the last time: from then on its records may be deleted, and its sums stay.

        Returns:
            The `_id`s of its records that are not in the sums, and so must stay; None as `sum_day` False.
        """

    def roll_up(self, now: datetime) -> bool:
        """Adds up the days that no window begins in. False as `sum_day`. Before records are deleted."""

    def differences(self, day: datetime, *, lost_before: datetime) -> Sequence[str]:
        """Which parts of the sums of a day differ from its records; none where these may be deleted."""
