"""The Roles: the whole line works with just these verbs; without any one of them an operation visibly fails.

The double enforces each function's Role. The functions are those that are deployed, with the clock of sync
ten minutes ahead, so that it does not wait for submissions that were cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import pytest
import yaml
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.faults import FinishedJobs, Outcome, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.domain.permissions import Function, permissions_of
from flinkjobs.entrypoints.cleanup import CleanupFunction
from flinkjobs.entrypoints.jobs import JobsFunction
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.entrypoints.sync import SyncFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.web import server
from local.mongodb import MongoServer
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.roles import FUNCTIONS, RBAC, VERBS, documents, granted, rules
from tests.support.waiting import until

DATABASE = "rbac"
SECONDS = 15.0
LATER = timedelta(seconds=700)
APP = flask.Flask("functions")
Document = dict[str, Any]


# --- the file ---------------------------------------------------------------------------------------


def test_each_function_has_an_account_with_its_own_role_in_the_namespace_and_no_more() -> None:
    names = {f"flinkjobs-{function}" for function in FUNCTIONS}
    assert documents("ServiceAccount").keys() == documents("Role").keys() == names
    for name, binding in documents("RoleBinding").items():
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "lemo-dev"}]
    assert documents("RoleBinding").keys() == names
    every = list(yaml.safe_load_all(RBAC.read_text(encoding="utf-8")))
    assert {each["kind"] for each in every} == {"ServiceAccount", "Role", "RoleBinding"}
    assert {each["metadata"]["namespace"] for each in every} == {"lemo-dev"}
    assert len(every) == 3 * len(FUNCTIONS)


def test_a_further_namespace_has_the_same_roles_for_the_same_accounts() -> None:
    folder = RBAC.parent / "further-namespace"
    further = list(yaml.safe_load_all((folder / "roles.yaml").read_text(encoding="utf-8")))
    [kustomization] = yaml.safe_load_all((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert kustomization["resources"] == ["roles.yaml"]
    assert {each["metadata"].pop("namespace") for each in further} == {kustomization["namespace"]}
    own = [*documents("Role").values(), *documents("RoleBinding").values()]
    for each in own:
        del each["metadata"]["namespace"]
    assert sorted(further, key=str) == sorted(own, key=str)


def test_no_role_has_a_wildcard_or_says_a_thing_twice() -> None:
    for function in FUNCTIONS:
        allowed = granted(function)
        assert len(allowed) == len(set(allowed))
        assert not any("*" in part for rule in allowed for part in rule)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_what_the_table_says_that_the_function_uses(function: str) -> None:
    used = [(each.verb, each.group, each.resource) for each in permissions_of(Function(function))]
    assert sorted(granted(function)) == sorted(used)


# --- the line ---------------------------------------------------------------------------------------

ID, LATE_ID = "fee40d868f8485130cc716bcec2801e0", "30a6268aa58a4f0e8ffbb8e63d6b6d5c"
INLINE: Document = {"template_id": "etl", "script": {"inline": "print(1)"}, "attached": True}
CONFIG_MAP: Mapping[str, Any] = {"verb": "create", "resource": "configmaps"}


@dataclass(frozen=True, slots=True)
class Line:
    """All functions, each with a token of its own, and the world that they work in."""

    functions: Mapping[str, Any]
    tokens: Mapping[str, str]
    database: Database[Document]
    kubernetes: KubernetesWorld
    flink: FlinkServer

    def allow(self, function: str, *, but: tuple[str, str] | None = None) -> None:
        """Gives a function its Role, without one verb of one resource."""
        self.kubernetes.control.grant(function, self.tokens[function], rules(function, but=but))

    def call(
        self, name: str, method: str = "POST", path: str = "/", body: Document | None = None, **headers: str
    ) -> tuple[int, Document]:
        """One request through the boundary of a deployed function."""
        function = self.functions[name]
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        with APP.test_request_context(path, method=method, json=body, headers=sent):
            if name == "jobs":
                routes, extra = function.routes, function.headers
                answer = server.serve_routes(flask.request, routes, ready=function.ready, headers=extra)
            else:
                answer = server.serve(flask.request, post=function.post, ready=function.ready)
        returned: Document = answer.get_json()
        return answer.status_code, returned

    def add_record(self, job_id: str, **fields: Any) -> None:
        """A document as submit leaves it behind an hour ago, but for the given fields."""
        hour_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        times = {"submitted_at": hour_ago, "updated_at": hour_ago, "start_time": None, "end_time": None}
        known: Document = {"template_id": "etl", "status": "CREATED", "cluster": "default", "revision": 0}
        ids: Document = {"flink_job_id": None, "flink_job_ids": [], "flink_jobs": [], "dropped_ids": []}
        nothing: Document = {"flink_state": None, "duration": None, "reason": None, "missing_since": None}
        document = {"job_id": job_id, "k8s_job_name": job_id, "submitter_done": False}
        self.database["flink_jobs"].insert_one(times | known | ids | nothing | document | fields)

    def add_finished_job(self, job_id: str, *, log: str) -> None:
        """A finished Job with a pod that left nothing but its log."""
        wanted = FinishedJobs(
            count=1,
            name=job_id,
            labels={"app": "flink-python-job", "job-id": job_id},
            annotations={"flinkjobs/job-id": job_id},
            log=log,
        )
        self.kubernetes.control.add_finished_jobs(wanted)

    def status(self, job_id: str) -> str:
        record = self.database["flink_jobs"].find_one({"job_id": job_id})
        assert record is not None
        reason = (record["reason"] or {}).get("code")
        return f"{record['status']} {reason}" if reason else str(record["status"])


@pytest.fixture(scope="module")
def flink() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture(scope="module")
def functions(
    mongo_server: MongoServer,
    kubernetes_double: KubernetesDouble,
    flink: FlinkServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Any]]:
    directory = tmp_path_factory.mktemp("kubeconfigs")

    def settings(name: str) -> Any:
        with KubernetesWorld(kubernetes_double) as world:
            kubeconfig = world.kubeconfig(directory / name, token=f"token-of-{name}")
        return read_settings(
            {
                "MONGODB_URI": mongo_server.uri,
                "MONGODB_DATABASE": DATABASE,
                "FLINK_REST_URL": flink.url,
                "FLINK_IMAGE": "flink:1.20",
                "K8S_AUTH": "kubeconfig",
                "KUBECONFIG": str(kubeconfig),
                "CLEANUP_RETENTION_HOURS": "0",
            }
        )

    submit = SubmitFunction(settings("submit"))
    sync = SyncFunction(settings("sync"))
    cleanup = CleanupFunction(settings("cleanup"))
    jobs = JobsFunction(settings("jobs"))
    described = settings("sync").flink_clusters["default"]
    with FlinkConnection(described) as connection:  # in the place of their own, which stays open
        flinks = {"default": HttpFlink(described, connection)}
        passes = replace(sync._sync, flinks=flinks, clock=lambda: datetime.now(UTC) + LATER)
        sync._sync = passes
        runs = replace(cleanup._cleanup, sync=replace(cleanup._cleanup.sync, flinks=flinks))
        cleanup._cleanup = runs
        yield {"submit": submit, "sync": sync, "cleanup": cleanup, "jobs": jobs}
    stores: list[Any] = [submit._submit.store, passes.store, runs.store, jobs._jobs.store]
    for store in stores:
        store.close()


@pytest.fixture
def line(
    functions: Mapping[str, Any],
    mongo_client: MongoClient[Document],
    kubernetes_world: KubernetesWorld,
    flink: FlinkServer,
) -> Iterator[Line]:
    database = mongo_client[DATABASE]
    for name in ("flink_jobs", "sync_runs", "cleanup_runs", "leases"):
        database[name].delete_many({})
    flink.reset()
    tokens = {name: f"token-of-{name}" for name in functions}
    running = Line(functions, tokens, database, kubernetes_world, flink)
    for name in functions:
        running.allow(name)
    yield running
    kubernetes_world.control.set_clock_offset(0)
    for name in functions:
        kubernetes_world.control.revoke(name)


def submit_line(line: Line) -> Document:
    """A job whose script is delayed, its repetition, and one whose script is refused."""
    seen: Document = {"is ready": line.call("submit", "GET", "/ready")[0]}
    line.kubernetes.control.set_outcome(Outcome(seconds=60))
    with line.kubernetes.control.fault(RequestFault(effect="drop", **CONFIG_MAP)):
        seen["is cut off"] = line.call("submit", body=INLINE, idempotency_key="k1")[0]
    past = datetime.now(UTC) - timedelta(seconds=1)
    line.database["flink_jobs"].update_many({}, {"$set": {"in_flight_until": past}})
    seen["is repeated"] = line.call("submit", body=INLINE, idempotency_key="k1")[0]
    with line.kubernetes.control.fault(RequestFault(effect="status", status=403, **CONFIG_MAP)):
        seen["is refused its script"] = line.call("submit", body=INLINE)[0]
    seen["Jobs"], seen["scripts"] = (len(line.kubernetes.names(kind)) for kind in ("jobs", "configmaps"))
    return seen


def sync_line(line: Line) -> Document:
    """A pass over a job that is done, one that never came, and one whose script never came."""
    line.flink.jobs.append(Job(ID, "RUNNING"))
    line.add_finished_job("etl-1", log=f"Job has been submitted with JobID {ID}\n")
    line.add_record("etl-1")
    line.add_record("etl-2", in_flight_until=datetime.now(UTC) - timedelta(hours=1))
    with line.kubernetes.control.fault(RequestFault(effect="drop", **CONFIG_MAP)):
        assert line.call("submit", body=INLINE)[0] == 503
    [cut_off] = line.kubernetes.names("jobs") - {"etl-1"}
    [record] = line.database["flink_jobs"].find({"k8s_job_name": cut_off})
    until(lambda: line.kubernetes.pod_of(cut_off), timeout_seconds=SECONDS, what="a pod")
    until(lambda: "FailedMount" in events(line), timeout_seconds=SECONDS, what="the pod misses its script")
    seen: Document = {"is ready": line.call("sync", "GET", "/ready")[0]}
    seen["status"], _ = line.call("sync")
    line.call("sync")  # finds missing what the first pass has taken back
    seen["submitted"], seen["never came"] = line.status("etl-1"), line.status("etl-2")
    seen["cut off"] = line.status(record["job_id"])
    seen["Jobs"] = sorted(line.kubernetes.names("jobs") - {cut_off}) + ["cut off"] * (
        cut_off in line.kubernetes.names("jobs")
    )
    return seen


def events(line: Line) -> str:
    path = line.kubernetes.paths["pods"].replace("/pods", "/events")
    return line.kubernetes._client.get(path).raise_for_status().text


def cleanup_line(line: Line) -> Document:
    """A run over a settled Job, one whose log no pass has read, and the pod that a third one left behind."""
    line.flink.jobs.append(Job(LATE_ID, "FINISHED", end=1_795_335_838_523))
    line.add_finished_job("etl-1", log="")
    line.add_record("etl-1", status="FINISHED", submitter_done=True)
    line.add_finished_job("etl-2", log=f"Job has been submitted with JobID {LATE_ID}\n")
    line.add_record("etl-2")
    line.add_record("etl-3", status="FINISHED", submitter_done=True)
    metadata = {
        "name": "etl-3",
        "labels": {"app": "flink-python-job", "job-id": "etl-3", "job-name": "etl-3"},
        "annotations": {"flinkjobs/job-id": "etl-3"},
    }
    spec = {"restartPolicy": "Never", "containers": [{"name": "submit", "image": "flink:1.20"}]}
    line.kubernetes.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    line.kubernetes.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    def is_over() -> bool:
        return all(pod["status"].get("phase") == "Succeeded" for pod in line.kubernetes.items("pods"))

    until(is_over, timeout_seconds=SECONDS, what="the pod is over")
    line.kubernetes.control.set_clock_offset(60)  # all of this is a minute old
    seen: Document = {"is ready": line.call("cleanup", "GET", "/ready")[0]}
    seen["status"], report = line.call("cleanup")
    seen["errors"] = sorted({error["code"] for error in report.get("errors", [])})
    seen["unread"] = line.status("etl-2")
    seen["Jobs"], seen["scripts"] = (sorted(line.kubernetes.names(kind)) for kind in ("jobs", "configmaps"))
    seen["pod"] = line.kubernetes.get("pods", "etl-3") is not None
    return seen


def jobs_line(line: Line) -> Document:
    """The details of a job whose Kubernetes Job is still there."""
    line.add_finished_job("etl-1", log="the last words\n")
    line.add_record("etl-1")
    status, shown = line.call("jobs", "GET", "/api/jobs/etl-1")
    kubernetes = shown["kubernetes"]
    return {
        "status": status,
        "Job": kubernetes["phase"],
        "error": (kubernetes["error"] or "")[-80:],
        "pods": [pod["phase"] for pod in kubernetes["pods"]],
        "log": shown["log_tail"] and (shown["log_tail"]["text"], bool(shown["log_tail"]["error"])),
    }


LINES: Mapping[str, tuple[Callable[[Line], Document], Document]] = {
    "submit": (
        submit_line,
        {
            "is ready": 200,
            "is cut off": 503,
            "is repeated": 200,
            "is refused its script": 502,
            "Jobs": 1,
            "scripts": 1,
        },
    ),
    "sync": (
        sync_line,
        {
            "is ready": 200,
            "status": 200,
            "submitted": "RUNNING",
            "never came": "FAILED K8S_JOB_MISSING",
            "cut off": "FAILED K8S_JOB_MISSING",
            "Jobs": ["etl-1"],
        },
    ),
    "cleanup": (
        cleanup_line,
        {
            "is ready": 200,
            "status": 200,
            "errors": [],
            "unread": "FINISHED",
            "Jobs": [],
            "scripts": [],
            "pod": False,
        },
    ),
    "jobs": (
        jobs_line,
        {
            "status": 200,
            "Job": "COMPLETE",
            "error": "",
            "pods": ["Succeeded"],
            "log": ("the last words\n", False),
        },
    ),
}
"""What each function is put through, and what is to be seen of it with its whole Role."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_line_works_with_the_role(function: str, line: Line) -> None:
    run, expected = LINES[function]
    assert run(line) == expected


