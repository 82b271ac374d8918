"""The real nginx (Debian's package nginx-light) on ports of 127.0.0.1."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from doubles.processes import Process

START_SECONDS = 30.0
# Workers of a master that is root would become another user, to whom the directory is closed.
FRAME = """\
user root;
daemon off;
master_process on;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 200m;
{servers}
}}
"""


class Nginx:
    """A running nginx; a context manager."""

    def __init__(self, directory: Path, servers: str, ports: Mapping[str, int]) -> None:
        """Args:
        directory: for its own files.
        servers: what stands in the `http` block.
        ports: where it listens, by name.
        """
        self._directory = directory
        self._ports = ports
        self._write(servers)
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert program is not None, "nginx is not installed: apt-get install nginx-light"
        self._process = Process(
            [program, "-e", "stderr", "-p", directory, "-c", self._configuration], name="nginx"
        )

    @property
    def _configuration(self) -> Path:
        return self._directory / "nginx.conf"

    def _write(self, servers: str) -> None:
        self._configuration.write_text(FRAME.format(directory=self._directory, servers=servers))

    def reload(self, servers: str) -> None:
        """Begins to serve as these servers say; connections of before end with their requests."""
        self._write(servers)
        self._process.signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        try:
            self._process.wait_ready(self._listens, timeout_seconds=START_SECONDS)
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def _listens(self) -> bool:
        for port in self._ports.values():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
        return True
