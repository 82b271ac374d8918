"""Idempotency keys of requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    describe_faults,
)

MAX_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class Key:
    """Identity of a request: its idempotency key and the hash of its body.

    Attributes:
        value: the idempotency key.
        request_hash: distinguishes requests with the same key.
    """

    value: str
    request_hash: str


def key_of(headers: Mapping[str, str], body: Mapping[str, Any], *, is_signed: bool = False) -> Key | None:
    """The idempotency key of a request: `Idempotency-Key`, quoted or bare, else `webhook-id`.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

    Args:
        headers: by lower-case name.
        body: the decoded JSON object.
        is_signed: whether the signature was checked; it covers `webhook-id` only: with another key,
            an attacker could replay a signed request.

    Raises:
        BadRequestError: a header is empty, too long, or not printable ASCII; or another key is not signed.
    """
    given = [(name, headers[name]) for name in ("idempotency-key", "webhook-id") if name in headers]
    keys = [_checked_key(name, value) for name, value in given]
    if not keys:
        return None
    if is_signed and len(set(keys)) > 1:
        raise _bad_header("idempotency-key", "must be the webhook-id, the only key that is signed")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return Key(keys[0], hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest())


def _checked_key(name: str, value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not 1 <= len(value) <= MAX_KEY or not value.isascii() or not value.isprintable():
        raise _bad_header(name, f"must be 1 to {MAX_KEY} printable ASCII characters")
    return value


def _bad_header(name: str, detail: str) -> BadRequestError:
    fault = Fault(f"header:{name}", detail)
    return BadRequestError(describe_faults([fault]), (fault,))
