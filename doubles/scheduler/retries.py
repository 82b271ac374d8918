"""Whether a failed attempt is repeated, and when: the rules of RetryConfig."""

from datetime import datetime, timedelta

from doubles.scheduler.jobs import RetryConfig

LARGEST_DOUBLINGS = 64
"""Every back-off has reached its maximum by then; more would leave the range of numbers."""


def backoff(retry: int, config: RetryConfig) -> timedelta:
    """Returns how long to wait before the `retry`-th repetition (the first is 1).

    The wait starts at the minimum, doubles `max_doublings` times, then grows by the last doubling's step, and
    never exceeds the maximum: with 10 s, 300 s and 3 doublings 10, 20, 40, 80, 160, 240, 300, 300, … s.
    """
    doublings = min(retry - 1, config.max_doublings, LARGEST_DOUBLINGS)
    further_steps = retry - 1 - doublings
    seconds = config.min_backoff.total_seconds() * 2.0**doublings * (1 + further_steps)
    return timedelta(seconds=min(seconds, config.max_backoff.total_seconds()))


def retry_time(
    retry: int,
    config: RetryConfig,
    *,
    failed_at: datetime,
    first_attempt_at: datetime,
    next_scheduled: datetime | None,
) -> datetime | None:
    """Returns when the `retry`-th repetition (the first is 1) starts, None when the execution is over.

    A count of 0 means no repetition. With a count and a duration, both limits have to be reached. The next
    scheduled time ends every execution's repetitions.
    """
    if config.retry_count == 0:
        return None
    at = failed_at + backoff(retry, config)
    if retry > config.retry_count and at - first_attempt_at > config.max_retry_duration:
        return None
    if next_scheduled is not None and at >= next_scheduled:
        return None
    return at
