"""One cleanup run: delete what is left of finished submissions, once their records hold all that they tell.

    lease → clocks → list with records: the plan → guards
          → look at the unsettled → read again → delete → report

The plan changes nothing. Where it makes no sense, the run ends there and says why. A run that comes to its
limit keeps what it has done, and the next one goes on: what is deleted is not listed again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from flinkjobs import log
from flinkjobs.cleanup.context import RECORDS_PER_LOOKUP, THREADS, Cleanup, ClockSkewError, _Plan, _Work
from flinkjobs.cleanup.deletion import _delete
from flinkjobs.cleanup.plan import _plan
from flinkjobs.cleanup.rate_limiter import RateLimiter
from flinkjobs.cleanup.report import _report
from flinkjobs.cleanup.retention import (
    MAX_CLOCK_SKEW,
    Kept,
    clock_skew,
)
from flinkjobs.cleanup.unsettled import _look
from flinkjobs.cleanup.work_queue import Age, Candidate, ResumePosition, deletion_order
from flinkjobs.domain.batches import chunks, growing_chunks
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesThrottledError,
)
from flinkjobs.lease import hold_lease
from flinkjobs.observers.deadline import REQUEST_GRACE_SECONDS
from flinkjobs.sync.report import RUN_NOT_SAVED

T = TypeVar("T")

LEASE: Final = "cleanup"
PORTION: Final = 100
"""The records of so many objects are read again right before these are deleted."""


def run(cleanup: Cleanup, *, dry_run: bool = False) -> dict[str, Any]:
    """Deletes what may go, or with `dry_run` only says what would go, writing nothing anywhere.

    One run at a time holds a lease; while another one holds it, the answer says `skipped`.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime. A deletion counts after
        the API server confirmed it.

    Raises:
        ClockSkewError: two clocks are too far apart.
        SelectorOrDatabaseError: the records do not belong to these Jobs.
        KubernetesUnavailableError: what is there could not be listed.
        StoreUnavailableError: the records could not be read.
            After any of these nothing was deleted.
    """
    run_id, deadline = uuid.uuid4().hex, time.monotonic() + cleanup.budget_seconds
    lease = nullcontext() if dry_run else hold_lease(cleanup.store, LEASE, holder=run_id)
    with ThreadPoolExecutor(max_workers=THREADS) as threads, lease as holding:
        started_at, began = cleanup.sync.clock(), time.monotonic()  # not before: another may still be at work
        if holding is None and not dry_run:
            log.info("cleanup.skipped", run_id=run_id)
            return _report(run_id, started_at, began, None, dry_run=False)
        cleanup = replace(cleanup, cluster=cleanup.cluster.until(deadline + REQUEST_GRACE_SECONDS))
        limiter = RateLimiter(
            cleanup.deletions_per_second,
            deadline=deadline,
            monotonic=time.monotonic,
            sleep=time.sleep,
        )
        cursor = holding.cursor if holding is not None else cleanup.store.cursor_of_lease(LEASE)
        marks = ResumePosition.from_text(cursor)

        def begin() -> tuple[_Work, _Plan]:
            now = _server_time(cleanup)
            work = _Work(cleanup, run_id, dry_run, now, limiter, threads, holding, marks)
            return work, _plan(work)

        work, plan = _patiently(limiter, begin)
        left = _work_through(work, plan)
        if holding is not None:
            holding.cursor = left.to_text()
        report = _report(run_id, started_at, began, work, dry_run=dry_run)
        if not dry_run:
            try:
                cleanup.store.save_cleanup_run(report)
            except FlinkjobsError as error:  # what is deleted is deleted: the run itself has done its work
                report["errors"].append({"job_id": None, "code": RUN_NOT_SAVED, "message": str(error)})
    log.info("cleanup.run", **report)
    return report


def _patiently(limiter: RateLimiter, ask: Callable[[], T]) -> T:
    """Asks again, from the beginning, after each pause that the API server wants, while there is time."""
    while True:
        try:
            return ask()
        except KubernetesThrottledError as error:
            limiter.pause(error.retry_after_seconds)
            if not limiter.acquire():
                raise


def _server_time(cleanup: Cleanup) -> datetime:
    before = cleanup.sync.clock()
    server = cleanup.cluster.time()
    skew = clock_skew(server, before=before, after=cleanup.sync.clock())
    if abs(skew) > MAX_CLOCK_SKEW:
        seconds = skew.total_seconds()
        where = "ahead of" if seconds > 0 else "behind"
        raise ClockSkewError(
            f"clock_skew: the API server's clock is {abs(seconds):.0f} s {where} ours, and more than "
            f"{MAX_CLOCK_SKEW.total_seconds():.0f} s are too much: nothing was deleted"
        )
    return server


# --- carrying it out --------------------------------------------------------------------------------


def _work_through(work: _Work, plan: _Plan) -> ResumePosition:
    """Looks at what is unsettled, for half of the time at most; then deletes up to the limits of the run.

    Returns:
        The marks for the next run.
    """
    ready = list(plan.certain)
    least_seconds_left = work.limiter.seconds_left() / 2
    for chunk in growing_chunks(plan.unsettled, THREADS, RECORDS_PER_LOOKUP):
        budget_seconds = max(0.0, work.limiter.seconds_left() - least_seconds_left)
        ready += _unless_over(work, chunk, partial(_look, budget_seconds=budget_seconds))
    ready = deletion_order(ready, work.marks.certain)
    for portion in chunks(ready, PORTION):
        _unless_over(work, portion, _delete)
    marks: list[Age | None] = [
        line.next_position(candidates, untried=work.untried, stayed=work.stayed)
        for line, candidates in zip(plan.lines, (ready, plan.unsettled), strict=True)
    ]
    return ResumePosition(*marks)


_Step: TypeAlias = Callable[[_Work, Sequence[Candidate]], Sequence[Candidate]]


def _unless_over(work: _Work, candidates: Sequence[Candidate], step: _Step) -> Sequence[Candidate]:
    """Takes a step with these candidates. Once the run is over, or when the store goes, they are kept."""
    reason = Kept.OVER_LIMIT
    try:
        if not work.is_over():
            return step(work, candidates)
    except FlinkjobsError as error:
        work.error(None, error)
        work.stopped, reason = True, Kept.ERROR
    for candidate in candidates:
        work.put_off(candidate, reason)
    return []
