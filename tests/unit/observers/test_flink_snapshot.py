"""What is asked beyond an overview: a job by its record's name, and why a job has failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.observations import FlinkJob, NamedJobs, Overview, Unreachable
from flinkjobs.domain.records import JobRecord
from flinkjobs.observers.flink_snapshot import take_snapshots
from tests.support.flink_in_memory import FlinkInMemory
from tests.support.overviews import Entry

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
START_MS = 1_793_534_400_000
A = "a" * 32
OURS = Entry("etl_1", "RUNNING", START_MS, -1)
FOUND = FlinkJob(id=A, name="etl_1", state="RUNNING", start_time=NOON)


def cluster(
    shown: Overview, archived: Overview | None = None, failures: Mapping[str, str | None] | None = None
) -> FlinkInMemory:
    """A cluster that is stopping: it answers for no single job any more."""
    return FlinkInMemory(
        "default", lambda: shown, job_answer=unavailable, archived=archived, failures=failures or {}
    )


def unavailable(job_id: str) -> FlinkJob:
    raise FlinkUnavailableError(f"{job_id}: 503")


def named_like_the_record(flink: FlinkInMemory) -> NamedJobs:
    record = JobRecord(job_id="etl_1", status=Status.CREATED, submitted_at=NOON)
    with take_snapshots({"default": flink}) as snapshots:
        return snapshots.named([record], again={"etl_1"})["etl_1"]


def test_a_job_that_only_the_snapshot_shows_is_found_by_its_name() -> None:
    """An overview leaves out a running job whose JobMaster is slow (FLINK-40602)."""
    answers = iter((Overview({A: OURS}), Overview({})))
    assert named_like_the_record(FlinkInMemory("default", lambda: next(answers))) == (FOUND,)


@pytest.mark.parametrize(
    ("status", "expected"), [(Status.LOST, ("b" * 32,)), (Status.CREATED, ())], ids=["lost", "created"]
)
def test_the_history_server_is_searched_for_a_lost_record(status: Status, expected: tuple[str, ...]) -> None:
    """It may have got the job since; the submitter of another record still runs."""
    ended = replace(OURS, state="FINISHED", end_ms=START_MS + 1)
    record = JobRecord(job_id="etl_1", status=status, submitted_at=NOON)
    with take_snapshots({"default": cluster(Overview({}), Overview({"b" * 32: ended}))}) as snapshots:
        named = snapshots.named([record], again=())["etl_1"]
    assert isinstance(named, tuple)
    assert tuple(job.id for job in named) == expected


class WithoutHistory(FlinkInMemory):
    """Its History Server is down."""

    def history(self) -> Overview:
        raise FlinkUnavailableError("connection refused")


def test_a_lost_record_is_found_while_the_history_server_is_away() -> None:
    record = JobRecord(job_id="etl_1", status=Status.LOST, submitted_at=NOON)
    flink = WithoutHistory("default", lambda: Overview({A: OURS}), archived=Overview({}))
    with take_snapshots({"default": flink}) as snapshots:
        assert snapshots.named([record], again=())["etl_1"] == (FOUND,)


@pytest.mark.parametrize(
    ("unreadable", "expected"),
    [([], tuple), (["etl_2"], tuple), (["etl_1"], Unreachable), ([None], Unreachable)],
    ids=["none", "another name", "this name", "no name"],
)
@pytest.mark.parametrize("where", ["cluster", "history"])
def test_a_job_that_cannot_be_read_may_be_the_one(
    where: str, unreadable: Sequence[str | None], expected: type
) -> None:
    """That there is no job of the record's name ends the record: it must be known."""
    odd = Overview({}, unreadable)
    flink = cluster(odd) if where == "cluster" else cluster(Overview({}), odd)
    assert isinstance(named_like_the_record(flink), expected)


def test_the_one_that_is_found_is_not_doubted_for_one_without_a_name() -> None:
    assert named_like_the_record(cluster(Overview({A: OURS}, [None]))) == (FOUND,)


def test_where_one_of_the_same_name_cannot_be_read_not_all_are_known() -> None:
    assert isinstance(named_like_the_record(cluster(Overview({A: OURS}, ["etl_1"]))), Unreachable)


ASK = f"ask Flink's web page for job {A}"
FAILED = Overview({A: replace(OURS, state="FAILED", end_ms=START_MS + 1)})


@pytest.mark.parametrize(
    ("failures", "has_history", "expected"),
    [
        ({"cluster": "ValueError: -3", "history": "another"}, True, "ValueError: -3"),
        ({"cluster": None, "history": "another"}, True, None),
        ({"history": "ValueError: -3"}, True, "ValueError: -3"),
        (
            {},
            True,
            f"the root exception could not be read (cluster: 500; history: 500): {ASK}",
        ),
        (
            {"history": "is not there"},
            False,
            f"the root exception could not be read (cluster: 500): {ASK}",
        ),
    ],
    ids=["both", "none named", "only the History Server", "neither", "no History Server"],
)
def test_a_failed_job_comes_with_its_cause_from_the_server_that_knows_it(
    failures: Mapping[str, str | None], *, has_history: bool, expected: str | None
) -> None:
    record = JobRecord(job_id="etl_1", status=Status.RUNNING, submitted_at=NOON)
    archived = Overview({}) if has_history else None
    with take_snapshots({"default": cluster(FAILED, archived, failures=failures)}) as snapshots:
        seen = snapshots.ask(record, A)
    assert isinstance(seen, FlinkJob)
    assert (seen.state, seen.failure) == ("FAILED", expected)


@pytest.mark.parametrize(
    ("archived", "expected"),
    [
        ({A: Entry("etl_1", "CANCELED", START_MS, START_MS + 1)}, "CANCELED"),
        ({}, f"{A}: 503"),
        ({A: Entry("etl_1", "SUSPENDED", START_MS, -1)}, f"{A}: 503"),
        (None, f"{A}: 503"),
    ],
    ids=["archived", "not archived", "archived before its end", "no History Server"],
)
def test_the_history_server_is_believed_of_a_job_for_which_its_cluster_cannot_be_asked(
    archived: Mapping[str, Entry] | None, expected: str
) -> None:
    """What it has is over for good; what it lacks may be going on."""
    flink = cluster(Overview({}), None if archived is None else Overview(archived))
    record = JobRecord(job_id="etl_1", status=Status.RUNNING, submitted_at=NOON)
    with take_snapshots({"default": flink}) as snapshots:
        seen = snapshots.ask(record, A)
        counted = snapshots.missing()
    assert {"CANCELED": FlinkJob}.get(expected, Unreachable) is type(seen)
    assert expected in (getattr(seen, "state", ""), getattr(seen, "error", ""))
    assert counted == {}
