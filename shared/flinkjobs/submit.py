"""One submission: a record, then its Kubernetes Job, then the ConfigMap that the Job owns.

Where it can be cut off, and who settles what is left:

| cut off | left behind | settled by |
|---|---|---|
| before the record | nothing | - |
| between record and Job | a CREATED record | a repeated request creates the Job; else sync: K8S_JOB_MISSING |
| between Job and ConfigMap | a pod without its script | a repeated request creates it; else sync deletes it |
| before the answer | everything is there | a repeated request gets the first answer |

A repetition that comes after sync has given the record up is refused with `OVERTAKEN`: a Job that was created
now would run beside a record that is final.

A repetition is recognised by its idempotency key. It may safely take up what was cut off: the Job's name
follows from the job id, so that creating it twice meets the first one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from flinkjobs import log
from flinkjobs.errors import (
    BadRequestError,
    DuplicateJobIdError,
    Fault,
    FlinkjobsError,
    InFlightError,
    KeyReusedError,
    KubernetesConflictError,
    KubernetesRefusedError,
    KubernetesUnavailableError,
    PermanentError,
    tell,
)
from flinkjobs.kube import KubernetesJob
from flinkjobs.manifest import (
    InlineScript,
    PathScript,
    Resources,
    Script,
    Submission,
    Target,
    UrlScript,
    config_map_manifest,
    job_manifest,
)
from flinkjobs.model import JobRecord, Missing, ReasonCode, Status
from flinkjobs.names import kubernetes_job_name
from flinkjobs.ports import Cluster, JobStore, Submitted

ID_ATTEMPTS: Final = 20
"""How many milliseconds forward a job id may move when others of its template take the same ones."""

IN_FLIGHT: Final = timedelta(seconds=20)
"""How long a first request counts as being worked on; a repetition after that takes it up again."""

MAX_KEY: Final = 255


class SubmissionRefusedError(PermanentError):
    """Kubernetes refused the Job; the record says so."""

    http_status = 502
    code = "K8S_REFUSED"


class SubmissionOvertakenError(PermanentError):
    """The submission took so long that its record was given up meanwhile; its Job was taken back."""

    http_status = 503
    code = "OVERTAKEN"


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a request a repetition of another.

    Attributes:
        value: the idempotency key.
        request_hash: tells requests with the same key apart.
    """

    value: str
    request_hash: str


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


def key_of(headers: Mapping[str, str], body: Mapping[str, Any], *, is_signed: bool = False) -> Key | None:
    """The idempotency key of a request: `Idempotency-Key`, quoted or bare, else `webhook-id`.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

    Args:
        headers: by lower-case name.
        body: the decoded JSON object.
        is_signed: whether the signature was checked; it covers `webhook-id` and no other key, so that another
            one would let anybody run a request again that he has seen.

    Raises:
        BadRequestError: a header is empty, too long, or not printable ASCII; or another key is not signed.
    """
    given = [(name, headers[name]) for name in ("idempotency-key", "webhook-id") if name in headers]
    keys = [_checked_key(name, value) for name, value in given]
    if not keys:
        return None
    if is_signed and len(set(keys)) > 1:
        raise _bad_header("idempotency-key", "must be the webhook-id, the only key that is signed")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return Key(keys[0], hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest())


