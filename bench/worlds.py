"""The worlds that are measured: how many records there are, what changed, and who is away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from doubles.kubernetes.faults import FinishedJobs
from flinkjobs.domain.naming import APP, APP_LABEL, JOB_ID_ANNOTATION, JOB_ID_LABEL

TEMPLATES = 20
BASE_MS = 1_795_000_000_000
"""When the first of the jobs was submitted, milliseconds since 1970."""
RAN_MS = 61_234
CHANGES = ("FINISHED", "FINISHED", "FINISHED", "CANCELED", "RESTARTING")
"""Final states of the changed jobs, repeated in this order. A FAILED job costs one more request."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TASKS = dict.fromkeys(
    ("running", "canceling", "canceled", "total", "created", "scheduled", "deploying", "reconciling"), 0
) | {"finished": 0, "initializing": 0, "failed": 0}
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """One world.

    Attributes:
        records: open records with a Flink Job ID.
        changed_percent: share of them whose state in Flink has changed.
        failed: how many of the changed ones have failed.
        without_id: open records whose submitter has ended and whose id is still to be read.
        clusters: over which the records are spread evenly.
        is_one_dead: the last cluster does not answer connections at all.
        finished_jobs: Kubernetes Jobs lying around.
        do_all_end: every job that changed has ended, so that the status of its record changes.
    """

    records: int
    changed_percent: int = 0
    failed: int = 0
    without_id: int = 0
    clusters: int = 1
    is_one_dead: bool = False
    finished_jobs: int = 0
    do_all_end: bool = False

    @property
    def name(self) -> str:
        """What the world is called in the results."""
        name = f"{self.records:,} open, {self.changed_percent} % changed"
        name += f", {self.failed} of them failed" if self.failed else ""
        name += ", all of them ended" if self.do_all_end else ""
        name += f", {self.without_id} without an id" if self.without_id else ""
        name += f", {self.finished_jobs:,} finished Jobs" if self.finished_jobs else ""
        name += f", {self.clusters} clusters" if self.clusters > 1 else ""
        return name + (", one dead" if self.is_one_dead else "")

    def is_changed(self, number: int) -> bool:
        """Whether the state of this record's job in Flink has changed."""
        return number * self.changed_percent % 100 < self.changed_percent

    def state(self, number: int) -> str:
        """What Flink says of this record."""
        if not self.is_changed(number):
            return "RUNNING"
        order = number * self.changed_percent // 100
        changes = CHANGES[:-1] if self.do_all_end else CHANGES
        return "FAILED" if order < self.failed else changes[order % len(changes)]

    def documents(self) -> Iterator[Document]:
        """Every record as the last pass has left it; the other Jobs belong to records that are over."""
        for number in range(self.records):
            yield _running(number, cluster_name(number % self.clusters))
        for number in range(self.without_id):
            yield _created(number)
        for number in range(self.without_id, self.finished_jobs):
            yield _created(number) | {"status": "FINISHED", "submitter_done": True}

    def overviews(self) -> list[bytes]:
        """What each cluster answers to `/jobs/overview`."""
        jobs: list[list[Document]] = [[] for _ in range(self.clusters)]
        for number in range(self.records):
            jobs[number % self.clusters].append(_entry(flink_job_id(number), number, self.state(number)))
        for number in range(self.without_id):
            jobs[0].append(_entry(_hex(f"bulk-{number}"), number, "RUNNING"))
        return [json.dumps({"jobs": known}, separators=(",", ":")).encode() for known in jobs]


def cluster_name(number: int) -> str:
    """Name of a cluster in the settings."""
    return "default" if number == 0 else f"cluster-{number}"


def flink_job_id(number: int) -> str:
    """Flink Job ID of a record."""
    return _hex(f"job {number}")


def finished_jobs(count: int) -> FinishedJobs:
    """Kubernetes Jobs whose termination message names their Flink job; the first belong to open records."""
    return FinishedJobs(
        count=count,
        name="bulk-{index}",
        labels={APP_LABEL: APP, JOB_ID_LABEL: "{name}"},
        annotations={JOB_ID_ANNOTATION: "{name}"},
        age_seconds=600,
        message="flinkjobs/1\nJob has been submitted with JobID {hex}\nend 1\n",
    )


