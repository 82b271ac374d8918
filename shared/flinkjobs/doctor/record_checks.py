"""Checks of the records: which are stuck, lost or failed, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from flinkjobs.doctor.codes import REMEDIES, Code
from flinkjobs.doctor.facts import (
    CREATED_FOR,
    RECENT,
    Facts,
    NotAsked,
    Problem,
    Problems,
    Records,
    Refused,
    Waiting,
)
from flinkjobs.doctor.findings import Finding, duration_text, fail, first_few, no_answer, ok, unknown, warn
from flinkjobs.domain.observations import (
    JobPhase,
    LogState,
    NoKubernetesJob,
    Submitter,
    Unreachable,
)
from flinkjobs.domain.pod_diagnosis import MESSAGE_OF_EXIT_CODE
from flinkjobs.domain.reasons import OF_SCRIPTS, REASONS, ProblemKind, ReasonCode
from flinkjobs.domain.text import counted
from flinkjobs.domain.transition import failure_code

OF_HEALTH: Final[frozenset[str]] = frozenset(
    code for code, info in REASONS.items() if info.problem is ProblemKind.UNHEALTHY
)
"""Codes of unhealthy jobs: they run, and the system has done its work."""

TIMED_OUT: Final = 124
"""Exit code of coreutils' `timeout` when it had to stop what it ran."""


_UNREACHABLE_JOBMANAGER: Final = re.compile(
    r"AnnotatedConnectException|AnnotatedNoRouteToHostException|ConnectTimeoutException"
    r"|java\.net\.(?:UnknownHost|NoRouteToHost|Connect)Exception"
    r"|runtime\.rest\.ConnectionClosedException"
)
"""What Flink's client prints when nothing answers at `-m`, or when what is there hangs up, as other ports of
the JobManager do. The errors of Python have other names."""

_NOT_THE_SCRIPT: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        Code.JOBMANAGER_UNREACHABLE: _UNREACHABLE_JOBMANAGER,
        Code.FLINK_LINES_DIFFER: re.compile(
            r"InvalidClassException: org\.apache\.flink\."
            r"|Could not read the user code wrapper: org\.apache\.flink\.api\.java\."
            r"|jobGraphFileName field must not be omitted"
        ),
        ReasonCode.IMAGE_UNSUITABLE: re.compile(r"^timeout: failed to run command |Cannot run program \""),
    }
)
"""Lines of a failed submission that name another cause than the script: the JobManager is not reached, or is
of another line (seen with 1.20 and 2.3); coreutils' `timeout` finds no `flink`; `flink` finds no Python."""

_JAVA_PACKAGE: Final = re.compile(r"\b(?:[a-z]\w*\.)+(?:[A-Z]\w*\$)*(?=[A-Z]\w*Exception\b)")
"""The package of a Java exception, which is left out of messages."""


def _waiting(facts: Facts) -> Iterator[Finding]:
    check = "records.created"
    match facts.records:
        case Unreachable() | Refused() | NotAsked() as gap:
            yield no_answer(check, gap, Code.STORE_UNAVAILABLE, finding=unknown)
        case Records(waiting=()) | Problems(created=()):
            yield ok(check, f"no job is CREATED for longer than {duration_text(CREATED_FOR)}")
        case Records(waiting=found):
            causes = [
                (
                    f"{each.record.job_id}, {duration_text(facts.now - each.record.submitted_at)} old",
                    *cause_of(each),
                )
                for each in found
            ]
            yield from _by_code(check, causes, "{} CREATED for longer than " + duration_text(CREATED_FOR))
        case Problems(created=problems):
            yield from _by_problem(check, problems, "CREATED")


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
            cause = Code.CAUSE_UNKNOWN, f"its Kubernetes Job could not be read: {error}"
        case None:
            cause = Code.CAUSE_UNKNOWN, "its Kubernetes Job was not read"
    return cause


def _of_submitter(submitter: Submitter) -> Iterator[tuple[str, str]]:
    """What a Job and its pods say that no pass has written on the record yet, the best evidence first."""
    if submitter.ids:
        yield Code.NOT_SYNCHRONISED, f"its submitter has printed the Flink Job ID {submitter.ids[0].id}"
    if submitter.phase is JobPhase.FAILED:
        cause = submitter.problem[1] if submitter.problem else ""
        message = "; ".join(part for part in (cause, submitter.error_lines) if part)
        yield failure_code(submitter), message or submitter.ended or "the submitter failed silently"
    if submitter.problem is not None:
        yield submitter.problem
    if submitter.events_unread is not None:
        yield (
            Code.CAUSE_UNKNOWN,
            f"the events that may name the cause could not be read: {submitter.events_unread.error}",
        )
    if submitter.unread:
        yield Code.CAUSE_UNKNOWN, f"its log could not be read: {submitter.unread}"
    if submitter.phase is JobPhase.COMPLETE and submitter.log is LogState.GONE:
        yield ReasonCode.LOG_UNAVAILABLE, "its submitter has ended, and its log is gone"
    if submitter.phase is JobPhase.COMPLETE:
        yield ReasonCode.NO_JOB_SUBMITTED, "its submitter has ended well, and printed no Flink Job ID"
    last = f": {submitter.error_lines}" if submitter.error_lines else ", and has printed nothing"
    yield Code.STILL_SUBMITTING, f"its submitter is still at it{last}"


