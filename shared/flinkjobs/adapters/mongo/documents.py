"""Documents of `flink_jobs` to records, and records to updates."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final, TypeGuard, TypeVar

import msgspec
from pymongo import UpdateOne
from pymongo.collection import Collection

from flinkjobs.domain.actions import Action, ActionKind, ended_by
from flinkjobs.domain.errors import StoreRefusedError
from flinkjobs.domain.flink_states import Status, is_settled
from flinkjobs.domain.health_values import Health, LatestState
from flinkjobs.domain.history import MOVES_KEPT, Writer, move_of
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import (
    DocumentId,
    FlinkJobRef,
    IdSource,
    JobRecord,
    Reason,
    UnreadableRecord,
    whole_milliseconds,
)
from flinkjobs.domain.text import cut
from flinkjobs.domain.transition import Update
from flinkjobs.ports.store import Settled, SubmitterLog

T = TypeVar("T")
_JobDocument = Mapping[str, Any]
_FLINK_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
MAX_ALIKE: Final = 20
"""Maximum number of records with the same id among which the newest is searched."""

MAX_LOG_BYTES: Final = 64 * 1024
"""Maximum number of bytes that a stored log is decompressed to."""

FOLLOWED: Final = dict.fromkeys(
    (
        "job_id",
        "status",
        "submitted_at",
        "k8s_job_name",
        "k8s_namespace",
        "cluster",
        "flink_job_id",
        "flink_state",
        "flink_jobs",
        "submitter_done",
        "dropped_ids",
        "start_time",
        "end_time",
        "duration",
        "reason",
        "missing_since",
        "in_flight_until",
        "missing_passes",
        "stuck_since",
        "health",
        "unhealthy_since",
        "latest_state",
        "fingerprint",
        "ended_by",
        "actions",
        "run_of",
        "attempt",
        "revision",
    ),
    1,
)
"""Projection of the fields that `read_record` reads."""

LISTED_FIELDS: Final = FOLLOWED | dict.fromkeys(
    ("template_id", "job_name", "submitted_by", "submitted_by_verified", "labels", "updated_at"), 1
)
"""Projection of the fields that a list shows, and an event."""


# --- documents --------------------------------------------------------------------------------------


def read_record(document: _JobDocument) -> JobRecord | UnreadableRecord:
    """Reads a document as a record, or as an `UnreadableRecord` with the error."""
    try:
        status, actions = Status(document["status"]), _read_actions(document.get("actions"))
        return JobRecord(
            job_id=_required_text(document, "job_id"),
            status=status,
            submitted_at=_required_time(document, "submitted_at"),
            k8s_job_name=_text_of(document, "k8s_job_name"),
            k8s_namespace=_text_of(document, "k8s_namespace"),
            cluster=_text_of(document, "cluster") or "default",
            flink_state=_text_of(document, "flink_state"),
            flink_jobs=_read_refs(document),
            submitter_done=_is_submitter_done(document),
            dropped_ids=tuple(document.get("dropped_ids") or ()),
            start_time=read_time(document.get("start_time")),
            end_time=read_time(document.get("end_time")),
            duration=document.get("duration"),
            reason=_read_reason(document.get("reason")),
            missing_since=read_time(document.get("missing_since")),
            in_flight_until=read_time(document.get("in_flight_until")),
            missing_passes=document.get("missing_passes") or 0,
            stuck_since=read_time(document.get("stuck_since")),
            health=read_value(document.get("health"), Health),
            unhealthy_since=read_time(document.get("unhealthy_since")),
            latest_state=read_value(document.get("latest_state"), LatestState),
            fingerprint=_text_of(document, "fingerprint"),
            # Earlier versions did not store it.
            ended_by=read_value(document.get("ended_by"), ActionKind) or ended_by(status, actions),
            actions=actions,
            run_of=_text_of(document, "run_of"),
            attempt=_number_of(document, "attempt"),
            revision=_number_of(document, "revision"),
            document_id=DocumentId(document.get("_id")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return UnreadableRecord(
            job_id=str(document.get("job_id")), error=cut(f"{type(error).__name__}: {error}", 200)
        )


def _read_refs(document: _JobDocument) -> tuple[FlinkJobRef, ...]:
    if (stored := document.get("flink_jobs")) is not None:
        return tuple(
            FlinkJobRef(
                id=_flink_job_id(ref["id"]),
                source=IdSource(ref["source"]),
                confirmed=ref["confirmed"],
                state=_text_of(ref, "state"),
                start_time=read_time(ref.get("start_time")),
                end_time=read_time(ref.get("end_time")),
                failure=ref.get("failure"),
                missing_since=read_time(ref.get("missing_since")),
                missing_passes=ref.get("missing_passes", 0),
            )
            for ref in stored
        )
    flink_job_id = document.get("flink_job_id")
    return (FlinkJobRef(id=_flink_job_id(flink_job_id), source=IdSource.RECORD),) if flink_job_id else ()


def _flink_job_id(stored: Any) -> str:
    """An id that Flink can be asked for."""
    if _is_flink_job_id(stored):
        return stored
    raise ValueError(f"no Flink Job ID: {cut(str(stored), 80)!r}")


def _is_flink_job_id(stored: Any) -> TypeGuard[str]:
    return isinstance(stored, str) and _FLINK_JOB_ID.fullmatch(stored) is not None


def _text_of(document: _JobDocument, name: str) -> str | None:
    stored = document.get(name)
    if stored is None or isinstance(stored, str):
        return stored
    raise TypeError(f"{name} is no text but {type(stored).__name__}")


def _required_text(document: _JobDocument, name: str) -> str:
    text = _text_of(document, name)
    if not text:
        raise ValueError(f"{name} is missing")
    return text


def _number_of(document: _JobDocument, name: str) -> int | None:
    stored = document.get(name)
    if stored is None or isinstance(stored, int):
        return stored
    raise TypeError(f"{name} is no whole number but {type(stored).__name__}")


def _is_submitter_done(document: _JobDocument) -> bool:
    """Of an old record with an id nothing more is known of its submitter: it counts as done."""
    if "submitter_done" in document:
        return bool(document["submitter_done"])
    return bool(document.get("flink_job_id"))


def _read_actions(stored: Any) -> tuple[Action, ...]:
    if not stored:  # most records
        return ()
    found = (read_value(each, Action) for each in stored)
    return tuple(action for action in found if action is not None)


def _read_reason(stored: _JobDocument | None) -> Reason | None:
    if stored is None:
        return None
    return Reason(
        code=ReasonCode(stored["code"]), message=stored["message"], since=_required_time(stored, "since")
    )


def plain(value: Any) -> Any:
    """A value of the domain as MongoDB keeps it: times as dates, durations as ISO 8601 has them."""
    return msgspec.to_builtins(value, builtin_types=(datetime,))


def read_value(stored: Any, kind: type[T]) -> T | None:
    """A value that `plain` made; None where there is none, or one that this version cannot read."""
    if stored is None:
        return None
    try:
        return msgspec.convert(stored, kind, builtin_types=(datetime,))
    except msgspec.ValidationError:
        return None


def newest_with_id(jobs: Collection[dict[str, Any]], any_id: str, fields: Any = None) -> Any:
    """The document with this `job_id`, `k8s_job_name` or Flink Job ID; of several, the newest; else None."""
    for name in ("job_id", "k8s_job_name", "flink_job_id", "flink_job_ids"):
        found = list(jobs.find({name: any_id}, fields, limit=MAX_ALIKE))
        if found:
            return max(found, key=lambda each: time_or_none(each.get("submitted_at")) or _NEVER)
    return None


def readable(document: _JobDocument) -> JobRecord:
    """The record that a document holds.

    Raises:
        StoreRefusedError: it cannot be read.
    """
    record = read_record(document)
    if isinstance(record, UnreadableRecord):
        raise StoreRefusedError(f"the record {record.job_id} cannot be read: {record.error}")
    return record


def read_time(stored: Any) -> datetime | None:
    """Reads a BSON date, or an ISO string of the old platform, which is UTC without an offset.

    Of a string only the milliseconds count, as in a BSON date: converting it changes nothing that is read.
    """
    if stored is None or isinstance(stored, datetime):
        return stored
    read = datetime.fromisoformat(stored)
    read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    return whole_milliseconds(read)


def time_or_none(stored: Any) -> datetime | None:
    """As `read_time`; None where there is no time, or one that cannot be read."""
    try:
        return read_time(stored)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None


def _required_time(document: _JobDocument, name: str) -> datetime:
    time = read_time(document.get(name))
    if time is None:
        raise ValueError(f"{name} is missing")
    return time


def settled_state(document: _JobDocument) -> Settled:
    status: Status | None
    try:
        status = Status(document["status"])
    except (KeyError, ValueError):
        status = None
    has_id = _is_flink_job_id(document.get("flink_job_id"))
    return Settled(
        job_id=document["job_id"],
        status=status,
        is_settled=status is not None
        and is_settled(status, has_id=has_id, submitter_done=_is_submitter_done(document)),
        k8s_job_name=document.get("k8s_job_name"),
        submitter_ended=document.get("submitter_done") is True,
        updated_at=read_time(document.get("updated_at")),
        document_id=document.get("_id"),
    )


def packed_log(log: SubmitterLog) -> dict[str, Any]:
    """A submitter's log as a record holds it, compressed."""
    packed = zlib.compress(log.text.encode(errors="replace"))
    return {"zlib": packed, "truncated": log.truncated, "pod": log.pod, "saved_at": log.saved_at}


