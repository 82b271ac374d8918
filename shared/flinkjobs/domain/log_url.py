"""The address of a submitter's log in the log store of the team. Pure."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

MARGIN: Final = timedelta(minutes=1)
"""Added before the first and after the last time: the log store's clock may differ from ours."""

PLACEHOLDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job_id": "etl_1795411454678",
        "k8s_job_name": "flink-py-etl-8c6fd894",
        "namespace": "lemo-dev",
        "pod": "flink-py-etl-8c6fd894-x7k2p",
        "start": "2026-11-23T05:59:00Z",
        "end": "2026-11-23T07:01:00Z",
        "start_ms": "1795413540000",
        "end_ms": "1795417260000",
    }
)
"""What a template may hold, each with an example of its value."""


def checked_template(text: str) -> str:
    """A template of an http or https URL. Raises ValueError for any other text."""
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    try:
        parts = list(string.Formatter().parse(text))
        filled = text.format_map(PLACEHOLDERS)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"may hold {known}; any other brace is written twice") from error
    if any(name not in {None, *PLACEHOLDERS} or spec or conversion for _, name, spec, conversion in parts):
        raise ValueError(f"may hold {known}, without a format")
    url = urlsplit(filled)
    if url.scheme not in ("http", "https") or not url.hostname or not filled.isprintable() or " " in filled:
        raise ValueError("must be an http or https URL")
    if not parts[0][0].startswith(f"{url.scheme}://{url.netloc}") or "@" in url.netloc:
        raise ValueError("must name its host, without placeholders and credentials")
    return text


def log_url(
    template: str,
    *,
    job_id: str,
    k8s_job_name: str,
    namespace: str,
    pod: str | None,
    start: datetime,
    end: datetime,
) -> str | None:
    """The address for one submission, its values percent-encoded; None if the template needs an unknown pod.

    Args:
        template: as `checked_template` returned it.
        job_id: of the record.
        k8s_job_name: of the record's Kubernetes Job.
        namespace: of that Job.
        pod: the newest that is known.
        start: when the job was submitted, aware.
        end: when it ended, or now; aware.
    """
    start, end = start - MARGIN, end + MARGIN
    values = {
        "job_id": job_id,
        "k8s_job_name": k8s_job_name,
        "namespace": namespace,
        "pod": pod or "",
        "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "start_ms": str(int(start.timestamp() * 1000)),
        "end_ms": str(int(end.timestamp() * 1000)),
    }
    names = {name for _, name, _, _ in string.Formatter().parse(template)}
    if pod is None and "pod" in names:
        return None
    return template.format_map({name: quote(value, safe="") for name, value in values.items()})
