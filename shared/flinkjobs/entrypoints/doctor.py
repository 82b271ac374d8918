"""Composition root of `flinkjobs doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

from flinkjobs.adapters.flink.client import HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.probe import MongoProbe
from flinkjobs.doctor.probes import Probes
from flinkjobs.entrypoints.channels import build_channels
from flinkjobs.entrypoints.clients import connect_kubernetes
from flinkjobs.entrypoints.function import connect_function
from flinkjobs.entrypoints.schedules import connect_schedules
from flinkjobs.ports.flink import FlinkProbe
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.ports.store_admin import StoreProbe
from flinkjobs.settings.client import ClientSettings
from flinkjobs.settings.functions import Settings


@contextmanager
def doctor_probes() -> Iterator[Probes]:
    """Clients of doctor; those that were opened are closed after the block."""
    with ExitStack() as opened:

        def store(settings: Settings) -> StoreProbe:
            probe = MongoProbe(connect(settings.mongodb_uri, settings.mongodb_database))
            return opened.enter_context(closing(probe))

        def flinks(settings: Settings) -> Mapping[str, FlinkProbe]:
            return {
                name: HttpFlink(cluster, opened.enter_context(FlinkConnection(cluster)))
                for name, cluster in settings.flink_clusters.items()
            }

        def function(url: str, settings: ClientSettings) -> RemoteFunction:
            called = connect_function(url, settings)
            opened.callback(called.close)
            return called

        yield Probes(
            store=store,
            cluster=lambda settings: opened.enter_context(closing(connect_kubernetes(settings))),
            flinks=flinks,
            function=function,
            channels=build_channels,
            schedules=lambda settings: opened.enter_context(connect_schedules(settings)),
        )
