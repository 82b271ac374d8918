"""Gathers what `doctor` judges: asks every part of the system once, all of them beside each other.

Every error becomes a value, `Unreachable` or `Refused`, with its text; what cannot be asked because of it is
`NotAsked`. Nothing is changed: the one write that is tried leaves no trace on any record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from flinkjobs.doctor.facts import (
    CREATED_FOR,
    RECENT,
    Examination,
    FlinkFacts,
    NotAsked,
    NotReady,
    OnlyFunctions,
    Passed,
    Records,
    Refused,
    Run,
    Runs,
    Seen,
    StoreFacts,
    Trouble,
    Troubles,
    Waiting,
)
from flinkjobs.doctor.findings import address_of
from flinkjobs.domain.errors import (
    FlinkjobsError,
    FunctionRefusedError,
    FunctionUnavailableError,
    KubernetesRefusedError,
    NoFunctionError,
    SettingsError,
    TemporaryError,
)
from flinkjobs.domain.observations import (
    Missing,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.permissions import PERMISSIONS, AccessReview
from flinkjobs.domain.reasons import ProblemKind
from flinkjobs.domain.records import JobRecord, ReasonCode, UnreadableRecord
from flinkjobs.domain.schedule import ScheduleState
from flinkjobs.observers.submitter_output import observe_orphans, observe_submitter
from flinkjobs.observers.submitters import find_job_and_pods
from flinkjobs.ports.flink import FlinkProbe
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.ports.kubernetes import ClusterProbe
from flinkjobs.ports.scheduler import Schedules
from flinkjobs.ports.store_admin import StoreProbe
from flinkjobs.settings.client import ClientSettings
from flinkjobs.settings.functions import Settings
from flinkjobs.settings.schedules import OwnSchedule, ScheduleSettings

T = TypeVar("T")

THREADS: Final = 8
LOOKED_AT: Final = 20
"""Of the records without a reason, the oldest whose Kubernetes Jobs are looked at."""


@dataclass(frozen=True, slots=True)
class Probes:
    """How to build the clients of every part; each is called once, and may raise.

    Attributes:
        flinks: by the name of the cluster.
    """

    store: Callable[[Settings], StoreProbe]
    cluster: Callable[[Settings], ClusterProbe]
    flinks: Callable[[Settings], Mapping[str, FlinkProbe]]
    function: Callable[[str, ClientSettings], RemoteFunction]
    schedules: Callable[[ScheduleSettings], Schedules]


@dataclass(frozen=True, slots=True)
class AllSettings:
    """The settings of every part; of the schedules None where no scheduler is named.

    Attributes:
        functions: or what is wrong with them: what is outside the functions can be asked all the same; or
            that only their URLs are known, that of jobs among them.
    """

    functions: Settings | Refused | OnlyFunctions
    client: ClientSettings
    schedules: ScheduleSettings | None


def examine(
    read_settings: Callable[[], AllSettings], probes: Probes, clock: Callable[[], datetime]
) -> Examination:
    """Asks everybody. Takes as long as the slowest peer, and never raises for one.

    Args:
        read_settings: may raise SettingsError.
        probes: see `Probes`.
        clock: the time now, aware UTC.
    """
    try:
        read = read_settings()
    except SettingsError as error:
        return Examination(now=clock(), settings=Refused(str(error)))
    settings = read.functions
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        functions = {
            name: threads.submit(_is_ready, url, read.client, probes)
            for name, url in read.client.urls.items()
        }
        schedules = threads.submit(_schedules, read.schedules, probes)
        own = tuple(read.schedules.own.values()) if read.schedules else ()
        if isinstance(settings, OnlyFunctions):
            told = threads.submit(_figures, read.client, probes)
            ready = {name: asked.result() for name, asked in functions.items()}
            return _from_outside(clock(), ready, told.result(), own, schedules.result())
        if isinstance(settings, Refused):
            return Examination(
                now=clock(),
                settings=settings,
                functions={name: told.result() for name, told in functions.items()},
                own=own,
                schedules=schedules.result(),
            )
        store = threads.submit(_store, settings, probes)
        cluster = threads.submit(_cluster, settings, probes)
        flinks = {name: threads.submit(_flink, flink) for name, flink in probes.flinks(settings).items()}
        stored, kubernetes = store.result(), cluster.result()
        records = _records(stored, kubernetes, threads, clock())
        return Examination(
            now=clock(),
            settings=settings,
            store=stored.facts,
            write=stored.write,
            indexes=stored.indexes,
            kubernetes=kubernetes.facts,
            identity=kubernetes.identity,
            access=kubernetes.access,
            flink={name: told.result()[0] for name, told in flinks.items()},
            history=_histories(flinks),
            functions={name: told.result() for name, told in functions.items()},
            own=own,
            schedules=schedules.result(),
            sync=stored.sync,
            cleanup=stored.cleanup,
            records=records,
        )


def seen(ask: Callable[[], T]) -> Seen[T]:
    """What was asked for, or the error that came instead."""
    try:
        return ask()
    except TemporaryError as error:
        return Unreachable(str(error))
    except FlinkjobsError as error:
        return Refused(str(error), error.reason if isinstance(error, KubernetesRefusedError) else "")


# --- MongoDB ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    probe: StoreProbe | None
    facts: Seen[StoreFacts]
    write: Seen[None]
    indexes: Seen[tuple[str, ...]]
    sync: Seen[Runs]
    cleanup: Seen[Runs]


def _store(settings: Settings, probes: Probes) -> _Stored:
    probe = seen(lambda: probes.store(settings))
    facts: Seen[StoreFacts]
    if isinstance(probe, Unreachable | Refused | NotAsked):
        facts = probe
    else:
        facts = seen(
            lambda: StoreFacts(
                address=address_of(settings.mongodb_uri), version=probe.version(), user=probe.user()
            )
        )
        if isinstance(facts, StoreFacts):
            return _Stored(
                probe=probe,
                facts=facts,
                write=seen(probe.try_write),
                indexes=seen(lambda: tuple(probe.missing_indexes())),
                sync=seen(lambda: _passes(probe)),
                cleanup=seen(lambda: _cleanups(probe)),
            )
    away = NotAsked("MongoDB does not answer as it should")
    return _Stored(probe=None, facts=facts, write=away, indexes=away, sync=away, cleanup=away)


def _passes(probe: StoreProbe) -> Runs:
    runs = probe.last_runs(limit=1)
    complete_at = probe.last_complete_run()
    return Runs(
        last=_run(runs[0]) if runs else None,
        last_complete=Run(complete_at, complete=True) if complete_at else None,
    )


def _cleanups(probe: StoreProbe) -> Runs:
    run = probe.last_cleanup()
    return Runs(last=_run(run) if run else None, last_complete=None)


def _run(report: Mapping[str, Any]) -> Run:
    clusters = report.get("clusters") or {}
    return Run(
        started_at=report["started_at"],
        complete=bool(report.get("complete")),
        errors=tuple(
            (error.get("job_id"), error["code"], error["message"]) for error in report.get("errors") or ()
        ),
        unreachable=tuple(
            (name, str(told.get("error"))) for name, told in clusters.items() if not told["reachable"]
        ),
    )


# --- Kubernetes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kubernetes:
    probe: ClusterProbe | None
    facts: Seen[tuple[str, str]]
    identity: Seen[str]
    access: Seen[tuple[AccessReview, ...]]


def _cluster(settings: Settings, probes: Probes) -> _Kubernetes:
    probe = seen(lambda: probes.cluster(settings))
    facts: Seen[tuple[str, str]]
    if isinstance(probe, Unreachable | Refused | NotAsked):
        facts = probe
    else:
        facts = seen(lambda: (probe.address, probe.version()))
        if isinstance(facts, tuple):
            identity = seen(probe.who_we_are)
            access = seen(lambda: tuple(probe.review(permission) for permission in PERMISSIONS))
            return _Kubernetes(probe=probe, facts=facts, identity=identity, access=access)
    away = NotAsked("Kubernetes does not answer as it should")
    return _Kubernetes(probe=None, facts=facts, identity=away, access=away)


# --- Flink, the functions and the scheduler ---------------------------------------------------------


def _flink(flink: FlinkProbe) -> tuple[Seen[FlinkFacts], Seen[int] | None]:
    """The cluster, and its History Server where it has one."""
    facts = seen(lambda: FlinkFacts(*flink.cluster_overview()))
    return facts, seen(lambda: len(flink.history())) if flink.has_history else None


def _histories(
    flinks: Mapping[str, Future[tuple[Seen[FlinkFacts], Seen[int] | None]]],
) -> dict[str, Seen[int]]:
    told = {name: future.result()[1] for name, future in flinks.items()}
    return {name: history for name, history in told.items() if history is not None}


def _is_ready(url: str, settings: ClientSettings, probes: Probes) -> Seen[NotReady | None]:
    def ask() -> None:
        function = probes.function(url, settings)
        try:
            told = function.call("GET", "/ready", query={}, headers={}, body=None, telling="status")
        except FunctionRefusedError as error:  # it has let us in, and tells what refuses it
            message = f"{url} is not ready: {error.told}: {error}"
            raise FunctionUnavailableError(message, is_own=True) from error
        if told["status"] != "ready":
            raise NoFunctionError(f"{url} answers its /ready as none of these functions does")

    return _asked(ask)


def _asked(ask: Callable[[], T]) -> Seen[T | NotReady]:
    """What a function answers, or that it says itself that it cannot."""

    def answer() -> T | NotReady:
        try:
            return ask()
        except FunctionUnavailableError as error:
            if error.is_own:
                return NotReady(str(error))
            raise

    return seen(answer)


def _figures(settings: ClientSettings, probes: Probes) -> Seen[Figures | NotReady]:
    url = settings.urls["jobs"]

    def ask() -> Figures:
        function = probes.function(url, settings)
        told = function.call("GET", "/api/metrics", query={}, headers={}, body=None, telling="windows")
        try:
            return _read_figures(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoFunctionError(
                f"{url} answers figures that this version cannot read: {error!r}"
            ) from error

    return _asked(ask)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the function jobs tells of the system."""

    flink: Mapping[str, Seen[FlinkFacts | Passed]]
    sync: Runs
    cleanup: Runs
    records: Troubles
    sync_period_seconds: int


