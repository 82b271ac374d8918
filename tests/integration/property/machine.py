"""Random histories: things happen, passes run, and after each step no record may be wrong."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import bson
from bson.codec_options import CodecOptions
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flinkjobs.domain.errors import StoreUnavailableError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy
from flinkjobs.sync import service as sync
from flinkjobs.sync.context import Sync
from flinkjobs.sync.service import NothingReachableError
from tests.integration.property import oracle
from tests.integration.property.bench import Bench
from tests.integration.property.peers import BEFORE_THE_NAMES_ARE_LOOKED_UP, Accident, Died, Point, Scene
from tests.integration.property.simulated_world import (
    LOSSES,
    MODES,
    NEXT_STATES,
    Act,
    Happening,
    Shape,
    TrueSubmission,
    World,
)

LOST_AFTER = timedelta(seconds=600)
NAMELESS_FOR = timedelta(seconds=120)
MAX_SUBMISSIONS = 5
BUDGET_SECONDS = 60.0
OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
LONG = timedelta(hours=1)
ABSENT: dict[str, Any] = {
    "k8s_job_name": None,
    "flink_job_id": None,
    "flink_jobs": [],
    "flink_job_ids": [],
    "dropped_ids": [],
    "reason": None,
    "missing_since": None,
}
"""What a document of the old platform lacks."""


def decoded(raw: bytes) -> dict[str, Any]:
    """The document that these bytes are; what an old one lacks is filled in."""
    document: dict[str, Any] = bson.decode(raw, codec_options=OPTIONS)
    return {**ABSENT, **document}


# --- what is drawn ----------------------------------------------------------------------------------

SHAPES = (
    Shape((Act.SUBMIT,)),
    Shape((Act.SUBMIT, Act.SUBMIT)),
    Shape((Act.SUBMIT,), creation="later"),
    Shape(()),
    Shape((Act.RAISE,)),
    Shape((Act.SUBMIT, Act.RAISE)),
    Shape((Act.SUBMIT, Act.WAIT)),
    Shape((Act.SUBMIT, Act.WAIT, Act.SUBMIT, Act.WAIT)),
    Shape((Act.FORGE,)),
    Shape((Act.FORGE, Act.SUBMIT)),
    Shape((Act.SUBMIT, Act.FORGE, Act.SUBMIT)),
    Shape((Act.SUBMIT, Act.CHATTER, Act.SUBMIT, Act.RAISE)),
    Shape((Act.SUBMIT, Act.CHATTER, Act.SUBMIT, Act.RAISE), message="fallback"),
    Shape((Act.SUBMIT, Act.CHATTER, Act.RAISE), message="fallback"),
    Shape((Act.SUBMIT, Act.CHATTER, Act.RAISE), message="fallback", names_itself=True),
    Shape((Act.RAISE,), message="fallback"),
    Shape((Act.SUBMIT,), message="fallback"),
    Shape((Act.SUBMIT, Act.SUBMIT), message="plain"),
    Shape((Act.SUBMIT, Act.RAISE), message="plain", names_itself=True),
    Shape((), message="plain"),
    Shape((Act.SUBMIT, Act.SUBMIT), message="none"),
    Shape((Act.SUBMIT, Act.WAIT), message="none"),
    Shape((Act.SUBMIT, Act.RAISE), message="none", names_itself=True),
    Shape((Act.RAISE,), message="none", sidecar="ends"),
    Shape((Act.SUBMIT, Act.SUBMIT), names_itself=True),
    Shape((Act.SUBMIT, Act.WAIT), names_itself=True),
    Shape((Act.TIME_OUT,)),
    Shape((Act.TIME_OUT,), names_itself=True),
    Shape((Act.TIME_OUT,), message="none", names_itself=True),
    Shape((Act.SUBMIT, Act.TIME_OUT)),
    Shape((Act.SUBMIT, Act.TIME_OUT), message="none"),
    Shape((Act.QUOTE,)),
    Shape((Act.QUOTE, Act.SUBMIT)),
    Shape((Act.QUOTE, Act.TIME_OUT)),
    Shape((Act.SUBMIT,), sidecar="ends"),
    Shape((Act.SUBMIT, Act.RAISE), sidecar="stays"),
    Shape((), sidecar="stays"),
    Shape((Act.RAISE,), sidecar="stays"),
    Shape((Act.RAISE,), sidecar="native"),
    Shape((Act.SUBMIT,), sidecar="native", message="fallback"),
    Shape((Act.SUBMIT,), exactly_once=True, names_itself=True),
    Shape((Act.SUBMIT, Act.WAIT), exactly_once=True, message="fallback"),
    Shape((Act.SUBMIT,), creation="never"),
)
OFTEN = (
    *("all goes well",) * 8,
    *("flink ends",) * 5,
    *("flink moves",) * 5,
    *("pod works",) * 2,
    *("pod works on",) * 2,
    *("job settles",) * 2,
    *("cluster is up",) * 2,
    "pod can start",
    "kubernetes is up",
    *("log vanishes",) * 2,
    *("log is refused",) * 2,
    "log rotates",
    "kubelet answers",
    "cluster fails over",
    "pod starts twice",
    "time passes",
)
HAPPENINGS = st.builds(
    Happening,
    st.one_of(st.sampled_from(OFTEN), st.sampled_from(OFTEN), st.sampled_from(World().kinds)),
    st.integers(0, 5),
    st.integers(0, 6),
)
CLUSTERS = st.sampled_from(("default", "archived"))


@dataclass(frozen=True, slots=True)
class Deed:
    """What comes in between in a pass.

    Attributes:
        kind: it happens (happenings), dies, the store fails, another writer, another pass over all records
            or over some, or the lease runs out and another pass takes it over.
    """

    kind: str
    happenings: tuple[Happening, ...] = ()


DEEDS = st.one_of(
    st.lists(HAPPENINGS, min_size=1, max_size=3).map(lambda each: Deed("it happens", tuple(each))),
    st.sampled_from(
        (
            Deed("dies"),
            Deed("store fails"),
            Deed("another writer"),
            Deed("another pass"),
            Deed("a pass over some"),
            Deed("the lease is taken over"),
        )
    ),
)
POINTS = st.sampled_from(tuple(Point))
IN_A_THREAD = (Point.LOOK, Point.ASK)
"""Other threads of the pass read the world at these points, so it may not change there."""


# --- the machine ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Missed:
    """The passes for which a job was missing, by their number, and the first's time."""

    since: datetime
    passes: set[int] = field(default_factory=set)


