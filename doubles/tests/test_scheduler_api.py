"""The scheduler double's API, asked through Google's own client."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.scheduler_v1 import (
    CloudSchedulerClient,
    HttpMethod,
    HttpTarget,
    Job,
    OidcToken,
    PubsubTarget,
)
from google.protobuf.field_mask_pb2 import FieldMask

from doubles.scheduler.process import SchedulerDouble

NOON = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC)
PARENTS = (f"projects/test/locations/here-{number}" for number in count(1))
TARGET = HttpTarget(uri="https://sync.example/run")


@pytest.fixture(scope="module")
def double() -> Iterator[SchedulerDouble]:
    """Time stands still at 12:00:30, so nothing is sent."""
    with SchedulerDouble(start=NOON, speed=0) as running:
        yield running


@pytest.fixture(scope="module")
def client(double: SchedulerDouble) -> Iterator[CloudSchedulerClient]:
    client = CloudSchedulerClient(
        transport="rest",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # google-auth's gap
        client_options=ClientOptions(api_endpoint=double.url),
    )
    yield client
    client.transport.close()  # type: ignore[no-untyped-call] # the client's gap


@pytest.fixture
def parent() -> str:
    return next(PARENTS)


@contextlib.contextmanager
def refused(
    error: type[exceptions.GoogleAPICallError], status: str, match: str | None = None
) -> Iterator[None]:
    """Over REST the client's exception only has the HTTP status; the code's name is in the answer."""
    with pytest.raises(error, match=match) as caught:
        yield
    assert caught.value.response.json()["error"]["status"] == status


def job_of(parent: str, name: str = "sync", **fields: Any) -> Job:
    return Job(
        **{"name": f"{parent}/jobs/{name}", "schedule": "*/3 * * * *", "http_target": TARGET, **fields}
    )


def test_create_answers_the_job_with_its_defaults(client: CloudSchedulerClient, parent: str) -> None:
    job = client.create_job(parent=parent, job=job_of(parent))
    assert job.name == f"{parent}/jobs/sync"
    assert job.state is Job.State.ENABLED
    assert job.time_zone == "UTC"
    assert job.schedule_time == datetime(2026, 1, 5, 12, 3, tzinfo=UTC)
    assert job.user_update_time == NOON
    assert job.attempt_deadline == timedelta(seconds=180)
    assert job.retry_config.retry_count == 0
    assert job.retry_config.min_backoff_duration == timedelta(seconds=5)
    assert job.retry_config.max_backoff_duration == timedelta(hours=1)
    assert job.retry_config.max_doublings == 5
    assert job.http_target.http_method is HttpMethod.POST
    assert dict(job.http_target.headers) == {"User-Agent": "Google-Cloud-Scheduler"}
    assert "status" not in job
    assert "last_attempt_time" not in job


def test_get_answers_what_was_created(client: CloudSchedulerClient, parent: str) -> None:
    target = HttpTarget(
        uri="https://sync.example/run?a=b",
        http_method=HttpMethod.PUT,
        headers={"X-Team": "data"},
        body=b"\x00\xff{}",
        oidc_token=OidcToken(service_account_email="robot@example.com"),
    )
    created = client.create_job(
        parent=parent,
        job=job_of(
            parent,
            http_target=target,
            description="每三分钟",
            time_zone="Asia/Shanghai",
            attempt_deadline=timedelta(seconds=15.5),
        ),
    )
    job = client.get_job(name=created.name)
    assert job == created
    assert job.http_target.http_method is HttpMethod.PUT
    assert job.http_target.body == b"\x00\xff{}"
    assert dict(job.http_target.headers) == {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-Team": "data",
        "Content-Type": "application/octet-stream",
    }
    assert job.http_target.oidc_token.audience == "https://sync.example/run?a=b"
    assert job.description == "每三分钟"
    assert job.attempt_deadline == timedelta(seconds=15.5)


def test_a_job_without_a_name_gets_one(client: CloudSchedulerClient, parent: str) -> None:
    job = client.create_job(parent=parent, job=Job(schedule="* * * * *", http_target=TARGET))
    assert job.name.startswith(f"{parent}/jobs/")
    assert client.get_job(name=job.name) == job


def test_a_bare_host_gets_a_path(client: CloudSchedulerClient, parent: str) -> None:
    job = client.create_job(
        parent=parent, job=job_of(parent, http_target=HttpTarget(uri="http://127.0.0.1:1"))
    )
    assert job.http_target.uri == "http://127.0.0.1:1/"


def test_list_pages_through_the_jobs_of_one_location(client: CloudSchedulerClient, parent: str) -> None:
    for name in ("e", "a", "d", "b", "c"):
        client.create_job(parent=parent, job=job_of(parent, name))
    other = next(PARENTS)
    client.create_job(parent=other, job=job_of(other, "elsewhere"))
    pages = list(client.list_jobs(request={"parent": parent, "page_size": 2}).pages)
    assert [[job.name[-1] for job in page.jobs] for page in pages] == [["a", "b"], ["c", "d"], ["e"]]
    assert [bool(page.next_page_token) for page in pages] == [True, True, False]
    assert [job.name[-1] for job in client.list_jobs(parent=parent)] == ["a", "b", "c", "d", "e"]


def test_list_of_an_empty_location(client: CloudSchedulerClient, parent: str) -> None:
    assert list(client.list_jobs(parent=parent)) == []


@pytest.mark.parametrize("request_fields", [{"page_size": -1}, {"page_token": "nonsense"}])
def test_list_refuses_what_is_no_page(
    client: CloudSchedulerClient, parent: str, request_fields: dict[str, object]
) -> None:
    with refused(exceptions.BadRequest, "INVALID_ARGUMENT"):
        client.list_jobs(request={"parent": parent, **request_fields})


def test_patch_changes_only_the_fields_of_its_mask(client: CloudSchedulerClient, parent: str) -> None:
    client.create_job(parent=parent, job=job_of(parent, description="kept"))
    changed = client.update_job(
        job=job_of(
            parent, schedule="*/1 * * * *", description="ignored", attempt_deadline=timedelta(seconds=60)
        ),
        update_mask=FieldMask(paths=["schedule", "attempt_deadline"]),
    )
    assert changed.schedule == "*/1 * * * *"
    assert changed.attempt_deadline == timedelta(seconds=60)
    assert changed.description == "kept"
    assert changed.schedule_time == datetime(2026, 1, 5, 12, 1, tzinfo=UTC)
    assert client.get_job(name=changed.name) == changed


def test_patch_reaches_into_messages(client: CloudSchedulerClient, parent: str) -> None:
    target = HttpTarget(uri="http://old.example/", body=b"kept", http_method=HttpMethod.PATCH)
    client.create_job(parent=parent, job=job_of(parent, http_target=target))
    changed = client.update_job(
        job=job_of(parent, http_target=HttpTarget(uri="http://new.example/")),
        update_mask=FieldMask(paths=["http_target.uri"]),
    )
    assert (changed.http_target.uri, changed.http_target.body) == ("http://new.example/", b"kept")


def test_patch_leaves_a_paused_job_paused(client: CloudSchedulerClient, parent: str) -> None:
    name = client.create_job(parent=parent, job=job_of(parent)).name
    client.pause_job(name=name)
    changed = client.update_job(
        job=job_of(parent, schedule="0 2 * * *"), update_mask=FieldMask(paths=["schedule"])
    )
    assert changed.state is Job.State.PAUSED
    assert changed.schedule == "0 2 * * *"
    assert "schedule_time" not in changed


def test_a_refused_patch_changes_nothing(client: CloudSchedulerClient, parent: str) -> None:
    created = client.create_job(parent=parent, job=job_of(parent))
    with refused(exceptions.BadRequest, "INVALID_ARGUMENT", "schedule"):
        client.update_job(
            job=job_of(parent, schedule="61 * * * *", description="new"),
            update_mask=FieldMask(paths=["schedule", "description"]),
        )
    assert client.get_job(name=created.name) == created


def test_pause_and_resume(client: CloudSchedulerClient, parent: str) -> None:
    name = client.create_job(parent=parent, job=job_of(parent)).name
    paused = client.pause_job(name=name)
    assert paused.state is Job.State.PAUSED
    assert "schedule_time" not in paused
    resumed = client.resume_job(name=name)
    assert resumed.state is Job.State.ENABLED
    assert resumed.schedule_time == datetime(2026, 1, 5, 12, 3, tzinfo=UTC)


def test_pausing_a_paused_job_and_resuming_an_enabled_one_are_refused(
    client: CloudSchedulerClient, parent: str
) -> None:
    name = client.create_job(parent=parent, job=job_of(parent)).name
    with refused(exceptions.BadRequest, "FAILED_PRECONDITION"):
        client.resume_job(name=name)
    client.pause_job(name=name)
    with refused(exceptions.BadRequest, "FAILED_PRECONDITION"):
        client.pause_job(name=name)


def test_delete(client: CloudSchedulerClient, parent: str) -> None:
    name = client.create_job(parent=parent, job=job_of(parent)).name
    client.delete_job(name=name)
    assert list(client.list_jobs(parent=parent)) == []


def test_every_call_on_a_job_that_is_not_there_is_not_found(
    client: CloudSchedulerClient, parent: str
) -> None:
    name = f"{parent}/jobs/gone"
    for call in (client.get_job, client.pause_job, client.resume_job, client.run_job, client.delete_job):
        with refused(exceptions.NotFound, "NOT_FOUND", "gone"):
            call(name=name)
    with refused(exceptions.NotFound, "NOT_FOUND", "gone"):
        client.update_job(job=job_of(parent, "gone"))


def test_a_name_is_given_once(client: CloudSchedulerClient, parent: str) -> None:
    client.create_job(parent=parent, job=job_of(parent))
    with refused(exceptions.Conflict, "ALREADY_EXISTS", "sync"):
        client.create_job(parent=parent, job=job_of(parent))


BAD_JOBS: dict[str, dict[str, Any]] = {
    "schedule: too few fields": {"schedule": "* * * *"},
    "schedule: empty": {"schedule": ""},
    "schedule: never": {"schedule": "0 0 30 2 *"},
    "schedule: another dialect": {"schedule": "0 0 L * *"},
    "timeZone: unknown": {"time_zone": "Europe/Atlantis"},
    "httpTarget.uri: no scheme": {"http_target": HttpTarget(uri="sync.example/run")},
    "httpTarget.uri: another scheme": {"http_target": HttpTarget(uri="ftp://sync.example/")},
    "httpTarget.uri: no host": {"http_target": HttpTarget(uri="https:///run")},
    "httpTarget.uri: a space": {"http_target": HttpTarget(uri="https://sync.example/a b")},
    "httpTarget.uri: no port": {"http_target": HttpTarget(uri="https://sync.example:port/")},
    "httpTarget.uri: too long": {"http_target": HttpTarget(uri="https://sync.example/" + "a" * 2063)},
    "httpTarget.body: of a GET": {
        "http_target": HttpTarget(uri="https://sync.example/", http_method=HttpMethod.GET, body=b"x")
    },
    "httpTarget.headers: a value with a line break": {
        "http_target": HttpTarget(uri="https://sync.example/", headers={"X-A": "b\r\nX-C: d"})
    },
    "httpTarget.headers: a name with a space": {
        "http_target": HttpTarget(uri="https://sync.example/", headers={"X A": "b"})
    },
    "httpTarget.headers: too large": {
        "http_target": HttpTarget(uri="https://sync.example/", headers={"X-A": "b" * 80 * 1024})
    },
    "httpTarget.oidcToken: without an account": {
        "http_target": HttpTarget(uri="https://sync.example/", oidc_token=OidcToken(audience="x"))
    },
    "attemptDeadline: under 15 s": {"attempt_deadline": timedelta(seconds=14.999)},
    "attemptDeadline: over 30 min": {"attempt_deadline": timedelta(seconds=1800.001)},
    "attemptDeadline: negative": {"attempt_deadline": timedelta(seconds=-1)},
    "retryConfig.retryCount: over 5": {"retry_config": {"retry_count": 6}},
    "retryConfig.retryCount: negative": {"retry_config": {"retry_count": -1}},
    "retryConfig.maxDoublings: negative": {"retry_config": {"max_doublings": -1}},
    "retryConfig.minBackoffDuration: over the maximum": {
        "retry_config": {"min_backoff_duration": timedelta(hours=2)}
    },
    "retryConfig: negative duration": {"retry_config": {"max_retry_duration": timedelta(seconds=-5)}},
    "description: too long": {"description": "a" * 501},
    "name: of another location": {"name": "projects/test/locations/elsewhere/jobs/sync"},
    "name: other characters": {"name": "projects/test/locations/here/jobs/s.y.n.c"},
}


@pytest.mark.parametrize(("case", "fields"), BAD_JOBS.items(), ids=BAD_JOBS)
def test_a_bad_job_is_an_invalid_argument_naming_the_field(
    client: CloudSchedulerClient, parent: str, case: str, fields: dict[str, Any]
) -> None:
    with refused(exceptions.BadRequest, "INVALID_ARGUMENT", case.partition(":")[0]):
        client.create_job(parent=parent, job=job_of(parent, **fields))
    assert list(client.list_jobs(parent=parent)) == []


@pytest.mark.parametrize("deadline", [15, 1800])
def test_the_deadlines_bounds_are_allowed(client: CloudSchedulerClient, parent: str, deadline: int) -> None:
    job = client.create_job(parent=parent, job=job_of(parent, attempt_deadline=timedelta(seconds=deadline)))
    assert job.attempt_deadline == timedelta(seconds=deadline)


def test_a_job_needs_a_target(client: CloudSchedulerClient, parent: str) -> None:
    with refused(exceptions.BadRequest, "INVALID_ARGUMENT", "httpTarget"):
        client.create_job(parent=parent, job=Job(name=f"{parent}/jobs/sync", schedule="* * * * *"))


def test_other_targets_are_not_served(client: CloudSchedulerClient, parent: str) -> None:
    topic = PubsubTarget(topic_name="projects/test/topics/t", data=b"x")
    with refused(exceptions.MethodNotImplemented, "UNIMPLEMENTED", "pubsubTarget"):
        client.create_job(
            parent=parent, job=Job(name=f"{parent}/jobs/sync", schedule="* * * * *", pubsub_target=topic)
        )


def send(double: SchedulerDouble, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """A request the official client cannot be made to send."""
    request = urllib.request.Request(double.url + path, data=body, method=method)  # noqa: S310 the double's own URL
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 as above
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_without_the_clients_wish_enums_are_names(double: SchedulerDouble, parent: str) -> None:
    body = {
        "name": f"{parent}/jobs/sync",
        "schedule": "* * * * *",
        "httpTarget": {"uri": "http://a/", "httpMethod": "PUT"},
    }
    status, job = send(double, "POST", f"/v1/{parent}/jobs", json.dumps(body).encode())
    assert (status, job["state"], job["httpTarget"]["httpMethod"]) == (200, "ENABLED", "PUT")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"schedule": 5}',
        b'{"nothing": 1}',
        b'{"httpTarget": []}',
        b'{"schedule": "* * * * *", "httpTarget": {"uri": "http://a/", "httpMethod": "YELL"}}',
        b'{"schedule": "* * * * *", "httpTarget": {"uri": "http://a/", "body": "?"}}',
        b'{"schedule": "* * * * *", "httpTarget": {"uri": "http://a/"}, "attemptDeadline": 180}',
        b'{"schedule": "* * * * *", "httpTarget": {"uri": "http://a/"}, "retryConfig": {"retryCount": true}}',
    ],
)
def test_what_is_no_job_is_refused_in_googles_form(double: SchedulerDouble, parent: str, body: bytes) -> None:
    status, answer = send(double, "POST", f"/v1/{parent}/jobs", body)
    assert (status, answer["error"]["code"], answer["error"]["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1/projects/p/locations/l", "/v1/projects/p/jobs", "/_control/nothing"]
)
def test_other_paths_are_not_found(double: SchedulerDouble, path: str) -> None:
    status, answer = send(double, "GET", path)
    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")


def test_an_unknown_path_in_a_mask_is_refused(
    double: SchedulerDouble, client: CloudSchedulerClient, parent: str
) -> None:
    client.create_job(parent=parent, job=job_of(parent))
    status, answer = send(double, "PATCH", f"/v1/{parent}/jobs/sync?updateMask=cron", b"{}")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_control/clock/forward", b'{"seconds": -1}'),
        ("/_control/clock/forward", b'{"seconds": "soon"}'),
        ("/_control/clock/forward", b'{"seconds": NaN}'),
        ("/_control/duplicates", b'{"copies": 1}'),
        ("/_control/duplicates", b'{"job": 5}'),
    ],
)
def test_the_control_endpoint_refuses_nonsense(double: SchedulerDouble, path: str, body: bytes) -> None:
    status, answer = send(double, "POST", path, body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
