"""Rate limit and pauses."""

from __future__ import annotations

import pytest

from flinkjobs.cleanup.rate_limiter import RateLimiter


class Clock:
    """A clock that moves only during a sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter_of(clock: Clock, per_second: float = 10, seconds: float = 60) -> RateLimiter:
    deadline = clock.now + seconds
    return RateLimiter(per_second, deadline=deadline, monotonic=clock.monotonic, sleep=clock.sleep)


def test_acquire_spreads_permits_evenly(clock: Clock) -> None:
    limiter = limiter_of(clock)
    times = [clock.now for _ in range(5) if limiter.acquire()]
    assert times == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3, 1000.4])


def test_acquire_after_an_idle_time_saves_up_one_permit_only(clock: Clock) -> None:
    limiter = limiter_of(clock)
    assert limiter.acquire()
    clock.now += 10
    times = [clock.now for _ in range(4) if limiter.acquire()]
    assert times == pytest.approx([1010.0, 1010.0, 1010.1, 1010.2])


def test_pause_delays_the_next_permit(clock: Clock) -> None:
    limiter = limiter_of(clock)
    assert limiter.acquire()
    limiter.pause(7)
    assert limiter.acquire()
    assert clock.now == 1007.0


def test_pause_does_not_shorten_a_longer_pause(clock: Clock) -> None:
    limiter = limiter_of(clock)
    limiter.pause(9)
    limiter.pause(2)
    assert limiter.acquire()
    assert clock.now == 1009.0


def test_pause_of_unknown_length_lasts_a_second(clock: Clock) -> None:
    limiter = limiter_of(clock)
    limiter.pause(None)
    assert limiter.acquire()
    assert clock.now == 1001.0


def test_acquire_grants_no_permit_after_the_deadline(clock: Clock) -> None:
    limiter = limiter_of(clock, per_second=1, seconds=2.5)
    assert [limiter.acquire() for _ in range(5)] == [True, True, True, False, False]
    assert clock.now == 1002.0, "a permit that will not come is not waited for"
    assert not limiter.is_over()
    assert limiter.seconds_left() == 0.5
    clock.now += 1
    assert limiter.is_over()
    assert limiter.seconds_left() == 0


def test_pause_beyond_the_deadline_ends_the_permits_at_once(clock: Clock) -> None:
    limiter = limiter_of(clock, seconds=10)
    limiter.pause(30)
    assert not limiter.acquire()
    assert clock.now == 1000.0