def _read_figures(told: Mapping[str, Any]) -> Figures:
    """Reads `GET /api/metrics`."""
    sync, last = told["sync"], _told_run(told["sync"]["last_pass"])
    complete_at = sync["last_complete_at"]
    old = NotAsked("the last pass is too old to tell") if sync["stale"] else None
    by_kind = {
        kind: tuple(
            Trouble(str(found["code"]), int(found["count"]), tuple(map(str, found["job_ids"])))
            for found in told["troubles"]
            if found["trouble"] == kind
        )
        for kind in (ProblemKind.STAYS_CREATED, ProblemKind.NO_FLINK_JOB_ID)
    }
    return Figures(
        flink={
            name: old or Passed(last.started_at, None if found["reachable"] else str(found["error"]))
            for name, found in sync["clusters"].items()
            if last is not None
        },
        sync=Runs(
            last=last,
            last_complete=Run(datetime.fromisoformat(complete_at), complete=True) if complete_at else None,
        ),
        cleanup=Runs(last=_told_run(told["cleanup"]["last_run"]), last_complete=None),
        records=Troubles(
            created=by_kind[ProblemKind.STAYS_CREATED],
            without_id=by_kind[ProblemKind.NO_FLINK_JOB_ID],
            lost=int(told["windows"]["24h"]["lost"]),
        ),
        sync_period_seconds=int(sync["period_seconds"]),
    )


