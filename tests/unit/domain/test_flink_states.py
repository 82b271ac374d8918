"""The tables of Flink's states, and the one status of a record with several jobs."""

import pytest

from flinkjobs.domain.flink_states import (
    FINAL,
    OPEN,
    STATUS_OF,
    TERMINAL_STATES,
    Status,
    combine,
    is_settled,
    progress,
)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("INITIALIZING", "CREATED"),
        ("CREATED", "CREATED"),
        ("RUNNING", "RUNNING"),
        ("FAILING", "RUNNING"),
        ("FAILED", "FAILED"),
        ("CANCELLING", "RUNNING"),
        ("CANCELED", "CANCELLED"),
        ("FINISHED", "FINISHED"),
        ("RESTARTING", "RUNNING"),
        ("SUSPENDED", "SUSPENDED"),
        ("RECONCILING", "RUNNING"),
    ],
)
def test_the_status_of_a_single_job(state: str, status: str) -> None:
    assert STATUS_OF[state] == status
    assert combine([state]) == (status, state)


def test_the_table_holds_flinks_eleven_states_and_no_other() -> None:
    assert len(STATUS_OF) == 11


def test_suspended_is_not_terminal() -> None:
    assert {"FINISHED", "FAILED", "CANCELED"} == TERMINAL_STATES


def test_a_record_is_final_open_or_lost() -> None:
    assert {*FINAL, *OPEN} == set(Status) - {Status.LOST}
    assert not FINAL & OPEN
    assert {STATUS_OF[state] for state in TERMINAL_STATES} == FINAL


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["FINISHED", "FINISHED"], ("FINISHED", "FINISHED")),
        (["FINISHED", "FAILED"], ("FAILED", "FAILED")),
        (["CANCELED", "FAILED"], ("FAILED", "FAILED")),
        (["FINISHED", "CANCELED"], ("CANCELLED", "CANCELED")),
        (["FINISHED", "RUNNING"], ("RUNNING", "RUNNING")),
        (["FAILED", "RUNNING"], ("RUNNING", "RUNNING")),
        (["FAILED", "CANCELLING"], ("RUNNING", "CANCELLING")),
        (["FINISHED", "SUSPENDED"], ("SUSPENDED", "SUSPENDED")),
        (["SUSPENDED", "RESTARTING"], ("RUNNING", "RESTARTING")),
        (["CREATED", "SUSPENDED"], ("SUSPENDED", "SUSPENDED")),
        (["CREATED", "INITIALIZING"], ("CREATED", "CREATED")),
        (["FINISHED", "INITIALIZING"], ("RUNNING", "INITIALIZING")),
        (["CREATED", "RUNNING", "FAILED"], ("RUNNING", "RUNNING")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value[0],
)
def test_several_jobs_are_not_over_until_all_are(states: list[str], expected: tuple[str, str]) -> None:
    assert combine(states) == expected
    reordered = combine(states[::-1])
    assert reordered is not None
    assert reordered[0] == expected[0]


@pytest.mark.parametrize("states", [["HIBERNATING"], ["running"], ["CANCELLED"], ["HIBERNATING", "DREAMING"]])
def test_unknown_words_move_nothing(states: list[str]) -> None:
    assert combine(states) is None


def test_a_job_with_an_unknown_word_is_not_over() -> None:
    assert combine(["FINISHED", "HIBERNATING"]) not in (
        (Status.FINISHED, "FINISHED"),
        (Status.FAILED, "FAILED"),
    )
    assert combine(["RUNNING", "HIBERNATING"]) == ("RUNNING", "RUNNING")


@pytest.mark.parametrize(
    ("status", "has_id", "submitter_done", "expected"),
    [
        ("FINISHED", False, False, True),
        ("FAILED", False, False, True),
        ("CANCELLED", False, False, True),
        ("RUNNING", True, True, True),
        ("LOST", True, True, True),
        ("RUNNING", True, False, False),
        ("LOST", False, True, False),
        ("CREATED", False, True, False),
    ],
)
def test_a_record_is_settled_by_a_final_status_or_by_all_its_ids(
    status: str, has_id: bool, submitter_done: bool, expected: bool
) -> None:
    assert is_settled(Status(status), has_id=has_id, submitter_done=submitter_done) is expected


def test_of_two_states_of_a_job_the_one_further_on_ranks_higher() -> None:
    states = ["FINISHED", "RUNNING", "SUSPENDED", "CREATED", "OF_THE_YEAR_2030"]
    assert sorted(states, key=progress, reverse=True) == states
    assert progress("RUNNING") > progress("SUSPENDED") > progress("CREATED") > progress("OF_THE_YEAR_2030")