def unpacked_log(stored: Any) -> Any:
    """A stored log with its `text`, also as earlier versions wrote it; None if it cannot be decompressed."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("zlib"), bytes):
        return stored
    try:
        text = zlib.decompressobj().decompress(stored["zlib"], MAX_LOG_BYTES)
    except zlib.error:
        return None
    return {**stored, "text": text.decode(errors="replace")}


def label_pair(key: str, value: str) -> str:
    """A label as `label_pairs` holds it: an index cannot hold the keys of `labels`, which contain dots."""
    return f"{key}={value}"


def new_document(record: JobRecord, details: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """The document of a new record, written now."""
    pairs = [label_pair(key, value) for key, value in details.get("labels", {}).items()]
    return {
        "job_id": record.job_id,
        **details,
        **({"label_pairs": pairs} if pairs else {}),
        **({"run_of": record.run_of, "attempt": record.attempt} if record.run_of else {}),
        **_fields(record),
        "submitted_at": record.submitted_at,
        "k8s_job_name": record.k8s_job_name,
        "k8s_namespace": record.k8s_namespace,
        "cluster": record.cluster,
        "in_flight_until": record.in_flight_until,
        "updated_at": now,
        "revision": 0,
        "history": _moves(None, record, at=now, by=Writer.SUBMIT),
        "pending_since": now,
    }


def _moves(
    before: JobRecord | None, after: JobRecord, *, at: datetime, by: Writer
) -> Sequence[Mapping[str, Any]]:
    """What a write adds to the history: one move, or none."""
    move = move_of(before, after, at=at, by=by)
    if move is None:
        return []
    return [
        {
            "seq": move.seq,
            "at": move.at,
            "was": move.was and move.was.value,
            "status": move.status.value,
            "flink_state": move.flink_state,
            "reason_code": move.reason_code and move.reason_code.value,
            "by": move.by.value,
            **({} if move.stuck is None else {"stuck": move.stuck}),
            **({} if move.unhealthy is None else {"unhealthy": move.unhealthy}),
        }
    ]


def with_move(
    fields: Mapping[str, Any], before: JobRecord, after: JobRecord, *, at: datetime, by: Writer
) -> dict[str, Any]:
    """The update that sets these fields and adds the move, if any: to the history, and for delivery."""
    moves = _moves(before, after, at=at, by=by)
    if not moves:
        return {"$set": fields}
    return {
        "$set": fields,
        "$push": {"history": {"$each": moves, "$slice": -MOVES_KEPT}},
        "$min": {"pending_since": at},
        "$unset": {"waiting_for": ""},
    }


def _fields(record: JobRecord) -> dict[str, Any]:
    """The fields of a document that a pass may change."""
    return {name: write(record) for name, _, write in _CHANGEABLE}


def _ref_document(ref: FlinkJobRef) -> dict[str, Any]:
    return {
        "id": ref.id,
        "source": ref.source.value,
        "confirmed": ref.confirmed,
        "state": ref.state,
        "start_time": ref.start_time,
        "end_time": ref.end_time,
        "failure": ref.failure,
        "missing_since": ref.missing_since,
        "missing_passes": ref.missing_passes,
    }


def _reason_document(reason: Reason | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    return {"code": reason.code.value, "message": reason.message, "since": reason.since}


_CHANGEABLE: Final[Sequence[tuple[str, Callable[[JobRecord], Any], Callable[[JobRecord], Any]]]] = (
    ("flink_job_id", attrgetter("flink_job_id"), attrgetter("flink_job_id")),
    ("flink_job_ids", attrgetter("flink_job_ids"), lambda record: list(record.flink_job_ids)),
    ("flink_jobs", attrgetter("flink_jobs"), lambda record: list(map(_ref_document, record.flink_jobs))),
    ("submitter_done", attrgetter("submitter_done"), attrgetter("submitter_done")),
    ("dropped_ids", attrgetter("dropped_ids"), lambda record: list(record.dropped_ids)),
    ("status", attrgetter("status"), attrgetter("status.value")),
    ("flink_state", attrgetter("flink_state"), attrgetter("flink_state")),
    ("start_time", attrgetter("start_time"), attrgetter("start_time")),
    ("end_time", attrgetter("end_time"), attrgetter("end_time")),
    ("duration", attrgetter("duration"), attrgetter("duration")),
    ("reason", attrgetter("reason"), lambda record: _reason_document(record.reason)),
    ("missing_since", attrgetter("missing_since"), attrgetter("missing_since")),
    ("missing_passes", attrgetter("missing_passes"), attrgetter("missing_passes")),
    ("stuck_since", attrgetter("stuck_since"), attrgetter("stuck_since")),
    ("fingerprint", attrgetter("fingerprint"), attrgetter("fingerprint")),
    ("health", attrgetter("health"), lambda record: plain(record.health)),
    ("unhealthy_since", attrgetter("unhealthy_since"), attrgetter("unhealthy_since")),
    ("latest_state", attrgetter("latest_state"), lambda record: plain(record.latest_state)),
    ("ended_by", attrgetter("ended_by"), lambda record: plain(record.ended_by)),
)
"""Every field that a pass may change: its name, the value that is compared, and how it is written."""

_ONCE: Final = ("flink_jobs", "flink_job_ids", "submitter_done")
"""What a pass derives from the older fields of a document that it has not written yet."""


def conditional_update(update: Update, *, now: datetime, run_id: str, by: Writer) -> UpdateOne:
    """The write of one record: changed fields and its move, on condition that it has not changed.

    A document that was never written by a pass lacks fields, or holds them in the old platform's form: it
    gets them once. MongoDB updates every index of a field that is set, changed or not.
    """
    before, after = update.before, update.after
    changed: dict[str, Any] = {
        name: write(after)
        for name, same, write in _CHANGEABLE
        if same(after) != same(before) or (before.revision is None and name in _ONCE)
    }
    changed["updated_at"] = now
    changed["revision"] = before.next_revision
    changed["synced_by"] = run_id
    unchanged = {
        "_id": before.document_id.value,
        "job_id": before.job_id,
        "status": before.status.value,
        "revision": before.revision,
    }
    change = with_move(changed, before, after, at=now, by=by)
    return UpdateOne(unchanged, change, hint="_id_")  # else it weighs the other indexes as well
