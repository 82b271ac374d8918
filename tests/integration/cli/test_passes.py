"""`sync` and `cleanup` by hand, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from doubles.kubernetes.faults import RequestFault
from tests.integration.cli.conftest import Run, one_line
from tests.integration.functions.conftest import World
from tests.integration.functions.test_cleanup import add_finished
from tests.integration.functions.test_sync import followed
from tests.support.flink_rest_server import Job
from tests.support.scripted_server import html

RUNNING_ID, OTHER_ID = "1" * 32, "2" * 32
START, END = 1_795_335_824_614, 1_795_335_841_979


def two_jobs(world: World) -> None:
    world.add_record("ends_1", **followed(RUNNING_ID))
    world.add_record("ends_2", **followed(OTHER_ID))
    world.flink.jobs += [
        Job(id=id_, state="FINISHED", start=START, end=END) for id_ in (RUNNING_ID, OTHER_ID)
    ]


def finished_job(world: World) -> str:
    """A Kubernetes Job that is old enough to go."""
    add_finished(world, "over-1", hours=25)
    world.add_record("over-1", **followed(RUNNING_ID) | {"status": "FINISHED"})
    return "over-1"


# --- sync -------------------------------------------------------------------------------------------


def test_one_pass_over_everything(run: Run, urls: Mapping[str, str], world: World) -> None:
    two_jobs(world)
    ran = run("sync", environ=urls)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Looked at 2 records in ")
    assert "2 became FINISHED, 0 unchanged" in ran.out
    assert world.record("ends_2")["status"] == "FINISHED"


def test_a_pass_over_one_job_by_any_of_its_ids(run: Run, environ: Mapping[str, str], world: World) -> None:
    two_jobs(world)
    ran = run("sync", OTHER_ID, "--json", environ=environ)
    assert (ran.code, ran.json["changed"]) == (0, {"FINISHED": 1})
    assert (world.record("ends_1")["status"], world.record("ends_2")["status"]) == ("RUNNING", "FINISHED")
    for unknown_id in ("f" * 32, "unknown_1"):
        unknown = run("sync", unknown_id, "--json", environ=environ)
        assert (unknown.code, unknown.out) == (4, "")
        assert json.loads(unknown.err)["error"]["code"] == "JOB_NOT_FOUND"
    over = run("sync", "ends_2", environ=environ)
    assert over.code == 0
    assert "Some of these were skipped" in over.err


def test_a_cluster_that_does_not_answer_is_a_finding(run: Run, urls: Mapping[str, str], world: World) -> None:
    two_jobs(world)
    world.flink.answers[""] = html(502)
    ran = run("sync", environ=urls)
    assert ran.code == 1
    assert [line.split()[:2] for line in ran.out.splitlines() if line.startswith("default")] == [
        ["default", "NO"]
    ]


def test_a_pass_without_a_function_is_unavailable(run: Run, nowhere: str) -> None:
    ran = run("sync", environ={"SYNC_URL": nowhere})
    assert (ran.code, ran.out) == (5, "")
    assert nowhere in one_line(ran.err)


@pytest.mark.parametrize("command", ["sync", "cleanup"])
def test_what_another_run_holds_is_skipped_and_no_success(
    run: Run, environ: Mapping[str, str], world: World, command: str
) -> None:
    held = {
        "_id": command,
        "holder": "another",
        "fence": 1,
        "expires_at": datetime.now(UTC) + timedelta(hours=1),
    }
    world.database["leases"].insert_one(held)
    ran = run(command, environ=environ)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("Skipped: another ")


# --- cleanup ----------------------------------------------------------------------------------------


def test_a_dry_run_deletes_nothing(run: Run, environ: Mapping[str, str], world: World) -> None:
    name = finished_job(world)
    ran = run("cleanup", "--dry-run", environ=environ)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[:2] == ["1 of 1 Kubernetes Job would be deleted.", f"  {name}"]
    assert world.kubernetes.names("jobs") == {name}


def test_a_cleanup_deletes_and_says_what(run: Run, urls: Mapping[str, str], world: World) -> None:
    name = finished_job(world)
    ran = run("cleanup", "--json", environ=urls)
    assert (ran.code, ran.json["names"]) == (0, [name])
    assert world.kubernetes.names("jobs") == set()


def test_a_deletion_that_fails_is_a_finding(run: Run, urls: Mapping[str, str], world: World) -> None:
    finished_job(world)
    with world.kubernetes.control.fault(
        RequestFault(effect="status", status=403, verb="delete", resource="jobs")
    ):
        ran = run("cleanup", environ=urls)
    assert ran.code == 1
    assert "KUBERNETES_REFUSED" in ran.out
