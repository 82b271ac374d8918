"""Documents of `unmanaged_jobs`: one for each Flink cluster, with the jobs that belong to no record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from flinkjobs.domain.unmanaged import UnmanagedJob, UnmanagedJobs

COLLECTION: Final = "unmanaged_jobs"

JOBS_KEPT: Final = 10_000
"""Maximum number of jobs in the document of a cluster, the newest: MongoDB takes documents up to 16 MiB."""


def document_of(cluster: str, jobs: Sequence[UnmanagedJob], *, seen_at: datetime) -> dict[str, Any]:
    """The document of a cluster; `digest` is the same as long as the jobs are."""
    return {
        "_id": cluster,
        "seen_at": seen_at,
        "digest": hashlib.sha256(msgspec.json.encode(jobs)).hexdigest(),
        "count": len(jobs),
        "jobs": [msgspec.structs.asdict(job) for job in jobs[:JOBS_KEPT]],
    }


def read_document(document: Mapping[str, Any]) -> UnmanagedJobs:
    """The jobs that a document holds."""
    return UnmanagedJobs(
        cluster=document["_id"],
        seen_at=document["seen_at"],
        count=document["count"],
        jobs=tuple(UnmanagedJob(**{**job, "twin_of": tuple(job["twin_of"])}) for job in document["jobs"]),
    )
