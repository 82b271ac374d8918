"""What a target receives from the scheduler double, and when. Time is moved by the control endpoint."""

import asyncio
import base64
import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.scheduler_v1 import CloudSchedulerClient, HttpMethod, HttpTarget, Job, OidcToken

from doubles.scheduler.client import ControlClient
from doubles.scheduler.dispatcher import DeadlineClock
from doubles.scheduler.server import Options, running
from doubles.tests.scheduler_target import Received, Target, running_target

START = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
PARENT = "projects/test/locations/here"


class Schedules:
    """Google's client, shortened for these tests: the job's id, the target and what differs."""

    def __init__(self, url: str) -> None:
        self.client = CloudSchedulerClient(
            transport="rest",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # google-auth's gap
            client_options=ClientOptions(api_endpoint=url),
        )

    def create(self, name: str, uri: str, schedule: str = "* * * * *", **fields: Any) -> str:
        target = HttpTarget(uri=uri, **fields.pop("target", {}))
        job = Job(name=f"{PARENT}/jobs/{name}", schedule=schedule, http_target=target, **fields)
        return str(self.client.create_job(parent=PARENT, job=job).name)

    def get(self, name: str) -> Job:
        return self.client.get_job(name=name)

    def close(self) -> None:
        self.client.transport.close()  # type: ignore[no-untyped-call] # the client's gap


