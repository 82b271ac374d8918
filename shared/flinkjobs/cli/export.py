"""`export`: writes records as JSON lines, before retention deletes them."""

from __future__ import annotations

import json as json_format
from datetime import UTC, datetime
from typing import Annotated

import typer

from flinkjobs.cli.output import Format
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.cli.times import point_in_time
from flinkjobs.domain.text import counted


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    context: typer.Context,
    before: Annotated[
        str, typer.Option("--before", help="Records submitted before this time, or this long ago: 90d.")
    ],
    json: JsonOption = True,  # noqa: ARG001 - it prints nothing else
) -> None:
    """Write records as JSON lines, whole, as MongoDB's Extended JSON: mongoimport reads them again."""
    from flinkjobs.entrypoints.store_admin import connect_record_export

    session = session_of(context, is_json=True, form=Format.JSON)
    at = datetime.fromisoformat(point_in_time("--before", before))
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    written = 0
    with connect_record_export(session.connection.settings()) as lines:
        for line in lines(at):
            session.out.json_line(json_format.loads(line))
            written += 1
    session.out.note(f"{counted(written, 'record')} submitted before {at:%Y-%m-%d %H:%M} UTC written.")
