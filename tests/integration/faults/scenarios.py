"""The faults of `docs/explanation/reliability.md` as context managers: on inside, off after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Timer
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from doubles.kubernetes.faults import Fault, FinishedJobs, Outcome, PodEffect, PodFault, RequestFault
from doubles.processes import free_port
from flinkjobs.adapters.mongo import client as mongo_client
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.domain.naming import APP
from flinkjobs.entrypoints.startup import utc_now
from local.mongodb import MongoServer
from tests.integration.faults import records
from tests.integration.faults.environment import PATIENCE_SECONDS, Stage, flinks_at
from tests.integration.faults.records import IDS, SUBMITTED
from tests.support.flink_rest_server import FlinkServer, Job, recorded_answer
from tests.support.records import Document, termination_message
from tests.support.scripted_server import Answer, Asked, html
from tests.support.waiting import until

Scenario = Callable[[Stage], AbstractContextManager[None]]
MongoScenario = Callable[[Stage, MongoServer], AbstractContextManager[None]]

SECONDS = 15.0
RAW = CodecOptions(RawBSONDocument, unicode_decode_error_handler="replace")
TOO_SLOW_SECONDS = 3 * PATIENCE_SECONDS
LISTS: Mapping[str, Any] = {"verb": "list"}
LOGS: Mapping[str, Any] = {"resource": "pods/log"}
NEW = "new"
NEW_ID = "ab" * 16
"""The Flink Job ID that the submitter of the new record prints."""
SECOND_ID = "ac" * 16
"""The one that its second pod prints, where it is started twice."""


# --- the Kubernetes API -----------------------------------------------------------------------------


def switched_on(*faults: Fault) -> Scenario:
    """Faults that the Kubernetes double knows."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        for fault in faults:
            stage.kubernetes.control.add(fault)
        yield
        hits = {active.hits > 0 for active in stage.kubernetes.control.faults()}
        stage.kubernetes.control.clear()
        assert hits == {True}, "a fault hit nothing"

    return scenario


def status(code: int, retry_after: int | None = None, **where: Any) -> Scenario:
    """The API server answers so."""
    return switched_on(RequestFault(effect="status", status=code, retry_after=retry_after, **where))


@contextmanager
def api_refuses_connections(stage: Stage) -> Iterator[None]:
    with stage.instead(cluster=stage.kubernetes_at(f"http://127.0.0.1:{free_port()}")):
        yield


def expired(times: int | None) -> Scenario:
    """A list of more than one page whose continue token expires."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        stage.kubernetes.control.add_finished_jobs(
            FinishedJobs(
                count=501,
                name="crowd-{index}",
                labels={"app": APP, "job-id": records.job_id_of("complete"), "crowd": "yes"},
                with_pods=False,
            )
        )
        fault = RequestFault(effect="status", status=410, times=times)
        try:
            with switched_on(fault)(stage):
                yield
        finally:
            stage.kubernetes.delete_all("crowd=yes")

    return scenario


@contextmanager
def logs_are_a_page(stage: Stage) -> Iterator[None]:
    """Where a log belongs, a proxy answers with its own page, and with 200."""

    def change(asked: Asked, answer: Answer) -> Answer:
        return html(200) if asked.path.partition("?")[0].endswith("/log") else answer

    with stage.between(change):
        yield


@contextmanager
def log_gone_but_named(stage: Stage) -> Iterator[None]:
    """The record's Flink job can still be found by its name."""
    stage.flink.jobs[:] = [
        replace(job, name=records.job_id_of("complete")) if job.id == IDS["complete"] else job
        for job in stage.flink.jobs
    ]
    with switched_on(RequestFault(effect="log-gone-404"))(stage):
        yield


