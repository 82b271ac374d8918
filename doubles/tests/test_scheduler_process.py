"""The scheduler double as a process: how it starts, and that it always ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from doubles.processes import ProcessError
from doubles.scheduler.process import SchedulerDouble
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "doubles.scheduler"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("scheduler double on http://127.0.0.1:")
    return line.removeprefix("scheduler double on ").strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_while_requests_are_open(number: signal.Signals) -> None:
    with start() as process:
        address = httpx.URL(url_of(process))
        with socket.create_connection((address.host, address.port or 0)) as waiting:
            waiting.sendall(b"GET /_control/attempts?finished=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            httpx.get(f"{address}/_control/clock", trust_env=False).raise_for_status()
            process.send_signal(number)
            assert process.wait(timeout=5) == 0


def test_it_listens_on_the_port_it_is_given_and_says_when_it_cannot() -> None:
    with SchedulerDouble() as double:
        port = double.url.rpartition(":")[2]
        result = subprocess.run(
            [*COMMAND, "--port", port], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    assert result.returncode == 1
    assert port in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--speed", "-1"], ["--speed", "nan"], ["--start", "2026-01-05T12:00:00"]]
)
def test_wrong_options_are_refused(arguments: list[str]) -> None:
    result = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 2
    assert arguments[0] in result.stderr


def test_a_double_that_does_not_start_is_an_error_with_what_it_printed() -> None:
    with SchedulerDouble() as double, pytest.raises(ProcessError, match="address already in use"):
        SchedulerDouble(port=int(double.url.rpartition(":")[2]))


def test_it_dies_with_its_starter_even_when_that_is_killed() -> None:
    code = (
        "import signal\n"
        "from doubles.scheduler.process import SchedulerDouble\n"
        "with SchedulerDouble() as double:\n"
        "    print(double.url, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert answers(url)
        starter.kill()
    until(lambda: not answers(url), timeout_seconds=20, what="the double has ended")


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_control/clock", trust_env=False).is_success
    except httpx.ConnectError:
        return False
