"""Verifies Standard Webhooks signatures of requests. https://www.standardwebhooks.com"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

from flinkjobs.domain.errors import UnauthorizedError


def expect_signed(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Raises unless a request is signed with one of the secrets, within five minutes of now.

    Args:
        body: raw, as it was signed.
        headers: by lower-case name: webhook-id, webhook-timestamp, webhook-signature.
        secrets: newest first: two of them while one replaces the other.

    Raises:
        UnauthorizedError: no, wrong, malformed, too old or too new a signature. It does not say which.
    """
    if not is_signed(body, headers, secrets):
        raise UnauthorizedError("the request is not signed, or its signature is not valid")


def is_signed(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
    """Whether a request is signed with one of the secrets; see `expect_signed`."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue  # a malformed signature raises a plain ValueError (binascii.Error is one)
        return True
    return False


def sign(body: str, *, message_id: str, secret: str, now: datetime) -> dict[str, str]:
    """Headers that sign a request for `expect_signed`.

    Args:
        body: exactly as it will be sent.
        message_id: what makes the request a repetition of another; the signature covers it.
        secret: one of the receiver's.
        now: aware UTC.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }
