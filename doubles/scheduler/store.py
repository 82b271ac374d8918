"""All jobs of the double with their state: what create, patch, pause, resume and delete do to them.

Pure: time comes in as a parameter, nothing is sent and nothing waits here.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from doubles.scheduler import cron
from doubles.scheduler.errors import ApiError, Code, invalid
from doubles.scheduler.jobs import (
    JOB_ID,
    PARENT,
    Job,
    JsonObject,
    State,
    changed_settings,
    job_from_json,
    job_json,
    settings_json,
    timestamp_text,
)

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """google.rpc.Status of the last attempt; OK has no message."""

    code: Code
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job and its state.

    Attributes:
        due: its next scheduled time, None while it is paused.
        retry_at: when its running execution is repeated, None when no repetition is waiting.
        era: another object after each creation and each pause; executions of an earlier era are not repeated.
    """

    job: Job
    user_update_time: datetime
    due: datetime | None
    state: State = State.ENABLED
    retry_at: datetime | None = None
    last_attempt_time: datetime | None = None
    status: AttemptStatus | None = None
    era: object = field(default_factory=object)

    def as_json(self, *, enums_as_numbers: bool) -> dict[str, object]:
        """Returns the resource as the API shows it."""
        shown = job_json(self.job, enums_as_numbers=enums_as_numbers)
        shown["state"] = int(self.state) if enums_as_numbers else self.state.name
        shown["userUpdateTime"] = timestamp_text(self.user_update_time)
        if self.due is not None:
            shown["scheduleTime"] = timestamp_text(min(self.due, self.retry_at or self.due))
        if self.last_attempt_time is not None:
            shown["lastAttemptTime"] = timestamp_text(self.last_attempt_time)
        if self.status is not None:
            shown["status"] = (
                {}
                if self.status.code is Code.OK
                else {"code": int(self.status.code), "message": self.status.message}
            )
        return shown


class JobStore:
    """The jobs by their full names."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def find(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def get(self, name: str) -> Entry:
        """Raises ApiError NOT_FOUND where `find` returns None."""
        entry = self._entries.get(name)
        if entry is None:
            raise ApiError(Code.NOT_FOUND, f"Job not found: {name}")
        return entry

    def page(self, parent: str, *, size: int, token: str) -> tuple[list[Entry], str]:
        """Returns up to `size` jobs of a location in the order of their names, and the next page's token.

        Args:
            parent: ``projects/P/locations/L``.
            size: 0 means as many as allowed, 500.
            token: of the page before; empty for the first.
        """
        _check_parent(parent)
        if size < 0:
            raise invalid("pageSize: must not be negative")
        prefix = f"{parent}/jobs/"
        if token and not (token.startswith(prefix) and JOB_ID.fullmatch(token.removeprefix(prefix))):
            raise invalid("pageToken: not a token of this list")
        names = sorted(name for name in self._entries if name.startswith(prefix) and name > token)
        shown = names[: min(size or MAX_PAGE, MAX_PAGE)]
        return [self._entries[name] for name in shown], shown[-1] if len(shown) < len(names) else ""

    def create(self, parent: str, data: JsonObject, now: datetime) -> Entry:
        """Adds a job; without a name it gets one of its own."""
        _check_parent(parent)
        prefix = f"{parent}/jobs/"
        name = data.get("name", "")
        if not isinstance(name, str):
            raise invalid("name: must be a string")
        name = name or prefix + secrets.token_hex(10)
        if not name.startswith(prefix) or not JOB_ID.fullmatch(name.removeprefix(prefix)):
            raise invalid(
                f"name: {name!r} is not {prefix}JOB_ID, or JOB_ID has other characters than [A-Za-z0-9_-]"
            )
        job = job_from_json(name, data)
        if name in self._entries:
            raise ApiError(Code.ALREADY_EXISTS, f"Job already exists: {name}")
        return self._put(Entry(job=job, user_update_time=now, due=_next(job, now)))

    def patch(self, name: str, data: JsonObject, mask: Sequence[str], now: datetime) -> Entry:
        """Changes the fields of `mask`; a paused job stays paused."""
        entry = self.get(name)
        job = job_from_json(name, changed_settings(settings_json(entry.job), data, mask))
        due = None if entry.state is State.PAUSED else _next(job, now)
        return self._put(replace(entry, job=job, user_update_time=now, due=due))

    def pause(self, name: str) -> Entry:
        """Stops an enabled job; what is being sent goes on, waiting repetitions are given up."""
        entry = self.get(name)
        if entry.state is not State.ENABLED:
            raise ApiError(Code.FAILED_PRECONDITION, f"Job must be ENABLED to be paused: {name}")
        return self._put(replace(entry, state=State.PAUSED, due=None, retry_at=None, era=object()))

    def resume(self, name: str, now: datetime) -> Entry:
        """Starts a paused job again; times that passed during the pause are not made up for."""
        entry = self.get(name)
        if entry.state is not State.PAUSED:
            raise ApiError(Code.FAILED_PRECONDITION, f"Job must be PAUSED to be resumed: {name}")
        return self._put(replace(entry, state=State.ENABLED, due=_next(entry.job, now)))

    def delete(self, name: str) -> None:
        self.get(name)
        del self._entries[name]

    def next_due(self) -> datetime | None:
        """Returns the earliest moment at which anything is scheduled or repeated."""
        moments = [
            moment for entry in self._entries.values() for moment in (entry.due, entry.retry_at) if moment
        ]
        return min(moments, default=None)

    def execution_started(self, name: str, now: datetime) -> None:
        """The due execution has begun: times up to now, missed or not, are behind."""
        entry = self.get(name)
        self._put(replace(entry, due=_next(entry.job, now)))

    def retry_planned(self, name: str, at: datetime | None) -> None:
        self._change(name, retry_at=at)

    def attempt_started(self, name: str, now: datetime) -> None:
        self._change(name, last_attempt_time=now)

    def attempt_ended(self, name: str, status: AttemptStatus) -> None:
        self._change(name, status=status)

    def _change(self, name: str, **changes: object) -> None:
        """A job deleted while it was running is no error."""
        if name in self._entries:
            self._entries[name] = replace(self._entries[name], **changes)  # type: ignore[arg-type] # of any field

    def _put(self, entry: Entry) -> Entry:
        self._entries[entry.job.name] = entry
        return entry


def _next(job: Job, after: datetime) -> datetime:
    return cron.next_time(job.schedule, zone=job.time_zone, after=after)


def _check_parent(parent: str) -> None:
    if not PARENT.fullmatch(parent):
        raise invalid(f"parent: {parent!r} is not projects/PROJECT/locations/LOCATION")
