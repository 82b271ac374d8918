"""Tells the records at rest from the others in MongoDB's own bytes, without decoding them.

Of ten thousand open records nine thousand are, in most passes, as they were. To decode a record and to make a
`JobRecord` of it takes six times as long as to find that its bytes are those of a record at rest, and to read
the five values that matter out of them. Every record that submit has inserted lies in one layout, in which
updates keep each field in its place; a document in any other layout is decoded, as is every one that says
anything unusual. BSON: https://bsonspec.org/spec.html
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

from flinkjobs.domain.records import AtRest

_LENGTH: Final = struct.Struct("<i")
_MILLISECONDS: Final = struct.Struct("<q")
_SIZE: Final = rb".{4}"
_new: Final = tuple.__new__


def _text(name: bytes, value: bytes = rb"[^\0]*") -> bytes:
    return rb"\x02" + name + rb"\0" + _SIZE + value + rb"\0"


def _date(name: bytes, value: bytes = rb".{8}") -> bytes:
    return rb"\x09" + name + rb"\0" + value


def _null(name: bytes) -> bytes:
    return rb"\x0a" + name + rb"\0"


def _true(name: bytes) -> bytes:
    return rb"\x08" + name + rb"\0\x01"


def _whole(name: bytes, value: bytes = rb".{4}") -> bytes:
    return rb"\x10" + name + rb"\0" + value


def _either(*values: bytes) -> bytes:
    return rb"(?:" + rb"|".join(values) + rb")"


_JOB: Final = b"".join(
    (
        _text(rb"id", rb"(?P<id>[0-9a-f]{32})"),
        _text(rb"source"),
        _true(rb"confirmed"),
        _text(rb"state", rb"(?P<state>[A-Z]+)"),
        _date(rb"start_time", rb"(?P<start>.{8})"),
        _null(rb"end_time"),
        _null(rb"failure"),
        _null(rb"missing_since"),
        _whole(rb"missing_passes", rb"\0{4}"),
    )
)
_RECORD: Final = re.compile(
    b"".join(
        (
            _SIZE,
            rb"\x07_id\0.{12}",
            _text(rb"job_id", rb"[^\0]+"),
            _text(rb"flink_job_id", rb"[^\0]+"),
            rb"\x04flink_jobs\0" + _SIZE + rb"\x030\0" + _SIZE + _JOB + rb"\0\0",
            _true(rb"submitter_done"),
            rb"\x04dropped_ids\0\x05\0{4}",
            _text(rb"status", rb"(?P<status>[A-Z]+)"),
            _text(rb"flink_state", rb"(?P=state)"),
            _date(rb"start_time", rb"(?P=start)"),
            _null(rb"end_time"),
            _null(rb"duration"),
            _null(rb"reason"),
            _null(rb"missing_since"),
            _date(rb"submitted_at"),
            _either(_text(rb"k8s_job_name"), _null(rb"k8s_job_name")),
            _text(rb"cluster", rb"(?P<cluster>[^\0]+)"),
            _either(_null(rb"in_flight_until"), _date(rb"in_flight_until")),
            _whole(rb"revision"),
            rb"\0",
        )
    ),
    re.DOTALL,
)
"""A record at rest, of the fields that a pass asks for."""


def sift(batch: bytes, skip: Callable[[AtRest], bool]) -> tuple[bytes, int]:
    """Leaves out of a batch of documents the records at rest that are to be skipped.

    Args:
        batch: documents in BSON, one behind the other.
        skip: whether to leave one out.

    Returns:
        (the other documents, how many were left out).
    """
    kept, skipped = [], 0
    match, begin, end = _RECORD.fullmatch, 0, len(batch)
    while begin < end:
        after = begin + _LENGTH.unpack_from(batch, begin)[0]
        found = match(batch, begin, after)
        if found is not None and skip(_at_rest(*found.groups())):
            skipped += 1
        else:
            kept.append(batch[begin:after])
        begin = after
    return b"".join(kept), skipped


def _at_rest(flink_job_id: bytes, state: bytes, start: bytes, status: bytes, cluster: bytes) -> AtRest:
    """As `AtRest(…)` makes it, in half the time: made of every record in every pass."""
    return _new(
        AtRest,
        (
            cluster.decode("utf-8", "replace"),
            status.decode(),
            flink_job_id.decode(),
            state.decode(),
            _MILLISECONDS.unpack(start)[0],
        ),
    )
