"""The deployed functions on a replica set whose primary is killed while all of them work.

    python -m tests.integration.failover.storm --kills 10

Clients submit, each request with a key that is repeated until it is answered; passes, deliveries and cleanups
run one after the other. In the end every acknowledged submission must have its record, and what the records
and the receiver of events say must be what happened.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import md5
from types import MappingProxyType
from typing import Any, Final

import httpx
from pymongo import MongoClient

from doubles.kubernetes.faults import Outcome
from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from tests.integration.property.oracle import contradiction_of_moves
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.records import Document, termination_message
from tests.support.replica_set import ReplicaSet
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.waiting import until

DATABASE: Final = "storm"
ENDS: Final = ("FINISHED", "FAILED", "CANCELED")
STATUS_OF: Final = {"FINISHED": "FINISHED", "FAILED": "FAILED", "CANCELED": "CANCELLED"}
FINAL: Final = ("FINISHED", "FAILED", "CANCELLED")
JOB_SECONDS: Final = 1.5
"""How long a Flink job runs."""
PATIENCE_SECONDS: Final = 120.0
UNAVAILABLE: Final = (409, 500, 502, 503, 504)
"""What a client repeats: also 409, while its first request is still under way."""


@dataclass
class Storm:
    """What was answered to the clients, and what happened.

    Attributes:
        acknowledged: job id and name of the Kubernetes Job by the key of each answered submission.
        truth: Flink's last word for the job of each Kubernetes Job.
        events: every event that the receiver took, in the order in which it came.
        answers: how many requests had which outcome, by function.
        under_way: functions that are working at this moment.
        hit: by function, how many kills came while it was working.
        wrongs: what was seen to be wrong.
    """

    functions: Mapping[str, FunctionServer]
    kubernetes: KubernetesWorld
    flink: FlinkServer
    client: MongoClient[Document]
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    truth: dict[str, str] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _seen: dict[str, Document] = field(default_factory=dict)

    def call(self, name: str, **request: Any) -> httpx.Response | None:
        """One request to a function; None where it does not answer."""
        self.under_way[name] += 1
        try:
            answer = httpx.post(self.functions[name].url, timeout=60, trust_env=False, **request)
        except httpx.HTTPError:
            self.answers[f"{name} none"] += 1
            return None
        finally:
            self.under_way[name] -= 1
        self.answers[f"{name} {answer.status_code}"] += 1
        return answer

    # --- what goes on at the same time

    def submit(self) -> None:
        """Submits one job after the other, each until it is acknowledged."""
        number = 0
        while not self.over.is_set():
            key = f"{threading.get_ident()}-{number}"
            body = {"template_id": "etl", "script": {"path": "/opt/a.py"}, "args": [key]}
            while True:
                answer = self.call("submit", json=body, headers={"Idempotency-Key": key})
                if answer is not None and answer.status_code in (200, 202):
                    accepted = answer.json()
                    self.acknowledged[key] = accepted["job_id"], accepted["k8s_job_name"]
                    break
                if answer is not None and answer.status_code not in UNAVAILABLE:
                    self.wrongs.append(f"submit: {answer.status_code} {answer.text}")
                    return
                self.over.wait(0.2)
            number += 1
            self.over.wait(0.3)

    def repeat(self, name: str) -> None:
        """Runs a function again and again."""
        while not self.over.is_set():
            answer = self.call(name)
            if answer is not None and answer.status_code not in (200, 502, 503):
                self.wrongs.append(f"{name}: {answer.status_code} {answer.text}")
            self.over.wait(0.1)

    def run_flink(self) -> None:
        """Runs a Flink job for every Kubernetes Job that has submitted one; each comes to its end."""
        while not self.over.is_set():
            with suppress(httpx.TimeoutException):  # on a busy machine the double is late as well
                self.move_flink()
            self.over.wait(0.1)

    def move_flink(self) -> None:
        """Lets jobs begin and end."""
        now = time.time_ns() // 1_000_000
        known = {job.id: job for job in self.flink.jobs}
        for job in self.kubernetes.items("jobs"):
            name = job["metadata"]["name"]
            conditions = job.get("status", {}).get("conditions", ())
            if any(each["type"] == "Complete" for each in conditions) and name not in self.truth:
                self.truth[name] = "RUNNING"
                flink_job_id = md5(name.encode(), usedforsecurity=False).hexdigest()
                known[flink_job_id] = Job(flink_job_id, "RUNNING", name=name)
        for id_, running in known.items():
            if running.state == "RUNNING" and now - running.start > JOB_SECONDS * 1000:
                end = ENDS[int(id_[0], 16) % len(ENDS)]
                self.truth[running.name] = end
                known[id_] = replace(running, state=end, end=now)
        self.flink.jobs = list(known.values())

    def receive(self, asked: Asked) -> Answer:
        self.events.append(json.loads(asked.body))
        return Answer()

    def watch(self) -> None:
        """Looks at the records all the time: one that is over stays as it is."""
        while not self.over.is_set():
            try:
                self._look()
            except Exception:  # noqa: BLE001 - without a primary there is nothing to see
                self.over.wait(0.2)
            self.over.wait(0.05)

    def _look(self) -> None:
        for record in self.client[DATABASE]["flink_jobs"].find():
            before = self._seen.get(record["job_id"], record)
            if before["status"] in FINAL and record["status"] != before["status"]:
                self.wrongs.append(
                    f"{record['job_id']} was {before['status']}, and became {record['status']}"
                )
            if wrong := contradiction_of_moves(before, record):
                self.wrongs.append(f"{record['job_id']}: {wrong}")
            self._seen[record["job_id"]] = record

    # --- the course of it

    @contextmanager
    def raging(self) -> Iterator[None]:
        """All of it at the same time, for the duration of the block."""
        works: list[Callable[[], None]] = [self.submit, self.submit, self.run_flink, self.watch]
        works += [lambda: self.repeat("sync"), lambda: self.repeat("cleanup")]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def progress(self) -> None:
        """Waits until a submission, a pass that delivered, and a cleanup that deleted have come through."""
        answered, sent, runs = len(self.acknowledged), len(self.events), self.answers["cleanup 200"]
        until(
            lambda: (
                len(self.acknowledged) > answered + 1
                and len(self.events) > sent
                and self.answers["cleanup 200"] > runs
            ),
            timeout_seconds=PATIENCE_SECONDS,
            what=f"progress, {self.answers}",
        )

    def calm_down(self) -> None:
        """Passes and cleanups until every record is over, every event sent and every Job gone."""

        def is_over() -> bool:
            self.move_flink()
            self.call("sync")
            self.call("cleanup")
            jobs = self.client[DATABASE]["flink_jobs"]
            is_left = {"$or": [{"status": {"$nin": FINAL}}, {"pending_since": {"$exists": True}}]}
            return jobs.count_documents(is_left) == 0 and not self.kubernetes.names("jobs")

        until(is_over, timeout_seconds=PATIENCE_SECONDS, what="every record over")

    # --- what must hold in the end

    def check(self) -> None:
        """Whether the records and the events are what happened."""
        records = self.check_submissions()
        assert self.wrongs == []
        assert self.truth.keys() == {record["k8s_job_name"] for record in records}
        for record in records:
            self._check_record(record)
        self._check_events(records)

    def check_submissions(self) -> list[Document]:
        """Whether each submission that was acknowledged has its one record; all records."""
        records = list(self.client[DATABASE]["flink_jobs"].find())
        by_key = {record["idempotency_key"]: record for record in records}
        assert len(by_key) == len(records), "one record of each submission"
        found = {key: (record["job_id"], record["k8s_job_name"]) for key, record in by_key.items()}
        lost = {key for key, names in self.acknowledged.items() if found.get(key) != names}
        assert lost == set(), f"acknowledged and lost: {lost}"
        return records

    def _check_record(self, record: Document) -> None:
        name = record["k8s_job_name"]
        assert record["status"] == STATUS_OF[self.truth[name]], record
        [job] = [job for job in self.flink.jobs if job.name == name]
        assert record["flink_job_ids"] == [job.id], record
        times = [int(record[field].timestamp() * 1000 + 0.5) for field in ("start_time", "end_time")]
        assert times == [job.start, job.end], record
        assert round(record["duration"] * 1000) == job.end - job.start, record
        assert "submitter_log" in record, record
        moves = record["history"]
        seqs = [move["seq"] for move in moves]
        assert seqs[0] == 0, record
        assert seqs == sorted(set(seqs)), record
        assert seqs[-1] <= record["revision"], record
        assert [move["was"] for move in moves] == [None, *(move["status"] for move in moves[:-1])], record
        assert all(move["status"] not in FINAL for move in moves[:-1]), record
        assert moves[-1]["status"] == record["status"], record

    def _check_events(self, records: list[Document]) -> None:
        bodies: dict[str, list[Document]] = defaultdict(list)
        order: dict[str, list[int]] = defaultdict(list)
        for event in self.events:
            bodies[event["id"]].append(event)
            if event["type"].startswith("flinkjobs.job."):
                order[event["subject"]].append(int(event["id"].rpartition("/")[2]))
        for record in records:
            wanted = {f"{record['job_id']}/{move['seq']}" for move in record["history"]}
            assert wanted <= bodies.keys(), f"not delivered: {wanted - bodies.keys()}"
        for id_, sent in bodies.items():
            assert len({json.dumps(each["data"].get("move"), sort_keys=True) for each in sent}) == 1, id_
        for job_id, seqs in order.items():
            firsts = list(dict.fromkeys(seqs))
            assert firsts == sorted(firsts), f"{job_id}: out of order {seqs}"


@contextmanager
def storm(
    uri: str,
    kubernetes_double: KubernetesDouble,
    *,
    own: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Iterator[Storm]:
    """The functions, their peers, and nothing going on yet.

    Args:
        uri: of MongoDB.
        kubernetes_double: the Kubernetes API.
        own: settings of single functions.
    """
    with ExitStack() as stack:
        kubernetes = stack.enter_context(KubernetesWorld(kubernetes_double))
        kubernetes.reset()
        kubernetes.control.set_outcome(Outcome(message=termination_message("{hex}"), log="done\n"))
        flink = stack.enter_context(FlinkServer())
        client = stack.enter_context(MongoClient[Document](uri, tz_aware=True, readConcernLevel="majority"))
        functions: dict[str, FunctionServer] = {}
        new = Storm(functions, kubernetes, flink, client)
        receiver = stack.enter_context(ScriptedServer(new.receive))
        channel = {"name": "ops", "type": "webhook", "url": receiver.url, "allow_private": True}
        settings = {
            "MONGODB_URI": uri,
            "MONGODB_DATABASE": DATABASE,
            "FLINK_REST_URL": flink.url,
            "FLINK_IMAGE": "flink:1.20",
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(kubernetes_double.kubeconfig),
            "CLEANUP_RETENTION_HOURS": "0.0002",
            "CLEANUP_DELETIONS_PER_SECOND": "500",
            "SYNC_BUDGET_SECONDS": "20",
            "NOTIFY_CHANNELS": json.dumps([channel | {"secret": "whsec_" + "c2VjcmV0" * 4}]),
        }
        for name in ("submit", "sync", "cleanup"):
            functions[name] = stack.enter_context(FunctionServer(name, {**settings, **own.get(name, {})}))
        yield new


def rage(replica_set: ReplicaSet, kubernetes_double: KubernetesDouble, *, kills: int) -> Storm:
    """Kills the primary several times while everything works, and checks what is left."""
    with storm(replica_set.uri, kubernetes_double) as new:
        with new.raging():
            new.progress()
            for _ in range(kills):
                replica_set.kill_primary(at=lambda: new.hit.update(+new.under_way))
                new.progress()
        new.check_submissions()
        new.calm_down()
        new.check()
        return new


def main() -> int:
    """Runs the program; the exit code is 0 only if every check held."""
    arguments = argparse.ArgumentParser(description="Kills the primary under the functions.")
    arguments.add_argument("--kills", type=int, default=10)
    given = arguments.parse_args()
    began = time.monotonic()
    with ReplicaSet() as replica_set, KubernetesDouble(run=False) as double:
        seen = rage(replica_set, double, kills=given.kills)
    lines = [
        f"{given.kills} kills in {time.monotonic() - began:.0f} s, while at work: {dict(seen.hit)}",
        f"{len(seen.acknowledged)} acknowledged, {len(seen.truth)} jobs, {len(seen.events)} events",
        f"answers: {dict(seen.answers)}",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - a program for a person at a terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
