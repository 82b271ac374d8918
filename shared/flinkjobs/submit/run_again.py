"""Run again: a new submission of a job that is over, from where it was.

The record of the first holds its whole submission, an inline script too. No two runs of a job get the same
number (`run_of`, `attempt`), so of two requests at the same moment one is refused; a later one finds that a
run is not over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import Field, ValidationError

from flinkjobs.domain.actions import ActionKind
from flinkjobs.domain.errors import BadRequestError, PermanentError, describe_faults
from flinkjobs.domain.flink_states import FINAL
from flinkjobs.domain.health import latest_state
from flinkjobs.domain.health_values import LatestState
from flinkjobs.domain.records import JobRecord
from flinkjobs.ports.store import JobStore, Submitted
from flinkjobs.submit.actions import CancelRequest, expect_found, expect_named
from flinkjobs.submit.request import (
    FIELDS,
    NOT_VALID,
    Limits,
    Repeatable,
    StatePath,
    overfull,
    parse_submission,
    validation_faults,
)
from flinkjobs.submit.submission import Submission

KIND: Final = "run-again"
LATEST: Final = "latest"
NOTHING: Final = "nothing"


class JobNotOverError(PermanentError):
    """A run of the job is not over: another one could be its twin."""

    http_status = 409
    code = "JOB_NOT_OVER"


class ActionOpenError(PermanentError):
    """A run of the job has an open action, whose savepoint may still come."""

    http_status = 409
    code = "ACTION_OPEN"


class FromNeededError(PermanentError):
    """It is not known where the job was."""

    http_status = 409
    code = "FROM_NEEDED"


class StateDeletedError(PermanentError):
    """The job's own setting has deleted the checkpoint."""

    http_status = 409
    code = "STATE_DELETED"


class StatePendingError(PermanentError):
    """The job has just ended: a pass has yet to ask Flink for its newest state."""

    http_status = 409
    code = "STATE_PENDING"


class NotRepeatableError(PermanentError):
    """The record does not hold what to submit, or it is no longer accepted."""

    http_status = 409
    code = "NOT_REPEATABLE"


class RunAgainRequest(CancelRequest, Repeatable):
    """A request to run a job again. Of `Repeatable`, what is given takes the place of the first one's.

    Attributes:
        from_: `latest`, `nothing`, or the path of a savepoint or checkpoint.
        parallel: also while a run of the job is not over.
    """

    from_: StatePath = Field(default=LATEST, alias="from")
    parallel: bool = False


