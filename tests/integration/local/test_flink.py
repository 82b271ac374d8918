"""The Flink of the local stack is a real session cluster that runs PyFlink jobs."""

import json
import re
import select
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.processes import Scratch, free_port
from local.environments import flink_line
from local.flink import FlinkCluster, FlinkError, FlinkImage, flink

SECONDS = 120.0


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 http on 127.0.0.1
        return json.load(answer)


def refuses(url: str) -> bool:
    try:
        get(url)
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    return False


def knows(history_url: str, job: str) -> bool:
    try:
        return job in states(history_url)
    except ValueError:  # the History Server answers 200 with nothing while it writes its overview
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.1)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    with Scratch("stack", parent=tmp_path_factory.mktemp("flink")) as directory:
        yield directory


@pytest.fixture(scope="module")
def cluster(scratch: Scratch) -> Iterator[FlinkCluster]:
    with FlinkCluster(scratch=scratch, history_server=True) as running:
        yield running


def states(url: str) -> dict[str, str]:
    return {job["jid"]: job["state"] for job in get(f"{url}/jobs/overview")["jobs"]}


def test_it_is_ready_with_all_its_slots(cluster: FlinkCluster) -> None:
    overview = get(f"{cluster.rest_url}/overview")
    [pinned] = re.findall(r"^apache-flink==(\S+)", flink_line().requirements.read_text(), re.MULTILINE)
    assert overview["flink-version"] == pinned
    assert (overview["taskmanagers"], overview["slots-available"]) == (1, 8)


def test_a_submitted_example_finishes_and_is_forgotten_with_the_jobmanager(cluster: FlinkCluster) -> None:
    """Without high availability a new JobManager knows no job; the History Server still does."""
    home = cluster.image_paths()["/opt/flink"]
    command: list[str | Path] = [home / "bin/flink", "run", "-d", "-m", cluster.jobmanager]
    submission = subprocess.run(
        [*command, "-py", home / "examples/datastream/word_count.py"],
        env=cluster.image_env(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert submission.returncode == 0, submission.stdout + submission.stderr
    assert "Picked up" not in submission.stdout + submission.stderr
    (job,) = states(cluster.rest_url)
    assert f"Job has been submitted with JobID {job}\n" in submission.stdout
    until(lambda: states(cluster.rest_url)[job] not in {"CREATED", "INITIALIZING", "RUNNING"}, "no end")
    assert states(cluster.rest_url) == {job: "FINISHED"}
    history = cluster.history_url
    assert history
    until(lambda: knows(history, job), "the History Server did not get the job")

    cluster.restart_jobmanager()
    assert get(f"{cluster.rest_url}/jobs/overview") == {"jobs": []}
    assert states(history) == {job: "FINISHED"}


def test_a_stopped_jobmanager_refuses_connections(cluster: FlinkCluster) -> None:
    cluster.stop("jobmanager")
    assert refuses(f"{cluster.rest_url}/overview")
    cluster.start("jobmanager")
    cluster.wait_ready()


def test_everything_it_writes_is_in_its_directory(cluster: FlinkCluster, scratch: Scratch) -> None:
    for variable in ("JAVA_HOME", "FLINK_CONF_DIR", "FLINK_LOG_DIR", "FLINK_PID_DIR", "TMPDIR"):
        assert Path(cluster.image_env()[variable]).is_relative_to(scratch.path)


def test_a_port_taken_since_is_named_though_the_last_lines_are_about_another_matter() -> None:
    """The last lines of this end are a dump of threads and classes that a closing loader does not find."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        port: int = server.getsockname()[1]
        cluster = FlinkCluster(settings={"jobmanager.rpc.port": port})
        with pytest.raises(FlinkError) as raised, cluster:
            pass
    reason = f"java.net.BindException: Could not start actor system on any port in port range {port}"
    assert reason in str(raised.value)


def test_the_error_of_a_missing_installation_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FlinkError) as raised:
        FlinkImage(tmp_path / "image", environment=tmp_path / "nothing")
    assert str(raised.value) == (
        "Flink is not installed here: run `make env-flink`, or set FLINK_REST_URL to use your own"
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"FLINK_REST_URL": "http://flink.example:8081/"},
            ("http://flink.example:8081", "flink.example:8081", None),
        ),
        ({"FLINK_REST_URL": "https://flink.example"}, ("https://flink.example", "flink.example:443", None)),
        (
            {
                "FLINK_REST_URL": "http://flink.example:8081",
                "FLINK_JOBMANAGER": "inside:8081",
                "FLINK_HISTORY_URL": "http://history.example:8082",
            },
            ("http://flink.example:8081", "inside:8081", "http://history.example:8082"),
        ),
    ],
)
def test_the_flink_of_the_user_wins(
    environment: dict[str, str], expected: tuple[str, str, str | None]
) -> None:
    with flink(environment) as address:
        assert (address.rest_url, address.jobmanager, address.history_url) == expected
        assert address.image_paths["/opt/flink"].is_dir()


def test_another_flink_of_the_user_runs_the_python_of_the_users_path() -> None:
    """PyFlink of another line than `flink` does not find its Java classes."""
    environment = {"FLINK_REST_URL": "http://flink.example:8081", "FLINK_BIN": "/flink-2/bin/flink"}
    with flink(environment | {"PATH": "/venv/bin:/bin"}) as address:
        configuration = Path(address.image_env["FLINK_CONF_DIR"], "config.yaml").read_text("utf-8")
        assert address.image_env["PATH"] == "/venv/bin:/bin"
    assert [line for line in configuration.splitlines() if line.startswith("python.")] == [
        'python.client.executable: "python"'
    ]
