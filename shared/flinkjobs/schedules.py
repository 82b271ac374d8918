"""Schedules of the functions as values: what one is, whether its expression is right, what changed.

Pure: nothing is sent here. The cron format is Cloud Scheduler's, which is unix-cron:
https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from flinkjobs.errors import BadRequestError, Fault, counted

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most days each month can have, from January."""

HTTP_METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")

NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
"""The characters Cloud Scheduler allows in a job's id."""


class State(StrEnum):
    """Whether a schedule rings. Only the first two can be chosen; the others come from Cloud Scheduler."""

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
        headers: sent besides Cloud Scheduler's own.
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
        state: whether it rings.
        last_attempt_time: when a request was last sent, UTC; None before the first.
        last_status_code: google.rpc.Code of the last finished attempt, 0 for a 2xx answer; None before
            the first.
        last_status_message: why it failed, as far as it is known.
        next_time: when it rings next, UTC; None unless it is ENABLED.
    """

    schedule: Schedule
    state: State
    last_attempt_time: datetime | None
    last_status_code: int | None
    last_status_message: str
    next_time: datetime | None


def check_schedule(schedule: Schedule) -> None:
    """Checks what can be told without asking: the name, the method and the cron expression.

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


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression: the values from `low` to `high`; `names` stand for `low`, `low` + 1 …"""

    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 7, WEEKDAYS),
)


def cron_fault(expression: str) -> str | None:
    """Returns what is wrong with a cron expression, None when it is right.

    A field is a list of terms: ``*``, a value, a range ``a-b``, and ``/step`` after a star or a range.
    Months and weekdays may be the first three letters of their English names. Seconds, ``L``, ``W``, ``#``,
    ``?`` and ``@daily`` belong to other dialects. An expression that never comes, such as the 30th of
    February, is wrong.
    """
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        return f"{expression!r} has {counted(len(texts), 'field')} instead of {len(_FIELDS)}"
    values = []
    for text, kind in zip(texts, _FIELDS, strict=True):
        try:
            values.append(_values(text, kind))
        except ValueError as error:
            return f"{kind.title} {text!r}: {error}"
    _, _, days, months, _ = values
    only_by_date = texts[4].startswith("*")
    if only_by_date and min(days) > max(DAYS_OF_MONTH[month - 1] for month in months):
        return f"{expression!r} never comes: none of its months has day {min(days)}"
    return None


def longest_gap(expression: str) -> timedelta | None:
    """Returns the longest time between two times of a cron expression; None when it is wrong.

    Where both days are given, either suffices, as in every cron. Looked at over the years from one leap year
    to the next, without a time zone's changes.
    """
    if cron_fault(expression) is not None:
        return None
    texts = expression.split()
    minutes, hours, days, months, weekdays = map(_values, texts, _FIELDS)
    by_date, by_weekday = not texts[2].startswith("*"), not texts[4].startswith("*")
    weekdays = {weekday % 7 for weekday in weekdays}

    def has_times(day: date) -> bool:
        on_date, on_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        is_day = on_date or on_weekday if by_date and by_weekday else on_date and on_weekday
        return is_day and day.month in months

    times = sorted(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)
    ringing = [day for day in (_GAPS_FROM + timedelta(days=n) for n in range(_GAPS_DAYS)) if has_times(day)]
    within = max((after - before for before, after in pairwise(times)), default=timedelta(0))
    between = max((after - before for before, after in pairwise(ringing)), default=timedelta(days=_GAPS_DAYS))
    return max(within, between - times[-1] + times[0])


_GAPS_FROM = date(2024, 1, 1)
_GAPS_DAYS = 5 * 366
"""From a leap year past the next one: the 29th of February comes twice."""


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


def _values(text: str, kind: _Field) -> set[int]:
    """Returns the values a field stands for; ValueError says why it stands for none."""
    values: set[int] = set()
    for term in text.split(","):
        span, slash, step_text = term.partition("/")
        first, hyphen, last = span.partition("-")
        if span == "*":
            low, high = kind.low, kind.high
        else:
            low = _value(first, kind)
            high = _value(last, kind) if hyphen else low
        if low > high:
            raise ValueError(f"the range {span} runs backwards")
        if slash and span != "*" and not hyphen:
            raise ValueError("a step needs * or a range before it")
        if slash and not (step_text.isascii() and step_text.isdecimal() and int(step_text) > 0):
            raise ValueError(f"{step_text!r} is no step")
        values.update(range(low, high + 1, int(step_text) if slash else 1))
    return values


def _value(text: str, kind: _Field) -> int:
    if text.upper() in kind.names:
        return kind.low + kind.names.index(text.upper())
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no value")
    value = int(text)
    if not kind.low <= value <= kind.high:
        raise ValueError(f"{value} is not in {kind.low}-{kind.high}")
    return value


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
