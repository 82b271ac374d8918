"""Run a command that cannot outlive the process which started it.

    python -m doubles.supervisor [--remove DIR]... [--grace SECONDS] [--pid-fd FD] -- COMMAND ARG...

The owner starts the tether with a pipe as its standard input and keeps the other end open. However the
owner ends, ``kill -9`` included, the kernel closes that end, the tether reads end-of-file, and stops the
command with everything it has started:

1. SIGTERM to the command's process group and to every descendant outside it (then SIGCONT, because a
   stopped process would keep the signal pending);
2. after the grace, SIGKILL to whatever remains;
3. as soon as everything is gone, the directories named by ``--remove`` are deleted, each by the last tether
   that names it: all of them, and owners that want to keep it, hold a shared flock(2) on the directory.

The same happens on SIGTERM, SIGINT and SIGHUP, and when the command ends by itself but leaves processes
behind. The exit status is the command's own: its code, or 128 + n when signal n ended it; 127 and 126 as in
a shell when it could not be found or run; 2 for wrong usage.

The command runs in a session of its own, with /dev/null as standard input and the tether's standard output
and error. The tether leaves the session of its owner too, so Ctrl-C in a terminal reaches the owner alone
and only the owner decides the order of a shutdown.

On Linux the tether is a *child subreaper* (prctl(2)): processes whose parent has gone, in whatever session,
become its children, so "no child left" means that nothing is left. The command is also killed by the kernel
if the tether itself is killed. On other systems descendants are found through ps(1).

Only the standard library, and no module of this project: the file can be started by its path with
``python -I -S``, which takes a third of the time, because each process of the stack has its own tether.
"""

import argparse
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HANDLED_SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD)
POLL_SECONDS = 0.05
"""How often the remaining processes are looked at while stopping; the end of a child is noticed at once."""
KILL_SECONDS = 10.0
"""How long SIGKILL may take before the tether gives up: uninterruptible I/O holds a process back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command under a tether and return the exit status described above."""
    parser = argparse.ArgumentParser(
        prog="python -m doubles.supervisor",
        description="Run COMMAND; stop it and all it started when standard input reaches end-of-file.",
    )
    parser.add_argument(
        "--remove", metavar="DIR", action="append", default=[], help="delete DIR when everything has ended"
    )
    parser.add_argument(
        "--grace", metavar="SECONDS", type=float, default=5.0, help="from SIGTERM to SIGKILL (default: 5)"
    )
    parser.add_argument(
        "--pid-fd", metavar="FD", type=int, help="where to write the command's process id and a newline"
    )
    parser.add_argument("command", metavar="COMMAND", nargs="+", help="the command and its arguments")
    options = parser.parse_args(arguments)
    return Tether(
        options.command, grace_seconds=options.grace, remove=options.remove, pid_fd=options.pid_fd
    ).run()


