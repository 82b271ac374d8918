"""Doctor on a machine that knows only where the functions are: it asks through them, and names the cause."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from doubles.processes import free_port
from local.functions import FunctionServer
from tests.integration.doctor.conftest import Doctor
from tests.integration.doctor.system import System
from tests.integration.doctor.test_command import findings
from tests.integration.doctor.test_problems import first_failing
from tests.support.scripted_server import Answer, html

CLIENT: Final = ("SCHEDULER_PARENT", "SCHEDULER_ENDPOINT", "SYNC_URL", "CLEANUP_URL")
"""What stays set where only the functions are known."""

UNASKED: Final = [
    *("mongodb", "mongodb.write", "mongodb.indexes"),
    *("kubernetes", "kubernetes.identity", "kubernetes.role"),
]


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, FunctionServer]]:
    """The function jobs, started for the first test and kept for the others."""
    kept: dict[str, FunctionServer] = {}
    yield kept
    for server in kept.values():
        server.__exit__(None, None, None)


@pytest.fixture
def outside(system: System, served: dict[str, FunctionServer]) -> System:
    """A healthy system, seen from outside its network."""
    if "jobs" not in served:
        settings = {name: value for name, value in system.environ.items() if name not in CLIENT}
        served["jobs"] = FunctionServer("jobs", settings).__enter__()
    system.environ = {name: system.environ[name] for name in CLIENT}
    system.environ["JOBS_URL"] = served["jobs"].url
    return system


def test_what_can_be_asked_through_the_functions_is(outside: System, doctor: Doctor) -> None:
    assert outside.environ
    result = doctor("--json")
    reported = findings(result.stdout)
    assert result.exit_code == 0, result.output
    assert reported["settings"]["verdict"] == "warn"
    assert reported["settings"]["evidence"] == "only the functions are reachable from here"
    assert [name for name, found in reported.items() if found["verdict"] == "skipped"] == UNASKED
    assert [name for name, found in reported.items() if found["verdict"] == "ok"] == [
        *("flink.default", "function.sync", "function.cleanup", "function.jobs"),
        *("schedule.sync", "schedule.cleanup", "sync.pass", "sync.errors", "cleanup.run"),
        *("records.created", "records.no-id", "records.lost", "records.health"),
    ]
    assert re.fullmatch(r"the last pass, \d+ s ago, reached it", reported["flink.default"]["evidence"])


def test_without_a_scheduler_the_schedules_are_not_checked(outside: System, doctor: Doctor) -> None:
    del outside.environ["SCHEDULER_PARENT"]
    result = doctor("--json")
    assert (result.exit_code, findings(result.stdout)["schedule"]["verdict"]) == (0, "skipped")


def test_functions_that_are_closed_to_the_outside_are_no_cause(outside: System, doctor: Doctor) -> None:
    """As Cloud Run answers where its ingress is internal."""
    outside.function.answer = lambda _: html(404)
    result = doctor("--json")
    reported = findings(result.stdout)
    assert result.exit_code == 0, result.output
    for name in ("function.sync", "function.cleanup"):
        assert (reported[name]["verdict"], reported[name]["code"]) == ("warn", "FUNCTIONS_ONLY")
        assert "answered 404: it is none of these functions" in reported[name]["evidence"]


def test_some_settings_of_the_functions_are_a_mistake(outside: System, doctor: Doctor) -> None:
    outside.environ["FLINK_REST_URL"] = outside.flink.url
    line = first_failing(doctor())
    assert (line.check, line.code) == ("settings", "SETTINGS")
    assert line.evidence == "MONGODB_URI is required and not set"


# --- the first line that fails ------------------------------------------------------------------------


def flink_is_away(system: System, own: dict[str, str]) -> None:
    own["FLINK_REST_URL"] = f"http://127.0.0.1:{free_port()}"
    through(system, own, system.sync)


def sync_is_not_called(system: System, own: dict[str, str]) -> None:
    assert own
    earlier = {"$subtract": ["$started_at", 3_600_000]}
    system.database["sync_runs"].update_many({}, [{"$set": {"started_at": earlier}}])


def cleanup_is_late(system: System, own: dict[str, str]) -> None:
    assert own
    earlier = {"$subtract": ["$started_at", 3_600_000 * 30]}
    system.database["cleanup_runs"].update_many({}, [{"$set": {"started_at": earlier}}])


def schedule_is_paused(system: System, own: dict[str, str]) -> None:
    sync_is_not_called(system, own)
    with system.schedules() as schedules:
        schedules.pause("flinkjobs-sync")


def sync_is_not_ready(system: System, own: dict[str, str]) -> None:
    assert own
    problem = {"status": 503, "code": "STORE_UNAVAILABLE", "detail": "MongoDB did not answer"}
    headers = {"Content-Type": "application/problem+json", "Retry-After": "30"}
    system.function.answer = lambda _: Answer(503, json.dumps(problem).encode(), headers)


def image_cannot_be_pulled(system: System, own: dict[str, str]) -> None:
    add_job(system, own, "CREATED", "IMAGE_PULL")


def job_waits_without_a_known_cause(system: System, own: dict[str, str]) -> None:
    add_job(system, own, "CREATED", None)


def script_raises(system: System, own: dict[str, str]) -> None:
    add_job(system, own, "FAILED", "SUBMIT_FAILED")


def job_is_lost(system: System, own: dict[str, str]) -> None:
    add_job(system, own, "LOST", "OUTCOME_UNKNOWN")


def jobs_is_away(system: System, own: dict[str, str]) -> None:
    assert own
    system.environ["JOBS_URL"] = f"http://127.0.0.1:{free_port()}"


def statistics_cannot_be_read(system: System, own: dict[str, str]) -> None:
    """Of another version, which is ready all the same."""
    assert own
    system.environ["JOBS_URL"] = system.function.url
    system.function.answer = lambda _: Answer(body=b'{"status": "ready", "windows": {}}')


def add_job(system: System, own: dict[str, str], status: str, code: str | None) -> None:
    assert own
    now = datetime.now(UTC)
    system.database["flink_jobs"].insert_one(
        {
            "job_id": "etl_1",
            "status": status,
            "submitted_at": now - timedelta(hours=1),
            "end_time": None if status == "CREATED" else now,
            "k8s_job_name": "flink-py-etl-00000000",
            "reason": code and {"code": code, "message": "as it is", "since": now},
            "revision": 1,
        }
    )


def through(system: System, own: dict[str, str], do: Callable[[], Any]) -> None:
    """Does it with the settings of the functions."""
    from_outside, system.environ = system.environ, own
    do()
    system.environ = from_outside


PROBLEMS: Final = (
    (flink_is_away, "flink.default", "FLINK_UNAVAILABLE", r"^the last pass, \d+ s ago, met this: .*ConnectE"),
    (sync_is_not_called, "sync.pass", "SYNC_OLD", r"began 60 min ago, and should have begun within 9 min"),
    (cleanup_is_late, "cleanup.run", "CLEANUP_OLD", "began 30 h ago"),
    (schedule_is_paused, "schedule.sync", "SCHEDULE_PAUSED", "flinkjobs-sync is PAUSED"),
    (sync_is_not_ready, "function.sync", "FUNCTION_UNAVAILABLE", "503 STORE_UNAVAILABLE: MongoDB did not"),
    (image_cannot_be_pulled, "records.created", "IMAGE_PULL", "^1 job CREATED: etl_1; `flinkjobs show ID`"),
    (
        job_waits_without_a_known_cause,
        "records.created",
        "CAUSE_UNKNOWN",
        r"^1 job CREATED \(NO_REASON\): etl_1",
    ),
    (job_is_lost, "records.lost", "OUTCOME_UNKNOWN", "^1 job of the last 24 h LOST"),
    (jobs_is_away, "function.jobs", "FUNCTION_UNAVAILABLE", "did not answer: .*Connection refused"),
    (
        statistics_cannot_be_read,
        "function.jobs",
        "FUNCTION_UNAVAILABLE",
        "statistics that this version cannot read",
    ),
)


@pytest.mark.parametrize(
    ("problem", "check", "code", "evidence"), PROBLEMS, ids=[row[0].__name__ for row in PROBLEMS]
)
def test_the_first_failing_line_names_the_cause(
    system: System,
    request: pytest.FixtureRequest,
    doctor: Doctor,
    problem: Callable[[System, dict[str, str]], None],
    check: str,
    code: str,
    evidence: str,
) -> None:
    own = dict(system.environ)
    problem(request.getfixturevalue("outside"), own)
    result = doctor()
    assert result.exit_code == 1, result.output
    line = first_failing(result)
    assert (line.check, line.code) == (check, code), result.output
    assert re.search(evidence, line.evidence), result.output


def test_a_script_that_raises_is_a_warning(outside: System, doctor: Doctor) -> None:
    script_raises(outside, outside.environ)
    result = doctor("--json")
    warning = findings(result.stdout)["records.no-id"]
    assert (result.exit_code, warning["verdict"], warning["code"]) == (0, "warn", "SUBMIT_FAILED")
    assert re.match("1 job without a Flink Job ID .*: etl_1; ", warning["evidence"])


def test_nothing_is_claimed_of_a_cluster_after_an_old_pass(
    system: System, request: pytest.FixtureRequest, doctor: Doctor
) -> None:
    own = dict(system.environ)
    outside: System = request.getfixturevalue("outside")
    flink_is_away(outside, own)
    sync_is_not_called(outside, own)
    reported = findings(doctor("--json").stdout)
    assert reported["flink.default"]["evidence"] == "not checked: the last pass is too old to judge by"
    assert reported["sync.pass"]["code"] == "SYNC_OLD"
