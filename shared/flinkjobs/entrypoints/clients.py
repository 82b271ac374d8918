"""Builds the real thing out of the settings. The only module that knows adapters and core both.

Settings are read at start, so that a wrong one stops the function with one line. Clients are built, and
their libraries imported, at the first request that needs them: `/health` answers without either.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

from flinkjobs import log
from flinkjobs.domain.errors import PermanentError, SettingsError, TemporaryError
from flinkjobs.entrypoints.cold_start import spared, undisturbed
from flinkjobs.settings.client import ClientSettings
from flinkjobs.settings.functions import Settings, read_settings
from flinkjobs.settings.schedules import ScheduleSettings
from flinkjobs.web.messages import Answer, Request, Route

if TYPE_CHECKING:
    from flinkjobs.adapters.kubernetes.client import KubernetesApi
    from flinkjobs.cleanup.context import Cleanup
    from flinkjobs.doctor.probes import Probes
    from flinkjobs.jobs.service import Jobs
    from flinkjobs.ports.flink import FlinkProbe
    from flinkjobs.ports.functions import RemoteFunction
    from flinkjobs.ports.kubernetes import KubernetesClient
    from flinkjobs.ports.scheduler import Schedules
    from flinkjobs.ports.store import JobStore
    from flinkjobs.ports.store_admin import StoreAdmin, StoreProbe
    from flinkjobs.submit.service import Submit
    from flinkjobs.submit.submission import Target
    from flinkjobs.sync.service import Sync


def settings_or_exit(required: Collection[str] = (), environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; a missing or wrong one ends the process with one line that names it."""
    try:
        settings = read_settings(os.environ if environ is None else environ, required=required)
    except SettingsError as error:
        sys.exit(f"flinkjobs: {error}")
    log.configure(settings.log_level)
    return settings


def utc_now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


_SPARED_BY_KUBERNETES: Final[Mapping[str, Collection[str]]] = {
    "later": [
        "kubernetes.dynamic",
        "kubernetes.informer",
        "kubernetes.leaderelection",
        "kubernetes.stream",
        "kubernetes.watch",
        "oauthlib.oauth2",
    ],
    "absent": ["google.auth"],
    "hollow": ["kubernetes.client.api_response", "pydantic", "requests_oauthlib"],
}
"""What the official Kubernetes client always imports and does not use here, most of its import: other ways
to talk to the API server; pydantic, for an envelope around answers, which `adapters/kubernetes.py` takes as
they came; and logins by auth-provider, which `adapters/kubernetes_auth.py` refuses."""

_SPARED_BY_PYMONGO: Final[Mapping[str, Collection[str]]] = {
    "absent": [] if find_spec("OpenSSL") else ["pymongo.pyopenssl_context"],
    "hollow": ["pymongo.asynchronous.mongo_client"],
}
"""The same of the MongoDB driver, two fifths: its asynchronous half, and TLS by pyOpenSSL, for which it
imports cryptography before it finds that pyOpenSSL is not installed."""


class SubmitFunction:
    """The submit function: `POST /` accepts a job."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._submit = cache(self._build)

    def _build(self) -> Submit:
        _import_checks()  # pydantic is then not spared: another thread may use it
        from flinkjobs.submit.service import Submit

        return Submit(
            cluster=_cluster(self._settings),  # connects to nobody: if it fails, nothing is left open
            store=_store(self._settings),
            target_of=self._target,
            clock=utc_now,
        )

    def _target(self, cluster: str) -> Target:
        from flinkjobs.submit.submission import Target

        return Target(
            namespace=self._settings.k8s_namespace,
            image=self._settings.flink_image,
            flink_bin=self._settings.flink_bin,
            jobmanager=self._settings.flink_clusters[cluster].jobmanager,
            timeout_seconds=self._settings.submit_timeout_seconds,
            script_hosts=self._settings.allowed_script_hosts,
            fetch_program=_fetch_program(),
            image_pull_secrets=self._settings.k8s_image_pull_secrets,
            service_account=self._settings.k8s_service_account,
        )

    def post(self, request: Request) -> Answer:
        """Accepts the job that the body describes, or answers a repeated request as the first time."""
        _import_checks()
        from flinkjobs.submit import idempotency
        from flinkjobs.submit import service as submit
        from flinkjobs.submit.request import Limits, check_request, parse_submission, template_defaults

        if self._settings.webhook_secrets:
            from flinkjobs.submit.webhook_signature import expect_signed

            expect_signed(request.body, request.headers, self._settings.webhook_secrets)
        request.expect_json()
        body = request.json_object()
        limits = Limits(self._settings.flink_clusters.keys(), self._settings.allowed_script_hosts)
        template_id = check_request(body, limits)
        key = idempotency.key_of(request.headers, body, is_signed=bool(self._settings.webhook_secrets))
        submitting = self._submit()
        found = submit.replayed(submitting, key) if key else None
        if found is not None:
            return Answer(submit.answer_again(submitting, found), status=200)
        document = submitting.store.template(template_id)
        defaults = template_defaults(document) if document is not None else None
        submission = parse_submission(body, limits, defaults)
        return Answer(submit.run(submitting, submission, key), status=202)

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer."""
        submit = self._submit()
        submit.store.ping()
        submit.cluster.ping()


