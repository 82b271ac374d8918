"""Checks of the records: which are stuck, lost or failed, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from flinkjobs.doctor.facts import (
    CREATED_FOR,
    RECENT,
    Examination,
    NotAsked,
    Records,
    Refused,
    Trouble,
    Troubles,
    Waiting,
)
from flinkjobs.doctor.findings import Finding, _fail, _length, _ok, _several, _skipped, _unknown, _warn
from flinkjobs.doctor.remedies import REMEDIES, Code
from flinkjobs.domain.observations import (
    JobPhase,
    LogState,
    NoKubernetesJob,
    Submitter,
    Unreachable,
)
from flinkjobs.domain.pod_diagnosis import MESSAGE_OF_EXIT_CODE
from flinkjobs.domain.records import ReasonCode
from flinkjobs.domain.text import counted

TIMED_OUT: Final = 124
"""Exit code of coreutils' `timeout` when it had to stop what it ran."""


# --- records ----------------------------------------------------------------------------------------


_UNREACHABLE_JOBMANAGER: Final = re.compile(
    r"AnnotatedConnectException|AnnotatedNoRouteToHostException|ConnectTimeoutException"
    r"|java\.net\.(?:UnknownHost|NoRouteToHost|Connect)Exception"
    r"|runtime\.rest\.ConnectionClosedException"
)
"""What Flink's client prints when nothing answers at `-m`, or when what is there hangs up, as other ports of
the JobManager do. The errors of Python have other names."""

_JAVA_PACKAGE: Final = re.compile(r"\b(?:[a-z]\w*\.)+(?:[A-Z]\w*\$)*(?=[A-Z]\w*Exception\b)")
"""What stands before the name of a Java exception, and tells a person nothing."""


def _waiting(seen: Examination) -> Iterator[Finding]:
    check = "records.created"
    match seen.records:
        case Unreachable(error) | Refused(error):
            yield _unknown(check, Code.STORE_UNAVAILABLE, error)
        case NotAsked(because):
            yield _skipped(check, because)
        case Records(waiting=()) | Troubles(created=()):
            yield _ok(check, f"no job is CREATED for longer than {_length(CREATED_FOR)}")
        case Records(waiting=found):
            told = [
                (f"{each.record.job_id}, {_length(seen.now - each.record.submitted_at)} old", *cause_of(each))
                for each in found
            ]
            yield from _by_code(check, told, "{} CREATED for longer than " + _length(CREATED_FOR))
        case Troubles(created=troubles):
            yield from _by_trouble(check, troubles, "CREATED")


def cause_of(waiting: Waiting) -> tuple[str, str]:
    """Code and message of what holds a record up: its own reason, else what its Kubernetes Job says now."""
    record, submitter = waiting.record, waiting.submitter
    if record.reason is not None:
        return record.reason.code, record.reason.message
    if record.flink_jobs:
        state = record.flink_state or "not known yet"
        return Code.WAITING_IN_FLINK, f"Flink has it as {record.flink_job_id}, in state {state}"
    if record.k8s_job_name is None:
        return ReasonCode.K8S_JOB_UNKNOWN, "the record names no Kubernetes Job"
    cause: tuple[str, str]
    match submitter:
        case NoKubernetesJob():
            cause = ReasonCode.K8S_JOB_MISSING, f"the Kubernetes Job {record.k8s_job_name} does not exist"
        case Submitter():
            cause = next(_of_submitter(submitter))
        case Unreachable(error):
            cause = Code.CAUSE_UNKNOWN, f"its Kubernetes Job could not be looked at: {error}"
        case None:
            cause = Code.CAUSE_UNKNOWN, "its Kubernetes Job was not looked at"
    return cause


def _of_submitter(submitter: Submitter) -> Iterator[tuple[str, str]]:
    """What a Job and its pods say that no pass has written on the record yet, the best evidence first."""
    if submitter.ids:
        yield Code.NOT_SYNCHRONISED, f"its submitter has printed the Flink Job ID {submitter.ids[0].id}"
    if submitter.phase is JobPhase.FAILED:
        cause = submitter.trouble[1] if submitter.trouble else ""
        told = "; ".join(part for part in (cause, submitter.telling) if part)
        yield ReasonCode.SUBMIT_FAILED, told or submitter.ended or "the submitter failed silently"
    if submitter.trouble is not None:
        yield submitter.trouble
    if submitter.unread:
        yield Code.CAUSE_UNKNOWN, f"its log could not be read: {submitter.unread}"
    if submitter.phase is JobPhase.COMPLETE and submitter.log is LogState.GONE:
        yield ReasonCode.LOG_UNAVAILABLE, "its submitter has ended, and its log is gone"
    if submitter.phase is JobPhase.COMPLETE:
        yield ReasonCode.NO_JOB_SUBMITTED, "its submitter has ended well, and printed no Flink Job ID"
    last = f": {submitter.telling}" if submitter.telling else ", and has printed nothing"
    yield Code.STILL_SUBMITTING, f"its submitter is still at it{last}"


