"""Whatever is adopted, submitted and seen in whichever order: a Flink job has one record at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.observations import Overview
from flinkjobs.domain.transition import Policy
from flinkjobs.submit.adoption import Adoption, adopt
from flinkjobs.submit.service import Submit
from flinkjobs.sync import service as sync
from flinkjobs.sync.context import Sync
from tests.support.flink_in_memory import FlinkInMemory
from tests.support.kubernetes_in_memory import ClusterDouble
from tests.support.overviews import Entry, milliseconds
from tests.support.records import Document, new_record

FLINK_IDS = [letter * 32 for letter in "abcd"]
TEMPLATES = ("etl", "report")
BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""Jobs began an hour before it, and records that hold one of them already were submitted before that."""

STEPS = st.lists(
    st.one_of(
        st.just(("pass",)),
        st.tuples(st.just("start"), st.sampled_from(FLINK_IDS)),
        st.tuples(st.just("end"), st.sampled_from(FLINK_IDS)),
        st.tuples(st.just("record"), st.sampled_from(FLINK_IDS)),
        st.tuples(
            st.just("adopt"),
            st.sampled_from(FLINK_IDS),
            st.lists(
                st.tuples(st.sampled_from(TEMPLATES), st.sampled_from([None, "mine", "other"])),
                min_size=1,
                max_size=4,
            ),
        ),
    ),
    max_size=25,
)


@dataclass
class World:
    """One Flink cluster, the store, and the two functions on them."""

    database: Database[Document]
    jobs: dict[str, Entry] = field(default_factory=dict)
    submitted: int = 0

    def __post_init__(self) -> None:
        self.store = MongoJobStore(self.database)
        flink = FlinkInMemory("default", lambda: Overview(dict(self.jobs)))
        self.sync = Sync(
            store=self.store,
            notify_store=MongoNotifyStore(self.database),
            leases=MongoLeaseStore(self.database),
            kubernetes=ClusterDouble,
            flinks={"default": flink},
            policy=Policy(),
            budget_seconds=60,
            clock=lambda: BEGIN,
        )
        self.submit = Submit(
            store=self.store, kubernetes=ClusterDouble(), target_of=unused, clock=lambda: BEGIN
        )

    def start(self, flink_job_id: str) -> None:
        if flink_job_id not in self.jobs:
            began = milliseconds(BEGIN - timedelta(hours=1))
            self.jobs[flink_job_id] = Entry("nightly", "RUNNING", began, -1)

    def end(self, flink_job_id: str) -> None:
        if flink_job_id in self.jobs:
            job = self.jobs[flink_job_id]
            self.jobs[flink_job_id] = Entry(job.name, "FINISHED", job.start_ms, job.start_ms + 1)

    def record(self, flink_job_id: str) -> None:
        """A submission becomes a record with this id, unless another has it: as sync would see to."""
        if not self.store.owners([flink_job_id]):
            self.submitted += 1
            fields: dict[str, Any] = {"flink_job_id": flink_job_id, "flink_job_ids": [flink_job_id]}
            fields |= {"status": "FINISHED", "submitter_done": True}
            job_id = f"submitted_{self.submitted}"
            self.database.flink_jobs.insert_one(new_record(job_id, BEGIN - timedelta(hours=2), **fields))

    def adopt(self, flink_job_id: str, requests: list[tuple[str, str | None]]) -> list[str]:
        """Requests that arrive at the same time; the job ids of those that were answered."""

        def one(request: tuple[str, str | None]) -> str | None:
            template_id, job_id = request
            wanted = Adoption(flink_job_id=flink_job_id, template_id=template_id, job_id=job_id)
            try:
                return adopt(self.submit, wanted).record.job_id
            except FlinkjobsError:
                return None

        with ThreadPoolExecutor(len(requests)) as threads:
            return [job_id for job_id in threads.map(one, requests) if job_id is not None]

    def owners(self) -> Mapping[str, int]:
        """How many records have each Flink job."""
        return Counter(
            id_ for document in self.database.flink_jobs.find({}) for id_ in document["flink_job_ids"]
        )


def unused(cluster: str) -> Any:
    raise AssertionError(f"an adoption creates no Kubernetes Job in {cluster}")


@pytest.fixture
def database(mongo_database: Database[Document]) -> Database[Document]:
    ensure_indexes(mongo_database)
    return mongo_database


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_a_flink_job_never_gets_a_second_record(
    database: Database[Document], steps: list[tuple[Any, ...]]
) -> None:
    for name in ("flink_jobs", "sync_runs", "leases", "unmanaged_jobs"):
        database[name].delete_many({})
    world = World(database)
    for step in steps:
        match step:
            case ("pass",):
                sync.run_pass(world.sync)
            case ("start", id_):
                world.start(id_)
            case ("end", id_):
                world.end(id_)
            case ("record", id_):
                world.record(id_)
            case ("adopt", id_, requests):
                adopted = set(world.adopt(id_, requests))
                assert len(adopted) <= 1, "all who are answered get the same record"
        assert all(count == 1 for count in world.owners().values())
