"""What Kubernetes refuses, or does not answer, at each of the two creations of a submission."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.faults import Outcome, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.errors import KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import KubernetesJob
from flinkjobs.domain.transition import NAMELESS_FOR, PASSES_BEFORE_LOST, Policy
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.settings.functions import FlinkCluster
from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.service import (
    SubmissionOvertakenError,
    SubmissionRefusedError,
    Submit,
    answer_again,
    replayed,
    run,
)
from flinkjobs.submit.submission import InlineScript, Submission, Target
from flinkjobs.sync import service as sync_service
from flinkjobs.sync.context import Sync
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.submit.conftest import DATABASE, Document, Traces, post, synchronise
from tests.support.records import termination_message
from tests.support.waiting import until

INLINE: Document = {"template_id": "refused", "script": {"inline": "pass\n"}}
JOB, CONFIG_MAP = "jobs", "configmaps"
KEY = "a key"

REFUSED = {"400": 400, "403, as for a quota": 403, "404": 404, "413": 413, "422": 422}
UNKNOWN: dict[str, Document] = {
    "409, but not for the name": {"effect": "status", "status": 409},
    "401": {"effect": "status", "status": 401},
    "429": {"effect": "status", "status": 429, "retry_after": 1},
    "500": {"effect": "status", "status": 500},
    "503": {"effect": "status", "status": 503},
    "504": {"effect": "status", "status": 504},
    "dropped": {"effect": "drop"},
    "carried out, and cut": {"effect": "cut"},
    "no JSON": {"effect": "malformed"},
}


def fault(resource: str, **what: Any) -> RequestFault:
    return RequestFault(verb="create", resource=resource, **what)


# --- refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [JOB, CONFIG_MAP])
@pytest.mark.parametrize("status", REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_final_and_leaves_nothing_in_kubernetes(
    status: int, resource: str, submit: FunctionServer, sync: FunctionServer, traces: Traces
) -> None:
    with traces.kubernetes.control.fault(fault(resource, effect="status", status=status)):
        first = post(submit, INLINE, KEY)
    assert (first.status_code, first.json()["code"]) == (502, "K8S_REFUSED")
    refused = traces.record()
    assert (refused["status"], refused["reason"]["code"]) == ("FAILED", "K8S_REFUSED")
    assert str(status) in refused["reason"]["message"]
    assert resource in refused["reason"]["message"]
    assert first.json()["detail"] == f"{refused['job_id']}: {refused['reason']['message']}"
    assert traces.kubernetes.names("jobs") == traces.kubernetes.names("configmaps") == set()
    again = post(submit, INLINE, KEY)
    assert (again.status_code, again.json()) == (502, first.json())
    traces.grow_old()
    synchronise(sync)
    assert traces.record()["reason"] == refused["reason"]
    assert traces.kubernetes.names("jobs") == traces.kubernetes.names("configmaps") == set()


# --- an unknown outcome -----------------------------------------------------------------------------


@pytest.mark.parametrize("resource", [JOB, CONFIG_MAP])
@pytest.mark.parametrize("what", UNKNOWN.values(), ids=UNKNOWN)
def test_after_an_unknown_outcome_a_repetition_makes_exactly_one_job(
    what: Document, resource: str, submit: FunctionServer, traces: Traces
) -> None:
    """Even if the pod of the first try has run by then: no second Job ever exists."""
    with traces.kubernetes.control.fault(fault(resource, **what)):
        first = post(submit, INLINE, KEY)
        assert (first.status_code, first.json()["code"]) == (503, "KUBERNETES_UNAVAILABLE")
        early = post(submit, INLINE, KEY)
    assert (early.status_code, early.json()["code"]) == (409, "IN_FLIGHT")
    record = traces.record()
    assert (record["status"], record["reason"]) == ("CREATED", None)
    before = {job["metadata"]["uid"] for job in traces.kubernetes.items("jobs")}
    assert len(before) == (resource == CONFIG_MAP or what["effect"] == "cut")
    traces.let_repeat()
    repeated = post(submit, INLINE, KEY)
    assert repeated.status_code == 200, repeated.text
    assert repeated.json()["job_id"] == record["job_id"]
    [job] = traces.kubernetes.items("jobs")
    assert not before or job["metadata"]["uid"] in before
    assert traces.kubernetes.names("configmaps") == {repeated.json()["k8s_job_name"]}
    assert traces.record()["in_flight_until"] is None
    traces.kubernetes.wait_finished(job["metadata"]["name"])
    assert len(traces.kubernetes.items("pods")) == 1
    assert post(submit, INLINE, KEY).json() == repeated.json()


@pytest.mark.parametrize("resource", [JOB, CONFIG_MAP])
@pytest.mark.parametrize("name", ["500", "dropped", "carried out, and cut"])
def test_after_an_unknown_outcome_without_a_repetition_sync_settles_the_record(
    name: str, resource: str, submit: FunctionServer, sync: FunctionServer, traces: Traces
) -> None:
    what = UNKNOWN[name]
    traces.kubernetes.control.set_outcome(Outcome(message=termination_message()))
    with traces.kubernetes.control.fault(fault(resource, **what)):
        assert post(submit, INLINE).status_code == 503
    traces.grow_old()
    was_carried_out = what["effect"] == "cut"
    expected = ("FAILED", "K8S_JOB_MISSING")
    for job in traces.kubernetes.items("jobs"):
        job_name = job["metadata"]["name"]
        assert job["spec"]["activeDeadlineSeconds"] == 600 + 3600
        expected = ("FAILED", "NO_JOB_SUBMITTED")
        if not (resource == CONFIG_MAP and was_carried_out):  # the script will never be there
            traces.kubernetes.patch("jobs", job_name, {"spec": {"activeDeadlineSeconds": 1}})
            expected = ("LOST", "OUTCOME_UNKNOWN")  # its pod went with its output
        traces.kubernetes.wait_finished(job_name)
    for _ in range(PASSES_BEFORE_LOST + 1):
        synchronise(sync)
        traces.miss_for(NAMELESS_FOR)
    record = traces.record()
    assert (record["status"], record["reason"]["code"]) == expected
    if expected[0] == "LOST":
        assert "DeadlineExceeded" in record["reason"]["message"]


# --- the credential is refused ----------------------------------------------------------------------


@pytest.fixture
def with_token_file(
    settings: Mapping[str, str], traces: Traces, scratch_file: Callable[[str], Path]
) -> Iterator[tuple[FunctionServer, Path]]:
    """The submit function with a token that can be renewed, and the file that holds it."""
    kubeconfig, token = scratch_file("kubeconfig"), scratch_file("token")
    config = yaml.safe_load(traces.kubernetes.double.kubeconfig.read_text())
    config["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig.write_text(yaml.safe_dump(config))
    token.write_text(traces.kubernetes.double.token)
    with FunctionServer("submit", {**settings, "KUBECONFIG": str(kubeconfig)}) as running:
        yield running, token


def test_a_repetition_after_the_token_was_renewed_creates_the_job_once(
    with_token_file: tuple[FunctionServer, Path], traces: Traces
) -> None:
    server, token = with_token_file
    token.write_text("expired")
    refused = post(server, INLINE, KEY)
    assert (refused.status_code, refused.json()["code"]) == (503, "KUBERNETES_UNAVAILABLE")
    assert refused.headers["retry-after"] == "10"
    assert "Kubernetes refused the credential" in refused.json()["detail"]
    record = traces.record()
    assert (record["status"], record["reason"]) == ("CREATED", None)
    traces.let_repeat()
    token.write_text(traces.kubernetes.double.token)
    repeated = post(server, INLINE, KEY)
    assert (repeated.status_code, repeated.json()["job_id"]) == (200, record["job_id"])
    assert traces.kubernetes.names("jobs") == {repeated.json()["k8s_job_name"]}
    assert traces.kubernetes.names("configmaps") == {repeated.json()["k8s_job_name"]}


CREATE_JOBS = Rule(api_groups=("batch",), resources=("jobs",), verbs=("create",))
READ_JOBS = Rule(api_groups=("batch",), resources=("jobs",), verbs=("get",))
CREATE_SCRIPTS = Rule(api_groups=("",), resources=("configmaps",), verbs=("create",))


@pytest.mark.parametrize(
    ("rules", "jobs_before"),
    [((), 0), ((CREATE_JOBS,), 1)],
    ids=["no Job may be created", "no script may be created"],
)
def test_a_repetition_after_a_missing_permission_was_granted_creates_the_job_once(
    rules: tuple[Rule, ...],
    jobs_before: int,
    with_token_file: tuple[FunctionServer, Path],
    traces: Traces,
) -> None:
    server, token = with_token_file
    control = traces.kubernetes.control
    token.write_text("limited-token")
    control.grant("limited", "limited-token", rules)
    try:
        refused = post(server, INLINE, KEY)
        assert (refused.status_code, refused.json()["code"]) == (503, "KUBERNETES_UNAVAILABLE")
        assert "cannot create resource" in refused.json()["detail"]
        assert (traces.record()["status"], traces.record()["reason"]) == ("CREATED", None)
        assert len(traces.kubernetes.names("jobs")) == jobs_before
        traces.let_repeat()
        control.grant("limited", "limited-token", (CREATE_JOBS, READ_JOBS, CREATE_SCRIPTS))
        repeated = post(server, INLINE, KEY)
    finally:
        control.revoke("limited")
    assert repeated.status_code == 200, repeated.text
    assert traces.kubernetes.names("jobs") == {repeated.json()["k8s_job_name"]}
    assert traces.kubernetes.names("configmaps") == {repeated.json()["k8s_job_name"]}


def test_a_job_that_exists_and_may_not_be_read_leaves_the_record_open(
    with_token_file: tuple[FunctionServer, Path], traces: Traces
) -> None:
    """The first try created it, and its answer was lost."""
    server, token = with_token_file
    with traces.kubernetes.control.fault(fault(JOB, effect="cut")):
        assert post(server, INLINE, KEY).status_code == 503
    [job] = traces.kubernetes.items("jobs")
    traces.let_repeat()
    token.write_text("limited-token")
    traces.kubernetes.control.grant("limited", "limited-token", (CREATE_JOBS, CREATE_SCRIPTS))
    try:
        refused = post(server, INLINE, KEY)
    finally:
        traces.kubernetes.control.revoke("limited")
    assert (refused.status_code, refused.json()["code"]) == (503, "KUBERNETES_UNAVAILABLE")
    assert "cannot get resource" in refused.json()["detail"]
    assert (traces.record()["status"], traces.record()["reason"]) == ("CREATED", None)
    token.write_text(traces.kubernetes.double.token)
    traces.let_repeat()
    assert post(server, INLINE, KEY).status_code == 200
    assert [found["metadata"]["uid"] for found in traces.kubernetes.items("jobs")] == [job["metadata"]["uid"]]


# --- too slow, and too late -------------------------------------------------------------------------


@dataclass(slots=True)
class Desk:
    """Submissions in this process: with an API server that is given one second, and a clock."""

    submit: Submit

    def send(self) -> Document:
        """The submission of this page's request, first or repeated."""
        key = Key(KEY, "hash")
        found = replayed(self.submit, key)
        if found is not None:
            return answer_again(self.submit, found)
        return run(self.submit, Submission(template_id="refused", script=InlineScript("pass\n")), key)


