"""The report of a pass, from the results of its batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from flinkjobs.domain.observations import ObservationError
from flinkjobs.observers.flink_snapshot import Snapshots

ACTIONS_NOT_SAVED: Final = "ACTIONS_NOT_SAVED"
HEALTH_NOT_SAVED: Final = "HEALTH_NOT_SAVED"
JOBS_MISSING: Final = "JOBS_MISSING"
NOT_NOTIFIED: Final = "NOT_NOTIFIED"
RUN_NOT_SAVED: Final = "RUN_NOT_SAVED"
UNREADABLE_RECORD: Final = "UNREADABLE_RECORD"
UNMANAGED_NOT_SAVED: Final = "UNMANAGED_NOT_SAVED"
WRITE_REFUSED: Final = "WRITE_REFUSED"


class BatchResult(msgspec.Struct, frozen=True):
    """Results of a pass for some records, counted after each write.

    Attributes:
        is_complete: every record was examined, and each decision was written or refused.
        scanned: records that were decided, and those known to be unchanged without being read.
        unresolved: those without a Flink Job ID.
        resolved: those that got their first one.
        unchanged: those of which nothing was to be written.
        conflicts: those that another writer changed in between.
        changed: records written, by their new status.
        errors: in the order they occurred.
        is_kubernetes_answered: Kubernetes has answered at least one request.
        unmatched: as in `Changes`.
        flink_job_ids: of the records that were decided.
        awaited_since: by cluster, when the earliest record was submitted whose submitter may have a Flink job
            that is not known yet.
    """

    is_complete: bool = True
    scanned: int = 0
    unresolved: int = 0
    resolved: int = 0
    unchanged: int = 0
    conflicts: int = 0
    changed: Mapping[str, int] = msgspec.field(default_factory=dict)
    errors: tuple[ObservationError, ...] = ()
    is_kubernetes_answered: bool = False
    unmatched: frozenset[str] = frozenset()
    flink_job_ids: frozenset[str] = frozenset()
    awaited_since: Mapping[str, datetime] = msgspec.field(default_factory=dict)


def total(results: Iterable[BatchResult]) -> BatchResult:
    """The sum of several results."""
    every = list(results)
    changed: Counter[str] = Counter()
    for result in every:
        changed.update(result.changed)
    awaited_since: dict[str, datetime] = {}
    for result in every:
        for cluster, since in result.awaited_since.items():
            awaited_since[cluster] = min(since, awaited_since.get(cluster, since))
    return BatchResult(
        is_complete=all(result.is_complete for result in every),
        scanned=sum(result.scanned for result in every),
        unresolved=sum(result.unresolved for result in every),
        resolved=sum(result.resolved for result in every),
        unchanged=sum(result.unchanged for result in every),
        conflicts=sum(result.conflicts for result in every),
        changed=changed,
        errors=tuple(error for result in every for error in result.errors),
        is_kubernetes_answered=any(result.is_kubernetes_answered for result in every),
        unmatched=frozenset().union(*(result.unmatched for result in every)),
        flink_job_ids=frozenset().union(*(result.flink_job_ids for result in every)),
        awaited_since=awaited_since,
    )


def missing_jobs(snapshots: Snapshots, clusters: Mapping[str, Mapping[str, Any]]) -> list[ObservationError]:
    """One error per cluster that does not know some of its jobs."""
    errors = []
    for name, count in snapshots.missing().items():
        message = f"cluster {name} answers, and does not know {count} of the jobs it was given"
        if clusters[name]["jobs"] == 0:
            message += "; it knows no job at all: was its JobManager restarted without high availability?"
        errors.append(ObservationError(None, JOBS_MISSING, message, name))
    return errors


def pass_report(
    *,
    run_id: str,
    started_at: datetime,
    duration_seconds: float,
    result: BatchResult | None,
    clusters: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """The report of the contract; without a result it says that the pass was skipped."""
    done = result or BatchResult(is_complete=False)
    return {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(duration_seconds, 3),
        "complete": done.is_complete,
        "skipped": result is None,
        "scanned": done.scanned,
        "unresolved": done.unresolved,
        "resolved": done.resolved,
        "changed": dict(sorted(done.changed.items())),
        "unchanged": done.unchanged,
        "conflicts": done.conflicts,
        "errors": error_views(done.errors),
        "clusters": dict(clusters),
        "notified": {},
    }


def error_views(errors: Iterable[ObservationError]) -> Sequence[dict[str, str | None]]:
    """Errors as a report lists them: one per record and code, and one per peer and code."""
    first: dict[tuple[str | None, str, str | None], ObservationError] = {}
    for error in errors:
        first.setdefault((error.job_id, error.code, error.cluster), error)
    return [
        {"job_id": error.job_id, "code": error.code, "message": error.message} for error in first.values()
    ]
