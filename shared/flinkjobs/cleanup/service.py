"""One cleanup run: delete the Kubernetes objects of submissions whose records are settled, and old records.

    lease → compare the clocks → list the targets with their records → plan
          → read the output of the unsettled → read the records again → save the logs → delete
          → delete the records that have expired → report

The plan changes nothing; where the records do not match the targets, the run ends there with an error. A run
that reaches a limit stops, and the next run continues with the objects that are left.
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
from typing import Any, Final, TypeVar

from flinkjobs import log
from flinkjobs.cleanup.context import RECORDS_PER_LOOKUP, THREADS, Cleanup, ClockSkewError, Run
from flinkjobs.cleanup.day_sums import sum_changed_days
from flinkjobs.cleanup.deletion import delete
from flinkjobs.cleanup.listing import Listing, list_targets
from flinkjobs.cleanup.plan import Plan, make_plan
from flinkjobs.cleanup.progress import Progress, error_entry, postponed
from flinkjobs.cleanup.rate_limiter import RateLimiter
from flinkjobs.cleanup.records import ExpiredRecords, delete_expired_records
from flinkjobs.cleanup.report import make_report
from flinkjobs.cleanup.retention import MAX_CLOCK_SKEW, Kept, clock_skew
from flinkjobs.cleanup.unsettled import read_output
from flinkjobs.cleanup.work_queue import Candidate, ResumePosition, deletion_order
from flinkjobs.domain.batches import chunks, growing_chunks
from flinkjobs.domain.errors import FlinkjobsError, KubernetesRefusedError, KubernetesThrottledError
from flinkjobs.lease import hold_lease
from flinkjobs.observers.deadline import REQUEST_GRACE_SECONDS
from flinkjobs.sync.report import RUN_NOT_SAVED

T = TypeVar("T")

LEASE: Final = "cleanup"

DELETIONS_PER_LOOKUP: Final = 100
"""Maximum number of deletions between two reads of the records."""


def run(cleanup: Cleanup, *, dry_run: bool = False) -> dict[str, Any]:
    """Deletes what the policy allows; with `dry_run` reports what it would delete, and writes nothing.

    One run at a time holds the lease; while another run holds it, the report says `skipped`.

    Returns:
        The report of the contract, as JSON values but for `started_at`, a datetime. A deletion counts after
        the API server confirmed it.

    Raises:
        ClockSkewError: the API server's clock and ours are too far apart.
        SelectorOrDatabaseError: the records do not belong to these targets.
        KubernetesUnavailableError: the Jobs could not be listed.
        StoreUnavailableError: the records could not be read.
            After any of these nothing was deleted.
    """
    run_id, deadline = uuid.uuid4().hex, time.monotonic() + cleanup.budget_seconds
    lease = nullcontext() if dry_run else hold_lease(cleanup.sync.leases, LEASE, holder=run_id)
    with ThreadPoolExecutor(max_workers=THREADS) as threads, lease as holding:
        # the clock starts after the lease was taken: until then another run may have been at work
        started_at, began = cleanup.sync.clock(), time.monotonic()
        report_of = partial(make_report, run_id=run_id, started_at=started_at, dry_run=dry_run)
        if holding is None and not dry_run:
            log.info("cleanup.skipped", run_id=run_id)
            return report_of(
                Progress(), ExpiredRecords(), duration_seconds=time.monotonic() - began, now=None
            )
        cleanup = replace(cleanup, cluster=cleanup.cluster.until(deadline + REQUEST_GRACE_SECONDS))
        limiter = RateLimiter(
            cleanup.deletions_per_second, deadline=deadline, monotonic=time.monotonic, sleep=time.sleep
        )
        cursor = holding.cursor if holding is not None else cleanup.sync.leases.cursor_of_lease(LEASE)
        now, listing = _retry_throttled(limiter, partial(_read, cleanup))
        plan = make_plan(
            listing.targets,
            now=now,
            policy=cleanup.policy,
            max_deletions=cleanup.max_deletions,
            resume=ResumePosition.from_text(cursor),
        )
        this_run = Run(cleanup, run_id, dry_run, now, limiter, threads, holding)
        done, position = _carry_out(this_run, plan)
        done += sum_changed_days(this_run)
        if holding is not None:
            holding.cursor = position.to_text()
        done = Progress(outcomes=plan.kept, errors=listing.errors) + done
        in_use = {each.target.job_id for each in done.outcomes if isinstance(each.result, Kept)}
        expired = delete_expired_records(this_run, in_use, is_listed=not listing.errors)
        report = report_of(done, expired, duration_seconds=time.monotonic() - began, now=now)
        if not dry_run:
            try:
                cleanup.store.save_cleanup_run(report)
            except FlinkjobsError as error:  # the deletions happened: the report is valid without being saved
                report["errors"].append({"job_id": None, "code": RUN_NOT_SAVED, "message": str(error)})
    log.info("cleanup.run", **report)
    return report


def _read(cleanup: Cleanup) -> tuple[datetime, Listing]:
    return _server_time(cleanup), list_targets(cleanup)


def _retry_throttled(limiter: RateLimiter, ask: Callable[[], T]) -> T:
    """Repeats `ask` after each pause that the API server requests, until the deadline."""
    while True:
        try:
            return ask()
        except KubernetesThrottledError as error:
            limiter.pause(error.retry_after_seconds)
            if not limiter.acquire():
                raise


def _server_time(cleanup: Cleanup) -> datetime:
    """The API server's time. Raises ClockSkewError when it differs too much from ours."""
    before = cleanup.sync.clock()
    server = _first_time(cleanup)
    skew = clock_skew(server, before=before, after=cleanup.sync.clock())
    if abs(skew) > MAX_CLOCK_SKEW:
        seconds = skew.total_seconds()
        where = "ahead of" if seconds > 0 else "behind"
        raise ClockSkewError(
            f"clock_skew: the API server's clock is {abs(seconds):.0f} s {where} ours, and more than "
            f"{MAX_CLOCK_SKEW.total_seconds():.0f} s are too much: nothing was deleted"
        )
    return server


