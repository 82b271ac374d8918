"""Wrong channels end sync at its start: every fault is named, and no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.errors import SettingsError
from flinkjobs.entrypoints.channels import build_channels
from flinkjobs.settings.functions import read_settings

ROWS = yaml.safe_load((Path(__file__).parents[2] / "data" / "bad_channels.yaml").read_text(encoding="utf-8"))
ENVIRON = {
    "MONGODB_URI": "mongodb://localhost",
    "FLINK_REST_URL": "http://flink:8081",
    "FLINK_CLUSTERS": '{"batch": {"rest_url": "http://batch:8081"}}',
}
WEBHOOK = {
    "name": "ops",
    "type": "webhook",
    "url": "https://hooks.example/s3cr3t",
    "secret": "whsec_" + "bmV3" * 8,
}
CHAT = {"name": "team", "type": "chat", "url": "mmosts://chat.example/s3cr3t"}


def value(row: dict[str, Any]) -> str:
    if "text" in row:
        return "[" * 100_000 if row["text"] == "%deep" else str(row["text"])
    if "channels" in row:
        return json.dumps(row["channels"])
    changed = {**WEBHOOK, **row["change"]} if "change" in row else {**CHAT, **row["chat"]}
    return json.dumps([{name: given for name, given in changed.items() if given is not None}])


def test_the_rows_change_what_is_right() -> None:
    settings = read_settings({**ENVIRON, "NOTIFY_CHANNELS": json.dumps([WEBHOOK, CHAT])})
    assert [channel.name for channel in build_channels(settings)] == ["ops", "team"]
    assert len({row["name"] for row in ROWS}) == len(ROWS) >= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_wrong_value_is_named_in_one_line_without_a_secret(row: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        build_channels(read_settings({**ENVIRON, "NOTIFY_CHANNELS": value(row)}))
    assert str(caught.value) == f"NOTIFY_CHANNELS {row['error']}"
    assert "s3cr3t" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
