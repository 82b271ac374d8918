"""`jobs`, `show`, `logs` and `wait`: list and inspect jobs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.completion import any_ids, template_ids
from flinkjobs.cli.exit_codes import Exit, MisuseError
from flinkjobs.cli.follow import INTERVAL_SECONDS, IntervalOption, TimeoutOption, expect_function, follow
from flinkjobs.cli.formatting import (
    checkpoint,
    clock,
    event,
    health,
    ill,
    latest_state,
    moment,
    reason,
    remedy,
    seconds,
)
from flinkjobs.cli.job_table import LIST, WIDE, job_table
from flinkjobs.cli.output import Format, Output, clean, status_text, table
from flinkjobs.cli.session import FormatOption, JsonOption, session_of
from flinkjobs.cli.times import point_in_time
from flinkjobs.cli.unmanaged import show_unmanaged
from flinkjobs.domain.errors import KubernetesUnavailableError, NotFoundError, TemporaryError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import HealthState
from flinkjobs.jobs.views import JOB_FIELDS

ROWS: Final = 20
WATCH_SECONDS: Final = 2.0
"""Period of --watch: that nothing answers is said within five seconds."""
FOLDED_FROM: Final = 30
"""Columns from which on a reason is folded into several lines; a narrower one is cut."""
LINES_AROUND: Final = 9
"""Lines of a live table that are no rows: counts, title, rules, directions or a problem of three lines."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("jobs")(jobs)
    app.command("show")(show)
    app.command("logs")(logs)
    app.command("wait")(wait)


