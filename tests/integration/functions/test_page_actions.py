"""Actions that the page asks for: passed on by jobs, signed, checked by submit."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from doubles.processes import free_port
from flinkjobs.submit.webhook_signature import expect_signed, sign
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, problem
from tests.integration.functions.test_sync import RUNNING_ID, followed
from tests.support.records import Document
from tests.support.scripted_server import Answer, ScriptedServer

WEBHOOK = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
PAGE = "whsec_cGFnZXBhZ2VwYWdlcGFnZXBhZ2VwYWdlcGFnZXBhZ2U="
FOREIGN = "whsec_Zm9yZWlnbmZvcmVpZ25mb3JlaWduZm9yZWlnbmZvcmU="
OURS = {"X-Flinkjobs": "1"}
ORIGIN = "https://app.example"
CANCEL = "/api/jobs/runs_1/cancel"


@dataclass(frozen=True, slots=True)
class Pair:
    """The functions submit and jobs, which know each other."""

    submit: FunctionServer
    jobs: FunctionServer


@pytest.fixture(scope="module")
def pair(settings: Mapping[str, str]) -> Iterator[Pair]:
    secrets = {"WEBHOOK_SECRETS": WEBHOOK, "PAGE_ACTION_SECRET": PAGE}
    with FunctionServer("submit", {**settings, **secrets}) as submit:
        own = {"SUBMIT_URL": submit.url, "PAGE_ACTION_SECRET": PAGE, "CORS_ORIGINS": ORIGIN}
        with FunctionServer("jobs", {**settings, **own}) as jobs:
            yield Pair(submit, jobs)


@pytest.fixture
def running(world: World) -> World:
    world.add_record("runs_1", **followed(RUNNING_ID))
    return world


def actions(world: World) -> list[Document]:
    return list(world.record("runs_1").get("actions", []))


def ask(server: FunctionServer, path: str = CANCEL, **sent: Any) -> httpx.Response:
    """A request as the page sends it, but for what is given."""
    return call(server, "POST", path, **{"headers": OURS, "json": {}, **sent})


def signed(secret: str, body: Document) -> Document:
    text = json.dumps(body)
    headers = sign(text, message_id=uuid.uuid4().hex, secret=secret, now=datetime.now(UTC))
    return {"content": text, "headers": {"Content-Type": "application/json", **headers}}


REQUESTS: Mapping[str, Document] = {
    "cancel": {},
    "stop": {"drain": True, "savepoint_directory": "s3://bucket/savepoints"},
    "savepoint": {"savepoint_directory": "s3://bucket/savepoints", "requested_by": "ann"},
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_what_the_page_asks_for_is_written_once(pair: Pair, running: World, kind: str) -> None:
    headers = {**OURS, "Idempotency-Key": uuid.uuid4().hex}
    body = REQUESTS[kind]
    answers = [ask(pair.jobs, f"/api/jobs/{RUNNING_ID}/{kind}", headers=headers, json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    [action] = actions(running)
    assert action["kind"] == kind
    assert {name: action[name] for name in body} == body
    assert [answer.json()["action"]["id"] for answer in answers] == [action["id"]] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Flinkjobs": "yes"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
        {**OURS, "Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    ],
    ids=str,
)
def test_no_other_page_may_ask(pair: Pair, running: World, headers: Mapping[str, str]) -> None:
    """Also none of `CORS_ORIGINS`, whose pages may read, and ask for a sync."""
    refused = ask(pair.jobs, headers=headers)
    assert (refused.status_code, problem(refused)["code"]) == (403, "FORBIDDEN")
    assert actions(running) == []


FORGED: Mapping[str, Document] = {
    "unsigned": {"json": {"job_id": "runs_1", "kind": "cancel"}},
    "foreign": signed(FOREIGN, {"job_id": "runs_1", "kind": "cancel"}),
}


@pytest.mark.parametrize("name", FORGED)
def test_submit_takes_nothing_that_is_not_signed(pair: Pair, running: World, name: str) -> None:
    refused = call(pair.submit, "POST", "/jobs/runs_1/cancel", **FORGED[name])
    assert (refused.status_code, problem(refused)["code"]) == (401, "UNAUTHORIZED")
    assert actions(running) == []


def test_the_secret_of_the_page_is_for_actions_alone(pair: Pair, running: World) -> None:
    """It submits no job and adopts none."""
    body = {"template_id": "etl", "script": {"path": "/jobs/etl.py"}}
    for path in ("/", "/jobs/adopt"):
        refused = call(pair.submit, "POST", path, **signed(PAGE, body))
        assert (refused.status_code, problem(refused)["code"]) == (401, "UNAUTHORIZED")
    assert running.jobs.count_documents({}) == 1


def test_only_the_page_says_that_a_user_is_verified(pair: Pair, running: World) -> None:
    body = {"job_id": "runs_1", "kind": "cancel", "requested_by": "ann@example.com", "verified": True}
    refused = call(pair.submit, "POST", "/jobs/runs_1/cancel", **signed(WEBHOOK, body))
    assert [fault["pointer"] for fault in problem(refused)["errors"]] == ["/verified"]
    for secret in (PAGE, WEBHOOK):
        unnamed = call(pair.submit, "POST", "/jobs/runs_1/cancel", **signed(secret, {"requested_by": "ann"}))
        assert [fault["pointer"] for fault in problem(unnamed)["errors"]] == ["/job_id", "/kind"]
    assert actions(running) == []
    assert call(pair.submit, "POST", "/jobs/runs_1/cancel", **signed(PAGE, body)).status_code == 202


def test_without_webhook_secrets_what_is_unsigned_is_still_not_verified(
    settings: Mapping[str, str], running: World
) -> None:
    with FunctionServer("submit", {**settings, "PAGE_ACTION_SECRET": PAGE}) as submit:
        body = {"requested_by": "ann", "verified": True}
        refused = call(submit, "POST", "/jobs/runs_1/cancel", json=body)
        assert [fault["pointer"] for fault in problem(refused)["errors"]] == ["/verified"]
        assert call(submit, "POST", "/jobs/runs_1/cancel", json={"requested_by": "ann"}).status_code == 202
    assert [action["requested_by"] for action in actions(running)] == ["ann"]


REFUSED: list[tuple[str, Document, int, str, list[str]]] = [
    ("/api/jobs/nothing/cancel", {}, 404, "JOB_NOT_FOUND", []),
    ("/api/jobs/over_1/stop", {}, 409, "JOB_OVER", []),
    ("/api/jobs/runs_1/stop", {"drain": "yes"}, 400, "BAD_REQUEST", ["/drain"]),
    ("/api/jobs/runs_1/stop", {"savepoint_directory": "a b"}, 400, "BAD_REQUEST", ["/savepoint_directory"]),
    ("/api/jobs/runs_1/cancel", {"drain": True}, 400, "BAD_REQUEST", ["/drain"]),
    ("/api/jobs/runs_1/cancel", {"verified": True}, 400, "BAD_REQUEST", ["/verified"]),
    ("/api/jobs/runs_1/cancel", {"job_id": "over_1"}, 400, "BAD_REQUEST", ["/job_id"]),
    ("/api/jobs/runs_1/cancel", {"kind": "stop"}, 400, "BAD_REQUEST", ["/kind"]),
    ("/api/jobs/runs_1/cancel?now=1", {}, 400, "BAD_REQUEST", ["query:now"]),
]


@pytest.mark.parametrize(("path", "body", "status", "code", "pointers"), REFUSED)
def test_a_refusal_of_submit_is_passed_on(
    pair: Pair, running: World, path: str, body: Document, status: int, code: str, pointers: list[str]
) -> None:
    running.add_record("over_1", **followed("2" * 32) | {"status": "FINISHED"})
    refused = ask(pair.jobs, path, json=body)
    said = problem(refused)
    assert (refused.status_code, said["status"], said["code"]) == (status, status, code)
    assert [fault["pointer"] for fault in said.get("errors", [])] == pointers
    assert actions(running) == []


def test_what_is_no_json_is_refused(pair: Pair) -> None:
    refused = ask(pair.jobs, json=None, content=b"{}", headers={**OURS, "Content-Type": "text/plain"})
    assert refused.status_code == 415


def test_the_page_knows_whether_it_has_actions(pair: Pair, jobs: FunctionServer, running: World) -> None:
    for path in ("/api/jobs", "/api/jobs/runs_1"):
        assert call(pair.jobs, "GET", path).json()["acting"] == {"allowed": True, "user": None}
        assert call(jobs, "GET", path).json()["acting"] is None
    refused = ask(jobs)
    assert (refused.status_code, problem(refused)["code"]) == (503, "SUBMIT_UNAVAILABLE")
    assert actions(running) == []


def test_a_submit_that_is_away_or_does_not_know_the_secret(
    settings: Mapping[str, str], pair: Pair, running: World
) -> None:
    away = {"SUBMIT_URL": f"http://127.0.0.1:{free_port()}", "PAGE_ACTION_SECRET": PAGE}
    stranger = {"SUBMIT_URL": pair.submit.url, "PAGE_ACTION_SECRET": FOREIGN}
    unsigned = {"SUBMIT_URL": pair.submit.url}
    for own, words in (
        (away, "did not answer"),
        (stranger, "PAGE_ACTION_SECRET"),
        (unsigned, "PAGE_ACTION_"),
    ):
        with FunctionServer("jobs", {**settings, **own}) as jobs:
            refused = ask(jobs)
            said = problem(refused)
            assert (refused.status_code, said["code"]) == (503, "SUBMIT_UNAVAILABLE")
            assert words in said["detail"]
            assert refused.headers["retry-after"]
        assert not [line for line in jobs.process.output if "whsec" in line]
    assert actions(running) == []


ACCEPTED = {
    "job_id": "runs_2",
    "k8s_job_name": "flink-py-runs-2",
    "flink_job_id": None,
    "status": "CREATED",
    "submitted_at": "2025-11-01T12:05:00.000Z",
    "run_of": "runs_1",
    "attempt": 2,
    "savepoint_path": None,
}
NEEDED = {"title": "Conflict", "status": 409, "code": "FROM_NEEDED", "detail": "no state is known"}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [(202, "application/json", ACCEPTED), (409, "application/problem+json", NEEDED)],
    ids=["accepted", "refused"],
)
def test_a_job_runs_again_by_the_page(
    settings: Mapping[str, str], status: int, kind: str, body: Document
) -> None:
    """Submit is asked, with a signature that covers all of it, and its answer is passed on."""
    answer = Answer(status=status, body=json.dumps(body).encode(), headers={"Content-Type": kind})
    with ScriptedServer(lambda _: answer) as submit:
        own = {"SUBMIT_URL": submit.url, "PAGE_ACTION_SECRET": f"{PAGE} {FOREIGN}"}
        with FunctionServer("jobs", {**settings, **own}) as jobs:
            wanted = {"from": "nothing", "args": ["--day", "1"], "parallelism": 2}
            passed_on = ask(jobs, "/api/jobs/runs%201/run-again", json=wanted)
        [asked] = submit.asked
    assert (passed_on.status_code, passed_on.json()["status"]) == (status, body["status"])
    assert (asked.method, asked.path) == ("POST", "/jobs/runs%201/run-again")
    assert json.loads(asked.body) == {**wanted, "job_id": "runs 1", "kind": "run-again"}
    expect_signed(asked.body, asked.headers, [PAGE])