def _told_run(report: Mapping[str, Any] | None) -> Run | None:
    """A report as JSON tells it."""
    if report is None:
        return None
    return _run({**report, "started_at": datetime.fromisoformat(report["started_at"])})


def _from_outside(
    now: datetime,
    functions: dict[str, Seen[NotReady | None]],
    told: Seen[Figures | NotReady],
    own: tuple[OwnSchedule, ...],
    schedules: dict[str, Seen[ScheduleState | None]],
) -> Examination:
    """What can be known where only the functions can be reached."""
    unasked = NotAsked("only the functions are reachable from here")
    found = Examination(
        now=now,
        settings=OnlyFunctions(),
        store=unasked,
        write=unasked,
        indexes=unasked,
        kubernetes=unasked,
        identity=unasked,
        access=unasked,
        functions=functions,
        own=own,
        schedules=schedules,
    )
    if isinstance(told, Figures):
        return replace(
            found,
            flink=told.flink,
            sync=told.sync,
            cleanup=told.cleanup,
            records=told.records,
            sync_period_seconds=told.sync_period_seconds,
        )
    if functions["jobs"] is None:  # it is ready, and does not answer all the same
        found = replace(found, functions={**functions, "jobs": told})
    away = NotAsked("the function jobs does not answer as it should")
    return replace(found, sync=away, cleanup=away, records=away)


