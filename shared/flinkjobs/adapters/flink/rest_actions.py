"""Requests of the Flink REST API that change a job, and what became of them. No I/O.

Believed is what Flink itself says, as in `rest_api`. The names of fields differ from call to call:
https://nightlies.apache.org/flink/flink-docs-stable/docs/ops/rest_api/#jobs-jobid-stop
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from flinkjobs.adapters.flink.rest_api import (
    CHECKPOINTS,
    ERRORS,
    UNREADABLE,
    Body,
    answer_of,
    expect_ok,
    first_line,
    is_flinks_not_found,
    job_path,
    not_flinks,
)
from flinkjobs.domain.actions import (
    MAX_PATH,
    InProgress,
    Refused,
    Reply,
    Result,
    SavepointFailed,
    SavepointMade,
    UnknownTrigger,
)
from flinkjobs.domain.observations import time_of
from flinkjobs.domain.submitter_log import error_lines
from flinkjobs.domain.text import cut

_ACCEPTED: Final = 202
_NOT_FOUND: Final = 404
_REFUSALS: Final = frozenset({400, _NOT_FOUND, 409})
_TRIGGER_ID: Final = re.compile(r"[0-9a-f]{32}")
_CLASS: Final = re.compile(r"(?:[a-z0-9]+\.)+[A-Z]\w*Exception: ")


def cancel_path(job_id: str) -> str:
    """Path that is patched to cancel a job."""
    return f"{job_path(job_id)}?mode=cancel"


def stop_path(job_id: str) -> str:
    """Path that a stop with a savepoint is posted to."""
    return f"{job_path(job_id)}/stop"


def savepoints_path(job_id: str) -> str:
    """Path that a savepoint is posted to."""
    return f"{job_path(job_id)}/savepoints"


def result_path(job_id: str, trigger_id: str) -> str:
    """Path of what became of a stop or savepoint. Raises ValueError for anything but 32 hex digits."""
    if not _TRIGGER_ID.fullmatch(trigger_id):
        raise ValueError(f"no trigger id: {cut(trigger_id, 80)!r}")
    return f"{savepoints_path(job_id)}/{trigger_id}"


def stop_body(trigger_id: str, *, directory: str | None, drain: bool) -> bytes:
    """Body of a stop."""
    where = {} if directory is None else {"targetDirectory": directory}
    return msgspec.json.encode({"triggerId": trigger_id, "drain": drain, **where})


def savepoint_body(trigger_id: str, *, directory: str | None) -> bytes:
    """Body of a savepoint."""
    where = {} if directory is None else {"target-directory": directory}
    return msgspec.json.encode({"triggerId": trigger_id, "cancel-job": False, **where})


class _WireCause(msgspec.Struct, rename={"stack_trace": "stack-trace"}):
    stack_trace: str


class _WireOperation(msgspec.Struct, rename={"failure_cause": "failure-cause"}):
    location: str | None = None
    failure_cause: _WireCause | None = None


class _WireStatus(msgspec.Struct):
    id: str


class _WireResult(msgspec.Struct):
    status: _WireStatus
    operation: _WireOperation | None = None


_RESULT: Final = msgspec.json.Decoder(_WireResult)


def parse_request(status: int, body: Body) -> Reply | Refused:
    """Reads the answer to a request that changes a job.

    Raises:
        FlinkCredentialError: Flink refused the caller, and did nothing.
        FlinkUnavailableError: this is no answer of Flink's: the request may have arrived.
    """
    if status in _REFUSALS:
        try:
            errors = ERRORS.decode(body).errors
        except UNREADABLE:
            expect_ok(status, body)
        else:
            return Refused(cut(_CLASS.sub("", first_line_of(errors))))
    if status != _ACCEPTED:
        expect_ok(status, body)
        raise not_flinks(status, body)
    try:
        msgspec.json.decode(body, type=dict[str, Any])
    except UNREADABLE as error:
        raise not_flinks(status, body) from error
    return Reply.ACCEPTED


def first_line_of(errors: list[str]) -> str:
    """The first line of the first error, of which the others are Java's stack."""
    return next((line.strip() for error in errors for line in error.splitlines() if line.strip()), "(empty)")


def parse_result(status: int, body: Body, trigger_id: str) -> Result:
    """Reads the answer to `result_path`. Of a failure, Flink's status is `COMPLETED` as well.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    if status == _NOT_FOUND and f"no savepoint operation with triggerId={trigger_id}".encode() in body:
        return UnknownTrigger()
    wire = answer_of(status, body, _RESULT)
    done = wire.operation
    if wire.status.id == "IN_PROGRESS":
        return InProgress()
    if done is not None and done.location:
        return SavepointMade(cut(done.location, MAX_PATH))
    if done is not None and done.failure_cause is not None:
        trace = done.failure_cause.stack_trace
        return SavepointFailed(cut(error_lines(trace) or first_line(trace.encode())))
    raise not_flinks(status, body)


def parse_newer(status: int, body: Body, job_id: str, since: datetime) -> str | None:
    """Reads the answer to `checkpoints_path`: the newest savepoint triggered after this moment.

    Raises:
        FlinkUnavailableError: this is no answer of Flink's.
    """
    if status == _NOT_FOUND and is_flinks_not_found(body, job_id):
        return None
    wire = answer_of(status, body, CHECKPOINTS)
    listed = [*wire.history, *([wire.latest.savepoint] if wire.latest.savepoint else [])]
    newer = [
        (at, one.external_path)
        for one in listed
        if one.is_savepoint
        and one.status == "COMPLETED"
        and one.external_path
        and (at := time_of(one.trigger_timestamp)) is not None
        and at > since
    ]
    return cut(max(newer)[1], MAX_PATH) if newer else None
