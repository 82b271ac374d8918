"""So many turns a second, and the pauses that were asked for."""

from __future__ import annotations

import pytest

from flinkjobs.cleanup.rate_limiter import Pace


class Clock:
    """Time that passes only while somebody sleeps."""

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


def pace_of(clock: Clock, per_second: float = 10, seconds: float = 60) -> Pace:
    deadline = clock.now + seconds
    return Pace(per_second, deadline=deadline, monotonic=clock.monotonic, sleep=clock.sleep)


def test_turns_come_at_the_pace(clock: Clock) -> None:
    pace = pace_of(clock)
    times = [clock.now for _ in range(5) if pace.turn()]
    assert times == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3, 1000.4])


def test_turns_that_nobody_took_are_not_saved_up(clock: Clock) -> None:
    pace = pace_of(clock)
    assert pace.turn()
    clock.now += 10
    times = [clock.now for _ in range(4) if pace.turn()]
    assert times == pytest.approx([1010.0, 1010.0, 1010.1, 1010.2])


def test_a_pause_holds_everybody(clock: Clock) -> None:
    pace = pace_of(clock)
    assert pace.turn()
    pace.hold(7)
    assert pace.turn()
    assert clock.now == 1007.0


def test_a_shorter_pause_does_not_end_a_longer_one(clock: Clock) -> None:
    pace = pace_of(clock)
    pace.hold(9)
    pace.hold(2)
    assert pace.turn()
    assert clock.now == 1009.0


def test_a_pause_of_unknown_length_is_a_second(clock: Clock) -> None:
    pace = pace_of(clock)
    pace.hold(None)
    assert pace.turn()
    assert clock.now == 1001.0


def test_there_is_no_turn_after_the_end(clock: Clock) -> None:
    pace = pace_of(clock, per_second=1, seconds=2.5)
    assert [pace.turn() for _ in range(5)] == [True, True, True, False, False]
    assert clock.now == 1002.0, "nobody waits for a turn that will not come"
    assert not pace.is_over()
    assert pace.seconds_left() == 0.5
    clock.now += 1
    assert pace.is_over()
    assert pace.seconds_left() == 0


def test_a_pause_beyond_the_end_ends_it_at_once(clock: Clock) -> None:
    pace = pace_of(clock, seconds=10)
    pace.hold(30)
    assert not pace.turn()
    assert clock.now == 1000.0
