"""A record as submit writes it, to begin a test with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flinkjobs.domain.submitter_log import MARK, SUBMITTED_LINE

Document = dict[str, Any]


def new_record(job_id: str, submitted_at: datetime, /, **fields: Any) -> Document:
    """The document of a job that was accepted then; `fields` are what else there is, or is otherwise."""
    new: Document = {
        "job_id": job_id,
        "template_id": "etl",
        "status": "CREATED",
        "submitted_at": submitted_at,
        "updated_at": submitted_at,
        "k8s_job_name": None,
        "cluster": "default",
        "flink_job_id": None,
        "flink_job_ids": [],
        "flink_jobs": [],
        "flink_state": None,
        "submitter_done": False,
        "dropped_ids": [],
        "start_time": None,
        "end_time": None,
        "duration": None,
        "reason": None,
        "missing_since": None,
        "revision": 0,
    }
    return new | fields


def labelled(labels: Mapping[str, str]) -> Document:
    """The fields of a record with these labels."""
    return {"labels": dict(labels), "label_pairs": [f"{key}={value}" for key, value in labels.items()]}


def termination_message(*flink_job_ids: str) -> str:
    """What our submitter leaves behind when it has ended without an error and printed these ids."""
    lines = [f"{SUBMITTED_LINE} {flink_job_id}" for flink_job_id in flink_job_ids]
    return "\n".join([MARK, *lines, f"end {len(lines)}", ""])
