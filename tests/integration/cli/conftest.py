"""The command as a subprocess, against real parts: in front of deployed functions, and without them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
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


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command to its end in an empty directory; its settings are given and never inherited."""

    def run(*arguments: str | Path, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**own_environment(tmp_path), **(environ or {})},
            cwd=cwd or tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
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
