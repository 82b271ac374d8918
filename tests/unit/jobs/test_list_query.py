"""What a list is asked for, its cursors, and how its streams become one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain.errors import BadRequestError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.job_query import BEGINNING, Filter, Form, Place, Places, Query, Row, Sort
from flinkjobs.domain.records import UnreadableRecord
from flinkjobs.jobs.list_query import merge, parse_query, read_cursor, write_cursor

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
FILTER = Filter(statuses=(Status.FAILED,), text="etl")

# --- parameters -------------------------------------------------------------------------------------

QUERIES: list[tuple[Sequence[tuple[str, str]], Query]] = [
    ([], Query(Filter(), 50)),
    ([("limit", "200")], Query(Filter(), 200)),
    ([("limit", "007")], Query(Filter(), 7)),
    ([("status", "RUNNING")], Query(Filter(statuses=(Status.RUNNING,)))),
    (
        [("status", "FAILED,CREATED,FAILED")],
        Query(Filter(statuses=(Status.CREATED, Status.FAILED))),
    ),
    ([("q", " a*b "), ("template_id", "t")], Query(Filter(text=" a*b ", template_id="t"))),
    ([("from", "2025-11-01T12:00:00Z")], Query(Filter(since=NOON))),
    ([("from", "2025-11-01T20:00:00+08:00")], Query(Filter(since=NOON))),
    ([("to", "2025-11-01T12:00:00")], Query(Filter(before=NOON))),
    ([("submitted_by", "li*"), ("cluster", "a")], Query(Filter(submitted_by="li*", cluster="a"))),
    ([("reason", "QUOTA,NO_REASON")], Query(Filter(reasons=("NO_REASON", "QUOTA")))),
    ([("sort", "end_time")], Query(Filter(sort=Sort.ENDED))),
    ([("fields", "status,job_id")], Query(fields=("job_id", "status"))),
    ([("label", "team=search")], Query(Filter(labels=(("team", "search"),)))),
    (
        [("label", "team=search,a.b/c="), ("label", ""), ("label", "b=1"), ("label", "b=1")],
        Query(Filter(labels=(("a.b/c", ""), ("b", "1"), ("team", "search")))),
    ),
    ([("to", "2025-11-02")], Query(Filter(before=NOON + timedelta(hours=12)))),
    (
        [(name, "") for name in ("status", "template_id", "q", "from", "to", "label", "limit", "cursor")],
        Query(),
    ),
]


@pytest.mark.parametrize(("pairs", "expected"), QUERIES, ids=[str(pairs) for pairs, _ in QUERIES])
def test_parameters_are_read(pairs: Sequence[tuple[str, str]], expected: Query) -> None:
    assert parse_query(pairs) == expected


def test_every_fault_is_reported_at_once() -> None:
    pairs = [("status", "done"), ("limit", "0"), ("limit", "5"), ("sort", "asc"), ("from", "now"), ("x", "1")]
    with pytest.raises(BadRequestError) as caught:
        parse_query(pairs)
    assert sorted(fault.pointer for fault in caught.value.faults) == [
        *("query:from", "query:limit", "query:sort", "query:status", "query:x"),
    ]


@pytest.mark.parametrize(
    "text",
    ["team", "=x", "a b=x", "a=x y", "a=b=c", "a=b,", ",", "a!=b", ",".join(f"l{n}=x" for n in range(21))],
)
def test_a_faulty_label_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="query:label must be"):
        parse_query([("label", text)])


@pytest.mark.parametrize("text", ["a\x00b", "\n", "\x7f", "\x85", "\ud800"])
def test_text_with_control_characters_is_refused(text: str) -> None:
    for name in ("q", "template_id"):
        with pytest.raises(BadRequestError, match=f"query:{name} must not hold control characters"):
            parse_query([(name, text)])


# --- cursors ----------------------------------------------------------------------------------------

PLACES: list[Places] = [
    {Form.DATE: Place(1_761_998_400_000, '{"$oid": "x"}'), Form.TEXT: None},
    {Form.TEXT: Place("2025-11-01T12:00:00", '"täglich"')},
    {Form.OTHER: Place(None, "17"), Form.DATE: Place(-1, "{}")},
]


@pytest.mark.parametrize("places", PLACES)
def test_a_cursor_is_read_as_it_was_written(places: Places) -> None:
    cursor = write_cursor(places, FILTER)
    assert cursor is not None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert read_cursor(cursor, FILTER) == places
    assert parse_query([("cursor", cursor), ("status", "FAILED"), ("q", "etl")]).after == places


def test_at_the_end_there_is_no_cursor() -> None:
    assert write_cursor({}, FILTER) is None


@given(st.data())
def test_a_cursor_in_which_anything_was_changed_is_none(data: st.DataObject) -> None:
    cursor = write_cursor(PLACES[0], FILTER) or ""
    place = data.draw(st.integers(0, len(cursor) - 1))
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[place % len(raw)] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="is no `next_cursor` of a list with these filters"):
        read_cursor(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="), FILTER)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no `next_cursor` of a list with these filters"):
        read_cursor(text, FILTER)


FORGED = [
    b"[" * 2_900,
    b'{"date":[' + b"9" * 30 + b',"1"]}',
    b'{"date":[-9223372036854775809,"1"]}',
    b'{"text":["\\ud800","1"]}',
    b'{"text":["x","\\ud800"]}',
]


@pytest.mark.parametrize("payload", FORGED)
def test_a_forged_cursor_that_the_store_could_not_take_is_none(payload: bytes) -> None:
    digest = hashlib.sha256(f"{FILTER!r}\n".encode() + payload).digest()[:12]
    with pytest.raises(ValueError, match="is no `next_cursor` of a list with these filters"):
        read_cursor(base64.urlsafe_b64encode(digest + payload).decode().rstrip("="), FILTER)


OTHER_FILTERS = [
    Filter(),
    Filter(statuses=(Status.FAILED,)),
    Filter(statuses=(Status.FAILED,), text="ETL"),
    Filter(statuses=(Status.FAILED,), text="etl", since=NOON),
    Filter(statuses=(Status.FAILED,), text="etl", template_id="t"),
]


@pytest.mark.parametrize("other", OTHER_FILTERS)
def test_a_cursor_of_other_filters_is_none(other: Filter) -> None:
    cursor = write_cursor(PLACES[0], FILTER) or ""
    with pytest.raises(ValueError, match="is no `next_cursor` of a list with these filters"):
        read_cursor(cursor, other)


# --- streams ----------------------------------------------------------------------------------------


def row(name: str, minutes: int | None = None) -> Row:
    time = None if minutes is None else NOON - timedelta(minutes=minutes)
    return Row(Place(name, name), time, UnreadableRecord(name, "made up"), {})


def merged(streams: dict[Form, list[Row]], limit: int, after: Places = BEGINNING) -> tuple[list[str], Any]:
    """The names in their order, and where each stream goes on."""
    rows, rest = merge(streams, Query(limit=limit, after=after))
    return [one.place.id for one in rows], {form: place and place.id for form, place in rest.items()}


def test_streams_become_one_by_time() -> None:
    streams = {Form.DATE: [row("a", 1), row("c", 3)], Form.TEXT: [row("b", 2), row("d", 4)], Form.OTHER: []}
    assert merged(streams, 5) == (["a", "b", "c", "d"], {})
    assert merged(streams, 4) == (["a", "b", "c", "d"], {})
    assert merged(streams, 3) == (["a", "b", "c"], {Form.TEXT: "b"})
    assert merged(streams, 1) == (["a"], {Form.DATE: "a", Form.TEXT: None})


def test_a_stream_of_which_nothing_was_shown_goes_on_where_it_was() -> None:
    before: Places = {Form.DATE: Place(1, "x"), Form.TEXT: Place("1", "y")}
    streams = {Form.DATE: [row("a", 1), row("b", 2)], Form.TEXT: [row("c", 3)]}
    assert merged(streams, 1, before) == (["a"], {Form.DATE: "a", Form.TEXT: "y"})


def test_a_time_that_cannot_be_read_holds_up_no_other_record() -> None:
    streams = {Form.DATE: [row("a", 1)], Form.TEXT: [row("b"), row("c", 0)], Form.OTHER: [row("z"), row("y")]}
    assert merged(streams, 9) == (["b", "c", "a", "z", "y"], {})


@given(st.lists(st.tuples(st.sampled_from([Form.DATE, Form.TEXT]), st.integers(0, 9))), st.integers(1, 5))
def test_pages_show_everything_once_and_in_order(shown: list[tuple[Form, int]], limit: int) -> None:
    """Each stream in its own order, however many of it are of the same minute."""
    whole: dict[Form, list[Row]] = {Form.DATE: [], Form.TEXT: [], Form.OTHER: [row("last")]}
    for number, (form, minutes) in enumerate(sorted(shown, key=lambda entry: entry[1])):
        whole[form].append(row(f"{minutes}-{number}", minutes))
    listed: list[str] = []
    after: Places = BEGINNING
    while after:
        streams = {}
        for form, place in after.items():
            names = [one.place.id for one in whole[form]]
            begin = names.index(place.id) + 1 if place else 0
            streams[form] = whole[form][begin : begin + limit + 1]
        rows, after = merge(streams, Query(limit=limit, after=after))
        listed += [one.place.id for one in rows]
    assert sorted(listed) == sorted(one.place.id for rows in whole.values() for one in rows)
    numbers = [int(name.partition("-")[0]) for name in listed[:-1]]
    assert numbers == sorted(numbers)
    assert listed[-1] == "last"
