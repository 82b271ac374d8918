"""Checks of what runs by itself: the schedules, the passes of sync, the runs of cleanup."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from flinkjobs.doctor.codes import ATTEMPTS, REMEDIES, Code
from flinkjobs.doctor.facts import Facts, NotAsked, Refused, Run, Runs
from flinkjobs.doctor.findings import (
    Finding,
    ago,
    bare,
    duration_text,
    fail,
    first_few,
    no_answer,
    ok,
    skipped,
    unknown,
    warn,
)
from flinkjobs.domain.cron import longest_gap
from flinkjobs.domain.observations import Unreachable
from flinkjobs.domain.schedule import ScheduleState, State
from flinkjobs.domain.text import counted
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule

PERIODS_BEFORE_OLD: Final = 3
"""Number of schedule periods after which the last pass is too old."""

CLEANUP_MARGIN: Final = timedelta(hours=2)
"""How much longer than its schedule's period a cleanup may take to begin."""


def _schedules(facts: Facts) -> Iterator[Finding]:
    if not facts.own and not isinstance(facts.settings, Refused):
        yield skipped("schedule", "SCHEDULER_PARENT is not set")
    for own in facts.own:
        check = f"schedule.{own.function}"
        match facts.schedules[own.function]:
            case None:
                evidence = f"there is no schedule {own.name}: nothing calls {own.function}"
                yield fail(check, Code.SCHEDULE_MISSING, evidence)
            case ScheduleState() as state:
                yield next(_of_schedule(check, own, state, facts.now))
            case gap:
                yield no_answer(check, gap, Code.SCHEDULER_UNAVAILABLE, Code.SCHEDULER_REFUSED)


def _of_schedule(check: str, own: OwnSchedule, state: ScheduleState, now: datetime) -> Iterator[Finding]:
    """Findings about one schedule, the cause first; the last one says that all is well."""
    cron, uri, last = state.schedule.cron, state.schedule.uri, "it has not run yet"
    if state.last_attempt_time is not None:
        last = f"last attempt {ago(now - state.last_attempt_time)}"
    if state.state is not State.ENABLED:
        remedy = f"Run `flinkjobs schedules resume {own.function}`."
        yield fail(check, Code.SCHEDULE_PAUSED, f"{own.name} is {state.state}; {last}", remedy)
    if own.url is not None and own.url.rstrip("/") != uri.rstrip("/"):
        yield fail(check, Code.SCHEDULE_CHANGED, f"{own.name} calls {uri}, and should call {own.url}; {last}")
    gap, wanted = longest_gap(cron), longest_gap(own.cron)
    if gap is None or (wanted is not None and gap > wanted):
        evidence = f"{own.name} runs at {cron!r}, less often than configured ({own.cron!r}); {last}"
        remedy = f'Run `flinkjobs schedules set {own.function} "{own.cron}"`, or correct the setting.'
        yield fail(check, Code.SCHEDULE_CHANGED, evidence, remedy)
    elif state.last_attempt_time is not None and now - state.last_attempt_time > PERIODS_BEFORE_OLD * gap:
        yield fail(check, Code.SCHEDULE_SILENT, f"{own.name} is enabled ({cron}), but {last}")
    if state.last_status_code:
        unnamed = f"code {state.last_status_code}", REMEDIES[Code.SCHEDULE_FAILING]
        name, remedy = ATTEMPTS.get(state.last_status_code, unnamed)
        said = f" ({state.last_status_message})" if state.last_status_message else ""
        evidence = f"{last}: it called {uri} and failed with {name}{said}"
        yield fail(check, Code.SCHEDULE_FAILING, evidence, remedy)
    if cron != own.cron:
        evidence = f"{own.name} runs at {cron!r}, the settings say {own.cron!r}; {last}"
        yield warn(check, Code.SCHEDULE_CHANGED, evidence)
    ended = "" if state.last_status_code is None else ", it went well"
    yield ok(check, f"enabled, {cron!r} in {state.schedule.time_zone}; {last}{ended}")


def _sync_age(facts: Facts) -> Iterator[Finding]:
    check = "sync.pass"
    match facts.sync:
        case Unreachable() | Refused() | NotAsked() as gap:
            yield no_answer(check, gap, Code.STORE_UNAVAILABLE, finding=unknown)
        case Runs(None, None):
            first = _first_run(facts.schedules.get("sync"), facts.now)
            if first is not None:
                evidence = (
                    f"there was no pass yet; the schedule runs for the first time in {duration_text(first)}"
                )
                yield warn(check, Code.SYNC_NEVER, evidence)
                return
            yield fail(check, Code.SYNC_NEVER, "there was no pass in the last two weeks")
        case Runs(Run() as last, complete) if _is_cut_by_a_peer(facts, last, complete):
            evidence = f"the last pass, {ago(facts.now - last.started_at)}, was incomplete: see sync.errors"
            yield skipped(check, evidence)
        case Runs(Run(started_at), None):
            evidence = f"no full pass has completed; the last began {ago(facts.now - started_at)}"
            yield fail(check, Code.SYNC_NEVER, evidence)
        case Runs(last, Run(started_at)):
            limit = _sync_limit(facts)
            evidence = f"the last complete pass began {ago(facts.now - started_at)}"
            if facts.now - started_at <= limit:
                yield ok(check, evidence)
                return
            if last is not None and last.started_at > started_at:
                evidence += f" (one that was cut short {ago(facts.now - last.started_at)})"
            evidence += f", and should have begun within {duration_text(limit)}: statuses lag"
            yield fail(check, Code.SYNC_OLD, evidence)


