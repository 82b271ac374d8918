"""Rate limit of the requests to delete, shared by the threads of a run."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

PAUSE_SECONDS: Final = 1.0
"""Seconds to pause when the API server asks for a pause and names no length."""


class RateLimiter:
    """Spreads permits evenly over time until a deadline."""

    def __init__(
        self,
        per_second: float,
        *,
        deadline: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Args:
        per_second: maximum number of permits per second.
        deadline: no permit is granted after it; by the same clock as `monotonic`.
        monotonic: a clock in seconds.
        sleep: waits this number of seconds.
        """
        self._interval = 1 / per_second
        self._deadline = deadline
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = monotonic()
        self._lock = Lock()

    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._monotonic() >= self._deadline

    def seconds_left(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self._deadline - self._monotonic())

    def acquire(self) -> bool:
        """Waits for a permit; returns False at once when none is due before the deadline."""
        while True:
            with self._lock:
                now = self._monotonic()
                wait = self._next - now
                if max(self._next, now) >= self._deadline:
                    return False
                if wait <= 0:
                    self._next = max(self._next, now - self._interval) + self._interval
                    return True
            self._sleep(wait)

    def pause(self, seconds: float | None) -> None:
        """Grants no permit for this long; for `PAUSE_SECONDS` when `seconds` is None."""
        with self._lock:
            pause = PAUSE_SECONDS if seconds is None else seconds
            self._next = max(self._next, self._monotonic() + pause)