def _first_time(cleanup: Cleanup) -> datetime:
    """The server's time, from the first namespace that may be read; else raises the first error."""
    refused: list[KubernetesRefusedError] = []
    for namespace in cleanup.namespaces:
        try:
            return cleanup.cluster.in_namespace(namespace).time()
        except KubernetesRefusedError as error:
            refused.append(error)
    raise refused[0]


def _carry_out(run: Run, plan: Plan) -> tuple[Progress, ResumePosition]:
    """Reads the output of the unsettled candidates, then deletes, both up to the limits of the run.

    Returns:
        What was done, and where the next run resumes.
    """
    reading = _read_unsettled(run, plan.unsettled.candidates)
    ready = deletion_order([*plan.certain.candidates, *reading.ready], plan.certain.resume_after)
    done = _delete_ready(run, ready, after=reading)
    untried = {outcome.target.uid for outcome in done.outcomes if not outcome.was_tried}
    stayed = {outcome.target.uid for outcome in done.outcomes if isinstance(outcome.result, Kept)}
    return done, ResumePosition(
        plan.certain.next_position(ready, untried=untried, stayed=stayed),
        plan.unsettled.next_position(plan.unsettled.candidates, untried=untried, stayed=stayed),
    )


def _read_unsettled(run: Run, candidates: Sequence[Candidate]) -> Progress:
    """Reads output for at most half of the time that is left."""
    done = Progress()
    reserved_seconds = run.limiter.seconds_left() / 2
    for chunk in growing_chunks(candidates, THREADS, RECORDS_PER_LOOKUP):
        budget_seconds = max(0.0, run.limiter.seconds_left() - reserved_seconds)
        done += _unless_over(run, done, chunk, partial(read_output, budget_seconds=budget_seconds))
    return done


def _delete_ready(run: Run, candidates: Sequence[Candidate], *, after: Progress) -> Progress:
    done = after
    for chunk in chunks(candidates, DELETIONS_PER_LOOKUP):
        limit = run.cleanup.max_deletions - done.deleted
        done += _unless_over(run, done, chunk, partial(delete, limit=limit))
    return done


def _unless_over(
    run: Run,
    done: Progress,
    candidates: Sequence[Candidate],
    step: Callable[[Run, Sequence[Candidate]], Progress],
) -> Progress:
    """Takes a step with these candidates; keeps them once the run is over, or when the store fails."""
    is_over = done.is_stopped or done.deleted >= run.cleanup.max_deletions
    try:
        if not is_over and run.may_continue():
            return step(run, candidates)
    except FlinkjobsError as error:
        failed = Progress(errors=(error_entry(None, error),), is_stopped=True)
        return postponed(candidates, Kept.ERROR) + failed
    return postponed(candidates)
