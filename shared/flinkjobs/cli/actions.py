"""`cancel`, `stop` and `savepoint`: actions on jobs, requested of the submit function."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.completion import any_ids as known_ids
from flinkjobs.cli.exit_codes import Exit, MisuseError, exit_for
from flinkjobs.cli.output import Output, clean
from flinkjobs.cli.session import JsonOption, Session, session_of
from flinkjobs.domain.actions import OPEN_STATES, ActionState
from flinkjobs.domain.errors import FlinkjobsError, TemporaryError
from flinkjobs.domain.text import counted

INTERVAL_SECONDS: Final = 5.0

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID…",
        help="Ids of jobs, of any of the three kinds.",
        autocompletion=known_ids,
        show_default=False,
    ),
]
Selector = Annotated[
    list[str] | None,
    typer.Option(
        "--selector",
        "-l",
        metavar="KEY=VALUE",
        help="Jobs that are not over and have this label, instead of ids.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="With --selector: do it; without, only the jobs are shown.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Wait until each action is done or has failed.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="With --wait: for this many seconds at most.")]
_Directory = Annotated[
    str | None,
    typer.Option(
        "--savepoint-directory", help="Where to; the directory that Flink is configured with when left out."
    ),
]
RequestedBy = Annotated[str | None, typer.Option(help="Who asks for it.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (cancel, stop, savepoint):
        app.command(command.__name__)(command)


def cancel(
    context: typer.Context,
    any_ids: Ids = None,
    selector: Selector = None,
    yes: Yes = False,
    wait: _Wait = False,
    timeout: Timeout = None,
    requested_by: RequestedBy = None,
    json: JsonOption = False,
) -> None:
    """Cancel jobs, without a savepoint. Repeating the command is safe."""
    session = session_of(context, is_json=json)
    body = {"requested_by": requested_by}
    _act(session, "cancel", any_ids, selector, body, yes=yes, wait=wait, timeout=timeout)


def stop(
    context: typer.Context,
    any_ids: Ids = None,
    selector: Selector = None,
    drain: Annotated[
        bool,
        typer.Option("--drain", help="Let the sources end first: the savepoint is not to be resumed from."),
    ] = False,
    savepoint_directory: _Directory = None,
    yes: Yes = False,
    wait: _Wait = False,
    timeout: Timeout = None,
    requested_by: RequestedBy = None,
    json: JsonOption = False,
) -> None:
    """Stop jobs with a savepoint. Repeating the command is safe while the stop is under way."""
    session = session_of(context, is_json=json)
    body = {"requested_by": requested_by, "drain": drain, "savepoint_directory": savepoint_directory}
    _act(session, "stop", any_ids, selector, body, yes=yes, wait=wait, timeout=timeout)


def savepoint(
    context: typer.Context,
    any_ids: Ids = None,
    selector: Selector = None,
    savepoint_directory: _Directory = None,
    yes: Yes = False,
    wait: _Wait = False,
    timeout: Timeout = None,
    requested_by: RequestedBy = None,
    json: JsonOption = False,
) -> None:
    """Make a savepoint of jobs, which go on."""
    session = session_of(context, is_json=json)
    body = {"requested_by": requested_by, "savepoint_directory": savepoint_directory}
    _act(session, "savepoint", any_ids, selector, body, yes=yes, wait=wait, timeout=timeout)


def _act(
    session: Session,
    kind: str,
    any_ids: list[str] | None,
    selector: list[str] | None,
    body: dict[str, Any],
    *,
    yes: bool,
    wait: bool,
    timeout: float | None,
) -> None:
    connection, out = session.connection, session.out
    if bool(any_ids) == bool(selector):
        raise MisuseError("give the ids of jobs, or --selector")
    ids = list(dict.fromkeys(any_ids or _selected(connection, selector or [])))
    if selector and not yes:
        show_selected(out, kind, ids)
        return
    sent = {name: value for name, value in body.items() if value is not None}
    ends = None if timeout is None else time.monotonic() + timeout
    results, errors = each_of(
        out, ids, lambda any_id: connection.act(any_id, kind, sent, key=str(uuid.uuid4()))
    )
    if wait:
        results = [_waited(connection, out, result, ends) for result in results]
    if out.is_json:
        out.json({"actions": results})
    else:
        for result in results:
            out.line(sentence(result))
    _exit(results, errors, is_waiting=wait)


def each_of(
    out: Output, ids: Sequence[str], ask: Callable[[str], Document]
) -> tuple[list[Document], list[FlinkjobsError]]:
    """Asks for each job; the error of one of several is printed, and does not stop the others.

    Raises:
        FlinkjobsError: of the only job.
    """
    results: list[Document] = []
    errors: list[FlinkjobsError] = []
    for any_id in ids:
        try:
            results.append(ask(any_id))
        except FlinkjobsError as error:
            if len(ids) == 1:
                raise
            errors.append(error)
            out.note(f"{any_id}: {error}", style="red")
    return results, errors


def _selected(connection: Connection, selector: list[str]) -> list[str]:
    """The ids of all jobs with this label that are not over."""
    query = {"label": ",".join(selector), "fields": "job_id"}
    return [
        job["job_id"]
        for status in ("CREATED", "RUNNING", "SUSPENDED")
        for job in connection.every_job({**query, "status": status})
    ]


def show_selected(out: Output, kind: str, ids: list[str]) -> None:
    """Shows the jobs of --selector where --yes is not given."""
    if out.is_json:
        out.json({"dry_run": True, "kind": kind, "job_ids": ids})
        return
    for job_id in ids:
        out.line(clean(job_id))
    out.note(f"{counted(len(ids), 'job')}; nothing was sent. Add --yes to do it.")


def _waited(connection: Connection, out: Output, result: Document, ends: float | None) -> Document:
    """The action once it has ended, or when the time is up; the latest that is known of it."""
    job_id, action_id = result["job_id"], result["action"]["id"]

    def look(before: Document) -> Document:
        connection.sync_one(job_id)
        actions = connection.show(job_id).get("actions", [])  # an older jobs function shows none
        found = [action for action in actions if action["id"] == action_id]
        return {**before, "action": found[0]} if found else before

    return wait_while(lambda latest: latest["action"]["state"] in OPEN_STATES, look, result, out, ends)


def wait_while(
    is_going_on: Callable[[Document], bool],
    look: Callable[[Document], Document],
    latest: Document,
    out: Output,
    ends: float | None,
) -> Document:
    """Looks again and again; the latest that is known. A problem that may pass is printed once.

    Args:
        is_going_on: whether the end is still to come.
        look: what is known now, by what was known before.
        latest: what is known before the first look.
        out: for problems.
        ends: when to give up, by the monotonic clock; None waits for ever.
    """
    reported = ""
    while is_going_on(latest):
        problem = ""
        try:
            latest = look(latest)
        except TemporaryError as error:
            problem = str(error)
        if problem and problem != reported:
            out.note(f"{problem}; going on", style="yellow")
        reported = problem
        left = INTERVAL_SECONDS if ends is None else min(INTERVAL_SECONDS, ends - time.monotonic())
        if left <= 0:
            break
        if is_going_on(latest):
            time.sleep(left)
    return latest


def sentence(result: Document) -> str:
    """How far an action is, in one line."""
    action = result["action"]
    line = f"{result['job_id']}: {action['kind']} {action['state']}"
    cause = f", {action['code']}: {action['message']}" if action["code"] else ""
    path = f", {action['savepoint_path']}" if action["savepoint_path"] else ""
    return clean(f"{line}{path}{cause}")


def _exit(results: list[Document], errors: list[FlinkjobsError], *, is_waiting: bool) -> None:
    """Exits by the worst outcome."""
    states = {result["action"]["state"] for result in results}
    if errors:
        raise typer.Exit(exit_for(errors[0]))
    if ActionState.FAILED in states:
        raise typer.Exit(Exit.FAILED)
    if is_waiting and not states <= {ActionState.DONE.value}:
        raise typer.Exit(Exit.STILL_RUNNING)
