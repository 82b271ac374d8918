"""Who may submit: Standard Webhooks signatures. https://www.standardwebhooks.com"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook, WebhookVerificationError

from flinkjobs.errors import UnauthorizedError


def expect_signed(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    """Lets a request pass that is signed with one of the secrets, within five minutes of now.

    Args:
        body: raw, as it was signed.
        headers: by lower-case name: webhook-id, webhook-timestamp, webhook-signature.
        secrets: newest first: two of them while one replaces the other.

    Raises:
        UnauthorizedError: no, wrong, malformed, too old or too new a signature. It does not say which.
    """
    for secret in secrets:
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue  # a malformed signature raises a plain ValueError (binascii.Error is one)
        return
    raise UnauthorizedError("the request is not signed, or its signature is not valid")
