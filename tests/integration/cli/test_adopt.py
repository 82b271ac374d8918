"""`jobs --unmanaged` and `adopt`, over HTTP and directly."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flinkjobs.cli.exit_codes import Exit
from tests.integration.cli.conftest import Run, one_line
from tests.integration.cli.test_show import HOSTILE
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import RUNNING_ID, START, followed
from tests.support.flink_rest_server import Job

BY_HAND, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def by_hand(run: Run, settings: Mapping[str, str], world: World) -> None:
    """One job of a record and two without, which a pass has seen; one of these has the record's name."""
    world.add_record("runs_1", **followed(RUNNING_ID))
    world.flink.jobs += [
        Job(id=RUNNING_ID, state="RUNNING", start=START, name="nightly"),
        Job(id=BY_HAND, state="RUNNING", start=START, name=HOSTILE),
        Job(id=OTHER, state="RUNNING", start=START + 1, name="nightly"),
    ]
    assert run("sync", environ=settings).code == Exit.OK


@pytest.mark.usefixtures("by_hand")
def test_jobs_without_a_record_are_listed(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("jobs", "--unmanaged", environ=environ)
    assert (ran.code, ran.err) == (Exit.OK, "")
    assert ran.out.index(OTHER) < ran.out.index(BY_HAND)
    assert "runs_1" in ran.out
    assert "Flink cluster default: 2 running jobs without a record, as of " in ran.out
    assert "\x1b" not in ran.out
    first = run("jobs", "--unmanaged", "--limit", "1", "--json", environ=environ).json
    rest = run("jobs", "--unmanaged", "--cursor", first["next_cursor"], "--json", environ=environ).json
    pages = [[job["flink_job_id"] for job in page["flink_jobs"]] for page in (first, rest)]
    assert pages == [[OTHER], [BY_HAND]]
    found = run("jobs", "--unmanaged", "--search", "NIGHT", "--json", environ=environ).json
    assert [job["flink_job_id"] for job in found["flink_jobs"]] == [OTHER]


@pytest.mark.usefixtures("world")
def test_before_the_first_pass_nothing_is_claimed(run: Run, environ: Mapping[str, str]) -> None:
    ran = run("jobs", "--unmanaged", environ=environ)
    assert (ran.code, ran.out) == (Exit.OK, "No pass has looked for such jobs yet: flinkjobs sync\n")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--status", "RUNNING"), "--status"),
        (("--template-id", "etl"), "--template-id"),
        (("--since", "2026-01-01"), "--since"),
        (("--until", "2026-01-01"), "--until"),
        (("--watch",), "--watch"),
    ],
)
def test_an_option_of_records_is_refused(
    run: Run, urls: Mapping[str, str], arguments: tuple[str, ...], option: str
) -> None:
    ran = run("jobs", "--unmanaged", *arguments, environ=urls)
    assert ran.code == Exit.USAGE
    assert one_line(ran.err).startswith(f"{option} cannot be combined with --unmanaged")


@pytest.mark.usefixtures("by_hand")
def test_a_job_is_adopted_once(run: Run, environ: Mapping[str, str], world: World) -> None:
    for _ in range(2):
        ran = run("adopt", OTHER, "--template-id", "etl", "--job-id", "mine", environ=environ)
        assert (ran.code, ran.out) == (Exit.OK, f"Flink job {OTHER} is followed as mine.\n")
    assert world.jobs.count_documents({"flink_job_id": OTHER}) == 1
    shown = run("show", OTHER, environ=environ)
    assert "No log: the record names no Kubernetes Job." in shown.out
    assert "adopted" in shown.out
    refused = run("adopt", RUNNING_ID, "--template-id", "etl", environ=environ)
    assert refused.code == Exit.REFUSED
    assert f"Flink job {RUNNING_ID} belongs to the record runs_1 already" in refused.err
    unseen = run("adopt", "c" * 32, "--template-id", "etl", environ=environ)
    assert unseen.code == Exit.NOT_FOUND
    assert "run flinkjobs sync" in unseen.err
    faulty = run("adopt", "x", "--template-id", "etl", environ=environ)
    assert faulty.code == Exit.REFUSED
    assert "FLINK_JOB_ID" in faulty.err
