"""Conditions, order and index of a list, as MongoDB takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson import Regex, json_util
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from pymongo import DESCENDING

from flinkjobs.adapters.mongo.documents import label_pair
from flinkjobs.adapters.mongo.indexes import (
    BY_END,
    BY_HEALTH,
    BY_LABEL,
    BY_OWNER,
    BY_STATUS,
    BY_TEMPLATE,
    BY_TEMPLATE_AND_STATUS,
    BY_TIME,
)
from flinkjobs.domain.errors import BadRequestError, Fault
from flinkjobs.domain.flink_states import OPEN
from flinkjobs.domain.health_values import HealthState
from flinkjobs.domain.job_query import WITHOUT_REASON, Filter, Form, Place, Sort
from flinkjobs.domain.text import cut

Document = dict[str, Any]
Index = Sequence[tuple[str, int]]

UNHEALTHY: Final[Document] = {
    "health.state": HealthState.UNHEALTHY.value,
    "status": {"$in": sorted(OPEN)},  # an older version of sync leaves the health on a record that is over
}

SEARCHED: Final = ("job_id", "k8s_job_name", "job_name", "template_id", "submitted_by")
"""Fields that a text is the beginning of; an index begins with each."""
MAX_FOUND: Final = 1_000
"""Records that a text finds by index; where there are more, the list is searched in its order."""
KEYS_CHECKED: Final = 10_000
"""Maximum number of keys that one query checks."""
RECORDS_CHECKED: Final = 2_000
"""Maximum number of records that one query checks, where a condition is not on the index's keys, or that are
counted where the count cannot be exact."""
_LAST: Final = "\U0010ffff"
"""Stands after every other character."""
_FLINK_ID_START: Final = re.compile(r"[0-9a-f]{6,32}")
_POD_NAME: Final = re.compile(r"(?P<job>[a-z0-9].*)-[a-z0-9]{5}")
"""The name of a Job's pod: the Job's, which is short enough to be whole, and five characters."""

_FIRST_DATE: Final = DatetimeMS(-(2**63))
_DEFAULT_CLUSTER: Final = "default"
"""Of the records that name none."""


def newest_first(sort: Sort) -> dict[str, int]:
    return {sort.value: DESCENDING, "_id": DESCENDING}


@dataclass(frozen=True, slots=True)
class Plan:
    """How the records of a filter are found.

    Attributes:
        index: is read in the order of the list.
        within: the condition whose records stand together in the index.
        checked: the conditions that are checked record by record, on the keys where they are among them.
        most: maximum number of keys that one query checks.
    """

    index: Index
    within: Document
    checked: Sequence[Document]
    most: int


def plan_of(wanted: Filter, ids: Collection[Any] | None = None) -> Plan:
    """The plan for a filter.

    Args:
        wanted: the filter.
        ids: `_id`s of all records that its text finds; None without a text, or where it finds many.
    """
    conditions = _conditions(wanted)
    if ids is not None:
        conditions.pop("text", None)
        return Plan((("_id", 1),), {"_id": {"$in": list(ids)}}, list(conditions.values()), MAX_FOUND)
    is_open = bool(wanted.statuses) and OPEN.issuperset(wanted.statuses)
    choices: Sequence[tuple[tuple[str, ...], Index]] = (
        (("health",), BY_HEALTH),
        (("label",), BY_LABEL),
        (("template_id", "status"), BY_TEMPLATE_AND_STATUS),
        (("template_id",), BY_TEMPLATE),
        (("submitted_by",), BY_OWNER),
    )
    names, index = next((choice for choice in choices if conditions.keys() >= {*choice[0]}), ((), BY_TIME))
    if wanted.sort is Sort.ENDED:
        names, index = (), BY_END
    elif not names and "status" in conditions and (is_open or conditions.keys() <= {"status", "reason"}):
        names, index = ("status",), BY_STATUS
    within: Document = {}
    for name in names:
        within |= conditions.pop(name)
    on_keys = {field for field, _ in index}
    is_covered = index is not BY_LABEL and all(_FIELDS_OF[condition] <= on_keys for condition in conditions)
    return Plan(index, within, list(conditions.values()), KEYS_CHECKED if is_covered else RECORDS_CHECKED)


_FIELDS_OF: Final[Mapping[str, set[str]]] = {
    "health": {"health.state", "status"},
    "health_code": {"health.code"},
    "label": {"labels"},
    "labels": {"labels"},
    "template_id": {"template_id"},
    "template_prefix": {"template_id"},
    "submitted_by": {"submitted_by"},
    "owner_prefix": {"submitted_by"},
    "status": {"status"},
    "cluster": {"cluster"},
    "reason": {"reason.code"},
    "text": {*SEARCHED, "flink_job_id"},
}
"""The fields of each condition; an index with several values in a field does not answer for it."""


def _conditions(wanted: Filter) -> dict[str, Document]:
    """The conditions of a filter, but for its times, by name."""
    conditions: dict[str, Document] = {}
    if wanted.health:
        conditions["health"] = UNHEALTHY
    pairs = [label_pair(key, value) for key, value in wanted.labels]
    if pairs:
        conditions["label"] = {"label_pairs": pairs[0]}
    if pairs[1:]:
        conditions["labels"] = {"label_pairs": {"$all": pairs[1:]}}
    for name, prefix in (("template_id", "template_prefix"), ("submitted_by", "owner_prefix")):
        given = getattr(wanted, name)
        if given is not None and given.endswith("*"):
            conditions[prefix] = {name: {"$regex": f"^{re.escape(given[:-1])}"}}
        elif given is not None:
            conditions[name] = {name: given}
    return conditions | _conditions_by_words(wanted)


def _conditions_by_words(wanted: Filter) -> dict[str, Document]:
    conditions: dict[str, Document] = {}
    if wanted.statuses:
        conditions["status"] = {"status": {"$in": [status.value for status in wanted.statuses]}}
    if wanted.cluster is not None:
        without = [None] if wanted.cluster == _DEFAULT_CLUSTER else []
        conditions["cluster"] = {"cluster": {"$in": [wanted.cluster, *without]}}
    if wanted.reasons:
        codes = [None if code == WITHOUT_REASON else code for code in wanted.reasons]
        kind, field = ("health_code", "health.code") if wanted.health else ("reason", "reason.code")
        conditions[kind] = {field: {"$in": codes}}
    if wanted.text is not None:
        conditions["text"] = {"$or": text_conditions(wanted.text)}
    return conditions


def text_conditions(text: str) -> list[Document]:
    """The conditions, any of them, for the records that a text finds; each is a span of an index.

    An index distinguishes capital letters from small ones: the text is looked for as it is, in either, and
    with a capital at its beginning.
    """
    forms = sorted({text, text.lower(), text.upper(), text[:1].upper() + text[1:].lower()})
    conditions: list[Document] = [
        {name: {"$gte": form, "$lt": form + _LAST}} for name in SEARCHED for form in forms
    ]
    if pod := _POD_NAME.fullmatch(text):
        conditions.append({"k8s_job_name": pod["job"]})
    start = text.lower()
    if _FLINK_ID_START.fullmatch(start):
        span = {"$gte": start, "$lt": start + "g"}
        conditions += [{"flink_job_id": span}, {"flink_job_ids": {"$elemMatch": span}}]
    return conditions


def _bounds(form: Form, wanted: Filter) -> Document:
    """The condition for the records of a form, by the time of the order, in the time that is asked for."""
    if form is Form.OTHER:
        # A comparison finds values of its own type only.
        bounds: Document = {"$and": [{wanted.sort: {"$not": {"$gte": least}}} for least in ("", _FIRST_DATE)]}
    elif wanted.sort is Sort.SUBMITTED:
        return submitted_between(form, wanted)
    else:
        bounds = {wanted.sort.value: {"$gte": "" if form is Form.TEXT else _FIRST_DATE}}
    if wanted.since or wanted.before:
        bounds["$or"] = [submitted_between(each, wanted) for each in (Form.DATE, Form.TEXT)]
    return bounds


def submitted_between(form: Form, wanted: Filter) -> Document:
    """The condition for the records with this form of `submitted_at` in the time that is asked for."""
    if form is Form.TEXT:
        span: Document = {"$gte": _as_text(wanted.since) if wanted.since else ""}
        if wanted.before:
            span["$lt"] = _as_text(wanted.before)
    else:
        span = {"$gte": wanted.since or _FIRST_DATE}
        if wanted.before:
            span["$lt"] = wanted.before
    return {"submitted_at": span}


def bounds_after(form: Form, wanted: Filter, after: Place | None) -> list[Document]:
    """The conditions, one after the other, for what comes after a place."""
    if form is Form.OTHER and wanted.sort is Sort.SUBMITTED and (wanted.since or wanted.before):
        return []
    bounds = _bounds(form, wanted)
    if after is None:
        return [bounds]
    earlier_id = {"_id": {"$lt": _read_id(after.id)}}
    if form is Form.OTHER:
        return [bounds | earlier_id]
    at, field = _time_of(after), wanted.sort.value
    return [{**bounds, field: at, **earlier_id}, {**bounds, field: {**bounds[field], "$lt": at}}]


def bounds_before(form: Form, wanted: Filter, last: Place | None) -> list[Document]:
    """The conditions for what comes up to and with a place; for the whole stream without one."""
    if last is None:
        return bounds_after(form, wanted, None)
    bounds = _bounds(form, wanted)
    from_id = {"_id": {"$gte": _read_id(last.id)}}
    if form is Form.OTHER:
        return [bounds | from_id]
    at, field = _time_of(last), wanted.sort.value
    return [{**bounds, field: {**bounds[field], "$gt": at}}, {**bounds, field: at, **from_id}]


def _time_of(place: Place) -> DatetimeMS | str | None:
    return DatetimeMS(place.at) if isinstance(place.at, int) else place.at


def _as_text(time: datetime) -> str:
    """A time as the old platform wrote it: UTC without saying so, and no fraction where there is none."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def _read_id(text: str) -> Any:
    """An `_id` out of a cursor, which anybody can write: it must be one that a document can have."""
    try:
        id_ = json_util.loads(text)
        bson.encode({"_id": id_})
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError, BSONError) as error:
        raise _no_cursor(cut(str(error), 200)) from error
    if isinstance(id_, Regex | re.Pattern | list):
        raise _no_cursor(f"no document has an _id of the type {type(id_).__name__}")
    return id_


def _no_cursor(detail: str) -> BadRequestError:
    return BadRequestError("query:cursor is no `next_cursor` of this list", (Fault("query:cursor", detail),))
