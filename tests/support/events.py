"""Events and channels for tests of notifications."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flinkjobs.domain.events import Event, EventType, job_event_id
from flinkjobs.settings.notify import ChannelSettings, read_channels

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + "bmV3" * 8
OLD_SECRET = "whsec_" + "b2xk" * 8


def failed_event(number: int = 1, *, subject: str = "orders_1", **job: Any) -> Event:
    """A job that has failed; `number` is the `seq` of its move."""
    shown = {
        "job_id": subject,
        "template_id": "orders",
        "job_name": "Daily orders",
        "cluster": "default",
        "submitted_by": "alice",
        "status": "FAILED",
        "submitted_at": NOON,
        "reason": {"code": "JOB_FAILED", "message": "boom", "since": NOON},
    }
    move = {
        "seq": number,
        "at": NOON,
        "was": "RUNNING",
        "status": "FAILED",
        "flink_state": "FAILED",
        "reason_code": "JOB_FAILED",
        "by": "sync",
    }
    return Event(
        job_event_id(subject, number), EventType.JOB_FAILED, NOON, subject, "default", move, {**shown, **job}
    )


def channel_settings(kind: str, url: str, **fields: Any) -> ChannelSettings:
    """One channel named `ops`, as the setting describes it."""
    own = {"secret": SECRET} if kind == "webhook" else {}
    described = {"name": "ops", "type": kind, "url": url, **own, **fields}
    [channel] = read_channels(json.dumps([described]), ())
    return channel
