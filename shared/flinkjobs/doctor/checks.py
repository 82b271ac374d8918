"""Checks of an installation: judge the facts that the probes collected.

The checks are in the order of causes: a check comes after everything that can make it fail. So the first
finding that fails names the cause, and a check that could not run because of it is SKIPPED. Pure:
`doctor/probes.py` does the I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from flinkjobs.doctor.codes import ATTEMPTS, REMEDIES, Code
from flinkjobs.doctor.facts import (
    Facts,
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
    ago,
    duration_text,
    fail,
    first_few,
    masked,
    ok,
    skipped,
    unknown,
    warn,
)
from flinkjobs.doctor.notify_checks import NOTIFY_CHECKS
from flinkjobs.doctor.record_checks import RECORD_CHECKS
from flinkjobs.doctor.sign_in import check_sign_in
from flinkjobs.domain.cron import longest_gap
from flinkjobs.domain.observations import (
    Unreachable,
)
from flinkjobs.domain.permissions import Function, Permission
from flinkjobs.domain.schedule import ScheduleState, State
from flinkjobs.domain.text import counted, cut
from flinkjobs.domain.versions import MINIMUM_VERSIONS, flink_line, flink_line_of_image, is_too_old
from flinkjobs.settings.functions import REQUIRED, Settings
from flinkjobs.settings.schedules import OwnSchedule

T = TypeVar("T")

PERIODS_BEFORE_OLD: Final = 3
"""Number of schedule periods after which the last pass is too old."""

CLEANUP_MARGIN: Final = timedelta(hours=2)
"""How much longer than its schedule's period a cleanup may take to begin."""


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Every finding, in the order of `CHECKS`."""
    findings = [finding for check in CHECKS for finding in check(facts)]
    return tuple(
        replace(finding, evidence=cut(masked(finding.evidence), EVIDENCE_LENGTH)) for finding in findings
    )


def _settings(facts: Facts) -> Iterator[Finding]:
    settings, function = facts.settings, facts.function
    required = REQUIRED[function or Function.SUBMIT]  # which needs all that another one needs
    if isinstance(settings, OnlyFunctions):
        yield warn("settings", Code.FUNCTIONS_ONLY, "only the functions are reachable from here")
    elif isinstance(settings, Refused):
        yield fail("settings", Code.SETTINGS, settings.error)
    elif not settings.flink_clusters and "FLINK_REST_URL" in required:
        evidence = f"{function or Function.SYNC} needs FLINK_REST_URL, which is not set"
        yield fail("settings", Code.SETTING_MISSING, evidence)
    elif not settings.flink_image and "FLINK_IMAGE" in required:
        finding = "settings", Code.SETTING_MISSING, "submit needs FLINK_IMAGE, which is not set"
        yield fail(*finding) if function else warn(*finding)
    else:
        place = f"database {settings.mongodb_database}, namespace {', '.join(settings.k8s_namespaces)}"
        image = f", image {settings.flink_image}" if settings.flink_image else ""
        clusters = [
            f"Flink {name} at {cluster.rest_url}, pods submit to {cluster.jobmanager}"
            for name, cluster in settings.flink_clusters.items()
        ]
        yield ok("settings", "; ".join([f"{place}{image}", *clusters]))


def _jobmanagers(facts: Facts) -> Iterator[Finding]:
    """A finding only where the pods may submit to another address than the one that we ask."""
    if isinstance(facts.settings, Settings) and facts.function in (None, Function.SUBMIT):
        for name, cluster in facts.settings.flink_clusters.items():
            if (lost := cluster.lost_to_jobmanager) is not None:
                evidence = (
                    f"Flink {name}: pods submit to {cluster.jobmanager}, without {lost} of its REST URL"
                )
                yield warn("settings", Code.JOBMANAGER_DERIVED, evidence)


def _too_old(check: str, peer: str, version: str, address: str) -> Finding:
    evidence = f"{peer} {version} at {address}; the minimum is {MINIMUM_VERSIONS[peer]}"
    return fail(check, Code.VERSION_TOO_OLD, evidence)


def _store(facts: Facts) -> Iterator[Finding]:
    match facts.store:
        case Unreachable(error):
            yield fail("mongodb", Code.STORE_UNAVAILABLE, error)
        case Refused(error):
            yield fail("mongodb", Code.STORE_REFUSED, error)
        case NotAsked(because):
            yield skipped("mongodb", because)
        case StoreFacts(address, version) if is_too_old("MongoDB", version):
            yield _too_old("mongodb", "MongoDB", version, address)
        case StoreFacts(address, version, user):
            yield ok("mongodb", f"MongoDB {version} at {address}{f', as {user}' if user else ''}")


def _write(facts: Facts) -> Iterator[Finding]:
    match facts.write:
        case Unreachable(error) | Refused(error) if facts.function is Function.JOBS:
            yield skipped("mongodb.write", f"jobs only reads; a write fails: {error}")
        case Unreachable(error) | Refused(error):
            yield fail("mongodb.write", Code.STORE_NOT_WRITABLE, error)
        case NotAsked(because):
            yield skipped("mongodb.write", because)
        case None:
            yield ok("mongodb.write", "a write was acknowledged")


def _indexes(facts: Facts) -> Iterator[Finding]:
    match facts.indexes:
        case Unreachable(error):
            yield unknown("mongodb.indexes", Code.STORE_UNAVAILABLE, error)
        case Refused(error):
            yield unknown("mongodb.indexes", Code.STORE_REFUSED, error)
        case NotAsked(because):
            yield skipped("mongodb.indexes", because)
        case ():
            yield ok("mongodb.indexes", "all are there")
        case missing:
            yield fail("mongodb.indexes", Code.INDEX_MISSING, f"flink_jobs lacks {', '.join(missing)}")


def _kubernetes(facts: Facts) -> Iterator[Finding]:
    match facts.kubernetes:
        case Unreachable(error):
            yield fail("kubernetes", Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(error, reason):
            yield fail("kubernetes", _code_of_refusal(reason), error)
        case NotAsked(because):
            yield skipped("kubernetes", because)
        case address, version if is_too_old("Kubernetes", version):
            yield _too_old("kubernetes", "Kubernetes", version, address)
        case address, version:
            yield ok("kubernetes", f"Kubernetes {version} at {address}")


def _code_of_refusal(reason: str) -> Code:
    return Code.KUBERNETES_UNAUTHORIZED if reason == "Unauthorized" else Code.KUBERNETES_REFUSED


ANONYMOUS: Final = "system:anonymous"
"""User name that an API server gives to requests without credentials."""


def _identity(facts: Facts) -> Iterator[Finding]:
    check = "kubernetes.identity"
    match facts.identity:
        case Unreachable(error):
            yield unknown(check, Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(_, "NotFound"):
            yield skipped(check, "this API server has no SelfSubjectReview: it came with Kubernetes 1.28")
        case Refused(error, _) if f'"{ANONYMOUS}"' in error:
            yield fail(check, Code.KUBERNETES_ANONYMOUS, error)
        case Refused(error, reason):
            yield fail(check, _code_of_refusal(reason), error)
        case NotAsked(because):
            yield skipped(check, because)
        case str(user) if user == ANONYMOUS:
            yield fail(check, Code.KUBERNETES_ANONYMOUS, f"the API server takes us for {user}")
        case user:
            yield ok(check, f"we are {user}")


def _access(facts: Facts) -> Iterator[Finding]:
    check = "kubernetes.role"
    match facts.access:
        case Unreachable(error):
            yield unknown(check, Code.KUBERNETES_UNAVAILABLE, error)
        case Refused(error, reason):
            yield unknown(check, _code_of_refusal(reason), error)
        case NotAsked(because):
            yield skipped(check, because)
        case access:
            namespaces = tuple(dict.fromkeys(each.namespace for each in access))
            denied = [each for each in access if not each.allowed]
            if denied:
                evidence = ", ".join(
                    f"{each.permission}{f' in {each.namespace}' if len(namespaces) > 1 else ''} "
                    f"(for {_users(each.permission, facts.function)})"
                    for each in denied
                )
                yield fail(check, Code.PERMISSION_MISSING, f"not allowed: {evidence}")
            else:
                whose = f" (all that {facts.function} uses)" if facts.function else ""
                where = f" in {', '.join(namespaces)}" if len(namespaces) > 1 else ""
                allowed = ", ".join(dict.fromkeys(str(each.permission) for each in access))
                yield ok(check, f"allowed: {allowed}{where}{whose}")


def _sidecars(facts: Facts) -> Iterator[Finding]:
    """A finding only where there is one: what cannot be read here is a finding of the role."""
    if isinstance(facts.sidecars, Mapping):
        for container, jobs in sorted(facts.sidecars.items()):
            evidence = (
                f"the container {container} keeps {counted(len(jobs), 'Job')} active: {first_few(jobs)}"
            )
            yield warn("kubernetes.sidecars", Code.SIDECAR_RUNS, evidence)


def _users(permission: Permission, function: Function | None) -> str:
    """The functions for which a permission is checked."""
    return function or ", ".join(permission.used_by)


def _flink(facts: Facts) -> Iterator[Finding]:
    for name, result in facts.flink.items():
        check = f"flink.{name}"
        match result:
            case Unreachable(error) | Refused(error):
                evidence = f"{_rest_url(facts, name)}: {_bare(name, error)}"
                yield fail(check, _code_of_flink(result, Code.FLINK_UNAVAILABLE), evidence)
            case NotAsked(because):
                yield skipped(check, because)
            case Passed(at, None):
                yield ok(check, f"the last pass, {ago(facts.now - at)}, reached it")
            case Passed(at, error):
                evidence = f"the last pass, {ago(facts.now - at)}, met this: {_bare(name, error or '')}"
                yield fail(check, Code.FLINK_UNAVAILABLE, evidence)
            case FlinkFacts():
                yield _of_cluster(check, result, _rest_url(facts, name), facts)


def _code_of_flink(result: Unreachable | Refused, otherwise: Code) -> Code:
    """The code of a refusal on the way to Flink, else that of a peer that does not answer."""
    return Code(result.reason) if isinstance(result, Refused) and result.reason else otherwise


def _of_cluster(check: str, cluster: FlinkFacts, url: str, facts: Facts) -> Finding:
    version, slots = cluster.version, counted(cluster.slots, "slot")
    if is_too_old("Flink", version):
        return _too_old(check, "Flink", version, url)
    if cluster.slots == 0:
        evidence = f"Flink {version} has no TaskManager: no job can run"
        return fail(check, Code.FLINK_NO_TASKMANAGER, evidence)
    setting, line = _other_line(facts, check.removeprefix("flink."), version)
    if line:
        evidence = f"Flink {version} at {url}, but {setting} shows Flink {line}"
        return warn(check, Code.FLINK_LINES_DIFFER, evidence)
    if cluster.free_slots == 0:
        evidence = f"Flink {version}: 0 of {slots} free; the next job has to wait"
        return warn(check, Code.FLINK_NO_FREE_SLOT, evidence)
    evidence = f"{cluster.free_slots} of {slots} free, {counted(cluster.taskmanagers, 'TaskManager')}"
    return ok(check, f"Flink {version} at {url}; {evidence}")


def _other_line(facts: Facts, cluster: str, version: str) -> tuple[str, str | None]:
    """The setting of the submitter's image; its line of Flink, if its name shows another one than ours."""
    setting, image = "FLINK_IMAGE", ""
    if isinstance(facts.settings, Settings):
        image = facts.settings.flink_image
        if own := facts.settings.flink_clusters[cluster].image:
            setting, image = "the cluster's image", own
    in_image, in_cluster = flink_line_of_image(image), flink_line(version)
    return setting, in_image if in_cluster and in_image != in_cluster else None


