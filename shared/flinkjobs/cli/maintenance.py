"""`sync`, `cleanup` and `metrics`: run a function's work from the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from flinkjobs import log
from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.completion import any_ids
from flinkjobs.cli.exit_codes import Exit, MisuseError
from flinkjobs.cli.formatting import problem, seconds
from flinkjobs.cli.output import Output, status_text, table
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.text import counted
from flinkjobs.settings.functions import REQUIRED, Settings

RATES: Final = {
    "Failed, of all": "failure_rate_percent",
    "Failed in Flink, of those over": "flink_failure_rate_percent",
}
DURATIONS: Final = {
    "FINISHED took on average": "average",
    "at least": "min",
    "at most": "max",
    "p50": "p50",
    "p95": "p95",
}
"""Rows below the statuses: title and name in the JSON."""

JOB_MOVED: Final = "job.moved"
"""The event that sync logs for every record whose status has changed."""

_FLINK_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_K8S_JOB_NAME: Final = re.compile(r"flink-py-.*-[0-9a-f]{8}")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("sync")(sync)
    app.command("cleanup")(cleanup)
    app.command("metrics")(metrics)


def sync(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID...", help="Only these jobs, by any of their three ids.", autocompletion=any_ids
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Repeat passes from here, every SYNC_FOLLOW_SECONDS (5), until Ctrl-C; a line per change.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run one synchronisation pass now, over all open records or over those given."""
    session = session_of(context, is_json=json)
    connection, out = session.connection, session.out
    if follow:
        if ids:
            raise MisuseError("--follow synchronises all open records: leave the ids away")
        _follow(connection.settings(*REQUIRED["sync"]), out)
        return
    job_ids = [job_id_of(connection, given) for given in ids] if ids else None
    report = _pass_over(connection, job_ids)
    if job_ids is not None and report["scanned"] < len(set(job_ids)):
        _expect_known(connection, job_ids)
    if out.is_json:
        out.json(report)
    else:
        _show_pass(out, report, job_ids)
    is_good = report["complete"] and not problems_of(report)
    raise typer.Exit(Exit.OK if is_good else Exit.FAILED)


def _follow(settings: Settings, out: Output) -> None:
    """Repeats passes; on a terminal prints the changes, else the log of the function sync."""
    from flinkjobs.entrypoints.follow import follow_until_stopped

    if out.console.is_terminal and not out.is_json:
        for handler in log.LOGGER.handlers:
            handler.setLevel(logging.WARNING)
        log.LOGGER.addHandler(_Changes(out))
        log.LOGGER.setLevel(logging.INFO)
    else:
        log.LOGGER.handlers = []
        log.configure(settings.log_level)
    follow_until_stopped(settings)


class _Changes(logging.Handler):
    """Prints a line for every record whose status has changed."""

    def __init__(self, out: Output) -> None:
        super().__init__(logging.INFO)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() != JOB_MOVED:
            return
        for moved in log.fields_of(record):
            now = f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S}"
            parts = (now, moved["job_id"], moved["status"], moved["flink_job_id"], moved["reason"])
            self._out.line(" ".join(str(part) for part in parts if part))


def _expect_known(connection: Connection, job_ids: Sequence[str]) -> None:
    """Distinguishes a job that is over, which a pass does not read, from an id that no job has.

    Raises:
        JobNotFoundError: there is no such job.
    """
    for job_id in job_ids:
        try:
            connection.show(job_id)
        except SettingsError:
            return  # only sync can be reached from here: its note says both


def _pass_over(connection: Connection, job_ids: list[str] | None) -> Document:
    """The report of a pass. For one job, the page's own way helps where sync is closed to us."""
    only = connection.sync_one(job_ids[0]) if job_ids is not None and len(job_ids) == 1 else None
    return connection.sync(job_ids) if only is None else only


def problems_of(report: Document) -> list[str]:
    """Errors of a pass, one line each, and the clusters that did not answer."""
    away = [
        f"Flink cluster {name} did not answer: {seen['error']}"
        for name, seen in report["clusters"].items()
        if not seen["reachable"]
    ]
    return [*away, *(f"{error['code']}: {error['message']}" for error in report["errors"])]


def job_id_of(connection: Connection, any_id: str) -> str:
    """The `job_id` of a job that is named by any of its ids.

    Raises:
        NotFoundError: there is no such job.
    """
    if _FLINK_JOB_ID.fullmatch(any_id) or _K8S_JOB_NAME.fullmatch(any_id):
        return str(connection.show(any_id)["job"]["job_id"])
    return any_id


