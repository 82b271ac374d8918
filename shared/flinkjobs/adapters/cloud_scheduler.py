"""Cloud Scheduler, through Google's client: the only importer of ``google-cloud-scheduler``.

The import costs more than a second, so nothing imports this module at its own start; the functions never do.
Source of the calls: https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Self

from google.api_core import exceptions as api_errors
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth_errors
from google.auth.credentials import AnonymousCredentials
from google.cloud import scheduler_v1
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from requests import RequestException

from flinkjobs.domain.errors import SchedulerRefusedError, SchedulerUnavailableError
from flinkjobs.domain.schedule import Applied, Schedule, ScheduleState, State, check_schedule, differences
from flinkjobs.domain.text import cut

FIELDS = {
    "cron": "schedule",
    "time_zone": "time_zone",
    "uri": "http_target",
    "http_method": "http_target",
    "headers": "http_target",
    "body": "http_target",
    "service_account_email": "http_target",
    "audience": "http_target",
    "attempt_deadline_seconds": "attempt_deadline",
    "retry_count": "retry_config",
    "description": "description",
}
"""The field of a Job that holds each attribute of a Schedule."""

TEMPORARY = (
    api_errors.TooManyRequests,
    api_errors.Aborted,
    api_errors.Cancelled,
    api_errors.ServerError,
    api_errors.RetryError,
)


class CloudSchedules:
    """The schedules of one project's location.

    Every method raises `SchedulerUnavailableError` when Cloud Scheduler does not answer usefully and
    `SchedulerRefusedError` when it refuses. Each request has its timeout and is sent once: who asked may
    ask again.
    """

    def __init__(
        self, *, project: str, location: str, endpoint: str | None = None, timeout_seconds: float = 20.0
    ) -> None:
        """Args:
        project: its id.
        location: of the jobs, such as ``europe-west1``.
        endpoint: None is Google, with Application Default Credentials; a URL is a double, without any.
        timeout_seconds: of each request.
        """
        self._parent = f"projects/{project}/locations/{location}"
        self._timeout_seconds = timeout_seconds
        with _own_errors("credentials for Cloud Scheduler"):
            if endpoint is None:
                self._client = scheduler_v1.CloudSchedulerClient(transport="rest")
            else:
                self._client = scheduler_v1.CloudSchedulerClient(
                    transport="rest",
                    credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # google-auth's gap
                    client_options=ClientOptions(api_endpoint=endpoint),
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.transport.close()  # type: ignore[no-untyped-call] # the client's gap

    def get(self, name: str) -> ScheduleState | None:
        """Returns a schedule, None where there is none of this name."""
        job = self._find(name)
        return None if job is None else _state_of(job)

    def apply(self, schedule: Schedule) -> Applied:
        """Creates or updates this schedule; an identical one causes no write.

        A paused one stays paused.

        Raises:
            BadRequestError: its name or its cron expression is wrong; nothing was sent.
        """
        check_schedule(schedule)
        job = self._find(schedule.name)
        if job is None:
            job = scheduler_v1.Job(name=self._name(schedule.name))
            _write(schedule, job)
            with _own_errors(f"create schedule {schedule.name}"):
                self._client.create_job(
                    parent=self._parent, job=job, retry=None, timeout=self._timeout_seconds
                )
            return Applied.CREATED
        changed = differences(schedule, _state_of(job).schedule)
        if not changed:
            return Applied.UNCHANGED
        _write(schedule, job)
        mask = FieldMask(paths=sorted({FIELDS[attribute] for attribute in changed}))
        with _own_errors(f"update schedule {schedule.name}"):
            self._client.update_job(job=job, update_mask=mask, retry=None, timeout=self._timeout_seconds)
        return Applied.UPDATED

    def pause(self, name: str) -> ScheduleState:
        """Stops a schedule; one that is paused stays so. Returns its state afterwards."""
        return self._switch(name, self._client.pause_job, State.PAUSED)

    def resume(self, name: str) -> ScheduleState:
        """Starts a schedule again; one that is enabled stays so. Returns its state afterwards."""
        return self._switch(name, self._client.resume_job, State.ENABLED)

    def run(self, name: str) -> None:
        """Sends a schedule's request now, whether or not another one of it is running."""
        with _own_errors(f"run schedule {name}"):
            self._client.run_job(name=self._name(name), retry=None, timeout=self._timeout_seconds)

    def _find(self, name: str) -> scheduler_v1.Job | None:
        with _own_errors(f"get schedule {name}"):
            try:
                return self._get(name)
            except api_errors.NotFound:
                return None

    def _get(self, name: str) -> scheduler_v1.Job:
        return self._client.get_job(name=self._name(name), retry=None, timeout=self._timeout_seconds)

    def _switch(self, name: str, call: Callable[..., scheduler_v1.Job], wanted: State) -> ScheduleState:
        """Cloud Scheduler refuses to pause what is paused and to resume what is enabled; here it is done."""
        with _own_errors(f"set schedule {name} to {wanted}"):
            try:
                return _state_of(call(name=self._name(name), retry=None, timeout=self._timeout_seconds))
            except api_errors.BadRequest:  # over REST that is FAILED_PRECONDITION, among others
                current = _state_of(self._get(name))
                if current.state is not wanted:
                    raise
                return current

    def _name(self, name: str) -> str:
        return f"{self._parent}/jobs/{name}"