def deleted(*, with_pods: bool) -> Scenario:
    """The Kubernetes Job was deleted before its id was read, with its pods or alone."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        name = records.k8s_job_of("complete")

        def change(asked: Asked, answer: Answer) -> Answer:
            if asked.path.endswith(f"/jobs/{name}"):
                body = {"kind": "Status", "reason": "NotFound", "message": f'jobs.batch "{name}" not found'}
                return replace(answer, status=404, body=json.dumps(body).encode())
            if with_pods and asked.path.partition("?")[0].endswith("/pods"):
                return without(answer, name, by=lambda pod: pod["metadata"]["labels"]["job-name"])
            return without(answer, name)

        with stage.between(change):
            yield

    return scenario


# --- pods -------------------------------------------------------------------------------------------


def pod_fault(effect: PodEffect, *, outcome: Outcome, late: bool = False) -> Scenario:
    """A new record whose submitter's pod is hit, looked at once nothing more happens by itself.

    Args:
        effect: on from before the Job is created.
        outcome: how the pod ends where the faults let it.
        late: the pass is two minutes after the creation.
    """

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        control, name = stage.kubernetes.control, records.k8s_job_of(NEW)
        control.set_outcome(outcome)
        control.add(PodFault(effect=effect, job=name))
        stage.database["flink_jobs"].insert_one(records.record(NEW))
        stage.flink.jobs.append(Job(NEW_ID, "RUNNING", start=records.START))
        stage.kubernetes.create("jobs", records.manifest(NEW))
        until(lambda: is_hit(stage, effect), timeout_seconds=SECONDS, what="a pod that was hit")
        clock = (lambda: utc_now() + timedelta(minutes=2)) if late else utc_now
        with stage.instead(clock=clock):
            yield
        control.clear()
        stage.kubernetes.wait_finished(name)

    return scenario


@contextmanager
def started_twice(stage: Stage) -> Iterator[None]:
    """Kubernetes starts two pods of the Job, and each submits a Flink job of its own."""
    id_of_pod: dict[str, str] = {}
    unused = [NEW_ID, SECOND_ID]

    def change(asked: Asked, answer: Answer) -> Answer:
        pod = asked.path.partition("/pods/")[2].partition("/")[0]
        if not pod.startswith(records.k8s_job_of(NEW)):
            return answer
        id_of_pod.setdefault(pod, unused[len(id_of_pod)])
        return replace(answer, body=f"{SUBMITTED}{id_of_pod[pod]}\n".encode())

    stage.flink.jobs.append(Job(SECOND_ID, "RUNNING", start=records.START))
    with pod_fault("run-twice", outcome=Outcome())(stage), stage.between(change):
        yield
    [new] = stage.database["flink_jobs"].find({"job_id": records.job_id_of(NEW)})
    assert sorted(new["flink_job_ids"]) == [NEW_ID, SECOND_ID]


def is_hit(stage: Stage, effect: PodEffect) -> bool:
    """Whether the Job of the new record is as the fault makes it."""
    name = records.k8s_job_of(NEW)
    pods = [pod for pod in stage.kubernetes.items("pods") if pod["metadata"]["labels"]["job-name"] == name]
    match effect:
        case "image-pull" | "config-error":
            statuses = [entry for pod in pods for entry in pod["status"].get("containerStatuses", ())]
            reasons = [entry["state"].get("waiting", {}).get("reason", "") for entry in statuses]
            return any(reason not in ("", "ContainerCreating") for reason in reasons)
        case "unschedulable":
            conditions = [entry for pod in pods for entry in pod["status"].get("conditions", ())]
            return any(entry["type"] == "PodScheduled" and entry["status"] == "False" for entry in conditions)
        case "quota":
            return not pods and "FailedCreate" in stage.kubernetes.event_reasons(name)
    job = stage.kubernetes.get("jobs", name) or {}
    conditions = job.get("status", {}).get("conditions", ())
    return any(entry["type"] in ("Complete", "Failed") for entry in conditions)


# --- Flink ------------------------------------------------------------------------------------------


def everywhere(answer: Answer) -> Scenario:
    """Flink answers so, whatever it is asked."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        stage.flink.answers[""] = answer
        yield
        stage.flink.answers.clear()

    return scenario


def recorded(name: str) -> Scenario:
    """Flink answers with a recording, whatever it is asked."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        _, answer = recorded_answer(stage.version, name)
        with everywhere(answer)(stage):
            yield

    return scenario


@contextmanager
def flink_refuses_connections(stage: Stage) -> Iterator[None]:
    with stage.flink_at(f"http://127.0.0.1:{free_port()}"):
        yield


def together(*scenarios: Scenario) -> Scenario:
    """Several faults at once."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        with ExitStack() as stack:
            for one in scenarios:
                stack.enter_context(one(stage))
            yield

    return scenario


@contextmanager
def another_cluster_away(stage: Stage) -> Iterator[None]:
    """A second cluster is configured, and does not answer."""
    with (
        flinks_at(f"http://127.0.0.1:{free_port()}", name="batch") as batch,
        stage.instead(flinks={**stage.sync.flinks, **batch}),
    ):
        yield


