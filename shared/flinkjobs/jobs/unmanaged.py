"""The list of the Flink jobs that belong to no record: parameters, filter, pages. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from flinkjobs.domain.errors import BadRequestError, Fault, describe_faults
from flinkjobs.domain.job_query import DEFAULT_LIMIT
from flinkjobs.domain.text import cut
from flinkjobs.domain.unmanaged import UnmanagedJob, UnmanagedJobs
from flinkjobs.jobs.list_query import limit_of, read_parameters, text_of

_Place: TypeAlias = tuple[int, str]

_CURSOR: Final = re.compile(r"(?P<start>[0-9]{1,15})-(?P<id>[0-9a-f]{32})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class UnmanagedQuery:
    """What a page of the list is to hold.

    Attributes:
        cluster: only jobs of this cluster.
        text: only jobs with this in their name, or at the beginning of their id, in any case.
        limit: how many at most.
        after: the place of the last job of the page before.
    """

    cluster: str | None
    text: str | None
    limit: int
    after: _Place | None


def parse_unmanaged_query(pairs: Iterable[tuple[str, str]]) -> UnmanagedQuery:
    """Reads the parameters of the list.

    Raises:
        BadRequestError: one is unknown, twice there or wrong, or `unmanaged` is missing; every fault at once.
    """
    parsed, faults = read_parameters(pairs, _PARSERS)
    if "unmanaged" not in parsed and not any(fault.pointer == "query:unmanaged" for fault in faults):
        faults.append(
            Fault("query:unmanaged", "must be true: Flink jobs with a record are in the list of jobs")
        )
    if faults:
        raise BadRequestError(cut(describe_faults(faults)), tuple(faults))
    limit = parsed.get("limit", DEFAULT_LIMIT)
    return UnmanagedQuery(parsed.get("cluster"), parsed.get("q"), limit, parsed.get("cursor"))


def page_of(
    kept: Sequence[UnmanagedJobs], query: UnmanagedQuery, ui_urls: Mapping[str, str], *, now: datetime
) -> dict[str, Any]:
    """One page of the list, the newest start first, and the state of every cluster's list.

    Args:
        kept: of every cluster.
        query: what was asked for.
        ui_urls: address of each Flink cluster's web UI, by the cluster's name in the settings.
        now: the time now, aware UTC.
    """
    found = [
        (_place(job), of.cluster, job)
        for of in kept
        if query.cluster in (None, of.cluster)
        for job in of.jobs
        if _matches(job, query.text)
    ]
    found.sort(key=lambda entry: _order(entry[0]))
    rest = [entry for entry in found if query.after is None or _order(entry[0]) > _order(query.after)]
    shown = rest[: query.limit]
    more = len(rest) > len(shown)
    return {
        "flink_jobs": [unmanaged_job_view(job, cluster, ui_urls.get(cluster)) for _, cluster, job in shown],
        "next_cursor": f"{shown[-1][0][0]}-{shown[-1][0][1]}" if more else None,
        "total": len(found),
        "clusters": {of.cluster: {"unmanaged": of.count, "seen_at": of.seen_at} for of in kept},
        "now": now,
    }


def unmanaged_job_view(job: UnmanagedJob, cluster: str, ui_url: str | None) -> dict[str, Any]:
    """The fields of one job; its name is None where it has none."""
    return {
        "flink_job_id": job.flink_job_id,
        "cluster": cluster,
        "name": job.name or None,
        "state": job.state,
        "start_time": job.start_time,
        "twin_of": list(job.twin_of),
        "ui_url": ui_url and f"{ui_url}/#/job/running/{job.flink_job_id}/overview",
    }


def _place(job: UnmanagedJob) -> _Place:
    return ((job.start_time - _EPOCH) // _MILLISECOND if job.start_time else 0, job.flink_job_id)


def _order(place: _Place) -> _Place:
    """The newest first."""
    return (-place[0], place[1])


def _matches(job: UnmanagedJob, text: str | None) -> bool:
    if text is None:
        return True
    wanted = text.casefold()
    return wanted in job.name.casefold() or job.flink_job_id.startswith(wanted)


def _true(text: str) -> bool:
    if text != "true":
        raise ValueError("must be true: Flink jobs with a record are in the list of jobs")
    return True


def _cursor(text: str) -> _Place:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError("is no `next_cursor` of this list")
    return int(found["start"]), found["id"]


_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "unmanaged": _true,
    "cluster": text_of,
    "q": text_of,
    "limit": limit_of,
    "cursor": _cursor,
}
