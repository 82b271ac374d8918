"""What all functions have in common over HTTP, and how they start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from doubles.kubernetes.faults import RequestFault
from doubles.processes import ProcessError, free_port
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.functions.conftest import World, call, events_after, problem

FUNCTIONS = ("submit", "sync", "cleanup")
EVERY = pytest.mark.parametrize("function", FUNCTIONS, indirect=True)
MEBIBYTE = 1024 * 1024


# --- routes -----------------------------------------------------------------------------------------


@EVERY
def test_a_function_says_that_it_lives_and_that_it_is_ready(function: FunctionServer, world: World) -> None:
    assert world.kubernetes.is_empty()
    for path, status in (("/health", "ok"), ("/ready", "ready")):
        answer = call(function, "GET", path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"


@EVERY
@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        *((method, "/", "POST") for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS")),
        *((method, "/health", "GET, HEAD") for method in ("POST", "DELETE")),
        *((method, "/ready", "GET, HEAD") for method in ("POST", "DELETE")),
    ],
)
def test_another_method_is_refused_with_the_one_allowed(
    function: FunctionServer, method: str, path: str, allow: str
) -> None:
    answer = call(function, method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert problem(answer)["code"] == "METHOD_NOT_ALLOWED"


@EVERY
@pytest.mark.parametrize("path", ["/nothing", "/health/", "/api/jobs", "/%2e%2e/ready"])
def test_another_path_is_not_found(function: FunctionServer, path: str) -> None:
    answer = call(function, "POST", path)
    assert answer.status_code == 404
    assert problem(answer)["code"] == "NOT_FOUND"


# --- bodies -----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b'"x"', b"nothing", b"null", b'{"a": "\xff"}', b"[" * 100_000, b"1e999999"]
)
def test_a_body_that_is_no_json_object_is_refused(function: FunctionServer, body: bytes) -> None:
    answer = call(function, content=body)
    assert answer.status_code == 400
    [fault] = problem(answer)["errors"]
    assert fault["pointer"] == ""


@EVERY
def test_an_unknown_field_is_refused_by_its_name(function: FunctionServer, world: World) -> None:
    answer = call(function, json={"parallel~/ism": 4})
    assert answer.status_code == 400
    assert "/parallel~0~1ism" in [fault["pointer"] for fault in problem(answer)["errors"]]
    assert world.jobs.count_documents({}) == 0


@EVERY
def test_a_body_over_the_limit_is_refused_unread(function: FunctionServer) -> None:
    answer = call(function, content=b" " * (MEBIBYTE + 1))
    assert answer.status_code == 413
    assert problem(answer)["code"] == "BODY_TOO_LARGE"


@EVERY
def test_a_body_of_unknown_length_is_limited_too(function: FunctionServer) -> None:
    answer = call(function, content=iter([b" " * MEBIBYTE, b" " * MEBIBYTE]))
    assert answer.status_code == 413


# --- logs -------------------------------------------------------------------------------------------


@EVERY
def test_every_line_of_the_log_is_one_json_object(function: FunctionServer, world: World) -> None:
    call(function, json={})
    before = function.process.lines_printed
    call(function, json={"new\nline": 1})
    call(function, "GET", "/nowhere")
    call(function, json={})
    events = events_after(function, before, last="request.refused", count=2)
    assert {"severity", "time", "message"} <= set.intersection(*(set(event) for event in events))
    refused = [event for event in events if event["message"] == "request.refused"]
    assert {(event["status"], event["path"]) for event in refused} >= {(400, "/"), (404, "/nowhere")}
    assert world.database.name == "functions"


# --- dead peers -------------------------------------------------------------------------------------


def without_any_peer(name: str, settings: Mapping[str, str]) -> list[str]:
    """A life with dead peers; returns what the function printed."""
    body = {"template_id": "etl", "script": {"path": "/a.py"}} if name == "submit" else {}
    with FunctionServer(name, settings) as server:
        assert call(server, "GET", "/health").json() == {"status": "ok"}
        answer = call(server, json=body)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "10"
        assert problem(answer)["code"] == "STORE_UNAVAILABLE"
        assert call(server, "GET", "/health").status_code == 200
    return server.process.output


def test_without_any_peer_a_function_lives_and_says_what_is_away(
    settings: Mapping[str, str], world: World, tmp_path: Path
) -> None:
    """All three at once: each waits five seconds for a MongoDB that is not there."""
    kubeconfig = world.kubernetes.kubeconfig(tmp_path / "dead", server=f"https://127.0.0.1:{free_port()}")
    dead = {
        **settings,
        "MONGODB_URI": f"mongodb://ann:s3cret@127.0.0.1:{free_port()}/",
        "FLINK_REST_URL": f"http://127.0.0.1:{free_port()}",
        "KUBECONFIG": str(kubeconfig),
    }
    with ThreadPoolExecutor() as threads:
        printed = list(threads.map(without_any_peer, FUNCTIONS, [dead] * len(FUNCTIONS)))
    for lines in printed:
        assert [line for line in lines if "STORE_UNAVAILABLE" in line]
        assert not [line for line in lines if "s3cret" in line]


def test_a_function_is_not_ready_while_mongodb_is_away(settings: Mapping[str, str]) -> None:
    with MongoServer() as mongo, FunctionServer("sync", {**settings, "MONGODB_URI": mongo.uri}) as server:
        mongo.stop()
        answer = call(server, "GET", "/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "10"
        assert problem(answer)["code"] == "STORE_UNAVAILABLE"
        mongo.start()
        assert call(server, "GET", "/ready").json() == {"status": "ready"}
        assert call(server).json()["scanned"] == 0


@EVERY
def test_a_function_is_not_ready_while_kubernetes_is_away(function: FunctionServer, world: World) -> None:
    with world.kubernetes.control.fault(RequestFault(effect="status", status=503)):
        answer = call(function, "GET", "/ready")
    assert answer.status_code == 503
    assert problem(answer)["code"] == "KUBERNETES_UNAVAILABLE"


# --- start ------------------------------------------------------------------------------------------

REQUIRED = [
    *((name, "MONGODB_URI") for name in FUNCTIONS),
    ("submit", "FLINK_IMAGE"),
    ("submit", "FLINK_REST_URL"),
    ("sync", "FLINK_REST_URL"),
]


def start_fails(name: str, settings: Mapping[str, str]) -> str:
    """The one line that a function prints instead of starting."""
    with pytest.raises(ProcessError) as caught:
        FunctionServer(name, settings).close()
    first, *lines = str(caught.value).splitlines()
    ended = re.fullmatch(rf"function {name} ended with exit code (\d+) before it was ready:", first)
    assert ended
    assert int(ended[1]) != 0
    assert "Traceback" not in str(caught.value)
    [line] = [line.strip() for line in lines if line.strip().startswith("flinkjobs: ")]
    return line


@pytest.mark.parametrize(("name", "variable"), REQUIRED)
def test_a_missing_setting_stops_the_function_with_one_line(
    name: str, variable: str, settings: Mapping[str, str]
) -> None:
    without = {key: value for key, value in settings.items() if key not in (variable, "FLINK_CLUSTERS")}
    assert start_fails(name, without) == f"flinkjobs: {variable} is required and not set"


def test_a_wrong_setting_stops_the_function_without_showing_a_password(settings: Mapping[str, str]) -> None:
    line = start_fails("sync", {**settings, "MONGODB_URI": "http://ann:s3cret@host/"})
    assert line == "flinkjobs: MONGODB_URI must begin with mongodb:// or mongodb+srv://"
