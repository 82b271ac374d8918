"""When a cron expression rings, in which time zone, and around the changes of the clocks.

Expected times are worked out by hand from a calendar and the zones' rules, written as local time with its
offset. Europe/Berlin 2026: clocks go from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October.
"""

from datetime import datetime

import pytest

from doubles.scheduler import cron

# name: expression, zone, after, the times that follow
TIMES = {
    "every three minutes": (
        "*/3 * * * *",
        "UTC",
        "2026-01-05T11:58:00+00:00",
        ["2026-01-05T12:00:00+00:00", "2026-01-05T12:03:00+00:00"],
    ),
    "the moment itself is over": (
        "*/3 * * * *",
        "UTC",
        "2026-01-05T12:00:00+00:00",
        ["2026-01-05T12:03:00+00:00"],
    ),
    "a fraction before": (
        "* * * * *",
        "UTC",
        "2026-01-05T11:59:59.999999+00:00",
        ["2026-01-05T12:00:00+00:00"],
    ),
    "daily, lower-case utc": (
        "0 2 * * *",
        "utc",
        "2026-12-31T02:00:00+00:00",
        ["2027-01-01T02:00:00+00:00"],
    ),
    "working days by name": (
        "0 9 * * MON-FRI",
        "UTC",
        "2026-01-02T09:00:00+00:00",  # a Friday
        ["2026-01-05T09:00:00+00:00"],
    ),
    "sunday is 0 and 7": (
        "30 6 * * 7",
        "UTC",
        "2026-01-05T00:00:00+00:00",
        ["2026-01-11T06:30:00+00:00", "2026-01-18T06:30:00+00:00"],
    ),
    "day of month or day of week": (
        "0 0 13 * 5",
        "UTC",
        "2026-02-06T00:00:00+00:00",  # Friday the 6th has been
        ["2026-02-13T00:00:00+00:00", "2026-02-20T00:00:00+00:00"],
    ),
    "a leap day": ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", ["2028-02-29T00:00:00+00:00"]),
    "a range with a step": (
        "0 8-18/5 * JUN,DEC *",
        "UTC",
        "2026-06-30T13:00:00+00:00",
        ["2026-06-30T18:00:00+00:00", "2026-12-01T08:00:00+00:00"],
    ),
    "another zone's midnight": (
        "0 0 * * *",
        "Asia/Shanghai",
        "2026-01-05T00:00:00+08:00",
        ["2026-01-06T00:00:00+08:00"],
    ),
    "an offset of half an hour": (
        "15 4 * * *",
        "Asia/Kolkata",
        "2026-01-05T00:00:00+00:00",
        ["2026-01-06T04:15:00+05:30"],
    ),
    "an hour that is left out comes right after the gap": (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T12:00:00+01:00",
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    ),
    "every half hour leaves the gap out": (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-03-29T01:00:00+01:00",
        ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"],
    ),
    "an hour that comes twice rings once": (
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00+02:00",
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    ),
    "every half hour rings through both": (
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-25T02:00:00+02:00",
        [
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    ),
    "the same daily time is another one in UTC after the change": (
        "0 9 * * *",
        "America/New_York",
        "2026-03-07T12:00:00-05:00",
        ["2026-03-08T09:00:00-04:00"],
    ),
    "no change of the clocks in UTC": (
        "30 2 * * *",
        "Etc/UTC",
        "2026-03-29T00:00:00+00:00",
        ["2026-03-29T02:30:00+00:00", "2026-03-30T02:30:00+00:00"],
    ),
}


@pytest.mark.parametrize(("expression", "zone", "after", "expected"), TIMES.values(), ids=TIMES)
def test_the_next_times(expression: str, zone: str, after: str, expected: list[str]) -> None:
    moment = datetime.fromisoformat(after)
    found = []
    for _ in expected:
        moment = cron.next_time(expression, zone=zone, after=moment)
        found.append(moment)
    assert found == [datetime.fromisoformat(text) for text in expected]


def test_times_are_in_utc() -> None:
    after = datetime.fromisoformat("2026-01-05T00:00:00+08:00")
    assert (
        cron.next_time("0 0 * * *", zone="Asia/Shanghai", after=after).isoformat()
        == "2026-01-05T16:00:00+00:00"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5/15 * * * *",
        "30-10 * * * *",
        "* * L * *",
        "* * * * 1#2",
        "* * * * FOO",
        "* * ? * *",
        "@daily",
        "every 5 minutes",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
    ],
)
def test_what_is_no_schedule(expression: str) -> None:
    with pytest.raises(cron.CronError):
        cron.next_time(expression, zone="UTC", after=datetime.fromisoformat("2026-01-05T00:00:00+00:00"))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "", "../etc/passwd", "/etc/localtime", "UTC+2"])
def test_what_is_no_time_zone(zone: str) -> None:
    with pytest.raises(cron.CronError, match="unknown time zone"):
        cron.time_zone(zone)
