"""Deadline of a pass, by the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

REQUEST_GRACE_SECONDS: Final = 10.0
"""Seconds that a request to Kubernetes or Flink gets beyond the deadline."""


def never() -> bool:
    """Of a process that is not asked to stop."""
    return False


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a time budget.

    Attributes:
        at: by `time.monotonic`, seconds.
        grace_seconds: see `REQUEST_GRACE_SECONDS`.
        is_stopping: whether the process has been asked to stop, which exhausts the budget at once.
    """

    at: float
    grace_seconds: float = REQUEST_GRACE_SECONDS
    is_stopping: Callable[[], bool] = never

    @classmethod
    def after(
        cls,
        seconds: float,
        *,
        grace_seconds: float = REQUEST_GRACE_SECONDS,
        is_stopping: Callable[[], bool] = never,
    ) -> Self:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds, grace_seconds, is_stopping)

    @property
    def requests_until(self) -> float:
        """Deadline of running requests, by `time.monotonic`."""
        return self.at + self.grace_seconds

    def is_over(self) -> bool:
        """Whether the time budget is exhausted."""
        return time.monotonic() > self.at or self.is_stopping()

    def is_within(self, seconds: float) -> bool:
        """Whether fewer than these seconds are left."""
        return time.monotonic() + seconds > self.at

    def is_past_grace(self) -> bool:
        """Whether follow-up requests may not begin either."""
        return time.monotonic() > self.requests_until
