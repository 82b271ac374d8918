"""The command as a process, against real parts: in front of deployed functions, and without them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from doubles.processes import free_port
from local.functions import FunctionServer
from tests.integration.functions.conftest import (  # noqa: F401 - the same world of real and played peers
    batch,
    cleanup,
    flink,
    history,
    jobs,
    settings,
    submit,
    sync,
    world,
)

ROOT: Final = Path(__file__).parents[3]
COMMAND: Final = [sys.executable, "-m", "flinkjobs.cli"]
SECONDS: Final = 90.0

Run: TypeAlias = "Callable[..., Ran]"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


def own_environment(home: Path) -> dict[str, str]:
    """What a command inherits of this machine: nothing that could be a setting."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def urls(
    submit: FunctionServer,  # noqa: F811 - a fixture, as below
    sync: FunctionServer,  # noqa: F811
    cleanup: FunctionServer,  # noqa: F811
    jobs: FunctionServer,  # noqa: F811
) -> Mapping[str, str]:
    """Settings that lead to the functions, and nowhere else."""
    return {f"{server.name.upper()}_URL": server.url for server in (submit, sync, cleanup, jobs)}


@pytest.fixture(params=["http", "direct"])
def environ(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """The two ways of working, one test each: only URLs, or only the settings of the functions."""
    found: Mapping[str, str] = request.getfixturevalue("urls" if request.param == "http" else "settings")
    return found


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Forks a process for each command; see `forked_command`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.cli.forked_command"],
        env={**own_environment(tmp_path_factory.mktemp("home")), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.fixture
def run(commands: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the command to its end in an empty directory; its settings are given and never inherited."""
    streams = tmp_path_factory.mktemp("streams")

    def run(*arguments: str | Path, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        assert commands.stdin is not None
        assert commands.stdout is not None
        wanted = {
            "arguments": [str(argument) for argument in arguments],
            "environ": {**own_environment(tmp_path), **(environ or {})},
            "cwd": str(cwd or tmp_path),
            **{name: str(streams / name) for name in ("out", "err")},
        }
        commands.stdin.write(f"{json.dumps(wanted)}\n")
        commands.stdin.flush()
        code = int(commands.stdout.readline())
        ran = Ran(code, *((streams / name).read_bytes().decode() for name in ("out", "err")))
        assert "Traceback (most recent call last)" not in ran.err
        return ran

    return run


@pytest.fixture
def nowhere() -> str:
    """An address at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def one_line(text: str) -> str:
    """Standard error of a command that failed: one line, by its name."""
    [line] = text.splitlines()
    assert line.startswith("flinkjobs: ")
    return line.removeprefix("flinkjobs: ")
