"""Which events go to which channel, in which order, and what becomes of a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from flinkjobs.domain.cluster_moves import SYNC
from flinkjobs.domain.events import EventFilter, EventType
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.records import DocumentId, JobRecord
from flinkjobs.notify.plan import (
    Item,
    Subject,
    after_delivery,
    as_configured,
    due_events,
    is_waiting,
    lanes,
)
from flinkjobs.ports.channels import Failed, Gone
from flinkjobs.ports.notify_store import ChannelState, Pending

BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
ALL = EventFilter()
OPS = ChannelState("ops", since=BEGIN)
TYPES = {
    "c": (None, "CREATED"),
    "r": ("CREATED", "RUNNING"),
    "s": ("RUNNING", "SUSPENDED"),
    "f": ("RUNNING", "FINISHED"),
    "l": ("RUNNING", "LOST"),
}


def move(seq: int, letter: str = "r", *, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    was, status = TYPES[letter]
    known = {"flink_state": None, "reason_code": None, "by": "sync"}
    return {
        "seq": seq,
        "at": BEGIN + timedelta(minutes=minutes),
        "was": was,
        "status": status,
        **known,
        **fields,
    }


def pending(moves: Sequence[Mapping[str, Any]], *, name: str = "etl_1", **fields: Any) -> Subject:
    record = JobRecord(name, Status.RUNNING, BEGIN, cluster="batch")
    known = {"version": 9, "since": BEGIN, "delivered": {}, "record": record}
    details = {"template_id": "etl", "submitted_by": "ann"}
    return Subject(Pending(DocumentId(name), name, moves=moves, **{"details": details, **known, **fields}))


def of_cluster(name: str, *moves: Mapping[str, Any]) -> Subject:
    return pending(moves, name=name, record=None, details={})


def due(
    subject: Subject, channel: ChannelState = OPS, admitted: EventFilter = ALL, now: datetime = BEGIN
) -> Any:
    """(ids of the events, passed, set aside)."""
    found = due_events(subject, channel, admitted, now)
    return [event.id for _, event in found.events], found.passed, found.set_aside


# --- events -----------------------------------------------------------------------------------------


def test_an_event_holds_its_move_as_written_and_the_job_as_it_is_now() -> None:
    moves = [move(0, "c"), move(3, "r", later="field of a newer version")]
    subject = pending(moves)
    [(_, created), (_, running)] = subject.events
    assert created is not None
    assert running is not None
    assert (created.type, running.type) == (EventType.JOB_CREATED, EventType.JOB_RUNNING)
    assert (running.id, running.subject, running.cluster, running.time) == (
        "etl_1/3",
        "etl_1",
        "batch",
        BEGIN,
    )
    assert running.move == moves[1]
    assert created.job == running.job
    assert running.job is not None
    assert (running.job["status"], running.job["template_id"]) == ("RUNNING", "etl")


def test_a_cluster_and_sync_have_events_of_their_own() -> None:
    [(_, away)] = of_cluster("batch", {"seq": 1, "at": BEGIN, "status": "unreachable"}).events
    [(_, again)] = of_cluster(SYNC, {"seq": 2, "at": BEGIN, "status": "resumed"}).events
    assert away is not None
    assert again is not None
    assert (away.id, away.type, away.subject) == ("cluster/batch/1", EventType.CLUSTER_UNREACHABLE, "batch")
    assert (away.cluster, away.job) == ("batch", None)
    assert (again.id, again.type, again.subject) == ("sync/2", EventType.SYNC_RESUMED, "sync")
    assert (again.cluster, again.job) == (None, None)


# --- what is due ------------------------------------------------------------------------------------

THREE = [move(0, "c"), move(2, "r", minutes=1), move(5, "f", minutes=2)]
LATER = replace(OPS, since=BEGIN + timedelta(minutes=1))
FAILING = replace(OPS, failing_since=BEGIN)
GONE = replace(OPS, gone_at=BEGIN, failing_since=BEGIN)
DUE: dict[str, tuple[Any, Any]] = {
    "all that was never sent": (due(pending(THREE)), (["etl_1/0", "etl_1/2", "etl_1/5"], None, 0)),
    "what comes after the last one": (
        due(pending(THREE, delivered={"ops": 2, "other": 5})),
        (["etl_1/5"], 2, 0),
    ),
    "nothing where all was sent": (due(pending(THREE, delivered={"ops": 5})), ([], 5, 0)),
    "nothing of the past of a new channel": (due(pending(THREE), LATER), (["etl_1/2", "etl_1/5"], 0, 0)),
    "only what the filter admits": (
        due(pending(THREE), OPS, EventFilter(events=("*.finished",))),
        (["etl_1/5"], 2, 0),
    ),
    "nothing where the filter admits nothing": (
        due(pending(THREE), OPS, EventFilter(templates=("other",))),
        ([], 5, 0),
    ),
    "nothing of a channel that is gone": (due(pending(THREE), GONE), ([], 5, 3)),
    "all of one that fails": (
        due(pending(THREE), FAILING, now=BEGIN + DAY - timedelta(seconds=1)),
        (["etl_1/0", "etl_1/2", "etl_1/5"], None, 0),
    ),
    "not what has waited for a day": (
        due(pending(THREE), FAILING, now=BEGIN + DAY),
        (["etl_1/2", "etl_1/5"], 0, 1),
    ),
    "what is old, where the channel has not failed for long": (
        due(pending(THREE), replace(OPS, failing_since=BEGIN + DAY), now=BEGIN + DAY + HOUR),
        (["etl_1/0", "etl_1/2", "etl_1/5"], None, 0),
    ),
    "not a move that a newer version writes": (
        due(pending([move(1), {**move(2), "status": "ASLEEP"}, move(3)])),
        (["etl_1/1", "etl_1/3"], None, 1),
    ),
}


@pytest.mark.parametrize(("found", "expected"), DUE.values(), ids=DUE.keys())
def test_due_events_are(found: Any, expected: Any) -> None:
    assert found == expected


def restarts(first: int) -> list[dict[str, Any]]:
    """A hundred moves, all that the history keeps."""
    return [move(first + number, "rs"[number % 2], minutes=first + number) for number in range(100)]


@pytest.mark.parametrize(
    ("delivered", "since", "set_aside"),
    [
        ({}, BEGIN, 1),
        ({"ops": 3}, BEGIN, 1),
        ({"ops": 9}, BEGIN, 0),
        ({"ops": 50}, BEGIN, 0),
        ({}, BEGIN + HOUR, 0),
    ],
    ids=["never sent", "sent before the gap", "sent up to the gap", "sent since", "marked since"],
)
def test_moves_that_left_the_history_unsent_count_as_one_event_set_aside(
    delivered: Mapping[str, int], since: datetime, set_aside: int
) -> None:
    """Once: it is noted like an event that was sent."""
    subject = pending(restarts(10), delivered=delivered, since=since)
    found = due_events(subject, OPS, ALL, BEGIN)
    assert found.set_aside == set_aside
    if set_aside:
        again = pending(restarts(10), delivered={"ops": found.passed}, since=since)
        assert due_events(again, OPS, ALL, BEGIN).set_aside == 0


def test_moves_of_a_time_before_the_channel_are_not_missed() -> None:
    channel = replace(OPS, since=BEGIN + 2 * HOUR)
    assert due_events(pending(restarts(10)), channel, ALL, BEGIN).set_aside == 0


# --- order ------------------------------------------------------------------------------------------


def planned(jobs: Sequence[str], digest_above: int | None) -> list[list[list[str]]]:
    """By lane, its requests as lists of `job:letter`; each job is the letters of its moves."""
    rows = []
    names: dict[tuple[int, int], str] = {}
    for number, letters in enumerate(jobs):
        moves = [move(seq, letter, minutes=seq) for seq, letter in enumerate(letters)]
        subject = pending(moves, name=f"j{number}")
        items = [Item(subject, seq, event) for seq, event in subject.events if event is not None]
        names |= {(id(subject), seq): f"j{number}:{letter}" for seq, letter in enumerate(letters)}
        rows.append(items)
    return [
        [[names[id(item.subject), item.seq] for item in send] for send in lane]
        for lane in lanes(rows, digest_above)
    ]


def test_without_digests_each_job_has_a_lane() -> None:
    assert planned(["crf", "c"], None) == [[["j0:c"], ["j0:r"], ["j0:f"]], [["j1:c"]]]


def test_more_events_of_a_type_than_the_limit_are_one_request() -> None:
    assert planned(["c", "c", "c"], 3) == [[["j0:c"], ["j1:c"], ["j2:c"]]]
    assert planned(["c", "c", "c"], 2) == [[["j0:c", "j1:c", "j2:c"]]]


def test_a_digest_waits_until_all_events_of_its_type_can_be_sent() -> None:
    """The jobs are created first, so that all of them run in one message."""
    assert planned(["r", "cr", "cr"], 2) == [[["j1:c"], ["j2:c"], ["j0:r", "j1:r", "j2:r"]]]


def test_types_that_wait_for_each_other_are_sent_in_parts() -> None:
    assert planned(["rs", "sr"], 1) == [[["j0:r"], ["j0:s", "j1:s"], ["j1:r"]]]
    assert planned(["rsr", "rsr"], 1) == [[["j0:r", "j1:r"], ["j0:s", "j1:s"], ["j0:r", "j1:r"]]]


@pytest.mark.parametrize("limit", [None, 0, 1, 10])
def test_the_events_of_a_job_stay_in_their_order(limit: int | None) -> None:
    jobs = ["crsrsf", "rl", "rsrsrs", "sr", "c", "srsr"]
    sent: dict[str, str] = dict.fromkeys((f"j{number}" for number in range(len(jobs))), "")
    for lane in planned(jobs, limit):
        for send in lane:
            assert len({each.partition(":")[2] for each in send}) == 1
            for each in send:
                name, _, letter = each.partition(":")
                sent[name] += letter
    assert list(sent.values()) == jobs


# --- channels ---------------------------------------------------------------------------------------


def after(before: ChannelState = OPS, **given: Any) -> ChannelState:
    common = {
        "delivered": 0,
        "set_aside": 0,
        "failure": None,
        "is_stopped": False,
        "now": BEGIN,
        "jitter": 1.0,
    }
    return after_delivery(before, **common | given)


def test_a_success_ends_a_failure() -> None:
    before = replace(OPS, failing_since=BEGIN, attempts=3, next_attempt_at=BEGIN, last_error="500")
    now = BEGIN + HOUR
    assert after(before, delivered=1, now=now) == replace(OPS, last_success_at=now, last_error="500")


def test_a_delivery_without_an_event_changes_nothing() -> None:
    assert after() == OPS


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"),
    [(0, 1.0, 60), (0, 0.0, 30), (1, 1.0, 120), (4, 1.0, 960), (5, 1.0, 1800), (400, 1.0, 1800)],
)
def test_a_channel_that_fails_is_tried_again_after_a_growing_delay(
    attempts: int, jitter: float, seconds: int
) -> None:
    found = after(replace(OPS, attempts=attempts), failure=Failed("500"), is_stopped=True, jitter=jitter)
    assert found.next_attempt_at == BEGIN + timedelta(seconds=seconds)
    assert (found.attempts, found.failing_since, found.last_error) == (attempts + 1, BEGIN, "500")
    assert is_waiting(found, BEGIN)
    assert not is_waiting(found, BEGIN + timedelta(seconds=seconds))


@pytest.mark.parametrize(("asked", "seconds"), [(10, 60), (600, 600), (90_000, 1800)])
def test_a_receiver_may_ask_for_a_longer_delay(asked: float, seconds: int) -> None:
    found = after(failure=Failed("429", asked), is_stopped=True)
    assert found.next_attempt_at == BEGIN + timedelta(seconds=seconds)


def test_a_channel_that_takes_most_events_is_not_failing() -> None:
    found = after(delivered=9, failure=Failed("400"))
    assert (found.failing_since, found.next_attempt_at, found.last_error) == (None, None, "400")


def test_a_receiver_that_is_gone_is_not_tried_again() -> None:
    found = after(failure=Gone("410"), is_stopped=True, set_aside=1)
    assert (found.gone_at, found.next_attempt_at, found.set_aside) == (BEGIN, None, 1)
    assert not is_waiting(found, BEGIN)  # its events are set aside, they do not wait


def test_a_new_channel_begins_now() -> None:
    assert as_configured({}, ["ops"], BEGIN) == {"ops": OPS}
    assert as_configured({"ops": OPS}, ["ops"], BEGIN + HOUR) == {"ops": OPS}


def test_a_channel_that_is_not_named_is_removed_after_an_hour() -> None:
    """Until then another version of the function may know it."""
    unnamed = as_configured({"ops": OPS}, [], BEGIN)
    assert unnamed == {"ops": replace(OPS, removed_at=BEGIN)}
    assert is_waiting(unnamed["ops"], BEGIN)
    soon, late = BEGIN + HOUR - timedelta(seconds=1), BEGIN + HOUR
    assert as_configured(unnamed, [], soon) == unnamed
    assert as_configured(unnamed, ["ops"], soon) == {"ops": OPS}
    assert as_configured(unnamed, [], late) == {}
    counted = {"ops": replace(unnamed["ops"], set_aside=7)}
    assert as_configured(counted, ["ops"], late) == {"ops": ChannelState("ops", since=late, set_aside=7)}
