"""A job's settings: read from JSON, checked, changed through a field mask, written as JSON.

Source: the messages Job, HttpTarget and RetryConfig of google.cloud.scheduler.v1. Only HTTP targets without
OAuth tokens are supported; all other fields are validated as by Cloud Scheduler.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import cast
from urllib.parse import urlsplit

from doubles.scheduler import cron
from doubles.scheduler.errors import ApiError, Code, invalid

JsonObject = Mapping[str, object]

MAX_DESCRIPTION = 500  # characters
MAX_URI = 2083  # characters
MAX_HEADERS = 80 * 1024  # bytes, names and values together
MAX_RETRY_COUNT = 5
MIN_DEADLINE = timedelta(seconds=15)
MAX_DEADLINE = timedelta(minutes=30)

PARENT = re.compile(r"projects/[A-Za-z0-9.:-]+/locations/[a-z0-9-]+")
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
DURATION = re.compile(r"(-?\d{1,12})(\.\d{1,9})?s", re.ASCII)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110


class State(IntEnum):
    """Job.State. A user can only reach these two."""

    ENABLED = 1
    PAUSED = 2


class HttpMethod(IntEnum):
    """google.cloud.scheduler.v1.HttpMethod; UNSPECIFIED means POST."""

    HTTP_METHOD_UNSPECIFIED = 0
    POST = 1
    GET = 2
    HEAD = 3
    PUT = 4
    DELETE = 5
    PATCH = 6
    OPTIONS = 7


METHODS_WITH_BODY = {HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH}


@dataclass(frozen=True, slots=True)
class OidcToken:
    """The identity token sent to the target.

    Attributes:
        service_account_email: on whose behalf.
        audience: as given; empty means the target's URI.
    """

    service_account_email: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """The request to send. `headers` are those the user gave, with their spelling."""

    uri: str
    http_method: HttpMethod
    headers: Mapping[str, str]
    body: bytes
    oidc_token: OidcToken | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How failed attempts are repeated. A `max_retry_duration` of zero sets no limit of its own."""

    retry_count: int = 0
    max_retry_duration: timedelta = timedelta(0)
    min_backoff: timedelta = timedelta(seconds=5)
    max_backoff: timedelta = timedelta(hours=1)
    max_doublings: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a user sets of a job. `name` is the full one: ``projects/P/locations/L/jobs/J``."""

    name: str
    schedule: str
    http_target: HttpTarget
    description: str = ""
    time_zone: str = "UTC"
    retry_config: RetryConfig = field(default_factory=RetryConfig)
    attempt_deadline: timedelta = timedelta(seconds=180)

    @property
    def job_id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]


OUTPUT_ONLY = {"name", "userUpdateTime", "state", "status", "scheduleTime", "lastAttemptTime"}
KNOWN_FIELDS: dict[str, set[str]] = {
    "job": OUTPUT_ONLY
    | {
        "description",
        "schedule",
        "timeZone",
        "retryConfig",
        "attemptDeadline",
        "httpTarget",
        "pubsubTarget",
        "appEngineHttpTarget",
    },
    "httpTarget": {"uri", "httpMethod", "headers", "body", "oidcToken", "oauthToken"},
    "oidcToken": {"serviceAccountEmail", "audience"},
    "retryConfig": {
        "retryCount",
        "maxRetryDuration",
        "minBackoffDuration",
        "maxBackoffDuration",
        "maxDoublings",
    },
}
"""Every message's fields, as JSON spells them."""


def job_from_json(name: str, data: JsonObject) -> Job:
    """Returns the job of this name and these settings; output-only fields are ignored.

    Raises:
        ApiError: INVALID_ARGUMENT naming the field, or UNIMPLEMENTED for another kind of target or token.
    """
    _known(data, "job")
    for other in ("pubsubTarget", "appEngineHttpTarget"):
        if other in data:
            raise ApiError(Code.UNIMPLEMENTED, f"{other} is not served here, only httpTarget")
    if "httpTarget" not in data:
        raise invalid("a job needs a target: httpTarget")
    job = Job(
        name=name,
        description=_text(data, "description"),
        schedule=_text(data, "schedule"),
        time_zone=_text(data, "timeZone") or "UTC",
        http_target=_http_target(_object(data, "httpTarget")),
        retry_config=_retry_config(_object(data, "retryConfig")),
        attempt_deadline=_duration(data, "attemptDeadline", timedelta(0)) or timedelta(seconds=180),
    )
    if len(job.description) > MAX_DESCRIPTION:
        raise invalid(f"description: more than {MAX_DESCRIPTION} characters")
    if not MIN_DEADLINE <= job.attempt_deadline <= MAX_DEADLINE:
        raise invalid("attemptDeadline: must be in the interval [15s, 1800s]")
    try:
        cron.time_zone(job.time_zone)
    except cron.CronError as error:
        raise invalid(f"timeZone: {error}") from error
    try:
        cron.next_time(job.schedule, zone=job.time_zone, after=datetime(2024, 1, 1, tzinfo=UTC))
    except cron.CronError as error:
        raise invalid(f"schedule: {error}") from error
    return job


