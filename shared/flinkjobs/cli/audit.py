"""`audit`: exports who did what."""

from __future__ import annotations

from typing import Annotated

import typer

from flinkjobs.cli.session import session_of
from flinkjobs.cli.times import point_in_time


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("audit")(audit)


def audit(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only what was done at this time or later: ISO 8601, or how long ago: 30m, 2h, 7d.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines, as without it.")] = False,  # noqa: ARG001
) -> None:
    """Export who submitted jobs, who acted on them and what became of it, as JSON lines.

    By job, the newest submission first; of each job the oldest entry first. A user is verified where the
    sign-in proxy before the page named them; else a request said so.
    """
    session = session_of(context, is_json=True)
    given = {"from": since and point_in_time("--since", since), "user": user}
    query = {name: value for name, value in given.items() if value}
    for entry in session.connection.audit(query):
        session.out.json_line(entry)
