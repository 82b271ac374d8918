"""Unix-cron as Cloud Scheduler reads it: five fields, a time zone, the next time.

https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules

Around a change of the clocks the rules are Debian cron's, as the library implements them: an expression that
names its hour runs once, right after the gap where its time does not exist and at the first of two equal
times; an expression with a star in the minute or the hour follows elapsed time.
"""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = 5
# A star, a value or a range; only a star or a range may have a step. The library also knows seconds, L, LW
# and n#m, which Cloud Scheduler does not.
VALUE = r"(?:\d+|[A-Z]{3})"
TERM = rf"(?:\*(?:/\d+)?|{VALUE}(?:-{VALUE}(?:/\d+)?)?)"
FIELD = re.compile(rf"{TERM}(?:,{TERM})*", re.ASCII | re.IGNORECASE)


class CronError(ValueError):
    """The expression is not unix-cron, or names a day that never comes."""


def time_zone(name: str) -> ZoneInfo:
    """Returns the time zone of the tz database called `name`; ``utc`` may be in lower case.

    Raises:
        CronError: there is none.
    """
    try:
        return ZoneInfo("UTC" if name.lower() == "utc" else name)
    except (KeyError, ValueError, OSError) as error:
        raise CronError(f"unknown time zone {name!r}") from error


def next_time(expression: str, *, zone: str, after: datetime) -> datetime:
    """Returns the first time of `expression` in `zone` that is later than `after`, in UTC.

    Raises:
        CronError: the expression or the zone is wrong, or no time matches within fifty years.
    """
    fields = expression.split()
    if len(fields) != FIELDS:
        raise CronError(f"a schedule has {FIELDS} fields, {expression!r} has {len(fields)}")
    for field in fields:
        if not FIELD.fullmatch(field):
            raise CronError(f"{field!r} in {expression!r} is not unix-cron")
    try:
        return next(CronSim(expression, after.astimezone(time_zone(zone)))).astimezone(UTC)
    except (CronSimError, StopIteration) as error:
        raise CronError(f"{expression!r} is no schedule: {str(error) or 'it never comes'}") from error
