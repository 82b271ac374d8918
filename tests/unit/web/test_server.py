"""The HTTP boundary: routes, methods, the body's limit, and errors as problem+json."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import flask
import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flinkjobs import log
from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    FlinkjobsError,
    KubernetesRefusedError,
    StoreUnavailableError,
)
from flinkjobs.web import messages, server
from flinkjobs.web.messages import Answer, Request

MEBIBYTE = 1024 * 1024
APP = flask.Flask(__name__)


@pytest.fixture(autouse=True)
def events(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Lets the captured log see this package's events, which otherwise go to standard output only."""
    propagate, level = log.LOGGER.propagate, log.LOGGER.level
    log.LOGGER.propagate = True
    with caplog.at_level("INFO", logger="flinkjobs"):
        yield caplog
    log.LOGGER.propagate = propagate
    log.LOGGER.setLevel(level)


def nothing() -> None:
    """A function that is always ready."""


def echo(request: Request) -> Answer:
    return Answer({"body": request.json_object(), "query": dict(request.query)}, status=202)


def serve(
    method: str,
    path: str,
    *,
    post: Callable[[Request], Answer] = echo,
    ready: Callable[[], None] = nothing,
    **context: Any,
) -> flask.Response:
    with APP.test_request_context(path, method=method, **context):
        return server.serve(flask.request, post=post, ready=ready)


def raising(error: Exception) -> Callable[..., Any]:
    def handler(*_arguments: object) -> Any:
        raise error

    return handler


def problem(response: flask.Response) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    body = json.loads(response.get_data())
    assert isinstance(body, dict)
    assert body["status"] == response.status_code
    assert body["type"] == "about:blank"
    assert body["title"]
    return body


# --- routes -----------------------------------------------------------------------------------------


def test_post_runs_the_function() -> None:
    response = serve("POST", "/?a=1&a=2&b=%E6%97%A5", data='{"x": "日"}')
    assert response.status_code == 202
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert json.loads(response.get_data()) == {"body": {"x": "日"}, "query": {"a": "1", "b": "日"}}


def test_headers_are_known_by_their_lower_case_names() -> None:
    seen: dict[str, str] = {}

    def note(request: Request) -> Answer:
        seen.update(request.headers)
        return Answer({})

    serve("POST", "/", post=note, headers={"Idempotency-Key": "k", "WEBHOOK-ID": "w"})
    assert (seen["idempotency-key"], seen["webhook-id"]) == ("k", "w")


def test_health_does_no_work() -> None:
    failing = raising(AssertionError("asked"))
    response = serve("GET", "/health", post=failing, ready=failing)
    assert (response.status_code, json.loads(response.get_data())) == (200, {"status": "ok"})