def _rest_url(facts: Facts, cluster: str) -> str:
    return (
        facts.settings.flink_clusters[cluster].rest_url if isinstance(facts.settings, Settings) else cluster
    )


def _bare(cluster: str, error: str) -> str:
    """The error without a leading cluster name."""
    return error.removeprefix(f"cluster {cluster}: ")


def _history(facts: Facts) -> Iterator[Finding]:
    if facts.flink and not facts.history and isinstance(facts.settings, Settings):
        because = (
            "FLINK_HISTORY_URL is not set; a job that Flink forgets before it is seen to end will be LOST"
        )
        yield skipped("history", because)
    for name, jobs in facts.history.items():
        check = f"history.{name}"
        match jobs:
            case Unreachable(error) | Refused(error):
                yield fail(check, _code_of_flink(jobs, Code.HISTORY_UNAVAILABLE), error)
            case NotAsked(because):
                yield skipped(check, because)
            case count:
                yield ok(check, f"the History Server knows {counted(count, 'job')}")


FROM_INSIDE: Final = frozenset({"sync", "cleanup"})
"""Functions that may accept requests only from inside their network."""


def _functions(facts: Facts) -> Iterator[Finding]:
    for name, ready in facts.functions.items():
        check = f"function.{name}"
        match ready:
            case NotReady(error):
                yield fail(check, Code.FUNCTION_UNAVAILABLE, error)
            case Unreachable(error) | Refused(error) if _is_outside(facts) and name in FROM_INSIDE:
                evidence = "It may be closed to everybody outside its network: its last run stands below"
                yield warn(check, Code.FUNCTIONS_ONLY, f"{error}. {evidence}")
            case Unreachable(error):
                yield fail(check, Code.FUNCTION_UNAVAILABLE, error)
            case Refused(error):
                yield fail(check, Code.FUNCTION_REFUSED, error)
            case NotAsked(because):
                yield skipped(check, because)
            case None:
                yield ok(check, "it says that it is ready")


