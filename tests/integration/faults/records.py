"""The records that every scenario begins with: one of each kind, and what is true of each by then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from doubles.kubernetes.faults import FinishedJobs, Outcome
from flinkjobs.domain.naming import APP
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from tests.support.flink_rest_server import Job
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import Document, new_record, termination_message

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
HALF_AN_HOUR_AGO = HOUR_AGO + timedelta(minutes=30)
START = int(HOUR_AGO.timestamp() * 1000)
END = START + 90_000

IDS = {
    "complete": "c0" * 16,
    "attached": "a0" * 16,
    "unconfirmed": "d0" * 16,
    "running": "b0" * 16,
    "two jobs, first": "e1" * 16,
    "two jobs": "e2" * 16,
    "missing": "f0" * 16,
    "lost": "90" * 16,
    "old": "80" * 16,
    "finished before": "70" * 16,
    "cancelled before": "60" * 16,
}
KINDS = (
    "active",
    "complete",
    "failed",
    "no job",
    "attached",
    "unconfirmed",
    "running",
    "two jobs",
    "missing",
    "lost",
    "old",
)
"""The kinds of record that a pass examines, as the tables of `docs/explanation/reliability.md` name them."""

FINAL = ("finished before", "failed before", "cancelled before")
"""The kinds that no pass touches."""

SUBMITTED = "Job has been submitted with JobID "
TRACEBACK = "Traceback (most recent call last):\n  File \"/opt/job.py\", line 3\nKeyError: 'amount'\n"
WITH_PODS = ("complete", "failed", "no job", "attached")
TARGET = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink:8081",
    timeout_seconds=600,
)


def job_id_of(kind: str) -> str:
    """The job id of the record of a kind."""
    return kind.lower().replace(" ", "_") + "_1"


def k8s_job_of(kind: str) -> str:
    """The name of its Kubernetes Job."""
    return f"flink-py-{kind.lower().replace(' ', '-')}"


def add_submitters(world: KubernetesWorld) -> None:
    """The Kubernetes Jobs of the records whose submitter is not done."""
    logs = {
        "complete": f"{SUBMITTED}{IDS['complete']}\n",
        "failed": TRACEBACK,
        "no job": "3 rows\n",
        "attached": f"{SUBMITTED}{IDS['attached']}\n",
    }
    messages = {
        "failed": TRACEBACK,  # as FallbackToLogsOnError leaves it behind
        "no job": termination_message(),
    }
    for kind in WITH_PODS:
        world.control.add_finished_jobs(
            FinishedJobs(
                count=1,
                name=k8s_job_of(kind),
                labels={"app": APP, "job-id": job_id_of(kind)},
                annotations={"flinkjobs/job-id": job_id_of(kind)},
                age_seconds=60,
                failed=kind == "failed",
                message=messages.get(kind, ""),
                log=logs[kind],
            )
        )
    world.control.set_outcome(Outcome(seconds=3600))
    world.create("jobs", manifest("active"))
    world.wait_pod(k8s_job_of("active"))
    world.control.set_outcome(Outcome())


def manifest(kind: str) -> Document:
    """The Kubernetes Job of a record, as submit makes it."""
    made = job_manifest(
        Submission(template_id="etl", script=PathScript("/opt/job.py")), job_id_of(kind), TARGET
    )
    made["metadata"]["name"] = k8s_job_of(kind)
    return made


def flink_jobs() -> list[Job]:
    """What Flink truly says by now."""
    return [
        Job(IDS["complete"], "RUNNING", start=START),
        Job(IDS["attached"], "FINISHED", start=START, end=END),
        Job(IDS["unconfirmed"], "RUNNING", start=START),
        Job(IDS["running"], "FINISHED", start=START, end=END),
        Job(IDS["two jobs, first"], "FINISHED", start=START, end=END),
        Job(
            IDS["two jobs"], "FAILED", start=START, end=END, root_exception="java.lang.RuntimeException: boom"
        ),
        Job(IDS["lost"], "RUNNING", start=START),
        Job(IDS["old"], "FINISHED", start=START, end=END),
        Job(IDS["finished before"], "RUNNING", start=START),
        Job(IDS["cancelled before"], "FAILED", start=START, end=END, root_exception="x.Error: late"),
    ]


def documents() -> list[Document]:
    """The records as the passes before left them, one of each kind."""
    no_node = {"code": "UNSCHEDULABLE", "message": "no node", "since": HALF_AN_HOUR_AGO}
    unknown = {"code": "OUTCOME_UNKNOWN", "message": "gone", "since": HALF_AN_HOUR_AGO}
    over: Document = {"end_time": HALF_AN_HOUR_AGO, "duration": 1800.0}
    return [
        record("active", reason=no_node),
        record("complete"),
        record("failed"),
        record("no job"),
        followed("attached", submitter_done=False),
        followed("unconfirmed", status="CREATED", ref=_ref("unconfirmed", confirmed=False, state=None)),
        followed("running"),
        followed(
            "two jobs",
            first=_ref("two jobs, first", state="FINISHED", end_time=HALF_AN_HOUR_AGO),
        ),
        followed("missing", ref=_gone("missing", passes=2), missing_since=HALF_AN_HOUR_AGO),
        followed(
            "lost",
            status="LOST",
            ref=_gone("lost", passes=3),
            missing_since=HALF_AN_HOUR_AGO,
            reason=unknown,
        ),
        {
            "job_id": job_id_of("old"),
            "flink_job_id": IDS["old"],
            "status": "RUNNING",
            "submitted_at": HOUR_AGO.replace(tzinfo=None).isoformat(),
            "start_time": HOUR_AGO.replace(tzinfo=None).isoformat(),
            "end_time": None,
            "duration": None,
        },
        followed("finished before", status="FINISHED", ref=_ref("finished before", state="FINISHED"), **over),
        record("failed before", status="FAILED", submitter_done=True),
        followed(
            "cancelled before", status="CANCELLED", ref=_ref("cancelled before", state="CANCELED"), **over
        ),
    ]


def record(kind: str, **fields: Any) -> Document:
    """A document as submit makes it, but for the given fields."""
    made = {"k8s_job_name": k8s_job_of(kind), "revision": 3}
    return new_record(job_id_of(kind), HOUR_AGO, **made | fields)


def followed(
    kind: str, *, ref: Document | None = None, first: Document | None = None, **fields: Any
) -> Document:
    """A document with a Flink Job ID; RUNNING and confirmed by default."""
    refs = [entry for entry in (first, ref or _ref(kind)) if entry]
    known: Document = {
        "status": "RUNNING",
        "submitter_done": True,
        "flink_state": "RUNNING",
        "start_time": HOUR_AGO,
        "flink_jobs": refs,
        "flink_job_ids": [entry["id"] for entry in refs],
        "flink_job_id": refs[0]["id"],
    }
    return record(kind, **known | fields)


def _ref(kind: str, **fields: Any) -> Document:
    known: Document = {
        "id": IDS[kind],
        "source": "LOG",
        "confirmed": True,
        "state": "RUNNING",
        "start_time": HOUR_AGO,
        "end_time": None,
        "failure": None,
        "missing_since": None,
        "missing_passes": 0,
    }
    return known | fields


def _gone(kind: str, *, passes: int) -> Document:
    return _ref(kind, missing_since=HALF_AN_HOUR_AGO, missing_passes=passes)
