"""Ten thousand finished Jobs, most of them young: several runs, little memory, and no needless request."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from doubles.kubernetes.faults import FinishedJobs
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.domain.naming import APP
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.waiting import until

JOBS, OLD, PER_RUN, PAGE = 10_000, 3_000, 1_000, 500
DATABASE = "volume"
MEMORY_MIB = 150


def children(pid: int) -> Iterator[int]:
    """A process and all that it has started, directly or not."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from children(int(child))


def most_memory_mib(server: FunctionServer) -> float:
    """The most that any process of a function has ever had in memory."""
    peaks = []
    for pid in children(server.process.pid):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return max(peaks)


@pytest.fixture
def server(
    mongo_server: MongoServer, mongo_client: MongoClient[dict[str, Any]], kubernetes_double: KubernetesDouble
) -> Iterator[FunctionServer]:
    settings = {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
        "CLEANUP_MAX_DELETIONS": str(PER_RUN),
        "CLEANUP_DELETIONS_PER_SECOND": "1000",
    }
    with FunctionServer("cleanup", settings) as running:
        yield running
    mongo_client.drop_database(DATABASE)


def test_of_ten_thousand_jobs_the_old_ones_go_in_three_runs(
    server: FunctionServer, mongo_client: MongoClient[dict[str, Any]], kubernetes_world: KubernetesWorld
) -> None:
    control = kubernetes_world.control
    names: dict[int, set[str]] = {}
    for part in range(JOBS // PER_RUN):  # every other thousand failed; three are old, by an hour each
        age_hours = 25 + part if part < OLD // PER_RUN else 1
        names[part] = {f"job-{part}-{index}" for index in range(PER_RUN)}
        wanted = FinishedJobs(
            count=PER_RUN,
            name=f"job-{part}-{{index}}",
            labels={"app": APP, "job-id": "{name}"},
            annotations={"flinkjobs/job-id": "{name}"},
            age_seconds=age_hours * 3600,
            failed=bool(part % 2),
        )
        control.add_finished_jobs(wanted)
    every = sorted(set().union(*names.values()))
    records = [{"job_id": name, "status": "FINISHED", "k8s_job_name": name} for name in every]
    mongo_client[DATABASE]["flink_jobs"].insert_many(records)
    control.reset_requests()

    reports = []
    with httpx.Client(trust_env=False, timeout=120) as client:
        for _ in range(OLD // PER_RUN):
            answer = client.post(server.url)
            assert answer.status_code == 200, answer.text
            reports.append(answer.json())
    requests = kubernetes_world.requests()

    assert [report["deleted"] for report in reports] == [PER_RUN] * 3
    assert [report["scanned"] for report in reports] == [JOBS, JOBS - PER_RUN, JOBS - 2 * PER_RUN]
    assert [report["complete"] for report in reports] == [False, False, True]
    assert [report["errors"] for report in reports] == [[]] * 3
    gone = [names[part] for part in (2, 1, 0)]
    assert [set(report["names"]) <= part for report, part in zip(reports, gone, strict=True)] == [True] * 3, (
        "the oldest go first"
    )
    assert kubernetes_world.names("jobs") == set(every) - set().union(*gone)
    pages = sum(math.ceil(report["scanned"] / PAGE) for report in reports)
    clocks = len(reports)
    assert requests.pop("delete jobs") == OLD
    assert requests.pop("list jobs") == pages + clocks
    lists = len(reports) * 2 * PER_RUN // 100  # of the pods of 80 and of 20 Jobs, whose logs are read
    assert pages + lists <= requests.pop("list pods") <= pages + lists + 20, "pods go a moment after Jobs"
    assert requests.pop("get pods/log") == OLD
    assert requests == {"list configmaps": len(reports)}
    assert most_memory_mib(server) < MEMORY_MIB
    until(
        lambda: len(kubernetes_world.names("pods")) == JOBS - OLD, timeout_seconds=30, what="their pods gone"
    )
