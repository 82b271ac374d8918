"""The HTTP boundary, the same for every function: routes, body limit, errors as problem+json.

`serve` makes a Flask request a `Request`, runs the function's handler, and makes its `Answer`, or
any error, into a response. Problem details: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import flask
from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from flinkjobs import log
from flinkjobs.domain.errors import (
    BadRequestError,
    BodyTooLargeError,
    FlinkjobsError,
    FunctionRefusedError,
    MethodNotAllowedError,
    NotFoundError,
    TemporaryError,
)
from flinkjobs.domain.text import cut
from flinkjobs.web.messages import MAX_BODY_BYTES, Answer, Handler, Request, Route, to_json

RETRY_AFTER_SECONDS: Final = 10
MIN_COMPRESSED_BYTES: Final = 1_024

_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-type, idempotency-key, if-none-match, webhook-id, webhook-signature, "
        "webhook-timestamp, x-flinkjobs"
    ),
    "Access-Control-Max-Age": "600",
}
"""What a browser may send for a page of another origin: https://fetch.spec.whatwg.org/#http-cors-protocol"""


def serve(request: flask.Request, *, post: Handler, ready: Callable[[], None]) -> flask.Response:
    """Answers one request of a function whose work is `POST /`; see `serve_routes`."""
    return serve_routes(request, [Route("POST", "/", post)], ready=ready)


def serve_routes(
    request: flask.Request,
    routes: Sequence[Route],
    *,
    ready: Callable[[], None],
    headers: Mapping[str, str] | None = None,
    origins: Collection[str] = (),
) -> flask.Response:
    """Answers one request of a function.

    Args:
        request: any method, any path: the framework passes all of them on.
        routes: the function's work.
        ready: raises while the function could not do its work; asked by `GET /ready`.
        headers: sent with every answer that does not set them itself, errors included.
        origins: of the web pages elsewhere that may read the answers.
    """
    sent = {**(headers or {}), **_cross_origin(request, origins)}
    try:
        response = _response(_route(request, [*routes, *_probes(ready)], origins), sent)
    except FlinkjobsError as error:
        answer = problem(error)
        _log_refusal(error, answer.status, request)
        response = _response(answer, sent)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever went wrong, the caller gets an answer
        log.error("request.crashed", exception=error, method=request.method, path=request.path)
        answer = problem(FlinkjobsError("an unexpected error; the log holds its stack"))
        response = _response(answer, sent)
    # The framework would read the rest of the body, however large, into memory before it answers; the server
    # behind it throws it away in small parts afterwards.
    request.stream = io.BytesIO()
    return _compressed(request, response)


def _cross_origin(request: flask.Request, origins: Collection[str]) -> dict[str, str]:
    """The headers that let a web page of these origins read an answer."""
    if not origins:
        return {}
    origin = request.headers.get("Origin", "")
    if origin not in origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "ETag, Retry-After",
    }


def _compressed(request: flask.Request, response: flask.Response) -> flask.Response:
    """The response, in gzip where the caller takes it and it is worth while."""
    response.vary.add("Accept-Encoding")
    body = response.get_data()
    if len(body) >= MIN_COMPRESSED_BYTES and request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(body, compresslevel=5, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _probes(ready: Callable[[], None]) -> list[Route]:
    return [
        Route("GET", "/health", lambda _: Answer({"status": "ok"})),
        Route("GET", "/ready", lambda _: _ready(ready)),
    ]


def _route(request: flask.Request, routes: Sequence[Route], origins: Collection[str]) -> Answer:
    handlers = {(route.method, route.path): route.handler for route in routes}
    if request.method == "OPTIONS" and request.headers.get("Origin") in origins:
        return Answer(status=204, headers=_PREFLIGHT, content=b"")
    try:
        endpoint, path = _url_map(tuple(handlers)).bind("").match(request.path, request.method)
    except MethodNotAllowed as error:
        allow = ", ".join(sorted(error.valid_methods or ()))
        detail = f"{cut(request.path, 200)} answers {allow} only, not {request.method}"
        raise MethodNotAllowedError(detail, allow=allow) from error
    except NotFound as error:
        raise NotFoundError(f"nothing answers at {cut(request.path, 200)}") from error
    return handlers[endpoint](_read(request, path))


@cache
def _url_map(endpoints: tuple[tuple[str, str], ...]) -> Map:
    """The methods and paths, compiled. HEAD is answered where GET is: RFC 9110, section 9.3.2."""
    rules = [Rule(path, methods=[method], endpoint=(method, path)) for method, path in endpoints]
    return Map(rules, merge_slashes=False)


def _ready(ready: Callable[[], None]) -> Answer:
    ready()
    return Answer({"status": "ready"})


def _read(request: flask.Request, path: Mapping[str, str]) -> Request:
    """The request; of its body at most the limit, whatever length is claimed, and none with GET and HEAD."""
    parameters = tuple(request.args.items(multi=True))
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = b"" if request.method in ("GET", "HEAD") else _body(request)
    return Request(
        headers=headers,
        query=dict(reversed(parameters)),
        body=body,
        parameters=parameters,
        path=path,
    )


def _body(request: flask.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body may hold {MAX_BODY_BYTES} bytes")
    body = b""
    try:
        while len(body) <= MAX_BODY_BYTES and (part := request.stream.read(MAX_BODY_BYTES + 1 - len(body))):
            body += part  # one read may return less than it was asked for
    except ClientDisconnected as error:
        raise BadRequestError("the body ended before its Content-Length") from error
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLargeError(f"the body may hold {MAX_BODY_BYTES} bytes")
    return body


def problem(error: FlinkjobsError) -> Answer:
    """The problem details of an error; what another function refused, in its own words."""
    status, code = error.http_status, error.code
    if isinstance(error, FunctionRefusedError):
        status, code = error.peer_status, error.peer_code
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.public_detail or str(error),
        "code": code,
    }
    headers = {"Content-Type": "application/problem+json"}
    if isinstance(error, BadRequestError) and error.faults:
        body["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allow
    if isinstance(error, TemporaryError):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Answer(body=body, status=status, headers=headers)


def _log_refusal(error: FlinkjobsError, status: int, request: flask.Request) -> None:
    write = log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
    write(
        "request.refused",
        status=status,
        code=error.code,
        detail=str(error),
        cause=str(error.__cause__) if error.__cause__ else None,
        method=request.method,
        path=request.path,
    )


def _response(answer: Answer, headers: Mapping[str, str]) -> flask.Response:
    sent = {"Content-Type": "application/json", "Cache-Control": "no-store", **headers, **answer.headers}
    body = to_json(answer.body) if answer.content is None else answer.content
    return flask.Response(body, status=answer.status, headers=sent)