def test_ready_asks() -> None:
    assert serve("GET", "/ready").status_code == 200
    response = serve("GET", "/ready", ready=raising(StoreUnavailableError("MongoDB is away")))
    assert problem(response)["code"] == "STORE_UNAVAILABLE"
    assert response.status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/", "POST"),
        ("HEAD", "/", "POST"),
        ("PUT", "/", "POST"),
        ("DELETE", "/", "POST"),
        ("OPTIONS", "/", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/ready", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405_that_names_the_right_one(method: str, path: str, allow: str) -> None:
    response = serve(method, path, post=raising(AssertionError("asked")))
    assert problem(response)["code"] == "METHOD_NOT_ALLOWED"
    assert (response.status_code, response.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize("path", ["/health", "/nothing"])
def test_head_is_answered_as_get_without_a_body(path: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2"""
    got, headed = (
        run_wsgi_app(serve(method, path), EnvironBuilder(path, method=method).get_environ())
        for method in ("GET", "HEAD")
    )
    assert headed[1:] == got[1:]
    assert b"".join(got[0])
    assert b"".join(headed[0]) == b""


@pytest.mark.parametrize("path", ["/nothing", "/health/", "/HEALTH", "/a/../health", "/%00", "/%FF"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_path_is_a_404(method: str, path: str) -> None:
    response = serve(method, path, post=raising(AssertionError("asked")))
    assert problem(response)["code"] == "NOT_FOUND"
    assert response.status_code == 404


# --- the body ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", {}), (b" \n", {}), (b"{}", {}), (b'{"a": [1, null]}', {"a": [1, None]})],
)
def test_the_body_is_a_json_object_or_empty(data: bytes, expected: dict[str, Any]) -> None:
    assert json.loads(serve("POST", "/", data=data).get_data())["body"] == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="half"),
        pytest.param(b"a=1&b=2", id="a form"),
        pytest.param(b"\xff\xfe\xfd", id="no text"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 10_000, id="10,000 deep"),
        pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="10,000 deep and well-formed"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", id="a number of 10,000 digits"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
    ],
)
def test_any_other_body_is_a_400_about_the_whole_body(data: bytes) -> None:
    body = problem(serve("POST", "/", data=data))
    assert (body["status"], body["code"]) == (400, "BAD_REQUEST")
    assert [error["pointer"] for error in body["errors"]] == [""]


class Counted(io.BytesIO):
    """A body that counts the bytes read of it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        length = super().readinto(buffer)
        self.read_bytes += length
        return length


def sent(body: io.BytesIO, length: int | str) -> dict[str, Any]:
    """A request whose Content-Length is claimed, whatever its body holds."""
    return {"environ_overrides": {"wsgi.input": body, "CONTENT_LENGTH": str(length)}}


def test_a_body_of_exactly_the_limit_is_read() -> None:
    data = b'{"a": "' + b"x" * (MEBIBYTE - 9) + b'"}'
    assert len(data) == MEBIBYTE
    assert serve("POST", "/", data=data).status_code == 202


def test_one_byte_more_is_refused_unread() -> None:
    body = Counted(b"x" * (MEBIBYTE + 1))
    response = serve("POST", "/", **sent(body, MEBIBYTE + 1))
    assert problem(response)["code"] == "BODY_TOO_LARGE"
    assert response.status_code == 413
    assert body.read_bytes == 0


def test_a_body_without_a_length_is_read_up_to_the_limit_only() -> None:
    body = Counted(b"x" * (100 * MEBIBYTE))
    chunked = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = serve("POST", "/", environ_overrides=chunked)
    assert response.status_code == 413
    assert body.read_bytes <= 2 * MEBIBYTE


def test_a_length_that_is_too_small_cuts_the_body() -> None:
    body = Counted(b'{"a": 1}' + b"x" * 100)
    response = serve("POST", "/", **sent(body, 8))
    assert json.loads(response.get_data())["body"] == {"a": 1}
    assert body.read_bytes == 8


def test_a_body_that_ends_before_its_length_is_the_callers_fault(events: pytest.LogCaptureFixture) -> None:
    response = serve("POST", "/", **sent(io.BytesIO(b'{"a": 1}'), 100))
    assert problem(response)["detail"] == "the body ended before its Content-Length"
    assert response.status_code == 400
    assert {record.levelname for record in events.records} == {"INFO"}


@pytest.mark.parametrize("length", ["-1", "many", "1e3", ""])
def test_a_length_that_is_none_is_no_crash(length: str) -> None:
    response = serve("POST", "/", **sent(io.BytesIO(b"{}"), length))
    assert response.status_code in (202, 400)


# --- errors -----------------------------------------------------------------------------------------


def test_a_temporary_error_asks_to_come_again() -> None:
    error = StoreUnavailableError("MongoDB did not answer: 10.0.0.7:27017: timed out")
    response = serve("POST", "/", post=raising(error))
    body = problem(response)
    assert (response.status_code, body["code"]) == (503, "STORE_UNAVAILABLE")
    assert (body["title"], body["detail"]) == ("Service Unavailable", "MongoDB did not answer.")
    assert int(response.headers["Retry-After"]) > 0


def test_a_permanent_error_does_not() -> None:
    error = KubernetesRefusedError("forbidden", reason="Forbidden", status=403)
    response = serve("POST", "/", post=raising(error))
    assert (response.status_code, problem(response)["code"]) == (502, "KUBERNETES_REFUSED")
    assert "Retry-After" not in response.headers


def test_every_fault_of_a_request_is_listed() -> None:
    faults = (Fault("/a", "must be a number"), Fault("header:Idempotency-Key", "is too long"))
    body = problem(serve("POST", "/", post=raising(BadRequestError("not valid", faults))))
    assert body["errors"] == [
        {"pointer": "/a", "detail": "must be a number"},
        {"pointer": "header:Idempotency-Key", "detail": "is too long"},
    ]


def test_an_unexpected_error_is_logged_with_its_stack_and_kept_from_the_caller(
    events: pytest.LogCaptureFixture,
) -> None:
    response = serve("POST", "/", post=raising(ZeroDivisionError("password=hunter2")))
    assert problem(response)["code"] == "INTERNAL"
    assert response.status_code == 500
    assert b"hunter2" not in response.get_data()
    (record,) = events.records
    assert (record.levelname, record.message) == ("ERROR", "request.crashed")
    assert record.exc_info


def test_an_answer_that_is_no_json_is_a_crash_like_any_other(events: pytest.LogCaptureFixture) -> None:
    response = serve("POST", "/", post=lambda _request: Answer({"a": object()}))
    assert problem(response)["code"] == "INTERNAL"
    assert [record.message for record in events.records] == ["request.crashed"]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (BadRequestError("no"), "INFO"),
        (StoreUnavailableError("away"), "ERROR"),
        (FlinkjobsError("odd"), "ERROR"),
    ],
)
def test_the_callers_faults_are_information_and_ours_are_errors(
    error: FlinkjobsError, level: str, events: pytest.LogCaptureFixture
) -> None:
    serve("POST", "/", post=raising(error))
    (record,) = events.records
    assert (record.levelname, record.message) == (level, "request.refused")


def test_half_a_surrogate_pair_in_an_answer_is_no_crash() -> None:
    """JSON may escape one; a fault that names the field brings it back."""
    faults = (Fault("/\ud83d", "is not known"),)
    response = serve("POST", "/", post=raising(BadRequestError("/\ud83d is not known", faults)))
    assert problem(response)["errors"][0]["pointer"] == "/\ud83d"


# --- JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2025, 11, 1, 12, tzinfo=UTC), "2025-11-01T12:00:00.000Z"),
        (datetime(2025, 11, 1, 12, 0, 30, 123999, tzinfo=UTC), "2025-11-01T12:00:30.123Z"),
        (datetime(2025, 11, 1, 20, tzinfo=timezone(timedelta(hours=8))), "2025-11-01T12:00:00.000Z"),
    ],
    ids=["whole", "milliseconds", "another zone"],
)
def test_times_are_iso_8601_in_utc_with_milliseconds(moment: datetime, expected: str) -> None:
    assert json.loads(messages.to_json({"at": moment})) == {"at": expected}


