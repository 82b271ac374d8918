"""A Flink REST API whose jobs a test sets, and that can play what real clusters were recorded to say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.scripted_server import Answer, Asked, ScriptedServer

FOLDER = Path(__file__).parent.parent / "data" / "flink"
VERSIONS = ("1.20", "2.3")
LISTED = 16
"""Maximum number of exceptions that Flink lists."""
_EXCEPTION = "org.apache.flink.runtime.rest.handler.RestHandlerException"
NOTHING = -1
"""Flink's number for a time that is not there yet."""


def recording(version: str, name: str) -> dict[str, Any]:
    """A recorded exchange: `request`, `status`, `headers`, `body`."""
    loaded: dict[str, Any] = json.loads((FOLDER / version / "rest" / f"{name}.json").read_bytes())
    return loaded


def recordings(pattern: str) -> list[tuple[str, str]]:
    """(version, name) of the recordings that match a glob pattern."""
    return [
        (version, path.stem)
        for version in VERSIONS
        for path in sorted((FOLDER / version / "rest").glob(f"{pattern}.json"))
    ]


def recorded_answer(version: str, name: str) -> tuple[str, Answer]:
    """Path and answer of a recorded exchange."""
    recorded = recording(version, name)
    body = json.dumps(recorded["body"], ensure_ascii=False).encode()
    path = recorded["request"].split()[1]
    return path, Answer(status=recorded["status"], body=body, headers=recorded["headers"])


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the cluster, which begins now; times in milliseconds since 1970."""

    id: str
    state: str
    name: str = "a job"
    start: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    end: int = NOTHING
    root_exception: str | None = None
    modified: int = 1_795_335_900_000
    tasks: Mapping[str, int] = field(default_factory=lambda: {"running": 1, "total": 1})
    restarts: int | None = 0
    failed_at: Sequence[int] = (1,)
    checkpoints: Mapping[str, Any] | None = None
    retained: bool = True

    def entry(self) -> dict[str, Any]:
        """What both the overview and the job's own path say."""
        return {
            "jid": self.id,
            "name": self.name,
            "start-time": self.start,
            "end-time": self.end,
            "duration": (self.end if self.end != NOTHING else self.start + 1000) - self.start,
            "state": self.state,
        }


