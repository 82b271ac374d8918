"""One cleanup run: delete the Kubernetes Jobs whose work is done and whose record is safe."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flinkjobs import log
from flinkjobs.errors import FlinkjobsError, KubernetesConflictError
from flinkjobs.kube import APP, APP_LABEL, KubernetesJob
from flinkjobs.ports import Cluster, JobStore
from flinkjobs.retention import Kept, RetentionPolicy, kept_because

RECORDS_PER_LOOKUP: Final = 500
NAMES_REPORTED: Final = 100
"""Names in the report; the counts are always whole."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a run works with.

    Attributes:
        store: the records.
        cluster: Kubernetes.
        policy: see `RetentionPolicy`.
        max_deletions: per run, oldest first.
        budget_seconds: the run begins no further deletion after this long; the next one goes on.
        clock: the time now, aware UTC.
    """

    store: JobStore
    cluster: Cluster
    policy: RetentionPolicy
    max_deletions: int
    budget_seconds: float
    clock: Callable[[], datetime]


def run(cleanup: Cleanup, *, dry_run: bool = False) -> dict[str, Any]:
    """Deletes what may go, or with `dry_run` only says what would go.

    Returns:
        The report of the contract. A deletion counts after the API server confirmed it.

    Raises:
        KubernetesUnavailableError: the Jobs could not be listed; nothing was deleted.
        StoreUnavailableError: the records could not be read; nothing was deleted.
    """
    began, now = time.monotonic(), cleanup.clock()
    kept: Counter[Kept] = Counter()
    errors: list[dict[str, str]] = []
    deleted: list[str] = []
    scanned, oldest_kept, candidates = 0, None, []
    for job, reason in _judged(cleanup, now):
        scanned += 1
        if reason is None:
            candidates.append(job)
        else:
            kept[reason] += 1
            oldest_kept = min(filter(None, (oldest_kept, job.finished_at)), default=None)
    chosen = heapq.nsmallest(cleanup.max_deletions, candidates, key=lambda job: (job.finished_at, job.name))
    complete = len(chosen) == len(candidates)
    if not complete:
        kept[Kept.OVER_LIMIT] = len(candidates) - len(chosen)
    for job in chosen:
        if not dry_run and time.monotonic() - began > cleanup.budget_seconds:
            kept[Kept.OVER_LIMIT] += len(chosen) - len(deleted) - len(errors) - kept[Kept.CHANGED]
            complete = False
            break
        try:
            if not dry_run:
                cleanup.cluster.delete_job(job.name, job.uid)
        except KubernetesConflictError:
            kept[Kept.CHANGED] += 1  # another Job has this name by now
        except FlinkjobsError as error:
            kept[Kept.ERROR] += 1
            errors.append({"job_id": job.job_id, "code": error.code, "message": str(error)})
        else:
            deleted.append(job.name)
    report = {
        "dry_run": dry_run,
        "complete": complete and not errors,
        "scanned": scanned,
        "deleted": len(deleted),
        "names": deleted[:NAMES_REPORTED],
        "kept": {reason.value: count for reason, count in sorted(kept.items())},
        "errors": errors,
        "oldest_kept_hours": (
            None if oldest_kept is None else round((now - oldest_kept).total_seconds() / 3600, 3)
        ),
    }
    log.info("cleanup.run", **report)
    return report


def _judged(cleanup: Cleanup, now: datetime) -> Iterator[tuple[KubernetesJob, Kept | None]]:
    """Every Job with our label, and why it is kept, looking its record up in portions."""
    portion: list[KubernetesJob] = []
    for job in cleanup.cluster.jobs(f"{APP_LABEL}={APP}"):
        portion.append(job)
        if len(portion) == RECORDS_PER_LOOKUP:
            yield from _judge(cleanup, portion, now)
            portion = []
    yield from _judge(cleanup, portion, now)


def _judge(
    cleanup: Cleanup, jobs: list[KubernetesJob], now: datetime
) -> Iterator[tuple[KubernetesJob, Kept | None]]:
    known = cleanup.store.settled([job.job_id for job in jobs if job.job_id]) if jobs else {}
    for job in jobs:
        yield job, kept_because(job, known.get(job.job_id), now, cleanup.policy)
