"""The way that is replaced: job after job, one `find_one`, one `GET /jobs/{id}` and one `update_one` each.

Written as fairly as it can be: the records are found and written by an indexed field, both connections stay
open, of the answer only the needed fields are decoded, and a write is as durable as ours.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import functions_framework
import httpx
import msgspec
from pymongo import MongoClient

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATUS = {"FINISHED": "FINISHED", "FAILED": "FAILED", "CANCELED": "CANCELLED"}
"""Of a Flink state that is the end; every other is RUNNING here."""


class Job(msgspec.Struct, rename="kebab", gc=False):
    """The answer to `/jobs/{id}`."""

    state: str
    start_time: int
    end_time: int


DECODER = msgspec.json.Decoder(Job)
HTTP = httpx.Client(timeout=60, trust_env=False)
MONGODB: MongoClient[dict[str, Any]] = MongoClient(os.environ["MONGODB_URI"], journal=True)
JOBS = MONGODB[os.environ["MONGODB_DATABASE"]]["flink_jobs"]
URL = os.environ["FLINK_REST_URL"]


@functions_framework.http
def polling(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """`POST /` brings every open record up to date."""
    if request.method == "GET":
        return {"status": "ok"}
    wanted = {"status": {"$in": ["CREATED", "RUNNING", "SUSPENDED"]}}
    job_ids = [document["job_id"] for document in JOBS.find(wanted, {"_id": 0, "job_id": 1})]
    for job_id in job_ids:
        document = JOBS.find_one({"job_id": job_id}, {"flink_job_id": 1})
        assert document is not None  # noqa: S101 nothing is deleted during a run
        seen = DECODER.decode(HTTP.get(f"{URL}/jobs/{document['flink_job_id']}").content)
        fields: dict[str, Any] = {
            "status": STATUS.get(seen.state, "RUNNING"),
            "flink_state": seen.state,
            "updated_at": datetime.now(UTC),
        }
        if seen.end_time > 0:
            fields["end_time"] = EPOCH + timedelta(milliseconds=seen.end_time)
            fields["duration"] = (seen.end_time - seen.start_time) / 1000
        JOBS.update_one({"job_id": job_id}, {"$set": fields})
    return {"changed": len(job_ids)}
