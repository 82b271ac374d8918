"""Paths and answers of the Flink REST API. No I/O.

An answer is only believed when it is Flink's: the expected JSON under status 200, or Flink's own 404
for a job. Everything else (a proxy's page, 5xx, an empty object) raises `FlinkUnavailableError`, because
it says nothing about any job.

Endpoints, the same in 1.17 to 2.3:
https://nightlies.apache.org/flink/flink-docs-stable/docs/ops/rest_api/#jobs-overview
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

from flinkjobs.domain.errors import FlinkCredentialError, FlinkUnavailableError
from flinkjobs.domain.flink_states import progress
from flinkjobs.domain.health_values import Checkpoint, Checkpoints, CheckpointSettings, LatestState, Tasks
from flinkjobs.domain.observations import FlinkJob, Missing, Overview, job_of, time_of
from flinkjobs.domain.submitter_log import error_lines
from flinkjobs.domain.text import cut

T = TypeVar("T")

JOBS_OVERVIEW: Final = "/jobs/overview"
"""Every job the cluster knows, in one answer, finished ones included. Fresher than `/jobs/{id}`, which
the JobManager caches for three seconds."""

CLUSTER_OVERVIEW: Final = "/overview"
"""Flink's version, task managers and slots."""

Body: TypeAlias = bytes | bytearray
"""An answer as it was received; decoded where it lies, as it may be tens of MiB long."""

_OK: Final = 200
_NOT_FOUND: Final = 404
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_CREDENTIAL_REFUSED: Final = frozenset({_UNAUTHORIZED, 403})
_TITLE: Final = re.compile(rb"<title[^>]*>(?P<title>[^<]*)", re.IGNORECASE)
_TITLE_WITHIN: Final = 4_000
"""Bytes of a page in which its title is looked for."""
_CERTIFICATE_WANTED: Final = re.compile(rb"SSL certificate (error|was sent)", re.IGNORECASE)
"""How nginx words its 495 and 496, which it answers as 400:
https://nginx.org/en/docs/http/ngx_http_ssl_module.html#errors"""
_LONGEST_MS: Final = 10 * 365 * 86_400_000
"""Ten years, as good as never."""
_LONGEST_PATH: Final = 2_000
_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")


def job_path(job_id: str) -> str:
    """Path of one job. Raises ValueError for anything but 32 lower-case hex digits."""
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"no Flink Job ID: {cut(job_id, 80)!r}")
    return f"/jobs/{job_id}"


def exceptions_path(job_id: str) -> str:
    """Path of one job's exceptions."""
    return f"{job_path(job_id)}/exceptions"


def restarts_path(job_id: str) -> str:
    """Path of one job's number of restarts."""
    return f"{job_path(job_id)}/metrics?get=numRestarts"


def checkpoints_path(job_id: str) -> str:
    """Path of one job's checkpoints."""
    return f"{job_path(job_id)}/checkpoints"


def checkpoint_settings_path(job_id: str) -> str:
    """Path of how one job checkpoints."""
    return f"{checkpoints_path(job_id)}/config"


_Milliseconds = Annotated[int, msgspec.Meta(le=253_402_300_799_999)]
"""Since 1970, up to the end of the year 9999, where datetimes end."""


_NAMES: Final = {
    "start_ms": "start-time",
    "end_ms": "end-time",
    "modified_ms": "last-modification",
    "job_type": "jobType",
}
_NO_TASKS: Final = Tasks()


class _WireJob(msgspec.Struct, frozen=True, gc=False, rename=_NAMES):
    """An `OverviewEntry`, and the beginning of the answer about one job."""

    jid: str
    name: str | None
    state: str
    start_ms: _Milliseconds
    end_ms: _Milliseconds
    modified_ms: _Milliseconds = -1
    tasks: Tasks = _NO_TASKS
    job_type: str | None = None


class _WireNamed(msgspec.Struct):
    name: str


class _WireOverview(msgspec.Struct, gc=False):
    jobs: list[_WireJob]


class _WireOverviewOfRaw(msgspec.Struct):
    jobs: list[msgspec.Raw]


class _WireErrors(msgspec.Struct):
    errors: list[str]


class _WireEntry(msgspec.Struct):
    stacktrace: str = ""
    timestamp: _Milliseconds = -1


class _WireHistory(msgspec.Struct):
    entries: list[_WireEntry]


class _WireExceptions(
    msgspec.Struct, rename={"root_exception": "root-exception", "exception_history": "exceptionHistory"}
):
    exception_history: _WireHistory
    root_exception: str | None = None


class _WireMetric(msgspec.Struct):
    id: str
    value: str


class _WireExternalization(msgspec.Struct):
    enabled: bool
    delete_on_cancellation: bool


class _WireCheckpointSettings(msgspec.Struct):
    interval: int
    timeout: int
    externalization: _WireExternalization


