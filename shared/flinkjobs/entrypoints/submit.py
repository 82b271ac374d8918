"""Composition root of the submit function."""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from flinkjobs import log
from flinkjobs.adapters.mongo.action_store import MongoActionStore
from flinkjobs.adapters.mongo.client import MongoDatabase
from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.domain.actions import ActionKind
from flinkjobs.domain.errors import FlinkjobsError, SettingsError, describe_faults
from flinkjobs.entrypoints.clients import connect_database_and_kubernetes, sync_caller
from flinkjobs.entrypoints.startup import cold_until, utc_now
from flinkjobs.settings.functions import Settings
from flinkjobs.submit import actions, adoption, run_again, script_download, service
from flinkjobs.submit.idempotency import Key, key_of
from flinkjobs.submit.manifest import own_pod
from flinkjobs.submit.request import Limits, check_request, parse_submission, template_defaults
from flinkjobs.submit.submission import Submission, Target, UrlScript
from flinkjobs.submit.webhook_signature import expect_signed, is_signed
from flinkjobs.web import parameters
from flinkjobs.web.messages import Answer, Request, Route

if TYPE_CHECKING:
    from flinkjobs.adapters.kubernetes.client import KubernetesApi

CONNECT_SECONDS: Final = 75.0
"""Maximum number of seconds that a request waits for the network of a new instance; then it gets a 503."""


SYNC_SECONDS: Final = 10.0
"""How long a request for an action waits for the pass over its record, whose end it does not need."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a job.

    Attributes:
        body: without `verified`.
        is_checked: whether the body is signed.
        verified: whether the page vouches for who asks.
    """

    body: dict[str, Any]
    is_checked: bool
    verified: bool