class SyncFunction:
    """The sync function: `POST /` runs one pass."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sync = cache(self._build)

    def _build(self) -> Sync:
        # Most passes find no record without an id, and need nothing of Kubernetes.
        return _sync(self._settings, cast("KubernetesClient", _Later(partial(_cluster, self._settings))))

    def post(self, request: Request) -> Answer:
        """Runs one pass, over all open records or those of `job_ids`."""
        from flinkjobs.sync import service as sync
        from flinkjobs.web import parameters

        return Answer(sync.run(self._sync(), job_ids=parameters.job_ids(request)))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer. A Flink cluster may be away."""
        sync = self._sync()
        sync.store.ping()
        sync.cluster.ping()


class CleanupFunction:
    """The cleanup function: `POST /` deletes finished Kubernetes Jobs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cleanup = cache(self._build)

    def _build(self) -> Cleanup:
        from flinkjobs.cleanup.context import Cleanup
        from flinkjobs.cleanup.retention import RetentionPolicy

        settings = self._settings
        cluster = _cluster(settings)
        return Cleanup(
            sync=_sync(settings, cluster),
            cluster=cluster,
            policy=RetentionPolicy(
                retention=timedelta(hours=settings.cleanup_retention_hours),
                unharvested=timedelta(hours=settings.cleanup_unharvested_hours),
            ),
            max_deletions=settings.cleanup_max_deletions,
            deletions_per_second=settings.cleanup_deletions_per_second,
            budget_seconds=settings.sync_budget_seconds,
        )

    def post(self, request: Request) -> Answer:
        """Deletes what may go; with `dry_run`, in the query or the body, only says what would."""
        from flinkjobs.cleanup import service as cleanup
        from flinkjobs.web import parameters

        return Answer(cleanup.run(self._cleanup(), dry_run=parameters.dry_run(request)))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer."""
        cleanup = self._cleanup()
        cleanup.store.ping()
        cleanup.cluster.ping()


def remote_function(url: str, settings: ClientSettings) -> RemoteFunction:
    """The deployed function at this URL, called with the identity of the settings.

    Raises:
        SettingsError: a token would travel without https.
    """
    from flinkjobs.adapters import function_client

    bearers = {
        "none": None,
        "token": lambda: settings.token or "",
        "google": partial(function_client.google_identity, url),
    }
    return function_client.HttpFunction(
        url, bearer=bearers[settings.auth], client=function_client.new_client()
    )


def schedules(settings: ScheduleSettings) -> AbstractContextManager[Schedules]:
    """Cloud Scheduler, for as long as the block lasts."""
    from flinkjobs.adapters.cloud_scheduler import CloudSchedules

    return CloudSchedules(project=settings.project, location=settings.location, endpoint=settings.endpoint)


def store_admin(settings: Settings) -> AbstractContextManager[StoreAdmin]:
    """What an administrator does to the store, for as long as the block lasts."""
    from flinkjobs.adapters.mongo import admin
    from flinkjobs.adapters.mongo import client as mongo_client

    return closing(admin.MongoAdmin(mongo_client.new_client(settings.mongodb_uri), settings.mongodb_database))


