"""Views of the channels, and of what was sent of one record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from flinkjobs.jobs.views import text_or_none
from flinkjobs.ports.notify_store import ChannelState
from flinkjobs.ports.read_store import Backlog


class ChannelCondition(StrEnum):
    """What is known of a channel."""

    OK = "OK"
    """It has taken an event, and no failure is known since."""
    NEW = "NEW"
    """It has been sent nothing yet."""
    FAILING = "FAILING"
    """It takes nothing since `failing_since`; sync tries again."""
    GONE = "GONE"
    """Its receiver answered 410: sync sends it nothing more."""
    REMOVED = "REMOVED"
    """The settings of sync name it no more."""


def backlog_view(backlog: Backlog, now: datetime) -> dict[str, Any]:
    """The channels, and what they still have to be sent; sorted by name."""
    oldest = backlog.oldest_at
    return {
        "pending": backlog.pending,
        "oldest_pending_seconds": None if oldest is None else max((now - oldest).total_seconds(), 0.0),
        "channels": [_channel(each, backlog.waiting.get(each.name, 0)) for each in backlog.channels],
    }


def _channel(channel: ChannelState, waiting: int) -> dict[str, Any]:
    return {
        "name": channel.name,
        "state": condition(channel).value,
        "last_success_at": channel.last_success_at,
        "failing_since": channel.failing_since,
        "next_attempt_at": channel.next_attempt_at,
        "last_error": channel.last_error if channel.failing_since else None,
        "waiting": waiting,
        "delivered": channel.delivered,
        "failed": channel.failed,
        "set_aside": channel.set_aside,
    }


def condition(channel: ChannelState) -> ChannelCondition:
    """What is known of a channel."""
    if channel.removed_at is not None:
        return ChannelCondition.REMOVED
    if channel.gone_at is not None:
        return ChannelCondition.GONE
    if channel.failing_since is not None:
        return ChannelCondition.FAILING
    return ChannelCondition.NEW if channel.last_success_at is None else ChannelCondition.OK


def sent_view(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was sent of a record to which channel and when, oldest first; older records lack it."""
    stored = details.get("notified")
    return [
        {
            "channel": text_or_none(each.get("channel")),
            "type": text_or_none(each.get("type")),
            "at": at if isinstance(at := each.get("at"), datetime) else None,
        }
        for each in (stored if isinstance(stored, list) else ())
        if isinstance(each, Mapping)
    ]
