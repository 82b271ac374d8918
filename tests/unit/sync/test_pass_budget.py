"""What a pass does when its time is up, and when it has to wait for its lease."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from msgspec.structs import replace

from flinkjobs.cleanup import context as cleanup_context
from flinkjobs.cleanup import service as cleanup
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.domain.cluster_moves import ClusterRecord
from flinkjobs.domain.flink_states import OPEN, Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.observations import FlinkJob, Overview, time_of
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy, Update
from flinkjobs.observers.deadline import Deadline
from flinkjobs.observers.events import NamespaceEvents
from flinkjobs.observers.flink_snapshot import take_snapshots
from flinkjobs.ports.flink import Flink
from flinkjobs.ports.kubernetes import KubernetesCleanupClient
from flinkjobs.ports.lease import Lease, LeaseStore
from flinkjobs.ports.notify_store import NotifyStore
from flinkjobs.ports.store import Applied, JobStore
from flinkjobs.sync import service as sync
from flinkjobs.sync.batch import decide_batch
from flinkjobs.sync.context import Pass, Sync
from flinkjobs.sync.report import BatchResult, total
from tests.support.flink_in_memory import START_MS, FlinkInMemory, clusters, shows
from tests.unit.sync.test_change_detection import record

A, B = "a" * 32, "b" * 32


@dataclass(slots=True)
class Written:
    """A store that takes whatever is written."""

    job_ids: list[str] = field(default_factory=list)

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        assert (now.tzinfo, run_id, by) == (UTC, "run", Writer.SYNC)
        self.job_ids += [update.after.job_id for update in updates]
        return Applied(frozenset(self.job_ids), frozenset())


def working_with(
    store: object, clock: Callable[[], datetime] = lambda: datetime.now(UTC), **flinks: FlinkInMemory
) -> Sync:
    return Sync(
        store=cast("JobStore", store),
        notify_store=cast("NotifyStore", store),
        leases=cast("LeaseStore", store),
        kubernetes=lambda: pytest.fail("no record needs Kubernetes"),
        flinks=flinks,
        policy=Policy(),
        budget_seconds=60,
        clock=clock,
    )


@contextmanager
def passing(store: object, flinks: Mapping[str, Flink], seconds_left: float = 60) -> Iterator[Pass]:
    deadline = Deadline.after(seconds_left)
    with ThreadPoolExecutor(2) as threads, take_snapshots(flinks) as snapshots:
        sync = working_with(store)
        yield Pass(sync, "run", deadline, None, threads, snapshots, NamespaceEvents(sync.kubernetes))


def test_two_documents_of_one_job_id_are_each_decided_by_their_own_flink_job() -> None:
    first = record("etl_1")
    second = replace(first, flink_jobs=(replace(first.flink_jobs[0], id=B),))
    with passing(Written(), clusters(default=shows(a="RESTARTING", b="RESTARTING"))) as current:
        decided = decide_batch(current, [first, second])
    assert [update.after.flink_state for update in decided.updates] == ["RESTARTING", "RESTARTING"]


def reconciled(store: Written, count: int) -> list[BatchResult]:
    """What a pass makes of `count` records when its time is up."""
    records = iter([record(f"etl_{number}") for number in range(count)])
    with passing(store, clusters(default=shows(a="RESTARTING")), seconds_left=-1) as current:
        return list(sync._reconcile_by_snapshot(current, records))


def test_a_pass_that_is_out_of_time_writes_one_batch_and_leaves_the_others() -> None:
    store = Written()
    results = reconciled(store, 2 * sync.RECORDS_PER_BATCH)
    assert len(store.job_ids) == sync.RECORDS_PER_BATCH
    assert not total(results).is_complete


def test_a_pass_that_is_out_of_time_with_its_last_batch_has_written_everything() -> None:
    store = Written()
    results = reconciled(store, sync.RECORDS_PER_BATCH)
    assert len(store.job_ids) == sync.RECORDS_PER_BATCH
    assert total(results).is_complete


def running(job_id: str) -> FlinkJob:
    return FlinkJob(job_id, "etl_1", "RUNNING", start_time=time_of(START_MS))


@pytest.mark.parametrize(
    ("seconds_over", "observed", "passed_over"), [(1, [A], set()), (11, [], {"etl_1"})], ids=["late", "over"]
)
def test_flink_is_asked_in_the_grace_of_a_pass_that_is_out_of_time(
    seconds_over: float, observed: list[str], passed_over: set[str]
) -> None:
    """Else each pass would read the same logs again, and come no further."""
    flinks = {"default": FlinkInMemory("default", lambda: Overview({}), running)}
    with passing(Written(), flinks, seconds_left=-seconds_over) as current:
        seen = current.flink_jobs.observe([record("etl_1")], {}, {})
    assert (list(seen.by_job_id["etl_1"]), set(seen.passed_over)) == (observed, passed_over)


ASKED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TAKING = timedelta(seconds=3)


@dataclass(slots=True)
class Contended:
    """A store whose lease another pass gives back three seconds after it was asked for; no record is open."""

    now: datetime = ASKED
    is_given_back: bool = True
    runs: list[Mapping[str, object]] = field(default_factory=list)

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        assert ttl_seconds > 0
        self.now += TAKING
        return Lease(name=name, holder=holder, fence=1, cursor=None) if self.is_given_back else None

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        return lease.fence == 1 and ttl_seconds > 0

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        return lease.fence == 1 and cursor is None

    def fingerprints(self, status: Status) -> Iterator[str]:
        assert status in OPEN
        return iter([])

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        fingerprints: Mapping[Status, Sequence[str]],
        job_ids: Collection[str] | None,
        run_id: str,
    ) -> Iterator[JobRecord]:
        assert (lost_since < ASKED, fingerprints, job_ids, bool(run_id)) == (
            True,
            {status: [] for status in OPEN},
            None,
            True,
        )
        return iter([])

    def clusters(self) -> Mapping[str, ClusterRecord]:
        return {}

    def last_pass_at(self) -> None:
        return None

    def save_run(self, report: Mapping[str, object]) -> None:
        self.runs.append(report)

    def forget(self, *, before: datetime, limit: int, now: datetime) -> None:
        assert (before, limit) == (now - timedelta(hours=1), 1_000)


@pytest.mark.parametrize("is_given_back", [True, False])
def test_a_pass_begins_when_it_has_its_lease(is_given_back: bool) -> None:
    """Else its time would reach back into that of the pass before it, as if both had been at work."""
    store = Contended(is_given_back=is_given_back)
    report = sync.run_pass(working_with(store, lambda: store.now))
    assert (report["started_at"], report["skipped"]) == (ASKED + TAKING, not is_given_back)
    assert [run["started_at"] for run in store.runs] == [ASKED + TAKING] * is_given_back


def test_a_cleanup_that_waited_in_vain_for_its_lease_begins_after_that() -> None:
    store = Contended(is_given_back=False)
    work = cleanup_context.Cleanup(
        sync=working_with(store, lambda: store.now),
        cluster=cast("KubernetesCleanupClient", None),
        policy=RetentionPolicy(retention=TAKING, unsettled=TAKING),
        max_deletions=1,
        deletions_per_second=1.0,
        budget_seconds=60,
    )
    report = cleanup.run(work)
    assert (report["started_at"], report["skipped"]) == (ASKED + TAKING, True)