def _show_pass(out: Output, report: Document, job_ids: list[str] | None) -> None:
    if report["skipped"]:
        out.line("Skipped: another pass is under way.")
        return
    changed = ", ".join(f"{count} became {status}" for status, count in report["changed"].items())
    out.line(
        f"Looked at {counted(report['scanned'], 'record')} in {seconds(report['duration_seconds'])}: "
        f"{changed or 'nothing changed'}, {report['unchanged']} unchanged, "
        f"{counted(report['resolved'], 'Flink Job ID')} found, {report['unresolved']} still without one."
    )
    if job_ids is not None and report["scanned"] < len(set(job_ids)):
        out.note("Some of these were skipped: they are over, or there is no such record.")
    if report["conflicts"]:
        conflicts = counted(report["conflicts"], "record")
        out.line(f"{conflicts} written by another pass at the same time, and left alone.")
    if not report["complete"]:
        out.line("The time did not suffice for all of them: the next pass goes on.", style="yellow")
    _show_errors(out, report["errors"])
    rows = [
        (name, "yes" if seen["reachable"] else "NO", seen["jobs"], seen["error"])
        for name, seen in report["clusters"].items()
    ]
    if rows:
        out.show(table(("Flink cluster", "Reachable", "Jobs", "Error"), rows))


def _show_errors(out: Output, errors: list[dict[str, Any]]) -> None:
    if errors:
        rows = [(error["job_id"], error["code"], error["message"]) for error in errors]
        out.show(table(("Job", "Error", "Message"), rows))


def cleanup(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing; say what would be deleted.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Delete the finished Kubernetes Jobs that are no longer needed, as the daily schedule does."""
    session = session_of(context, is_json=json)
    out = session.out
    report = session.connection.cleanup(dry_run=dry_run)
    if out.is_json:
        out.json(report)
    else:
        _show_cleanup(out, report)
    raise typer.Exit(Exit.FAILED if report["errors"] or report["skipped"] else Exit.OK)


def _show_cleanup(out: Output, report: Document) -> None:
    if report["skipped"]:
        out.line("Skipped: another cleanup is under way.")
        return
    verb = "would be deleted" if report["dry_run"] else "deleted"
    out.line(f"{report['deleted']} of {counted(report['scanned'], 'Kubernetes Job')} {verb}.")
    for name in report["names"]:
        out.line(name, indent=2)
    if report["deleted"] > len(report["names"]):
        out.line(f"and {report['deleted'] - len(report['names'])} more", indent=2)
    if report["kept"]:
        out.show(table(("Kept because", "Jobs"), list(report["kept"].items())))
    if records := report.get("records"):  # an older cleanup function deletes none
        out.line(f"{counted(records['deleted'], 'record')} submitted before {records['before'][:10]} {verb}.")
    if not report["complete"] and not report["dry_run"]:
        out.note("More is to be deleted: the next run goes on.")
    _show_errors(out, report["errors"])


def metrics(context: typer.Context, json: JsonOption = False) -> None:
    """Show the statistics: how many jobs in which status, how long they took, how many failed."""
    session = session_of(context, is_json=json)
    out = session.out
    statistics = session.connection.metrics()
    if out.is_json:
        out.json(statistics)
        return
    windows = statistics["windows"]
    rows: list[tuple[str | Text | None, ...]] = [
        (status_text(status.value), *(found["by_status"].get(status.value, 0) for found in windows.values()))
        for status in Status
    ]
    rows += [(title, *(_percent(found[key]) for found in windows.values())) for title, key in RATES.items()]
    rows += [
        (title, *(seconds(found["durations"][key]) for found in windows.values()))
        for title, key in DURATIONS.items()
    ]
    out.show(table(("Jobs submitted within", *windows), rows))
    _show_freshness(out, statistics)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} %"


def _show_freshness(out: Output, statistics: Document) -> None:
    sync, cleaned = statistics["sync"], statistics["cleanup"]
    if sync["last_complete_at"] is None:
        out.line("No complete synchronisation yet.", style="red")
    else:
        age = f"Last complete synchronisation {seconds(sync['age_seconds'])} ago"
        out.line(f"{age}{': too long' if sync['stale'] else ''}.", style="red" if sync["stale"] else "")
    if cleaned["last_at"] is None:
        out.line("No cleanup yet.")
    else:
        out.line(f"Last cleanup {seconds(cleaned['age_seconds'])} ago.")
    for found in statistics["problems"]:
        out.line(problem(found), style="yellow")