@contextmanager
def probes() -> Iterator[Probes]:
    """What `examine` asks with; all that it has opened is closed after the block."""
    # All that the threads of `examine` need is imported here, one after the other: threads that import
    # libraries at the same time meet modules of each other's that are half made.
    from flinkjobs.adapters import cloud_scheduler, function_client  # noqa: F401
    from flinkjobs.adapters.flink import client as flink_client
    from flinkjobs.adapters.kubernetes import client as kubernetes_client  # noqa: F401
    from flinkjobs.adapters.mongo import probe
    from flinkjobs.doctor.probes import Probes

    with ExitStack() as opened:

        def store(settings: Settings) -> StoreProbe:
            return opened.enter_context(
                closing(probe.connect_to_probe(settings.mongodb_uri, settings.mongodb_database))
            )

        def flinks(settings: Settings) -> Mapping[str, FlinkProbe]:
            client = opened.enter_context(flink_client.new_client(settings.flink_clusters.values()))
            return {
                name: flink_client.HttpFlink(cluster, client)
                for name, cluster in settings.flink_clusters.items()
            }

        def function(url: str, settings: ClientSettings) -> RemoteFunction:
            called = remote_function(url, settings)
            opened.callback(called.close)
            return called

        yield Probes(
            store=store,
            cluster=lambda settings: opened.enter_context(closing(_cluster(settings))),
            flinks=flinks,
            function=function,
            schedules=lambda settings: opened.enter_context(schedules(settings)),
        )


READ_SIDE_PATIENCE_SECONDS: Final = 5.0
"""How long a page may wait for Kubernetes before it says that it does not answer."""


class JobsFunction:
    """The jobs function: `GET` shows the page, the records and the figures."""

    def __init__(self, settings: Settings) -> None:
        from flinkjobs.web import parameters, ui

        self._jobs = cache(lambda: read_side(settings))
        self.headers = {name: value for name, value in ui.HEADERS.items() if name != "Cache-Control"}
        self.routes = (
            Route("GET", "/", parameters.page_file),
            Route("GET", "/assets/{name}", parameters.page_file),
            Route("GET", "/api/jobs", self._list),
            Route("GET", "/api/jobs/{id}", self._show),
            Route("POST", "/api/jobs/{id}/sync", self._sync_now),
            Route("GET", "/api/metrics", self._metrics),
            Route("GET", "/metrics", self._exposition),
        )

    def _list(self, request: Request) -> Answer:
        from flinkjobs.jobs import service as jobs

        return Answer(jobs.list_jobs(self._jobs(), request.parameters))

    def _show(self, request: Request) -> Answer:
        from flinkjobs.jobs import service as jobs
        from flinkjobs.web import parameters

        parameters.expect_no_parameters(request)
        return Answer(jobs.show(self._jobs(), request.path["id"]))

    def _sync_now(self, request: Request) -> Answer:
        from flinkjobs.jobs import service as jobs
        from flinkjobs.web import parameters

        parameters.expect_own_page(request)
        parameters.expect_nothing_else(request)
        return Answer(jobs.sync_now(self._jobs(), request.path["id"]))

    def _metrics(self, request: Request) -> Answer:
        from flinkjobs.jobs import service as jobs
        from flinkjobs.web import parameters

        parameters.expect_no_parameters(request)
        return Answer(jobs.metrics(self._jobs()))

    def _exposition(self, request: Request) -> Answer:
        from flinkjobs.jobs import prometheus
        from flinkjobs.jobs import service as jobs
        from flinkjobs.web import parameters

        parameters.expect_no_parameters(request)
        text = prometheus.exposition(jobs.metrics(self._jobs()))
        return Answer(headers={"Content-Type": prometheus.CONTENT_TYPE}, content=text)

    def ready(self) -> None:
        """Asks MongoDB whether it answers. Kubernetes and Flink may be away: the records can be shown."""
        self._jobs().store.ping()


