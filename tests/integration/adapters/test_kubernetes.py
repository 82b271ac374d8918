"""The Kubernetes adapter: the real client against the double, and against servers that misbehave."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.faults import Fault, FinishedJobs, Outcome, PodFault, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import free_port
from flinkjobs import __version__
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.kubernetes.client import KubernetesApi
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesConflictError,
    KubernetesCredentialError,
    KubernetesNotFoundError,
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
    SettingsError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind, KubernetesJob, Terminated
from flinkjobs.domain.naming import APP
from flinkjobs.domain.observations import JobPhase, Missing
from flinkjobs.domain.permissions import PERMISSIONS
from flinkjobs.ports.kubernetes import Deletion
from flinkjobs.submit.manifest import config_map_manifest, job_manifest
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Submission, Target
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.scripted_server import Answer, Asked, ScriptedServer, html
from tests.support.waiting import until

SELECTOR = f"app={APP}"
TARGET = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink-jobmanager:8081",
    timeout_seconds=600,
)
ETL = Submission(template_id="etl", script=PathScript("/opt/job.py"))
JOB_IDS = (f"etl_{number}" for number in count(1))
SECONDS = 15.0


def connect(kubeconfig: Path) -> KubernetesApi:
    return kubernetes_client.connect(
        "lemo-dev", auth="kubeconfig", kubeconfig=str(kubeconfig), in_cluster=False
    )


@pytest.fixture(scope="module")
def _api(kubernetes_double: KubernetesDouble) -> KubernetesApi:
    return connect(kubernetes_double.kubeconfig)


@pytest.fixture
def api(_api: KubernetesApi, kubernetes_world: KubernetesWorld) -> KubernetesApi:
    """As an admin, over TLS, on an empty namespace."""
    assert kubernetes_world.is_empty()
    kubernetes_world.control.reset_requests()
    return _api


@pytest.fixture
def world(kubernetes_world: KubernetesWorld) -> KubernetesWorld:
    return kubernetes_world


def finished(world: KubernetesWorld, **fields: Any) -> str:
    """Puts one finished Job with its pod into the store; returns its name."""
    known: dict[str, Any] = {"count": 1, "annotations": {"flinkjobs/job-id": "etl_1"}, "name": "done"}
    wanted = FinishedJobs(**known | fields)
    world.control.add_finished_jobs(wanted)
    return wanted.name


def pod_of(api: KubernetesApi, job_name: str) -> str:
    """Name of a Job's only pod."""
    [pod] = [pod for pod in api.pods(SELECTOR) if pod.job_name == job_name]
    return pod.name


# --- creating ---------------------------------------------------------------------------------------


def test_a_created_job_is_read_back(api: KubernetesApi, world: KubernetesWorld) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    created = api.create_job(job_manifest(ETL, "etl_1", TARGET))
    assert created.name == "flink-py-etl-2c045218"
    assert created.job_id == "etl_1"
    assert created.phase is JobPhase.ACTIVE
    assert created.created_at is not None
    assert before <= created.created_at <= datetime.now(UTC)
    stored = world.get("jobs", created.name)
    assert stored is not None
    assert stored["metadata"]["uid"] == created.uid
    assert stored["metadata"]["labels"] == {"app": "flink-python-job", "job-id": "etl_1"}


def test_a_job_is_followed_to_its_end(api: KubernetesApi, world: KubernetesWorld) -> None:
    created = api.create_job(job_manifest(ETL, "etl_1", TARGET))
    ended_at = world.wait_finished(created.name)["status"]["completionTime"]
    seen = api.job(created.name)
    assert seen == structs.replace(
        created,
        phase=JobPhase.COMPLETE,
        finished_at=datetime.fromisoformat(ended_at).astimezone(UTC),
        ended_pods=1,
    )
    assert list(api.jobs(SELECTOR)) == [seen]


def test_a_failed_job_says_why_and_when(api: KubernetesApi, world: KubernetesWorld) -> None:
    world.control.set_outcome(Outcome(exit_code=31, message="Job has been submitted with JobID x"))
    created = api.create_job(job_manifest(ETL, "etl_1", TARGET))
    world.wait_finished(created.name)
    seen = api.job(created.name)
    assert isinstance(seen, KubernetesJob)
    assert seen.phase is JobPhase.FAILED
    assert seen.ended == "BackoffLimitExceeded: Job has reached the specified backoff limit"
    assert seen.finished_at is not None
    [pod] = api.pods(SELECTOR)
    assert pod.job_name == created.name
    assert pod.submit is not None
    assert pod.submit.state == Terminated(
        exit_code=31, reason="Error", message="Job has been submitted with JobID x"
    )


