"""Whatever is seen of the health of jobs, it changes nothing else of their record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from flinkjobs.domain import health as rule
from flinkjobs.domain.flink_states import OPEN, STATUS_OF, Status
from flinkjobs.domain.health_values import Checkpoint, CheckpointSettings, Limits, Mark, Tasks
from flinkjobs.domain.records import JobRecord
from tests.support.overviews import Entry, milliseconds

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OF_HEALTH = {"health", "unhealthy_since"}
TIMES = st.integers(0, 7_200).map(lambda seconds: NOW - timedelta(seconds=seconds))
COUNTS = st.integers(0, 40)
TASKS = st.builds(Tasks, COUNTS, COUNTS, COUNTS, COUNTS)
ENTRIES = st.builds(
    lambda state, start, modified, tasks: Entry(
        "a job", state, milliseconds(start), -1, milliseconds(modified), tasks
    ),
    st.sampled_from([*STATUS_OF, "NEW_WORD"]),
    TIMES,
    TIMES,
    TASKS,
)
SETTINGS = st.builds(
    CheckpointSettings,
    st.just(timedelta(seconds=60)),
    st.just(timedelta(seconds=600)),
    st.just(True),
    st.booleans(),
)
MARKS = st.builds(
    Mark,
    st.just("a" * 32),
    st.just("default"),
    settings=st.none() | SETTINGS,
    checkpoint=st.none() | st.builds(Checkpoint, TIMES, st.none() | TIMES, COUNTS),
)


@given(
    status=st.sampled_from(Status),
    was_unhealthy=st.booleans(),
    looks=st.lists(st.tuples(ENTRIES, st.none() | COUNTS, st.lists(TIMES, max_size=16)), max_size=5),
    mark=MARKS,
)
def test_status_is_never_changed_by_health(
    status: Status,
    was_unhealthy: bool,
    looks: list[tuple[Entry, int | None, list[datetime]]],
    mark: Mark,
) -> None:
    record = JobRecord("etl_1", status, NOW, unhealthy_since=NOW if was_unhealthy else None)
    now, limits = NOW, Limits()
    for entry, restarts, failures in looks:
        now += timedelta(minutes=3)
        mark = rule.judged(
            rule.counted(mark, entry, restarts, failures, "boom", now, limits), entry, now, limits
        )
        assert mark.health is None or mark.health.restarts >= 0
        healths = [] if mark.health is None else [mark.health]
        before, record = record, rule.with_health(record, healths, is_settled=True, now=now)
        changed = {name for name, value in asdict(record).items() if value != getattr(before, name)}
        assert changed <= (OF_HEALTH if status in OPEN else set())
