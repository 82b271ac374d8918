"""`stats`: the sums of days, which the statistics are read from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from flinkjobs.cli.exit_codes import Exit
from flinkjobs.cli.output import Output
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.text import counted
from flinkjobs.ports.stats_store import StatsStore

stats = typer.Typer(no_args_is_help=True, help="The sums of days, which the statistics are read from.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(stats, name="stats")


@stats.command("rebuild")
def rebuild(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say which days would be summed.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; compare the sums with the records.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Sum every day again whose records exist. Cleanup does it daily for the days that have changed."""
    from flinkjobs.entrypoints.store_admin import connect_stats

    session = session_of(context, is_json=json)
    out = session.out
    with connect_stats(session.connection.settings()) as store:
        report = _rebuild(out, store, datetime.now(UTC), dry_run=dry_run, check=check)
    if out.is_json:
        out.json(report)
    else:
        _show(out, report)
    raise typer.Exit(Exit.FAILED if report["different"] or report["conflicts"] else Exit.OK)


def _rebuild(out: Output, store: StatsStore, now: datetime, *, dry_run: bool, check: bool) -> dict[str, Any]:
    from flinkjobs.cleanup.day_sums import lost_before
    from flinkjobs.domain.job_sums import SUMMED_AFTER

    days = store.changed_days(now - SUMMED_AFTER, every=not dry_run)
    conflicts, different = list[datetime](), list[datetime]()
    with out.progress("comparing days" if check else "summing days") as bar:
        for day in () if dry_run and not check else bar.track(days):
            if check:
                different += [day] if store.differences(day, lost_before=lost_before(now)) else []
            elif not store.sum_day(day, lost_before=lost_before(now)):
                conflicts.append(day)
    if not (dry_run or check):
        store.roll_up(now)
    return {
        "dry_run": dry_run,
        "check": check,
        "days": len(days),
        "different": [f"{day:%Y-%m-%d}" for day in different],
        "conflicts": [f"{day:%Y-%m-%d}" for day in conflicts],
    }


def _show(out: Output, report: dict[str, Any]) -> None:
    verb = "would be summed" if report["dry_run"] else "compared" if report["check"] else "summed"
    out.line(f"{counted(report['days'], 'day')} {verb}.")
    if report["different"]:
        out.line(f"Not as their records: {', '.join(report['different'])}", style="red")
    if report["conflicts"]:
        out.line(f"Changed during the run, run it again: {', '.join(report['conflicts'])}", style="yellow")
