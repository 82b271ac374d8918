"""`flinkjobs schedules` against the Cloud Scheduler double."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from doubles.scheduler.process import SchedulerDouble
from doubles.tests.scheduler_target import Target, running_target
from flinkjobs.adapters.cloud_scheduler import CloudSchedules
from flinkjobs.domain.schedule import Schedule
from tests.integration.cli.conftest import Run, one_line
from tests.support.scripted_server import Answer, ScriptedServer

NOON = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
FOREIGN = Schedule(name="another-project", cron="1 1 * * *", uri="https://else.example/")


@pytest.fixture(scope="module")
def double() -> Iterator[SchedulerDouble]:
    """Time stands at 12:00:30 until a test moves it forward."""
    with SchedulerDouble(start=NOON, speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """What both schedules call."""
    with running_target() as running:
        yield running


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """Of this test alone."""
    return f"p-{abs(hash(request.node.name))}"


@pytest.fixture
def environ(double: SchedulerDouble, target: Target, project: str) -> dict[str, str]:
    return {
        "SCHEDULER_PARENT": f"projects/{project}/locations/here",
        "SCHEDULER_ENDPOINT": double.url,
        "SYNC_URL": f"{target.url}/sync",
        "CLEANUP_URL": f"{target.url}/cleanup",
        "SCHEDULER_SERVICE_ACCOUNT": "trigger@example.com",
    }


@pytest.fixture
def kept(double: SchedulerDouble, project: str) -> Iterator[CloudSchedules]:
    """What the scheduler keeps, past the command."""
    with CloudSchedules(project=project, location="here", endpoint=double.url) as schedules:
        yield schedules


def listed(run: Run, environ: Mapping[str, str]) -> dict[str, Any]:
    ran = run("schedules", "list", "--json", environ=environ)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.json["schedules"]
    return found


# --- apply ------------------------------------------------------------------------------------------


def test_apply_creates_both_schedules_and_then_finds_nothing_to_do(
    run: Run, environ: Mapping[str, str], kept: CloudSchedules, target: Target
) -> None:
    kept.apply(FOREIGN)
    first = run("schedules", "apply", "--json", environ=environ)
    assert (first.code, first.json) == (0, {"schedules": {"sync": "CREATED", "cleanup": "CREATED"}})
    state = kept.get("flinkjobs-sync")
    assert state is not None
    assert (state.schedule.cron, state.schedule.uri) == ("*/3 * * * *", f"{target.url}/sync/")
    assert (state.schedule.service_account_email, state.schedule.audience) == (
        "trigger@example.com",
        f"{target.url}/sync",
    )
    assert state.schedule.attempt_deadline_seconds == 165
    cleanup = kept.get("flinkjobs-cleanup")
    assert cleanup is not None
    assert (cleanup.schedule.cron, cleanup.schedule.time_zone) == ("0 2 * * *", "Etc/UTC")
    assert cleanup.schedule.attempt_deadline_seconds == 165
    second = run("schedules", "apply", environ=environ)
    assert second.code == 0
    assert second.out.splitlines() == [
        "sync: unchanged (flinkjobs-sync, */3 * * * *)",
        "cleanup: unchanged (flinkjobs-cleanup, 0 2 * * *)",
    ]
    foreign = kept.get(FOREIGN.name)
    assert foreign is not None
    assert foreign.schedule.uri == FOREIGN.uri


def test_apply_takes_names_times_and_zone_from_the_settings(
    run: Run, environ: Mapping[str, str], kept: CloudSchedules
) -> None:
    own = {
        "SYNC_SCHEDULE": "every-minute",
        "CLEANUP_SCHEDULE": "at-night",
        "SYNC_CRON": "*/1 * * * *",
        "CLEANUP_CRON": "30 3 * * SUN",
        "SCHEDULER_TIME_ZONE": "Asia/Shanghai",
        "SYNC_ATTEMPT_DEADLINE_SECONDS": "55",
        "CLEANUP_ATTEMPT_DEADLINE_SECONDS": "900",
    }
    assert run("schedules", "apply", environ={**environ, **own}).code == 0
    states = {name: kept.get(name) for name in ("every-minute", "at-night")}
    found = {name: state.schedule for name, state in states.items() if state is not None}
    assert set(found) == {"every-minute", "at-night"}
    assert (found["every-minute"].cron, found["every-minute"].attempt_deadline_seconds) == ("*/1 * * * *", 55)
    assert (found["at-night"].cron, found["at-night"].attempt_deadline_seconds) == ("30 3 * * SUN", 900)
    assert found["at-night"].time_zone == "Asia/Shanghai"


def test_apply_needs_to_know_what_a_schedule_calls(run: Run, environ: Mapping[str, str]) -> None:
    without = {name: value for name, value in environ.items() if name != "CLEANUP_URL"}
    ran = run("schedules", "apply", environ=without)
    assert ran.code == 2
    assert one_line(ran.err).startswith("CLEANUP_URL is required and not set")


# --- set, pause, resume, run ------------------------------------------------------------------------


def test_a_schedule_is_changed_and_changed_back(
    run: Run, environ: Mapping[str, str], kept: CloudSchedules
) -> None:
    run("schedules", "apply", environ=environ)
    before = kept.get("flinkjobs-sync")
    cleanup = kept.get("flinkjobs-cleanup")
    assert before is not None
    faster = run("schedules", "set", "sync", "*/1 * * * *", environ=environ)
    assert faster.code == 0
    assert faster.out.splitlines()[0] == "sync: updated, */3 * * * * -> */1 * * * *"
    state = kept.get("flinkjobs-sync")
    assert state is not None
    assert state.schedule.cron == "*/1 * * * *"
    assert state.next_time == datetime(2026, 1, 5, 12, 1, tzinfo=UTC)
    back = run("schedules", "set", "sync", "*/3 * * * *", "--json", environ=environ)
    assert back.json["schedules"]["sync"]["cron"] == "*/3 * * * *"
    assert kept.get("flinkjobs-sync") == before
    assert kept.get("flinkjobs-cleanup") == cleanup


def test_a_wrong_expression_is_refused_before_anything_is_sent(run: Run, environ: Mapping[str, str]) -> None:
    with ScriptedServer(lambda _asked: Answer()) as scheduler:
        ran = run(
            "schedules", "set", "sync", "61 * * * *", environ={**environ, "SCHEDULER_ENDPOINT": scheduler.url}
        )
        assert scheduler.asked == []
        assert scheduler.connections == 0
    assert ran.code == 2
    assert "'61 * * * *': bad minute" in one_line(ran.err)
    assert ran.out == ""


def test_pausing_resuming_and_running_by_hand_are_seen_in_the_table(
    run: Run, environ: Mapping[str, str], double: SchedulerDouble, target: Target
) -> None:
    run("schedules", "apply", environ=environ)
    paused = run("schedules", "pause", "sync", "--json", environ=environ)
    assert (paused.code, paused.json["schedules"]["sync"]["state"]) == (0, "PAUSED")
    assert paused.json["schedules"]["sync"]["next_time"] is None
    resumed = run("schedules", "resume", "sync", "--json", environ=environ)
    assert resumed.json["schedules"]["sync"]["state"] == "ENABLED"
    target.answer_with(503)
    seen = len(double.attempts())
    ran = run("schedules", "run", "sync", environ=environ)
    assert ran.code == 0
    double.wait_for(finished=1, after=seen)
    assert target.received[-1].path == "/sync/"
    table = run("schedules", "list", environ=environ).out
    head, row, other = table.splitlines()[0], table.splitlines()[-2], table.splitlines()[-1]
    assert head.split("  ")[0] == "Schedule"
    assert [row.split()[0], row.split()[1]] == ["sync", "ENABLED"]
    assert "UNAVAILABLE" in row
    assert other.split()[:2] == ["cleanup", "ENABLED"]


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_schedule_that_is_not_there_is_shown_as_missing(run: Run, environ: Mapping[str, str]) -> None:
    assert listed(run, environ) == {
        "sync": {"name": "flinkjobs-sync", "state": "MISSING"},
        "cleanup": {"name": "flinkjobs-cleanup", "state": "MISSING"},
    }
    ran = run("schedules", "pause", "cleanup", environ=environ)
    assert ran.code == 4
    assert "flinkjobs schedules apply" in one_line(ran.err)


def test_a_scheduler_that_does_not_answer_is_unavailable(
    run: Run, environ: Mapping[str, str], nowhere: str
) -> None:
    ran = run("schedules", "list", environ={**environ, "SCHEDULER_ENDPOINT": nowhere})
    assert ran.code == 5
    assert "SCHEDULER_PARENT" in one_line(ran.err)


def test_a_wrong_setting_is_named(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("schedules", "list", environ={**environ, "SCHEDULER_PARENT": "my-project"})
    assert ran.code == 2
    assert one_line(ran.err).startswith("SCHEDULER_PARENT must be projects/PROJECT/locations/LOCATION")
