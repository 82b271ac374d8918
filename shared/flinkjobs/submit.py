"""One submission: a record, then its Kubernetes Job, then the ConfigMap that the Job owns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs import log
from flinkjobs.errors import (
    DuplicateJobIdError,
    FlinkjobsError,
    KubernetesConflictError,
    KubernetesRefusedError,
    PermanentError,
)
from flinkjobs.kube import KubernetesJob
from flinkjobs.manifest import (
    InlineScript,
    Submission,
    Target,
    config_map_manifest,
    job_manifest,
    kubernetes_job_name,
)
from flinkjobs.model import JobRecord, Missing, ReasonCode, Status
from flinkjobs.ports import Cluster, JobStore

ID_ATTEMPTS: Final = 20
"""How many milliseconds forward a job id may move when others of its template take the same ones."""


class SubmissionRefusedError(PermanentError):
    """Kubernetes refused the Job; the record says so."""

    http_status = 502
    code = "K8S_REFUSED"


@dataclass(frozen=True, slots=True)
class Submit:
    """What a submission works with.

    Attributes:
        store: the records.
        cluster: Kubernetes.
        target_of: where a submission runs, by the name of its Flink cluster.
        clock: the time now, aware UTC.
    """

    store: JobStore
    cluster: Cluster
    target_of: Callable[[str], Target]
    clock: Callable[[], datetime]


def run(submit: Submit, submission: Submission) -> dict[str, Any]:
    """Accepts a submission: afterwards a record exists, and a Kubernetes Job that runs it once.

    Returns:
        The answer of the contract.

    Raises:
        SubmissionRefusedError: Kubernetes refused; the record is FAILED with the cause.
        KubernetesUnavailableError: nobody knows whether the Job was created; the next synchronisation
            settles the record.
        StoreUnavailableError: no record, and nothing was created.
    """
    target = submit.target_of(submission.cluster)
    record = _insert(submit, submission)
    manifest = job_manifest(submission, record.job_id, target)
    try:
        job = _create_job(submit.cluster, manifest, record)
        if isinstance(submission.script, InlineScript):
            _create_script(submit.cluster, submission.script, record, job, target.namespace)
    except KubernetesRefusedError as error:
        message = f"Kubernetes refused the job: {error}"
        submit.store.fail_submission(
            record.job_id, code=ReasonCode.K8S_REFUSED.value, message=message, now=submit.clock()
        )
        raise SubmissionRefusedError(f"{record.job_id}: {message}") from error
    log.info("job.submitted", job_id=record.job_id, k8s_job_name=job.name, template_id=submission.template_id)
    return {
        "job_id": record.job_id,
        "k8s_job_name": job.name,
        "flink_job_id": None,
        "status": record.status.value,
        "submitted_at": record.submitted_at,
    }


def _insert(submit: Submit, submission: Submission) -> JobRecord:
    """Writes the record, under the first free job id of its template from now on."""
    now = submit.clock()
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    for milliseconds in range(ID_ATTEMPTS):
        stamp = int((now + timedelta(milliseconds=milliseconds)).timestamp() * 1000)
        job_id = f"{submission.template_id}_{stamp}"
        record = JobRecord(
            job_id=job_id,
            status=Status.CREATED,
            submitted_at=now,
            k8s_job_name=kubernetes_job_name(submission.template_id, job_id),
            cluster=submission.cluster,
        )
        try:
            submit.store.insert(record, _details(submission))
        except DuplicateJobIdError:
            continue
        return record
    raise DuplicateJobIdError(
        f"{ID_ATTEMPTS} jobs of template {submission.template_id} within as many milliseconds"
    )


def _details(submission: Submission) -> Mapping[str, Any]:
    """What was submitted, as the record keeps it."""
    script = submission.script
    spec: dict[str, Any] = {
        "script": None
        if script is None
        else {"inline": script.text}
        if isinstance(script, InlineScript)
        else {"path": script.path},
        "entry_module": submission.entry_module,
        "args": list(submission.args),
        "parallelism": submission.parallelism,
        "py_files": list(submission.py_files),
        "jars": list(submission.jars),
        "flink_conf": dict(submission.flink_conf),
        "savepoint_path": submission.savepoint_path,
        "attached": submission.attached,
        "exactly_once": submission.exactly_once,
        "resources": {"cpu": submission.resources.cpu, "memory": submission.resources.memory},
    }
    return {
        "template_id": submission.template_id,
        "job_name": submission.job_name or submission.template_id,
        "submitted_by": submission.submitted_by,
        "spec": spec,
    }


def _create_job(cluster: Cluster, manifest: Mapping[str, Any], record: JobRecord) -> KubernetesJob:
    """Creates the Job. A Job of this name that carries our job id is ours: the request was repeated."""
    try:
        return cluster.create_job(manifest)
    except KubernetesConflictError:
        existing = cluster.job(record.k8s_job_name or "")
        if isinstance(existing, Missing) or existing.job_id != record.job_id:
            raise
        return existing


def _create_script(
    cluster: Cluster, script: InlineScript, record: JobRecord, job: KubernetesJob, namespace: str
) -> None:
    """Creates the script's ConfigMap; a Job that cannot get its script is taken back."""
    manifest = config_map_manifest(
        script, record.job_id, namespace=namespace, job_name=job.name, job_uid=job.uid
    )
    try:
        cluster.create_config_map(manifest)
    except KubernetesConflictError:
        return  # it was created by an earlier try of the same submission
    except FlinkjobsError:
        cluster.delete_job(job.name, job.uid)
        raise
