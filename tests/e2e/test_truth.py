"""The cases in which other systems show a wrong status, on the real stack; passes are run by the tests."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.faults import RequestFault
from flinkjobs.domain.schedule import Schedule
from local.functions import FunctionServer
from local.stack import Stack
from tests.e2e.console import Document, ended, flink_job, submit, sync
from tests.support.waiting import until

SUBMIT_SECONDS = 90.0
KILLS = 20
TRIGGERS = 100
ROUNDED = timedelta(milliseconds=2)
"""By so much a pass may seem to last longer: the store keeps milliseconds, a duration is rounded to them."""

PREAMBLE = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE endless (n BIGINT) WITH ('connector'='datagen', 'rows-per-second'='1')")
tables.execute_sql("CREATE TABLE two_rows (n BIGINT) WITH ('connector'='datagen', 'number-of-rows'='2')")
tables.execute_sql("CREATE TABLE more_rows (n BIGINT) WITH ("
                   "'connector'='datagen', 'rows-per-second'='1', 'number-of-rows'='{rows}')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
"""


def inline(body: str, rows: int = 15) -> dict[str, str]:
    return {"inline": PREAMBLE.replace("{rows}", str(rows)) + body}


@pytest.fixture(scope="module")
def records(quiet_stack: Stack) -> Iterator[Any]:
    client: MongoClient[Document] = MongoClient(quiet_stack.mongodb_uri, tz_aware=True)
    with client:
        yield client["lemo_recommender"].flink_jobs


def record_of(records: Any, accepted: Document) -> Document:
    found: Document = records.find_one({"job_id": accepted["job_id"]})
    return found


def test_two_inserts_are_over_when_the_second_is(quiet_stack: Stack, records: Any) -> None:
    body = """
tables.execute_sql("INSERT INTO sink SELECT n FROM two_rows")
tables.execute_sql("INSERT INTO sink SELECT n FROM more_rows")
"""
    accepted = submit(quiet_stack, template_id="two_inserts", script=inline(body))

    def first_is_over() -> Document | None:
        sync(quiet_stack)
        record = record_of(records, accepted)
        if len(record["flink_job_ids"]) < 2:
            return None
        states = [flink_job(quiet_stack, flink_job_id)["state"] for flink_job_id in record["flink_job_ids"]]
        return record if states == ["FINISHED", "RUNNING"] else None

    until(first_is_over, timeout_seconds=SUBMIT_SECONDS, what="the first job is over, the second runs")
    sync(quiet_stack)
    record = record_of(records, accepted)
    assert record["status"] == "RUNNING"
    assert record["end_time"] is None

    def all_over() -> Document | None:
        sync(quiet_stack)
        record = record_of(records, accepted)
        return record if record["status"] != "RUNNING" else None

    record = until(all_over, timeout_seconds=SUBMIT_SECONDS, what="both jobs are over")
    jobs = [flink_job(quiet_stack, flink_job_id) for flink_job_id in record["flink_job_ids"]]
    assert record["status"] == "FINISHED"
    earliest, latest = min(job["start-time"] for job in jobs), max(job["end-time"] for job in jobs)
    assert record["duration"] == (latest - earliest) / 1000


def test_a_script_that_raises_after_submitting_is_followed(quiet_stack: Stack, records: Any) -> None:
    body = """
tables.execute_sql("INSERT INTO sink SELECT n FROM endless")
raise ValueError("raised after the submission")
"""
    accepted = submit(quiet_stack, template_id="raises_after", script=inline(body))
    until(
        lambda: ended(quiet_stack, accepted["k8s_job_name"]) == "Failed",
        timeout_seconds=SUBMIT_SECONDS,
        what="the Kubernetes Job has failed",
    )
    sync(quiet_stack)
    record = record_of(records, accepted)
    assert (record["status"], record["reason"]["code"]) == ("RUNNING", "SUBMIT_INCOMPLETE")
    assert "ValueError: raised after the submission" in record["reason"]["message"]
    assert flink_job(quiet_stack, record["flink_job_id"])["state"] == "RUNNING"


