"""What was sent and what came back: the log that tests and the live view of the demo read."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import count

from doubles.scheduler.errors import Code
from doubles.scheduler.jobs import timestamp_text

KEPT_ATTEMPTS = 10_000


class Trigger(StrEnum):
    """What made an execution start."""

    SCHEDULE = "schedule"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to a target.

    Attributes:
        number: of all attempts of this process, from 1, in the order of sending.
        job: the job's full name.
        schedule_time: from the attempt's header.
        sent_at: scheduler time.
        attempt: of its execution: 1, and more for repetitions.
        copy: 1, and more for the duplicates of one attempt.
        status: the HTTP status; None while it runs, and when no answer came.
        code: google.rpc.Code by name; None while it runs.
        message: why it failed, else empty.
        seconds: of the wall clock, from sending to the answer; None while it runs.
    """

    number: int
    job: str
    trigger: Trigger
    schedule_time: datetime
    sent_at: datetime
    attempt: int
    copy: int
    status: int | None = None
    code: Code | None = None
    message: str = ""
    seconds: float | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "number": self.number,
            "job": self.job,
            "trigger": self.trigger,
            "schedule_time": timestamp_text(self.schedule_time),
            "sent_at": timestamp_text(self.sent_at),
            "attempt": self.attempt,
            "copy": self.copy,
            "status": self.status,
            "code": None if self.code is None else self.code.name,
            "message": self.message,
            "seconds": self.seconds,
        }


class AttemptLog:
    """The last 10,000 attempts, and a way to wait for more."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[int, Attempt] = OrderedDict()
        self._numbers = count(1)
        self._changed = asyncio.Event()

    def begin(
        self,
        *,
        job: str,
        trigger: Trigger,
        schedule_time: datetime,
        sent_at: datetime,
        attempt: int,
        copy: int,
    ) -> int:
        """Notes an attempt that is being sent; returns its number."""
        number = next(self._numbers)
        self._attempts[number] = Attempt(
            number=number,
            job=job,
            trigger=trigger,
            schedule_time=schedule_time,
            sent_at=sent_at,
            attempt=attempt,
            copy=copy,
        )
        if len(self._attempts) > KEPT_ATTEMPTS:
            self._attempts.popitem(last=False)
        self._notify()
        return number

    def finish(self, number: int, *, status: int | None, code: Code, message: str, seconds: float) -> None:
        """Notes how an attempt ended."""
        if number in self._attempts:
            self._attempts[number] = replace(
                self._attempts[number], status=status, code=code, message=message, seconds=seconds
            )
        self._notify()

    def select(self, *, job: str = "", after: int = 0) -> list[Attempt]:
        """Returns the attempts with a number above `after`, of one job (full name or id) or of all."""
        return [
            attempt
            for attempt in self._attempts.values()
            if attempt.number > after and job in {"", attempt.job, attempt.job.rpartition("/")[2]}
        ]

    async def wait_for(
        self, *, job: str, after: int, started: int, finished: int, timeout_seconds: float
    ) -> bool:
        """Waits until this many selected attempts have started and finished; False after the timeout."""

        def enough() -> bool:
            selected = self.select(job=job, after=after)
            return len(selected) >= started and sum(one.code is not None for one in selected) >= finished

        try:
            async with asyncio.timeout(timeout_seconds):
                while not enough():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _notify(self) -> None:
        """Wakes the waiting tasks. They run when the caller reaches its next await, never in between."""
        self._changed.set()
        self._changed = asyncio.Event()