def _is_outside(facts: Facts) -> bool:
    return isinstance(facts.settings, OnlyFunctions)


def _schedules(facts: Facts) -> Iterator[Finding]:
    if not facts.own and not isinstance(facts.settings, Refused):
        yield skipped("schedule", "SCHEDULER_PARENT is not set")
    for own in facts.own:
        check = f"schedule.{own.function}"
        match facts.schedules[own.function]:
            case Unreachable(error):
                yield fail(check, Code.SCHEDULER_UNAVAILABLE, error)
            case Refused(error):
                yield fail(check, Code.SCHEDULER_REFUSED, error)
            case NotAsked(because):
                yield skipped(check, because)
            case None:
                evidence = f"there is no schedule {own.name}: nothing calls {own.function}"
                yield fail(check, Code.SCHEDULE_MISSING, evidence)
            case state:
                yield next(_of_schedule(check, own, state, facts.now))


def _of_schedule(check: str, own: OwnSchedule, state: ScheduleState, now: datetime) -> Iterator[Finding]:
    """Findings about one schedule, the cause first; the last one says that all is well."""
    cron, uri, last = state.schedule.cron, state.schedule.uri, "it has not run yet"
    if state.last_attempt_time is not None:
        last = f"last attempt {ago(now - state.last_attempt_time)}"
    if state.state is not State.ENABLED:
        remedy = f"Run `flinkjobs schedules resume {own.function}`."
        yield fail(check, Code.SCHEDULE_PAUSED, f"{own.name} is {state.state}; {last}", remedy)
    if own.url is not None and own.url.rstrip("/") != uri.rstrip("/"):
        yield fail(check, Code.SCHEDULE_CHANGED, f"{own.name} calls {uri}, and should call {own.url}; {last}")
    gap, wanted = longest_gap(cron), longest_gap(own.cron)
    if gap is None or (wanted is not None and gap > wanted):
        evidence = f"{own.name} runs at {cron!r}, less often than configured ({own.cron!r}); {last}"
        remedy = f'Run `flinkjobs schedules set {own.function} "{own.cron}"`, or correct the setting.'
        yield fail(check, Code.SCHEDULE_CHANGED, evidence, remedy)
    elif state.last_attempt_time is not None and now - state.last_attempt_time > PERIODS_BEFORE_OLD * gap:
        yield fail(check, Code.SCHEDULE_SILENT, f"{own.name} is enabled ({cron}), but {last}")
    if state.last_status_code:
        unnamed = f"code {state.last_status_code}", REMEDIES[Code.SCHEDULE_FAILING]
        name, remedy = ATTEMPTS.get(state.last_status_code, unnamed)
        said = f" ({state.last_status_message})" if state.last_status_message else ""
        evidence = f"{last}: it called {uri} and failed with {name}{said}"
        yield fail(check, Code.SCHEDULE_FAILING, evidence, remedy)
    if cron != own.cron:
        evidence = f"{own.name} runs at {cron!r}, the settings say {own.cron!r}; {last}"
        yield warn(check, Code.SCHEDULE_CHANGED, evidence)
    ended = "" if state.last_status_code is None else ", it went well"
    yield ok(check, f"enabled, {cron!r} in {state.schedule.time_zone}; {last}{ended}")


