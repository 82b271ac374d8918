"""Requests that change a job: what recordings of real clusters say became of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.adapters.flink import rest_actions
from flinkjobs.domain.actions import (
    InProgress,
    Refused,
    Reply,
    SavepointFailed,
    SavepointMade,
    UnknownTrigger,
)
from flinkjobs.domain.errors import FlinkCredentialError, FlinkUnavailableError
from tests.support.health_recordings import VERSIONS, answer, recorded

ACCEPTED = (
    ("cancel", "running"),
    ("cancel", "again"),
    ("stop", "own-trigger-id"),
    ("stop", "drain"),
    ("stop", "unknown-job"),
    ("stop", "directory-not-writable"),
    ("savepoint", "own-trigger-id"),
    ("savepoint", "same-trigger-id-again"),
)
REFUSED = (
    ("cancel", "job-finished", "Job cancellation failed because the job has already reached another"),
    ("cancel", "unknown-job", "Job could not be found."),
    ("savepoint", "no-directory", "Property [target-directory] must be provided."),
    ("savepoint", "bad-trigger-id", "Request did not match expected format SavepointTriggerRequestBody."),
)
RESULTS: tuple[tuple[str, type, str], ...] = (
    ("in-progress", InProgress, ""),
    ("stop-in-progress", InProgress, ""),
    ("completed", SavepointMade, "file:/opt/flink/checkpoints"),
    ("stop-completed", SavepointMade, "file:/opt/flink/checkpoints"),
    ("stop-drain", SavepointMade, "file:/opt/flink/checkpoints"),
    ("stop-directory-not-writable", SavepointFailed, "Failed to create savepoint directory"),
    ("directory-not-writable", SavepointFailed, "Failed to create savepoint directory"),
    ("backpressure-18s", SavepointFailed, "Checkpoint expired before completing"),
    ("stop-job-finished", SavepointFailed, "Could not find Flink job"),
    ("unknown-trigger", UnknownTrigger, ""),
    ("after-5-minutes-second", UnknownTrigger, ""),
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("call", "situation"), ACCEPTED)
def test_accepted(version: str, call: str, situation: str) -> None:
    assert rest_actions.parse_request(*answer(version, call, situation)) is Reply.ACCEPTED


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("call", "situation", "said"), REFUSED)
def test_refused(version: str, call: str, situation: str, said: str) -> None:
    refused = rest_actions.parse_request(*answer(version, call, situation))
    assert isinstance(refused, Refused)
    assert said in refused.message
    assert "\n" not in refused.message
    assert not refused.message.startswith("org.apache")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("situation", "kind", "said"), RESULTS)
def test_result(version: str, situation: str, kind: type, said: str) -> None:
    trigger_id = recorded(version, "savepoint_result", situation)["request"].split("/")[-1]
    result = rest_actions.parse_result(*answer(version, "savepoint_result", situation), trigger_id)
    assert isinstance(result, kind)
    text = result.path if isinstance(result, SavepointMade) else ""
    text = result.message if isinstance(result, SavepointFailed) else text
    assert said in text


@pytest.mark.parametrize("version", VERSIONS)
def test_another_triggers_404_says_nothing(version: str) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_actions.parse_result(*answer(version, "savepoint_result", "unknown-trigger"), "0" * 32)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("call", ["job_checkpoints", "historyserver--job_checkpoints"])
def test_newer_savepoint(version: str, call: str) -> None:
    exchange = recorded(version, call, "stopped-with-savepoint")
    made: dict[str, Any] = exchange["body"]["latest"]["savepoint"]
    triggered = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=made["trigger_timestamp"])
    parts = answer(version, call, "stopped-with-savepoint")
    before = rest_actions.parse_newer(*parts, "a" * 32, triggered - timedelta(milliseconds=1))
    assert before == made["external_path"]
    assert rest_actions.parse_newer(*parts, "a" * 32, triggered) is None


def test_a_history_server_without_the_job_has_no_savepoint() -> None:
    missing = json.dumps({"errors": ["File not found."]}).encode()
    assert rest_actions.parse_newer(404, missing, "a" * 32, datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<html><title>nginx</title>", FlinkUnavailableError),
        (200, b"{}", FlinkUnavailableError),
        (202, b"<html>", FlinkUnavailableError),
        (503, b'{"errors": ["Service temporarily unavailable due to an ongoing leader election."]}',
         FlinkUnavailableError),
        (401, b"", FlinkCredentialError),
        (403, b"", FlinkCredentialError),
    ],
)  # fmt: skip
def test_what_is_not_flinks_word_is_no_answer(
    status: int, body: bytes, error: type[FlinkUnavailableError]
) -> None:
    with pytest.raises(error):
        rest_actions.parse_request(status, body)


def test_bodies_name_fields_as_flink_does() -> None:
    """The two calls spell the directory differently."""
    for version in VERSIONS:
        for call, build in (("stop", rest_actions.stop_body), ("savepoint", rest_actions.savepoint_body)):
            said = recorded(version, call, "own-trigger-id")["request_body"]
            options: dict[str, Any] = {"drain": said["drain"]} if "drain" in said else {}
            directory = said.get("targetDirectory", said.get("target-directory"))
            body = build(said["triggerId"], directory=directory, **options)
            assert json.loads(body) == said
    assert "targetDirectory" not in json.loads(rest_actions.stop_body("a", directory=None, drain=False))


@pytest.mark.parametrize("trigger_id", ["xyz", "A" * 32, "../jobs"])
def test_only_a_trigger_id_becomes_part_of_a_path(trigger_id: str) -> None:
    with pytest.raises(ValueError, match="no trigger id"):
        rest_actions.result_path("a" * 32, trigger_id)
