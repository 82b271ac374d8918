"""Which cron expressions are right, and what makes a schedule another one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.scheduler import cron
from flinkjobs.domain.cron import cron_fault, longest_gap
from flinkjobs.domain.errors import BadRequestError, Fault
from flinkjobs.domain.schedule import Schedule, check_schedule, differences

SCHEDULE = Schedule(name="sync", cron="*/3 * * * *", uri="https://sync.example/run")


@pytest.mark.parametrize(
    "expression",
    [
        "*/3 * * * *",
        "*/1 * * * *",
        "*/10 * * * *",
        "0 2 * * *",
        "0-59 0-23 1-31 1-12 0-7",
        "0,15,30,45 8-18/2 * * MON-FRI",
        "5 4 1 jan,Jul *",
        "0 0 31 1-12 *",
        "0 0 29 FEB *",
        "0 0 30 2 1",
        "0 0 * * 7",
        " 0  2\t* * * ",
        "*/90 * * * *",
        "*,5 * * * *",
    ],
)
def test_right_expressions(expression: str) -> None:
    assert cron_fault(expression) is None


WRONG = {
    "": "'' has 0 fields instead of 5",
    "* * * *": "'* * * *' has 4 fields instead of 5",
    "0 * * * * *": "'0 * * * * *' has 6 fields instead of 5",
    "@daily": "'@daily' has 1 field instead of 5",
    "60 * * * *": "minute '60': 60 is not in 0-59",
    "-1 * * * *": "minute '-1': '' is no value",
    "* 24 * * *": "hour '24': 24 is not in 0-23",
    "* * 0 * *": "day of month '0': 0 is not in 1-31",
    "* * 1-32 * *": "day of month '1-32': 32 is not in 1-31",
    "* * * 13 *": "month '13': 13 is not in 1-12",
    "* * * MON *": "month 'MON': 'MON' is no value",
    "* * * * 8": "day of week '8': 8 is not in 0-7",
    "* * * * JAN": "day of week 'JAN': 'JAN' is no value",
    "* * * * FRI-MON": "day of week 'FRI-MON': the range FRI-MON runs backwards",
    "*/0 * * * *": "minute '*/0': '0' is no step",
    "*/ * * * *": "minute '*/': '' is no step",
    "*/-5 * * * *": "minute '*/-5': '-5' is no step",
    "*/3/3 * * * *": "minute '*/3/3': '3/3' is no step",
    "5/15 * * * *": "minute '5/15': a step needs * or a range before it",
    "1-2-3 * * * *": "minute '1-2-3': '2-3' is no value",
    "*-5 * * * *": "minute '*-5': '*' is no value",
    "1, * * * *": "minute '1,': '' is no value",
    "1.5 * * * *": "minute '1.5': '1.5' is no value",
    "٣ * * * *": "minute '٣': '٣' is no value",
    "* * L * *": "day of month 'L': 'L' is no value",
    "* * ? * *": "day of month '?': '?' is no value",
    "* * * * 1#2": "day of week '1#2': '1#2' is no value",
    "0 0 30 2 *": "'0 0 30 2 *' never comes: none of its months has day 30",
    "0 0 31 4,6,9,11 *": "'0 0 31 4,6,9,11 *' never comes: none of its months has day 31",
}


@pytest.mark.parametrize(("expression", "fault"), WRONG.items())
def test_wrong_expressions_and_what_is_told_about_them(expression: str, fault: str) -> None:
    assert cron_fault(expression) == fault


terms = st.one_of(
    st.just("*"),
    st.integers(0, 61).map(str),
    st.tuples(st.integers(0, 32), st.integers(0, 32)).map(lambda ends: f"{ends[0]}-{ends[1]}"),
    st.tuples(st.sampled_from(["*", "1-5", "0-7", "3"]), st.integers(0, 9)).map(
        lambda parts: f"{parts[0]}/{parts[1]}"
    ),
    st.sampled_from(["JAN", "feb", "MON", "sun", "FRI-SUN", "L", ""]),
)
expressions = st.lists(st.lists(terms, min_size=1, max_size=2).map(",".join), min_size=5, max_size=5).map(
    " ".join
)


@given(expression=expressions)
def test_the_check_agrees_with_an_independent_cron(expression: str) -> None:
    """The scheduler double reads expressions with another implementation."""
    try:
        cron.next_time(expression, zone="UTC", after=datetime(2026, 1, 5, tzinfo=UTC))
        accepted = True
    except cron.CronError:
        accepted = False
    assert (cron_fault(expression) is None) == accepted


@pytest.mark.parametrize(
    ("expression", "gap"),
    [
        ("*/3 * * * *", timedelta(minutes=3)),
        ("*/7 * * * *", timedelta(minutes=7)),
        ("*/40 * * * *", timedelta(minutes=40)),
        ("0,50 * * * *", timedelta(minutes=50)),
        ("0 2 * * *", timedelta(days=1)),
        ("0,45 8-18/2 * * MON-FRI", timedelta(days=2, hours=13, minutes=15)),
        ("0 0 * * 7", timedelta(days=7)),
        ("0 0 1 * *", timedelta(days=31)),
        ("0 0 31 * *", timedelta(days=61)),
        ("59 23 31 12 *", timedelta(days=366)),
        ("0 0 29 2 *", timedelta(days=1461)),
        ("0 0 13 * FRI", timedelta(days=7)),
        ("0 0 13 * */8", timedelta(days=427)),
        ("* * *", None),
        ("0 0 30 2 *", None),
    ],
)
def test_the_longest_time_between_two_times(expression: str, gap: timedelta | None) -> None:
    assert longest_gap(expression) == gap


@settings(max_examples=60)
@given(expression=expressions, minutes=st.integers(0, 2 * 525_600))
def test_no_gap_is_longer_than_the_longest(expression: str, minutes: int) -> None:
    """Measured with another implementation, anywhere in two years."""
    longest = longest_gap(expression)
    after = datetime(2024, 2, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    if longest is not None:
        first = cron.next_time(expression, zone="UTC", after=after)
        assert cron.next_time(expression, zone="UTC", after=first) - first <= longest


def test_a_wrong_schedule_names_every_fault() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_schedule(replace(SCHEDULE, name="sy/nc", cron="* *", http_method="YELL"))
    assert [fault.pointer for fault in caught.value.faults] == ["/name", "/http_method", "/cron"]
    assert Fault("/cron", "'* *' has 2 fields instead of 5") in caught.value.faults


def test_a_right_schedule_passes() -> None:
    check_schedule(SCHEDULE)


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": "*/1 * * * *"},
        {"uri": "https://other.example/run"},
        {"time_zone": "Asia/Shanghai"},
        {"http_method": "GET"},
        {"headers": {"X-Team": "data"}},
        {"body": b"{}"},
        {"attempt_deadline_seconds": 165.0},
        {"retry_count": 1},
        {"description": "every three minutes"},
    ],
)
def test_each_attribute_makes_a_difference(changes: dict[str, object]) -> None:
    assert differences(replace(SCHEDULE, **changes), SCHEDULE) == changes.keys()  # type: ignore[arg-type]


def test_the_token_makes_a_difference() -> None:
    with_token = replace(SCHEDULE, service_account_email="robot@example.com")
    assert differences(with_token, SCHEDULE) == {"service_account_email"}
    assert differences(replace(with_token, audience="https://sync.example"), with_token) == {"audience"}
    assert differences(SCHEDULE, with_token) == {"service_account_email"}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, {"headers": {"User-Agent": "Google-Cloud-Scheduler"}}),
        (
            {"body": b"x"},
            {
                "body": b"x",
                "headers": {
                    "User-Agent": "Google-Cloud-Scheduler",
                    "Content-Type": "application/octet-stream",
                },
            },
        ),
        (
            {"headers": {"content-type": "application/json"}},
            {"headers": {"Content-Type": "application/json"}},
        ),
        ({"uri": "https://sync.example"}, {"uri": "https://sync.example/"}),
        (
            {"service_account_email": "robot@example.com"},
            {"service_account_email": "robot@example.com", "audience": "https://sync.example/run"},
        ),
        (
            {"uri": "https://a.example", "service_account_email": "r@x.y", "audience": "https://a.example"},
            {"uri": "https://a.example/", "service_account_email": "r@x.y", "audience": "https://a.example/"},
        ),
        ({"audience": "without a token"}, {}),
    ],
)
def test_what_cloud_scheduler_adds_is_no_difference(
    wanted: dict[str, object], kept: dict[str, object]
) -> None:
    assert differences(replace(SCHEDULE, **wanted), replace(SCHEDULE, **kept)) == frozenset()  # type: ignore[arg-type]
