"""`cancel`, `stop` and `savepoint`, over HTTP and directly."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from flinkjobs.cli.exit_codes import Exit
from tests.integration.cli.conftest import Run, one_line
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import RUNNING_ID, START, followed
from tests.support.flink_rest_server import Job

OTHER_ID = "2" * 32
DIRECTORY = "file:/savepoints"


@pytest.fixture(autouse=True)
def two_jobs(world: World) -> None:
    labels = {"labels": {"team": "search"}, "label_pairs": ["team=search"]}
    world.add_record("runs_1", **followed(RUNNING_ID), **labels)
    world.add_record("runs_2", **followed(OTHER_ID))
    world.flink.jobs += [Job(id=id_, state="RUNNING", start=START) for id_ in (RUNNING_ID, OTHER_ID)]


def test_cancel_and_wait(run: Run, environ: Mapping[str, str], world: World) -> None:
    ran = run("cancel", RUNNING_ID, "--wait", "--requested-by", "ann", environ=environ)
    assert (ran.code, ran.out) == (Exit.OK, "runs_1: cancel done\n")
    assert world.record("runs_1")["status"] == "CANCELLED"
    shown = run("show", "runs_1", environ=environ).out
    assert "cancel requested by ann" in shown
    assert "cancel done" in shown
    over = run("cancel", "runs_1", environ=environ)
    assert over.code == Exit.REFUSED
    assert "runs_1 is over" in one_line(over.err)


def test_stop_and_wait_prints_the_path(run: Run, environ: Mapping[str, str], world: World) -> None:
    ran = run("stop", "runs_1", "--wait", "--savepoint-directory", DIRECTORY, "--json", environ=environ)
    [result] = ran.json["actions"]
    path = result["action"]["savepoint_path"]
    assert (ran.code, result["job_id"], result["action"]["state"]) == (Exit.OK, "runs_1", "done")
    shown = run("show", "runs_1", environ=environ).out
    assert path in shown
    assert "Ended by" in shown
    assert [body["drain"] for body in world.flink.triggered.values()] == [False]


def test_a_failed_savepoint_is_shown(run: Run, environ: Mapping[str, str], world: World) -> None:
    world.flink.savepoint_outcome = "java.io.IOException: no space left"
    ran = run("savepoint", "runs_1", "--wait", "--savepoint-directory", DIRECTORY, environ=environ)
    assert ran.code == Exit.FAILED
    assert ran.out.startswith("runs_1: savepoint failed, SAVEPOINT_FAILED: ")
    assert "no space left" in ran.out


def test_waiting_has_an_end(run: Run, environ: Mapping[str, str], world: World) -> None:
    world.flink.savepoint_outcome = "IN_PROGRESS"
    arguments = ("--wait", "--timeout", "0", "--savepoint-directory", DIRECTORY)
    ran = run("savepoint", "runs_1", *arguments, environ=environ)
    assert (ran.code, ran.out) == (Exit.STILL_RUNNING, "runs_1: savepoint sent\n")


def test_a_selector_shows_first_and_acts_with_yes(run: Run, environ: Mapping[str, str], world: World) -> None:
    dry = run("cancel", "--selector", "team=search", environ=environ)
    assert (dry.code, dry.out) == (Exit.OK, "runs_1\n")
    assert "1 job; nothing was sent. Add --yes to do it." in dry.err
    assert "actions" not in world.record("runs_1")
    ran = run("cancel", "--selector", "team=search", "--yes", environ=environ)
    assert (ran.code, ran.out) == (Exit.OK, "runs_1: cancel requested\n")
    assert "actions" not in world.record("runs_2")


@pytest.mark.parametrize("arguments", [(), ("runs_1", "--selector", "team=search")])
def test_ids_or_a_selector(run: Run, urls: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    ran = run("stop", *arguments, environ=urls)
    assert ran.code == Exit.USAGE
    assert "give the ids of jobs, or --selector" in one_line(ran.err)


def test_one_unknown_job_does_not_keep_the_others(run: Run, environ: Mapping[str, str], world: World) -> None:
    ran = run("cancel", "absent_1", "runs_2", "--json", environ=environ)
    assert ran.code == Exit.NOT_FOUND
    assert [result["job_id"] for result in json.loads(ran.out)["actions"]] == ["runs_2"]
    assert world.record("runs_2")["actions"][0]["state"] == "requested"
