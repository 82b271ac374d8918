"""Composition root of the jobs function, the read side."""

from __future__ import annotations

import uuid
from functools import cache, cached_property, partial
from typing import Any, Final

from flinkjobs.adapters.mongo.client import connect, may_read_secondaries
from flinkjobs.adapters.mongo.read_store import MongoReadStore
from flinkjobs.domain.errors import SubmitUnavailableError
from flinkjobs.domain.operators import Actor, actor_of
from flinkjobs.entrypoints.clients import ask_submit, connect_kubernetes, sync_caller
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.jobs import prometheus, service
from flinkjobs.jobs.page_actions import acting_view, passed_on, relayed_body
from flinkjobs.settings.functions import Settings
from flinkjobs.submit.idempotency import key_of
from flinkjobs.web import parameters, ui
from flinkjobs.web.messages import Answer, Request, Route, unless_held

SYNC_TIMEOUT_SECONDS: Final = 18.0
"""Seconds that *sync now* waits: less than the page does, so that the page hears why it got nothing."""
SUBMIT_TIMEOUT_SECONDS: Final = 18.0
"""Seconds that an action of the page waits for submit, likewise."""
KUBERNETES_TIMEOUT_SECONDS: Final = 5.0
"""Seconds that a page waits for Kubernetes before it says that it does not answer."""


class JobsFunction:
    """The jobs function: `GET` shows the page, the records and the statistics; `POST` passes requests on."""

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
            Route("POST", "/api/jobs/<id>/cancel", partial(self._act, "cancel")),
            Route("POST", "/api/jobs/<id>/stop", partial(self._act, "stop")),
            Route("POST", "/api/jobs/<id>/savepoint", partial(self._act, "savepoint")),
            Route("POST", "/api/jobs/<id>/run-again", partial(self._act, "run-again")),
            Route("GET", "/api/flink-jobs", self._list_unmanaged),
            Route("GET", "/api/audit", self._audit),
            Route("GET", "/api/metrics", self._metrics),
            Route("GET", "/metrics", self._prometheus),
        )

    @cached_property
    def _jobs(self) -> service.Jobs:
        return build_jobs(self._settings)

    def _list(self, request: Request) -> Answer:
        self.ready()  # a server that hangs is noticed at once, however long a query may take
        return unless_held(
            request, service.list_jobs(self._jobs, request.parameters, acting=self._acting(request))
        )

    def _list_unmanaged(self, request: Request) -> Answer:
        return unless_held(request, service.list_unmanaged(self._jobs, request.parameters))

    def _audit(self, request: Request) -> Answer:
        self.ready()
        return Answer(service.audit(self._jobs, request.parameters))

    def _show(self, request: Request) -> Answer:
        parameters.expect_no_parameters(request)
        self.ready()
        return unless_held(
            request, service.show(self._jobs, request.path["id"], acting=self._acting(request))
        )

    def _sync_now(self, request: Request) -> Answer:
        parameters.expect_own_page(request, self.origins)
        parameters.expect_nothing_else(request)
        return Answer(service.sync_now(self._jobs, request.path["id"]))

    def _sync_several(self, request: Request) -> Answer:
        parameters.expect_own_page(request, self.origins)
        parameters.expect_no_parameters(request)
        request.expect_json()
        return Answer(service.sync_several(self._jobs, parameters.some_job_ids(request)))

    def _acting(self, request: Request) -> dict[str, Any] | None:
        """What the page may do; None where submit cannot be asked."""
        return acting_view(self._actor(request)) if self._settings.submit_url else None

    def _actor(self, request: Request) -> Actor:
        return actor_of(request.headers, self._settings.trusted_user_header, self._settings.operators)

    def _act(self, kind: str, request: Request) -> Answer:
        parameters.expect_own_page(request)
        parameters.expect_no_parameters(request)
        request.expect_json()
        settings = self._settings
        actor, is_signed = self._actor(request), bool(settings.page_action_secret)
        body = relayed_body(kind, request.path["id"], request.json_object(), actor, is_signed=is_signed)
        key = key_of(request.headers, body)
        if settings.submit_url is None:
            raise SubmitUnavailableError("SUBMIT_URL is not set: there is no function to ask for an action")
        send = partial(
            ask_submit,
            settings.submit_url,
            settings.page_action_secret,
            body,
            key.value if key else uuid.uuid4().hex,
            timeout_seconds=SUBMIT_TIMEOUT_SECONDS,
        )
        return Answer(passed_on(send), status=202)

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
    database = connect(settings.mongodb_uri, settings.mongodb_database, only_primary=False)
    return service.Jobs(
        store=MongoReadStore(database),
        cluster=cache(partial(connect_kubernetes, settings, read_timeout_seconds=KUBERNETES_TIMEOUT_SECONDS)),
        namespace=settings.k8s_namespace,
        ui_urls={name: cluster.web_url for name, cluster in settings.flink_clusters.items()},
        history_urls={name: cluster.history_web_url for name, cluster in settings.flink_clusters.items()},
        sync=sync_caller(settings.sync_url, timeout_seconds=SYNC_TIMEOUT_SECONDS)
        if settings.sync_url
        else None,
        sync_period_seconds=settings.sync_period_seconds,
        clock=utc_now,
        log_url_template=settings.log_url_template,
        from_secondary=may_read_secondaries(database),
    )
