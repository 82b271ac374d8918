"""`indexes`: creates indexes, and converts dates of the old platform."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from flinkjobs.cli.exit_codes import Exit
from flinkjobs.cli.output import Output, table
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.errors import StoreRefusedError
from flinkjobs.domain.text import counted
from flinkjobs.ports.store_admin import StoreAdmin, UnreadableDate

UNREADABLE_SHOWN: Final = 100
"""Maximum number of unreadable values that are listed; the count is always of all."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("indexes")(indexes)


def indexes(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Create missing indexes, and convert the old platform's text dates. Repeating it is harmless."""
    from flinkjobs.entrypoints.store_admin import connect_store_admin

    session = session_of(context, is_json=json)
    out = session.out
    with connect_store_admin(session.connection.settings()) as admin:
        created, refused = _create(admin, dry_run=dry_run)
        report = {"dry_run": dry_run, "created": created, **_convert(out, admin, dry_run=dry_run)}
    if out.is_json:
        out.json(report)
    else:
        _show(out, report)
    if refused is not None:
        raise refused
    raise typer.Exit(Exit.FAILED if report["unreadable_count"] else Exit.OK)


def _create(admin: StoreAdmin, *, dry_run: bool) -> tuple[list[str], StoreRefusedError | None]:
    """Creates the missing indexes: which these were, and why one could not be created."""
    missing = admin.missing_indexes()
    if dry_run or not missing:
        return list(missing), None
    try:
        admin.ensure_indexes()
    except StoreRefusedError as error:
        still_missing = admin.missing_indexes()
        return [name for name in missing if name not in still_missing], error
    return list(missing), None


def _convert(out: Output, admin: StoreAdmin, *, dry_run: bool) -> dict[str, Any]:
    records = converted = values = conflicts = 0
    unreadable: list[UnreadableDate] = []
    unreadable_count = 0
    with out.progress("converting dates") as bar:
        task = bar.add_task("", total=admin.count_text_dates())
        for batch in admin.convert_dates(dry_run=dry_run):
            records += batch.records
            converted += batch.converted
            values += batch.values
            conflicts += batch.conflicts
            unreadable_count += len(batch.unreadable)
            unreadable += batch.unreadable[: UNREADABLE_SHOWN - len(unreadable)]
            bar.update(task, completed=records)
    return {
        "records": records,
        "converted": converted,
        "values": values,
        "conflicts": conflicts,
        "unreadable_count": unreadable_count,
        "unreadable": [
            {"job_id": found.job_id, "field": found.field, "text": found.text} for found in unreadable
        ],
    }


def _show(out: Output, report: dict[str, Any]) -> None:
    is_dry = report["dry_run"]
    for name in report["created"]:
        out.line(f"index {name}: {'would be created' if is_dry else 'created'}")
    if not report["created"]:
        out.line("No index is missing.")
    verb = "would be converted" if is_dry else "converted"
    out.line(f"{report['converted']} of {counted(report['records'], 'record')} with dates as text {verb}.")
    if report["conflicts"]:
        message = f"{counted(report['conflicts'], 'record')} changed by another writer; run it again."
        out.line(message, style="yellow")
    if report["unreadable_count"]:
        message = f"{counted(report['unreadable_count'], 'value')} left as found, being no date:"
        out.line(message, style="red")
        rows = [(found["job_id"], found["field"], found["text"]) for found in report["unreadable"]]
        out.show(table(("Job", "Field", "Value"), rows))