class _WireCheckpoint(msgspec.Struct):
    status: str = ""
    is_savepoint: bool = False
    trigger_timestamp: _Milliseconds = -1
    latest_ack_timestamp: _Milliseconds = -1
    restore_timestamp: _Milliseconds = -1
    external_path: str | None = None
    discarded: bool = False
    failure_message: str | None = None


class _WireLatest(msgspec.Struct):
    completed: _WireCheckpoint | None
    savepoint: _WireCheckpoint | None
    restored: _WireCheckpoint | None


class _WireCheckpoints(msgspec.Struct):
    latest: _WireLatest
    history: list[_WireCheckpoint]


class _WireClusterOverview(msgspec.Struct, rename="kebab"):
    flink_version: str
    taskmanagers: int
    slots_total: int
    slots_available: int


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises: no JSON or not of the expected shape, not UTF-8, nested too deeply."""

_OVERVIEW: Final = msgspec.json.Decoder(_WireOverview)
_OVERVIEW_OF_RAW: Final = msgspec.json.Decoder(_WireOverviewOfRaw)
_JOB: Final = msgspec.json.Decoder(_WireJob)
_NAMED: Final = msgspec.json.Decoder(_WireNamed)
ERRORS: Final = msgspec.json.Decoder(_WireErrors)
_EXCEPTIONS: Final = msgspec.json.Decoder(_WireExceptions)
_METRICS: Final = msgspec.json.Decoder(list[_WireMetric])
CHECKPOINTS: Final = msgspec.json.Decoder(_WireCheckpoints)
_CHECKPOINT_SETTINGS: Final = msgspec.json.Decoder(_WireCheckpointSettings)
_NEVER_MS: Final = 2**63 - 1
"""Flink's interval for a job that does not checkpoint."""
_CLUSTER_OVERVIEW: Final = msgspec.json.Decoder(_WireClusterOverview)


def parse_overview(status: int, body: Body) -> Overview:
    """Reads the answer to `JOBS_OVERVIEW`, of a cluster or a History Server.

    Returns:
        The jobs by id, and the names of those that cannot be read. An unreadable entry costs itself only.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    expect_ok(status, body)
    try:
        jobs = _OVERVIEW.decode(body).jobs
    except UNREADABLE:
        return _entry_by_entry(body)
    return _overview(jobs)


def _entry_by_entry(body: Body) -> Overview:
    try:
        entries = _OVERVIEW_OF_RAW.decode(body).jobs
    except UNREADABLE as error:
        raise not_flinks(_OK, body) from error
    jobs: list[_WireJob] = []
    unreadable: list[str | None] = []
    for entry in entries:
        try:
            job = _JOB.decode(entry)
        except UNREADABLE:
            unreadable.append(_name_of(entry))
        else:
            jobs.append(job)
    return _overview(jobs, unreadable)


def _overview(jobs: list[_WireJob], unreadable: Sequence[str | None] = ()) -> Overview:
    """The jobs by id. Of several entries with one id, the one in the most advanced state counts.

    A job may be listed among the running and the archived jobs of a Dispatcher
    (https://issues.apache.org/jira/browse/FLINK-20195).
    """
    by_id = {job.jid: job for job in jobs}
    duplicates = len(jobs) - len(by_id)
    if duplicates:
        by_id = {job.jid: job for job in sorted(jobs, key=lambda job: progress(job.state))}
    return Overview(by_id, unreadable, duplicates)


def _name_of(entry: msgspec.Raw) -> str | None:
    try:
        return _NAMED.decode(entry).name
    except UNREADABLE:
        return None


def parse_job(status: int, body: Body, job_id: str) -> FlinkJob | Missing:
    """Reads the answer to `job_path`, of a cluster or a History Server.

    Returns:
        The job; `Missing` only for Flink's own 404, which names the job (a History Server's says that
        there is no such file). A wrong path or a proxy answers 404 too, with another body.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    if status == _NOT_FOUND and is_flinks_not_found(body, job_id):
        return Missing()
    job = answer_of(status, body, _JOB)
    if job.jid != job_id:
        raise FlinkUnavailableError(f"asked for job {job_id}, the answer is about {cut(job.jid, 64)!r}")
    return job_of(job_id, job)


def is_flinks_not_found(body: Body, job_id: str) -> bool:
    """Whether an answer 404 is Flink's own, or a History Server's."""
    try:
        errors = ERRORS.decode(body).errors
    except UNREADABLE:
        return False
    return any(f"Job {job_id} not found" in error or error.strip() == "File not found." for error in errors)


def parse_exceptions(status: int, body: Body) -> str | None:
    """As `parse_failures`, without the times."""
    return parse_failures(status, body)[0]


