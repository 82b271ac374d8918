"""`schedules`: the two schedules of this system in Cloud Scheduler. No other one is ever touched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.table import Table

from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.cli.output import Output, table
from flinkjobs.cli.session import JsonOption, Session, session_of
from flinkjobs.domain.cron import cron_fault
from flinkjobs.domain.errors import NotFoundError, SettingsError
from flinkjobs.domain.schedule import Schedule, ScheduleState, State, check_schedule
from flinkjobs.ports.scheduler import Schedules
from flinkjobs.settings.schedules import OwnSchedule, ScheduleSettings


class Which(StrEnum):
    """A schedule by the function that it triggers."""

    SYNC = "sync"
    CLEANUP = "cleanup"


WhichArgument: TypeAlias = Annotated[Which, typer.Argument(help="sync or cleanup.")]

DESCRIPTIONS: Final = {
    "sync": "Runs a synchronisation pass",
    "cleanup": "Deletes finished Kubernetes Jobs",
}

RPC_CODES: Final[Sequence[str]] = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""The names of google.rpc.Code: https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""


COLUMNS: Final = (
    *("Schedule", "State", "Cron", "Time zone"),
    *("Last attempt (UTC)", "Its status", "Next run (UTC)", "Name"),
)
LEFT_OUT: Final = ("Name", "Time zone")
"""The columns that go first where a terminal is too narrow for all."""
GAP: Final = 2
"""Columns between two columns."""


def register(app: typer.Typer) -> None:
    """Adds the command group `schedules`."""
    group = typer.Typer(no_args_is_help=True, help="Show and change when sync and cleanup run.")
    group.command("list")(list_)
    group.command("apply")(apply)
    group.command("set")(set_)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("run")(run)
    app.add_typer(group, name="schedules")


def _connect(settings: ScheduleSettings) -> AbstractContextManager[Schedules]:
    from flinkjobs.entrypoints.schedules import connect_schedules  # Google's client takes a second to import

    return connect_schedules(settings)


def list_(context: typer.Context, json: JsonOption = False) -> None:
    """Show both schedules: when they run, whether they do, and how the last attempt ended."""
    session = session_of(context, is_json=json)
    settings = session.connection.schedule_settings
    with _connect(settings) as schedules:
        found = {name: schedules.get(own.name) for name, own in settings.own.items()}
    _show(session.out, settings, found)


def apply(context: typer.Context, json: JsonOption = False) -> None:
    """Configure both schedules by the settings; a correct schedule is not changed."""
    session = session_of(context, is_json=json)
    settings = session.connection.schedule_settings
    wanted = {name: _wanted(settings, own) for name, own in settings.own.items()}
    for schedule in wanted.values():
        check_schedule(schedule)
    with _connect(settings) as schedules:
        done = {name: schedules.apply(schedule).value for name, schedule in wanted.items()}
    if session.out.is_json:
        session.out.json({"schedules": done})
        return
    for name, what in done.items():
        session.out.line(f"{name}: {what.lower()} ({wanted[name].name}, {wanted[name].cron})")


def _wanted(settings: ScheduleSettings, own: OwnSchedule) -> Schedule:
    if own.url is None:
        raise SettingsError(
            f"{own.function.upper()}_URL is required and not set: it is what the schedule calls"
        )
    return Schedule(
        name=own.name,
        cron=own.cron,
        uri=f"{own.url}/",
        time_zone=settings.time_zone,
        headers={"Content-Type": "application/json"},
        body=b"{}",
        service_account_email=settings.service_account,
        audience=own.url if settings.service_account else None,
        attempt_deadline_seconds=own.attempt_deadline_seconds,
        description=DESCRIPTIONS[own.function],
    )


def set_(
    context: typer.Context,
    which: WhichArgument,
    cron: Annotated[str, typer.Argument(help='In unix-cron, such as "*/3 * * * *".')],
    json: JsonOption = False,
) -> None:
    """Change when a schedule runs, and nothing else of it."""
    session = session_of(context, is_json=json)
    if (wrong := cron_fault(cron)) is not None:
        raise MisuseError(f"CRON {wrong}; nothing was changed")
    own = session.connection.schedule_settings.own[which]
    with _connect(session.connection.schedule_settings) as schedules:
        before = _existing(schedules, own)
        done = schedules.apply(replace(before.schedule, cron=" ".join(cron.split())))
        after = _existing(schedules, own)
    if not session.out.is_json:
        session.out.line(f"{which}: {done.value.lower()}, {before.schedule.cron} -> {after.schedule.cron}")
    _show_one(session, which, after)


def pause(context: typer.Context, which: WhichArgument, json: JsonOption = False) -> None:
    """Stop a schedule, until it is resumed."""
    _switch(session_of(context, is_json=json), which, State.PAUSED)


def resume(context: typer.Context, which: WhichArgument, json: JsonOption = False) -> None:
    """Let a paused schedule run again."""
    _switch(session_of(context, is_json=json), which, State.ENABLED)


def _switch(session: Session, which: Which, state: State) -> None:
    own = session.connection.schedule_settings.own[which]
    with _connect(session.connection.schedule_settings) as schedules:
        _existing(schedules, own)
        switch = schedules.pause if state is State.PAUSED else schedules.resume
        after = switch(own.name)
    _show_one(session, which, after)


def run(context: typer.Context, which: WhichArgument, json: JsonOption = False) -> None:
    """Send a schedule's request now; its regular times stay as they are."""
    session = session_of(context, is_json=json)
    own = session.connection.schedule_settings.own[which]
    with _connect(session.connection.schedule_settings) as schedules:
        _existing(schedules, own)
        schedules.run(own.name)
        after = _existing(schedules, own)
    if not session.out.is_json:
        session.out.line(f"{which}: the request was sent; `flinkjobs schedules list` shows how it ended")
    _show_one(session, which, after)


