"""A webhook as its receiver meets it: signed CloudEvents; and what becomes of each answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.http import from_http
from standardwebhooks import Webhook, WebhookVerificationError

from doubles.kubernetes.tls_listener import make_certificate, server_context
from flinkjobs import __version__
from flinkjobs.adapters.notify.webhook import WebhookChannel, new_client
from flinkjobs.domain.events import Event, EventType
from flinkjobs.ports.channels import Delivered, Failed, Gone, SendResult
from tests.support.events import NOON, OLD_SECRET, SECRET, channel_settings, failed_event
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.waiting import until

PAGE = "https://flink.example/jobs"


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def channel(
    url: str, *, page_url: str | None = PAGE, timeout_seconds: float = 5, **fields: Any
) -> Iterator[WebhookChannel]:
    settings = channel_settings("webhook", url, **fields)
    with new_client(read_timeout_seconds=timeout_seconds) as client:
        yield WebhookChannel(settings, client=client, page_url=page_url, clock=now)


def sent(url: str, event: Event | None = None, **fields: Any) -> SendResult:
    """What becomes of one event."""
    with channel(url, **fields) as webhook:
        return webhook.send([event or failed_event()])


def received(event: Event, **fields: Any) -> Asked:
    """The request that a receiver gets."""
    with ScriptedServer(lambda _: Answer(status=204, body=b"")) as receiver:
        assert sent(f"{receiver.url}/hooks", event, **fields) == Delivered()
        [asked] = receiver.asked
    return asked


def verified(asked: Asked, secret: str = SECRET) -> Any:
    return Webhook(secret).verify(asked.body, dict(asked.headers))


# --- what arrives -------------------------------------------------------------------------------------


def test_an_event_arrives_as_a_signed_cloud_event_that_the_official_libraries_read() -> None:
    asked = received(failed_event(4))
    assert (asked.method, asked.path) == ("POST", "/hooks")
    assert asked.headers["content-type"] == "application/cloudevents+json"
    assert asked.headers["user-agent"] == f"flinkjobs/{__version__}"
    assert asked.headers["webhook-id"] == "orders_1/4"
    verified(asked)
    event = from_http(asked.headers, asked.body)
    assert event.get_attributes() == {
        "specversion": "1.0",
        "id": "orders_1/4",
        "source": PAGE,
        "type": "flinkjobs.job.failed",
        "subject": "orders_1",
        "time": "2025-11-01T12:00:00.000Z",
        "datacontenttype": "application/json",
    }
    assert event.data == {
        "move": {
            "seq": 4,
            "at": "2025-11-01T12:00:00.000Z",
            "was": "RUNNING",
            "status": "FAILED",
            "flink_state": "FAILED",
            "reason_code": "JOB_FAILED",
            "by": "sync",
        },
        "job": {
            "job_id": "orders_1",
            "template_id": "orders",
            "job_name": "Daily orders",
            "cluster": "default",
            "submitted_by": "alice",
            "status": "FAILED",
            "submitted_at": "2025-11-01T12:00:00.000Z",
            "reason": {"code": "JOB_FAILED", "message": "boom", "since": "2025-11-01T12:00:00.000Z"},
        },
        "url": f"{PAGE}/?job=orders_1",
    }


def test_a_cluster_has_no_job_and_its_link_is_the_page() -> None:
    move = {"seq": 2, "at": NOON, "status": "unreachable", "since": NOON - timedelta(minutes=6)}
    event = Event("cluster/batch/2", EventType.CLUSTER_UNREACHABLE, NOON, "batch", "batch", move)
    body = json.loads(received(event).body)
    assert (body["id"], body["subject"], body["data"]["job"]) == ("cluster/batch/2", "batch", None)
    assert body["data"]["url"] == f"{PAGE}/"
    assert body["data"]["move"]["since"] == "2025-11-01T11:54:00.000Z"


def test_without_the_address_of_the_page_the_source_is_flinkjobs() -> None:
    body = json.loads(received(failed_event(), page_url=None).body)
    assert (body["source"], body["data"]["url"]) == ("flinkjobs", None)


def test_every_secret_signs_so_that_one_can_replace_another() -> None:
    asked = received(failed_event(), secret=f"{SECRET} {OLD_SECRET}")
    verified(asked, SECRET)
    verified(asked, OLD_SECRET)
    with pytest.raises(WebhookVerificationError):
        verified(asked, "whsec_" + "dGhp" * 8)


def test_an_id_beyond_ascii_is_escaped_in_the_header_alone() -> None:
    """The old platform's ids may be of any characters; a header may not."""
    asked = received(failed_event(2, subject="日报 %1"))
    verified(asked)
    assert asked.headers["webhook-id"] == "%E6%97%A5%E6%8A%A5%20%251/2"
    assert from_http(asked.headers, asked.body)["id"] == "日报 %1/2"


