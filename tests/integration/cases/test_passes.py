"""What becomes of one record in situations from the field; rows: `tests/data/cases/expected.yaml`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from local.functions import FunctionServer
from tests.integration.cases.conftest import Functions, World
from tests.support.cases import FOLDER, TABLE, rows
from tests.support.records import Document

SECONDS = 60.0


@pytest.mark.parametrize("row", rows("passes"))
def test_a_record_moves_as_the_table_says(row: dict[str, Any], functions: Functions, world: World) -> None:
    name = row.get("function", "sync")
    world.begin(row["case"])
    world.kubernetes.empty_lists_are_null = row.get("empty_lists_are_null", False)
    is_first = True
    for step in row["steps"]:
        for _ in range(step.get("passes", 1)):
            if not is_first:
                world.elapse(step.get("seconds_between", 60))
            is_first = False
            world.show(row["case"], step.get("input", "input.json"))
            report = run(functions(name))
        [record] = world.records.find()
        check_record(record, step)
        if name == "sync":
            check_sync(report, step)
        else:
            check_cleanup(report, step, world, record["k8s_job_name"])


def test_a_reason_stays_while_events_cannot_be_read(functions: Functions, world: World) -> None:
    world.begin("podsecurity-injected-init")
    world.show("podsecurity-injected-init", "input.json")
    report = run(functions("sync"))
    assert (report["complete"], report["errors"]) == (True, [])
    [before] = world.records.find()
    world.elapse(60)
    world.show("podsecurity-injected-init", "input.json")
    world.kubernetes.unavailable = frozenset({"events"})
    report = run(functions("sync"))
    assert report["complete"] is False
    [error] = report["errors"]
    assert (error["job_id"], error["code"]) == (None, "KUBERNETES_UNAVAILABLE")
    assert "/events: 500 InternalError" in error["message"]
    [after] = world.records.find()
    assert after["reason"]["code"] == "POLICY"
    assert (after["reason"]["message"], after["revision"]) == (
        before["reason"]["message"],
        before["revision"],
    )


def run(function: FunctionServer) -> Document:
    """One pass; its report."""
    answer = httpx.post(function.url, json={}, trust_env=False, timeout=SECONDS)
    answer.raise_for_status()
    report: Document = answer.json()
    return report


def check_record(record: Document, step: dict[str, Any]) -> None:
    reason = record["reason"] or {"code": None, "message": ""}
    assert record["status"] in listed(step["status"]), reason
    assert reason["code"] in step.get("reason", [None]), reason
    first_line = reason["message"].partition("\n")[0]
    assert without(step.get("first_line", []), first_line) == [], reason
    ids, expected = record["flink_job_ids"], step.get("ids", [])
    assert (len(ids) if isinstance(expected, int) else ids) == expected


def check_sync(report: Document, step: dict[str, Any]) -> None:
    assert [error["code"] for error in report["errors"]] == step.get("errors", []), report["errors"]
    cluster = report["clusters"]["default"]
    assert cluster["reachable"] is step.get("reachable", True), cluster
    assert without(step.get("cluster_error", []), cluster["error"] or "") == [], cluster


def check_cleanup(report: Document, step: dict[str, Any], world: World, job_name: str) -> None:
    assert [error["code"] for error in report["errors"]] == step.get("errors", []), report["errors"]
    assert (report["deleted"], report["kept"]) == (0, step["kept"])
    assert job_name in world.kubernetes.names("jobs")


def listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def without(words: list[str], text: str) -> list[str]:
    """The words that a text lacks, in any case of letters."""
    return [word for word in words if word.lower() not in text.lower()]


def test_every_case_has_a_row() -> None:
    in_table = [row["case"] for section in TABLE.values() for row in section]
    assert sorted(in_table) == sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