class FlinkServer(ScriptedServer):
    """A cluster, or a History Server.

    Attributes:
        jobs: what it knows.
        answers: by path, in place of what follows from `jobs`; `""` stands for every path.
        triggered: the body of every stop and savepoint that was accepted, by job and trigger id. The same
            trigger id again changes nothing.
        savepoints: what Flink says of each: a path, or `IN_PROGRESS`, or a cause.
        savepoint_outcome: of those that are triggered from now on; None makes a path.
        forgets: results are forgotten, as after five minutes.
    """

    def __init__(self, *jobs: Job) -> None:
        """Listens at once."""
        self.jobs = list(jobs)
        self.answers: dict[str, Answer] = {}
        self.triggered: dict[tuple[str, str], dict[str, Any]] = {}
        self.savepoints: dict[tuple[str, str], str] = {}
        self.savepoint_outcome: str | None = None
        self.forgets = False
        super().__init__(self._answer)

    def reset(self) -> None:
        """No jobs, no scripted answers, nothing asked so far."""
        self.jobs.clear()
        self.answers.clear()
        self.asked.clear()
        self.triggered.clear()
        self.savepoints.clear()
        self.savepoint_outcome, self.forgets = None, False

    def play(self, version: str, name: str) -> str:
        """Answers with a recording from now on; returns its path."""
        path, answer = recorded_answer(version, name)
        self.answers[path] = answer
        return path

    def _answer(self, asked: Asked) -> Answer:  # noqa: C901, PLR0911 - one for each path
        scripted = self.answers.get(asked.path) or self.answers.get("")
        if scripted is not None:
            return scripted
        known = {job.id: job for job in self.jobs}
        if asked.method == "PATCH":
            return self._cancel(asked.path.split("/")[2].partition("?")[0])
        if asked.method == "POST":
            return self._trigger(asked)
        match asked.path.removeprefix("/").split("/"):
            case ["jobs", "overview"]:
                return _json(200, {"jobs": [job.entry() | _moved(job) for job in self.jobs]})
            case ["jobs", id_] if id_ in known:
                return _json(200, known[id_].entry() | {"isStoppable": False, "vertices": []})
            case ["jobs", id_, "exceptions"] if id_ in known:
                trace = known[id_].root_exception
                listed = known[id_].failed_at[:LISTED] if trace else ()
                entries = [{"exceptionName": "x", "stacktrace": trace, "timestamp": at} for at in listed]
                return _json(200, {"exceptionHistory": {"entries": entries, "truncated": False}})
            case ["jobs", id_, "metrics?get=numRestarts"] if id_ in known:
                number = known[id_].restarts
                return _json(200, [] if number is None else [{"id": "numRestarts", "value": str(number)}])
            case ["jobs", id_, "checkpoints", "config"] if id_ in known:
                return _json(200, _settings(known[id_]))
            case ["jobs", id_, "checkpoints"] if id_ in known:
                return _json(200, known[id_].checkpoints or checkpoints())
            case ["jobs", id_, "savepoints", trigger_id]:
                return self._result(id_, trigger_id)
            case ["jobs", id_, *_]:
                error = (
                    f"org.apache.flink.runtime.rest.NotFoundException: Job {id_} not found\n\tat org.apache"
                )
                return _json(404, {"errors": [error]})
        return _json(404, {"errors": [f"Unable to load requested file {asked.path}."]})

    def _cancel(self, id_: str) -> Answer:
        """As recorded: again is harmless, and a job that has ended otherwise is a conflict."""
        job = next((each for each in self.jobs if each.id == id_), None)
        if job is None:
            return _json(404, {"errors": [f"{_EXCEPTION}: Job could not be found.\n\tat org.apache"]})
        if job.state in ("FINISHED", "FAILED"):
            error = "Job cancellation failed because the job has already reached another terminal state"
            return _json(409, {"errors": [f"{_EXCEPTION}: {error} ({job.state}).\n\tat org.apache"]})
        self.end(id_, "CANCELED")
        return _json(202, {})

    def end(self, id_: str, state: str) -> None:
        """Ends a job, now."""
        now = time.time_ns() // 1_000_000
        self.jobs[:] = [replace(job, state=state, end=now) if job.id == id_ else job for job in self.jobs]

    def _trigger(self, asked: Asked) -> Answer:
        """A stop or savepoint: accepted even of a job that is not there, as recorded."""
        _, _, id_, call = asked.path.split("/")
        body = json.loads(asked.body)
        directory = body.get("targetDirectory" if call == "stop" else "target-directory")
        if not re.fullmatch("[0-9a-f]{32}", body.get("triggerId", "")):
            error = "Request did not match expected format SavepointTriggerRequestBody."
            return _json(400, {"errors": [f"{_EXCEPTION}: {error}\n\tat org.apache"]})
        if directory is None:
            error = (
                "Config key [execution.checkpointing.savepoint-dir] is not set. "
                "Property [target-directory] must be provided."
            )
            return _json(400, {"errors": [f"{_EXCEPTION}: {error}\n\tat org.apache"]})
        key = id_, body["triggerId"]
        if key not in self.triggered:
            self.triggered[key] = body
            state = next((job.state for job in self.jobs if job.id == id_), None)
            missing = None if state == "RUNNING" else f"Could not find Flink job ({id_})"
            outcome = missing or self.savepoint_outcome or f"{directory}/savepoint-{key[1][:6]}"
            self.savepoints[key] = outcome
            if call == "stop" and outcome.startswith(directory):
                self.end(id_, "FINISHED")
        return _json(202, {"request-id": key[1]})

    def _result(self, id_: str, trigger_id: str) -> Answer:
        outcome = None if self.forgets else self.savepoints.get((id_, trigger_id))
        if outcome is None:
            error = f"There is no savepoint operation with triggerId={trigger_id} for job {id_}."
            return _json(404, {"errors": [f"{_EXCEPTION}: {error}\n\tat org.apache"]})
        if outcome == "IN_PROGRESS":
            return _json(200, {"status": {"id": outcome}, "operation": None})
        trace = f"java.util.concurrent.CompletionException: {outcome}\n\tat java.base"
        made = {"location": outcome} if "/savepoint-" in outcome else None
        cause = {"failure-cause": {"class": "java.util.concurrent.CompletionException", "stack-trace": trace}}
        return _json(200, {"status": {"id": "COMPLETED"}, "operation": made or cause})


def _moved(job: Job) -> dict[str, Any]:
    return {"last-modification": job.modified, "tasks": dict(job.tasks)}


def _settings(job: Job) -> dict[str, Any]:
    """As recorded in `flink-health`: a job that does not checkpoint has an interval without end."""
    return {
        "mode": "exactly_once",
        "interval": 2**63 - 1 if job.checkpoints is None else 60_000,
        "timeout": 600_000,
        "externalization": {"enabled": job.retained, "delete_on_cancellation": not job.retained},
    }


def checkpoints(*ended: tuple[str, int]) -> dict[str, Any]:
    """Those given by status and time, the newest first; the completed ones have paths."""
    history = [
        {
            "status": status,
            "is_savepoint": False,
            "latest_ack_timestamp": at if status == "COMPLETED" else -1,
            "trigger_timestamp": at,
            **({"external_path": f"file:/chk-{at}", "discarded": False} if status == "COMPLETED" else {}),
            **({"failure_message": "IO-problem detected."} if status == "FAILED" else {}),
        }
        for status, at in ended
    ]
    latest = {
        word: next((one for one in history if one["status"] == word.upper()), None)
        for word in ("completed", "failed")
    }
    return {"counts": {}, "latest": latest | {"savepoint": None, "restored": None}, "history": history}


def _json(status: int, body: Any) -> Answer:
    headers = {"Content-Type": "application/json; charset=UTF-8", "Access-Control-Allow-Origin": "*"}
    return Answer(status=status, body=json.dumps(body).encode(), headers=headers)
