"""Points in time as a person types them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.entrypoints.startup import utc_now

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(r"([0-9]{1,4})([smhdw])")


def point_in_time(option: str, given: str) -> str:
    """The time in ISO 8601 that an option names, as it was typed where it is one; `2h` is two hours ago.

    Raises:
        MisuseError: it is neither.
    """
    if ago := _AGO.fullmatch(given):
        return (utc_now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).isoformat()
    try:
        datetime.fromisoformat(given)
    except ValueError:
        raise MisuseError(
            f"{option} must be a time in ISO 8601, or how long ago, such as 30m, 2h or 7d, not {given!r}"
        ) from None
    return given
