"""Starts executions when they are due, sends their attempts, repeats and duplicates them.

One follower per job waits for the job's next time and then sees one execution through, so a late execution
delays the next one and scheduled executions of one job never overlap. Executions started by hand run in
parallel. Of the times that pass while an execution runs, one is made up for: the first missed one starts as
soon as the execution has ended, the others are dropped.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count

import aiohttp

from doubles.scheduler.attempts import AttemptLog, Trigger
from doubles.scheduler.clock import Clock
from doubles.scheduler.delivery import Delivery, delivery_of, status_of
from doubles.scheduler.errors import Code
from doubles.scheduler.jobs import Job, State
from doubles.scheduler.retries import retry_time
from doubles.scheduler.store import AttemptStatus, JobStore

MAX_MESSAGE = 500  # characters kept of a transport's own error text


class DeadlineClock(StrEnum):
    """By which clock `attemptDeadline` is counted."""

    SCHEDULER = "scheduler"
    WALL = "wall"


@dataclass(slots=True)
class Duplicates:
    """An order to send attempts more than once.

    Attributes:
        job: full name or id; empty for any job.
        attempts: how many further attempts are affected.
        copies: how many times each is sent, the original included.
        delay: scheduler time between two copies; zero sends them at once.
    """

    job: str
    attempts: int
    copies: int
    delay: timedelta

    def concerns(self, job: Job) -> bool:
        return self.attempts > 0 and self.job in {"", job.name, job.job_id}


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a job, with all its attempts: what made it start, and the time in its header."""

    name: str
    era: object
    trigger: Trigger
    schedule_time: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of one request: the HTTP status, None without an answer, and its meaning."""

    http_status: int | None
    status: AttemptStatus


class Dispatcher:
    """The running part of the double. Use it inside an event loop and close it."""

    def __init__(self, store: JobStore, clock: Clock, log: AttemptLog, *, deadlines: DeadlineClock) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._deadlines = deadlines
        self._duplicates: list[Duplicates] = []
        self._followers: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakes: dict[str, asyncio.Event] = {}
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),  # the attempt's deadline is the only limit
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Gives up everything that is being sent or waited for."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    def job_changed(self, name: str) -> None:
        """A job was created, changed, paused, resumed or deleted: its follower reads it again."""
        self._wakes.pop(name, asyncio.Event()).set()
        if name not in self._followers and self._store.find(name) is not None:
            self._followers.add(name)
            self._spawn(self._follow(name))

    def run_now(self, name: str) -> None:
        """Starts an execution by hand, even while another one of this job runs, or the job is paused."""
        era = self._store.get(name).era
        self._spawn(self._execute(Execution(name, era, Trigger.MANUAL, self._clock.now())))

    def duplicate(self, order: Duplicates) -> None:
        """Adds an order; earlier ones are used up first."""
        self._duplicates.append(order)

    async def _follow(self, name: str) -> None:
        """A job's scheduled life, until it is deleted."""
        while (entry := self._store.find(name)) is not None:
            wake = self._wake_of(name)
            if entry.due is None:
                await wake.wait()
            elif await self._clock.reach(entry.due, unless=wake):
                self._store.execution_started(name, self._clock.now())
                await self._execute(Execution(name, entry.era, Trigger.SCHEDULE, entry.due))
        self._followers.discard(name)

    async def _execute(self, execution: Execution) -> None:
        """Attempts until one is acknowledged, none is left, or the job is paused or deleted."""
        first_attempt_at = self._clock.now()
        for attempt in count(1):
            entry = self._store.find(execution.name)
            if entry is None or await self._attempt(entry.job, execution, attempt):
                return
            entry = self._store.find(execution.name)
            if entry is None:
                return
            at = retry_time(
                attempt,
                entry.job.retry_config,
                failed_at=self._clock.now(),
                first_attempt_at=first_attempt_at,
                next_scheduled=entry.due,
            )
            if at is None or not await self._retry_reached(execution, at):
                return

    async def _retry_reached(self, execution: Execution, at: datetime) -> bool:
        """Waits for a repetition; False when the job is paused, deleted or due again before."""
        if execution.trigger is Trigger.SCHEDULE:
            self._store.retry_planned(execution.name, at)
        try:
            while not self._given_up(execution, at):
                if await self._clock.reach(at, unless=self._wake_of(execution.name)):
                    return True
            return False
        finally:
            if execution.trigger is Trigger.SCHEDULE:
                self._store.retry_planned(execution.name, None)

    def _given_up(self, execution: Execution, at: datetime) -> bool:
        entry = self._store.find(execution.name)
        return (
            entry is None
            or entry.state is not State.ENABLED
            or entry.era is not execution.era
            or (entry.due is not None and entry.due <= at)
        )

    async def _attempt(self, job: Job, execution: Execution, attempt: int) -> bool:
        """Sends one attempt and its duplicates; True when the first copy was acknowledged."""
        order = next((order for order in self._duplicates if order.concerns(job)), None)
        if order is not None:
            order.attempts -= 1
            self._duplicates = [order for order in self._duplicates if order.attempts]
            sent_at = self._clock.now()
            for copy in range(2, order.copies + 1):
                at = sent_at + order.delay * (copy - 1)
                self._spawn(self._send_copy(job, execution, attempt=attempt, copy=copy, at=at))
        self._store.attempt_started(job.name, self._clock.now())
        status = await self._send(job, execution, attempt=attempt, copy=1)
        self._store.attempt_ended(job.name, status)
        return status.code is Code.OK

    async def _send_copy(
        self, job: Job, execution: Execution, *, attempt: int, copy: int, at: datetime
    ) -> None:
        await self._clock.reach(at, unless=asyncio.Event())
        await self._send(job, execution, attempt=attempt, copy=copy)

    async def _send(self, job: Job, execution: Execution, *, attempt: int, copy: int) -> AttemptStatus:
        sent_at = self._clock.now()
        number = self._log.begin(
            job=job.name,
            trigger=execution.trigger,
            schedule_time=execution.schedule_time,
            sent_at=sent_at,
            attempt=attempt,
            copy=copy,
        )
        started = time.monotonic()
        delivery = delivery_of(job, execution.schedule_time, sent_at)
        answer = await self._answer(delivery, job.attempt_deadline, sent_at + job.attempt_deadline)
        self._log.finish(
            number,
            status=answer.http_status,
            code=answer.status.code,
            message=answer.status.message,
            seconds=round(time.monotonic() - started, 3),
        )
        return answer.status

    async def _answer(self, delivery: Delivery, limit: timedelta, deadline: datetime) -> Answer:
        """Sends a request and gives it up at its deadline."""
        request = asyncio.create_task(self._request(delivery))
        over: asyncio.Task[object] = asyncio.create_task(
            self._clock.reach(deadline, unless=asyncio.Event())
            if self._deadlines is DeadlineClock.SCHEDULER
            else asyncio.sleep(limit.total_seconds())
        )
        try:
            await asyncio.wait({request, over}, return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return request.result()
            return Answer(
                None, AttemptStatus(Code.DEADLINE_EXCEEDED, "The target did not answer by the deadline")
            )
        finally:
            request.cancel()
            over.cancel()
            await asyncio.gather(request, over, return_exceptions=True)

    async def _request(self, delivery: Delivery) -> Answer:
        try:
            async with self._session.request(
                delivery.method,
                delivery.uri,
                headers=delivery.headers,
                data=delivery.body or None,
                skip_auto_headers=("Content-Type",),
            ) as response:
                await response.read()
                return Answer(response.status, status_of(response.status))
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
        ) as error:  # the last: a host name that cannot be one
            text = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
            return Answer(None, AttemptStatus(Code.UNAVAILABLE, text))

    def _wake_of(self, name: str) -> asyncio.Event:
        """The event set by the job's next change. Take it before looking at the job."""
        return self._wakes.setdefault(name, asyncio.Event())

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
