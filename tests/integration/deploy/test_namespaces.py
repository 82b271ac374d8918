"""Flink clusters with a namespace each: nothing is seen or touched across, and one error costs its own.

Each function has its Role in the namespaces that a test grants, on the double.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from doubles.kubernetes.faults import FinishedJobs, Outcome
from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.e2e.console import run_command
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import termination_message
from tests.support.roles import FUNCTIONS, rules
from tests.support.waiting import until

DATABASE = "namespaces"
SECONDS = 30.0
EVERY = ("lemo-dev", "team-a", "team-b")
IDS = {"a": "0000000000000000000000000000000a", "b": "0000000000000000000000000000000b"}
END = 1_795_335_838_523
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """The functions, each with a token of its own, in a world of three namespaces and a stranger's.

    Attributes:
        settings: by function.
    """

    double: KubernetesDouble
    flink: FlinkServer
    settings: Mapping[str, Mapping[str, str]]
    servers: Mapping[str, FunctionServer]
    records: Collection[Document]

    def grant(self, *namespaces: str, functions: Sequence[str] = FUNCTIONS) -> None:
        for name in functions:
            self.double.control.grant(name, f"token-of-{name}", rules(name), namespaces=namespaces)

    def call(self, name: str, body: Document | None = None) -> tuple[int, Document]:
        answer = httpx.post(f"{self.servers[name].url}/", json=body or {}, timeout=60, trust_env=False)
        returned: Document = answer.json()
        return answer.status_code, returned

    def submit(self, cluster: str) -> Document:
        """A job of this cluster, whose pod prints the id of a job that runs."""
        message = termination_message(IDS[cluster])
        self.double.control.set_outcome(Outcome(message=message, log=message))
        request = {"template_id": "etl", "script": {"path": "/opt/etl.py"}, "cluster": cluster}
        status, accepted = self.call("submit", request)
        assert status == 202, accepted
        until(
            lambda: self.job(f"team-{cluster}", accepted["k8s_job_name"]).get("completionTime"),
            timeout_seconds=SECONDS,
            what="the Job has ended",
        )
        self.flink.jobs.append(Job(IDS[cluster], "RUNNING"))
        return accepted

    def job(self, namespace: str, name: str) -> Document:
        """The status of a Job, with its spec; empty where it is not there."""
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
        headers = {"Authorization": f"Bearer {self.double.token}"}
        answer = httpx.get(f"{self.double.url}{path}", headers=headers, timeout=60, trust_env=False).json()
        return {**answer.get("status", {}), "spec": answer["spec"]} if "spec" in answer else {}

    def status(self, accepted: Document) -> str:
        record = self.records.find_one({"job_id": accepted["job_id"]})
        assert record is not None
        return str(record["status"])

    def clean_up(self) -> Document:
        """The report of a cleanup in a later second than the ends of the Jobs, whose times are whole."""
        reports: list[Document] = []

        def has_deleted() -> bool:
            status, report = self.call("cleanup")
            assert status == 200, report
            reports.append(report)
            return bool(report["names"])

        until(has_deleted, timeout_seconds=SECONDS, what="the Jobs are older than the retention of zero")
        return reports[-1]

    def finish(self) -> None:
        """Every Flink job ends, and a pass has seen it."""
        self.flink.jobs[:] = [Job(job.id, "FINISHED", end=END) for job in self.flink.jobs]
        self.call("sync")


@pytest.fixture(scope="module")
def place(mongo_server: MongoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as opened:
        double = opened.enter_context(
            KubernetesDouble(run=False, also_namespaces=("team-a", "team-b", "strangers"))
        )
        flink = opened.enter_context(FlinkServer())
        directory = tmp_path_factory.mktemp("kubeconfigs")
        clusters = {
            name: {
                "rest_url": flink.url,
                "namespace": f"team-{name}",
                "image": f"flink-{name}:1.20",
                "service_account": f"submitter-{name}",
            }
            for name in ("a", "b")
        }
        settings: dict[str, Mapping[str, str]] = {}
        for name in FUNCTIONS:
            with KubernetesWorld(double) as world:
                kubeconfig = world.kubeconfig(directory / name, token=f"token-of-{name}")
            settings[name] = {
                "MONGODB_URI": mongo_server.uri,
                "MONGODB_DATABASE": DATABASE,
                "FLINK_CLUSTERS": json.dumps(clusters),
                "FLINK_IMAGE": "flink:1.20",
                "K8S_AUTH": "kubeconfig",
                "KUBECONFIG": str(kubeconfig),
                "CLEANUP_RETENTION_HOURS": "0",
            }
        servers = {name: opened.enter_context(FunctionServer(name, settings[name])) for name in FUNCTIONS}
        mongo: MongoClient[Document] = opened.enter_context(MongoClient(mongo_server.uri, tz_aware=True))
        yield Place(double, flink, settings, servers, mongo[DATABASE].flink_jobs)
        mongo.drop_database(DATABASE)


@pytest.fixture(autouse=True)
def _fresh(place: Place) -> None:
    place.grant(*EVERY)
    place.flink.reset()
    place.records.delete_many({})
    for namespace in (*EVERY, "strangers"):
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs?propagationPolicy=Background"
        headers = {"Authorization": f"Bearer {place.double.token}"}
        httpx.delete(f"{place.double.url}{path}", headers=headers, timeout=60, trust_env=False)


def test_a_job_lives_in_the_namespace_of_its_cluster_from_submission_to_cleanup(place: Place) -> None:
    stranger = FinishedJobs(
        count=1,
        name="stranger",
        namespace="strangers",
        labels={"app": "flink-python-job", "job-id": "stranger"},
        annotations={"flinkjobs/job-id": "stranger"},
    )
    place.double.control.add_finished_jobs(stranger)
    accepted = {name: place.submit(name) for name in IDS}
    for name, answer in accepted.items():
        job_name = answer["k8s_job_name"]
        pod = place.job(f"team-{name}", job_name)["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == f"flink-{name}:1.20"
        assert pod["serviceAccountName"] == f"submitter-{name}"
        assert [place.job(other, job_name) for other in EVERY if other != f"team-{name}"] == [{}, {}]
    status, report = place.call("sync")
    assert (status, report["errors"], report["changed"]) == (200, [], {"RUNNING": 2})
    for name, answer in accepted.items():
        shown = httpx.get(
            f"{place.servers['jobs'].url}/api/jobs/{answer['job_id']}", timeout=60, trust_env=False
        ).json()["kubernetes"]
        assert (shown["namespace"], shown["found"]) == (f"team-{name}", True)
        assert all(f"-n team-{name} " in f"{line} " for line in shown["kubectl"])
    place.finish()
    report = place.clean_up()
    assert (report["errors"], report["scanned"]) == ([], 2)
    assert sorted(report["names"]) == sorted(answer["k8s_job_name"] for answer in accepted.values())
    assert place.job("strangers", "stranger") != {}


def test_a_forbidden_namespace_costs_its_own_jobs_only(place: Place, tmp_path: Path) -> None:
    accepted = {name: place.submit(name) for name in IDS}
    place.grant("lemo-dev", "team-a")
    refused, answer = place.call(
        "submit", {"template_id": "etl", "script": {"path": "/opt/etl.py"}, "cluster": "b"}
    )
    assert (refused, answer["code"]) == (503, "KUBERNETES_UNAVAILABLE")
    assert 'in the namespace "team-b"' in answer["detail"]
    place.records.delete_many({"job_id": {"$nin": [each["job_id"] for each in accepted.values()]}})
    status, report = place.call("sync")
    assert (status, {error["job_id"] for error in report["errors"]}) == (200, {None})
    assert all('in the namespace "team-b"' in error["message"] for error in report["errors"])
    assert {name: place.status(each) for name, each in accepted.items()} == {"a": "RUNNING", "b": "CREATED"}
    place.finish()
    report = place.clean_up()
    assert report["names"] == [accepted["a"]["k8s_job_name"]]
    [error] = report["errors"]
    assert 'in the namespace "team-b"' in error["message"]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **place.settings["sync"]}
    ran = run_command("doctor", "--json", "--function", "sync", environ=environ, directory=tmp_path)
    found = {finding["check"]: finding for finding in json.loads(ran.out)["findings"]}
    role = found["kubernetes.role"]
    assert (role["code"], "list jobs in team-b" in role["evidence"]) == ("PERMISSION_MISSING", True)
    assert "team-a" not in role["evidence"]
    place.grant(*EVERY)
    place.call("sync")
    assert place.status(accepted["b"]) == "FINISHED"
    assert place.clean_up()["names"] == [accepted["b"]["k8s_job_name"]]


def test_the_namespace_of_the_settings_may_be_the_forbidden_one(place: Place) -> None:
    accepted = place.submit("a")
    place.grant("team-a", "team-b")
    assert place.call("sync")[1]["errors"] == []
    place.finish()
    report = place.clean_up()
    assert report["names"] == [accepted["k8s_job_name"]]
    assert ['in the namespace "lemo-dev"' in error["message"] for error in report["errors"]] == [True]


def test_no_namespace_at_all_is_an_error(place: Place) -> None:
    place.grant("strangers")
    assert place.call("cleanup")[0] >= 400


def test_a_record_keeps_its_namespace_when_the_settings_change(place: Place) -> None:
    accepted = place.submit("a")
    moved = json.dumps({"a": {"rest_url": place.flink.url, "namespace": "team-b"}})
    with FunctionServer("sync", {**place.settings["sync"], "FLINK_CLUSTERS": moved}) as sync:
        report = httpx.post(f"{sync.url}/", json={}, timeout=60, trust_env=False).json()
    assert report["errors"] == []
    record = place.records.find_one({"job_id": accepted["job_id"]})
    assert record is not None
    assert (record["status"], record["k8s_namespace"]) == ("RUNNING", "team-a")
