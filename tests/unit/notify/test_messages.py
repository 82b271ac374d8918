"""What people read of an event, in both languages: the rows of `tests/data/notify_messages.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.events import Event, EventType
from flinkjobs.notify.messages import digest_of, message_of
from flinkjobs.settings.notify import Language

DATA = Path(__file__).parents[2] / "data" / "notify_messages.yaml"
ROWS = yaml.safe_load(DATA.read_text(encoding="utf-8"))
PAGE = "https://flink.example/jobs"


def event(given: Mapping[str, Any]) -> Event:
    job, subject = given.get("job"), given["subject"]
    cluster = job["cluster"] if job else None if subject in ("sync", "test") else subject
    return Event(**{**given, "type": EventType(given["type"]), "cluster": cluster})


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_the_message_of_an_event(row: Mapping[str, Any], language: Language) -> None:
    if "event" in row:
        message = message_of(event(row["event"]), language=language, page_url=PAGE)
    else:
        message = digest_of([event(each) for each in row["events"]], language=language, page_url=PAGE)
    assert row[language] == {"title": message.title, "body": message.body}
    assert row["severity"] == message.severity


def test_every_type_of_event_has_a_row() -> None:
    assert {row["event"]["type"] for row in ROWS if "event" in row} == set(EventType)


def test_without_the_address_of_the_page_there_is_no_link() -> None:
    failed = [event(row["event"]) for row in ROWS if row["name"] == "failed"]
    for message in (
        message_of(failed[0], language=Language.EN, page_url=None),
        digest_of(failed * 11, language=Language.EN, page_url=None),
    ):
        assert "Page" not in message.body
        assert "://" not in message.body
