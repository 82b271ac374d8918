"""What a cleanup run works with."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from flinkjobs.cleanup.rate_limiter import RateLimiter
from flinkjobs.cleanup.retention import (
    Kept,
    RetentionPolicy,
)
from flinkjobs.cleanup.work_queue import Candidate, ResumePosition, WorkQueue
from flinkjobs.domain.errors import (
    FlinkjobsError,
    TemporaryError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.lease import ActiveLease
from flinkjobs.ports.kubernetes import KubernetesCleanupClient
from flinkjobs.ports.store import JobStore, Settled
from flinkjobs.sync.context import Sync

THREADS: Final = 8
"""Requests to Kubernetes under way at once."""
RECORDS_PER_LOOKUP: Final = 500


class ClockSkewError(TemporaryError):
    """The API server's clock and ours are too far apart to tell how old a Job is; nothing was deleted."""

    code = "CLOCK_SKEW"


class SelectorOrDatabaseError(TemporaryError):
    """Most of what is listed has no record: this is the wrong database or namespace; nothing was deleted."""

    code = "SELECTOR_OR_DATABASE"


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What a run works with.

    Attributes:
        sync: how a pass looks at a record, with the records, the Flink clusters and the clock.
        cluster: Kubernetes.
        policy: see `RetentionPolicy`.
        max_deletions: per run.
        deletions_per_second: at most.
        budget_seconds: the run begins nothing new after this long, and gives up soon after what is under way.
    """

    sync: Sync
    cluster: KubernetesCleanupClient
    policy: RetentionPolicy
    max_deletions: int
    deletions_per_second: float
    budget_seconds: float

    @property
    def store(self) -> JobStore:
        """The records."""
        return self.sync.store


@dataclass(frozen=True, slots=True)
class _Plan:
    """What may go, in the order of its turn.

    Attributes:
        certain: what needs no look.
        unsettled: what goes if a look settles its record, or if it is given up.
        lines: the two lines in which they stand.
    """

    certain: Sequence[Candidate]
    unsettled: Sequence[Candidate]
    lines: tuple[WorkQueue, WorkQueue]


@dataclass(slots=True)
class _Tally:
    """What became of the Jobs, or of the orphans; counted after it happened."""

    found: int = 0
    deleted: int = 0
    gone: int = 0
    names: list[str] = field(default_factory=list)
    kept: Counter[Kept] = field(default_factory=Counter)


@dataclass(slots=True)
class _Work:
    """One run under way.

    Attributes:
        now: the API server's time.
        lease: None in a dry run.
        marks: of the run before.
        settled_by_look: records as a dry run's look would have left them, by job id.
        given_up: uids of what goes although its record is not settled.
        untried: uids of the candidates that the run did not come to.
        stayed: uids of those that it tried in vain.
        stopped: the lease, the store or the API server is gone.
    """

    cleanup: Cleanup
    run_id: str
    dry_run: bool
    now: datetime
    limiter: RateLimiter
    threads: ThreadPoolExecutor
    lease: ActiveLease | None
    marks: ResumePosition
    jobs: _Tally = field(default_factory=_Tally)
    orphans: _Tally = field(default_factory=_Tally)
    oldest_kept: datetime | None = None
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    harvested: int = 0
    settled_by_look: dict[str, list[Settled]] = field(default_factory=lambda: defaultdict(list))
    given_up: set[str] = field(default_factory=set)
    untried: set[str] = field(default_factory=set)
    stayed: set[str] = field(default_factory=set)
    logs_saved: int = 0
    stopped: bool = False

    def tally(self, target: CleanupTarget) -> _Tally:
        return self.jobs if target.kind is Kind.JOB else self.orphans

    def keep(self, target: CleanupTarget, reason: Kept) -> None:
        self.tally(target).kept[reason] += 1
        if target.kind is Kind.JOB and target.over_since is not None:
            self.oldest_kept = min(self.oldest_kept or target.over_since, target.over_since)

    def put_off(self, candidate: Candidate, reason: Kept = Kept.OVER_LIMIT) -> None:
        """Keeps a candidate that the run does not come to."""
        self.untried.add(candidate.target.uid)
        self.keep(candidate.target, reason)

    def stay(self, candidate: Candidate, reason: Kept) -> None:
        """Keeps a candidate that the run has tried to settle or to delete."""
        self.stayed.add(candidate.target.uid)
        self.keep(candidate.target, reason)

    def error(self, job_id: str | None, error: FlinkjobsError) -> None:
        """Notes an error; one of a peer, with no job id, once."""
        what = {"job_id": job_id, "code": error.code}
        if job_id is not None or not any(what.items() <= noted.items() for noted in self.errors):
            self.errors.append({**what, "message": str(error)})

    @property
    def places(self) -> int:
        """How many more deletions this run may do."""
        return self.cleanup.max_deletions - self.jobs.deleted - self.orphans.deleted

    def is_over(self) -> bool:
        """Whether nothing new is to be begun."""
        if not self.stopped and self.lease is not None and not self.lease.is_ours():
            self.stopped = True
        return self.stopped or self.places <= 0 or self.limiter.is_over()