@contextmanager
def half_an_answer(stage: Stage) -> Iterator[None]:
    whole = [job.entry() for job in stage.flink.jobs]
    body = json.dumps({"jobs": whole}).encode()
    with everywhere(Answer(body=body, cut_after=len(body) // 2))(stage):
        yield


@contextmanager
def unknown_state(stage: Stage) -> Iterator[None]:
    with jobs_instead(stage, [replace(job, state="HIBERNATING", end=-1) for job in stage.flink.jobs]):
        yield


@contextmanager
def jobs_instead(stage: Stage, jobs: list[Job]) -> Iterator[None]:
    """The cluster knows other jobs inside the block."""
    before = list(stage.flink.jobs)
    stage.flink.jobs[:] = jobs
    yield
    stage.flink.jobs[:] = before


@contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """The JobManager has come back without high availability: an empty list, and 404 for every job."""
    with jobs_instead(stage, []):
        assert stage.flink.play(stage.version, "jobs_overview--after-jobmanager-restart") == "/jobs/overview"
        yield
        stage.flink.answers.clear()


@contextmanager
def empty_list_only(stage: Stage) -> Iterator[None]:
    """The overview is empty, while a direct request still finds each job."""
    stage.flink.play(stage.version, "jobs_overview--empty")
    yield
    stage.flink.answers.clear()


def empty_list_and(answer: Callable[[Stage], Answer]) -> Scenario:
    """The overview is empty, and direct requests are answered so."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        path, empty = recorded_answer(stage.version, "jobs_overview--empty")
        stage.flink.answers |= {path: empty, "": answer(stage)}
        yield
        stage.flink.answers.clear()

    return scenario


@contextmanager
def exceptions_unreadable(stage: Stage) -> Iterator[None]:
    stage.flink.answers[f"/jobs/{IDS['two jobs']}/exceptions"] = html(500)
    yield
    stage.flink.answers.clear()


def history_answers(answer: Answer) -> Scenario:
    """A History Server is configured, and answers so."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        with FlinkServer() as history:
            history.answers[""] = answer
            with stage.flink_at(stage.flink.url, history.url):
                yield
        assert history.asked, "the History Server was not asked"

    return scenario


# --- one of many ------------------------------------------------------------------------------------


def object_changed(kind: str, damage: Callable[[Document], object], *, direct: bool = False) -> Scenario:
    """In lists, the objects of one record are damaged; its Job by itself too, with `direct`."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        def change(asked: Asked, answer: Answer) -> Answer:
            is_alone = direct and asked.path.endswith(f"/{kind}/{records.k8s_job_of('complete')}")
            if f"/{kind}?" not in asked.path and not is_alone:
                return answer
            body = json.loads(answer.body)
            for item in [body] if is_alone else body["items"]:
                if item["metadata"]["labels"]["job-id"] == records.job_id_of("complete"):
                    damage(item)
            return replace(answer, body=json.dumps(body).encode())

        with stage.between(change):
            yield

    return scenario


def name_of(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


def without(answer: Answer, name: str, *, by: Callable[[Mapping[str, Any]], str] = name_of) -> Answer:
    """A list without the objects of this name; any other answer as it is."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return answer
    if "items" not in body:
        return answer
    body["items"] = [item for item in body["items"] if by(item) != name]
    return replace(answer, body=json.dumps(body).encode())


@contextmanager
def one_log_fails(stage: Stage) -> Iterator[None]:
    fault = RequestFault(effect="status", status=500, path=f"{records.k8s_job_of('complete')}-.*/log")
    with switched_on(fault)(stage):
        yield


def document_changed(fields: Document) -> Scenario:
    """The document of one record is damaged, and repaired by hand."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        jobs, whole = stage.database["flink_jobs"], {"job_id": records.job_id_of("running")}
        before = jobs.find_one(whole)
        assert before is not None
        jobs.update_one(whole, {"$set": fields})
        damaged = jobs.find_one(whole)
        yield
        assert jobs.find_one(whole) == damaged, "a document that cannot be read was written"
        jobs.replace_one(whole, before)

    return scenario


@contextmanager
def document_not_utf8(stage: Stage) -> Iterator[None]:
    """A text of one document is no UTF-8, as programs in C can leave it behind."""
    jobs, whole = stage.database["flink_jobs"], {"job_id": records.job_id_of("running")}
    before = jobs.find_one(whole)
    raw = bson.encode(before or {}).replace(records.k8s_job_of("running").encode(), b"flink-py-runnin\xff")
    stage.database.get_collection("flink_jobs", codec_options=RAW).replace_one(
        whole, RawBSONDocument(raw, RAW)
    )
    yield
    jobs.update_one(whole, {"$set": {"k8s_job_name": records.k8s_job_of("running")}})


def entry_damaged(*, direct: bool) -> Scenario:
    """One entry of the overview is no job; with `direct`, neither is the job's own page."""

    @contextmanager
    def scenario(stage: Stage) -> Iterator[None]:
        entries = [job.entry() for job in stage.flink.jobs]
        for entry in entries:
            if entry["jid"] == IDS["running"]:
                entry["start-time"] = "yesterday"
        stage.flink.answers["/jobs/overview"] = Answer(body=json.dumps({"jobs": entries}).encode())
        if direct:
            stage.flink.answers[f"/jobs/{IDS['running']}"] = html(200)
        yield
        stage.flink.answers.clear()

    return scenario


# --- MongoDB, and everything at once ----------------------------------------------------------------


@contextmanager
def everything_away(stage: Stage, _: MongoServer) -> Iterator[None]:
    with api_refuses_connections(stage), flink_refuses_connections(stage):
        yield


@contextmanager
def stopped(_: Stage, server: MongoServer) -> Iterator[None]:
    server.stop()
    yield
    server.start()


def in_mid_pass(deed: Callable[[MongoServer], None], heal: Callable[[MongoServer], None]) -> MongoScenario:
    """MongoDB changes its state after the records were read, before anything is written."""

    @contextmanager
    def scenario(stage: Stage, server: MongoServer) -> Iterator[None]:
        with stage.once_the_records_are_read(lambda: deed(server)):
            yield
        heal(server)

    return scenario


def step_down(seconds: int, *, patience_ms: int) -> MongoScenario:
    """The primary steps down in mid-pass for `seconds`; the store waits for `patience_ms`."""

    @contextmanager
    def scenario(stage: Stage, replica_set: MongoServer) -> Iterator[None]:
        admin = stage.database.client.admin
        database = mongo_client.connect(
            replica_set.uri,
            stage.database.name,
            timeout_ms=patience_ms,
            server_selection_timeout_ms=patience_ms,
        )
        store, leases = MongoJobStore(database), MongoLeaseStore(database)

        def deed() -> None:
            admin.command({"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 0, "force": True})

        with closing(store), stage.instead(store=store, leases=leases), stage.once_the_records_are_read(deed):
            yield
        until(lambda: admin.command("hello")["isWritablePrimary"], timeout_seconds=30, what="a primary again")

    return scenario


@contextmanager
def runs_refused(stage: Stage, _: MongoServer) -> Iterator[None]:
    """`sync_runs` takes no document: a rule of the database forbids it."""
    stage.database["sync_runs"].insert_one({"started_at": records.HOUR_AGO})
    rule = {"$jsonSchema": {"required": ["never"]}}
    stage.database.command({"collMod": "sync_runs", "validator": rule})
    yield
    stage.database.command({"collMod": "sync_runs", "validator": {}})


def nothing(_: MongoServer) -> None:
    """It heals by itself."""


def short_pause(server: MongoServer) -> None:
    """The server answers a second late."""
    server.pause()
    Timer(1.0, server.resume).start()


RUNS_FOR_AN_HOUR = Outcome(seconds=3600)
SUBMITS = Outcome(message=termination_message(NEW_ID), log=f"{SUBMITTED}{NEW_ID}\n")
SUBMITS_AND_STAYS = Outcome(seconds=3600, log=f"{SUBMITTED}{NEW_ID}\n")

SCENARIOS: dict[str, Scenario] = {
    "k8s-refused": api_refuses_connections,
    "k8s-401": status(401),
    "k8s-403": status(403),
    "k8s-403-pods": status(403, resource="pods"),
    "k8s-409": status(409),
    "k8s-410-once": expired(times=1),
    "k8s-410": expired(times=None),
    "k8s-429": status(429),
    "k8s-429-retry-after": status(429, retry_after=30),
    "k8s-500": status(500),
    "k8s-503": status(503),
    "k8s-slow": switched_on(RequestFault(effect="delay", seconds=TOO_SLOW_SECONDS, **LISTS)),
    "k8s-dropped": switched_on(RequestFault(effect="drop")),
    "k8s-cut": switched_on(RequestFault(effect="cut")),
    "k8s-malformed": switched_on(RequestFault(effect="malformed")),
    "log-403": status(403, **LOGS),
    "log-429": status(429, **LOGS),
    "log-500": status(500, **LOGS),
    "log-page": logs_are_a_page,
    "log-slow": switched_on(RequestFault(effect="delay", seconds=TOO_SLOW_SECONDS, **LOGS)),
    "log-dropped": switched_on(RequestFault(effect="drop", **LOGS)),
    "log-cut": switched_on(RequestFault(effect="cut", **LOGS)),
    "log-gone-404": switched_on(RequestFault(effect="log-gone-404")),
    "log-gone-200": switched_on(RequestFault(effect="log-gone-200")),
    "log-gone-named": log_gone_but_named,
    "job-deleted": deleted(with_pods=True),
    "job-deleted-alone": deleted(with_pods=False),
    "pod-image": pod_fault("image-pull", outcome=SUBMITS),
    "pod-unschedulable": pod_fault("unschedulable", outcome=SUBMITS),
    "pod-config": pod_fault("config-error", outcome=SUBMITS),
    "pod-quota": pod_fault("quota", outcome=SUBMITS, late=True),
    "pod-evicted": pod_fault("evict", outcome=RUNS_FOR_AN_HOUR),
    "pod-evicted-late": pod_fault("evict", outcome=SUBMITS_AND_STAYS),
    "pod-oom": pod_fault("oom", outcome=RUNS_FOR_AN_HOUR),
    "pod-node-lost": pod_fault("node-lost", outcome=SUBMITS_AND_STAYS),
    "pod-twice": started_twice,
    "flink-refused": flink_refuses_connections,
    "flink-slow": everywhere(Answer(delay_seconds=TOO_SLOW_SECONDS)),
    "flink-half": half_an_answer,
    "flink-html-200": everywhere(html(200)),
    "flink-html-502": everywhere(html(502)),
    "flink-empty-object": everywhere(Answer(body=b"{}")),
    "flink-empty-body": everywhere(Answer(body=b"")),
    "flink-500": recorded("ha--jobs_overview--standby-500"),
    "flink-503": recorded("ha--jobs_overview--standby-503"),
    "flink-wrong-path": recorded("wrong-path"),
    "flink-unknown-state": unknown_state,
    "flink-restarted": restarted,
    "flink-empty-list": empty_list_only,
    "flink-empty-list-proxy": empty_list_and(lambda _: html(404)),
    "flink-empty-list-503": empty_list_and(
        lambda stage: recorded_answer(stage.version, "ha--jobs_overview--standby-503")[1]
    ),
    "flink-exceptions": exceptions_unreadable,
    "flink-other-away": another_cluster_away,
    "flink-and-log-gone": together(
        flink_refuses_connections, switched_on(RequestFault(effect="log-gone-404"))
    ),
    "flink-and-job-deleted": together(flink_refuses_connections, deleted(with_pods=True)),
    "history-500": history_answers(html(500)),
    "history-slow": history_answers(Answer(delay_seconds=TOO_SLOW_SECONDS)),
    "one-pod": object_changed("pods", lambda pod: pod["metadata"].update(creationTimestamp="yesterday")),
    "one-pod-no-name": object_changed("pods", lambda pod: pod["metadata"].pop("name")),
    "one-pod-strange": object_changed("pods", lambda pod: pod["metadata"].update(name=7)),
    "one-job": object_changed("jobs", lambda job: job["status"].update(conditions=7)),
    "one-job-alone": object_changed("jobs", lambda job: job["status"].update(conditions=7), direct=True),
    "one-log": one_log_fails,
    "one-document": document_changed({"flink_jobs": [{"id": "nonsense"}]}),
    "one-document-strange": document_changed({"flink_jobs.0.state": ["RUNNING"]}),
    "one-document-bytes": document_not_utf8,
    "one-document-date": document_changed({"submitted_at": "yesterday"}),
    "one-entry": entry_damaged(direct=False),
    "one-entry-and-page": entry_damaged(direct=True),
}
"""By the row's id."""

MONGO_SCENARIOS: dict[str, MongoScenario] = {
    "everything-away": everything_away,
    "mongo-stopped": stopped,
    "mongo-stopped-midway": in_mid_pass(MongoServer.stop, MongoServer.start),
    "mongo-killed-midway": in_mid_pass(MongoServer.kill, MongoServer.start),
    "mongo-frozen-midway": in_mid_pass(MongoServer.pause, MongoServer.resume),
    "mongo-slow": in_mid_pass(short_pause, nothing),
    "mongo-step-down": step_down(1, patience_ms=20_000),
    "mongo-no-primary": step_down(6, patience_ms=2_000),
    "mongo-runs-refused": runs_refused,
}
"""By the row's id: those that may end what the records live on."""

RECORDED = frozenset(
    {
        "flink-500",
        "flink-503",
        "flink-wrong-path",
        "flink-restarted",
        "flink-empty-list",
        "flink-empty-list-proxy",
        "flink-empty-list-503",
    }
)
"""The scenarios that play recordings: once for each version of Flink."""
