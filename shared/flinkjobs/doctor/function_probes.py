"""Probes of the deployed functions: whether each is ready, and what the jobs function reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from flinkjobs.doctor.facts import (
    FlinkFacts,
    NotAsked,
    Notifications,
    NotReady,
    Passed,
    ProbeResult,
    Problem,
    Problems,
    Run,
    Runs,
    attempt,
    notifications_from_view,
    run_from_report,
)
from flinkjobs.domain.errors import FunctionRefusedError, FunctionUnavailableError, NoFunctionError
from flinkjobs.domain.reasons import ProblemKind
from flinkjobs.ports.functions import RemoteFunction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Statistics:
    """The answer of the jobs function to `GET /api/metrics`."""

    flink: Mapping[str, ProbeResult[FlinkFacts | Passed]]
    sync: Runs
    cleanup: Runs
    records: Problems
    notifications: ProbeResult[Notifications]
    sync_period_seconds: int


def probe_readiness(url: str, connect: Callable[[], RemoteFunction]) -> ProbeResult[NotReady | None]:
    """Asks a function for `GET /ready`; None if it is ready."""

    def ask() -> None:
        function = connect()
        try:
            answer = function.call("GET", "/ready", query={}, headers={}, body=None, expected_member="status")
        except FunctionRefusedError as error:  # authorized, but a dependency refuses the function
            message = f"{url} is not ready: {error.peer_code}: {error}"
            raise FunctionUnavailableError(message, is_own=True) from error
        if answer["status"] != "ready":
            raise NoFunctionError(f"{url} answers its /ready as none of these functions does")

    return _asked(ask)


def _asked(ask: Callable[[], T]) -> ProbeResult[T | NotReady]:
    """The answer of a function, or its own statement that it is not ready."""

    def answer() -> T | NotReady:
        try:
            return ask()
        except FunctionUnavailableError as error:
            if error.is_own:
                return NotReady(str(error))
            raise

    return attempt(answer)


def probe_statistics(url: str, connect: Callable[[], RemoteFunction]) -> ProbeResult[Statistics | NotReady]:
    """Asks the jobs function for `GET /api/metrics`."""

    def ask() -> Statistics:
        function = connect()
        answer = function.call(
            "GET", "/api/metrics", query={}, headers={}, body=None, expected_member="windows"
        )
        try:
            return _read_statistics(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoFunctionError(
                f"{url} answers statistics that this version cannot read: {error!r}"
            ) from error

    return _asked(ask)


def _read_statistics(answer: Mapping[str, Any]) -> Statistics:
    """Reads `GET /api/metrics`."""
    sync, last = answer["sync"], _run_from_json(answer["sync"]["last_pass"])
    complete_at = sync["last_complete_at"]
    old = NotAsked("the last pass is too old to judge by") if sync["stale"] else None
    by_kind = {
        kind: tuple(
            Problem(str(found["code"]), int(found["count"]), tuple(map(str, found["job_ids"])))
            for found in answer["problems"]
            if found["problem"] == kind
        )
        for kind in (ProblemKind.STAYS_CREATED, ProblemKind.NO_FLINK_JOB_ID, ProblemKind.UNHEALTHY)
    }
    return Statistics(
        flink={
            name: old or Passed(last.started_at, None if found["reachable"] else str(found["error"]))
            for name, found in sync["clusters"].items()
            if last is not None
        },
        sync=Runs(
            last=last,
            last_complete=Run(datetime.fromisoformat(complete_at), complete=True) if complete_at else None,
        ),
        cleanup=Runs(last=_run_from_json(answer["cleanup"]["last_run"]), last_complete=None),
        records=Problems(
            created=by_kind[ProblemKind.STAYS_CREATED],
            without_id=by_kind[ProblemKind.NO_FLINK_JOB_ID],
            lost=int(answer["windows"]["24h"]["lost"]),
            unhealthy=by_kind[ProblemKind.UNHEALTHY],
        ),
        notifications=notifications_from_view(answer["notifications"])
        if "notifications" in answer
        else NotAsked("the function jobs is of an older version"),
        sync_period_seconds=int(sync["period_seconds"]),
    )


def _run_from_json(report: Mapping[str, Any] | None) -> Run | None:
    """Reads a report from JSON."""
    if report is None:
        return None
    return run_from_report({**report, "started_at": datetime.fromisoformat(report["started_at"])})
