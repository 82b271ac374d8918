"""Who may submit, where secrets are set: Standard Webhooks, signed here by hand as its specification says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping

import httpx
import pytest

from flinkjobs.domain.errors import SettingsError, UnauthorizedError
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.submit.webhook_signature import expect_signed
from flinkjobs.web.messages import Request
from local.functions import FunctionServer
from tests.integration.submit.conftest import Document, Traces

NEW_KEY, OLD_KEY, FOREIGN_KEY = b"n" * 32, b"o" * 24, b"f" * 32
SECRETS = " ".join(f"whsec_{base64.b64encode(key).decode()}" for key in (NEW_KEY, OLD_KEY))
BODY = json.dumps({"template_id": "signed", "script": {"path": "/jobs/etl.py"}, "args": ["ü"]}).encode()
REQUIRED = ["FLINK_IMAGE", "FLINK_REST_URL"]


def digest(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return base64.b64encode(signed).decode()


def signed(
    key: bytes = NEW_KEY, *, body: bytes = BODY, message_id: str = "msg_1", age_seconds: float = 0.0
) -> dict[str, str]:
    """The headers of a good signature."""
    timestamp = str(int(time.time() - age_seconds))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{digest(key, message_id, timestamp, body)}",
        "content-type": "application/json",
    }


@pytest.fixture(scope="module")
def guarded(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """The submit function with two secrets, while one replaces the other."""
    with FunctionServer("submit", {**settings, "WEBHOOK_SECRETS": SECRETS}) as running:
        yield running


def send(server: FunctionServer, headers: Mapping[str, str], body: bytes = BODY) -> httpx.Response:
    """A request whose headers are sent as Latin-1."""
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    return httpx.post(f"{server.url}/", content=body, headers=raw, timeout=60, trust_env=False)


def refusal() -> Document:
    """The one answer to everything that is not signed."""
    return {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "the request is not signed, or its signature is not valid",
        "code": "UNAUTHORIZED",
    }


@pytest.mark.parametrize("key", [NEW_KEY, OLD_KEY], ids=["the new secret", "the old secret"])
def test_a_signature_by_either_secret_is_accepted(
    key: bytes, guarded: FunctionServer, traces: Traces
) -> None:
    answer = send(guarded, signed(key))
    assert answer.status_code == 202, answer.text
    assert traces.record()["idempotency_key"] == "msg_1"


def test_one_good_signature_among_others_is_enough(guarded: FunctionServer, traces: Traces) -> None:
    """A sender that rotates its secret signs with both."""
    headers = signed()
    headers["webhook-signature"] = f"v1,{'A' * 43}= v1a,asymmetric {headers['webhook-signature']}"
    assert send(guarded, headers).status_code == 202
    assert len(traces.records()) == 1


def test_a_delivery_that_is_repeated_gets_the_first_answer(guarded: FunctionServer, traces: Traces) -> None:
    """The same message id, signed again a minute later, as a sender does that got no answer."""
    first = send(guarded, signed(age_seconds=60))
    again = [send(guarded, signed()), send(guarded, signed(OLD_KEY))]
    assert first.status_code == 202
    assert [(answer.status_code, answer.json()) for answer in again] == [(200, first.json())] * 2
    assert len(traces.kubernetes.names("jobs")) == len(traces.records()) == 1


def changed(**headers: str | None) -> dict[str, str]:
    """A good signature with some of its headers changed, or left out."""
    all_headers = {**signed(), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {name: value for name, value in all_headers.items() if value is not None}


def signature(text: str) -> dict[str, str]:
    return changed(webhook_signature=text)


GOOD = "A" * 43 + "="
"""As long as a signature."""

UNAUTHORIZED = {
    "nothing at all": lambda: {"content-type": "application/json"},
    "no id": lambda: changed(webhook_id=None),
    "no timestamp": lambda: changed(webhook_timestamp=None),
    "no signature": lambda: changed(webhook_signature=None),
    "an empty id": lambda: changed(webhook_id=""),
    "an empty timestamp": lambda: changed(webhook_timestamp=""),
    "an empty signature": lambda: signature(""),
    "another id": lambda: changed(webhook_id="msg_2"),
    "a later timestamp": lambda: changed(webhook_timestamp=str(int(time.time()) + 1)),
    "a foreign secret": lambda: signed(FOREIGN_KEY),
    "too old": lambda: signed(age_seconds=310),
    "too new": lambda: signed(age_seconds=-310),
    "another body": lambda: signed(body=BODY.replace(b"etl", b"etm")),
    "one byte more": lambda: signed(body=BODY + b" "),
    "a timestamp that is no number": lambda: changed(webhook_timestamp="now"),
    "a timestamp that is not a number": lambda: changed(webhook_timestamp="nan"),
    "an endless timestamp": lambda: changed(webhook_timestamp="inf"),
    "a huge timestamp": lambda: changed(webhook_timestamp="9" * 400),
    "a huge power": lambda: changed(webhook_timestamp="1e308"),
    "a negative timestamp": lambda: changed(webhook_timestamp="-1"),
    "no version": lambda: signature(GOOD),
    "an unknown version": lambda: signature(f"v2,{GOOD}"),
    "a version alone": lambda: signature("v1"),
    "a version and a comma": lambda: signature("v1,"),
    "two commas": lambda: signature(f"v1,{GOOD},{GOOD}"),
    "commas alone": lambda: signature(",,,"),
    "no Base64": lambda: signature("v1,%%%"),
    "Base64 without its end": lambda: signature("v1,AAAAA"),
    "Base64 of nothing": lambda: signature("v1,===="),
    "half a signature": lambda: signature(f"v1,{GOOD[:20]}"),
    "signs beyond ASCII": lambda: signature("v1,\u00e9\u00e9\u00e9"),
    "a hundred wrong signatures": lambda: signature(" ".join([f"v1,{GOOD}"] * 100)),
    "an id beyond ASCII": lambda: changed(webhook_id="\u00e9"),
    "the secret itself": lambda: signature(f"v1,{SECRETS.split()[0]}"),
}


@pytest.mark.parametrize("headers", UNAUTHORIZED.values(), ids=UNAUTHORIZED)
def test_anything_else_is_refused_with_one_and_the_same_answer(
    headers: Callable[[], dict[str, str]], guarded: FunctionServer, traces: Traces
) -> None:
    answer = send(guarded, headers())
    assert (answer.status_code, answer.json()) == (401, refusal())
    assert answer.headers["content-type"] == "application/problem+json"
    assert traces.records() == []
    assert traces.kubernetes.requests() == {}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 10_000, b"{}"], ids=["empty", "cut", "deep", "nothing in it"]
)
def test_a_body_is_not_looked_into_before_its_signature(
    body: bytes, guarded: FunctionServer, traces: Traces
) -> None:
    unsigned = send(guarded, signed(FOREIGN_KEY, body=body), body)
    assert (unsigned.status_code, unsigned.json()) == (401, refusal())
    good = send(guarded, signed(body=body), body)
    assert (good.status_code, good.json()["code"]) == (400, "BAD_REQUEST")
    assert traces.records() == []


def test_nothing_is_connected_to_before_the_signature(settings: Mapping[str, str]) -> None:
    """With a kubeconfig that does not exist, only a signed request comes so far as to miss it."""
    environment = {**settings, "WEBHOOK_SECRETS": SECRETS, "KUBECONFIG": "/nowhere/kubeconfig"}
    function = SubmitFunction(read_settings(environment, required=REQUIRED))
    with pytest.raises(UnauthorizedError):
        function.post(Request(headers=signed(FOREIGN_KEY), query={}, body=BODY))
    with pytest.raises(SettingsError, match="K8S_AUTH"):
        function.post(Request(headers=signed(), query={}, body=BODY))


def test_a_body_that_is_no_utf_8_is_a_bad_request_where_no_signature_is_asked_for(
    submit: FunctionServer, traces: Traces
) -> None:
    answer = send(submit, {"content-type": "application/json"}, b'{"template_id": "\xff\xfe"}')
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert traces.records() == []


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb", "\u00e9"])
def test_a_key_that_cannot_be_kept_is_a_bad_request(key: str, submit: FunctionServer, traces: Traces) -> None:
    answer = send(submit, {"Idempotency-Key": key, "Content-Type": "application/json"})
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["header:idempotency-key"]
    assert traces.records() == []


@pytest.mark.parametrize("size", range(24, 65))
def test_a_secret_of_any_allowed_size_may_be_written_with_its_padding_or_without(
    size: int, settings: Mapping[str, str]
) -> None:
    secret = f"whsec_{base64.b64encode(b'k' * size).decode()}"
    for written in (secret, secret.rstrip("=")):
        read = read_settings({**settings, "WEBHOOK_SECRETS": written}, required=REQUIRED)
        expect_signed(BODY, signed(b"k" * size), read.webhook_secrets)


@pytest.mark.parametrize("size", [0, 23, 65])
def test_a_secret_of_another_size_stops_the_function(size: int, settings: Mapping[str, str]) -> None:
    secret = f"whsec_{base64.b64encode(b'k' * size).decode()}"
    with pytest.raises(SettingsError, match="WEBHOOK_SECRETS"):
        read_settings({**settings, "WEBHOOK_SECRETS": secret}, required=REQUIRED)
