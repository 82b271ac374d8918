"""The read side against the real server: order, pages, filters, statistics, rights, cost of a query."""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from doubles.processes import free_port
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.conditions import KEYS_CHECKED, RECORDS_CHECKED
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.domain.errors import (
    BadRequestError,
    JobNotFoundError,
    KubernetesUnavailableError,
    StoreRefusedError,
    StoreUnavailableError,
)
from flinkjobs.domain.job_query import Filter, Form, Place, Row
from flinkjobs.jobs import service as jobs
from flinkjobs.jobs.list_query import write_cursor
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.web.messages import to_json
from local.mongodb import MongoServer
from tests.support.records import labelled

NOW = datetime(2025, 11, 2, 12, tzinfo=UTC)
A, B, C = "a" * 32, "b" * 32, "c" * 32
Document = dict[str, Any]
Pairs = Sequence[tuple[str, str]]


class Spy(CommandListener):
    """Keeps every command that was sent."""

    def __init__(self) -> None:
        self.commands: list[Document] = []

    def started(self, event: CommandStartedEvent) -> None:
        # Credentials come as empty commands, and getMore goes on with a command that is here already.
        if event.command and event.command_name != "getMore":
            self.commands.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def no_kubernetes() -> KubernetesClient:
    raise KubernetesUnavailableError("there is none here")


def read_side(store: MongoReadStore) -> jobs.Jobs:
    return jobs.Jobs(
        store=store,
        cluster=no_kubernetes,
        namespace="lemo-dev",
        ui_urls={"default": "http://flink:8081"},
        history_urls={"default": None},
        sync=None,
        sync_period_seconds=180,
        clock=lambda: NOW,
    )


@pytest.fixture
def found(mongo_server: MongoServer, mongo_database: Database[Document]) -> Iterator[jobs.Jobs]:
    """The read side of the test's own database."""
    store = MongoReadStore(connect(mongo_server.uri, mongo_database.name))
    with contextlib.closing(store):
        yield read_side(store)


@pytest.fixture
def records(mongo_database: Database[Document]) -> Collection[Document]:
    """The empty collection, with its indexes."""
    ensure_indexes(mongo_database)
    return mongo_database["flink_jobs"]


def iso(time: datetime) -> str:
    """As the old platform wrote a time."""
    return time.replace(tzinfo=None).isoformat()


def document(job_id: str, **fields: Any) -> Document:
    """A record as the functions write it."""
    known: Document = {
        "_id": ObjectId(),
        "job_id": job_id,
        "template_id": "etl",
        "job_name": "nightly",
        "cluster": "default",
        "status": "FINISHED",
        "submitted_at": NOW - timedelta(minutes=5),
        "k8s_job_name": f"flink-py-{job_id}",
        "flink_job_id": None,
        "flink_job_ids": [],
        "flink_jobs": [],
        "duration": None,
        "reason": None,
    }
    return known | fields


def old_document(job_id: str, **fields: Any) -> Document:
    """A record as the old platform wrote it."""
    known: Document = {
        "_id": ObjectId(),
        "job_id": job_id,
        "flink_job_id": A,
        "status": "FINISHED",
        "submitted_at": iso(NOW - timedelta(minutes=5)),
        "start_time": iso(NOW - timedelta(minutes=4)),
        "end_time": iso(NOW - timedelta(minutes=3)),
        "duration": 60.0,
    }
    return known | fields


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [job["job_id"] for job in answer["jobs"]]


def pages(side: jobs.Jobs, *query: tuple[str, str], limit: int) -> Iterator[list[str]]:
    """The job ids of each page, to the end."""
    cursor: Pairs = ()
    while True:
        answer = jobs.list_jobs(side, [*query, ("limit", str(limit)), *cursor])
        yield ids(answer)
        if answer["next_cursor"] is None:
            return
        cursor = [("cursor", answer["next_cursor"])]


# --- order and pages --------------------------------------------------------------------------------


def test_old_and_new_records_stand_in_one_order(found: jobs.Jobs, records: Collection[Document]) -> None:
    for minutes in range(10):
        at = NOW - timedelta(minutes=minutes)
        records.insert_one(
            old_document(f"old_{minutes}", submitted_at=iso(at))
            if minutes % 3
            else document(f"new_{minutes}", submitted_at=at)
        )
    answer = jobs.list_jobs(found)
    assert ids(answer) == [f"{'old' if minutes % 3 else 'new'}_{minutes}" for minutes in range(10)]
    assert answer["next_cursor"] is None
    assert [job["submitted_at"] for job in answer["jobs"]] == [
        NOW - timedelta(minutes=minutes) for minutes in range(10)
    ]


def test_an_old_record_is_shown_with_its_times(found: jobs.Jobs, records: Collection[Document]) -> None:
    records.insert_one(old_document("template_id_timestamp", updated_at=iso(NOW)))
    [job] = jobs.list_jobs(found)["jobs"]
    assert job == {
        **dict.fromkeys(("template_id", "job_name", "submitted_by", "k8s_job_name", "flink_state")),
        "updated_at": NOW,
        "reason": None,
        "labels": {},
        "health": None,
        "latest_state": None,
        "ended_by": None,
        "submitted_by_verified": False,
        "run_of": None,
        "attempt": None,
        "job_id": "template_id_timestamp",
        "cluster": "default",
        "flink_job_id": A,
        "flink_job_ids": [A],
        "status": "FINISHED",
        "submitted_at": NOW - timedelta(minutes=5),
        "start_time": NOW - timedelta(minutes=4),
        "end_time": NOW - timedelta(minutes=3),
        "duration": 60.0,
    }


