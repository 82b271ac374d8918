"""Scheduler time: it may run faster than the wall clock, stand still, and be moved forward."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

LONGEST_WAIT_SECONDS = 3600.0
"""A wait is looked at again after this long, so that no timer of the event loop gets out of its range."""


class Clock:
    """The time by which schedules, back-offs and deadlines are counted.

    `now()` moves `speed` times as fast as `wall`, which counts seconds and never goes back.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        start: datetime | None = None,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        speed: seconds of scheduler time per second of `wall`; 0: it stands still but for `move_forward`.
        start: the first moment; None means the real time.
        wall: where its progress comes from.
        """
        self._wall = wall
        self._anchor = (start or datetime.now(UTC)).astimezone(UTC)
        self._anchor_wall = wall()
        self._changed = asyncio.Event()
        self._speed = speed

    def now(self) -> datetime:
        """Returns the current scheduler time, in UTC."""
        return self._anchor + timedelta(seconds=(self._wall() - self._anchor_wall) * self._speed)

    def move_forward(self, duration: timedelta) -> None:
        """Jumps ahead; everything that falls due in between is due at once.

        Raises:
            ValueError: `duration` is negative: scheduler time never goes back.
        """
        if duration < timedelta(0):
            raise ValueError("the clock cannot be moved back")
        self._anchor, self._anchor_wall = self.now() + duration, self._wall()
        self._changed.set()
        self._changed = asyncio.Event()

    async def reach(self, moment: datetime, *, unless: asyncio.Event) -> bool:
        """Waits until it is `moment`; returns False when `unless` is set first."""
        while not unless.is_set():
            changed = self._changed
            if self.now() >= moment:
                return True
            left = (moment - self.now()).total_seconds()
            timeout = min(left / self._speed, LONGEST_WAIT_SECONDS) if self._speed else None
            await first_of(changed, unless, timeout_seconds=timeout)
        return False


async def first_of(*events: asyncio.Event, timeout_seconds: float | None) -> None:
    """Waits until one of the events is set or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
