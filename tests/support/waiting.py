"""Waiting for a condition instead of sleeping for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


def until(look: Callable[[], T | None], *, timeout_seconds: float, what: str) -> T:
    """Calls `look` again and again until it returns a true value; returns that.

    Raises:
        AssertionError: it was not seen in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {timeout_seconds:g} s"
        time.sleep(POLL_SECONDS)
