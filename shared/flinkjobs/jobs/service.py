"""The read side: the list of records, one record with its timeline, the statistics. Read only.

The answers come from MongoDB. Only the details of one record also ask Kubernetes, for pods and log; if it
does not answer, the details hold its error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flinkjobs.domain.actions import action_view
from flinkjobs.domain.errors import (
    FlinkjobsError,
    FunctionUnavailableError,
    JobNotFoundError,
    PermanentError,
    SyncUnavailableError,
    TemporaryError,
)
from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.job_query import BEGINNING, Form, Query, Row
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod, Waiting, by_age
from flinkjobs.domain.log_url import log_url
from flinkjobs.domain.observations import Missing
from flinkjobs.domain.records import JobRecord, whole_milliseconds
from flinkjobs.domain.redaction import secrets_of, without, without_secrets
from flinkjobs.domain.submitter_log import KEPT_BYTES, lines_of, tail
from flinkjobs.domain.text import cut
from flinkjobs.jobs import problems, statistics
from flinkjobs.jobs.audit import entries_of, parse_audit_query
from flinkjobs.jobs.list_query import merge, parse_query, write_cursor
from flinkjobs.jobs.notifications import backlog_view, sent_view
from flinkjobs.jobs.timeline import timeline
from flinkjobs.jobs.unmanaged import page_of, parse_unmanaged_query, unmanaged_job_view
from flinkjobs.jobs.views import flink_job_view, health_view, job_view, kubectl_lines, latest_state_view
from flinkjobs.observers.submitters import find_job_and_pods
from flinkjobs.ports.kubernetes import TAIL_LINES, KubernetesClient
from flinkjobs.ports.read_store import ReadStore

RUNS_LOOKED_AT: Final = 200
"""Number of passes searched for the beginning of an outage: ten hours at one every three minutes."""
POSITIONS: Final = 10_000
"""Up to here the position of a page in its list is counted."""
EXAMPLES: Final = 5
"""Maximum number of job ids listed with a problem."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Dependencies of the read side.

    Attributes:
        store: the records.
        cluster: returns the Kubernetes client; its errors become part of the answer.
        namespace: where the Kubernetes Jobs live whose records name no other.
        ui_urls: address of each Flink cluster's web UI, by the cluster's name in the settings.
        history_urls: address of its History Server's, likewise; None where it has none.
        sync: calls the sync function for some job ids and returns its report; None without SYNC_URL.
        sync_period_seconds: period of the passes over all records.
        log_url_template: of the addresses of submitters' logs in the log store of the team; None without one.
        from_secondary: the store may answer from a secondary, which is behind by moments.
        clock: the time now, aware UTC.
    """

    store: ReadStore
    cluster: Callable[[], KubernetesClient]
    namespace: str
    ui_urls: Mapping[str, str]
    history_urls: Mapping[str, str | None]
    sync: Callable[[Sequence[str]], Mapping[str, Any]] | None
    sync_period_seconds: int
    clock: Callable[[], datetime]
    log_url_template: str | None = None
    from_secondary: bool = False


# --- the list ---------------------------------------------------------------------------------------


def list_jobs(
    jobs: Jobs, query: Iterable[tuple[str, str]] = (), *, acting: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One page of records, newest first, and how many there are of each status.

    Args:
        jobs: what to work with.
        query: parameters by name, as in a URL; see `docs/reference/openapi.yaml`.
        acting: see `page_actions.acting_view`; None where there are no actions.

    Raises:
        BadRequestError: a parameter is unknown, there twice, or wrong.
        StoreUnavailableError: the records could not be read.
    """
    asked = parse_query(query)
    ids = None if asked.wanted.text is None else jobs.store.search(asked.wanted.text)
    streams = {
        form: jobs.store.rows(form, asked.wanted, after=place, limit=asked.limit + 1, ids=ids)
        for form, place in asked.after.items()
    }
    rows, rest = merge(streams, asked)
    counts, more = jobs.store.counts(asked.wanted, ids=ids)
    unreachable = _unreachable(jobs)
    return {
        "jobs": [_only(asked.fields, job_view(row, unreachable)) for row in rows],
        "first": _position(jobs, asked, ids) if rows else None,
        "next_cursor": write_cursor(rest, asked.wanted),
        "counts": {status.value: min(counts.get(status, 0), POSITIONS) for status in Status},
        "counts_more": [status.value for status in Status if status in more],
        "sync_now": jobs.sync is not None,
        "acting": acting,
        "from_secondary": jobs.from_secondary,
        "now": jobs.clock(),
    }


