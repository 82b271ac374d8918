"""`make up`: the stack, kept running until Ctrl-C, with the addresses to look at it and to work with it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pymongo import MongoClient
from rich.console import Console

from doubles.processes import ProcessError
from local.flink import FlinkError
from local.mongodb import MongoError
from local.stack import DATABASE, Interrupted, Stack, interruptible

POLL_SECONDS = 1.0
DOCTORS = (
    *("MONGODB_URI", "MONGODB_DATABASE", "FLINK_REST_URL", "FLINK_HISTORY_URL", "FLINK_JOBMANAGER"),
    *("FLINK_IMAGE", "K8S_NAMESPACE", "K8S_AUTH", "KUBECONFIG"),
)
"""The settings that `flinkjobs doctor` needs; one with a password in it has to be set by hand."""


def main() -> int:
    """Runs the stack until a signal ends it. 0 after Ctrl-C; 1 when it did not start."""
    console = Console()
    try:
        with interruptible():
            keep_up(console)
    except Interrupted as interrupted:
        console.print(f"\n{interrupted}: everything was stopped.")
        return 0
    except (ProcessError, FlinkError, MongoError) as error:
        console.print(f"[bold red]The stack did not start.[/] {error}")
        return 1
    return 0


def keep_up(console: Console) -> None:
    """Starts the stack, tells how to use it, and prints every pass until interrupted."""
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {line}")

    with Stack(say=say) as stack:
        sync, cleanup = stack.create_schedules()
        say(f"schedules      sync {sync.cron}, cleanup {cleanup.cron}")
        console.rule("Ready; Ctrl-C stops everything")
        for line in directions(stack):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
        watch(console, stack)


def directions(stack: Stack) -> list[str]:
    """Commands that can be pasted into another terminal."""
    submit, sync = stack.functions["submit"].url, stack.functions["sync"].url
    command = " ".join(f"{name}={value}" for name, value in stack.command_settings.items())
    own = stack.function_settings
    needed = " ".join(f"{name}={own[name]}" for name in DOCTORS if name in own and "@" not in own[name])
    kubernetes = stack.kubernetes
    kubectl = f"kubectl --kubeconfig {kubernetes.kubeconfig}"
    if kubernetes.url:  # kubectl sends a token over TLS only; the double speaks both on its port
        server = kubernetes.url.replace("http://", "https://")
        kubectl = f"kubectl --server {server} --insecure-skip-tls-verify --token {kubernetes.token}"
    namespace = kubernetes.namespace
    script = {"path": "/opt/flink/examples/datastream/word_count.py"}
    example = json.dumps({"template_id": "word_count", "script": script})
    return [
        "",
        f"The page of all jobs: {stack.functions['jobs'].url}",
        "Submit a job:",
        f"  curl -s {submit} -H 'Content-Type: application/json' -d '{example}'",
        "Synchronise now, instead of at the next third minute:",
        f"  curl -s -X POST {sync}",
        "What cleanup would delete:",
        f"  curl -s -X POST '{stack.functions['cleanup'].url}/?dry_run=true'",
        "The command line, for a submission, the live table, the schedules:",
        f"  export {command}",
        "  .venv/bin/flinkjobs submit examples/word_count.py --wait",
        "  .venv/bin/flinkjobs jobs --watch",
        "  .venv/bin/flinkjobs schedules list",
        "What is wrong, if anything; it asks each part itself, with the settings of the functions:",
        f"  {needed} .venv/bin/flinkjobs doctor",
        "Kubernetes Jobs and pods:",
        f"  {kubectl} get jobs,pods -n {namespace} -l app=flink-python-job",
        f"  {kubectl} logs -n {namespace} POD | grep 'Job has been submitted'",
        f"Flink's web page: {stack.flink.rest_url}",
        f"Records: database {stack.function_settings['MONGODB_DATABASE']}, collection flink_jobs at "
        + (stack.mongodb_uri if "@" not in stack.mongodb_uri else "your MONGODB_URI"),
        "",
    ]


def watch(console: Console, stack: Stack) -> None:
    """Prints one line per synchronisation pass."""
    client: MongoClient[dict[str, Any]] = MongoClient(stack.mongodb_uri, tz_aware=True)
    last = ""
    with client:
        runs = client[stack.function_settings.get("MONGODB_DATABASE", DATABASE)].sync_runs
        while True:
            run = runs.find_one(sort=[("started_at", -1)])
            if run and run["run_id"] != last:
                last = run["run_id"]
                changed = (
                    ", ".join(f"{count} {status}" for status, count in run["changed"].items()) or "nothing"
                )
                errors = f", {len(run['errors'])} errors" if run["errors"] else ""
                looked = f"sync looked at {run['scanned']}, wrote {changed}{errors}"
                console.print(f"{run['started_at']:%H:%M:%S} UTC  {looked}")
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
