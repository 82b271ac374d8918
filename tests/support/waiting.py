"""Waiting for a condition instead of sleeping for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_POLL_SECONDS = 0.05
LAST_POLL_SECONDS = 0.5
"""What takes long is looked at less often, as the condition may run a pass."""


def until(look: Callable[[], T | None], *, timeout_seconds: float, what: str) -> T:
    """Calls `look` again and again until it returns a true value; returns that.

    Raises:
        AssertionError: it was not seen in time.
    """
    deadline = time.monotonic() + timeout_seconds
    poll_seconds = FIRST_POLL_SECONDS
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {timeout_seconds:g} s"
        time.sleep(poll_seconds)
        poll_seconds = min(1.2 * poll_seconds, LAST_POLL_SECONDS)