def mixed(seed: int, count: int) -> list[Document]:
    """Records of both forms, many of them of the same moment."""
    chance = random.Random(seed)  # noqa: S311 no secret
    made = []
    for number in range(count):
        at = NOW - timedelta(seconds=chance.randrange(count // 6))
        make, time = chance.choice([(document, at), (old_document, iso(at))])
        made.append(
            make(f"job_{number}", submitted_at=time, status=chance.choice(["FAILED", "FINISHED", "LOST"]))
        )
    return made


@pytest.mark.parametrize("query", [(), (("sort", "end_time"),), (("q", "job"), ("status", "LOST,FAILED"))])
def test_a_page_says_at_which_position_it_begins(
    found: jobs.Jobs, records: Collection[Document], query: Pairs
) -> None:
    made = mixed(3, 60)
    for number, one in enumerate(made):
        end = NOW - timedelta(seconds=number % 9)
        one["end_time"] = [None, end, iso(end)][number % 3]
    records.insert_many(made)
    expected, cursor = 1, ""
    while True:
        answer = jobs.list_jobs(found, [*query, ("limit", "7"), ("cursor", cursor)])
        assert answer["first"] == expected
        expected += len(answer["jobs"])
        if not (cursor := answer["next_cursor"] or ""):
            break
    assert expected == 1 + len(
        [one for one in made if not query or len(query) < 2 or one["status"] != "FINISHED"]
    )


def test_a_list_by_the_end_holds_every_record_once_and_what_is_not_over_last(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    made = mixed(5, 60)
    for number, one in enumerate(made):
        end = NOW - timedelta(seconds=number % 13)
        one["end_time"] = [None, end, iso(end)][number % 3]
    records.insert_many(made)
    listed = [job_id for page in pages(found, ("sort", "end_time"), limit=7) for job_id in page]
    assert sorted(listed) == sorted(one["job_id"] for one in made)
    ends = {one["job_id"]: one["end_time"] for one in made}
    texts = [end if isinstance(end, str) else iso(end) if end else "" for end in map(ends.get, listed)]
    assert texts == sorted(texts, reverse=True)


def test_only_the_fields_that_were_asked_for_are_shown(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    records.insert_many([document("fine_1"), document("odd_1", status="PAUSED")])
    odd, fine = jobs.list_jobs(found, [("fields", "status,job_id")])["jobs"]
    assert fine == {"job_id": "fine_1", "status": "FINISHED"}
    assert odd == {"job_id": "odd_1", "status": None, "unreadable": odd["unreadable"]}


@pytest.mark.parametrize("limit", [1, 3, 7, 40, 60])
def test_pages_hold_every_record_once_and_in_order(
    found: jobs.Jobs, records: Collection[Document], limit: int
) -> None:
    made = mixed(limit, 60)
    records.insert_many(made)
    listed = [job_id for page in pages(found, limit=limit) for job_id in page]
    assert sorted(listed) == sorted(one["job_id"] for one in made)
    times = {
        one["job_id"]: one["submitted_at"]
        if isinstance(one["submitted_at"], str)
        else iso(one["submitted_at"])
        for one in made
    }
    assert [times[job_id] for job_id in listed] == sorted(times.values(), reverse=True)
    failed = [job_id for page in pages(found, ("status", "FAILED,LOST"), limit=limit) for job_id in page]
    wanted = {one["job_id"] for one in made if one["status"] != "FINISHED"}
    assert failed == [job_id for job_id in listed if job_id in wanted]


@pytest.mark.parametrize("query", [(), (("q", "job"),), (("template_id", "etl"),), (("status", "FINISHED"),)])
def test_pages_stay_right_while_jobs_arrive_and_go(
    found: jobs.Jobs, records: Collection[Document], query: Pairs
) -> None:
    """What was there at the beginning comes once; what arrives is newer, and moves nothing."""
    for number in range(12):
        at = NOW - timedelta(minutes=number)
        make, time = (old_document, iso(at)) if number % 2 else (document, at)
        records.insert_one(make(f"job_{number:02}", submitted_at=time, template_id="etl"))
    listed = []
    for page in pages(found, *query, limit=3):
        listed += page
        records.insert_one(document(f"job_new_{len(listed)}", submitted_at=NOW + timedelta(minutes=1)))
        records.insert_one(old_document(f"job_old_{len(listed)}", submitted_at=iso(NOW), template_id="etl"))
        records.delete_one({"job_id": page[-1]})  # the very record that the cursor stands on
    assert listed == [f"job_{number:02}" for number in range(12)]


def test_the_cursor_of_one_list_is_refused_by_another(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    records.insert_many([document(f"job_{number}") for number in range(3)])
    cursor = jobs.list_jobs(found, [("limit", "1")])["next_cursor"]
    assert len(ids(jobs.list_jobs(found, [("limit", "2"), ("cursor", cursor)]))) == 2
    with pytest.raises(BadRequestError, match="query:cursor is no `next_cursor` of a list with these"):
        jobs.list_jobs(found, [("status", "FINISHED"), ("cursor", cursor)])


FORGED_IDS = [
    "[" * 1100,
    "9" * 30,
    '{"a\\u0000b": 1}',
    '{"$numberDecimal": "zz"}',
    '{"$binary": {}}',
    '{"$regularExpression": {}}',
    '{"$timestamp": {}}',
    '{"$regularExpression": {"pattern": "^a", "options": ""}}',
    '["an", "array"]',
]


@pytest.mark.parametrize("forged", FORGED_IDS)
def test_a_cursor_with_an_id_that_no_document_can_have_is_refused(found: jobs.Jobs, forged: str) -> None:
    """The digest holds no secret: anybody can write a cursor that passes it."""
    cursor = write_cursor({Form.DATE: Place(at=0, id=forged)}, Filter())
    assert cursor is not None
    with pytest.raises(BadRequestError, match="query:cursor is no `next_cursor` of this list"):
        jobs.list_jobs(found, [("cursor", cursor)])


UNREADABLE = [
    ({"status": "PAUSED"}, "'PAUSED' is not a valid Status"),
    ({"status": None}, "None is not a valid Status"),
    ({"submitted_at": None}, "submitted_at is missing"),
    ({"submitted_at": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
    ({"submitted_at": 1761998400}, "fromisoformat: argument must be str"),
    ({"flink_job_id": "abc"}, "no Flink Job ID: 'abc'"),
    ({"duration": "60 s"}, "duration is no number but '60 s'"),
    ({"duration": float("nan")}, "duration is no number but nan"),
]


@pytest.mark.parametrize(("fields", "why"), UNREADABLE)
def test_a_record_that_cannot_be_read_is_listed_and_says_why(
    found: jobs.Jobs, records: Collection[Document], fields: Document, why: str
) -> None:
    records.insert_many([document("fine_1"), old_document("broken_1", **fields), document("fine_2")])
    listed = jobs.list_jobs(found)["jobs"]
    assert sorted(job["job_id"] for job in listed) == ["broken_1", "fine_1", "fine_2"]
    [broken] = [job for job in listed if "unreadable" in job]
    assert broken["job_id"] == "broken_1"
    assert why in broken["unreadable"]
    assert {value for name, value in broken.items() if name not in ("job_id", "unreadable")} == {None}
    assert [page[0] for page in pages(found, limit=1) if page] == [job["job_id"] for job in listed]
    shown = jobs.show(found, "broken_1")
    assert (shown["job"], shown["timeline"], shown["sync_now"]) == (broken, [], False)


def test_a_record_without_a_job_id_is_listed(found: jobs.Jobs, records: Collection[Document]) -> None:
    records.insert_one({"status": "RUNNING"})
    [job] = jobs.list_jobs(found)["jobs"]
    assert (job["job_id"], job["unreadable"]) == (None, "ValueError: job_id is missing")


# --- filters ----------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


def always(_one: Document) -> bool:
    return True


def never(_one: Document) -> bool:
    return False


def shop() -> list[Document]:
    """A few records of each kind, some of them of the old platform."""
    chance = random.Random(7)  # noqa: S311 no secret
    made = []
    for number in range(80):
        at = NOW - number * HOUR / 4
        template = chance.choice(["etl", "Report", "report.daily"])
        status = chance.choice(["CREATED", "RUNNING", "FINISHED", "FAILED", "CANCELLED", "LOST"])
        name = chance.choice(["nightly", "Umsatz (täglich)", "50% off", "日报"])
        fields: Document = {"template_id": template, "status": status, "job_name": name}
        fields["submitted_by"] = chance.choice(["li.wei", "Lina", None])
        if status in ("CREATED", "FAILED") and number % 2:
            fields["reason"] = reason(chance.choice(["QUOTA", "IMAGE_PULL"]))
        if number % 5 == 0:
            fields["cluster"] = "batch"
        is_old = chance.random() < 0.4
        make, time = (old_document, iso(at)) if is_old else (document, at)
        one = make(f"{template}_{number}", submitted_at=time, **fields)
        made.append(one if is_old else one | labels(number))
    return made


def labels(number: int) -> Document:
    """Every second record has a team, every third a stage."""
    own = {"team": "search"} if number % 2 else {}
    if number % 3 == 0:
        own["example.com/stage.1"] = ""
    return labelled(own) if own else {"labels": {}}


def time_of(one: Document) -> datetime:
    at = one["submitted_at"]
    return datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at


FILTERS: list[tuple[Pairs, Callable[[Document], bool]]] = [
    ([("status", "FAILED")], lambda one: one["status"] == "FAILED"),
    ([("status", "LOST,CREATED")], lambda one: one["status"] in ("LOST", "CREATED")),
    ([("template_id", "Report")], lambda one: one["template_id"] == "Report"),
    (
        [("template_id", "etl"), ("status", "FINISHED,FAILED")],
        lambda one: one["template_id"] == "etl" and one["status"] in ("FINISHED", "FAILED"),
    ),
    ([("from", "2025-11-02T06:00:00Z")], lambda one: time_of(one) >= NOW - 6 * HOUR),
    ([("to", "2025-11-02T06:00:00")], lambda one: time_of(one) < NOW - 6 * HOUR),
    (
        [("from", "2025-11-02T08:00:00+08:00"), ("to", "2025-11-02T06:00:00.000Z")],
        lambda one: NOW - 12 * HOUR <= time_of(one) < NOW - 6 * HOUR,
    ),
    (
        [("from", "2025-11-02T03:00:00Z"), ("status", "FAILED"), ("q", "report")],
        lambda one: (
            time_of(one) >= NOW - 9 * HOUR
            and one["status"] == "FAILED"
            and one["template_id"].lower().startswith("report")
        ),
    ),
    ([("template_id", "rep*")], lambda one: one["template_id"] == "report.daily"),
    ([("template_id", "Re*")], lambda one: one["template_id"] == "Report"),
    (
        [("template_id", "e*"), ("label", "team=search")],
        lambda one: one["template_id"] == "etl" and "team" in one.get("labels", {}),
    ),
    ([("submitted_by", "li.wei")], lambda one: one["submitted_by"] == "li.wei"),
    ([("submitted_by", "L*")], lambda one: one["submitted_by"] == "Lina"),
    ([("q", "lin")], lambda one: one["submitted_by"] == "Lina"),
    ([("cluster", "batch")], lambda one: one.get("cluster") == "batch"),
    ([("cluster", "default")], lambda one: one.get("cluster", "default") == "default"),
    ([("reason", "QUOTA")], lambda one: (one.get("reason") or {}).get("code") == "QUOTA"),
    (
        [("reason", "QUOTA,NO_REASON"), ("status", "CREATED"), ("template_id", "etl")],
        lambda one: (
            one["status"] == "CREATED"
            and one["template_id"] == "etl"
            and (one.get("reason") or {"code": "QUOTA"})["code"] == "QUOTA"
        ),
    ),
    ([("q", "REPORT")], lambda one: one["template_id"].lower().startswith("report")),
    ([("q", "report.d")], lambda one: one["template_id"] == "report.daily"),
    ([("q", "port.d")], never),
    ([("q", "NIGHT")], lambda one: one["job_name"] == "nightly"),
    ([("q", "uMSATZ (TÄG")], lambda one: "(täg" in one["job_name"]),
    ([("q", "50% o")], lambda one: one["job_name"] == "50% off"),
    ([("q", "日")], lambda one: one["job_name"] == "日报"),
    ([("q", "eTl_1")], lambda one: one["job_id"].startswith("etl_1")),
    ([("q", "flink-py-etl_2")], lambda one: (one.get("k8s_job_name") or "").startswith("flink-py-etl_2")),
    ([("q", "tl_1")], never),
    ([("q", ".*")], never),
    ([("q", "etl"), ("template_id", "Report")], never),
    ([("label", "team=search")], lambda one: one.get("labels", {}).get("team") == "search"),
    ([("label", "team=searc")], never),
    (
        [("label", "example.com/stage.1="), ("status", "FAILED")],
        lambda one: one["status"] == "FAILED" and "example.com/stage.1" in one.get("labels", {}),
    ),
    (
        [("label", "team=search,example.com/stage.1="), ("template_id", "etl")],
        lambda one: one["template_id"] == "etl" and len(one.get("labels", {})) == 2,
    ),
    (
        [("label", "team=search"), ("q", "REPORT"), ("to", "2025-11-02T06:00:00")],
        lambda one: (
            "team" in one.get("labels", {})
            and one["template_id"].lower().startswith("report")
            and time_of(one) < NOW - 6 * HOUR
        ),
    ),
    ([("q", ""), ("status", ""), ("template_id", ""), ("from", ""), ("label", "")], always),
]


@pytest.fixture(scope="module")
def filled(mongo_server: MongoServer) -> Iterator[tuple[jobs.Jobs, list[Document]]]:
    """The read side of a database with the records of `shop`."""
    name, made = f"test_{uuid.uuid4().hex[:12]}", shop()
    with MongoClient[Document](mongo_server.uri) as client:
        ensure_indexes(client[name])
        client[name]["flink_jobs"].insert_many(made)
        with contextlib.closing(MongoReadStore(connect(mongo_server.uri, name))) as reader:
            yield read_side(reader), made
        client.drop_database(name)


@pytest.mark.parametrize(("query", "is_wanted"), FILTERS, ids=[str(query) for query, _ in FILTERS])
def test_a_filter_finds_what_it_says(
    filled: tuple[jobs.Jobs, list[Document]], query: Pairs, is_wanted: Callable[[Document], bool]
) -> None:
    found, made = filled
    expected = [one["job_id"] for one in made if is_wanted(one)]
    answer = jobs.list_jobs(found, [*query, ("limit", "200")])
    assert ids(answer) == expected
    assert [job_id for page in pages(found, *query, limit=7) for job_id in page] == expected
    without_status = [(name, value) for name, value in query if name != "status"]
    whole = jobs.list_jobs(found, [*without_status, ("limit", "200")])
    statuses = Counter(job["status"] for job in whole["jobs"])
    assert answer["counts"] == {
        name: statuses[name]
        for name in ("CREATED", "RUNNING", "SUSPENDED", "FINISHED", "FAILED", "CANCELLED", "LOST")
    }


@pytest.mark.parametrize("at", ["2025-11-01T12:00:00.5", "2025-11-01T12:00:00.500000"])
def test_a_fraction_of_a_second_bounds_an_old_record_too(
    found: jobs.Jobs, records: Collection[Document], at: str
) -> None:
    records.insert_one(old_document("old_1", submitted_at=at))
    for bound, expected in (
        ("2025-11-01T12:00:00", ["old_1"]),
        ("2025-11-01T12:00:00.5", ["old_1"]),
        ("2025-11-01T12:00:00.501", []),
    ):
        assert ids(jobs.list_jobs(found, [("from", bound)])) == expected


FLINK_ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "is_found"),
    [(FLINK_ID, True), (FLINK_ID.upper(), True), ("012345", True), ("01234", False), ("123456", False)],
)
def test_a_flink_job_id_is_found_by_its_beginning(
    found: jobs.Jobs, records: Collection[Document], text: str, is_found: bool
) -> None:
    records.insert_many(
        [
            document("second_of_two", flink_job_id=B, flink_job_ids=[B, FLINK_ID]),
            old_document("old_1", flink_job_id=FLINK_ID),
            document("other", flink_job_id=C, flink_job_ids=[C]),
        ]
    )
    assert sorted(ids(jobs.list_jobs(found, [("q", text)]))) == (
        ["old_1", "second_of_two"] if is_found else []
    )


@pytest.mark.parametrize(
    ("text", "found_ids"),
    [
        ("flink-py-etl-1a2b3c4d-x7k2p", ["etl_1"]),
        ("flink-py-etl-1a2b3c4d-x7k2", []),
        ("flink-py-etl-1a2b3c4d", ["etl_1", "etl_2"]),
        ("-x7k2p", []),
    ],
)
def test_a_job_is_found_by_the_name_of_its_pod(
    found: jobs.Jobs, records: Collection[Document], text: str, found_ids: list[str]
) -> None:
    """It is what `kubectl get pods` shows."""
    records.insert_many(
        [
            document("etl_1", k8s_job_name="flink-py-etl-1a2b3c4d"),
            document("etl_2", k8s_job_name="flink-py-etl-1a2b3c4d5"),
            document("other", k8s_job_name=None),
        ]
    )
    assert sorted(ids(jobs.list_jobs(found, [("q", text)]))) == found_ids


# --- one record -------------------------------------------------------------------------------------


@pytest.mark.parametrize("any_id", ["etl_1", "flink-py-etl_1", B, C])
def test_a_record_is_found_by_any_of_its_ids(
    found: jobs.Jobs, records: Collection[Document], any_id: str
) -> None:
    refs = [{"id": id_, "source": "LOG", "confirmed": True} for id_ in (B, C)]
    one = document("etl_1", flink_job_id=B, flink_job_ids=[B, C], flink_jobs=refs, status="RUNNING")
    records.insert_many([one, old_document("old_1"), document("etl_2")])
    assert jobs.show(found, any_id)["job"]["job_id"] == "etl_1"


@pytest.mark.parametrize("any_id", ["etl", "ETL_1", "nothing", "x" * 5_000, "$ne", "etl_1 "])
def test_what_is_no_id_is_not_found(found: jobs.Jobs, records: Collection[Document], any_id: str) -> None:
    records.insert_one(document("etl_1"))
    with pytest.raises(JobNotFoundError):
        jobs.show(found, any_id)


def test_of_several_records_with_one_id_the_newest_is_shown(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    records.insert_many(
        [
            old_document("older", submitted_at=iso(NOW - 2 * HOUR)),
            old_document("newest", submitted_at=iso(NOW - HOUR)),
            document("between", submitted_at=NOW - 1.5 * HOUR, flink_job_id=A, flink_job_ids=[A]),
        ]
    )
    assert jobs.show(found, A)["job"]["job_id"] == "newest"


def test_a_job_id_goes_before_another_records_name(found: jobs.Jobs, records: Collection[Document]) -> None:
    records.insert_many([document("first", k8s_job_name="second"), document("second")])
    assert jobs.show(found, "second")["job"]["job_id"] == "second"


def test_the_end_of_the_log_that_the_record_keeps_is_shown(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    kept = {"text": "\x1b[31mred\x1b[0m\nlast", "truncated": True, "pod": "etl-1-x", "saved_at": NOW}
    records.insert_one(document("etl_1", submitter_log=kept))
    shown = jobs.show(found, "etl_1")
    tail = {"text": "red\nlast", "truncated": True, "pod": "etl-1-x", "source": "record", "error": None}
    assert shown["log_tail"] == tail
    assert (shown["kubernetes"]["found"], shown["kubernetes"]["error"]) == (None, "there is none here")


def test_the_history_is_read_for_one_record_and_not_for_a_list(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    moved = {"seq": 1, "at": NOW, "was": "RUNNING", "status": "SUSPENDED", "by": "sync"}
    records.insert_one(document("etl_1", history=[moved]))
    [listed] = found.store.rows(Form.DATE, Filter(), after=None, limit=1)
    shown = found.store.look_up("etl_1")
    assert shown is not None
    assert isinstance(listed, Row)
    assert ("history" in listed.details, shown.details["history"]) == (False, [moved])


# --- statistics -------------------------------------------------------------------------------------


def same_by_the_users_aggregations(records: Collection[Document], window: Mapping[str, Any]) -> None:
    """The three that the platform's users run by hand, and the statistics of all times."""
    by_status = {
        group["_id"]: group["count"]
        for group in records.aggregate([{"$group": {"_id": "$status", "count": {"$sum": 1}}}])
    }
    assert {name: count for name, count in window["by_status"].items() if count} == by_status
    [durations] = records.aggregate(
        [
            {"$match": {"status": "FINISHED", "duration": {"$ne": None}}},
            {
                "$group": {
                    "_id": None,
                    "average": {"$avg": "$duration"},
                    "min": {"$min": "$duration"},
                    "max": {"$max": "$duration"},
                    "count": {"$sum": 1},
                }
            },
        ]
    )
    for name in ("min", "max", "count"):
        assert window["durations"][name] == durations[name]
    assert window["durations"]["average"] == pytest.approx(durations["average"], rel=1e-12)
    [rate] = records.aggregate(
        [
            {
                "$group": {
                    "_id": None,
                    "total": {"$sum": 1},
                    "failed": {"$sum": {"$cond": [{"$eq": ["$status", "FAILED"]}, 1, 0]}},
                }
            },
            {"$project": {"rate": {"$multiply": [{"$divide": ["$failed", "$total"]}, 100]}}},
        ]
    )
    assert window["failure_rate_percent"] == pytest.approx(rate["rate"], rel=1e-12)


def test_the_statistics_are_those_of_the_users_own_aggregations(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    made = shop()
    chance = random.Random(3)  # noqa: S311 no secret
    for one in made:
        one["duration"] = chance.choice([None, chance.randrange(100_000) / 1000, chance.randrange(500)])
    for one in made[::9]:
        del one["duration"]
    records.insert_many(made)
    windows = jobs.metrics(found)["windows"]
    same_by_the_users_aggregations(records, windows["all"])
    day = [one for one in made if time_of(one) > NOW - 24 * HOUR]
    assert windows["24h"]["jobs"] == windows["7d"]["jobs"] == len(day) == 80
    finished = sorted(
        one["duration"] for one in made if one["status"] == "FINISHED" and one.get("duration") is not None
    )
    assert windows["all"]["durations"]["p50"] == finished[-(-len(finished) // 2) - 1]
    hours = Counter(int((NOW - time_of(one)) / HOUR) for one in made)
    assert [bucket["jobs"] for bucket in windows["24h"]["over_time"]] == [
        hours[23 - hour] for hour in range(24)
    ]


AGES = [
    # before NOW, in 24h, 7d, 30d
    (timedelta(hours=-1), (1, 1, 1)),
    (timedelta(0), (1, 1, 1)),
    (timedelta(hours=24) - timedelta(milliseconds=1), (1, 1, 1)),
    (timedelta(hours=24), (0, 1, 1)),
    (timedelta(days=7) - timedelta(milliseconds=1), (0, 1, 1)),
    (timedelta(days=7), (0, 0, 1)),
    (timedelta(days=30) - timedelta(milliseconds=1), (0, 0, 1)),
    (timedelta(days=30), (0, 0, 0)),
    (timedelta(days=4_000), (0, 0, 0)),
]


def test_a_window_ends_at_its_millisecond(found: jobs.Jobs, records: Collection[Document]) -> None:
    for age, expected in AGES:
        for one in (
            document("new", submitted_at=NOW - age),
            old_document("old", submitted_at=iso(NOW - age)),
        ):
            records.delete_many({})
            records.insert_one(one)
            windows = jobs.metrics(found)["windows"]
            assert tuple(windows[name]["jobs"] for name in ("24h", "7d", "30d")) == expected, one
            assert windows["all"]["jobs"] == 1


def test_values_of_any_type_disturb_no_statistic(found: jobs.Jobs, records: Collection[Document]) -> None:
    strange: list[Document] = [
        {"submitted_at": "yesterday"},
        {"submitted_at": 17, "status": ["FAILED"], "template_id": {"a": 1}},
        {"submitted_at": None, "duration": "60"},
        {"duration": float("nan")},
        {"duration": True},
        {"reason": "text", "flink_job_id": 5},
    ]
    records.insert_many(
        [{"job_id": f"s_{number}", "status": "FINISHED", **one} for number, one in enumerate(strange)]
    )
    records.insert_one(document("etl_1", duration=2))
    window = jobs.metrics(found)["windows"]["all"]
    assert (window["jobs"], window["by_status"]["FINISHED"], window["other"]) == (7, 6, 1)
    assert window["durations"] == {"count": 1, "average": 2, "min": 2, "max": 2, "p50": 2, "p95": 2}


def test_what_flink_never_got_is_counted_separately(found: jobs.Jobs, records: Collection[Document]) -> None:
    records.insert_many(
        [
            document("a", status="FAILED"),
            document("b", status="FAILED", flink_job_id=A),
            old_document("c", status="FAILED"),
            old_document("d", status="FAILED", flink_job_id=None),
            old_document("e"),
        ]
    )
    window = jobs.metrics(found)["windows"]["all"]
    assert (window["failed_in_flink"], window["never_submitted"]) == (2, 2)
    assert (window["failure_rate_percent"], window["flink_failure_rate_percent"]) == (
        80.0,
        pytest.approx(200 / 3),
    )


def reason(code: str) -> Document:
    return {"code": code, "message": "m", "since": NOW}


def test_what_stands_still_is_counted_by_its_cause(found: jobs.Jobs, records: Collection[Document]) -> None:
    old = NOW - timedelta(days=9)
    records.insert_many(
        [
            *(
                document(f"pull_{number}", status="CREATED", submitted_at=old + number * HOUR)
                | {"reason": reason("IMAGE_PULL")}
                for number in range(7)
            ),
            document("waits_2_minutes", status="CREATED", submitted_at=NOW - timedelta(minutes=2)),
            document("waits_6_minutes", status="CREATED", submitted_at=NOW - timedelta(minutes=6)),
            old_document("waits_for_days", status="CREATED", submitted_at=iso(old), flink_job_id=None),
            document("fresh", status="FAILED", reason=reason("SUBMIT_FAILED"), submitted_at=NOW - HOUR),
            old_document("fresh_too", status="FAILED", reason=reason("SUBMIT_FAILED")),
            document("history", status="FAILED", reason=reason("SUBMIT_FAILED"), submitted_at=old),
            document("in_flink", status="FAILED", reason=reason("JOB_FAILED"), flink_job_id=A),
            document("runs", status="RUNNING"),
        ]
    )
    problems = {entry["code"]: entry for entry in jobs.metrics(found)["problems"]}
    counts = {code: entry["count"] for code, entry in problems.items()}
    assert counts == {"NEVER_SYNCED": 1, "IMAGE_PULL": 7, "NO_REASON": 2, "SUBMIT_FAILED": 2}
    assert problems["IMAGE_PULL"]["job_ids"] == ["pull_6", "pull_5", "pull_4", "pull_3", "pull_2"]
    assert sorted(problems["NO_REASON"]["job_ids"]) == ["waits_6_minutes", "waits_for_days"]
    assert sorted(problems["SUBMIT_FAILED"]["job_ids"]) == ["fresh", "fresh_too"]
    for entry in problems.values():
        if entry["filter"]:
            query = json.loads(to_json(entry["filter"]))
            listed = jobs.list_jobs(found, list(query.items()))
            assert sum(listed["counts"][word] for word in query["status"].split(",")) == entry["count"]
            assert len(listed["jobs"]) == entry["count"]


def test_what_channels_still_have_to_be_sent_is_counted(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    database = records.database
    records.insert_many(
        [
            document("all", pending_since=NOW - HOUR),
            document("one", pending_since=NOW - 2 * HOUR, waiting_for=["ops"]),
            document("none"),
        ]
    )
    database["clusters"].insert_one({"_id": "batch", "pending_since": NOW, "waiting_for": ["ops", "team"]})
    database["channels"].insert_many(
        [{"_id": "team", "since": NOW, "delivered": 2}, {"_id": "ops", "since": NOW, "new": 1}]
    )
    assert jobs.metrics(found)["notifications"] == {
        "pending": 3,
        "oldest_pending_seconds": 7200.0,
        "channels": [
            {**NO_DELIVERY, "name": "ops", "waiting": 2},
            {**NO_DELIVERY, "name": "team", "waiting": 1, "delivered": 2},
        ],
    }


NO_DELIVERY: Document = {
    "state": "NEW",
    **dict.fromkeys(("last_success_at", "failing_since", "next_attempt_at", "last_error")),
    **dict.fromkeys(("waiting", "delivered", "failed", "set_aside"), 0),
}


def test_only_whole_passes_and_real_cleanups_count(
    found: jobs.Jobs, mongo_database: Database[Document]
) -> None:
    at = {"complete": NOW - 3 * HOUR, "cut": NOW - 2 * HOUR, "one job": NOW - HOUR}
    errors = [{"job_id": str(number), "code": "X", "message": "m"} for number in range(1_000)]
    report = {"run_id": "r", "clusters": {}, "errors": errors, "complete": True}
    mongo_database["sync_runs"].insert_many(
        [
            {**report, "started_at": at["complete"]},
            {**report, "started_at": at["cut"], "complete": False, "whole": True},
            {**report, "started_at": at["one job"], "whole": False},
        ]
    )
    mongo_database["cleanup_runs"].insert_many(
        [
            {"started_at": at["complete"], "dry_run": False, "deleted": 3, "errors": errors},
            {"started_at": at["one job"], "dry_run": True, "deleted": 9},
        ]
    )
    metrics = jobs.metrics(found)
    assert metrics["sync"]["last_complete_at"] == at["complete"]
    assert metrics["sync"]["last_pass"]["started_at"] == at["cut"]
    assert len(metrics["sync"]["last_pass"]["errors"]) == 20
    assert metrics["cleanup"]["last_at"] == at["complete"]
    assert metrics["cleanup"]["last_run"]["deleted"] == 3


# --- rights and outages -----------------------------------------------------------------------------


def everything(side: jobs.Jobs) -> tuple[Any, ...]:
    """What the read side says, of each kind."""
    return (
        jobs.list_jobs(side, [("limit", "3")]),
        jobs.list_jobs(side, [("q", "etl"), ("status", "FAILED"), ("from", "2025-11-01")]),
        jobs.list_jobs(side, [("template_id", "etl")]),
        jobs.show(side, "old_1"),
        jobs.metrics(side),
    )


def test_a_user_who_may_only_read_sees_everything_and_nothing_is_tried() -> None:
    """Without the indexes, which an administrator has to make, and with them."""
    spy = Spy()
    made = [*shop(), old_document("old_1")]
    with MongoServer(auth=True) as server:
        with MongoClient[Document](server.uri) as first:
            first.admin.command("createUser", "root", pwd="root", roles=["root"])
        base = f"{server.uri.removesuffix('/')}".replace("://", "://{}@")
        with MongoClient[Document](base.format("root:root")) as root:
            root["jobs"].command("createUser", "reader", pwd="reader", roles=["read"])
            root["jobs"]["flink_jobs"].insert_many(made)
            reader = base.format("reader:reader") + "/?authSource=jobs"
            with MongoClient[Document](
                reader, tz_aware=True, datetime_conversion="DATETIME_AUTO", event_listeners=[spy]
            ) as client:
                side = read_side(MongoReadStore(client["jobs"]))
                before = everything(side)
                ensure_indexes(root["jobs"])
                assert everything(side) == before
                side.store.ping()
                with pytest.raises(OperationFailure, match="not authorized"):
                    client["jobs"]["flink_jobs"].insert_one({})
        with (
            contextlib.closing(MongoReadStore(connect(base.format("reader:wrong"), "jobs"))) as stranger,
            pytest.raises(StoreRefusedError) as caught,
        ):
            stranger.look_up("old_1")
    assert "wrong" not in str(caught.value)
    assert ids(before[0]) == [made[0]["job_id"], "old_1", made[1]["job_id"]]
    sent = {next(iter(command)) for command in spy.commands}
    assert sent - {"endSessions"} == {"find", "aggregate", "count", "ping", "insert"}


def test_a_server_that_is_not_there_is_unavailable() -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=50"
    store = MongoReadStore(connect(uri, "jobs", timeout_ms=100, server_selection_timeout_ms=50))
    side = read_side(store)
    with contextlib.closing(store):
        for ask in (
            lambda: jobs.list_jobs(side),
            lambda: jobs.list_jobs(side, [("q", "a")]),
            lambda: jobs.show(side, "etl_1"),
            lambda: jobs.metrics(side),
            side.store.ping,
        ):
            with pytest.raises(StoreUnavailableError):
                ask()


# --- fifty thousand records -------------------------------------------------------------------------

MANY = 50_000
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def crowd(mongo_server: MongoServer) -> Iterator[tuple[jobs.Jobs, Spy, Collection[Document]]]:
    """Fifty thousand records, a tenth of them of the old platform, with two weeks of passes and cleanups,
    and a spy on every command.
    """
    name, spy = f"test_{uuid.uuid4().hex[:12]}", Spy()
    chance = random.Random(1)  # noqa: S311 no secret
    client: MongoClient[Document] = MongoClient(mongo_server.uri, tz_aware=True, event_listeners=[spy])
    statuses = [*["FINISHED"] * 84, *["FAILED"] * 10, *["CANCELLED"] * 4, "RUNNING", "CREATED"]
    reasons = {"FAILED": reason("SUBMIT_FAILED"), "CREATED": reason("QUOTA")}

    def one(number: int) -> Document:
        at, status = NOW - timedelta(minutes=number), chance.choice(statuses)
        template, id_ = f"tpl_{number % 50}", f"{chance.getrandbits(128):032x}"
        common = {
            "status": status,
            "flink_job_id": id_,
            "duration": chance.randrange(9_000_000) / 1000 if status == "FINISHED" else None,
            "end_time": None if status in ("RUNNING", "CREATED") else at + MINUTE,
        }
        job_id = f"{template}_{1_700_000_000_000 + number}"
        if number % 10 == 9:
            return {"job_id": job_id, "submitted_at": iso(at), **common}
        return {
            "job_id": job_id,
            "template_id": template,
            "job_name": f"Nightly {number % 500}",
            "submitted_at": at,
            "k8s_job_name": f"flink-py-{template}-{number:08x}",
            "flink_job_ids": [id_],
            "reason": reasons.get(status),
            "submitted_by": f"li.{number % 7}",
            "cluster": "default",
            "spec": {"args": ["x" * 100]},
            **labels(number),
            **common,
        }

    with client:
        records = client[name]["flink_jobs"]
        records.insert_many([one(number) for number in range(MANY)], ordered=False)
        passes = [
            {"started_at": NOW - 3 * MINUTE * number, "complete": number % 50 > 0} for number in range(6_720)
        ]
        client[name]["sync_runs"].insert_many([{**each, "errors": [], "clusters": {}} for each in passes])
        nights = [
            {"started_at": NOW - timedelta(days=number), "dry_run": number == 0} for number in range(14)
        ]
        client[name]["cleanup_runs"].insert_many(nights)
        ensure_indexes(client[name])
        yield read_side(MongoReadStore(client[name])), spy, records
        client.drop_database(name)


def stages(plan: Any) -> Iterator[str]:
    """The names of all stages of a plan."""
    if isinstance(plan, Mapping):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for inner in plan.values():
            yield from stages(inner)
    elif isinstance(plan, list):
        for inner in plan:
            yield from stages(inner)


def executed(command: Document, database: Database[Document]) -> Document:
    """What the server explains of a command: the plan that wins, and what it examined."""
    asked = {name: value for name, value in command.items() if name not in ("lsid", "$db", "$clusterTime")}
    explained: Document = database.command(
        {"explain": asked, "verbosity": "executionStats"},
        codec_options=CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO),
    )
    cursor: Document = explained["stages"][0]["$cursor"] if "stages" in explained else explained
    return cursor


def costs(command: Document, database: Database[Document]) -> tuple[set[str], int]:
    """The stages of the plan that wins, and how many documents it reads; the keys it reads are bounded."""
    cursor = executed(command, database)
    read: int = cursor["executionStats"]["totalDocsExamined"]
    if command.get("filter") != {"spec.args": "y"} and "aggregate" not in command:
        assert cursor["executionStats"]["totalKeysExamined"] <= KEYS_CHECKED + 50, command
    return set(stages(cursor["queryPlanner"]["winningPlan"])), read


LISTS: list[Pairs] = [
    [],
    [("status", "FINISHED")],
    [("status", "LOST")],
    [("status", "RUNNING,SUSPENDED,CREATED")],
    [("template_id", "tpl_3")],
    [("template_id", "tpl_3"), ("status", "FAILED")],
    [("template_id", "nothing")],
    [("from", "2025-10-20T00:00:00Z"), ("to", "2025-10-25T00:00:00Z")],
    [("from", "2025-10-20T00:00:00Z"), ("status", "FAILED,LOST")],
    [("label", "team=search")],
    [("label", "example.com/stage.1="), ("status", "FAILED,LOST"), ("template_id", "tpl_3")],
    [("label", "team=search"), ("from", "2025-10-20T00:00:00Z"), ("to", "2025-10-25T00:00:00Z")],
    [("template_id", "tpl_3*"), ("status", "FAILED")],
    [("submitted_by", "li*")],
    [("cluster", "default"), ("reason", "QUOTA,NO_REASON"), ("status", "CREATED")],
    [("sort", "end_time")],
    [("sort", "end_time"), ("status", "FINISHED")],
    [("q", "nightly 499")],
    [("q", "flink-py-tpl_7-")],
    [("q", "flink-py-tpl_7-00000007-x7k2p")],
    [("q", "nowhere to be found")],
    [("q", "nightly"), ("status", "LOST")],
    [("q", "abcdef01")],
    [("q", "0"), ("template_id", "tpl_3"), ("from", "2025-10-20T00:00:00Z")],
]


@pytest.mark.parametrize("query", LISTS, ids=str)
def test_a_page_of_fifty_thousand_reads_what_it_shows(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]], query: Pairs
) -> None:
    """Of each stream a page and one more; the second page costs no more than the first.

    A text may find up to a thousand records by index. Where it finds more, of a label, and of open records,
    up to two thousand are read to be checked.
    """
    side, spy, records = crowd
    names = {name for name, _ in query}
    is_read = names & {"label", "q"} or {"status", "cluster"} <= names
    most = RECORDS_CHECKED if is_read else 21
    spy.commands.clear()
    answer = jobs.list_jobs(side, [*query, ("limit", "20")])
    if answer["next_cursor"]:
        jobs.list_jobs(side, [*query, ("limit", "20"), ("cursor", answer["next_cursor"])])
    sent = list(spy.commands)
    assert len(sent) <= 40
    for command in sent:
        plan, read = costs(command, records.database)
        assert "COLLSCAN" not in plan, command
        assert read <= most, command


@pytest.mark.parametrize(
    "query",
    [[("template_id", "tpl_1"), ("cluster", "none")], [("submitted_by", "li.1*"), ("template_id", "tpl_0")]],
    ids=str,
)
def test_pages_of_a_long_search_find_every_record_once(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]], query: Pairs
) -> None:
    """A page ends where the query has checked enough; the pages behind it go on from there."""
    side, _, records = crowd
    wanted = {"template_id": dict(query)["template_id"]}
    wanted |= {"cluster": "none"} if "cluster" in dict(query) else {"submitted_by": "li.1"}
    expected = [
        one["job_id"] for one in records.find(wanted, {"job_id": 1}, sort={"submitted_at": -1, "_id": -1})
    ]
    found = [job_id for page in pages(side, *query, limit=100) for job_id in page]
    assert found == expected


def test_a_rare_status_of_a_template_is_found_without_checking_its_other_records(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]],
) -> None:
    side, spy, records = crowd
    spy.commands.clear()
    answer = jobs.list_jobs(side, [("template_id", "tpl_3"), ("status", "RUNNING,LOST"), ("limit", "50")])
    wanted = {"template_id": "tpl_3", "status": "RUNNING"}
    assert len(answer["jobs"]) == records.count_documents(wanted) > 0
    finds = [command for command in spy.commands if command.get("find") == "flink_jobs"]
    assert finds
    for command in finds:
        assert executed(command, records.database)["executionStats"]["totalKeysExamined"] <= 60, command


def test_counts_beyond_what_is_counted_say_so(crowd: tuple[jobs.Jobs, Spy, Collection[Document]]) -> None:
    side, _, records = crowd
    answer = jobs.list_jobs(side, [("limit", "1")])
    assert (answer["counts"]["FINISHED"], answer["counts_more"]) == (jobs.POSITIONS, ["FINISHED"])
    assert answer["counts"]["CANCELLED"] == records.count_documents({"status": "CANCELLED"})

    many = jobs.list_jobs(side, [("label", "team=search"), ("limit", "1")])
    assert many["counts_more"] == [*many["counts"]]
    few = jobs.list_jobs(side, [("template_id", "tpl_3"), ("limit", "1")])
    assert (sum(few["counts"].values()), few["counts_more"]) == (
        records.count_documents({"template_id": "tpl_3"}),
        [],
    )


def test_each_status_of_a_template_is_counted_for_itself(
    found: jobs.Jobs, records: Collection[Document]
) -> None:
    """Of a status with more than is counted it says so; a rare one is exact, however old its records are."""
    newest = (
        {"job_id": f"ok_{number}", "template_id": "etl", "status": "FINISHED", "submitted_at": NOW}
        for number in range(KEYS_CHECKED + 1)
    )
    records.insert_many(newest, ordered=False)
    records.insert_many(document(f"bad_{number}", status="FAILED") for number in range(3))
    answer = jobs.list_jobs(found, [("template_id", "etl"), ("limit", "1")])
    assert answer["counts_more"] == ["FINISHED"]
    assert {status: count for status, count in answer["counts"].items() if count} == {
        "FINISHED": jobs.POSITIONS,
        "FAILED": 3,
    }


def test_a_page_forty_thousand_jobs_back_costs_no_more_than_the_first(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]],
) -> None:
    side, spy, records = crowd
    deep = NOW - 40_000 * MINUTE
    new = records.find_one({"submitted_at": deep})
    old = records.find_one({"submitted_at": iso(deep + MINUTE)})
    assert new is not None
    assert old is not None
    cursor = write_cursor(
        {
            Form.DATE: Place(at=round(deep.timestamp() * 1000), id=json_util.dumps(new["_id"])),
            Form.TEXT: Place(at=old["submitted_at"], id=json_util.dumps(old["_id"])),
        },
        Filter(),
    )
    assert cursor is not None
    spy.commands.clear()
    answer = jobs.list_jobs(side, [("limit", "9"), ("cursor", cursor)])
    assert [job["submitted_at"] for job in answer["jobs"]] == [
        deep - minutes * MINUTE for minutes in range(1, 10)
    ]
    for command in list(spy.commands):
        plan, read = costs(command, records.database)
        assert "COLLSCAN" not in plan, command
        assert read <= 10, command


def test_each_id_of_fifty_thousand_is_found_by_reading_one_record(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]],
) -> None:
    side, spy, records = crowd
    one = records.find_one({"k8s_job_name": {"$exists": True}})
    assert one is not None
    for any_id in (one["job_id"], one["k8s_job_name"], one["flink_job_id"]):
        spy.commands.clear()
        assert jobs.show(side, any_id)["job"]["job_id"] == one["job_id"]
        sent = list(spy.commands)
        plans = [costs(command, records.database) for command in sent]
        assert not [plan for plan, _ in plans if "COLLSCAN" in plan]
        assert sum(read for _, read in plans) == 1


def test_the_statistics_of_fifty_thousand_read_no_record(
    crowd: tuple[jobs.Jobs, Spy, Collection[Document]],
) -> None:
    side, spy, records = crowd
    spy.commands.clear()
    windows = jobs.metrics(side)["windows"]
    may_read = {
        "flink_jobs": 5,  # the examples that are named with a problem
        "sync_runs": jobs.RUNS_LOOKED_AT,
        "cleanup_runs": 2,  # the last one was a dry run
        "job_stats": 0,
    }
    asked = Counter[str]()
    for command in list(spy.commands):
        kind, collection = next(iter(command.items()))
        asked[f"{kind} {collection}"] += 1
        if collection in ("channels", "clusters", "health_marks"):
            continue  # one document each for what the settings name, or for a job that moved lately
        plan, read = costs(command, records.database)
        assert "COLLSCAN" not in plan, command
        assert read <= may_read[collection], command
    assert asked["aggregate flink_jobs"] >= 2
    assert (asked["find sync_runs"], asked["find cleanup_runs"]) == (2, 1)
    same_by_the_users_aggregations(records, windows["all"])
    assert windows["all"]["jobs"] == MANY
    assert (windows["24h"]["jobs"], windows["7d"]["jobs"], windows["30d"]["jobs"]) == (1_440, 10_080, 43_200)


def test_a_plan_without_an_index_would_be_seen(crowd: tuple[jobs.Jobs, Spy, Collection[Document]]) -> None:
    _, _, records = crowd
    plan, read = costs({"find": "flink_jobs", "filter": {"spec.args": "y"}}, records.database)
    assert "COLLSCAN" in plan
    assert read == MANY
