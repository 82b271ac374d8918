"""Channels that only their libraries find wrong; `tests/unit/settings/test_notify.py` has the other rows."""

from __future__ import annotations

from typing import Any

import pytest

from flinkjobs.domain.errors import SettingsError
from flinkjobs.entrypoints.channels import build_channels
from flinkjobs.settings.functions import read_settings
from tests.support.events import BAD_CHANNELS, CHAT, WEBHOOK, environ_with


def test_good_channels_are_built_in_their_order() -> None:
    settings = read_settings(environ_with({"channels": [dict(WEBHOOK), dict(CHAT)]}))
    assert [channel.name for channel in build_channels(settings)] == ["ops", "team"]


@pytest.mark.parametrize(
    "row", [row for row in BAD_CHANNELS if "by_library" in row], ids=lambda row: row["name"]
)
def test_what_a_library_finds_wrong_is_named_in_one_line_without_a_secret(row: dict[str, Any]) -> None:
    settings = read_settings(environ_with(row))
    with pytest.raises(SettingsError) as caught:
        build_channels(settings)
    assert str(caught.value) == f"NOTIFY_CHANNELS {row['error']}"
    assert "s3cr3t" not in str(caught.value)
