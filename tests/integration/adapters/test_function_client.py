"""Deployed functions as their caller meets them: answers, refusals, and what stands before them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from flinkjobs import __version__
from flinkjobs.adapters.function_client import HttpFunction, new_client
from flinkjobs.domain.errors import (
    FlinkjobsError,
    FunctionRefusedError,
    FunctionUnavailableError,
    NoFunctionError,
    NotFoundError,
    SettingsError,
    UnauthorizedError,
)
from tests.support.scripted_server import Answer, ScriptedServer, html

PROBLEM = {"Content-Type": "application/problem+json"}
FAULTS = [{"pointer": "/args", "detail": "too many"}, "nonsense", {"pointer": 7}]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with new_client() as client:
        yield client


def call(server: ScriptedServer, client: httpx.Client, *, token: str | None = None) -> Any:
    function = HttpFunction(server.url, bearer=None if token is None else lambda: token, client=client)
    return function.call(
        "POST", "/x", query={"a": "b c"}, headers={"X-Y": "z"}, body="{}", expected_member="a"
    )


def problem(status: int, headers: Mapping[str, str] | None = None, **members: Any) -> Answer:
    return Answer(status=status, body=json.dumps(members).encode(), headers={**PROBLEM, **(headers or {})})


def test_a_request_arrives_as_it_was_meant(client: httpx.Client) -> None:
    with ScriptedServer(lambda _asked: Answer(body=b'{"a": "\\u00fc"}')) as server:
        assert call(server, client, token="t-1") == {"a": "ü"}
        [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/x?a=b+c", b"{}")
    assert asked.headers["authorization"] == "Bearer t-1"
    assert asked.headers["user-agent"] == f"flinkjobs/{__version__}"
    assert (asked.headers["x-y"], asked.headers["content-type"]) == ("z", "application/json")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (problem(400, detail="no", code="BAD_REQUEST", errors=FAULTS), FunctionRefusedError, "no"),
        (problem(404, detail="no such job", code="NOT_FOUND"), NotFoundError, "no such job"),
        (problem(401, detail="sign it", code="UNAUTHORIZED"), UnauthorizedError, "401: sign it"),
        (problem(409, {"Retry-After": "10"}, code="IN_FLIGHT"), FunctionUnavailableError, "409 IN_FLIGHT"),
        (problem(503, {"Retry-After": "10"}, code="STORE_UNAVAILABLE"), FunctionUnavailableError, "503"),
        (problem(503, detail="late", code="OVERTAKEN"), FunctionRefusedError, "late"),
        (problem(500, detail="stack", code="INTERNAL"), FunctionUnavailableError, "500 INTERNAL: stack"),
        (html(401), UnauthorizedError, "401: Unauthorized"),
        (html(403), UnauthorizedError, "403: Forbidden"),
        (html(404), NoFunctionError, "none of these functions"),
        (html(302), NoFunctionError, " answered 302: it is none of these functions, or a login"),
        (
            Answer(status=303, headers={"Location": "https://u:p@login.example/sign-in?token=s3cret"}),
            NoFunctionError,
            " answered 303 and sends on to https://login.example: it is none of these functions, or a login",
        ),
        (Answer(status=302, headers={"Location": "/sign-in"}), NoFunctionError, " answered 302: it"),
        (Answer(status=302, headers={"Location": "http://a:b"}), FunctionUnavailableError, "did not answer"),
        (html(502), FunctionUnavailableError, " answered 502: Bad Gateway"),
        (
            html(200),
            NoFunctionError,
            " answered 200 with text/html instead of JSON: it is none of these functions, or a login stands",
        ),
        (
            Answer(body=b"", headers={}),
            NoFunctionError,
            " answered 200 with nothing instead of JSON: it is none of these functions",
        ),
        (Answer(status=204, body=b""), NoFunctionError, " answered 204 with nothing instead of"),
        (Answer(body=b"[1]"), NoFunctionError, " answered no JSON object: it is none of these"),
        (
            Answer(body=b'{"b": 1}'),
            NoFunctionError,
            " answered JSON without 'a': it is another function, or none of these",
        ),
        (Answer(status=599, body=b""), NoFunctionError, "599"),
        (Answer(status=400, body=b"[", headers=PROBLEM), NoFunctionError, "none of these functions"),
        (Answer(body=b'{"cut": "off"}', cut_after=5), FunctionUnavailableError, "did not answer"),
    ],
)
def test_every_other_answer_becomes_an_error_of_ours(
    client: httpx.Client, answer: Answer, kind: type[FlinkjobsError], message: str
) -> None:
    with ScriptedServer(lambda _asked: answer) as server, pytest.raises(FlinkjobsError) as raised:
        call(server, client)
    assert type(raised.value) is kind
    assert message in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_faults_and_the_code_are_passed_on(client: httpx.Client) -> None:
    answer = problem(400, detail="no", code="BAD_REQUEST", errors=FAULTS)
    with ScriptedServer(lambda _asked: answer) as server, pytest.raises(FunctionRefusedError) as raised:
        call(server, client)
    assert raised.value.peer_code == "BAD_REQUEST"
    assert [(fault.pointer, fault.detail) for fault in raised.value.faults] == [
        ("/args", "too many"),
        ("7", ""),
    ]


@pytest.mark.parametrize("url", ["http://jobs.example", "http://10.0.0.1:8080"])
def test_a_token_is_sent_over_https_or_to_this_machine_only(client: httpx.Client, url: str) -> None:
    with pytest.raises(SettingsError, match="https only"):
        HttpFunction(url, bearer=lambda: "t", client=client)
    HttpFunction("https://jobs.example", bearer=lambda: "t", client=client)
    HttpFunction("http://localhost:8080", bearer=lambda: "t", client=client)
    HttpFunction(url, bearer=None, client=client)
