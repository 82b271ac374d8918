"""Events and channels for tests of notifications."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from flinkjobs.domain.events import Event, EventType, job_event_id
from flinkjobs.settings.notify import ChannelSettings, read_channels

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + "bmV3" * 8
OLD_SECRET = "whsec_" + "b2xk" * 8

WEBHOOK: Final[Mapping[str, Any]] = {
    "name": "ops",
    "type": "webhook",
    "url": "https://hooks.example/s3cr3t",
    "secret": SECRET,
}
CHAT: Final[Mapping[str, Any]] = {"name": "team", "type": "chat", "url": "mmosts://chat.example/s3cr3t"}

BAD_CHANNELS: Final[list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "bad_channels.yaml").read_text(encoding="utf-8")
)


def environ_with(row: Mapping[str, Any]) -> dict[str, str]:
    """The environment that a row of `bad_channels.yaml` describes."""
    if "text" in row:
        text = "[" * 100_000 if row["text"] == "%deep" else str(row["text"])
    elif "channels" in row:
        text = json.dumps(row["channels"])
    else:
        changed = {**WEBHOOK, **row["change"]} if "change" in row else {**CHAT, **row["chat"]}
        text = json.dumps([{name: given for name, given in changed.items() if given is not None}])
    return {
        "MONGODB_URI": "mongodb://localhost",
        "FLINK_REST_URL": "http://flink:8081",
        "FLINK_CLUSTERS": '{"batch": {"rest_url": "http://batch:8081"}}',
        "NOTIFY_CHANNELS": text,
    }


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
