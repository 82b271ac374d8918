"""Sync with a real MongoDB, Flink in memory, and channels in memory."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from bench.worlds import flink_job_id
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.observations import FlinkJob, Missing, Overview
from flinkjobs.domain.transition import Policy
from flinkjobs.notify.delivery import Delivery
from flinkjobs.ports.channels import Channel
from flinkjobs.sync import service
from flinkjobs.sync.context import Sync
from tests.support.flink_in_memory import FlinkInMemory
from tests.support.overviews import Entry

BEGIN = datetime(2099, 11, 2, 12, tzinfo=UTC)
"""In the future: MongoDB deletes reports of passes by its own clock."""
START_MS = int((BEGIN - timedelta(days=1)).timestamp() * 1000)
PERIOD = timedelta(minutes=3)
Document = dict[str, Any]


def running(number: int, **fields: Any) -> Document:
    """The record of a job that the last pass has left RUNNING."""
    id_ = flink_job_id(number)
    at = BEGIN - timedelta(days=1)
    ref = {"id": id_, "source": "LOG", "confirmed": True, "state": "RUNNING", "start_time": at}
    return {
        "job_id": f"etl_{number:05}",
        "template_id": "etl",
        "status": "RUNNING",
        "flink_state": "RUNNING",
        "submitted_at": at,
        "start_time": at,
        "flink_job_id": id_,
        "flink_job_ids": [id_],
        "flink_jobs": [ref],
        "submitter_done": True,
        "cluster": "default",
        "k8s_job_name": f"flink-py-{number}",
        "fingerprint": f"default|{id_}|RUNNING|{START_MS}",
        "revision": 1,
        "history": [],
        **fields,
    }


@dataclass
class Stage:
    """One database, one cluster, and a clock that the test moves.

    Attributes:
        states: what the cluster knows, by Flink Job ID; None while it does not answer.
    """

    database: Database[Document]
    channels: Sequence[Channel]
    now: datetime = BEGIN
    states: Mapping[str, str] | None = field(default_factory=dict)
    period: timedelta = PERIOD
    budget_seconds: float = 120.0

    @property
    def jobs(self) -> Any:
        return self.database["flink_jobs"]

    def overview(self) -> Overview:
        if self.states is None:
            raise FlinkUnavailableError("connection refused")
        end = START_MS + 5_000
        return Overview(
            {
                id_: Entry("a job", state, START_MS, -1 if state in ("RUNNING", "SUSPENDED") else end)
                for id_, state in self.states.items()
            }
        )

    def job(self, flink_job_id: str) -> FlinkJob | Missing:
        assert self.states is not None
        assert flink_job_id not in self.states
        return Missing()

    def sync(self) -> Sync:
        notify_store = MongoNotifyStore(self.database)
        clock = lambda: self.now  # noqa: E731 - a value of this stage
        delivery = Delivery(notify_store, self.channels, clock=clock, chance=random.Random(1))  # noqa: S311
        return Sync(
            store=MongoJobStore(self.database),
            notify_store=notify_store,
            leases=MongoLeaseStore(self.database),
            kubernetes=lambda: pytest.fail("no record needs Kubernetes"),
            flinks={"default": FlinkInMemory("default", self.overview, self.job)},
            policy=Policy(),
            budget_seconds=self.budget_seconds,
            clock=clock,
            period=self.period,
            delivery=delivery if self.channels else None,
        )

    def run_pass(self, job_ids: Sequence[str] | None = None) -> Mapping[str, Any]:
        """One pass, and a period goes by."""
        report = service.run_pass(self.sync(), job_ids=job_ids)
        self.now += self.period
        return report

    def marks(self) -> Mapping[str, Document]:
        """The marks of delivery on each record that is pending, by job id."""
        found = self.jobs.find(
            {"pending_since": {"$exists": True}}, {"delivered": 1, "waiting_for": 1, "job_id": 1}
        )
        return {each.pop("job_id"): {k: v for k, v in each.items() if k != "_id"} for each in found}


@pytest.fixture
def stage(mongo_database: Database[Document]) -> Stage:
    """Without channels yet."""
    ensure_indexes(mongo_database)
    return Stage(mongo_database, [])
