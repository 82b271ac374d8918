"""Protocol for the retention of records: what may be deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Protocol

import msgspec


class Expiry(msgspec.Struct, frozen=True):
    """Which records have expired: final ones, submitted, ended and last written before a time.

    A LOST one has expired only when sync no longer watches it. Never one with an open action or an event that
    was not delivered, and never one whose `submitted_at` is a text.

    Attributes:
        before: the time, aware UTC.
        lost_before: LOST records whose jobs are missing since before this are no longer watched.
        in_use: job ids whose Kubernetes objects still exist; their records stay.
    """

    before: datetime
    lost_before: datetime
    in_use: frozenset[str] = frozenset()


class RecordStore(Protocol):
    """The collection `flink_jobs`, for its retention."""

    def expired_days(self, expiry: Expiry) -> Iterator[datetime]:
        """Streams the UTC days of submission, the oldest first, that hold records which have expired."""

    def count_expired(self, day: datetime, expiry: Expiry) -> int:
        """How many records of a day have expired."""

    def delete_expired(
        self, day: datetime, expiry: Expiry, *, but: Collection[Any], limit: int
    ) -> tuple[int, int]:
        """Deletes records of a day, each only if it has still expired in that moment.

        Args:
            day: midnight UTC.
            expiry: see `Expiry`.
            but: document ids of records that stay.
            limit: maximum number of records.

        Returns:
            How many were found, and how many of them were deleted. No more are left where fewer than `limit`
            were found.
        """
