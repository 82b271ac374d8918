"""How a record moves: one pure function from a record and what was observed to what is to be written.

The rules, in the order in which they apply:

1. A final status never changes; LOST goes back when its job reappears.
2. Ids found in the submitter's output are added; a record with none moves by its Kubernetes Job.
3. A record with ids moves by what Flink says of them, all of them.
4. A job that a reachable cluster does not know is *missing*, and LOST only after a while.
5. A peer that could not be asked changes nothing.

Nothing here does I/O or reads a clock. A result equal to the record means that nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.fingerprint import fingerprint_of
from flinkjobs.domain.flink_states import FINAL, STATUS_OF, TERMINAL_STATES, combine
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    JobPhase,
    LogState,
    Missing,
    NoKubernetesJob,
    Observation,
    Submitter,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason, ReasonCode, Status
from flinkjobs.domain.text import cut

MAX_MESSAGE: Final = 2000
"""Characters of a reason's message kept on a record."""

PASSES_BEFORE_LOST: Final = 2
"""In how many earlier passes a job must have been missing before it may be given up."""


def decide(record: JobRecord, observation: Observation, now: datetime, policy: Policy) -> Action:
    """Says what one pass makes of one record.

    Args:
        record: as it was read.
        observation: what the pass saw of it.
        now: the time of the pass, aware UTC.
        policy: see `Policy`.

    Returns:
        `Keep`, or `Update` with the whole new record.
    """
    if record.status in FINAL:
        return Keep()
    after = _with_found_ids(record, observation.submitter)
    if after.flink_jobs:
        after = _by_flink(after, observation, now, policy)
    elif observation.submitter is not None:
        after = _by_submitter(after, observation.submitter, now, policy)
    elif record.k8s_job_name is None:
        message = "the record names no Kubernetes Job and no Flink job: there is nothing to follow it by"
        after = _with_reason(after, (ReasonCode.K8S_JOB_UNKNOWN, message), now)
    after = replace(after, fingerprint=fingerprint_of(after, observation.flink))
    # A record without a fingerprint gets it with its next write: a rollout writes nothing by itself.
    compared = after if record.fingerprint else replace(after, fingerprint=None)
    return Keep() if compared == record else Update(before=record, after=after)


# --- the submitter: which ids there are -------------------------------------------------------------


def _with_found_ids(record: JobRecord, submitter: SubmitterObservation | None) -> JobRecord:
    """Adds the ids found in this pass, and notes when no further one can come."""
    if submitter is None or isinstance(submitter, Unreachable):
        return record
    refs = record.flink_jobs
    known = {ref.id for ref in refs} | set(record.dropped_ids)
    refs += tuple(
        FlinkJobRef(id=found.id, source=found.source) for found in submitter.ids if found.id not in known
    )
    if not refs and isinstance(submitter.named, tuple):
        refs = tuple(FlinkJobRef(id=job.id, source=IdSource.JOB_NAME) for job in submitter.named)
    return replace(record, flink_jobs=refs, submitter_done=record.submitter_done or _is_done(submitter))


def _is_done(submitter: Submitter | NoKubernetesJob) -> bool:
    """Whether the submitter can print no further id, and all that it printed was looked at."""
    over = isinstance(submitter, NoKubernetesJob) or submitter.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    return over and submitter.log in (LogState.READ, LogState.GONE)


# --- no id: the Kubernetes Job decides --------------------------------------------------------------


def _by_submitter(
    record: JobRecord, submitter: SubmitterObservation, now: datetime, policy: Policy
) -> JobRecord:
    """Rule 2: a record without any id."""
    if isinstance(submitter, Unreachable):
        return record
    if isinstance(submitter, NoKubernetesJob):
        since = max(record.submitted_at, record.in_flight_until or record.submitted_at)
        may_tell_more = submitter.log in (LogState.RUNNING, LogState.UNREACHABLE)  # a pod without its Job
        if may_tell_more or now - since <= policy.grace or isinstance(submitter.named, Unreachable):
            return replace(record, submitter_done=False)
        told = f"\nthe last lines of its pods were:\n{submitter.telling}" if submitter.telling else ""
        return _failed(
            record,
            ReasonCode.K8S_JOB_MISSING,
            f"the Kubernetes Job {record.k8s_job_name or '(no name on the record)'} does not exist, and no "
            f"Flink job is named {record.job_id}: it was never created, or deleted before its id was read"
            f"{told}",
            now,
        )
    if submitter.phase in (JobPhase.ACTIVE, JobPhase.SUSPENDED):
        return _with_reason(record, submitter.trouble, now)
    return _ENDED[submitter.log](record, submitter, now)