@contextmanager
def running_double(options: Options) -> Iterator[ControlClient]:
    """The double served from a thread, which starts much faster than a process of its own."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with running(options) as url:
            ready.set_result((asyncio.get_running_loop(), stop, url))
            await stop.wait()

    with ThreadPoolExecutor(max_workers=1) as executor:
        served = executor.submit(asyncio.run, serve())
        loop, stop, url = ready.result(timeout=10)
        client = ControlClient(url)
        try:
            yield client
        finally:
            client.close()
            loop.call_soon_threadsafe(stop.set)
            served.result(timeout=10)


@pytest.fixture
def double() -> Iterator[ControlClient]:
    """Time stands at 12:00:30 on a Monday and only moves when a test moves it."""
    with running_double(Options(start=START, speed=0)) as client:
        yield client


@pytest.fixture
def schedules(double: ControlClient) -> Iterator[Schedules]:
    schedules = Schedules(double.url)
    yield schedules
    schedules.close()


@pytest.fixture
def target() -> Iterator[Target]:
    with running_target() as running:
        yield running


def headers_of(request: Received) -> dict[str, str]:
    """Without those that belong to the connection."""
    connection = {"Host", "Accept", "Accept-Encoding", "Content-Length", "Connection"}
    return {name: value for name, value in request.headers.items() if name not in connection}


def at(minute: int, second: float = 0) -> str:
    """A time of the day the tests play on, as the attempts show it."""
    moment = datetime(2026, 1, 5, 12, minute, tzinfo=UTC) + timedelta(seconds=second)
    return moment.isoformat().replace("+00:00", "Z")


def test_the_headers_on_the_wire(double: ControlClient, schedules: Schedules, target: Target) -> None:
    headers = {
        "X-Team": "data, platform",
        "Content-Type": "application/json",
        "User-Agent": "mine",
        "host": "elsewhere.example",
        "x-cloudscheduler": "no",
        "X-CloudScheduler-JobName": "another",
        "X-Google-Anything": "x",
    }
    schedules.create(
        "sync",
        target.url + "/run?a=b%20c",
        time_zone="America/New_York",
        target={"headers": headers, "body": b'{"job_ids": []}'},
    )
    double.forward_to_next()
    (request,) = target.wait_for(1)
    assert (request.method, request.path, request.body) == ("POST", "/run?a=b%20c", b'{"job_ids": []}')
    assert headers_of(request) == {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": "sync",
        "X-CloudScheduler-ScheduleTime": "2026-01-05T07:01:00-05:00",
        "Content-Type": "application/json",
        "X-Team": "data, platform",
    }
    assert request.headers["Host"] == target.url.removeprefix("http://")


def test_the_schedule_time_is_the_scheduled_one_in_utc_with_a_z(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    schedules.create("sync", target.url)
    double.forward(45)
    (request,) = target.wait_for(1)
    assert request.headers["X-CloudScheduler-ScheduleTime"] == "2026-01-05T12:01:00Z"
    (attempt,) = double.wait_for(finished=1)
    assert (attempt["schedule_time"], attempt["sent_at"]) == (at(1), at(1, 15))


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "PATCH", "DELETE"])
def test_every_method_without_a_body(
    double: ControlClient, schedules: Schedules, target: Target, method: str
) -> None:
    schedules.create("sync", target.url, target={"http_method": HttpMethod.__members__[method]})
    double.forward_to_next()
    (request,) = target.wait_for(1)
    assert (request.method, request.body) == (method, b"")
    assert "Content-Type" not in request.headers


def test_a_body_without_a_type_is_bytes(double: ControlClient, schedules: Schedules, target: Target) -> None:
    schedules.create("sync", target.url, target={"body": b"\x00\xff"})
    double.forward_to_next()
    (request,) = target.wait_for(1)
    assert (request.headers["Content-Type"], request.body) == ("application/octet-stream", b"\x00\xff")


@pytest.mark.parametrize("audience", ["", "https://sync.example"])
def test_the_token_names_account_and_audience_and_is_not_signed(
    double: ControlClient, schedules: Schedules, target: Target, audience: str
) -> None:
    token = OidcToken(service_account_email="robot@example.com", audience=audience)
    headers = {"Authorization": "Basic mine"}
    schedules.create("sync", target.url + "/run", target={"oidc_token": token, "headers": headers})
    double.forward_to_next()
    (request,) = target.wait_for(1)
    scheme, _, value = request.headers["Authorization"].partition(" ")
    header, claims, signature = value.split(".")
    assert scheme == "Bearer"
    assert decoded(header)["alg"] == "none"
    assert signature == ""
    assert decoded(claims)["email"] == "robot@example.com"
    assert decoded(claims)["aud"] == (audience or target.url + "/run")
    assert decoded(claims)["iat"] == int(datetime(2026, 1, 5, 12, 1, tzinfo=UTC).timestamp())


def decoded(part: str) -> dict[str, Any]:
    data = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, "OK"),
        (202, "OK"),
        (204, "OK"),
        (304, "UNKNOWN"),
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (418, "UNKNOWN"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
def test_only_2xx_acknowledges(double: ControlClient, target: Target, status: int, code: str) -> None:
    schedules = Schedules(double.url)
    name = schedules.create(f"answers-{status}", target.url, schedule="0 0 1 1 *")
    target.answer_with(status)
    schedules.client.run_job(name=name)
    (attempt,) = double.wait_for(finished=1, job=name)
    assert (attempt["status"], attempt["code"], attempt["trigger"]) == (status, code, "manual")
    job = schedules.get(name)
    schedules.close()
    assert bool(job.status.code) == (code != "OK")
    assert "status" in job
    assert job.last_attempt_time == START


def test_the_answer_after_a_redirect_counts(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.answers.append((307, {"Location": "/moved"}, b""))
    schedules.create("sync", target.url)
    double.forward_to_next()
    (attempt,) = double.wait_for(finished=1)
    assert [request.path for request in target.received] == ["/", "/moved"]
    assert attempt["code"] == "OK"


def test_a_target_that_is_not_there(double: ControlClient, schedules: Schedules) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        name = schedules.create("sync", f"http://127.0.0.1:{free.getsockname()[1]}/")
        double.forward_to_next()
        (attempt,) = double.wait_for(finished=1)
    assert (attempt["status"], attempt["code"]) == (None, "UNAVAILABLE")
    assert schedules.get(name).status.code == 14


def test_a_host_name_that_cannot_be_one(double: ControlClient, schedules: Schedules) -> None:
    """A label of a host name has at most 63 characters."""
    schedules.create("sync", f"http://{'a' * 64}.example/")
    double.forward_to_next()
    (attempt,) = double.wait_for(finished=1)
    assert (attempt["status"], attempt["code"]) == (None, "UNAVAILABLE")


def test_an_attempt_is_given_up_at_its_deadline(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.hold()
    name = schedules.create("sync", target.url, schedule="0 * * * *", attempt_deadline=timedelta(seconds=15))
    double.forward_to_next()
    target.wait_for(1)
    double.forward(14.9)
    assert [attempt["code"] for attempt in double.attempts()] == [None]
    double.forward(0.1)
    (attempt,) = double.wait_for(finished=1)
    assert (attempt["status"], attempt["code"]) == (None, "DEADLINE_EXCEEDED")
    assert schedules.get(name).status.code == 4


def test_deadlines_can_be_counted_by_the_wall_clock(target: Target) -> None:
    """Then a target keeps the time it really has, however fast schedules run."""
    with running_double(Options(start=START, speed=0, deadlines=DeadlineClock.WALL)) as double:
        schedules = Schedules(double.url)
        target.hold()
        schedules.create("sync", target.url, schedule="0 * * * *", attempt_deadline=timedelta(seconds=15))
        double.forward_to_next()
        target.wait_for(1)
        double.forward(600)
        target.release()
        (attempt,) = double.wait_for(finished=1)
        schedules.close()
    assert attempt["code"] == "OK"


def test_failed_attempts_are_repeated_with_growing_waits(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.answer_with(500, 503, 404, 200)
    name = schedules.create(
        "sync",
        target.url,
        schedule="0 * * * *",
        retry_config={"retry_count": 5, "min_backoff_duration": timedelta(seconds=10)},
    )
    double.forward_to_next()
    double.wait_for(finished=1)
    assert schedules.get(name).schedule_time == datetime(2026, 1, 5, 13, 0, 10, tzinfo=UTC)
    for attempts in (2, 3, 4):
        double.forward_to_next()
        double.wait_for(finished=attempts)
    assert [
        (attempt["attempt"], attempt["sent_at"], attempt["status"], attempt["schedule_time"])
        for attempt in double.attempts()
    ] == [
        (1, "2026-01-05T13:00:00Z", 500, "2026-01-05T13:00:00Z"),
        (2, "2026-01-05T13:00:10Z", 503, "2026-01-05T13:00:00Z"),
        (3, "2026-01-05T13:00:30Z", 404, "2026-01-05T13:00:00Z"),
        (4, "2026-01-05T13:01:10Z", 200, "2026-01-05T13:00:00Z"),
    ]
    job = schedules.get(name)
    assert job.schedule_time == datetime(2026, 1, 5, 14, tzinfo=UTC)
    assert (job.status.code, job.last_attempt_time) == (0, datetime(2026, 1, 5, 13, 1, 10, tzinfo=UTC))


def test_attempts_end_with_the_retry_count(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.answer_with(*[500] * 10)
    name = schedules.create("sync", target.url, schedule="0 * * * *", retry_config={"retry_count": 1})
    double.forward_to_next()
    double.wait_for(finished=1)
    double.forward_to_next()
    double.wait_for(finished=2)
    assert schedules.get(name).schedule_time == datetime(2026, 1, 5, 14, tzinfo=UTC)


def test_the_next_scheduled_time_ends_the_retries(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.answer_with(500)
    schedules.create(
        "sync",
        target.url,
        retry_config={"retry_count": 5, "min_backoff_duration": timedelta(seconds=60)},
    )
    double.forward_to_next()
    double.wait_for(finished=1)
    double.forward_to_next()
    assert [(one["attempt"], one["schedule_time"]) for one in double.wait_for(finished=2)] == [
        (1, at(1)),
        (1, at(2)),
    ]


def test_an_earlier_schedule_given_between_retries_ends_the_retries(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.answer_with(500)
    retries = {"retry_count": 5, "min_backoff_duration": timedelta(seconds=150)}
    name = schedules.create("sync", target.url, schedule="0 * * * *", retry_config=retries)
    double.forward_to_next()
    double.wait_for(finished=1)
    job = schedules.get(name)
    job.schedule = "* * * * *"
    schedules.client.update_job(job=job)
    double.forward_to_next()
    assert [(one["attempt"], one["schedule_time"]) for one in double.wait_for(finished=2)] == [
        (1, "2026-01-05T13:00:00Z"),
        (1, "2026-01-05T13:01:00Z"),
    ]


def test_pausing_gives_up_the_retries(double: ControlClient, schedules: Schedules, target: Target) -> None:
    target.answer_with(500)
    name = schedules.create("sync", target.url, retry_config={"retry_count": 5})
    double.forward_to_next()
    double.wait_for(finished=1)
    schedules.client.pause_job(name=name)
    schedules.client.resume_job(name=name)
    double.forward_to_next()
    assert [(one["attempt"], one["schedule_time"]) for one in double.wait_for(finished=2)] == [
        (1, at(1)),
        (1, at(2)),
    ]


def test_a_paused_job_does_not_ring(double: ControlClient, schedules: Schedules, target: Target) -> None:
    """Another job shows that the clock ticks during the pause."""
    paused = schedules.create("paused", target.url)
    schedules.create("other", target.url)
    schedules.client.pause_job(name=paused)
    for ticks in (1, 2, 3):
        double.forward_to_next()
        double.wait_for(finished=ticks, job="other")
    assert double.attempts("paused") == []
    schedules.client.resume_job(name=paused)
    double.forward_to_next()
    assert [attempt["schedule_time"] for attempt in double.wait_for(finished=1, job="paused")] == [at(4)]


def test_a_changed_schedule_is_followed_at_once(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    name = schedules.create("sync", target.url, schedule="0 2 * * *")
    job = schedules.get(name)
    job.schedule = "*/5 * * * *"
    schedules.client.update_job(job=job)
    double.forward_to_next()
    assert [attempt["schedule_time"] for attempt in double.wait_for(finished=1)] == [at(5)]


def test_a_deleted_job_does_not_ring_again(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.hold()
    deleted = schedules.create("deleted", target.url)
    double.forward_to_next()
    target.wait_for(1)
    schedules.client.delete_job(name=deleted)
    target.release()
    double.wait_for(finished=1)
    schedules.create("other", target.url)
    double.forward_to_next()
    double.wait_for(finished=1, job="other")
    assert len(double.attempts("deleted")) == 1


def test_a_job_deleted_and_created_again_rings_once_a_minute(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    name = schedules.create("sync", target.url)
    for _ in range(3):
        schedules.client.delete_job(name=name)
        schedules.create("sync", target.url)
    for ticks in (1, 2):
        double.forward_to_next()
        double.wait_for(finished=ticks)
    assert [attempt["schedule_time"] for attempt in double.attempts()] == [at(1), at(2)]


def test_a_late_execution_delays_the_next_one(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    """Of the times missed during an execution the first one is made up for, late; the others are dropped."""
    target.hold()
    schedules.create("slow", target.url, attempt_deadline=timedelta(minutes=30))
    double.forward_to_next()
    target.wait_for(1)
    double.forward(5 * 60)
    assert [attempt["code"] for attempt in double.attempts()] == [None]
    target.release()
    double.wait_for(finished=2)
    double.forward_to_next()
    assert [(attempt["schedule_time"], attempt["sent_at"]) for attempt in double.wait_for(finished=3)] == [
        (at(1), at(1)),
        (at(2), at(6)),
        (at(7), at(7)),
    ]


def test_an_execution_by_hand_may_overlap(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.hold()
    name = schedules.create("sync", target.url, attempt_deadline=timedelta(minutes=30))
    double.forward_to_next()
    target.wait_for(1)
    double.forward(20)
    answer = schedules.client.run_job(name=name)
    target.wait_for(2)
    assert target.in_flight == 2
    assert answer.name == name
    target.release()
    attempts = double.wait_for(finished=2)
    assert [(one["trigger"], one["schedule_time"]) for one in attempts] == [
        ("schedule", at(1)),
        ("manual", at(1, 20)),
    ]


def test_a_paused_job_can_be_run_by_hand(double: ControlClient, schedules: Schedules, target: Target) -> None:
    name = schedules.create("sync", target.url)
    schedules.client.pause_job(name=name)
    schedules.client.run_job(name=name)
    (attempt,) = double.wait_for(finished=1)
    assert (attempt["trigger"], attempt["code"]) == ("manual", "OK")
    assert schedules.get(name).state is Job.State.PAUSED


def test_duplicates_are_delivered_at_the_same_time(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    target.hold()
    schedules.create("sync", target.url)
    double.duplicate(attempts=1, copies=3)
    double.forward_to_next()
    requests = target.wait_for(3)
    assert target.in_flight == 3
    assert {request.headers["X-CloudScheduler-ScheduleTime"] for request in requests} == {at(1)}
    target.release()
    attempts = double.wait_for(finished=3)
    assert sorted((one["attempt"], one["copy"]) for one in attempts) == [(1, 1), (1, 2), (1, 3)]


def test_duplicates_end_with_their_number(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    schedules.create("sync", target.url)
    double.duplicate(attempts=2, copies=2, job="sync")
    for finished in (2, 4, 5):
        double.forward_to_next()
        double.wait_for(finished=finished)
    double.forward_to_next()
    assert [one["schedule_time"] for one in double.wait_for(finished=6)] == [at(1)] * 2 + [at(2)] * 2 + [
        at(3),
        at(4),
    ]


def test_duplicates_of_one_job_leave_others_alone(
    double: ControlClient, schedules: Schedules, target: Target
) -> None:
    schedules.create("sync", target.url)
    schedules.create("cleanup", target.url)
    double.duplicate(copies=2, job=f"{PARENT}/jobs/cleanup")
    double.forward_to_next()
    double.wait_for(finished=3)
    assert (len(double.attempts("sync")), len(double.attempts("cleanup"))) == (1, 2)


def test_a_duplicate_may_come_late(double: ControlClient, schedules: Schedules, target: Target) -> None:
    """Even during the next execution, as a message that was stuck somewhere would."""
    schedules.create("sync", target.url)
    double.duplicate(copies=2, delay_seconds=60)
    double.forward_to_next()
    double.wait_for(finished=1)
    double.forward(60)
    attempts = double.wait_for(finished=3)
    assert sorted((one["schedule_time"], one["copy"], one["sent_at"]) for one in attempts) == [
        (at(1), 1, at(1)),
        (at(1), 2, at(2)),
        (at(2), 1, at(2)),
    ]


def test_the_clock_can_run_faster_than_the_wall(target: Target) -> None:
    """A thousand minutes in a second: true cron times, none twice, each sent when scheduler time has come."""
    with running_double(Options(speed=60_000, start=START)) as double:
        schedules = Schedules(double.url)
        schedules.create("sync", target.url, schedule="*/3 * * * *")
        attempts = double.wait_for(finished=5)[:5]
        schedules.close()
    times = [datetime.fromisoformat(attempt["schedule_time"]) for attempt in attempts]
    assert all(time.minute % 3 == 0 and time.second == 0 for time in times)
    assert times == sorted(set(times))
    assert all(attempt["sent_at"] >= attempt["schedule_time"] for attempt in attempts)


def test_waiting_for_attempts_that_do_not_come_ends(double: ControlClient) -> None:
    with pytest.raises(TimeoutError, match="waited for"):
        double.wait_for(finished=1, timeout_seconds=0.05)
