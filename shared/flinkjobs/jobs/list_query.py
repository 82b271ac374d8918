"""Parameters, cursor and merge of the list of records. Pure.

The old platform wrote times as text, and MongoDB sorts texts and dates separately. A list is therefore read
as up to three streams, one per form of the time that it is ordered by, each in the order of its index, and
merged here. A cursor holds the position in each stream, by that time and `_id` of the last record of the
page: a new record does not shift the following pages.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from flinkjobs.domain.errors import NAMELESS, BadRequestError, Fault, describe_faults
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import HealthState
from flinkjobs.domain.job_query import (
    BEGINNING,
    DEFAULT_LIMIT,
    WITHOUT_REASON,
    Filter,
    Form,
    Place,
    Places,
    Query,
    Row,
    ScanEnd,
    Sort,
)
from flinkjobs.domain.labels import MAX_LABELS, check_key, check_value
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.text import cut
from flinkjobs.jobs.views import JOB_FIELDS

T = TypeVar("T")
MAX_LIMIT: Final = 200
MAX_TEXT: Final = 200
MAX_CURSOR: Final = 4_000

_DIGEST_BYTES: Final = 12
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of surrogate pairs, which UTF-8 cannot hold."""


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Reads the parameters of a list; an empty value counts as not given, and `label` may be repeated.

    Raises:
        BadRequestError: one is unknown, twice there, or wrong; every fault at once.
    """
    parsed, faults = read_parameters(pairs, _PARSERS)
    since, before = parsed.get("from"), parsed.get("to")
    if since is not None and before is not None and since >= before:
        faults.append(Fault("query:from", "must be earlier than `to`"))
    wanted = Filter(
        statuses=parsed.get("status", ()),
        template_id=parsed.get("template_id"),
        text=parsed.get("q"),
        since=since,
        before=before,
        labels=parsed.get("label", ()),
        health=parsed.get("health"),
        submitted_by=parsed.get("submitted_by"),
        cluster=parsed.get("cluster"),
        reasons=parsed.get("reason", ()),
        sort=parsed.get("sort", Sort.SUBMITTED),
    )
    after: Places = BEGINNING
    if "cursor" in parsed and not faults:
        try:
            after = read_cursor(parsed["cursor"], wanted)
        except ValueError as error:
            faults.append(Fault("query:cursor", str(error)))
    if faults:
        raise BadRequestError(cut(describe_faults(faults)), tuple(faults))
    return Query(wanted, parsed.get("limit", DEFAULT_LIMIT), after, parsed.get("fields"))


def read_parameters(
    pairs: Iterable[tuple[str, str]], parsers: Mapping[str, Callable[[str], Any]]
) -> tuple[dict[str, Any], list[Fault]]:
    """The parsed values by name, without those that are empty, and every fault.

    Args:
        pairs: the parameters as in a URL.
        parsers: by name; a value that is wrong raises ValueError.
    """
    given: dict[str, str] = {}
    faults: list[Fault] = []
    for name, value in pairs:
        if name not in parsers:
            pointer = f"query:{cut(name, 80) or NAMELESS}"
            faults.append(Fault(pointer, f"is not known here; known: {', '.join(parsers)}"))
        elif name in given and name != "label":
            faults.append(Fault(f"query:{name}", "is there twice"))
        given[name] = ",".join(filter(None, (given.get(name), value))) if name == "label" else value
    parsed: dict[str, Any] = {}
    for name, parse in parsers.items():
        if given.get(name, ""):
            try:
                parsed[name] = parse(given[name])
            except ValueError as error:
                faults.append(Fault(f"query:{name}", str(error)))
    return parsed, faults


def _words_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of one or more of these words, in the order of `known`."""

    def parse(text: str) -> tuple[str, ...]:
        words = text.split(",")
        if not set(words) <= set(known):
            raise ValueError(f"must be words of {', '.join(known)}, separated by commas")
        return tuple(word for word in known if word in words)

    return parse


def _sort(text: str) -> Sort:
    if text not in tuple(Sort):
        raise ValueError(f"must be one of {', '.join(Sort)}")
    return Sort(text)


def _health(text: str) -> HealthState:
    """Only what is written on records can be looked for: the others follow from status and cluster."""
    if text != HealthState.UNHEALTHY:
        raise ValueError(f"must be {HealthState.UNHEALTHY}")
    return HealthState.UNHEALTHY