SUBMISSIONS: Mapping[str, Submission] = {
    "a script of the image": ETL,
    "an inline script": replace(ETL, script=InlineScript("print('ü €')\n")),
    "a module": Submission(
        template_id="etl", script=None, entry_module="a.b", py_files=("/opt/a.zip", "/opt/b.py")
    ),
    "attached": replace(ETL, attached=True),
    "exactly once": replace(ETL, exactly_once=True),
    "everything": Submission(
        template_id="A.Long_Template-Name" * 5,
        script=PathScript("/opt/a b.py"),
        job_name="nightly",
        args=("--date", "2025-11-01", "-d", "", "$(date)", "$HOME", "a'b\"c", "ü"),
        parallelism=4,
        py_files=("/opt/a.py",),
        jars=("/opt/a.jar", "/opt/b.jar"),
        flink_conf={"taskmanager.memory.process.size": "1g", "state.backend.type": "rocksdb"},
        savepoint_path="s3://bucket/savepoint",
        cluster="batch",
        attached=True,
        exactly_once=True,
        resources=Resources(cpu="2", memory="512Mi"),
        submitted_by="ann",
    ),
}


@pytest.mark.parametrize("submission", SUBMISSIONS.values(), ids=SUBMISSIONS.keys())
def test_the_manifest_of_every_submission_is_accepted(
    submission: Submission, api: KubernetesApi, world: KubernetesWorld
) -> None:
    manifest = job_manifest(submission, "some_1", TARGET)
    created = api.create_job(manifest)
    stored = world.get("jobs", created.name)
    assert stored is not None
    container = stored["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == manifest["spec"]["template"]["spec"]["containers"][0]["command"]
    assert stored["spec"]["backoffLimit"] == 0
    assert stored["spec"]["podReplacementPolicy"] == "Failed"


@pytest.mark.parametrize("where", [("spec", "backOffLimit"), ("metadata", "label")])
def test_an_unknown_field_is_refused(where: tuple[str, str], api: KubernetesApi) -> None:
    manifest = job_manifest(ETL, "etl_1", TARGET)
    manifest[where[0]][where[1]] = 1
    with pytest.raises(KubernetesRefusedError, match=f'unknown field "{where[0]}.{where[1]}"') as caught:
        api.create_job(manifest)
    assert (caught.value.reason, caught.value.status) == ("BadRequest", 400)
    assert list(api.jobs(SELECTOR)) == []


def test_an_unknown_field_of_a_config_map_is_refused(api: KubernetesApi, world: KubernetesWorld) -> None:
    manifest = config_map_manifest(
        InlineScript("x"), "etl_1", namespace="lemo-dev", job_name="done", job_uid="u"
    )
    with pytest.raises(KubernetesRefusedError, match='unknown field "dada"'):
        api.create_config_map(manifest | {"dada": {}})
    assert world.names("configmaps") == set()


def test_an_invalid_manifest_is_refused_with_every_cause(api: KubernetesApi) -> None:
    manifest = job_manifest(replace(ETL, resources=Resources(cpu="lots")), "etl_1", TARGET)
    with pytest.raises(KubernetesRefusedError) as caught:
        api.create_job(manifest)
    assert caught.value.status in (400, 422)
    assert "lots" in str(caught.value) or "quantit" in str(caught.value)


def test_a_name_that_is_taken_is_a_conflict(api: KubernetesApi) -> None:
    api.create_job(job_manifest(ETL, "etl_1", TARGET))
    with pytest.raises(KubernetesConflictError, match=r'409 AlreadyExists: .*"flink-py-etl-2c045218"'):
        api.create_job(job_manifest(ETL, "etl_1", TARGET))


def test_a_config_map_is_owned_by_its_job_and_goes_with_it(
    api: KubernetesApi, world: KubernetesWorld
) -> None:
    script = InlineScript("print('ü')\n")
    job = api.create_job(job_manifest(replace(ETL, script=script), "etl_1", TARGET))
    manifest = config_map_manifest(script, "etl_1", namespace="lemo-dev", job_name=job.name, job_uid=job.uid)
    api.create_config_map(manifest)
    stored = world.get("configmaps", job.name)
    assert stored is not None
    assert stored["data"] == {"job.py": "print('ü')\n"}
    assert stored["metadata"]["ownerReferences"][0]["uid"] == job.uid
    with pytest.raises(KubernetesConflictError):
        api.create_config_map(manifest)
    assert api.delete_job(job.name, job.uid)
    until(world.is_empty, timeout_seconds=SECONDS, what="Job, pod and ConfigMap gone")


# --- reading ----------------------------------------------------------------------------------------


def test_a_job_that_does_not_exist_is_missing(api: KubernetesApi) -> None:
    assert api.job("no-such-job") == Missing()


def test_a_long_list_comes_in_pages(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, count=1203, name="done-{index}")
    names = {job.name for job in api.jobs(SELECTOR)}
    assert names == {f"done-{number}" for number in range(1203)}
    assert world.requests() == {"list jobs": 3}


def test_a_page_is_asked_for_only_when_it_is_needed(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, count=1203, name="done-{index}", with_pods=False)
    assert next(api.jobs(SELECTOR)).job_id == "etl_1"
    assert world.requests() == {"list jobs": 1}


def test_a_list_that_expires_begins_again_without_repeats(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, count=1203, name="done-{index}", with_pods=False)
    expired = RequestFault(effect="status", status=410, verb="list", resource="jobs", skip=1, times=1)
    with world.control.fault(expired):
        names = [job.name for job in api.jobs(SELECTOR)]
    assert len(names) == 1203
    assert set(names) == {f"done-{number}" for number in range(1203)}
    assert world.requests() == {"list jobs": 6}


def test_a_list_that_expires_again_and_again_is_unavailable(
    api: KubernetesApi, world: KubernetesWorld
) -> None:
    finished(world, count=600, name="done-{index}", with_pods=False)
    with (
        world.control.fault(RequestFault(effect="status", status=410, verb="list")),
        pytest.raises(KubernetesUnavailableError, match="410 Expired"),
    ):
        list(api.jobs(SELECTOR))
    assert world.requests() == {"list jobs": 6}


def test_a_list_is_limited_to_its_selector(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, name="ours")
    finished(world, name="theirs", labels={"app": "other"})
    assert [job.name for job in api.jobs(SELECTOR)] == ["ours"]
    assert [pod.job_name for pod in api.pods(SELECTOR)] == ["ours"]
    assert list(api.jobs(f"{SELECTOR},job-id in (a,b)")) == []


def test_the_events_of_an_object_are_found(api: KubernetesApi, world: KubernetesWorld) -> None:
    with world.control.fault(PodFault(effect="quota")):
        job = api.create_job(job_manifest(ETL, "etl_1", TARGET))
        event = until(
            lambda: next((event for event in api.events(job.name) if event.reason == "FailedCreate"), None),
            timeout_seconds=SECONDS,
            what="an event about the quota",
        )
    assert (event.about_kind, event.about_name) == ("Job", job.name)
    assert "exceeded quota" in event.message
    assert event.last_seen is not None
    assert api.events("no-such-object") == ()


# --- logs -------------------------------------------------------------------------------------------


def test_a_log_is_read(api: KubernetesApi, world: KubernetesWorld) -> None:
    name = finished(world, log="first\nsecond ü\n")
    assert api.pod_log(pod_of(api, name), "submit") == "first\nsecond ü\n"
    assert api.pod_log(pod_of(api, name), "submit", tail=True) == "first\nsecond ü\n"


def test_of_a_long_log_the_head_and_the_tail_are_read(api: KubernetesApi, world: KubernetesWorld) -> None:
    lines = [f"line {number:06} {'x' * 88}" for number in range(30_000)]
    name = finished(world, log="\n".join(lines) + "\n")
    head = api.pod_log(pod_of(api, name), "submit")
    tail = api.pod_log(pod_of(api, name), "submit", tail=True)
    assert isinstance(head, str)
    assert isinstance(tail, str)
    assert len(head) == 2 * 1024 * 1024
    assert head.startswith("line 000000 ")
    assert tail.splitlines() == lines[-2000:]


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    raw = b"caf\xe9 \xff\xfe\nJob has been submitted with JobID x\n"
    with ScriptedServer(lambda _: Answer(body=raw, headers={"Content-Type": "text/plain"})) as server:
        log = connect(kubeconfig_for(server.url, tmp_path)).pod_log("pod", "submit")
    assert log == "caf\ufffd \ufffd\ufffd\nJob has been submitted with JobID x\n"


@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/json"])
def test_a_page_in_the_place_of_a_log_is_no_log(kind: str, tail: bool, tmp_path: Path) -> None:
    """No id stands in it, which would end a record whose job runs."""
    page = Answer(body=b"<html><body>Sign in</body></html>", headers={"Content-Type": kind})
    with ScriptedServer(lambda _: page) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        with pytest.raises(KubernetesUnavailableError, match=r"no log but .*: .*Sign in"):
            api.pod_log("pod", "submit", tail=tail)


@pytest.mark.parametrize("headers", [{"Content-Type": "Text/Plain; charset=utf-8"}, {}])
def test_a_log_without_more_words_is_one(headers: dict[str, str], tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer(body=b"x", headers=headers)) as server:
        assert connect(kubeconfig_for(server.url, tmp_path)).pod_log("pod", "submit") == "x"


@pytest.mark.parametrize("tail", [False, True])
def test_a_log_that_trickles_in_is_given_up_when_time_is_up(tail: bool, tmp_path: Path) -> None:
    """Each byte comes in time, the whole never would."""
    drip = Answer(body=b"x" * 100_000, headers={"Content-Type": "text/plain"}, drip_seconds=0.01)
    with ScriptedServer(lambda _: drip) as server:
        api = connect(kubeconfig_for(server.url, tmp_path)).until(time.monotonic() + 0.2)
        with pytest.raises(KubernetesUnavailableError, match=r"did not end in time|no time left"):
            api.pod_log("pod", "submit", tail=tail)


def test_a_silence_is_given_up_when_time_is_up(tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer(delay_seconds=600)) as server:
        api = connect(kubeconfig_for(server.url, tmp_path)).until(time.monotonic() + 0.2)
        with pytest.raises(KubernetesUnavailableError, match=r"Read timed out|no time left"):
            api.ping()


def test_without_time_nothing_is_asked(tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer()) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        with pytest.raises(KubernetesUnavailableError, match="there was no time left to ask"):
            api.until(time.monotonic()).ping()
        assert server.asked == []
        api.ping()
        assert len(server.asked) == 1


def test_a_container_that_waits_has_an_empty_log(api: KubernetesApi, world: KubernetesWorld) -> None:
    with world.control.fault(PodFault(effect="image-pull")):
        job = api.create_job(job_manifest(ETL, "etl_1", TARGET))
        world.wait_pod(job.name)
        assert api.pod_log(pod_of(api, job.name), "submit") == ""


@pytest.mark.parametrize("effect", ["log-gone-404", "log-gone-200"])
def test_a_log_that_is_gone_is_missing(effect: Any, api: KubernetesApi, world: KubernetesWorld) -> None:
    name = finished(world, log="x\n")
    pod = pod_of(api, name)
    with world.control.fault(RequestFault(effect=effect)):
        assert api.pod_log(pod, "submit") == Missing()
    assert api.pod_log(pod, "submit") == "x\n"


@pytest.mark.parametrize(
    "message",
    [
        'container "submit" in pod "etl-x" is not available',
        'container "submit" in pod "etl-x" is terminated',
        'previous terminated container "submit" in pod "etl-x" not found',
        'pod "etl-x" cannot be found - no logs available',
    ],
)
def test_a_log_that_the_kubelet_does_not_have_is_missing(message: str, tmp_path: Path) -> None:
    """As of a pod that its node has not let in: asking again would bring nothing else, ever."""
    status = {"kind": "Status", "reason": "BadRequest", "message": message, "code": 400}
    with ScriptedServer(lambda _: Answer(status=400, body=json.dumps(status).encode())) as server:
        assert connect(kubeconfig_for(server.url, tmp_path)).pod_log("etl-x", "submit") == Missing()


def test_the_log_of_a_pod_that_is_gone_is_missing(api: KubernetesApi) -> None:
    assert api.pod_log("no-such-pod", "submit") == Missing()


def test_a_log_is_asked_for_by_its_container(tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer(body=b"x", headers={"Content-Type": "text/plain"})) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        api.pod_log("pod", "submit")
        api.pod_log("pod", "submit", tail=True)
    path = "/api/v1/namespaces/lemo-dev/pods/pod/log?container=submit"
    assert server.paths == [f"{path}&limitBytes=2097152", f"{path}&tailLines=2000"]


def test_a_container_that_does_not_exist_is_refused(api: KubernetesApi, world: KubernetesWorld) -> None:
    name = finished(world, log="x\n")
    with pytest.raises(KubernetesRefusedError, match="container unknown is not valid for pod"):
        api.pod_log(pod_of(api, name), "unknown")


def test_running_pods_are_listed_without_those_that_ended(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, name="ended")
    world.control.set_outcome(Outcome(seconds=600))
    running = api.create_job(job_manifest(ETL, "etl_1", TARGET))
    world.wait_running(running.name)
    assert [pod.job_name for pod in api.running_pods(SELECTOR)] == [running.name]


# --- deleting ---------------------------------------------------------------------------------------


def test_a_deleted_job_takes_its_pods_along(api: KubernetesApi, world: KubernetesWorld) -> None:
    finished(world, name="stays")
    finished(world, name="goes")
    job = api.job("goes")
    assert isinstance(job, KubernetesJob)
    assert api.delete_job("goes", job.uid)
    until(lambda: len(world.names("pods")) == 1, timeout_seconds=SECONDS, what="its pod gone")
    assert world.names("jobs") == {"stays"}
    assert [pod.job_name for pod in api.pods(SELECTOR)] == ["stays"]


def test_deleting_a_job_that_is_gone_already_returns_false(api: KubernetesApi) -> None:
    assert api.delete_job("no-such-job", "11111111-2222-3333-4444-555555555555") is False


def test_another_job_of_the_same_name_is_left_alone(api: KubernetesApi, world: KubernetesWorld) -> None:
    name = finished(world)
    with pytest.raises(KubernetesConflictError, match=r"409 Conflict: .*the UID in the precondition"):
        api.delete_job(name, "11111111-2222-3333-4444-555555555555")
    assert world.names("jobs") == {name}
    assert len(world.names("pods")) == 1


LISTED = CleanupTarget(Kind.JOB, "done", "11111111-2222-3333-4444-555555555555", "1")


@pytest.mark.parametrize("kind", [Kind.JOB, Kind.POD])
def test_what_was_listed_is_deleted_as_it_was_listed(
    kind: Kind, api: KubernetesApi, world: KubernetesWorld
) -> None:
    finished(world)
    [listed] = api.cleanup_targets(kind, SELECTOR)
    assert (listed.kind, listed.job_name, listed.phase) == (kind, "done", JobPhase.COMPLETE)
    with pytest.raises(KubernetesConflictError, match="the UID in the precondition"):
        api.delete(structs.replace(listed, uid="11111111-2222-3333-4444-555555555555"))
    with pytest.raises(KubernetesConflictError, match="the ResourceVersion in the precondition"):
        api.delete(structs.replace(listed, resource_version="1"))
    assert list(api.cleanup_targets(kind, SELECTOR)) == [listed]
    assert api.delete(listed) is Deletion.DONE
    assert api.delete(listed) is Deletion.GONE
    until(lambda: not world.names("pods"), timeout_seconds=SECONDS, what="its pod gone")


def test_a_config_map_is_listed_and_deleted(api: KubernetesApi, world: KubernetesWorld) -> None:
    manifest = config_map_manifest(
        InlineScript("x"), "etl_1", namespace="lemo-dev", job_name="done", job_uid="u"
    )
    del manifest["metadata"]["ownerReferences"]
    api.create_config_map(manifest)
    [listed] = api.cleanup_targets(Kind.CONFIG_MAP, SELECTOR)
    assert (listed.name, listed.job_id, listed.has_owner) == ("done", "etl_1", False)
    assert listed.over_since is not None
    assert api.delete(listed) is Deletion.DONE
    assert world.names("configmaps") == set()


def test_an_object_that_a_finalizer_holds_is_not_gone_yet(api: KubernetesApi, world: KubernetesWorld) -> None:
    name = finished(world)
    world.patch("jobs", name, {"metadata": {"finalizers": ["example.org/hold"]}})
    [listed] = api.cleanup_targets(Kind.JOB, SELECTOR)
    assert api.delete(listed) is Deletion.BEGUN
    [held] = api.cleanup_targets(Kind.JOB, SELECTOR)
    assert held.deleting
    world.patch("jobs", name, {"metadata": {"finalizers": None}})
    assert api.delete(listed) is Deletion.GONE


@pytest.mark.parametrize("seconds", [-3600, 0, 3600])
def test_the_time_is_that_of_the_api_server(seconds: int, api: KubernetesApi, world: KubernetesWorld) -> None:
    world.control.set_clock_offset(seconds)
    try:
        server_time = api.time()
    finally:
        world.control.set_clock_offset(0)
    assert server_time.utcoffset() == timedelta(0)
    assert abs(server_time - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=30)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_is_an_error(date: str, tmp_path: Path) -> None:
    def answer(_: Asked) -> Answer:
        return Answer(body=b"{}", headers={"Content-Type": "application/json", "Date": date})

    with ScriptedServer(answer) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        with pytest.raises(KubernetesUnavailableError, match="the answer names no date"):
            api.time()


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [(429, None, None), (429, 7, 7.0), (503, 30, 30.0)],
)
def test_a_requested_pause_is_part_of_the_error(
    status: int, retry_after: int | None, expected: float | None, api: KubernetesApi, world: KubernetesWorld
) -> None:
    fault = RequestFault(effect="status", status=status, retry_after=retry_after)
    with world.control.fault(fault), pytest.raises(KubernetesThrottledError) as caught:
        api.delete(LISTED)
    assert caught.value.retry_after_seconds == expected