def test_a_user_in_the_url_signs_in_by_basic_authentication() -> None:
    with ScriptedServer(lambda _: Answer()) as receiver:
        url = receiver.url.replace("://", "://ops:pass@")
        assert sent(f"{url}/hooks?tenant=1") == Delivered()
        [asked] = receiver.asked
    assert asked.path == "/hooks?tenant=1"
    assert asked.headers["authorization"] == httpx.BasicAuth("ops", "pass")._auth_header


def test_a_connection_is_used_again() -> None:
    with ScriptedServer(lambda _: Answer()) as receiver:
        with channel(receiver.url) as webhook:
            for number in range(3):
                assert webhook.send([failed_event(number)]) == Delivered()
        assert (len(receiver.asked), receiver.connections) == (3, 1)


# --- answers ------------------------------------------------------------------------------------------

ANSWERS: dict[str, tuple[Answer, SendResult]] = {
    "200": (Answer(), Delivered()),
    "202 without a body": (Answer(status=202, body=b""), Delivered()),
    "200 whose body is cut off": (Answer(body=b"x" * 99, cut_after=1), Delivered()),
    "200 whose body does not end": (Answer(body=b"x" * 99, drip_seconds=0.3), Delivered()),
    "200 with a long body": (Answer(body=b"x" * 9_999_999), Delivered()),
    "301": (
        Answer(status=301, headers={"Location": "/elsewhere"}),
        Failed("127.0.0.1 answered 301: a redirect is not followed, set the url that it leads to"),
    ),
    "400": (Answer(status=400), Failed("127.0.0.1 answered 400")),
    "410": (Answer(status=410), Gone("127.0.0.1 answered 410")),
    "429": (
        Answer(status=429, headers={"Retry-After": "7"}),
        Failed("127.0.0.1 answered 429", retry_after_seconds=7.0),
    ),
    "500": (Answer(status=500), Failed("127.0.0.1 answered 500")),
    "503 with nonsense": (
        Answer(status=503, headers={"Retry-After": "soon"}),
        Failed("127.0.0.1 answered 503"),
    ),
    "a reset": (
        Answer(is_reset=True),
        Failed("127.0.0.1 gave no answer: Server disconnected without sending a response."),
    ),
    "silence": (Answer(delay_seconds=30), Failed("127.0.0.1 did not answer within 0.4 s")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_becomes_of_an_answer(name: str) -> None:
    answer, expected = ANSWERS[name]
    with ScriptedServer(lambda _: answer) as receiver:
        assert sent(receiver.url, timeout_seconds=0.4) == expected
        assert len(receiver.asked) == 1  # neither repeated nor redirected


def test_a_date_says_how_long_to_wait() -> None:
    when = (now() + timedelta(minutes=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    with ScriptedServer(lambda _: Answer(status=503, headers={"Retry-After": when})) as receiver:
        result = sent(receiver.url)
    assert isinstance(result, Failed)
    assert result.retry_after_seconds is not None
    assert 0 < result.retry_after_seconds <= 60


def test_a_receiver_that_is_away_is_named() -> None:
    with ScriptedServer(lambda _: Answer()) as receiver:
        url = receiver.url
    result = sent(url)
    assert result == Failed("127.0.0.1 could not be reached: [Errno 111] Connection refused")


# --- addresses ----------------------------------------------------------------------------------------


def test_a_name_that_leads_to_a_private_address_gets_nothing() -> None:
    """What the name leads to is known when it is connected; nothing is sent before."""
    with ScriptedServer(lambda _: Answer()) as receiver:
        url = receiver.url.replace("http://127.0.0.1", "https://127.1")
        result = sent(url)
        assert result == Failed(
            "127.1 has the address 127.0.0.1, which is not public: set allow_private if it is meant"
        )
        until(lambda: receiver.connections, timeout_seconds=10, what="a connection")
        assert receiver.asked == []


def test_a_private_address_that_is_allowed_needs_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(now())
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.certificate)
    with ScriptedServer(lambda _: Answer(), tls=server_context(certificate, tmp_path)) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        refused = sent(url, allow_private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        delivered = sent(url, allow_private=True)
        assert len(receiver.asked) == 1
    assert isinstance(refused, Failed)
    assert refused.error.startswith("localhost could not be reached: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert delivered == Delivered()


# --- secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ANSWERS, "a header that is none"])
def test_no_part_of_a_url_but_its_host_is_shown(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer, _ = ANSWERS.get(name, (Answer(headers={"no header\x00": "x"}), None))
    with ScriptedServer(lambda _: answer) as receiver:
        url = receiver.url.replace("://", "://us3r:p4ss@") + "/p4th?qu3ry=1"
        with channel(url, timeout_seconds=0.4) as webhook:
            shown = repr((webhook.send([failed_event()]), webhook, webhook._settings))
    printed = capfd.readouterr()
    for secret in ("us3r", "p4ss", "p4th", "qu3ry", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in shown + printed.out + printed.err + caplog.text
