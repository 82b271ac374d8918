"""The start of sync with and without channels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from doubles.processes import ProcessError
from local.functions import FunctionServer
from tests.support.events import CHAT, WEBHOOK
from tests.support.fresh_process import what_prints

ROOT = Path(__file__).parents[3]
ENVIRON = {"MONGODB_URI": "mongodb://localhost", "FLINK_REST_URL": "http://localhost:8081"}

IMPORTED = """
import json, os, runpy, sys
os.environ |= json.loads(sys.argv[2])
runpy.run_path(sys.argv[1] + "/functions/sync/main.py")
names = ["apprise", "standardwebhooks", "flinkjobs.adapters.notify.chat", "flinkjobs.adapters.notify.webhook",
         "flinkjobs.entrypoints.channels", "flinkjobs.notify.messages", "flinkjobs.settings.notify"]
print(json.dumps([name for name in names if name in sys.modules]))
"""


def imported(*channels: Mapping[str, Any]) -> list[str]:
    """What of channels sync has imported at its start."""
    given = {"NOTIFY_CHANNELS": json.dumps([*map(dict, channels)])} if channels else {}
    output, errors = what_prints(IMPORTED, ROOT, json.dumps({**ENVIRON, **given}))
    assert output, errors
    names: list[str] = json.loads(output)
    return names


def test_sync_imports_only_what_its_channels_need() -> None:
    """Apprise takes seconds to be imported; a function without channels starts as fast as before."""
    assert imported() == []
    assert "apprise" not in imported(WEBHOOK)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"url": "s3cr3t"}, "url must be an Apprise URL, such as slack://… or mailtos://…"),
        (
            {"url": "slack://s3cr3t_/a/b"},
            "url is none that Apprise knows, see https://appriseit.com/services/",
        ),
    ],
)
def test_a_wrong_channel_stops_sync_with_one_line(change: Mapping[str, str], fault: str) -> None:
    settings = {**ENVIRON, "NOTIFY_CHANNELS": json.dumps([dict(WEBHOOK), {**CHAT, **change}])}
    with pytest.raises(ProcessError) as caught:
        FunctionServer("sync", settings).close()
    message = str(caught.value)
    assert f"flinkjobs: NOTIFY_CHANNELS has faults: channel team: {fault}\n" in f"{message}\n"
    assert "Traceback" not in message
    assert "s3cr3t" not in message
