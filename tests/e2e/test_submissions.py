"""What networks, images and Kubernetes do to a submission, on the real stack; passes are run by the tests."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from doubles.kubernetes.control import ControlClient
from doubles.kubernetes.faults import PodFault
from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from local.stack import Stack
from tests.e2e.console import (
    PODS,
    Document,
    ended,
    kubernetes,
    overview,
    pods_of,
    submit,
    submit_to,
    sync,
    sync_by,
)
from tests.support.lossy_proxy import LossyProxy
from tests.support.waiting import until

SUBMIT_SECONDS = 120.0
IMPATIENT = {"rest.idleness-timeout": "5 s", "rest.retry.max-attempts": "1", "rest.retry.delay": "100 ms"}
"""By default, Flink's client waits 5 minutes for an answer, and repeats the submission twenty times."""
LONG_ENOUGH = timedelta(minutes=10)
"""Longer than no job of the name of a record must be known before the record is LOST."""
NO_ANSWER = b""
GATEWAY_PAGE = b"<html><head><title>504 Gateway Time-out</title></head></html>"
GATEWAY_TIMEOUT = (
    b"HTTP/1.1 504 Gateway Time-out\r\nContent-Type: text/html\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(GATEWAY_PAGE), GATEWAY_PAGE)
)

ENDLESS = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE endless (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='1')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
"""
INSERT = 'tables.execute_sql("INSERT INTO sink SELECT n FROM endless")\n'
NAMED_BY_ITSELF = 'tables.get_config().set("pipeline.name", "named by its script")\n'


@pytest.fixture(scope="module")
def records(quiet_stack: Stack) -> Iterator[Collection[Document]]:
    client: MongoClient[Document] = MongoClient(quiet_stack.mongodb_uri, tz_aware=True)
    with client:
        yield client["lemo_recommender"].flink_jobs


def submit_through(stack: Stack, proxy: LossyProxy, **request: Any) -> Document:
    """Submits a job by a `flink run` that talks to the proxy; returns when that has failed."""
    settings = stack.function_settings | {"FLINK_JOBMANAGER": proxy.address}
    with FunctionServer("submit", settings) as function:
        accepted = submit_to(function, flink_conf=IMPATIENT, **request)
        until(
            lambda: ended(stack, accepted["k8s_job_name"]) == "Failed",
            timeout_seconds=SUBMIT_SECONDS,
            what="flink run has given up",
        )
    return accepted


def test_a_job_whose_client_got_a_gateways_page_is_found_by_its_name(
    quiet_stack: Stack, records: Collection[Document]
) -> None:
    jobmanager, rest_url = quiet_stack.flink.jobmanager, quiet_stack.flink.rest_url
    before = {job["jid"] for job in overview(rest_url)}
    with LossyProxy(jobmanager, answer=GATEWAY_TIMEOUT) as proxy:
        script = {"inline": ENDLESS + INSERT}
        accepted = submit_through(quiet_stack, proxy, template_id="unanswered", script=script)

    def running() -> Document | None:
        sync(quiet_stack, [accepted["job_id"]])
        return records.find_one({"job_id": accepted["job_id"], "status": "RUNNING"})

    record = until(running, timeout_seconds=20, what="the record is RUNNING")
    [job] = [job for job in overview(rest_url) if job["jid"] not in before]
    assert (job["name"], job["state"]) == (accepted["job_id"], "RUNNING")
    assert record["flink_job_ids"] == [job["jid"]]
    assert record["flink_jobs"][0]["source"] == "JOB_NAME"
    assert record["reason"]["code"] == "SUBMIT_INCOMPLETE"


def test_a_job_named_by_its_script_whose_answer_was_lost_is_lost_never_failed(
    quiet_stack: Stack, records: Collection[Document]
) -> None:
    jobmanager, rest_url = quiet_stack.flink.jobmanager, quiet_stack.flink.rest_url
    before = {job["jid"] for job in overview(rest_url)}
    with LossyProxy(jobmanager, answer=NO_ANSWER) as proxy:
        script = {"inline": ENDLESS + NAMED_BY_ITSELF + INSERT}
        accepted = submit_through(quiet_stack, proxy, template_id="unanswered_named", script=script)
    own = {"job_id": accepted["job_id"]}

    def after_a_pass() -> Document:
        sync(quiet_stack, [accepted["job_id"]])
        found = records.find_one(own)
        assert found is not None
        return found

    first = after_a_pass()
    assert (first["status"], first["reason"]["code"]) == ("CREATED", "OUTCOME_UNKNOWN")
    records.update_one(own, {"$set": {"missing_since": first["missing_since"] - LONG_ENOUGH}})
    assert after_a_pass()["status"] == "CREATED"
    third = after_a_pass()
    assert (third["status"], third["reason"]["code"]) == ("LOST", "OUTCOME_UNKNOWN")
    assert third["flink_job_ids"] == []
    [job] = [job for job in overview(rest_url) if job["jid"] not in before]
    assert (job["name"], job["state"]) == ("named by its script", "RUNNING")


def test_an_image_without_stdbuf_submits_and_the_id_is_found(
    quiet_stack: Stack, records: Collection[Document], tmp_path: Path
) -> None:
    image = quiet_stack.flink.image_env
    for directory in image["PATH"].split(os.pathsep):
        for tool in Path(directory).glob("*"):
            if tool.name != "stdbuf" and not (tmp_path / tool.name).is_symlink():
                (tmp_path / tool.name).symlink_to(tool)
    assert shutil.which("stdbuf", path=image["PATH"]) is not None, "the test leaves nothing out"
    with KubernetesDouble(
        image_paths=quiet_stack.flink.image_paths, image_environment={**image, "PATH": str(tmp_path)}
    ) as kubernetes:
        settings = quiet_stack.function_settings | {"KUBECONFIG": str(kubernetes.kubeconfig)}
        with FunctionServer("submit", settings) as submit, FunctionServer("sync", settings) as sync_there:
            accepted = submit_to(submit, template_id="no_stdbuf", script={"inline": ENDLESS + INSERT})
            own = [accepted["job_id"]]
            record = until(
                lambda: (
                    sync_by(sync_there, own)
                    and records.find_one({"job_id": accepted["job_id"], "submitter_done": True})
                ),
                timeout_seconds=SUBMIT_SECONDS,
                what="the submitter's output is read",
            )
    assert record["status"] in ("CREATED", "RUNNING")
    [job] = [job for job in overview(quiet_stack.flink.rest_url) if job["name"] == accepted["job_id"]]
    assert record["flink_job_ids"] == [job["jid"]]


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
def test_a_pod_that_is_run_twice_by_force_makes_one_flink_job(
    quiet_stack: Stack, records: Collection[Document]
) -> None:
    """`exactly_once`: Kubernetes runs the pod twice, Flink runs the job once."""
    script = {"inline": ENDLESS + INSERT}
    accepted = submit(quiet_stack, template_id="exactly_once", script=script, exactly_once=True)

    def both_ended() -> list[Document] | None:
        pods = pods_of(quiet_stack, accepted["k8s_job_name"])
        phases = [pod["status"].get("phase") for pod in pods]
        return pods if sorted(phases) == ["Failed", "Succeeded"] else None

    pods = until(both_ended, timeout_seconds=SUBMIT_SECONDS, what="both pods have ended, one of them failed")
    job_id = accepted["job_id"]
    fixed = sha256(job_id.encode()).hexdigest()[:32]
    known = overview(quiet_stack.flink.rest_url)
    assert [job["jid"] for job in known if job["name"] == job_id] == [fixed]
    logs = {
        pod["status"]["phase"]: kubernetes(quiet_stack, f"{PODS}/{pod['metadata']['name']}/log").text
        for pod in pods
    }
    assert f"Job has been submitted with JobID {fixed}" in logs["Succeeded"]
    assert re.search(r"Duplicate(Job|Application)SubmissionException", logs["Failed"])  # 1.20 and 2.3
    sync(quiet_stack)
    record = records.find_one({"job_id": job_id})
    assert record is not None
    assert record["flink_job_ids"] == [fixed]
    assert record["status"] in ("CREATED", "RUNNING")
