"""`exactly_once` on the real stack: Kubernetes runs the pod twice, Flink runs the job once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest
from pymongo import MongoClient

from doubles.kubernetes.control import ControlClient
from doubles.kubernetes.faults import PodFault
from local.stack import Stack
from tests.e2e.console import PODS, Document, kubernetes, pods_of, submit, sync
from tests.support.waiting import until

SUBMIT_SECONDS = 120.0

ENDLESS = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE endless (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='1')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM endless")
"""


@pytest.fixture
def pods_run_twice(quiet_stack: Stack) -> Iterator[None]:
    """Every Job of the template gets two pods, as Kubernetes says may happen."""
    double = quiet_stack.kubernetes
    assert double.url is not None
    assert double.token is not None
    twice = PodFault(effect="run-twice", job="flink-py-exactly-once-.*")
    with ControlClient(double.url, double.token) as control, control.fault(twice):
        yield


@pytest.mark.usefixtures("pods_run_twice")
def test_a_pod_that_is_run_twice_by_force_makes_one_flink_job(quiet_stack: Stack) -> None:
    accepted = submit(quiet_stack, template_id="exactly_once", script={"inline": ENDLESS}, exactly_once=True)

    def both_ended() -> list[Document] | None:
        pods = pods_of(quiet_stack, accepted["k8s_job_name"])
        phases = [pod["status"].get("phase") for pod in pods]
        return pods if sorted(phases) == ["Failed", "Succeeded"] else None

    pods = until(both_ended, timeout_seconds=SUBMIT_SECONDS, what="both pods have ended, one of them failed")
    job_id = accepted["job_id"]
    fixed = sha256(job_id.encode()).hexdigest()[:32]
    overview = httpx.get(f"{quiet_stack.flink.rest_url}/jobs/overview", trust_env=False).json()["jobs"]
    assert [job["jid"] for job in overview if job["name"] == job_id] == [fixed]
    logs = {
        pod["status"]["phase"]: kubernetes(quiet_stack, f"{PODS}/{pod['metadata']['name']}/log").text
        for pod in pods
    }
    assert f"Job has been submitted with JobID {fixed}" in logs["Succeeded"]
    assert re.search(r"Duplicate(Job|Application)SubmissionException", logs["Failed"])  # 1.20 and 2.3
    sync(quiet_stack)
    client: MongoClient[Document] = MongoClient(quiet_stack.mongodb_uri)
    with client:
        record = client["lemo_recommender"]["flink_jobs"].find_one({"job_id": job_id})
    assert record is not None
    assert record["flink_job_ids"] == [fixed]
    assert record["status"] in ("CREATED", "RUNNING")
