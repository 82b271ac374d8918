"""Adoption: a record for a Flink job that was started without one.

The evidence is what sync has seen: a complete pass that found the job running in a cluster's overview and
belonging to no record. The record begins with that observation and is followed like any other; it has no
Kubernetes Job, and the output of its submitter is not known.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, StringConstraints

from flinkjobs import log
from flinkjobs.domain.errors import BadRequestError, InFlightError, PermanentError
from flinkjobs.domain.fingerprint import fingerprint_of
from flinkjobs.domain.flink_states import STATUS_OF
from flinkjobs.domain.observations import FlinkJob
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, whole_milliseconds
from flinkjobs.ports.store import SeenJob, Submitted
from flinkjobs.submit.request import SubmittedBy, TemplateId, validated
from flinkjobs.submit.service import Submit, under_free_id

SEEN_WITHIN: Final = timedelta(minutes=30)
"""How old the observation of a job may be: three passes at one every ten minutes."""

_KEY: Final = "adopted\n{}"
"""Idempotency key of the record of an adopted job: unique. No request can use it: no header holds a line
break."""


class HasRecordError(PermanentError):
    """The Flink job belongs to a record already."""

    http_status = 409
    code = "HAS_RECORD"


class FlinkJobNotSeenError(BadRequestError):
    """No recent pass has seen a running Flink job with this id that belongs to no record."""

    http_status = 404
    code = "FLINK_JOB_NOT_SEEN"


class Adoption(BaseModel):
    """A request to adopt a Flink job.

    Attributes:
        flink_job_id: the job to be adopted.
        template_id: the kind of job that it is; it need not exist in `job_templates`.
        job_id: id of the new record; None for one of its template and start.
        submitted_by: who adopts it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    flink_job_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    template_id: TemplateId
    job_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,119}$")] | None = None
    submitted_by: SubmittedBy | None = None


class Adopted(msgspec.Struct, frozen=True):
    """The answer to an adoption.

    Attributes:
        is_new: the record was made by this request.
        record: as it is now.
    """

    is_new: bool
    record: JobRecord

    def body(self) -> dict[str, Any]:
        """What the caller gets."""
        return {
            "job_id": self.record.job_id,
            "k8s_job_name": None,
            "flink_job_id": self.record.flink_job_id,
            "cluster": self.record.cluster,
            "status": self.record.status.value,
            "submitted_at": self.record.submitted_at,
        }


def parse_adoption(body: dict[str, Any]) -> Adoption:
    """The adoption that a JSON body describes.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    return validated(Adoption, body, effect="nothing was adopted")


def adopt(submit: Submit, wanted: Adoption) -> Adopted:
    """Makes a record for a running Flink job that has none. A repetition gets the record of the first time.

    Raises:
        HasRecordError: a record has the job already, unless this request's first try has made it.
        FlinkJobNotSeenError: there is no recent evidence that the job runs and has no record.
        DuplicateJobIdError: another job's record has this `job_id`.
        StoreUnavailableError: nothing was adopted.
    """
    if (found := _adopted(submit, wanted)) is not None:
        return found
    if owners := submit.store.owners([wanted.flink_job_id]):
        owner = min(owners[wanted.flink_job_id])
        raise HasRecordError(f"Flink job {wanted.flink_job_id} belongs to the record {owner} already")
    now = submit.clock()
    seen = _expect_seen(submit, wanted, now)
    try:
        record = _insert(submit, wanted, seen, now)
    except InFlightError:  # another request has adopted it in between
        if (found := _adopted(submit, wanted)) is None:
            raise
        return found
    submit.store.forget_unmanaged(seen.cluster, wanted.flink_job_id)
    log.info("job.adopted", job_id=record.job_id, flink_job_id=wanted.flink_job_id, cluster=record.cluster)
    return Adopted(is_new=True, record=record)


def _adopted(submit: Submit, wanted: Adoption) -> Adopted | None:
    """The record that has adopted the job, where it is the one that is asked for."""
    found: Submitted | None = submit.store.submitted_with(_KEY.format(wanted.flink_job_id))
    if found is None:
        return None
    record, template_id = found.record, found.details.get("template_id")
    if template_id != wanted.template_id or wanted.job_id not in (None, record.job_id):
        raise HasRecordError(
            f"Flink job {wanted.flink_job_id} was adopted as {record.job_id}, of template {template_id}"
        )
    return Adopted(is_new=False, record=record)


def _expect_seen(submit: Submit, wanted: Adoption, now: datetime) -> SeenJob:
    seen = submit.store.unmanaged(wanted.flink_job_id)
    if seen is None:
        raise FlinkJobNotSeenError(
            f"no pass has seen Flink job {wanted.flink_job_id} running without a record: run flinkjobs sync "
            "and repeat it. A job that began after a submission counts once that submission's own id is known"
        )
    if now - seen.seen_at > SEEN_WITHIN:
        raise FlinkJobNotSeenError(
            f"Flink job {wanted.flink_job_id} was last seen at {seen.seen_at.isoformat(timespec='seconds')}, "
            f"which is too long ago: run flinkjobs sync and repeat it"
        )
    return seen


def _insert(submit: Submit, wanted: Adoption, seen: SeenJob, now: datetime) -> JobRecord:
    """Writes the record, under the first free job id of its template from the job's start on."""
    now = whole_milliseconds(now)
    started_at = seen.job.start_time or now
    details = {
        "template_id": wanted.template_id,
        "job_name": seen.job.name or wanted.template_id,
        "submitted_by": wanted.submitted_by,
        "spec": None,
        "idempotency_key": _KEY.format(wanted.flink_job_id),
    }

    def insert(job_id: str) -> JobRecord:
        record = _record(job_id, seen, submitted_at=started_at)
        submit.store.insert(record, details, now=now)
        return record

    if wanted.job_id is not None:
        return insert(wanted.job_id)
    return under_free_id(wanted.template_id, started_at, insert)


def _record(job_id: str, seen: SeenJob, *, submitted_at: datetime) -> JobRecord:
    """The record as the observation of its job makes it."""
    job = seen.job
    ref = FlinkJobRef(
        id=job.flink_job_id,
        source=IdSource.ADOPTED,
        confirmed=True,
        state=job.state,
        start_time=job.start_time,
    )
    record = JobRecord(
        job_id=job_id,
        status=STATUS_OF[job.state],
        submitted_at=submitted_at,
        cluster=seen.cluster,
        flink_state=job.state,
        flink_jobs=(ref,),
        submitter_done=True,
        start_time=job.start_time,
        revision=0,
    )
    observed = FlinkJob(id=ref.id, name=job.name, state=job.state, start_time=job.start_time)
    return replace(record, fingerprint=fingerprint_of(record, {ref.id: observed}))
