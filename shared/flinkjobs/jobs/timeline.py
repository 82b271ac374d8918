"""The timeline of one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from flinkjobs.domain.flink_states import FINAL, OPEN, Status
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.jobs.views import number_or_none, text_or_none


def timeline(
    record: JobRecord, details: Mapping[str, Any], job: KubernetesJob | None, pods: Sequence[Pod]
) -> list[dict[str, Any]]:
    """Events of one job, oldest first, each with its time, None if unknown, and its data.

    Args:
        record: the record.
        details: fields of the document that are only displayed.
        job: its Kubernetes Job, where that exists.
        pods: the pods of the Job, in the order of their creation.
    """
    events: list[dict[str, Any]] = []

    def add(at: datetime | None, event: str, **data: Any) -> None:
        events.append({"at": at, "event": event, "data": data})

    add(
        record.submitted_at,
        "submitted",
        template_id=text_or_none(details.get("template_id")),
        by=text_or_none(details.get("submitted_by")),
        k8s_job_name=record.k8s_job_name,
        cluster=record.cluster,
    )
    for pod in pods if job else ():
        add(pod.started_at or pod.created_at, "pod", pod=pod.name, phase=pod.phase)
    for ref in record.flink_jobs:
        add(None, "id_found", flink_job_id=ref.id, source=ref.source.value, confirmed=ref.confirmed)
        if ref.start_time is not None:
            add(ref.start_time, "started", flink_job_id=ref.id)
    for ref in record.flink_jobs:
        if ref.missing_since is not None:
            add(ref.missing_since, "missing", flink_job_id=ref.id)
        if ref.end_time is not None and len(record.flink_jobs) > 1:
            add(ref.end_time, "flink_ended", flink_job_id=ref.id, state=ref.state)
    reason = record.reason
    code, message = (reason.code.value, reason.message) if reason else (None, None)
    if record.status in OPEN and reason is not None:
        add(reason.since, "waiting", code=code, message=message)
    if record.status in FINAL or record.status is Status.LOST:
        at = record.end_time or (reason.since if reason else None)
        facts = {"status": record.status.value, "code": code, "message": message}
        # Without an end time, `since` is when a pass noticed the end; for K8S_REFUSED, submit saw it happen.
        noticed = record.end_time is None and reason is not None and reason.code is not ReasonCode.K8S_REFUSED
        add(at, "ended", **facts, duration=number_or_none(record.duration), noticed=noticed)
    return _in_order(events)


def _in_order(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sorts events by time; an event without a time stays after the one before it.

    The times come from three clocks, one of them in whole seconds. The first event stays first and the end
    stays last, even if the clocks disagree.
    """
    placed: list[tuple[datetime, int, dict[str, Any]]] = []
    last: datetime = events[0]["at"]
    for number, event in enumerate(events):
        last = max(event["at"] or last, events[0]["at"])
        if event["event"] == "ended":
            last = max([last, *(at for at, _, _ in placed)])
        placed.append((last, number, event))
    return [event for _, _, event in sorted(placed, key=lambda entry: entry[:2])]
