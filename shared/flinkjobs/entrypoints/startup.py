"""Start of a function: reads the settings, configures the log, makes the channels."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import TypeVar

from flinkjobs import log
from flinkjobs.domain.errors import SettingsError
from flinkjobs.settings.functions import Settings, read_settings

T = TypeVar("T")


def started(function: Callable[[Settings], T], required: Collection[str] = ()) -> T:
    """A function with its settings; a missing or wrong one ends the process with one line that names it."""
    try:
        settings = read_settings(os.environ, required=required)
        log.configure(settings.log_level)
        return function(settings)
    except SettingsError as error:
        sys.exit(f"flinkjobs: {error}")


def is_stopping() -> bool:
    """Whether this process has been sent SIGTERM, while a request is answered.

    gunicorn handles the signal by a method of its worker, which then takes no further request and waits 30 s
    for those that run. Its `alive` is all that they can see of it:
    https://gunicorn.org/signals/
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return not getattr(worker, "alive", True)


def utc_now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


def cold_until(settings: Settings) -> float:
    """Deadline by `time.monotonic` for the network of a process that starts now."""
    return time.monotonic() + settings.cold_start_seconds
