"""The REST API of Cloud Scheduler v1: ``/v1/projects/P/locations/L/jobs``.

https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from doubles.scheduler.clock import Clock
from doubles.scheduler.dispatcher import Dispatcher
from doubles.scheduler.errors import ApiError, Code, invalid
from doubles.scheduler.store import Entry, JobStore

JOBS = "/v1/{parent:projects/[^/]+/locations/[^/]+}/jobs"
JOB = "/v1/{name:projects/[^/]+/locations/[^/]+/jobs/[^/:]+}"


class Api:
    """The handlers of all calls on jobs."""

    def __init__(self, store: JobStore, clock: Clock, dispatcher: Dispatcher) -> None:
        self._store = store
        self._clock = clock
        self._dispatcher = dispatcher

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(JOBS, self._list),
            web.post(JOBS, self._create),
            web.get(JOB, self._get),
            web.patch(JOB, self._patch),
            web.delete(JOB, self._delete),
            web.post(JOB + ":pause", self._pause),
            web.post(JOB + ":resume", self._resume),
            web.post(JOB + ":run", self._run),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        size = request.query.get("pageSize", "0")
        if not size.lstrip("-").isdecimal():
            raise invalid(f"pageSize: {size!r} is no integer")
        entries, token = self._store.page(
            request.match_info["parent"], size=int(size), token=request.query.get("pageToken", "")
        )
        as_numbers = _enums_as_numbers(request)
        answer: dict[str, object] = {
            "jobs": [entry.as_json(enums_as_numbers=as_numbers) for entry in entries]
        }
        if token:
            answer["nextPageToken"] = token
        return web.json_response(answer)

    async def _get(self, request: web.Request) -> web.Response:
        return _job(request, self._store.get(_name(request)))

    async def _create(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        return self._changed(
            request, self._store.create(request.match_info["parent"], body, self._clock.now())
        )

    async def _patch(self, request: web.Request) -> web.Response:
        body = await json_body(request)
        mask = [path for path in request.query.get("updateMask", "").split(",") if path]
        return self._changed(request, self._store.patch(_name(request), body, mask, self._clock.now()))

    async def _pause(self, request: web.Request) -> web.Response:
        return self._changed(request, self._store.pause(_name(request)))

    async def _resume(self, request: web.Request) -> web.Response:
        return self._changed(request, self._store.resume(_name(request), self._clock.now()))

    async def _run(self, request: web.Request) -> web.Response:
        entry = self._store.get(_name(request))
        self._dispatcher.run_now(entry.job.name)
        return _job(request, entry)

    async def _delete(self, request: web.Request) -> web.Response:
        self._store.delete(_name(request))
        self._dispatcher.job_changed(_name(request))
        return web.json_response({})

    def _changed(self, request: web.Request, entry: Entry) -> web.Response:
        self._dispatcher.job_changed(entry.job.name)
        return _job(request, entry)


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers refusals, and paths that do not exist, in the form Google's APIs use."""
    try:
        return await handler(request)
    except ApiError as error:
        refusal = error
    except web.HTTPNotFound:
        refusal = ApiError(Code.NOT_FOUND, f"Nothing is served at {request.method} {request.path}")
    return web.json_response(refusal.as_json(), status=refusal.http_status)


async def json_body(request: web.Request) -> Mapping[str, object]:
    """Returns a request's JSON object, empty for an empty body.

    Raises:
        ApiError: INVALID_ARGUMENT, the body is not a JSON object.
    """
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received. An object is expected")
    return body


def _job(request: web.Request, entry: Entry) -> web.Response:
    return web.json_response(entry.as_json(enums_as_numbers=_enums_as_numbers(request)))


def _name(request: web.Request) -> str:
    return request.match_info["name"]


def _enums_as_numbers(request: web.Request) -> bool:
    """The official client asks for numbers with ``$alt=json;enum-encoding=int``; everyone else gets names."""
    return "enum-encoding=int" in request.query.get("$alt", "")
