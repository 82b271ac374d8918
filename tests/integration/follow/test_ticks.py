"""Many ticks of one invocation, and what a tick does without asking Kubernetes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from bench.worlds import flink_job_id
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.domain.errors import KubernetesUnavailableError
from flinkjobs.domain.observations import Overview
from flinkjobs.lease import hold_lease
from flinkjobs.observers.deadline import Deadline
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.sync.follow import follow
from flinkjobs.sync.service import pass_under_lease
from tests.integration.follow.mortal_follow import Clock
from tests.integration.notify.conftest import BEGIN, Stage, running
from tests.support.overviews import Entry

EVERY = timedelta(seconds=1)
TICKS = 220
WARM = 20
KEPT_BYTES = 50_000
"""What may be kept of 200 ticks: of each less than a small document."""


def test_the_memory_of_an_invocation_does_not_grow(mongo_database: Database[dict[str, Any]]) -> None:
    ensure_indexes(mongo_database)
    jobs = range(50)
    mongo_database["flink_jobs"].insert_many([running(number) for number in jobs])
    stage = Stage(mongo_database, [], states={flink_job_id(number): "RUNNING" for number in jobs})
    store = Counting(mongo_database)
    sync = replace(stage.sync(), store=store, clock=Clock(EVERY), is_stopping=lambda: store.ticks >= TICKS)
    tracemalloc.start()
    try:
        report = follow(sync, every=EVERY, ends_at=None)
    finally:
        tracemalloc.stop()
    assert report["ticks"] == TICKS
    warm, last = store.traced
    assert last - warm < KEPT_BYTES


class Counting(MongoJobStore):
    """Counts the ticks, and notes the memory in use once it is warm and after the last one."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        super().__init__(database)
        self.ticks = 0
        self.traced: list[int] = []

    def save_tick(self, invocation: str, report: Mapping[str, Any]) -> None:
        super().save_tick(invocation, report)
        self.ticks += 1
        if self.ticks in (WARM, TICKS):
            gc.collect()  # what is kept counts, not what waits for the collector
            self.traced.append(tracemalloc.get_traced_memory()[0])


STARTED_MS = int((BEGIN - timedelta(seconds=3)).timestamp() * 1000)


# --- a record without an id -------------------------------------------------------------------------


def waiting(job_id: str, age: timedelta) -> dict[str, Any]:
    """A record whose submitter has printed no id yet."""
    return running(0) | {
        "job_id": job_id,
        "status": "CREATED",
        "flink_state": None,
        "submitted_at": BEGIN - age,
        "start_time": None,
        "flink_job_id": None,
        "flink_job_ids": [],
        "flink_jobs": [],
        "submitter_done": False,
        "fingerprint": None,
    }


@dataclass
class Shown(Stage):
    """A stage whose cluster shows a job of this name.

    Attributes:
        name: none where it is empty.
    """

    name: str = ""

    def overview(self) -> Overview:
        entry = Entry(self.name, "RUNNING", STARTED_MS, -1)
        return Overview({flink_job_id(7): entry} if self.name else {})


def tick(stage: Stage, *, after: timedelta) -> tuple[int, Mapping[str, Any]]:
    """One tick this time after the one before: how often Kubernetes was asked for, and the report."""
    asked = []

    def connect() -> KubernetesClient:
        asked.append(1)
        raise KubernetesUnavailableError("refused")

    sync, deadline = replace(stage.sync(), kubernetes=connect), Deadline.after(60)
    report = pass_under_lease(sync, "1" * 32, deadline, None, last_observed_at=BEGIN - after)
    return len(asked), report


def test_only_a_submitter_that_is_due_is_observed(mongo_database: Database[dict[str, Any]]) -> None:
    stage = Shown(mongo_database, [])
    stage.jobs.insert_one(waiting("etl_1", timedelta(minutes=20, seconds=10)))
    assert tick(stage, after=timedelta(seconds=5))[0] == 0
    asked, report = tick(stage, after=timedelta(minutes=3))
    assert asked > 0
    assert report["unresolved"] == 1


def test_a_job_is_found_by_its_name_in_a_tick_that_does_not_observe_its_submitter(
    mongo_database: Database[dict[str, Any]],
) -> None:
    stage = Shown(mongo_database, [], name="etl_1")
    stage.jobs.insert_one(waiting("etl_1", timedelta(minutes=20, seconds=10)))
    asked, _ = tick(stage, after=timedelta(seconds=5))
    record = stage.jobs.find_one({"job_id": "etl_1"})
    assert (asked, record["status"], record["flink_job_id"]) == (0, "RUNNING", flink_job_id(7))


def test_a_job_that_may_be_a_waiting_records_is_not_unmanaged(
    mongo_database: Database[dict[str, Any]],
) -> None:
    """Its id may be in the output of a submitter that this tick does not observe."""
    stage = Shown(mongo_database, [], name="named by the script")
    stage.jobs.insert_one(waiting("etl_1", timedelta(minutes=20, seconds=10)))
    sync = stage.sync()
    with hold_lease(sync.leases, "sync", holder="one") as active:
        report = pass_under_lease(
            sync, "1" * 32, Deadline.after(60), active, last_observed_at=BEGIN - timedelta(seconds=5)
        )
    assert report["clusters"]["default"]["unmanaged"] == 0
