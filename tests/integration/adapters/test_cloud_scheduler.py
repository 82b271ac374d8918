"""The Cloud Scheduler adapter against the double, and against servers that misbehave."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.scheduler_v1 import CloudSchedulerClient, HttpTarget, Job

from doubles.scheduler.process import SchedulerDouble
from doubles.tests.scheduler_target import Target, running_target
from flinkjobs.adapters.cloud_scheduler import CloudSchedules
from flinkjobs.domain.errors import (
    BadRequestError,
    FlinkjobsError,
    SchedulerRefusedError,
    SchedulerUnavailableError,
)
from flinkjobs.domain.schedule import Applied, Schedule, ScheduleState, State

NOON = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
PROJECTS = (f"project-{number}" for number in count(1))
SYNC = Schedule(
    name="flinkjobs-sync",
    cron="*/3 * * * *",
    uri="https://sync.example/",
    service_account_email="trigger@example.com",
    attempt_deadline_seconds=165,
    description="Synchronises the records",
)
CLEANUP = Schedule(name="flinkjobs-cleanup", cron="0 2 * * *", uri="https://cleanup.example/")


@pytest.fixture(scope="module")
def double() -> Iterator[SchedulerDouble]:
    """Time stands at 12:00:30 until a test moves it forward."""
    with SchedulerDouble(start=NOON, speed=0) as running:
        yield running


@pytest.fixture
def project() -> str:
    return next(PROJECTS)


@pytest.fixture
def schedules(double: SchedulerDouble, project: str) -> Iterator[CloudSchedules]:
    with CloudSchedules(project=project, location="here", endpoint=double.url) as schedules:
        yield schedules


@pytest.fixture
def client(double: SchedulerDouble) -> Iterator[CloudSchedulerClient]:
    """Google's client, to see what the adapter has written, and to write what it would not."""
    client = CloudSchedulerClient(
        transport="rest",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # google-auth's gap
        client_options=ClientOptions(api_endpoint=double.url),
    )
    yield client
    client.transport.close()  # type: ignore[no-untyped-call] # the client's gap


@pytest.fixture
def target() -> Iterator[Target]:
    with running_target() as running:
        yield running


def state_of(schedules: CloudSchedules, name: str) -> ScheduleState:
    state = schedules.get(name)
    assert state is not None
    return state


def job_of(client: CloudSchedulerClient, project: str, schedule: Schedule) -> Job:
    return client.get_job(name=f"projects/{project}/locations/here/jobs/{schedule.name}")


def test_a_new_schedule_is_created_as_asked(
    schedules: CloudSchedules, client: CloudSchedulerClient, project: str
) -> None:
    assert schedules.apply(SYNC) is Applied.CREATED
    job = job_of(client, project, SYNC)
    assert (job.schedule, job.time_zone, job.description) == (
        "*/3 * * * *",
        "Etc/UTC",
        "Synchronises the records",
    )
    assert (job.http_target.uri, job.http_target.http_method.name) == ("https://sync.example/", "POST")
    assert job.http_target.oidc_token.service_account_email == "trigger@example.com"
    assert job.http_target.oidc_token.audience == "https://sync.example/"
    assert job.attempt_deadline == timedelta(seconds=165)
    assert job.retry_config.retry_count == 0


def test_an_unchanged_schedule_is_not_written(
    double: SchedulerDouble, schedules: CloudSchedules, client: CloudSchedulerClient, project: str
) -> None:
    """Every write moves the job's update time."""
    everything = replace(
        SYNC, headers={"X-Team": "data"}, body=b"{}", audience="https://sync.example", retry_count=2
    )
    for schedule in (everything, CLEANUP):
        schedules.apply(schedule)
    written = [job_of(client, project, schedule).user_update_time for schedule in (everything, CLEANUP)]
    double.forward(10)
    assert [schedules.apply(schedule) for schedule in (everything, CLEANUP)] == [Applied.UNCHANGED] * 2
    assert [job_of(client, project, one).user_update_time for one in (everything, CLEANUP)] == written


def test_a_changed_schedule_is_updated_and_back(
    schedules: CloudSchedules, client: CloudSchedulerClient, project: str
) -> None:
    schedules.apply(SYNC)
    before = job_of(client, project, SYNC)
    assert schedules.apply(replace(SYNC, cron="*/1 * * * *")) is Applied.UPDATED
    assert job_of(client, project, SYNC).schedule == "*/1 * * * *"
    assert schedules.apply(SYNC) is Applied.UPDATED
    after = job_of(client, project, SYNC)
    after.user_update_time = before.user_update_time
    after.schedule_time = before.schedule_time
    assert after == before