def test_an_attached_script_shows_each_of_its_jobs_while_it_still_runs(
    quiet_stack: Stack, records: Any
) -> None:
    """The first job is over when the second runs, so only the log of the running pod can show that one."""
    body = """
tables.execute_sql("INSERT INTO sink SELECT n FROM more_rows").wait()
tables.execute_sql("INSERT INTO sink SELECT n FROM endless").wait()
"""
    accepted = submit(quiet_stack, template_id="attached", script=inline(body), attached=True)

    def runs_in_flink() -> str | None:
        overview = httpx.get(f"{quiet_stack.flink.rest_url}/jobs/overview", trust_env=False).json()["jobs"]
        return next((job["jid"] for job in overview if job["name"] == accepted["job_id"]), None)

    first = until(runs_in_flink, timeout_seconds=SUBMIT_SECONDS, what="Flink runs the first job")

    def known(number: int) -> Document | None:
        sync(quiet_stack)
        record = record_of(records, accepted)
        return record if len(record["flink_job_ids"]) == number else None

    # The CLI prints the id a moment after Flink has the job: the pass before that finds it by its name.
    record = until(partial(known, 1), timeout_seconds=10, what="the first id is on the record")
    assert record["flink_job_id"] == first
    assert record["flink_jobs"][0]["source"] in ("JOB_NAME", "LOG")
    assert ended(quiet_stack, accepted["k8s_job_name"]) is None

    record = until(partial(known, 2), timeout_seconds=SUBMIT_SECONDS, what="the second id is on the record")
    assert ended(quiet_stack, accepted["k8s_job_name"]) is None
    assert record["status"] == "RUNNING"
    assert record["flink_job_ids"][0] == first
    over = "the first job is over"
    until(lambda: flink_job(quiet_stack, first)["state"] == "FINISHED", timeout_seconds=30, what=over)
    assert flink_job(quiet_stack, record["flink_job_ids"][1])["state"] == "RUNNING"


@pytest.fixture
def world(quiet_stack: Stack, records: Any) -> list[Document]:
    """Copies of a running record, so that a pass has work to do, and all but one of them wrong."""
    sync(quiet_stack)
    model = records.find_one({"status": "RUNNING", "template_id": "raises_after"})
    assert model is not None
    assert flink_job(quiet_stack, model["flink_job_id"])["state"] == "RUNNING"
    del model["_id"]
    copies = [
        {**model, "job_id": f"copy_{number}", "status": "CREATED", "revision": 0} for number in range(300)
    ]
    records.delete_many({"job_id": {"$regex": "^copy_"}})
    records.insert_many(copies)
    return copies


def test_a_sync_killed_at_any_moment_leaves_every_record_right(
    quiet_stack: Stack, records: Any, world: list[Document]
) -> None:
    source = random.Random(1)  # noqa: S311 moments, no secrets
    leases = records.database.leases
    dead: set[str | None] = {None}  # the earlier holders of the lease; None: no holder

    def has_begun(asking: threading.Thread) -> bool:
        return leases.find_one({"_id": "sync"})["holder"] not in dead or not asking.is_alive()

    # Every list takes a moment, and each of the copies makes the pass ask for its Kubernetes Job.
    slow = RequestFault(effect="delay", seconds=0.1, verb="list")
    with quiet_stack.kubernetes.control() as control, control.fault(slow):
        for kill in range(KILLS):
            again = {"status": "CREATED", "submitter_done": False}
            records.update_many({"job_id": {"$regex": "^copy_"}}, {"$set": again})
            with FunctionServer("sync", quiet_stack.function_settings) as server:
                asking = threading.Thread(target=_post_and_forget, args=[server.url])
                asking.start()
                if kill % 2:  # on a slow machine, the others may be killed before they begin
                    until(partial(has_begun, asking), timeout_seconds=30, what="the pass has begun")
                asking.join(source.uniform(0.0, 1.0 if kill % 2 else 2.0))
                server.process.kill()
                asking.join()
            dead.add(leases.find_one({"_id": "sync"})["holder"])
            # What time does to the lease of a dead holder.
            leases.update_one({"_id": "sync"}, {"$set": {"expires_at": datetime(1970, 1, 1, tzinfo=UTC)}})
    assert len(dead) > 1, "some were killed in mid pass"

    report = sync(quiet_stack)

    assert (report["complete"], report["skipped"], report["errors"]) == (True, False, [])
    assert records.count_documents({"job_id": {"$regex": "^copy_"}, "status": "RUNNING"}) == len(world)
    assert records.count_documents({"status": {"$in": ["FAILED", "LOST", "CANCELLED"]}}) == 0
    records.delete_many({"job_id": {"$regex": "^copy_"}})


def _post_and_forget(url: str) -> None:
    try:
        httpx.post(f"{url}/", timeout=30, trust_env=False)
    except httpx.HTTPError:
        return


