"""Checks of an installation: judge the facts that the probes collected.

The checks are in the order of causes: a check comes after everything that can make it fail. So the first
finding that fails names the cause, and a check that could not run because of it is SKIPPED. Pure:
`doctor/probes.py` does the I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from flinkjobs.doctor.codes import Code
from flinkjobs.doctor.facts import (
    Facts,
    FlinkFacts,
    NoAnswer,
    NotAsked,
    NotReady,
    OnlyFunctions,
    Passed,
    Refused,
    StoreFacts,
)
from flinkjobs.doctor.findings import (
    EVIDENCE_LENGTH,
    Finding,
    ago,
    bare,
    fail,
    first_few,
    masked,
    no_answer,
    ok,
    skipped,
    unknown,
    warn,
)
from flinkjobs.doctor.notify_checks import NOTIFY_CHECKS
from flinkjobs.doctor.record_checks import RECORD_CHECKS
from flinkjobs.doctor.run_checks import RUN_CHECKS
from flinkjobs.doctor.sign_in import check_sign_in
from flinkjobs.domain.observations import Unreachable
from flinkjobs.domain.permissions import Function, Permission
from flinkjobs.domain.text import counted, cut
from flinkjobs.domain.versions import MINIMUM_VERSIONS, flink_line, flink_line_of_image, is_too_old
from flinkjobs.settings.functions import REQUIRED, Settings


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
        case StoreFacts(address, version) if is_too_old("MongoDB", version):
            yield _too_old("mongodb", "MongoDB", version, address)
        case StoreFacts(address, version, user):
            yield ok("mongodb", f"MongoDB {version} at {address}{f', as {user}' if user else ''}")
        case gap:
            yield no_answer("mongodb", gap, Code.STORE_UNAVAILABLE, Code.STORE_REFUSED)


def _write(facts: Facts) -> Iterator[Finding]:
    match facts.write:
        case Unreachable(error) | Refused(error) if facts.function is Function.JOBS:
            yield skipped("mongodb.write", f"jobs only reads; a write fails: {error}")
        case None:
            yield ok("mongodb.write", "a write was acknowledged")
        case gap:
            yield no_answer("mongodb.write", gap, Code.STORE_NOT_WRITABLE)


def _indexes(facts: Facts) -> Iterator[Finding]:
    check = "mongodb.indexes"
    match facts.indexes:
        case ():
            yield ok(check, "all are there")
        case tuple(missing):
            yield fail(check, Code.INDEX_MISSING, f"flink_jobs lacks {', '.join(missing)}")
        case gap:
            yield no_answer(check, gap, Code.STORE_UNAVAILABLE, Code.STORE_REFUSED, finding=unknown)


def _kubernetes(facts: Facts) -> Iterator[Finding]:
    match facts.kubernetes:
        case address, version if is_too_old("Kubernetes", version):
            yield _too_old("kubernetes", "Kubernetes", version, address)
        case address, version:
            yield ok("kubernetes", f"Kubernetes {version} at {address}")
        case gap:
            yield no_answer("kubernetes", gap, Code.KUBERNETES_UNAVAILABLE, _code_of_refusal(gap))


def _code_of_refusal(gap: NoAnswer) -> Code:
    is_unauthorized = isinstance(gap, Refused) and gap.reason == "Unauthorized"
    return Code.KUBERNETES_UNAUTHORIZED if is_unauthorized else Code.KUBERNETES_REFUSED


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
        case str(user) if user == ANONYMOUS:
            yield fail(check, Code.KUBERNETES_ANONYMOUS, f"the API server takes us for {user}")
        case str(user):
            yield ok(check, f"we are {user}")
        case gap:
            yield no_answer(check, gap, Code.KUBERNETES_UNAVAILABLE, _code_of_refusal(gap))


def _access(facts: Facts) -> Iterator[Finding]:
    check = "kubernetes.role"
    match facts.access:
        case Unreachable() | Refused() | NotAsked() as gap:
            refused = _code_of_refusal(gap)
            yield no_answer(check, gap, Code.KUBERNETES_UNAVAILABLE, refused, finding=unknown)
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
                evidence = f"{_rest_url(facts, name)}: {bare(name, error)}"
                yield fail(check, _code_of_flink(result, Code.FLINK_UNAVAILABLE), evidence)
            case NotAsked(because):
                yield skipped(check, because)
            case Passed(at, None):
                yield ok(check, f"the last pass, {ago(facts.now - at)}, reached it")
            case Passed(at, error):
                evidence = f"the last pass, {ago(facts.now - at)}, met this: {bare(name, error or '')}"
                yield fail(check, Code.FLINK_UNAVAILABLE, evidence)
            case FlinkFacts():
                yield _of_cluster(check, result, _rest_url(facts, name), facts)


def _code_of_flink(result: NoAnswer, otherwise: Code) -> Code:
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


def _history(facts: Facts) -> Iterator[Finding]:
    if facts.flink and not facts.history and isinstance(facts.settings, Settings):
        because = (
            "FLINK_HISTORY_URL is not set; a job that Flink forgets before it is seen to end will be LOST"
        )
        yield skipped("history", because)
    for name, jobs in facts.history.items():
        check = f"history.{name}"
        match jobs:
            case int(count):
                yield ok(check, f"the History Server knows {counted(count, 'job')}")
            case gap:
                yield no_answer(check, gap, _code_of_flink(gap, Code.HISTORY_UNAVAILABLE))


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
            case None:
                yield ok(check, "it says that it is ready")
            case gap:
                yield no_answer(check, gap, Code.FUNCTION_UNAVAILABLE, Code.FUNCTION_REFUSED)


def _is_outside(facts: Facts) -> bool:
    return isinstance(facts.settings, OnlyFunctions)


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
    *RUN_CHECKS,
    *NOTIFY_CHECKS,
    *RECORD_CHECKS,
)
"""In the order of causes: a check may fail because of one above it, never because of one below it."""
