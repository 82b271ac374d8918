"""A Flink REST API written for speed: `python -m bench.flink_double CLUSTERS` serves bytes made beforehand.

Each cluster has a port of its own. `PUT /overview` replaces what a cluster knows, `PUT /states` changes the
states of some of its jobs. `GET /jobs/overview` is those bytes, `GET /jobs/{id}` an answer as long as a real
one, `GET /jobs/{id}/exceptions` a short one. Nothing is computed while a client waits, so that the time
measured is the client's; only after a change of states the overview is put together anew.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from doubles.processes import Process

HOST = "127.0.0.1"
START_SECONDS = 30.0
_PORTS = re.compile(r"^ports (.+)$")
RECORDED = Path(__file__).parents[1] / "tests/data/flink/1.20/rest"


class _Entry(msgspec.Struct, rename="kebab", gc=False):
    jid: str
    state: str
    start_time: int
    end_time: int


class _Overview(msgspec.Struct):
    jobs: list[_Entry]


_DECODER = msgspec.json.Decoder(_Overview)


def _recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())["body"]


def _answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=UTF-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Cluster:
    """What one cluster knows, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._overview = _answer("200 OK", b'{"jobs":[]}')
        self._known: bytes | None = None
        self._entries: dict[str, bytes] = {}
        self._jobs: dict[str, bytes] = {}
        detail = {**_recorded("job--running"), "jid": "", "state": "", "start-time": 0, "end-time": 0}
        self._rest = json.dumps(
            {key: value for key, value in detail.items() if value not in ("", 0)}, separators=(",", ":")
        )[1:]
        self._exceptions = _answer(
            "200 OK", json.dumps(_recorded("job_exceptions--failed--whole-trace")).encode()
        )

    def know(self, overview: bytes) -> None:
        """Replaces all jobs; nothing was asked since."""
        self._overview = _answer("200 OK", overview)
        self._jobs = {job.jid: self._detail(job) for job in _DECODER.decode(overview).jobs}
        self._known, self._entries = overview, {}
        self.asked = 0

    def change(self, states: bytes) -> None:
        """Changes the states of jobs, by their ids."""
        if self._known is not None:
            self._entries = {job["jid"]: msgspec.json.encode(job) for job in json.loads(self._known)["jobs"]}
            self._known = None
        for jid, state in json.loads(states).items():
            self._entries[jid] = msgspec.json.encode({**json.loads(self._entries[jid]), "state": state})

    def _detail(self, job: _Entry) -> bytes:
        times = f'"start-time":{job.start_time},"end-time":{job.end_time}'
        return f'{{"jid":"{job.jid}","state":"{job.state}",{times},{self._rest}'.encode()

    def answer(self, path: str) -> bytes:
        """The whole HTTP answer to a GET."""
        if path == "/asked":
            return _answer("200 OK", str(self.asked).encode())
        self.asked += 1
        if path == "/jobs/overview":
            if self._entries:
                return _answer("200 OK", b'{"jobs":[' + b",".join(self._entries.values()) + b"]}")
            return self._overview
        job_id, _, what = path.removeprefix("/jobs/").partition("/")
        if job_id in self._jobs:
            return self._exceptions if what == "exceptions" else _answer("200 OK", self._jobs[job_id])
        text = f"org.apache.flink.runtime.rest.NotFoundException: Job {job_id} not found"
        return _answer("404 Not Found", json.dumps({"errors": [text]}).encode())


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as the clients here speak it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 a TCP connection
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        method, path, *_ = self._received[:end].decode().split(maxsplit=2)
        if method == "GET":
            self._received.clear()
            self._transport.write(self._cluster.answer(path))
            return
        headers = self._received[:end].decode().lower().split("\r\n")
        length = next(int(line[15:]) for line in headers if line.startswith("content-length:"))
        if len(self._received) == end + 4 + length:
            change = self._cluster.change if path == "/states" else self._cluster.know
            change(bytes(self._received[end + 4 :]))
            self._received.clear()
            self._transport.write(_answer("200 OK", b"{}"))


async def serve(count: int) -> None:
    """Serves until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    ports = []
    for _ in range(count):
        cluster = Cluster()
        server = await loop.create_server(lambda cluster=cluster: _Connection(cluster), HOST, 0)  # type: ignore[misc]
        ports.append(server.sockets[0].getsockname()[1])
    print("ports", *ports, flush=True)  # noqa: T201 read by the parent process
    await stopping.wait()


class FlinkDouble:
    """The double as a process of its own; a context manager.

    Attributes:
        urls: base URL of each cluster.
    """

    def __init__(self, count: int) -> None:
        """Args: how many clusters."""
        self._process = Process(
            [sys.executable, "-m", "bench.flink_double", str(count)],
            name="the Flink double",
            cwd=Path(__file__).parents[1],
        )
        try:
            match = self._process.wait_ready(_PORTS, timeout_seconds=START_SECONDS)
        except BaseException:
            self._process.stop()
            raise
        assert match is not None  # noqa: S101 a pattern was waited for
        self.urls = [f"http://{HOST}:{port}" for port in match[1].split()]
        self._http = httpx.Client(timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.stop()

    def know(self, cluster: int, overview: bytes) -> None:
        """Replaces what a cluster knows, and counts from zero."""
        self._http.put(f"{self.urls[cluster]}/overview", content=overview).raise_for_status()

    def change(self, cluster: int, states: Mapping[str, str]) -> None:
        """Changes the states of some of a cluster's jobs, by their ids."""
        self._http.put(f"{self.urls[cluster]}/states", json=dict(states)).raise_for_status()

    def asked(self) -> list[int]:
        """How many requests each cluster has got since."""
        return [int(self._http.get(f"{url}/asked").text) for url in self.urls]


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
