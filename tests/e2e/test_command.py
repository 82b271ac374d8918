"""The command against the real stack: a job followed to its end, Ctrl-C, the live table and its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo.database import Database

from local.functions import ROOT
from local.stack import Stack
from tests.e2e.console import flink_job, run_command
from tests.e2e.record_jobs import COLUMNS, PICTURE, ROWS, TITLE
from tests.integration.cli.conftest import COMMAND, Ran, own_environment
from tests.support.picture import svg
from tests.support.terminal import CTRL_C, Terminal
from tests.support.waiting import until

EXAMPLES = ROOT / "examples"
SECONDS = 200


@pytest.fixture
def environ(stack: Stack, tmp_path: Path) -> Mapping[str, str]:
    """As in front of a deployment."""
    return {**own_environment(tmp_path), **stack.command_settings}


def run(*arguments: str | Path, environ: Mapping[str, str]) -> Ran:
    return run_command(*arguments, environ=environ, directory=ROOT)


def test_a_job_is_followed_to_its_end(stack: Stack, environ: Mapping[str, str]) -> None:
    ran = run("submit", EXAMPLES / "word_count.py", "--wait", "--", "--least", "2", environ=environ)
    assert ran.code == 0, ran.err
    accepted, ended = ran.out.splitlines()
    name = r"flink-py-word-count-[0-9a-f]{8}"
    assert re.fullmatch(rf"Accepted word_count_\d{{13}} as Kubernetes Job {name}\.", accepted)
    assert re.fullmatch(r"word_count_\d{13} is FINISHED after \d+\.\d s", ended)
    shown = run("show", ended.split()[0], "--json", environ=environ).json
    assert shown["spec"]["args"] == ["--least", "2"]
    assert flink_job(stack, shown["job"]["flink_job_id"])["state"] == "FINISHED"


def test_a_job_that_fails_ends_the_command_with_its_cause(environ: Mapping[str, str]) -> None:
    ran = run("submit", EXAMPLES / "fails_at_run_time.py", "--wait", environ=environ)
    assert ran.code == 1
    assert ran.out.splitlines()[-1].endswith("JOB_FAILED: ValueError: amount -3 is negative")


def test_ctrl_c_leaves_the_job_running_in_flink_and_the_live_table_shows_it(
    stack: Stack,
    environ: Mapping[str, str],
    database: Database[dict[str, Any]],
    tmp_path: Path,
) -> None:
    command = [*COMMAND, "submit", str(EXAMPLES / "streaming_sql.py"), "--wait", "--interval", "1"]
    with Terminal(command, env=environ, cwd=tmp_path) as terminal:
        terminal.wait_for("RUNNING", timeout_seconds=SECONDS)
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "goes on; follow it again with: flinkjobs wait streaming_sql_" in terminal.text
    job_id = re.findall(r"streaming_sql_\d{13}", terminal.text)[-1]
    [record] = database.flink_jobs.find({"job_id": job_id})
    flink_job_id = record["flink_job_id"]
    until(
        lambda: flink_job(stack, flink_job_id)["state"] == "RUNNING",
        timeout_seconds=30,
        what="the job still runs",
    )
    watch = [*COMMAND, "jobs", "--watch", "--interval", "1"]
    with Terminal(watch, env=environ, cwd=tmp_path, columns=COLUMNS, rows=ROWS) as terminal:
        terminal.wait_for(flink_job_id)
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        drawn = svg(terminal.frames[-1], title=TITLE, columns=COLUMNS)
    httpx.patch(
        f"{stack.flink.rest_url}/jobs/{flink_job_id}", trust_env=False
    ).raise_for_status()  # cancels it
    waited = run("wait", flink_job_id, "--interval", "1", environ=environ)
    assert (waited.code, waited.out.split()[:3]) == (7, [job_id, "is", "CANCELLED"])
    kept = PICTURE.read_text(encoding="utf-8")
    for picture in (drawn, kept):
        assert "streaming_sql_" in picture
        assert "RUNNING" in picture
        assert "http" not in picture.replace("http://www.w3.org/2000/svg", "").replace(
            "https://www.textualize.io", ""
        )
    assert re.search(r'viewBox="0 0 ([\d.]+) ', drawn)[1] == re.search(r'viewBox="0 0 ([\d.]+) ', kept)[1]  # type: ignore[index] # both have one