def test_an_overloaded_server_that_asks_for_no_pause_is_only_unavailable(
    api: KubernetesApi, world: KubernetesWorld
) -> None:
    fault = RequestFault(effect="status", status=503)
    with world.control.fault(fault), pytest.raises(KubernetesUnavailableError) as caught:
        api.delete(LISTED)
    assert not isinstance(caught.value, KubernetesThrottledError)


# --- what a person on call asks ---------------------------------------------------------------------


def test_who_we_are_and_what_we_may(world: KubernetesWorld, tmp_path: Path) -> None:
    rules = [
        Rule(api_groups=("batch",), resources=("jobs",), verbs=("get", "list")),
        Rule(api_groups=("",), resources=("pods/log",), verbs=("get",)),
    ]
    world.control.grant("reader", "reader-token", rules)
    api = connect(world.kubeconfig(tmp_path / "kubeconfig", token="reader-token"))
    assert api.address == world.double.url.replace("http://", "https://")
    assert api.version() == "v1.36.0+local"
    assert api.who_we_are() == "reader"
    reviews = [api.review(permission) for permission in PERMISSIONS]
    assert [review.permission for review in reviews] == list(PERMISSIONS)
    allowed = {str(review.permission) for review in reviews if review.allowed}
    assert allowed == {"get jobs", "list jobs", "get pods/log"}


