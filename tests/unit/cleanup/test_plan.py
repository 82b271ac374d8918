"""The plan of a run: one place for every target."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flinkjobs.cleanup.context import SelectorOrDatabaseError
from flinkjobs.cleanup.plan import Plan, make_plan
from flinkjobs.cleanup.progress import Outcome
from flinkjobs.cleanup.retention import Kept, RetentionPolicy
from flinkjobs.cleanup.work_queue import ResumePosition, WorkQueue
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.observations import JobPhase
from flinkjobs.ports.store import Settled
from tests.support.kubernetes_objects import NOON

HOUR = timedelta(hours=1)


def target(
    name: str, hours: float = 30, *, kind: Kind = Kind.JOB, job_id: str | None = None
) -> CleanupTarget:
    return CleanupTarget(
        kind,
        name,
        name,
        "1",
        job_id=name if job_id is None else job_id,
        job_name=name,
        phase=JobPhase.COMPLETE,
        over_since=NOON - hours * HOUR,
    )


def settled(job_id: str) -> Settled:
    return Settled(job_id, Status.FINISHED, is_settled=True)


def unsettled(job_id: str) -> Settled:
    return Settled(job_id, Status.CREATED, is_settled=False)


def plan_of(*targets: tuple[CleanupTarget, Settled | None], max_deletions: int = 10) -> Plan:
    policy = RetentionPolicy(retention=24 * HOUR, unsettled=168 * HOUR)
    return make_plan(targets, now=NOON, policy=policy, max_deletions=max_deletions, resume=ResumePosition())


def names(queue: WorkQueue) -> list[str]:
    return [candidate.target.name for candidate in queue.candidates]


def reasons(plan: Plan) -> dict[str, Kept]:
    assert not any(outcome.was_tried for outcome in plan.kept)
    return {outcome.target.name: outcome.result for outcome in plan.kept if isinstance(outcome.result, Kept)}


def test_plan_sorts_targets_by_what_is_to_be_done() -> None:
    plan = plan_of(
        (target("young", 1), settled("young")),
        (target("old", 30), settled("old")),
        (target("older", 40), settled("older")),
        (target("unread"), unsettled("unread")),
        (target("unknown"), None),
    )
    assert names(plan.certain) == ["older", "old"]
    assert names(plan.unsettled) == ["unread"]
    assert reasons(plan) == {"young": Kept.YOUNG, "unknown": Kept.NO_RECORD}


def test_plan_keeps_what_a_run_cannot_reach() -> None:
    pairs = [(target(f"job-{number}", 90 - number), settled("")) for number in range(4)]
    pairs += [(target(f"unread-{number}", 90 - number), unsettled("")) for number in range(3)]
    plan = plan_of(*pairs, max_deletions=1)
    assert names(plan.certain) == ["job-0", "job-1"], "twice the deletions: some may be kept later"
    assert names(plan.unsettled) == ["unread-0"]
    assert reasons(plan) == dict.fromkeys(["job-2", "job-3", "unread-1", "unread-2"], Kept.OVER_LIMIT)


def test_plan_of_most_targets_without_a_record_fails() -> None:
    pods = [(target(f"pod-{number}", kind=Kind.POD), settled("")) for number in range(5)]
    jobs = [(target(f"job-{number}"), None) for number in range(2)]
    with pytest.raises(SelectorOrDatabaseError, match="of 2 Jobs with our label only 0 have a record"):
        plan_of(*pods, *jobs)
    with pytest.raises(SelectorOrDatabaseError, match="of 3 objects with our label only 1 have a record"):
        plan_of(*pods[:1], (target("job"), None), (target("script", kind=Kind.CONFIG_MAP), None))


def test_plan_of_foreign_targets_without_a_record_does_not_fail() -> None:
    plan = plan_of(*((target(f"job-{number}", job_id=""), None) for number in range(3)))
    assert set(reasons(plan).values()) == {Kept.FOREIGN}


def test_plan_of_a_single_target_without_a_record_keeps_it_at_any_age() -> None:
    plan = plan_of((target("job", 999), None))
    assert names(plan.certain) == []
    assert plan.kept == [Outcome(target("job", 999), Kept.NO_RECORD, was_tried=False)]
