"""Actions on jobs: cancel, stop with a savepoint, savepoint. Pure decisions, as a state machine.

    requested → sent → done | failed

`planned` says what one pass does about an action, before it asks a peer; `answered` what the answer makes of
it. A stop and a savepoint are sent once: the move to `sent` is written before the one request, on condition
that no other pass has done so. Whether that arrived, Flink says under the action's own trigger id. A cancel
may be repeated, and is, until the job is over. A success is never overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.flink_states import FINAL, TERMINAL_STATES, Status
from flinkjobs.domain.text import cut

EXPIRES_AFTER: Final = timedelta(seconds=900)
"""What was not sent for this long fails: it is too late for it."""

UNKNOWN_FOR: Final = timedelta(seconds=60)
UNKNOWN_PASSES: Final = 3
"""For how long, and in how many passes, Flink must not know of a request that may have reached it."""

LATE_FOR: Final = timedelta(minutes=5)
"""How long after a failure a success may still come: Flink keeps a result for five minutes."""

MAX_PATH: Final = 2_000
"""Characters kept of the path of a savepoint."""


class ActionKind(StrEnum):
    """What is to be done with a job."""

    CANCEL = "cancel"
    STOP = "stop"
    SAVEPOINT = "savepoint"


ENDS_AS: Final = {ActionKind.STOP: Status.FINISHED, ActionKind.CANCEL: Status.CANCELLED}
"""The final status of a job that such an action has ended."""


class ActionState(StrEnum):
    """How far an action has come."""

    REQUESTED = "requested"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"


OPEN_STATES: Final = (ActionState.REQUESTED, ActionState.SENT)


class ActionCode(StrEnum):
    """Why an action failed."""

    EXPIRED = "EXPIRED"
    """It could not be sent within `EXPIRES_AFTER`."""
    JOB_ENDED = "JOB_ENDED"
    """The job ended by itself, before the action or in spite of it."""
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    """It may have reached Flink, which knows nothing of it; or the job is LOST."""
    REFUSED = "REFUSED"
    """Flink refused the request."""
    SAVEPOINT_FAILED = "SAVEPOINT_FAILED"
    """Flink could not write the savepoint; the job goes on."""
    SEVERAL_JOBS = "SEVERAL_JOBS"
    """The record has several Flink jobs that are not over, and a savepoint is of one job."""
    SUPERSEDED = "SUPERSEDED"
    """A cancel came in between."""


class Action(msgspec.Struct, frozen=True):
    """One action on a job, as its record keeps it.

    Attributes:
        id: 32 hex digits; its trigger id in Flink is the same.
        requested_by: as the request said.
        verified: whether the sign-in proxy before the page named them.
        drain: a stop lets the sources emit their last watermark first: the savepoint cannot be resumed from.
        savepoint_directory: where to; None is the directory that Flink is configured with.
        sent_at: when it was claimed for sending, or first sent.
        flink_job_id: the job to which a stop or savepoint was sent.
        trigger_id: of the one request to Flink; None of a cancel.
        k8s_job_uid: of the Kubernetes Job that was deleted as its submit container had not started.
        savepoint_path: of the savepoint that it made.
        code: why it failed, see `ActionCode`; another version may know others.
        message: the cause, for people.
        unknown_since: since when Flink has not known of it.
        unknown_passes: in how many passes since then.
        key: idempotency key of its request.
        request_hash: of that request.
    """

    id: str
    kind: ActionKind
    requested_at: datetime
    state: ActionState = ActionState.REQUESTED
    requested_by: str | None = None
    verified: bool = False
    drain: bool = False
    savepoint_directory: str | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    flink_job_id: str | None = None
    trigger_id: str | None = None
    k8s_job_uid: str | None = None
    savepoint_path: str | None = None
    code: str | None = None
    message: str | None = None
    unknown_since: datetime | None = None
    unknown_passes: int = 0
    key: str | None = None
    request_hash: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is neither done nor failed."""
        return self.state in OPEN_STATES


class Target(msgspec.Struct, frozen=True):
    """What an action needs of its record.

    Attributes:
        flink_jobs: id and Flink's own state of each, None until known.
        actions: all of the record.
    """

    status: Status
    flink_jobs: Sequence[tuple[str, str | None]]
    actions: Sequence[Action]

    @property
    def open_jobs(self) -> Sequence[str]:
        """The Flink jobs that are not known to be over."""
        return [id_ for id_, state in self.flink_jobs if state not in TERMINAL_STATES]

    @property
    def is_cancelling(self) -> bool:
        """Whether a cancel is open."""
        return any(each.kind is ActionKind.CANCEL and each.is_open for each in self.actions)


