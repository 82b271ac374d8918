"""The network of an instance that has just started: it takes connections, and carries nothing for a while."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class LateNetwork:
    """Ways to peers that lead nowhere until some seconds after the first connection; a context manager.

    Attributes:
        seconds: how long they lead nowhere.
    """

    def __init__(self, seconds: float) -> None:
        """Nothing listens yet: see `way_to`."""
        self.seconds = seconds
        self._begins = threading.Lock()
        self._opens_at: float | None = None
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for listening in self._sockets:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    @property
    def is_open(self) -> bool:
        """Whether the ways lead to the peers by now."""
        return self._opens_at is not None and time.monotonic() >= self._opens_at

    def way_to(self, port: int) -> int:
        """A port of 127.0.0.1 whose connections end at another one of it."""
        listening = socket.create_server(("127.0.0.1", 0))
        self._sockets.append(listening)
        threading.Thread(target=self._accept, args=[listening, port], daemon=True).start()
        own: int = listening.getsockname()[1]
        return own

    def _accept(self, listening: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                caller, _ = listening.accept()
                threading.Thread(target=self._carry, args=[caller, port], daemon=True).start()

    def _carry(self, caller: socket.socket, port: int) -> None:
        with self._begins:
            self._opens_at = self._opens_at or time.monotonic() + self.seconds
        with caller:
            if self._closing.wait(max(0.0, self._opens_at - time.monotonic())):
                return
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as peer:
                back = threading.Thread(target=_pump, args=[peer, caller], daemon=True)
                back.start()
                _pump(caller, peer)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carries what comes until the source ends, then ends the target's stream."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