def target(_cluster: str) -> Target:
    return Target(
        namespace="lemo-dev",
        image="flink:1.20",
        flink_bin="/opt/flink/bin/flink",
        jobmanager="flink:8081",
        timeout_seconds=600,
    )


@pytest.fixture
def desk(mongo_server: MongoServer, kubernetes_double: KubernetesDouble, traces: Traces) -> Iterator[Desk]:
    assert traces.records() == []
    database = connect(mongo_server.uri, DATABASE)
    ensure_indexes(database)
    store = MongoJobStore(database)
    cluster = kubernetes_client.connect(
        kubernetes_double.namespace,
        auth="kubeconfig",
        kubeconfig=str(kubernetes_double.kubeconfig),
        in_cluster=False,
        read_timeout_seconds=1.0,
    )
    yield Desk(Submit(store=store, kubernetes=cluster, target_of=target, clock=lambda: datetime.now(UTC)))
    store.close()


@pytest.mark.parametrize("resource", [JOB, CONFIG_MAP])
def test_a_creation_that_is_answered_too_late_is_met_by_the_repetition(
    resource: str, desk: Desk, traces: Traces
) -> None:
    slow = fault(resource, effect="delay", seconds=2.0)
    with traces.kubernetes.control.fault(slow), pytest.raises(KubernetesUnavailableError, match="timed out"):
        desk.send()
    assert (traces.record()["status"], traces.record()["reason"]) == ("CREATED", None)
    [created] = traces.kubernetes.items("jobs")
    traces.let_repeat()
    answer = desk.send()
    assert traces.record()["in_flight_until"] is None
    [job] = traces.kubernetes.items("jobs")
    assert job["metadata"]["uid"] == created["metadata"]["uid"]
    assert traces.kubernetes.names("configmaps") == {answer["k8s_job_name"]}


