"""Checks of the channels: are they configured, do they take events, what waits and what was set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from flinkjobs.doctor.codes import Code
from flinkjobs.doctor.facts import ChannelFacts, Facts, NotAsked, Notifications, Refused
from flinkjobs.doctor.findings import Finding, ago, duration_text, fail, no_answer, ok, unknown, warn
from flinkjobs.domain.observations import Unreachable
from flinkjobs.domain.text import counted
from flinkjobs.jobs.notifications import ChannelCondition

LATE: Final = timedelta(minutes=15)
"""Age from which an event that no failing channel holds up is a finding: five passes by default."""


def _configured(facts: Facts) -> Iterator[Finding]:
    """A finding only where NOTIFY_CHANNELS is set: only sync needs it."""
    check = "notify.settings"
    match facts.channels:
        case Unreachable(error) | Refused(error):
            yield fail(check, Code.SETTINGS, error)
        case NotAsked() | ():
            return
        case names:
            known = (
                {channel.name for channel in facts.notifications.channels if not _is_removed(channel)}
                if isinstance(facts.notifications, Notifications)
                else set(names)
            )
            if missing := [name for name in names if name not in known]:
                yield warn(check, Code.NOTIFY_UNKNOWN, f"sync has not been given {', '.join(missing)}")
            else:
                yield ok(check, f"{counted(len(names), 'channel')}: {', '.join(names)}")


def _delivery(facts: Facts) -> Iterator[Finding]:
    match facts.notifications:
        case Unreachable() | Refused() | NotAsked() as gap:
            yield no_answer("notify.delivery", gap, Code.STORE_UNAVAILABLE, finding=unknown)
        case found:
            served = [channel for channel in found.channels if not _is_removed(channel)]
            for channel in served:
                yield _of_channel(channel, facts)
            if served:
                yield from _backlog(found)


def _of_channel(channel: ChannelFacts, facts: Facts) -> Finding:
    check = f"notify.{channel.name}"
    waits = f"{channel.waiting} jobs and clusters have events that wait for it"
    match channel.state:
        case ChannelCondition.GONE:
            return fail(check, Code.NOTIFY_GONE, f"{channel.last_error}; no events are sent any more")
        case ChannelCondition.FAILING:
            since = ago(facts.now - channel.failing_since) if channel.failing_since else "?"
            return fail(check, Code.NOTIFY_FAILING, f"fails since {since}: {channel.last_error}; {waits}")
    took = (
        "it has been sent nothing yet"
        if channel.last_success_at is None
        else f"it took its last event {ago(facts.now - channel.last_success_at)}"
    )
    if channel.set_aside:
        not_sent = counted(channel.set_aside, "event")
        return warn(check, Code.NOTIFY_SET_ASIDE, f"{not_sent} will not be sent to it; {took}")
    return ok(check, took)


def _backlog(found: Notifications) -> Iterator[Finding]:
    bad = (ChannelCondition.FAILING, ChannelCondition.GONE)
    oldest = found.oldest_pending
    if oldest is not None and oldest > LATE and not any(channel.state in bad for channel in found.channels):
        evidence = f"the oldest event that is not sent to every channel is {duration_text(oldest)} old"
        yield warn("notify.delivery", Code.NOTIFY_LATE, evidence)


def _is_removed(channel: ChannelFacts) -> bool:
    return channel.state == ChannelCondition.REMOVED


NOTIFY_CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (_configured, _delivery)