def _sync_age(facts: Facts) -> Iterator[Finding]:
    check = "sync.pass"
    match facts.sync:
        case Unreachable(error) | Refused(error):
            yield unknown(check, Code.STORE_UNAVAILABLE, error)
        case NotAsked(because):
            yield skipped(check, because)
        case Runs(None, None):
            first = _first_run(facts.schedules.get("sync"), facts.now)
            if first is not None:
                evidence = (
                    f"there was no pass yet; the schedule runs for the first time in {duration_text(first)}"
                )
                yield warn(check, Code.SYNC_NEVER, evidence)
                return
            yield fail(check, Code.SYNC_NEVER, "there was no pass in the last two weeks")
        case Runs(Run() as last, complete) if _is_cut_by_a_peer(facts, last, complete):
            evidence = f"the last pass, {ago(facts.now - last.started_at)}, was incomplete: see sync.errors"
            yield skipped(check, evidence)
        case Runs(Run(started_at), None):
            evidence = f"no full pass has completed; the last began {ago(facts.now - started_at)}"
            yield fail(check, Code.SYNC_NEVER, evidence)
        case Runs(last, Run(started_at)):
            limit = _sync_limit(facts)
            evidence = f"the last complete pass began {ago(facts.now - started_at)}"
            if facts.now - started_at <= limit:
                yield ok(check, evidence)
                return
            if last is not None and last.started_at > started_at:
                evidence += f" (one that was cut short {ago(facts.now - last.started_at)})"
            evidence += f", and should have begun within {duration_text(limit)}: statuses lag"
            yield fail(check, Code.SYNC_OLD, evidence)


