"""A chat as its service meets it: real services of Apprise, pointed at a server of this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apprise.plugins.feishu import NotifyFeishu

from flinkjobs.adapters.notify.chat import ChatChannel
from flinkjobs.notify.messages import digest_of, message_of
from flinkjobs.ports.channels import Delivered, Failed, Gone, SendResult
from flinkjobs.settings.notify import Language
from tests.support.events import channel_settings, failed_event
from tests.support.scripted_server import Answer, Asked, ScriptedServer

PAGE = "https://flink.example/jobs"


def channel(url: str, *, timeout_seconds: float = 10, **fields: Any) -> ChatChannel:
    settings = channel_settings("chat", url, **fields)
    return ChatChannel(settings, page_url=PAGE, timeout_seconds=timeout_seconds)


def received(service: str, count: int, **fields: Any) -> Asked:
    """The request that a service gets of this number of events."""
    with ScriptedServer(lambda _: Answer()) as receiver:
        events = [failed_event(number) for number in range(count)]
        assert channel(service.replace("HOST", receiver.address), **fields).send(events) == Delivered()
        [asked] = receiver.asked
    return asked


# --- what arrives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", Language)
def test_a_message_arrives_in_the_language_of_the_channel(language: Language) -> None:
    asked = received("json://HOST/hooks", 1, language=language)
    expected = message_of(failed_event(0), language=language, page_url=PAGE)
    body = json.loads(asked.body)
    assert (asked.method, asked.path) == ("POST", "/hooks")
    assert (body["title"], body["message"], body["type"]) == (expected.title, expected.body, "failure")


def test_several_events_arrive_as_one_digest() -> None:
    body = json.loads(received("json://HOST", 12).body)
    expected = digest_of([failed_event(number) for number in range(12)], language=Language.EN, page_url=PAGE)
    assert (body["title"], body["message"]) == (expected.title, expected.body)


def test_a_message_arrives_at_a_chat_service() -> None:
    asked = received("mmost://HOST/3ccdd113474722377935511fc85d3dd4", 1)
    expected = message_of(failed_event(0), language=Language.EN, page_url=PAGE)
    assert asked.path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    assert json.loads(asked.body)["text"].split() == f"{expected.title} {expected.body}".split()


# --- answers ------------------------------------------------------------------------------------------

UNREACHED = Failed("Mattermost could not be reached, or broke the connection off")

ANSWERS: dict[str, tuple[Answer, SendResult]] = {
    "200": (Answer(), Delivered()),
    "302": (Answer(status=302, headers={"Location": "/elsewhere"}), Failed("Mattermost answered 302")),
    "403": (Answer(status=403), Failed("Mattermost answered 403")),
    "410": (Answer(status=410), Gone("Mattermost answered 410")),
    "500": (Answer(status=500), Failed("Mattermost answered 500")),
    "a reset": (Answer(is_reset=True), UNREACHED),
    "silence": (Answer(delay_seconds=30), Failed("Mattermost did not answer within 0.5 s")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_becomes_of_an_answer(name: str) -> None:
    answer, expected = ANSWERS[name]
    with ScriptedServer(lambda _: answer) as receiver:
        chat = channel(f"mmost://{receiver.address}/t0ken", timeout_seconds=0.5)
        assert chat.send([failed_event()]) == expected
        assert len(receiver.asked) == 1


def test_a_service_that_is_away_is_named() -> None:
    with ScriptedServer(lambda _: Answer()) as receiver:
        address = receiver.address
    assert channel(f"mmost://{address}/t0ken").send([failed_event()]) == UNREACHED


def test_a_service_may_refuse_with_200(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Answer(body=b'{"code": 19024, "msg": "Key Words Not Found", "data": {}}')
    with ScriptedServer(lambda _: refusal) as receiver:
        monkeypatch.setattr(NotifyFeishu, "notify_url", f"{receiver.url}/open-apis/bot/v2/hook/{{token}}/")
        result = channel("feishu://t0ken", language="zh").send([failed_event()])
        [asked] = receiver.asked
    assert result == Failed("Feishu refused the message")
    expected = message_of(failed_event(), language=Language.ZH, page_url=PAGE)
    assert asked.path == "/open-apis/bot/v2/hook/t0ken/"
    assert json.loads(asked.body) == {
        "msg_type": "text",
        "content": {"text": f"{expected.title}\r\n{expected.body}"},
    }


def test_an_optional_service_counts_as_failed_where_it_failed() -> None:
    """`optional` in a URL makes Apprise call every result a success."""
    with ScriptedServer(lambda _: Answer(status=500)) as receiver:
        url = f"mmost://{receiver.address}/t0ken?optional=yes"
        assert channel(url).send([failed_event()]) == Failed("Mattermost answered 500")


# --- secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ANSWERS, "a header that is none"])
def test_no_part_of_a_url_is_shown(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Apprise and urllib3 log URLs; a header that cannot be parsed makes urllib3 warn with all of it."""
    answer, _ = ANSWERS.get(name, (Answer(headers={"no header\x00": "x"}), None))
    with ScriptedServer(lambda _: answer) as receiver:
        chat = channel(f"json://us3r:p4ss@{receiver.address}/p4th?:qu3ry=1", timeout_seconds=0.5)
        shown = repr((chat.send([failed_event()]), chat, channel_settings("chat", "json://us3r:p4ss@h/p4th")))
    printed = capfd.readouterr()
    for secret in ("us3r", "p4ss", "p4th", "qu3ry"):
        assert secret not in shown + printed.out + printed.err + caplog.text
