"""What a record reports of who did what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.domain.actions import Action, ActionKind, ActionState
from flinkjobs.domain.errors import BadRequestError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.job_query import Place, Row
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, UnreadableRecord
from flinkjobs.jobs.audit import entries_of, parse_audit_query

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def row(*, adopted: bool = False, **details: Any) -> Row:
    """A job that bob, who was signed in, has stopped."""
    source = IdSource.ADOPTED if adopted else IdSource.LOG
    record = JobRecord(
        job_id="etl_1",
        status=Status.FINISHED,
        submitted_at=NOON,
        flink_jobs=(FlinkJobRef(id="a" * 32, source=source, confirmed=True),),
        actions=(
            Action(
                id="c" * 32,
                kind=ActionKind.STOP,
                requested_at=at(60),
                requested_by="bob@example.com",
                verified=True,
                state=ActionState.DONE,
                ended_at=at(90),
                savepoint_path="s3://s/1",
            ),
        ),
    )
    moves = [
        {"at": at(1), "was": None, "status": "CREATED", "by": "submit"},
        {"at": at(20), "was": "CREATED", "status": "RUNNING", "by": "sync"},
        {"at": at(95), "was": "RUNNING", "status": "FINISHED", "by": "sync"},
    ]
    return Row(Place(None, "1"), NOON, record, {"submitted_by": "ann", "history": moves, **details})


def audited(one: Row, *pairs: tuple[str, str]) -> list[tuple[str, float, str | None, bool]]:
    entries = entries_of(one, parse_audit_query(pairs))
    return [(e["event"], (e["at"] - NOON).total_seconds(), e["user"], e["verified"]) for e in entries]


STOP = [
    ("action_requested", 60, "bob@example.com", True),
    ("action_ended", 90, "bob@example.com", True),
]


def test_entries_are_in_the_order_of_time_and_name_who_and_whether_that_is_verified() -> None:
    assert audited(row()) == [
        ("submitted", 0, "ann", False),
        ("moved", 20, None, False),
        *STOP,
        ("moved", 95, None, False),
    ]


def test_entries_of_a_user_are_what_this_user_did() -> None:
    assert audited(row(), ("user", "bob@example.com")) == STOP
    assert audited(row(), ("user", "bob")) == []


def test_entries_since_a_time_include_an_older_record_too() -> None:
    assert audited(row(), ("from", at(90).isoformat())) == [STOP[1], ("moved", 95, None, False)]


def test_a_verified_submitter_and_an_adoption() -> None:
    assert audited(row(submitted_by_verified=True))[0] == ("submitted", 0, "ann", True)
    assert audited(row(submitted_by_verified="yes"))[0] == ("submitted", 0, "ann", False)
    assert audited(row(adopted=True))[0] == ("adopted", 1, "ann", False)


def test_a_record_without_history_shows_its_submission() -> None:
    assert audited(row(history=None))[0] == ("submitted", 0, "ann", False)


def test_a_record_that_cannot_be_read_is_named() -> None:
    one = Row(Place(None, "1"), None, UnreadableRecord("etl_1", "KeyError: 'status'"), {})
    [entry] = entries_of(one, parse_audit_query(()))
    assert (entry["event"], entry["job_id"], entry["data"]) == (
        "unreadable",
        "etl_1",
        {"error": "KeyError: 'status'"},
    )
    assert entries_of(one, parse_audit_query([("user", "ann")])) == []


def test_every_faulty_parameter_is_named() -> None:
    given = [("from", "yesterday"), ("user", "a\x00"), ("limit", "0"), ("cursor", "x"), ("status", "FAILED")]
    with pytest.raises(BadRequestError) as caught:
        parse_audit_query(given)
    assert {fault.pointer for fault in caught.value.faults} == {f"query:{name}" for name, _ in given}
