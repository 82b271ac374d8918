"""Composition root of the sync function."""

from __future__ import annotations

from datetime import timedelta
from functools import cache, cached_property, partial

from flinkjobs.adapters.flink.client import HttpFlink, new_client
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.domain.transition import Policy
from flinkjobs.entrypoints.clients import connect_database, connect_kubernetes
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.settings.functions import Settings
from flinkjobs.sync import service
from flinkjobs.sync.context import Sync
from flinkjobs.web import parameters
from flinkjobs.web.messages import Answer, Request


def build_sync(settings: Settings) -> Sync:
    """What a pass works with. Kubernetes is connected when a record needs it: most passes need none."""
    database = connect_database(settings)
    client = new_client(settings.flink_clusters.values())  # sends nothing
    return Sync(
        kubernetes=cache(partial(connect_kubernetes, settings)),
        store=MongoJobStore(database),
        leases=MongoLeaseStore(database),
        flinks={name: HttpFlink(described, client) for name, described in settings.flink_clusters.items()},
        policy=Policy(lost_after=timedelta(seconds=settings.lost_after_seconds)),
        budget_seconds=settings.sync_budget_seconds,
        clock=utc_now,
    )


class SyncFunction:
    """The sync function: `POST /` runs one pass."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _sync(self) -> Sync:
        return build_sync(self._settings)

    def post(self, request: Request) -> Answer:
        """Runs one pass, over all open records or those of `job_ids`."""
        return Answer(service.run_pass(self._sync, job_ids=parameters.job_ids(request)))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer. A Flink cluster may be away."""
        self._sync.store.ping()
        self._sync.kubernetes().ping()
