"""The tether: whatever happens to the owner or to the tether, no process and no directory stays behind."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.processes import Process, ProcessError, Scratch, free_port

TETHER = [sys.executable, "-m", "doubles.supervisor"]
SECONDS = 20.0
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1; done"


def until(condition: Callable[[], bool], what: str) -> None:
    """Await a condition of the machine that no event announces."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.01)


def lives(pid: int) -> bool:
    """Whether a process exists and is not only waiting to be collected by its parent."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@contextlib.contextmanager
def tethered(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A tether whose owner is this test: closing its standard input is the owner's death."""
    process = subprocess.Popen(
        [*TETHER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def own_end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()


@pytest.mark.parametrize(
    ("script", "expected"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9), ("kill -TERM $$", 128 + 15)],
)
def test_the_exit_status_is_that_of_the_command(script: str, expected: int) -> None:
    with tethered("--", "sh", "-c", script) as tether:
        assert tether.wait(SECONDS) == expected


@pytest.mark.parametrize(("command", "expected"), [("no-such-command", 127), ("/", 126)])
def test_a_command_that_cannot_be_run_gives_the_status_of_a_shell(command: str, expected: int) -> None:
    with tethered("--", command) as tether:
        assert tether.wait(SECONDS) == expected


def test_wrong_usage_is_status_2() -> None:
    with tethered("--no-such-option", "--", "true") as tether:
        assert tether.wait(SECONDS) == 2


def test_the_command_has_no_input_and_a_session_of_its_own() -> None:
    script = "import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpid())"
    with tethered("--", sys.executable, "-c", script) as tether:
        assert line(tether) == "'' True"
        assert tether.wait(SECONDS) == 0


def test_signals_have_their_default_effect_in_the_command() -> None:
    """An interpreter ignores SIGPIPE; a command started by it must not."""
    with tethered("--", "sh", "-c", "kill -PIPE $$; exit 0") as tether:
        assert tether.wait(SECONDS) == 128 + signal.SIGPIPE


def test_end_of_input_stops_the_command() -> None:
    with tethered("--", "sh", "-c", "echo $$; exec sleep 1000") as tether:
        command = int(line(tether))
        own_end(tether)
        assert tether.wait(SECONDS) == 128 + signal.SIGTERM
        assert not lives(command)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_command_in_order(number: signal.Signals) -> None:
    with tethered("--", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; sleep 1000 & wait") as tether:
        assert line(tether) == "ready"
        tether.send_signal(number)
        assert line(tether) == "bye"
        assert tether.wait(SECONDS) == 3


def test_a_stubborn_command_is_killed_after_the_grace_and_not_before() -> None:
    with tethered("--grace", "0.5", "--", "sh", "-c", STUBBORN) as tether:
        assert line(tether) == "ready"
        started = time.monotonic()
        own_end(tether)
        assert tether.wait(SECONDS) == 128 + signal.SIGKILL
        assert 0.5 <= time.monotonic() - started < 5


def test_a_frozen_command_is_stopped_too() -> None:
    with tethered("--grace", "60", "--", "sh", "-c", "echo $$; exec sleep 1000") as tether:
        os.kill(int(line(tether)), signal.SIGSTOP)
        own_end(tether)
        assert tether.wait(SECONDS) == 128 + signal.SIGTERM


def test_what_the_command_leaves_behind_is_stopped() -> None:
    with tethered("--", "sh", "-c", "sleep 1000 >/dev/null & echo $!; exit 4") as tether:
        left = int(line(tether))
        assert tether.wait(SECONDS) == 4
        assert not lives(left)


def test_grandchildren_in_sessions_of_their_own_are_stopped(tmp_path: Path) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(
        "import os, signal, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        print(os.getpid(), flush=True)\n"
        "        signal.pause()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "signal.pause()\n"
    )
    with tethered("--grace", "0.2", "--", sys.executable, script) as tether:
        daemon = int(line(tether))
        assert os.getsid(daemon) != os.getsid(tether.pid)
        own_end(tether)
        tether.wait(SECONDS)
        assert not lives(daemon)


def test_directories_are_removed_when_everything_has_ended(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "deep").mkdir(parents=True)
    (first / "deep" / "file").touch()
    second.mkdir()
    with tethered("--remove", first, "--remove", second, "--", "sh", "-c", "echo go; sleep 1000") as tether:
        assert line(tether) == "go"
        assert first.exists()
        own_end(tether)
        tether.wait(SECONDS)
    assert list(tmp_path.iterdir()) == []


def test_a_shared_directory_is_removed_by_the_last_tether(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    arguments: list[str | Path] = ["--remove", shared, "--", "sh", "-c", "echo go; sleep 1000"]
    with tethered(*arguments) as first, tethered(*arguments) as second:
        assert line(first) == line(second) == "go"
        own_end(first)
        first.wait(SECONDS)
        assert shared.exists()
        own_end(second)
        second.wait(SECONDS)
        assert not shared.exists()


def test_a_killed_owner_takes_everything_with_it(tmp_path: Path) -> None:
    """The owner has two processes, one of them stubborn, and a directory; it is killed with SIGKILL."""
    owner_script = tmp_path / "owner.py"
    owner_script.write_text(
        "import re, signal\n"
        "from pathlib import Path\n"
        "from doubles.processes import Process, Scratch\n"
        f"scratch = Scratch('owned', parent=Path({str(tmp_path)!r}))\n"
        "ready = re.compile('ready')\n"
        "pids = []\n"
        "for script in ['echo ready; exec sleep 1000', \"" + STUBBORN + '"]:\n'
        "    p = Process(['sh', '-c', script], name='p', remove=[scratch.path], grace_seconds=0.2)\n"
        "    p.wait_ready(ready, timeout_seconds=20)\n"
        "    pids += [p.pid, p]\n"
        "print(pids[0], pids[2], scratch.path, flush=True)\n"
        "signal.pause()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, owner_script], stdout=subprocess.PIPE, text=True, env=environment
    ) as owner:
        assert owner.stdout
        willing, stubborn, directory = owner.stdout.readline().split()
        assert lives(int(willing))
        assert lives(int(stubborn))
        owner.kill()
    until(lambda: not lives(int(willing)), "the willing process outlived its owner")
    until(lambda: not lives(int(stubborn)), "the stubborn process outlived its owner")
    until(lambda: not Path(directory).exists(), "the directory outlived its owner")


def test_a_killed_tether_takes_the_command_with_it() -> None:
    with tethered("--", "sh", "-c", "echo $$; exec sleep 1000") as tether:
        command = int(line(tether))
        tether.kill()
        tether.wait(SECONDS)
        until(lambda: not lives(command), "the command outlived its tether")


def test_a_process_that_dies_at_the_start_is_reported_with_its_last_lines() -> None:
    with (
        Process(["sh", "-c", "echo no luck; exit 3"], name="The server") as process,
        pytest.raises(ProcessError) as raised,
    ):
        process.wait_ready(lambda: False, timeout_seconds=SECONDS)
    assert str(raised.value) == "The server ended with exit code 3 before it was ready:\n    no luck"


def test_readiness_by_a_line_of_output_and_by_a_condition(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"echo one; echo port=42; touch {tmp_path}/up; exec sleep 1000"
    with Process(["sh", "-c", script], name="server", log=log) as process:
        match = process.wait_ready(re.compile(r"port=(\d+)"), timeout_seconds=SECONDS)
        assert match
        assert match[1] == "42"
        process.wait_ready((tmp_path / "up").exists, timeout_seconds=SECONDS)
        assert process.output == ["one", "port=42"]
        process.stop()
    assert process.exit_code == 128 + signal.SIGTERM
    assert log.read_text() == "one\nport=42\n"


def test_silence_is_reported_after_the_timeout() -> None:
    with (
        Process(["sleep", "1000"], name="The server") as process,
        pytest.raises(ProcessError, match=r"The server was not ready after 0\.1 s"),
    ):
        process.wait_ready(lambda: False, timeout_seconds=0.1)


def test_a_scratch_directory_stays_while_a_process_uses_it(tmp_path: Path) -> None:
    scratch = Scratch("mine", parent=tmp_path)
    with Process(["sleep", "1000"], name="user", remove=[scratch.path]):
        scratch.close()
        scratch.close()
        assert scratch.path.exists()
    assert not scratch.path.exists()


def test_free_ports_are_never_the_same() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200


def test_a_port_found_here_is_not_found_by_another_process_before_anything_listens_on_it() -> None:
    """The other one draws ours again and again: only its promise, not a listener, can hold it off."""
    ours = free_port()
    looks = (
        "from doubles import processes\n"
        f"processes.PORTS = ({ours},) * 1000 + tuple(processes.PORTS)[:100]\n"
        "print(processes.free_port())"
    )
    found = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True)
    assert int(found.stdout) != ours
