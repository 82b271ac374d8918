"""Run again over HTTP: what it starts from, what it repeats, and that no job gets a twin."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flinkjobs.adapters.mongo.documents import plain
from flinkjobs.domain.health_values import CheckpointSettings, Mark
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, problem
from tests.integration.functions.test_actions import signed, signing
from tests.support.records import Document

__all__ = ["signing"]
ROWS: list[Document] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "run_again.yaml").read_text(encoding="utf-8")
)
SPEC = {"script": {"path": "/opt/a.py"}, "args": ["--day", "1"]}

MINUTE = timedelta(minutes=1)
MARK = Mark("1" * 32, "default", settings=CheckpointSettings(MINUTE, MINUTE, kept=True, kept_on_cancel=True))
"""Of a job that checkpoints."""


def run_again(submit: FunctionServer, any_id: str = "etl_1", **sent: Any) -> httpx.Response:
    return call(submit, path=f"/jobs/{any_id}/run-again", **{"json": {"from": "nothing"}, **sent})


def add_first(world: World, **fields: Any) -> None:
    over = {"status": "FINISHED", "flink_state": "FINISHED", "spec": SPEC, "template_id": "etl"}
    world.add_record("etl_1", **{**over, **fields})


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_a_request_does_what_its_row_says(submit: FunctionServer, world: World, row: Document) -> None:
    add_first(world, **row.get("first", {}))
    marks = world.jobs.database["health_marks"]
    marks.delete_many({})
    if row.get("pending"):
        ref = {"id": MARK.flink_job_id, "source": "LOG", "confirmed": True}
        ids = {"flink_job_ids": [ref["id"]], "flink_job_id": ref["id"], "flink_jobs": [ref]}
        world.jobs.update_one({"job_id": "etl_1"}, {"$set": ids})
        marks.insert_one({"_id": ref["id"], **plain(MARK)})
    for run in row.get("runs", ()):
        world.add_record(**{"run_of": "etl_1", "spec": SPEC, "template_id": "etl", **run})
    known = set(world.jobs.distinct("job_id"))
    answer = run_again(submit, json=row["body"])
    new = set(world.jobs.distinct("job_id")) - known
    if "code" in row:
        refused = problem(answer)
        assert (answer.status_code, refused["code"]) == (row.get("status", 409), row["code"])
        assert row.get("says", "") in refused["detail"]
        assert not new
        assert world.kubernetes.is_empty()
        return
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert {body["job_id"]} == new
    wanted = ("etl_1", row.get("attempt", 2), row["starts"])
    assert (body["run_of"], body["attempt"], body["savepoint_path"]) == wanted
    record = world.record(body["job_id"])
    assert (record["run_of"], record["attempt"], record["spec"]["savepoint_path"]) == wanted
    job = world.kubernetes.get("jobs", body["k8s_job_name"])
    assert job is not None
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert [command[at + 1] for at, word in enumerate(command) if word == "-s"] == (
        [row["starts"]] if row["starts"] else []
    )


def test_everything_is_repeated_but_for_what_is_given(
    submit: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    request = {
        "template_id": "etl",
        "script": {"inline": "print('ü €')\n"},
        "job_name": "nightly",
        "args": ["--date", "2025-11-01"],
        "parallelism": 4,
        "py_files": ["/opt/a.py"],
        "jars": ["/opt/a.jar"],
        "flink_conf": {"state.backend.type": "rocksdb"},
        "savepoint_path": "s3://bucket/first",
        "allow_non_restored_state": True,
        "cluster": "batch",
        "exactly_once": True,
        "resources": {"cpu": "2", "memory": "512Mi"},
        "submitted_by": "ann",
        "labels": {"team": "search"},
    }
    first = call(submit, json=request).json()
    world.jobs.update_one({"job_id": first["job_id"]}, {"$set": {"status": "FINISHED"}})
    given = {
        "from": "s3://bucket/second",
        "args": [],
        "parallelism": 8,
        "flink_conf": {"a.b": "c"},
        "requested_by": "bob",
    }
    answer = run_again(submit, first["k8s_job_name"], json=given)
    assert answer.status_code == 202, answer.text
    old, new = world.record(first["job_id"]), world.record(answer.json()["job_id"])
    changed = {name for name in old["spec"] if old["spec"][name] != new["spec"][name]}
    assert changed == {"args", "parallelism", "flink_conf", "savepoint_path"}
    assert (
        new["spec"].items()
        >= {
            "script": {"inline": "print('ü €')\n"},
            "args": [],
            "parallelism": 8,
            "flink_conf": {"a.b": "c"},
            "savepoint_path": "s3://bucket/second",
            "allow_non_restored_state": True,
        }.items()
    )
    same = ("template_id", "job_name", "cluster", "labels", "label_pairs")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert new["submitted_by"] == "bob"
    shown = call(jobs, "GET", f"/api/jobs/{new['job_id']}").json()["job"]
    assert (shown["run_of"], shown["attempt"]) == (first["job_id"], 2)
    listed = call(jobs, "GET", "/api/jobs?fields=job_id,run_of,attempt").json()["jobs"]
    assert {"job_id": first["job_id"], "run_of": None, "attempt": None} in listed


def test_a_script_takes_the_place_of_a_module(submit: FunctionServer, world: World) -> None:
    add_first(world, spec={"entry_module": "jobs.daily", "py_files": ["/opt/daily.zip"], "script": None})
    body = run_again(submit, json={"from": "nothing", "script": {"inline": "pass\n"}}).json()
    spec = world.record(body["job_id"])["spec"]
    assert (spec["entry_module"], spec["script"]) == (None, {"inline": "pass\n"})


def test_a_run_of_a_run_counts_on(submit: FunctionServer, world: World) -> None:
    """It repeats the run that is named, and all have the first in common."""
    add_first(world)
    second = run_again(submit, json={"from": "nothing", "args": ["second"]}).json()
    world.jobs.update_one({"job_id": second["job_id"]}, {"$set": {"status": "FAILED"}})
    third = run_again(submit, second["job_id"]).json()
    assert (third["run_of"], third["attempt"]) == ("etl_1", 3)
    assert world.record(third["job_id"])["spec"]["args"] == ["second"]


def test_a_key_makes_a_repetition(submit: FunctionServer, world: World) -> None:
    """Also once the new run is over; another request, or another job, with the key is refused."""
    add_first(world)
    world.add_record("etl_2", status="FINISHED", spec=SPEC, template_id="etl")
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = run_again(submit, headers=headers)
    world.jobs.update_one({"job_id": first.json()["job_id"]}, {"$set": {"status": "FINISHED"}})
    again = run_again(submit, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    for any_id, body in (("etl_1", {"from": "file:/s"}), ("etl_2", {"from": "nothing"})):
        refused = run_again(submit, any_id, headers=headers, json=body)
        assert (refused.status_code, problem(refused)["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert world.jobs.count_documents({"run_of": "etl_1"}) == 1


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_presses_at_the_same_moment_make_no_twin(
    submit: FunctionServer, world: World, *, parallel: bool, has_key: bool
) -> None:
    """Of several requests one is accepted, and each number is given once."""
    add_first(world)
    key = {"Idempotency-Key": uuid.uuid4().hex} if has_key else {}
    answers: list[httpx.Response] = []
    start = threading.Barrier(6)

    def press() -> None:
        start.wait()
        answers.append(run_again(submit, headers=key, json={"from": "nothing", "parallel": parallel}))

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [answer.json()["job_id"] for answer in answers if answer.status_code == 202]
    refused = {answer.json()["code"] for answer in answers if answer.status_code not in (200, 202)}
    assert refused <= {"IN_FLIGHT", "JOB_NOT_OVER"}
    runs = list(world.jobs.find({"run_of": "etl_1"}))
    assert sorted(run["attempt"] for run in runs) == list(range(2, 2 + len(runs)))
    assert sorted(run["job_id"] for run in runs) == sorted(made)
    assert len(world.kubernetes.names("jobs")) == len(made)
    assert len(made) == 1 or (parallel and not has_key and made)


def test_a_signed_request_names_job_and_kind(signing: FunctionServer, world: World) -> None:
    add_first(world)
    named: Mapping[str, Any] = {"from": "nothing", "job_id": "etl_1", "kind": "run-again"}
    assert problem(run_again(signing))["code"] == "UNAUTHORIZED"
    for body in ({"from": "nothing"}, {**named, "kind": "stop"}, {**named, "job_id": "other_1"}):
        assert run_again(signing, **signed(dict(body))).status_code == 400
    assert world.jobs.count_documents({}) == 1
    assert run_again(signing, **signed(dict(named))).status_code == 202
