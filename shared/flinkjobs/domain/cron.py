"""Cron expressions of Cloud Scheduler: unix-cron.

https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Final

from cronsim import CronSim, CronSimError

_VALUE: Final = r"(\d+|[A-Z]{3})"
_TERM: Final = rf"({_VALUE}|(\*|{_VALUE}-{_VALUE})(/\d+)?)"
_FIELD: Final = rf"{_TERM}(,{_TERM})*"
_UNIX_CRON: Final = re.compile(rf"{_FIELD}(\s+{_FIELD}){{4}}", re.ASCII | re.IGNORECASE)
"""The library also takes seconds, `L`, `LW`, `n#m`, and a step after a single value."""

_FROM: Final = datetime(2024, 1, 1, tzinfo=UTC)
_UNTIL: Final = _FROM + timedelta(days=5 * 366)
"""From a leap year past the next one: the 29th of February comes twice."""


def cron_fault(expression: str) -> str | None:
    """Returns what is wrong with a cron expression, None when it is right.

    A day that never comes, such as the 30th of February, is wrong.
    """
    if not _UNIX_CRON.fullmatch(expression.strip()):
        return f"{expression!r} is not unix-cron: minute, hour, day of month, month, day of week"
    try:
        CronSim(expression, _FROM)
    except CronSimError as error:
        return f"{expression!r}: {str(error).lower()}"
    return None


@lru_cache(maxsize=64)  # 0.1 s each, and doctor asks for the same few in several checks
def longest_gap(expression: str) -> timedelta | None:
    """Returns the longest time between two times of a cron expression; None when it is wrong.

    Looked at over the years from one leap year to the next, without a time zone's changes.
    """
    if cron_fault(expression) is not None:
        return None
    minute, hour, *day = expression.split()
    times = _times(f"{minute} {hour} * * *", _FROM + timedelta(days=1))
    days = _times(" ".join(("0 0", *day)), _UNTIL)
    within = max((after - before for before, after in pairwise(times)), default=timedelta(0))
    between = max((after - before for before, after in pairwise(days)), default=_UNTIL - _FROM)
    return max(within, between - (times[-1] - times[0]))


def _times(expression: str, until: datetime) -> list[datetime]:
    return list(takewhile(lambda time: time < until, CronSim(expression, _FROM - timedelta(seconds=1))))
