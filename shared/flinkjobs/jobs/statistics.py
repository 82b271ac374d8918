"""Statistics of the jobs by time window: status, duration, failure rate; and the age of the last runs. Pure.

Counted by `submitted_at`, in windows and steps that begin at whole hours. A percentile is the nearest rank:
the smallest duration that at least that share percent of the durations do not exceed, so always one that
occurred.
https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.health import health_by_status
from flinkjobs.domain.health_values import HealthState
from flinkjobs.domain.job_sums import (
    BAR_ENDS,
    DAY,
    OTHER_TEMPLATES,
    Durations,
    Row,
    Sums,
    bars_of,
    merged,
)
from flinkjobs.ports.read_store import Counted, Tally, TemplateHealth

TEMPLATES_SHOWN: Final = 20
STALE_AFTER_PERIODS: Final = 3

HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time that ends with the hour that has begun.

    Attributes:
        bucket: length of one step of the series over time; None for all times.
        buckets: number of steps.
    """

    name: str
    bucket: timedelta | None
    buckets: int


WINDOWS: Final = (
    Window("24h", HOUR, 24),
    Window("7d", DAY, 7),
    Window("30d", DAY, 30),
    Window("all", None, 0),
)


# --- windows ----------------------------------------------------------------------------------------


def next_whole_hour(now: datetime) -> datetime:
    """The end of the hour that has begun: windows that end with it have steps of whole hours."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour if hour == now else hour + HOUR


def begins(end: datetime) -> Sequence[datetime]:
    """When the windows begin that end then."""
    return [end - window.bucket * window.buckets for window in WINDOWS if window.bucket]


def windows(counted: Counted, end: datetime) -> dict[str, Any]:
    """The statistics of each window, by its name. A window that begins within a summed day holds all of it.

    Args:
        counted: as of `end`.
        end: when every window ends; see `next_whole_hour`.
    """
    found: dict[str, Any] = {}
    live = [(tally, _sums(tally)) for tally in counted.tallies]
    for window in WINDOWS:
        begin = end - window.bucket * window.buckets if window.bucket else None
        edge = counted.edges.get(begin) if begin else None
        inside = [one for one in live if begin is None or _age(one[0]) < end - begin]
        inside += [(tally, _sums(tally)) for tally in edge or ()]
        days = [
            day
            for day in counted.days
            if begin is None or day.begin > begin or (day.end > begin and edge is None)
        ]
        found[window.name] = _window(inside, days, begin)
        if window.bucket is not None:
            found[window.name]["over_time"] = _over_time(counted, window, end)
    return found


def _sums(tally: Tally) -> Sums:
    values = _durations([tally])
    durations = Durations.of(values)
    row = Row(tally.status, tally.template_id, tally.has_id, tally.count, durations, tally.stopped)
    return Sums([row], bars=bars_of(values), durations=durations)


def _window(
    inside: Sequence[tuple[Tally, Sums]], days: Sequence[Sums], begin: datetime | None
) -> dict[str, Any]:
    """The percentiles are exact where no day has any durations."""
    is_sketched = any(day.durations for day in days)
    every: list[Tally | Row] = [sums.rows[0] if is_sketched else tally for tally, sums in inside]
    every += [row for day in days for row in day.rows]
    parts = [*(sums for _, sums in inside), *days]
    bars = [sum(part.bars[place] for part in parts) for place in range(len(BAR_ENDS) + 1)]
    by_template: dict[str | None, list[Tally | Row]] = defaultdict(list)
    for one in every:
        by_template[one.template_id].append(one)
    is_folded = by_template.pop(OTHER_TEMPLATES, None) is not None
    jobs = Counter({name: sum(one.count for one in those) for name, those in by_template.items()})
    shown = sorted(by_template, key=lambda name: (-jobs[name], name or ""))[:TEMPLATES_SHOWN]
    is_wider = begin is not None and any(day.begin < begin for day in days)
    return {
        **_statistics(every, [part.durations for part in parts] if is_sketched else ()),
        "from": begin,
        "templates": [
            {
                "template_id": name,
                **_statistics(those, [one.durations for one in those if isinstance(one, Row)]),
            }
            for name, those in ((name, by_template[name]) for name in shown)
        ],
        "duration_histogram": [
            {"le": le, "count": count} for le, count in zip((*BAR_ENDS, None), bars, strict=True)
        ],
        "approximate": [
            *(("p50", "p95") if is_sketched else ()),
            *(("templates",) if is_folded else ()),
            *(("from",) if is_wider else ()),
        ],
    }


def _age(tally: Tally) -> timedelta:
    """Minimum age of its records; maximal if unknown, so that only the window of all times holds them."""
    if tally.age is None:
        return timedelta.max
    return timedelta(**{tally.unit: tally.age})


def _statistics(tallies: Sequence[Tally | Row], summed: Sequence[Durations | None]) -> dict[str, Any]:
    by_status: Counter[str | None] = Counter()
    never_submitted = 0
    for tally in tallies:
        by_status[tally.status] += tally.count
        if tally.status == Status.FAILED and not tally.has_id:
            never_submitted += tally.count
    jobs, failed = by_status.total(), by_status[Status.FAILED]
    failed_in_flink = failed - never_submitted
    return {
        "jobs": jobs,
        "by_status": {status.value: by_status[status] for status in Status},
        "other": jobs - sum(by_status[status] for status in Status),
        "durations": durations(_durations(tallies), summed),
        "failure_rate_percent": _percent(failed, jobs),
        "flink_failure_rate_percent": _percent(failed_in_flink, failed_in_flink + by_status[Status.FINISHED]),
        "failed_in_flink": failed_in_flink,
        "never_submitted": never_submitted,
        "lost": by_status[Status.LOST],
        "stopped": sum(tally.stopped for tally in tallies),
    }


def _durations(tallies: Iterable[Tally | Row]) -> list[float]:
    """Durations of the FINISHED jobs, shortest first."""
    return sorted(
        duration
        for tally in tallies
        if isinstance(tally, Tally) and tally.status == Status.FINISHED
        for duration in tally.durations
        if math.isfinite(duration)
    )


def _percent(part: int, whole: int) -> float | None:
    return part / whole * 100 if whole else None


def durations(ordered: Sequence[float], summed: Sequence[Durations | None] = ()) -> dict[str, Any]:
    """Average, extremes and percentiles of durations, shortest first; without any, each is None.

    Together with those that are summed, the percentiles are those of the sketch.
    """
    if any(summed) and (whole := merged([*summed, Durations.of(ordered)])):
        return {
            "count": whole.count,
            "average": whole.average,
            "min": whole.least,
            "max": whole.most,
            **dict(zip(("p50", "p95"), whole.percentiles(50, 95), strict=True)),
        }
    if not ordered:
        return {"count": 0, **dict.fromkeys(("average", "min", "max", "p50", "p95"))}
    return {
        "count": len(ordered),
        "average": math.fsum(ordered) / len(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "p50": percentile(ordered, 50),
        "p95": percentile(ordered, 95),
    }


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile of at least one value, in ascending order."""
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]


