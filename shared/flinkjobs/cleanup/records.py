"""Deletes records that have expired, day by day of their submission, once the sums over each day are kept.

    the oldest days that hold expired records → sum each a last time → merge the sums
          → delete in batches, each record only if it has still expired

A run that ends anywhere is continued by the next one: each step can be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.day_sums import lost_before
from flinkjobs.cleanup.progress import ErrorEntry, error_entry
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.ports.record_store import Expiry, RecordStore
from flinkjobs.ports.stats_store import StatsStore

BATCH: Final = 500
"""Maximum number of records that one write deletes."""

DAYS_AT_ONCE: Final = 30
"""Number of days that are summed before the records of the first are deleted."""


@dataclass(slots=True)
class ExpiredRecords:
    """What was done about expired records.

    Attributes:
        before: final records submitted, ended and last written before it have expired; None without a limit.
        deleted: number of records deleted; in a dry run, how many would be.
        is_finished: no record that may be deleted is left.
        errors: why it ended early.
    """

    before: datetime | None = None
    deleted: int = 0
    is_finished: bool = True
    errors: tuple[ErrorEntry, ...] = ()

    def report(self) -> dict[str, Any] | None:
        """As the report of a run shows it; None without a limit."""
        return None if self.before is None else {"before": self.before, "deleted": self.deleted}


def delete_expired_records(run: Run, in_use: Collection[str], *, is_listed: bool) -> ExpiredRecords:
    """Deletes the records that have expired while the run may continue; a dry run counts them.

    Args:
        run: the run.
        in_use: job ids of Kubernetes objects that stay: without a record they could not be judged.
        is_listed: whether all Kubernetes objects are known; if not, no record is deleted.
    """
    records, sums, now = run.cleanup.records, run.cleanup.stats, run.cleanup.sync.clock()
    if records is None or sums is None:
        return ExpiredRecords()
    before = now - records.retention
    done = ExpiredRecords(before=before, is_finished=is_listed)
    expiry = Expiry(before, lost_before(now), frozenset(in_use))
    if not is_listed:
        return done
    try:
        days = records.store.expired_days(expiry)
        while group := list(islice(days, DAYS_AT_ONCE)):
            if run.dry_run:
                done.deleted += sum(records.store.count_expired(day, expiry) for day in group)
            else:
                _delete(run, records.store, sums, expiry, group, done)
            if not run.may_continue():
                done.is_finished = False
                break
    except FlinkjobsError as error:
        done.is_finished, done.errors = False, (error_entry(None, error),)
    return done


def _delete(
    run: Run,
    store: RecordStore,
    sums: StatsStore,
    expiry: Expiry,
    days: Sequence[datetime],
    done: ExpiredRecords,
) -> None:
    now = run.cleanup.sync.clock()
    unsummed: dict[datetime, Collection[Any]] = {}
    for day in _while_it_may(run, days):
        found = sums.retire_day(day, lost_before=expiry.lost_before, now=now)
        if found is None:  # another process changed it; the next run continues
            done.is_finished = False
        else:
            unsummed[day] = found
    if not sums.roll_up(now):
        done.is_finished = False
        return
    for day in _while_it_may(run, list(unsummed)):
        found_count = BATCH
        while found_count == BATCH and run.may_continue():
            found_count, deleted = store.delete_expired(day, expiry, but=unsummed[day], limit=BATCH)
            done.deleted += deleted


def _while_it_may(run: Run, days: Sequence[datetime]) -> Iterator[datetime]:
    for day in days:
        if not run.may_continue():
            return
        yield day
