"""Documents that other programs wrote; the rows are in `tests/data/cases/expected.yaml`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.integration.cases.conftest import Functions, World
from tests.integration.cases.test_passes import SECONDS, run
from tests.support.cases import rows, text
from tests.support.flink_rest_server import Job

HOUR_MS = 3_600_000


@pytest.mark.parametrize("row", rows("documents"))
def test_an_odd_document_costs_itself_alone(row: dict[str, Any], functions: Functions, world: World) -> None:
    documents = json.loads(text(row["case"], "documents.json"))
    for number, document in enumerate(documents):
        if "flink_job_id" in document:
            id_ = document["flink_job_id"] = f"{number:032x}"
            world.flink.jobs.append(Job(id_, "FINISHED", end=Job(id_, "").start + HOUR_MS))
    world.records.insert_many([dict(document) for document in documents])
    report = run(functions("sync"))
    unreadable = {error["job_id"] for error in report["errors"]}
    assert unreadable <= set(row["unreadable"]), report["errors"]
    stored = {document["job_id"]: document["status"] for document in world.records.find()}
    assert stored | row["records"] == stored
    jobs = functions("jobs").url
    for path in ("/api/jobs", "/api/metrics", "/metrics"):
        answer = httpx.get(jobs + path, trust_env=False, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        if path == "/api/jobs":
            assert {job["job_id"] for job in answer.json()["jobs"]} == set(stored)