def settings_json(job: Job) -> dict[str, object]:
    """Returns the settings as they were given, defaults included: what a patch is applied to."""
    target = job.http_target
    http_target: dict[str, object] = {
        "uri": target.uri,
        "httpMethod": target.http_method.name,
        "headers": dict(target.headers),
        "body": base64.b64encode(target.body).decode(),
    }
    if target.oidc_token is not None:
        http_target["oidcToken"] = {
            "serviceAccountEmail": target.oidc_token.service_account_email,
            "audience": target.oidc_token.audience,
        }
    retry = job.retry_config
    return {
        "description": job.description,
        "schedule": job.schedule,
        "timeZone": job.time_zone,
        "attemptDeadline": duration_text(job.attempt_deadline),
        "httpTarget": http_target,
        "retryConfig": {
            "retryCount": retry.retry_count,
            "maxRetryDuration": duration_text(retry.max_retry_duration),
            "minBackoffDuration": duration_text(retry.min_backoff),
            "maxBackoffDuration": duration_text(retry.max_backoff),
            "maxDoublings": retry.max_doublings,
        },
    }


def job_json(job: Job, *, enums_as_numbers: bool) -> dict[str, object]:
    """Returns a job's settings as the API shows them.

    They include what Cloud Scheduler adds: its ``User-Agent``, the ``Content-Type`` of a body without one,
    and the audience of a token without one.
    """
    target = job.http_target
    shown = settings_json(job)
    headers = {"User-Agent": "Google-Cloud-Scheduler", **target.headers}
    if target.body and "content-type" not in {header.lower() for header in target.headers}:
        headers["Content-Type"] = "application/octet-stream"
    http_target = {**_object(shown, "httpTarget"), "headers": headers}
    if enums_as_numbers:
        http_target["httpMethod"] = int(target.http_method)
    if target.oidc_token is not None:
        http_target["oidcToken"] = {
            "serviceAccountEmail": target.oidc_token.service_account_email,
            "audience": target.oidc_token.audience or target.uri,
        }
    return {"name": job.name, **shown, "httpTarget": http_target}


def changed_settings(current: JsonObject, change: JsonObject, mask: Sequence[str]) -> dict[str, object]:
    """Returns `current` with the fields of `mask` taken from `change`, absent ones set back to their default.

    Args:
        current: the settings as `settings_json` gives them.
        change: the body of the patch.
        mask: paths in either spelling (``http_target.uri`` or ``httpTarget.uri``). Empty: every field that
            `change` holds. Output-only fields are ignored.

    Raises:
        ApiError: INVALID_ARGUMENT for a path that does not exist.
    """
    result = dict(current)
    for path in mask or list(change):
        parts = [_camel(part) for part in path.split(".")]
        message = "job"
        for part in parts:
            if part not in KNOWN_FIELDS.get(message, ()):
                raise invalid(f"updateMask: there is no field {path!r}")
            message = part
        if parts[0] not in OUTPUT_ONLY:
            _take(result, change, parts)
    return result


def _take(target: dict[str, object], source: JsonObject, parts: Sequence[str]) -> None:
    """Copies one field, however deep; every object on the way is copied, none is shared."""
    head, *rest = parts
    if rest:
        inner = dict(_object(target, head))
        _take(inner, _object(source, head), rest)
        target[head] = inner
    elif head in source:
        target[head] = source[head]
    else:
        target.pop(head, None)


def duration_text(duration: timedelta) -> str:
    """Returns a google.protobuf.Duration in its JSON form: ``180s``, ``0.500s``."""
    whole = duration.days * 86400 + duration.seconds
    if not duration.microseconds:
        return f"{whole}s"
    if duration.microseconds % 1000:
        return f"{whole}.{duration.microseconds:06d}s"
    return f"{whole}.{duration.microseconds // 1000:03d}s"