def parse_failures(status: int, body: Body) -> tuple[str | None, Sequence[datetime]]:
    """Reads the answer to `exceptions_path`: the error lines of the root exception, and all times.

    1.x has `root-exception`; 2.x only `exceptionHistory`, whose first entry is the latest.

    Returns:
        The error lines, or None where Flink names no exception; and when the listed exceptions occurred,
        16 at most, `truncated` or not.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    wire = answer_of(status, body, _EXCEPTIONS)
    entries = wire.exception_history.entries
    trace = wire.root_exception or (entries[0].stacktrace if entries else "")
    times = (time_of(entry.timestamp) for entry in entries)
    return error_lines(trace) or None, tuple(at for at in times if at is not None)


def parse_restarts(status: int, body: Body) -> int | None:
    """Reads the answer to `restarts_path`; None where Flink has no number yet.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    found = [metric.value for metric in answer_of(status, body, _METRICS) if metric.id == "numRestarts"]
    try:
        return int(found[0]) if found else None
    except ValueError as error:
        raise not_flinks(status, body) from error


def parse_checkpoint_settings(status: int, body: Body) -> CheckpointSettings | None:
    """Reads the answer to `checkpoint_settings_path`; None where the job does not checkpoint.

    Flink answers 404 for a job without a checkpoint coordinator.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    if status == _NOT_FOUND and b"heckpointing" in body:
        return None
    wire = answer_of(status, body, _CHECKPOINT_SETTINGS)
    if wire.interval == _NEVER_MS:
        return None
    kept = wire.externalization
    return CheckpointSettings(
        interval=timedelta(milliseconds=min(wire.interval, _LONGEST_MS)),
        timeout=timedelta(milliseconds=min(wire.timeout, _LONGEST_MS)),
        kept=kept.enabled,
        kept_on_cancel=kept.enabled and not kept.delete_on_cancellation,
    )


def parse_checkpoints(status: int, body: Body, now: datetime) -> Checkpoints:
    """Reads the answer to `checkpoints_path`.

    One that could not be triggered as not all tasks run is in a counter only, and counts as none.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    wire = answer_of(status, body, CHECKPOINTS)
    latest = wire.latest
    ended = [one for one in wire.history if not one.is_savepoint and one.status != "IN_PROGRESS"]
    failed = list(itertools.takewhile(lambda one: one.status == "FAILED", ended))
    checkpoint = Checkpoint(
        observed_at=now,
        completed_at=time_of(latest.completed.latest_ack_timestamp) if latest.completed else None,
        failed=len(failed),
        message=failed[0].failure_message if failed else None,
        since=time_of(latest.restored.restore_timestamp) if latest.restored else None,
    )
    states = [
        LatestState(kind, cut(one.external_path, _LONGEST_PATH), at)
        for kind, one in (("savepoint", latest.savepoint), ("checkpoint", latest.completed))
        if one and one.external_path and not one.discarded and (at := time_of(one.latest_ack_timestamp))
    ]
    return Checkpoints(checkpoint, states)


def parse_cluster_overview(status: int, body: Body) -> tuple[str, int, int, int]:
    """Reads the answer to `CLUSTER_OVERVIEW`: (version, task managers, slots, free slots)."""
    wire = answer_of(status, body, _CLUSTER_OVERVIEW)
    return wire.flink_version, wire.taskmanagers, wire.slots_total, wire.slots_available


def expect_ok(status: int, body: Body) -> None:
    """Raises FlinkUnavailableError, or FlinkCredentialError, for any status but 200."""
    if status in _CREDENTIAL_REFUSED:
        what = "no credential, or one it refuses" if status == _UNAUTHORIZED else "we may not ask it"
        raise FlinkCredentialError(f"Flink answered {status}, {what}: {first_line(body)}")
    if status == _BAD_REQUEST and _CERTIFICATE_WANTED.search(body, 0, _TITLE_WITHIN):
        raise FlinkCredentialError(f"it wants a client certificate that it trusts: {first_line(body)}")
    if status != _OK:
        raise FlinkUnavailableError(f"Flink answered {status}: {first_line(body)}")


def answer_of(status: int, body: Body, decoder: msgspec.json.Decoder[T]) -> T:
    """Flink's answer of an expected shape.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    expect_ok(status, body)
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise not_flinks(status, body) from error


def not_flinks(status: int, body: Body) -> FlinkUnavailableError:
    """The error of an answer that does not look as Flink's would."""
    return FlinkUnavailableError(f"an answer {status} that is not Flink's: {first_line(body)}")


def first_line(body: Body) -> str:
    """What an unexpected answer says, in one line."""
    try:
        text = " ".join(ERRORS.decode(body).errors)
    except UNREADABLE:
        title = _TITLE.search(body, 0, _TITLE_WITHIN)
        text = (title["title"] if title else body[:500]).decode(errors="replace")
        text = f"the page {text.strip()!r}" if title else text
    return cut(" ".join(text.split()), 200) or "(empty)"