def test_what_is_allowed_in_another_namespace_is_not_allowed_here(
    world: KubernetesWorld, tmp_path: Path
) -> None:
    rules = [Rule(api_groups=("*",), resources=("*",), verbs=("*",))]
    world.control.grant("reader", "reader-token", rules)
    kubeconfig = world.kubeconfig(tmp_path / "kubeconfig", token="reader-token")
    elsewhere = kubernetes_client.connect("default", auth="kubeconfig", kubeconfig=str(kubeconfig))
    assert connect(kubeconfig).review(PERMISSIONS[0]).allowed
    assert not elsewhere.review(PERMISSIONS[0]).allowed


def test_an_api_server_that_is_too_old_to_say_who_we_are(api: KubernetesApi, world: KubernetesWorld) -> None:
    fault = RequestFault(effect="status", status=404, path="selfsubjectreviews")
    with world.control.fault(fault), pytest.raises(KubernetesNotFoundError) as caught:
        api.who_we_are()
    assert caught.value.reason == "NotFound"


# --- errors -----------------------------------------------------------------------------------------

Call = Callable[[KubernetesApi], object]
CALLS: Mapping[str, Call] = {
    "create_job": lambda api: api.create_job(job_manifest(ETL, next(JOB_IDS), TARGET)),
    "create_config_map": lambda api: api.create_config_map(
        config_map_manifest(InlineScript("x"), "etl_1", namespace="lemo-dev", job_name="done", job_uid="u")
    ),
    "job": lambda api: api.job("done"),
    "jobs": lambda api: list(api.jobs(SELECTOR)),
    "pods": lambda api: list(api.pods(SELECTOR)),
    "pod_log": lambda api: api.pod_log("done-pod", "submit"),
    "events": lambda api: api.events("done"),
    "delete_job": lambda api: api.delete_job("done", "11111111-2222-3333-4444-555555555555"),
    "time": lambda api: api.time(),
    "cleanup_targets": lambda api: list(api.cleanup_targets(Kind.CONFIG_MAP, SELECTOR)),
    "delete": lambda api: api.delete(LISTED),
    "ping": lambda api: api.ping(),
    "version": lambda api: api.version(),
    "who_we_are": lambda api: api.who_we_are(),
    "review": lambda api: api.review(PERMISSIONS[0]),
}
FAULTS: Mapping[str, tuple[Fault, type[FlinkjobsError], str]] = {
    "401": (RequestFault(effect="status", status=401), KubernetesCredentialError, "401 Unauthorized"),
    "403": (RequestFault(effect="status", status=403), KubernetesRefusedError, "403 Forbidden"),
    "409": (RequestFault(effect="status", status=409), KubernetesConflictError, "409 Conflict"),
    "422": (RequestFault(effect="status", status=422), KubernetesRefusedError, "422"),
    "429": (RequestFault(effect="status", status=429), KubernetesThrottledError, "429 TooManyRequests"),
    "429 with Retry-After": (
        RequestFault(effect="status", status=429, retry_after=30),
        KubernetesThrottledError,
        "429",
    ),
    "500": (RequestFault(effect="status", status=500), KubernetesUnavailableError, "500 InternalError"),
    "503": (RequestFault(effect="status", status=503), KubernetesUnavailableError, "503 ServiceUnav"),
    "503 with Retry-After": (
        RequestFault(effect="status", status=503, retry_after=30),
        KubernetesThrottledError,
        "503",
    ),
    "dropped": (RequestFault(effect="drop"), KubernetesUnavailableError, "ProtocolError|MaxRetryError"),
    "cut": (RequestFault(effect="cut"), KubernetesUnavailableError, "ProtocolError"),
}