def _sync_limit(facts: Facts) -> timedelta:
    """Age after which the last pass is too old."""
    return PERIODS_BEFORE_OLD * _period(facts, "sync", _sync_period(facts))


def _is_cut_by_a_peer(facts: Facts, last: Run, complete: Run | None) -> bool:
    """Whether passes run, and come to no end because a peer does not answer, which is another finding."""
    limit = _sync_limit(facts)
    is_old = complete is None or facts.now - complete.started_at > limit
    is_running = not last.complete and facts.now - last.started_at <= limit
    return is_old and is_running and bool(_unanswered(last))


def _unanswered(run: Run) -> list[str]:
    """What a pass could not ask, a line each."""
    clusters = [f"Flink cluster {name}: {bare(name, error)}" for name, error in run.unreachable]
    peers = [(code, message) for job_id, code, message in run.errors if job_id is None]
    return clusters + [f"{code}: {message}" for code, message in peers if code != Code.JOBS_MISSING]


def _first_run(state: object, now: datetime) -> timedelta | None:
    """Time until an enabled schedule runs for the first time; None for every other one."""
    match state:
        case ScheduleState(state=State.ENABLED, last_attempt_time=None, next_time=datetime() as first):
            return first - now if first > now else None
        case _:
            return None


def _sync_errors(facts: Facts) -> Iterator[Finding]:
    check = "sync.errors"
    match facts.sync:
        case Runs(Run() as last):
            unreachable = _unanswered(last)
            missing = [message for job_id, code, message in last.errors if code == Code.JOBS_MISSING]
            of_records = [f"{job_id}: {code}: {message}" for job_id, code, message in last.errors if job_id]
            when = f"the last pass, {ago(facts.now - last.started_at)},"
            if unreachable:
                yield fail(check, Code.SYNC_PEER_UNREACHABLE, f"{when} met this: {first_few(unreachable)}")
            if missing:
                yield fail(check, Code.JOBS_MISSING, f"{when} met this: {first_few(missing)}")
            if of_records:
                evidence = (
                    f"{when} could not follow {counted(len(of_records), 'record')}: {first_few(of_records)}"
                )
                yield warn(check, Code.SYNC_ERRORS, evidence)
            if not unreachable + missing + of_records:
                yield ok(check, f"{when} met none")


def _cleanup(facts: Facts) -> Iterator[Finding]:
    check = "cleanup.run"
    match facts.cleanup:
        case Unreachable() | Refused() | NotAsked() as gap:
            yield no_answer(check, gap, Code.STORE_UNAVAILABLE, finding=unknown)
        case Runs(None):
            yield warn(check, Code.CLEANUP_NEVER, "no cleanup has run yet")
        case Runs(Run(started_at, errors=errors)):
            age, limit = (
                facts.now - started_at,
                _period(facts, "cleanup", timedelta(hours=24)) + CLEANUP_MARGIN,
            )
            evidence = f"the last cleanup began {ago(age)}"
            if age > limit:
                evidence += (
                    f", and should have begun within {duration_text(limit)}: finished Kubernetes Jobs pile up"
                )
                yield fail(check, Code.CLEANUP_OLD, evidence)
            elif errors:
                evidence += f"; {first_few([f'{code}: {message}' for _, code, message in errors])}"
                yield warn(check, Code.CLEANUP_ERRORS, evidence)
            else:
                yield ok(check, evidence)


def _sync_period(facts: Facts) -> timedelta:
    """Period of the passes where no schedule states it."""
    settings = facts.settings
    own = settings.sync_period_seconds if isinstance(settings, Settings) else facts.sync_period_seconds
    return timedelta(seconds=own or 180)


def _period(facts: Facts, function: str, otherwise: timedelta) -> timedelta:
    """Longest gap between two runs of a function: of its schedule, else of the schedule it should have."""
    state = facts.schedules.get(function)
    crons = [state.schedule.cron] if isinstance(state, ScheduleState) else []
    crons += [own.cron for own in facts.own if own.function == function]
    return next((gap for cron in crons if (gap := longest_gap(cron)) is not None), otherwise)


RUN_CHECKS: Final = (_schedules, _sync_age, _sync_errors, _cleanup)
"""In the order of causes."""
