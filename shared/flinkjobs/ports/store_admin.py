"""Protocols for administering and probing the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.ports.read_store import ReadStore


class StoreProbe(ReadStore, Protocol):
    """Requests of doctor to the store."""

    def version(self) -> str:
        """Of the server."""

    def user(self) -> str | None:
        """User of this connection; None without authentication."""

    def try_write(self) -> None:
        """Writes, as the functions do, and leaves no trace on any record."""

    def missing_indexes(self) -> Sequence[str]:
        """Names of missing indexes."""

    def waiting(self, *, submitted_before: datetime) -> Sequence[JobRecord | UnreadableRecord]:
        """The records that are CREATED since then, and the CREATED ones that cannot be read."""

    def without_id(self, *, submitted_since: datetime) -> Sequence[JobRecord]:
        """Records submitted since then that FAILED before Flink had a job for them."""

    def unconfirmed(self) -> Sequence[JobRecord]:
        """The records with an id that no Flink cluster knows."""

    def unhealthy(self) -> Sequence[JobRecord]:
        """The open records that are unhealthy, the newest first."""

    def lost(self, *, since: datetime) -> Sequence[JobRecord]:
        """The records that became LOST since then."""


class UnreadableDate(msgspec.Struct, frozen=True):
    """A text in a date field that is not a date.

    Attributes:
        text: as it stands there, cut.
    """

    job_id: str
    field: str
    text: str


class Converted(msgspec.Struct, frozen=True):
    """Results of a batch of records with dates as text.

    Attributes:
        records: number of documents that were read.
        converted: records that were written, or would be.
        values: dates in them.
        conflicts: records that another writer changed; they were left alone.
        unreadable: values that were left as they are.
    """

    records: int
    converted: int
    values: int
    conflicts: int
    unreadable: tuple[UnreadableDate, ...]


class StoreAdmin(Protocol):
    """Administration of the store by an operator."""

    def missing_indexes(self) -> Sequence[str]:
        """Names of missing indexes."""

    def ensure_indexes(self) -> None:
        """Creates the indexes that are missing; idempotent."""

    def count_text_dates(self) -> int:
        """How many records hold a date as text."""

    def convert_dates(self, *, dry_run: bool) -> Iterator[Converted]:
        """Converts these texts to the dates that every pass reads from them, in batches; idempotent.

        A value is only written where it still is the text that was read.
        """
