"""What is refused, at which field, and that nothing is left of it; the table is in tests/data."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pymongo import MongoClient
from standardwebhooks import Webhook

from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from tests.integration.functions.conftest import DATABASE, World, call
from tests.support.flink_rest_server import FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import Document

TABLE = Path(__file__).parents[2] / "data" / "bad_requests.yaml"
HOST = "scripts.example.org"
LEAST: Document = {"template_id": "etl", "script": {"path": "/opt/jobs/etl.py"}}
MEBIBYTE = 1024 * 1024
CHUNK = 64 * 1024
TEMPLATES: list[Document] = [
    {"template_id": "off", "status": "inactive", "config": {"script_path": "/a.py"}},
    {"template_id": "retired", "status": {"$ne": None}, "config": {"script_path": "/a.py"}},
    {"template_id": "faulty", "status": "active", "config": {"script_path": "/a.py"}, "parallelism": 0},
    {"template_id": "shapeless", "status": "active", "config": "/a.py"},
    {"template_id": "empty", "status": "active", "config": {}},
    {"template_id": "good", "status": "active", "config": {"script_path": "/a.py"}},
]


# --- the table --------------------------------------------------------------------------------------


def grown(value: Any) -> Any:
    """The same value, where a text that ends with `%N` holds its letter (or an x) N times."""
    if isinstance(value, dict):
        return {name: grown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [grown(inner) for inner in value]
    if isinstance(value, str) and (long := re.fullmatch(r"(.?)%(\d+)", value)):
        return long[1] + (long[1].strip("/") or "x") * int(long[2])
    return value


MADE: Mapping[str, Callable[[], bytes]] = {
    "long_inline": lambda: (
        b'{"template_id": "etl", "script": {"inline": "' + ("作" * 307_201).encode() + b'"}}'
    ),
    "many_args": lambda: json.dumps({**LEAST, "args": ["x"] * 201}).encode(),
    "many_py_files": lambda: json.dumps({**LEAST, "py_files": ["/a.zip"] * 101}).encode(),
    "long_py_files": lambda: json.dumps({**LEAST, "py_files": ["作" * 1024] * 50}).encode(),
    "many_options": lambda: json.dumps({**LEAST, "flink_conf": {f"a.{n}": "x" for n in range(201)}}).encode(),
    "many_labels": lambda: json.dumps({**LEAST, "labels": {f"l{n}": "x" for n in range(21)}}).encode(),
    "many_fields": lambda: json.dumps({**LEAST, **{f"field_{n}": 1 for n in range(200)}}).encode(),
    "long_number": lambda: b'{"template_id": "etl", "parallelism": ' + b"1" * 5000 + b"}",
    "deep_arrays": lambda: b'{"args": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep_objects": lambda: b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep_argument": lambda: json.dumps(LEAST)[:-1].encode() + b', "args": ' + b"[" * 400 + b"]" * 400 + b"}",
    "over_limit": lambda: json.dumps(LEAST).encode().ljust(MEBIBYTE + 1),
    "two_mebibytes": lambda: json.dumps(LEAST).encode().ljust(2 * MEBIBYTE),
}


@dataclass(frozen=True, slots=True)
class Bad:
    """One line of the table, ready to be sent."""

    name: str
    function: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    is_chunked: bool
    by_server: bool
    status: int
    code: str
    at: list[str]


def body_of(entry: Document) -> bytes:
    if "made" in entry:
        return MADE[entry["made"]]()
    if "bytes" in entry:
        return bytes.fromhex(entry["bytes"])
    if "text" in entry:
        text: str = entry["text"]
        return text.encode()
    return json.dumps(grown(entry["body"] if "body" in entry else LEAST | entry["change"])).encode()


def read(entry: Document) -> Bad:
    body, is_chunked = body_of(entry), entry.get("chunked", False)
    length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))}
    return Bad(
        name=entry["name"],
        function=entry.get("function", "submit"),
        target=entry.get("target", "POST /"),
        headers={"Content-Type": "application/json", **length, **grown(entry.get("headers", {}))},
        body=body,
        is_chunked=is_chunked,
        by_server=entry.get("by_server", False),
        status=entry["status"],
        code=entry.get("code", "BAD_REQUEST"),
        at=entry.get("at", []),
    )


BAD = [read(entry) for entry in yaml.safe_load(TABLE.read_text())]


# --- sending ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes


def send(url: str, target: str, headers: Mapping[str, str], parts: Iterator[bytes]) -> Answer:
    """One request as its bytes are, which no HTTP client would send; the server may answer before its end."""
    address = urlsplit(url)
    lines = [f"{target} HTTP/1.1", f"Host: {address.netloc}", *(f"{n}: {v}" for n, v in headers.items())]
    with socket.create_connection((address.hostname or "", address.port or 0), 60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            for part in parts:
                connection.sendall(part)
        response = http.client.HTTPResponse(connection, method=target.partition(" ")[0])
        response.begin()
        return Answer(response.status, response.headers.get("Content-Type", ""), response.read())


def in_parts(body: bytes, *, is_chunked: bool) -> Iterator[bytes]:
    if not is_chunked:
        yield body
        return
    for start in range(0, len(body), CHUNK):
        part = body[start : start + CHUNK]
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


@pytest.fixture(scope="module")
def servers(
    settings: Mapping[str, str], sync: FunctionServer, cleanup: FunctionServer
) -> Iterator[Mapping[str, FunctionServer]]:
    """Each function, by its name."""
    with FunctionServer("submit", {**settings, "ALLOWED_SCRIPT_HOSTS": HOST}) as submit:
        yield {server.name: server for server in (submit, sync, cleanup)}


@pytest.fixture(scope="module")
def stocked(
    mongo_client: MongoClient[Document],
    kubernetes_double: KubernetesDouble,
    flink: FlinkServer,
    batch: FlinkServer,
    history: FlinkServer,
) -> Iterator[World]:
    """A world with templates and a record. Nothing is put back after a test: a refusal changes nothing."""
    database = mongo_client[DATABASE]
    database["flink_jobs"].delete_many({})
    with KubernetesWorld(kubernetes_double) as kubernetes:
        kubernetes.reset()
        world = World(database, kubernetes, flink, batch, history)
        database["job_templates"].insert_many([dict(template) for template in TEMPLATES])
        world.add_record("etl_1")
        yield world
    for name in ("flink_jobs", "job_templates"):
        database[name].delete_many({})


def contents(world: World) -> dict[str, list[Document]]:
    """Every document of every collection."""
    return {
        name: found
        for name in world.database.list_collection_names()
        if (found := list(world.database[name].find({}, sort=[("_id", 1)])))
    }


# --- the tests --------------------------------------------------------------------------------------


def test_the_table_is_long_and_its_names_are_unique() -> None:
    assert len(BAD) >= 60
    assert [name for name, count in Counter(bad.name for bad in BAD).items() if count > 1] == []


def test_the_least_request_is_accepted(servers: Mapping[str, FunctionServer], stocked: World) -> None:
    """What the table changes is good: a refusal is due to the change."""
    body = json.dumps(LEAST).encode()
    for is_chunked in (False, True):
        length = {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))}
        answer = send(servers["submit"].url, "POST /", length, in_parts(body, is_chunked=is_chunked))
        assert answer.status == 202
    assert stocked.jobs.count_documents({}) == 3
    assert len(stocked.kubernetes.names("jobs")) == 2


@pytest.mark.parametrize("bad", BAD, ids=[bad.name for bad in BAD])
def test_a_bad_request_is_refused_and_leaves_nothing(
    bad: Bad, servers: Mapping[str, FunctionServer], stocked: World
) -> None:
    stocked.kubernetes.control.reset_requests()
    before = contents(stocked)
    parts = in_parts(bad.body, is_chunked=bad.is_chunked)
    answer = send(servers[bad.function].url, bad.target, bad.headers, parts)
    assert answer.status == bad.status, answer.body
    if not bad.by_server:
        assert answer.content_type == "application/problem+json"
        body: Document = json.loads(answer.body)
        assert (body["status"], body["code"]) == (bad.status, bad.code)
        assert sorted(fault["pointer"] for fault in body.get("errors", [])) == sorted(bad.at)
    assert contents(stocked) == before
    assert stocked.kubernetes.requests() == {}


# --- large and deep ---------------------------------------------------------------------------------


def processes(server: FunctionServer) -> list[Path]:
    """The processes of a function, as /proc has them: all in one process group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            group = int((folder / "stat").read_text().rpartition(") ")[2].split()[2])
            found += [folder] if group == server.process.pid else []
    assert found
    return found


