"""Schedules of the functions as values: what one is, whether its expression is right, what changed.

Pure: nothing is sent here. The cron format is Cloud Scheduler's, which is unix-cron:
https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from flinkjobs.domain.cron import cron_fault
from flinkjobs.domain.errors import BadRequestError, Fault

HTTP_METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")

NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
"""The characters Cloud Scheduler allows in a job's id."""


class State(StrEnum):
    """Whether a schedule runs. Only the first two can be set; the others come from Cloud Scheduler."""

    ENABLED = "ENABLED"
    PAUSED = "PAUSED"
    DISABLED = "DISABLED"
    UPDATE_FAILED = "UPDATE_FAILED"
    UNKNOWN = "UNKNOWN"


class Applied(StrEnum):
    """What applying a schedule has done."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """An HTTP request that is sent again and again.

    Attributes:
        name: unique within a project's location; letters, digits, hyphens, underscores.
        cron: when, in unix-cron: minute, hour, day of month, month, day of week.
        uri: where to, http:// or https://.
        time_zone: in which `cron` is read, a name of the tz database.
        http_method: GET, POST, …
        headers: sent in addition to Cloud Scheduler's own.
        body: sent with POST, PUT and PATCH.
        service_account_email: whose OIDC identity token is sent; None sends no token.
        audience: of that token; None means `uri`.
        attempt_deadline_seconds: after this long without an answer an attempt has failed; 15 to 1800.
        retry_count: how often a failed attempt is repeated, 0 to 5.
        description: for people, at most 500 characters.
    """

    name: str
    cron: str
    uri: str
    time_zone: str = "Etc/UTC"
    http_method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    service_account_email: str | None = None
    audience: str | None = None
    attempt_deadline_seconds: float = 180.0
    retry_count: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule as Cloud Scheduler keeps it.

    Attributes:
        schedule: what was asked for.
        state: whether it runs.
        last_attempt_time: when a request was last sent, UTC; None before the first.
        last_status_code: google.rpc.Code of the last finished attempt, 0 for a 2xx answer; None before
            the first.
        last_status_message: why it failed, as far as it is known.
        next_time: when it runs next, UTC; None unless it is ENABLED.
    """

    schedule: Schedule
    state: State
    last_attempt_time: datetime | None
    last_status_code: int | None
    last_status_message: str
    next_time: datetime | None


def check_schedule(schedule: Schedule) -> None:
    """Checks what can be checked without a request: the name, the method and the cron expression.

    Raises:
        BadRequestError: with a fault for each that is wrong.
    """
    faults = []
    if not NAME.fullmatch(schedule.name):
        faults.append(Fault("/name", f"{schedule.name!r} has other characters than letters, digits, - and _"))
    if schedule.http_method not in HTTP_METHODS:
        faults.append(Fault("/http_method", f"{schedule.http_method!r} is none of {', '.join(HTTP_METHODS)}"))
    if (wrong := cron_fault(schedule.cron)) is not None:
        faults.append(Fault("/cron", wrong))
    if faults:
        raise BadRequestError("; ".join(fault.detail for fault in faults), tuple(faults))


def differences(wanted: Schedule, current: Schedule) -> frozenset[str]:
    """Returns the attributes in which `current` has to be changed to become `wanted`.

    What Cloud Scheduler adds by itself is no difference: its User-Agent, the default Content-Type of a body,
    the slash after a bare host, the URI as audience.
    """
    changed = {name for name in _PLAIN_ATTRIBUTES if getattr(wanted, name) != getattr(current, name)}
    if wanted.uri.rstrip("/") != current.uri.rstrip("/"):
        changed.add("uri")
    if _own_headers(wanted) != _own_headers(current):
        changed.add("headers")
    if wanted.service_account_email is not None and _audience(wanted) != _audience(current):
        changed.add("audience")
    return frozenset(changed)


_PLAIN_ATTRIBUTES = (
    "cron",
    "time_zone",
    "http_method",
    "body",
    "service_account_email",
    "attempt_deadline_seconds",
    "retry_count",
    "description",
)
"""Those that are equal or not; Cloud Scheduler adds nothing to them."""


def _own_headers(schedule: Schedule) -> dict[str, str]:
    """The headers that are the schedule's own, by their names in lower case."""
    headers = {name.lower(): value for name, value in schedule.headers.items()}
    headers.pop("user-agent", None)
    if headers.get("content-type") == "application/octet-stream":
        del headers["content-type"]
    return headers


def _audience(schedule: Schedule) -> str:
    """The audience in effect; one that names the target is the default, with or without a last slash."""
    if schedule.audience is None or schedule.audience.rstrip("/") == schedule.uri.rstrip("/"):
        return schedule.uri.rstrip("/")
    return schedule.audience
