"""Actions that a reader of the page asks for: who may, and what is passed on to the submit function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    ForbiddenError,
    FunctionUnavailableError,
    SubmitUnavailableError,
    UnauthorizedError,
    describe_faults,
    json_pointer,
)
from flinkjobs.domain.operators import Actor

_PASSED_ON: Final = frozenset(
    {
        *("requested_by", "drain", "savepoint_directory"),
        *("from", "args", "parallelism", "flink_conf", "script", "parallel"),
    }
)
"""Fields of the page's request that submit gets, and checks. Whatever else it gets is said by jobs itself."""


def acting_view(actor: Actor) -> dict[str, Any]:
    """What the page shows of its reader."""
    return {"allowed": actor.may_act, "user": actor.name}


def relayed_body(
    kind: str, any_id: str, body: Mapping[str, Any], actor: Actor, *, is_signed: bool
) -> dict[str, Any]:
    """The body for submit: what the page says, and what jobs vouches for, which only its signature proves.

    Raises:
        BadRequestError: the page says what only jobs may say, or what submit does not know.
        ForbiddenError: the reader may not act.
    """
    if not actor.may_act:
        cause = f"{actor.name} is no operator" if actor.name else "no sign-in has named who you are"
        raise ForbiddenError(f"you may look at this page, and not act on jobs: {cause}")
    faults = tuple(
        Fault(json_pointer([name]), "is not known here") for name in body if name not in _PASSED_ON
    )
    if faults:
        raise BadRequestError(describe_faults(faults), faults)
    known = {} if actor.name is None else {"requested_by": actor.name}
    proven = {"verified": True} if known and is_signed else {}
    return {**body, **known, **proven, "job_id": any_id, "kind": kind}


def passed_on(send: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer of the submit function.

    Raises:
        FunctionRefusedError: submit refused, in its own words; so does JobNotFoundError.
        SubmitUnavailableError: it gave no answer, could not do it now, or did not accept jobs as its caller.
    """
    try:
        return send()
    except UnauthorizedError as error:
        raise SubmitUnavailableError(
            f"The submit function does not accept what jobs sends: check PAGE_ACTION_SECRET of both. {error}"
        ) from error
    except FunctionUnavailableError as error:
        if error.is_own:
            raise SubmitUnavailableError(f"The submit function cannot do it now: {error}") from error
        raise SubmitUnavailableError(
            "The submit function did not answer. What was asked for may have been noted: the details show it."
        ) from error