def text_of(text: str) -> str:
    """A text to search for, as it was given."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"must be at most {MAX_TEXT} characters long")
    if _NO_TEXT.search(text):
        raise ValueError("must not hold control characters")
    return text


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    pairs = sorted({_label(pair) for pair in text.split(",")})
    if len(pairs) > MAX_LABELS:
        raise ValueError(f"must be at most {MAX_LABELS} labels")
    return tuple(pairs)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must be labels, KEY=VALUE, separated by commas")
    try:
        return check_key(key), check_value(value)
    except ValueError as error:
        raise ValueError(f"must be labels, KEY=VALUE, separated by commas: {cut(text, 80)} {error}") from None


def limit_of(text: str) -> int:
    """How many entries a page holds."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def time_of(text: str) -> datetime:
    """A time of ISO 8601; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time of ISO 8601, like 2025-11-01T12:00:00Z") from None


def cursor_of(text: str) -> str:
    """What may be a cursor, unread."""
    if len(text) > MAX_CURSOR:
        raise ValueError(_NO_CURSOR)
    return text


_NO_CURSOR: Final = "is no `next_cursor` of a list with these filters"

_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "status": _words_of(tuple(Status)),
    "template_id": text_of,
    "submitted_by": text_of,
    "cluster": text_of,
    "reason": _words_of((WITHOUT_REASON, *ReasonCode)),
    "q": text_of,
    "from": time_of,
    "to": time_of,
    "label": _labels,
    "health": _health,
    "sort": _sort,
    "fields": _words_of(JOB_FIELDS),
    "limit": limit_of,
    "cursor": cursor_of,
}


def write_cursor(places: Places, wanted: Filter) -> str | None:
    """The cursor of the next page; None when every stream has ended.

    It carries a digest over itself and the filters: one that was altered, or is used with other filters, is
    noticed. It holds no secret: a forged one leads to another place in the same list.
    """
    if not places:
        return None
    held = {form.value: None if place is None else [place.at, place.id] for form, place in places.items()}
    payload = json.dumps(held, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(_digest(payload, wanted) + payload).decode().rstrip("=")


def read_cursor(text: str, wanted: Filter) -> Places:
    """The places of a cursor that `write_cursor` made for the same filters.

    Raises:
        ValueError: it is none.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        held: dict[str, Any] = json.loads(payload) if digest == _digest(payload, wanted) else {}
        places = {Form(form): _place(Form(form), place) for form, place in held.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        places = {}
    if not places:
        raise ValueError(_NO_CURSOR)
    return places


def _place(form: Form, held: Any) -> Place | None:
    if held is None:
        return None
    at, id_ = held
    if not isinstance(at, _TYPE_OF_AT[form]) or not isinstance(id_, str):
        raise TypeError(_NO_CURSOR)
    if isinstance(at, int) and not -(2**63) <= at < 2**63:
        raise ValueError(_NO_CURSOR)
    f"{at}{id_}".encode()  # half a surrogate pair stands in no record
    return Place(at, id_)


_TYPE_OF_AT: Final[Mapping[Form, type[Any]]] = {Form.DATE: int, Form.TEXT: str, Form.OTHER: type(None)}


def _digest(payload: bytes, wanted: Filter) -> bytes:
    return hashlib.sha256(f"{wanted!r}\n".encode() + payload).digest()[:_DIGEST_BYTES]


def merge(streams: Mapping[Form, Sequence[Row | ScanEnd]], query: Query) -> tuple[list[Row], Places]:
    """The newest rows of all streams, and where the next page begins.

    Args:
        streams: the next rows of each stream of `query.after`, in its own order: `query.limit + 1` of them,
            or fewer at its end. A page ends where a stream was not read any further.
        query: what was asked for.
    """
    chosen: list[Row] = []
    taken = dict.fromkeys(streams, 0)
    while len(chosen) < query.limit:
        heads = {form: rows[taken[form]] for form, rows in streams.items() if taken[form] < len(rows)}
        if not heads:
            break
        newest = max(heads, key=lambda form: _rank(form, heads[form]))
        head = heads[newest]
        if isinstance(head, ScanEnd):
            break
        chosen.append(head)
        taken[newest] += 1
    rest: dict[Form, Place | None] = {}
    for form, rows in streams.items():
        if taken[form] < len(rows) and isinstance(end := rows[taken[form]], ScanEnd):
            rest[form] = end.place
        elif taken[form] < len(rows):
            rest[form] = rows[taken[form] - 1].place if taken[form] else query.after[form]
    return chosen, rest


def _rank(form: Form, row: Row | ScanEnd) -> tuple[int, datetime]:
    """A time that cannot be read comes as soon as its stream comes to it: it must not hold the others up."""
    if form is Form.OTHER:
        return 0, _FIRST
    return (2, _FIRST) if row.time is None else (1, row.time)


_FIRST: Final = datetime.min.replace(tzinfo=UTC)
