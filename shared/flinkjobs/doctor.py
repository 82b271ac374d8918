"""What is wrong, and what to do next: an ordered table of checks over values that were gathered before.

The order is that of causes: a check stands behind everything that can make it fail. So the first finding that
fails names the cause, and what only follows from it says that it was not checked. Pure: `examine` gathers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar

from flinkjobs.diagnose import MESSAGE_OF_EXIT_CODE
from flinkjobs.errors import counted, cut
from flinkjobs.kube import AccessReview
from flinkjobs.model import (
    JobPhase,
    JobRecord,
    LogState,
    NoKubernetesJob,
    ReasonCode,
    Submitter,
    SubmitterObservation,
    Unreachable,
    UnreadableRecord,
)
from flinkjobs.remedies import ATTEMPTS, REMEDIES, Code
from flinkjobs.schedules import ScheduleState, State, longest_gap
from flinkjobs.settings import OwnSchedule, Settings

T = TypeVar("T")

CREATED_FOR: Final = timedelta(minutes=5)
"""A record that is CREATED for longer has a cause that somebody should know. As a rule, a submission takes
less than a minute."""

RECENT: Final = timedelta(hours=24)
"""Submissions that failed, and jobs that were lost, within this time are findings; older ones are history."""

PERIODS_BEFORE_OLD: Final = 3
"""A synchronisation is too old after so many of its schedule's periods."""

CLEANUP_MARGIN: Final = timedelta(hours=2)
"""How much later than its schedule's period a cleanup may be."""

TIMED_OUT: Final = 124
"""Exit code of coreutils' `timeout` when it had to stop what it ran."""

EXAMPLES: Final = 3
"""Records quoted in one finding."""

QUOTED_LENGTH: Final = 750
"""Characters that the quotes of one finding share."""

EVIDENCE_LENGTH: Final = 900
"""Characters of evidence in a finding."""


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "warn"
    """Works, and somebody should look at it when there is time."""
    FAIL = "fail"
    UNKNOWN = "unknown"
    """Could not be found out, and nothing else that failed explains why."""
    SKIPPED = "skipped"
    """Was not checked; the evidence says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

    Attributes:
        check: what was checked; stable.
        evidence: what was seen, with no password in it.
        next_step: what to do; "" where nothing is to be done.
        code: a `Code` or a `ReasonCode`; "" where all is well.
    """

    check: str
    verdict: Verdict
    evidence: str
    next_step: str = ""
    code: str = ""


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed, and nothing stayed unknown."""
    return not any(finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN) for finding in findings)


def first_failing(findings: Sequence[Finding]) -> Finding | None:
    """The finding that names the cause: the first that failed, else the first that stayed unknown."""
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        for finding in findings:
            if finding.verdict is verdict:
                return finding
    return None


# --- what was gathered ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A peer answered, and refused.

    Attributes:
        error: what it said, one line.
        reason: the word of a Kubernetes Status object, e.g. `Forbidden`; "" from other peers.
    """

    error: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Nobody asked.

    Attributes:
        because: why not.
    """

    because: str


@dataclass(frozen=True, slots=True)
class NotReady:
    """A function answered that it cannot do its work.

    Attributes:
        error: what it said, one line.
    """

    error: str


@dataclass(frozen=True, slots=True)
class OnlyFunctions:
    """None of the functions' settings is here, only where the functions are: they are asked instead."""


Seen: TypeAlias = T | Unreachable | Refused | NotAsked
"""What was asked for, or what came instead. An error is a value here, never a default."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What MongoDB says of itself.

    Attributes:
        user: who we are there; None where it asks for no credentials.
    """

    address: str
    version: str
    user: str | None