@pytest.mark.parametrize(("fault", "kind", "message"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_fault_is_the_error_it_means_and_is_not_repeated(
    call: Call,
    fault: Fault,
    kind: type[FlinkjobsError],
    message: str,
    api: KubernetesApi,
    world: KubernetesWorld,
) -> None:
    with world.control.fault(fault), pytest.raises(FlinkjobsError, match=message) as caught:
        call(api)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, FlinkjobsError)
    assert sum(world.requests().values()) == 1


@pytest.mark.parametrize("call", [call for name, call in CALLS.items() if name != "pod_log"])
def test_an_answer_that_is_no_json_is_unavailable(
    call: Call, api: KubernetesApi, world: KubernetesWorld
) -> None:
    with (
        world.control.fault(RequestFault(effect="malformed")),
        pytest.raises(KubernetesUnavailableError, match="the answer is no JSON"),
    ):
        call(api)


ODD_ANSWERS: Mapping[str, tuple[Answer, type[FlinkjobsError]]] = {
    "a proxy's 404": (html(404), KubernetesUnavailableError),
    "a proxy's JSON 404": (Answer(404, b'{"error": "no route"}'), KubernetesUnavailableError),
    "a 404 of a path": (Answer(404, b"404 page not found\n"), KubernetesUnavailableError),
    "a proxy's 409": (html(409), KubernetesUnavailableError),
    "a proxy's 502": (html(502), KubernetesUnavailableError),
    "a proxy's login page": (html(403), KubernetesCredentialError),
    "a redirect": (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), KubernetesUnavailableError),
}


