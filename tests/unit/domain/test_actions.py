"""The state machine of actions, each rule a row of `tests/data/actions.yaml`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.actions import (
    Action,
    ActionCode,
    ActionKind,
    ActionState,
    Answer,
    Ask,
    InProgress,
    Refused,
    Reply,
    SavepointFailed,
    SavepointMade,
    Target,
    UnknownTrigger,
    answered,
    ended_by,
    may_follow,
    planned,
    was_removed_before_start,
)
from flinkjobs.domain.flink_states import Status

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "actions.yaml").read_text(encoding="utf-8")
)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ID, JOB = "a" * 32, "b" * 32


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def action_of(row: dict[str, Any]) -> Action:
    state = ActionState(row.get("state", "requested"))
    is_sent = state is ActionState.SENT or row.get("sent", False)
    has_trigger = is_sent and row["kind"] != "cancel"
    since, passes = row.get("unknown", (None, 0))
    return Action(
        id=ID,
        kind=ActionKind(row["kind"]),
        state=state,
        requested_at=ago(row.get("requested", 10)),
        sent_at=ago(5) if is_sent else None,
        ended_at=None if state in ("requested", "sent") else ago(row.get("ended", 1)),
        trigger_id=ID if has_trigger else None,
        flink_job_id=JOB if has_trigger else None,
        code=row.get("code"),
        unknown_since=None if since is None else ago(since),
        unknown_passes=passes,
    )


def target_of(row: dict[str, Any], action: Action) -> Target:
    jobs = [(f"{number:032x}", state) for number, state in enumerate(row.get("jobs", ()), start=1)]
    cancel = Action(id="c" * 32, kind=ActionKind.CANCEL, requested_at=NOW)
    return Target(Status(row["status"]), jobs, [action, cancel] if row.get("cancelling") else [action])


def answer_of(given: Any) -> Answer:
    if isinstance(given, str):
        return Reply(given)
    match next(iter(given)):
        case "refused":
            return Refused(given["refused"])
        case "progress":
            return InProgress()
        case "made":
            return SavepointMade(given["made"])
        case "failed":
            return SavepointFailed(given["failed"], given.get("newer"))
        case _:
            return UnknownTrigger(given.get("newer"))


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_an_action_follows_the_row(row: dict[str, Any]) -> None:
    before = action_of(row)
    target = target_of(row, before)
    if "answer" in row:
        after = answered(before, answer_of(row["answer"]), target, NOW)
    else:
        after, ask = planned(before, target, NOW)
        assert ask is Ask(row.get("ask", "nothing"))
    state, code, path = (*row.get("then", [before.state, before.code]), None, None)[:3]
    assert (after.state, after.code, after.savepoint_path) == (state, code, path)
    assert (after.ended_at is None) == after.is_open
    assert after.unknown_passes == row.get("passes", after.unknown_passes)


def test_every_rule_has_a_row_of_its_own_and_every_failure_has_one() -> None:
    assert len({row["rule"] for row in ROWS}) == len(ROWS)
    assert {row["then"][1] for row in ROWS if len(row.get("then", ())) == 2} == set(ActionCode)


def test_the_trigger_id_follows_from_the_action() -> None:
    row = {"kind": "stop", "status": "RUNNING", "jobs": ["FINISHED", "RUNNING"]}
    action = action_of(row)
    sent, _ = planned(action, target_of(row, action), NOW)
    assert (sent.trigger_id, sent.flink_job_id, sent.sent_at) == (ID, f"{2:032x}", NOW)
    back = answered(sent, Reply.NOT_SENT, target_of(row, sent), NOW)
    assert back == action


def test_only_a_success_is_written_over_what_has_ended() -> None:
    sent = action_of({"kind": "stop", "state": "sent"})
    done = answered(
        sent, SavepointMade("file:/s"), target_of({"status": "FINISHED", "jobs": ["FINISHED"]}, sent), NOW
    )
    assert ActionState.FAILED in may_follow(sent, done)
    assert ActionState.DONE not in may_follow(sent, done)
    failed = answered(sent, Refused("no"), target_of({"status": "RUNNING"}, sent), NOW)
    assert may_follow(sent, failed) == {ActionState.SENT}


@pytest.mark.parametrize(
    ("status", "kind", "state", "expected"),
    [
        ("FINISHED", "stop", "done", "stop"),
        ("FINISHED", "stop", "failed", None),
        ("FINISHED", "savepoint", "done", None),
        ("FAILED", "stop", "done", None),
        ("RUNNING", "stop", "done", None),
        ("CANCELLED", "cancel", "done", "cancel"),
        ("CANCELLED", "stop", "done", None),
        ("CANCELLED", "savepoint", "done", None),
    ],
)
def test_ended_by(status: str, kind: str, state: str, expected: str | None) -> None:
    assert ended_by(Status(status), [action_of({"kind": kind, "state": state})]) == expected


def test_a_submitter_counts_as_removed_only_by_a_cancel_that_names_it() -> None:
    cancel = action_of({"kind": "cancel", "state": "sent"})
    assert not was_removed_before_start([cancel])
    named = Action(id=ID, kind=ActionKind.CANCEL, requested_at=NOW, k8s_job_uid="uid")
    assert not was_removed_before_start([named])  # it was about to be deleted
    sent = answered(named, Reply.ACCEPTED, target_of({"status": "CREATED"}, named), NOW)
    assert was_removed_before_start([cancel, sent])
