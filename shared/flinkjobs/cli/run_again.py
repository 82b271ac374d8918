"""`run-again`: submits jobs that are over once more, from where they were."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flinkjobs.cli.actions import Ids, RequestedBy, Timeout, Yes, each_of, show_selected, wait_while
from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.exit_codes import Exit, MisuseError, exit_for
from flinkjobs.cli.output import Output, clean
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.cli.submit import AFTER_DASHES, WithArguments, key_and_value, script_of, send
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.flink_states import FINAL, Status

_STARTING: Final = (Status.CREATED, Status.SUSPENDED)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run-again", cls=WithArguments)(run_again)


def run_again(
    context: typer.Context,
    any_ids: Ids = None,
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--selector",
            "-l",
            metavar="KEY=VALUE",
            help="The newest run of each job that is over and has this label, instead of ids.",
        ),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", help="latest, nothing, or the path of a savepoint or checkpoint.")
    ] = "latest",
    arg: Annotated[
        list[str] | None,
        typer.Option(help="An argument of the script, instead of the first run's; repeatable, or after --."),
    ] = None,
    parallelism: Annotated[int | None, typer.Option(help="Instead of the first run's.")] = None,
    conf: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of Flink's, instead of all of the first run's."),
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="A Python script of this machine, instead of the first run's.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="Likewise, a script in the image.")] = None,
    url: Annotated[str | None, typer.Option(help="Likewise, a script on an allowed host.")] = None,
    parallel: Annotated[
        bool, typer.Option("--parallel", help="Also while a run of the job is not over.")
    ] = False,
    yes: Yes = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until each new job runs, or is over.")] = False,
    timeout: Timeout = None,
    requested_by: RequestedBy = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="Repeating the command with the same key runs nothing twice. Generated if left out."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run jobs that are over once more, from where they were."""
    session = session_of(context, is_json=json)
    connection, out = session.connection, session.out
    if bool(any_ids) == bool(selector):
        raise MisuseError("give the ids of jobs, or --selector")
    fields: dict[str, Any] = {
        "from": from_,
        "args": [*(arg or ()), *context.meta.get(AFTER_DASHES, ())] or None,
        "parallelism": parallelism,
        "flink_conf": dict(key_and_value("--conf", given) for given in conf or ()) or None,
        "script": script_of(script, path, url),
        "parallel": parallel or None,
        "requested_by": requested_by,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    ids = list(dict.fromkeys(any_ids or _selected(connection, selector or [])))
    if selector and not yes:
        show_selected(out, "run again", ids)
        return
    if wait:
        connection.expect("jobs")
    base = idempotency_key or str(uuid.uuid4())
    runs, errors = each_of(out, ids, lambda any_id: _send(connection, out, any_id, body, base))
    if wait:
        ends = None if timeout is None else time.monotonic() + timeout
        runs = [_waited(connection, out, run, ends) for run in runs]
    if out.is_json:
        out.json({"runs": runs})
    else:
        for run in runs:
            out.line(_sentence(run, is_waiting=wait))
    _exit(runs, errors, is_waiting=wait)


def _selected(connection: Connection, selector: list[str]) -> list[str]:
    """The newest run of each job with this label of which no run may still run."""
    query = {"label": ",".join(selector), "fields": "job_id,status,run_of,attempt"}
    families: dict[str, list[Document]] = {}
    for job in connection.every_job(query):
        families.setdefault(job["run_of"] or job["job_id"], []).append(job)
    return [
        max(runs, key=lambda job: job["attempt"] or 1)["job_id"]
        for runs in families.values()
        if all(job["status"] in FINAL for job in runs)
    ]


def _send(connection: Connection, out: Output, any_id: str, body: Document, base: str) -> Document:
    """Each job has a key of its own, which follows from the command's."""
    key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{base}\n{any_id}"))
    return send(lambda: connection.act(any_id, "run-again", body, key=key), out, base)


def _waited(connection: Connection, out: Output, run: Document, ends: float | None) -> Document:
    """The run once its job runs or is over, or when the time is up."""

    def look(before: Document) -> Document:
        connection.sync_one(before["job_id"])
        return {**before, "status": connection.show(before["job_id"])["job"]["status"]}

    return wait_while(lambda latest: latest["status"] in _STARTING, look, run, out, ends)


def _sentence(run: Document, *, is_waiting: bool) -> str:
    begins = f"from {run['savepoint_path']}" if run["savepoint_path"] else "from the beginning"
    line = f"{run['job_id']}: run {run['attempt']} of {run['run_of']}, {begins}"
    return clean(f"{line}, is {run['status']}" if is_waiting else line)


def _exit(runs: list[Document], errors: list[FlinkjobsError], *, is_waiting: bool) -> None:
    """Exits by the worst outcome."""
    states = {run["status"] for run in runs}
    if errors:
        raise typer.Exit(exit_for(errors[0]))
    if is_waiting and not states <= {*_STARTING, Status.RUNNING, Status.FINISHED}:
        raise typer.Exit(Exit.FAILED)
    if is_waiting and states & {*_STARTING}:
        raise typer.Exit(Exit.STILL_RUNNING)
