"""The indexes that the queries need."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

RUNS_KEPT: Final = timedelta(days=14)
"""`sync_runs` and `cleanup_runs` hold the runs of this long."""

UNIQUE_SUFFIX: Final = "_unique"
"""Ends the name of a unique index that had to be made beside one that is not unique."""

BY_TIME: Final = (
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
    ("template_id", ASCENDING),
    ("job_id", ASCENDING),
    ("k8s_job_name", ASCENDING),
    ("job_name", ASCENDING),
)
"""The list: every filter and the text search are answered by its keys; only the records shown are read."""
BY_STATUS: Final = (
    ("status", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("template_id", ASCENDING),
    ("duration", ASCENDING),
    ("reason.code", ASCENDING),
    ("flink_job_id", ASCENDING),
)
"""The list of a status; and all figures, which read no record at all."""
BY_TEMPLATE: Final = (
    ("template_id", ASCENDING),
    ("submitted_at", DESCENDING),
    ("_id", DESCENDING),
    ("status", ASCENDING),
)
"""The list of a template."""

BY_FINGERPRINT: Final = (("status", ASCENDING), ("fingerprint", ASCENDING))
"""A pass: which records are unchanged, from these keys alone; and the others, by their fingerprints."""

JOB_INDEXES: Final = (
    IndexModel([("status", ASCENDING)]),
    IndexModel([("job_id", ASCENDING)], unique=True),
    IndexModel([("flink_job_id", ASCENDING)]),
    IndexModel([("submitted_at", DESCENDING)]),
    IndexModel([("flink_job_ids", ASCENDING)]),
    IndexModel([("k8s_job_name", ASCENDING)]),
    IndexModel(BY_TIME, name="list_by_time"),
    IndexModel(BY_STATUS, name="list_by_status"),
    IndexModel(BY_TEMPLATE, name="list_by_template"),
    IndexModel(BY_FINGERPRINT),
    IndexModel(
        [("idempotency_key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$type": "string"}},
    ),
)
"""The four indexes that the platform's users know, and what our own queries need besides."""