@undisturbed()
def read_side(settings: Settings) -> Jobs:
    """What `flinkjobs.jobs.service` works with. Nothing is sent before the first question."""
    from flinkjobs.jobs.service import Jobs

    with spared(**_SPARED_BY_PYMONGO):
        from flinkjobs.adapters.mongo.read_store import connect_to_read

    return Jobs(
        store=connect_to_read(settings.mongodb_uri, settings.mongodb_database),
        cluster=cache(lambda: _cluster(settings, read_timeout_seconds=READ_SIDE_PATIENCE_SECONDS)),
        namespace=settings.k8s_namespace,
        ui_urls={name: cluster.web_url for name, cluster in settings.flink_clusters.items()},
        history_urls={name: cluster.history_web_url for name, cluster in settings.flink_clusters.items()},
        sync=_sync_caller(settings.sync_url) if settings.sync_url else None,
        sync_period_seconds=settings.sync_period_seconds,
        clock=utc_now,
    )


def _sync_caller(url: str) -> Callable[[str], Mapping[str, Any]]:
    """Has the function at this address synchronise one record, with Google's identity where there is one."""

    def sync(job_id: str) -> Mapping[str, Any]:
        from flinkjobs.adapters import function_client

        identity: str | None = None
        if url.startswith("https://"):
            try:
                identity = function_client.google_identity(url)
            except SettingsError as error:  # there is none here: the function may need none
                log.warning("sync_now.no_identity", detail=str(error))
        bearer = None if identity is None else partial(str, identity)
        with function_client.new_client() as client:
            function = function_client.HttpFunction(url, bearer=bearer, client=client)
            body = json.dumps({"job_ids": [job_id]})
            return function.call("POST", "/", query={}, headers={}, body=body, telling="clusters")

    return sync


SWITCH_INTERVAL_SECONDS: Final = 0.001
"""How long a thread that has received something waits for the one that computes. Answers arrive in many
pieces, and after each Python's default of five milliseconds would hold up MongoDB and the pass in turn."""


@undisturbed()
def _sync(settings: Settings, cluster: KubernetesClient) -> Sync:
    """What a pass works with. The cluster connects to nobody: if that fails, nothing is left open."""
    from flinkjobs.adapters.flink.client import HttpFlink, new_client
    from flinkjobs.domain.transition import Policy
    from flinkjobs.sync.service import Sync

    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    client = new_client(settings.flink_clusters.values())
    return Sync(
        cluster=cluster,
        store=_store(settings),
        flinks={name: HttpFlink(described, client) for name, described in settings.flink_clusters.items()},
        policy=Policy(lost_after=timedelta(seconds=settings.lost_after_seconds)),
        budget_seconds=settings.sync_budget_seconds,
        clock=utc_now,
    )


@undisturbed()
def _store(settings: Settings) -> JobStore:
    with spared(**_SPARED_BY_PYMONGO):
        from flinkjobs.adapters.mongo import job_store

    store = job_store.connect(settings.mongodb_uri, settings.mongodb_database)
    try:
        store.ensure_indexes()
    except TemporaryError:
        store.close()  # the next request tries again, with a client of its own
        raise
    except PermanentError as error:
        # A user who may not create indexes can still work; whoever runs the database sees the line.
        log.warning("indexes.not_ensured", code=error.code, detail=str(error))
    return store


class _Later:
    """Something that is built, and its library imported, when the first thing is asked of it.

    An error of the building is then an error of what was asked; the next question tries again.
    """

    def __init__(self, build: Callable[[], object]) -> None:
        self._built = cache(build)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._built(), name)


@undisturbed()
def _cluster(settings: Settings, **timeouts: float) -> KubernetesApi:
    with spared(**_SPARED_BY_KUBERNETES):
        from flinkjobs.adapters.kubernetes import client as kubernetes_client

    return kubernetes_client.connect(
        settings.k8s_namespace,
        auth=settings.k8s_auth,
        kubeconfig=settings.kubeconfig,
        gke_cluster=settings.gke_cluster,
        in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
        **timeouts,
    )


@cache
@undisturbed()
def _import_checks() -> None:
    # Or pydantic would look through every installed package for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    import flinkjobs.submit.request  # noqa: F401 - pydantic comes with it


@cache
def _fetch_program() -> str:
    from flinkjobs.submit import script_download

    return inspect.getsource(script_download)
