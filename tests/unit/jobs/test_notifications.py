"""The views of the channels, and of what was sent of one record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.jobs.notifications import ChannelCondition, backlog_view, condition, sent_view
from flinkjobs.ports.notify_store import ChannelState
from flinkjobs.ports.read_store import Backlog

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ChannelCondition.NEW),
        ({"last_success_at": NOON}, ChannelCondition.OK),
        ({"failing_since": NOON}, ChannelCondition.FAILING),
        ({"last_success_at": NOON, "failing_since": NOON}, ChannelCondition.FAILING),
        ({"failing_since": NOON, "gone_at": NOON}, ChannelCondition.GONE),
        ({"last_success_at": NOON, "gone_at": NOON, "removed_at": NOON}, ChannelCondition.REMOVED),
    ],
)
def test_the_state_of_a_channel(fields: dict[str, Any], expected: ChannelCondition) -> None:
    assert condition(ChannelState("ops", since=NOON, **fields)) is expected


def test_the_channels_and_what_is_pending() -> None:
    failing = ChannelState(
        "ops",
        since=NOON,
        last_success_at=NOON,
        failing_since=NOON,
        next_attempt_at=NOON + timedelta(minutes=2),
        last_error="500",
        delivered=7,
        failed=2,
        set_aside=1,
    )
    recovered = ChannelState("team", since=NOON, last_success_at=NOON, last_error="500")
    backlog = Backlog(pending=3, oldest_at=NOON, waiting={"ops": 2}, channels=[failing, recovered])
    assert backlog_view(backlog, NOON + timedelta(seconds=90)) == {
        "pending": 3,
        "oldest_pending_seconds": 90.0,
        "channels": [
            {
                "name": "ops",
                "state": "FAILING",
                "last_success_at": NOON,
                "failing_since": NOON,
                "next_attempt_at": NOON + timedelta(minutes=2),
                "last_error": "500",
                "waiting": 2,
                "delivered": 7,
                "failed": 2,
                "set_aside": 1,
            },
            {
                "name": "team",
                "state": "OK",
                "last_success_at": NOON,
                "failing_since": None,
                "next_attempt_at": None,
                "last_error": None,
                "waiting": 0,
                "delivered": 0,
                "failed": 0,
                "set_aside": 0,
            },
        ],
    }


def test_nothing_is_pending() -> None:
    assert backlog_view(Backlog(0, None, {}, []), NOON) == {
        "pending": 0,
        "oldest_pending_seconds": None,
        "channels": [],
    }


def test_what_was_sent_of_a_record() -> None:
    """An entry that a newer version wrote is shown as far as it can be read."""
    sent = {"channel": "ops", "seq": 3, "type": "flinkjobs.job.failed", "at": NOON}
    details = {"notified": [sent, {"channel": "x", "at": "soon"}, "odd"]}
    assert sent_view(details) == [
        {"channel": "ops", "type": "flinkjobs.job.failed", "at": NOON},
        {"channel": "x", "type": None, "at": None},
    ]
    assert sent_view({}) == []