def _checked_key(name: str, value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not 1 <= len(value) <= MAX_KEY or not value.isascii() or not value.isprintable():
        raise _bad_header(name, f"must be 1 to {MAX_KEY} printable ASCII characters")
    return value


def _bad_header(name: str, detail: str) -> BadRequestError:
    fault = Fault(f"header:{name}", detail)
    return BadRequestError(tell([fault]), (fault,))


def replayed(submit: Submit, key: Key) -> Submitted | None:
    """The submission that used this key before; None where none did.

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
    """The first answer once more, after what was cut off the first time has been done.

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
        log.info("job.taken_up", job_id=record.job_id)
        _create(submit, _submission_of(found.details, record.cluster), claimed)
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
        SubmissionRefusedError: Kubernetes refused; the record is FAILED with the cause.
        KubernetesUnavailableError: nobody knows whether the Job was created: a repetition with the same key
            creates it, else the next synchronisation settles the record.
        StoreUnavailableError: no record, and nothing was created.
    """
    record = _insert(submit, submission, key)
    _create(submit, submission, record)
    return _answer(record)


def _answer(record: JobRecord) -> dict[str, Any]:
    return {
        "job_id": record.job_id,
        "k8s_job_name": record.k8s_job_name,
        "flink_job_id": None,
        "status": Status.CREATED.value,
        "submitted_at": record.submitted_at,
    }


def _insert(submit: Submit, submission: Submission, key: Key | None) -> JobRecord:
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
            in_flight_until=now + IN_FLIGHT,
            revision=0,
        )
        try:
            submit.store.insert(record, _details(submission, key))
        except DuplicateJobIdError:
            continue
        return record
    message = f"{ID_ATTEMPTS} jobs of template {submission.template_id} within as many milliseconds"
    raise DuplicateJobIdError(message)


def _details(submission: Submission, key: Key | None) -> Mapping[str, Any]:
    """What was submitted, as the record keeps it."""
    spec: dict[str, Any] = {
        "script": _script_as_submitted(submission),
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
    details = {
        "template_id": submission.template_id,
        "job_name": submission.job_name or submission.template_id,
        "submitted_by": submission.submitted_by,
        "spec": spec,
    }
    if key is None:
        return details
    return {**details, "idempotency_key": key.value, "request_hash": key.request_hash}


def _submission_of(details: Mapping[str, Any], cluster: str) -> Submission:
    """The submission that `_details` describes: what the first request asked for, whatever changed since."""
    spec = details["spec"]
    return Submission(
        template_id=details["template_id"],
        script=_script_of(spec["script"]),
        job_name=details["job_name"],
        entry_module=spec["entry_module"],
        args=tuple(spec["args"]),
        parallelism=spec["parallelism"],
        py_files=tuple(spec["py_files"]),
        jars=tuple(spec["jars"]),
        flink_conf=dict(spec["flink_conf"]),
        savepoint_path=spec["savepoint_path"],
        cluster=cluster,
        attached=spec["attached"],
        exactly_once=spec["exactly_once"],
        resources=Resources(**spec["resources"]),
        submitted_by=details["submitted_by"],
    )


def _script_of(stored: Mapping[str, str] | None) -> Script | None:
    if stored is None:
        return None
    if "path" in stored:
        return PathScript(stored["path"])
    return InlineScript(stored["inline"]) if "inline" in stored else UrlScript(stored["url"])


def _script_as_submitted(submission: Submission) -> dict[str, str] | None:
    script = submission.script
    if script is None:
        return None
    if isinstance(script, PathScript):
        return {"path": script.path}
    return {"inline": script.text} if isinstance(script, InlineScript) else {"url": script.url}


def _create(submit: Submit, submission: Submission, record: JobRecord) -> None:
    """Creates the Job and its ConfigMap, and notes on the record that they are there."""
    target = submit.target_of(submission.cluster)
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
    if not submit.store.accept(record.job_id, now=submit.clock()):
        submit.cluster.delete_job(job.name, job.uid)
        raise SubmissionOvertakenError(f"{record.job_id} was given up before its Kubernetes Job was created")
    log.info("job.submitted", job_id=record.job_id, k8s_job_name=job.name, template_id=submission.template_id)


def _create_job(cluster: Cluster, manifest: Mapping[str, Any], record: JobRecord) -> KubernetesJob:
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
    cluster: Cluster, script: InlineScript, record: JobRecord, job: KubernetesJob, namespace: str
) -> None:
    """Creates the script's ConfigMap; a Job that is refused its script is taken back.

    Where nobody knows whether the ConfigMap was created, the Job stays: its pod may have begun, and a second
    Job would run it again.
    """
    manifest = config_map_manifest(
        script, record.job_id, namespace=namespace, job_name=job.name, job_uid=job.uid
    )
    try:
        cluster.create_config_map(manifest)
    except KubernetesConflictError as error:
        _expect_already_there(error)  # it was created by an earlier try of the same submission
    except KubernetesRefusedError:
        try:
            cluster.delete_job(job.name, job.uid)
        except FlinkjobsError as error:
            log.warning("job.not_taken_back", job_id=record.job_id, code=error.code, detail=str(error))
        raise
