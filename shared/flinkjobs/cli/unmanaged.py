"""`jobs --unmanaged` and `adopt`: the running Flink jobs that belong to no record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from flinkjobs.cli.client import Connection, Document
from flinkjobs.cli.completion import template_ids
from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.cli.formatting import moment
from flinkjobs.cli.output import Format, Output, table
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.text import counted

_FILTERS: Final = {
    "status": "--status",
    "template_id": "--template-id",
    "from": "--since",
    "to": "--until",
    "label": "--selector",
}
"""The filters of records that these jobs have no field for, and their options."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("adopt")(adopt)


def show_unmanaged(
    connection: Connection, out: Output, query: Mapping[str, str], *, others: Sequence[str]
) -> None:
    """Shows one page of the list.

    Args:
        connection: the system.
        out: where to.
        query: as of the list of records; those of its filters that do not apply are refused.
        others: further options that were given and do not apply.

    Raises:
        MisuseError: an option does not apply.
    """
    unusable = [*(option for name, option in _FILTERS.items() if name in query), *others]
    if unusable:
        raise MisuseError(f"{unusable[0]} cannot be combined with --unmanaged")
    page = connection.list_unmanaged(query)
    if out.is_json:
        out.json(page)
    elif out.form is Format.NAME:
        out.text("\n".join(job["flink_job_id"] for job in page["flink_jobs"]))
    else:
        _show_page(out, page)


def _show_page(out: Output, page: Document) -> None:
    rows = [
        (
            moment(job["start_time"]),
            job["flink_job_id"],
            job["cluster"],
            job["state"],
            job["name"],
            ", ".join(job["twin_of"]) or None,
        )
        for job in page["flink_jobs"]
    ]
    if rows:
        out.show(table(("Started (UTC)", "Flink Job ID", "Cluster", "State", "Name", "Twin of"), rows))
    for name, seen in page["clusters"].items():
        jobs = counted(seen["unmanaged"], "running job")
        out.line(f"Flink cluster {name}: {jobs} without a record, as of {moment(seen['seen_at'])} UTC.")
    if not page["clusters"]:
        out.line("No pass has looked for such jobs yet: flinkjobs sync")
    if page["next_cursor"]:
        out.note(f"There are more: --limit, or --cursor {page['next_cursor']}")


def adopt(
    context: typer.Context,
    flink_job_id: Annotated[
        str, typer.Argument(metavar="FLINK_JOB_ID", help="A running Flink job that belongs to no record.")
    ],
    template_id: Annotated[str, typer.Option(help="What kind of job this is.", autocompletion=template_ids)],
    job_id: Annotated[
        str | None, typer.Option(help="The id of its record; of its template and start when left out.")
    ] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Who adopts it.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a record for a running Flink job that was started without one; it is followed from then on.

    Repeating the command is safe: it answers with the same record.
    """
    session = session_of(context, is_json=json)
    fields = {
        "flink_job_id": flink_job_id,
        "template_id": template_id,
        "job_id": job_id,
        "submitted_by": submitted_by,
    }
    out = session.out
    record = session.connection.adopt({name: value for name, value in fields.items() if value is not None})
    if out.is_json:
        out.json(record)
    else:
        out.line(f"Flink job {record['flink_job_id']} is followed as {record['job_id']}.")