class _Between:
    """A cluster that calls `happens` before each Job is created."""

    def __init__(self, cluster: KubernetesClient, happens: Any) -> None:
        self._cluster = cluster
        self._happens = happens

    def in_namespace(self, namespace: str | None) -> _Between:
        return _Between(self._cluster.in_namespace(namespace), self._happens)

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        self._happens()
        return self._cluster.create_job(manifest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)


@pytest.mark.parametrize("repeated", [False, True], ids=["the first request", "a repetition"])
def test_a_job_whose_record_was_given_up_before_it_was_created_is_taken_back(
    repeated: bool, desk: Desk, sync: FunctionServer, traces: Traces
) -> None:
    """The request was held up between record and Job for longer than sync waits."""
    traces.kubernetes.control.set_outcome(Outcome(seconds=60))
    if repeated:
        broken = traces.kubernetes.control.fault(fault(JOB, effect="drop"))
        with broken, pytest.raises(KubernetesUnavailableError):
            desk.send()
        traces.let_repeat()

    def hours_pass() -> None:
        traces.grow_old()
        assert synchronise(sync)["changed"] == {"FAILED": 1}

    held_up: Any = _Between(desk.submit.kubernetes, hours_pass)
    late = Desk(
        Submit(
            store=desk.submit.store,
            kubernetes=held_up,
            target_of=desk.submit.target_of,
            clock=desk.submit.clock,
        )
    )
    with pytest.raises(SubmissionOvertakenError):
        late.send()
    record = traces.record()
    assert (record["status"], record["reason"]["code"]) == ("FAILED", "K8S_JOB_MISSING")
    assert traces.kubernetes.names("jobs") == set()
    with pytest.raises(SubmissionOvertakenError):
        desk.send()
    assert traces.kubernetes.names("jobs") == set()


