"""Transitions of records: a pure function from a record and an observation to an update.

The rules, in the order in which they apply:

1. A final status never changes; LOST goes back when its job reappears.
2. Ids found in the submitter's output are added; a record with none moves by its Kubernetes Job.
3. A record with ids moves by what Flink says of them, all of them.
4. A job that a reachable cluster does not know is *missing*, and LOST only after a while.
5. A peer that could not be asked changes nothing.

Nothing here does I/O or reads a clock. A result equal to the record means that nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.actions import ended_by, was_removed_before_start
from flinkjobs.domain.fingerprint import fingerprint_of
from flinkjobs.domain.flink_states import FINAL, OPEN, STATUS_OF, TERMINAL_STATES, Status, combine
from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import (
    FlinkJob,
    FlinkObservation,
    FoundId,
    JobPhase,
    LogState,
    Missing,
    NamedJobs,
    NoKubernetesJob,
    Observation,
    Submitter,
    SubmitterObservation,
    Unreachable,
    may_lack_ids,
)
from flinkjobs.domain.pod_diagnosis import is_better
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason
from flinkjobs.domain.stuck import stuck_since
from flinkjobs.domain.submission_proof import STOPPED_EXIT_CODES
from flinkjobs.domain.text import cut

MAX_MESSAGE: Final = 2000
"""Characters of a reason's message kept on a record."""

PASSES_BEFORE_LOST: Final = 2
"""In how many earlier passes a job must have been missing before it may be given up."""

NAMELESS_FOR: Final = timedelta(seconds=120)
"""For how long no job of its name must have been known before a record without an id is LOST."""

CLOCK_SKEW: Final = timedelta(seconds=60)
"""How far Flink's clock may be behind ours: a job that began at most this long before its submission counts
as begun after it."""


