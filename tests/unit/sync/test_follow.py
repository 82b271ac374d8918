"""What an invocation in follow mode makes of its ticks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.domain.errors import StoreUnavailableError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.ticks import LAST_TICK
from flinkjobs.ports.lease import Lease
from flinkjobs.sync.context import Sync
from flinkjobs.sync.follow import follow
from tests.unit.sync.test_pass_budget import Contended, working_with

BEGAN = datetime(2026, 11, 1, 12, 0, 1, tzinfo=UTC)
ENDS_AT = datetime(2026, 11, 1, 12, 0, 57, tzinfo=UTC)
EVERY = timedelta(seconds=15)
STEP = timedelta(seconds=5)


@dataclass(slots=True)
class Followed(Contended):
    """A store without records, whose clock goes on by five seconds whenever sync is asked whether to stop.

    Attributes:
        failing: numbers of the ticks in which it does not answer.
        lost_after: number of ticks after which another has the lease.
        stop_after: number of ticks after which sync is asked to stop.
    """

    now: datetime = BEGAN
    stop_after: int = 99
    failing: frozenset[int] = frozenset()
    lost_after: int = 99
    ticks: int = 0
    kept: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    is_released: bool = False

    def is_stopping(self) -> bool:
        self.now += STEP
        return self.ticks >= self.stop_after

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        assert ttl_seconds > 0
        return Lease(name=name, holder=holder, fence=1, cursor=None)

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        assert (lease.fence, ttl_seconds > 0) == (1, True)
        return self.ticks < self.lost_after

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        assert (lease.fence, cursor) == (1, None)
        self.is_released = True
        return True

    def last_complete_pass_at(self) -> None:
        return None

    def fingerprints(self, status: Status) -> Iterator[str]:
        if status is Status.CREATED:
            self.ticks += 1
        if self.ticks in self.failing:
            raise StoreUnavailableError("MongoDB did not answer")
        return iter([])

    def save_tick(self, invocation: str, report: Mapping[str, Any]) -> None:
        self.kept.append((invocation, report))


def following(store: Followed) -> Sync:
    return replace(working_with(store, lambda: store.now), is_stopping=store.is_stopping)


def test_an_invocation_repeats_passes_until_its_minute_ends() -> None:
    store = Followed()
    report = follow(following(store), every=EVERY, ends_at=ENDS_AT)
    begun = [tick["started_at"] for _, tick in store.kept]
    assert report["ticks"] == len(begun) == 4
    assert begun == sorted(set(begun))
    assert begun[-1] <= ENDS_AT - LAST_TICK
    assert (report["started_at"], report["last_complete_at"]) == (BEGAN, begun[-1])
    assert (report["complete"], report["skipped"], report["errors"]) == (True, False, [])
    assert report["slowest_seconds"] == max(tick["duration_seconds"] for _, tick in store.kept)


def test_each_tick_has_a_run_id_of_its_own_and_one_document_is_kept_of_all() -> None:
    store = Followed()
    report = follow(following(store), every=EVERY, ends_at=ENDS_AT)
    run_ids = {tick["run_id"] for _, tick in store.kept}
    assert len(run_ids | {report["run_id"]}) == 5
    assert {name for name, _ in store.kept} == {f"{report['run_id']}/2026-11-01T12:00"}
    assert [tick["ticks"] for _, tick in store.kept] == [1, 2, 3, 4]
    assert all(tick["last_complete_at"] == tick["started_at"] for _, tick in store.kept)
    assert all(tick["whole"] for _, tick in store.kept)


def test_a_tick_that_fails_does_not_end_the_invocation() -> None:
    store = Followed(failing=frozenset({2}))
    report = follow(following(store), every=EVERY, ends_at=ENDS_AT)
    assert store.ticks == 4
    assert (report["ticks"], report["complete"]) == (3, False)
    [error] = report["errors"]
    assert (error["code"], error["message"]) == ("STORE_UNAVAILABLE", "MongoDB did not answer")
    assert report["last_complete_at"] == store.kept[-1][1]["started_at"]


def test_an_invocation_whose_every_tick_fails_fails_and_gives_the_lease_back() -> None:
    store = Followed(failing=frozenset(range(9)))
    with pytest.raises(StoreUnavailableError):
        follow(following(store), every=EVERY, ends_at=ENDS_AT)
    assert store.is_released


def test_an_invocation_that_has_lost_its_lease_ends() -> None:
    store = Followed(lost_after=2)
    report = follow(following(store), every=EVERY, ends_at=ENDS_AT)
    assert (report["ticks"], store.is_released) == (2, False)


def test_an_invocation_that_is_stopped_answers_and_gives_the_lease_back() -> None:
    store = Followed(stop_after=1)
    report = follow(following(store), every=EVERY, ends_at=None)
    assert (report["ticks"], store.is_released) == (1, True)


def test_an_invocation_that_gets_its_lease_too_late_answers_skipped() -> None:
    store = Followed(now=ENDS_AT)
    report = follow(following(store), every=EVERY, ends_at=ENDS_AT)
    assert (report["skipped"], store.ticks, store.is_released) == (True, 0, True)


def test_an_invocation_that_is_stopped_before_its_first_tick_answers_skipped() -> None:
    store = Followed(stop_after=0)
    report = follow(following(store), every=EVERY, ends_at=None)
    assert (report["skipped"], store.ticks, store.is_released) == (True, 0, True)