def forget_peak(server: FunctionServer) -> None:
    for folder in processes(server):
        (folder / "clear_refs").write_text("5")


def peak_bytes(server: FunctionServer) -> int:
    """The most memory that a process of a function has held at once since `forget_peak`."""
    texts = [(folder / "status").read_text() for folder in processes(server)]
    return 1024 * max(int(held) for text in texts for held in re.findall(r"VmHWM:\s+(\d+) kB", text))


HUGE = 100 * MEBIBYTE


def hundred_mebibytes(*, is_chunked: bool) -> Iterator[bytes]:
    part = b" " * CHUNK
    for _ in range(HUGE // CHUNK):
        yield b"%x\r\n%b\r\n" % (CHUNK, part) if is_chunked else part
    if is_chunked:
        yield b"0\r\n\r\n"


LARGE: Mapping[str, tuple[Document, Callable[[], Iterator[bytes]], int]] = {
    "100 MiB": ({"Content-Length": str(HUGE)}, lambda: hundred_mebibytes(is_chunked=False), 413),
    "100 MiB in chunks": (
        {"Transfer-Encoding": "chunked"},
        lambda: hundred_mebibytes(is_chunked=True),
        413,
    ),
    "arrays, a MiB deep": ({}, lambda: iter([b"[" * MEBIBYTE]), 400),
    "half a million faulty arguments": (
        {},
        lambda: iter([b'{"template_id": "etl", "args": [' + b"1," * 500_000 + b"1]}"]),
        400,
    ),
    "many unknown fields": (
        {},
        lambda: iter([json.dumps({f"{n:x}": 1 for n in range(80_000)}, separators=(",", ":")).encode()]),
        400,
    ),
    "a value of a MiB": ({}, lambda: iter([b'{"template_id": "' + b"x" * (MEBIBYTE - 100) + b'"}']), 400),
}


@pytest.mark.parametrize(("headers", "parts", "status"), LARGE.values(), ids=LARGE.keys())
def test_a_large_request_is_refused_with_flat_memory(
    headers: Document,
    parts: Callable[[], Iterator[bytes]],
    status: int,
    servers: Mapping[str, FunctionServer],
    stocked: World,
) -> None:
    submit = servers["submit"]
    assert call(submit, json=LEAST).status_code == 202  # it holds its clients from now on
    before = contents(stocked)
    forget_peak(submit)
    at_rest = peak_bytes(submit)
    length = headers or {"Content-Length": str(sum(map(len, parts())))}
    answer = send(submit.url, "POST /", length, parts())
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert len(answer.body) < CHUNK
    assert peak_bytes(submit) - at_rest < 24 * MEBIBYTE
    assert contents(stocked) == before


# --- keys and signatures ----------------------------------------------------------------------------

SECRET = "whsec_" + base64.b64encode(b"a secret that is long enough to be one").decode()


def test_a_signed_request_cannot_be_run_again_by_adding_another_key(
    settings: Mapping[str, str], world: World
) -> None:
    """The signature covers `webhook-id`; a third party could add an `Idempotency-Key`."""
    body = json.dumps(LEAST)
    now = datetime.now(UTC)
    signed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }
    with FunctionServer("submit", {**settings, "WEBHOOK_SECRETS": SECRET}) as submit:
        first = call(submit, content=body, headers=signed)
        again = call(submit, content=body, headers={**signed, "Idempotency-Key": '"msg_1"'})
        other = call(submit, content=body, headers={**signed, "Idempotency-Key": "msg_2"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert other.status_code == 400
    assert [fault["pointer"] for fault in other.json()["errors"]] == ["header:idempotency-key"]
    assert world.jobs.count_documents({}) == 1
    assert len(world.kubernetes.names("jobs")) == 1
