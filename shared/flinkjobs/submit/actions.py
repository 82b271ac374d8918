"""Requests for actions on jobs: writes the intent; sync sends it and follows it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from flinkjobs import log
from flinkjobs.domain.actions import Action, ActionKind, action_view
from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    JobNotFoundError,
    KeyReusedError,
    PermanentError,
    describe_faults,
)
from flinkjobs.domain.flink_states import FINAL
from flinkjobs.domain.records import JobRecord, whole_milliseconds
from flinkjobs.domain.text import cut
from flinkjobs.ports.action_store import ActionStore
from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.request import SubmittedBy, validated

T = TypeVar("T")
_Directory = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x20\x7f]+$")]


class JobOverError(PermanentError):
    """The job is over: there is nothing to act on."""

    http_status = 409
    code = "JOB_OVER"


class CancelRequest(BaseModel):
    """A request to cancel a job.

    Attributes:
        requested_by: who asks for it.
        job_id, kind: what the path says as well. A signed request must say it: its signature covers the body
            alone.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    requested_by: SubmittedBy | None = None
    job_id: str | None = None
    kind: str | None = None


class SavepointRequest(CancelRequest):
    """A request for a savepoint of a job that goes on.

    Attributes:
        savepoint_directory: where to; None is the directory that Flink is configured with.
    """

    savepoint_directory: _Directory | None = None


class StopRequest(SavepointRequest):
    """A request to stop a job with a savepoint.

    Attributes:
        drain: let the sources end first; the savepoint cannot be resumed from.
    """

    drain: bool = False


_MODELS: Final[dict[ActionKind, type[CancelRequest]]] = {
    ActionKind.CANCEL: CancelRequest,
    ActionKind.STOP: StopRequest,
    ActionKind.SAVEPOINT: SavepointRequest,
}


@dataclass(frozen=True, slots=True)
class Requested:
    """The answer to a request for an action.

    Attributes:
        is_replay: the request came before, with the same idempotency key.
    """

    record: JobRecord
    action: Action
    is_replay: bool

    def body(self) -> dict[str, Any]:
        """What the caller gets."""
        return {"job_id": self.record.job_id, "action": action_view(self.action)}


def parse_action(kind: ActionKind, any_id: str, body: dict[str, Any], *, is_signed: bool) -> CancelRequest:
    """The request that a JSON body describes.

    Args:
        kind: as the path says, as does `any_id`.
        any_id: of the job.
        body: decoded.
        is_signed: whether its signature was checked.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    wanted = validated(_MODELS[kind], body, effect="nothing was requested")
    expect_named(wanted, kind.value, any_id, is_signed=is_signed)
    return wanted


def expect_named(wanted: CancelRequest, kind: str, any_id: str, *, is_signed: bool) -> None:
    """Checks that a body names job and kind as the path does, where it names them or must.

    Raises:
        BadRequestError: it does not.
    """
    named = {"job_id": (wanted.job_id, any_id), "kind": (wanted.kind, kind)}
    wrong = tuple(
        Fault(f"/{name}", f"must be {cut(expected, 200)!r}, as in the path, which no signature covers")
        for name, (said, expected) in named.items()
        if said != expected and (is_signed or said is not None)
    )
    if wrong:
        raise BadRequestError(describe_faults(wrong), wrong)


def expect_found(look_up: Callable[[str], T | None], any_id: str) -> T:
    """What a store has under this id.

    Raises:
        JobNotFoundError: nothing.
    """
    is_text = any_id.encode(errors="ignore").decode() == any_id  # no record holds half a surrogate pair
    found = look_up(any_id) if is_text else None
    if found is None:
        raise JobNotFoundError(f"no record has the id {cut(any_id, 200)}")
    return found


def request_action(
    store: ActionStore,
    clock: Callable[[], datetime],
    kind: ActionKind,
    any_id: str,
    wanted: CancelRequest,
    key: Key | None,
    *,
    verified: bool = False,
) -> Requested:
    """Writes the intent, once: the same kind again answers with the open action.

    Args:
        store: of the records.
        clock: the time now, aware UTC.
        kind: of the action.
        any_id: of the job.
        wanted: the request.
        key: its idempotency key.
        verified: whether the page vouches for who asks.

    Raises:
        JobNotFoundError: no record has this id.
        JobOverError: the job is over.
        KeyReusedError: the idempotency key was used for another action of this job.
        StoreUnavailableError: nothing was requested.
    """
    record = expect_found(store.look_up, any_id)
    if (found := _replayed(record, kind, key)) is not None:
        return Requested(record, found, is_replay=True)
    now = clock()
    new = Action(
        id=uuid.uuid4().hex,
        kind=kind,
        requested_at=whole_milliseconds(now),
        requested_by=wanted.requested_by,
        verified=verified and wanted.requested_by is not None,
        drain=wanted.drain if isinstance(wanted, StopRequest) else False,
        savepoint_directory=wanted.savepoint_directory if isinstance(wanted, SavepointRequest) else None,
        key=key.value if key else None,
        request_hash=key.request_hash if key else None,
    )
    after = store.request(record, new)
    if any(action.id == new.id for action in after.actions):
        log.info("action.requested", job_id=record.job_id, action_id=new.id, kind=kind.value)
        return Requested(after, new, is_replay=False)
    if (found := _replayed(after, kind, key)) is not None:
        return Requested(after, found, is_replay=True)
    for action in after.actions:
        if action.kind is kind and action.is_open:
            return Requested(after, action, is_replay=False)
    if after.status not in FINAL:  # one of this kind was open, and has just ended
        return request_action(store, clock, kind, any_id, wanted, key, verified=verified)
    raise JobOverError(f"{record.job_id} is over: it ended as {after.status.value}")


def _replayed(record: JobRecord, kind: ActionKind, key: Key | None) -> Action | None:
    """The action that an earlier request with this key made."""
    found = [action for action in record.actions if key is not None and action.key == key.value]
    if not found:
        return None
    if key is None or found[0].request_hash != key.request_hash or found[0].kind is not kind:
        raise KeyReusedError(f"the idempotency key was used for {record.job_id}, with another request")
    return found[0]
