"""Who acts on the page, by the header of a sign-in proxy; and what becomes of that in the record."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, problem
from tests.integration.functions.test_page_actions import (
    CANCEL,
    FOREIGN,
    OURS,
    PAGE,
    WEBHOOK,
    actions,
    signed,
)
from tests.integration.functions.test_run_again import add_first
from tests.integration.functions.test_sync import RUNNING_ID, followed
from tests.support.records import Document

HEADER = "X-Forwarded-Email"
VIEWER, OPERATOR = "vera@example.com", "olga@ops.example.com"


@pytest.fixture(scope="module")
def submit(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    secrets = {"WEBHOOK_SECRETS": WEBHOOK, "PAGE_ACTION_SECRET": PAGE}
    with FunctionServer("submit", {**settings, **secrets, "TRUSTED_USER_HEADER": HEADER}) as server:
        yield server


@pytest.fixture(scope="module")
def jobs(settings: Mapping[str, str], submit: FunctionServer) -> Iterator[FunctionServer]:
    own = {"SUBMIT_URL": submit.url, "PAGE_ACTION_SECRET": PAGE}
    trusted = {"TRUSTED_USER_HEADER": HEADER, "OPERATORS": "*@ops.example.com"}
    with FunctionServer("jobs", {**settings, **own, **trusted}) as server:
        yield server


@pytest.fixture(scope="module")
def trusting_none(settings: Mapping[str, str], submit: FunctionServer) -> Iterator[FunctionServer]:
    own = {"SUBMIT_URL": submit.url, "PAGE_ACTION_SECRET": PAGE}
    with FunctionServer("jobs", {**settings, **own}) as server:
        yield server


@pytest.fixture
def running(world: World) -> World:
    world.add_record("runs_1", **followed(RUNNING_ID))
    return world


def who(world: World) -> list[tuple[str | None, bool]]:
    return [(action["requested_by"], action["verified"]) for action in actions(world)]


def test_an_operator_acts_and_is_verified_whatever_the_body_says(
    jobs: FunctionServer, running: World
) -> None:
    body = {"requested_by": "boss@ops.example.com"}
    answer = call(jobs, "POST", CANCEL, headers={**OURS, HEADER: OPERATOR}, json=body)
    assert answer.status_code == 202, answer.text
    assert who(running) == [(OPERATOR, True)]
    shown = call(jobs, "GET", "/api/jobs/runs_1", headers={HEADER: OPERATOR}).json()
    assert shown["acting"] == {"allowed": True, "user": OPERATOR}
    [action] = shown["actions"]
    assert (action["requested_by"], action["verified"]) == (OPERATOR, True)
    [event] = [event for event in shown["timeline"] if event["event"] == "action_requested"]
    assert event["data"] == {"kind": "cancel", "by": OPERATOR, "verified": True}
    entries = call(jobs, "GET", "/api/audit", params={"user": OPERATOR}).json()["entries"]
    assert [(entry["event"], entry["verified"]) for entry in entries] == [("action_requested", True)]


REFUSED: Mapping[str, tuple[Document, str | None, str]] = {
    "a viewer": ({HEADER: VIEWER}, VIEWER, f"{VIEWER} is no operator"),
    "no header: around the proxy": ({}, None, "no sign-in has named who you are"),
    "two names": ({HEADER: f"{VIEWER},{OPERATOR}"}, None, "no sign-in has named who you are"),
    "the header of another proxy": ({"X-Auth-Request-Email": OPERATOR}, None, "no sign-in"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_others_see_the_page_and_are_refused(jobs: FunctionServer, running: World, case: str) -> None:
    headers, user, cause = REFUSED[case]
    listed = call(jobs, "GET", "/api/jobs", headers=headers).json()
    assert listed["acting"] == {"allowed": False, "user": user}
    assert [job["job_id"] for job in listed["jobs"]] == ["runs_1"]
    refused = call(jobs, "POST", CANCEL, headers={**OURS, **headers}, json={"requested_by": OPERATOR})
    said = problem(refused)
    assert (refused.status_code, said["code"]) == (403, "FORBIDDEN")
    assert cause in said["detail"]
    assert actions(running) == []


@pytest.mark.parametrize("names", [["X_Forwarded_Email"], [HEADER, "X_Forwarded_Email"], [HEADER, HEADER]])
def test_a_name_that_a_browser_sends_around_the_proxys_names_no_other(
    jobs: FunctionServer, running: World, names: list[str]
) -> None:
    """WSGI takes _ for -, and joins headers: what a proxy lets pass must not take its own header's place."""
    address = urlsplit(jobs.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.putrequest("POST", CANCEL)
    sent = (
        [(names[0], VIEWER), *((name, OPERATOR) for name in names[1:])]
        if len(names) > 1
        else [(names[0], OPERATOR)]
    )
    for name, value in [*OURS.items(), ("Content-Type", "application/json"), ("Content-Length", "2"), *sent]:
        connection.putheader(name, value)
    connection.endheaders(b"{}")
    assert connection.getresponse().status == 403
    connection.close()
    assert actions(running) == []


def test_without_the_setting_a_forged_header_changes_nothing(
    trusting_none: FunctionServer, running: World
) -> None:
    forged = {HEADER: OPERATOR, "X-Auth-Request-Email": OPERATOR}
    listed = call(trusting_none, "GET", "/api/jobs", headers=forged).json()
    assert listed["acting"] == {"allowed": True, "user": None}
    body = {"requested_by": "ann"}
    assert call(trusting_none, "POST", CANCEL, headers={**OURS, **forged}, json=body).status_code == 202
    assert who(running) == [("ann", False)]


def test_only_the_pages_secret_makes_a_user_verified(submit: FunctionServer, running: World) -> None:
    """submit itself believes no header, although the settings of all functions may name it."""
    path, named = "/jobs/runs_1/cancel", {"job_id": "runs_1", "kind": "cancel", "requested_by": OPERATOR}
    for secret, status in ((WEBHOOK, 400), (FOREIGN, 401)):
        claimed = call(submit, "POST", path, **signed(secret, {**named, "verified": True}))
        assert claimed.status_code == status
    unsigned = call(submit, "POST", path, headers={HEADER: OPERATOR}, json={**named, "verified": True})
    assert unsigned.status_code == 401
    assert actions(running) == []
    sent = signed(WEBHOOK, named)
    headers = {**sent["headers"], HEADER: OPERATOR}
    assert call(submit, "POST", path, content=sent["content"], headers=headers).status_code == 202
    assert who(running) == [(OPERATOR, False)]


@pytest.mark.parametrize(("verified", "kept"), [(True, True), (False, False), ("true", False), (1, False)])
def test_the_page_says_who_is_verified(
    submit: FunctionServer, running: World, verified: object, kept: bool
) -> None:
    body = {"job_id": "runs_1", "kind": "stop", "requested_by": OPERATOR, "verified": verified}
    assert call(submit, "POST", "/jobs/runs_1/stop", **signed(PAGE, body)).status_code == 202
    assert who(running) == [(OPERATOR, kept)]


def test_no_one_is_not_verified(submit: FunctionServer, running: World) -> None:
    body = {"job_id": "runs_1", "kind": "stop", "verified": True}
    assert call(submit, "POST", "/jobs/runs_1/stop", **signed(PAGE, body)).status_code == 202
    assert who(running) == [(None, False)]


def test_a_submission_is_never_verified(submit: FunctionServer, world: World) -> None:
    body = {"template_id": "etl", "script": {"path": "/opt/a.py"}, "submitted_by": OPERATOR}
    for claim in ("verified", "submitted_by_verified"):
        sent = signed(WEBHOOK, {**body, claim: True})
        refused = call(submit, "POST", "/", **sent)
        assert [fault["pointer"] for fault in problem(refused)["errors"]] == [f"/{claim}"]
    sent = signed(WEBHOOK, body)
    answer = call(submit, "POST", "/", content=sent["content"], headers={**sent["headers"], HEADER: OPERATOR})
    record = world.record(json.loads(answer.content)["job_id"])
    assert (record["submitted_by"], record["submitted_by_verified"]) == (OPERATOR, False)


def test_without_a_secret_jobs_vouches_for_none(settings: Mapping[str, str], running: World) -> None:
    """submit takes the unsigned request, as it demands no signature; the name stays, unverified."""
    trusted = {"TRUSTED_USER_HEADER": HEADER, "OPERATORS": "*"}
    with (
        FunctionServer("submit", settings) as submit,
        FunctionServer("jobs", {**settings, **trusted, "SUBMIT_URL": submit.url}) as jobs,
    ):
        answer = call(jobs, "POST", CANCEL, headers={**OURS, HEADER: VIEWER}, json={})
        assert answer.status_code == 202, answer.text
    assert who(running) == [(VIEWER, False)]


def test_who_runs_a_job_again_on_the_page_is_verified(jobs: FunctionServer, world: World) -> None:
    add_first(world)
    asked = {"from": "nothing"}
    answer = call(jobs, "POST", "/api/jobs/etl_1/run-again", headers={**OURS, HEADER: OPERATOR}, json=asked)
    assert answer.status_code == 202, answer.text
    new = world.record(answer.json()["job_id"])
    assert (new["run_of"], new["submitted_by"], new["submitted_by_verified"]) == ("etl_1", OPERATOR, True)


@pytest.mark.parametrize("named", [{}, {"requested_by": OPERATOR}])
def test_the_user_of_the_first_run_verifies_no_other(
    submit: FunctionServer, world: World, named: Document
) -> None:
    add_first(world, submitted_by=OPERATOR, submitted_by_verified=True)
    body = {"job_id": "etl_1", "kind": "run-again", "from": "nothing", **named}
    answer = call(submit, "POST", "/jobs/etl_1/run-again", **signed(WEBHOOK, body))
    new = world.record(json.loads(answer.content)["job_id"])
    assert (new["submitted_by"], new["submitted_by_verified"]) == (OPERATOR, False)
