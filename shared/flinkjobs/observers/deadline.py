"""Deadline of a pass, by the monotonic clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Self

REQUEST_GRACE_SECONDS: Final = 10.0
"""Seconds that a request to Kubernetes or Flink gets beyond the deadline."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a time budget.

    Attributes:
        at: by `time.monotonic`, seconds.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def requests_until(self) -> float:
        """Deadline of running requests, by `time.monotonic`."""
        return self.at + REQUEST_GRACE_SECONDS

    def is_over(self) -> bool:
        """Whether the time budget is exhausted."""
        return time.monotonic() > self.at

    def is_past_grace(self) -> bool:
        """Whether follow-up requests may not begin either."""
        return time.monotonic() > self.requests_until
