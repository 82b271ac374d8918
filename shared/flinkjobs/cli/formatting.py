"""Wording of the read side's data: times, events of a timeline, problems."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from flinkjobs.cli.output import NOTHING, clean
from flinkjobs.doctor.codes import REMEDIES
from flinkjobs.domain.text import counted

Data = Mapping[str, Any]

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


def seconds(value: float | None) -> str:
    """A duration for people: `0.4 s`, `13.9 s`, `4 min 12 s`, `2 h 3 min`, `3 d 4 h`."""
    if value is None:
        return NOTHING
    if round(value, 1) < MINUTE:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def age(value: str | None, now: datetime) -> str | None:
    """How long ago a time of the JSON was, in its largest unit: `42 s`, `5 min`, `3 h`, `12 d`."""
    try:
        passed = (now - datetime.fromisoformat(value or "")).total_seconds()
    except (TypeError, ValueError):
        return None
    size, unit = next(
        (each for each in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")) if passed >= each[0]), (1, "s")
    )
    return f"{max(0, int(passed)) // size} {unit}"


def moment(value: str | None) -> str:
    """A time of the JSON, to the second, in UTC."""
    if value is None:
        return NOTHING
    try:
        return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return clean(value)


def clock(value: str | None) -> str:
    """The time of day of a time of the JSON, in UTC."""
    return moment(value).rpartition(" ")[2]


def reason(found: Data | None) -> str | None:
    """`CODE: message` in one line."""
    return None if found is None else clean(f"{found['code']}: {found['message']}")


def ill(job: Data) -> Data | None:
    """The health of a job that is unhealthy; None of any other, and of an older jobs function."""
    health: Data | None = job.get("health")
    return health if health and health["state"] == "unhealthy" else None


def health(job: Data) -> str | None:
    """The health of an open job in one line."""
    found = job.get("health")
    if not found:
        return None
    restarts = f", {counted(found['restarts'], 'restart')} lately" if found["restarts"] else ""
    return f"{found['state']}{restarts}" + (f", {reason(found)}" if ill(job) else "")


def checkpoint(job: Data) -> str | None:
    """The newest checkpoint of an open job."""
    found = (job.get("health") or {}).get("checkpoint")
    if not found:
        return None
    done = found["completed_at"]
    return f"{f'completed {moment(done)}' if done else 'none'}, seen {moment(found['observed_at'])}"


def latest_state(job: Data) -> str | None:
    """The newest state to resume from, and whether it stays."""
    state = job.get("latest_state")
    if not state:
        return None
    deleted = {"at_end": ", deleted when the job ends", "on_cancel": ", deleted when the job is cancelled"}
    return f"{state['kind']} {state['path']}, {moment(state['at'])}{deleted.get(state['deleted'], '')}"


def remedy(code: str, job_id: str) -> str | None:
    """What to do about a reason, with the commands to type for this job; None for a code newer than this."""
    remedy = REMEDIES.get(code)
    return remedy and re.sub(
        r"`(flinkjobs \w+) ID`", lambda found: f"`{found[1]} {shlex.quote(clean(job_id))}`", remedy
    )


_EVENTS: Final[Mapping[str, Callable[[Data], str]]] = {
    "submitted": lambda data: "submitted" + _by(data) + _as(data.get("k8s_job_name")),
    "adopted": lambda data: "adopted" + _by(data),
    "pod": lambda data: f"pod {data['pod']} is {data['phase']}",
    "id_found": lambda data: (
        f"Flink Job ID {data['flink_job_id']} found ({data['source']}"
        f"{', confirmed by Flink' if data['confirmed'] else ', not confirmed by Flink'})"
    ),
    "started": lambda data: f"started in Flink as {data['flink_job_id']}",
    "waiting": lambda data: f"held up by {data['code']}: {data['message']}",
    "stuck": lambda data: f"stuck: {data['code']} lasts",
    "recovered": lambda _data: "no longer stuck",
    "unhealthy": lambda data: f"unhealthy: {data['code']}",
    "healthy": lambda _data: "healthy again",
    "moved": lambda data: (
        f"moved from {data['was']} to {data['status']}" + (f", {data['code']}" if data.get("code") else "")
    ),
    "action_requested": lambda data: f"{data['kind']} requested" + _by(data),
    "action_ended": lambda data: (
        f"{data['kind']} {data['state']}"
        + (f", {data['path']}" if data.get("path") else "")
        + (f", {data['code']}: {data['message']}" if data.get("code") else "")
    ),
    "missing": lambda data: f"Flink does not know {data['flink_job_id']} any more",
    "flink_ended": lambda data: f"{data['flink_job_id']} ended {data['state']}",
    "ended": lambda data: (
        f"ended {data['status']}"
        + (f" after {seconds(data['duration'])}" if data.get("duration") is not None else "")
        + (", as sync noticed" if data.get("noticed") else "")
        + (f", {data['code']}: {data['message']}" if data.get("code") else "")
    ),
}


def event(entry: Data) -> str:
    """One event of a timeline; an unknown type is printed as received."""
    try:
        return clean(_EVENTS[entry["event"]](entry["data"]))
    except (KeyError, TypeError):
        return clean(f"{entry.get('event')} {entry.get('data')}")


def _by(data: Mapping[str, Any]) -> str:
    signed_in = ", signed in" if data.get("verified") else ""  # an older jobs function does not say
    return f" by {data['by']}{signed_in}" if data.get("by") else ""


def _as(name: str | None) -> str:
    return f" as Kubernetes Job {name}" if name else ""


_PROBLEMS: Final[Mapping[str, str]] = {
    "STAYS_CREATED": "staying CREATED",
    "NO_FLINK_JOB_ID": "without a Flink Job ID",
    "UNHEALTHY": "unhealthy",
}
"""Problems of jobs, which are counted; every other one is of the whole system."""


def problem(found: Data) -> str:
    """One current problem."""
    listed = ", ".join(found["job_ids"])
    more = ", …" if found["count"] > len(found["job_ids"]) else ""
    named = f": {listed}{more}" if listed else ""
    of_jobs = _PROBLEMS.get(found["problem"])
    if of_jobs is not None:
        return clean(f"{counted(found['count'], 'job')} {of_jobs} ({found['code']}){named}")
    said = " ".join(str(part) for name in ("cluster", "error") if (part := found["data"].get(name)))
    what = "Statuses may be old" if found["problem"] == "STATUS_LAGS" else found["problem"]
    return clean(f"{what} ({found['code']}{': ' if said else ''}{said}){named}")