def _is_looked_at_anew(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the next pass observes more of a record than this one.

    The submitter of a record that is not LOST any more is observed again. Where all ids proved to belong
    to other jobs, a job of the record's name is searched.
    """
    is_back = before["status"] == "LOST" and after["status"] != "LOST"
    has_dropped = before["dropped_ids"] != after["dropped_ids"] and not after["flink_jobs"]
    return is_back or has_dropped


class StatusMachine(RuleBasedStateMachine):
    """One world, one empty database. `on` says whose."""

    bench: ClassVar[Bench]

    @classmethod
    def on(cls, bench: Bench) -> type[StatusMachine]:
        """The machine that works on this bench."""
        return type("Histories", (cls,), {"bench": bench})

    def __init__(self) -> None:
        super().__init__()
        self.bench.clear()
        self.bench.tally["examples"] += 1
        self.world = World()
        self.seen: dict[str, bytes] = {}
        self.named: dict[str, frozenset[str] | None] = {}
        self.named_first = self.named
        self.names_seen: dict[str, set[str]] = defaultdict(set)
        self.owners: dict[str, set[str]] = {}
        self.nameless: dict[str, Missed] = {}
        self.looked_at_anew: set[str] = set()
        self.missed: dict[tuple[str, str], Missed] = {}
        self.passes = 0
        self.under_way: list[tuple[int, Scene]] = []
        self.lease_is_held = False
        self.quiet: tuple[int, int] = (-1, 0)
        self.has_junk = False
        self.has_old = False

    # --- rules

    @initialize(shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3), cluster=CLUSTERS)
    def begin(self, shapes: list[Shape], cluster: str) -> None:
        with self._step():
            for shape in shapes:
                self._submit(shape, cluster)

    @precondition(lambda self: len(self.world.submissions) < MAX_SUBMISSIONS)
    @rule(shape=st.sampled_from(SHAPES), cluster=CLUSTERS)
    def submit(self, shape: Shape, cluster: str) -> None:
        with self._step():
            self._submit(shape, cluster)

    @precondition(lambda self: not self.has_old and len(self.world.submissions) < MAX_SUBMISSIONS)
    @rule(cluster=CLUSTERS, state=st.sampled_from(tuple(NEXT_STATES)), has_id=st.booleans())
    def find_an_old_record(self, cluster: str, state: str, has_id: bool) -> None:
        with self._step():
            self.has_old = True
            submission = self.world.adopt(cluster, state)
            self.bench.jobs.insert_one(
                {
                    "job_id": submission.job_id,
                    "flink_job_id": submission.flink_jobs[0].id if has_id else None,
                    "status": "RUNNING" if has_id else "CREATED",
                    "submitted_at": submission.submitted_at.replace(tzinfo=None).isoformat(),
                    "start_time": None,
                    "end_time": None,
                    "duration": None,
                    "cluster": cluster,
                }
            )
            if not has_id:
                submission.flink_jobs.clear()

    @precondition(lambda self: not self.has_junk)
    @rule()
    def find_a_document_that_is_no_record(self) -> None:
        with self._step():
            self.has_junk = True
            self.bench.jobs.insert_one({"job_id": "junk", "status": "RUNNING", "submitted_at": 5})

    @rule(happenings=st.lists(HAPPENINGS, min_size=1, max_size=6))
    def it_happens(self, happenings: list[Happening]) -> None:
        with self._step():
            for happening in happenings:
                self.world.happen(happening)

    @rule(seconds=st.sampled_from((5, 60, 180, 600, 4000)))
    def time_passes(self, seconds: int) -> None:
        with self._step():
            self.world.advance(timedelta(seconds=seconds))
            self.world.version += 1

    @rule(times=st.sampled_from((1, 1, 2, 5)), apart=st.sampled_from((0, 0, 180, 400)))
    def sync(self, times: int, apart: int) -> None:
        with self._step():
            for _ in range(times):
                self._pass()
                if apart:
                    self.world.advance(timedelta(seconds=apart))
                    self.world.version += 1

    @rule(cluster=CLUSTERS, mode=st.sampled_from(MODES), times=st.integers(2, 5), is_over=st.booleans())
    def sync_during_an_outage(self, cluster: str, mode: str, times: int, is_over: bool) -> None:
        with self._step():
            self.world.happen(Happening("all goes well", how=1))
            self._pass()
            self.world.clusters[cluster].mode = mode
            self.world.version += 1
            for _ in range(times):
                self._pass()
                self.world.advance(timedelta(seconds=250))
                self.world.version += 1
            if is_over:
                self.world.clusters[cluster].mode = "up"
                self.world.version += 1

    @rule(which=st.sets(st.integers(0, MAX_SUBMISSIONS - 1), min_size=1, max_size=3))
    def sync_some(self, which: set[int]) -> None:
        with self._step():
            self._pass(job_ids=self._some(which))

    @rule(point=POINTS, deed=DEEDS, some=st.one_of(st.none(), st.sets(st.integers(0, 5), min_size=1)))
    def sync_with_an_accident(self, point: Point, deed: Deed, some: set[int] | None) -> None:
        with self._step():
            if point in IN_A_THREAD and deed.kind in ("it happens", "another writer"):
                point = Point.PODS
            job_ids = self._some(some) if some else None
            is_whole = job_ids is None
            accident = Accident(point, lambda: self._do(deed, point, is_whole=is_whole))
            scene = self._pass(job_ids=job_ids, accident=accident)
            if deed.kind == "the lease is taken over" and is_whole and accident.happened:
                is_late = point in (Point.APPLY, Point.HALF, Point.APPLIED, Point.SAVE)
                has_written = len(scene.store.updates) > accident.decided
                assert is_late or not has_written, "a pass wrote after its lease was taken over"

    @precondition(lambda self: len(self.world.submissions) < 2 * MAX_SUBMISSIONS)
    @rule(
        shape=st.sampled_from([shape for shape in SHAPES if shape.acts and shape.creation == "at once"]),
        cluster=CLUSTERS,
        message=st.sampled_from(("fallback", "none")),
        loss=st.sampled_from(LOSSES),
        mode=st.sampled_from(("up", "up", *MODES)),
        when=st.sampled_from((None, Point.JOBS, Point.LISTED)),
        is_forgotten=st.booleans(),
    )
    def sync_when_output_goes(
        self,
        shape: Shape,
        cluster: str,
        message: str,
        loss: str,
        mode: str,
        when: Point | None,
        is_forgotten: bool,
    ) -> None:
        """A submitter begins and ends before or within a pass, which meets what is left of its output."""
        with self._step():
            self.bench.tally["lost outputs"] += 1
            creation = "later" if when is Point.LISTED else "at once"
            submission = self._submit(replace(shape, message=message, creation=creation), cluster)

            def go() -> None:
                self.world.end_without_output(submission, loss)
                self._accept_created()
                if is_forgotten:
                    self.world.forget_jobs(cluster)
                self.world.clusters[cluster].mode = mode
                self._look_for_names()

            if when is None:
                go()
            self._pass(accident=Accident(when, go) if when else None)
            self.world.clusters[cluster].mode = "up"
            self.world.version += 1

    @rule()
    def sync_without_time(self) -> None:
        with self._step():
            self._pass(budget_seconds=0.0)

    @precondition(lambda self: self.lease_is_held)
    @rule()
    def the_lease_runs_out(self) -> None:
        with self._step():
            self._let_lease_run_out()

    # --- parts of a step

    @contextmanager
    def _step(self) -> Iterator[None]:
        self.bench.tally["steps"] += 1
        yield
        self._look()

    def _submit(self, shape: Shape, cluster: str) -> TrueSubmission:
        submission = self.world.submit(shape, cluster)
        record = JobRecord(
            job_id=submission.job_id,
            status=Status.CREATED,
            submitted_at=submission.submitted_at,
            k8s_job_name=submission.k8s_job_name,
            cluster=cluster,
            in_flight_until=submission.in_flight_until,
        )
        self.bench.store.insert(record, {"template_id": "etl", "job_name": "etl"})
        self._accept_created()
        return submission

    def _accept_created(self) -> None:
        """The callers that have created a Kubernetes Job say so on its record."""
        for submission in self.world.submissions:
            if submission.created_at is not None and not submission.is_accepted:
                submission.is_accepted = True
                self.bench.store.accept(submission.job_id, now=self.world.now)
        self._look()

    def _some(self, which: Collection[int]) -> list[str]:
        job_ids = [submission.job_id for submission in self.world.submissions]
        return sorted({job_ids[number % len(job_ids)] for number in which} if job_ids else {"unknown"})

    def _let_lease_run_out(self) -> None:
        self.bench.leases.update_many({}, {"$set": {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}})
        self.lease_is_held = False

    def _do(self, deed: Deed, point: Point, *, is_whole: bool) -> None:
        """What comes in between."""
        self._look()
        if deed.kind == "it happens":
            for happening in deed.happenings:
                self.world.happen(happening)
            self._accept_created()
            if point in BEFORE_THE_NAMES_ARE_LOOKED_UP:
                self._look_for_names()
        elif deed.kind == "dies":
            raise Died
        elif deed.kind == "store fails":
            raise StoreUnavailableError("the store went away")
        elif deed.kind == "another writer":
            self._write_otherwise()
        elif deed.kind == "a pass over some":
            self._pass(job_ids=self._some((0, 1, 2)))
        elif deed.kind == "the lease is taken over" and is_whole:
            self._let_lease_run_out()
            self._pass()
        else:
            self._pass(is_during_another=is_whole)

    def _write_otherwise(self) -> None:
        """A refused submission, and another writer's changes of the records that are open."""
        for submission in self.world.submissions:
            if submission.shape.creation == "never" and decoded(self.seen[submission.job_id])["k8s_job_name"]:
                submission.refused |= self.bench.store.fail_submission(
                    submission.job_id, code=ReasonCode.K8S_REFUSED, message="refused", now=self.world.now
                )
        live = {"status": {"$in": ["CREATED", "RUNNING", "SUSPENDED", "LOST"]}, "revision": {"$gte": 0}}
        self.bench.jobs.update_one(live, {"$set": {"job_name": "renamed"}, "$inc": {"revision": 1}})
        self._look()

    def _look_for_names(self) -> None:
        self.named = {
            submission.job_id: oracle.findable_by_name(self.world, submission)
            for submission in self.world.submissions
        }
        for submission in self.world.submissions:
            self.names_seen[submission.job_id] |= oracle.shown_by_name(self.world, submission)

    # --- a pass

    def _pass(
        self,
        *,
        job_ids: list[str] | None = None,
        accident: Accident | None = None,
        budget_seconds: float = BUDGET_SECONDS,
        is_during_another: bool = False,
    ) -> Scene:
        """One pass, and whatever can be said of it when it is over."""
        self._accept_created()
        for each in self.under_way:  # what it has written by now may be what this pass finds
            self._note_missing(*each)
        self.passes += 1
        number = self.passes
        self.bench.tally["passes"] += 1
        self.names_seen.clear()
        self._look_for_names()
        self.named_first = self.named
        self.owners = self._owners()
        scene = Scene(self.world, self.bench, accident)
        scene.names_are_looked_up = self._look_for_names
        self.under_way.append((number, scene))
        version, writes = self.world.version, self.bench.writes.count
        is_skipped = job_ids is None and (self.lease_is_held or is_during_another)
        before = dict(self.seen)
        report = self._run(scene, job_ids, budget_seconds)
        self.under_way.pop()
        if is_skipped:
            assert report is not None
            assert report["skipped"]
            assert self.bench.writes.count == writes, "a pass that was skipped has written"
            return scene
        self._note_missing(number, scene)
        self._look(number, scene)
        self._drop_what_is_not_missing()
        if report is None:
            self.quiet = (-1, 0)
            return scene
        self._check_report(report, scene, before)
        is_undisturbed = accident is None or not accident.happened
        if job_ids is not None or not is_undisturbed:
            self.quiet = (-1, 0)
        if is_undisturbed:
            assert report["conflicts"] == 0
            self._check_found(scene)
        if is_undisturbed and job_ids is None and report["complete"]:
            self._check_quiet(version, before, writes)
        return scene

    def _run(
        self, scene: Scene, job_ids: list[str] | None, budget_seconds: float
    ) -> Mapping[str, Any] | None:
        """The report of the pass; None when it ended by an accident, or no peer answered.

        The lease of a process that died is frozen until a rule lets it run out: how long a step really takes
        is no matter.
        """
        setting = self._setting(scene, budget_seconds)
        report = None
        try:
            report = sync.run_pass(setting, job_ids=job_ids)
        except Died:
            if job_ids is None:
                self.bench.leases.update_many({}, {"$set": {"expires_at": datetime.now(UTC) + LONG}})
                self.lease_is_held = True
        except StoreUnavailableError:
            assert scene.accident is not None
            assert scene.accident.happened
        except NothingReachableError:
            is_kubernetes_away = self.world.kubernetes != "up" or scene.accident is not None
            assert is_kubernetes_away, "the pass failed, though Kubernetes answers"
            assert not scene.store.written
        if scene.fault is not None:
            raise scene.fault
        return report

    def _setting(self, scene: Scene, budget_seconds: float) -> Sync:
        """What the pass works with."""
        return Sync(
            store=scene.store,
            notify_store=self.bench.notify_store,
            leases=scene.leases,
            kubernetes=lambda: scene.cluster,
            flinks=scene.flinks,
            policy=Policy(lost_after=LOST_AFTER, grace=oracle.GRACE),
            budget_seconds=budget_seconds,
            clock=scene.clock,
        )

    def _owners(self) -> dict[str, set[str]]:
        """The records that have each Flink Job ID."""
        owners: dict[str, set[str]] = defaultdict(set)
        for job_id, raw in self.seen.items():
            document = decoded(raw)
            for flink_job_id in (document["flink_job_id"], *document["flink_job_ids"]):
                owners[flink_job_id].add(job_id)
        return owners

    def _note_missing(self, number: int, scene: Scene) -> None:
        for job_id, named in self.named.items():
            submission = self._submission(job_id)
            # The cluster is not asked again for a submitter that has printed an id, be it another job's.
            is_nowhere = frozenset() in (named, self.named_first.get(job_id) if submission.quoted else named)
            if is_nowhere and not submission.can_submit_more:
                self.nameless.setdefault(job_id, Missed(scene.read_clock_at)).passes.add(number)
        for name, id_ in scene.evidence.unknown:
            if scene.evidence.says_missing(self.world.clusters[name], id_):
                self.missed.setdefault((name, id_), Missed(scene.read_clock_at)).passes.add(number)

    def _drop_what_is_not_missing(self) -> None:
        for raw in self.seen.values():
            document = decoded(raw)
            for ref in document["flink_jobs"]:
                if ref["missing_since"] is None:
                    self.missed.pop((document["cluster"], ref["id"]), None)

    def _check_report(self, report: Mapping[str, Any], scene: Scene, before: Mapping[str, bytes]) -> None:
        """Its counts are what happened."""
        store = scene.store
        assert not report["skipped"]
        codes = Counter(error["code"] for error in report["errors"])
        assert codes["INTERNAL"] == 0, report["errors"]
        assert codes["UNREADABLE_RECORD"] == len(store.unreadable)
        assert report["changed"] == Counter(store.written.values())
        parts = report["unchanged"] + sum(report["changed"].values()) + report["conflicts"]
        assert report["scanned"] == parts, report
        if report["complete"]:
            assert report["scanned"] == len(store.read) + store.skipped
            assert report["conflicts"] == len(store.updates) - len(store.written)
        resolved = [
            update
            for update in store.updates
            if update.after.job_id in store.written
            and update.after.flink_jobs
            and not update.before.flink_jobs
        ]
        assert report["resolved"] == len(resolved)
        for name, cluster in report["clusters"].items():
            assert cluster["reachable"] == (name in scene.evidence.overview)
        assert before.keys() <= self.seen.keys()

    def _check_found(self, scene: Scene) -> None:
        """A job that a peer knew is not missing."""
        for record in scene.store.read:
            cluster = self.world.clusters[record.cluster]
            for ref in decoded(self.seen[record.job_id])["flink_jobs"]:
                if record.job_id in scene.store.written and scene.evidence.says_found(cluster, ref["id"]):
                    assert ref["missing_since"] is None, f"{ref['id']} is said to be missing, and is not"

    def _check_quiet(self, version: int, before: Mapping[str, bytes], writes: int) -> None:
        """Nothing changed, so nothing is written, but the count of passes in which a job is missing."""
        looked_at_anew = self.looked_at_anew
        self.looked_at_anew = {
            job_id
            for job_id, raw in before.items()
            if _is_looked_at_anew(decoded(raw), decoded(self.seen[job_id]))
        }
        was, times = self.quiet
        self.quiet = (version, times + 1 if was == version else 0)
        if was != version:
            return
        self.bench.tally["quiet passes"] += 1
        changed = [job_id for job_id, raw in self.seen.items() if before[job_id] != raw]
        counted = [job_id for job_id in changed if decoded(before[job_id])["missing_since"] is not None]
        if times >= 3:
            counted = []
        for job_id in set(changed) - set(counted) - looked_at_anew:
            old, new = decoded(before[job_id]), decoded(self.seen[job_id])
            different = {name: (old.get(name), new[name]) for name in new if old.get(name) != new[name]}
            raise AssertionError(f"{job_id} was written, though nothing had changed: {different}")
        if not changed:
            assert self.bench.writes.count == writes, "a record was written, though nothing had changed"

    # --- invariants

    def _submission(self, job_id: str) -> TrueSubmission:
        return next(each for each in self.world.submissions if each.job_id == job_id)

    def _look(self, number: int = 0, scene: Scene | None = None) -> None:
        """Every record that is not as it was when last looked at may be so."""
        now = self.bench.documents()
        assert now.keys() >= self.seen.keys(), "a record is gone"
        for job_id, raw in now.items():
            was = self.seen.get(job_id)
            if was == raw:
                continue
            if was is not None:
                self._check_move(job_id, decoded(was), decoded(raw), number, scene)
            self.seen[job_id] = raw

    def _check_move(
        self,
        job_id: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        number: int,
        scene: Scene | None,
    ) -> None:
        assert job_id != "junk", "an unreadable document was changed"
        assert before["status"] not in oracle.FINAL, f"{job_id} was {before['status']} and has changed"
        self.bench.tally[f"{before['status']} > {after['status']}"] += 1
        submission = self._submission(job_id)
        wrong = oracle.contradiction(after, submission, self.world, self.named.get(job_id))
        assert wrong is None, f"{job_id}: {wrong}"
        wrong = oracle.contradiction_of_moves(before, after)
        assert wrong is None, f"{job_id}: {wrong}"
        known = before["flink_job_ids"]
        for ref in after["flink_jobs"]:
            if ref["source"] == "JOB_NAME" and ref["id"] not in known:
                assert ref["id"] in self.names_seen[job_id], f"{ref['id']} is not named {job_id}"
            if ref["id"] not in known and ref["id"] in submission.quoted:
                assert not self.owners.get(ref["id"], set()) - {job_id}, f"{ref['id']} is another record's"
        code = (before["reason"] or {}).get("code")
        if (
            scene is not None
            and scene.accident is None
            and self.world.events != "up"
            and code in ("QUOTA", "MOUNT")
        ):
            is_cured = not submission.quota and not any(
                pod.problem == "FailedMount" for pod in submission.pods
            )
            assert after["reason"] or is_cured, f"{job_id} loses its reason while events are refused"
        is_going = before["status"] in ("RUNNING", "SUSPENDED")
        assert not (is_going and after["status"] == "CREATED"), f"{job_id} ran, and is CREATED again"
        if before["start_time"] is not None:
            assert after["start_time"] <= before["start_time"], f"{job_id} began later than it had begun"
        if scene is not None:
            dropped = set(after["dropped_ids"]) - set(before["dropped_ids"])
            given_up = {id_ for id_ in dropped if not self._is_foreign(after, id_, submission)}
            if after["status"] == "LOST" and before["status"] != "LOST":
                given_up |= {ref["id"] for ref in oracle.open_refs(after["flink_jobs"])}
                if not after["flink_jobs"]:
                    self._check_nameless(job_id, after["updated_at"], number)
            for id_ in given_up:
                self._check_given_up(job_id, id_, after["updated_at"], number)

    def _is_foreign(self, after: Mapping[str, Any], flink_job_id: str, submission: TrueSubmission) -> bool:
        """Whether an id that a record drops is that of another job, as far as can be known."""
        job_id = submission.job_id
        if oracle.is_job_of(submission, flink_job_id) and flink_job_id in self.names_seen[job_id]:
            return False
        owners = self.owners.get(flink_job_id, set()) | self._owners().get(flink_job_id, set())
        others = [each for each in self.world.submissions if each is not submission]
        if owners - {job_id} or any(flink_job_id in (*each.quoted, *each.readable_ids()) for each in others):
            return True
        if any(ref["source"] == "JOB_NAME" for ref in after["flink_jobs"]):
            return True  # the output lacks a job of the record's name, and what it holds may be anybody's
        began = [min(job.starts) for job in oracle.jobs_of(submission, self.world) if job.id == flink_job_id]
        return any(each < submission.submitted_at - oracle.NAME_MARGIN for each in began)

    def _check_nameless(self, job_id: str, now: datetime, number: int) -> None:
        """No job of the record's name in this pass and in two before it, for long enough."""
        missed = self.nameless.get(job_id)
        assert missed is not None, f"{job_id} is LOST, but its cluster was never asked"
        assert number in missed.passes, f"{job_id} is LOST in pass {number}, and was nowhere in {missed}"
        assert len(missed.passes) >= 3, f"{job_id} is LOST after {len(missed.passes)} passes"
        assert now - missed.since >= NAMELESS_FOR, f"{job_id} is nowhere since {missed.since}"

    def _check_given_up(self, job_id: str, flink_job_id: str, now: datetime, number: int) -> None:
        """Missing in this pass and in two before it, for long enough."""
        missed = self.missed.get((self._submission(job_id).cluster, flink_job_id))
        assert missed is not None, f"{job_id}: {flink_job_id} was never missing"
        assert number in missed.passes, (
            f"{job_id}: {flink_job_id} was missing in {missed}, not in pass {number}"
        )
        assert len(missed.passes) >= 3, f"{job_id}: {flink_job_id} was missing in {len(missed.passes)} passes"
        assert now - missed.since >= LOST_AFTER, f"{job_id}: {flink_job_id} is missing since {missed.since}"

    # --- the end

    def teardown(self) -> None:
        """The world calms down: a few passes, and what the rules demand of time, and every record is true."""
        if sys.exc_info()[0] is not None:
            return
        self._let_lease_run_out()
        self.world.calm_down()
        for number in range(3):
            for _ in range(2):
                self._pass()
            if number != 1:
                self._check_calm(with_time=number > 0)
            self.world.advance(LOST_AFTER + timedelta(seconds=1))
            self.world.version += 1

    def _check_calm(self, *, with_time: bool) -> None:
        for job_id, raw in self.seen.items():
            document = decoded(raw)
            self.bench.tally["ends"] += with_time
            if job_id == "junk":
                continue
            self.bench.tally[
                f"at the end {document['status']} {(document['reason'] or {}).get('code', '')}".strip()
            ] += with_time
            if document["status"] in oracle.FINAL:
                continue  # it was judged when it became so
            wanted = oracle.expected(document, self._submission(job_id), self.world)
            if wanted is None or (wanted.needs_time and not with_time):
                continue
            assert document["status"] == wanted.status, f"{job_id} should be {wanted}: {document}"
            if wanted.code:
                assert (document["reason"] or {}).get("code") == wanted.code, f"{job_id}: {document}"
