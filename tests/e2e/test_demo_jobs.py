"""The example of the demo: from a submission to the true end, driven by the schedules alone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pymongo.database import Database

from local.stack import Stack
from tests.e2e.console import JOBS, PODS, Document, flink_job, kubernetes, pods_of, submit
from tests.support.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTCOME_SECONDS = 180.0


@pytest.fixture(scope="module")
def accepted(stack: Stack, database: Database[Document]) -> dict[str, Document]:
    """The answers of submit to the four jobs, by template; a channel gets what comes after its first pass."""
    known = database.channels
    until(
        known.estimated_document_count, timeout_seconds=OUTCOME_SECONDS, what="a pass that knows the channel"
    )

    def inline(name: str) -> Document:
        return {"inline": (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")}

    word_count = {"path": "/opt/flink/examples/datastream/word_count.py"}
    requests = {
        "word_count": {"template_id": "word_count", "script": word_count, "submitted_by": "ann@example.org"},
        "streaming_sql": {"template_id": "streaming_sql", "script": inline("streaming_sql")},
        "fails_at_run_time": {"template_id": "fails_at_run_time", "script": inline("fails_at_run_time")},
        "raises": {"template_id": "raises", "script": inline("raises_before_submitting")},
    }
    return {name: submit(stack, **request) for name, request in requests.items()}


@pytest.fixture(scope="module")
def records(accepted: dict[str, Document], database: Database[Document]) -> dict[str, Document]:
    """The records once the first has finished, the second runs and the others have failed."""
    wanted = {
        "word_count": "FINISHED",
        "streaming_sql": "RUNNING",
        "fails_at_run_time": "FAILED",
        "raises": "FAILED",
    }

    def look() -> dict[str, Document] | None:
        found = {
            name: database.flink_jobs.find_one({"job_id": answer["job_id"]}) or {}
            for name, answer in accepted.items()
        }
        return found if {name: record.get("status") for name, record in found.items()} == wanted else None

    return until(look, timeout_seconds=OUTCOME_SECONDS, what=f"statuses {wanted}")


def test_submit_answers_before_anything_ran(accepted: dict[str, Document]) -> None:
    answer = accepted["word_count"]
    assert set(answer) == {"job_id", "k8s_job_name", "flink_job_id", "status", "submitted_at"}
    assert re.fullmatch(r"word_count_\d{13}", answer["job_id"])
    assert re.fullmatch(r"flink-py-word-count-[0-9a-f]{8}", answer["k8s_job_name"])
    assert answer["flink_job_id"] is None
    assert answer["status"] == "CREATED"
    assert datetime.fromisoformat(answer["submitted_at"]).utcoffset() == timedelta(0)


def test_a_finished_job_has_flinks_own_times(stack: Stack, records: dict[str, Document]) -> None:
    record = records["word_count"]
    job = flink_job(stack, record["flink_job_id"])
    assert job["state"] == "FINISHED"
    assert record["flink_state"] == "FINISHED"
    assert record["start_time"].timestamp() * 1000 == pytest.approx(job["start-time"], abs=0.5)
    assert record["end_time"].timestamp() * 1000 == pytest.approx(job["end-time"], abs=0.5)
    assert record["duration"] == (job["end-time"] - job["start-time"]) / 1000
    assert record["reason"] is None
    assert record["submitted_by"] == "ann@example.org"


def test_a_streaming_job_runs(stack: Stack, records: dict[str, Document]) -> None:
    record = records["streaming_sql"]
    job = flink_job(stack, record["flink_job_id"])
    assert job["state"] == "RUNNING"
    assert job["name"] == record["job_id"]
    assert record["end_time"] is None
    assert record["duration"] is None


def test_a_job_that_failed_in_flink_shows_the_root_exception(records: dict[str, Document]) -> None:
    reason = records["fails_at_run_time"]["reason"]
    assert reason["code"] == "JOB_FAILED"
    assert reason["message"] == "ValueError: amount -3 is negative"
    assert records["fails_at_run_time"]["end_time"] is not None


def test_a_script_that_raised_before_submitting_shows_its_error(records: dict[str, Document]) -> None:
    record = records["raises"]
    assert record["reason"]["code"] == "SUBMIT_FAILED"
    assert record["reason"]["message"] == "KeyError: '2025-11-02'"
    assert record["flink_job_id"] is None
    assert record["flink_job_ids"] == []
    assert record["start_time"] is None


@pytest.mark.parametrize("name", ["word_count", "streaming_sql", "fails_at_run_time"])
def test_the_id_is_the_one_that_the_cli_printed(
    stack: Stack, records: dict[str, Document], name: str
) -> None:
    record = records[name]
    (pod,) = pods_of(stack, record["k8s_job_name"])
    path = f"{PODS}/{pod['metadata']['name']}/log"
    printed = re.findall(
        r"^Job has been submitted with JobID (\w+)$", kubernetes(stack, path).text, re.MULTILINE
    )
    assert printed == [record["flink_job_id"]]
    assert record["flink_job_ids"] == printed
    # A pass that came while the submitter still ran has found the job by its name or read the log, a later
    # one has read the termination message.
    assert record["flink_jobs"][0]["source"] in ("JOB_NAME", "LOG", "TERMINATION_MESSAGE")


def test_every_record_was_submitted_once(stack: Stack, records: dict[str, Document]) -> None:
    assert {name: len(pods_of(stack, record["k8s_job_name"])) for name, record in records.items()} == {
        "word_count": 1,
        "streaming_sql": 1,
        "fails_at_run_time": 1,
        "raises": 1,
    }


def test_every_move_arrives_as_a_signed_event(stack: Stack, records: dict[str, Document]) -> None:
    """The receiver verifies each signature and parses each event with the official libraries."""
    stuck = {True: "stuck", False: "recovered"}
    moves = {
        f"{record['job_id']}/{move['seq']}": stuck.get(move.get("stuck"), move["status"].lower())
        for record in records.values()
        for move in record["history"]
    }

    def look() -> dict[str, str] | None:
        found = {event["id"]: event["type"] for event in stack.receiver.events}
        return found if moves.keys() <= found.keys() else None

    found = until(look, timeout_seconds=OUTCOME_SECONDS, what="an event for every move")
    assert {id_: found[id_].removeprefix("flinkjobs.job.") for id_ in moves} == moves
    assert stack.receiver.refused == 0
    [failed] = [
        event
        for event in stack.receiver.events
        if (event["subject"], event["type"])
        == (records["fails_at_run_time"]["job_id"], "flinkjobs.job.failed")
    ]
    assert failed["source"] == "flinkjobs"
    assert failed.data["move"]["reason_code"] == "JOB_FAILED"
    assert failed.data["job"]["reason"]["message"] == "ValueError: amount -3 is negative"


def test_cleanup_deletes_what_is_harvested_and_its_pods(
    stack: Stack, records: dict[str, Document], database: Database[Document]
) -> None:
    """Runs last in this module: afterwards the submitters' Jobs are gone, the records are as they were."""
    cleanup = f"{stack.functions['cleanup'].url}/"
    names = sorted(record["k8s_job_name"] for record in records.values())
    planned = httpx.post(cleanup, params={"dry_run": "true"}, timeout=30, trust_env=False).json()
    assert sorted(planned["names"]) == names
    assert len(kubernetes(stack, JOBS).json()["items"]) == len(names)

    report = httpx.post(cleanup, timeout=30, trust_env=False).json()

    assert (report["deleted"], sorted(report["names"]), report["errors"]) == (4, names, [])
    assert kubernetes(stack, JOBS).json()["items"] == []
    until(
        lambda: not any(pods_of(stack, name) for name in names),
        timeout_seconds=30,
        what="the pods go with their Jobs",
    )
    record = database.flink_jobs.find_one({"job_id": records["word_count"]["job_id"]}) or {}
    assert record["status"] == "FINISHED"