def test_a_foreign_job_of_that_name_is_left_alone(desk: Desk, traces: Traces) -> None:
    """The name follows from the job id, and so would have to be guessed."""
    foreign: list[Document] = []

    def another_client_is_faster() -> None:
        name = traces.record()["k8s_job_name"]
        manifest: Document = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "submit", "image": "other"}]}
                }
            },
        }
        foreign.append(traces.kubernetes.create("jobs", manifest))

    held_up: Any = _Between(desk.submit.kubernetes, another_client_is_faster)
    submit = Submit(
        store=desk.submit.store, kubernetes=held_up, target_of=desk.submit.target_of, clock=desk.submit.clock
    )
    with pytest.raises(SubmissionRefusedError, match="AlreadyExists"):
        Desk(submit).send()
    assert traces.record()["reason"]["code"] == "K8S_REFUSED"
    [job] = traces.kubernetes.items("jobs")
    assert job["metadata"]["uid"] == foreign[0]["metadata"]["uid"]
    assert traces.kubernetes.names("configmaps") == set()


def test_an_attached_job_whose_script_never_came_is_taken_back_by_sync(
    submit: FunctionServer, desk: Desk, traces: Traces
) -> None:
    """Its pod has no deadline and would wait for ever: the submission was cut off and not repeated."""
    with traces.kubernetes.control.fault(fault(CONFIG_MAP, effect="drop")):
        assert post(submit, {**INLINE, "attached": True}, KEY).status_code == 503
    [job] = traces.kubernetes.items("jobs")
    assert "activeDeadlineSeconds" not in job["spec"]
    cluster = desk.submit.kubernetes
    until(
        lambda: (
            "FailedMount" in {event.reason for pod in cluster.pods("") for event in cluster.events(pod.name)}
        ),
        timeout_seconds=15,
        what="the pod misses its script",
    )
    described = FlinkCluster("default", traces.flink.url, None, "flink:8081")
    with FlinkConnection(described) as connection:
        flink = HttpFlink(described, connection)

        def pass_after(waited: timedelta) -> None:
            policy = Policy(grace=timedelta(seconds=600))
            later = Sync(
                store=desk.submit.store,
                notify_store=MongoNotifyStore(traces.jobs.database),
                leases=MongoLeaseStore(traces.jobs.database),
                kubernetes=lambda: cluster,
                flinks={"default": flink},
                policy=policy,
                budget_seconds=60,
                clock=lambda: datetime.now(UTC) + waited,
            )
            sync_service.run_pass(later)

        pass_after(timedelta(seconds=500))
        waiting = traces.record()
        assert (waiting["status"], waiting["reason"]["code"]) == ("CREATED", "MOUNT")
        assert traces.kubernetes.names("jobs") == {job["metadata"]["name"]}
        pass_after(timedelta(seconds=700))
        assert traces.kubernetes.names("jobs") == set()
        pass_after(timedelta(seconds=700))
    given_up = traces.record()
    assert (given_up["status"], given_up["reason"]["code"]) == ("FAILED", "K8S_JOB_MISSING")
