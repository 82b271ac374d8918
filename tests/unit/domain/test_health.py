"""Health of jobs, each rule a row of `tests/data/health.yaml`, from recordings of real clusters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain import health as rule
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import (
    Checkpoint,
    CheckpointSettings,
    Health,
    HealthState,
    LatestState,
    Limits,
    Mark,
    Tasks,
)
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from tests.support.health_recordings import VERSIONS, Recorded
from tests.support.overviews import Entry, milliseconds

ROWS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "health.yaml").read_text(encoding="utf-8")
)
LIMITS = Limits()
CASES = [(row, version) for row in ROWS for version in VERSIONS]
IDS = [f"{version} {row['rule']}" for row, version in CASES]
MINUTE = timedelta(minutes=1)


def ago(now: datetime, seconds: float) -> datetime:
    return now - timedelta(seconds=seconds)


def health_of(row: list[Any], now: datetime) -> Health:
    state, code, since = row
    return Health(HealthState(state), ago(now, since), code and ReasonCode(code))


def entry_of(row: dict[str, Any], seen: Recorded) -> Entry:
    entry, now = seen.entry(), seen.at
    start = milliseconds(ago(now, row["started"])) if "started" in row else entry.start_ms
    modified = milliseconds(ago(now, row["unmoved"])) if "unmoved" in row else entry.modified_ms
    return Entry("a job", entry.state, start, -1, modified, entry.tasks, entry.job_type)


def mark_before(row: dict[str, Any], seen: Recorded, entry: Entry) -> Mark:
    """`counts` are relative to what is recorded: negative numbers are that many restarts earlier."""
    total, now = seen.restarts() or 0, seen.at
    counts = [(ago(now, seconds), total + number) for seconds, number in row.get("counts", ())]
    checkpoints = seen.checkpoints()
    cause, _ = seen.failures()
    return Mark(
        "a" * 32,
        "default",
        "etl_1",
        start_ms=entry.start_ms,
        counts=tuple(counts),
        cause=cause if "uncounted" in row else None,
        settings=seen.settings(),
        checkpoint=checkpoints.checkpoint,
        health=health_of(row["was"], now) if "was" in row else None,
    )


@pytest.mark.parametrize(("row", "version"), CASES, ids=IDS)
def test_health_follows_the_row(row: dict[str, Any], version: str) -> None:
    seen = Recorded(version, row["situation"])
    entry, now = entry_of(row, seen), seen.at
    mark = mark_before(row, seen, entry)
    if "uncounted" not in row:
        cause, failures = seen.failures()
        mark = rule.counted(mark, entry, seen.restarts(), failures, cause, now, LIMITS)
    after = rule.judged(mark, entry, now, LIMITS)
    found = after.health
    if row["then"] is None:
        assert found is None
        return
    assert found is not None
    assert (found.state, found.code, found.since) == (
        (expected := health_of(row["then"], now)).state,
        expected.code,
        expected.since,
    )
    assert row.get("message", "") in (found.message or "")
    assert row.get("restarts", found.restarts) == found.restarts
    settles = row.get("settles")
    assert after.settles_at == (None if settles is None else ago(now, -settles))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_does_not_checkpoint_has_no_settings(version: str) -> None:
    assert Recorded(version, "really-waiting-for-slots").settings() is None


@pytest.mark.parametrize(
    ("situation", "state", "kind", "deleted"),
    [
        ("checkpoints-retained", "RUNNING", "checkpoint", None),
        ("checkpoints-good", "RUNNING", "checkpoint", "at_end"),
        ("checkpoints-good", "FAILED", None, None),
        ("stopped-with-savepoint", "FINISHED", "savepoint", None),
        ("cancelled", "CANCELED", "checkpoint", None),
        ("restart-loop-cancelled", "CANCELED", None, None),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_latest_state_is_the_newest_that_stays(
    version: str, situation: str, state: str, kind: str | None, deleted: str | None
) -> None:
    seen = Recorded(version, situation)
    states = rule.with_deletion(seen.checkpoints().states, seen.settings())
    latest = rule.latest_state(states, state)
    assert (latest and latest.kind, latest and latest.deleted) == (kind, deleted)


def test_latest_state_of_a_cancelled_job_is_none_that_its_setting_deletes_then() -> None:
    now = Recorded("2.3", "cancelled").at
    settings = CheckpointSettings(MINUTE, MINUTE, kept=True, kept_on_cancel=False)
    states = [LatestState("savepoint", "s", now - MINUTE), LatestState("checkpoint", "c", now)]
    marked = rule.with_deletion(states, settings)
    assert rule.latest_state(marked, "FAILED") == LatestState("checkpoint", "c", now, "on_cancel")
    assert rule.latest_state(marked, "CANCELED") == LatestState("savepoint", "s", now - MINUTE)


def test_no_checkpoint_within_three_intervals_and_the_timeout_is_unhealthy() -> None:
    """Counted up to when Flink was asked: an answer does not become wrong by growing old."""
    now = Recorded("2.3", "cancelled").at
    entry = Entry("a job", "RUNNING", milliseconds(now - 60 * MINUTE), -1, milliseconds(now - 60 * MINUTE))
    found = {}
    for minutes in (8, 9):
        checkpoint = Checkpoint(observed_at=now - MINUTE, completed_at=now - minutes * MINUTE)
        settings = CheckpointSettings(2 * MINUTE, MINUTE, kept=True, kept_on_cancel=True)
        mark = Mark("a" * 32, "default", "etl_1", settings=settings, checkpoint=checkpoint)
        found[minutes] = rule.judged(mark, entry, now, LIMITS).health
    assert [health and health.code for health in found.values()] == [None, ReasonCode.CHECKPOINTS_FAILING]


def test_tasks_of_a_batch_job_may_wait_while_others_run() -> None:
    now = Recorded("2.3", "cancelled").at
    waiting, part = (
        Tasks(total=10, running=2, scheduled=8),
        Tasks(total=10, running=1, scheduled=8, finished=1),
    )
    start = milliseconds(now - 60 * MINUTE)
    codes = {}
    for kind, tasks in (("BATCH", waiting), ("STREAMING", part), (None, waiting), (None, part)):
        entry = Entry("a job", "RUNNING", start, -1, start, tasks, kind)
        health = rule.judged(Mark("a" * 32, "default", "etl_1"), entry, now, LIMITS).health
        codes[kind, tasks.finished] = health and health.code
    waits = ReasonCode.WAITING_FOR_SLOTS
    assert codes == {("BATCH", 0): None, ("STREAMING", 1): waits, (None, 0): waits, (None, 1): None}


def test_an_hour_of_a_healthy_job_never_changes_its_health() -> None:
    begin = Recorded("2.3", "checkpoints-retained").at
    entry = Entry("a job", "RUNNING", milliseconds(begin), -1, milliseconds(begin))
    mark, states = Mark("a" * 32, "default", "etl_1"), set()
    for number in range(50):
        mark = rule.judged(mark, entry, begin + number * 3 * MINUTE, LIMITS)
        assert mark.health is not None
        states.add((mark.health.state, mark.health.since))
    assert states == {(HealthState.HEALTHY, begin)}


def test_the_worst_of_several_jobs_is_the_records() -> None:
    now = Recorded("2.3", "cancelled").at
    ill = Health(HealthState.UNHEALTHY, now, ReasonCode.RESTARTING)
    assert rule.worst([Health(HealthState.HEALTHY, now), ill, Health(HealthState.STARTING, now)]) == ill
    assert rule.worst([]) is None


def test_a_count_that_has_not_grown_keeps_the_earlier_ones() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    start, moved = milliseconds(now - 60 * MINUTE), milliseconds(now - 4 * MINUTE)
    entry = Entry("a job", "RUNNING", start, -1, moved, Tasks(total=1, running=1), None)
    counts = ((now - 8 * MINUTE, 2), (now - 4 * MINUTE, 7))
    mark = Mark("a" * 32, "default", start_ms=start, counts=counts)
    after = rule.counted(mark, entry, 7, [], None, now, LIMITS)
    assert after.counts == (*counts, (now, 7))


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.CANCELLED, Status.LOST])
def test_a_record_that_is_not_open_gets_no_health(status: Status) -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    record = JobRecord(job_id="etl_1", status=status, submitted_at=now)
    ill = Health(HealthState.UNHEALTHY, now, ReasonCode.RESTARTING)
    assert rule.with_health(record, [ill], is_settled=False, now=now) == record
