"""Which records a pass looks at closely, beside clusters that answer, do not, or take their time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.observations import FlinkJob, Missing, Overview, time_of
from flinkjobs.domain.records import (
    AtRest,
    FlinkJobRef,
    IdSource,
    JobRecord,
    Skipped,
    Status,
    UnreadableRecord,
)
from flinkjobs.observers.flink_snapshot import taken
from flinkjobs.sync import change_detection
from flinkjobs.sync.change_detection import Scan
from tests.support.overviews import Entry

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
START_MS = 1_795_335_824_614
A, B = "a" * 32, "b" * 32


@dataclass(frozen=True, slots=True)
class Cluster:
    """`flinkjobs.ports.store.Flink`, asked for nothing but its overview."""

    name: str
    answer: Callable[[], Overview]
    has_history: bool = False

    def overview(self) -> Overview:
        return self.answer()

    def until(self, moment: float) -> Cluster:
        raise AssertionError(moment)

    def job(self, job_id: str) -> FlinkJob | Missing:
        raise AssertionError(job_id)

    def failure(self, job_id: str) -> str | None:
        raise AssertionError(job_id)

    def history(self) -> Overview:
        raise AssertionError(self.name)

    def history_failure(self, job_id: str) -> str | None:
        raise AssertionError(job_id)


def shows(**states: str) -> Callable[[], Overview]:
    """A cluster with these jobs, `a` for A and `b` for B."""
    entries = {letter * 32: Entry("a job", state, START_MS, -1) for letter, state in states.items()}
    return lambda: Overview(entries)


def is_away() -> Overview:
    raise FlinkUnavailableError("connection refused")


def clusters(**answers: Callable[[], Overview]) -> Mapping[str, Cluster]:
    return {name: Cluster(name, answer) for name, answer in answers.items()}


def resting(cluster: str = "default", flink_job_id: str = A, *, state: str = "RUNNING") -> AtRest:
    return AtRest(cluster, "RUNNING", flink_job_id, state, START_MS)


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


def test_a_record_of_which_nothing_is_new_is_passed_over() -> None:
    with taken(clusters(default=shows(a="RUNNING"))) as snapshots:
        assert Scan(snapshots).skip(resting())


@pytest.mark.parametrize("seen", [{"a": "RESTARTING"}, {"a": "FAILED"}, {"b": "RUNNING"}, {}])
def test_a_record_of_which_something_is_new_is_not(seen: dict[str, str]) -> None:
    with taken(clusters(default=shows(**seen))) as snapshots:
        assert not Scan(snapshots).skip(resting())


def test_a_cluster_that_is_away_says_nothing_new() -> None:
    with taken(clusters(default=is_away)) as snapshots:
        scanning = Scan(snapshots)
        assert scanning.skip(resting())
        assert not scanning.skip(resting(state="SUSPENDED")), "the record itself does not add up"


def test_a_cluster_that_the_settings_do_not_describe_says_nothing_new() -> None:
    with taken({}) as snapshots:
        assert Scan(snapshots).skip(resting("elsewhere"))


SORTS = {
    "its state is new": ({"a": "RESTARTING"}, {}, "moved"),
    "it is over": ({"a": "FINISHED"}, {}, "moved"),
    "it is missing": ({}, {}, "asking"),
    "it has failed": ({"a": "FAILED"}, {}, "asking"),
    "its submitter may say more": ({"a": "FINISHED"}, {"submitter_done": False}, "asking"),
    "it has no id": ({}, {"flink_jobs": ()}, "asking"),
    "it is lost": ({"a": "RUNNING"}, {"status": Status.LOST}, "asking"),
}


@pytest.mark.parametrize(("seen", "fields", "expected"), SORTS.values(), ids=SORTS.keys())
def test_only_what_the_snapshot_answers_is_written_without_asking(
    seen: dict[str, str], fields: dict[str, Any], expected: str
) -> None:
    one = record(**fields)
    with taken(clusters(default=shows(**seen))) as snapshots:
        scanning = Scan(snapshots)
        moved = list(scanning.moved([one], size=10))
    assert moved == ([[one]] if expected == "moved" else [])
    assert scanning.asking == ([one] if expected == "asking" else [])


def test_what_moved_comes_in_portions() -> None:
    records = [record(f"etl_{number}") for number in range(5)]
    with taken(clusters(default=shows(a="RESTARTING"))) as snapshots:
        portions = list(Scan(snapshots).moved(records, size=2))
    assert portions == [records[:2], records[2:4], records[4:]]


def test_what_was_passed_over_and_what_is_no_record_is_counted() -> None:
    junk = UnreadableRecord(job_id="junk", error="no")
    with taken(clusters(default=shows())) as snapshots:
        scanning = Scan(snapshots)
        assert list(scanning.moved([Skipped(3), junk, Skipped(4)], size=2)) == []
    assert scanning.unchanged == 7
    assert scanning.unreadable == [junk]


def test_records_of_a_cluster_that_takes_its_time_come_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(change_detection, "PATIENCE_SECONDS", 0.0)
    answered = Event()

    def slowly() -> Overview:
        assert answered.wait(10)
        return shows(a="RESTARTING")()

    slow, quick = record("etl_1", "slow"), record("etl_2")
    with taken(clusters(default=shows(a="RESTARTING"), slow=slowly)) as snapshots:
        assert snapshots.is_there("default", within_seconds=10)
        scanning = Scan(snapshots)
        assert not scanning.skip(resting("slow")), "nothing is known of it yet"
        portions = scanning.moved([slow, quick], size=1)
        first = next(portions)
        answered.set()
        assert [first, *portions] == [[quick], [slow]]
