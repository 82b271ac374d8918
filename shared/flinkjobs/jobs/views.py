"""Views of one record: its fields, its Flink jobs and the kubectl commands to inspect it. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from flinkjobs.domain.flink_states import TERMINAL_STATES
from flinkjobs.domain.job_query import Row
from flinkjobs.domain.naming import selector_of
from flinkjobs.domain.records import FlinkJobRef, JobRecord, UnreadableRecord
from flinkjobs.domain.text import cut

JOB_FIELDS: Final = (
    *("job_id", "template_id", "job_name", "cluster", "submitted_by", "k8s_job_name"),
    *("flink_job_id", "flink_job_ids", "status", "flink_state", "submitted_at", "start_time", "end_time"),
    *("updated_at", "duration", "reason", "labels"),
)
_K8S_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


def job_view(row: Row) -> dict[str, Any]:
    """The fields of a record; an unreadable one has its error in `unreadable`, and None elsewhere."""
    return record_view(row.record, row.details)


def record_view(record: JobRecord | UnreadableRecord, details: Mapping[str, Any]) -> dict[str, Any]:
    """As `job_view`, of a record and of the fields of its document that are only displayed."""
    if isinstance(record, JobRecord):
        try:
            return _readable(record, details)
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
    }


def _labels(stored: Any) -> dict[str, str]:
    """A record of an older version has none."""
    if stored is None:
        return {}
    if not isinstance(stored, Mapping):
        raise TypeError(f"labels is no object but {cut(repr(stored), 80)}")
    return {str(key): str(value) for key, value in stored.items()}


def text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def number_or_none(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"duration is no number but {cut(repr(value), 80)}")
    return value


def flink_job_view(ref: FlinkJobRef, ui_url: str | None, history_url: str | None) -> dict[str, Any]:
    """One Flink job of a record.

    Args:
        ref: as the record holds it.
        ui_url: base address of its cluster's web UI; None where the cluster is not configured.
        history_url: base address of its History Server's, which knows jobs that are over; None without one.
    """
    is_over = ref.state in TERMINAL_STATES
    folder = "completed" if is_over else "running"
    may_be_history = is_over or ref.missing_since is not None
    return {
        "flink_job_id": ref.id,
        "source": ref.source.value,
        "confirmed": ref.confirmed,
        "state": ref.state,
        "start_time": ref.start_time,
        "end_time": ref.end_time,
        "missing_since": ref.missing_since,
        "ui_url": ui_url and f"{ui_url}/#/job/{folder}/{ref.id}/overview",
        "history_url": f"{history_url}/#/job/completed/{ref.id}/overview"
        if history_url and may_be_history
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
