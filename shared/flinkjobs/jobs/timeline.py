"""The timeline of one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flinkjobs.domain.flink_states import FINAL, OPEN
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.records import JobRecord, ReasonCode, Status
from flinkjobs.jobs.views import _number, _text

# --- the story --------------------------------------------------------------------------------------


def story(
    record: JobRecord, details: Mapping[str, Any], job: KubernetesJob | None, pods: Sequence[Pod]
) -> list[dict[str, Any]]:
    """What happened to a job, oldest first; each event with its time, where that is known, and its facts.

    Args:
        record: the record.
        details: what only people need of the document.
        job: its Kubernetes Job, where that exists.
        pods: the pods of the Job, in the order of their creation.
    """
    told: list[dict[str, Any]] = []

    def tell(at: datetime | None, event: str, **data: Any) -> None:
        told.append({"at": at, "event": event, "data": data})

    tell(
        record.submitted_at,
        "submitted",
        template_id=_text(details.get("template_id")),
        by=_text(details.get("submitted_by")),
        k8s_job_name=record.k8s_job_name,
        cluster=record.cluster,
    )
    for pod in pods if job else ():
        tell(pod.started_at or pod.created_at, "pod", pod=pod.name, phase=pod.phase)
    for ref in record.flink_jobs:
        tell(None, "id_found", flink_job_id=ref.id, source=ref.source.value, confirmed=ref.confirmed)
        if ref.start_time is not None:
            tell(ref.start_time, "started", flink_job_id=ref.id)
    for ref in record.flink_jobs:
        if ref.missing_since is not None:
            tell(ref.missing_since, "missing", flink_job_id=ref.id)
        if ref.end_time is not None and len(record.flink_jobs) > 1:
            tell(ref.end_time, "flink_ended", flink_job_id=ref.id, state=ref.state)
    reason = record.reason
    code, message = (reason.code.value, reason.message) if reason else (None, None)
    if record.status in OPEN and reason is not None:
        tell(reason.since, "waiting", code=code, message=message)
    if record.status in FINAL or record.status is Status.LOST:
        at = record.end_time or (reason.since if reason else None)
        facts = {"status": record.status.value, "code": code, "message": message}
        # Submit itself saw Kubernetes refuse; of every other end without a time only a pass tells when.
        noticed = record.end_time is None and reason is not None and reason.code is not ReasonCode.K8S_REFUSED
        tell(at, "ended", **facts, duration=_number(record.duration), noticed=noticed)
    return _in_order(told)


def _in_order(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By time; an event whose time nobody knows stays behind the one before it.

    Three clocks tell the times, one of them in whole seconds: whatever they say, the beginning stays the
    beginning, and the end stays the end.
    """
    placed: list[tuple[datetime, int, dict[str, Any]]] = []
    last: datetime = told[0]["at"]
    for number, event in enumerate(told):
        last = max(event["at"] or last, told[0]["at"])
        if event["event"] == "ended":
            last = max([last, *(at for at, _, _ in placed)])
        placed.append((last, number, event))
    return [event for _, _, event in sorted(placed, key=lambda entry: entry[:2])]
