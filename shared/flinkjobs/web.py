"""The HTTP boundary, the same for every function: routes, body limit, errors as problem+json.

`serve` turns a Flask request into a `Request`, runs the function's handler, and turns its `Answer`, or
any error, into a response. Problem details: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import flask
from werkzeug.exceptions import ClientDisconnected

from flinkjobs import log
from flinkjobs.errors import (
    BadRequestError,
    BodyTooLargeError,
    Fault,
    FlinkjobsError,
    MethodNotAllowedError,
    NotFoundError,
    TemporaryError,
    UnsupportedMediaTypeError,
    cut,
)

MAX_BODY_BYTES: Final = 1024 * 1024
RETRY_AFTER_SECONDS: Final = 10

_JSON_TYPE: Final = re.compile(r"application/([a-z0-9.!#$&^_-]+\+)?json")


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its web framework.

    Attributes:
        headers: by lower-case name.
        query: the first value of each parameter.
        body: raw, at most `MAX_BODY_BYTES`.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            BadRequestError: it is neither, or says the same thing twice: whoever passed the request on may
                have understood the other one (https://www.rfc-editor.org/rfc/rfc8259#section-4).
        """
        if not self.body.strip():
            return {}
        try:
            parsed = json.loads(self.body, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(
                "the body is no JSON", (Fault(pointer="", detail=_json_fault(error)),)
            ) from error
        if not isinstance(parsed, dict):
            raise BadRequestError(
                "the body is no JSON object", (Fault(pointer="", detail="must be an object"),)
            )
        return parsed

    def expect_json(self) -> None:
        """Lets a body pass that is declared as JSON, or not declared at all.

        The types that remain are those which a browser sends for any web page, without asking first.

        Raises:
            UnsupportedMediaTypeError: it is declared as something else.
        """
        declared = self.headers.get("content-type", "application/json")
        kind = declared.partition(";")[0].strip().lower()
        if not _JSON_TYPE.fullmatch(kind):
            raise UnsupportedMediaTypeError(
                f"the body must be application/json, not {cut(kind, 80) or 'of no type'}",
                (Fault(pointer="header:content-type", detail="must be application/json"),),
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a JSON body with a status."""

    body: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def serve(
    request: flask.Request, *, post: Callable[[Request], Answer], ready: Callable[[], None]
) -> flask.Response:
    """Answers one request of a function whose work is `POST /`.

    Args:
        request: any method, any path: the framework passes all of them on.
        post: the function's work.
        ready: raises while the function could not do its work; asked by `GET /ready`.
    """
    try:
        response = _response(_route(request, post, ready))
    except FlinkjobsError as error:
        answer = problem(error)
        _log_refusal(error, answer.status, request)
        response = _response(answer)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever went wrong, the caller gets an answer
        log.error("request.crashed", exception=error, method=request.method, path=request.path)
        response = _response(problem(FlinkjobsError("an unexpected error; the log holds its stack")))
    # The framework would read the rest of the body, however large, into memory before it answers; the server
    # behind it throws it away in small parts afterwards.
    request.stream = io.BytesIO()
    return response


def _route(request: flask.Request, post: Callable[[Request], Answer], ready: Callable[[], None]) -> Answer:
    routes: dict[str, tuple[str, Callable[[], Answer]]] = {
        "/": ("POST", lambda: post(_read(request))),
        "/health": ("GET", lambda: Answer({"status": "ok"})),
        "/ready": ("GET", lambda: _ready(ready)),
    }
    if request.path not in routes:
        raise NotFoundError(f"nothing answers at {request.path}")
    method, answer = routes[request.path]
    if request.method != method:
        raise MethodNotAllowedError(
            f"{request.path} answers {method} only, not {request.method}", allow=method
        )
    return answer()


def _ready(ready: Callable[[], None]) -> Answer:
    ready()
    return Answer({"status": "ready"})


def _read(request: flask.Request) -> Request:
    """Reads at most the limit, whatever length the caller claims."""
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
    return Request(
        headers={name.lower(): value for name, value in request.headers.items()},
        query=request.args.to_dict(flat=True),
        body=body,
    )


def problem(error: FlinkjobsError) -> Answer:
    """The problem details of an error."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.http_status).phrase,
        "status": error.http_status,
        "detail": str(error),
        "code": error.code,
    }
    headers = {"Content-Type": "application/problem+json"}
    if isinstance(error, BadRequestError) and error.faults:
        body["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allow
    if isinstance(error, TemporaryError):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Answer(body=body, status=error.http_status, headers=headers)


def _log_refusal(error: FlinkjobsError, status: int, request: flask.Request) -> None:
    write = log.error if status >= HTTPStatus.INTERNAL_SERVER_ERROR else log.info
    write(
        "request.refused",
        status=status,
        code=error.code,
        detail=str(error),
        method=request.method,
        path=request.path,
    )


def _response(answer: Answer) -> flask.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **answer.headers}
    return flask.Response(to_json(answer.body), status=answer.status, headers=headers)


def to_json(value: object) -> str:
    """JSON with times in ISO 8601 UTC, milliseconds and a `Z`. Half a surrogate pair becomes its escape."""
    text = json.dumps(value, ensure_ascii=False, default=_json_value)
    return text.encode(errors="backslashreplace").decode()


def _json_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"no JSON value: {type(value).__name__}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"holds the name {cut(twice, 80)!a} twice")
    return found


def _refuse_constant(word: str) -> None:
    raise ValueError(f"holds {word}, which JSON does not know")


def _json_fault(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