@pytest.mark.parametrize(("answer", "kind"), ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_error_that_is_not_kubernetes_own_says_nothing_about_an_object(
    call: Call, answer: Answer, kind: type[FlinkjobsError], tmp_path: Path
) -> None:
    with ScriptedServer(lambda _: answer) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        with pytest.raises(FlinkjobsError) as caught:
            call(api)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "body", [{}, [], None, {"items": 7}, {"items": [{}]}, {"items": ["x"]}, {"items": [{"metadata": {}}]}]
)
@pytest.mark.parametrize("name", ["create_job", "job", "jobs", "pods", "events", "who_we_are", "review"])
def test_json_that_is_no_object_of_the_api_is_unavailable(name: str, body: object, tmp_path: Path) -> None:
    with ScriptedServer(lambda _: Answer(body=json.dumps(body).encode())) as server:
        api = connect(kubeconfig_for(server.url, tmp_path))
        with pytest.raises(KubernetesUnavailableError):
            CALLS[name](api)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_server_that_is_not_there_is_unavailable(call: Call, tmp_path: Path) -> None:
    nowhere = connect(kubeconfig_for(f"http://127.0.0.1:{free_port()}", tmp_path))
    with pytest.raises(KubernetesUnavailableError, match="Connection refused"):
        call(nowhere)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_wrong_token_is_refused(call: Call, world: KubernetesWorld, tmp_path: Path) -> None:
    stranger = connect(world.kubeconfig(tmp_path / "kubeconfig", token="wrong"))
    with pytest.raises(KubernetesRefusedError, match="401 Unauthorized") as caught:
        call(stranger)
    assert caught.value.status == 401
    assert "wrong" not in str(caught.value)


