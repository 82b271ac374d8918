"""`notify`: the channels, a test to one of them, and another try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.receiver import EventReceiver
from tests.integration.cli.conftest import Run, one_line
from tests.integration.functions.conftest import World
from tests.support.records import Document
from tests.support.scripted_server import Answer, ScriptedServer

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + "bmV3" * 8


def channel(name: str, **fields: Any) -> Document:
    """A document of `channels`, as sync writes it."""
    return {"_id": name, "since": NOON, "delivered": 3, "set_aside": 0, **fields}


def failing(name: str = "ops") -> Document:
    fails = {"failing_since": NOON, "attempts": 4, "next_attempt_at": NOON, "last_error": "x answered 503"}
    return channel(name, last_success_at=NOON, set_aside=2, failed=5, gone_at=NOON, **fails)


def test_the_channels_are_listed(run: Run, environ: Mapping[str, str], world: World) -> None:
    world.database.channels.insert_many([failing() | {"gone_at": None}, channel("team")])
    world.add_record("etl_1", pending_since=NOON, waiting_for=["ops"])
    ran = run("notify", "list", environ=environ)
    assert (ran.code, ran.err) == (0, "")
    _, ops, team, pending = ran.out.splitlines()
    assert ops.split()[:2] == ["ops", "FAILING"]
    assert ops.endswith("x answered 503")
    assert ops.split()[4:8] == ["1", "3", "5", "2"]
    assert team.split()[:3] == ["team", "NEW", "-"]
    assert pending.startswith("Pending: events of 1 jobs and clusters, the oldest ")
    shown = run("notify", "list", "--json", environ=environ).json
    assert [each["state"] for each in shown["channels"]] == ["FAILING", "NEW"]


def test_without_channels_the_list_says_so(run: Run, urls: Mapping[str, str], world: World) -> None:
    assert world.database.channels.count_documents({}) == 0
    assert run("notify", "list", environ=urls).out == "Sync has been given no channel (NOTIFY_CHANNELS).\n"


def test_a_test_reaches_its_channel_signed_and_no_other(run: Run, settings: Mapping[str, str]) -> None:
    with EventReceiver() as receiver, EventReceiver() as other:
        channels = [json.loads(each.channels)[0] for each in (receiver, other)]
        channels[1] |= {"name": "other"}
        channels[0] |= {"events": ["flinkjobs.job.failed"]}  # the filter does not hold a test up
        environ = {**settings, "NOTIFY_CHANNELS": json.dumps(channels)}
        ran = run("notify", "test", "local", environ=environ)
        [event] = receiver.events
        assert (ran.code, ran.out, ran.err) == (0, f"local has taken the test {event['id']}.\n", "")
        assert (event["type"], event["subject"]) == ("flinkjobs.notify.test", "test")
        assert (receiver.refused, other.events, other.refused) == (0, (), 0)
        unknown = run("notify", "test", "nowhere", environ=environ)
    assert unknown.code == 4
    assert one_line(unknown.err) == "NOTIFY_CHANNELS names no channel nowhere; it names: local, other"


def test_a_test_that_is_not_taken_says_why_and_names_no_secret(run: Run, settings: Mapping[str, str]) -> None:
    with ScriptedServer(lambda _asked: Answer(status=503)) as server:
        described = {
            "name": "ops",
            "type": "webhook",
            "url": f"{server.url}/hook?token=t0p",
            "secret": SECRET,
        }
        environ = {**settings, "NOTIFY_CHANNELS": json.dumps([described])}
        ran = run("notify", "test", "ops", "--json", environ=environ)
    assert ran.code == 1
    assert (ran.json["delivered"], ran.json["error"]) == (False, "127.0.0.1 answered 503")
    assert SECRET not in ran.out + ran.err
    assert "t0p" not in ran.out + ran.err


def test_a_retry_ends_the_waiting_time(run: Run, settings: Mapping[str, str], world: World) -> None:
    world.database.channels.insert_many([failing(), failing("team"), failing("old") | {"removed_at": NOON}])
    ran = run("notify", "retry", "ops", environ=settings)
    assert (ran.code, ran.out) == (0, "The next pass sends to ops.\n")
    after = {each["_id"]: each for each in world.database.channels.find()}
    ended = {"failing_since": None, "attempts": 0, "next_attempt_at": None, "gone_at": None, "set_aside": 0}
    assert after["ops"] == failing() | ended
    assert after["team"] == failing("team")
    assert run("notify", "retry", "--json", environ=settings).json == {"channels": ["ops", "team"]}
    unknown = run("notify", "retry", "nowhere", environ=settings)
    assert unknown.code == 4
    assert one_line(unknown.err).startswith("sync has been given no channel nowhere")
