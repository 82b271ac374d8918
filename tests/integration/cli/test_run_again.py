"""`run-again`, over HTTP and directly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flinkjobs.cli.exit_codes import Exit
from tests.integration.cli.conftest import Run, one_line
from tests.integration.functions.conftest import World
from tests.support.records import labelled

SPEC = {"script": {"path": "/opt/a.py"}, "args": ["--day", "1"]}
TEAM = labelled({"team": "search"})


@pytest.fixture(autouse=True)
def first(world: World) -> None:
    world.add_record("etl_1", status="FINISHED", spec=SPEC, **TEAM)


def test_run_again(run: Run, environ: Mapping[str, str], world: World, tmp_path: Path) -> None:
    script = tmp_path / "new.py"
    script.write_text("pass\n")
    options = ("--from", "file:/s", "--parallelism", "8", "--conf", "a.b=c", "--script", str(script))
    ran = run("run-again", "etl_1", *options, "--requested-by", "ann", "--", "--day", "2", environ=environ)
    assert ran.code == Exit.OK, ran.err
    [new] = world.jobs.find({"run_of": "etl_1"})
    assert ran.out == f"{new['job_id']}: run 2 of etl_1, from file:/s\n"
    assert (
        new["spec"].items()
        >= {
            "script": {"inline": "pass\n"},
            "args": ["--day", "2"],
            "parallelism": 8,
            "flink_conf": {"a.b": "c"},
            "savepoint_path": "file:/s",
        }.items()
    )
    assert new["submitted_by"] == "ann"
    assert "Run             2 of etl_1" in run("show", new["job_id"], environ=environ).out
    twice = run("run-again", "etl_1", "--from", "nothing", environ=environ)
    assert twice.code == Exit.REFUSED
    assert f"{new['job_id']} is CREATED" in one_line(twice.err)
    assert "--parallel" in one_line(twice.err)


def test_the_state_must_be_known(run: Run, environ: Mapping[str, str], world: World) -> None:
    ran = run("run-again", "etl_1", environ=environ)
    assert ran.code == Exit.REFUSED
    assert "--from PATH or --from nothing" in one_line(ran.err)
    assert world.jobs.count_documents({}) == 1


def test_a_repeated_command_runs_it_once(run: Run, environ: Mapping[str, str], world: World) -> None:
    arguments = ("run-again", "etl_1", "--from", "nothing", "--idempotency-key", "k", "--json")
    first, second = (run(*arguments, environ=environ) for _ in range(2))
    assert (first.code, second.code) == (Exit.OK, Exit.OK)
    assert first.json == second.json
    assert world.jobs.count_documents({}) == 2


def test_waiting_ends_once_it_runs(run: Run, environ: Mapping[str, str]) -> None:
    arguments = ("run-again", "etl_1", "--from", "nothing", "--wait", "--timeout", "0")
    ran = run(*arguments, environ=environ)
    assert ran.code == Exit.STILL_RUNNING
    assert ran.out.endswith("from the beginning, is CREATED\n")


def test_a_selector_takes_the_newest_runs_that_are_over(
    run: Run, environ: Mapping[str, str], world: World
) -> None:
    world.add_record("etl_2", status="FAILED", spec=SPEC, run_of="etl_1", attempt=2, **TEAM)
    world.add_record("csv_1", status="FINISHED", spec=SPEC, **TEAM)
    world.add_record("csv_2", status="RUNNING", spec=SPEC, run_of="csv_1", attempt=2, **TEAM)
    world.add_record("lost_1", status="LOST", spec=SPEC, **TEAM)
    world.add_record("other_1", status="FINISHED", spec=SPEC)
    arguments = ("run-again", "--selector", "team=search", "--from", "nothing")
    dry = run(*arguments, environ=environ)
    assert (dry.code, dry.out) == (Exit.OK, "etl_2\n")
    assert "1 job; nothing was sent. Add --yes to do it." in dry.err
    assert world.jobs.count_documents({}) == 6
    ran = run(*arguments, "--yes", "--json", environ=environ)
    assert [(new["run_of"], new["attempt"]) for new in ran.json["runs"]] == [("etl_1", 3)]


@pytest.mark.parametrize("arguments", [(), ("etl_1", "--selector", "team=search")])
def test_ids_or_a_selector(run: Run, urls: Mapping[str, str], arguments: tuple[str, ...]) -> None:
    ran = run("run-again", *arguments, environ=urls)
    assert ran.code == Exit.USAGE
    assert "give the ids of jobs, or --selector" in one_line(ran.err)


def test_one_unknown_job_does_not_keep_the_others(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("run-again", "absent_1", "etl_1", "--from", "nothing", "--json", environ=environ)
    assert ran.code == Exit.NOT_FOUND
    assert [new["run_of"] for new in ran.json["runs"]] == ["etl_1"]
