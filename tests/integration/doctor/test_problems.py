"""Each problem that users know is produced in a healthy system; the first line that fails names its cause.

MongoDB is real, Flink plays recordings. `tests/e2e/test_problems.py` has what only a real Flink can say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from typer.testing import Result

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.faults import FinishedJobs, Outcome, PodFault
from doubles.processes import free_port
from flinkjobs.domain.naming import APP
from flinkjobs.domain.permissions import PERMISSIONS
from flinkjobs.sync import service as sync
from tests.integration.doctor.conftest import Doctor
from tests.integration.doctor.system import USER, System, printed, ready
from tests.support.flink_rest_server import FlinkServer, Job, recorded_answer
from tests.support.records import termination_message
from tests.support.roles import rules
from tests.support.scripted_server import Answer
from tests.support.waiting import until

SECONDS = 15.0
FLINK_ID = "fee40d868f8485130cc716bcec2801e0"

Problem = Callable[[System], None]


@dataclass(frozen=True, slots=True)
class Line:
    """What stands in the first line that fails, and in the one below it."""

    check: str
    code: str
    evidence: str
    remedy: str


def an_hour_passes(system: System) -> None:
    """Without any synchronisation."""
    an_hour_earlier = {"$subtract": ["$started_at", 3_600_000]}
    system.database["sync_runs"].update_many({}, [{"$set": {"started_at": an_hour_earlier}}])


# --- the problems -----------------------------------------------------------------------------------


def image_cannot_be_pulled(system: System) -> None:
    image_cannot_be_pulled_and_sync_stands(system)
    system.sync()


def image_cannot_be_pulled_and_sync_stands(system: System) -> None:
    """Nothing is on the record: doctor looks for itself."""
    system.kubernetes.control.add(PodFault(effect="image-pull"))
    name = system.k8s_job_of(system.submit())

    def has_tried() -> bool:
        [status] = system.kubernetes.wait_pod(name)["status"]["containerStatuses"]
        return status["state"].get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")

    until(has_tried, timeout_seconds=SECONDS, what="a pod that waits for its image")


def _submit_over_quota(system: System) -> None:
    """Returns when the API server has the event that names the quota."""
    system.kubernetes.control.add(PodFault(effect="quota"))
    name = system.k8s_job_of(system.submit())

    until(
        lambda: "FailedCreate" in system.kubernetes.event_reasons(name),
        timeout_seconds=SECONDS,
        what="an event of the Job",
    )


def quota_is_used_up(system: System) -> None:
    _submit_over_quota(system)
    system.sync()


def script_raises(system: System) -> None:
    system.submit_and_end(Outcome(exit_code=31, log=printed("raise_before_submit.detached")))


def jobmanager_is_down(system: System) -> None:
    with FlinkServer() as gone:
        system.environ["FLINK_REST_URL"] = gone.url
    system.sync()


def pod_gets_a_wrong_jobmanager_address(system: System) -> None:
    system.environ["FLINK_JOBMANAGER"] = "localhost:1"
    system.submit_and_end(Outcome(exit_code=31, log=printed("sql_insert_wait--unreachable.detached")))


def schedule_is_paused(system: System) -> None:
    with system.schedules() as schedules:
        schedules.pause("flinkjobs-sync")
    an_hour_passes(system)


def schedule_is_missing(system: System) -> None:
    jobs = f"{system.scheduler.url}/v1/projects/{system.project}/locations/here/jobs"
    httpx.delete(f"{jobs}/flinkjobs-sync", trust_env=False).raise_for_status()
    an_hour_passes(system)


def token_is_wrong(system: System) -> None:
    kubeconfig = system.kubernetes.kubeconfig(system.scratch / "kubeconfig", token="not-this-one")
    system.environ["KUBECONFIG"] = str(kubeconfig)


def mongodb_is_down(system: System) -> None:
    system.environ["MONGODB_URI"] = f"mongodb://app:s3cret@127.0.0.1:{free_port()}/?authSource=admin"


def password_is_wrong(system: System) -> None:
    name = system.database.name
    system.environ["MONGODB_URI"] = f"mongodb://app:s3cret@127.0.0.1:{system.mongo.port}/?authSource={name}"


def index_is_missing(system: System) -> None:
    system.database["flink_jobs"].drop_index("status_1")


# --- and further ones -------------------------------------------------------------------------------


def setting_is_wrong(system: System) -> None:
    system.environ["K8S_NAMESPACE"] = "Not A Namespace"


def role_lacks_a_verb(system: System) -> None:
    granted = [permission for permission in PERMISSIONS if permission.resource != "pods/log"]
    rules = [Rule((each.group,), (each.resource,), (each.verb,)) for each in granted]
    system.kubernetes.control.grant(USER, "token-of-the-functions", rules)
    kubeconfig = system.kubernetes.kubeconfig(system.scratch / "kubeconfig", token="token-of-the-functions")
    system.environ["KUBECONFIG"] = str(kubeconfig)


def no_taskmanager(system: System) -> None:
    path, idle = recorded_answer("1.20", "overview--idle")
    overview = json.loads(idle.body) | {"taskmanagers": 0, "slots-total": 0, "slots-available": 0}
    system.flink.answers[path] = replace(idle, body=json.dumps(overview).encode())


def jobmanager_has_no_leader(system: System) -> None:
    _, unavailable = recorded_answer("1.20", "ha--jobs_overview--standby-503")
    system.flink.answers = {"": unavailable}


def history_server_is_down(system: System) -> None:
    with FlinkServer() as gone:
        system.environ["FLINK_HISTORY_URL"] = gone.url


def function_refuses_the_scheduler(system: System) -> None:
    system.function.answer = lambda asked: Answer(status=403) if asked.method == "POST" else ready(asked)
    system.ring("flinkjobs-sync")


def function_is_not_ready(system: System) -> None:
    problem = {"status": 503, "code": "STORE_UNAVAILABLE", "detail": "MongoDB did not answer"}
    headers = {"Content-Type": "application/problem+json", "Retry-After": "30"}
    system.function.answer = lambda _: Answer(503, json.dumps(problem).encode(), headers)


def function_has_a_wrong_token(system: System) -> None:
    """Doctor's own is right."""
    problem = {"status": 502, "code": "KUBERNETES_REFUSED", "detail": "GET /jobs: 401 Unauthorized"}
    headers = {"Content-Type": "application/problem+json"}
    system.function.answer = lambda _: Answer(502, json.dumps(problem).encode(), headers)