CHANGES: dict[str, Schedule] = {
    "time zone": replace(SYNC, time_zone="Asia/Shanghai"),
    "uri": replace(SYNC, uri="https://other.example/run"),
    "method": replace(SYNC, http_method="PUT"),
    "headers": replace(SYNC, headers={"X-Team": "data"}),
    "body": replace(SYNC, body=b'{"job_ids": []}'),
    "no token": replace(SYNC, service_account_email=None),
    "another account": replace(SYNC, service_account_email="other@example.com"),
    "audience": replace(SYNC, audience="https://audience.example"),
    "deadline": replace(SYNC, attempt_deadline_seconds=60),
    "retries": replace(SYNC, retry_count=3),
    "description": replace(SYNC, description="另一个"),
    "everything": replace(CLEANUP, name=SYNC.name),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_every_attribute_can_be_changed_and_is_then_unchanged(
    schedules: CloudSchedules, changed: Schedule
) -> None:
    schedules.apply(SYNC)
    assert schedules.apply(changed) is Applied.UPDATED
    assert schedules.apply(changed) is Applied.UNCHANGED
    kept = state_of(schedules, SYNC.name).schedule
    assert (kept.time_zone, kept.uri, kept.http_method, kept.body, kept.retry_count, kept.description) == (
        changed.time_zone,
        changed.uri,
        changed.http_method,
        changed.body,
        changed.retry_count,
        changed.description,
    )


def test_what_a_schedule_does_not_know_is_kept(
    schedules: CloudSchedules, client: CloudSchedulerClient, project: str
) -> None:
    schedules.apply(SYNC)
    job = job_of(client, project, SYNC)
    job.retry_config.min_backoff_duration = timedelta(seconds=42)
    client.update_job(job=job)
    schedules.apply(replace(SYNC, retry_count=1))
    retry = job_of(client, project, SYNC).retry_config
    assert (retry.retry_count, retry.min_backoff_duration) == (1, timedelta(seconds=42))


def test_applying_leaves_a_paused_schedule_paused(schedules: CloudSchedules) -> None:
    schedules.apply(SYNC)
    schedules.pause(SYNC.name)
    assert schedules.apply(replace(SYNC, cron="0 * * * *")) is Applied.UPDATED
    assert state_of(schedules, SYNC.name).state is State.PAUSED


def test_a_wrong_expression_is_refused_before_anything_is_sent(target: Target) -> None:
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url) as schedules,
        pytest.raises(BadRequestError, match="bad minute"),
    ):
        schedules.apply(replace(SYNC, cron="61 * * * *"))
    assert target.received == []


@pytest.mark.filterwarnings("ignore:Unrecognized:UserWarning")  # the client's own note about a new value
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (1, State.ENABLED),
        (2, State.PAUSED),
        (3, State.DISABLED),
        (4, State.UPDATE_FAILED),
        (99, State.UNKNOWN),
    ],
)
def test_every_state_of_googles_and_ones_to_come(target: Target, state: int, expected: State) -> None:
    job = {"name": "projects/p/locations/here/jobs/sync", "state": state, "httpTarget": {"httpMethod": state}}
    target.answers.append((200, {}, json.dumps(job).encode()))
    with CloudSchedules(project="p", location="here", endpoint=target.url) as schedules:
        assert state_of(schedules, "sync").state is expected


def test_get_of_one_that_is_not_there(schedules: CloudSchedules) -> None:
    assert schedules.get("nothing") is None


def test_the_state_before_the_first_attempt(schedules: CloudSchedules, double: SchedulerDouble) -> None:
    schedules.apply(replace(CLEANUP, cron="0 2 6 1 *"))
    state = state_of(schedules, CLEANUP.name)
    assert state.next_time is not None
    assert state.next_time > double.now()
    assert (state.state, state.last_attempt_time, state.last_status_code, state.last_status_message) == (
        State.ENABLED,
        None,
        None,
        "",
    )


def test_the_state_after_attempts(
    double: SchedulerDouble, schedules: CloudSchedules, target: Target, project: str
) -> None:
    schedules.apply(replace(CLEANUP, uri=target.url))
    target.answer_with(503, 200)
    seen = []
    for attempts in (1, 2):
        schedules.run(CLEANUP.name)
        double.wait_for(finished=attempts, job=f"projects/{project}/locations/here/jobs/{CLEANUP.name}")
        state = state_of(schedules, CLEANUP.name)
        assert state.last_attempt_time == double.now()
        seen.append((state.last_status_code, "503" in state.last_status_message))
    assert seen == [(14, True), (0, False)]


def test_pause_and_resume_are_idempotent(schedules: CloudSchedules) -> None:
    schedules.apply(SYNC)
    paused = schedules.pause(SYNC.name)
    assert (paused.state, paused.next_time) == (State.PAUSED, None)
    assert schedules.pause(SYNC.name) == paused
    resumed = schedules.resume(SYNC.name)
    assert resumed.state is State.ENABLED
    assert resumed.next_time is not None
    assert schedules.resume(SYNC.name) == resumed


@pytest.mark.parametrize("method", ["pause", "resume", "run"])
def test_a_schedule_that_is_not_there_is_a_refusal(schedules: CloudSchedules, method: str) -> None:
    with pytest.raises(SchedulerRefusedError, match="nothing"):
        getattr(schedules, method)("nothing")


def test_what_cloud_scheduler_refuses_is_a_refusal(schedules: CloudSchedules) -> None:
    with pytest.raises(SchedulerRefusedError, match=r"create schedule flinkjobs-sync: .*attemptDeadline"):
        schedules.apply(replace(SYNC, attempt_deadline_seconds=5))


