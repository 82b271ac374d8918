"""What one call of a function costs, seen from outside: time, processor, memory, and what its peers did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from pymongo.database import Database

from local.functions import FunctionServer

CALL_SECONDS = 600.0
COMMANDS = ("find", "getMore", "aggregate", "insert", "update", "delete", "findAndModify")
"""Of MongoDB, that a pass may send; what clients ask a server about itself does not count."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What one call cost.

    Attributes:
        cpu_seconds: of the function's process.
        peak_rss_mib: of the function's process, the highest during the call.
        mongodb_commands: that reached the server.
        documents_written: records that are not as they were.
        before_delivery_seconds: of a pass, until its records and its report were written, as it says itself.
    """

    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    flink_requests: int = 0
    kubernetes_requests: int = 0
    mongodb_commands: int = 0
    documents_written: int = 0
    before_delivery_seconds: float = 0.0


def middle(runs: list[Measurements]) -> Measurements:
    """The median of each figure by itself."""
    return Measurements(
        **{name: median(getattr(run, name) for run in runs) for name in Measurements.__slots__}
    )


def worker(server: FunctionServer) -> int:
    """Process id of the one process that answers requests; its parent only watches it."""
    pid = server.process.pid
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


class Probe:
    """Calls one function, again and again."""

    def __init__(self, server: FunctionServer, path: str) -> None:
        """Args: a running function, and the path of its work."""
        self._url = server.url + path
        self._pid = worker(server)
        self._http = httpx.Client(timeout=CALL_SECONDS, trust_env=False)

    def call(self) -> Measurements:
        """One `POST`, and what it cost the process.

        Raises:
            RuntimeError: the answer was no 200.
        """
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # the peak begins anew
        cpu, began = cpu_seconds(self._pid), time.perf_counter()
        answer = self._http.post(self._url)
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(self._pid) - cpu
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"{self._url}: {answer.status_code} {answer.text[:500]}")
        reported = answer.json().get("duration_seconds", 0.0)
        return Measurements(seconds, cpu, rss_mib(self._pid, "VmHWM"), before_delivery_seconds=reported)

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()


def cpu_seconds(pid: int) -> float:
    """Time that a process has spent on the processor."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)


def rss_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process, now or, with `VmHWM`, at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say how much memory a process uses")


def commands(database: Database[dict[str, Any]]) -> int:
    """How many commands that read or write the server has got since it started."""
    counted = database.client.admin.command("serverStatus")["metrics"]["commands"]
    return sum(counted[name]["total"] for name in COMMANDS)
