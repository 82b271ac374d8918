"""Which cron expressions are right, and what makes a schedule another one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from flinkjobs.domain.cron import cron_fault, longest_gap
from flinkjobs.domain.errors import BadRequestError
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


UNIX = "is not unix-cron"
WRONG = {
    "": UNIX,
    "* * * *": UNIX,
    "0 * * * * *": UNIX,
    "@daily": UNIX,
    "60 * * * *": "bad minute",
    "-1 * * * *": UNIX,
    "* 24 * * *": "bad hour",
    "* * 0 * *": "bad day-of-month",
    "* * 1-32 * *": "bad day-of-month",
    "* * * 13 *": "bad month",
    "* * * MON *": "bad month",
    "* * * * 8": "bad day-of-week",
    "* * * * JAN": "bad day-of-week",
    "* * * * FRI-MON": "bad day-of-week",
    "*/0 * * * *": "bad minute",
    "*/ * * * *": UNIX,
    "*/-5 * * * *": UNIX,
    "*/3/3 * * * *": UNIX,
    "5/15 * * * *": UNIX,
    "1-2-3 * * * *": UNIX,
    "*-5 * * * *": UNIX,
    "1, * * * *": UNIX,
    "1.5 * * * *": UNIX,
    "٣ * * * *": UNIX,
    "* * L * *": UNIX,
    "* * LW * *": UNIX,
    "* * ? * *": UNIX,
    "* * * * 1#2": UNIX,
    "* * * * 5L": UNIX,
    "0 0 30 2 *": "bad day-of-month",
    "0 0 31 4,6,9,11 *": "bad day-of-month",
}


@pytest.mark.parametrize(("expression", "fault"), WRONG.items())
def test_a_wrong_expression_is_quoted_with_its_fault(expression: str, fault: str) -> None:
    message = cron_fault(expression)
    assert message is not None
    assert message.startswith(repr(expression))
    assert fault in message


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


def test_a_wrong_schedule_names_every_fault() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_schedule(replace(SCHEDULE, name="sy/nc", cron="* *", http_method="YELL"))
    assert [fault.pointer for fault in caught.value.faults] == ["/name", "/http_method", "/cron"]


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
