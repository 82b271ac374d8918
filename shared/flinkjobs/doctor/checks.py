"""What is wrong, and what to do next: an ordered table of checks over values that were gathered before.

The order is that of causes: a check stands behind everything that can make it fail. So the first finding that
fails names the cause, and what only follows from it says that it was not checked. Pure: `examine` gathers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from flinkjobs.doctor.facts import (
    Examination,
    FlinkFacts,
    NotAsked,
    NotReady,
    OnlyFunctions,
    Passed,
    Refused,
    Run,
    Runs,
    StoreFacts,
)
from flinkjobs.doctor.findings import (
    EVIDENCE_LENGTH,
    Finding,
    _ago,
    _fail,
    _length,
    _ok,
    _several,
    _skipped,
    _unknown,
    _warn,
    masked,
)
from flinkjobs.doctor.record_checks import _lost, _unreadable, _waiting, _without_id
from flinkjobs.doctor.remedies import ATTEMPTS, REMEDIES, Code
from flinkjobs.domain.cron import longest_gap
from flinkjobs.domain.observations import (
    Unreachable,
)
from flinkjobs.domain.schedule import ScheduleState, State
from flinkjobs.domain.text import counted, cut
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule

T = TypeVar("T")

PERIODS_BEFORE_OLD: Final = 3
"""A synchronisation is too old after so many of its schedule's periods."""

CLEANUP_MARGIN: Final = timedelta(hours=2)
"""How much later than its schedule's period a cleanup may be."""


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
