"""Cron expressions as Cloud Scheduler reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from flinkjobs.domain.text import counted

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""The most days each month can have, from January."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an expression: the values from `low` to `high`; `names` stand for `low`, `low` + 1 …"""

    title: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("day of week", 0, 7, WEEKDAYS),
)


def cron_fault(expression: str) -> str | None:
    """Returns what is wrong with a cron expression, None when it is right.

    A field is a list of terms: ``*``, a value, a range ``a-b``, and ``/step`` after a star or a range.
    Months and weekdays may be the first three letters of their English names. Seconds, ``L``, ``W``, ``#``,
    ``?`` and ``@daily`` belong to other dialects. An expression that never comes, such as the 30th of
    February, is wrong.
    """
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        return f"{expression!r} has {counted(len(texts), 'field')} instead of {len(_FIELDS)}"
    values = []
    for text, kind in zip(texts, _FIELDS, strict=True):
        try:
            values.append(_values(text, kind))
        except ValueError as error:
            return f"{kind.title} {text!r}: {error}"
    _, _, days, months, _ = values
    only_by_date = texts[4].startswith("*")
    if only_by_date and min(days) > max(DAYS_OF_MONTH[month - 1] for month in months):
        return f"{expression!r} never comes: none of its months has day {min(days)}"
    return None


def longest_gap(expression: str) -> timedelta | None:
    """Returns the longest time between two times of a cron expression; None when it is wrong.

    Where both days are given, either suffices, as in every cron. Looked at over the years from one leap year
    to the next, without a time zone's changes.
    """
    if cron_fault(expression) is not None:
        return None
    texts = expression.split()
    minutes, hours, days, months, weekdays = map(_values, texts, _FIELDS)
    by_date, by_weekday = not texts[2].startswith("*"), not texts[4].startswith("*")
    weekdays = {weekday % 7 for weekday in weekdays}

    def has_times(day: date) -> bool:
        on_date, on_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        is_day = on_date or on_weekday if by_date and by_weekday else on_date and on_weekday
        return is_day and day.month in months

    times = sorted(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)
    ringing = [day for day in (_GAPS_FROM + timedelta(days=n) for n in range(_GAPS_DAYS)) if has_times(day)]
    within = max((after - before for before, after in pairwise(times)), default=timedelta(0))
    between = max((after - before for before, after in pairwise(ringing)), default=timedelta(days=_GAPS_DAYS))
    return max(within, between - times[-1] + times[0])


_GAPS_FROM = date(2024, 1, 1)
_GAPS_DAYS = 5 * 366
"""From a leap year past the next one: the 29th of February comes twice."""


def _values(text: str, kind: _Field) -> set[int]:
    """Returns the values a field stands for; ValueError says why it stands for none."""
    values: set[int] = set()
    for term in text.split(","):
        span, slash, step_text = term.partition("/")
        first, hyphen, last = span.partition("-")
        if span == "*":
            low, high = kind.low, kind.high
        else:
            low = _value(first, kind)
            high = _value(last, kind) if hyphen else low
        if low > high:
            raise ValueError(f"the range {span} runs backwards")
        if slash and span != "*" and not hyphen:
            raise ValueError("a step needs * or a range before it")
        if slash and not (step_text.isascii() and step_text.isdecimal() and int(step_text) > 0):
            raise ValueError(f"{step_text!r} is no step")
        values.update(range(low, high + 1, int(step_text) if slash else 1))
    return values


def _value(text: str, kind: _Field) -> int:
    if text.upper() in kind.names:
        return kind.low + kind.names.index(text.upper())
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no value")
    value = int(text)
    if not kind.low <= value <= kind.high:
        raise ValueError(f"{value} is not in {kind.low}-{kind.high}")
    return value
