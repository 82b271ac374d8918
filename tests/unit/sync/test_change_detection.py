"""Which records a pass reads whole, and which it decides without a request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.observations import time_of
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord
from flinkjobs.observers.flink_snapshot import take_snapshots
from flinkjobs.ports.store import JobStore
from flinkjobs.sync.change_detection import changes_since_last_write, is_decided_by_snapshot
from tests.support.flink_in_memory import START_MS, clusters, is_away, shows

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
A = "a" * 32


@dataclass(frozen=True, slots=True)
class Stored:
    """The fingerprints of RUNNING records."""

    running: tuple[str, ...]

    def fingerprints(self, status: Status) -> Iterator[str]:
        return iter(self.running if status is Status.RUNNING else ())


def record(job_id: str = "etl_1", cluster: str = "default", **fields: Any) -> JobRecord:
    ref = FlinkJobRef(
        id=A, source=IdSource.LOG, confirmed=True, state="RUNNING", start_time=time_of(START_MS)
    )
    known: dict[str, Any] = {
        "status": Status.RUNNING,
        "submitted_at": NOON,
        "flink_jobs": (ref,),
        "submitter_done": True,
    }
    return JobRecord(job_id=job_id, cluster=cluster, **(known | fields))


def test_the_fingerprints_are_compared_with_every_cluster() -> None:
    same, moved, unreached = (
        f"one|{A}|RUNNING|{START_MS}",
        f"two|{A}|RUNNING|{START_MS}",
        f"three|{A}|RUNNING|{START_MS}",
    )
    store = cast("JobStore", Stored((same, moved, unreached)))
    answers = {"one": shows(a="RUNNING"), "two": shows(a="RESTARTING"), "three": is_away}
    with take_snapshots(clusters(**answers)) as snapshots:
        changes = changes_since_last_write(store, snapshots)
    assert (changes.unchanged, changes.changed[Status.RUNNING]) == (2, [moved])


SORTS = {
    "its state is new": ({"a": "RESTARTING"}, {}, True),
    "it is over": ({"a": "FINISHED"}, {}, True),
    "it is missing": ({}, {}, False),
    "it has failed": ({"a": "FAILED"}, {}, False),
    "its submitter may say more": ({"a": "FINISHED"}, {"submitter_done": False}, False),
    "it has no id": ({}, {"flink_jobs": ()}, False),
    "it is lost": ({"a": "RUNNING"}, {"status": Status.LOST}, False),
}


@pytest.mark.parametrize(("seen", "fields", "expected"), SORTS.values(), ids=SORTS.keys())
def test_only_what_the_snapshot_answers_is_decided_without_a_request(
    seen: dict[str, str], fields: dict[str, Any], *, expected: bool
) -> None:
    assert is_decided_by_snapshot(record(**fields), shows(**seen)().entries) is expected


def test_nothing_is_decided_by_the_snapshot_of_a_cluster_that_was_not_reached() -> None:
    assert not is_decided_by_snapshot(record(), None)
