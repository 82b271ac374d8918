"""Events: the type of each move, their ids, and what a filter lets through."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flinkjobs.domain.events import (
    Event,
    EventFilter,
    EventType,
    cluster_event_id,
    job_event_id,
    job_event_type,
    sync_event_id,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Move, Writer

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
JOB = {
    "template_id": "orders_daily",
    "submitted_by": "data/alice",
    "labels": {"team": "data", "tier": "gold"},
}


@pytest.mark.parametrize(
    ("was", "status", "stuck", "kind"),
    [
        (None, "CREATED", None, "created"),
        ("CREATED", "RUNNING", None, "running"),
        ("SUSPENDED", "RUNNING", None, "running"),
        ("RUNNING", "SUSPENDED", None, "suspended"),
        ("RUNNING", "FINISHED", None, "finished"),
        ("CREATED", "FAILED", None, "failed"),
        ("RUNNING", "CANCELLED", None, "cancelled"),
        ("RUNNING", "LOST", None, "lost"),
        ("CREATED", "CREATED", True, "stuck"),
        ("CREATED", "CREATED", False, "recovered"),
        ("LOST", "RUNNING", None, "recovered"),
        ("LOST", "SUSPENDED", None, "recovered"),
        ("LOST", "FINISHED", None, "finished"),
        ("LOST", "FAILED", None, "failed"),
    ],
)
def test_the_type_of_a_move(was: str | None, status: str, stuck: bool | None, kind: str) -> None:
    move = Move(3, NOON, Status(was) if was else None, Status(status), None, None, Writer.SYNC, stuck)
    assert job_event_type(move) == f"flinkjobs.job.{kind}"


def test_ids_say_what_moved_and_by_which_move() -> None:
    assert job_event_id("etl_1", 4) == "etl_1/4"
    assert cluster_event_id("default", 2) == "cluster/default/2"
    assert sync_event_id(1) == "sync/1"


def job_event(**job: Any) -> Event:
    return Event("e/1", EventType.JOB_FAILED, NOON, "e", "batch-eu", {}, {**JOB, **job})


CLUSTER = Event("cluster/batch-eu/1", EventType.CLUSTER_UNREACHABLE, NOON, "batch-eu", "batch-eu", {})
SYNC = Event("sync/1", EventType.SYNC_RESUMED, NOON, "sync", None, {})


@pytest.mark.parametrize(
    ("given", "event", "is_admitted"),
    [
        (EventFilter(), job_event(), True),
        (EventFilter(), CLUSTER, True),
        (EventFilter(), SYNC, True),
        (EventFilter(events=("flinkjobs.job.failed",)), job_event(), True),
        (EventFilter(events=("flinkjobs.job.lost", "*.failed")), job_event(), True),
        (EventFilter(events=("flinkjobs.job.*",)), CLUSTER, False),
        (EventFilter(events=("flinkjobs.cluster.*",)), CLUSTER, True),
        (EventFilter(events=("flinkjobs.job.FAILED",)), job_event(), False),
        (EventFilter(templates=("orders_*",)), job_event(), True),
        (EventFilter(templates=("Orders_*",)), job_event(), False),
        (EventFilter(templates=("orders",)), job_event(), False),
        (EventFilter(templates=("*",)), job_event(template_id=None), False),
        (EventFilter(templates=("*",)), CLUSTER, False),
        (EventFilter(clusters=("batch-*",)), job_event(), True),
        (EventFilter(clusters=("batch-*",)), CLUSTER, True),
        (EventFilter(clusters=("stream",)), CLUSTER, False),
        (EventFilter(clusters=("*",)), SYNC, False),
        (EventFilter(submitted_by=("data/*",)), job_event(), True),
        (EventFilter(submitted_by=("ml/*", "data/alice")), job_event(), True),
        (EventFilter(submitted_by=("alice",)), job_event(), False),
        (EventFilter(submitted_by=("*",)), job_event(submitted_by=None), False),
        (EventFilter(labels={"team": "data"}), job_event(), True),
        (EventFilter(labels={"team": "data", "tier": "gold"}), job_event(), True),
        (EventFilter(labels={"team": "data", "tier": "iron"}), job_event(), False),
        (EventFilter(labels={"team": "data"}), job_event(labels=None), False),
        (EventFilter(labels={"team": "data"}), CLUSTER, False),
        (EventFilter(events=("*.failed",), templates=("orders_*",), clusters=("other",)), job_event(), False),
    ],
)
def test_an_event_passes_where_every_part_of_the_filter_matches(
    given: EventFilter, event: Event, is_admitted: bool
) -> None:
    assert given.admits(event) is is_admitted
