"""`sync --follow`: passes without end, on a terminal and in a container."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.integration.cli.conftest import COMMAND, SECONDS, Run, one_line, own_environment
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import followed
from tests.support.flink_rest_server import Job
from tests.support.terminal import Terminal
from tests.support.waiting import until

RUNNING_ID = "1" * 32
START, END = 1_795_335_824_614, 1_795_335_841_979


def begins(world: World) -> None:
    world.add_record("etl_1", **followed(RUNNING_ID))
    world.flink.jobs.append(Job(id=RUNNING_ID, state="RUNNING", start=START))


def ends(world: World) -> None:
    world.flink.jobs[:] = [Job(id=RUNNING_ID, state="FINISHED", start=START, end=END)]


def passes(world: World) -> int:
    """Number of ticks of the invocation under way."""
    found = world.database["sync_runs"].find_one(sort={"started_at": -1})
    return found["ticks"] if found else 0


def is_free(world: World) -> bool:
    found = world.database["leases"].find_one({"_id": "sync"})
    assert found is not None
    return found["holder"] is None


def test_a_terminal_shows_a_line_per_change_until_it_is_interrupted(
    settings: Mapping[str, str], world: World, tmp_path: Path
) -> None:
    begins(world)
    env = {**own_environment(tmp_path), **settings, "SYNC_FOLLOW_SECONDS": "2"}
    with Terminal([*COMMAND, "sync", "--follow"], env=env, cwd=tmp_path) as terminal:
        until(lambda: passes(world), timeout_seconds=SECONDS, what="a pass")
        ends(world)
        terminal.wait_for(f"etl_1 FINISHED {RUNNING_ID}")
        terminal.type(b"\x03")
        assert terminal.wait() == 0
        assert "sync.pass" not in terminal.text
    assert is_free(world)


def test_a_container_logs_as_the_function_does_until_sigterm(
    settings: Mapping[str, str], world: World, tmp_path: Path
) -> None:
    """The module that the Deployment runs, without the libraries of the command."""
    begins(world)
    env = {**own_environment(tmp_path), **settings, "SYNC_FOLLOW_SECONDS": "2"}
    command = [COMMAND[0], "-m", "flinkjobs.entrypoints.follow"]
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: passes(world) > 1, timeout_seconds=SECONDS, what="two passes")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=SECONDS)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert [event["message"] for event in events][-2:] == ["sync.pass", "sync.followed"]
    assert events[-1]["ticks"] == len([event for event in events if event["message"] == "sync.pass"])
    assert is_free(world)


def test_follow_takes_no_ids(run: Run, settings: Mapping[str, str]) -> None:
    ran = run("sync", "etl_1", "--follow", environ=settings)
    assert (ran.code, ran.out) == (2, "")
    assert "--follow synchronises all open records" in one_line(ran.err.splitlines()[0])


def test_follow_needs_the_settings_of_sync_itself(run: Run, urls: Mapping[str, str]) -> None:
    ran = run("sync", "--follow", environ=urls)
    assert (ran.code, ran.out) == (2, "")
    assert "MONGODB_URI is required and not set" in ran.err
