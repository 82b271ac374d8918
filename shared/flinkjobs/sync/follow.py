"""Follow mode: one invocation repeats ordinary passes, its ticks, under one lease.

Each tick has a run id of its own, and reads everything again: no state is kept in between but connections,
and the time of the last complete tick, which says whose submitters are due.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs import log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.ticks import LAST_TICK, next_tick
from flinkjobs.lease import ActiveLease, hold_lease
from flinkjobs.observers.deadline import REQUEST_GRACE_SECONDS, Deadline
from flinkjobs.sync.context import Sync
from flinkjobs.sync.service import LEASE, pass_under_lease, skipped_report

LEASE_WAIT_SECONDS: Final = 10.0
"""Seconds that a call waits for the lease: the invocation before it may still be answering."""

TICK_GRACE_SECONDS: Final = 0.5
"""Seconds before the end of an invocation at which a tick begins with no further record."""

POLL_SECONDS: Final = 0.1
"""Maximum number of seconds between two questions whether to stop."""

MAX_ERRORS: Final = 100
"""Maximum number of errors in the report of an invocation."""

_SUMMED: Final = ("scanned", "resolved", "unchanged", "conflicts")
_SUMMED_BY_CHANNEL: Final = ("delivered", "failed", "set_aside")
_OF_INVOCATION: Final = ("ticks", "slowest_seconds", "last_complete_at")


def _begun(run_id: str, started_at: datetime) -> dict[str, Any]:
    """The report of an invocation before its first tick."""
    return {
        "run_id": run_id,
        "started_at": started_at,
        "complete": True,
        "changed": {},
        "errors": [],
        "notified": {},
        **dict.fromkeys(_SUMMED, 0),
        "ticks": 0,
        "slowest_seconds": 0.0,
        "last_complete_at": None,
    }


def _with_tick(report: Mapping[str, Any], tick: Mapping[str, Any]) -> dict[str, Any]:
    """The report of an invocation after one more tick: sums, and the state of the last tick."""
    notified = {}
    for channel, counts in tick["notified"].items():
        before = report["notified"].get(channel, {})
        sums = {name: before.get(name, 0) + counts[name] for name in _SUMMED_BY_CHANNEL}
        notified[channel] = {**counts, **sums}
    changed = Counter(report["changed"]) + Counter(tick["changed"])
    return {
        **tick,
        "run_id": report["run_id"],
        "started_at": report["started_at"],
        "complete": report["complete"] and tick["complete"],
        **{name: report[name] + tick[name] for name in _SUMMED},
        "changed": dict(sorted(changed.items())),
        "errors": _with_errors(report, tick["errors"]),
        "notified": {**report["notified"], **notified},
        "ticks": report["ticks"] + 1,
        "slowest_seconds": max(report["slowest_seconds"], tick["duration_seconds"]),
        "last_complete_at": tick["started_at"] if tick["complete"] else report["last_complete_at"],
    }


def _with_errors(report: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One error per record and code, the latest."""
    latest = {(error["job_id"], error["code"]): error for error in (*report["errors"], *errors)}
    return list(latest.values())[:MAX_ERRORS]


def follow(sync: Sync, *, every: timedelta, ends_at: datetime | None) -> dict[str, Any]:
    """Repeats passes over every record that is not final.

    It ends at `ends_at`, when the process is asked to stop, or when the lease is lost.

    Args:
        sync: see `Sync`.
        every: time between the beginnings of two ticks.
        ends_at: when the invocation has to answer; None has no end.

    Returns:
        The report of all ticks: that of a pass, with sums where numbers can be added, `ticks`,
        `slowest_seconds` and `last_complete_at`; or `skipped`, where another holds the lease.

    Raises:
        StoreUnavailableError: the lease could not be asked for.
        FlinkjobsError: of the last tick, where every tick failed.
    """
    run_id = uuid.uuid4().hex
    with hold_lease(
        sync.leases, LEASE, holder=run_id, wait_seconds=LEASE_WAIT_SECONDS, is_stopping=sync.is_stopping
    ) as active:
        first = sync.clock()
        is_too_late = ends_at is not None and first > ends_at - LAST_TICK
        if active is None or is_too_late or sync.is_stopping():
            return skipped_report(run_id, first)
        report, failure = _begun(run_id, first), None
        observed_at = sync.store.last_complete_pass_at()
        begins: datetime | None = first
        while begins is not None and _reached(sync, begins) and not active.is_lost:
            try:
                report = _with_tick(report, _tick(sync, active, report, observed_at, ends_at))
            except FlinkjobsError as error:  # the next tick finds the peers as they are then
                log.warning("sync.tick_failed", code=error.code, detail=str(error))
                failed = {"job_id": None, "code": error.code, "message": str(error)}
                report |= {"complete": False, "errors": _with_errors(report, [failed])}
                failure = error
            observed_at = report["last_complete_at"] or observed_at
            begins = next_tick(first, sync.clock(), every, ends_at)
    if not report["ticks"]:
        if failure is not None:
            raise failure
        return skipped_report(run_id, first)
    report["duration_seconds"] = round((sync.clock() - first).total_seconds(), 3)
    log.info("sync.followed", **report)
    return report


def _tick(
    sync: Sync,
    active: ActiveLease,
    report: Mapping[str, Any],
    observed_at: datetime | None,
    ends_at: datetime | None,
) -> dict[str, Any]:
    """One pass; what is kept of the invocation is this pass, and the times of all."""
    now = sync.clock()
    budget, grace = sync.budget_seconds, REQUEST_GRACE_SECONDS
    if ends_at is not None:
        budget, grace = (ends_at - now).total_seconds() - TICK_GRACE_SECONDS, TICK_GRACE_SECONDS
    minute = now if ends_at is None else report["started_at"]  # an invocation without an end has many
    document_id = f"{report['run_id']}/{minute:%Y-%m-%dT%H:%M}"

    def save(tick: dict[str, Any]) -> None:
        after = _with_tick(report, tick)
        sync.store.save_tick(document_id, {**tick, **{name: after[name] for name in _OF_INVOCATION}})

    return pass_under_lease(
        sync,
        uuid.uuid4().hex,
        Deadline.after(budget, grace_seconds=grace, is_stopping=sync.is_stopping),
        active,
        last_observed_at=observed_at,
        save=save,
    )


def _reached(sync: Sync, begins: datetime) -> bool:
    """Waits until a tick begins; False where the process has been asked to stop."""
    while not sync.is_stopping():
        left = (begins - sync.clock()).total_seconds()
        if left <= 0:
            return True
        time.sleep(min(left, POLL_SECONDS))
    return False
