"""Follows one job to its end: live on a terminal, else one line per change."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

import typer
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.exit_codes import OUTCOMES, Exit, outcome_of
from flinkjobs.cli.formatting import clock, reason, remedy, seconds
from flinkjobs.cli.maintenance import problems_of
from flinkjobs.cli.output import Output, clean, status_text
from flinkjobs.domain.errors import FlinkjobsError, FunctionUnavailableError, NoFunctionError, TemporaryError
from flinkjobs.domain.flink_states import Status

INTERVAL_SECONDS: Final = 5.0
REDRAWS_PER_SECOND: Final = 4

IntervalOption: TypeAlias = Annotated[
    float, typer.Option(min=0.2, max=3600, metavar="SECONDS", help="How often to look.")
]
TimeoutOption: TypeAlias = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="How long to wait at most; the job goes on."),
]


def follow(
    connection: Connection,
    out: Output,
    any_id: str,
    *,
    interval_seconds: float,
    timeout_seconds: float | None,
) -> None:
    """Polls a job until it ends; the exit code of the command is its outcome.

    Each poll first requests a pass over this one record, if sync can be called: the end of a job is seen
    within one interval, not within the period of the schedule. Ctrl-C ends the command, never the job.

    Raises:
        NotFoundError: there is no such job.
    """
    looks = _looks(connection, out, any_id, interval_seconds, timeout_seconds)
    last: Document | None = None
    try:
        for found in _drawn(out, looks) if out.is_live else _printed(out, looks):
            last = found
    except KeyboardInterrupt:
        job_id = any_id if last is None else last["job"]["job_id"]
        out.note(
            f"Interrupted. {job_id} goes on; follow it again with: flinkjobs wait {shlex.quote(job_id)}",
            style="yellow",
        )
        raise typer.Exit(Exit.INTERRUPTED) from None
    assert last is not None  # noqa: S101 the first look is always made
    _finish(out, last)


def _finish(out: Output, last: Document) -> None:
    job = last["job"]
    if out.is_json:
        out.json(last)
    if job["status"] is None:
        out.note(f"The record of {job['job_id']} cannot be read: {job['unreadable']}", style="red")
        raise typer.Exit(Exit.FAILED)
    reason_code = job["reason"]["code"] if job["reason"] else None
    outcome = outcome_of(Status(job["status"]), reason_code)
    if outcome is None:
        again = f"flinkjobs wait {shlex.quote(job['job_id'])}"
        out.note(f"{job['job_id']} is still {job['status']}; follow it again with: {again}")
        raise typer.Exit(Exit.STILL_RUNNING)
    if not out.is_json:
        out.show(_sentence(job))
        if job["reason"] and (what_to_do := remedy(job["reason"]["code"], job["job_id"])):
            out.note(f"→ {what_to_do}", style="italic")
    raise typer.Exit(outcome)


def _sentence(job: Document) -> Text:
    """How a job ended, in one line."""
    line = Text.assemble(clean(job["job_id"]), " is ", status_text(job["status"]))
    if job["duration"] is not None:
        line.append(f" after {seconds(job['duration'])}")
    if why := reason(job["reason"]):
        line.append(f". {why}")
    return line


def _looks(
    connection: Connection, out: Output, any_id: str, interval_seconds: float, timeout_seconds: float | None
) -> Iterator[Document]:
    """The job as it is now, and after every interval, up to its end or the end of the time."""
    began = time.monotonic()
    job_id, reported, is_known = any_id, "", False
    while True:
        found: Document | None = None
        problem = ""
        try:
            found = connection.show(job_id)
            job_id, is_known = found["job"]["job_id"], True
            if not _is_over(found):
                problem = _synced(connection, job_id)
                found = connection.show(job_id)
        except TemporaryError as error:
            expect_function(error, is_known=is_known)
            problem = str(error)
        if problem != reported:
            reported = problem
            if problem:
                out.note(f"{problem}; going on", style="yellow")
        if found is not None:
            yield found
            if _is_over(found):
                return
        if timeout_seconds is not None and time.monotonic() - began + interval_seconds > timeout_seconds:
            if found is None:
                raise FunctionUnavailableError(f"nothing could be learned of {job_id}: {problem}")
            return
        time.sleep(interval_seconds)


def expect_function(error: TemporaryError, *, is_known: bool) -> None:
    """Lets a problem pass that is worth waiting for: not that the address was wrong from the beginning.

    Args:
        error: the problem.
        is_known: whether a function has answered at this address before.
    """
    if isinstance(error, NoFunctionError) and not is_known:
        raise error


def _is_over(found: Document) -> bool:
    """Whether there is nothing to wait for any more; a record that cannot be read will not move."""
    status = found["job"]["status"]
    return status is None or Status(status) in OUTCOMES


def _synced(connection: Connection, job_id: str) -> str:
    """Asks for a pass over one record; returns why there was none, else an empty text."""
    try:
        report = connection.sync_one(job_id)
    except FlinkjobsError as error:
        return f"no synchronisation: {error}"
    wrong = [] if report is None else problems_of(report)
    return wrong[0] if wrong else ""


def _printed(out: Output, looks: Iterator[Document]) -> Iterator[Document]:
    """Prints every change as a line of its own."""
    before = None
    for found in looks:
        job = found["job"]
        now = (job["status"], job["flink_job_id"], reason(job["reason"]))
        if now != before:
            before = now
            out.note(f"{clock(found['now'])} {' '.join(part for part in now if part)}", style="")
        yield found


def _drawn(out: Output, looks: Iterator[Document]) -> Iterator[Document]:
    """Draws the job as it is, with a clock that goes."""
    spinner = Spinner("dots")
    shown: list[Document] = []

    def draw() -> Group:
        lines: list[Spinner | Text] = [spinner]
        spinner.update(text=_moving(shown[-1]["job"]) if shown else "looking")
        if shown and (why := reason(shown[-1]["job"]["reason"])):
            lines.append(Text(f"  {why}", style="yellow"))
        lines.append(Text("  Ctrl-C stops looking; the job goes on.", style="dim"))
        return Group(*lines)

    with Live(
        get_renderable=draw, console=out.console, refresh_per_second=REDRAWS_PER_SECOND, transient=True
    ):
        for found in looks:
            shown.append(found)
            del shown[:-1]
            yield found


def _moving(job: Document) -> Text:
    """A job that is not over, in one line."""
    begin = datetime.fromisoformat(job["start_time"] or job["submitted_at"])
    elapsed = seconds(max(0.0, (datetime.now(UTC) - begin).total_seconds()))
    line = Text.assemble(clean(job["job_id"]), "  ", status_text(job["status"]), f"  {elapsed}")
    if job["flink_job_id"]:
        line.append(f"  {clean(job['flink_job_id'])}", style="dim")
    return line
