"""Conditions, order and index of a list, as MongoDB takes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import bson
from bson import Regex, json_util
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from pymongo import DESCENDING

from flinkjobs.adapters.mongo.documents import label_pair
from flinkjobs.adapters.mongo.indexes import BY_END, BY_HEALTH, BY_LABEL, BY_STATUS, BY_TEMPLATE, BY_TIME
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

_FIRST_DATE: Final = DatetimeMS(-(2**63))
_DEFAULT_CLUSTER: Final = "default"
"""Of the records that name none."""


def newest_first(sort: Sort) -> dict[str, int]:
    return {sort.value: DESCENDING, "_id": DESCENDING}


def index_of(wanted: Filter) -> Index:
    if wanted.sort is Sort.ENDED:
        return BY_END
    if wanted.health:
        return BY_HEALTH
    if wanted.labels:
        return BY_LABEL
    if wanted.template_id is not None:
        return BY_TEMPLATE
    return BY_STATUS if wanted.statuses else BY_TIME


def index_on_keys(wanted: Filter) -> Index:
    if wanted.sort is Sort.ENDED:
        return BY_END
    if wanted.health:
        return BY_HEALTH
    return BY_LABEL if wanted.labels else BY_TIME


def fields_of(wanted: Filter) -> Document:
    fields: Document = {}
    if wanted.health:
        fields |= UNHEALTHY
    if wanted.statuses:
        fields["status"] = {"$in": [status.value for status in wanted.statuses]}
    if wanted.template_id is not None and not wanted.template_id.endswith("*"):
        fields["template_id"] = wanted.template_id
    if wanted.labels:
        fields["label_pairs"] = {"$all": [label_pair(key, value) for key, value in wanted.labels]}
    return fields


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


def on_keys(wanted: Filter) -> list[Document]:
    """The conditions but the text that are checked on an index's keys, one by one."""
    conditions: list[Document] = []
    for name in ("template_id", "submitted_by"):
        given = getattr(wanted, name)
        if given is not None and given.endswith("*"):
            conditions.append({name: {"$regex": f"^{re.escape(given[:-1])}"}})
        elif given is not None and name == "submitted_by":
            conditions.append({name: given})
    if wanted.cluster is not None:
        without = [None] if wanted.cluster == _DEFAULT_CLUSTER else []
        conditions.append({"cluster": {"$in": [wanted.cluster, *without]}})
    if wanted.reasons:
        codes = [None if code == WITHOUT_REASON else code for code in wanted.reasons]
        conditions.append({"health.code" if wanted.health else "reason.code": {"$in": codes}})
    return conditions
