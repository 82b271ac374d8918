"""One pass over records of which the snapshots say something new."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from msgspec.structs import replace

from flinkjobs.cleanup import context as cleanup_context
from flinkjobs.cleanup import service as cleanup
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.domain.observations import FlinkJob, Missing, Overview, time_of
from flinkjobs.domain.records import Skipped
from flinkjobs.domain.transition import Policy, Update
from flinkjobs.observers.flink_snapshot import taken
from flinkjobs.ports.kubernetes import KubernetesCleanupClient, KubernetesClient
from flinkjobs.ports.lease import Lease
from flinkjobs.ports.store import Applied, JobStore
from flinkjobs.sync import service as sync
from tests.unit.sync.test_change_detection import START_MS, A, B, clusters, record, shows
from tests.unit.sync.test_change_detection import Cluster as Overviewed


@dataclass(slots=True)
class Written:
    """A store that takes whatever is written."""

    job_ids: list[str] = field(default_factory=list)

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str) -> Applied:
        assert (now.tzinfo, run_id) == (UTC, "run")
        self.job_ids += [update.after.job_id for update in updates]
        return Applied(frozenset(self.job_ids), frozenset())


def working_with(store: object, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> sync.Sync:
    return sync.Sync(
        store=cast("JobStore", store),
        cluster=cast("KubernetesClient", None),
        flinks={},
        policy=Policy(),
        budget_seconds=60,
        clock=clock,
    )


def test_two_documents_of_one_job_id_are_each_decided_by_their_own_flink_job() -> None:
    first = record("etl_1")
    second = replace(first, flink_jobs=(replace(first.flink_jobs[0], id=B),))
    with (
        ThreadPoolExecutor(2) as threads,
        taken(clusters(default=shows(a="RESTARTING", b="RESTARTING"))) as seen,
    ):
        passing = sync._Pass(working_with(Written()), threads, seen, None, "run", time.monotonic() + 60)
        decided = sync._actions(passing, [first, second], datetime.now(UTC))
    states = [action.after.flink_state for _, action in decided if isinstance(action, Update)]
    assert states == ["RESTARTING", "RESTARTING"]


def test_a_pass_that_is_out_of_time_reads_no_further_than_its_first_portion() -> None:
    """The store may be slow as well, and nothing else would stop the reading while nothing moves."""
    found = iter([Skipped(1)] * (2 * sync.RECORDS_PER_WRITE))
    with ThreadPoolExecutor(2) as threads, taken(clusters(default=shows(a="RUNNING"))) as seen:
        passing = sync._Pass(working_with(Written()), threads, seen, None, "run", time.monotonic() - 1)
        read = list(sync._in_time(passing, found))
    assert (len(read), passing.complete) == (sync.RECORDS_PER_WRITE, False)


def test_a_pass_that_is_out_of_time_writes_one_portion_and_leaves_the_others() -> None:
    store = Written()
    with ThreadPoolExecutor(2) as threads, taken(clusters(default=shows(a="RESTARTING"))) as seen:
        passing = sync._Pass(working_with(store), threads, seen, None, "run", time.monotonic() - 1)
        sync._write_what_moved(passing, iter([[record("etl_1")], [record("etl_2")], [record("etl_3")]]))
    assert (store.job_ids, passing.complete) == (["etl_1"], False)


def test_a_pass_that_is_out_of_time_with_its_last_portion_has_written_everything() -> None:
    store = Written()
    with ThreadPoolExecutor(2) as threads, taken(clusters(default=shows(a="RESTARTING"))) as seen:
        passing = sync._Pass(working_with(store), threads, seen, None, "run", time.monotonic() - 1)
        sync._write_what_moved(passing, iter([[record("etl_1")]]))
    assert (store.job_ids, passing.complete) == (["etl_1"], True)


class ShortSighted(Overviewed):
    """A cluster whose overview lacks a job that it does know."""

    def job(self, job_id: str) -> FlinkJob | Missing:
        return FlinkJob(job_id, "etl_1", "RUNNING", start_time=time_of(START_MS))


@pytest.mark.parametrize(
    ("seconds_over", "observed", "passed_over"), [(1, [A], set()), (11, [], {"etl_1"})], ids=["late", "over"]
)
def test_flink_is_asked_of_what_kubernetes_took_all_the_time_to_say(
    seconds_over: float, observed: list[str], passed_over: set[str]
) -> None:
    """Else each pass would read the same logs again, and come no further."""
    shortly = time.monotonic() - seconds_over
    cluster = ShortSighted("default", lambda: Overview({}))
    with ThreadPoolExecutor(2) as threads, taken({"default": cluster}) as seen:
        passing = sync._Pass(working_with(Written()), threads, seen, None, "run", shortly)
        flinks = sync._observe_flink(passing, [record("etl_1")], {})
    assert (list(flinks["etl_1"]), passing.passed_over) == (observed, passed_over)


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

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        return lease.fence == 1 and cursor is None

    def records_to_follow(
        self, *, lost_since: datetime, job_ids: Collection[str] | None, skip: object, run_id: str
    ) -> Iterator[Skipped]:
        assert (lost_since < ASKED, job_ids, callable(skip), bool(run_id)) == (True, None, True, True)
        return iter([])

    def save_run(self, report: Mapping[str, object]) -> None:
        self.runs.append(report)


@pytest.mark.parametrize("is_given_back", [True, False])
def test_a_pass_begins_when_it_has_its_lease(is_given_back: bool) -> None:
    """Else its time would reach back into that of the pass before it, as if both had been at work."""
    store = Contended(is_given_back=is_given_back)
    report = sync.run(working_with(store, lambda: store.now))
    assert (report["started_at"], report["skipped"]) == (ASKED + TAKING, not is_given_back)
    assert [run["started_at"] for run in store.runs] == [ASKED + TAKING] * is_given_back


def test_a_cleanup_that_waited_in_vain_for_its_lease_begins_after_that() -> None:
    store = Contended(is_given_back=False)
    work = cleanup_context.Cleanup(
        sync=working_with(store, lambda: store.now),
        cluster=cast("KubernetesCleanupClient", None),
        policy=RetentionPolicy(retention=TAKING, unharvested=TAKING),
        max_deletions=1,
        deletions_per_second=1.0,
        budget_seconds=60,
    )
    report = cleanup.run(work)
    assert (report["started_at"], report["skipped"]) == (ASKED + TAKING, True)
