"""A command on a terminal of its own, as a person sees it: what it draws, and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.waiting import until

CTRL_C: Final = b"\x03"

TAKE_TERMINAL: Final = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the controlling terminal, so that Ctrl-C reaches the command, which heeds it: what
a shell starts in the background ignores it, and so does all that descends from it."""


class Terminal:
    """A running command; a context manager that ends it."""

    def __init__(
        self,
        command: Iterable[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        columns: int = 120,
        rows: int = 30,
    ) -> None:
        """Starts it at once."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._raw = bytearray()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm-256color", **env},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._master)

    @property
    def raw(self) -> str:
        """Everything that came, with its escape codes."""
        return bytes(self._raw).decode(errors="replace")

    @property
    def frames(self) -> list[str]:
        """What `rich.live` has drawn, one text with colours per redraw, oldest first."""
        raw = self.raw.replace("\r\n", "\n")
        return [frame for frame in _REDRAW.split(raw) if frame.strip()]

    @property
    def shown(self) -> str:
        """The last of `frames` without colours; "" before the first."""
        frames = self.frames
        return _ESCAPE.sub("", frames[-1]) if frames else ""

    @property
    def text(self) -> str:
        """Everything that came, without escape codes."""
        return _ESCAPE.sub("", self.raw)

    def wait_for(self, text: str, *, timeout_seconds: float = 60) -> None:
        """Returns once this text came."""
        until(lambda: text in self.text, timeout_seconds=timeout_seconds, what=f"{text!r} in {self.text!r}")

    def type(self, keys: bytes) -> None:
        """Presses keys."""
        os.write(self._master, keys)

    def wait(self, *, timeout_seconds: float = 60) -> int:
        """The exit code, once the command has ended and all that it printed is here."""
        code = self._process.wait(timeout_seconds)
        self._reader.join(timeout_seconds)
        return code

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65_536)
            except OSError:  # the command and all its children have closed their end
                return
            if not part:
                return
            self._raw += part


_ESCAPE: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_REDRAW: Final = re.compile(r"(?:\r?\x1b\[(?:2K|1A|\?25[hl])|\r)+")
"""What `rich.live` sends between two pictures: erase a line, go up by one, hide the cursor."""
