"""The double's own endpoint, ``/_control/…``: no part of the API, for tests and for the demo's live view.

GET  /_control/attempts?job=&after=          what was sent: {"attempts": [...]}, see attempts.Attempt
     …&started=N&finished=N&timeout_seconds=T   waits for that many of them first; 504 when they do not come
POST /_control/duplicates {"job", "attempts", "copies", "delay_seconds"}
GET  /_control/clock                         {"now"}
POST /_control/clock/forward {"seconds"}     moves scheduler time; the same answer
POST /_control/clock/next                    moves it to the next moment anything is due
"""

from collections.abc import Mapping
from datetime import timedelta

from aiohttp import web

from doubles.scheduler.api import json_body
from doubles.scheduler.attempts import AttemptLog
from doubles.scheduler.clock import Clock
from doubles.scheduler.dispatcher import Dispatcher, Duplicates
from doubles.scheduler.errors import invalid
from doubles.scheduler.jobs import timestamp_text
from doubles.scheduler.store import JobStore


class Control:
    """The handlers of the control endpoint."""

    def __init__(self, store: JobStore, clock: Clock, dispatcher: Dispatcher, log: AttemptLog) -> None:
        self._store = store
        self._clock = clock
        self._dispatcher = dispatcher
        self._log = log

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_control/attempts", self._attempts),
            web.post("/_control/duplicates", self._duplicate),
            web.get("/_control/clock", self._show_clock),
            web.post("/_control/clock/forward", self._forward),
            web.post("/_control/clock/next", self._next),
        ]

    async def _attempts(self, request: web.Request) -> web.Response:
        job = request.query.get("job", "")
        after = int(_number(request.query, "after", 0))
        complete = await self._log.wait_for(
            job=job,
            after=after,
            started=int(_number(request.query, "started", 0)),
            finished=int(_number(request.query, "finished", 0)),
            timeout_seconds=_number(request.query, "timeout_seconds", 30),
        )
        attempts = [attempt.as_json() for attempt in self._log.select(job=job, after=after)]
        return web.json_response({"attempts": attempts}, status=200 if complete else 504)

    async def _duplicate(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        job = body.get("job", "")
        if not isinstance(job, str):
            raise invalid("job: must be a string")
        self._dispatcher.duplicate(
            Duplicates(
                job=job,
                attempts=int(_number(body, "attempts", 1, least=1)),
                copies=int(_number(body, "copies", 2, least=2)),
                delay=timedelta(seconds=_number(body, "delay_seconds", 0)),
            )
        )
        return self._clock_answer()

    async def _show_clock(self, _request: web.Request) -> web.Response:
        return self._clock_answer()

    async def _forward(self, request: web.Request) -> web.Response:
        self._clock.move_forward(timedelta(seconds=_number(await json_body(request), "seconds", 0)))
        return self._clock_answer()

    async def _next(self, _request: web.Request) -> web.Response:
        due = self._store.next_due()
        if due is not None:
            self._clock.move_forward(max(due - self._clock.now(), timedelta(0)))
        return self._clock_answer()

    def _clock_answer(self) -> web.Response:
        return web.json_response({"now": timestamp_text(self._clock.now())})


def _number(values: Mapping[str, object], name: str, default: float, *, least: float = 0) -> float:
    """Returns a number of a query or a JSON body."""
    value = values.get(name, default)
    try:
        number = float(value) if isinstance(value, (str, int, float)) else float("nan")
    except ValueError:
        number = float("nan")
    if not least <= number <= 10**9:
        raise invalid(f"{name}: must be a number from {least} to 10⁹, not {value!r}")
    return number