def sync_is_not_called(system: System) -> None:
    system.environ.pop("SCHEDULER_PARENT")
    an_hour_passes(system)


def a_hand_made_pass_over_one_job_is_no_pass(system: System) -> None:
    """It says nothing of the other records."""
    sync_is_not_called(system)
    by_hand = {"_id": 1, "whole": False, "started_at": datetime.now(UTC)}
    runs = system.database["sync_runs"]
    runs.insert_one({**(runs.find_one() or {}), **by_hand})


def id_was_printed_and_not_read(system: System) -> None:
    system.kubernetes.control.set_outcome(Outcome(log=f"Job has been submitted with JobID {FLINK_ID}\n"))
    system.kubernetes.wait_finished(system.k8s_job_of(system.submit()))


def submitter_hangs_that_had_to_wait_for_a_node(system: System) -> None:
    """The event about the node stays for an hour."""
    system.kubernetes.control.set_outcome(Outcome(seconds=600, log="reading the orders\n"))
    fault = system.kubernetes.control.add(PodFault(effect="unschedulable"))
    name = system.k8s_job_of(system.submit())
    pod = until(lambda: system.kubernetes.pod_of(name), timeout_seconds=SECONDS, what="a pod")
    until(
        lambda: "FailedScheduling" in system.kubernetes.event_reasons(pod["metadata"]["name"]),
        timeout_seconds=SECONDS,
        what="an event of the pod",
    )
    system.kubernetes.control.remove(fault)
    until(
        lambda: system.kubernetes.wait_pod(name)["status"]["phase"] == "Running",
        timeout_seconds=SECONDS,
        what="a running pod",
    )


