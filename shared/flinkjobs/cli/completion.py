"""Words that the shell completes from the records: ids, templates and clusters.

What is not reachable completes nothing: a shell has no place for an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import typer

from flinkjobs.cli.client import Document
from flinkjobs.cli.output import clean
from flinkjobs.cli.session import session_of
from flinkjobs.domain.errors import FlinkjobsError

NEWEST: Final = 200
"""Maximum number of jobs whose words are offered: one page of the list."""


def any_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of jobs that begin like this: the `job_id`, or another one if that is being typed."""
    found = []
    for job in _jobs(context, {"q": incomplete} if incomplete else {}):
        ids = (job["job_id"], job["k8s_job_name"], job["flink_job_id"])
        found += [name for name in ids if name and name.startswith(incomplete)][:1]
    return found


def template_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Templates of the newest jobs."""
    return _distinct(context, "template_id", incomplete)


def clusters(context: typer.Context, incomplete: str) -> list[str]:
    """Flink clusters of the newest jobs."""
    return _distinct(context, "cluster", incomplete)


def _distinct(context: typer.Context, name: str, incomplete: str) -> list[str]:
    values = {job[name] for job in _jobs(context, {}) if job[name]}
    return sorted(value for value in values if value.startswith(incomplete))


def _jobs(context: typer.Context, query: Mapping[str, str]) -> Iterator[Document]:
    try:
        page = session_of(context, is_json=True).connection.list_jobs({**query, "limit": str(NEWEST)})
    except FlinkjobsError:
        return
    yield from (job for job in page["jobs"] if job["job_id"] == clean(job["job_id"]))