def timestamp_text(moment: datetime) -> str:
    """Returns a google.protobuf.Timestamp in its JSON form, in UTC with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _http_target(data: JsonObject) -> HttpTarget:
    _known(data, "httpTarget")
    if "oauthToken" in data:
        raise ApiError(Code.UNIMPLEMENTED, "httpTarget.oauthToken is not served here, only oidcToken")
    method = _method(data.get("httpMethod", HttpMethod.HTTP_METHOD_UNSPECIFIED))
    body = _bytes(data, "body")
    if body and method not in METHODS_WITH_BODY:
        raise invalid(f"httpTarget.body: a {method.name} request has no body")
    return HttpTarget(
        uri=_uri(_text(data, "uri")),
        http_method=method,
        headers=_headers(_object(data, "headers")),
        body=body,
        oidc_token=_oidc_token(_object(data, "oidcToken")) if "oidcToken" in data else None,
    )


def _uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        reachable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not match
        reachable = False
    if not reachable or re.search(r"[\s\x00-\x20\x7f]", uri):
        raise invalid(f"httpTarget.uri: {uri!r} is no http:// or https:// URI")
    if len(uri) > MAX_URI:
        raise invalid(f"httpTarget.uri: more than {MAX_URI} characters")
    return uri if parts.path else parts._replace(path="/").geturl()


def _headers(data: JsonObject) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in data.items():
        if not HEADER_NAME.fullmatch(name):
            raise invalid(f"httpTarget.headers: {name!r} is no header name")
        if not isinstance(value, str) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise invalid(f"httpTarget.headers: the value of {name!r} is no header value")
        headers[name] = value
    if sum(len(name.encode()) + len(value.encode()) for name, value in headers.items()) >= MAX_HEADERS:
        raise invalid("httpTarget.headers: 80KB or more")
    return headers


def _oidc_token(data: JsonObject) -> OidcToken:
    _known(data, "oidcToken")
    email = _text(data, "serviceAccountEmail")
    if "@" not in email:
        raise invalid("httpTarget.oidcToken.serviceAccountEmail: an account is needed")
    return OidcToken(email, _text(data, "audience"))


def _retry_config(data: JsonObject) -> RetryConfig:
    _known(data, "retryConfig")
    defaults = RetryConfig()
    config = RetryConfig(
        retry_count=_integer(data, "retryCount", defaults.retry_count),
        max_retry_duration=_duration(data, "maxRetryDuration", defaults.max_retry_duration),
        min_backoff=_duration(data, "minBackoffDuration", defaults.min_backoff),
        max_backoff=_duration(data, "maxBackoffDuration", defaults.max_backoff),
        max_doublings=_integer(data, "maxDoublings", defaults.max_doublings),
    )
    if not 0 <= config.retry_count <= MAX_RETRY_COUNT:
        raise invalid(f"retryConfig.retryCount: must be in the interval [0, {MAX_RETRY_COUNT}]")
    if config.max_doublings < 0:
        raise invalid("retryConfig.maxDoublings: must not be negative")
    if min(config.max_retry_duration, config.min_backoff, config.max_backoff) < timedelta(0):
        raise invalid("retryConfig: a duration must not be negative")
    if config.min_backoff > config.max_backoff:
        raise invalid("retryConfig.minBackoffDuration: must not exceed maxBackoffDuration")
    return config


def _method(value: object) -> HttpMethod:
    """An enum travels as its number or as its name."""
    try:
        method = HttpMethod[value] if isinstance(value, str) else HttpMethod(cast("int", value))
    except (KeyError, ValueError, TypeError):
        raise invalid(f"httpTarget.httpMethod: there is no {value!r}") from None
    return HttpMethod.POST if method is HttpMethod.HTTP_METHOD_UNSPECIFIED else method


def _known(data: JsonObject, message: str) -> None:
    unknown = sorted(data.keys() - KNOWN_FIELDS[message])
    if unknown:
        raise invalid(f"Invalid JSON payload received. Unknown name {unknown[0]!r} at {message!r}")


def _object(data: JsonObject, name: str) -> JsonObject:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise invalid(f"{name}: must be an object")
    return value


def _text(data: JsonObject, name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise invalid(f"{name}: must be a string")
    return value


def _integer(data: JsonObject, name: str, default: int) -> int:
    value = data.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(f"{name}: must be an integer")
    return value


def _bytes(data: JsonObject, name: str) -> bytes:
    try:
        return base64.b64decode(_text(data, name).replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{name}: must be base64") from error


def _duration(data: JsonObject, name: str, default: timedelta) -> timedelta:
    if name not in data:
        return default
    match = DURATION.fullmatch(_text(data, name))
    if match is None:
        raise invalid(f"{name}: must be a duration like '180s'")
    return timedelta(seconds=float(match[0][:-1]))


def _camel(name: str) -> str:
    """``http_target`` → ``httpTarget``; a name without underscores stays as it is."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