class Ask(StrEnum):
    """What a pass asks for, once the planned move is written."""

    NOTHING = "nothing"
    DELETE_SUBMITTER = "delete submitter"
    CANCEL = "cancel"
    TRIGGER = "trigger"
    RESULT = "result"


class Reply(StrEnum):
    """What became of a request that changes a job."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"
    """Nothing can have arrived."""
    NO_ANSWER = "no answer"
    """It may have arrived."""


class Refused(msgspec.Struct, frozen=True):
    """The peer answered, and has done nothing."""

    message: str


class InProgress(msgspec.Struct, frozen=True):
    """The savepoint is being written."""


class SavepointMade(msgspec.Struct, frozen=True):
    """The savepoint is complete; with a stop, the job is over."""

    path: str


class SavepointFailed(msgspec.Struct, frozen=True):
    """Flink's cause.

    Attributes:
        newer: path of a savepoint that was triggered after the action was sent; None: there is none.
    """

    message: str
    newer: str | None = None


class UnknownTrigger(msgspec.Struct, frozen=True):
    """Flink knows no such request: it never arrived, or is older than five minutes.

    Attributes:
        newer: as in `SavepointFailed`.
    """

    newer: str | None = None


Result: TypeAlias = InProgress | SavepointMade | SavepointFailed | UnknownTrigger
Answer: TypeAlias = Reply | Refused | Result


def planned(action: Action, target: Target, now: datetime) -> tuple[Action, Ask]:
    """What a pass does about an action that is open, or whose success may still come.

    Returns:
        The action as it is to be written before anything is asked; and what to ask, if that was written.
    """
    if action.state is ActionState.SENT and action.kind is not ActionKind.CANCEL:
        return action, Ask.RESULT
    if not action.is_open:
        return action, Ask.RESULT if is_followed(action, now) else Ask.NOTHING
    if (failed := _given_up(action, target, now)) is not None:
        return failed, Ask.NOTHING
    if action.kind is ActionKind.CANCEL:
        return action, _ask_to_cancel(action, target)
    if not target.flink_jobs:
        return action, Ask.NOTHING
    sent = replace(
        action,
        state=ActionState.SENT,
        sent_at=now,
        trigger_id=action.id,
        flink_job_id=target.open_jobs[0],
    )
    return sent, Ask.TRIGGER


def _ask_to_cancel(action: Action, target: Target) -> Ask:
    if target.flink_jobs:
        return Ask.CANCEL
    return Ask.DELETE_SUBMITTER if action.state is ActionState.REQUESTED else Ask.NOTHING


def _given_up(action: Action, target: Target, now: datetime) -> Action | None:
    """The end of an open action that is not to be sent any more; None of one that is."""
    if (ended := _ended_with_job(action, target, now)) is not None:
        return ended
    if action.state is ActionState.REQUESTED and now - action.requested_at >= EXPIRES_AFTER:
        text = f"it could not be sent within {int(EXPIRES_AFTER.total_seconds())} s"
        return _failed(action, ActionCode.EXPIRED, text, now)
    if action.kind is not ActionKind.CANCEL and target.is_cancelling:
        return _superseded(action, now)
    if action.kind is not ActionKind.CANCEL and target.flink_jobs and len(target.open_jobs) != 1:
        text = f"the record has {len(target.open_jobs)} Flink jobs that are not over: use Flink's own command"
        return _failed(action, ActionCode.SEVERAL_JOBS, text, now)
    return None


def _ended_with_job(action: Action, target: Target, now: datetime) -> Action | None:
    """The end of an action whose job is over; None while it is not."""
    if target.status is Status.LOST:
        text = "the job is LOST: whether it still runs is not known"
        return _failed(action, ActionCode.OUTCOME_UNKNOWN, text, now)
    if target.status not in FINAL:
        return None
    if action.kind is ActionKind.CANCEL and target.status is Status.CANCELLED:
        return _done(action, now)
    return _failed(action, ActionCode.JOB_ENDED, f"the job ended as {target.status.value}", now)


def answered(action: Action, answer: Answer, target: Target, now: datetime) -> Action:
    """The action after an answer."""
    if isinstance(answer, Reply | Refused):
        return _after_request(action, answer, now)
    if (path := _path_in(action, answer, target)) is not None:
        return _done(action, now, path=path)
    return _after_result(action, answer, target, now) if action.is_open else action


def _after_result(action: Action, answer: Result, target: Target, now: datetime) -> Action:
    """An open action after a result that shows no savepoint."""
    if isinstance(answer, SavepointFailed):
        return _failed(action, ActionCode.SAVEPOINT_FAILED, answer.message, now)
    if target.is_cancelling:
        return _superseded(action, now)
    if isinstance(answer, UnknownTrigger):
        return _unknown(action, target, now)
    return replace(action, unknown_since=None, unknown_passes=0)


def _after_request(action: Action, answer: Reply | Refused, now: datetime) -> Action:
    if action.kind is ActionKind.CANCEL:
        # Refused: it is over, which the next pass sees on the record.
        is_sent = answer in (Reply.ACCEPTED, Reply.NO_ANSWER)
        return replace(action, state=ActionState.SENT, sent_at=action.sent_at or now) if is_sent else action
    if isinstance(answer, Refused):
        return _failed(action, ActionCode.REFUSED, answer.message, now)
    if answer is Reply.NOT_SENT:
        return replace(action, state=ActionState.REQUESTED, sent_at=None, trigger_id=None, flink_job_id=None)
    return action


def _path_in(action: Action, answer: Result, target: Target) -> str | None:
    """The path of the savepoint that the action made, as far as an answer shows one.

    That a stop made a savepoint does not show that it stopped the job: only Flink's own result, or the end.
    """
    if isinstance(answer, SavepointMade):
        return answer.path
    is_stopped = action.kind is not ActionKind.STOP or target.status is Status.FINISHED
    return answer.newer if isinstance(answer, SavepointFailed | UnknownTrigger) and is_stopped else None


def _unknown(action: Action, target: Target, now: datetime) -> Action:
    """An action of which Flink knows nothing. A job that is about to start again says nothing of it."""
    if target.status in (Status.CREATED, Status.SUSPENDED):
        return action
    since, passes = action.unknown_since or now, action.unknown_passes + 1
    if passes < UNKNOWN_PASSES or now - since < UNKNOWN_FOR:
        return replace(action, unknown_since=since, unknown_passes=passes)
    if target.status in FINAL:
        text = f"the job ended as {target.status.value}, and no savepoint of this action was found"
        return _failed(action, ActionCode.JOB_ENDED, text, now)
    text = "Flink does not know of it, and no savepoint was made since: repeat it if it is still wanted"
    return _failed(action, ActionCode.OUTCOME_UNKNOWN, text, now)


def is_followed(action: Action, now: datetime) -> bool:
    """Whether it is open, or has failed a short time ago and its savepoint may still come to light."""
    if action.is_open:
        return True
    if action.state is ActionState.DONE or action.trigger_id is None or action.ended_at is None:
        return False
    codes = (ActionCode.SUPERSEDED, ActionCode.OUTCOME_UNKNOWN)
    return action.code in codes and now - action.ended_at < LATE_FOR


def _superseded(action: Action, now: datetime) -> Action:
    return _failed(action, ActionCode.SUPERSEDED, "the job is being cancelled", now)


def _done(action: Action, now: datetime, *, path: str | None = None) -> Action:
    return replace(
        action,
        state=ActionState.DONE,
        ended_at=now,
        savepoint_path=path and cut(path, MAX_PATH),
        code=None,
        message=None,
    )


def _failed(action: Action, code: ActionCode, message: str, now: datetime) -> Action:
    return replace(action, state=ActionState.FAILED, ended_at=now, code=code.value, message=cut(message))


def may_follow(before: Action, after: Action) -> frozenset[ActionState]:
    """The states in which the stored action may be for a move to be written over it.

    Another pass may have moved it in between: a success is taken over any failure, and nothing else is
    written over what has ended.
    """
    if after.state is ActionState.DONE:
        return frozenset({*OPEN_STATES, ActionState.FAILED})
    return frozenset({before.state})


def ended_by(status: Status, actions: Sequence[Action]) -> ActionKind | None:
    """The action that ended a job: a stop that is done, where the job did not finish by itself."""
    done = (each.kind for each in actions if each.state is ActionState.DONE)
    return next((kind for kind in done if ENDS_AS.get(kind) is status), None)


def was_removed_before_start(actions: Sequence[Action]) -> bool:
    """Whether a cancel has deleted the job's Kubernetes Job before its submit container started."""
    return any(each.k8s_job_uid is not None and each.sent_at is not None for each in actions)


def action_view(action: Action) -> dict[str, Any]:
    """An action as the API shows it."""
    return {
        "id": action.id,
        "kind": action.kind.value,
        "state": action.state.value,
        "requested_at": action.requested_at,
        "requested_by": action.requested_by,
        "verified": action.verified,
        "drain": action.drain,
        "savepoint_directory": action.savepoint_directory,
        "sent_at": action.sent_at,
        "ended_at": action.ended_at,
        "trigger_id": action.trigger_id,
        "savepoint_path": action.savepoint_path,
        "code": action.code,
        "message": action.message,
    }
