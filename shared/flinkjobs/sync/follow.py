"""Follow mode: one invocation repeats ordinary passes, its ticks, under one lease.

Each tick has a run id of its own, and reads everything again: no state is kept in between but connections,
and the time of the last complete tick, which says whose submitters are due.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs import log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.ticks import LAST_TICK, next_tick
from flinkjobs.lease import ActiveLease, hold_lease
from flinkjobs.observers.deadline import Deadline
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


class _Report:
    """The report of an invocation, tick by tick: sums, and the state of the last tick."""

    def __init__(self, run_id: str, started_at: datetime) -> None:
        self.run_id, self.started_at = run_id, started_at
        self.ticks = 0
        self.slowest_seconds = 0.0
        self.last_complete_at: datetime | None = None
        self.is_complete = True
        self.failure: FlinkjobsError | None = None
        self._last: Mapping[str, Any] | None = None
        self._sums: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()
        self._notified: dict[str, Counter[str]] = {}
        self._errors: dict[tuple[str | None, str], Mapping[str, Any]] = {}

    def add(self, tick: Mapping[str, Any]) -> None:
        self._last = tick
        self.ticks += 1
        self.slowest_seconds = max(self.slowest_seconds, tick["duration_seconds"])
        self.is_complete = self.is_complete and tick["complete"]
        if tick["complete"]:
            self.last_complete_at = tick["started_at"]
        self._sums.update({name: tick[name] for name in _SUMMED})
        self._changed.update(tick["changed"])
        for channel, counts in tick["notified"].items():
            sums = self._notified.setdefault(channel, Counter())
            sums.update(counts)
            sums["waiting"] = counts["waiting"]
        for error in tick["errors"]:
            self._note(error)

    def fail(self, error: FlinkjobsError) -> None:
        """Notes a tick that could do nothing."""
        log.warning("sync.tick_failed", code=error.code, detail=str(error))
        self.failure, self.is_complete = error, False
        self._note({"job_id": None, "code": error.code, "message": str(error)})

    def _note(self, error: Mapping[str, Any]) -> None:
        key = error["job_id"], error["code"]
        if key in self._errors or len(self._errors) < MAX_ERRORS:
            self._errors[key] = error

    def kept(self, tick: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of the invocation during a tick: that tick, and the times of all."""
        complete_at = tick["started_at"] if tick["complete"] else self.last_complete_at
        slowest = max(self.slowest_seconds, tick["duration_seconds"])
        return {
            **tick,
            "ticks": self.ticks + 1,
            "slowest_seconds": slowest,
            "last_complete_at": complete_at,
        }

    def answer(self, now: datetime) -> dict[str, Any] | None:
        """The report; None where no tick has ended."""
        if self._last is None:
            return None
        return {
            **self._last,
            "run_id": self.run_id,
            "started_at": self.started_at,
            "duration_seconds": round((now - self.started_at).total_seconds(), 3),
            "complete": self.is_complete,
            **{name: self._sums[name] for name in _SUMMED},
            "changed": dict(sorted(self._changed.items())),
            "errors": list(self._errors.values()),
            "notified": {channel: dict(sums) for channel, sums in self._notified.items()},
            "ticks": self.ticks,
            "slowest_seconds": self.slowest_seconds,
            "last_complete_at": self.last_complete_at,
        }


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
        report = _Report(run_id, first)
        observed_at = sync.store.last_complete_pass_at()
        begins: datetime | None = first
        while begins is not None and _reached(sync, begins) and not active.is_lost:
            try:
                report.add(_tick(sync, active, report, observed_at, ends_at))
            except FlinkjobsError as error:  # the next tick finds the peers as they are then
                report.fail(error)
            observed_at = report.last_complete_at or observed_at
            begins = next_tick(first, sync.clock(), every, ends_at)
        answer = report.answer(sync.clock())
    if answer is None:
        if report.failure is not None:
            raise report.failure
        return skipped_report(run_id, first)
    log.info("sync.followed", **answer)
    return answer


def _tick(
    sync: Sync,
    active: ActiveLease,
    report: _Report,
    observed_at: datetime | None,
    ends_at: datetime | None,
) -> dict[str, Any]:
    """One pass."""
    now = sync.clock()
    if ends_at is None:
        deadline = Deadline.after(sync.budget_seconds, is_stopping=sync.is_stopping)
    else:
        left = (ends_at - now).total_seconds() - TICK_GRACE_SECONDS
        deadline = Deadline.after(left, grace_seconds=TICK_GRACE_SECONDS, is_stopping=sync.is_stopping)
    minute = f"{report.run_id}/{now:%Y-%m-%dT%H:%M}"  # an invocation without an end has many
    return pass_under_lease(
        sync,
        uuid.uuid4().hex,
        deadline,
        active,
        last_observed_at=observed_at,
        save=lambda tick: sync.store.save_tick(minute, report.kept(tick)),
    )


def _reached(sync: Sync, begins: datetime) -> bool:
    """Waits until a tick begins; False where the process has been asked to stop."""
    while not sync.is_stopping():
        left = (begins - sync.clock()).total_seconds()
        if left <= 0:
            return True
        time.sleep(min(left, POLL_SECONDS))
    return False
