"""`make demo`: four PyFlink jobs from submission to final status, on the real stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from cloudevents.conversion import to_json
from pymongo import MongoClient
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from doubles.processes import ProcessError
from flinkjobs.cli.output import STATUS_STYLES
from local.flink import FlinkError
from local.functions import ROOT
from local.mongodb import MongoError
from local.stack import DATABASE, Interrupted, Stack, interruptible
from local.user_settings import SettingsMissingError

SPEED = 36.0
"""How many times faster the schedules of the demo run."""
FOLLOW_SECONDS = 2
"""Seconds between two passes: sync follows."""
RETENTION_SECONDS = 8
OUTCOME_SECONDS = 240.0
EVENTS_SECONDS = 60.0
REFRESH_SECONDS = 0.5
REQUEST_SECONDS = 60.0
LOG_WIDTH = 100
"""Columns where the output goes to a file."""


@dataclass(frozen=True, slots=True)
class Example:
    """One job of the demo, and how it has to end."""

    title: str
    request: Mapping[str, Any]
    outcome: str
    reason_code: str | None = None


def inline(name: str) -> dict[str, str]:
    """A script of `examples/`, sent along."""
    return {"inline": (ROOT / "examples" / name).read_text(encoding="utf-8")}


EXAMPLES = (
    Example(
        "PyFlink's own word count",
        {"template_id": "word_count", "script": {"path": "/opt/flink/examples/datastream/word_count.py"}},
        "FINISHED",
    ),
    Example(
        "a streaming SQL job, which has no end",
        {"template_id": "streaming_sql", "script": inline("streaming_sql.py")},
        "RUNNING",
    ),
    Example(
        "a job that fails in Flink",
        {"template_id": "fails_at_run_time", "script": inline("fails_at_run_time.py")},
        "FAILED",
        "JOB_FAILED",
    ),
    Example(
        "a script that raises before submitting",
        {"template_id": "raises_before_submitting", "script": inline("raises_before_submitting.py")},
        "FAILED",
        "SUBMIT_FAILED",
    ),
)


def main() -> int:
    """Runs the demo. Returns 0 if every job reached its expected status, 1 if not, 128 + n after signal n."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    try:
        with interruptible():
            return play(console)
    except Interrupted as interrupted:
        console.print(f"\n{interrupted}: everything the demo started was stopped.")
        return interrupted.exit_code
    except (ProcessError, FlinkError, MongoError, SettingsMissingError) as error:
        console.print(f"[bold red]The stack did not start.[/] {error}")
        return 1


def play(console: Console) -> int:
    """Starts the stack, runs the examples and stops the stack."""
    began = time.monotonic()
    settings = {
        "CLEANUP_RETENTION_HOURS": f"{RETENTION_SECONDS / 3600:.6f}",
        "SYNC_FOLLOW_SECONDS": str(FOLLOW_SECONDS),
    }

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {line}")

    console.rule("Starting the stack")
    with Stack(speed=SPEED, settings=settings, say=say) as stack:
        sync, cleanup = stack.create_schedules()
        say(
            f"schedules      sync [b]{sync.cron}[/], following every {FOLLOW_SECONDS} s, cleanup "
            f"[b]{cleanup.cron}[/]; their clock runs {SPEED:.0f} times faster"
        )
        console.rule("Submitting four jobs to the submit function")
        job_ids = [submit(console, stack, example) for example in EXAMPLES]
        console.print(f"     the page that shows them: [b]{stack.functions['jobs'].url}[/]")
        console.rule("Following them")
        is_over = follow(console, stack, job_ids)
        if is_over:
            is_over = show_events(console, stack, job_ids)
            show_cleanup(console, stack)
            show_further(console)
    console.print(f"[dim]Stopped everything. The demo took {time.monotonic() - began:.0f} s.[/]")
    return 0 if is_over else 1


def submit(console: Console, stack: Stack, example: Example) -> str:
    """Submits one example as a frontend would; returns its job id."""
    answer = httpx.post(
        f"{stack.functions['submit'].url}/",
        json=dict(example.request),
        timeout=REQUEST_SECONDS,
        trust_env=False,
    )
    if answer.status_code != httpx.codes.ACCEPTED:
        raise ProcessError(f"submit answered {answer.status_code}: {answer.text}")
    accepted = answer.json()
    console.print(f"202  {example.title}: Kubernetes Job [b]{accepted['k8s_job_name']}[/]")
    return str(accepted["job_id"])


