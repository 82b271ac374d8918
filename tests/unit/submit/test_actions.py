"""Requests for actions, where the record changes in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from flinkjobs.domain.actions import Action, ActionKind, ActionState
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.submit.actions import JobOverError, SavepointRequest, request_action

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
DONE = Action(id="a" * 32, kind=ActionKind.SAVEPOINT, requested_at=NOON, state=ActionState.DONE)


class Store:
    """Refuses the first request, as a savepoint is open that has ended once the record is read."""

    def __init__(self, status: Status) -> None:
        self.record = JobRecord("etl_1", status, NOON, actions=(DONE,))
        self.requests = 0

    def look_up(self, any_id: str) -> JobRecord | None:
        assert any_id == "etl_1"
        return self.record

    def request(self, record: JobRecord, action: Action) -> JobRecord:
        self.requests += 1
        is_taken = self.requests > 1 and record.status is Status.RUNNING
        return replace(record, actions=(DONE, action)) if is_taken else record

    def with_open_action(
        self, job_ids: Collection[str] | None = None
    ) -> Iterator[JobRecord | UnreadableRecord]:
        raise AssertionError(f"submit follows no action: {job_ids}")

    def move(self, record: JobRecord, before: Action, after: Action) -> bool:
        raise AssertionError(f"submit moves no action of {record.job_id}: {before} {after}")

    def close(self, record: JobRecord) -> None:
        raise AssertionError(f"submit closes no record: {record.job_id}")


def test_a_request_that_meets_the_end_of_another_is_repeated() -> None:
    store = Store(Status.RUNNING)
    requested = request_action(
        store, lambda: NOON, ActionKind.SAVEPOINT, "etl_1", SavepointRequest(), key=None
    )
    assert (requested.action.state, requested.action.id != DONE.id) == (ActionState.REQUESTED, True)
    assert store.requests == 2


def test_a_job_that_has_ended_is_refused() -> None:
    with pytest.raises(JobOverError, match="etl_1 is over: it ended as FINISHED"):
        request_action(
            Store(Status.FINISHED), lambda: NOON, ActionKind.STOP, "etl_1", SavepointRequest(), key=None
        )
