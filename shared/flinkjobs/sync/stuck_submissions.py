"""Deletes the Jobs of interrupted submissions, whose pods wait for a missing script."""

from __future__ import annotations

from datetime import datetime

from flinkjobs import log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.observations import (
    KUBERNETES_UNAVAILABLE,
    ObservationError,
    Submitter,
    SubmitterObservation,
)
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy
from flinkjobs.sync.context import Pass


def is_stuck_submission(
    record: JobRecord, submitter: SubmitterObservation | None, now: datetime, policy: Policy
) -> bool:
    """Whether a submission was interrupted before its script existed, and was not repeated.

    The pod of an attached job would wait without end: it has no deadline.
    """
    cut_off_at = record.in_flight_until
    if cut_off_at is None or record.flink_jobs or now - cut_off_at <= policy.grace:
        return False
    cause = submitter.problem if isinstance(submitter, Submitter) else None
    return cause is not None and cause[0] is ReasonCode.MOUNT


def delete_stuck_job(current: Pass, record: JobRecord, submitter: Submitter) -> ObservationError | None:
    """Deletes the Job of a stuck submission; the next pass finds it missing. Returns the error, if any."""
    job_name = record.k8s_job_name or ""
    try:
        kubernetes = current.sync.kubernetes().in_namespace(record.k8s_namespace)
        kubernetes.until(current.deadline.requests_until).delete_job(job_name, submitter.job_uid)
    except FlinkjobsError as error:
        return ObservationError(record.job_id, KUBERNETES_UNAVAILABLE, str(error))
    log.warning("job.k8s_job_deleted", job_id=record.job_id, k8s_job_name=job_name)
    return None
