"""The request a target receives, and what its answer means."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from doubles.scheduler import cron
from doubles.scheduler.errors import Code
from doubles.scheduler.jobs import Job, OidcToken
from doubles.scheduler.store import AttemptStatus

REPLACED_HEADERS = {"host", "content-length", "user-agent", "x-cloudscheduler"}
REPLACED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudscheduler-")

CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
"""What an HTTP status becomes in a job's status (as google/rpc/code.proto maps them); others are UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request, ready to be sent. `headers` lack Host and Content-Length, which the transport computes."""

    method: str
    uri: str
    headers: dict[str, str]
    body: bytes


def delivery_of(job: Job, schedule_time: datetime, now: datetime) -> Delivery:
    """Returns the request for one attempt.

    Args:
        job: whose target it goes to.
        schedule_time: the moment this execution was scheduled for; the same in all its attempts.
        now: the moment of sending, from which a token's life counts.
    """
    target = job.http_target
    headers = {name: value for name, value in target.headers.items() if not _is_replaced(name)}
    if target.body and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/octet-stream"
    if target.oidc_token is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {unsigned_token(target.oidc_token, target.uri, now)}"
    headers["User-Agent"] = "Google-Cloud-Scheduler"
    headers["X-CloudScheduler"] = "true"
    headers["X-CloudScheduler-JobName"] = job.job_id
    headers["X-CloudScheduler-ScheduleTime"] = schedule_time_text(schedule_time, job.time_zone)
    return Delivery(target.http_method.name, target.uri, headers, target.body)


def schedule_time_text(moment: datetime, zone: str) -> str:
    """Returns the header's value: RFC 3339 with the offset of the job's time zone, Z where it is zero."""
    return moment.astimezone(cron.time_zone(zone)).isoformat().replace("+00:00", "Z")


def unsigned_token(token: OidcToken, uri: str, now: datetime) -> str:
    """Returns a JWT with the claims of Google's identity tokens and **no signature** (``"alg": "none"``).

    It shows a target which account and audience Cloud Scheduler would vouch for; it proves nothing.
    """
    claims = {
        "iss": "https://accounts.google.com",
        "aud": token.audience or uri,
        "email": token.service_account_email,
        "email_verified": True,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=1)).timestamp()),
    }
    return ".".join([_part({"alg": "none", "typ": "JWT"}), _part(claims), ""])


def status_of(http_status: int) -> AttemptStatus:
    """Returns the meaning of an answer: only 2xx acknowledges."""
    if 200 <= http_status < 300:  # noqa: PLR2004 the range of success
        return AttemptStatus(Code.OK)
    return AttemptStatus(CODES.get(http_status, Code.UNKNOWN), f"The target answered HTTP {http_status}")


def _is_replaced(header: str) -> bool:
    return header.lower() in REPLACED_HEADERS or header.lower().startswith(REPLACED_PREFIXES)


def _part(data: dict[str, object]) -> str:
    text = json.dumps(data, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
