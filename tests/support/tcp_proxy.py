"""What proxies in tests have in common: a server of a free port whose connections are threads."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self


class ThreadingServer(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1; does not wait for open connections when it is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)


class TcpProxy:
    """Serves until it is left; a context manager."""

    def __init__(self, server: ThreadingServer) -> None:
        """Serves at once."""
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
