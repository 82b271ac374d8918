"""The rules of `decide`, each a row of `tests/data/decide.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.actions import Action, ActionKind, ActionState
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    FoundId,
    JobPhase,
    LogState,
    Missing,
    NamedJobs,
    NoKubernetesJob,
    Observation,
    Submitter,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason
from flinkjobs.domain.transition import Keep, Policy, Update, decide

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "decide.yaml").read_text(encoding="utf-8")
)
SUBMITTED_AT = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
IDS = {letter: letter.lower() * 32 for letter in "ABC"} | {"FIXED": fixed_flink_job_id("job_1")}
POLICY = Policy(lost_after=timedelta(seconds=600), grace=timedelta(seconds=600))


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else SUBMITTED_AT + timedelta(seconds=seconds)


def exactly_at(seconds: float) -> datetime:
    return SUBMITTED_AT + timedelta(seconds=seconds)


def named_ids(text: str) -> str:
    for letter, flink_job_id in IDS.items():
        text = text.replace(f"{{{letter}}}", flink_job_id)
    return text


def reason(given: list[Any] | None) -> Reason | None:
    if given is None:
        return None
    return Reason(code=ReasonCode(given[0]), message=named_ids(given[1]), since=exactly_at(given[2]))


def ref(letter: str, given: Any) -> FlinkJobRef:
    if not isinstance(given, dict):
        given = {"state": given, "confirmed": given is not None}
    return FlinkJobRef(
        id=IDS[letter],
        source=IdSource.LOG,
        confirmed=given.get("confirmed", False),
        state=given.get("state"),
        start_time=at(given.get("start")),
        end_time=at(given.get("end")),
        failure=given.get("failure"),
        missing_since=at(given.get("missing_since")),
        missing_passes=given.get("passes", 0),
    )


REMOVED = Action(
    id="f" * 32,
    kind=ActionKind.CANCEL,
    state=ActionState.SENT,
    requested_at=SUBMITTED_AT,
    sent_at=SUBMITTED_AT,
    k8s_job_uid="uid",
)
"""A cancel that has deleted the Kubernetes Job before its submit container started."""


def record_of(given: dict[str, Any]) -> JobRecord:
    return JobRecord(
        job_id="job_1",
        status=Status(given.get("status", "CREATED")),
        submitted_at=SUBMITTED_AT,
        k8s_job_name=given.get("k8s_job_name", "flink-py-job"),
        flink_jobs=tuple(ref(letter, job) for letter, job in given.get("jobs", {}).items()),
        flink_state=given.get("flink_state"),
        submitter_done=given.get("submitter_done", False),
        start_time=at(given.get("start")),
        end_time=at(given.get("end")),
        duration=given.get("duration"),
        reason=reason(given.get("reason")),
        missing_since=at(given.get("missing_since")),
        in_flight_until=at(given.get("in_flight_until")),
        missing_passes=given.get("missing_passes", 0),
        dropped_ids=tuple(IDS[letter] for letter in given.get("dropped", [])),
        actions=(REMOVED,) if given.get("removed") else (),
        revision=3,
    )


def flink_of(letter: str, given: Any) -> FlinkObservation:
    if given == "missing":
        return Missing()
    if given == "unreachable":
        return Unreachable("connection refused")
    if not isinstance(given, dict):
        given = {"state": given}
    return FlinkJob(
        id=IDS[letter],
        name=given.get("name", "job_1"),
        state=given["state"],
        start_time=at(given.get("start")),
        end_time=at(given.get("end")),
        failure=given.get("failure"),
    )


def named_of(given: Any) -> NamedJobs | None:
    if given is None:
        return None
    if given == "unreachable":
        return Unreachable("connection refused")
    jobs = [flink_of(job["id"], job) for job in given]
    return tuple(job for job in jobs if isinstance(job, FlinkJob))


def ids_of(given: dict[str, Any]) -> tuple[FoundId, ...]:
    return tuple(FoundId(id=IDS[letter], source=IdSource.LOG) for letter in given.get("ids", []))


def submitter_of(given: Any) -> SubmitterObservation | None:
    if given is None:
        return None
    if given == "unreachable":
        return Unreachable("connection refused")
    if given == "missing" or "missing" in given:
        given = {} if given == "missing" else given
        return NoKubernetesJob(
            ids=ids_of(given),
            log=LogState(given.get("log", "GONE")),
            error_lines=given.get("error_lines", ""),
        )
    problem = given.get("problem")
    return Submitter(
        phase=JobPhase(given["phase"]),
        ended=given.get("ended"),
        ids=ids_of(given),
        log=LogState(given.get("log", "READ")),
        error_lines=given.get("error_lines", ""),
        proves_nothing_submitted=given.get("proof", False),
        exit_code=given.get("exit_code"),
        problem=None if problem is None else (ReasonCode(problem[0]), problem[1]),
        events_unread=Unreachable("500 InternalError") if given.get("events") == "unreachable" else None,
    )


def observation_of(row: dict[str, Any]) -> Observation:
    return Observation(
        submitter=submitter_of(row.get("submitter")),
        flink={IDS[letter]: flink_of(letter, given) for letter, given in row.get("flink", {}).items()},
        named=named_of(row.get("named")),
        foreign_ids=frozenset(IDS[letter] for letter in row.get("foreign", [])),
    )


def seen(record: JobRecord) -> dict[str, Any]:
    """The fields that a row speaks of."""
    return {
        "status": record.status,
        "flink_job_id": record.flink_job_id,
        "start": record.start_time,
        "end": record.end_time,
        "duration": record.duration,
        "reason": record.reason,
        "missing_since": record.missing_since,
    }


def expected(before: JobRecord, then: dict[str, Any]) -> dict[str, Any]:
    """What a row says the fields are afterwards; what it does not name is as before."""
    readers: dict[str, Callable[[Any], Any]] = {
        "status": Status,
        "flink_job_id": lambda letter: letter and IDS[letter],
        "start": at,
        "end": at,
        "duration": lambda seconds: seconds,
        "reason": reason,
        "missing_since": at,
    }
    fields = seen(before)
    # The record's first confirmed id follows from its jobs; rows name it where it is new.
    fields |= {name: read(then[name]) for name, read in readers.items() if name in then}
    return fields


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_a_record_moves_by_the_rule(row: dict[str, Any]) -> None:
    before = record_of(row.get("record", {}))
    observation = observation_of(row)
    now = exactly_at(row.get("now", 300))

    action = decide(before, observation, now, POLICY)

    if row["then"] == "nothing":
        assert action == Keep()
        return
    assert isinstance(action, Update)
    assert action.before == before
    assert seen(action.after) == expected(before, row["then"])
    if "submitter_done" in row["then"]:
        assert action.after.submitter_done is row["then"]["submitter_done"]
    if "dropped" in row["then"]:
        assert action.after.dropped_ids == tuple(IDS[letter] for letter in row["then"]["dropped"])
    if "ids" in row["then"]:
        assert action.after.flink_job_ids == tuple(IDS[letter] for letter in row["then"]["ids"])
    if "flink_state" in row["then"]:
        assert action.after.flink_state == row["then"]["flink_state"]


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_the_same_observation_again_moves_nothing_but_the_count_of_passes(row: dict[str, Any]) -> None:
    """Nothing changed means nothing written: a second look at the same world changes no more."""
    record = record_of(row.get("record", {}))
    observation = observation_of(row)
    now = exactly_at(row.get("now", 300))
    for _ in range(4):
        action = decide(record, observation, now, POLICY)
        record = action.after if isinstance(action, Update) else record

    assert decide(record, observation, now, POLICY) == Keep()


def test_every_rule_has_its_own_name() -> None:
    names = [row["rule"] for row in ROWS]
    assert sorted(set(names)) == sorted(names)