class Tether:
    """One command, everything it starts, and the end of both."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        grace_seconds: float = 5.0,
        remove: Sequence[str] = (),
        pid_fd: int | None = None,
    ) -> None:
        """Args:
        command: program (looked up on PATH) and arguments.
        grace_seconds: time between SIGTERM and SIGKILL.
        remove: directories deleted once every process is gone, unless another tether or owner holds one.
        pid_fd: open descriptor that receives the command's process id in decimal and a newline.
        """
        self._command = list(command)
        self._grace_seconds = grace_seconds
        self._remove = [os.path.abspath(directory) for directory in remove]  # noqa: PTH100 pathlib is slow to import
        self._pid_fd = pid_fd
        self._leader = 0  # the command's process id, which is also its process group's and its session's
        self._status: int | None = None  # the command's exit status, once it has ended
        self._stop_requested = False
        self._wakeup = -1  # becomes readable whenever a signal has arrived

    def run(self) -> int:
        """Start the command, wait for its end or for the owner's, leave nothing behind."""
        with contextlib.suppress(PermissionError):  # the leader of a group, which is isolated enough
            os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        holds = {directory: hold(directory) for directory in self._remove}
        self._start()
        self._wait()
        self._stop()
        self._reap()
        remove_directories(holds)
        return 128 + signal.SIGKILL if self._status is None else self._status

    def _start(self) -> None:
        """Fork and exec. Signals stay blocked in between, so that none is lost."""
        if self._pid_fd is not None:
            os.set_inheritable(self._pid_fd, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)
        tether = os.getpid()
        self._leader = os.fork()
        if self._leader == 0:
            self._exec(tether)
        self._wakeup, wakeup_writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(wakeup_writer, False)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED_SIGNALS)
        if self._pid_fd is not None:
            with contextlib.suppress(BrokenPipeError):  # the owner has gone: standard input says so next
                os.write(self._pid_fd, b"%d\n" % self._leader)
            os.close(self._pid_fd)

    def _exec(self, tether: int) -> NoReturn:
        """In the child: become the command, or exit as a shell does when that is impossible."""
        code = 126
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != tether:  # it was killed before the line above took effect
                os._exit(128 + signal.SIGKILL)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            if null != 0:
                os.close(null)
            # The interpreter ignores the last two, and an ignored signal stays ignored through exec.
            for number in (*HANDLED_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execvp(self._command[0], self._command)  # noqa: S606 no shell is wanted
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            say(f"{self._command[0]}: {error.strerror}")
        finally:
            os._exit(code)

    def _request_stop(self, _number: int, _frame: object) -> None:
        self._stop_requested = True

    def _wait(self) -> None:
        """Return when the command has ended, a stop signal has come, or the owner has gone."""
        while self._status is None and not self._stop_requested:
            readable, _, _ = select.select([0, self._wakeup], [], [])
            if self._wakeup in readable:
                self._drain_wakeup()
            if 0 in readable:
                try:
                    self._stop_requested |= not os.read(0, 65536)
                except OSError:  # a terminal that has hung up
                    self._stop_requested = True
            self._reap()

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup, 4096):
                pass

    def _reap(self) -> bool:
        """Collect every child that has ended; true while children remain."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._leader:
                    code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
        except ChildProcessError:
            return False

    def _stop(self) -> None:
        """End everything that remains: SIGTERM, the grace, SIGKILL until nothing is left."""
        remaining = self._remaining()
        if not remaining:
            return
        send(signal.SIGTERM, remaining, group=self._leader)
        send(signal.SIGCONT, remaining, group=self._leader)
        remaining = self._await_end(remaining, time.monotonic() + self._grace_seconds)
        deadline = time.monotonic() + KILL_SECONDS
        while remaining:
            send(signal.SIGKILL, remaining, group=self._leader)  # again and again: they may still be forking
            remaining = self._await_end(remaining, time.monotonic() + POLL_SECONDS)
            if time.monotonic() > deadline:
                say(f"{self._command[0]}: could not be killed: {sorted(remaining)}")
                return

    def _await_end(self, remaining: dict[int, int], deadline: float) -> dict[int, int]:
        """Wait until nothing remains or the deadline has passed; return what remains."""
        while remaining and (left := deadline - time.monotonic()) > 0:
            select.select([self._wakeup], [], [], min(left, POLL_SECONDS))
            self._drain_wakeup()
            remaining = self._remaining(known=remaining)
        return remaining

    def _remaining(self, known: dict[int, int] | None = None) -> dict[int, int]:
        """Every living descendant, and every living member of the command's group: process id to group.

        A descendant found before stays one even when its parents are gone and it was adopted elsewhere.
        """
        children_remain = self._reap()
        if not children_remain and sys.platform == "linux":
            return {}
        table = process_table()
        known = known or {}
        found = {pid: group for pid, (_, group) in table.items() if group == self._leader or pid in known}
        fresh = {os.getpid(), *found}
        while fresh:
            fresh = {pid for pid, (parent, _) in table.items() if parent in fresh and pid not in found}
            found.update({pid: table[pid][1] for pid in fresh})
        return found


def hold(directory: str) -> int | None:
    """Take the shared lock that says "in use"; None when there is no such directory.

    The lock belongs to this process alone, because its descriptor is closed in the command.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_directories(holds: Mapping[str, int | None]) -> None:
    """Let go of directories, and delete those which no other process holds.

    Of several that let go at the same time, one always succeeds.
    """
    if not holds:
        return
    import shutil  # noqa: PLC0415 a tenth of the start time, and not needed before the end

    for directory, descriptor in holds.items():
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
        shutil.rmtree(directory, ignore_errors=True)
        if os.path.lexists(directory):
            say(f"could not remove {directory}")


def process_table() -> dict[int, tuple[int, int]]:
    """Every living process of the machine but zombies: process id to (parent, process group)."""
    if sys.platform != "linux":
        return _process_table_of_ps()
    table = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 pathlib is slow to import
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 as above
                # proc(5): "pid (command) state ppid pgrp …"; the command may hold spaces and parentheses
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
                if state not in b"ZX":
                    table[int(name)] = (int(parent), int(group))
    return table


def _process_table_of_ps() -> dict[int, tuple[int, int]]:
    """The same through ps(1), which itself is left out."""
    import subprocess  # noqa: PLC0415 a third of the start time, and needed only off Linux

    table = {}
    command = ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "state="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:
        for line in ps.communicate()[0].splitlines():
            pid, parent, group, state = line.split()[:4]
            if int(pid) != ps.pid and not state.startswith("Z"):
                table[int(pid)] = (int(parent), int(group))
    return table


def send(number: int, processes: dict[int, int], *, group: int) -> None:
    """Signal a whole process group at one moment, then those of the processes that are outside it."""
    if group in processes.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for pid, its_group in processes.items():
        if its_group != group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def prctl(option: int, value: int) -> None:
    """Call the kernel where it has this call; if it refuses, the guarantees are those of other systems."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def say(message: str) -> None:
    """One line on standard error, if that still leads anywhere."""
    with contextlib.suppress(OSError):
        os.write(2, f"tether: {message}\n".encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main())
