"""Probes of an installation: ask every peer once, in parallel, and return the facts.

An error becomes a value, `Unreachable` or `Refused`, with its message; a probe that cannot run because of it
returns `NotAsked`. The probes change no record: the one write that they try does not touch `flink_jobs`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from flinkjobs.doctor.facts import (
    CREATED_FOR,
    IDLE_POD_AGE,
    RECENT,
    Facts,
    FlinkFacts,
    NoAnswer,
    NotAsked,
    Notifications,
    NotReady,
    OnlyFunctions,
    ProbeResult,
    Records,
    Refused,
    Run,
    Runs,
    StoreFacts,
    Waiting,
    attempt,
    notifications_from_view,
    run_from_report,
)
from flinkjobs.doctor.findings import address_of
from flinkjobs.doctor.function_probes import Statistics, probe_readiness, probe_statistics
from flinkjobs.doctor.sign_in import probe_sign_in
from flinkjobs.domain.errors import FlinkjobsError, SettingsError
from flinkjobs.domain.kubernetes_objects import Pod
from flinkjobs.domain.naming import SELECTOR
from flinkjobs.domain.observations import Missing, SubmitterObservation, Unreachable
from flinkjobs.domain.permissions import AccessReview, Function, deployed_function, permissions_of
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.schedule import ScheduleState
from flinkjobs.jobs.notifications import backlog_view
from flinkjobs.observers.events import events_of
from flinkjobs.observers.submitter_output import observe_orphans, observe_submitter
from flinkjobs.observers.submitters import find_job_and_pods
from flinkjobs.ports.channels import Channel
from flinkjobs.ports.flink import FlinkProbe
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.ports.kubernetes import ClusterProbe
from flinkjobs.ports.scheduler import Schedules
from flinkjobs.ports.store_admin import StoreProbe
from flinkjobs.settings.client import ClientSettings
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule, ScheduleSettings

THREADS: Final = 8
MAX_OBSERVED: Final = 20
"""Maximum number of records without a reason whose Kubernetes Jobs are observed; the oldest first."""


@dataclass(frozen=True, slots=True)
class Probes:
    """Factories of the clients; each is called once, and may raise.

    Attributes:
        flinks: by the name of the cluster.
    """

    store: Callable[[Settings], StoreProbe]
    cluster: Callable[[Settings], ClusterProbe]
    flinks: Callable[[Settings], Mapping[str, FlinkProbe]]
    function: Callable[[str, ClientSettings], RemoteFunction]
    schedules: Callable[[ScheduleSettings], Schedules]
    channels: Callable[[Settings], Sequence[Channel]]


@dataclass(frozen=True, slots=True)
class AllSettings:
    """The settings of every part; `schedules` is None if no scheduler is configured.

    Attributes:
        functions: their settings; `Refused` if these are wrong, so that only the other peers are probed;
            `OnlyFunctions` if only URLs are known, with at least that of jobs.
    """

    functions: Settings | Refused | OnlyFunctions
    client: ClientSettings
    schedules: ScheduleSettings | None


def run_probes(
    read_settings: Callable[[], AllSettings],
    probes: Probes,
    clock: Callable[[], datetime],
    *,
    function: Function | None = None,
) -> Facts:
    """Runs every probe; takes as long as the slowest peer, and never raises for one.

    Args:
        read_settings: may raise SettingsError.
        probes: see `Probes`.
        clock: the time now, aware UTC.
        function: the one whose rights are checked. None: the one that is deployed with our identity in
            Kubernetes, and all four if none is.
    """
    try:
        read = read_settings()
    except SettingsError as error:
        return Facts(now=clock(), settings=Refused(str(error)))
    settings = read.functions
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        functions = {
            name: threads.submit(probe_readiness, url, partial(probes.function, url, read.client))
            for name, url in read.client.urls.items()
        }
        schedules = threads.submit(_schedules, read.schedules, probes)
        own = tuple(read.schedules.own.values()) if read.schedules else ()
        if isinstance(settings, OnlyFunctions):
            url = read.client.urls["jobs"]
            statistics = threads.submit(probe_statistics, url, partial(probes.function, url, read.client))
            ready = {name: asked.result() for name, asked in functions.items()}
            return _from_outside(clock(), ready, statistics.result(), own, schedules.result())
        if isinstance(settings, Refused):
            return Facts(
                now=clock(),
                settings=settings,
                functions={name: future.result() for name, future in functions.items()},
                own=own,
                schedules=schedules.result(),
            )
        store = threads.submit(_store, settings, probes, clock())
        cluster = threads.submit(_cluster, settings, probes, function)
        flinks = {name: threads.submit(_flink, flink) for name, flink in probes.flinks(settings).items()}
        stored, kubernetes = store.result(), cluster.result()
        jobs_url = read.client.urls.get("jobs")
        sign_in = probe_sign_in(settings, jobs_url, lambda: probes.function(jobs_url or "", read.client))
        records = _records(stored, kubernetes, threads, clock())
        return Facts(
            now=clock(),
            settings=settings,
            store=stored.facts,
            write=stored.write,
            indexes=stored.indexes,
            kubernetes=kubernetes.facts,
            identity=kubernetes.identity,
            function=kubernetes.function,
            access=kubernetes.access,
            sidecars=_sidecars(settings, kubernetes, clock()),
            flink={name: future.result()[0] for name, future in flinks.items()},
            history=_histories(flinks),
            functions={name: future.result() for name, future in functions.items()},
            own=own,
            schedules=schedules.result(),
            sync=stored.sync,
            cleanup=stored.cleanup,
            records=records,
            channels=attempt(lambda: tuple(channel.name for channel in probes.channels(settings))),
            notifications=stored.notifications,
            sign_in=sign_in,
        )


# --- MongoDB ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    probe: StoreProbe | None
    facts: ProbeResult[StoreFacts]
    write: ProbeResult[None]
    indexes: ProbeResult[tuple[str, ...]]
    sync: ProbeResult[Runs]
    cleanup: ProbeResult[Runs]
    notifications: ProbeResult[Notifications]


def _store(settings: Settings, probes: Probes, now: datetime) -> _Stored:
    probe = attempt(lambda: probes.store(settings))
    facts: ProbeResult[StoreFacts]
    if isinstance(probe, NoAnswer):
        facts = probe
    else:
        facts = attempt(
            lambda: StoreFacts(
                address=address_of(settings.mongodb_uri), version=probe.version(), user=probe.user()
            )
        )
        if isinstance(facts, StoreFacts):
            return _Stored(
                probe=probe,
                facts=facts,
                write=attempt(probe.try_write),
                indexes=attempt(lambda: tuple(probe.missing_indexes())),
                sync=attempt(lambda: _passes(probe)),
                cleanup=attempt(lambda: _cleanups(probe)),
                notifications=attempt(lambda: notifications_from_view(backlog_view(probe.backlog(), now))),
            )
    away = NotAsked("MongoDB does not answer as it should")
    return _Stored(
        probe=None, facts=facts, write=away, indexes=away, sync=away, cleanup=away, notifications=away
    )


def _passes(probe: StoreProbe) -> Runs:
    runs = probe.last_runs(limit=1)
    complete_at = probe.last_complete_run()
    return Runs(
        last=run_from_report(runs[0]) if runs else None,
        last_complete=Run(complete_at, complete=True) if complete_at else None,
    )


def _cleanups(probe: StoreProbe) -> Runs:
    run = probe.last_cleanup()
    return Runs(last=run_from_report(run) if run else None, last_complete=None)


# --- Kubernetes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kubernetes:
    probe: ClusterProbe | None
    facts: ProbeResult[tuple[str, str]]
    identity: ProbeResult[str]
    function: Function | None
    access: ProbeResult[tuple[AccessReview, ...]]


def _cluster(settings: Settings, probes: Probes, function: Function | None) -> _Kubernetes:
    probe = attempt(lambda: probes.cluster(settings))
    facts: ProbeResult[tuple[str, str]]
    if isinstance(probe, NoAnswer):
        facts = probe
    else:
        facts = attempt(lambda: (probe.address, probe.version()))
        if isinstance(facts, tuple):
            identity = attempt(probe.who_we_are)
            if function is None and isinstance(identity, str):
                function = deployed_function(identity)
            permissions = permissions_of(function)
            access = attempt(
                lambda: tuple(
                    probe.in_namespace(namespace).review(permission)
                    for namespace in settings.k8s_namespaces
                    for permission in permissions
                )
            )
            return _Kubernetes(probe, facts, identity, function, access)
    away = NotAsked("Kubernetes does not answer as it should")
    return _Kubernetes(None, facts, away, function, away)


def _sidecars(
    settings: Settings, kubernetes: _Kubernetes, now: datetime
) -> ProbeResult[Mapping[str, Sequence[str]]]:
    """The Jobs that each sidecar keeps active; not asked where the function that is judged lists no pods."""
    probe, function = kubernetes.probe, kubernetes.function
    if probe is None or not any(str(each) == "list pods" for each in permissions_of(function)):
        return NotAsked("pods are not listed")
    clients = [probe.in_namespace(namespace) for namespace in settings.k8s_namespaces]
    return attempt(
        lambda: _jobs_by_sidecar((pod for one in clients for pod in one.running_pods(SELECTOR)), now)
    )


def _jobs_by_sidecar(pods: Iterable[Pod], now: datetime) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        if pod.created_at is not None and now - pod.created_at >= IDLE_POD_AGE:
            for container in pod.idle_sidecars:
                found[container].append(pod.job_name)
    return found


# --- Flink, the functions and the scheduler ---------------------------------------------------------


def _flink(flink: FlinkProbe) -> tuple[ProbeResult[FlinkFacts], ProbeResult[int] | None]:
    """The cluster, and its History Server where it has one."""
    facts = attempt(lambda: FlinkFacts(*flink.cluster_overview()))
    return facts, attempt(lambda: len(flink.history())) if flink.has_history else None


def _histories(
    flinks: Mapping[str, Future[tuple[ProbeResult[FlinkFacts], ProbeResult[int] | None]]],
) -> dict[str, ProbeResult[int]]:
    histories = {name: future.result()[1] for name, future in flinks.items()}
    return {name: history for name, history in histories.items() if history is not None}


def _from_outside(
    now: datetime,
    functions: dict[str, ProbeResult[NotReady | None]],
    statistics: ProbeResult[Statistics | NotReady],
    own: tuple[OwnSchedule, ...],
    schedules: dict[str, ProbeResult[ScheduleState | None]],
) -> Facts:
    """The facts where only the functions can be reached."""
    unasked = NotAsked("only the functions are reachable from here")
    found = Facts(
        now=now,
        settings=OnlyFunctions(),
        store=unasked,
        write=unasked,
        indexes=unasked,
        kubernetes=unasked,
        identity=unasked,
        access=unasked,
        channels=unasked,
        functions=functions,
        own=own,
        schedules=schedules,
    )
    if isinstance(statistics, Statistics):
        return replace(
            found,
            flink=statistics.flink,
            sync=statistics.sync,
            cleanup=statistics.cleanup,
            records=statistics.records,
            notifications=statistics.notifications,
            sync_period_seconds=statistics.sync_period_seconds,
        )
    if functions["jobs"] is None:  # its /ready answers, its statistics do not
        found = replace(found, functions={**functions, "jobs": statistics})
    away = NotAsked("the function jobs does not answer as it should")
    return replace(found, sync=away, cleanup=away, records=away, notifications=away)


def _schedules(
    scheduling: ScheduleSettings | None, probes: Probes
) -> dict[str, ProbeResult[ScheduleState | None]]:
    if scheduling is None:
        return {}
    reader = attempt(lambda: probes.schedules(scheduling))
    return {name: _schedule(reader, own) for name, own in scheduling.own.items()}


def _schedule(reader: ProbeResult[Schedules], own: OwnSchedule) -> ProbeResult[ScheduleState | None]:
    if isinstance(reader, NoAnswer):
        return reader
    return attempt(lambda: reader.get(own.name))


# --- records ----------------------------------------------------------------------------------------


def _records(
    stored: _Stored, kubernetes: _Kubernetes, threads: ThreadPoolExecutor, now: datetime
) -> ProbeResult[Records]:
    store = stored.probe
    if store is None:
        return NotAsked("MongoDB does not answer as it should")
    found = attempt(lambda: store.waiting(submitted_before=now - CREATED_FOR))
    if isinstance(found, NoAnswer):
        return found
    records = [record for record in found if isinstance(record, JobRecord) and not _is_unconfirmed(record)]
    records.sort(key=lambda record: record.submitted_at)
    silent = [record for record in records if _needs_look(record)][:MAX_OBSERVED]
    looks = threads.map(lambda record: _look(kubernetes, record, now), silent)
    looked_at = {record.job_id: look for record, look in zip(silent, looks, strict=True)}
    return attempt(
        lambda: Records(
            waiting=tuple(Waiting(record, looked_at.get(record.job_id)) for record in records),
            without_id=tuple(store.without_id(submitted_since=now - RECENT)),
            unconfirmed=tuple(store.unconfirmed()),
            lost=tuple(store.lost(since=now - RECENT)),
            unhealthy=tuple(store.unhealthy()),
            unreadable=tuple(record for record in found if isinstance(record, UnreadableRecord)),
        )
    )


def _is_unconfirmed(record: JobRecord) -> bool:
    return record.reason is not None and record.reason.code is ReasonCode.ID_UNCONFIRMED


def _needs_look(record: JobRecord) -> bool:
    return record.reason is None and not record.flink_jobs and record.k8s_job_name is not None


def _look(kubernetes: _Kubernetes, record: JobRecord, now: datetime) -> SubmitterObservation:
    """Observes the Kubernetes Job of a record, without the grace for new Jobs."""
    cluster, name = kubernetes.probe, record.k8s_job_name
    if cluster is None or name is None:
        return Unreachable("Kubernetes does not answer as it should")
    cluster = cluster.in_namespace(record.k8s_namespace)
    try:
        job, pods = find_job_and_pods(cluster, record.job_id, name)
        if isinstance(job, Missing):
            return observe_orphans(pods, cluster, is_followed=False)
        return observe_submitter(
            job,
            pods,
            cluster,
            events=partial(events_of, cluster),
            is_followed=False,
            now=now,
            events_after=timedelta(0),
        )
    except FlinkjobsError as error:
        return Unreachable(str(error))