@dataclass(frozen=True, slots=True)
class FlinkFacts:
    """What a Flink cluster says of itself."""

    version: str
    taskmanagers: int
    slots: int
    free_slots: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A Flink cluster as the last pass saw it.

    Attributes:
        at: when that pass began.
        error: why it did not answer; None where it did.
    """

    at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One pass of sync, or one run of cleanup, as its report tells it.

    Attributes:
        errors: (job id, code, message); the job id is None where it concerns a peer.
        unreachable: the Flink clusters that it could not ask, each with the error.
    """

    started_at: datetime
    complete: bool
    errors: tuple[tuple[str | None, str, str], ...] = ()
    unreachable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Runs:
    """The last run, and the last that got to its end; None where there is none."""

    last: Run | None
    last_complete: Run | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is CREATED for too long.

    Attributes:
        submitter: what its Kubernetes Job says now; None when nobody looked, because the record says enough.
    """

    record: JobRecord
    submitter: SubmitterObservation | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The records that somebody may have to look at.

    Attributes:
        waiting: CREATED for longer than `CREATED_FOR`, but for the unconfirmed.
        without_id: recently failed before Flink had a job of theirs.
        unconfirmed: with an id that no Flink cluster knows.
        lost: recently LOST.
        unreadable: documents that are no records.
    """

    waiting: tuple[Waiting, ...] = ()
    without_id: tuple[JobRecord, ...] = ()
    unconfirmed: tuple[JobRecord, ...] = ()
    lost: tuple[JobRecord, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Jobs with the same cause, as the function jobs tells it.

    Attributes:
        code: of the reason on their records; NO_REASON where there is none.
        count: how many.
        job_ids: of some of them.
    """

    code: str
    count: int
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Troubles:
    """The records that somebody may have to look at, as the function jobs tells of them.

    Attributes:
        created: that stay CREATED.
        without_id: recently failed without a Flink Job ID.
        lost: number of jobs submitted recently that are LOST.
    """

    created: tuple[Trouble, ...]
    without_id: tuple[Trouble, ...]
    lost: int


_UNASKED: Final = NotAsked("the settings are wrong")


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that the checks look at.

    Attributes:
        now: when it was gathered.
        settings: those of the functions, or what is wrong with them, or that only the functions are known.
        store: MongoDB.
        write: None when a write went well.
        indexes: the names of those that `flink_jobs` lacks.
        kubernetes: (address, version) of the API server.
        identity: who we are there.
        access: what we may do there of what the functions need.
        flink: by cluster; `Passed` where only the functions are known.
        history: number of jobs that its History Server knows, by cluster that has one.
        functions: None where its `/ready` says so, by function that has a URL in the settings.
        own: the schedules that should exist.
        schedules: by function; None where there is none of that name. Empty where no scheduler is known.
        sync: passes over all records.
        cleanup: runs of cleanup.
        records: see `Records`; `Troubles` where only the functions are known.
        sync_period_seconds: how often a pass is due, as the function jobs tells; None where nobody asked it.
    """

    now: datetime
    settings: Settings | Refused | OnlyFunctions
    store: Seen[StoreFacts] = _UNASKED
    write: Seen[None] = _UNASKED
    indexes: Seen[tuple[str, ...]] = _UNASKED
    kubernetes: Seen[tuple[str, str]] = _UNASKED
    identity: Seen[str] = _UNASKED
    access: Seen[tuple[AccessReview, ...]] = _UNASKED
    flink: Mapping[str, Seen[FlinkFacts | Passed]] = field(default_factory=dict)
    history: Mapping[str, Seen[int]] = field(default_factory=dict)
    functions: Mapping[str, Seen[NotReady | None]] = field(default_factory=dict)
    own: tuple[OwnSchedule, ...] = ()
    schedules: Mapping[str, Seen[ScheduleState | None]] = field(default_factory=dict)
    sync: Seen[Runs] = _UNASKED
    cleanup: Seen[Runs] = _UNASKED
    records: Seen[Records | Troubles] = _UNASKED
    sync_period_seconds: int | None = None


# --- the checks -------------------------------------------------------------------------------------


def judge(seen: Examination) -> tuple[Finding, ...]:
    """Every finding, in the order of `CHECKS`."""
    findings = [finding for check in CHECKS for finding in check(seen)]
    return tuple(
        replace(finding, evidence=cut(masked(finding.evidence), EVIDENCE_LENGTH)) for finding in findings
    )


def _settings(seen: Examination) -> Iterator[Finding]:
    settings = seen.settings
    if isinstance(settings, OnlyFunctions):
        yield _warn("settings", Code.FUNCTIONS_ONLY, "only the functions are reachable from here")
    elif isinstance(settings, Refused):
        yield _fail("settings", Code.SETTINGS, settings.error)
    elif not settings.flink_clusters:
        yield _fail("settings", Code.SETTING_MISSING, "sync needs FLINK_REST_URL, which is not set")
    elif not settings.flink_image:
        yield _warn("settings", Code.SETTING_MISSING, "submit needs FLINK_IMAGE, which is not set")
    else:
        clusters = "; ".join(
            f"Flink {name} at {cluster.rest_url}, pods submit to {cluster.jobmanager}"
            for name, cluster in settings.flink_clusters.items()
        )
        place = f"database {settings.mongodb_database}, namespace {settings.k8s_namespace}"
        yield _ok("settings", f"{place}, image {settings.flink_image}; {clusters}")


def _store(seen: Examination) -> Iterator[Finding]:
    match seen.store:
        case Unreachable(error):
            yield _fail("mongodb", Code.STORE_UNAVAILABLE, error)
        case Refused(error):
            yield _fail("mongodb", Code.STORE_REFUSED, error)
        case NotAsked(because):
            yield _skipped("mongodb", because)
        case StoreFacts(address, version, user):
            yield _ok("mongodb", f"MongoDB {version} at {address}{f', as {user}' if user else ''}")


def _write(seen: Examination) -> Iterator[Finding]:
    match seen.write:
        case Unreachable(error) | Refused(error):
            yield _fail("mongodb.write", Code.STORE_NOT_WRITABLE, error)
        case NotAsked(because):
            yield _skipped("mongodb.write", because)
        case None:
            yield _ok("mongodb.write", "a write was acknowledged")


def _indexes(seen: Examination) -> Iterator[Finding]:
    match seen.indexes:
        case Unreachable(error):
            yield _unknown("mongodb.indexes", Code.STORE_UNAVAILABLE, error)
        case Refused(error):
            yield _unknown("mongodb.indexes", Code.STORE_REFUSED, error)
        case NotAsked(because):
            yield _skipped("mongodb.indexes", because)
        case ():
            yield _ok("mongodb.indexes", "all are there")
        case missing:
            yield _fail("mongodb.indexes", Code.INDEX_MISSING, f"flink_jobs lacks {', '.join(missing)}")


def _kubernetes(seen: Examination) -> Iterator[Finding]:
    match seen.kubernetes:
        case Unreachable(error):
            yield _fail("kubernetes", Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(error, reason):
            yield _fail("kubernetes", _code_of_refusal(reason), error)
        case NotAsked(because):
            yield _skipped("kubernetes", because)
        case address, version:
            yield _ok("kubernetes", f"Kubernetes {version} at {address}")


def _code_of_refusal(reason: str) -> Code:
    return Code.KUBERNETES_UNAUTHORIZED if reason == "Unauthorized" else Code.KUBERNETES_REFUSED


ANONYMOUS: Final = "system:anonymous"
"""Whom an API server takes everybody for who shows no credentials."""


def _identity(seen: Examination) -> Iterator[Finding]:
    check = "kubernetes.identity"
    match seen.identity:
        case Unreachable(error):
            yield _unknown(check, Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(_, "NotFound"):
            yield _skipped(
                check, "this API server does not tell; SelfSubjectReview came with Kubernetes 1.28"
            )
        case Refused(error, _) if f'"{ANONYMOUS}"' in error:
            yield _fail(check, Code.KUBERNETES_ANONYMOUS, error)
        case Refused(error, reason):
            yield _fail(check, _code_of_refusal(reason), error)
        case NotAsked(because):
            yield _skipped(check, because)
        case str(user) if user == ANONYMOUS:
            yield _fail(check, Code.KUBERNETES_ANONYMOUS, f"the API server takes us for {user}")
        case user:
            yield _ok(check, f"we are {user}")


def _access(seen: Examination) -> Iterator[Finding]:
    check = "kubernetes.role"
    match seen.access:
        case Unreachable(error):
            yield _unknown(check, Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(error, reason):
            yield _unknown(check, _code_of_refusal(reason), error)
        case NotAsked(because):
            yield _skipped(check, because)
        case access:
            denied = [each.permission for each in access if not each.allowed]
            if denied:
                told = ", ".join(f"{permission} (for {permission.needed_by})" for permission in denied)
                yield _fail(check, Code.PERMISSION_MISSING, f"not allowed: {told}")
            else:
                yield _ok(check, f"allowed: {', '.join(str(each.permission) for each in access)}")


def _flink(seen: Examination) -> Iterator[Finding]:
    for name, facts in seen.flink.items():
        check = f"flink.{name}"
        match facts:
            case Unreachable(error) | Refused(error):
                told = f"{_rest_url(seen, name)}: {_bare(name, error)}"
                yield _fail(check, Code.FLINK_UNAVAILABLE, told)
            case NotAsked(because):
                yield _skipped(check, because)
            case Passed(at, None):
                yield _ok(check, f"the last pass, {_ago(seen.now - at)}, reached it")
            case Passed(at, error):
                told = f"the last pass, {_ago(seen.now - at)}, met this: {_bare(name, error or '')}"
                yield _fail(check, Code.FLINK_UNAVAILABLE, told)
            case FlinkFacts(version, slots=0):
                told = f"Flink {version} has no TaskManager: no job can run"
                yield _fail(check, Code.FLINK_NO_TASKMANAGER, told)
            case FlinkFacts(version, slots=slots, free_slots=0):
                told = f"Flink {version}: 0 of {counted(slots, 'slot')} free; the next job has to wait"
                yield _warn(check, Code.FLINK_NO_FREE_SLOT, told)
            case FlinkFacts(version, taskmanagers, slots, free):
                told = f"{free} of {counted(slots, 'slot')} free, {counted(taskmanagers, 'TaskManager')}"
                yield _ok(check, f"Flink {version} at {_rest_url(seen, name)}; {told}")


def _rest_url(seen: Examination, cluster: str) -> str:
    return seen.settings.flink_clusters[cluster].rest_url if isinstance(seen.settings, Settings) else cluster


def _bare(cluster: str, error: str) -> str:
    """An error without the name of the cluster, which many begin with."""
    return error.removeprefix(f"cluster {cluster}: ")


def _history(seen: Examination) -> Iterator[Finding]:
    if seen.flink and not seen.history and isinstance(seen.settings, Settings):
        because = (
            "FLINK_HISTORY_URL is not set; a job that Flink forgets before it is seen to end will be LOST"
        )
        yield _skipped("history", because)
    for name, jobs in seen.history.items():
        check = f"history.{name}"
        match jobs:
            case Unreachable(error) | Refused(error):
                yield _fail(check, Code.HISTORY_UNAVAILABLE, error)
            case NotAsked(because):
                yield _skipped(check, because)
            case count:
                yield _ok(check, f"the History Server knows {counted(count, 'job')}")


FROM_INSIDE: Final = frozenset({"sync", "cleanup"})
"""Functions that may be closed to everybody outside their network."""


def _functions(seen: Examination) -> Iterator[Finding]:
    for name, ready in seen.functions.items():
        check = f"function.{name}"
        match ready:
            case NotReady(error):
                yield _fail(check, Code.FUNCTION_UNAVAILABLE, error)
            case Unreachable(error) | Refused(error) if _is_outside(seen) and name in FROM_INSIDE:
                told = "It may be closed to everybody outside its network: its last run stands below"
                yield _warn(check, Code.FUNCTIONS_ONLY, f"{error}. {told}")
            case Unreachable(error):
                yield _fail(check, Code.FUNCTION_UNAVAILABLE, error)
            case Refused(error):
                yield _fail(check, Code.FUNCTION_REFUSED, error)
            case NotAsked(because):
                yield _skipped(check, because)
            case None:
                yield _ok(check, "it says that it is ready")


def _is_outside(seen: Examination) -> bool:
    return isinstance(seen.settings, OnlyFunctions)


def _schedules(seen: Examination) -> Iterator[Finding]:
    if not seen.own and not isinstance(seen.settings, Refused):
        yield _skipped("schedule", "SCHEDULER_PARENT is not set")
    for own in seen.own:
        check = f"schedule.{own.function}"
        match seen.schedules[own.function]:
            case Unreachable(error):
                yield _fail(check, Code.SCHEDULER_UNAVAILABLE, error)
            case Refused(error):
                yield _fail(check, Code.SCHEDULER_REFUSED, error)
            case NotAsked(because):
                yield _skipped(check, because)
            case None:
                told = f"there is no schedule {own.name}: nothing calls {own.function}"
                yield _fail(check, Code.SCHEDULE_MISSING, told)
            case state:
                yield next(_of_schedule(check, own, state, seen.now))


def _of_schedule(check: str, own: OwnSchedule, state: ScheduleState, now: datetime) -> Iterator[Finding]:
    """What is wrong with a schedule, the cause first; at last, that nothing is."""
    cron, uri, last = state.schedule.cron, state.schedule.uri, "it has not rung yet"
    if state.last_attempt_time is not None:
        last = f"last attempt {_ago(now - state.last_attempt_time)}"
    if state.state is not State.ENABLED:
        remedy = f"Run `flinkjobs schedules resume {own.function}`."
        yield _fail(check, Code.SCHEDULE_PAUSED, f"{own.name} is {state.state}; {last}", remedy)
    if own.url is not None and own.url.rstrip("/") != uri.rstrip("/"):
        yield _fail(
            check, Code.SCHEDULE_CHANGED, f"{own.name} calls {uri}, and should call {own.url}; {last}"
        )
    gap, wanted = longest_gap(cron), longest_gap(own.cron)
    if gap is None or (wanted is not None and gap > wanted):
        told = f"{own.name} rings at {cron!r}, too rarely: it should ring at {own.cron!r}; {last}"
        remedy = f'Run `flinkjobs schedules set {own.function} "{own.cron}"`, or correct the setting.'
        yield _fail(check, Code.SCHEDULE_CHANGED, told, remedy)
    elif state.last_attempt_time is not None and now - state.last_attempt_time > PERIODS_BEFORE_OLD * gap:
        yield _fail(check, Code.SCHEDULE_SILENT, f"{own.name} is enabled ({cron}), but {last}")
    if state.last_status_code:
        unnamed = f"code {state.last_status_code}", REMEDIES[Code.SCHEDULE_FAILING]
        name, remedy = ATTEMPTS.get(state.last_status_code, unnamed)
        said = f" ({state.last_status_message})" if state.last_status_message else ""
        told = f"{last}: it called {uri} and failed with {name}{said}"
        yield _fail(check, Code.SCHEDULE_FAILING, told, remedy)
    if cron != own.cron:
        told = f"{own.name} rings at {cron!r}, the settings say {own.cron!r}; {last}"
        yield _warn(check, Code.SCHEDULE_CHANGED, told)
    ended = "" if state.last_status_code is None else ", it went well"
    yield _ok(check, f"enabled, {cron!r} in {state.schedule.time_zone}; {last}{ended}")


def _sync_age(seen: Examination) -> Iterator[Finding]:
    check = "sync.pass"
    match seen.sync:
        case Unreachable(error) | Refused(error):
            yield _unknown(check, Code.STORE_UNAVAILABLE, error)
        case NotAsked(because):
            yield _skipped(check, because)
        case Runs(None, None):
            first = _first_ring(seen.schedules.get("sync"), seen.now)
            if first is not None:
                told = f"there was no pass yet; the schedule rings for the first time in {_length(first)}"
                yield _warn(check, Code.SYNC_NEVER, told)
                return
            yield _fail(check, Code.SYNC_NEVER, "there was no pass in the last two weeks")
        case Runs(Run(started_at), None):
            told = (
                f"no pass over all records has come to its end; the last began {_ago(seen.now - started_at)}"
            )
            yield _fail(check, Code.SYNC_NEVER, told)
        case Runs(last, Run(started_at)):
            limit = PERIODS_BEFORE_OLD * _period(seen, "sync", _sync_period(seen))
            told = f"the last complete pass began {_ago(seen.now - started_at)}"
            if seen.now - started_at <= limit:
                yield _ok(check, told)
                return
            if last is not None and last.started_at > started_at:
                told += f" (one that was cut short {_ago(seen.now - last.started_at)})"
            told += f", and should have begun within {_length(limit)}: statuses lag"
            yield _fail(check, Code.SYNC_OLD, told)


def _first_ring(state: object, now: datetime) -> timedelta | None:
    """How long until a schedule that is in order rings for the first time; None for every other one."""
    match state:
        case ScheduleState(state=State.ENABLED, last_attempt_time=None, next_time=datetime() as first):
            return first - now if first > now else None
        case _:
            return None


def _sync_errors(seen: Examination) -> Iterator[Finding]:
    check = "sync.errors"
    match seen.sync:
        case Runs(Run(started_at, errors=errors, unreachable=unreachable)):
            of_peers = [(code, message) for job_id, code, message in errors if job_id is None]
            deaf = [f"Flink cluster {name}: {_bare(name, error)}" for name, error in unreachable]
            deaf += [f"{code}: {message}" for code, message in of_peers if code != Code.JOBS_MISSING]
            missing = [message for code, message in of_peers if code == Code.JOBS_MISSING]
            of_records = [f"{job_id}: {code}: {message}" for job_id, code, message in errors if job_id]
            when = f"the last pass, {_ago(seen.now - started_at)},"
            if deaf:
                yield _fail(check, Code.SYNC_DEAF, f"{when} met this: {_several(deaf)}")
            if missing:
                yield _fail(check, Code.JOBS_MISSING, f"{when} met this: {_several(missing)}")
            if of_records:
                told = f"{when} could not follow {counted(len(of_records), 'record')}: {_several(of_records)}"
                yield _warn(check, Code.SYNC_ERRORS, told)
            if not deaf + missing + of_records:
                yield _ok(check, f"{when} met none")


def _cleanup(seen: Examination) -> Iterator[Finding]:
    check = "cleanup.run"
    match seen.cleanup:
        case Unreachable(error) | Refused(error):
            yield _unknown(check, Code.STORE_UNAVAILABLE, error)
        case NotAsked(because):
            yield _skipped(check, because)
        case Runs(None):
            yield _warn(check, Code.CLEANUP_NEVER, "no cleanup has run yet")
        case Runs(Run(started_at, errors=errors)):
            age, limit = seen.now - started_at, _period(seen, "cleanup", timedelta(hours=24)) + CLEANUP_MARGIN
            told = f"the last cleanup began {_ago(age)}"
            if age > limit:
                told += f", and should have begun within {_length(limit)}: finished Kubernetes Jobs pile up"
                yield _fail(check, Code.CLEANUP_OLD, told)
            elif errors:
                told += f"; {_several([f'{code}: {message}' for _, code, message in errors])}"
                yield _warn(check, Code.CLEANUP_ERRORS, told)
            else:
                yield _ok(check, told)


def _sync_period(seen: Examination) -> timedelta:
    """How often a pass is due where no schedule says it."""
    settings = seen.settings
    own = settings.sync_period_seconds if isinstance(settings, Settings) else seen.sync_period_seconds
    return timedelta(seconds=own or 180)


def _period(seen: Examination, function: str, otherwise: timedelta) -> timedelta:
    """How long the schedule of this function may be silent: as it is, else as it should be."""
    state = seen.schedules.get(function)
    crons = [state.schedule.cron] if isinstance(state, ScheduleState) else []
    crons += [own.cron for own in seen.own if own.function == function]
    return next((gap for cron in crons if (gap := longest_gap(cron)) is not None), otherwise)


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


Check: TypeAlias = Callable[[Examination], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    _settings,
    _store,
    _write,
    _indexes,
    _kubernetes,
    _identity,
    _access,
    _flink,
    _history,
    _functions,
    _schedules,
    _sync_age,
    _sync_errors,
    _cleanup,
    _waiting,
    _without_id,
    _lost,
    _unreadable,
)
"""In the order of causes: what is further down may fail because of what is further up, not the other way."""


# --- words ------------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """A text without passwords in URLs and without signing secrets."""
    return re.sub(r"whsec_\S+", "whsec_***", re.sub(r"//[^/\s]+@", "//***@", text))


def address_of(mongodb_uri: str) -> str:
    """The hosts of a connection string, without credentials and options."""
    return re.split(r"[/?]", mongodb_uri.partition("://")[2].rpartition("@")[2])[0]


def _ok(check: str, evidence: str) -> Finding:
    return Finding(check, Verdict.OK, evidence)


def _warn(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.WARN, evidence, REMEDIES[code], code)


def _fail(check: str, code: str, evidence: str, remedy: str | None = None) -> Finding:
    return Finding(check, Verdict.FAIL, evidence, remedy or REMEDIES[code], code)


def _unknown(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, evidence, REMEDIES[code], code)


def _skipped(check: str, because: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, f"not checked: {because}")


def _several(texts: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    shown = texts[:EXAMPLES]
    told = "; ".join(cut(text, QUOTED_LENGTH // len(shown)) for text in shown)
    return told if len(texts) == len(shown) else f"{told}; and {len(texts) - len(shown)} more"


_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def _length(length: timedelta) -> str:
    """A length of time in one unit, the largest of which there are two."""
    seconds = length.total_seconds()
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _ago(length: timedelta) -> str:
    return f"{_length(length)} ago"