def test_a_role_without_a_verb_is_refused_that_verb_only(world: KubernetesWorld, tmp_path: Path) -> None:
    rules = [Rule(api_groups=("batch",), resources=("jobs",), verbs=("get", "list"))]
    world.control.grant("reader", "reader-token", rules)
    try:
        reader = connect(world.kubeconfig(tmp_path / "kubeconfig", token="reader-token"))
        name = finished(world)
        assert isinstance(reader.job(name), KubernetesJob)
        with pytest.raises(
            KubernetesCredentialError, match=r'403 Forbidden: .*cannot delete resource "jobs"'
        ):
            reader.delete_job(name, "11111111-2222-3333-4444-555555555555")
        with pytest.raises(KubernetesCredentialError, match=r'403 Forbidden: .*cannot list resource "pods"'):
            list(reader.pods(SELECTOR))
    finally:
        world.control.revoke("reader")


# --- on the wire, and the kubeconfig ----------------------------------------------------------------


def kubeconfig_for(url: str, directory: Path, **user: str) -> Path:
    """A kubeconfig file for this server, with the token `t0ken` unless the user says otherwise."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user or {"token": "t0ken"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def recorder() -> Iterator[ScriptedServer]:
    """Answers every request as if it had gone well."""
    status = {"userInfo": {"username": "ann"}, "allowed": True}
    anything = {"metadata": {"name": "done", "uid": "u"}, "items": [], "status": status}

    def answer(asked: Asked) -> Answer:
        kind = "text/plain" if asked.path.partition("?")[0].endswith("/log") else "application/json"
        return Answer(body=json.dumps(anything).encode(), headers={"Content-Type": kind})

    with ScriptedServer(answer) as running:
        yield running


def test_every_request_carries_the_token_and_our_name(recorder: ScriptedServer, tmp_path: Path) -> None:
    api = connect(kubeconfig_for(recorder.url, tmp_path))
    for call in CALLS.values():
        call(api)
    assert len(recorder.asked) == len(CALLS)
    assert {asked.headers["authorization"] for asked in recorder.asked} == {"Bearer t0ken"}
    assert {asked.headers["user-agent"] for asked in recorder.asked} == {f"flinkjobs/{__version__}"}
    assert recorder.connections == 1


def test_a_user_with_a_password_is_sent_as_such(recorder: ScriptedServer, tmp_path: Path) -> None:
    connect(kubeconfig_for(recorder.url, tmp_path, username="ann", password="s3cret")).ping()
    [asked] = recorder.asked
    assert asked.headers["authorization"] == f"Basic {base64.b64encode(b'ann:s3cret').decode()}"


def test_what_creates_and_deletes_is_sent_as_the_api_wants_it(
    recorder: ScriptedServer, tmp_path: Path
) -> None:
    api = connect(kubeconfig_for(recorder.url, tmp_path))
    manifest = job_manifest(ETL, "etl_1", TARGET)
    api.create_job(manifest)
    api.delete_job("done", "u-1")
    created, deleted = recorder.asked
    assert (created.method, created.path) == (
        "POST",
        "/apis/batch/v1/namespaces/lemo-dev/jobs?fieldValidation=Strict",
    )
    assert created.headers["content-type"] == "application/json"
    assert json.loads(created.body) == manifest
    assert (deleted.method, deleted.path) == ("DELETE", "/apis/batch/v1/namespaces/lemo-dev/jobs/done")
    expected = {"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}
    assert json.loads(deleted.body) == expected


BAD_KUBECONFIGS = {
    "empty": b"",
    "no YAML": b"a: [",
    "a text": b"foo",
    "a list": b"[]",
    "no kubeconfig": b"a: b",
    "numbers": b"clusters: 5\nusers: 3\ncontexts: x\ncurrent-context: y\n",
    "binary": b"\x00\xff\xfe",
    "an unknown context": b"clusters: []\nusers: []\ncontexts: []\ncurrent-context: y\n",
}


@pytest.mark.parametrize("content", BAD_KUBECONFIGS.values(), ids=BAD_KUBECONFIGS.keys())
def test_a_kubeconfig_that_is_none_is_a_wrong_setting(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^K8S_AUTH kubeconfig: .+") as caught:
        connect(path)
    assert "\n" not in str(caught.value)


def test_a_kubeconfig_that_is_missing_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^K8S_AUTH kubeconfig: Invalid kube-config"):
        connect(tmp_path / "nowhere")


def test_outside_a_cluster_its_credentials_are_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"^K8S_AUTH incluster: Service host/port is not set"):
        kubernetes_client.connect("lemo-dev", auth="incluster", kubeconfig=None, in_cluster=False)


def test_auto_takes_the_kubeconfig_outside_a_cluster(
    kubernetes_double: KubernetesDouble, kubernetes_world: KubernetesWorld
) -> None:
    kubernetes_client.connect(
        "lemo-dev", auth="auto", kubeconfig=str(kubernetes_double.kubeconfig), in_cluster=False
    ).ping()
    assert kubernetes_world.requests() == {"list jobs": 1}
