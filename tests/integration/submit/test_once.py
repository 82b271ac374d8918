"""Never twice, never lost: one key is one job, however often it is sent and whenever the function dies."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from itertools import product
from pathlib import Path

import httpx
import pytest

from doubles.kubernetes.faults import Outcome, RequestFault
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.domain.transition import NAMELESS_FOR
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.submit.conftest import Document, Traces, post, synchronise
from tests.integration.submit.message_proxy import (
    ARRIVED,
    PATIENCE_SECONDS,
    Fate,
    Gate,
    KubernetesRoad,
    MongoRoad,
)
from tests.support.flink_rest_server import Job
from tests.support.records import termination_message
from tests.support.waiting import until

INLINE: Document = {"template_id": "once", "script": {"inline": "print('ü')\n"}, "args": ["a", "b"]}
AT_ONCE = 50
MESSAGES = [
    "find flink_jobs",
    "find job_templates",
    "insert flink_jobs",
    "POST jobs",
    "POST configmaps",
    "update flink_jobs",
]
"""Of one submission with an idempotency key and a script, in their order."""
LEAVE = ["insert flink_jobs", "POST jobs", "POST configmaps", "update flink_jobs"]
"""Those that leave an object behind."""


# --- one key, many requests -------------------------------------------------------------------------


def test_fifty_requests_with_one_key_are_one_job_and_get_one_answer(
    submit: FunctionServer, traces: Traces
) -> None:
    start = threading.Barrier(AT_ONCE)

    def send() -> httpx.Response:
        start.wait()
        return post(submit, INLINE, "fifty")

    slow = RequestFault(effect="delay", seconds=0.3, verb="create", resource="jobs")
    with traces.kubernetes.control.fault(slow), ThreadPoolExecutor(AT_ONCE) as threads:
        answers = [future.result() for future in [threads.submit(send) for _ in range(AT_ONCE)]]
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[202] == 1, statuses
    assert set(statuses) <= {200, 202, 409}
    [first] = [answer.json() for answer in answers if answer.status_code == 202]
    for answer in answers:
        if answer.status_code == 409:
            assert (answer.json()["code"], answer.headers["retry-after"]) == ("IN_FLIGHT", "10")
        else:
            assert answer.json() == first
    again = [post(submit, INLINE, "fifty") for _ in range(3)]
    assert [(answer.status_code, answer.json()) for answer in again] == [(200, first)] * 3
    assert traces.record()["job_id"] == first["job_id"]
    assert traces.kubernetes.names("jobs") == {first["k8s_job_name"]}
    assert traces.kubernetes.names("configmaps") == {first["k8s_job_name"]}
    requests = traces.kubernetes.requests()
    assert (requests["create jobs"], requests["create configmaps"]) == (1, 1)
    assert len(traces.kubernetes.items("pods")) == 1


def test_fifty_requests_without_a_key_are_fifty_jobs(submit: FunctionServer, traces: Traces) -> None:
    """All of one template within some milliseconds."""
    request = {"template_id": "many", "script": {"path": "/jobs/etl.py"}}
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: post(submit, request), range(AT_ONCE)))
    assert [answer.status_code for answer in answers] == [202] * AT_ONCE
    assert len({answer.json()["job_id"] for answer in answers}) == AT_ONCE
    assert traces.kubernetes.names("jobs") == {answer.json()["k8s_job_name"] for answer in answers}


@pytest.mark.parametrize(
    "again",
    [
        json.dumps(dict(reversed(INLINE.items()))),
        json.dumps(INLINE, indent=4, ensure_ascii=False),
        json.dumps(INLINE).replace("args", "\\u0061rgs"),
    ],
    ids=["other order of the fields", "other white space", "other escapes"],
)
def test_the_same_request_written_otherwise_is_a_repetition(
    again: str, submit: FunctionServer, traces: Traces
) -> None:
    first = post(submit, INLINE, "rewritten")
    headers = {"Idempotency-Key": '"rewritten"', "Content-Type": "application/json"}
    repeated = httpx.post(f"{submit.url}/", content=again.encode(), headers=headers, trust_env=False)
    assert (first.status_code, repeated.status_code) == (202, 200)
    assert repeated.json() == first.json()
    assert len(traces.records()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"args": ["b", "a"]},
        {"args": ["a", "b", ""]},
        {"parallelism": 1},
        {"attached": False},
        {"script": {"inline": "print('ü')"}},
        {"template_id": "Once"},
    ],
)
def test_another_request_with_the_same_key_is_refused(
    change: Document, submit: FunctionServer, traces: Traces
) -> None:
    assert post(submit, INLINE, "reused").status_code == 202
    other = post(submit, INLINE | change, "reused")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(traces.records()) == 1
    assert len(traces.kubernetes.names("jobs")) == 1


# --- killed at every moment -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mortal:
    """A submit function whose messages pass a gate, that is killed there and comes back.

    The process that answers is a child of the server, which has made the imports and forks the next one.
    """

    server: FunctionServer
    gate: Gate
    threads: ThreadPoolExecutor

    def kill_at(
        self,
        number: int,
        fate: Fate,
        body: Document,
        key: str,
        *,
        while_held: Callable[[], None] = lambda: None,
    ) -> None:
        """Sends a request and kills the function over its message of this number, that meets this fate.

        `while_held` is called before the kill, while the message is held.
        """
        self.gate.expect(number, fate)
        sent = self.threads.submit(_answer_of, self.server, body, key)
        assert self.gate.reached.wait(PATIENCE_SECONDS), f"no message {number}: {self.gate.passed}"
        while_held()
        os.kill(_child_of(self.server.process.pid), signal.SIGKILL)
        assert sent.result() is None
        self.gate.died.set()
        if fate is not Fate.OVERTAKEN:
            assert self.gate.settled.wait(PATIENCE_SECONDS)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Returns when the function has connected to its peers: all messages after it are of a request."""
        httpx.get(f"{self.server.url}/ready", timeout=60, trust_env=False).raise_for_status()