def test_duplicate_and_overlapping_triggers_do_one_pass_at_a_time(
    quiet_stack: Stack, records: Any, world: list[Document]
) -> None:
    database: Database[Document] = records.database
    records.update_many({"job_id": {"$regex": "^copy_"}}, {"$set": {"status": "CREATED"}})
    before = quiet_stack.scheduler.attempts("storm")
    assert before == []
    database.sync_runs.delete_many({})
    storm = Schedule(name="storm", cron="* * * * *", uri=f"{quiet_stack.functions['sync'].url}/")
    quiet_stack.schedules.apply(storm)
    try:
        quiet_stack.scheduler.duplicate(attempts=TRIGGERS // 5, copies=5, job="storm")
        with ThreadPoolExecutor(max_workers=4) as threads:
            list(threads.map(lambda _: quiet_stack.schedules.run("storm"), range(TRIGGERS // 5)))
        attempts = quiet_stack.scheduler.wait_for(
            started=TRIGGERS, finished=TRIGGERS, job="storm", timeout_seconds=60
        )
    finally:
        quiet_stack.schedules.pause("storm")

    assert [attempt["status"] for attempt in attempts[:TRIGGERS]] == [200] * TRIGGERS
    passes = sorted(
        (run["started_at"], run["started_at"] + timedelta(seconds=run["duration_seconds"]))
        for run in database.sync_runs.find()
    )
    assert passes
    overlaps = [(one, next_one) for one, next_one in pairwise(passes) if next_one[0] + ROUNDED < one[1]]
    assert overlaps == []
    assert records.count_documents({"job_id": {"$regex": "^copy_"}, "status": "RUNNING"}) == len(world)
    revisions = records.distinct("revision", {"job_id": {"$regex": "^copy_"}})
    assert revisions == [1], "each record was written once, whatever the number of triggers"
    records.delete_many({"job_id": {"$regex": "^copy_"}})


def test_a_jobmanager_restarted_without_ha_loses_no_truth(quiet_stack: Stack, records: Any) -> None:
    """Runs last: afterwards every job that ran is gone."""
    database: Database[Document] = records.database
    sync(quiet_stack)
    running = [record["job_id"] for record in records.find({"status": "RUNNING"})]
    assert len(running) >= 2
    done = submit(
        quiet_stack,
        template_id="ends_unseen",
        script={"path": "/opt/flink/examples/table/word_count.py"},
    )
    until(
        lambda: ended(quiet_stack, done["k8s_job_name"]) == "Complete",
        timeout_seconds=SUBMIT_SECONDS,
        what="the submitter has ended",
    )
    sync(quiet_stack, [done["job_id"]])
    flink_job_id = record_of(records, done)["flink_job_id"]
    true_end = until(
        lambda: _archived(quiet_stack, flink_job_id),
        timeout_seconds=60,
        what="the job is in the History Server",
    )
    records.update_one({"job_id": done["job_id"]}, {"$set": _as_if_still_running(record_of(records, done))})

    # The JobManager alone: stopped together with its TaskManager, it would see its jobs fail first.
    quiet_stack.flink_cluster.kill("jobmanager")
    quiet_stack.flink_cluster.start("jobmanager")
    until(lambda: _knows_no_job(quiet_stack), timeout_seconds=60, what="the new JobManager answers")

    first = sync(quiet_stack)
    assert [error["code"] for error in first["errors"]] == ["JOBS_MISSING"], "said once, not once per job"
    assert {record["status"] for record in records.find({"job_id": {"$in": running}})} == {"RUNNING"}
    record = record_of(records, done)
    assert (record["status"], record["flink_state"]) == ("FINISHED", "FINISHED")
    assert record["end_time"].timestamp() * 1000 == pytest.approx(true_end["end-time"], abs=0.5)

    sync(quiet_stack)
    assert {record["status"] for record in records.find({"job_id": {"$in": running}})} == {"RUNNING"}

    def given_up() -> bool:
        sync(quiet_stack)
        return {record["status"] for record in records.find({"job_id": {"$in": running}})} == {"LOST"}

    until(given_up, timeout_seconds=30, what="the jobs without an end are LOST")
    for record in records.find({"job_id": {"$in": running}}):
        assert record["reason"]["code"] == "OUTCOME_UNKNOWN"
        assert record["end_time"] is None
    assert database.flink_jobs.count_documents({"status": "FAILED"}) == 0


def _knows_no_job(stack: Stack) -> bool:
    try:
        answer = httpx.get(f"{stack.flink.rest_url}/jobs/overview", timeout=10, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success and answer.json() == {"jobs": []}


def _archived(stack: Stack, flink_job_id: str) -> Document | None:
    answer = httpx.get(f"{stack.flink.history_url}/jobs/{flink_job_id}", timeout=10, trust_env=False)
    return answer.json() if answer.is_success else None


def _as_if_still_running(record: Document) -> Document:
    """The record as a pass left it that saw the job run, and none saw it end."""
    ref = {**record["flink_jobs"][0], "state": "RUNNING", "end_time": None}
    return {
        "status": "RUNNING",
        "flink_state": "RUNNING",
        "flink_jobs": [ref],
        "end_time": None,
        "duration": None,
        "reason": None,
    }