def test_a_refused_pause_of_a_schedule_that_is_not_paused_stays_a_refusal(target: Target) -> None:
    job = Job(
        name="projects/p/locations/here/jobs/sync", state=Job.State.DISABLED, http_target=HttpTarget(uri="x")
    )
    refusal = {"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "It is DISABLED"}}
    target.answers.append((400, {}, json.dumps(refusal).encode()))
    target.answers.append((200, {}, Job.to_json(job).encode()))
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url) as schedules,
        pytest.raises(SchedulerRefusedError, match="It is DISABLED"),
    ):
        schedules.pause("sync")


def google_error(status: int, name: str, message: str = "said so") -> tuple[int, dict[str, str], bytes]:
    body = {"error": {"code": status, "status": name, "message": message}}
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


ANSWERS: dict[str, tuple[tuple[int, dict[str, str], bytes], type[FlinkjobsError]]] = {
    "bad request": (google_error(400, "INVALID_ARGUMENT"), SchedulerRefusedError),
    "not signed in": (google_error(401, "UNAUTHENTICATED"), SchedulerRefusedError),
    "not allowed": (google_error(403, "PERMISSION_DENIED"), SchedulerRefusedError),
    "conflict": (google_error(409, "ALREADY_EXISTS"), SchedulerRefusedError),
    "too many": (google_error(429, "RESOURCE_EXHAUSTED"), SchedulerUnavailableError),
    "internal": (google_error(500, "INTERNAL"), SchedulerUnavailableError),
    "unavailable": (google_error(503, "UNAVAILABLE"), SchedulerUnavailableError),
    "too late": (google_error(504, "DEADLINE_EXCEEDED"), SchedulerUnavailableError),
    "a proxy's page": ((502, {"Content-Type": "text/html"}, b"<html>"), SchedulerUnavailableError),
    "a login page": ((200, {"Content-Type": "text/html"}, b"<html>"), SchedulerUnavailableError),
    "half an answer": (
        (200, {"Content-Type": "application/json"}, b'{"name": "proj'),
        SchedulerUnavailableError,
    ),
    "not text": ((200, {"Content-Type": "application/json"}, b"\xff\xfe\xff"), SchedulerUnavailableError),
    "another shape": (
        (200, {"Content-Type": "application/json"}, b'{"name": []}'),
        SchedulerUnavailableError,
    ),
}


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_every_bad_answer_leaves_as_our_own_error(
    target: Target, answer: tuple[int, dict[str, str], bytes], expected: type[FlinkjobsError]
) -> None:
    target.answers.append(answer)
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url) as schedules,
        pytest.raises(expected, match="get schedule sync: ") as caught,
    ):
        schedules.get("sync")
    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None


def test_every_method_maps_errors_to_our_own(target: Target) -> None:
    with CloudSchedules(project="p", location="here", endpoint=target.url) as schedules:
        calls: list[Callable[[], object]] = [
            lambda: schedules.get("x"),
            lambda: schedules.apply(SYNC),
            lambda: schedules.pause("x"),
            lambda: schedules.resume("x"),
            lambda: schedules.run("x"),
        ]
        for call in calls:
            target.answers.append(google_error(403, "PERMISSION_DENIED"))
            with pytest.raises(SchedulerRefusedError, match="said so"):
                call()
    assert len(target.received) == len(calls)


def test_a_request_is_not_repeated_by_itself(target: Target) -> None:
    target.answers.append(google_error(503, "UNAVAILABLE"))
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url) as schedules,
        pytest.raises(SchedulerUnavailableError),
    ):
        schedules.get("sync")
    assert len(target.received) == 1


def test_foreign_text_is_cut(target: Target) -> None:
    target.answers.append(google_error(403, "PERMISSION_DENIED", "x" * 100_000))
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url) as schedules,
        pytest.raises(SchedulerRefusedError) as caught,
    ):
        schedules.get("sync")
    assert len(str(caught.value)) == len("get schedule sync: ") + 500


def test_a_server_that_does_not_answer_in_time(target: Target) -> None:
    target.hold()
    with (
        CloudSchedules(project="p", location="here", endpoint=target.url, timeout_seconds=0.1) as schedules,
        pytest.raises(SchedulerUnavailableError, match="timed out"),
    ):
        schedules.get("sync")


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        with (
            CloudSchedules(project="p", location="here", endpoint=endpoint) as schedules,
            pytest.raises(SchedulerUnavailableError, match="refused"),
        ):
            schedules.get("sync")


def test_missing_credentials_are_a_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(SchedulerRefusedError, match=r"missing\.json"):
        CloudSchedules(project="p", location="here")


def test_the_slow_library_is_imported_with_the_adapter_only() -> None:
    code = (
        "import sys, flinkjobs, flinkjobs.domain.schedule, flinkjobs.adapters\n"
        "assert not {'google.cloud.scheduler_v1', 'google.api_core', 'google.auth'} & sys.modules.keys()\n"
        "import flinkjobs.adapters.cloud_scheduler\n"
        "assert 'google.cloud.scheduler_v1' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