def _schedules(scheduling: ScheduleSettings | None, probes: Probes) -> dict[str, Seen[ScheduleState | None]]:
    if scheduling is None:
        return {}
    reader = seen(lambda: probes.schedules(scheduling))
    return {name: _schedule(reader, own) for name, own in scheduling.own.items()}


def _schedule(reader: Seen[Schedules], own: OwnSchedule) -> Seen[ScheduleState | None]:
    if isinstance(reader, Unreachable | Refused | NotAsked):
        return reader
    return seen(lambda: reader.get(own.name))


# --- records ----------------------------------------------------------------------------------------


def _records(
    stored: _Stored, kubernetes: _Kubernetes, threads: ThreadPoolExecutor, now: datetime
) -> Seen[Records]:
    store = stored.probe
    if store is None:
        return NotAsked("MongoDB does not answer as it should")
    found = seen(lambda: store.waiting(submitted_before=now - CREATED_FOR))
    if isinstance(found, Unreachable | Refused | NotAsked):
        return found
    records = [record for record in found if isinstance(record, JobRecord) and not _is_unconfirmed(record)]
    records.sort(key=lambda record: record.submitted_at)
    silent = [record for record in records if _needs_look(record)][:LOOKED_AT]
    looks = threads.map(lambda record: _look(kubernetes, record, now), silent)
    looked_at = {record.job_id: look for record, look in zip(silent, looks, strict=True)}
    return seen(
        lambda: Records(
            waiting=tuple(Waiting(record, looked_at.get(record.job_id)) for record in records),
            without_id=tuple(store.without_id(submitted_since=now - RECENT)),
            unconfirmed=tuple(store.unconfirmed()),
            lost=tuple(store.lost(since=now - RECENT)),
            unreadable=tuple(record for record in found if isinstance(record, UnreadableRecord)),
        )
    )


def _is_unconfirmed(record: JobRecord) -> bool:
    return record.reason is not None and record.reason.code is ReasonCode.ID_UNCONFIRMED


def _needs_look(record: JobRecord) -> bool:
    return record.reason is None and not record.flink_jobs and record.k8s_job_name is not None


def _look(kubernetes: _Kubernetes, record: JobRecord, now: datetime) -> SubmitterObservation:
    """The Kubernetes Job of a record as it is now, however young it is."""
    cluster, name = kubernetes.probe, record.k8s_job_name
    if cluster is None or name is None:
        return Unreachable("Kubernetes does not answer as it should")
    try:
        job, pods = find_job_and_pods(cluster, record.job_id, name)
        if isinstance(job, Missing):
            return observe_orphans(pods, cluster, is_followed=False)
        return observe_submitter(job, pods, cluster, is_followed=False, now=now, events_after=timedelta(0))
    except FlinkjobsError as error:
        return Unreachable(str(error))
