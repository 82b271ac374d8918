"""The pure rules of the scheduler double: back-off, retries, scheduler time, field masks, durations."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from doubles.scheduler.clock import Clock
from doubles.scheduler.errors import ApiError, Code
from doubles.scheduler.jobs import RetryConfig, changed_settings, duration_text, job_from_json, timestamp_text
from doubles.scheduler.retries import backoff, retry_time

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # the example of Google's reference
        (
            RetryConfig(min_backoff=seconds(10), max_backoff=seconds(300), max_doublings=3),
            [10, 20, 40, 80, 160, 240, 300, 300],
        ),
        (RetryConfig(), [5, 10, 20, 40, 80, 160, 320, 480]),
        (RetryConfig(min_backoff=seconds(7), max_doublings=0), [7, 14, 21, 28]),
        (RetryConfig(min_backoff=seconds(1), max_backoff=seconds(3), max_doublings=2000), [1, 2, 3, 3]),
        (RetryConfig(min_backoff=seconds(0)), [0, 0]),
    ],
)
def test_the_wait_doubles_then_grows_then_stays(config: RetryConfig, expected: list[int]) -> None:
    assert [backoff(retry, config) for retry in range(1, len(expected) + 1)] == [seconds(s) for s in expected]


def test_the_wait_stays_in_range_after_thousands_of_retries() -> None:
    config = RetryConfig(max_doublings=10**6)
    assert backoff(5000, config) == timedelta(hours=1)


RETRIES = {
    "no retries by default": (RetryConfig(), 1, 0, None),
    "no retries, whatever the duration": (RetryConfig(max_retry_duration=seconds(900)), 1, 0, None),
    "the first": (RetryConfig(retry_count=1), 1, 2, 7),
    "the count is used up": (RetryConfig(retry_count=1), 2, 8, None),
    "both limits have to be reached": (
        RetryConfig(retry_count=1, max_retry_duration=seconds(60)),
        2,
        8,
        18,
    ),
    "both limits are reached": (RetryConfig(retry_count=1, max_retry_duration=seconds(60)), 4, 40, None),
    "the next scheduled time ends it": (
        RetryConfig(retry_count=5, min_backoff=seconds(100)),
        1,
        80,
        None,
    ),
    "just before the next scheduled time": (
        RetryConfig(retry_count=5, min_backoff=seconds(99)),
        1,
        80,
        179,
    ),
}


@pytest.mark.parametrize(("config", "retry", "failed_after", "expected_after"), RETRIES.values(), ids=RETRIES)
def test_when_an_attempt_is_repeated(
    config: RetryConfig, retry: int, failed_after: float, expected_after: float | None
) -> None:
    """The execution began at noon, the next one is scheduled for 12:03."""
    at = retry_time(
        retry,
        config,
        failed_at=NOON + seconds(failed_after),
        first_attempt_at=NOON,
        next_scheduled=NOON + seconds(180),
    )
    assert at == (None if expected_after is None else NOON + seconds(expected_after))


class Wall:
    """A wall clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_scheduler_time_runs_at_its_speed() -> None:
    wall = Wall()
    clock = Clock(speed=36, start=NOON, wall=wall)
    wall.seconds += 5
    assert clock.now() == NOON + seconds(180)


def test_scheduler_time_without_speed_stands_still() -> None:
    wall = Wall()
    clock = Clock(speed=0, start=NOON, wall=wall)
    wall.seconds += 100
    assert clock.now() == NOON


def test_scheduler_time_is_moved_forward_but_never_back() -> None:
    wall = Wall()
    clock = Clock(speed=0, start=NOON, wall=wall)
    clock.move_forward(seconds(90))
    assert clock.now() == NOON + seconds(90)
    with pytest.raises(ValueError, match="back"):
        clock.move_forward(seconds(-1))


def test_waiting_ends_when_the_clock_is_moved_there() -> None:
    async def scenario() -> bool:
        clock = Clock(speed=0, start=NOON, wall=Wall())
        waiting = asyncio.create_task(clock.reach(NOON + seconds(60), unless=asyncio.Event()))
        await asyncio.sleep(0)
        clock.move_forward(seconds(60))
        return await asyncio.wait_for(waiting, timeout=10)

    assert asyncio.run(scenario()) is True


def test_waiting_ends_with_no_when_another_event_happens() -> None:
    async def scenario() -> bool:
        clock, other = Clock(speed=0, start=NOON, wall=Wall()), asyncio.Event()
        waiting = asyncio.create_task(clock.reach(NOON + seconds(60), unless=other))
        await asyncio.sleep(0)
        other.set()
        return await asyncio.wait_for(waiting, timeout=10)

    assert asyncio.run(scenario()) is False


def test_a_mask_takes_fields_in_either_spelling_and_resets_absent_ones() -> None:
    current = {
        "schedule": "0 2 * * *",
        "description": "old",
        "httpTarget": {"uri": "http://a/", "body": "eA=="},
    }
    change = {"schedule": "*/3 * * * *", "httpTarget": {"uri": "http://b/"}, "timeZone": "Asia/Tokyo"}
    mask = ["schedule", "description", "http_target.uri", "state"]
    assert changed_settings(current, change, mask) == {
        "schedule": "*/3 * * * *",
        "httpTarget": {"uri": "http://b/", "body": "eA=="},
    }


def test_a_mask_changes_nothing_it_was_given() -> None:
    current = {"schedule": "0 2 * * *", "httpTarget": {"uri": "http://a/"}}
    changed_settings(current, {"httpTarget": {"uri": "http://b/"}}, ["httpTarget.uri"])
    assert current == {"schedule": "0 2 * * *", "httpTarget": {"uri": "http://a/"}}


def test_without_a_mask_every_field_sent_is_taken() -> None:
    current = {"schedule": "0 2 * * *", "description": "stays"}
    assert changed_settings(current, {"schedule": "0 3 * * *", "name": "x"}, []) == {
        "schedule": "0 3 * * *",
        "description": "stays",
    }


@pytest.mark.parametrize(
    "path", ["nothing", "httpTarget.nothing", "schedule.minute", "http_target.oidc_token.x", ""]
)
def test_a_mask_with_a_path_that_does_not_exist_is_refused(path: str) -> None:
    with pytest.raises(ApiError) as caught:
        changed_settings({}, {}, [path])
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0, "0s"), (180, "180s"), (0.5, "0.500s"), (90061.25, "90061.250s"), (1e-6, "0.000001s")],
)
def test_durations_as_json(duration: float, text: str) -> None:
    assert duration_text(seconds(duration)) == text


def test_timestamps_as_json_are_in_utc() -> None:
    assert timestamp_text(datetime.fromisoformat("2026-01-05T07:01:00-05:00")) == "2026-01-05T12:01:00Z"


def test_a_job_has_googles_defaults() -> None:
    job = job_from_json(
        "projects/p/locations/l/jobs/j", {"schedule": "* * * * *", "httpTarget": {"uri": "http://a"}}
    )
    assert (job.time_zone, job.attempt_deadline, job.http_target.http_method.name, job.http_target.uri) == (
        "UTC",
        seconds(180),
        "POST",
        "http://a/",
    )
    assert job.retry_config == RetryConfig(
        retry_count=0,
        max_retry_duration=seconds(0),
        min_backoff=seconds(5),
        max_backoff=seconds(3600),
        max_doublings=5,
    )
