"""The project's functions, each served by the real functions-framework from the file that is deployed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

from doubles.processes import Process, Scratch, free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
PROBE_SECONDS = 2.0
ENVIRONMENT_OF_A_FUNCTION = re.compile(r"^(PATH|LANG|LC_.*|TMPDIR|SSL_.*|VIRTUAL_ENV)$")
"""What a function inherits of this process; its settings are given, never inherited by accident."""


class FunctionServer:
    """One function on a free port of 127.0.0.1; a context manager.

    It runs under a tether, so it ends with this process, however that ends.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        source: Path | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        """Starts the function and returns when it answers `/health`.

        Args:
            name: folder below `functions/`, and the function's name.
            settings: its whole configuration.
            source: the file to serve, where it is not the one of this checkout.
            scratch: where the server's own files go; a directory of its own when left out.

        Raises:
            ProcessError: it ended before it answered; with what it printed.
        """
        self.name = name
        self.url = f"http://127.0.0.1:{free_port()}"
        inherited = {key: value for key, value in os.environ.items() if ENVIRONMENT_OF_A_FUNCTION.match(key)}
        command = [sys.executable, "-m", "functions_framework", "--target", name, "--host", "127.0.0.1"]
        command += ["--port", self.url.rpartition(":")[2], "--source"]
        self._own = contextlib.ExitStack()
        # Whatever gunicorn and the libraries leave behind goes with it, however the function ends.
        home = (scratch or self._own.enter_context(Scratch(f"flinkjobs-{name}"))).path
        self.process = Process(
            [*command, source or ROOT / "functions" / name / "main.py"],
            name=f"function {name}",
            env={**inherited, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1", **settings},
            remove=[home],
        )
        try:
            self.process.wait_ready(self._is_healthy, timeout_seconds=START_SECONDS)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the function. Harmless when repeated."""
        self.process.stop()
        self._own.close()

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=PROBE_SECONDS, trust_env=False).is_success
        except httpx.HTTPError:
            return False