def _child_of(pid: int) -> int:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def _answer_of(server: FunctionServer, body: Document, key: str) -> httpx.Response | None:
    try:
        return post(server, body, key)
    except httpx.TransportError:
        return None


@pytest.fixture
def mortal(
    settings: Mapping[str, str],
    mongo_server: MongoServer,
    kubernetes_double: KubernetesDouble,
    traces: Traces,
    scratch_file: Callable[[str], Path],
) -> Iterator[Mortal]:
    gate = Gate()
    with (
        MongoRoad(gate, mongo_server.port) as to_mongo,
        KubernetesRoad(gate, kubernetes_double) as to_kubernetes,
        ThreadPoolExecutor(1) as threads,
    ):
        kubeconfig = traces.kubernetes.kubeconfig(
            scratch_file("kubeconfig"), token=kubernetes_double.token, server=to_kubernetes.url
        )
        roads = {"MONGODB_URI": to_mongo.uri, "KUBECONFIG": str(kubeconfig)}
        with FunctionServer("submit", {**settings, **roads}) as server:
            new = Mortal(server, gate, threads)
            new.wait_ready()
            try:
                yield new
            finally:
                gate.open()


def test_these_are_the_messages_of_a_submission(mortal: Mortal) -> None:
    """Between them it can be cut off, and at no other moment."""
    mortal.gate.expect(None, Fate.LOST)
    assert post(mortal.server, INLINE, "undisturbed").status_code == 202
    assert mortal.gate.passed == MESSAGES


