"""What the pages about notifications show works: the receiver, the channels, the services."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import apprise
import httpx
import pytest

from doubles.processes import Process, free_port
from flinkjobs.adapters.notify.webhook import WebhookChannel, new_client
from flinkjobs.domain.events import Event
from flinkjobs.ports.channels import Delivered, Failed, SendResult
from flinkjobs.settings.notify import read_channels
from tests.support.events import OLD_SECRET, SECRET, channel_settings, failed_event
from tests.support.waiting import until

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
PAGES = [HOW_TO / "be-notified.md", HOW_TO / "be-notified.zh-CN.md"]
START_SECONDS = 30.0


def block(page: Path, language: str) -> str:
    text = page.read_text(encoding="utf-8")
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def receiver() -> Iterator[tuple[Process, str]]:
    """The receiver of the page, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {"PATH": os.environ["PATH"], "SECRET": SECRET, "PORT": str(port)}
    with Process(
        [sys.executable, "-c", block(PAGES[0], "python")], name="the receiver", env=environ
    ) as process:
        process.wait_ready(lambda: answers(url), timeout_seconds=START_SECONDS)
        yield process, url


def answers(url: str) -> bool:
    """Whether a server is there: to GET it answers that it knows POST alone."""
    try:
        return httpx.get(url, trust_env=False).status_code == 501
    except httpx.HTTPError:
        return False


def sent(url: str, event: Event, secret: str = SECRET) -> SendResult:
    settings = channel_settings("webhook", url, secret=secret)
    with new_client() as client:
        webhook = WebhookChannel(
            settings, client=client, page_url="https://flink.example", clock=lambda: datetime.now(UTC)
        )
        return webhook.send([event])


def test_the_receiver_takes_signed_events_once_and_no_others() -> None:
    first, second = failed_event(1), failed_event(2, subject="users_7")
    with receiver() as (process, url):
        assert sent(url, first, secret=OLD_SECRET) == Failed("127.0.0.1 answered 401")
        unsigned = httpx.post(url, content=b"{}", headers={"webhook-signature": "nonsense"}, trust_env=False)
        assert unsigned.status_code == 401
        assert [sent(url, event) for event in (first, first, second)] == [Delivered()] * 3
        printed = until(
            lambda: (
                [line for line in process.output if line.startswith("flinkjobs.")][1:]
                and [line for line in process.output if line.startswith("flinkjobs.")]
            ),
            timeout_seconds=10,
            what="two lines",
        )
    assert printed == [
        "flinkjobs.job.failed orders_1 https://flink.example/?job=orders_1",
        "flinkjobs.job.failed users_7 https://flink.example/?job=users_7",
    ]


def test_both_pages_show_the_same_receiver_and_channels() -> None:
    for language in ("python", "json"):
        assert block(PAGES[0], language) == block(PAGES[1], language)
    assert len(block(PAGES[0], "python").splitlines()) < 30
    assert [channel.name for channel in read_channels(block(PAGES[0], "json"), ())] == ["platform", "oncall"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_apprise_knows_every_service_of_the_table(page: Path) -> None:
    urls = re.findall(r"`([a-z]+://[^`]+)`", page.read_text(encoding="utf-8"))
    assert len(urls) > 8
    assert [url for url in urls if apprise.Apprise.instantiate(url) is None] == []