def _write(schedule: Schedule, job: scheduler_v1.Job) -> None:
    """Puts a schedule into a job; what a Schedule does not know, such as the back-off, stays as it is."""
    job.schedule = schedule.cron
    job.time_zone = schedule.time_zone
    job.description = schedule.description
    job.attempt_deadline = timedelta(seconds=schedule.attempt_deadline_seconds)
    job.retry_config.retry_count = schedule.retry_count
    target = scheduler_v1.HttpTarget(
        uri=schedule.uri,
        http_method=schedule.http_method,
        headers=dict(schedule.headers),
        body=schedule.body,
    )
    if schedule.service_account_email is not None:
        target.oidc_token = scheduler_v1.OidcToken(
            service_account_email=schedule.service_account_email, audience=schedule.audience or schedule.uri
        )
    job.http_target = target


def _state_of(job: scheduler_v1.Job) -> ScheduleState:
    target = job.http_target
    token = target.oidc_token if "oidc_token" in target else None
    # a value that is newer than the client comes as a number
    method = getattr(target.http_method, "name", str(target.http_method))
    state = State.__members__.get(getattr(job.state, "name", ""), State.UNKNOWN)
    return ScheduleState(
        schedule=Schedule(
            name=job.name.rpartition("/")[2],
            cron=job.schedule,
            uri=target.uri,
            time_zone=job.time_zone,
            http_method="POST" if method == "HTTP_METHOD_UNSPECIFIED" else method,
            headers=dict(target.headers),
            body=target.body,
            service_account_email=token.service_account_email if token else None,
            audience=(token.audience or None) if token else None,
            attempt_deadline_seconds=job.attempt_deadline.total_seconds(),
            retry_count=job.retry_config.retry_count,
            description=job.description,
        ),
        state=state,
        last_attempt_time=_moment(job.last_attempt_time),
        last_status_code=job.status.code if "status" in job else None,
        last_status_message=cut(job.status.message) if "status" in job else "",
        next_time=_moment(job.schedule_time) if state is State.ENABLED else None,
    )


def _moment(value: datetime | None) -> datetime | None:
    """The client's own kind of datetime as a plain one."""
    return None if value is None else datetime.combine(value.date(), value.time(), tzinfo=UTC)


@contextmanager
def _own_errors(action: str) -> Iterator[None]:
    """Maps the errors of the client, of its transport and of its credentials to ours."""
    try:
        yield
    except auth_errors.GoogleAuthError as error:
        unavailable = error.retryable or isinstance(error, auth_errors.TransportError)
        kind = SchedulerUnavailableError if unavailable else SchedulerRefusedError
        raise kind(f"{action}: {cut(str(error))}") from error
    except (*TEMPORARY, RequestException, json_format.Error, UnicodeDecodeError) as error:
        raise SchedulerUnavailableError(f"{action}: {cut(str(error))}") from error
    except api_errors.GoogleAPIError as error:
        raise SchedulerRefusedError(f"{action}: {cut(str(error))}") from error
