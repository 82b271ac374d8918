"""A pace that several threads keep together: so many turns a second, and a pause when one was asked for."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

PAUSE_SECONDS: Final = 1.0
"""How long a peer is left alone that asks for a pause and does not say how long."""


class Pace:
    """Gives out turns, evenly spread, until the time is up."""

    def __init__(
        self,
        per_second: float,
        *,
        deadline: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Args:
        per_second: turns given out at most.
        deadline: no turn is given out after it; by the same clock as `monotonic`.
        monotonic: a clock in seconds.
        sleep: waits so many seconds.
        """
        self._interval = 1 / per_second
        self._deadline = deadline
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = monotonic()
        self._lock = Lock()

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._monotonic() >= self._deadline

    def seconds_left(self) -> float:
        """Until the time is up; never negative."""
        return max(0.0, self._deadline - self._monotonic())

    def turn(self) -> bool:
        """Waits for the next turn; False when there is none before the time is up."""
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

    def hold(self, seconds: float | None) -> None:
        """Gives out no turn for so long; `PAUSE_SECONDS` where nobody said how long."""
        with self._lock:
            pause = PAUSE_SECONDS if seconds is None else seconds
            self._next = max(self._next, self._monotonic() + pause)