def script_submits_nothing(system: System) -> None:
    system.submit_and_end(Outcome(message=termination_message(), log=printed("submits_nothing.detached")))


def sync_may_not_list_events(system: System) -> None:
    """So its passes are incomplete; doctor itself may."""
    _submit_over_quota(system)
    an_hour_passes(system)
    system.kubernetes.control.grant(USER, "token-of-sync", rules("sync", but=("list", "events")))
    own, limited = system.environ["KUBECONFIG"], system.scratch / "kubeconfig"
    system.environ["KUBECONFIG"] = str(system.kubernetes.kubeconfig(limited, token="token-of-sync"))
    limited_sync = system.functions.sync(system.environ)
    later = timedelta(minutes=2)  # it asks for events once the Job is a minute old
    sync.run_pass(replace(limited_sync, clock=lambda: datetime.now(UTC) + later))
    system.environ["KUBECONFIG"] = own


def sidecar_keeps_a_job_active(system: System) -> None:
    """Its submitter ended an hour ago."""
    labels = {"app": APP, "job-id": "etl_1"}
    wanted = FinishedJobs(count=1, name="flink-py-etl-1", age_seconds=3600, labels=labels, annotations={})
    system.kubernetes.control.add_finished_jobs(wanted)
    pod = system.kubernetes.wait_pod("flink-py-etl-1")
    ended = {"exitCode": 0, "reason": "Completed", "message": termination_message(FLINK_ID)}
    states = {"submit": {"terminated": ended}, "istio-proxy": {"running": {}}}
    containers = [{"name": name, "state": state} for name, state in states.items()]
    status = {"status": {"phase": "Running", "containerStatuses": containers}}
    system.kubernetes.patch("pods", f"{pod['metadata']['name']}/status", status)


def image_has_another_flink(system: System) -> None:
    system.environ["FLINK_IMAGE"] = "registry.example/flink:2.3.0-java17"


def pods_submit_to_another_cluster(system: System) -> None:
    """Flink answers, and does not know the id that was printed."""
    system.submit_and_end(Outcome(log=f"Job has been submitted with JobID {FLINK_ID}\n"))


def id_stays_unconfirmed(system: System) -> None:
    """A pass over this record alone has found it; the last one over all came before."""
    system.kubernetes.control.set_outcome(Outcome(log=f"Job has been submitted with JobID {FLINK_ID}\n"))
    job_id = system.submit()
    system.kubernetes.wait_finished(system.k8s_job_of(job_id))
    sync.run_pass(system.functions.sync(system.environ), job_ids=[job_id])


def job_is_lost(system: System) -> None:
    system.environ["LOST_AFTER_SECONDS"] = "0"
    system.flink.jobs.append(Job(FLINK_ID, "RUNNING"))
    job_id = system.submit_and_end(Outcome(log=f"Job has been submitted with JobID {FLINK_ID}\n"))
    system.flink.jobs.clear()
    until(
        lambda: system.sync() and system.record(job_id)["status"] == "LOST",
        timeout_seconds=SECONDS,
        what="a LOST job",
    )
    system.sync()