def test_a_function_killed_at_every_moment_of_a_submission_makes_one_job_of_it(
    mortal: Mortal, sync: FunctionServer, traces: Traces
) -> None:
    """The request is repeated until it is answered, as a client does."""
    traces.kubernetes.control.set_outcome(Outcome(message=termination_message("{hex}")))
    answers = {}
    for number, fate in product(range(len(MESSAGES)), Fate):
        key = f"{MESSAGES[number]} {fate.value}"
        body = {**INLINE, "args": [key]}
        mortal.kill_at(number, fate, body, key)
        left = left_behind(traces, key)
        assert left == has_arrived(number, fate), key
        repeated = post(mortal.server, body, key)
        if repeated.status_code == 409 and 0 < len(left) < len(LEAVE):
            assert repeated.json()["code"] == "IN_FLIGHT"
            traces.let_repeat()
            repeated = post(mortal.server, body, key)
        assert repeated.status_code == (200 if left else 202), repeated.text
        mortal.gate.repeated.set()
        assert mortal.gate.settled.wait(PATIENCE_SECONDS)
        answers[key] = repeated.json()
    records = traces.records()
    assert {record["idempotency_key"]: record["job_id"] for record in records} == {
        key: answer["job_id"] for key, answer in answers.items()
    }
    assert len(records) == len(answers)
    names = {answer["k8s_job_name"] for answer in answers.values()}
    assert len(names) == len(answers)
    assert traces.kubernetes.names("jobs") == traces.kubernetes.names("configmaps") == names
    for name in names:
        traces.kubernetes.wait_finished(name)
    assert len(traces.kubernetes.items("pods")) == len(answers)
    ids = {name: md5(name.encode(), usedforsecurity=False).hexdigest() for name in names}
    traces.flink.jobs = [Job(flink_id, "RUNNING") for flink_id in ids.values()]
    synchronise(sync)
    assert {record["k8s_job_name"]: record["flink_job_ids"] for record in traces.records()} == {
        name: [flink_id] for name, flink_id in ids.items()
    }
    assert {record["status"] for record in traces.records()} == {"RUNNING"}


def test_what_was_cut_off_and_is_never_repeated_is_settled_by_sync(
    mortal: Mortal, sync: FunctionServer, traces: Traces
) -> None:
    """A record without a Job is given up; a pod without its script has a deadline."""
    traces.kubernetes.control.set_outcome(Outcome(message=termination_message()))
    with_record, with_job, with_script = set(), set(), set()
    for number, fate in product(range(len(MESSAGES)), [Fate.LOST, Fate.LATE, Fate.UNANSWERED]):
        key = f"{MESSAGES[number]} {fate.value}"
        mortal.kill_at(number, fate, {**INLINE, "args": [key]}, key)
        left = left_behind(traces, key)
        assert left == has_arrived(number, fate), key
        if "insert flink_jobs" in left:
            with_record.add(key)
        if "POST jobs" in left:
            with_job.add(key)
        if "POST configmaps" in left:
            with_script.add(key)
    traces.grow_old()
    for name in traces.kubernetes.names("jobs") - traces.kubernetes.names("configmaps"):
        traces.kubernetes.patch("jobs", name, {"spec": {"activeDeadlineSeconds": 1}})
    for name in traces.kubernetes.names("jobs"):
        traces.kubernetes.wait_finished(name)

    def all_settled() -> bool:
        synchronise(sync)
        traces.miss_for(NAMELESS_FOR)
        return {record["status"] for record in traces.records()} <= {"FAILED", "LOST"}

    until(all_settled, timeout_seconds=15, what="every record is settled")
    assert {record["idempotency_key"] for record in traces.records()} == with_record
    for record in traces.records():
        key = record["idempotency_key"]
        expected = (
            ("FAILED", "NO_JOB_SUBMITTED")
            if key in with_script
            else ("LOST", "OUTCOME_UNKNOWN")
            if key in with_job
            else ("FAILED", "K8S_JOB_MISSING")
        )
        assert (record["status"], record["reason"]["code"]) == expected, record


