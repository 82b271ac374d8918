"""Composition root of the sync function."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Final

from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.adapters.mongo.action_store import MongoActionStore
from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.health_store import MongoHealthStore
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.health_values import Limits
from flinkjobs.domain.ticks import end_of_invocation
from flinkjobs.domain.transition import Policy
from flinkjobs.entrypoints.clients import connect_database, connect_kubernetes
from flinkjobs.entrypoints.startup import cold_until, is_stopping, utc_now
from flinkjobs.settings.functions import Settings
from flinkjobs.sync import service
from flinkjobs.sync.context import Sync
from flinkjobs.sync.follow import follow
from flinkjobs.web import parameters
from flinkjobs.web.messages import Answer, Request

if TYPE_CHECKING:
    from flinkjobs.notify.delivery import Delivery
    from flinkjobs.ports.channels import Channel
    from flinkjobs.ports.notify_store import NotifyStore


SCHEDULE_HEADER: Final = "x-cloudscheduler"
"""Sent with every request of a schedule, in lower case.

https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1#httptarget
"""


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The channels of the settings.

    Raises:
        SettingsError: one is wrong; the message names it.
    """
    if not settings.notify_channels:
        return ()
    # What only channels need stays away from a function without any.
    from flinkjobs.entrypoints.channels import build_channels  # noqa: PLC0415

    return build_channels(settings)


def build_sync(
    settings: Settings, database: MongoDatabase, *, cold_until: float, channels: Sequence[Channel] = ()
) -> Sync:
    """Dependencies of a pass. Kubernetes is connected only if a record needs it."""
    notify_store = MongoNotifyStore(database)
    return Sync(
        kubernetes=cache(partial(connect_kubernetes, settings)),
        store=MongoJobStore(database),
        notify_store=notify_store,
        leases=MongoLeaseStore(database),
        flinks={
            name: HttpFlink(described, FlinkConnection(described), cold_until=cold_until)
            for name, described in settings.flink_clusters.items()
        },
        policy=Policy(
            lost_after=timedelta(seconds=settings.lost_after_seconds),
            stuck_after=timedelta(seconds=settings.notify_stuck_after_seconds),
        ),
        budget_seconds=settings.sync_budget_seconds,
        clock=utc_now,
        period=timedelta(seconds=settings.sync_period_seconds),
        delivery=_delivery(notify_store, channels) if channels else None,
        is_stopping=is_stopping,
        health_store=MongoHealthStore(database),
        action_store=MongoActionStore(database),
        health=Limits(
            window=timedelta(seconds=settings.health_window_seconds),
            max_restarts=settings.health_max_restarts,
            wait=timedelta(seconds=settings.health_wait_seconds),
            requests=settings.health_requests_per_pass,
        ),
    )


def _delivery(store: NotifyStore, channels: Sequence[Channel]) -> Delivery:
    # A function without channels starts without what delivers to them.
    from flinkjobs.notify.delivery import Delivery  # noqa: PLC0415

    return Delivery(store, channels, clock=utc_now)


class SyncFunction:
    """The sync function: `POST /` runs one pass."""

    def __init__(self, settings: Settings, channels: Sequence[Channel] = ()) -> None:
        self._settings = settings
        self._channels = channels
        self._cold_until = cold_until(settings)

    @cached_property
    def _sync(self) -> Sync:
        budget_ends = time.monotonic() + self._settings.sync_budget_seconds
        database = connect_database(self._settings, cold_until=min(self._cold_until, budget_ends))
        return build_sync(self._settings, database, cold_until=self._cold_until, channels=self._channels)

    def post(self, request: Request) -> Answer:
        """Runs one pass, over all open records or those of `job_ids`; in follow mode a schedule runs many."""
        job_ids = parameters.job_ids(request)
        began, came_at = time.monotonic(), utc_now()
        sync = self._sync  # the first request connects, which its budget pays for
        every_seconds = self._settings.sync_follow_seconds
        if every_seconds is not None and job_ids is None and SCHEDULE_HEADER in request.headers:
            ends_at = end_of_invocation(came_at)
            return Answer(follow(sync, every=timedelta(seconds=every_seconds), ends_at=ends_at))
        left = sync.budget_seconds - (time.monotonic() - began)
        return Answer(service.run_pass(replace(sync, budget_seconds=left), job_ids=job_ids))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer. A Flink cluster may be away."""
        self._sync.store.ping()
        self._sync.kubernetes().ping()
