"""The report of a cleanup run."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from typing import Any, Final

from flinkjobs.cleanup.context import _Tally, _Work
from flinkjobs.cleanup.retention import (
    Kept,
)

NAMES_REPORTED: Final = 100
"""Names in the report, and errors; the counts are always whole."""


# --- the report -------------------------------------------------------------------------------------


def _report(
    run_id: str, started_at: datetime, began: float, work: _Work | None, *, dry_run: bool
) -> dict[str, Any]:
    """The report of the contract; without work it says that this run was skipped."""
    jobs, orphans = (work.jobs, work.orphans) if work else (_Tally(), _Tally())
    errors = work.errors if work else []
    oldest_kept = work.oldest_kept if work else None
    left = sum(tally.kept[reason] for tally in (jobs, orphans) for reason in _LEFT)
    return {
        "run_id": run_id,
        "started_at": started_at,
        "duration_seconds": round(time.monotonic() - began, 3),
        "dry_run": dry_run,
        "complete": work is not None and not left and not errors,
        "skipped": work is None,
        "scanned": jobs.found,
        "deleted": jobs.deleted,
        "gone": jobs.gone,
        "harvested": work.harvested if work else 0,
        "logs_saved": work.logs_saved if work else 0,
        "names": jobs.names,
        "kept": _counts(jobs.kept),
        "errors": errors[:NAMES_REPORTED],
        "oldest_kept_hours": (
            None
            if work is None or oldest_kept is None
            else round((work.now - oldest_kept).total_seconds() / 3600, 3)
        ),
        "orphans": {
            "found": orphans.found,
            "deleted": orphans.deleted,
            "gone": orphans.gone,
            "names": orphans.names,
            "kept": _counts(orphans.kept),
        },
    }


_LEFT: Final = (Kept.OVER_LIMIT, Kept.CHANGED, Kept.UNCONFIRMED, Kept.ERROR)
"""What is kept for one of these may have to go, or be gone: the next run finds out."""


def _counts(kept: Counter[Kept]) -> dict[str, int]:
    return {reason.value: count for reason, count in sorted(kept.items()) if count}