def _existing(schedules: Schedules, own: OwnSchedule) -> ScheduleState:
    found = schedules.get(own.name)
    if found is None:
        raise NotFoundError(f"there is no schedule {own.name}; `flinkjobs schedules apply` creates it")
    return found


def _show_one(session: Session, which: Which, state: ScheduleState) -> None:
    _show(session.out, session.connection.schedule_settings, {which.value: state})


def _show(out: Output, settings: ScheduleSettings, found: dict[str, ScheduleState | None]) -> None:
    if out.is_json:
        out.json({"schedules": {name: _as_json(settings.own[name], state) for name, state in found.items()}})
        return
    width = out.console.width if out.console.is_terminal else None
    rows = [_row(settings.own[name], state, is_short=width is not None) for name, state in found.items()]
    out.show(_table(rows, width=width))


def _table(rows: Sequence[Sequence[str | None]], *, width: int | None) -> Table:
    """The schedules; on a terminal, the least important columns are left out until it fits."""
    shown = list(COLUMNS)
    for name in LEFT_OUT:
        if width is None or _width(shown, rows) <= width:
            break
        shown.remove(name)
    places = [COLUMNS.index(name) for name in shown]
    return table(shown, [[row[place] for place in places] for row in rows])


def _width(shown: Sequence[str], rows: Sequence[Sequence[str | None]]) -> int:
    places = [COLUMNS.index(name) for name in shown]
    widest = (
        max(len(name), *(len(row[at] or "") for row in rows)) for name, at in zip(shown, places, strict=True)
    )
    return sum(widest) + GAP * (len(shown) - 1)


def _row(own: OwnSchedule, state: ScheduleState | None, *, is_short: bool) -> tuple[str | None, ...]:
    if state is None:
        return (own.function, "MISSING", None, None, None, None, None, own.name)
    return (
        own.function,
        state.state.value,
        state.schedule.cron,
        state.schedule.time_zone,
        _time(state.last_attempt_time, is_short=is_short),
        _attempt_status(state),
        _time(state.next_time, is_short=is_short),
        own.name,
    )


def _time(value: Any, *, is_short: bool) -> str | None:
    """A time to the second; on a terminal without its year."""
    if value is None:
        return None
    return f"{value:%m-%d %H:%M:%S}" if is_short else f"{value:%Y-%m-%d %H:%M:%S}"


def _attempt_status(state: ScheduleState) -> str | None:
    code = state.last_status_code
    if code is None:
        return None
    name = RPC_CODES[code] if code < len(RPC_CODES) else str(code)
    return f"{name} {state.last_status_message}".strip()


def _as_json(own: OwnSchedule, state: ScheduleState | None) -> dict[str, Any]:
    if state is None:
        return {"name": own.name, "state": "MISSING"}
    return {
        "name": own.name,
        "state": state.state.value,
        "cron": state.schedule.cron,
        "time_zone": state.schedule.time_zone,
        "uri": state.schedule.uri,
        "last_attempt_time": state.last_attempt_time,
        "last_status_code": state.last_status_code,
        "last_status": _attempt_status(state),
        "next_time": state.next_time,
    }
