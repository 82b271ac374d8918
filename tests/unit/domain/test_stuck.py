"""Stuck submissions, each rule a row of `tests/data/stuck.yaml`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer, move_of
from flinkjobs.domain.observations import JobPhase, LogState, Observation, Submitter, Unreachable
from flinkjobs.domain.reasons import REASONS, ProblemKind, ReasonCode
from flinkjobs.domain.records import JobRecord, Reason
from flinkjobs.domain.stuck import stuck_since
from flinkjobs.domain.transition import Policy, Update, decide

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "stuck.yaml").read_text(encoding="utf-8")
)
BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
AFTER = timedelta(seconds=300)
SUBMITTERS: dict[str | None, Submitter | Unreachable] = {
    None: Submitter(phase=JobPhase.ACTIVE, log=LogState.RUNNING),
    "unreachable": Unreachable("403 Forbidden"),
    "events": Submitter(
        phase=JobPhase.ACTIVE, log=LogState.RUNNING, events_unread=Unreachable("403 Forbidden")
    ),
}


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else BEGIN + timedelta(seconds=seconds)


def reason(code: str, seconds: float) -> Reason:
    return Reason(ReasonCode(code), "because", BEGIN + timedelta(seconds=seconds))


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_stuck_since_follows_the_row(row: dict[str, Any]) -> None:
    now = BEGIN + timedelta(seconds=row["now"])
    before = JobRecord(
        "etl_1", Status(row.get("was", "CREATED")), BEGIN, stuck_since=at(row.get("stuck")), revision=4
    )
    after = replace(
        before,
        status=Status(row.get("status", "CREATED")),
        reason=reason(*row["reason"]) if "reason" in row else None,
    )
    submitter = SUBMITTERS[row.get("submitter")]
    after = replace(after, stuck_since=stuck_since(before, after, submitter, now, AFTER))
    move = move_of(before, after, at=now, by=Writer.SYNC)
    assert after.stuck_since == at(row["then"])
    match row["move"]:
        case "none":
            assert move is None
        case "status":
            assert move is not None
            assert (move.was, move.status, move.stuck) == (Status.CREATED, Status.RUNNING, None)
        case is_stuck:
            assert move is not None
            assert (move.was, move.status, move.stuck) == (Status.CREATED, Status.CREATED, is_stuck)
            assert (move.seq, move.reason_code) == (5, after.reason and after.reason.code)


def test_every_code_that_can_be_stuck_keeps_a_record_created() -> None:
    own = [code for code, info in REASONS.items() if info.problem is ProblemKind.STAYS_CREATED]
    assert ReasonCode.IMAGE_PULL in own
    assert not {ReasonCode.OUTCOME_UNKNOWN, ReasonCode.ID_UNCONFIRMED, ReasonCode.JOB_FAILED} & {*own}


@pytest.mark.parametrize("seconds", [299, 300])
def test_decide_writes_a_record_only_because_it_becomes_stuck(seconds: int) -> None:
    cause = ReasonCode.IMAGE_PULL, "no such image"
    waits = JobRecord(
        "etl_1", Status.CREATED, BEGIN, k8s_job_name="etl", reason=Reason(*cause, BEGIN), revision=2
    )
    seen = Observation(Submitter(phase=JobPhase.ACTIVE, log=LogState.RUNNING, problem=cause), {})
    now = BEGIN + timedelta(seconds=seconds)
    action = decide(waits, seen, now, Policy(stuck_after=AFTER))
    if seconds < 300:
        assert not isinstance(action, Update)
    else:
        assert isinstance(action, Update)
        assert action.after == replace(waits, stuck_since=now)


def test_decide_makes_nothing_stuck_in_a_pass_that_does_not_observe_the_submitter() -> None:
    """In follow mode not every pass does: the cause may be gone."""
    reason = Reason(ReasonCode.IMAGE_PULL, "no such image", BEGIN)
    waits = JobRecord("etl_1", Status.CREATED, BEGIN, k8s_job_name="etl", reason=reason, revision=2)
    action = decide(waits, Observation(None, {}), BEGIN + 2 * AFTER, Policy(stuck_after=AFTER))
    assert not isinstance(action, Update)
