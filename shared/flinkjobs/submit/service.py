"""One submission: a record, then its Kubernetes Job, then the ConfigMap that the Job owns.

Where it can be cut off, and who settles what is left:

| cut off | left behind | settled by |
|---|---|---|
| before the record | nothing | - |
| between record and Job | a CREATED record | a repeated request creates the Job; else sync: K8S_JOB_MISSING |
| between Job and ConfigMap | a pod without its script | a repeated request creates it; else sync deletes it |
| before the answer | everything is there | a repeated request gets the first answer |

A repetition that comes after sync has given the record up is refused with `OVERTAKEN`: a Job that was created
now would run although its record is final.

A repetition is recognised by its idempotency key. It may safely take up what was cut off: the Job's name
follows from the job id, so that creating it twice meets the first one. The record holds the pod template of
the first request until its Job exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs import log
from flinkjobs.domain.errors import (
    DuplicateJobIdError,
    FlinkjobsError,
    InFlightError,
    KeyReusedError,
    KubernetesConflictError,
    KubernetesCredentialError,
    KubernetesRefusedError,
    KubernetesUnavailableError,
    PermanentError,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.kubernetes_objects import KubernetesJob
from flinkjobs.domain.naming import kubernetes_job_name
from flinkjobs.domain.observations import Missing
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, whole_milliseconds
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.ports.store import JobStore, Submitted
from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.manifest import config_map_manifest, job_manifest
from flinkjobs.submit.stored_spec import pod_template_of, stored_details, submission_of
from flinkjobs.submit.submission import InlineScript, Submission, Target

ID_ATTEMPTS: Final = 20
"""How many milliseconds forward a job id may move when others of its template take the same ones."""

IN_FLIGHT: Final = timedelta(seconds=20)
"""How long a first request counts as being worked on; a repetition after that takes it up again."""


class SubmissionRefusedError(PermanentError):
    """Kubernetes refused the Job; the record says so."""

    http_status = 502
    code = "K8S_REFUSED"


class SubmissionOvertakenError(PermanentError):
    """The submission took too long: its record was given up, and its Job was deleted."""

    http_status = 503
    code = "OVERTAKEN"


@dataclass(frozen=True, slots=True)
class Submit:
    """Dependencies of a submission.

    Attributes:
        store: the records.
        kubernetes: the API of the cluster.
        target_of: where a submission runs, by the name of its Flink cluster.
        clock: the time now, aware UTC.
    """

    store: JobStore
    kubernetes: KubernetesClient
    target_of: Callable[[str], Target]
    clock: Callable[[], datetime]


def replayed(submit: Submit, key: Key) -> Submitted | None:
    """The earlier submission with this key, if any.

    Raises:
        KeyReusedError: it was another request.
        InFlightError: it is still being worked on.
    """
    found = submit.store.submitted_with(key.value)
    if found is None:
        return None
    if found.request_hash != key.request_hash:
        raise KeyReusedError(f"the idempotency key was used for {found.record.job_id}, with another request")
    until = found.record.in_flight_until
    if until is not None and until > submit.clock():
        raise InFlightError(f"{found.record.job_id} with this idempotency key is still being worked on")
    return found


def answer_again(submit: Submit, found: Submitted) -> dict[str, Any]:
    """Repeats the first answer, after completing an interrupted submission.

    Raises: as `run`; a submission that was refused is refused again.
    """
    record = found.record
    if record.status is Status.FAILED and record.reason and record.reason.code is ReasonCode.K8S_REFUSED:
        raise SubmissionRefusedError(f"{record.job_id}: {record.reason.message}")
    if _is_given_up(record):
        raise SubmissionOvertakenError(f"{record.job_id} was given up before its Kubernetes Job was created")
    if record.in_flight_until is not None and record.status is Status.CREATED:
        claimed = submit.store.take_up(record, until=submit.clock() + IN_FLIGHT)
        if claimed is None:
            raise InFlightError(f"{record.job_id} is being worked on by another request")
        log.info("job.resumed", job_id=record.job_id)
        target = submit.target_of(record.cluster)
        first = replace(  # the settings may have changed since the first request
            target,
            pod_template=pod_template_of(found.details),
            namespace=record.k8s_namespace or target.namespace,
        )
        _create(submit, submission_of(found.details, record.cluster), claimed, first)
    return _answer(record)


def _is_given_up(record: JobRecord) -> bool:
    """Whether the first request was cut off, and a synchronisation came before this repetition."""
    is_missing = record.reason is not None and record.reason.code is ReasonCode.K8S_JOB_MISSING
    return record.in_flight_until is not None and record.status is Status.FAILED and is_missing


def run(submit: Submit, submission: Submission, key: Key | None = None) -> dict[str, Any]:
    """Accepts a submission: afterwards a record exists, and a Kubernetes Job that runs it once.

    Returns:
        The answer of the contract.

    Raises:
        InFlightError: another request with the same key came first.
        SubmissionRefusedError: Kubernetes refused the Job or its script; the record is FAILED with the cause.
        KubernetesUnavailableError: it is not known whether the Job was created, or Kubernetes refused the
            credential: a repetition with the same key creates it, else the next synchronisation settles the
            record.
        StoreUnavailableError: no record, and nothing was created.
    """
    target = submit.target_of(submission.cluster)
    record = _insert(submit, submission, key, target)
    _create(submit, submission, record, target)
    return _answer(record)


def _answer(record: JobRecord) -> dict[str, Any]:
    return {
        "job_id": record.job_id,
        "k8s_job_name": record.k8s_job_name,
        "flink_job_id": None,
        "status": Status.CREATED.value,
        "submitted_at": record.submitted_at,
    }


def _insert(submit: Submit, submission: Submission, key: Key | None, target: Target) -> JobRecord:
    """Writes the record, under the first free job id of its template from now on."""
    now = whole_milliseconds(submit.clock())

    def insert(job_id: str) -> JobRecord:
        record = JobRecord(
            job_id=job_id,
            status=Status.CREATED,
            submitted_at=now,
            k8s_job_name=kubernetes_job_name(submission.template_id, job_id),
            k8s_namespace=target.namespace,
            cluster=submission.cluster,
            in_flight_until=now + IN_FLIGHT,
            run_of=submission.run_of,
            attempt=submission.attempt,
            revision=0,
        )
        submit.store.insert(record, stored_details(submission, key, target.pod_template))
        return record

    return under_free_id(submission.template_id, now, insert)


def under_free_id(template_id: str, begin: datetime, insert: Callable[[str], JobRecord]) -> JobRecord:
    """The record that `insert` writes under the first free job id of a template from a time on.

    Raises:
        DuplicateJobIdError: `ID_ATTEMPTS` ids are taken.
    """
    first = int(begin.timestamp() * 1000)
    for milliseconds in range(first, first + ID_ATTEMPTS):
        try:
            return insert(f"{template_id}_{milliseconds}")
        except DuplicateJobIdError:
            continue
    raise DuplicateJobIdError(f"{ID_ATTEMPTS} jobs of template {template_id} within as many milliseconds")


def _create(submit: Submit, submission: Submission, record: JobRecord, target: Target) -> None:
    """Creates the Job and its ConfigMap, and notes on the record that they are there.

    A refused credential says nothing about the submission: the record stays CREATED. Once the credential is
    accepted, a repetition with the same key creates what is missing.
    """
    kubernetes = submit.kubernetes.in_namespace(target.namespace)
    manifest = job_manifest(submission, record.job_id, target)
    try:
        job = _create_job(kubernetes, manifest, record)
        if isinstance(submission.script, InlineScript):
            _create_script(kubernetes, submission.script, record, job, target.namespace)
    except KubernetesCredentialError as error:
        message = f"{record.job_id}: Kubernetes refused the credential: {error}"
        raise KubernetesUnavailableError(message) from error
    except KubernetesRefusedError as error:
        message = f"Kubernetes refused the job: {error}"
        submit.store.fail_submission(
            record.job_id, code=ReasonCode.K8S_REFUSED, message=message, now=submit.clock()
        )
        raise SubmissionRefusedError(f"{record.job_id}: {message}") from error
    if not submit.store.accept(record.job_id, now=submit.clock()):
        kubernetes.delete_job(job.name, job.uid)
        raise SubmissionOvertakenError(f"{record.job_id} was given up before its Kubernetes Job was created")
    log.info("job.submitted", job_id=record.job_id, k8s_job_name=job.name, template_id=submission.template_id)


def _create_job(cluster: KubernetesClient, manifest: Mapping[str, Any], record: JobRecord) -> KubernetesJob:
    """Creates the Job. A Job of this name that carries our job id is ours: the request was repeated."""
    try:
        return cluster.create_job(manifest)
    except KubernetesConflictError as error:
        _expect_already_there(error)
        existing = cluster.job(record.k8s_job_name or "")
        if isinstance(existing, Missing) or existing.job_id != record.job_id:
            raise
        if existing.deleting:
            raise KubernetesUnavailableError(
                f"Job {existing.name} of an earlier try is being deleted"
            ) from None
        return existing


def _expect_already_there(error: KubernetesConflictError) -> None:
    """Lets a 409 pass that says that the object exists.

    Raises:
        KubernetesUnavailableError: any other one, such as two creations meeting at one quota: nothing was
            created, and the same request may succeed a moment later.
    """
    if error.reason != "AlreadyExists":
        raise KubernetesUnavailableError(str(error)) from error


def _create_script(
    cluster: KubernetesClient, script: InlineScript, record: JobRecord, job: KubernetesJob, namespace: str
) -> None:
    """Creates the script's ConfigMap; a Job that is refused its script is taken back.

    Where it is not known whether the ConfigMap was created, the Job stays: its pod may have begun, and a
    second Job would run it again. It stays too where the credential was refused: a repetition creates the
    ConfigMap.
    """
    manifest = config_map_manifest(
        script, record.job_id, namespace=namespace, job_name=job.name, job_uid=job.uid
    )
    try:
        cluster.create_config_map(manifest)
    except KubernetesConflictError as error:
        _expect_already_there(error)  # it was created by an earlier try of the same submission
    except KubernetesCredentialError:
        raise
    except KubernetesRefusedError:
        try:
            cluster.delete_job(job.name, job.uid)
        except FlinkjobsError as error:
            log.warning("job.k8s_job_not_deleted", job_id=record.job_id, code=error.code, detail=str(error))
        raise
