"""Cold starts: from the start of the process to its first answers, out of the staged deployment files."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median

from bench.arena import PEERS
from deploy.bundle import stage
from deploy.lock import FUNCTIONS, ROOT
from doubles.processes import Process, free_port
from local.functions import ENVIRONMENT_OF_A_FUNCTION

EMPTY = "empty"
CONTENDERS = (EMPTY, *FUNCTIONS)
START_SECONDS = 60.0
PACKAGE = "flinkjobs"
POLL_SECONDS = 0.002
LIKE = "sync"
"""The function whose libraries are installed next to the empty one."""
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)
AS_DEPLOYED = (
    "import runpy, sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(',')));"
    "runpy.run_module('functions_framework', run_name='__main__', alter_sys=True)"
)
"""Starts the framework with modules hidden: libraries import what they find, deployed or not."""
OK = 200
ACCEPTED = 202
SUBMISSION = b'{"template_id": "cold_start", "script": {"path": "/opt/flink/usrlib/job.py"}}'
CALLS: Mapping[str, tuple[str, str, bytes]] = {
    EMPTY: ("POST", "/", b""),
    "submit": ("POST", "/", SUBMISSION),
    "sync": ("POST", "/", b""),
    "cleanup": ("POST", "/?dry_run=true", b""),
    "jobs": ("GET", "/api/jobs", b""),
}
"""The real call of each function."""


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start, in seconds since the process was started.

    Attributes:
        health: until `GET /health` was answered.
        answer: until the real call was, sent right after that.
    """

    health: float
    answer: float


def middle(starts: list[Start]) -> Start:
    """The median of both."""
    return Start(median(start.health for start in starts), median(start.answer for start in starts))


def measure(settings: Mapping[str, str], *, with_bytecode: bool, runs: int) -> dict[str, list[Start]]:
    """Starts each function this many times, alternating between them.

    Args:
        settings: the environment of all functions.
        with_bytecode: whether Python finds everything compiled, the libraries too; else it compiles all of
            it, and keeps nothing.
        runs: starts of each.
    """
    starts: dict[str, list[Start]] = {name: [] for name in CONTENDERS}
    with _folder() as folder, _folder() as compiled:
        _stage(folder)
        caching = {"PYTHONPYCACHEPREFIX": str(compiled)}
        if not with_bytecode:
            caching["PYTHONDONTWRITEBYTECODE"] = "1"
        for name in CONTENDERS if with_bytecode else ():
            _start(name, folder / name, {**settings, **caching})
        for _ in range(runs):
            for name in CONTENDERS:
                starts[name].append(_start(name, folder / name, {**settings, **caching}))
    return starts


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flinkjobs-bench-") as name:
        yield Path(name)


def _stage(folder: Path) -> None:
    for name in CONTENDERS:
        if name == EMPTY:
            (folder / EMPTY).mkdir()
            shutil.copy(PEERS / "empty.py", folder / EMPTY / "main.py")
        else:
            stage(name, folder)


def _start(name: str, folder: Path, settings: Mapping[str, str]) -> Start:
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if ENVIRONMENT_OF_A_FUNCTION.match(key)}
    command = [sys.executable, "-c", AS_DEPLOYED, ",".join(_not_deployed(name)), "--target", name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--source", str(folder / "main.py")]
    env = {**inherited, "HOME": str(folder), "PYTHONPATH": str(folder), **settings}
    with Process(command, name=f"cold {name}", env=env, cwd=folder) as process:
        began = _started_at(process.pid)
        _answered(process, port, "GET", "/health", b"")
        health = _now() - began
        _answered(process, port, *CALLS[name])
        return Start(health, _now() - began)


def _not_deployed(name: str) -> list[str]:
    """Modules that are installed here, and not where the function is deployed."""
    lines = (ROOT / "functions" / (LIKE if name == EMPTY else name) / "requirements.txt").read_text()
    deployed = {_canonical(found) for found in REQUIREMENT.findall(lines)}
    return sorted(
        module
        for module, owners in packages_distributions().items()
        if module != PACKAGE and not deployed.intersection(map(_canonical, owners))
    )


def _canonical(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def _answered(process: Process, port: int, method: str, path: str, body: bytes) -> None:
    """Asks until there is an answer.

    Raises:
        RuntimeError: it was no good one, or none came.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except ConnectionRefusedError:
            if process.exit_code is not None or time.monotonic() > deadline:
                raise RuntimeError("\n".join([f"{process.name} did not start", *process.output])) from None
            time.sleep(POLL_SECONDS)
        else:
            if answer.status not in (OK, ACCEPTED):
                raise RuntimeError(f"{process.name}: {method} {path}: {answer.status} {text[:500]!r}")
            return
        finally:
            connection.close()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _started_at(pid: int) -> float:
    """When a process was started, by the system's clock, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
