"""The world's Kubernetes and Flink as a pass meets them, and the store with the accidents of a pass.

One set of doubles serves one pass and records its answers. `Accident` says at which point of the pass
the world changes: what the overview of a cluster answers is fixed when the pass begins, because
the request is sent then; everything else is answered as the world is when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Lock
from typing import Any, Self

from flinkjobs.adapters.mongo.job_store import MongoJobStore
from flinkjobs.adapters.mongo.lease_store import MongoLeaseStore
from flinkjobs.domain.errors import (
    FlinkUnavailableError,
    KubernetesRefusedError,
    KubernetesUnavailableError,
    ListExpiredError,
    StoreUnavailableError,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.kubernetes_objects import Event, KubernetesJob, Pod
from flinkjobs.domain.observations import FlinkJob, Missing, Overview
from flinkjobs.domain.records import JobRecord, UnreadableRecord
from flinkjobs.domain.transition import Update
from flinkjobs.ports.lease import Lease
from flinkjobs.ports.store import NO_FINGERPRINTS, Applied
from tests.integration.property.bench import Bench
from tests.integration.property.simulated_world import TrueCluster, TrueSubmission, World
from tests.support.flink_in_memory import NoActions, NoHealth
from tests.support.overviews import overview_of


class Died(BaseException):
    """The process of a pass was killed."""


class Point(StrEnum):
    """A moment of a pass, in the order in which they come."""

    RECORDS = "the records were read"
    JOBS = "the Jobs are being listed"
    PODS = "the pods are being listed"
    LISTED = "the pods were listed"
    LOOK = "one submitter is being looked at"
    ASK = "Flink is being asked for one job"
    RENEW = "the lease is being renewed"
    APPLY = "the changes are about to be written"
    HALF = "half of the changes are written"
    APPLIED = "the changes are written"
    SAVE = "the report is being saved"


BEFORE_THE_NAMES_ARE_LOOKED_UP = (Point.RECORDS, Point.JOBS, Point.PODS, Point.LISTED, Point.LOOK)
"""What happens up to here is seen by a pass that looks for a Flink job by its name."""


@dataclass(slots=True)
class Accident:
    """What comes in between, once.

    Attributes:
        at: when.
        deed: what; it may raise `Died` or an error of the store.
        happened: whether the pass came to that point.
        decided: how many changes the pass had handed over to be written before.
    """

    at: Point
    deed: Callable[[], None]
    happened: bool = False
    decided: int = 0


@dataclass(slots=True)
class Evidence:
    """The answers to one pass about Flink jobs, by cluster and id.

    Attributes:
        overview: the snapshot each cluster answered; none where it was unreachable.
        unknown: the ids for which a direct request was answered with Flink's own 404.
        found: the ids that were described to the pass.
        history: what the History Server answered; none where it was not asked or not reachable.
    """

    overview: dict[str, Mapping[str, FlinkJob]] = field(default_factory=dict)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    found: set[tuple[str, str]] = field(default_factory=set)
    history: dict[str, Mapping[str, FlinkJob]] = field(default_factory=dict)

    def says_missing(self, cluster: TrueCluster, flink_job_id: str) -> bool:
        """Whether everybody who can know this job answered, and none knew it."""
        if flink_job_id in self.overview.get(cluster.name, {flink_job_id: None}):
            return False
        if (cluster.name, flink_job_id) not in self.unknown:
            return False
        return not cluster.has_history or flink_job_id not in self.history.get(
            cluster.name, {flink_job_id: None}
        )

    def says_found(self, cluster: TrueCluster, flink_job_id: str) -> bool:
        """Whether a peer that was asked for this job knew it.

        The History Server is asked for the job only where the cluster answered. Of a cluster that did not, it
        may have been read for another record, which has no id.
        """
        if (cluster.name, flink_job_id) in self.found:
            return True
        answers = self.overview.get(cluster.name)
        return answers is not None and (
            flink_job_id in answers or flink_job_id in self.history.get(cluster.name, {})
        )


class Scene:
    """The surroundings of one pass: the doubles, the accident, and what was seen."""

    def __init__(self, world: World, bench: Bench, accident: Accident | None = None) -> None:
        """Args:
        world: what is to be shown.
        bench: the database.
        accident: what comes in between.
        """
        self.world = world
        self.evidence = Evidence()
        self.accident = accident
        self.is_dead = False
        self.read_clock_at = world.now
        self.fault: Exception | None = None
        self.names_are_looked_up: Callable[[], None] | None = None
        self._lock = Lock()
        self.store = AccidentalStore(bench, self)
        self.leases = AccidentalLeases(bench, self)
        self.cluster = KubernetesOfWorld(self)
        self.flinks = {name: FlinkOfWorld(self, cluster) for name, cluster in world.clusters.items()}

    def expect_life(self) -> None:
        """Refuses every request of a process that has died."""
        if self.is_dead:
            raise StoreUnavailableError("the process is dead")

    def come_to(self, point: Point) -> None:
        """Lets the accident happen if this is its point."""
        with self._lock:
            if self.accident is None or self.accident.at is not point or self.accident.happened:
                return
            self.accident.happened = True
            self.accident.decided = len(self.store.updates)
        try:
            self.accident.deed()
        except Died:
            self.is_dead = True
            raise
        except StoreUnavailableError:
            raise
        except Exception as error:
            self.fault = error  # a pass may take it for an object that it does not understand
            raise

    def clock(self) -> datetime:
        self.read_clock_at = self.world.now
        return self.world.now


class KubernetesOfWorld:
    """`flinkjobs.ports.kubernetes.KubernetesClient`."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._world = scene.world

    def _answer(self, what: str, *, is_list: bool = False) -> None:
        mode = self._world.kubernetes
        if mode == "refused":
            raise KubernetesUnavailableError(f"{what}: connection refused")
        if mode == "unauthorized" or (mode == "unauthorized later" and not is_list):
            raise KubernetesRefusedError(f"{what}: 401 Unauthorized", reason="Unauthorized", status=401)

    def _selected(self, selector: str) -> list[TrueSubmission]:
        if selector.startswith("job-name="):
            name = selector.removeprefix("job-name=")
            return [each for each in self._world.submissions if each.k8s_job_name == name]
        named = re.search(r"job-id in \((.*)\)", selector)
        assert named is not None, selector
        assert selector.startswith("app=flink-python-job,"), selector
        job_ids = named[1].split(",")  # the old platform sets no such label
        return [each for each in self._world.submissions if each.shape.is_ours and each.job_id in job_ids]

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        self._scene.come_to(Point.JOBS)
        self._answer("GET jobs", is_list=True)
        jobs = [self._world.job_shown(submission) for submission in self._selected(selector)]
        for number, job in enumerate(job for job in jobs if job is not None):
            if number and self._world.kubernetes == "breaks off":
                raise KubernetesUnavailableError("GET jobs: the connection broke")
            yield job

    def pods(self, selector: str) -> Iterator[Pod]:
        self._scene.come_to(Point.PODS)
        self._answer("GET pods", is_list=True)
        pods = [pod for each in self._selected(selector) for pod in self._world.pods_shown(each)]
        yield from pods[:1]
        if self._world.kubernetes == "pods expire":
            raise ListExpiredError("GET pods: 410 Expired: the continue token is too old")
        yield from pods[1:]
        self._scene.come_to(Point.LISTED)

    def until(self, moment: float) -> Self:
        """Nothing of it takes any time."""
        assert moment > 0
        return self

    def in_namespace(self, namespace: str | None) -> Self:
        """It has one namespace."""
        assert namespace is None or namespace
        return self

    def job(self, name: str) -> KubernetesJob | Missing:
        self._scene.come_to(Point.LOOK)
        self._answer(f"GET jobs/{name}")
        named = [each for each in self._world.submissions if each.k8s_job_name == name]
        return (self._world.job_shown(named[0]) if named else None) or Missing()

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        assert (container, tail) == ("submit", False)
        self._scene.come_to(Point.LOOK)
        self._answer(f"GET pods/{pod}/log")
        true_pod = self._world.pod_named(pod)
        if true_pod is None or true_pod.log == "gone":
            return Missing()
        if true_pod.log == "refused":
            raise KubernetesUnavailableError(f"GET pods/{pod}/log: 500 the node does not answer")
        return "" if true_pod.phase == "Pending" else true_pod.log_text

    def events(self, name: str) -> tuple[Event, ...]:
        self._answer("GET events")
        return tuple(event for event in self._world.events_shown() if event.about_name == name)

    def all_events(self) -> Iterator[Event]:
        self._answer("GET events")
        if self._world.events == "403":
            raise KubernetesRefusedError("GET events: 403 Forbidden", reason="Forbidden", status=403)
        if self._world.events == "500":
            raise KubernetesUnavailableError("GET events: 500 etcdserver: request timed out")
        yield from self._world.events_shown()

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        raise _unexpected(manifest)

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        raise _unexpected(manifest)

    def delete_job(self, name: str, uid: str) -> bool:
        raise _unexpected((name, uid))

    def ping(self) -> None:
        raise _unexpected("ping")


