"""The floor: the least that any program could do to bring the records up to date. It decides nothing.

One overview request, parsed with the fastest library there is and only in the fields that are
needed; one find with the smallest projection; one bulk write of what changed. It leaves the same documents
behind as a pass does, by the cheapest updates that do so: each finds its record by `_id`, and writes it only
if the record is as it was read. No lease, no report, no log; a job that is missing or has failed, and a
record with several jobs, are beyond it.

`POST /?bare` does even less: it writes the fields that people see, on no condition. Two of these at once
would overwrite each other, and the next pass would not know what this one had seen.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import flask
import functions_framework
import httpx
import msgspec
from pymongo import MongoClient, UpdateOne

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATUS = {"FINISHED": "FINISHED", "FAILED": "FAILED", "CANCELED": "CANCELLED"}
"""Of a Flink state that is the end; every other is RUNNING here."""


class Job(msgspec.Struct, rename="kebab", gc=False):
    """One entry of the overview."""

    jid: str
    state: str
    start_time: int
    end_time: int


class Overview(msgspec.Struct):
    """The answer to `/jobs/overview`."""

    jobs: list[Job]


READ = ("flink_job_id", "status", "flink_state", "revision")
"""The fields of a record that are read."""

DECODER = msgspec.json.Decoder(Overview)
HTTP = httpx.Client(timeout=60, trust_env=False)
MONGODB: MongoClient[dict[str, Any]] = MongoClient(os.environ["MONGODB_URI"], journal=True)
JOBS = MONGODB[os.environ["MONGODB_DATABASE"]]["flink_jobs"]
URL = os.environ["FLINK_REST_URL"]


@functions_framework.http
def floor(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """`POST /` brings every open record up to date."""
    if request.method == "GET":
        return {"status": "ok"}
    known = {job.jid: job for job in DECODER.decode(HTTP.get(f"{URL}/jobs/overview").content).jobs}
    now, run_id = datetime.now(UTC), uuid.uuid4().hex
    wanted = {"status": {"$in": ["CREATED", "RUNNING", "SUSPENDED"]}}
    writes = []
    is_bare = "bare" in request.args
    for document in JOBS.find(wanted, dict.fromkeys(READ, 1)):
        seen = known.get(document["flink_job_id"])
        if seen is not None and seen.state != document["flink_state"]:
            fields: dict[str, Any] = {
                "status": STATUS.get(seen.state, "RUNNING"),
                "flink_state": seen.state,
                "updated_at": now,
            }
            if seen.end_time > 0:
                fields["end_time"] = EPOCH + timedelta(milliseconds=seen.end_time)
                fields["duration"] = (seen.end_time - seen.start_time) / 1000
            unchanged = {"_id": document["_id"]}
            change: dict[str, Any] = {"$set": fields}
            if not is_bare:
                unchanged["revision"] = document["revision"]
                fields["revision"] = document["revision"] + 1
                fields["synced_by"] = run_id
                fields["flink_jobs.0.state"] = seen.state
                fields["flink_jobs.0.end_time"] = fields.get("end_time")
                is_over = seen.state in STATUS
                shown = f"default|{seen.jid}|{seen.state}|{seen.start_time}"
                fields["fingerprint"] = None if is_over else shown
                if fields["status"] != document["status"]:
                    move = {
                        "seq": fields["revision"],
                        "at": now,
                        "was": document["status"],
                        "status": fields["status"],
                        "flink_state": seen.state,
                        "reason_code": None,
                        "by": "sync",
                    }
                    change["$push"] = {"history": {"$each": [move], "$slice": -100}}
                    change["$min"] = {"pending_since": now}
            writes.append(UpdateOne(unchanged, change))
    if writes:
        JOBS.bulk_write(writes, ordered=False)
    return {"changed": len(writes)}
