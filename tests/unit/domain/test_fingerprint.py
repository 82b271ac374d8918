"""Fingerprints: an unchanged record is recognised by one string."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flinkjobs.domain.fingerprint import Changes, cluster_and_id, detect_changes, fingerprint_of
from flinkjobs.domain.flink_states import OPEN, STATUS_OF, Status
from flinkjobs.domain.observations import FlinkJob, Missing, Observation, Overview, Unreachable, time_of
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason
from flinkjobs.domain.transition import Keep, Policy, Update, decide
from tests.support.overviews import Entry

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
START_MS = 1_795_335_824_614
A, B = "a" * 32, "b" * 32
REF = FlinkJobRef(id=A, source=IdSource.LOG, confirmed=True, state="RUNNING", start_time=time_of(START_MS))
RESTING = JobRecord(
    job_id="etl_1",
    status=Status.RUNNING,
    submitted_at=NOON,
    flink_state="RUNNING",
    flink_jobs=(REF,),
    submitter_done=True,
    start_time=time_of(START_MS),
)
FINGERPRINT = f"default|{A}|RUNNING|1795335824614"
POLICY = Policy()
RUNNING = FlinkJob(id=A, name="etl_1", state="RUNNING", start_time=time_of(START_MS))


def test_a_record_at_rest_has_a_fingerprint_of_what_flink_shows() -> None:
    assert fingerprint_of(RESTING, {A: RUNNING}) == FINGERPRINT


def test_after_a_failover_the_fingerprint_has_the_new_start() -> None:
    later = replace(RUNNING, start_time=time_of(START_MS + 7))
    assert fingerprint_of(RESTING, {A: later}) == f"default|{A}|RUNNING|1795335824621"


@pytest.mark.parametrize("seen", [{}, {A: Unreachable("refused")}])
def test_what_was_not_observed_leaves_the_fingerprint(seen: dict[str, Any]) -> None:
    assert fingerprint_of(replace(RESTING, fingerprint="as before"), seen) == "as before"


UNUSUAL = {
    "final": {"status": Status.FINISHED},
    "submitter not done": {"submitter_done": False},
    "a reason": {"reason": Reason(code=ReasonCode.ID_UNCONFIRMED, message="", since=NOON)},
    "missing": {"flink_jobs": (replace(REF, missing_since=NOON),)},
    "unconfirmed": {"flink_jobs": (replace(REF, confirmed=False),)},
    "two jobs": {"flink_jobs": (REF, replace(REF, id=B))},
    "no job": {"flink_jobs": ()},
    "another state than its job": {"flink_state": "RESTARTING"},
    "over": {"flink_jobs": (replace(REF, state="FINISHED"),), "flink_state": "FINISHED"},
    "an unknown state": {"flink_jobs": (replace(REF, state="MEDITATING"),), "flink_state": "MEDITATING"},
}


@pytest.mark.parametrize("fields", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_a_record_that_is_not_at_rest_has_no_fingerprint(fields: dict[str, Any]) -> None:
    assert fingerprint_of(replace(RESTING, fingerprint=FINGERPRINT, **fields), {A: RUNNING}) is None


def shows(state: str = "RUNNING", start_ms: int = START_MS) -> dict[str, Any]:
    return {"default": {A: Entry("etl_1", state, start_ms, -1)}}


CHANGES = {
    "the same": (shows(), True),
    "another state": (shows("RESTARTING"), False),
    "another start": (shows(start_ms=START_MS + 1), False),
    "over": (shows("FINISHED"), False),
    "missing": ({"default": {}}, False),
    "a cluster that was not reached": ({"default": None}, True),
    "a cluster that the settings do not describe": ({"other": {}}, True),
}


@pytest.mark.parametrize(("overviews", "is_unchanged"), CHANGES.values(), ids=CHANGES.keys())
def test_a_record_is_read_whole_when_its_cluster_shows_another_fingerprint(
    overviews: dict[str, Any], *, is_unchanged: bool
) -> None:
    changed = [] if is_unchanged else [FINGERPRINT]
    found = detect_changes({Status.RUNNING: [FINGERPRINT]}, overviews)
    assert (found.unchanged, found.changed) == (int(is_unchanged), {Status.RUNNING: changed})


def test_a_status_that_does_not_fit_its_fingerprint_is_a_change() -> None:
    """A version of sync that knows no fingerprints may have written the record since."""
    found = detect_changes({Status.SUSPENDED: [FINGERPRINT]}, shows())
    assert (found.unchanged, found.changed) == (0, {Status.SUSPENDED: [FINGERPRINT]})


def test_the_running_jobs_that_no_unchanged_record_has_are_unmatched() -> None:
    """A job that is over, or in a state that is not known, is not among them."""
    states = {"b": "RUNNING", "c": "INITIALIZING", "d": "FINISHED", "e": "MEDITATING", "f": "SUSPENDED"}
    others = {letter * 32: Entry("x", state, 7, -1) for letter, state in states.items()}
    stored = {status: [FINGERPRINT] if status is Status.RUNNING else [] for status in OPEN}
    found = detect_changes(stored, {"default": {**shows()["default"], **others}, "a|b": None})
    assert found.unmatched == {
        f"default|{'b' * 32}|RUNNING|7",
        f"default|{'c' * 32}|INITIALIZING|7",
        f"default|{'f' * 32}|SUSPENDED|7",
    }


def test_a_fingerprint_names_its_cluster_and_its_job() -> None:
    assert cluster_and_id(f"a|b|{A}|RUNNING|1") == ("a|b", A)


def test_a_cluster_may_have_a_bar_in_its_name() -> None:
    stored = {Status.RUNNING: [f"a|b|{A}|RUNNING|1"]}
    assert detect_changes(stored, {"a|b": None, "a": {}}) == Changes(1, {Status.RUNNING: []})


STATES = st.sampled_from((*STATUS_OF, "MEDITATING"))


@given(
    status=st.sampled_from(sorted(OPEN)),
    state=STATES,
    shown=STATES,
    start_ms=st.sampled_from((START_MS - 1, START_MS, START_MS + 1)),
    end_ms=st.sampled_from((-1, 0)),
)
def test_what_is_not_read_would_have_been_kept(
    status: Status, state: str, shown: str, start_ms: int, end_ms: int
) -> None:
    record = replace(RESTING, status=status, flink_state=state, flink_jobs=(replace(REF, state=state),))
    stored = fingerprint_of(record, {A: replace(RUNNING, state=state)})
    record = replace(record, fingerprint=stored)
    overview = Overview({A: Entry("etl_1", shown, start_ms, end_ms)})
    if stored and detect_changes({status: [stored]}, {"default": overview.entries}).unchanged:
        assert decide(record, Observation(flink={A: overview[A]}), NOON, POLICY) == Keep()


def test_a_record_without_a_fingerprint_gets_it_with_its_next_write_only() -> None:
    """A rollout of the version that writes fingerprints writes nothing by itself."""
    assert decide(RESTING, Observation(flink={A: RUNNING}), NOON, POLICY) == Keep()
    moved = decide(RESTING, Observation(flink={A: replace(RUNNING, state="RESTARTING")}), NOON, POLICY)
    assert isinstance(moved, Update)
    assert moved.after.fingerprint == f"default|{A}|RESTARTING|{START_MS}"


def test_a_start_that_flink_has_reset_is_written_once() -> None:
    later = {A: replace(RUNNING, start_time=NOON + timedelta(days=40))}
    moved = decide(replace(RESTING, fingerprint=FINGERPRINT), Observation(flink=later), NOON, POLICY)
    assert isinstance(moved, Update)
    assert moved.after.start_time == time_of(START_MS), "the earliest start stays"
    assert decide(moved.after, Observation(flink=later), NOON, POLICY) == Keep()


def test_a_record_that_becomes_lost_has_no_fingerprint() -> None:
    gone = replace(
        RESTING,
        fingerprint=FINGERPRINT,
        flink_jobs=(replace(REF, missing_since=NOON - timedelta(hours=1), missing_passes=2),),
    )
    moved = decide(gone, Observation(flink={A: Missing()}), NOON, POLICY)
    assert isinstance(moved, Update)
    assert (moved.after.status, moved.after.fingerprint) == (Status.LOST, None)