def _over_time(counted: Counted, window: Window, end: datetime) -> list[dict[str, Any]]:
    """The window in steps, oldest first."""
    bucket, buckets = window.bucket or DAY, window.buckets
    statuses_of = [Counter[str | None]() for _ in range(buckets)]
    for tally in counted.steps:
        if (age := _age(tally)) < bucket * buckets:
            statuses_of[buckets - 1 - age // bucket][tally.status] += tally.count
    hours_of_step = bucket // HOUR
    for sums in counted.days:
        for day, status, counts in sums.hours:
            last = (end - day) // HOUR  # from the midnight of this day to the end
            for hour, count in enumerate(counts):
                step = buckets - 1 - (last - hour) // hours_of_step
                if count and 0 <= step < buckets:
                    statuses_of[step][status] += count
    begin = end - bucket * buckets
    return [
        {
            "from": begin + bucket * step,
            "to": begin + bucket * (step + 1),
            "jobs": statuses.total(),
            "by_status": {status.value: statuses[status] for status in Status},
        }
        for step, statuses in enumerate(statuses_of)
    ]


# --- health -----------------------------------------------------------------------------------------


def unreachable_clusters(last_pass: Mapping[str, Any] | None) -> Collection[str]:
    """The clusters that did not answer this pass."""
    clusters = (last_pass or {}).get("clusters") or {}
    return {name for name, cluster in clusters.items() if not cluster["reachable"]}


def health(
    window: Mapping[str, Any],
    counts: Mapping[tuple[Status, HealthState], int],
    templates: Sequence[TemplateHealth],
    now: datetime,
) -> dict[str, Any]:
    """Open records by health; restarts and the age of checkpoints by template.

    Args:
        window: of all times, as `windows` describes it.
        counts: of the records with a health that was written, or that is unknown.
        templates: as the store counts them.
        now: the time now.
    """
    states: Counter[HealthState] = Counter()
    for status in OPEN:
        known = {state: counts.get((status, state), 0) for state in HealthState}
        states.update(known)
        states[health_by_status(status)] += max(window["by_status"][status.value] - sum(known.values()), 0)
    return {
        "by_state": {state.value: states[state] for state in HealthState},
        "templates": [
            {
                "template_id": one.template_id,
                "restarts": one.restarts,
                "oldest_checkpoint_seconds": None if one.oldest is None else age_seconds(one.oldest, now),
            }
            for one in templates
        ],
    }


# --- sync and cleanup -------------------------------------------------------------------------------


def sync_state(
    runs: Sequence[Mapping[str, Any]], last_complete_at: datetime | None, now: datetime, period_seconds: int
) -> dict[str, Any]:
    """State of the synchronisation, by the reports of the latest passes.

    Args:
        runs: the latest passes, newest first, as the store keeps them.
        last_complete_at: when the latest complete one began.
        now: the time now.
        period_seconds: period of the passes.
    """
    age = None if last_complete_at is None else age_seconds(last_complete_at, now)
    return {
        "last_complete_at": last_complete_at,
        "age_seconds": age,
        "period_seconds": period_seconds,
        "stale": age is None or age > STALE_AFTER_PERIODS * period_seconds,
        "last_pass": dict(runs[0]) if runs else None,
        "clusters": _clusters(runs),
    }


def _clusters(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each cluster in the last pass; `since`: the first of the consecutive passes that did not reach it."""
    clusters = {}
    for name, cluster in (runs[0].get("clusters") or {}).items() if runs else ():
        since = None
        if not cluster["reachable"]:
            for run in runs:
                then = (run.get("clusters") or {}).get(name)
                if then is not None and then["reachable"]:
                    break
                since = run["started_at"] if then is not None else since
        clusters[name] = {
            "reachable": cluster["reachable"],
            "error": cluster.get("error"),
            "since": since,
            "unmanaged": cluster.get("unmanaged"),
        }
    return clusters


def cleanup_state(run: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    """The last cleanup run, and its age."""
    last_at = run["started_at"] if run else None
    age = None if last_at is None else age_seconds(last_at, now)
    return {"last_at": last_at, "age_seconds": age, "last_run": dict(run) if run else None}


def age_seconds(then: datetime, now: datetime) -> float:
    return round(max(now - then, timedelta(0)).total_seconds(), 3)
