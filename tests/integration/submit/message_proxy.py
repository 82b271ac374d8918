"""The roads from a function to MongoDB and Kubernetes, with a gate at which one message meets its fate.

What a submission leaves behind depends on nothing but which of its messages have arrived. So a function that
is killed at each of them, with each fate, has been killed at every moment there is.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urlsplit

import bson
import httpx

from doubles.kubernetes.process import KubernetesDouble
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.tcp_proxy import TcpProxy, ThreadingServer

T = TypeVar("T")

UNCOUNTED: Final = frozenset({"createIndexes", "endSessions", "hello", "ismaster", "ping"})
"""Commands that come when a client is made or ends, or whenever the driver likes; all others are counted."""
HEADER: Final = struct.Struct("<iiii")
"""Length, request, response to, kind: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/"""
OP_MSG: Final = 2013
PATIENCE_SECONDS: Final = 60.0
"""How long a message may be held."""


class Fate(Enum):
    """What becomes of a message whose sender dies over it."""

    LOST = "never arrives"
    LATE = "arrives after its sender has died"
    OVERTAKEN = "arrives after the request was repeated"
    UNANSWERED = "arrives, and its answer is lost"


ARRIVED: Final = frozenset({Fate.LATE, Fate.UNANSWERED})
"""The fates of a message that is there as soon as its sender has died."""


class Gate:
    """Counts the messages of all roads, and holds the one that is to meet its fate.

    Attributes:
        passed: the messages since the last `expect`, in their order.
        reached: set while the message is held; its sender may be killed now.
        died: to be set when it was killed.
        repeated: to be set when its request was repeated.
        settled: set when the message has met its fate.
    """

    def __init__(self) -> None:
        """Open."""
        self._lock = threading.Lock()
        self.expect(None, Fate.LOST)

    def expect(self, number: int | None, fate: Fate) -> None:
        """From now on, the message of this number, from 0, meets this fate; none does where it is None."""
        with self._lock:
            self.passed: list[str] = []
            self._number, self._fate = number, fate
            self.reached, self.died = threading.Event(), threading.Event()
            self.repeated, self.settled = threading.Event(), threading.Event()

    def open(self) -> None:
        """Holds nothing any more, whatever a test has forgotten."""
        self.died.set()
        self.repeated.set()

    def pass_on(self, message: str, send: Callable[[], T]) -> T | None:
        """Sends a message when it may arrive; returns the answer, or None where the answer is to be lost."""
        with self._lock:
            is_held = len(self.passed) == self._number
            self.passed.append(message)
        if not is_held:
            return send()
        if self._fate is Fate.UNANSWERED:
            send()
        self.reached.set()
        _await(self.died)
        if self._fate is Fate.OVERTAKEN:
            _await(self.repeated)
        if self._fate in {Fate.LATE, Fate.OVERTAKEN}:
            send()
        self.settled.set()
        return None


def _await(event: threading.Event) -> None:
    assert event.wait(PATIENCE_SECONDS), "the test has forgotten a message that it holds"


class KubernetesRoad(ScriptedServer):
    """Passes requests on to the double through the gate, all but that for its version."""

    def __init__(self, gate: Gate, double: KubernetesDouble) -> None:
        """Listens at once."""
        self._gate = gate
        self._client = httpx.Client(base_url=double.url, trust_env=False)
        super().__init__(self._pass_on)

    def close(self) -> None:
        super().close()
        self._client.close()

    def _pass_on(self, asked: Asked) -> Answer:
        def send() -> Answer:
            headers = {"Authorization": asked.headers["authorization"], "Content-Type": "application/json"}
            answer = self._client.request(asked.method, asked.path, content=asked.body, headers=headers)
            return Answer(answer.status_code, answer.content)

        path = PurePosixPath(urlsplit(asked.path).path)
        if path.name == "version":  # what a probe of readiness asks
            return send()
        return self._gate.pass_on(f"{asked.method} {path.name}", send) or Answer(cut_after=0)


class MongoRoad(TcpProxy):
    """Passes messages on to a MongoDB server, commands through the gate; a context manager."""

    def __init__(self, gate: Gate, port: int) -> None:
        """Listens at once, for the server on this port of 127.0.0.1."""
        super().__init__(_Relay(gate, port))

    @property
    def uri(self) -> str:
        """Connection string, without a database; for a client that is answered once each time it asks."""
        return f"mongodb://{self.address}/?serverMonitoringMode=poll"


class _Relay(ThreadingServer):
    def __init__(self, gate: Gate, port: int) -> None:
        self.gate, self.port = gate, port
        super().__init__(_Connection)


class _Connection(socketserver.BaseRequestHandler):
    """Ends when the client does, as every message is answered by one."""

    server: _Relay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
            try:
                while message := _receive(self.request):
                    if (answer := self._answer(upstream, message)) is not None:
                        self.request.sendall(answer)
            except OSError:  # either end has gone
                return

    def _answer(self, upstream: socket.socket, message: bytes) -> bytes | None:
        def send() -> bytes:
            upstream.sendall(message)
            return _receive(upstream)

        command, subject = _command(message)
        return send() if command in UNCOUNTED else self.server.gate.pass_on(f"{command} {subject}", send)


def _command(message: bytes) -> tuple[str, object]:
    """The command and what it is about: the first field of the first section."""
    if HEADER.unpack(message[: HEADER.size])[3] != OP_MSG:
        return "hello", None  # the first message of a connection, in the old kind
    length = int.from_bytes(message[21:25], "little")
    [first, *_] = bson.decode(message[21 : 21 + length]).items()
    return first


def _receive(connection: socket.socket) -> bytes:
    """The next message; none at the end of the connection.

    Raises:
        ConnectionError: it ended in the middle of a message.
    """
    received = bytearray()
    wanted = HEADER.size
    while len(received) < wanted:
        part = connection.recv(wanted - len(received))
        if not part:
            if not received:
                return b""
            raise ConnectionError("the connection ended in the middle of a message")
        received += part
        if len(received) == HEADER.size:
            wanted, *_ = HEADER.unpack(received)
    return bytes(received)