def _sync_limit(facts: Facts) -> timedelta:
    """Age after which the last pass is too old."""
    return PERIODS_BEFORE_OLD * _period(facts, "sync", _sync_period(facts))


def _is_cut_by_a_peer(facts: Facts, last: Run, complete: Run | None) -> bool:
    """Whether passes run, and come to no end because a peer does not answer, which is another finding."""
    limit = _sync_limit(facts)
    is_old = complete is None or facts.now - complete.started_at > limit
    is_running = not last.complete and facts.now - last.started_at <= limit
    return is_old and is_running and bool(_unanswered(last))


def _unanswered(run: Run) -> list[str]:
    """What a pass could not ask, a line each."""
    clusters = [f"Flink cluster {name}: {_bare(name, error)}" for name, error in run.unreachable]
    peers = [(code, message) for job_id, code, message in run.errors if job_id is None]
    return clusters + [f"{code}: {message}" for code, message in peers if code != Code.JOBS_MISSING]


def _first_run(state: object, now: datetime) -> timedelta | None:
    """Time until an enabled schedule runs for the first time; None for every other one."""
    match state:
        case ScheduleState(state=State.ENABLED, last_attempt_time=None, next_time=datetime() as first):
            return first - now if first > now else None
        case _:
            return None


def _sync_errors(facts: Facts) -> Iterator[Finding]:
    check = "sync.errors"
    match facts.sync:
        case Runs(Run() as last):
            unreachable = _unanswered(last)
            missing = [message for job_id, code, message in last.errors if code == Code.JOBS_MISSING]
            of_records = [f"{job_id}: {code}: {message}" for job_id, code, message in last.errors if job_id]
            when = f"the last pass, {ago(facts.now - last.started_at)},"
            if unreachable:
                yield fail(check, Code.SYNC_PEER_UNREACHABLE, f"{when} met this: {first_few(unreachable)}")
            if missing:
                yield fail(check, Code.JOBS_MISSING, f"{when} met this: {first_few(missing)}")
            if of_records:
                evidence = (
                    f"{when} could not follow {counted(len(of_records), 'record')}: {first_few(of_records)}"
                )
                yield warn(check, Code.SYNC_ERRORS, evidence)
            if not unreachable + missing + of_records:
                yield ok(check, f"{when} met none")


