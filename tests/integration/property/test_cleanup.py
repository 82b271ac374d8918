"""Random worlds of Jobs: nothing goes that must stay, and in the end nothing stays that may go."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flinkjobs.cleanup import service as cleanup
from flinkjobs.cleanup.context import Cleanup, SelectorOrDatabaseError
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.domain.errors import KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import Kind
from flinkjobs.domain.observations import JobPhase, Missing
from flinkjobs.domain.transition import Policy
from flinkjobs.sync.context import Sync
from local.mongodb import MongoServer
from tests.integration.property.bench import Bench
from tests.integration.property.cleanup_world import (
    HARD_LIMIT,
    OVER,
    RETENTION,
    WITHOUT_RECORD,
    CleanupWorld,
    Document,
    Known,
    TrueObject,
)
from tests.support.flink_in_memory import FlinkInMemory, shows

EXAMPLES = 60
BEGIN = datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC)
AGES = (1, 23.9, 24.1, 30, 100, 167.9, 168.1, 1000)


@dataclass(frozen=True, slots=True)
class Night:
    """One run, and what goes wrong in it."""

    breaks_after: int | None
    deletions: tuple[str, ...]
    recreated: tuple[int, ...]
    is_log_broken: bool
    is_dry: bool
    hours_later: int


objects = st.builds(
    TrueObject,
    name=st.just(""),
    known=st.sampled_from(Known),
    phase=st.sampled_from((*OVER, *OVER, *OVER, JobPhase.ACTIVE, JobPhase.SUSPENDED)),
    over_since=st.sampled_from([BEGIN - timedelta(hours=age) for age in AGES]),
    kind=st.sampled_from((Kind.JOB, Kind.JOB, Kind.JOB, Kind.POD, Kind.CONFIG_MAP)),
    is_ours=st.sampled_from((True, True, True, False)),
    deleting=st.sampled_from((False, False, False, True)),
    has_job=st.booleans(),
    is_refused=st.sampled_from((False, False, False, True)),
)
nights = st.builds(
    Night,
    breaks_after=st.sampled_from((None, None, 0, 3)),
    deletions=st.sampled_from((("500",) * 9, ("lost",) * 9))
    | st.lists(st.sampled_from(("done", "done", "lost", "500", "403", "429")), max_size=6).map(tuple),
    recreated=st.lists(st.integers(0, 5), max_size=1).map(tuple),
    is_log_broken=st.booleans(),
    is_dry=st.booleans(),
    hours_later=st.sampled_from((0, 24, 200)),
)


def arranged(drawn: list[TrueObject]) -> dict[tuple[Kind, str], TrueObject]:
    """The objects by kind and name, each made to be one that can exist."""
    for number, each in enumerate(drawn):
        each.name = each.uid = f"{each.kind.value.lower()}-{number}"
        each.has_job = each.has_job and each.kind is not Kind.JOB
        if each.kind is not Kind.JOB and each.known not in (Known.FINAL, Known.NOTHING):
            each.known = Known.FOLLOWED
        if each.kind is Kind.CONFIG_MAP or (each.kind is Kind.POD and each.phase is JobPhase.SUSPENDED):
            each.phase = JobPhase.COMPLETE
    return {(each.kind, each.name): each for each in drawn}


@pytest.fixture(scope="module")
def bench(mongo_server: MongoServer) -> Iterator[Bench]:
    bench = Bench(mongo_server.uri, f"cleanup_{uuid.uuid4().hex[:12]}")
    yield bench
    bench.close()


def begin(bench: Bench, drawn: list[TrueObject], most: int) -> tuple[CleanupWorld, Cleanup]:
    bench.clear()
    world = CleanupWorld(BEGIN, arranged(drawn), lambda job_id: bench.jobs.find_one({"job_id": job_id}))
    documents = [each.document(BEGIN) for each in world.objects.values() if each.is_ours]
    if found := [document for document in documents if document is not None]:
        bench.jobs.insert_many(found)
    sync = Sync(
        store=bench.store,
        notify_store=bench.notify_store,
        leases=bench.lease_store,
        kubernetes=lambda: world,
        flinks={"default": FlinkInMemory("default", shows(), lambda _: Missing())},
        policy=Policy(),
        budget_seconds=60,
        clock=lambda: world.now,
    )
    return world, Cleanup(
        sync=sync,
        cluster=world,
        policy=RetentionPolicy(retention=RETENTION, unsettled=HARD_LIMIT),
        max_deletions=most,
        deletions_per_second=100_000,
        budget_seconds=60,
    )


def is_doubtful(world: CleanupWorld) -> bool:
    """Whether fewer than half of what cleanup looks at has a record, or of the Jobs if there are several."""
    listed = [each for each in world.objects.values() if each.is_ours]
    jobs = [each for each in listed if each.kind is Kind.JOB]
    return any(
        2 * sum(each.known is not Known.NOTHING for each in those) < len(those)
        for those in (listed, jobs if len(jobs) > 1 else [])
    )


def spend(world: CleanupWorld, cleaning: Cleanup, night: Night, bench: Bench) -> int:
    """One run, whose report must be true, and which must do nothing wrong; returns how many went."""
    world.is_log_broken, world.breaks_after = night.is_log_broken, night.breaks_after
    world.deletions = list(night.deletions)
    world.recreated = [f"job-{number}" for number in night.recreated]
    before, deleted_before, documents = dict(world.objects), world.deleted, bench.documents()
    doubtful = is_doubtful(world)
    try:
        report: Document | None = cleanup.run(cleaning, dry_run=night.is_dry)
    except (KubernetesUnavailableError, SelectorOrDatabaseError):
        report = None
    assert world.wrongs == []
    vanished = world.deleted - deleted_before
    if report is None or doubtful or night.is_dry:
        assert world.objects == before
        assert night.breaks_after is not None or report is not None or doubtful
    if night.is_dry or report is None:
        assert bench.documents() == documents
    if report is not None and not night.is_dry:
        counted = report["deleted"] + report["orphans"]["deleted"]
        kept = report["kept"].get("unconfirmed", 0) + report["orphans"]["kept"].get("unconfirmed", 0)
        assert counted <= cleaning.max_deletions
        assert 0 <= vanished - counted <= kept + report["gone"] + report["orphans"]["gone"]
    world.now += timedelta(hours=night.hours_later)
    return vanished


def finish(world: CleanupWorld, cleaning: Cleanup, bench: Bench) -> None:
    """Calm nights, until there is nothing more to do."""
    calm = Night(None, (), (), is_log_broken=False, is_dry=False, hours_later=0)
    round_ = len(world.objects) // cleaning.max_deletions + 1
    in_vain = 0
    while in_vain <= round_:  # every night comes to as many as it may delete, at least
        in_vain = 0 if spend(world, cleaning, calm, bench) else in_vain + 1
    assert [each for each in world.objects.values() if not each.is_bound_to_stay(world.now)] == []


@given(
    drawn=st.lists(objects, max_size=14),
    plan=st.lists(nights, max_size=4),
    most=st.sampled_from((1, 2, 5, 100)),
    anchored=st.sampled_from((True, True, True, False)),
)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # an example is several runs against a real database
)
def test_nothing_goes_that_must_stay_and_all_goes_that_may(
    bench: Bench, drawn: list[TrueObject], plan: list[Night], most: int, anchored: bool
) -> None:
    if anchored:  # enough running Jobs with records that the records are beyond doubt
        drawn += [TrueObject("", Known.FOLLOWED, JobPhase.ACTIVE, BEGIN) for _ in drawn]
    else:
        drawn += [replace(each, known=Known.NOTHING) for each in drawn]
    world, cleaning = begin(bench, drawn, most)
    for night in plan:
        spend(world, cleaning, night, bench)
    if anchored:
        finish(world, cleaning, bench)
        world.now += timedelta(hours=200)
        finish(world, cleaning, bench)
        left = [each for each in world.objects.values() if each.is_ours and each.phase in OVER]
        assert all(
            each.deleting or each.has_job or each.is_refused or each.known is Known.LOG_UNREADABLE
            for each in left
        )


IN_VAIN = {
    "refused": {"known": Known.FINAL, "is_refused": True},
    "with its Job": {"known": Known.FINAL, "kind": Kind.POD, "has_job": True},
    "log unreadable": {"known": Known.LOG_UNREADABLE},
}


@pytest.mark.parametrize("young", [Known.FINAL, Known.NAMELESS, Known.ID_IN_LOG])
@pytest.mark.parametrize("old", IN_VAIN.values(), ids=IN_VAIN.keys())
def test_what_cannot_go_does_not_hold_up_anything_younger(old: Document, young: Known, bench: Bench) -> None:
    """More of them than a run takes up, older than all others, and none of them can be deleted."""
    wanted: Document = {"name": "", "phase": JobPhase.COMPLETE}
    drawn = [TrueObject(over_since=BEGIN - timedelta(hours=400 - n), **wanted, **old) for n in range(9)]
    drawn += [TrueObject(over_since=BEGIN - timedelta(hours=200), known=young, **wanted)]
    world, cleaning = begin(bench, drawn, 2)
    nights = 0
    while (Kind.JOB, "job-9") in world.objects:
        assert (nights := nights + 1) <= 6, "two are looked at a night, or four deleted"
        plan = cleanup.run(cleaning, dry_run=True)
        report = cleanup.run(cleaning)
        if "is_refused" not in old:  # that shows only when it is tried
            assert (report["deleted"], report["names"]) == (plan["deleted"], plan["names"])
    assert len(world.objects) == 9
    assert world.wrongs == []


def test_without_anything_in_the_way_the_oldest_always_goes_first(bench: Bench) -> None:
    """Even one that may go only since the run before, which has come to younger ones."""
    ages = (100, 90, 80, 70, 60, 50)
    drawn = [TrueObject("", Known.FINAL, JobPhase.COMPLETE, BEGIN - timedelta(hours=hours)) for hours in ages]
    world, cleaning = begin(bench, drawn, 2)
    world.objects[Kind.JOB, "job-0"].phase = JobPhase.ACTIVE
    assert cleanup.run(cleaning)["names"] == ["job-1", "job-2"]
    world.objects[Kind.JOB, "job-0"].phase = JobPhase.COMPLETE
    assert cleanup.run(cleaning)["names"] == ["job-0", "job-3"]


def test_the_examples_would_see_a_job_that_must_stay_go(bench: Bench) -> None:
    """The check itself: a deletion that no rule allows is noticed."""
    for known in (Known.ID_IN_LOG, *WITHOUT_RECORD):
        drawn = [TrueObject("", known, JobPhase.COMPLETE, BEGIN - timedelta(hours=30))]
        world, _ = begin(bench, drawn, 1)
        [target] = world.cleanup_targets(Kind.JOB, "app=flink-python-job")
        world.delete(target)
        assert world.wrongs
