"""A proxy before a JobManager's REST API that passes requests on and keeps the answers to itself."""

from __future__ import annotations

import select
import socket
import socketserver

from tests.support.tcp_proxy import TcpProxy, ThreadingServer

CHUNK_BYTES = 65_536


class LossyProxy(TcpProxy):
    """Listens on a free port of 127.0.0.1; a context manager.

    Once the JobManager has answered a request, its client gets `answer`, or waits until it gives up.
    """

    def __init__(self, jobmanager: str, *, answer: bytes = b"") -> None:
        """Listens at once; `address` is for `flink run -m`.

        Args:
            jobmanager: `host:port` to which requests go.
            answer: a whole HTTP answer; empty to send none.
        """
        super().__init__(_Server(jobmanager, answer))


class _Server(ThreadingServer):
    def __init__(self, jobmanager: str, answer: bytes) -> None:
        host, _, port = jobmanager.rpartition(":")
        self.jobmanager = host, int(port)
        self.answer = answer
        super().__init__(_Connection)


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
