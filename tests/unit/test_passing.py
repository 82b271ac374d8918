"""One pass over records of which the snapshots say something new."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from msgspec.structs import replace

from flinkjobs import sync
from flinkjobs.model import Policy, Skipped, Update
from flinkjobs.ports import Applied, Cluster, JobStore
from flinkjobs.snapshots import taken
from tests.unit.test_scan import B, clusters, record, shows


@dataclass(slots=True)
class Written:
    """A store that takes whatever is written."""

    job_ids: list[str] = field(default_factory=list)

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str) -> Applied:
        assert (now.tzinfo, run_id) == (UTC, "run")
        self.job_ids += [update.after.job_id for update in updates]
        return Applied(frozenset(self.job_ids), frozenset())


def working_with(store: Written) -> sync.Sync:
    return sync.Sync(
        store=cast("JobStore", store),
        cluster=cast("Cluster", None),
        flinks={},
        policy=Policy(),
        budget_seconds=60,
        clock=lambda: datetime.now(UTC),
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
