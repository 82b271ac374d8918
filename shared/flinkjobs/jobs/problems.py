"""Problems that the records show, counted by cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.job_query import WITHOUT_REASON
from flinkjobs.domain.reasons import OF_SCRIPTS, REASONS, ProblemKind
from flinkjobs.jobs.statistics import STALE_AFTER_PERIODS, age_seconds
from flinkjobs.ports.read_store import Cause

HELD_UP_AFTER: Final = timedelta(minutes=5)
"""Time after which a CREATED job without a reason counts as a problem."""
FAILED_WITHIN: Final = timedelta(hours=24)
"""Period in which a failed submission counts as a problem."""

PROBLEM_OF: Final[Mapping[str, ProblemKind]] = {
    WITHOUT_REASON: ProblemKind.STAYS_CREATED,
    **{code: info.problem for code, info in REASONS.items() if info.problem},
}
"""The kind of problem by reason code; other codes are not counted."""

LAG_CODES: Final = frozenset(
    {
        *("KUBERNETES_UNAVAILABLE", "LOG_UNREACHABLE", "FLINK_UNAVAILABLE", "JOBS_MISSING"),
        *("WRITE_REFUSED", "INTERNAL"),
    }
)
"""Codes of errors of a pass that leave records unchanged."""


def find_problems(causes: Iterable[Cause], sync: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Problems by cause: first those that delay every status, then by number of jobs.

    Args:
        causes: see `ReadStore.causes`.
        sync: see `sync_state`.
        now: the time now.
    """
    held: dict[tuple[str, str], dict[str, Any]] = {}
    for cause in causes:
        code = cause.code or (WITHOUT_REASON if cause.status == Status.CREATED else "")
        kind = PROBLEM_OF.get(code)
        if kind is None:
            continue
        entry = held.setdefault((cause.status, code), _problem(kind, code))
        entry["count"] += cause.count
        entry["job_ids"] = [*entry["job_ids"], *cause.job_ids]
        entry["of_script"] = code in OF_SCRIPTS
        entry["filter"] = _filter(cause.status, code, now)
    found = sorted(held.values(), key=lambda entry: (-entry["count"], entry["code"]))
    return [*_lags(sync, now), *found]


def _filter(status: str, code: str, now: datetime) -> dict[str, Any]:
    """The parameters of `GET /api/jobs` that list the jobs of a cause, as many as its count says."""
    if PROBLEM_OF[code] is ProblemKind.UNHEALTHY:
        return {"health": "unhealthy", "reason": code}
    found: dict[str, Any] = {"status": status, "reason": code}
    if status == Status.FAILED:
        found["from"] = now - FAILED_WITHIN
    if code == WITHOUT_REASON:
        found["to"] = now - HELD_UP_AFTER
    return found


def _lags(sync: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    last = sync["last_pass"]
    found = []
    if last is None:
        found.append(
            _problem(ProblemKind.STATUS_LAGS, "NEVER_SYNCED", {"period_seconds": sync["period_seconds"]})
        )
    elif sync["stale"]:
        data = {name: sync[name] for name in ("last_complete_at", "age_seconds", "period_seconds")}
        is_late = age_seconds(last["started_at"], now) > STALE_AFTER_PERIODS * sync["period_seconds"]
        code = "SYNC_STALE" if is_late else "SYNC_INCOMPLETE"
        found.append(_problem(ProblemKind.STATUS_LAGS, code, {**data, "last_pass_at": last["started_at"]}))
    for name, cluster in sync["clusters"].items():
        if not cluster["reachable"]:
            data = {"cluster": name, "error": cluster["error"], "since": cluster["since"]}
            found.append(_problem(ProblemKind.STATUS_LAGS, "CLUSTER_UNREACHABLE", data))
    errors: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for error in (last or {}).get("errors") or ():
        if error["code"] in LAG_CODES:
            errors[error["code"]].append(error)
    unreachable = any(entry["code"] == "CLUSTER_UNREACHABLE" for entry in found)
    for code, those in errors.items():
        if code == "FLINK_UNAVAILABLE" and unreachable:
            continue  # it says the same of the same cluster
        entry = _problem(ProblemKind.STATUS_LAGS, code, {"error": those[0]["message"]})
        entry["job_ids"] = [error["job_id"] for error in those if error["job_id"] is not None][:5]
        entry["count"] = len(those)
        found.append(entry)
    return found


def _problem(kind: ProblemKind, code: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    count = 1 if data is not None else 0
    return {
        "problem": kind.value,
        "code": str(code),
        "count": count,
        "job_ids": [],
        "data": dict(data or {}),
        "of_script": False,
        "filter": None,
    }
