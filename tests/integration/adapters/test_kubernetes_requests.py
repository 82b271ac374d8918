"""How many requests a pass over many submitters costs the API server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from doubles.kubernetes.faults import FinishedJobs, PodFault
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.kubernetes.client import KubernetesApi
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.naming import APP
from flinkjobs.domain.observations import Submitter
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.observers.deadline import Deadline
from flinkjobs.observers.events import NamespaceEvents
from flinkjobs.observers.flink_snapshot import take_snapshots
from flinkjobs.observers.submitters import SubmitterObserver
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from tests.support.flink_in_memory import clusters, shows
from tests.support.waiting import until

STUCK, RAN, EVENTS_EACH = 250, 500, 7
MAX_REQUESTS = 30
"""Requests of a pass, without the logs: ten lists of Jobs, ten of pods, and the pages of the events."""
LATER = timedelta(minutes=5)
ETL = Submission(template_id="etl", script=PathScript("/opt/job.py"))
TARGET = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink-jobmanager:8081",
    timeout_seconds=600,
)


@pytest.fixture
def double() -> Iterator[KubernetesDouble]:
    """Of its own: events outlive the objects that they are about."""
    with KubernetesDouble(run=False) as running:
        yield running


def fill(double: KubernetesDouble, api: KubernetesApi) -> list[JobRecord]:
    """Jobs whose pods a quota forbids, and Jobs that ended without an id; their records."""
    double.control.add_finished_jobs(
        FinishedJobs(
            count=RAN,
            name="ran-{index}",
            labels={"app": APP, "job-id": "{name}"},
            annotations={"flinkjobs/job-id": "{name}"},
            log="no id\n",
            events=EVENTS_EACH,
        )
    )
    stuck = [api.create_job(job_manifest(ETL, f"stuck_{number}", TARGET)) for number in range(STUCK)]
    until(
        lambda: sum(event.reason == "FailedCreate" for event in api.all_events()) >= STUCK,
        timeout_seconds=60,
        what="an event about every Job that is stuck",
    )
    names = {job.job_id: job.name for job in stuck} | {f"ran-{n}": f"ran-{n}" for n in range(RAN)}
    return [
        JobRecord(job_id=job_id, status=Status.CREATED, submitted_at=datetime.now(UTC), k8s_job_name=name)
        for job_id, name in names.items()
    ]


def test_a_pass_lists_the_events_once_however_many_jobs_are_stuck(double: KubernetesDouble) -> None:
    api = kubernetes_client.connect(
        "lemo-dev", auth="kubeconfig", kubeconfig=str(double.kubeconfig), in_cluster=False
    )
    with double.control.fault(PodFault(effect="quota")):
        records = fill(double, api)
        double.control.reset_requests()
        with ThreadPoolExecutor(8) as threads, take_snapshots(clusters(default=shows())) as snapshots:
            observer = SubmitterObserver(
                kubernetes=lambda: api,
                events=NamespaceEvents(lambda: api),
                snapshots=snapshots,
                threads=threads,
                deadline=Deadline.after(60),
            )
            seen = observer.observe(records, datetime.now(UTC) + LATER)
        requests = double.control.requests()
    assert (seen.errors, seen.passed_over) == ((), frozenset())
    problems = [
        found.problem[0] if isinstance(found, Submitter) and found.problem else None
        for found in seen.by_job_id.values()
    ]
    assert problems.count(ReasonCode.QUOTA) == STUCK
    assert requests.pop("get pods/log") == RAN
    assert requests["list events"] > 1
    assert sum(requests.values()) <= MAX_REQUESTS, requests
