"""The fault matrix: every row of `docs/explanation/reliability.md` against the running system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles.kubernetes.faults import Outcome
from flinkjobs.domain.transition import NAMELESS_FOR
from flinkjobs.entrypoints.startup import utc_now
from local.mongodb import MongoServer
from tests.integration.faults import records
from tests.integration.faults.conftest import Open
from tests.integration.faults.environment import Passed, Stage
from tests.integration.faults.scenarios import MONGO_SCENARIOS, NEW, RECORDED, SCENARIOS
from tests.integration.faults.table import DOCUMENT, MOVES, UNCHANGED, Row, read
from tests.support.flink_rest_server import VERSIONS
from tests.support.records import Document

TEXT = DOCUMENT.read_text(encoding="utf-8")
KINDS = {row.id: row for row in read(TEXT, "kind")}
ROWS = {row.id: row for row in read(TEXT, "fault")}
EVERY = "every record"
REPLICA_SET = ("mongo-step-down", "mongo-no-primary")
NEXT, LOST, LEASE = "next pass", "LOST, 120 s later", "next pass, 20 s later"
WAITING, GIVEN_UP = "CREATED OUTCOME_UNKNOWN", "LOST OUTCOME_UNKNOWN"


def outcome(before: Document | None, after: Document) -> str:
    """What became of one record, in the words of the tables."""
    if before == after:
        return UNCHANGED
    reason = after["reason"] if after.get("reason") else None
    return f"{after['status']} {reason['code']}" if reason else str(after["status"])


def expected(row: Row, kind: str) -> str:
    """What a row says of one kind: the kinds that it does not name move as without the fault."""
    if EVERY in row.cells:
        said = row.cells[EVERY]
    elif kind == row.cells.get("record"):
        said = row.cells["outcome"]
    else:
        said = row.cells.get(kind, MOVES)
    return KINDS[kind].cells["without a fault"] if said == MOVES else said


def state(documents: dict[str, Document], kind: str) -> str:
    """Status and reason of a record."""
    return outcome(None, documents[kind])


def seen(stage: Stage) -> dict[str, Document]:
    """The records by kind; the new one too, where the scenario has one."""
    found = stage.documents()
    if (new := found.pop(records.job_id_of(NEW), None)) is not None:
        found[NEW] = new
    return found


def check(row: Row, before: dict[str, Document], after: dict[str, Document], passed: Passed) -> None:
    """Compares one pass with what the row says of it."""
    kinds = [kind for kind in after if kind not in records.FINAL]
    assert {kind: outcome(before.get(kind), after[kind]) for kind in kinds} == {
        kind: expected(row, kind) for kind in kinds
    }
    assert {kind: after[kind] for kind in records.FINAL} == {kind: before[kind] for kind in records.FINAL}
    assert passed.reported == sorted_report(row.cells["report"])
    reasons = [document["reason"] for document in after.values() if document.get("reason")]
    text = "\n".join([passed.text, *(reason["message"] for reason in reasons)])
    assert row.cells["it says"] in text


def sorted_report(cell: str) -> list[str]:
    first, *others = cell.split(", ")
    return [first, *sorted(others)]


def check_healed(row: Row, stage: Stage, broken: dict[str, Document]) -> None:
    """The pass after the fault brings every record to its true status."""
    heals = row.cells["heals"]
    if heals == LEASE:
        if stage.has_lease():
            assert stage.run_pass().reported == ["200", "skipped"]
        stage.let_the_lease_run_out()
    passed = stage.run_pass()
    assert passed.status == 200, passed.text
    healed = seen(stage)
    true = {kind: KINDS[kind].cells["without a fault"] for kind in broken if kind not in records.FINAL}
    if heals == LOST:
        true |= {kind: GIVEN_UP for kind in true if expected(row, kind) == WAITING}
    else:
        assert heals in (NEXT, LEASE)
    assert {kind: state(healed, kind) for kind in true} == true
    assert {kind: healed[kind] for kind in records.FINAL} == {kind: broken[kind] for kind in records.FINAL}
    again = stage.run_pass()
    assert seen(stage) == healed, "a record was written without a change"
    assert (again.body["complete"], again.body["changed"], again.body["conflicts"]) == (True, {}, 0)


def give_up(stage: Stage) -> None:
    """Two passes more under the fault: the second is long enough after the first."""
    stage.run_pass()
    with stage.instead(clock=lambda: utc_now() + NAMELESS_FOR):
        stage.run_pass()


def test_every_row_has_a_scenario_and_every_scenario_a_row() -> None:
    assert sorted(ROWS) == sorted([*SCENARIOS, *MONGO_SCENARIOS])
    assert len(read(TEXT, "fault")) == len(ROWS)
    assert list(KINDS) == [*records.KINDS, NEW]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_fault_every_record_reaches_its_true_status(
    open_stage: Open, mongo_server: MongoServer, tmp_path: Path, version: str
) -> None:
    stage = open_stage(mongo_server, version=version, scratch=tmp_path)
    before = seen(stage)
    passed = stage.run_pass()
    after = seen(stage)
    assert {kind: outcome(before[kind], after[kind]) for kind in records.KINDS} == {
        kind: KINDS[kind].cells["without a fault"] for kind in records.KINDS
    }
    assert {kind: after[kind] for kind in records.FINAL} == {kind: before[kind] for kind in records.FINAL}
    assert passed.reported == ["200", "JOBS_MISSING"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        pytest.param(name, version, id=f"{name}-{version}" if name in RECORDED else name)
        for name in SCENARIOS
        for version in (VERSIONS if name in RECORDED else VERSIONS[:1])
    ],
)
def test_a_fault_does_what_its_row_says_and_heals(
    open_stage: Open, mongo_server: MongoServer, tmp_path: Path, name: str, version: str
) -> None:
    stage = open_stage(mongo_server, version=version, scratch=tmp_path)
    with healing(stage):
        before = seen(stage)
        with SCENARIOS[name](stage):
            passed = stage.run_pass()
            is_lost = ROWS[name].cells["heals"] == LOST
            waiting = seen(stage) if is_lost else None
            if is_lost:
                give_up(stage)
        after = waiting or seen(stage)
        check(ROWS[name], before, after, passed)
        check_healed(ROWS[name], stage, after)


@pytest.mark.parametrize("name", MONGO_SCENARIOS)
def test_a_fault_of_mongodb_does_what_its_row_says_and_heals(
    request: pytest.FixtureRequest, open_stage: Open, tmp_path: Path, name: str
) -> None:
    fixture = "replica_set" if name in REPLICA_SET else "fragile_mongo"
    mongo: MongoServer = request.getfixturevalue(fixture)
    stage = open_stage(mongo, version=VERSIONS[0], scratch=tmp_path)
    before = seen(stage)
    with MONGO_SCENARIOS[name](stage, mongo):
        passed = stage.run_pass()
    after = seen(stage)
    check(ROWS[name], before, after, passed)
    check_healed(ROWS[name], stage, after)


@contextmanager
def healing(stage: Stage) -> Iterator[None]:
    """Whatever the test has found, the next one begins without faults."""
    try:
        yield
    finally:
        stage.kubernetes.control.clear()
        stage.kubernetes.control.set_outcome(Outcome())
        stage.kubernetes.delete(records.k8s_job_of(NEW))


def test_the_words_of_the_document_are_the_words_of_the_test() -> None:
    """Every word of an outcome cell is one that a record can show, or stands for that."""
    said: set[Any] = set()
    for row in ROWS.values():
        said |= {
            row.cells[column] for column in (*records.KINDS, EVERY, "outcome", NEW) if column in row.cells
        }
    for word in said:
        assert f"`{word}`" in TEXT.partition("## Terms")[2].partition("## ")[0], word
