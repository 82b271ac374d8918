"""What a pass costs, counted: requests, commands and documents. Seconds are for `make bench`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.arena import Arena
from bench.checks import Check
from bench.worlds import World

MARKS = ("_id", "updated_at", "synced_by")
"""The fields that differ from one writer to another."""
OF_HEALTH = 1
"""What is remembered of the health of jobs is read."""
OF_EVENTS = OF_HEALTH + 2 + 3
"""The clusters and the last pass are read. Without channels, any known one is noted as removed, and old marks
are looked for on records and clusters."""
OF_UNMANAGED = 1
"""The lease is renewed before the lists of unmanaged jobs are saved, with an update for each cluster."""
OF_ACTIONS = 1
"""The records with an open action are looked for."""
OF_REST = OF_EVENTS + OF_UNMANAGED + OF_ACTIONS


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena() as running:
        yield running


def documents(arena: Arena) -> dict[str, dict[str, Any]]:
    """Every record by its job id, without the marks of the write."""
    found: dict[str, dict[str, Any]] = {}
    for each in arena.database["flink_jobs"].find({}):
        history = [move | {"at": move["at"] == each["updated_at"]} for move in each["history"]]
        is_marked = {"pending_since": each.get("pending_since") == each["updated_at"]}
        kept = {key: each[key] for key in each if key not in MARKS}
        found[each["job_id"]] = kept | {"history": history} | is_marked
    return found


def test_a_pass_asks_flink_once_and_writes_what_changed(arena: Arena) -> None:
    world = World(2_500, 20)
    arena.build(world)
    with arena.peer("sync", world) as sync:
        sync.run()
        arena.put_back()
        measurements = sync.run()
    assert (measurements.flink_requests, measurements.kubernetes_requests) == (1, 0)
    assert measurements.documents_written == 500
    # The lease is taken, renewed before each of two writes, and given back. The fingerprints come by three
    # statuses; the records are those without one, and a batch of those that changed. The report is kept.
    assert measurements.mongodb_commands == 1 + 2 * 2 + 1 + 3 + 2 + 1 + OF_REST + 1


def test_a_pass_in_which_nothing_changed_writes_no_record(arena: Arena) -> None:
    world = World(2_500, clusters=3)
    arena.build(world)
    with arena.peer("sync", world) as sync:
        sync.run()
        measurements = sync.run()
    assert measurements.documents_written == 0
    assert measurements.flink_requests == 3
    assert measurements.mongodb_commands == 1 + 1 + 3 + 1 + 1 + OF_REST + 3


def test_only_the_jobs_of_records_without_an_id_are_listed(arena: Arena) -> None:
    """Two lists of Jobs and two of pods hold a hundred of them, however many others there are."""
    world = World(10, without_id=100, finished_jobs=400)
    arena.build(world)
    with arena.peer("sync", world) as sync:
        measurements = sync.run()
    assert measurements.kubernetes_requests == 4
    assert measurements.flink_requests == 1
    assert measurements.documents_written == 100
    found = [each for each in documents(arena).values() if each["status"] != "FINISHED"]
    assert [each["status"] for each in found] == ["RUNNING"] * 110
    assert {ref["source"] for each in found for ref in each["flink_jobs"]} == {"TERMINATION_MESSAGE"}


def test_a_failed_job_costs_one_request_more(arena: Arena) -> None:
    world = World(200, 10, failed=5)
    arena.build(world)
    with arena.peer("sync", world) as sync:
        measurements = sync.run()
    assert measurements.flink_requests == 1 + 5
    assert measurements.documents_written == 20


def test_the_floor_leaves_the_same_documents_behind(arena: Arena) -> None:
    """So that the two do the same work."""
    world = World(500, 20)
    arena.build(world)
    with arena.peer("sync", world) as sync, arena.peer("floor", world) as floor:
        sync.run()
        ours = documents(arena)
        arena.put_back()
        measurements = floor.run()
    assert documents(arena) == ours
    assert (measurements.flink_requests, measurements.mongodb_commands, measurements.documents_written) == (
        1,
        2 + 1,
        100,
    )


def test_polling_costs_two_round_trips_to_the_store_and_one_to_flink_per_record(arena: Arena) -> None:
    world = World(100, 10)
    arena.build(world)
    with arena.peer("polling", world) as polling:
        measurements = polling.run()
    assert measurements.flink_requests == 100
    assert measurements.mongodb_commands == 1 + 2 * 100
    assert measurements.documents_written == 100


@pytest.mark.parametrize(
    ("check", "holds"),
    [
        (Check("at most", 1.5, 1.5), True),
        (Check("at most", 1.51, 1.5), False),
        (Check("at least", 100, 100, at_most=False), True),
        (Check("at least", 99.9, 100, at_most=False), False),
    ],
)
def test_a_bound_is_kept_or_missed(check: Check, holds: bool) -> None:
    assert check.as_json()["holds"] is holds
