"""What jobs passes on to submit for a reader of the page, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flinkjobs.domain.errors import (
    BadRequestError,
    FlinkjobsError,
    ForbiddenError,
    FunctionUnavailableError,
    SubmitUnavailableError,
    UnauthorizedError,
)
from flinkjobs.domain.operators import Actor
from flinkjobs.jobs.page_actions import acting_view, passed_on, relayed_body

OLGA = Actor("olga@example.com", may_act=True)
NO_NAME = Actor(None, may_act=True)
NAMED = {"job_id": "etl_1", "kind": "stop"}


@pytest.mark.parametrize(
    ("actor", "is_signed", "body", "sent"),
    [
        (NO_NAME, True, {"drain": True}, {"drain": True}),
        (NO_NAME, True, {"requested_by": "ann"}, {"requested_by": "ann"}),
        (OLGA, False, {"requested_by": "ann"}, {"requested_by": "olga@example.com"}),
        (OLGA, True, {}, {"requested_by": "olga@example.com", "verified": True}),
    ],
)
def test_submit_gets_what_the_page_says_and_who_asks(
    actor: Actor, is_signed: bool, body: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert relayed_body("stop", "etl_1", body, actor, is_signed=is_signed) == {**sent, **NAMED}


@pytest.mark.parametrize("field", ["verified", "job_id", "kind", "$set"])
def test_the_page_cannot_say_what_jobs_says(field: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        relayed_body("stop", "etl_1", {field: True}, OLGA, is_signed=True)
    assert [fault.pointer for fault in refused.value.faults] == [f"/{field}"]


@pytest.mark.parametrize(
    ("name", "cause"), [("vera@example.com", "vera@example.com is no operator"), (None, "no sign-in has")]
)
def test_a_reader_who_may_not_act_is_refused_with_the_cause(name: str | None, cause: str) -> None:
    reader = Actor(name, may_act=False)
    assert acting_view(reader) == {"allowed": False, "user": name}
    with pytest.raises(ForbiddenError, match=cause):
        relayed_body("cancel", "etl_1", {}, reader, is_signed=True)


def raising(error: FlinkjobsError) -> Callable[[], dict[str, Any]]:
    def send() -> dict[str, Any]:
        raise error

    return send


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnauthorizedError("no valid signature"), "check PAGE_ACTION_SECRET of both"),
        (FunctionUnavailableError("MongoDB did not answer.", is_own=True), "MongoDB did not answer"),
        (FunctionUnavailableError("timed out"), "may have been noted: the details show it"),
    ],
)
def test_submit_that_does_not_do_it_is_unavailable(error: FlinkjobsError, said: str) -> None:
    with pytest.raises(SubmitUnavailableError, match=said):
        passed_on(raising(error))
    assert passed_on(lambda: {"job_id": "etl_1"}) == {"job_id": "etl_1"}