def parse_run_again(any_id: str, body: dict[str, Any], *, is_signed: bool) -> RunAgainRequest:
    """The request that a JSON body describes.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    if faults := tuple(overfull(body)):
        raise BadRequestError(NOT_VALID, faults)
    try:
        wanted = RunAgainRequest.model_validate(body)
    except ValidationError as error:
        raise BadRequestError(NOT_VALID, tuple(validation_faults(error))) from error
    expect_named(wanted, KIND, any_id, is_signed=is_signed)
    return wanted


def repetition(
    store: JobStore, limits: Limits, any_id: str, wanted: RunAgainRequest, body: Mapping[str, Any]
) -> Submission:
    """The submission of the next run.

    Args:
        store: the records.
        limits: as of a submission.
        any_id: of the job.
        wanted: what `parse_run_again` made of the body.
        body: the JSON object.

    Raises:
        JobNotFoundError: no record has this id.
        JobNotOverError, ActionOpenError: another run could be a twin, and `parallel` is not set.
        FromNeededError, StateDeletedError, StatePendingError: there is nothing to start from, or not yet.
        NotRepeatableError: the record does not hold what to submit.
        BadRequestError: what the request gives is faulty, together with the rest.
        StoreUnavailableError: nothing was submitted.
    """
    found = expect_found(store.submission_with_id, any_id)
    record = found.record
    first = record.run_of or record.job_id
    runs = store.runs_of(first)
    if not wanted.parallel:
        _expect_over(runs)
    if wanted.from_ == LATEST and not _has_stopped(record) and store.awaits_state(record):
        raise StatePendingError(
            f"the newest state of {record.job_id} is not known yet: the next pass asks Flink for it"
        )
    path = _resume_path(record, wanted.from_)
    given = {name: body[name] for name in Repeatable.model_fields if body.get(name) is not None}
    request = _request(found, given) | {"savepoint_path": path}
    if path is None:
        request.pop("allow_non_restored_state", None)
    if wanted.requested_by is not None:
        request["submitted_by"] = wanted.requested_by
    submission = _parsed({name: value for name, value in request.items() if value is not None}, limits, given)
    attempt = 1 + max((run.attempt or 1 for run in runs), default=1)
    return replace(submission, run_of=first, attempt=attempt)


def described(
    answer: Mapping[str, Any], run_of: str | None, attempt: int | None, path: Any
) -> dict[str, Any]:
    """The answer to a submission, with which run it is, and what it starts from."""
    return {**answer, "run_of": run_of, "attempt": attempt, "savepoint_path": path}


def _expect_over(runs: Sequence[JobRecord]) -> None:
    for run in runs:
        if run.status not in FINAL:
            raise JobNotOverError(
                f"{run.job_id} is {run.status.value}: it may still run; with parallel: true it is run again "
                "all the same"
            )
        if any(action.is_open for action in run.actions):
            raise ActionOpenError(f"{run.job_id} has an open action: wait until it has ended")


def _resume_path(record: JobRecord, wanted: str) -> str | None:
    """The path that the new run starts from; None: from the beginning."""
    if wanted == NOTHING:
        return None
    known = _known_states(record)
    if wanted != LATEST:
        known = [state for state in known if state.path == wanted]
    newest = latest_state(known, record.flink_state or "")
    if newest is None and known:
        raise StateDeletedError(
            f"the {known[-1].kind} {known[-1].path} of {record.job_id} was deleted, as the job's own setting "
            "demands: name another path, or start from nothing"
        )
    if wanted != LATEST:
        return wanted
    if newest is None:
        detail = f"no savepoint or checkpoint of {record.job_id} is known that still exists"
    elif len(record.flink_jobs) > 1:
        detail = f"{record.job_id} has {len(record.flink_jobs)} Flink jobs, and a state is of one of them"
    elif any(action.drain and action.savepoint_path == newest.path for action in record.actions):
        detail = f"the newest savepoint of {record.job_id}, {newest.path}, was drained: its input has ended"
    else:
        return newest.path
    raise FromNeededError(f"{detail}: name a path, or start from nothing")


def _has_stopped(record: JobRecord) -> bool:
    """Whether a stop's savepoint is there, after which no checkpoint comes."""
    return any(each.kind is ActionKind.STOP and each.savepoint_path is not None for each in record.actions)


def _known_states(record: JobRecord) -> list[LatestState]:
    """A stop's savepoint is the last state of its job; a savepoint's may be older than a checkpoint."""
    known = [record.latest_state] if record.latest_state is not None else []
    for action in record.actions:
        at = action.ended_at if action.kind is ActionKind.STOP else action.sent_at
        if action.savepoint_path is not None and at is not None:
            known.append(LatestState(kind="savepoint", path=action.savepoint_path, at=at))
    return known


def _request(found: Submitted, given: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that submits the same, but for what is given."""
    spec = found.details.get("spec")
    if not isinstance(spec, Mapping):
        if "script" not in given:
            raise NotRepeatableError(f"{found.record.job_id} was not submitted here: its script is not known")
        spec = {}
    names = ("template_id", "job_name", "submitted_by", "labels")
    kept = {name: spec[name] for name in FIELDS if name in spec}
    kept |= {name: found.details.get(name) for name in names}
    if "script" in given:
        kept.pop("entry_module", None)
    return {**kept, **given, "cluster": found.record.cluster}


def _parsed(request: dict[str, Any], limits: Limits, given: Mapping[str, Any]) -> Submission:
    try:
        return parse_submission(request, limits)
    except BadRequestError as error:
        theirs = tuple(
            fault for fault in error.faults if fault.pointer.lstrip("/").partition("/")[0] in given
        )
        if theirs:
            raise BadRequestError(NOT_VALID, theirs) from error
        what = describe_faults(error.faults) or str(error)
        raise NotRepeatableError(f"the submission on the record is no longer accepted: {what}") from error
