"""Composition root of follow mode without end: `flinkjobs sync --follow`.

    python -m flinkjobs.entrypoints.follow

does the same without the command's libraries, for a container; its log is that of the function sync.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import timedelta
from functools import cache
from threading import Event
from typing import Final

from flinkjobs import log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.entrypoints.clients import connect_database
from flinkjobs.entrypoints.startup import cold_until, started
from flinkjobs.entrypoints.sync import build_sync, channels_of
from flinkjobs.settings.functions import Settings
from flinkjobs.sync.context import Sync
from flinkjobs.sync.follow import follow

DEFAULT_SECONDS: Final = 5
"""Seconds between two passes where `SYNC_FOLLOW_SECONDS` is not set."""


def follow_until_stopped(settings: Settings) -> None:
    """Repeats passes until SIGTERM or SIGINT; for the main thread.

    After an error, and after another has taken the lease, it begins anew.

    Raises:
        SettingsError: a channel is wrong; the message names it.
    """
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    every = timedelta(seconds=settings.sync_follow_seconds or DEFAULT_SECONDS)
    channels, cold = channels_of(settings), cold_until(settings)

    @cache
    def sync() -> Sync:
        database = connect_database(settings, cold_until=cold)
        built = build_sync(settings, database, cold_until=cold, channels=channels)
        return replace(built, is_stopping=stopped.is_set)

    while not stopped.is_set():
        try:
            follow(sync(), every=every, ends_at=None)
        except FlinkjobsError as error:
            log.error("sync.not_followed", code=error.code, detail=str(error))
            stopped.wait(every.total_seconds())


if __name__ == "__main__":
    started(follow_until_stopped, ["FLINK_REST_URL"])