def _unreachable(jobs: Jobs) -> Collection[str]:
    """The clusters that did not answer the latest pass."""
    runs = jobs.store.last_runs(limit=1)
    return statistics.unreachable_clusters(runs[0] if runs else None)


def _position(jobs: Jobs, asked: Query, ids: Collection[Any] | None) -> int | None:
    """The place of the page's first record in the whole list, from 1; None beyond `POSITIONS`."""
    if asked.after == BEGINNING:
        return 1
    before = sum(
        jobs.store.count_before(form, asked.wanted, asked.after.get(form), limit=POSITIONS, ids=ids)
        for form in Form
        if form not in asked.after or asked.after[form]
    )
    return before + 1 if before < POSITIONS else None


def _only(fields: tuple[str, ...] | None, shown: dict[str, Any]) -> dict[str, Any]:
    """The fields that were asked for; `unreadable` always."""
    if fields is None:
        return shown
    return {name: shown[name] for name in (*fields, "unreadable") if name in shown}


def audit(jobs: Jobs, query: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """The audit entries of one page of records: by record, newest first, of each oldest first.

    Args:
        jobs: what to work with.
        query: parameters by name, as in a URL; see `docs/reference/openapi.yaml`.

    Raises:
        BadRequestError: a parameter is unknown, there twice, or wrong.
        StoreUnavailableError: the records could not be read.
    """
    asked = parse_audit_query(query)
    page = asked.records
    streams = {
        form: jobs.store.rows(form, page.wanted, after=place, limit=page.limit + 1, with_history=True)
        for form, place in page.after.items()
    }
    rows, rest = merge(streams, page)
    return {
        "entries": [entry for row in rows for entry in entries_of(row, asked)],
        "next_cursor": write_cursor(rest, page.wanted),
        "now": jobs.clock(),
    }


def list_unmanaged(jobs: Jobs, query: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """One page of the Flink jobs that belong to no record, as sync has seen them. Flink is not asked.

    Args:
        jobs: what to work with.
        query: parameters by name, as in a URL; see `docs/reference/openapi.yaml`.

    Raises:
        BadRequestError: a parameter is unknown, there twice, or wrong.
        StoreUnavailableError: the list could not be read.
    """
    asked = parse_unmanaged_query(query)
    return page_of(jobs.store.unmanaged(), asked, jobs.ui_urls, now=jobs.clock())


# --- one record -------------------------------------------------------------------------------------


def show(jobs: Jobs, any_id: str, *, acting: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One record with its Flink jobs, its timeline, its Kubernetes Job and the end of the submitter's log.

    Args:
        jobs: what to work with.
        any_id: its `job_id`, `k8s_job_name` or any of its Flink Job IDs.
        acting: as of `list_jobs`.

    Raises:
        JobNotFoundError: no record has this id.
        StoreUnavailableError: the records could not be read.
    """
    row = _look_up(jobs, any_id)
    details, shown = row.details, job_view(row)
    record = row.record if isinstance(row.record, JobRecord) and "unreadable" not in shown else None
    if record and record.status in OPEN:
        marks = jobs.store.marks_of(record.flink_job_ids)
        shown["health"] = health_view(record, _unreachable(jobs), marks)
        shown["latest_state"] = latest_state_view(marks)
    observed = _observe_kubernetes(jobs, record) if record else _Observed()
    kept_log = _kept_log(details)
    return {
        "job": shown,
        "spec": without_secrets(details.get("spec")),
        "flink_jobs": _flink_jobs(jobs, record) if record else [],
        "twins": _twins(jobs, record) if record else [],
        "actions": [action_view(action) for action in record.actions] if record else [],
        "timeline": timeline(record, details, observed.job, observed.pods) if record else [],
        "notifications": sent_view(details),
        "kubernetes": _kubernetes(jobs, record, observed),
        "log_tail": _without_secrets(_log_tail(jobs, record, observed, kept_log), details.get("spec")),
        "log_url": _log_url(jobs, record, details, observed.pods, kept_log) if record else None,
        "sync_now": record is not None and jobs.sync is not None,
        "acting": acting if record is not None else None,
        "now": jobs.clock(),
    }


def _flink_jobs(jobs: Jobs, record: JobRecord) -> list[dict[str, Any]]:
    addresses = jobs.ui_urls.get(record.cluster), jobs.history_urls.get(record.cluster)
    is_lost = record.status is Status.LOST
    return [flink_job_view(ref, *addresses, is_lost=is_lost) for ref in record.flink_jobs]


def _twins(jobs: Jobs, record: JobRecord) -> list[dict[str, Any]]:
    """The running Flink jobs without a record that have the name of this record's job."""
    twins = jobs.store.twins(record.job_id) if record.status in OPEN else ()
    ui_url = jobs.ui_urls.get(record.cluster)
    return [unmanaged_job_view(job, record.cluster, ui_url) for job in twins]


def _look_up(jobs: Jobs, any_id: str) -> Row:
    is_text = any_id.encode(errors="ignore").decode() == any_id  # no record holds half a surrogate pair
    row = jobs.store.look_up(any_id) if is_text else None
    if row is None:
        raise JobNotFoundError(f"no record has the id {cut(any_id, 200)}")
    return row


@dataclass(frozen=True, slots=True)
class _Observed:
    """The Kubernetes Job of a record and its pods.

    Attributes:
        job: None if it does not exist or could not be read.
        pods: in the order of their creation.
        error: why they could not be read; else None.
    """

    job: KubernetesJob | None = None
    pods: Sequence[Pod] = ()
    error: str | None = None


def _observe_kubernetes(jobs: Jobs, record: JobRecord) -> _Observed:
    if record.k8s_job_name is None:
        return _Observed()
    try:
        job, pods = find_job_and_pods(_cluster_of(jobs, record), record.job_id, record.k8s_job_name)
    except FlinkjobsError as error:
        return _Observed(error=str(error))
    return _Observed(None if isinstance(job, Missing) else job, by_age(pods))


def _cluster_of(jobs: Jobs, record: JobRecord) -> KubernetesClient:
    return jobs.cluster().in_namespace(record.k8s_namespace)


def _kubernetes(jobs: Jobs, record: JobRecord | None, observed: _Observed) -> dict[str, Any]:
    name = record.k8s_job_name if record else None
    namespace = (record.k8s_namespace if record else None) or jobs.namespace
    is_known = name is not None and observed.error is None
    return {
        "namespace": namespace,
        "job_name": name,
        "found": observed.job is not None if is_known else None,
        "error": observed.error,
        "phase": observed.job.phase.value if observed.job else None,
        "pods": [
            {"name": pod.name, "phase": pod.phase, "started_at": pod.started_at, "ended_at": pod.ended_at}
            for pod in observed.pods
        ],
        "kubectl": kubectl_lines(namespace, record.job_id, name) if record and name else [],
    }


def _log_tail(
    jobs: Jobs, record: JobRecord | None, observed: _Observed, kept: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The end of the log of the newest pod with output, else the end kept on the record, else None."""
    for pod in reversed(observed.pods):
        container = pod.submit
        if container is None or isinstance(container.state, Waiting):
            continue
        try:
            cluster = jobs.cluster().in_namespace(record.k8s_namespace if record else None)
            text = cluster.pod_log(pod.name, container.name, tail=True)
        except FlinkjobsError as error:
            failed = {"text": "", "truncated": False, "pod": pod.name, "source": "pod", "error": str(error)}
            return kept or failed
        if isinstance(text, str) and text:
            end = _end_of(text)
            is_cut = end["truncated"] or text.count("\n") >= TAIL_LINES
            return {"text": end["text"], "truncated": is_cut, "pod": pod.name, "source": "pod", "error": None}
    return kept


def _without_secrets(log: dict[str, Any] | None, spec: Any) -> dict[str, Any] | None:
    return log and {**log, "text": without(secrets_of(spec), log["text"])}


def _log_url(
    jobs: Jobs,
    record: JobRecord,
    details: Mapping[str, Any],
    pods: Sequence[Pod],
    kept_log: Mapping[str, Any] | None,
) -> str | None:
    """The address of a submitter's log in the log store of the team; None where it is not known.

    The time of a job that is not over ends with the next whole hour, so that the answer stays the same.
    """
    if jobs.log_url_template is None or record.k8s_job_name is None:
        return None
    ended = record.end_time or (None if record.status in OPEN else details.get("updated_at"))
    now = jobs.clock().replace(minute=0, second=0, microsecond=0)
    return log_url(
        jobs.log_url_template,
        job_id=record.job_id,
        k8s_job_name=record.k8s_job_name,
        namespace=record.k8s_namespace or jobs.namespace,
        pod=pods[-1].name if pods else (kept_log or {}).get("pod"),
        start=record.submitted_at,
        end=ended or now + timedelta(hours=1),
    )


def _kept_log(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """The end of the log that cleanup kept on the record."""
    kept = details.get("submitter_log")
    if not isinstance(kept, Mapping) or not isinstance(kept.get("text"), str):
        return None
    end, pod = _end_of(kept["text"]), kept.get("pod")
    return {
        "text": end["text"],
        "truncated": end["truncated"] or bool(kept.get("truncated")),
        "pod": pod if isinstance(pod, str) else None,
        "source": "record",
        "error": None,
    }


def _end_of(text: str) -> dict[str, Any]:
    """The last lines, without terminal control codes."""
    printed = "\n".join(lines_of(text)).encode(errors="replace").decode()
    end = tail(printed, KEPT_BYTES)
    return {"text": end, "truncated": end != printed}


# --- sync now ---------------------------------------------------------------------------------------


def sync_now(jobs: Jobs, any_id: str) -> dict[str, Any]:
    """Synchronises this one record now, and returns the report of the sync function.

    Raises:
        JobNotFoundError: no record has this id.
        SyncUnavailableError: the sync function is not configured, or did not answer usefully.
    """
    return sync_several(jobs, [_look_up(jobs, any_id).record.job_id])


def sync_several(jobs: Jobs, job_ids: Sequence[str]) -> dict[str, Any]:
    """Synchronises these records now, and returns the report of the sync function.

    Raises:
        SyncUnavailableError: as `sync_now`.
    """
    if jobs.sync is None:
        raise SyncUnavailableError("SYNC_URL is not set: there is no function to ask for a pass")
    try:
        return dict(jobs.sync(job_ids))
    except FunctionUnavailableError as error:
        raise SyncUnavailableError(
            "The sync function did not answer in time. Its pass may go on; the page shows what it finds."
        ) from error
    except (TemporaryError, PermanentError) as error:
        raise SyncUnavailableError(f"the sync function did not do it: {error}") from error


# --- statistics -------------------------------------------------------------------------------------


def metrics(jobs: Jobs) -> dict[str, Any]:
    """The statistics of every window, the state of sync and cleanup, and the problems.

    Raises:
        StoreUnavailableError: the records could not be read.
    """
    now = jobs.clock().astimezone(UTC)
    now = whole_milliseconds(now)  # as the answer says it, and a filter of it
    end = statistics.next_whole_hour(now)
    sync = statistics.sync_state(
        jobs.store.last_runs(limit=RUNS_LOOKED_AT),
        jobs.store.last_complete_run(),
        now,
        jobs.sync_period_seconds,
    )
    causes = jobs.store.causes(
        created_before=now - problems.HELD_UP_AFTER,
        failed_since=now - problems.FAILED_WITHIN,
        examples=EXAMPLES,
    )
    windows = statistics.windows(jobs.store.tallies(end, statistics.begins(end)), end)
    away = statistics.unreachable_clusters(sync["last_pass"])
    return {
        "now": now,
        "windows": windows,
        "health": statistics.health(
            windows["all"], jobs.store.health_counts(away), jobs.store.health_by_template(), now
        ),
        "sync": sync,
        "cleanup": statistics.cleanup_state(jobs.store.last_cleanup(), now),
        "problems": problems.find_problems(causes, sync, now),
        "notifications": backlog_view(jobs.store.backlog(), now),
    }
