"""When a submission counts as stuck: it stays CREATED, for a cause of its own, for long enough.

A peer that is away and a missing job are no cause of the submission: their codes are of another kind.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.observations import Submitter, SubmitterObservation, Unreachable
from flinkjobs.domain.reasons import REASONS, ProblemKind
from flinkjobs.domain.records import JobRecord


def stuck_since(
    before: JobRecord,
    after: JobRecord,
    submitter: SubmitterObservation | None,
    now: datetime,
    stuck_after: timedelta,
) -> datetime | None:
    """Since when a record is stuck; None while it is not.

    A record that is stuck stays so until its reason is gone or its status changes: another code alone changes
    nothing, so that a pod which fails for two causes alternately makes one event. A pass that could not read
    the cause makes nothing stuck: the cause may be gone.

    Args:
        before: the record as it was read.
        after: the record as it was decided, but for this.
        submitter: as the pass observed it; None where it did not.
        now: the time of the pass, aware UTC.
        stuck_after: how long the reason must have had its code.
    """
    reason = after.reason
    if after.status is not Status.CREATED or reason is None:
        return None
    if REASONS[reason.code].problem is not ProblemKind.STAYS_CREATED:
        return None
    if before.stuck_since is not None:
        return before.stuck_since
    is_not_due = submitter is None and after.k8s_job_name is not None and not after.submitter_done
    is_read = not (is_not_due or isinstance(submitter, Unreachable)) and not (
        isinstance(submitter, Submitter) and submitter.events_unread
    )
    return now if is_read and now - reason.since >= stuck_after else None