def test_text_is_not_escaped_without_need() -> None:
    assert messages.to_json({"name": "日报 😀"}) == '{"name": "日报 😀"}'


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        messages.to_json({"a": {1}})


# --- compression, conditional requests, other origins -------------------------------------------------

LONG = {"text": "x" * 2_000}


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip, deflate, br", True), ("gzip;q=0", False), ("identity", False), ("", False)],
)
def test_a_long_answer_is_compressed_for_who_takes_it(accepted: str, is_compressed: bool) -> None:
    headers = {"Accept-Encoding": accepted}
    response = serve("POST", "/", post=lambda _: Answer(LONG), headers=headers)
    assert (response.headers.get("Content-Encoding") == "gzip") is is_compressed
    body = response.get_data()
    assert json.loads(gzip.decompress(body) if is_compressed else body) == LONG
    assert int(response.headers["Content-Length"]) == len(body)
    assert "Accept-Encoding" in response.headers["Vary"]
    short = serve("POST", "/", post=lambda _: Answer({}), headers=headers)
    assert "Content-Encoding" not in short.headers


def held(etags: str, body: dict[str, Any]) -> Answer:
    return messages.unless_held(Request({"if-none-match": etags}, {}, b""), body)


def test_what_the_caller_holds_is_not_sent_again() -> None:
    etag = held("", {"jobs": [], "now": 1}).headers["ETag"]
    for given in (etag, etag.removeprefix("W/"), f'"other", {etag}'):
        answer = held(given, {"jobs": [], "now": 2})
        assert (answer.status, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert held(etag, {"jobs": [1], "now": 1}).status == 200


ORIGIN = "https://app.example"


def serve_from(method: str, origin: str | None, origins: set[str]) -> flask.Response:
    headers = {"Origin": origin} if origin else {}
    with APP.test_request_context("/health", method=method, headers=headers):
        return server.serve_routes(flask.request, [], ready=nothing, origins=origins)


@pytest.mark.parametrize(
    ("origin", "origins", "allowed"),
    [
        (ORIGIN, {ORIGIN}, ORIGIN),
        ("https://evil.example", {ORIGIN}, None),
        (None, {ORIGIN}, None),
        (ORIGIN, set[str](), None),
    ],
)
def test_a_page_of_another_origin_reads_an_answer_only_where_it_is_named(
    origin: str | None, origins: set[str], allowed: str | None
) -> None:
    for method, status in (("GET", 200), ("POST", 405)):
        response = serve_from(method, origin, origins)
        assert response.status_code == status
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert ("Origin" in response.headers["Vary"]) is bool(origins)
    asked_first = serve_from("OPTIONS", origin, origins)
    assert asked_first.status_code == (204 if allowed else 405)
    assert ("Access-Control-Allow-Methods" in asked_first.headers) is bool(allowed)