def follow(console: Console, stack: Stack, job_ids: list[str]) -> bool:
    """Shows the records and the passes until every example has come to its end."""
    client: MongoClient[dict[str, Any]] = MongoClient(stack.mongodb_uri, tz_aware=True)
    database = client[stack.function_settings.get("MONGODB_DATABASE", DATABASE)]
    deadline = time.monotonic() + OUTCOME_SECONDS
    shown = ""
    with client, Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            records = {
                record["job_id"]: record for record in database.flink_jobs.find({"job_id": {"$in": job_ids}})
            }
            in_order = [records[job_id] for job_id in job_ids]
            runs = list(database.sync_runs.find(sort=[("started_at", -1)]))
            run = runs[0] if runs else None
            ticks = sum(each.get("ticks", 1) for each in runs)
            is_over = all(
                has_ended(example, record) for example, record in zip(EXAMPLES, in_order, strict=True)
            )
            live.update(Group(jobs_table(in_order), tick_line(ticks, run)), refresh=True)
            state = ", ".join(f"{record['template_id']} {record['status']}" for record in in_order)
            if not console.is_terminal and state != shown:
                console.print(f"after {ticks} passes: {state}")
                shown = state
            if is_over or time.monotonic() > deadline:
                break
            time.sleep(REFRESH_SECONDS)
    if not console.is_terminal:
        console.print()
    if not is_over:
        console.print(f"[bold red]After {OUTCOME_SECONDS:.0f} s not every job has come to its end.[/]")
    return is_over


def has_ended(example: Example, record: Mapping[str, Any]) -> bool:
    """Whether a record has the final status of its example."""
    reason = record["reason"] or {}
    is_known = record["flink_job_id"] is not None or example.reason_code == "SUBMIT_FAILED"
    return record["status"] == example.outcome and reason.get("code") == example.reason_code and is_known


def jobs_table(records: list[dict[str, Any]]) -> Group:
    """The records, a row each, and their reasons below; no id is broken at 100 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("Job, and its Kubernetes Job", no_wrap=True)
    table.add_column("Flink Job ID", no_wrap=True, min_width=32)
    table.add_column("Status", no_wrap=True, min_width=8)
    table.add_column("Duration", no_wrap=True, justify="right", min_width=8)
    reasons = []
    for record in records:
        reason = record["reason"]
        table.add_row(
            Text.assemble(record["job_id"], "\n", (record["k8s_job_name"], "dim")),
            record["flink_job_id"] or "-",
            Text(record["status"], style=STATUS_STYLES.get(record["status"], "")),
            "-" if record["duration"] is None else f"{record['duration']:.3f} s",
        )
        if reason:
            cause = f": {reason['code']}: {reason['message']}"
            reasons.append(Text.assemble((record["template_id"], "bold"), cause))
    return Group(table, Text(), *reasons)


def tick_line(ticks: int, run: Mapping[str, Any] | None) -> Text:
    """One line about the last pass."""
    if run is None:
        return Text("waiting for the first pass", style="dim")
    started: datetime = run["started_at"]
    changed = ", ".join(f"{count} {status}" for status, count in run["changed"].items()) or "nothing"
    return Text(
        f"sync: {ticks} passes · the last one {started:%H:%M:%S} took {run['duration_seconds']} s, "
        f"examined {run['scanned']}, wrote {changed}",
        style="dim",
    )


def show_events(console: Console, stack: Stack, job_ids: list[str]) -> bool:
    """Shows the last event that the receiver got; whether the end of every job has arrived."""
    console.rule("Events, as sync sends them to the receiver of this stack")
    ends = {
        (job_id, f"flinkjobs.job.{example.outcome.lower()}")
        for job_id, example in zip(job_ids, EXAMPLES, strict=True)
    }
    deadline = time.monotonic() + EVENTS_SECONDS
    while not ends <= {(event["subject"], event["type"]) for event in stack.receiver.events}:
        if time.monotonic() > deadline:
            console.print(f"[bold red]After {EVENTS_SECONDS:.0f} s not every event has arrived.[/]")
            return False
        time.sleep(REFRESH_SECONDS)
    received = stack.receiver.events
    console.print(
        f"{len(received)} CloudEvents with a valid signature, {stack.receiver.refused} without. The last one:"
    )
    console.print_json(to_json(received[-1]).decode())
    return True


def show_cleanup(console: Console, stack: Stack) -> None:
    """Lets a cleanup run say what it would delete and what it keeps."""
    console.rule(
        f"Cleanup, as a dry run (the demo keeps finished Jobs for {RETENTION_SECONDS} s, not 24 hours)"
    )
    answer = httpx.post(
        f"{stack.functions['cleanup'].url}/",
        params={"dry_run": "true"},
        timeout=REQUEST_SECONDS,
        trust_env=False,
    )
    report = answer.raise_for_status().json()
    console.print(f"scanned {report['scanned']} Kubernetes Jobs of ours")
    console.print(f"would delete {report['deleted']}: {', '.join(report['names']) or '-'}")
    kept = ", ".join(f"{count} {reason}" for reason, count in report["kept"].items())
    console.print(f"keeps {kept or 'none'}")


def show_further(console: Console) -> None:
    """How to look further."""
    console.rule("Look further")
    console.print(
        "[b]make up[/] keeps this stack running, and prints its addresses and commands to paste:\n"
        "the page of all jobs, [b]kubectl[/] for the Jobs and pods, Flink's web page, the records, a job of\n"
        "your own by [b]curl[/]."
    )


if __name__ == "__main__":
    sys.exit(main())
