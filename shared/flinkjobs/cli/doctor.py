"""`doctor`: checks every part; shows what failed, the cause first, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from flinkjobs.cli.exit_codes import Exit
from flinkjobs.cli.output import Output, clean
from flinkjobs.cli.session import JsonOption, Session, session_of
from flinkjobs.doctor.checks import judge
from flinkjobs.doctor.facts import OnlyFunctions, Refused
from flinkjobs.doctor.findings import Finding, Verdict, first_failing, is_healthy
from flinkjobs.doctor.probes import AllSettings, run_probes
from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.permissions import Function
from flinkjobs.domain.text import counted
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.settings.functions import Settings, has_function_settings

STYLES: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.UNKNOWN: "bold magenta",
    Verdict.SKIPPED: "dim",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    function: Annotated[
        Function | None,
        typer.Option(
            metavar="NAME",
            help="Check the rights and settings of this function only: submit, sync, cleanup or jobs. "
            "Without it, an identity in Kubernetes named flinkjobs-NAME is checked as NAME, every other as "
            "all four.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take a warning for a failure: exit with 1.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check every part of the system, and name the cause of what is wrong in the first line that fails.

    It checks each part itself, with the settings and the rights of the functions. Where JOBS_URL is set and
    none of these settings is, it asks through the functions. Exits with 0 when nothing fails, and with 1
    otherwise. What only warns, such as a script that raised, does not fail.
    """
    from flinkjobs.entrypoints.doctor import doctor_probes

    session = session_of(context, is_json=json)
    out = session.out
    status = out.errors.status("asking every part of the system") if out.is_live else nullcontext()
    with status, doctor_probes() as probes:
        facts = run_probes(lambda: _settings(session), probes, utc_now, function=function)
    findings = judge(facts)
    healthy = is_healthy(findings, strict=strict)
    if out.is_json:
        shown = [asdict(finding) for finding in findings]
        out.json({"healthy": healthy, "checked_at": facts.now, "findings": shown})
    else:
        show(out, findings)
    raise typer.Exit(Exit.OK if healthy else Exit.FAILED)


def _settings(session: Session) -> AllSettings:
    connection = session.connection
    is_scheduled = bool(session.environ.get("SCHEDULER_PARENT", "").strip())
    functions: Settings | Refused | OnlyFunctions
    try:
        functions = connection.settings()
    except SettingsError as error:
        functions = Refused(str(error))
        if connection.url_of("jobs") and not has_function_settings(session.environ):
            functions = OnlyFunctions()
    return AllSettings(
        functions=functions,
        client=connection.client,
        schedules=connection.schedule_settings if is_scheduled else None,
    )


def show(out: Output, findings: Sequence[Finding]) -> None:
    """Prints every finding, and last the one to begin with."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for finding in findings:
        evidence = Text(clean(finding.evidence), style="dim" if finding.verdict is Verdict.SKIPPED else "")
        if finding.code:
            code = Text(f"{finding.code}: ", style=STYLES[finding.verdict])
            evidence = Text().append_text(code).append_text(evidence)
        drawn.add_row(Text(finding.verdict, style=STYLES[finding.verdict]), Text(finding.check), evidence)
        if finding.next_step:
            drawn.add_row("", "", Text(f"→ {clean(finding.next_step)}", style="italic"))
    out.show(drawn)
    first = first_failing(findings)
    warnings = sum(finding.verdict is Verdict.WARN for finding in findings)
    if first is None and warnings:
        out.line(f"No failure, {counted(warnings, 'warning')}.", style="yellow")
        return
    if first is None:
        out.line("All is well.", style="green")
        return
    bad = sum(finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN) for finding in findings)
    more = "" if bad == 1 else f" ({bad - 1} more may follow from it)"
    out.line(f"Begin with {first.check}: {first.code}{more}.", style="bold red")
