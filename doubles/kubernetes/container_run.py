"""One run of one container: a real process, or an end that was decided beforehand."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from doubles import supervisor
from doubles.kubernetes.container_log import CHUNK_BYTES, ContainerLog
from doubles.kubernetes.faults import Outcome
from doubles.kubernetes.objects import utc_now

TETHER_GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL for what a container leaves behind, and for all of it when the double is killed."""
MESSAGE_BYTES = 4096
"""The kubelet keeps the end of a longer termination message."""
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
START_FAILED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    "failed: unable to start container process: error during container init"
)
"""How containerd words what it could not start; the cause follows."""


class StartError(Exception):
    """The process cannot be started; the message is containerd's."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, mapped to this machine."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended."""

    code: int
    started: datetime
    finished: datetime
    message: str = ""


class Run(Protocol):
    """A container that has been started."""

    started: datetime

    async def wait(self) -> Exit:
        """Return when it has ended and its whole output has been read. May be called repeatedly."""

    def signal(self, number: int) -> None:
        """Send a signal to the container's processes."""


@dataclass(slots=True)
class ProcessRun:
    """A container as a local process in a session of its own."""

    started: datetime
    _process: asyncio.subprocess.Process
    _leader: int
    _done: asyncio.Task[Exit]

    @classmethod
    async def start(cls, command: Command, log: ContainerLog, message: Path) -> "ProcessRun":
        """Start the command; its output goes to the log.

        Args:
            command: what to run.
            log: where its output goes.
            message: the file the container may write its termination message to.

        Raises:
            StartError: there is nothing to execute.
        """
        check_executable(command)
        read_end, write_end = os.pipe()
        started = utc_now()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(Path(supervisor.__file__)),
                "--grace",
                str(TETHER_GRACE_SECONDS),
                "--pid-fd",
                str(write_end),
                "--",
                *command.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(command.environment),
                cwd=command.directory,
                pass_fds=(write_end,),
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        done = asyncio.create_task(cls._collect(process, log, message, started))
        leader = await _read_pid(read_end)
        return cls(started, process, leader, done)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._done)

    def signal(self, number: int) -> None:
        if not self._leader:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._leader, number)

    @staticmethod
    async def _collect(
        process: asyncio.subprocess.Process, log: ContainerLog, message: Path, started: datetime
    ) -> Exit:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the process was started without pipes")
        while data := await process.stdout.read(CHUNK_BYTES):
            log.append(data)
        code = await process.wait()
        process.stdin.close()
        log.end()
        return Exit(exit_code(code), started, utc_now(), read_message(message))


@dataclass(slots=True)
class InstantRun:
    """A container that is not run: it ends with the given outcome."""

    started: datetime
    _outcome: Outcome
    _killed: asyncio.Event = field(default_factory=asyncio.Event)
    _code: int | None = None

    @classmethod
    def start(cls, outcome: Outcome, name: str, log: ContainerLog) -> "InstantRun":
        """Begin; the name fills the outcome's placeholders."""
        log.append(fill(outcome.log, name).encode())
        log.end()
        outcome = Outcome(outcome.exit_code, outcome.seconds, fill(outcome.message, name), "")
        return cls(utc_now(), outcome)

    async def wait(self) -> Exit:
        if self._outcome.seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._killed.wait(), self._outcome.seconds)
        if self._code is not None:
            return Exit(self._code, self.started, utc_now())
        return Exit(self._outcome.exit_code, self.started, utc_now(), self._outcome.message)

    def signal(self, number: int) -> None:
        self._code = 128 + number
        self._killed.set()


def fill(text: str, name: str, index: int | None = None) -> str:
    """Replace the placeholders described at `faults.FinishedJobs`."""
    if "{" not in text:
        return text
    if index is not None:
        text = text.replace("{index}", str(index))
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return text.replace("{name}", name).replace("{hex}", digest)


def check_executable(command: Command) -> None:
    """Find what the runtime would not be able to execute.

    Raises:
        StartError: worded as containerd and runc do.
    """
    program = command.argv[0] if command.argv else ""
    if not program:
        raise StartError("failed to generate container spec: failed to generate spec: no command specified")
    problem = ""
    if "/" in program:
        path = command.directory / program
        if not path.exists():
            problem = f"stat {program}: no such file or directory"
        elif path.is_dir() or not os.access(path, os.X_OK):
            problem = "permission denied"
    elif shutil.which(program, path=command.environment.get("PATH", "")) is None:
        problem = "executable file not found in $PATH"
    if problem:
        raise StartError(f'{START_FAILED}: exec: "{program}": {problem}: unknown')


def exit_code(code: int) -> int:
    """A container's exit code: a death by signal n is 128 + n."""
    return 128 - code if code < 0 else code


def read_message(path: Path) -> str:
    """The end of the termination message file; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MESSAGE_BYTES))
            return file.read(MESSAGE_BYTES).decode(errors="replace")
    except OSError:
        return ""


def termination_message(ended: Exit, policy: str, log: ContainerLog) -> str:
    """What the pod's status says: the message, or of a failed container that left none the log's end."""
    if ended.message or ended.code == 0 or policy != "FallbackToLogsOnError":
        return ended.message
    return log.tail(lines=FALLBACK_LINES, limit_bytes=FALLBACK_BYTES).decode(errors="replace")


async def stop(runs: Sequence[Run], grace_seconds: float) -> list[Exit]:
    """End runs as the kubelet does: SIGTERM, the grace period, SIGKILL."""
    waiting = asyncio.gather(*(run.wait() for run in runs))
    if grace_seconds > 0:
        for run in runs:
            run.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            return list(await asyncio.wait_for(asyncio.shield(waiting), grace_seconds))
    for run in runs:
        run.signal(signal.SIGKILL)
    return list(await waiting)


async def _read_pid(read_end: int) -> int:
    """The process id the tether writes once the command has been forked; 0 when it never was."""
    reader = asyncio.StreamReader()
    with open(read_end, "rb") as pipe:  # noqa: ASYNC230 a descriptor, read through the event loop
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        line = await reader.read()
        transport.close()
    return int(line) if line.strip() else 0
