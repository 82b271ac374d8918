"""`make up`: the stack, kept running until Ctrl-C, and prints its addresses."""

from __future__ import annotations

import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from doubles.processes import ProcessError
from local.flink import FlinkError
from local.functions import ROOT
from local.mongodb import MongoError
from local.stack import Interrupted, Stack, interruptible
from local.user_settings import SettingsMissingError
from local.watch import Watch

POLL_SECONDS = 1.0
ENVIRONMENT_FILE = ROOT / "build" / "up.env"
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
        write_environment(stack, ENVIRONMENT_FILE)
        try:
            for line in directions(stack):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            watch(console, stack)
        finally:
            ENVIRONMENT_FILE.unlink(missing_ok=True)  # its addresses end with the stack


def write_environment(stack: Stack, file: Path) -> None:
    """A file to `source`: the addresses of the functions, `KUBECONFIG`, and the command on the PATH."""
    kubeconfig = {"KUBECONFIG": str(stack.kubernetes.kubeconfig)}
    values = {**stack.command_settings, **kubeconfig}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    path = f'export PATH={shlex.quote(str(ROOT / ".venv" / "bin"))}:"$PATH"'
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([*lines, path]) + "\n", encoding="utf-8")


def directions(stack: Stack) -> list[str]:
    """Commands that can be pasted into another terminal."""
    submit, sync = stack.functions["submit"].url, stack.functions["sync"].url
    own = stack.function_settings
    needed = " ".join(f"{name}={own[name]}" for name in DOCTORS if name in own and "@" not in own[name])
    namespace = stack.kubernetes.namespace
    script = {"path": "/opt/flink/examples/datastream/word_count.py"}
    example = json.dumps({"template_id": "word_count", "script": script})
    return [
        "",
        f"The page of all jobs: {stack.functions['jobs'].url}",
        "First, in another terminal of this folder, for every command below and those of the page:",
        f"  source {ENVIRONMENT_FILE.relative_to(ROOT)}",
        "Submit a job:",
        f"  curl -s {submit} -H 'Content-Type: application/json' -d '{example}'",
        "Synchronise now, instead of at the next third minute:",
        f"  curl -s -X POST {sync}",
        "What cleanup would delete:",
        f"  curl -s -X POST '{stack.functions['cleanup'].url}/?dry_run=true'",
        "The command line, for a submission, the live table, the schedules:",
        "  flinkjobs submit examples/word_count.py --wait",
        "  flinkjobs jobs --watch",
        "  flinkjobs schedules list",
        "What is wrong, if anything; it asks each part itself, with the settings of the functions:",
        f"  {needed} flinkjobs doctor",
        "Kubernetes Jobs and pods:",
        f"  kubectl get jobs,pods -n {namespace} -l app=flink-python-job",
        f"  kubectl logs -n {namespace} POD | grep 'Job has been submitted'",
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
