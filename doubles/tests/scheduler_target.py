"""A small real HTTP server that scheduled requests are sent to: it records, holds and answers as set up."""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire; header names keep their spelling."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Target:
    """The server. `answers` (status, headers, body) are used up in order, then each is an empty 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[tuple[int, dict[str, str], bytes]] = deque()
        self.in_flight = 0
        self._gate = threading.Event()
        self._gate.set()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.target = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer_with(self, *statuses: int) -> None:
        self.answers.extend((status, {}, b"") for status in statuses)

    def hold(self) -> None:
        """Every request from now on waits for `release`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def wait_for(self, count: int) -> list[Received]:
        """Returns the requests as soon as `count` have come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received) >= count, timeout=WAIT_SECONDS):
                raise TimeoutError(f"{len(self.received)} of {count} requests came")
            return list(self.received)

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def handle(self, request: Received) -> tuple[int, dict[str, str], bytes]:
        with self._changed:
            self.received.append(request)
            self.in_flight += 1
            self._changed.notify_all()
        self._gate.wait(WAIT_SECONDS)
        with self._changed:
            self.in_flight -= 1
            return self.answers.popleft() if self.answers else (200, {}, b"")


class _Server(ThreadingHTTPServer):
    target: Target
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status, headers, answer = self.server.target.handle(
            Received(self.command, self.path, dict(self.headers.items()), body)
        )
        with contextlib.suppress(ConnectionError):  # the sender may have given up
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 the names http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name of the base class
        pass


@contextlib.contextmanager
def running_target() -> Iterator[Target]:
    target = Target()
    try:
        yield target
    finally:
        target.close()