def _ended_with_its_output(record: JobRecord, submitter: Submitter, now: datetime) -> JobRecord:
    if submitter.phase is JobPhase.FAILED:
        cause = submitter.trouble[1] if submitter.trouble else ""
        told = "\n".join(part for part in (cause, submitter.telling) if part)
        return _failed(
            record, ReasonCode.SUBMIT_FAILED, told or submitter.ended or "the submitter failed silently", now
        )
    told = f"\nits last lines were:\n{submitter.telling}" if submitter.telling else ""
    return _failed(
        record,
        ReasonCode.NO_JOB_SUBMITTED,
        f"the script ended without an error, and without submitting a Flink job{told}",
        now,
    )


def _ended_without_its_output(record: JobRecord, submitter: Submitter, now: datetime) -> JobRecord:
    if submitter.named is None or isinstance(submitter.named, Unreachable):
        return replace(record, submitter_done=False)  # the job may still be found by its name
    if submitter.phase is JobPhase.FAILED and submitter.telling:
        return _ended_with_its_output(record, submitter, now)  # the last lines tell enough
    ended = f" ({submitter.ended})" if submitter.ended else ""
    cause = f": {submitter.trouble[1]}" if submitter.trouble else ""
    return _failed(
        record,
        ReasonCode.LOG_UNAVAILABLE,
        f"the submitter's output is gone, or too long to be read{ended}{cause}, "
        f"and no Flink job is named {record.job_id}",
        now,
    )


def _output_not_read_yet(record: JobRecord, _submitter: Submitter, _now: datetime) -> JobRecord:
    return record


_ENDED: Final[Mapping[LogState, Callable[[JobRecord, Submitter, datetime], JobRecord]]] = {
    LogState.READ: _ended_with_its_output,
    LogState.GONE: _ended_without_its_output,
    LogState.RUNNING: _output_not_read_yet,  # the Job has ended, the kubelet has not said so of the pod
    LogState.UNREACHABLE: _output_not_read_yet,
}


def _failed(record: JobRecord, code: ReasonCode, message: str, now: datetime) -> JobRecord:
    return replace(_with_reason(record, (code, message), now), status=Status.FAILED, submitter_done=True)


def _with_reason(record: JobRecord, cause: tuple[ReasonCode, str] | None, now: datetime) -> JobRecord:
    """Sets or clears the reason; `since` and the first message stay while the code stays."""
    if cause is None:
        return replace(record, reason=None) if record.reason else record
    code, message = cause
    if record.reason and record.reason.code is code:
        return record
    return replace(record, reason=Reason(code=code, message=cut(message, MAX_MESSAGE), since=now))


# --- ids: Flink decides -----------------------------------------------------------------------------


def _by_flink(record: JobRecord, observation: Observation, now: datetime, policy: Policy) -> JobRecord:
    """Rules 3 to 5: a record with at least one id."""
    lost_since = record.missing_since if record.status is Status.LOST else None
    flink = observation.flink
    refs = tuple([_observed(ref, flink.get(ref.id), now, record.status) for ref in record.flink_jobs])
    given_up = {
        ref.id
        for ref in refs
        if isinstance(flink.get(ref.id), Missing)
        and _may_be_given_up(ref, now, policy)
        # Flink is not asked for the jobs of a LOST record: too little to drop an id for good.
        and (ref.confirmed or record.status is not Status.LOST)
    }
    dropped: tuple[str, ...] = ()
    if given_up and any(ref.confirmed for ref in refs):
        dropped = tuple(ref.id for ref in refs if not ref.confirmed and ref.id in given_up)
        refs = tuple(ref for ref in refs if ref.id not in dropped)
    record = replace(
        record,
        flink_jobs=refs,
        dropped_ids=record.dropped_ids + dropped,
        missing_since=_earliest([ref.missing_since for ref in refs]),
        start_time=_earliest([record.start_time, *[ref.start_time for ref in refs]]),
    )
    if record.status is Status.LOST and not _seen_again(record, flink):
        return replace(record, missing_since=lost_since)  # by which it goes on being watched
    open_refs = [ref for ref in refs if ref.state not in TERMINAL_STATES]
    if record.submitter_done and open_refs and all(ref.id in given_up for ref in open_refs):
        return _lost(record, open_refs, now)
    after = _by_states(record, now)
    if after.status is Status.LOST:  # seen again, but in a state that nobody knows: it goes on being watched
        return replace(after, missing_since=lost_since)
    return after


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min([time for time in times if time is not None], default=None)


