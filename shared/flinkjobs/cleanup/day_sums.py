"""The sums of days, which the statistics are read from: made by cleanup, and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from flinkjobs import log
from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.progress import Progress, error_entry
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.job_sums import DAY, SUMMED_AFTER
from flinkjobs.ports.stats_store import StatsStore
from flinkjobs.sync.service import LOST_WATCHED_FOR


def lost_before(now: datetime) -> datetime:
    """LOST records whose jobs are missing since before then are not watched any more."""
    return now - LOST_WATCHED_FOR - DAY


def sum_days(stats: StatsStore, now: datetime, *, every: bool = False) -> Iterator[tuple[int, bool]]:
    """Sums the days that have changed, one at a time. The caller then rolls them up.

    Yields:
        How many days there are to sum in all, and whether this one was summed.
    """
    days = stats.changed_days(now - SUMMED_AFTER, every=every)
    for day in days:
        yield len(days), stats.sum_day(day, lost_before=lost_before(now))


def sum_changed_days(run: Run) -> Progress:
    """Sums what has changed, as long as the run may continue. The next run continues."""
    stats = run.cleanup.stats
    if stats is None or run.dry_run:
        return Progress()
    now, summed = run.cleanup.sync.clock(), 0
    try:
        if not run.may_continue():
            return Progress()
        for _, is_summed in sum_days(stats, now):
            summed += is_summed
            if not run.may_continue():
                break
        stats.roll_up(now)
    except FlinkjobsError as error:
        return Progress(errors=(error_entry(None, error),))
    log.info("cleanup.days_summed", run_id=run.run_id, days=summed)
    return Progress()
