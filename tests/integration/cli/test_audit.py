"""`audit`, over HTTP and directly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from flinkjobs.cli.exit_codes import Exit
from tests.integration.cli.conftest import Run
from tests.integration.functions.conftest import World

LONGEST_PAGE = 200
"""Entries, of one answer of jobs."""
ACTION = {
    "id": "c" * 32,
    "kind": "cancel",
    "state": "requested",
    "requested_by": "bob@example.com",
    "verified": True,
}
MOVE = {"seq": 1, "was": "CREATED", "status": "RUNNING", "by": "sync", "flink_state": "RUNNING"}


def test_audit_exports_every_record_page_by_page(run: Run, environ: Mapping[str, str], world: World) -> None:
    now = datetime.now(UTC)
    for number in range(LONGEST_PAGE + 1):
        begun = now - timedelta(days=2, seconds=number)
        world.add_record(f"etl_{number}", submitted_by="ann", submitted_at=begun)
    world.jobs.update_one(
        {"job_id": f"etl_{LONGEST_PAGE}"},
        {"$set": {"actions": [{**ACTION, "requested_at": now}], "history": [{**MOVE, "at": now}]}},
    )
    ran = run("audit", environ=environ)
    assert ran.err == ""
    entries = [json.loads(line) for line in ran.out.splitlines()]
    assert [entry["job_id"] for entry in entries if entry["event"] == "submitted"] == [
        f"etl_{number}" for number in range(LONGEST_PAGE + 1)
    ]
    assert {(entry["user"], entry["verified"]) for entry in entries if entry["event"] == "submitted"} == {
        ("ann", False)
    }
    [move] = [entry for entry in entries if entry["event"] == "moved"]
    assert (move["user"], move["data"]["was"], move["data"]["by"]) == (None, "CREATED", "sync")
    recent = run("audit", "--since", "1d", "--user", "bob@example.com", environ=environ)
    [entry] = [json.loads(line) for line in recent.out.splitlines()]
    assert (entry["event"], entry["user"], entry["verified"]) == (
        "action_requested",
        "bob@example.com",
        True,
    )
    assert entry["data"] == {"kind": "cancel", "action_id": ACTION["id"]}


def test_audit_refuses_what_is_no_time(run: Run, environ: Mapping[str, str]) -> None:
    assert run("audit", "--since", "yesterday", environ=environ).code == Exit.USAGE
