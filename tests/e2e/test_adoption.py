"""Jobs started by hand with a real `flink run`: seen by a pass, one adopted, followed to its end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from local.functions import ROOT
from local.stack import Stack
from tests.e2e.console import Document, flink_job, overview, run_command, sync
from tests.integration.cli.conftest import Ran, own_environment
from tests.support.waiting import until

SCRIPT = ROOT / "examples" / "streaming_sql.py"
SUBMIT_SECONDS = 180.0
OUTCOME_SECONDS = 60.0
SUBMITTED = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")


@pytest.fixture
def environ(quiet_stack: Stack, tmp_path: Path) -> Mapping[str, str]:
    """As in front of a deployment."""
    return {**own_environment(tmp_path), **quiet_stack.command_settings}


def start_by_hand(stack: Stack, _number: int) -> str:
    """A streaming job, past flinkjobs; its Flink Job ID."""
    [home] = stack.flink.image_paths.values()
    flink = str(home / "bin" / "flink")
    command = [flink, "run", "-d", "-m", stack.flink.jobmanager, "-py", str(SCRIPT)]
    done = subprocess.run(
        command,
        env=stack.flink.image_env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SUBMIT_SECONDS,
    )
    printed = SUBMITTED.search(done.stdout)
    assert printed is not None, done.stdout + done.stderr
    return printed[1]


def cancel(stack: Stack, flink_job_id: str) -> None:
    url = f"{stack.flink.rest_url}/jobs/{flink_job_id}"
    httpx.patch(url, trust_env=False, timeout=60).raise_for_status()


def test_of_three_jobs_started_by_hand_one_is_adopted_and_followed_to_its_end(
    quiet_stack: Stack, environ: Mapping[str, str]
) -> None:
    stack = quiet_stack

    def run(*arguments: str) -> Ran:
        return run_command(*arguments, environ=environ, directory=ROOT)

    def listed() -> Mapping[str, Document]:
        page = run("jobs", "--unmanaged", "--json").json
        return {job["flink_job_id"]: job for job in page["flink_jobs"]}

    with ThreadPoolExecutor(3) as threads:
        started = list(threads.map(partial(start_by_hand, stack), range(3)))
    names = {job["jid"]: job["name"] for job in overview(stack.flink.rest_url)}
    assert sync(stack)["clusters"]["default"]["unmanaged"] == 3
    seen = listed()
    assert set(seen) == set(started)
    assert {job["name"] for job in seen.values()} == {names[started[0]]}
    own, *others = started

    adopted = run("adopt", own, "--template-id", "by_hand", "--submitted-by", "ann", "--json").json
    assert (adopted["flink_job_id"], adopted["k8s_job_name"]) == (own, None)
    assert re.fullmatch(r"by_hand_\d{13}", adopted["job_id"])
    again = run("adopt", own, "--template-id", "by_hand")
    assert again.code == 0
    assert again.out == f"Flink job {own} is followed as {adopted['job_id']}.\n"
    assert sync(stack)["clusters"]["default"]["unmanaged"] == 2
    twins = {flink_job_id: job["twin_of"] for flink_job_id, job in listed().items()}
    assert twins == {other: [adopted["job_id"]] for other in others}
    details = run("show", own)
    for other in others:
        assert f"A job of the same name runs without a record: {other}" in details.out

    cancel(stack, own)
    until(
        lambda: flink_job(stack, own)["state"] == "CANCELED",
        timeout_seconds=OUTCOME_SECONDS,
        what="it is over",
    )
    sync(stack)
    ended = run("show", own, "--json").json
    in_flink = flink_job(stack, own)
    assert ended["job"]["status"] == "CANCELLED"
    assert ended["job"]["duration"] == in_flink["duration"] / 1000
    assert [event["event"] for event in ended["timeline"]] == ["started", "adopted", "ended"]
    assert {tuple(job["twin_of"]) for job in listed().values()} == {()}
    for other in others:
        cancel(stack, other)
    until(
        lambda: sync(stack)["clusters"]["default"]["unmanaged"] == 0,
        timeout_seconds=OUTCOME_SECONDS,
        what="none is left",
    )
