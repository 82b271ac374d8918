"""Composition root of the jobs function, the read side."""

from __future__ import annotations

from functools import cache, cached_property, partial
from typing import Final

from flinkjobs.adapters.mongo.client import connect
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.entrypoints.clients import connect_kubernetes, sync_caller
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.jobs import prometheus, service
from flinkjobs.settings.functions import Settings
from flinkjobs.web import parameters, ui
from flinkjobs.web.messages import Answer, Request, Route, unless_held

SYNC_TIMEOUT_SECONDS: Final = 18.0
"""Seconds that *sync now* waits: less than the page does, so that the page hears why it got nothing."""
KUBERNETES_TIMEOUT_SECONDS: Final = 5.0
"""Seconds that a page waits for Kubernetes before it says that it does not answer."""


class JobsFunction:
    """The jobs function: `GET` shows the page, the records and the statistics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.origins = settings.cors_origins
        self.headers = {name: value for name, value in ui.HEADERS.items() if name != "Cache-Control"}
        self.routes = (
            Route("GET", "/", parameters.page_file),
            Route("GET", "/assets/<name>", parameters.page_file),
            Route("GET", "/api/jobs", self._list),
            Route("GET", "/api/jobs/<id>", self._show),
            Route("POST", "/api/jobs/<id>/sync", self._sync_now),
            Route("POST", "/api/sync", self._sync_several),
            Route("GET", "/api/flink-jobs", self._list_unmanaged),
            Route("GET", "/api/metrics", self._metrics),
            Route("GET", "/metrics", self._prometheus),
        )

    @cached_property
    def _jobs(self) -> service.Jobs:
        return build_jobs(self._settings)

    def _list(self, request: Request) -> Answer:
        self.ready()  # a server that hangs is noticed at once, however long a query may take
        return unless_held(request, service.list_jobs(self._jobs, request.parameters))

    def _list_unmanaged(self, request: Request) -> Answer:
        return unless_held(request, service.list_unmanaged(self._jobs, request.parameters))

    def _show(self, request: Request) -> Answer:
        parameters.expect_no_parameters(request)
        self.ready()
        return unless_held(request, service.show(self._jobs, request.path["id"]))

    def _sync_now(self, request: Request) -> Answer:
        parameters.expect_own_page(request, self.origins)
        parameters.expect_nothing_else(request)
        return Answer(service.sync_now(self._jobs, request.path["id"]))

    def _sync_several(self, request: Request) -> Answer:
        parameters.expect_own_page(request, self.origins)
        parameters.expect_no_parameters(request)
        request.expect_json()
        return Answer(service.sync_several(self._jobs, parameters.some_job_ids(request)))

    def _metrics(self, request: Request) -> Answer:
        parameters.expect_no_parameters(request)
        return Answer(service.metrics(self._jobs))

    def _prometheus(self, request: Request) -> Answer:
        parameters.expect_no_parameters(request)
        text = prometheus.exposition(service.metrics(self._jobs))
        return Answer(headers={"Content-Type": prometheus.CONTENT_TYPE}, content=text)

    def ready(self) -> None:
        """Asks MongoDB whether it answers. Kubernetes and Flink may be away: the records can be shown."""
        self._jobs.store.ping()


def build_jobs(settings: Settings) -> service.Jobs:
    """Dependencies of the read side. Sends nothing before the first request."""
    return service.Jobs(
        store=MongoReadStore(connect(settings.mongodb_uri, settings.mongodb_database)),
        cluster=cache(partial(connect_kubernetes, settings, read_timeout_seconds=KUBERNETES_TIMEOUT_SECONDS)),
        namespace=settings.k8s_namespace,
        ui_urls={name: cluster.web_url for name, cluster in settings.flink_clusters.items()},
        history_urls={name: cluster.history_web_url for name, cluster in settings.flink_clusters.items()},
        sync=sync_caller(settings.sync_url, timeout_seconds=SYNC_TIMEOUT_SECONDS)
        if settings.sync_url
        else None,
        sync_period_seconds=settings.sync_period_seconds,
        clock=utc_now,
    )
