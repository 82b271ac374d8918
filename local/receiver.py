"""A receiver of events, as a user writes one: it verifies every signature and parses every CloudEvent."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

from cloudevents.http import CloudEvent, from_http
from standardwebhooks import Webhook, WebhookVerificationError

CHANNEL: Final = "local"
"""Name of the channel that leads to the receiver."""


class EventReceiver:
    """An HTTP server on a free port of 127.0.0.1; a context manager.

    Attributes:
        secret: by which the events are signed.
    """

    def __init__(self) -> None:
        """Nothing is accepted yet."""
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._lock = threading.Lock()
        self._events: list[CloudEvent] = []
        self._refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def channels(self) -> str:
        """The setting `NOTIFY_CHANNELS` with the one channel that leads here."""
        return json.dumps([{"name": CHANNEL, "type": "webhook", "url": self.url, "secret": self.secret}])

    @property
    def events(self) -> Sequence[CloudEvent]:
        """What was received, in its order."""
        with self._lock:
            return tuple(self._events)

    @property
    def refused(self) -> int:
        """How many requests had no valid signature."""
        with self._lock:
            return self._refused

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver._receive(dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing: the demo prints what was received."""

        return Handler

    def _receive(self, headers: dict[str, str], body: bytes) -> HTTPStatus:
        try:
            Webhook(self.secret).verify(body, headers)
        except (WebhookVerificationError, ValueError):  # of a signature that is no base64
            with self._lock:
                self._refused += 1
            return HTTPStatus.UNAUTHORIZED
        event = from_http(headers, body)
        with self._lock:
            self._events.append(event)
        return HTTPStatus.NO_CONTENT
