"""Kubernetes objects from JSON to values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flinkjobs.domain.kubernetes_objects import (
    CleanupTarget,
    Container,
    Event,
    Kind,
    KubernetesJob,
    Pod,
    Terminated,
    Waiting,
)
from flinkjobs.domain.naming import JOB_ID_ANNOTATION
from flinkjobs.domain.observations import JobPhase

JsonObject = Mapping[str, Any]


def parse_time(text: str | None) -> datetime | None:
    """Reads an RFC 3339 time. None stays None."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def parse_job(raw: JsonObject) -> KubernetesJob:
    """Reads a batch/v1 Job.

    It is over when a condition `Complete` or `Failed` is "True", wherever in the list that stands:
    `SuccessCriteriaMet` and `FailureTarget` come first and are not the end.
    """
    meta, status = raw["metadata"], raw.get("status") or {}
    phase, ended, finished_at = JobPhase.ACTIVE, None, None
    if (raw.get("spec") or {}).get("suspend"):
        phase = JobPhase.SUSPENDED
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True" or condition.get("type") not in ("Complete", "Failed"):
            continue
        finished_at = parse_time(condition.get("lastTransitionTime"))
        if condition["type"] == "Complete":
            phase = JobPhase.COMPLETE
        else:
            phase = JobPhase.FAILED
            ended = f"{condition.get('reason') or 'Failed'}: {condition.get('message') or ''}".rstrip(": ")
    return KubernetesJob(
        name=meta["name"],
        uid=meta.get("uid") or "",
        job_id=(meta.get("annotations") or {}).get(JOB_ID_ANNOTATION) or "",
        phase=phase,
        created_at=parse_time(meta.get("creationTimestamp")),
        ended=ended,
        finished_at=finished_at,
        deleting=bool(meta.get("deletionTimestamp")),
        is_single_attempt=(raw.get("spec") or {}).get("backoffLimit") == 0,
    )


def parse_pod(raw: JsonObject) -> Pod:
    """Reads a v1 Pod."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels = meta.get("labels") or {}
    unschedulable = None
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            unschedulable = f"{condition.get('reason') or ''}: {condition.get('message') or ''}".strip(": ")
    statuses = [(entry, True) for entry in status.get("initContainerStatuses") or ()]
    statuses += [(entry, False) for entry in status.get("containerStatuses") or ()]
    return Pod(
        name=meta["name"],
        uid=meta.get("uid") or "",
        job_name=labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or "",
        created_at=parse_time(meta.get("creationTimestamp")),
        phase=status.get("phase") or "Unknown",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        unschedulable=unschedulable,
        containers=tuple(_container(entry, is_init=is_init) for entry, is_init in statuses),
        started_at=parse_time(status.get("startTime")),
    )


def _container(raw: JsonObject, *, is_init: bool) -> Container:
    state = raw.get("state") or {}
    parsed: Waiting | Terminated | None = None
    if (terminated := state.get("terminated")) is not None:
        parsed = Terminated(
            exit_code=terminated.get("exitCode", -1),
            reason=terminated.get("reason") or "",
            message=terminated.get("message") or "",
        )
    elif state.get("running") is None:
        waiting = state.get("waiting") or {}
        parsed = Waiting(reason=waiting.get("reason") or "", message=waiting.get("message") or "")
    return Container(name=raw.get("name") or "", state=parsed, is_init=is_init)


def parse_event(raw: JsonObject) -> Event:
    """Reads a v1 Event."""
    about = raw.get("involvedObject") or {}
    return Event(
        about_kind=about.get("kind") or "",
        about_name=about.get("name") or "",
        reason=raw.get("reason") or "",
        message=raw.get("message") or "",
        last_seen=parse_time(raw.get("lastTimestamp") or raw.get("eventTime")),
    )


def parse_cleanup_target(kind: Kind, raw: JsonObject) -> CleanupTarget:
    """Reads an object for cleanup; one that cannot be read says why, and costs only itself.

    The items of a list name no kind: https://kubernetes.io/docs/reference/using-api/api-concepts/#collections
    """
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    known: dict[str, Any] = {
        "kind": kind,
        "name": meta["name"],
        "uid": meta.get("uid") or "",
        "resource_version": meta.get("resourceVersion") or "",
    }
    try:
        known |= {
            "job_id": (meta.get("annotations") or {}).get(JOB_ID_ANNOTATION) or "",
            "job_name": _job_name(kind, meta["name"], labels),
            "job_uid": labels.get("batch.kubernetes.io/controller-uid") or labels.get("controller-uid") or "",
            "has_owner": bool(meta.get("ownerReferences")),
            "deleting": bool(meta.get("deletionTimestamp")),
        }
        if kind is Kind.JOB:
            job = parse_job(raw)
            return CleanupTarget(**known, phase=job.phase, over_since=job.finished_at)
        if kind is Kind.POD:
            phase, over_since = _end_of_pod(raw.get("status") or {})
            return CleanupTarget(**known, phase=phase, over_since=over_since)
        created_at = parse_time(meta.get("creationTimestamp"))
        return CleanupTarget(**known, phase=JobPhase.COMPLETE, over_since=created_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return CleanupTarget(**known, unreadable=f"{type(error).__name__}: {error}")


def _job_name(kind: Kind, name: str, labels: Mapping[str, str]) -> str:
    """A copied Job may bear the label of the one that it is a copy of."""
    if kind is Kind.JOB:
        return name
    return labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or name


def _end_of_pod(status: JsonObject) -> tuple[JobPhase, datetime | None]:
    """Whether a pod is over, and its last sign of life: an evicted one has no container that ended."""
    phase = {"Succeeded": JobPhase.COMPLETE, "Failed": JobPhase.FAILED}.get(status.get("phase") or "")
    if phase is None:
        return JobPhase.ACTIVE, None
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    ends = [((each.get("state") or {}).get("terminated") or {}).get("finishedAt") for each in containers]
    ends += [condition.get("lastTransitionTime") for condition in status.get("conditions") or ()]
    return phase, max(filter(None, map(parse_time, ends)), default=None)
