"""The timeline of one job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from flinkjobs.domain.flink_states import FINAL, OPEN, Status
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import IdSource, JobRecord
from flinkjobs.jobs.views import is_submitter_verified, number_or_none, text_or_none


def timeline(
    record: JobRecord, details: Mapping[str, Any], job: KubernetesJob | None, pods: Sequence[Pod]
) -> list[dict[str, Any]]:
    """Events of one job, oldest first, each with its time, None if unknown, and its data.

    Args:
        record: the record.
        details: fields of the document that are only displayed, and its history, which older documents lack.
        job: its Kubernetes Job, where that exists.
        pods: the pods of the Job, in the order of their creation.
    """
    events: list[dict[str, Any]] = []

    def add(at: datetime | None, event: str, **data: Any) -> None:
        events.append({"at": at, "event": event, "data": data})

    moves = moves_of(details)
    asked = {
        "template_id": text_or_none(details.get("template_id")),
        "by": text_or_none(details.get("submitted_by")),
        "verified": is_submitter_verified(details),
        "cluster": record.cluster,
    }
    if any(ref.source is IdSource.ADOPTED for ref in record.flink_jobs):
        if record.start_time is not None:
            add(record.start_time, "started", flink_job_id=record.flink_job_id)
        adopted_at = moves[0]["at"] if moves and moves[0].get("was") is None else record.submitted_at
        add(adopted_at, "adopted", flink_job_id=record.flink_job_id, **asked)
    else:
        add(record.submitted_at, "submitted", k8s_job_name=record.k8s_job_name, **asked)
        _add_submission(add, record, pods if job else ())
    for ref in record.flink_jobs:
        if ref.missing_since is not None:
            add(ref.missing_since, "missing", flink_job_id=ref.id)
        if ref.end_time is not None and len(record.flink_jobs) > 1:
            add(ref.end_time, "flink_ended", flink_job_id=ref.id, state=ref.state)
    _add_actions(add, record)
    is_over = record.status in FINAL or record.status is Status.LOST
    end = moves.pop() if is_over and moves and moves[-1]["status"] == record.status.value else None
    events += [move_event(move) for move in moves if not _is_shown_by_another_event(move)]
    reason = record.reason
    code, message = (reason.code.value, reason.message) if reason else (None, None)
    if record.status in OPEN and reason is not None:
        add(reason.since, "waiting", code=code, message=message)
    if is_over:
        # Without an end time, this is when a pass noticed the end; for K8S_REFUSED, submit saw it happen.
        noticed_at = end["at"] if end else reason.since if reason else None
        at = record.end_time or noticed_at
        facts = {"status": record.status.value, "code": code, "message": message}
        noticed = record.end_time is None and noticed_at is not None and code != ReasonCode.K8S_REFUSED
        add(at, "ended", **facts, duration=number_or_none(record.duration), noticed=noticed)
    return _in_order(events)


def _add_actions(add: Callable[..., None], record: JobRecord) -> None:
    """Adds what people asked for, and what became of it."""
    for action in record.actions:
        who = {"by": action.requested_by, "verified": action.verified}
        add(action.requested_at, "action_requested", kind=action.kind.value, **who)
        if action.ended_at is not None:
            facts = {"path": action.savepoint_path, "code": action.code, "message": action.message}
            kind, state = action.kind.value, action.state.value
            add(action.ended_at, "action_ended", kind=kind, state=state, **facts)


def _add_submission(add: Callable[..., None], record: JobRecord, pods: Sequence[Pod]) -> None:
    """Adds what Kubernetes and Flink made of a submission."""
    for pod in pods:
        add(pod.started_at or pod.created_at, "pod", pod=pod.name, phase=pod.phase)
    for ref in record.flink_jobs:
        add(None, "id_found", flink_job_id=ref.id, source=ref.source.value, confirmed=ref.confirmed)
        if ref.start_time is not None:
            add(ref.start_time, "started", flink_job_id=ref.id)


def moves_of(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The moves that the document keeps, oldest first; an entry that cannot be read is left out."""
    stored = details.get("history")
    return [
        move
        for move in (stored if isinstance(stored, list) else ())
        if isinstance(move, Mapping)
        and isinstance(move.get("at"), datetime)
        and isinstance(move.get("status"), str)
    ]


def move_event(move: Mapping[str, Any]) -> dict[str, Any]:
    """A move as an event: of the status, or into or out of stuck or unhealthy."""
    if isinstance(is_stuck := move.get("stuck"), bool):
        code = text_or_none(move.get("reason_code"))
        return {"at": move["at"], "event": "stuck" if is_stuck else "recovered", "data": {"code": code}}
    if isinstance(is_unhealthy := move.get("unhealthy"), bool):
        code = text_or_none(move.get("reason_code"))
        return {"at": move["at"], "event": "unhealthy" if is_unhealthy else "healthy", "data": {"code": code}}
    data = {name: text_or_none(move.get(name)) for name in ("was", "status", "flink_state", "by")}
    code = text_or_none(move.get("reason_code"))
    return {"at": move["at"], "event": "moved", "data": {**data, "code": code}}


def _is_shown_by_another_event(move: Mapping[str, Any]) -> bool:
    """Whether *submitted* or *started* shows the move: the first one, and the one to RUNNING after it."""
    was, status = move.get("was"), move["status"]
    return was is None or (was, status) == (Status.CREATED, Status.RUNNING)


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
