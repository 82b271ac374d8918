"""Views of one record: its fields, its Flink jobs and the kubectl commands to inspect it. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from msgspec import structs

from flinkjobs.domain.flink_states import OPEN, TERMINAL_STATES
from flinkjobs.domain.health import health_by_status, worst
from flinkjobs.domain.health_values import HealthState, LatestState, Mark
from flinkjobs.domain.job_query import Row
from flinkjobs.domain.naming import selector_of
from flinkjobs.domain.records import FlinkJobRef, JobRecord, UnreadableRecord
from flinkjobs.domain.text import cut

JOB_FIELDS: Final = (
    *(
        "job_id",
        "template_id",
        "job_name",
        "cluster",
        "submitted_by",
        "submitted_by_verified",
        "k8s_job_name",
    ),
    *("flink_job_id", "flink_job_ids", "status", "flink_state", "submitted_at", "start_time", "end_time"),
    *("updated_at", "duration", "reason", "labels", "health", "latest_state", "ended_by"),
    *("run_of", "attempt"),
)
_K8S_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


def job_view(row: Row, unreachable: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a record; an unreadable one has its error in `unreadable`, and None elsewhere.

    Args:
        row: the record.
        unreachable: names of the clusters that did not answer last: the health of their jobs is unknown.
    """
    return record_view(row.record, row.details, unreachable)


def record_view(
    record: JobRecord | UnreadableRecord, details: Mapping[str, Any], unreachable: Collection[str] = ()
) -> dict[str, Any]:
    """As `job_view`, of a record and of the fields of its document that are only displayed."""
    if isinstance(record, JobRecord):
        try:
            shown = _readable(record, details)
            return {**shown, "health": health_view(record, unreachable)}
        except (TypeError, ValueError) as error:
            record = UnreadableRecord(record.job_id, cut(f"{type(error).__name__}: {error}", 200))
    job_id = text_or_none(details.get("job_id"))
    return {**dict.fromkeys(JOB_FIELDS), "job_id": job_id, "unreadable": record.error}


def _readable(record: JobRecord, details: Mapping[str, Any]) -> dict[str, Any]:
    reason = record.reason
    return {
        "job_id": record.job_id,
        "template_id": text_or_none(details.get("template_id")),
        "job_name": text_or_none(details.get("job_name")),
        "cluster": record.cluster,
        "submitted_by": text_or_none(details.get("submitted_by")),
        "submitted_by_verified": is_submitter_verified(details),
        "k8s_job_name": record.k8s_job_name,
        "flink_job_id": record.flink_job_id,
        "flink_job_ids": list(record.flink_job_ids),
        "status": record.status.value,
        "flink_state": record.flink_state,
        "submitted_at": record.submitted_at,
        "start_time": record.start_time,
        "end_time": record.end_time,
        "updated_at": details.get("updated_at"),
        "duration": number_or_none(record.duration),
        "reason": reason and {"code": reason.code.value, "message": reason.message, "since": reason.since},
        "labels": _labels(details.get("labels")),
        "latest_state": _state_view(record.latest_state),
        "ended_by": record.ended_by,
        "run_of": record.run_of,
        "attempt": record.attempt,
    }


def health_view(
    record: JobRecord, unreachable: Collection[str] = (), marks: Sequence[Mark] = ()
) -> dict[str, Any] | None:
    """The health of an open record; None of one that is over.

    What was never written follows from the status, see `health_by_status`.

    Args:
        record: as it was read.
        unreachable: see `job_view`.
        marks: of its Flink jobs: newer numbers than those written with the last change.
    """
    if record.status not in OPEN:
        return None
    state, found = health_by_status(record.status), record.health
    if record.cluster in unreachable:
        state, found = HealthState.UNKNOWN, None
    elif found is not None:
        state = found.state
    newer = worst([mark.health for mark in marks if mark.health is not None])
    seen = newer if newer is not None and newer.is_same(found) else found
    checkpoints = [mark.checkpoint for mark in marks if mark.checkpoint is not None]
    checkpoint = max(checkpoints, key=attrgetter("observed_at"), default=seen and seen.checkpoint)
    return {
        "state": state.value,
        "code": found.code.value if found and found.code else None,
        "message": found.message if found else None,
        "since": found.since if found else None,
        "restarts": seen.restarts if seen else None,
        "tasks": {"running": seen.tasks.running, "total": seen.tasks.total} if seen else None,
        "checkpoint": checkpoint
        and {
            "observed_at": checkpoint.observed_at,
            "completed_at": checkpoint.completed_at,
            "failed": checkpoint.failed,
            "message": checkpoint.message,
        },
    }


def latest_state_view(marks: Sequence[Mark]) -> dict[str, Any] | None:
    """The newest state to resume from of a record whose jobs go on."""
    states = [mark.latest_state for mark in marks if mark.latest_state is not None]
    return _state_view(max(states, key=attrgetter("at"), default=None))


def _state_view(state: LatestState | None) -> dict[str, Any] | None:
    return None if state is None else structs.asdict(state)


def _labels(stored: Any) -> dict[str, str]:
    """A record of an older version has none."""
    if stored is None:
        return {}
    if not isinstance(stored, Mapping):
        raise TypeError(f"labels is no object but {cut(repr(stored), 80)}")
    return {str(key): str(value) for key, value in stored.items()}


def is_submitter_verified(details: Mapping[str, Any]) -> bool:
    """Whether a sign-in proxy named who submitted the job, and not the body of a request."""
    return details.get("submitted_by_verified") is True


def text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def number_or_none(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"duration is no number but {cut(repr(value), 80)}")
    return value


def flink_job_view(
    ref: FlinkJobRef, ui_url: str | None, history_url: str | None, *, is_lost: bool = False
) -> dict[str, Any]:
    """One Flink job of a record.

    Args:
        ref: as the record holds it.
        ui_url: base address of its cluster's web UI; None where the cluster is not configured.
        history_url: base address of its History Server's, which knows jobs that are over; None without one.
        is_lost: its record is LOST.
    """
    is_over = ref.state in TERMINAL_STATES
    is_forgotten = not is_over and (is_lost or ref.missing_since is not None)
    folder = "completed" if is_over else "running"
    return {
        "flink_job_id": ref.id,
        "source": ref.source.value,
        "confirmed": ref.confirmed,
        "state": ref.state,
        "start_time": ref.start_time,
        "end_time": ref.end_time,
        "missing_since": ref.missing_since,
        "forgotten": is_forgotten,
        "ui_url": None if is_forgotten else ui_url and f"{ui_url}/#/job/{folder}/{ref.id}/overview",
        "history_url": f"{history_url}/#/job/completed/{ref.id}/overview"
        if history_url and (is_over or is_forgotten)
        else None,
    }


def kubectl_lines(namespace: str, job_id: str, job_name: str) -> list[str]:
    """Commands that show the Kubernetes Job, its pods, their events and their logs.

    Empty for an invalid Job name: a command that a user pastes must not carry options or control characters
    from a record.
    """
    if not _K8S_NAME.fullmatch(job_name):
        return []
    here = f"-n {shlex.quote(namespace)}"
    ours = f"-l {shlex.quote(selector_of(job_id))}"
    return [
        f"kubectl get job,pods {here} {ours}",
        f"kubectl describe job,pods {here} {ours}",
        f"kubectl logs {here} {shlex.quote(f'job/{job_name}')} --all-containers",
    ]