BREAKS: Mapping[tuple[str, str, str], set[str]] = {
    ("submit", "create", "jobs"): {"is repeated", "is refused its script", "Jobs", "scripts"},
    ("submit", "get", "jobs"): {"is repeated", "scripts"},
    ("submit", "list", "jobs"): {"is ready"},
    ("submit", "delete", "jobs"): {"Jobs"},
    ("submit", "create", "configmaps"): {"is repeated", "scripts"},
    ("sync", "get", "jobs"): {"never came", "cut off"},
    ("sync", "list", "jobs"): {"is ready", "submitted", "never came", "cut off", "Jobs"},
    ("sync", "delete", "jobs"): {"cut off", "Jobs"},
    ("sync", "list", "pods"): {"submitted", "never came", "cut off", "Jobs"},
    ("sync", "list", "events"): {"cut off", "Jobs"},
    ("sync", "get", "pods/log"): {"submitted"},
    ("cleanup", "get", "jobs"): {"errors", "scripts", "pod"},
    ("cleanup", "list", "jobs"): {"is ready", "status", "unread", "Jobs", "scripts", "pod"},
    ("cleanup", "delete", "jobs"): {"errors", "Jobs"},
    ("cleanup", "list", "pods"): {"errors", "unread", "Jobs", "scripts", "pod"},
    ("cleanup", "delete", "pods"): {"errors", "pod"},
    ("cleanup", "list", "configmaps"): {"errors", "scripts"},
    ("cleanup", "delete", "configmaps"): {"errors", "scripts"},
    ("cleanup", "get", "pods/log"): {"errors", "unread", "Jobs", "pod"},
    ("jobs", "get", "jobs"): {"Job", "error", "pods", "log"},
    ("jobs", "list", "pods"): {"Job", "error", "pods", "log"},
    ("jobs", "get", "pods/log"): {"log"},
}
"""What is seen to be different without one verb of one resource."""


@pytest.mark.parametrize(("function", "verb", "resource"), VERBS)
def test_without_one_verb_an_operation_fails(function: str, verb: str, resource: str, line: Line) -> None:
    line.allow(function, but=(verb, resource))
    run, expected = LINES[function]
    seen = run(line)
    assert {name for name in expected if seen[name] != expected[name]} == BREAKS[function, verb, resource]
