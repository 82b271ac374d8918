"""The audit: who submitted, who asked for what, and what became of it, from the records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flinkjobs.domain.errors import BadRequestError, Fault, describe_faults
from flinkjobs.domain.job_query import BEGINNING, DEFAULT_LIMIT, Filter, Places, Query, Row
from flinkjobs.domain.records import IdSource, JobRecord
from flinkjobs.domain.text import cut
from flinkjobs.jobs.list_query import cursor_of, limit_of, read_cursor, read_parameters, text_of, time_of
from flinkjobs.jobs.timeline import move_event, moves_of
from flinkjobs.jobs.views import is_submitter_verified, text_or_none

_EVERY: Final = Filter()


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What a page of the audit is to hold.

    Attributes:
        records: the page of records, all of which are looked at.
        since: only entries of this time or later.
        user: only what this user did.
    """

    records: Query
    since: datetime | None
    user: str | None


def parse_audit_query(pairs: Iterable[tuple[str, str]]) -> AuditQuery:
    """Reads the parameters.

    Raises:
        BadRequestError: one is unknown, twice there or wrong; every fault at once.
    """
    parsed, faults = read_parameters(pairs, _PARSERS)
    after: Places = BEGINNING
    if "cursor" in parsed:
        try:
            after = read_cursor(parsed["cursor"], _EVERY)
        except ValueError as error:
            faults.append(Fault("query:cursor", str(error)))
    if faults:
        raise BadRequestError(cut(describe_faults(faults)), tuple(faults))
    records = Query(_EVERY, parsed.get("limit", DEFAULT_LIMIT), after)
    return AuditQuery(records, parsed.get("from"), parsed.get("user"))


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "from": time_of,
    "user": text_of,
    "limit": limit_of,
    "cursor": cursor_of,
}


def entries_of(row: Row, asked: AuditQuery) -> list[dict[str, Any]]:
    """The entries of one record, oldest first; of one that cannot be read, an entry that says so."""
    record = row.record
    if not isinstance(record, JobRecord):
        unreadable = _entry(None, "unreadable", record.job_id, error=record.error)
        return [] if asked.user is not None else [unreadable]
    found = [
        entry
        for entry in _entries(record, row.details)
        if (asked.since is None or entry["at"] >= asked.since) and asked.user in (None, entry["user"])
    ]
    return sorted(found, key=lambda entry: entry["at"].astimezone(UTC))


def _entries(record: JobRecord, details: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    is_adopted = any(ref.source is IdSource.ADOPTED for ref in record.flink_jobs)
    moves = moves_of(details)
    began = moves[0]["at"] if is_adopted and moves and moves[0].get("was") is None else record.submitted_at
    yield _entry(
        began,
        "adopted" if is_adopted else "submitted",
        record.job_id,
        user=text_or_none(details.get("submitted_by")),
        verified=is_submitter_verified(details),
        template_id=text_or_none(details.get("template_id")),
        cluster=record.cluster,
    )
    for move in moves:
        if move.get("was") is not None:
            event = move_event(move)
            yield _entry(event["at"], event["event"], record.job_id, **event["data"])
    for action in record.actions:
        who: dict[str, Any] = {"user": action.requested_by, "verified": action.verified}
        what: dict[str, Any] = {"kind": action.kind.value, "action_id": action.id}
        yield _entry(action.requested_at, "action_requested", record.job_id, **who, **what)
        if action.ended_at is not None:
            what |= {"state": action.state.value, "code": action.code, "message": action.message}
            what["savepoint_path"] = action.savepoint_path
            yield _entry(action.ended_at, "action_ended", record.job_id, **who, **what)


def _entry(
    at: datetime | None,
    event: str,
    job_id: str,
    *,
    user: str | None = None,
    verified: bool = False,
    **data: Any,
) -> dict[str, Any]:
    return {"at": at, "event": event, "job_id": job_id, "user": user, "verified": verified, "data": data}