def _without_id(seen: Examination) -> Iterator[Finding]:
    match seen.records:
        case Records(unconfirmed=(), without_id=()) | Troubles(without_id=()):
            told = f"no submission of the last {_length(RECENT)} ended without one"
            yield _ok("records.no-id", told)
        case Records(unconfirmed=unconfirmed, without_id=without_id):
            found = [
                (record.job_id, record.reason.code, record.reason.message)
                for record in (*unconfirmed, *without_id)
                if record.reason is not None
            ]
            yield from _by_code("records.no-id", found, "{} without a Flink Job ID that Flink knows")
        case Troubles(without_id=troubles):
            yield from _by_trouble("records.no-id", troubles, "without a Flink Job ID that Flink knows")


def _lost(seen: Examination) -> Iterator[Finding]:
    match seen.records:
        case Troubles(lost=number) if number:
            told = (
                f"{counted(number, 'job')} of the last {_length(RECENT)} LOST: `flinkjobs jobs --status LOST`"
            )
            yield _fail("records.lost", ReasonCode.OUTCOME_UNKNOWN, told)
        case Records(lost=()) | Troubles():
            yield _ok("records.lost", f"no job was LOST in the last {_length(RECENT)}")
        case Records(lost=lost):
            found = [
                (
                    record.job_id,
                    ReasonCode.OUTCOME_UNKNOWN,
                    record.reason.message if record.reason else "LOST",
                )
                for record in lost
            ]
            yield from _by_code("records.lost", found, "{} LOST in the last " + _length(RECENT))


def _unreadable(seen: Examination) -> Iterator[Finding]:
    match seen.records:
        case Records(unreadable=unreadable) if unreadable:
            told = _several([f"{record.job_id}: {record.error}" for record in unreadable])
            count = counted(len(unreadable), "document")
            yield _warn("records.unreadable", Code.UNREADABLE_RECORD, f"{count} of no record: {told}")


def _by_code(check: str, found: Sequence[tuple[str, str, str]], title: str) -> Iterator[Finding]:
    """One finding per cause, the most frequent first. `found` holds (record, code, message)."""
    groups: dict[str, list[str]] = defaultdict(list)
    for record, code, message in found:
        sharper, telling = _sharper(code, message)
        groups[sharper].append(f"{record}: {telling}")
    for code, told in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield _fail(check, code, f"{title.format(counted(len(told), 'job'))}: {_several(told)}")


def _by_trouble(check: str, troubles: Sequence[Trouble], title: str) -> Iterator[Finding]:
    """One finding per cause, as the function jobs orders them; a newer cause than ours is told as it came."""
    for trouble in troubles:
        code = trouble.code if trouble.code in REMEDIES else Code.CAUSE_UNKNOWN
        cause = "" if code == trouble.code else f" ({trouble.code})"
        listed = f": {_several(trouble.job_ids)}" if trouble.job_ids else ""
        told = f"{counted(trouble.count, 'job')} {title}{cause}{listed}; `flinkjobs show ID` tells more"
        yield _fail(check, code, told)


def _sharper(code: str, message: str) -> tuple[str, str]:
    """Code and message in one line.

    A failed submission in which Flink's client reached nobody, or did not end, has a code of its own.
    """
    lines = message.splitlines()
    if code == ReasonCode.SUBMIT_FAILED:
        for line in lines:
            if _UNREACHABLE_JOBMANAGER.search(line):
                return Code.JOBMANAGER_UNREACHABLE, _JAVA_PACKAGE.sub("", line)
        if MESSAGE_OF_EXIT_CODE[TIMED_OUT] in message:
            code = Code.SUBMIT_TIMED_OUT
    return code, " / ".join(lines)