PROBLEMS: list[tuple[Problem, Line]] = [
    (
        image_cannot_be_pulled,
        Line(
            "records.created",
            "IMAGE_PULL",
            r"^1 job CREATED for longer than 5 min: etl_\d+, 60 min old: pod flink-py-.*: ErrImagePull: ",
            "`FLINK_IMAGE`",
        ),
    ),
    (
        image_cannot_be_pulled_and_sync_stands,
        Line(
            "records.created",
            "IMAGE_PULL",
            "container submit: .*ErrImagePull: ",
            "FLINK_IMAGE",
        ),
    ),
    (quota_is_used_up, Line("records.created", "QUOTA", r"FailedCreate: .*exceeded quota", "ResourceQuota")),
    (
        jobmanager_is_down,
        Line(
            "flink.default",
            "FLINK_UNAVAILABLE",
            r"http://127\.0\.0\.1:\d+: .*ConnectError",
            "Start the JobManager",
        ),
    ),
    (
        pod_gets_a_wrong_jobmanager_address,
        Line(
            "records.no-id",
            "JOBMANAGER_UNREACHABLE",
            r"etl_\d+: AnnotatedConnectException: Connection refused: localhost/127\.0\.0\.1:1$",
            "Correct FLINK_JOBMANAGER",
        ),
    ),
    (
        schedule_is_paused,
        Line(
            "schedule.sync", "SCHEDULE_PAUSED", "flinkjobs-sync is PAUSED", "flinkjobs schedules resume sync"
        ),
    ),
    (
        schedule_is_missing,
        Line("schedule.sync", "SCHEDULE_MISSING", "no schedule flinkjobs-sync", "flinkjobs schedules apply"),
    ),
    (
        token_is_wrong,
        Line("kubernetes", "KUBERNETES_UNAUTHORIZED", "401 Unauthorized", "does not accept this token"),
    ),
    (
        mongodb_is_down,
        Line("mongodb", "STORE_UNAVAILABLE", r"127\.0\.0\.1:\d+: .*[Cc]onnection refused", "Start MongoDB"),
    ),
    (
        password_is_wrong,
        Line(
            "mongodb",
            "STORE_REFUSED",
            "Authentication failed",
            "Correct what the message names in MONGODB_URI",
        ),
    ),
    (index_is_missing, Line("mongodb.indexes", "INDEX_MISSING", "lacks status_1$", "flinkjobs indexes")),
    (setting_is_wrong, Line("settings", "SETTINGS", "^K8S_NAMESPACE must be", "Set this variable")),
    (
        role_lacks_a_verb,
        Line(
            "kubernetes.role",
            "PERMISSION_MISSING",
            r"^not allowed: get pods/log \(for [a-z, ]*sync[a-z, ]*\)$",
            "rbac.yaml",
        ),
    ),
    (
        no_taskmanager,
        Line("flink.default", "FLINK_NO_TASKMANAGER", "has no TaskManager", "Start the TaskManagers"),
    ),
    (jobmanager_has_no_leader, Line("flink.default", "FLINK_UNAVAILABLE", "503", "Start the JobManager")),
    (
        history_server_is_down,
        Line("history.default", "HISTORY_UNAVAILABLE", "ConnectError", "Start the History Server"),
    ),
    (
        function_refuses_the_scheduler,
        Line("schedule.sync", "SCHEDULE_FAILING", "failed with PERMISSION_DENIED", "the right to invoke"),
    ),
    (
        function_is_not_ready,
        Line(
            "function.sync",
            "FUNCTION_UNAVAILABLE",
            "503 STORE_UNAVAILABLE: MongoDB did not",
            "then its log",
        ),
    ),
    (
        function_has_a_wrong_token,
        Line(
            "function.sync",
            "FUNCTION_UNAVAILABLE",
            r"^http://127\.0\.0\.1:\d+ is not ready: KUBERNETES_REFUSED: GET /jobs: 401 Unauthorized$",
            "the settings that this line names",
        ),
    ),
    (sync_is_not_called, Line("sync.pass", "SYNC_OLD", "began 60 min ago", "flinkjobs sync")),
    (
        a_hand_made_pass_over_one_job_is_no_pass,
        Line("sync.pass", "SYNC_OLD", "began 60 min ago", "flinkjobs sync"),
    ),
    (
        id_was_printed_and_not_read,
        Line(
            "records.created",
            "NOT_SYNCHRONISED",
            f"has printed the Flink Job ID {FLINK_ID}",
            "flinkjobs sync ID",
        ),
    ),
    (
        submitter_hangs_that_had_to_wait_for_a_node,
        Line(
            "records.created",
            "STILL_SUBMITTING",
            "its submitter is still at it: reading the orders$",
            "SUBMIT_TIMEOUT_SECONDS",
        ),
    ),
    (
        sync_may_not_list_events,
        Line(
            "sync.errors",
            "SYNC_PEER_UNREACHABLE",
            "KUBERNETES_UNAVAILABLE: .*events is forbidden",
            "Role and network",
        ),
    ),
    (
        pods_submit_to_another_cluster,
        Line(
            "sync.errors",
            "JOBS_MISSING",
            "cluster default answers, and does not know 1 of",
            "must name the same cluster.",
        ),
    ),
    (
        id_stays_unconfirmed,
        Line(
            "records.no-id",
            "ID_UNCONFIRMED",
            f"{FLINK_ID} was found, but Flink knows no such job",
            "`FLINK_REST_URL`",
        ),
    ),
    (
        job_is_lost,
        Line("records.lost", "OUTCOME_UNKNOWN", f"{FLINK_ID}: Flink no longer knows it", "History Server"),
    ),
]
"""First the ones that users have named, then the further ones."""