def _observed(
    ref: FlinkJobRef, observed: FlinkObservation | None, now: datetime, status: Status
) -> FlinkJobRef:
    """One job after one look at it. What was once terminal stays so."""
    if ref.state in TERMINAL_STATES:
        return ref
    if isinstance(observed, FlinkJob):
        return replace(
            ref,
            confirmed=True,
            state=observed.state,
            start_time=_earliest((ref.start_time, observed.start_time)),
            end_time=observed.end_time,
            failure=observed.failure,
            missing_since=None,
            missing_passes=0,
        )
    if isinstance(observed, Missing) and status is not Status.LOST:
        return replace(
            ref,
            missing_since=ref.missing_since or now,
            missing_passes=min(ref.missing_passes + 1, PASSES_BEFORE_LOST + 1),
        )
    return ref


def _may_be_given_up(ref: FlinkJobRef, now: datetime, policy: Policy) -> bool:
    """Rule 4: missing in two passes before this one, and for at least `lost_after`."""
    return (
        ref.missing_since is not None
        and ref.missing_passes > PASSES_BEFORE_LOST
        and now - ref.missing_since >= policy.lost_after
    )


def _seen_again(record: JobRecord, flink: Mapping[str, FlinkObservation]) -> bool:
    return any(isinstance(flink.get(ref.id), FlinkJob) for ref in record.flink_jobs)


def _lost(record: JobRecord, gone: Sequence[FlinkJobRef], now: datetime) -> JobRecord:
    if any(ref.confirmed for ref in gone):
        what = "Flink does not know it any more, and nothing says how it ended"
    else:
        what = "an id was found, but no cluster has ever known a job of that id"
    known = [f"{ref.id} {ref.state}" for ref in record.flink_jobs if ref.state in TERMINAL_STATES]
    besides = f" (known to have ended: {', '.join(known)})" if known else ""
    message = f"{', '.join(ref.id for ref in gone)}: {what}{besides}"
    record = _with_reason(record, (ReasonCode.OUTCOME_UNKNOWN, message), now)
    return replace(record, status=Status.LOST)


def _by_states(record: JobRecord, now: datetime) -> JobRecord:
    """Rule 3: the status that follows from the states of all the record's jobs.

    What a job last did says nothing of today once it was missing in pass after pass: it counts only as long
    as no other job goes on.
    """
    states = [ref.state for ref in record.flink_jobs if ref.state is not None]
    lately = [
        ref.state
        for ref in record.flink_jobs
        if ref.state is not None and ref.missing_passes <= PASSES_BEFORE_LOST
    ]
    if not TERMINAL_STATES.issuperset(lately):
        states = lately
    if not states:
        if record.missing_since is None:
            return _with_reason(record, None, now)
        message = f"the id {record.flink_job_id} was found, but Flink knows no such job"
        return _with_reason(record, (ReasonCode.ID_UNCONFIRMED, message), now)
    combined = combine(states)
    if combined is None:
        unknown = next(state for state in states if state not in STATUS_OF)
        return replace(record, flink_state=unknown)
    status, flink_state = combined
    if status in FINAL and not _all_over(record):
        # More may come: an id that Flink has not answered for, or a submitter that is still printing.
        return replace(record, flink_state=flink_state, status=Status.RUNNING, reason=None)
    if status not in FINAL:
        return replace(record, status=status, flink_state=flink_state, reason=None)
    return _over(record, status, flink_state, now)


def _all_over(record: JobRecord) -> bool:
    return record.submitter_done and all(ref.state in TERMINAL_STATES for ref in record.flink_jobs)


def _over(record: JobRecord, status: Status, flink_state: str, now: datetime) -> JobRecord:
    """The end, with Flink's own times, and the root exception where the job failed."""
    end_time = max((ref.end_time for ref in record.flink_jobs if ref.end_time), default=None)
    duration = None
    if end_time is not None and record.start_time is not None:
        duration = round((end_time - record.start_time).total_seconds(), 3)
    cause = None
    if status is Status.FAILED:
        failed = next(ref for ref in record.flink_jobs if ref.state == "FAILED")
        cause = ReasonCode.JOB_FAILED, failed.failure or "Flink names no exception"
    record = _with_reason(record, cause, now)
    return replace(
        record,
        status=status,
        flink_state=flink_state,
        end_time=end_time,
        duration=duration,
        missing_since=None,
    )


class Policy(msgspec.Struct, frozen=True):
    """The numbers that `decide` needs.

    Attributes:
        lost_after: how long a job must be missing before its record may become LOST.
        grace: how old a record must be before the absence of its Kubernetes Job counts.
    """

    lost_after: timedelta = timedelta(seconds=600)
    grace: timedelta = timedelta(seconds=600)


# --- actions --------------------------------------------------------------------------------------


class Keep(msgspec.Struct, frozen=True):
    """Nothing is to be written."""


class Update(msgspec.Struct, frozen=True):
    """The record is to become `after`, provided it still is `before`."""

    before: JobRecord
    after: JobRecord


Action: TypeAlias = Keep | Update