def _without_id(facts: Facts) -> Iterator[Finding]:
    match facts.records:
        case Records(unconfirmed=(), without_id=()) | Problems(without_id=()):
            evidence = f"no submission of the last {duration_text(RECENT)} ended without one"
            yield ok("records.no-id", evidence)
        case Records(unconfirmed=unconfirmed, without_id=without_id):
            found = [
                (record.job_id, record.reason.code, record.reason.message)
                for record in (*unconfirmed, *without_id)
                if record.reason is not None
            ]
            title = "{} without a Flink Job ID that Flink knows"
            yield from _by_code("records.no-id", found, title, warned=OF_SCRIPTS)
        case Problems(without_id=problems):
            title = "without a Flink Job ID that Flink knows"
            yield from _by_problem("records.no-id", problems, title, warned=OF_SCRIPTS)


def _lost(facts: Facts) -> Iterator[Finding]:
    match facts.records:
        case Problems(lost=number) if number:
            jobs = counted(number, "job")
            evidence = f"{jobs} of the last {duration_text(RECENT)} LOST: `flinkjobs jobs --status LOST`"
            yield fail("records.lost", ReasonCode.OUTCOME_UNKNOWN, evidence)
        case Records(lost=()) | Problems():
            yield ok("records.lost", f"no job was LOST in the last {duration_text(RECENT)}")
        case Records(lost=lost):
            found = [
                (
                    record.job_id,
                    ReasonCode.OUTCOME_UNKNOWN,
                    record.reason.message if record.reason else "LOST",
                )
                for record in lost
            ]
            yield from _by_code("records.lost", found, "{} LOST in the last " + duration_text(RECENT))


def _unhealthy(facts: Facts) -> Iterator[Finding]:
    match facts.records:
        case Records(unhealthy=()) | Problems(unhealthy=()):
            yield ok("records.health", "no open job is unhealthy")
        case Records(unhealthy=unhealthy):
            found = [
                (record.job_id, record.health.code, record.health.message or "")
                for record in unhealthy
                if record.health is not None and record.health.code is not None
            ]
            yield from _by_code("records.health", found, "{} unhealthy", warned=OF_HEALTH)
        case Problems(unhealthy=problems):
            yield from _by_problem("records.health", problems, "unhealthy", warned=OF_HEALTH)


def _unreadable(facts: Facts) -> Iterator[Finding]:
    match facts.records:
        case Records(unreadable=unreadable) if unreadable:
            examples = first_few([f"{record.job_id}: {record.error}" for record in unreadable])
            count = counted(len(unreadable), "document")
            yield warn("records.unreadable", Code.UNREADABLE_RECORD, f"{count} of no record: {examples}")


def _by_code(
    check: str,
    found: Sequence[tuple[str, str, str]],
    title: str,
    *,
    warned: frozenset[str] = frozenset(),
) -> Iterator[Finding]:
    """One finding per cause, the most frequent first.

    Args:
        check: see `Finding`.
        found: (record, code, message) of each record.
        title: of the evidence; `{}` stands for the number of records.
        warned: codes that only warn.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for record, code, message in found:
        sharper, shortened = _sharper(code, message)
        groups[sharper].append(f"{record}: {shortened}")
    for code, messages in sorted(groups.items(), key=lambda group: -len(group[1])):
        evidence = f"{title.format(counted(len(messages), 'job'))}: {first_few(messages)}"
        yield warn(check, code, evidence) if code in warned else fail(check, code, evidence)


def _by_problem(
    check: str, problems: Sequence[Problem], title: str, *, warned: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """One finding per cause, in the order of the jobs function; an unknown cause is shown as it is."""
    for problem in problems:
        code = problem.code if problem.code in REMEDIES else Code.CAUSE_UNKNOWN
        cause = "" if code == problem.code else f" ({problem.code})"
        listed = f": {first_few(problem.job_ids)}" if problem.job_ids else ""
        evidence = f"{counted(problem.count, 'job')} {title}{cause}{listed}; `flinkjobs show ID` shows more"
        yield warn(check, code, evidence) if code in warned else fail(check, code, evidence)


def _sharper(code: str, message: str) -> tuple[str, str]:
    """Code and message in one line.

    A failed submission has a code of its own if the script is not what failed.
    """
    lines = message.splitlines()
    if code == ReasonCode.SUBMIT_FAILED:
        for sharper, words in _NOT_THE_SCRIPT.items():
            for line in lines:
                if words.search(line):
                    return sharper, _JAVA_PACKAGE.sub("", line)
        if MESSAGE_OF_EXIT_CODE[TIMED_OUT] in message:
            code = Code.SUBMIT_TIMED_OUT
    return code, " / ".join(lines)


RECORD_CHECKS: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _waiting,
    _without_id,
    _lost,
    _unhealthy,
    _unreadable,
)
