"""A proxy before a JobManager's REST API that passes requests on and keeps the answers to itself."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class LossyProxy:
    """Listens on a free port of 127.0.0.1; a context manager.

    Once the JobManager has answered a request, its client gets `answer`, or waits until it gives up.
    """

    def __init__(self, jobmanager: str, *, answer: bytes = b"") -> None:
        """Listens at once.

        Args:
            jobmanager: `host:port` to which requests go.
            answer: a whole HTTP answer; empty to send none.
        """
        self._server = _Server(jobmanager, answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """`host:port`, for `flink run -m`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, jobmanager: str, answer: bytes) -> None:
        host, _, port = jobmanager.rpartition(":")
        self.jobmanager = host, int(port)
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One request: Flink's client opens a connection for each, and the JobManager closes it."""

    server: _Server

    def handle(self) -> None:
        client: socket.socket = self.request
        try:
            with socket.create_connection(self.server.jobmanager) as jobmanager:
                _pass_on(client, jobmanager)
                _drain(jobmanager)
            client.sendall(self.server.answer)
            if not self.server.answer:
                _drain(client)
        except OSError:  # either end has gone
            return


def _pass_on(client: socket.socket, jobmanager: socket.socket) -> None:
    """Returns when the JobManager begins to answer, or when the client has gone."""
    while jobmanager not in select.select([client, jobmanager], [], [])[0]:
        data = client.recv(CHUNK_BYTES)
        if not data:
            jobmanager.shutdown(socket.SHUT_WR)
            return
        jobmanager.sendall(data)


def _drain(connection: socket.socket) -> None:
    """Reads to the end of the connection."""
    while connection.recv(CHUNK_BYTES):
        pass
