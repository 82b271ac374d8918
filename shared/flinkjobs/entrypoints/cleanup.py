"""Composition root of the cleanup function."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from functools import cached_property

from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.record_store import MongoRecordStore
from flinkjobs.adapters.mongo.stats_store import MongoStatsStore
from flinkjobs.cleanup import service
from flinkjobs.cleanup.context import Cleanup, RecordRetention
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.entrypoints.clients import connect_database_and_kubernetes
from flinkjobs.entrypoints.startup import cold_until
from flinkjobs.entrypoints.sync import build_sync
from flinkjobs.settings.functions import Settings
from flinkjobs.web import parameters
from flinkjobs.web.messages import Answer, Request


class CleanupFunction:
    """The cleanup function: `POST /` deletes finished Kubernetes Jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cold_until = cold_until(settings)

    @cached_property
    def _cleanup(self) -> Cleanup:
        settings = self._settings
        budget_ends = time.monotonic() + settings.sync_budget_seconds
        database, cluster = connect_database_and_kubernetes(
            settings, cold_until=min(self._cold_until, budget_ends)
        )
        return Cleanup(
            sync=build_sync(settings, database, cold_until=self._cold_until),
            cluster=cluster,
            policy=RetentionPolicy(
                retention=timedelta(hours=settings.cleanup_retention_hours),
                unsettled=timedelta(hours=settings.cleanup_unharvested_hours),
            ),
            max_deletions=settings.cleanup_max_deletions,
            deletions_per_second=settings.cleanup_deletions_per_second,
            budget_seconds=settings.sync_budget_seconds,
            records=_record_retention(settings.record_retention_days, database),
            namespaces=settings.k8s_namespaces,
            stats=MongoStatsStore(database),
        )

    def post(self, request: Request) -> Answer:
        """Runs cleanup; with `dry_run`, in the query or the body, only reports what it would delete."""
        dry_run = parameters.dry_run(request)
        began = time.monotonic()
        cleanup = self._cleanup  # the first request connects, which its budget pays for
        left = cleanup.budget_seconds - (time.monotonic() - began)
        return Answer(service.run(replace(cleanup, budget_seconds=left), dry_run=dry_run))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer."""
        self._cleanup.store.ping()
        self._cleanup.cluster.ping()


def _record_retention(days: int | None, database: MongoDatabase) -> RecordRetention | None:
    return None if days is None else RecordRetention(MongoRecordStore(database), timedelta(days=days))
