"""`make up`: the stack, kept running until Ctrl-C, and prints its addresses."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

from rich.console import Console

from doubles.processes import ProcessError
from local.flink import FlinkError
from local.mongodb import MongoError
from local.stack import Interrupted, Stack, interruptible
from local.user_settings import SettingsMissingError
from local.watch import Watch

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
    except (ProcessError, FlinkError, MongoError, SettingsMissingError) as error:
        console.print("[bold red]The stack did not start.[/]", end=" ")
        console.print(str(error), soft_wrap=True, markup=False, highlight=False)
        return 1
    return 0


def keep_up(console: Console) -> None:
    """Starts the stack, prints how to use it, and then what happens to it, until interrupted."""
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
    """Prints what happens to the stack, one line each."""
    watched = Watch(
        mongodb_uri=stack.mongodb_uri,
        database=stack.function_settings["MONGODB_DATABASE"],
        rest_url=stack.flink.rest_url,
        cluster=stack.own_flink,
    )
    with watched:
        while True:
            for line in watched.news():
                console.print(f"{datetime.now(UTC):%H:%M:%S} UTC  {line}", soft_wrap=True)
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
