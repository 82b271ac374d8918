"""A query for a page of the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import HealthState
from flinkjobs.domain.records import JobRecord, UnreadableRecord

DEFAULT_LIMIT: Final = 50
WITHOUT_REASON: Final = "NO_REASON"
"""Stands for the records without a reason where a reason code is asked for."""


class Sort(StrEnum):
    """The time that a list is ordered by, newest first."""

    SUBMITTED = "submitted_at"
    ENDED = "end_time"
    """Records without an end come last."""


class Form(StrEnum):
    """Type of the time in a record that a list is ordered by."""

    DATE = "date"
    TEXT = "text"
    """An ISO 8601 text, as the old platform wrote it."""
    OTHER = "other"
    """Neither; as a rule it is missing. Such a record is listed last."""


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a record in its stream.

    Attributes:
        at: the time of the order: milliseconds since 1970 of a DATE, a TEXT as it is, else None.
        id: its `_id`, written so that the store can read it again.
    """

    at: int | str | None
    id: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a list.

    Attributes:
        time: the time of the order; None where it cannot be read.
        details: what only people need of the document; `updated_at` of them as a time, or None.
    """

    place: Place
    time: datetime | None
    record: JobRecord | UnreadableRecord
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScanEnd:
    """Where one query has stopped to check the records of a stream: there may be more behind it."""

    place: Place
    time: datetime | None


Places: TypeAlias = Mapping[Form, Place | None]
"""The streams that are not at their end: the place of the last record shown, or None at the beginning."""

BEGINNING: Final[Places] = dict.fromkeys(Form)


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter of a list; None or empty means no condition.

    Attributes:
        template_id: exactly this one, or with a `*` at its end those that begin so; `submitted_by` likewise.
        reasons: reason codes, any of them, with `health` those of the health; `NO_REASON`: without one.
        text: see `docs/reference/openapi.yaml`, parameter `q`.
        since: submitted then or later.
        before: submitted earlier than then.
        labels: keys and values, in order; a record has all of them.
        health: as it is on the record.
        sort: the order of the records.
    """

    statuses: tuple[Status, ...] = ()
    template_id: str | None = None
    text: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    labels: tuple[tuple[str, str], ...] = ()
    health: HealthState | None = None
    submitted_by: str | None = None
    cluster: str | None = None
    reasons: tuple[str, ...] = ()
    sort: Sort = Sort.SUBMITTED


@dataclass(frozen=True, slots=True)
class Query:
    """A request for one page.

    Attributes:
        fields: what is shown of each record; None shows everything.
    """

    wanted: Filter = field(default_factory=Filter)
    limit: int = DEFAULT_LIMIT
    after: Places = field(default_factory=lambda: BEGINNING)
    fields: tuple[str, ...] | None = None
