"""Dependencies and limits of a cleanup run, and the errors that end it before a deletion."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flinkjobs.cleanup.rate_limiter import RateLimiter
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.domain.errors import TemporaryError
from flinkjobs.lease import ActiveLease
from flinkjobs.ports.kubernetes import KubernetesCleanupClient
from flinkjobs.ports.record_store import RecordStore
from flinkjobs.ports.stats_store import StatsStore
from flinkjobs.ports.store import JobStore
from flinkjobs.sync.context import Sync

THREADS: Final = 8
"""Maximum number of concurrent requests to Kubernetes."""

RECORDS_PER_LOOKUP: Final = 500
"""Maximum number of targets whose records are looked up in one query."""


class ClockSkewError(TemporaryError):
    """The API server's clock and ours are too far apart to compute a Job's age; nothing was deleted."""

    code = "CLOCK_SKEW"


class SelectorOrDatabaseError(TemporaryError):
    """Most targets have no record: the database or the namespace is the wrong one; nothing was deleted."""

    code = "SELECTOR_OR_DATABASE"


@dataclass(frozen=True, slots=True)
class RecordRetention:
    """How long records are kept.

    Attributes:
        store: deletes them.
        retention: age after which a final record is deleted.
    """

    store: RecordStore
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Dependencies and limits of every run.

    Attributes:
        sync: dependencies of a sync pass: the records, the Flink clusters and the clock.
        cluster: Kubernetes, in the first of the namespaces.
        namespaces: whose Jobs are cleaned up.
        policy: see `RetentionPolicy`.
        max_deletions: maximum number of deletions per run.
        deletions_per_second: maximum rate of deletions.
        records: how long records are kept; None is for ever. Without `stats` none is deleted.
        budget_seconds: after it the run starts nothing new, and soon gives up the requests under way.
        stats: the sums of days; None: they are left alone.
    """

    sync: Sync
    cluster: KubernetesCleanupClient
    policy: RetentionPolicy
    max_deletions: int
    deletions_per_second: float
    budget_seconds: float
    namespaces: Sequence[str | None] = (None,)
    records: RecordRetention | None = None
    stats: StatsStore | None = None

    @property
    def store(self) -> JobStore:
        """The records."""
        return self.sync.store


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        now: the API server's time when the run began, aware UTC.
        limiter: holds the rate of deletions and the deadline of the run.
        threads: for requests to Kubernetes.
        lease: None in a dry run.
    """

    cleanup: Cleanup
    run_id: str
    dry_run: bool
    now: datetime
    limiter: RateLimiter
    threads: ThreadPoolExecutor
    lease: ActiveLease | None

    def may_continue(self) -> bool:
        """Whether the run still holds its lease and has time left. Asks the store for the lease."""
        return (self.lease is None or self.lease.is_ours()) and not self.limiter.is_over()