class SubmitFunction:
    """The submit function: accepts jobs, runs them again, makes records for running ones, takes actions."""

    def __init__(self, settings: Settings) -> None:
        """Checks the pod templates.

        Raises:
            SettingsError: one would break the record.
        """
        self._settings = settings
        self.origins = settings.cors_origins
        self._script_download = inspect.getsource(script_download)
        self._cold_until = cold_until(settings)
        self.routes = (
            Route("POST", "/", self.post),
            Route("POST", "/jobs/adopt", self.adopt),
            *(Route("POST", f"/jobs/<id>/{kind.value}", partial(self.act, kind)) for kind in ActionKind),
            Route("POST", f"/jobs/<id>/{run_again.KIND}", self.run_again),
        )
        for name, cluster in settings.flink_clusters.items():
            if (lost := cluster.lost_to_jobmanager) is not None:
                what = f"the pods submit to {cluster.jobmanager}, without {lost} of the REST URL"
                log.warning("flink.jobmanager_derived", cluster=name, detail=f"{what}: set its jobmanager")
        for name in settings.flink_clusters:
            self._check_pod_template(name)

    @cached_property
    def _peers(self) -> tuple[MongoDatabase, KubernetesApi]:
        patience_ends = time.monotonic() + CONNECT_SECONDS
        return connect_database_and_kubernetes(
            self._settings, cold_until=min(self._cold_until, patience_ends)
        )

    @cached_property
    def _submit(self) -> service.Submit:
        database, kubernetes = self._peers
        return service.Submit(
            kubernetes=kubernetes,
            store=MongoJobStore(database),
            target_of=self._target,
            clock=utc_now,
        )

    def _check_pod_template(self, cluster: str) -> None:
        target = self._target(cluster)
        if target.pod_template is None:
            return
        from flinkjobs.submit.pod_template_rules import template_faults  # noqa: PLC0415 - most have no template

        sample = Submission(template_id="sample", script=UrlScript("https://sample"))
        faults = template_faults(target.pod_template, own_pod(sample, "sample", target))
        if faults:
            is_own = self._settings.flink_clusters[cluster].pod_template is not None
            setting = f"FLINK_CLUSTERS {cluster}: pod_template" if is_own else "POD_TEMPLATE"
            raise SettingsError(f"{setting} {describe_faults(faults)}")

    def _target(self, cluster: str) -> Target:
        described = self._settings.flink_clusters[cluster]
        own_template = described.pod_template
        return Target(
            namespace=described.namespace or self._settings.k8s_namespace,
            image=described.image or self._settings.flink_image,
            flink_bin=self._settings.flink_bin,
            jobmanager=described.jobmanager,
            timeout_seconds=self._settings.submit_timeout_seconds,
            script_hosts=self._settings.allowed_script_hosts,
            fetch_program=self._script_download,
            image_pull_secrets=self._settings.k8s_image_pull_secrets,
            service_account=described.service_account or self._settings.k8s_service_account,
            allow_injection=self._settings.k8s_allow_injection,
            pod_template=self._settings.pod_template if own_template is None else own_template,
        )

    def post(self, request: Request) -> Answer:
        """Accepts the job in the body, or repeats the first answer of a repeated request."""
        body = self._expect_body(request)
        template_id = check_request(body, self._limits)
        key = key_of(request.headers, body, is_signed=bool(self._settings.webhook_secrets))
        found = service.replayed(self._submit, key) if key else None
        if found is not None:
            return Answer(service.answer_again(self._submit, found), status=200)
        document = self._submit.store.template(template_id)
        defaults = template_defaults(document) if document is not None else None
        submission = parse_submission(body, self._limits, defaults)
        return Answer(self._run(submission, key), status=202)

    @property
    def _limits(self) -> Limits:
        return Limits(self._settings.flink_clusters.keys(), self._settings.allowed_script_hosts)

    def _run(self, submission: Submission, key: Key | None) -> dict[str, Any]:
        cluster_conf = self._settings.flink_clusters[submission.cluster].flink_conf
        return service.run(self._submit, replace(submission, cluster_conf=dict(cluster_conf)), key)

    def run_again(self, request: Request) -> Answer:
        """Submits a job that is over once more, or repeats the first answer of a repeated request."""
        asked, any_id = self._expect_action(request), request.path["id"]
        body, is_checked = asked.body, asked.is_checked
        wanted = run_again.parse_run_again(any_id, body, is_signed=is_checked)
        named = {**body, "job_id": any_id, "kind": run_again.KIND}
        key = key_of(request.headers, named, is_signed=is_checked)
        found = service.replayed(self._submit, key) if key else None
        if found is not None:
            record, path = found.record, found.details["spec"]["savepoint_path"]
            answer = service.answer_again(self._submit, found)
            return Answer(run_again.described(answer, record.run_of, record.attempt, path), status=200)
        new = run_again.repetition(self._submit.store, self._limits, any_id, wanted, body)
        new = replace(new, submitted_by_verified=asked.verified and wanted.requested_by is not None)
        answer = self._run(new, key)
        return Answer(run_again.described(answer, new.run_of, new.attempt, new.savepoint_path), status=202)

    def adopt(self, request: Request) -> Answer:
        """Makes a record for the running Flink job that the body names, or answers with the one it has made.

        The body names the job, not the path: a signature covers the body alone.
        """
        parameters.expect_no_parameters(request)
        wanted = adoption.parse_adoption(self._expect_body(request))
        adopted = adoption.adopt(self._submit, wanted)
        return Answer(adopted.body(), status=201 if adopted.is_new else 200)

    def act(self, kind: ActionKind, request: Request) -> Answer:
        """Writes that a job is to be cancelled or stopped, or that a savepoint of it is to be made.

        Sync does it; it is asked for this record now where its address is known, else the next pass comes.
        """
        asked, any_id = self._expect_action(request), request.path["id"]
        wanted = actions.parse_action(kind, any_id, asked.body, is_signed=asked.is_checked)
        key = key_of(request.headers, asked.body, is_signed=asked.is_checked)
        store = MongoActionStore(self._peers[0])
        requested = actions.request_action(store, utc_now, kind, any_id, wanted, key, verified=asked.verified)
        if self._settings.sync_url and requested.action.is_open:
            try:
                sync_caller(self._settings.sync_url, timeout_seconds=SYNC_SECONDS)([requested.record.job_id])
            except FlinkjobsError as error:
                log.warning("action.sync_not_asked", job_id=requested.record.job_id, detail=str(error))
        return Answer(requested.body(), status=200 if requested.is_replay else 202)

    def _expect_action(self, request: Request) -> _Asked:
        """The body of a request for a job; only with the secret of the page it may say `verified`."""
        parameters.expect_no_parameters(request)
        is_from_page = is_signed(request.body, request.headers, self._settings.page_action_secret)
        body = self._expect_body(request, is_signed=is_from_page)
        verified = is_from_page and body.pop("verified", False) is True
        return _Asked(body, is_from_page or bool(self._settings.webhook_secrets), verified)

    def _expect_body(self, request: Request, *, is_signed: bool = False) -> dict[str, Any]:
        """The JSON object of a request that is signed, where signatures are demanded."""
        if self._settings.webhook_secrets and not is_signed:
            expect_signed(request.body, request.headers, self._settings.webhook_secrets)
        request.expect_json()
        return request.json_object()

    def ready(self) -> None:
        """Asks MongoDB and Kubernetes whether they answer."""
        self._submit.store.ping()
        self._submit.kubernetes.ping()
