"""Start of a function: reads the settings, configures the log, makes the channels."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flinkjobs import log
from flinkjobs.domain.errors import SettingsError
from flinkjobs.settings.functions import Settings, read_settings

if TYPE_CHECKING:
    from flinkjobs.ports.channels import Channel


def settings_or_exit(required: Collection[str] = (), environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; a missing or wrong one ends the process with one line that names it."""
    try:
        settings = read_settings(os.environ if environ is None else environ, required=required)
    except SettingsError as error:
        sys.exit(f"flinkjobs: {error}")
    log.configure(settings.log_level)
    return settings


def channels_or_exit(settings: Settings) -> tuple[Channel, ...]:
    """The channels; a wrong one ends the process with one line that names it."""
    if not settings.notify_channels:
        return ()
    # What only channels need stays away from a function without any.
    from flinkjobs.entrypoints.channels import build_channels  # noqa: PLC0415

    try:
        return build_channels(settings)
    except SettingsError as error:
        sys.exit(f"flinkjobs: {error}")


def utc_now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


def cold_until(settings: Settings) -> float:
    """Deadline by `time.monotonic` for the network of a process that starts now."""
    return time.monotonic() + settings.cold_start_seconds