WARNINGS: list[tuple[Problem, Line]] = [
    (
        script_raises,
        Line(
            "records.no-id",
            "SUBMIT_FAILED",
            r"^1 job without a Flink Job ID .*: etl_\d+: ValueError: raised before the submission$",
            "Correct the script",
        ),
    ),
    (
        script_submits_nothing,
        Line(
            "records.no-id",
            "NO_JOB_SUBMITTED",
            "without submitting a Flink job",
            "Call `execute()`",
        ),
    ),
    (
        sidecar_keeps_a_job_active,
        Line(
            "kubernetes.sidecars",
            "SIDECAR_RUNS",
            r"^the container istio-proxy keeps 1 Job active: flink-py-etl-1$",
            "K8S_ALLOW_INJECTION",
        ),
    ),
    (
        image_has_another_flink,
        Line(
            "flink.default",
            "FLINK_LINES_DIFFER",
            r"^Flink 1\.20\.5 at http://\S+, but FLINK_IMAGE shows Flink 2\.3$",
            "Set FLINK_IMAGE",
        ),
    ),
]
"""What doctor only warns of."""


def first_failing(result: Result, verdict: str = "fail") -> Line:
    """The first line that fails, or warns, and the remedy below it."""
    lines = result.stdout.splitlines()
    begins = (verdict, "unknown")
    number = next(number for number, line in enumerate(lines) if line.startswith(begins))
    found = re.fullmatch(rf"{verdict} +(\S+) +([A-Z_]+): (.+)", lines[number])
    assert found is not None, lines[number]
    remedy = re.fullmatch(r" +→ (.+)", lines[number + 1])
    assert remedy is not None, lines[number + 1]
    return Line(found[1], found[2], found[3], remedy[1])


@pytest.mark.parametrize(("problem", "expected"), PROBLEMS, ids=[row[0].__name__ for row in PROBLEMS])
def test_the_first_failing_line_names_the_cause(
    system: System, doctor: Doctor, problem: Problem, expected: Line
) -> None:
    problem(system)
    result = doctor()
    assert result.exit_code == 1, result.output
    line = first_failing(result)
    assert (line.check, line.code) == (expected.check, expected.code), result.output
    assert re.search(expected.evidence, line.evidence), result.output
    assert expected.remedy in line.remedy
    assert result.stdout.splitlines()[-1].startswith(f"Begin with {expected.check}: {expected.code}")
    assert "s3cret" not in result.output


@pytest.mark.parametrize(("problem", "expected"), WARNINGS, ids=[row[0].__name__ for row in WARNINGS])
def test_a_warning_fails_only_where_it_is_asked_to(
    system: System, doctor: Doctor, problem: Problem, expected: Line
) -> None:
    problem(system)
    result = doctor()
    assert result.exit_code == 0, result.output
    line = first_failing(result, "warn")
    assert (line.check, line.code) == (expected.check, expected.code), result.output
    assert re.search(expected.evidence, line.evidence), result.output
    assert expected.remedy in line.remedy
    assert result.stdout.splitlines()[-1] == "No failure, 1 warning."
    assert json.loads(doctor("--json").stdout)["healthy"] is True
    strict = doctor("--json", "--strict")
    assert (strict.exit_code, json.loads(strict.stdout)["healthy"]) == (1, False)