class FlinkOfWorld(NoHealth, NoActions):
    """`flinkjobs.ports.store.Flink` of one cluster."""

    def __init__(self, scene: Scene, cluster: TrueCluster) -> None:
        self._scene = scene
        self._cluster = cluster
        self._first: Mapping[str, FlinkJob] | None = cluster.overview()
        self._first_error = None if cluster.is_reachable else self._error()
        self._evidence = scene.evidence

    @property
    def name(self) -> str:
        return self._cluster.name

    @property
    def has_history(self) -> bool:
        return self._cluster.has_history

    def _error(self) -> FlinkUnavailableError:
        return FlinkUnavailableError(f"cluster {self.name}: {self._cluster.mode}")

    def overview(self) -> Overview:
        """The first answer in a pass is of the moment at which the pass began."""
        first, self._first = self._first, None
        if first is not None:
            if self._first_error is not None:
                raise self._first_error
            self._evidence.overview[self.name] = first
            return overview_of(first)
        if self._scene.names_are_looked_up is not None:
            self._scene.names_are_looked_up()
        if not self._cluster.is_reachable:
            raise self._error()
        return overview_of(self._cluster.overview())

    def until(self, moment: float) -> Self:
        """Nothing of it takes any time."""
        assert moment > 0
        return self

    def job(self, job_id: str) -> FlinkJob | Missing:
        self._scene.come_to(Point.ASK)
        if not self._cluster.is_reachable or self._cluster.mode == "halting":
            raise self._error()
        job = self._cluster.jobs.get(job_id)
        if job is None or self._cluster.mode == "elsewhere":
            self._evidence.unknown.add((self.name, job_id))
            return Missing()
        self._evidence.found.add((self.name, job_id))
        return self._cluster.shown(job)

    def failure(self, job_id: str) -> str | None:
        if not self._cluster.is_reachable or job_id not in self._cluster.jobs:
            raise self._error()
        return self._cluster.jobs[job_id].failure

    def history(self) -> Overview:
        assert self.has_history
        self._scene.come_to(Point.ASK)
        if not self._cluster.history_is_up:
            raise FlinkUnavailableError(f"cluster {self.name}: its History Server is away")
        self._evidence.history[self.name] = dict(self._cluster.archived)
        return overview_of(self._cluster.archived)

    def history_failure(self, job_id: str) -> str | None:
        if not self._cluster.history_is_up:
            raise FlinkUnavailableError(f"cluster {self.name}: its History Server is away")
        for submission in self._scene.world.submissions:
            for job in submission.flink_jobs:
                if job.id == job_id:
                    return job.failure
        return None