def _hex(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _time(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def _document(job_id: str, at_ms: int, cluster: str, k8s_job_name: str, **known: Any) -> Document:
    """A document of a usual length, its fields in the order in which submit writes them."""
    return {
        "job_id": job_id,
        "template_id": job_id.rpartition("_")[0],
        "job_name": "nightly aggregation",
        "submitted_by": "ann",
        "spec": {
            "script": {"path": "/opt/flink/usrlib/aggregate.py"},
            "args": ["--input", "s3://events/2025/11/01", "--output", "s3://aggregates/2025/11/01"],
            "parallelism": 4,
            "py_files": ["/opt/flink/usrlib/common.zip"],
            "flink_conf": {"taskmanager.memory.process.size": "2g", "state.backend.type": "rocksdb"},
        },
        "flink_job_id": None,
        "flink_job_ids": [],
        "flink_jobs": [],
        "submitter_done": False,
        "dropped_ids": [],
        "status": "CREATED",
        "flink_state": None,
        "start_time": None,
        "end_time": None,
        "duration": None,
        "reason": None,
        "missing_since": None,
        "submitted_at": _time(at_ms),
        "k8s_job_name": k8s_job_name,
        "cluster": cluster,
        "in_flight_until": None,
        "fingerprint": None,
        "updated_at": _time(at_ms),
        "revision": 1,
        "history": [_move(0, _time(at_ms), None, "CREATED", "submit")],
    } | known


def _move(seq: int, at: datetime, was: str | None, status: str, by: str) -> Document:
    flink_state = None if status == "CREATED" else status
    known = {"flink_state": flink_state, "reason_code": None, "by": by}
    return {"seq": seq, "at": at, "was": was, "status": status} | known


def _running(number: int, cluster: str) -> Document:
    at_ms = BASE_MS + number * 37
    id_ = flink_job_id(number)
    started = _time(at_ms + 30_000)
    template = f"template_{number % TEMPLATES}"
    ref = {
        "id": id_,
        "source": "TERMINATION_MESSAGE",
        "confirmed": True,
        "state": "RUNNING",
        "start_time": started,
        "end_time": None,
        "failure": None,
        "missing_since": None,
        "missing_passes": 0,
    }
    return _document(
        f"{template}_{at_ms}",
        at_ms,
        cluster,
        f"flink-py-{template.replace('_', '-')}-{number:08x}",
        flink_job_id=id_,
        flink_job_ids=[id_],
        flink_jobs=[ref],
        submitter_done=True,
        status="RUNNING",
        flink_state="RUNNING",
        start_time=started,
        fingerprint=f"{cluster}|{id_}|RUNNING|{at_ms + 30_000}",
        revision=2,
        history=[
            _move(0, _time(at_ms), None, "CREATED", "submit"),
            _move(2, _time(at_ms + 40_000), "CREATED", "RUNNING", "sync"),
        ],
    )


def _created(number: int) -> Document:
    return _document(f"bulk-{number}", BASE_MS, "default", f"bulk-{number}")


def _entry(id_: str, number: int, state: str) -> Document:
    start = BASE_MS + number * 37 + 30_000
    is_over = state in ("FINISHED", "FAILED", "CANCELED")
    return {
        "jid": id_,
        "name": "insert-into_default_catalog.default_database.aggregates",
        "start-time": start,
        "end-time": start + RAN_MS if is_over else -1,
        "duration": RAN_MS,
        "state": state,
        "last-modification": start + RAN_MS,
        "tasks": TASKS,
    }


def document_of_history(number: int, at: datetime, chance: Random, *, is_open: bool) -> Document:
    """A record of any age; an open one runs since it was submitted."""
    known = _running(number, "default")
    template = f"template_{chance.randrange(40)}"
    roll = chance.random()
    status = "FINISHED" if roll < 0.85 else "FAILED" if roll < 0.95 else "CANCELLED"  # noqa: PLR2004 - shares
    ran = timedelta(milliseconds=int(chance.lognormvariate(11, 1.5)))
    started = at + timedelta(seconds=30)
    over = {
        "status": status,
        "flink_state": status,
        "end_time": started + ran,
        "duration": ran.total_seconds() if status == "FINISHED" else None,
        "reason": {"code": "FLINK_FAILED", "message": "m", "since": at} if status == "FAILED" else None,
        "fingerprint": None,
    }
    return {
        **known,
        "job_id": f"{template}_{int(at.timestamp() * 1000)}_{number}",
        "template_id": template,
        "job_name": f"Nightly {number % 500}",
        "submitted_by": f"ann.{number % 50}",
        "submitted_at": at,
        "start_time": started,
        **({} if is_open else over),
    }
