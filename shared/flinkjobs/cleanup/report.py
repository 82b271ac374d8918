"""The report of a cleanup run, counted from its outcomes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from flinkjobs.cleanup.progress import ErrorEntry, Outcome, Progress
from flinkjobs.cleanup.records import ExpiredRecords
from flinkjobs.cleanup.retention import Kept
from flinkjobs.domain.kubernetes_objects import Kind
from flinkjobs.ports.kubernetes import Deletion

NAMES_REPORTED: Final = 100
"""Maximum number of names, and of errors, in a report; the counts have no limit."""

_UNFINISHED: Final = (Kept.OVER_LIMIT, Kept.CHANGED, Kept.UNCONFIRMED, Kept.ERROR)
"""Reasons after which a target may be due, or gone: the next run finds out."""


def make_report(
    done: Progress,
    expired: ExpiredRecords,
    *,
    run_id: str,
    started_at: datetime,
    duration_seconds: float,
    dry_run: bool,
    now: datetime | None,
) -> dict[str, Any]:
    """The report of the contract.

    Args:
        done: with an outcome for every target.
        expired: what was done about expired records.
        run_id: of the run.
        started_at: by our clock.
        duration_seconds: of the run.
        dry_run: whether nothing was deleted.
        now: the API server's time; None for a run that was skipped.
    """
    jobs = [outcome for outcome in done.outcomes if outcome.target.kind is Kind.JOB]
    orphans = [outcome for outcome in done.outcomes if outcome.target.kind is not Kind.JOB]
    errors = _distinct([*done.errors, *expired.errors])
    is_finished = expired.is_finished and not any(outcome.result in _UNFINISHED for outcome in done.outcomes)
    return {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(duration_seconds, 3),
        "dry_run": dry_run,
        "complete": now is not None and is_finished and not errors,
        "skipped": now is None,
        "scanned": len(jobs),
        **_counts(jobs),
        "harvested": done.settled_by_output,
        "logs_saved": done.logs_saved,
        "errors": errors[:NAMES_REPORTED],
        "oldest_kept_hours": _oldest_kept_hours(jobs, now),
        "orphans": {"found": len(orphans), **_counts(orphans)},
        "records": expired.report(),
    }


def _counts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    names = [outcome.target.name for outcome in outcomes if outcome.result is Deletion.DONE]
    kept = Counter(outcome.result.value for outcome in outcomes if isinstance(outcome.result, Kept))
    return {
        "deleted": len(names),
        "gone": sum(outcome.result is Deletion.GONE for outcome in outcomes),
        "names": names[:NAMES_REPORTED],
        "kept": dict(sorted(kept.items())),
    }


def _oldest_kept_hours(jobs: Sequence[Outcome], now: datetime | None) -> float | None:
    ended = [
        outcome.target.over_since
        for outcome in jobs
        if isinstance(outcome.result, Kept) and outcome.target.over_since is not None
    ]
    return round((now - min(ended)).total_seconds() / 3600, 3) if now is not None and ended else None


def _distinct(errors: Sequence[ErrorEntry]) -> list[ErrorEntry]:
    """All errors of jobs; of the errors of peers the first with each code."""
    first_of_peers = {error["code"]: error for error in reversed(errors) if error["job_id"] is None}
    return [
        error for error in errors if error["job_id"] is not None or first_of_peers[error["code"]] is error
    ]