class AccidentalStore(MongoJobStore):
    """The real store, as a process sees it that may die."""

    def __init__(self, bench: Bench, scene: Scene) -> None:
        super().__init__(bench.client[bench.database])
        self._bench = bench
        self._scene = scene
        self.read: list[JobRecord] = []
        self.unreadable: list[str] = []
        self.skipped = 0
        self.updates: list[Update] = []
        self.written: dict[str, str] = {}

    def _come_to(self, point: Point | None = None) -> None:
        if point is not None:
            self._scene.come_to(point)
        self._scene.expect_life()

    def fingerprints(self, status: Status) -> Iterator[str]:
        found = list(super().fingerprints(status))
        self.skipped += len(found)
        return iter(found)

    def records_to_follow(
        self,
        *,
        lost_since: datetime,
        fingerprints: Mapping[Status, Sequence[str]] = NO_FINGERPRINTS,
        job_ids: Collection[str] | None = None,
        run_id: str | None = None,
    ) -> Iterator[JobRecord | UnreadableRecord]:
        found = list(
            super().records_to_follow(
                lost_since=lost_since, fingerprints=fingerprints, job_ids=job_ids, run_id=run_id
            )
        )
        self.skipped -= sum(map(len, fingerprints.values()))
        self.read += [record for record in found if isinstance(record, JobRecord)]
        self.unreadable += [record.job_id for record in found if isinstance(record, UnreadableRecord)]
        self._come_to(Point.RECORDS)
        return iter(found)

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        """As the real one, in two halves where an accident comes in between them."""
        self._come_to(Point.APPLY)
        self.updates += updates
        accident = self._scene.accident
        half = len(updates) // 2 if accident is not None and accident.at is Point.HALF else 0
        first = self._apply(updates[:half], now=now, run_id=run_id, by=by)
        self._come_to(Point.HALF)
        second = self._apply(updates[half:], now=now, run_id=run_id, by=by)
        self._come_to(Point.APPLIED)
        return Applied(first.job_ids | second.job_ids, first.conflicts | second.conflicts)

    def _apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        """What it says is held against the database at once."""
        if not updates:
            return super().apply(updates, now=now, run_id=run_id, by=by)
        were = self._bench.revisions()
        applied = super().apply(updates, now=now, run_id=run_id, by=by)
        written = self._bench.written_by(run_id)
        self.written |= written
        as_read = {
            update.before.job_id
            for update in updates
            if were[update.before.job_id] == (update.before.status.value, update.before.revision)
        }
        assert applied.job_ids == as_read, (
            "not exactly the records that were as they had been read were written"
        )
        assert applied.job_ids <= set(written), "what was written is not what was said to be"
        assert applied.conflicts == {update.before.job_id for update in updates} - as_read
        return applied

    def save_run(self, report: Mapping[str, Any]) -> None:
        self._come_to(Point.SAVE)
        super().save_run(report)


class AccidentalLeases(MongoLeaseStore):
    """The real leases, as a process sees them that may die."""

    def __init__(self, bench: Bench, scene: Scene) -> None:
        super().__init__(bench.client[bench.database])
        self._scene = scene

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        self._scene.come_to(Point.RENEW)
        self._scene.expect_life()
        return super().renew_lease(lease, ttl_seconds=ttl_seconds)

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        self._scene.expect_life()
        return super().release_lease(lease, cursor=cursor)


def _unexpected(question: object) -> AssertionError:
    return AssertionError(f"a pass has no business asking for {question!r}")
