"""What doctor makes of the channels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.doctor.codes import REMEDIES, Code
from flinkjobs.doctor.facts import (
    ChannelFacts,
    Facts,
    NotAsked,
    Notifications,
    OnlyFunctions,
    Refused,
    notifications_from_view,
)
from flinkjobs.doctor.findings import Finding, Verdict
from flinkjobs.doctor.notify_checks import NOTIFY_CHECKS
from flinkjobs.domain.observations import Unreachable

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OPS = ChannelFacts(
    name="ops",
    state="OK",
    last_success_at=NOW - 3 * MINUTE,
    failing_since=None,
    last_error=None,
    waiting=0,
    set_aside=0,
)
FAILING = replace(OPS, state="FAILING", failing_since=NOW - 30 * MINUTE, last_error="503", waiting=4)


def found(**fields: Any) -> list[Finding]:
    facts = Facts(now=NOW, settings=OnlyFunctions(), channels=("ops",), notifications=sent())
    return [finding for check in NOTIFY_CHECKS for finding in check(replace(facts, **fields))]


def sent(*channels: ChannelFacts, oldest: timedelta | None = None) -> Notifications:
    return Notifications(oldest, channels or (OPS,))


def test_a_channel_that_takes_events_is_well() -> None:
    assert found() == [
        Finding("notify.settings", Verdict.OK, "1 channel: ops"),
        Finding("notify.ops", Verdict.OK, "it took its last event 3 min ago"),
    ]


@pytest.mark.parametrize(
    ("fields", "check", "code", "verdict", "said"),
    [
        (
            {"channels": Refused("NOTIFY_CHANNELS has faults: channel ops: url names no valid host")},
            "notify.settings",
            Code.SETTINGS,
            Verdict.FAIL,
            "url names no valid host",
        ),
        (
            {"channels": ("ops", "team")},
            "notify.settings",
            Code.NOTIFY_UNKNOWN,
            Verdict.WARN,
            "sync has not been given team",
        ),
        (
            {"notifications": sent(FAILING)},
            "notify.ops",
            Code.NOTIFY_FAILING,
            Verdict.FAIL,
            "fails since 30 min ago: 503; 4 jobs and clusters have events that wait for it",
        ),
        (
            {"notifications": sent(replace(OPS, state="GONE", last_error="x answered 410"))},
            "notify.ops",
            Code.NOTIFY_GONE,
            Verdict.FAIL,
            "x answered 410; no events are sent any more",
        ),
        (
            {"notifications": sent(replace(OPS, set_aside=5))},
            "notify.ops",
            Code.NOTIFY_SET_ASIDE,
            Verdict.WARN,
            "5 events will not be sent to it; it took its last event 3 min ago",
        ),
        (
            {"notifications": sent(oldest=40 * MINUTE)},
            "notify.delivery",
            Code.NOTIFY_LATE,
            Verdict.WARN,
            "the oldest event that is not sent to every channel is 40 min old",
        ),
        (
            {"notifications": Unreachable("no answer")},
            "notify.delivery",
            Code.STORE_UNAVAILABLE,
            Verdict.UNKNOWN,
            "no answer",
        ),
    ],
)
def test_what_is_wrong_with_a_channel(
    fields: dict[str, Any], check: str, code: Code, verdict: Verdict, said: str
) -> None:
    [bad] = [finding for finding in found(**fields) if finding.code]
    assert (bad.check, bad.code, bad.verdict, bad.next_step) == (check, code, verdict, REMEDIES[code])
    assert said in bad.evidence


@pytest.mark.parametrize(
    "notifications",
    [
        sent(replace(OPS, state="NEW", last_success_at=None)),
        sent(oldest=14 * MINUTE),
        sent(OPS, replace(OPS, name="old", state="REMOVED", set_aside=3)),
        NotAsked("only the functions are reachable from here"),
    ],
)
def test_what_is_well(notifications: Any) -> None:
    assert [finding.code for finding in found(notifications=notifications) if finding.code] == []


def test_events_that_wait_for_a_failing_channel_are_one_finding() -> None:
    late = found(notifications=sent(FAILING, oldest=40 * MINUTE))
    assert [finding.code for finding in late if finding.code] == [Code.NOTIFY_FAILING]


def test_without_channels_nothing_is_checked() -> None:
    assert found(channels=(), notifications=Notifications(None, ())) == []


def test_a_view_is_read_as_it_is_and_as_json() -> None:
    channel: dict[str, Any] = {"name": "ops", "state": "OK", "failing_since": None, "last_error": None}
    channel |= {"waiting": 0, "set_aside": 0}
    for time in (NOW - 3 * MINUTE, "2026-01-05T11:57:00.000Z"):
        view = {"oldest_pending_seconds": 60.0, "channels": [channel | {"last_success_at": time}]}
        assert notifications_from_view(view) == Notifications(MINUTE, (OPS,))
