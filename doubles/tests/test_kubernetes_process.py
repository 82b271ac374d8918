"""The double as a process: it starts, it stops, and whatever ends it leaves nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.kubernetes.control import ControlClient
from doubles.kubernetes.process import READY_LINE, KubernetesDouble
from doubles.tests.kubernetes_helpers import Cluster, until

PROJECT = Path(__file__).parents[2]
SPEAKS_ITS_PID = 'echo $$$$ > "$0"; echo $$$$; exec sleep 600'


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "doubles.kubernetes", "--token", "t", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = READY_LINE.search(process.stdout.readline())
    assert found is not None
    return found[1]


def start_container(double: KubernetesDouble) -> int:
    """A running container that ignores nothing; returns its process id."""
    cluster = Cluster(double)
    cluster.submit("long", "sh", "-c", SPEAKS_ITS_PID, "/dev/termination-log")
    pod = cluster.running("long")["metadata"]["name"]
    text = until("it has spoken", lambda: cluster.log(pod).text)
    cluster.close()
    return int(text)


def test_a_token_may_begin_like_an_option() -> None:
    with KubernetesDouble(token="-t0ken") as double, contextlib.closing(Cluster(double)) as cluster:
        assert cluster.get(cluster.jobs)["items"] == []


def test_what_it_printed_can_be_read_when_it_has_ended() -> None:
    with KubernetesDouble() as double:
        pass
    assert READY_LINE.search(double.output)


def test_stopping_ends_containers_and_removes_files() -> None:
    with KubernetesDouble() as double:
        pid = start_container(double)
        assert alive(pid)
        directory = double.state_dir
        assert double.kubeconfig.exists()
    assert not alive(pid)
    assert not directory.exists()
    double.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_double_with_0(process: subprocess.Popen[str], number: int, tmp_path: Path) -> None:
    url = address(process)
    control = ControlClient(url, "t")
    assert control.requests() == {}
    control.close()
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_double_takes_its_containers_along() -> None:
    with KubernetesDouble() as double:
        pid = start_container(double)
        state = str(double.state_dir)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"doubles.kubernetes" in words and b"--remove" not in words and state.encode() in words:
                os.kill(int(entry.name), signal.SIGKILL)
        until("the container is gone", lambda: not alive(pid))
    assert not Path(state).exists()


def test_a_taken_port_is_one_line() -> None:
    with KubernetesDouble(run=False) as double:
        port = double.url.rpartition(":")[2]
        command = [sys.executable, "-m", "doubles.kubernetes", "--token", "t", "--port", port]
        ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr == f"python -m doubles.kubernetes: port {port} of 127.0.0.1 is taken\n"


@pytest.mark.parametrize(
    "option", [["--image-env", "novalue"], ["--image-path", "relative=/x"], ["--port", "x"]]
)
def test_wrong_options(option: list[str]) -> None:
    command = [sys.executable, "-m", "doubles.kubernetes", "--token", "t", *option]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 2
    assert option[0] in ended.stderr


def test_a_double_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="invalid int value: 'many'"):
        KubernetesDouble(port="many").start()  # type: ignore[arg-type]
