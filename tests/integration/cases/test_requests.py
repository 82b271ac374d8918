"""Requests and settings from the field; the rows are in `tests/data/cases/expected.yaml`."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.functions import FunctionServer
from tests.integration.cases.conftest import Functions, World
from tests.integration.cases.test_passes import without
from tests.support.cases import rows, text
from tests.support.records import Document
from tests.support.scripted_server import Answer, ScriptedServer

SECONDS = 60.0
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer of a function; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Document:
        """The problem details; empty for a good answer."""
        is_problem = self.headers.get("content-type") == "application/problem+json" and self.body != b""
        return dict(json.loads(self.body)) if is_problem else {}


@pytest.mark.parametrize("row", rows("requests"))
def test_a_request_is_answered_as_the_table_says(
    row: dict[str, Any], functions: Functions, world: World
) -> None:
    for request in row["requests"]:
        if "refusal" in request:
            world.kubernetes.refusal = text(row["case"], request["refusal"])
        for name in request["functions"]:
            check(ask(functions(name), row["case"], request), request)


@pytest.mark.parametrize("row", rows("settings"))
@pytest.mark.usefixtures("world")
def test_a_function_with_these_settings_answers_as_the_table_says(
    row: dict[str, Any], settings: Mapping[str, str], tmp_path: Path
) -> None:
    with ScriptedServer(lambda _: Answer(row.get("peer", 404))) as peer:
        port = peer.address.rpartition(":")[2]
        environ = {**settings, **read_settings(text(row["case"], "settings.env").replace("PORT", port))}
        for request in row["requests"]:
            with FunctionServer(request["function"], environ) as function:
                answered = ask(function, row["case"], request)
            check(answered, request)
            assert row.get("secret", "\n").encode() not in answered.body
    if "doctor" in row:
        check_doctor(environ, row["doctor"], tmp_path)


def ask(function: FunctionServer, case: str, request: dict[str, Any]) -> Answered:
    """Sends the bytes of one request, as no HTTP client may send them."""
    lines = [request.get("target", "POST /") + " HTTP/1.1"]
    if "request" in request:
        lines = text(case, request["request"]).splitlines()
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    body = body_of(case, request)
    chunked = request.get("headers", {}).get("Transfer-Encoding") == "chunked"
    headers |= {"Host": "127.0.0.1", "Connection": "close"} | request.get("headers", {})
    headers["Content-Length"] = None if chunked else str(len(body))
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = [lines[0], *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    address = urlsplit(function.url)
    with socket.create_connection((address.hostname or "", address.port or 0), SECONDS) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        received = b"".join(iter(lambda: connection.recv(READ_BYTES), b""))
    while received.startswith(b"HTTP/1.1 100 "):
        received = received.partition(b"\r\n\r\n")[2]
    answered_head, _, answered_body = received.partition(b"\r\n\r\n")
    status, *answered = answered_head.decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in answered)
    answered_headers = {name.lower(): value for name, value in named.items()}
    return Answered(int(status.split()[1]), answered_headers, answered_body)


def body_of(case: str, request: dict[str, Any]) -> bytes:
    """The body as it is sent; a JSON file goes byte for byte unless the row wants it otherwise."""
    if "json" not in request:
        return str(request.get("content", "")).encode()
    raw = text(case, request["json"])
    if "change" in request:
        raw = json.dumps(json.loads(raw.removeprefix("\ufeff")) | request["change"], ensure_ascii=False)
    if request.get("encoding", "utf-8") != "utf-8":
        raw = raw.removeprefix("\ufeff")
    body = raw.ljust(request.get("padded_to", 0)).encode(request.get("encoding", "utf-8"))
    return gzip.compress(body) if request.get("compressed") else body


def check(answered: Answered, request: dict[str, Any]) -> None:
    problem = answered.problem
    if "or_names" in request and request["or_names"] in problem.get("detail", ""):
        return
    assert answered.status == request["status"], answered
    assert problem.get("code") == request.get("code")
    assert without(request.get("names", []), problem.get("detail", "")) == [], problem
    if request.get("retry_after"):
        assert int(answered.headers["retry-after"]) > 0
    if "content_answered" in request:
        assert answered.body.decode() == request["content_answered"]


def check_doctor(environ: Mapping[str, str], expected: dict[str, Any], folder: Path) -> None:
    file = folder / "settings.env"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()))
    done = subprocess.run(
        [sys.executable, "-m", "flinkjobs.cli", "--env-file", str(file), "doctor", "--json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    finding = found[expected["check"]]
    for part in ("evidence", "next_step"):
        assert without(expected[part], finding[part]) == [], finding


def read_settings(lines: str) -> dict[str, str]:
    """The variables of an environment file."""
    return dict(line.split("=", 1) for line in lines.splitlines() if line and not line.startswith("#"))
