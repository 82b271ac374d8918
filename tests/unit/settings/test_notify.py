"""Channels as they are read, and every fault of `tests/data/bad_channels.yaml` that needs no library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.events import EventFilter
from flinkjobs.settings.functions import read_settings
from flinkjobs.settings.notify import ChannelSettings, ChannelType, Language, read_channels
from tests.support.events import BAD_CHANNELS, SECRET, WEBHOOK, environ_with


def test_every_field_is_read() -> None:
    given = [
        {
            **WEBHOOK,
            "secret": f"{SECRET} {SECRET}",
            "allow_private": True,
            "events": ["flinkjobs.job.failed", "flinkjobs.cluster.*"],
            "templates": ["orders_*"],
            "clusters": ["batch-?"],
            "submitted_by": ["alice"],
            "labels": {"team": "data"},
        },
        {"name": "team", "type": "chat", "url": "feishu://t0ken", "language": "zh"},
    ]
    assert read_channels(json.dumps(given), ["batch-1"]) == (
        ChannelSettings(
            name="ops",
            type=ChannelType.WEBHOOK,
            filter=EventFilter(
                events=("flinkjobs.job.failed", "flinkjobs.cluster.*"),
                templates=("orders_*",),
                clusters=("batch-?",),
                submitted_by=("alice",),
                labels={"team": "data"},
            ),
            url="https://hooks.example/s3cr3t",
            secrets=(SECRET, SECRET),
            allow_private=True,
        ),
        ChannelSettings(
            name="team",
            type=ChannelType.CHAT,
            filter=EventFilter(),
            url="feishu://t0ken",
            language=Language.ZH,
        ),
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/x",
        "http://127.0.0.1:8080/x",
        "http://127.8.8.8/x",
        "http://[::1]:8080/x",
        "https://user:pass@h.example:8443/x?token=1",
        "https://93.184.215.14/x",
    ],
)
def test_https_and_this_machine_need_no_permission(url: str) -> None:
    [channel] = read_channels(json.dumps([{**WEBHOOK, "url": url}]), ())
    assert channel.url == url


def test_a_private_address_may_be_allowed() -> None:
    given = {**WEBHOOK, "url": "https://10.0.0.7/x", "allow_private": True}
    assert [channel.url for channel in read_channels(json.dumps([given]), ())] == ["https://10.0.0.7/x"]


def test_clusters_are_not_checked_where_none_is_configured() -> None:
    [channel] = read_channels(json.dumps([{**WEBHOOK, "clusters": ["any"]}]), ())
    assert channel.filter.clusters == ("any",)


def test_the_value_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "channels.json"
    file.write_text(json.dumps([dict(WEBHOOK)]) + "\n", encoding="utf-8")
    settings = read_settings({"MONGODB_URI": "mongodb://localhost", "NOTIFY_CHANNELS": f"@{file}"})
    assert [channel.name for channel in settings.notify_channels] == ["ops"]


def test_no_secret_is_in_the_representation() -> None:
    given = json.dumps([dict(WEBHOOK), {"name": "team", "type": "chat", "url": "slack://t0ken"}])
    settings = read_settings({"MONGODB_URI": "mongodb://localhost", "NOTIFY_CHANNELS": given})
    shown = repr((settings, settings.notify_channels))
    for secret in (SECRET, "hooks.example", "t0ken"):
        assert secret not in shown


def test_the_bad_channels_have_names_of_their_own() -> None:
    assert len({row["name"] for row in BAD_CHANNELS}) == len(BAD_CHANNELS) >= 30


@pytest.mark.parametrize(
    "row", [row for row in BAD_CHANNELS if "by_library" not in row], ids=lambda row: row["name"]
)
def test_a_wrong_channel_is_named_in_one_line_without_a_secret(row: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ_with(row))
    assert str(caught.value) == f"NOTIFY_CHANNELS {row['error']}"
    assert "s3cr3t" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