def jobs(
    context: typer.Context,
    status: Annotated[
        list[Status] | None,
        typer.Option(
            help=f"Only jobs of this status: {', '.join(Status)}; repeatable.", case_sensitive=False
        ),
    ] = None,
    template_id: Annotated[
        str | None, typer.Option(help="Only jobs of this template.", autocompletion=template_ids)
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Only jobs with this in a name, or at the beginning of an id.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only jobs submitted at this time or later: ISO 8601, or how long ago: 30m, 2h, 7d.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only jobs submitted before this time.")
    ] = None,
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--selector",
            "-l",
            metavar="KEY=VALUE",
            help="Only jobs with this label; repeatable, or comma-separated.",
        ),
    ] = None,
    needs_attention: Annotated[
        bool, typer.Option("--needs-attention", help="Only open jobs that are unhealthy.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many jobs at most.")] = ROWS,
    cursor: Annotated[
        str | None,
        typer.Option(help="Where to go on: the next_cursor of the page before, as --json shows it."),
    ] = None,
    unmanaged: Annotated[
        bool,
        typer.Option(
            "--unmanaged", help="List the running Flink jobs that belong to no record instead; see adopt."
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show them again and again, until Ctrl-C.")] = False,
    interval: IntervalOption = WATCH_SECONDS,
    output: FormatOption = Format.TABLE,
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="With --json or -o yaml: only these fields of each job, such as job_id,status.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    session = session_of(context, is_json=json, form=output)
    connection, out = session.connection, session.out
    wanted = _fields(fields, out)
    given = {
        "status": ",".join(status or ()),
        "template_id": template_id,
        "q": search,
        "from": since and point_in_time("--since", since),
        "to": until and point_in_time("--until", until),
        "label": ",".join(selector or ()),
        "health": HealthState.UNHEALTHY.value if needs_attention else None,
        "limit": str(limit),
        "cursor": cursor,
    }
    query = {name: value for name, value in given.items() if value}
    if unmanaged:
        more = {"--watch": watch, "--fields": bool(wanted)}
        show_unmanaged(connection, out, query, others=[option for option, given in more.items() if given])
        return
    if watch:
        _watch(connection, out, query, wanted, interval)
        return
    page = connection.list_jobs(query)
    if out.is_json:
        out.json(_only(page, wanted))
    else:
        _show_page(out, page)


def _fields(given: str | None, out: Output) -> Sequence[str]:
    """The fields of each job that were asked for; none: all of them."""
    names = [name.strip() for name in given.split(",")] if given else []
    if names and not out.is_json:
        raise MisuseError("--fields needs --json or -o yaml")
    for name in names:
        if name not in JOB_FIELDS:
            raise MisuseError(f"--fields: {name!r} is no field of a job; known: {', '.join(JOB_FIELDS)}")
    return names


def _only(page: Document, fields: Sequence[str]) -> Document:
    if not fields:
        return page
    return {**page, "jobs": [{name: job[name] for name in fields} for job in page["jobs"]]}


def _show_page(out: Output, page: Document) -> None:
    if out.form is Format.NAME:
        out.text("\n".join(clean(job["job_id"]) for job in page["jobs"]))
        return
    listed = _table(out, page)
    last = listed.columns[-1]
    if last.header == "Reason" and (last.width or FOLDED_FROM) >= FOLDED_FROM:
        last.no_wrap, last.overflow = False, "fold"  # here is room below
    out.show(listed)
    out.show(_counts(page))
    if page["next_cursor"]:
        out.note(f"There are more: --limit, or --cursor {page['next_cursor']}")


def _table(out: Output, page: Document) -> Table:
    width = out.console.width if out.console.is_terminal else None
    return job_table(page, WIDE if out.form is Format.WIDE else LIST, width=width)


def _counts(page: Document) -> Text:
    """How many jobs of each status the same filters find."""
    counts = Text()
    for status, count in page["counts"].items():
        if count:
            more = "+" if status in page.get("counts_more", ()) else ""
            counts.append_text(status_text(status)).append(f" {count}{more}   ")
    return counts or Text("No jobs.")


def _watch(
    connection: Connection,
    out: Output,
    query: Mapping[str, str],
    fields: Sequence[str],
    interval_seconds: float,
) -> None:
    """Shows the page again and again; what does not answer is said, and asked again."""
    try:
        if out.is_live:
            _draw(connection, out, query, interval_seconds)
        else:
            _repeat(connection, out, query, fields, interval_seconds)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None


def _draw(connection: Connection, out: Output, query: Mapping[str, str], interval_seconds: float) -> None:
    rows = max(1, min(int(query["limit"]), out.console.height - LINES_AROUND))
    page = connection.list_jobs({**query, "limit": str(rows)})
    with Live(_screen(out, page, ""), console=out.console, auto_refresh=False) as live:
        live.refresh()
        while True:
            time.sleep(interval_seconds)
            problem = ""
            try:
                page = connection.list_jobs({**query, "limit": str(rows)})
            except TemporaryError as error:
                problem = clean(error)
            live.update(_screen(out, page, problem), refresh=True)


def _screen(out: Output, page: Document, problem: str) -> Group:
    foot = Text(f"{clock(page['now'])} UTC", style="dim")
    if problem:
        foot.append(f"  no answer since: {problem}", style="red")
    else:
        foot.append("  Ctrl-C ends this.")
    return Group(_counts(page), _table(out, page), foot)


def _repeat(
    connection: Connection,
    out: Output,
    query: Mapping[str, str],
    fields: Sequence[str],
    interval_seconds: float,
) -> None:
    """Prints the page whenever it has changed, and once that nothing answers, and that it does again."""
    before, problem = None, ""
    while True:
        try:
            page = connection.list_jobs(query)
        except TemporaryError as error:
            expect_function(error, is_known=before is not None)
            if problem != str(error):
                problem = str(error)
                out.note(f"{problem.rstrip('.')}; going on")
        else:
            if problem:
                problem = ""
                out.note(f"{moment(page['now'])} UTC: it answers again")
            now = (page["jobs"], page["counts"])
            if now != before:
                before = now
                if out.is_json:
                    out.json_line(_only(page, fields))
                else:
                    out.line(f"{moment(page['now'])} UTC")
                    _show_page(out, page)
        time.sleep(interval_seconds)


AnyId = Annotated[
    str,
    typer.Argument(metavar="ID", help="job_id, Kubernetes Job name or Flink Job ID.", autocompletion=any_ids),
]


def show(
    context: typer.Context, any_id: AnyId, output: FormatOption = Format.TABLE, json: JsonOption = False
) -> None:
    """Show one job: what happened so far, why it does not move or how it ended, and the end of its log."""
    session = session_of(context, is_json=json, form=output)
    out = session.out
    found = session.connection.show(any_id)
    if out.is_json:
        out.json(found)
    elif out.form is Format.NAME:
        out.line(found["job"]["job_id"])
    else:
        _show_job(out, found)


def _show_job(out: Output, found: Document) -> None:
    job = found["job"]
    cause = job["reason"] or ill(job)
    facts = [
        ("Job", job["job_id"]),
        ("Status", status_text(job["status"])),
        ("Flink says", job["flink_state"]),
        ("Reason", f"unreadable: {job['unreadable']}" if job.get("unreadable") else reason(job["reason"])),
        ("Health", health(job)),
        ("What to do", remedy(cause["code"], job["job_id"]) if cause else None),
        ("Checkpoint", checkpoint(job)),
        ("Latest state", latest_state(job)),
        ("Ended by", job.get("ended_by")),  # an older jobs function does not say
        ("Run", f"{job['attempt']} of {job['run_of']}" if job.get("run_of") else None),
        ("Flink Job ID", ", ".join(job["flink_job_ids"] or ()) or None),
        ("Kubernetes Job", job["k8s_job_name"]),
        ("Template, name", f"{job['template_id']}, {job['job_name']}"),
        ("Cluster", job["cluster"]),
        ("Labels", ", ".join(f"{key}={value}" for key, value in (job.get("labels") or {}).items()) or None),
        ("Submitted", moment(job["submitted_at"])),
        ("Started", moment(job["start_time"])),
        ("Ended", moment(job["end_time"])),
        ("Duration", seconds(job["duration"])),
    ]
    out.show(_facts(facts))
    links = [ref["ui_url"] for ref in found["flink_jobs"] if ref["ui_url"]]
    for link in links:
        out.line(f"In Flink: {link}")
    for twin in found.get("twins", ()):  # an older jobs function names none
        out.line(f"A job of the same name runs without a record: {twin['flink_job_id']}", style="yellow")
    timeline = [(moment(entry["at"]), event(entry)) for entry in found["timeline"]]
    out.show(table(("When (UTC)", "What"), timeline))
    _show_kubernetes(out, found["kubernetes"])
    tail, unread = found["log_tail"], _why_unread(found)
    if unread is not None:
        out.line(f"Its log could not be read: {unread}", style="yellow")
    elif tail is None:
        out.line(f"No log: {_why_no_log(found)}.")
    else:
        out.line("The end of its log:", style="bold")
        out.text(tail["text"])
    if found.get("log_url"):  # an older jobs function names none
        out.line(f"In the log store: {found['log_url']}")


def _why_unread(found: Document) -> str | None:
    """Why a job's log cannot be read; None where it was read, or is known to be gone."""
    tail: Document | None = found["log_tail"]
    error: str | None = found["kubernetes"]["error"] if tail is None else tail["error"]
    return error


def _why_no_log(found: Document) -> str:
    """Why there is no log of a job, by what Kubernetes has said of it."""
    kubernetes = found["kubernetes"]
    if kubernetes["job_name"] is None:
        return "the record names no Kubernetes Job"
    if kubernetes["pods"]:
        pod = kubernetes["pods"][-1]
        return f"pod {pod['name']} is {pod['phase']}, and has printed nothing"
    if kubernetes["found"]:
        return "its Kubernetes Job has no pod, and the record holds no log"
    return "its pod no longer exists, and the record holds no log"


def _facts(facts: list[tuple[str, str | Text | None]]) -> Table:
    drawn = table(("", ""), facts)
    drawn.show_header = False
    return drawn


def _show_kubernetes(out: Output, kubernetes: Document) -> None:
    if kubernetes["error"]:
        out.line(f"Kubernetes could not be asked: {kubernetes['error']}", style="yellow")
    elif kubernetes["found"] is False:
        out.line("Its Kubernetes Job does not exist any more.")
    for command in kubernetes["kubectl"]:
        out.line(command, style="dim", indent=2)


def logs(context: typer.Context, any_id: AnyId, json: JsonOption = False) -> None:
    """Print the end of a job's log: what its submitter printed."""
    session = session_of(context, is_json=json)
    out = session.out
    found = session.connection.show(any_id)
    tail, kubernetes, job_id = found["log_tail"], found["kubernetes"], found["job"]["job_id"]
    if (unread := _why_unread(found)) is not None:
        raise KubernetesUnavailableError(f"the log of {job_id} cannot be read: {unread}")
    if tail is None:
        raise NotFoundError(
            f"{job_id} has no log: {_why_no_log(found)}; see flinkjobs show {shlex.quote(job_id)}"
        )
    if out.is_json:
        out.json(tail)
        return
    out.text(tail["text"])
    if tail["truncated"]:
        more = next((line for line in kubernetes["kubectl"] if " logs " in line), None)
        out.note(f"This is the end of the log only{'; all of it: ' + more if more else ''}")


def wait(
    context: typer.Context,
    any_id: AnyId,
    interval: IntervalOption = INTERVAL_SECONDS,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Follow a job to its end, and exit by its outcome."""
    session = session_of(context, is_json=json)
    follow(session.connection, session.out, any_id, interval_seconds=interval, timeout_seconds=timeout)