def decide(record: JobRecord, observation: Observation, now: datetime, policy: Policy) -> Action:
    """Decides one record from one observation.

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
    undecided = _undecided(record, observation)
    after = _with_found_ids(record, observation, undecided)
    named = next(iter(undecided.values()), observation.named)
    if after.flink_jobs:
        after = _by_flink(after, observation, now, policy)
        after = _with_incomplete_submission(after, observation.submitter, now)
    elif (
        after.dropped_ids != record.dropped_ids
    ):  # from the next pass on, all is searched for a job of its name
        after = replace(after, submitter_done=False)
    elif observation.submitter is not None:
        after = _by_submitter(after, observation.submitter, named, now, policy)
    elif record.k8s_job_name is None and record.status is not Status.LOST:
        message = "the record names no Kubernetes Job and no Flink job: there is nothing to follow it by"
        after = _with_reason(after, (ReasonCode.K8S_JOB_UNKNOWN, message), now)
    after = replace(
        after,
        ended_by=ended_by(after.status, after.actions),
        fingerprint=fingerprint_of(after, observation.flink),
        stuck_since=stuck_since(record, after, observation.submitter, now, policy.stuck_after),
    )
    if after.status not in OPEN and record.health is not None:
        after = replace(after, health=None, unhealthy_since=None)
    # A record without a fingerprint gets it with its next write: a rollout writes nothing by itself.
    compared = after if record.fingerprint else replace(after, fingerprint=None)
    return Keep() if compared == record else Update(before=record, after=after)


# --- the submitter: which ids there are -------------------------------------------------------------


def _undecided(record: JobRecord, observation: Observation) -> Mapping[str, Unreachable]:
    """The printed ids that another record has as well, while Flink cannot say whose name the job bears."""
    ids = observation.foreign_ids - {fixed_flink_job_id(record.job_id)}
    return {id_: job for id_ in ids if isinstance(job := observation.flink.get(id_), Unreachable)}


def _with_found_ids(record: JobRecord, observation: Observation, undecided: Collection[str]) -> JobRecord:
    """Adds the ids found in this pass, drops those of other jobs, and notes when no further one can come.

    Undecided ids are left for a later pass, which reads the output again.
    """
    submitter = observation.submitter
    found: tuple[FoundId, ...] = ()
    if isinstance(submitter, Submitter | NoKubernetesJob):
        found = tuple(each for each in submitter.ids if each.id not in undecided)
        is_searched = not (
            may_lack_ids(submitter, record.dropped_ids) and isinstance(observation.named, Unreachable)
        )
        is_done = _is_done(submitter) and is_searched and not undecided
        record = replace(record, submitter_done=record.submitter_done or is_done)
    named = observation.named if isinstance(observation.named, tuple) else ()
    known = {ref.id for ref in record.flink_jobs} | set(record.dropped_ids)
    refs = [FlinkJobRef(id=each.id, source=each.source) for each in found if each.id not in known]
    printed = {ref.id for ref in refs}
    own = [FlinkJobRef(id=job.id, source=IdSource.JOB_NAME) for job in named if job.id not in known]
    unprinted = [ref for ref in own if ref.id not in printed]
    foreign: list[str] = []
    if record.flink_jobs:
        refs += unprinted
    elif unprinted:
        # The output lacks a job of the record's name: that job is the record's, the others may not be.
        foreign = [ref.id for ref in refs if ref.id not in {each.id for each in own}]
        refs = own
    candidates = (*record.flink_jobs, *refs)
    foreign += [ref.id for ref in candidates if _is_foreign(ref, record, observation)]
    return replace(
        record,
        flink_jobs=tuple(ref for ref in candidates if ref.id not in foreign),
        dropped_ids=(*record.dropped_ids, *foreign),
    )


def _is_foreign(ref: FlinkJobRef, record: JobRecord, observation: Observation) -> bool:
    """Whether an id that a script has printed is that of another job.

    A record's job begins after its submission, and no other record has it, unless it bears the record's name
    or the id that `exactly_once` fixes.
    """
    if ref.confirmed or ref.source is IdSource.RECORD:
        return False
    job = observation.flink.get(ref.id)
    is_fixed = ref.id == fixed_flink_job_id(record.job_id)
    is_own = is_fixed or (isinstance(job, FlinkJob) and job.name == record.job_id)
    if ref.id in observation.foreign_ids and not is_own:
        return True
    started_at = job.start_time if isinstance(job, FlinkJob) else None
    return started_at is not None and started_at < record.submitted_at - CLOCK_SKEW


def _is_done(submitter: Submitter | NoKubernetesJob) -> bool:
    """Whether the submitter can print no further id, and all its output was read."""
    over = isinstance(submitter, NoKubernetesJob) or submitter.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
    return over and submitter.log in (LogState.READ, LogState.GONE)


# --- no id: the Kubernetes Job decides --------------------------------------------------------------


def _by_submitter(
    record: JobRecord,
    submitter: SubmitterObservation,
    named: NamedJobs | None,
    now: datetime,
    policy: Policy,
) -> JobRecord:
    """Rule 2: a record without any id."""
    if isinstance(submitter, Unreachable):
        return record
    if isinstance(submitter, Submitter) and submitter.phase in (JobPhase.ACTIVE, JobPhase.SUSPENDED):
        return _with_reason(record, submitter.problem, now) if submitter.events_unread is None else record
    since = max(record.submitted_at, record.in_flight_until or record.submitted_at)
    is_new = isinstance(submitter, NoKubernetesJob) and now - since <= policy.grace
    # RUNNING: the Job has ended, and the kubelet has not said so of the pod.
    if is_new or submitter.log in (LogState.RUNNING, LogState.UNREACHABLE):
        return replace(record, submitter_done=False)
    if named is None or isinstance(named, Unreachable):
        away = f"; the Flink cluster cannot be asked: {named.error}" if named else ""
        cause = ReasonCode.OUTCOME_UNKNOWN, f"{_how_it_ended(record, submitter)}{away}"
        return replace(_with_reason(record, cause, now), submitter_done=False)
    if (proof := _proof_of_failure(record, submitter)) is not None:
        return _failed(record, *proof, now)
    return _nowhere(record, submitter, now)


def _proof_of_failure(
    record: JobRecord, submitter: Submitter | NoKubernetesJob
) -> tuple[ReasonCode, str] | None:
    """Why it is certain that no job was submitted; None where it is not."""
    if isinstance(submitter, NoKubernetesJob):
        if record.in_flight_until is None or submitter.log is not LogState.GONE or submitter.error_lines:
            return None  # its Job was there once
        return ReasonCode.K8S_JOB_MISSING, (
            f"the Kubernetes Job {record.k8s_job_name or '(no name on the record)'} was never created, and "
            f"no Flink job is named {record.job_id}"
        )
    if not submitter.proves_nothing_submitted:
        return None
    if submitter.phase is JobPhase.FAILED:
        return failure_code(submitter), _how_it_ended(record, submitter)
    return ReasonCode.NO_JOB_SUBMITTED, (
        "the script ended without an error, and without submitting a Flink job"
        + (f"\nits last lines were:\n{submitter.error_lines}" if submitter.error_lines else "")
    )


def failure_code(submitter: Submitter) -> ReasonCode:
    """The reason of a record whose submitter failed without submitting a job."""
    is_unsuitable = submitter.problem is not None and submitter.problem[0] is ReasonCode.IMAGE_UNSUITABLE
    return ReasonCode.IMAGE_UNSUITABLE if is_unsuitable else ReasonCode.SUBMIT_FAILED


def _how_it_ended(record: JobRecord, submitter: Submitter | NoKubernetesJob) -> str:
    """The cause that a person needs, first."""
    if isinstance(submitter, NoKubernetesJob):
        missing = f"the Kubernetes Job {record.k8s_job_name or '(no name on the record)'} does not exist"
        last = f"\nthe last lines of its pods were:\n{submitter.error_lines}" if submitter.error_lines else ""
        return f"{missing}: it was deleted before its output was read{last}"
    cause = submitter.problem[1] if submitter.problem else ""
    if lines := "\n".join(part for part in (cause, submitter.error_lines) if part):
        return lines
    gone = "the submitter's output is gone" if submitter.log is LogState.GONE else ""
    return "\n".join(part for part in (submitter.ended, gone) if part) or "the submitter printed no error"


def _nowhere(record: JobRecord, submitter: Submitter | NoKubernetesJob, now: datetime) -> JobRecord:
    """A submitter that may have submitted a job, and no job of the record's name: LOST, after a while.

    A script that names its job itself cannot be found by name.
    """
    since = record.missing_since or now
    passes = min(record.missing_passes + 1, PASSES_BEFORE_LOST + 1)
    others = ", ".join(record.dropped_ids)
    printed = f"only ids of other jobs ({others})" if others else "no Flink Job ID"
    message = (
        f"{_how_it_ended(record, submitter)}\nThe submitter printed {printed}, and no Flink job is "
        f"named {record.job_id}: a job that the script has named itself may run"
    )
    if record.missing_since is None:  # an earlier message says that the cluster could not be asked
        record = replace(record, reason=None)
    is_lost = passes > PASSES_BEFORE_LOST and now - since >= NAMELESS_FOR
    has_printed = isinstance(submitter, Submitter) or submitter.error_lines or record.dropped_ids
    if is_lost and not has_printed and was_removed_before_start(record.actions):
        text = f"the Kubernetes Job {record.k8s_job_name} was deleted before its submit container started"
        cancelled = _with_reason(record, (ReasonCode.CANCELLED_BEFORE_START, text), now)
        return replace(
            cancelled, status=Status.CANCELLED, missing_since=None, missing_passes=0, submitter_done=True
        )
    return replace(
        _with_reason(record, (ReasonCode.OUTCOME_UNKNOWN, message), now),
        status=Status.LOST if is_lost else record.status,
        missing_since=since,
        missing_passes=passes,
        submitter_done=False,
    )


def _failed(record: JobRecord, code: ReasonCode, message: str, now: datetime) -> JobRecord:
    return replace(_with_reason(record, (code, message), now), status=Status.FAILED, submitter_done=True)


def _with_reason(record: JobRecord, cause: tuple[ReasonCode, str] | None, now: datetime) -> JobRecord:
    """Sets or clears the reason; `since` stays while the code stays, and so does the better message."""
    if cause is None:
        return replace(record, reason=None) if record.reason else record
    code, message = cause
    since = now
    if record.reason and record.reason.code is code:
        if not is_better(message, record.reason.message):
            return record
        since = record.reason.since
    return replace(record, reason=Reason(code=code, message=cut(message, MAX_MESSAGE), since=since))


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
        missing_passes=0,
        start_time=_earliest([record.start_time, *[ref.start_time for ref in refs]]),
    )
    if record.status is Status.LOST and not _seen_again(record, flink):
        return replace(record, missing_since=lost_since)  # by which it goes on being watched
    open_refs = [ref for ref in refs if ref.state not in TERMINAL_STATES]
    if record.submitter_done and open_refs and all(ref.id in given_up for ref in open_refs):
        return _lost(record, open_refs, now)
    after = _by_states(record, now)
    if after.status is Status.LOST:  # seen again, but in an unknown state: it continues to be watched
        return replace(after, missing_since=lost_since)
    return after


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min([time for time in times if time is not None], default=None)


def _observed(
    ref: FlinkJobRef, observed: FlinkObservation | None, now: datetime, status: Status
) -> FlinkJobRef:
    """A Flink job after one observation. A terminal state stays."""
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
        what = "Flink no longer knows it; how it ended is unknown"
    else:
        what = "an id was found, but no cluster has ever known a job of that id"
    known = [f"{ref.id} {ref.state}" for ref in record.flink_jobs if ref.state in TERMINAL_STATES]
    ended = f" (known to have ended: {', '.join(known)})" if known else ""
    message = f"{', '.join(ref.id for ref in gone)}: {what}{ended}"
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
        if record.missing_since is None or _lasting(record):
            return replace(record, reason=_lasting(record))
        message = f"the id {record.flink_job_id} was found, but Flink knows no such job"
        return _with_reason(record, (ReasonCode.ID_UNCONFIRMED, message), now)
    combined = combine(states)
    if combined is None:
        unknown = next(state for state in states if state not in STATUS_OF)
        return replace(record, flink_state=unknown)
    status, flink_state = combined
    if status is Status.CREATED and record.status is not Status.CREATED:
        status = Status.RUNNING  # after a takeover a job that ran is INITIALIZING again
    if status in FINAL and not _all_over(record):
        # More may come: an id that Flink has not answered for, or a submitter that is still printing.
        return replace(record, flink_state=flink_state, status=Status.RUNNING, reason=_lasting(record))
    if status not in FINAL:
        return replace(record, status=status, flink_state=flink_state, reason=_lasting(record))
    return _over(record, status, flink_state, now)


def _lasting(record: JobRecord) -> Reason | None:
    """The reason that a record keeps when it moves."""
    is_incomplete = record.reason is not None and record.reason.code is ReasonCode.SUBMIT_INCOMPLETE
    return record.reason if is_incomplete else None


def _with_incomplete_submission(
    record: JobRecord, submitter: SubmitterObservation | None, now: datetime
) -> JobRecord:
    """Notes that the script failed after it had submitted a job: a second job may be missing.

    A submitter that was stopped from outside, or whose output is gone, has shown no error of its own.
    The submitter of an attached job fails when that job fails or is cancelled: that is no error of its own.
    """
    if not isinstance(submitter, Submitter) or submitter.phase is not JobPhase.FAILED:
        return record
    has_own_error = bool(submitter.error_lines) and submitter.exit_code not in (None, *STOPPED_EXIT_CODES)
    job_ended_badly = any(ref.state in ("FAILED", "CANCELED") for ref in record.flink_jobs)
    is_explained = record.reason is not None and record.reason.code is not ReasonCode.ID_UNCONFIRMED
    if not has_own_error or job_ended_badly or record.status is Status.LOST or is_explained:
        return record
    message = f"the submitter failed after it had submitted a job: {_how_it_ended(record, submitter)}"
    return _with_reason(record, (ReasonCode.SUBMIT_INCOMPLETE, message), now)


def _all_over(record: JobRecord) -> bool:
    return record.submitter_done and all(ref.state in TERMINAL_STATES for ref in record.flink_jobs)


def _over(record: JobRecord, status: Status, flink_state: str, now: datetime) -> JobRecord:
    """The end, with Flink's own times, and the root exception where the job failed."""
    end_time = max((ref.end_time for ref in record.flink_jobs if ref.end_time), default=None)
    duration = None
    if end_time is not None and record.start_time is not None:
        duration = round((end_time - record.start_time).total_seconds(), 3)
    if status is Status.FAILED:
        failed = next(ref for ref in record.flink_jobs if ref.state == "FAILED")
        cause = ReasonCode.JOB_FAILED, failed.failure or "Flink names no exception"
        record = _with_reason(record, cause, now)
    else:
        # The submitter of an attached job that is cancelled fails: that is no incomplete submission.
        record = replace(record, reason=_lasting(record) if status is Status.FINISHED else None)
    return replace(
        record,
        status=status,
        flink_state=flink_state,
        end_time=end_time,
        duration=duration,
        missing_since=None,
    )


class Policy(msgspec.Struct, frozen=True):
    """Time limits for `decide`.

    Attributes:
        lost_after: how long a job must be missing before its record may become LOST.
        grace: how old a record must be before the absence of its Kubernetes Job counts.
        stuck_after: how long a record must be CREATED for the same reason to be stuck.
    """

    lost_after: timedelta = timedelta(seconds=600)
    grace: timedelta = timedelta(seconds=600)
    stuck_after: timedelta = timedelta(seconds=300)


# --- actions --------------------------------------------------------------------------------------


class Keep(msgspec.Struct, frozen=True):
    """The record is not written."""


class Update(msgspec.Struct, frozen=True):
    """The record becomes `after`, on condition that it still is `before`."""

    before: JobRecord
    after: JobRecord


Action: TypeAlias = Keep | Update
