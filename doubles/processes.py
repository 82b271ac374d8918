"""Processes of the local stack: started under a tether, watched until they are ready, stopped completely."""

import collections
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from doubles import supervisor

PORTS = range(20_000, 32_000)
"""Below the ports which Linux and macOS give to outgoing connections, so that a server can be stopped and
started again on its port without finding it taken."""
KEPT_LINES = 400
SHOWN_LINES = 15
POLL_SECONDS = 0.05
PAUSE_POLL_SECONDS = 0.001
STOP_MARGIN_SECONDS = 15.0
"""What a tether may need beyond the grace until its last process is gone."""

KEPT_SIGNS = 100
"""Maximum number of ports held for this process; an older one has found its server long since."""

_ports_given_out: set[int] = set()
_signs: collections.deque[int] = collections.deque()
"""File descriptors, which need no closing at the end."""


class ProcessError(RuntimeError):
    """A process could not be started, or ended or stayed silent before it was ready.

    The first line is the whole message for a person; the lines after it are the last output.
    """


class Process:
    """A command under `doubles.supervisor`: when this object's process goes, so does everything it started.

    The command runs in a session of its own. Its standard output and error are read by a thread, which keeps
    the last lines. Leaving the ``with`` block stops it. The object belongs to the thread that made it.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        remove: Iterable[Path] = (),
        grace_seconds: float = 5.0,
        log: Path | None = None,
    ) -> None:
        """Start the command; return as soon as its process exists.

        Args:
            command: program and arguments; the program is looked up on this process's PATH.
            name: what messages call it.
            env: the whole environment of the command; this process's own when left out.
            cwd: the directory to run in.
            remove: directories which the tether deletes once every process is gone, however that came; where
                several processes or a `Scratch` name the same one, the last of them does.
            grace_seconds: time between SIGTERM and SIGKILL.
            log: file to append the whole output to.

        Raises:
            ProcessError: no process could be made.
        """
        self.name = name
        self._grace_seconds = grace_seconds
        self._lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._lines_seen = 0
        self._changed = threading.Condition()
        self._at_end = False
        pid_reader, pid_writer = os.pipe()
        options = [f"--grace={grace_seconds}", f"--pid-fd={pid_writer}"]
        options += [f"--remove={directory.absolute()}" for directory in remove]
        try:
            # -I and -S: neither the user's environment nor site-packages slow the tether down or mislead it.
            self._tether = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, *options, "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                pass_fds=[pid_writer],
                start_new_session=True,
            )
        except OSError as error:
            os.close(pid_reader)
            raise ProcessError(f"{name} could not be started: {error}") from error
        finally:
            os.close(pid_writer)
        self._reader = threading.Thread(target=self._read, args=[log], name=f"output of {name}", daemon=True)
        self._reader.start()
        with os.fdopen(pid_reader) as pipe:
            pid = pipe.read()
        if not pid:
            self.stop()
            raise self._error("could not be started")
        self.pid = int(pid)
        """Process id of the command itself, which is also its process group."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Process {self.name!r} {self.exit_code if self.exit_code is not None else 'running'}>"

    @property
    def exit_code(self) -> int | None:
        """As the tether reports it (128 + n for signal n); None while anything of the command still runs."""
        return self._tether.poll()

    @property
    def output(self) -> list[str]:
        """The last lines the command printed, oldest first, without their line ends."""
        with self._changed:
            return list(self._lines)

    @property
    def lines_printed(self) -> int:
        """How many lines the command has printed so far, those included that are not kept any more."""
        with self._changed:
            return self._lines_seen

    def output_after(self, lines_printed: int) -> list[str]:
        """The lines after the first `lines_printed`, as far as they are kept."""
        with self._changed:
            fresh = self._lines_seen - lines_printed
            return list(self._lines)[-fresh:] if fresh > 0 else []

    def wait(self, *, timeout_seconds: float) -> int:
        """Wait for the end of the command and of all its output; return the exit code.

        Raises:
            ProcessError: it still runs after the timeout.
        """
        try:
            code = self._tether.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise self._error(f"still runs after {timeout_seconds:g} s") from None
        self._reader.join(STOP_MARGIN_SECONDS)
        return code

    def wait_ready(
        self, ready: Callable[[], bool] | re.Pattern[str], *, timeout_seconds: float
    ) -> re.Match[str] | None:
        """Wait until ``ready()`` is true, or until a line of the output matches (searched from the start).

        Returns:
            The match, for a pattern.

        Raises:
            ProcessError: the command ended first, or the time ran out; with its last lines.
        """
        deadline = time.monotonic() + timeout_seconds
        seen = 0
        while True:
            ended = self.exit_code is not None and self._at_end
            if isinstance(ready, re.Pattern):
                with self._changed:
                    fresh = list(self._lines)[-(self._lines_seen - seen) :] if self._lines_seen > seen else []
                    seen = self._lines_seen
                for line in fresh:
                    if match := ready.search(line):
                        return match
            elif ready():
                return None
            if ended:
                raise self._error(f"ended with exit code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self._error(f"was not ready after {timeout_seconds:g} s")
            with self._changed:
                if self._lines_seen == seen or not isinstance(ready, re.Pattern):
                    self._changed.wait(POLL_SECONDS)

    def request_stop(self) -> None:
        """Begin to stop, without waiting: several processes can so be stopped at the same time."""
        assert self._tether.stdin is not None  # noqa: S101 it was opened as a pipe
        with contextlib.suppress(BrokenPipeError):
            self._tether.stdin.close()

    def stop(self) -> None:
        """Stop the command and all it started; return when they are gone. Harmless when repeated."""
        self.request_stop()
        try:
            self._tether.wait(self._grace_seconds + STOP_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:  # the tether itself is stuck or was paused
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._tether.kill()
            self._tether.wait()
        self._reader.join(STOP_MARGIN_SECONDS)

    def kill(self) -> None:
        """End the command as a crash would, with SIGKILL to its process group; return when it is gone."""
        self.signal(signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Freeze the command and its process group (SIGSTOP): connections stay open, nothing answers."""
        self.signal(signal.SIGSTOP)
        while self.exit_code is None and not is_frozen(self.pid):  # each thread stops a moment later
            time.sleep(PAUSE_POLL_SECONDS)

    def resume(self) -> None:
        """Undo `pause`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group; nothing happens when it has ended."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _read(self, log: Path | None) -> None:
        assert self._tether.stdout is not None  # noqa: S101 it was opened as a pipe
        with self._tether.stdout as stream, contextlib.ExitStack() as stack:
            file = stack.enter_context(log.open("ab", buffering=0)) if log else None
            for line in stream:
                if file:
                    file.write(line)
                with self._changed:
                    self._lines.append(line.decode(errors="replace").rstrip("\r\n"))
                    self._lines_seen += 1
                    self._changed.notify_all()
        with self._changed:
            self._at_end = True
            self._changed.notify_all()

    def _error(self, what: str) -> ProcessError:
        lines = self.output[-SHOWN_LINES:]
        return ProcessError("\n    ".join([f"{self.name} {what}{':' if lines else ''}", *lines]))


def stop_all(processes: Iterable[Process]) -> None:
    """Stop several processes at the same time."""
    processes = list(processes)
    for process in processes:
        process.request_stop()
    for process in processes:
        process.stop()


class Scratch:
    """A new directory that is deleted with everything in it once nothing uses it any more.

    Pass its path as ``remove`` to the processes that work in it. Whichever lets go last deletes it, this
    object or one of their tethers, so it goes even when this process is killed.
    """

    def __init__(self, name: str, *, parent: Path | None = None) -> None:
        """Make a directory called `name` and some random characters in `parent`, or else in the system's."""
        if parent:
            parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent)).resolve()
        """Absolute, without symbolic links."""
        self._hold = supervisor.hold(str(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go. Harmless when repeated."""
        if self._hold is not None:
            supervisor.remove_directories({str(self.path): self._hold})
            self._hold = None


def is_frozen(pid: int) -> bool:
    """Whether every thread of a process has stopped; true where the system does not show them."""
    states = []
    for file in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # that thread has ended
            states.append(file.read_text().rpartition(")")[2].split()[0])
    return all(state in "TtZ" for state in states)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens, promised to this process alone.

    A server may bind it seconds later, and another process that looks for a port in between must not find the
    same one: the UDP port of that number, which none of these servers uses, is held as the sign, and the
    system lets go of it when this process ends. Never the same port twice from one process.
    """
    while True:
        port = random.choice(PORTS)  # noqa: S311 any port will do
        if port in _ports_given_out:
            continue
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            sign = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            sign.bind(("127.0.0.1", port))
            with socket.socket() as candidate:
                candidate.bind(("127.0.0.1", port))
            stack.pop_all()
            _ports_given_out.add(port)
            _signs.append(sign.detach())
            if len(_signs) > KEPT_SIGNS:
                os.close(_signs.popleft())
            return port
