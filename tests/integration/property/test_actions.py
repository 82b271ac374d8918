"""Whatever is asked for, whenever passes overlap or are killed, and whichever answers are lost: one request.

And one run of the job at a time. Two people press at random; a pass may run in the middle of another one, and
be killed before or after each message; Flink may be away, or its answers may be lost. The passes are real, on
a real MongoDB.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from flinkjobs.adapters.mongo.action_store import MongoActionStore
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.actions import (
    Action,
    ActionKind,
    InProgress,
    Refused,
    Reply,
    Result,
    SavepointFailed,
    SavepointMade,
    UnknownTrigger,
)
from flinkjobs.domain.errors import FlinkNotReachedError, FlinkUnavailableError, InFlightError
from flinkjobs.domain.flink_states import FINAL
from flinkjobs.domain.kubernetes_objects import KubernetesJob
from flinkjobs.domain.observations import FlinkJob, JobPhase, Missing, Overview
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy
from flinkjobs.submit.actions import (
    CancelRequest,
    JobOverError,
    SavepointRequest,
    StopRequest,
    request_action,
)
from flinkjobs.submit.request import Limits
from flinkjobs.submit.run_again import ActionOpenError, JobNotOverError, parse_run_again, repetition
from flinkjobs.submit.service import Submit, run
from flinkjobs.submit.submission import Target
from flinkjobs.sync import service
from flinkjobs.sync.context import Sync
from tests.support.flink_in_memory import NoHealth
from tests.support.kubernetes_in_memory import ClusterDouble
from tests.support.overviews import Entry, milliseconds
from tests.support.records import Document, new_record

T = TypeVar("T")
BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
RUNNING_ID = "1" * 32
REQUESTS: Mapping[ActionKind, CancelRequest] = {
    ActionKind.CANCEL: CancelRequest(),
    ActionKind.STOP: StopRequest(savepoint_directory="file:/s"),
    ActionKind.SAVEPOINT: SavepointRequest(savepoint_directory="file:/s"),
}
FROM_NOTHING = {"from": "nothing"}
TARGET = Target("lemo-dev", "flink:1.20", "/opt/flink/bin/flink", "flink:8081", 600)
FAULTS = ("none", "kill before", "kill after", "away", "lost", "refuse", "overlap before", "overlap after")

PRESSES = st.sampled_from([*ActionKind, ActionKind.STOP, ActionKind.SAVEPOINT])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("press"), PRESSES),
        st.tuples(st.just("pass"), st.lists(st.sampled_from(FAULTS), max_size=6)),
        st.tuples(st.just("pass"), st.just([])),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 70, 400, 901])),
        st.tuples(st.just("written"), st.booleans()),
        st.tuples(st.just("forget"), st.none()),
        st.tuples(st.just("end"), st.sampled_from(["FINISHED", "FAILED"])),
        st.tuples(st.just("again"), st.integers(1, 3)),
        st.tuples(st.just("over"), st.sampled_from(["FINISHED", "FAILED", "CANCELLED"])),
    ),
    min_size=3,
    max_size=14,
)


class Message(Protocol):
    """What happens around one message to a peer."""

    def __call__(self, what: str, send: Callable[[], T]) -> T:
        """Sends it, or does not."""


class Accepting(ClusterDouble):
    """Takes every Job."""

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        metadata = manifest["metadata"]
        job_id = metadata["annotations"]["flinkjobs/job-id"]
        return KubernetesJob(metadata["name"], "uid", job_id, JobPhase.ACTIVE, None)


class KilledError(BaseException):
    """The process of a pass is gone."""


@dataclass
class Flink(NoHealth):
    """One job, the savepoints that were triggered, and what Flink still knows of them."""

    message: Message
    clock: Callable[[], datetime]
    name: str = "default"
    has_history: bool = False
    state: str = "RUNNING"
    posts: Counter[str] = field(default_factory=Counter)
    results: dict[str, Result] = field(default_factory=dict)
    stops: set[str] = field(default_factory=set)
    made: list[tuple[datetime, str]] = field(default_factory=list)
    triggered: dict[str, datetime] = field(default_factory=dict)

    def until(self, moment: float) -> Flink:
        assert moment > 0
        return self

    def overview(self) -> Overview:
        start = milliseconds(BEGIN - timedelta(hours=1))
        is_over = self.state in ("FINISHED", "FAILED", "CANCELED")
        return Overview({RUNNING_ID: Entry("a job", self.state, start, start + 1 if is_over else -1)})

    def job(self, job_id: str) -> FlinkJob | Missing:
        return self.overview()[job_id]

    def failure(self, job_id: str) -> str | None:
        return f"{job_id} failed"

    def history(self) -> Overview:
        raise AssertionError("there is no History Server")

    def history_failure(self, job_id: str) -> str | None:
        raise AssertionError(f"there is no History Server: {job_id}")

    def cancel(self, job_id: str) -> Reply | Refused:
        assert job_id == RUNNING_ID

        def cancelled() -> Reply | Refused:
            if self.state in ("FINISHED", "FAILED"):
                return Refused("another terminal state")
            self.end("CANCELED")
            return Reply.ACCEPTED

        return self.message("cancel", cancelled)

    def stop(self, job_id: str, trigger_id: str, *, directory: str | None, drain: bool) -> Reply | Refused:
        assert (job_id, directory, drain) == (RUNNING_ID, "file:/s", False)
        return self.message("stop", lambda: self._triggered(trigger_id, is_stop=True))

    def savepoint(self, job_id: str, trigger_id: str, *, directory: str | None) -> Reply | Refused:
        assert (job_id, directory) == (RUNNING_ID, "file:/s")
        return self.message("savepoint", lambda: self._triggered(trigger_id, is_stop=False))

    def _triggered(self, trigger_id: str, *, is_stop: bool) -> Reply:
        self.posts[trigger_id] += 1
        is_running = self.state == "RUNNING"
        self.results[trigger_id] = InProgress() if is_running else SavepointFailed("no such job")
        self.triggered[trigger_id] = self.clock() + timedelta(milliseconds=1)
        self.stops |= {trigger_id} if is_stop else set()
        return Reply.ACCEPTED

    def savepoint_result(self, job_id: str, trigger_id: str) -> Result:
        assert job_id == RUNNING_ID
        return self.message("result", lambda: self.results.get(trigger_id, UnknownTrigger()))

    def newer_savepoint(self, job_id: str, since: datetime) -> str | None:
        assert job_id == RUNNING_ID
        newer = [(at, path) for at, path in self.made if at > since]
        return self.message("newer", lambda: max(newer)[1] if newer else None)

    def written(self, *, is_good: bool) -> None:
        """The oldest savepoint that is being written ends."""
        for trigger_id, result in self.results.items():
            if isinstance(result, InProgress):
                path = f"file:/s/savepoint-{trigger_id}"
                self.results[trigger_id] = SavepointMade(path) if is_good else SavepointFailed("no space")
                if is_good:
                    self.made.append((self.triggered[trigger_id], path))
                if is_good and trigger_id in self.stops:
                    self.end("FINISHED")
                return

    def end(self, state: str) -> None:
        if self.state == "RUNNING":
            self.state = state
            for trigger_id, result in self.results.items():
                if isinstance(result, InProgress):
                    self.results[trigger_id] = SavepointFailed("the job ended")


class Store(MongoActionStore):
    """The real one, each of whose writes is a message too."""

    message: Message

    def move(self, record: JobRecord, before: Action, after: Action) -> bool:
        return self.message("move", lambda: MongoActionStore.move(self, record, before, after))


class World:
    """The store, Flink, and passes over the only record."""

    def __init__(self, database: Database[Document]) -> None:
        self.jobs = database["flink_jobs"]
        self.now = BEGIN
        self.faults: Iterator[str] = iter(())
        self.flink = Flink(self._message, lambda: self.now)
        self.store = Store(database)
        self.store.message = self._message
        self.sync = Sync(
            store=MongoJobStore(database),
            notify_store=MongoNotifyStore(database),
            leases=MongoLeaseStore(database),
            kubernetes=ClusterDouble,
            flinks={"default": self.flink},
            policy=Policy(),
            budget_seconds=600,
            clock=lambda: self.now,
            action_store=self.store,
        )
        known = {"id": RUNNING_ID, "source": "LOG", "confirmed": True, "state": "RUNNING"}
        submitted = BEGIN - timedelta(hours=2)
        self.jobs.insert_one(
            new_record(
                "runs_1",
                submitted,
                status="RUNNING",
                flink_job_id=RUNNING_ID,
                flink_job_ids=[RUNNING_ID],
                flink_jobs=[known],
                submitter_done=True,
                spec={"script": {"path": "/opt/a.py"}},
            )
        )
        self.done: dict[str, str | None] = {}

    def _message(self, what: str, send: Callable[[], T]) -> T:
        fault = next(self.faults, "none")
        if fault == "kill before":
            raise KilledError
        if fault == "overlap before":
            self.run_pass()
        if what != "move":
            if fault == "away":
                raise FlinkNotReachedError("connection refused")
            if fault == "refuse" and what in ("stop", "savepoint"):
                return cast("T", Refused("no directory"))
        answer = send()
        if fault == "kill after":
            raise KilledError
        if fault == "overlap after":
            self.run_pass()
        if fault == "lost" and what != "move":
            raise FlinkUnavailableError("reset")
        return answer

    def run_pass(self) -> None:
        service.run_pass(self.sync, job_ids=["runs_1"])

    def press(self, kind: ActionKind) -> None:
        try:
            request_action(self.store, lambda: self.now, kind, "runs_1", REQUESTS[kind], None)
        except JobOverError:
            assert self.flink.state != "RUNNING"

    def run_again(self, presses: int) -> None:
        """Several people press at the same moment: each has read the records before the first one writes."""
        wanted = parse_run_again("runs_1", FROM_NOTHING, is_signed=False)
        runs = list(self.jobs.find({"$or": [{"job_id": "runs_1"}, {"run_of": "runs_1"}]}))
        try:
            new = [
                repetition(self.sync.store, Limits({"default"}), "runs_1", wanted, FROM_NOTHING)
                for _ in range(presses)
            ]
        except (JobNotOverError, ActionOpenError):
            states = {action["state"] for action in self.actions()}
            assert {run["status"] for run in runs} - FINAL or states & {"requested", "sent"}
            return
        assert {run["status"] for run in runs} <= FINAL
        made = 0
        for submission in new:
            with contextlib.suppress(InFlightError):
                submit = Submit(self.sync.store, Accepting(), lambda _: TARGET, lambda: self.now)
                made += bool(run(submit, submission))
        assert made == 1

    def take(self, step: tuple[str, Any]) -> None:
        what, how = step
        match what:
            case "press":
                self.press(how)
            case "pass":
                self.faults = iter(how)
                with contextlib.suppress(KilledError):
                    self.run_pass()
                self.faults = iter(())
            case "wait":
                self.now += timedelta(seconds=how)
            case "written":
                self.flink.written(is_good=how)
            case "forget":
                self.flink.results.clear()
            case "again":
                self.run_again(how)
            case "over":
                self.jobs.update_many({"run_of": "runs_1"}, {"$set": {"status": how}})
            case _:
                self.flink.end(how)
        self.now += timedelta(seconds=1)
        self.check()

    def actions(self) -> list[Document]:
        document = self.jobs.find_one({"job_id": "runs_1"})
        assert document is not None
        return list(document.get("actions", []))

    def check(self) -> None:
        """What holds at every moment."""
        records = {each["job_id"]: each for each in self.jobs.find({}, {"job_id", "status", "actions"})}
        actions, status = records["runs_1"].get("actions", []), records["runs_1"]["status"]
        assert sum(each["status"] not in FINAL for each in records.values()) <= 1, "no twin by run-again"
        assert all(count == 1 for count in self.flink.posts.values()), "never two requests for one action"
        assert set(self.flink.posts) <= {action["id"] for action in actions}
        opened = Counter(each["kind"] for each in actions if each["state"] in ("requested", "sent"))
        assert all(count == 1 for count in opened.values()), "at most one open action of a kind"
        made = {path for _, path in self.flink.made}
        for action in actions:
            is_done, is_failed = action["state"] == "done", action["state"] == "failed"
            assert (action["code"] is not None) == is_failed, "never both done and failed"
            assert (action["ended_at"] is not None) == (is_done or is_failed)
            if is_done and action["kind"] == "cancel":
                assert (status, self.flink.state) == ("CANCELLED", "CANCELED")
            elif is_done:
                assert action["savepoint_path"] in made
                assert action["kind"] != "stop" or self.flink.state == "FINISHED"
            if action["id"] in self.done:
                assert is_done, "a success is never overwritten"
                assert action["savepoint_path"] == self.done[action["id"]]
            if is_done:
                self.done[action["id"]] = action["savepoint_path"]

    def settle(self) -> None:
        """Every peer answers, and time passes, also that for a late success: then nothing stays open."""
        for _ in range(9):
            self.flink.written(is_good=True)
            self.take(("pass", []))
            self.now += timedelta(seconds=70)
        assert not [each for each in self.actions() if each["state"] in ("requested", "sent")]
        assert self.jobs.count_documents({"open_action_since": {"$exists": True}}) == 0
        cancels = [each for each in self.actions() if each["kind"] == "cancel" and each["state"] == "done"]
        assert not cancels or self.flink.state == "CANCELED", "no job runs on that a done cancel names"
        ends = {each["kind"] for each in self.actions() if each["state"] == "done"} & {"stop", "cancel"}
        expected = [ends.pop()] if ends else []
        assert [each for each in self.jobs.distinct("ended_by", {"job_id": "runs_1"}) if each] == expected


@pytest.fixture
def database(mongo_database: Database[Document]) -> Database[Document]:
    ensure_indexes(mongo_database)
    return mongo_database


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS)
def test_an_action_is_sent_once_and_ends_once(database: Database[Document], steps: list[Any]) -> None:
    database["flink_jobs"].delete_many({})
    world = World(database)
    for step in steps:
        world.take(step)
    world.settle()


@pytest.mark.parametrize("fault", FAULTS[1:])
@pytest.mark.parametrize("kind", list(ActionKind))
def test_a_fault_at_each_message(database: Database[Document], kind: ActionKind, fault: str) -> None:
    for message in range(6):
        database["flink_jobs"].delete_many({})
        world = World(database)
        world.press(kind)
        faults = [*["none"] * message, fault]
        world.take(("pass", faults))
        world.take(("pass", faults[2:]))
        world.settle()