def test_a_cancel_at_every_moment_of_a_submission_leaves_no_job_running(
    mortal: Mortal, submit: FunctionServer, sync: FunctionServer, traces: Traces
) -> None:
    """It comes, with a pass, while one message is held; the request is repeated until it is answered."""
    traces.kubernetes.control.set_outcome(Outcome(message=termination_message("{hex}")))
    cancelled = set()

    def cancel(key: str) -> None:
        [record] = traces.jobs.find({"idempotency_key": key})
        path = f"{submit.url}/jobs/{record['job_id']}/cancel"
        httpx.post(path, json={}, timeout=60, trust_env=False).raise_for_status()
        cancelled.add(key)
        synchronise(sync)

    # Before the record is there, nothing can be cancelled.
    for number, fate in [(2, Fate.UNANSWERED), *product(range(3, len(MESSAGES)), Fate)]:
        key = f"{MESSAGES[number]} {fate.value}"
        body = {**INLINE, "args": [key]}
        mortal.kill_at(number, fate, body, key, while_held=partial(cancel, key))
        traces.let_repeat()
        repeated = post(mortal.server, body, key)
        assert repeated.status_code == 200, repeated.text
        mortal.gate.repeated.set()
        assert mortal.gate.settled.wait(PATIENCE_SECONDS)
    names = traces.kubernetes.names("jobs")
    for name in names:
        traces.kubernetes.wait_finished(name)
    ids = {name: md5(name.encode(), usedforsecurity=False).hexdigest() for name in names}
    traces.flink.jobs = [Job(flink_id, "RUNNING") for flink_id in ids.values()]
    traces.grow_old()  # a Job that is missing counts only then

    def all_settled() -> bool:
        synchronise(sync)
        traces.miss_for(NAMELESS_FOR)
        return not traces.jobs.count_documents(
            {"$or": [{"status": "CREATED"}, {"open_action_since": {"$exists": True}}]}
        )

    until(all_settled, timeout_seconds=30, what="every record is settled")
    assert {
        record["idempotency_key"] for record in traces.records() if record["status"] == "CANCELLED"
    } == cancelled
    states = {job.id: job.state for job in traces.flink.jobs}
    for record in traces.records():
        is_cancelled = record["idempotency_key"] in cancelled
        assert [action["state"] for action in record.get("actions", [])] == ["done"] * is_cancelled
        assert {states[id_] for id_ in record["flink_job_ids"]} <= {"CANCELED" if is_cancelled else "RUNNING"}
        assert (record["k8s_job_name"] in names) == bool(record["flink_job_ids"])


def left_behind(traces: Traces, key: str) -> list[str]:
    """The messages of `LEAVE` whose work is to be seen."""
    record = traces.jobs.find_one({"idempotency_key": key})
    if record is None:
        return []
    name = record["k8s_job_name"]
    seen = (
        True,
        name in traces.kubernetes.names("jobs"),
        name in traces.kubernetes.names("configmaps"),
        record["in_flight_until"] is None,
    )
    return [message for message, is_seen in zip(LEAVE, seen, strict=True) if is_seen]


def has_arrived(number: int, fate: Fate) -> list[str]:
    """The messages of `LEAVE` that have arrived when the sender has died over this one."""
    arrived = MESSAGES[: number + (fate in ARRIVED)]
    return [message for message in LEAVE if message in arrived]


def test_a_repetition_that_comes_after_the_record_was_given_up_is_refused(
    submit: FunctionServer, sync: FunctionServer, traces: Traces
) -> None:
    """It is not answered as if the job had been accepted, and nothing is created any more."""
    with traces.kubernetes.control.fault(RequestFault(effect="drop", verb="create", resource="jobs")):
        assert post(submit, INLINE, "late").status_code == 503
    traces.grow_old()
    synchronise(sync)
    assert traces.record()["reason"]["code"] == "K8S_JOB_MISSING"
    late = post(submit, INLINE, "late")
    assert (late.status_code, late.json()["code"]) == (503, "OVERTAKEN")
    assert traces.kubernetes.names("jobs") == set()
