"""Builds the real thing out of the settings. The only module that knows adapters and core both.

Settings are read at start, so that a wrong one stops the function with one line. Clients are built, and
their libraries imported, at the first request that needs them: `/health` answers without either.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from flinkjobs import log
from flinkjobs.errors import BadRequestError, Fault, PermanentError, SettingsError, TemporaryError
from flinkjobs.settings import Settings, read_settings
from flinkjobs.web import Answer, Request

if TYPE_CHECKING:
    from flinkjobs.cleanup import Cleanup
    from flinkjobs.manifest import Target
    from flinkjobs.ports import Cluster, JobStore
    from flinkjobs.submit import Submit
    from flinkjobs.sync import Sync


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


class SubmitFunction:
    """The submit function: `POST /` accepts a job."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._submit = cache(self._build)

    def _build(self) -> Submit:
        from flinkjobs.submit import Submit

        return Submit(
            cluster=_cluster(self._settings),  # connects to nobody: if it fails, nothing is left open
            store=_store(self._settings),
            target_of=self._target,
            clock=utc_now,
        )

    def _target(self, cluster: str) -> Target:
        from flinkjobs.manifest import Target

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
        from flinkjobs import submit
        from flinkjobs.request import Limits, check_request, parse_submission, template_defaults

        if self._settings.webhook_secrets:
            from flinkjobs.signature import expect_signed

            expect_signed(request.body, request.headers, self._settings.webhook_secrets)
        request.expect_json()
        body = request.json_object()
        limits = Limits(self._settings.flink_clusters.keys(), self._settings.allowed_script_hosts)
        template_id = check_request(body, limits)
        key = submit.key_of(request.headers, body, is_signed=bool(self._settings.webhook_secrets))
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
        from flinkjobs.adapters.flink import HttpFlink, new_client
        from flinkjobs.model import Policy
        from flinkjobs.sync import Sync

        client = new_client()
        lost_after = timedelta(seconds=self._settings.lost_after_seconds)
        return Sync(
            cluster=_cluster(self._settings),  # connects to nobody: if it fails, nothing is left open
            store=_store(self._settings),
            flinks={
                name: HttpFlink(cluster, client) for name, cluster in self._settings.flink_clusters.items()
            },
            policy=Policy(lost_after=lost_after),
            budget_seconds=self._settings.sync_budget_seconds,
            clock=utc_now,
        )

    def post(self, request: Request) -> Answer:
        """Runs one pass, over all open records or those of `job_ids`."""
        from flinkjobs import sync

        return Answer(sync.run(self._sync(), job_ids=_job_ids(request.json_object())))

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
        from flinkjobs.cleanup import Cleanup
        from flinkjobs.retention import RetentionPolicy

        settings = self._settings
        return Cleanup(
            cluster=_cluster(settings),  # connects to nobody: if it fails, nothing is left open
            store=_store(settings),
            policy=RetentionPolicy(
                retention=timedelta(hours=settings.cleanup_retention_hours),
                unharvested=timedelta(hours=settings.cleanup_unharvested_hours),
            ),
            max_deletions=settings.cleanup_max_deletions,
            budget_seconds=settings.sync_budget_seconds,
            clock=utc_now,
        )

    def post(self, request: Request) -> Answer:
        """Deletes what may go; with `dry_run`, in the query or the body, only says what would."""
        from flinkjobs import cleanup

        return Answer(cleanup.run(self._cleanup(), dry_run=_dry_run(request)))

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer."""
        cleanup = self._cleanup()
        cleanup.store.ping()
        cleanup.cluster.ping()


def _store(settings: Settings) -> JobStore:
    from flinkjobs.adapters import mongo

    store = mongo.connect(settings.mongodb_uri, settings.mongodb_database)
    try:
        store.ensure_indexes()
    except TemporaryError:
        store.close()  # the next request tries again, with a client of its own
        raise
    except PermanentError as error:
        # A user who may not create indexes can still work; whoever runs the database sees the line.
        log.warning("indexes.not_ensured", code=error.code, detail=str(error))
    return store


def _cluster(settings: Settings) -> Cluster:
    from flinkjobs.adapters import kubernetes

    return kubernetes.connect(
        settings.k8s_namespace,
        auth=settings.k8s_auth,
        kubeconfig=settings.kubeconfig,
        in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
    )


@cache
def _fetch_program() -> str:
    from flinkjobs import fetch

    return inspect.getsource(fetch)


def _job_ids(body: Mapping[str, Any]) -> list[str] | None:
    _only_fields(body, {"job_ids"})
    job_ids = body.get("job_ids")
    if job_ids is None:
        return None
    if not isinstance(job_ids, list) or not all(map(_is_text, job_ids)):
        raise _bad("/job_ids", "must be an array of strings")
    return job_ids


def _is_text(value: object) -> bool:
    """Whether this is a string that UTF-8 can hold: JSON may write half a surrogate pair."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _dry_run(request: Request) -> bool:
    body = request.json_object()
    _only_fields(body, {"dry_run"})
    given = body.get("dry_run", False)
    if not isinstance(given, bool):
        raise _bad("/dry_run", "must be true or false")
    asked = request.query.get("dry_run", "false")
    if asked not in ("true", "false"):
        raise _bad("query:dry_run", "must be true or false")
    return given or asked == "true"


def _only_fields(body: Mapping[str, Any], known: Collection[str]) -> None:
    for name in body:
        if name not in known:
            pointer = "/" + name.replace("~", "~0").replace("/", "~1")
            raise _bad(pointer, f"is not known here; known: {', '.join(sorted(known))}")


def _bad(pointer: str, detail: str) -> BadRequestError:
    return BadRequestError(f"{pointer} {detail}", (Fault(pointer=pointer, detail=detail),))