def _cleanup(facts: Facts) -> Iterator[Finding]:
    check = "cleanup.run"
    match facts.cleanup:
        case Unreachable(error) | Refused(error):
            yield unknown(check, Code.STORE_UNAVAILABLE, error)
        case NotAsked(because):
            yield skipped(check, because)
        case Runs(None):
            yield warn(check, Code.CLEANUP_NEVER, "no cleanup has run yet")
        case Runs(Run(started_at, errors=errors)):
            age, limit = (
                facts.now - started_at,
                _period(facts, "cleanup", timedelta(hours=24)) + CLEANUP_MARGIN,
            )
            evidence = f"the last cleanup began {ago(age)}"
            if age > limit:
                evidence += (
                    f", and should have begun within {duration_text(limit)}: finished Kubernetes Jobs pile up"
                )
                yield fail(check, Code.CLEANUP_OLD, evidence)
            elif errors:
                evidence += f"; {first_few([f'{code}: {message}' for _, code, message in errors])}"
                yield warn(check, Code.CLEANUP_ERRORS, evidence)
            else:
                yield ok(check, evidence)


def _sync_period(facts: Facts) -> timedelta:
    """Period of the passes where no schedule states it."""
    settings = facts.settings
    own = settings.sync_period_seconds if isinstance(settings, Settings) else facts.sync_period_seconds
    return timedelta(seconds=own or 180)


def _period(facts: Facts, function: str, otherwise: timedelta) -> timedelta:
    """Longest gap between two runs of a function: of its schedule, else of the schedule it should have."""
    state = facts.schedules.get(function)
    crons = [state.schedule.cron] if isinstance(state, ScheduleState) else []
    crons += [own.cron for own in facts.own if own.function == function]
    return next((gap for cron in crons if (gap := longest_gap(cron)) is not None), otherwise)


Check: TypeAlias = Callable[[Facts], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    _settings,
    _jobmanagers,
    _store,
    _write,
    _indexes,
    _kubernetes,
    _identity,
    _access,
    _sidecars,
    _flink,
    _history,
    _functions,
    check_sign_in,
    _schedules,
    _sync_age,
    _sync_errors,
    _cleanup,
    *NOTIFY_CHECKS,
    *RECORD_CHECKS,
)
"""In the order of causes: a check may fail because of one above it, never because of one below it."""
