"""An instance whose network comes late, as Google warns of direct VPC egress: up to a minute or more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final, Protocol

import httpx
import pytest

from doubles.kubernetes.faults import FinishedJobs
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.functions.conftest import World, events_after, problem
from tests.integration.functions.test_sync import END, FINISHED_ID, START, followed
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.late_network import LateNetwork
from tests.support.waiting import until

LATE_SECONDS: Final = 25.0
"""Longer than an attempt to connect, or to read an answer of MongoDB, may take."""
PATIENT: Final[Mapping[str, str]] = {"COLD_START_SECONDS": "150"}
"""As Terraform sets it where the egress is direct."""
REQUEST: Final = {"template_id": "etl", "script": {"path": "/opt/jobs/etl.py"}}
DAY_SECONDS: Final = 86_400.0


class StartInstance(Protocol):
    """Starts a function behind its own network, with settings added to the common ones."""

    def __call__(
        self, name: str, *, late_seconds: float, own: Mapping[str, str]
    ) -> tuple[FunctionServer, LateNetwork]: ...


@pytest.fixture
def start(
    settings: Mapping[str, str], mongo_server: MongoServer, flink: FlinkServer
) -> Iterator[StartInstance]:
    with ExitStack() as opened:

        def start_instance(
            name: str, *, late_seconds: float, own: Mapping[str, str]
        ) -> tuple[FunctionServer, LateNetwork]:
            network = opened.enter_context(LateNetwork(late_seconds))
            behind_it = {
                "MONGODB_URI": f"mongodb://127.0.0.1:{network.way_to(mongo_server.port)}/",
                "FLINK_REST_URL": f"http://127.0.0.1:{network.way_to(int(flink.url.rpartition(':')[2]))}",
            }
            given = {**common, **behind_it, **own}
            return opened.enter_context(FunctionServer(name, given)), network

        common = {key: value for key, value in settings.items() if key != "FLINK_CLUSTERS"}
        yield start_instance


def post(server: FunctionServer, body: Mapping[str, object] | None = None, **headers: str) -> httpx.Response:
    return httpx.post(server.url, json=body or {}, headers=headers, trust_env=False, timeout=170)


def add_old_job(world: World, *, count: int = 1) -> None:
    """Finished Kubernetes Jobs whose records are settled."""
    for number in range(count):
        name = f"old-{number}"
        labels, annotations = {"app": "flink-python-job", "job-id": name}, {"flinkjobs/job-id": name}
        wanted = FinishedJobs(
            count=1, name=name, age_seconds=2 * DAY_SECONDS, labels=labels, annotations=annotations, log="x\n"
        )
        world.kubernetes.control.add_finished_jobs(wanted)
        world.add_record(name, status="FINISHED")


def seconds_waited(server: FunctionServer, *, last: str) -> float:
    """What the instance logged of its wait for MongoDB."""
    [waited] = [
        event["seconds"]
        for event in events_after(server, 0, last=last)
        if event["message"] == "cold_start.connected" and event["peer"] == "MongoDB"
    ]
    return float(waited)


def test_instances_whose_network_comes_late_do_their_work_and_say_so(
    start: StartInstance, world: World
) -> None:
    world.add_record("open_1", **followed(FINISHED_ID))
    world.flink.jobs.append(Job(FINISHED_ID, "FINISHED", start=START, end=END))
    add_old_job(world)
    cold: dict[str, FunctionServer] = {}
    for name in ("sync", "cleanup", "submit"):
        cold[name], _ = start(name, late_seconds=LATE_SECONDS, own=PATIENT)
    with ThreadPoolExecutor() as threads:
        asked: dict[str, Callable[[], httpx.Response]] = {
            "sync": threads.submit(post, cold["sync"]).result,
            "cleanup": threads.submit(post, cold["cleanup"]).result,
            "submit": threads.submit(post, cold["submit"], REQUEST).result,
        }
        answers = {name: result() for name, result in asked.items()}

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "sync": 200,
        "cleanup": 200,
        "submit": 202,
    }
    report = answers["sync"].json()
    assert (report["complete"], report["clusters"]["default"]["reachable"]) == (True, True)
    assert world.record("open_1")["status"] == "FINISHED"
    report = answers["cleanup"].json()
    assert (report["complete"], report["names"]) == (True, ["old-0"])
    assert world.record(answers["submit"].json()["job_id"])["in_flight_until"] is None
    for name, last in (("sync", "sync.pass"), ("cleanup", "cleanup.run"), ("submit", "job.submitted")):
        assert seconds_waited(cold[name], last=last) >= LATE_SECONDS - 1


def test_submit_asks_to_repeat_when_the_network_comes_later_than_it_waits(
    start: StartInstance, world: World
) -> None:
    submit, _ = start("submit", late_seconds=12, own={"COLD_START_SECONDS": "1"})
    answer = post(submit, REQUEST, **{"Idempotency-Key": "once"})
    assert (answer.status_code, problem(answer)["code"]) == (503, "STORE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0

    def accepted() -> httpx.Response | None:
        answer = post(submit, REQUEST, **{"Idempotency-Key": "once"})
        return answer if answer.status_code == 202 else None

    repeated = until(accepted, timeout_seconds=60, what="202")
    assert [record["job_id"] for record in world.jobs.find()] == [repeated.json()["job_id"]]


@pytest.mark.parametrize("function_name", ["sync", "cleanup"])
def test_the_wait_ends_with_the_budget(function_name: str, start: StartInstance) -> None:
    function, network = start(function_name, late_seconds=120, own={**PATIENT, "SYNC_BUDGET_SECONDS": "2"})
    answer = post(function)
    assert (answer.status_code, problem(answer)["code"]) == (503, "STORE_UNAVAILABLE")
    assert not network.is_open


def test_what_was_waited_is_taken_from_the_budget(start: StartInstance, world: World) -> None:
    add_old_job(world, count=60)
    own = {**PATIENT, "SYNC_BUDGET_SECONDS": "8", "CLEANUP_DELETIONS_PER_SECOND": "20"}
    cleanup, _ = start("cleanup", late_seconds=7, own=own)
    report = post(cleanup).json()
    assert report["complete"] is False
    assert report["deleted"] <= 21  # 20 a second, in the one second that was left
