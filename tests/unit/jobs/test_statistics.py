"""The statistics by hand-made counts: every expected value was worked out on paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.domain.job_sums import DAY, Durations, Row, Sums
from flinkjobs.jobs import problems, statistics
from flinkjobs.ports.read_store import Cause, Counted, Tally

NOW = datetime(2025, 11, 2, 12, tzinfo=UTC)
NOTHING = {"count": 0, "average": None, "min": None, "max": None, "p50": None, "p95": None}


def tally(status: str | None, count: int = 1, **fields: Any) -> Tally:
    known: dict[str, Any] = {"template_id": "etl", "age": 0, "unit": "hours", "has_id": True, "durations": ()}
    return Tally(status=status, count=count, **(known | fields))


def window(name: str, *tallies: Tally) -> dict[str, Any]:
    found: dict[str, Any] = statistics.windows(Counted(tallies, tallies, ()), NOW)[name]
    return found


# --- percentiles ------------------------------------------------------------------------------------

PERCENTILES = [
    # values, percent, expected: the value at rank ceil(percent / 100 * n), counted from one
    ([7.5], 50, 7.5),
    ([7.5], 95, 7.5),
    ([1.0, 2.0], 50, 1.0),
    ([1.0, 2.0, 3.0], 50, 2.0),
    ([15.0, 20.0, 35.0, 40.0, 50.0], 5, 15.0),
    ([15.0, 20.0, 35.0, 40.0, 50.0], 30, 20.0),
    ([15.0, 20.0, 35.0, 40.0, 50.0], 40, 20.0),
    ([15.0, 20.0, 35.0, 40.0, 50.0], 100, 50.0),
    ([float(value) for value in range(1, 21)], 95, 19.0),
    ([float(value) for value in range(1, 22)], 95, 20.0),
    ([float(value) for value in range(1, 101)], 95, 95.0),
]


@pytest.mark.parametrize(("values", "percent", "expected"), PERCENTILES)
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: int, expected: float) -> None:
    assert statistics.percentile(values, percent) == expected


# --- windows ----------------------------------------------------------------------------------------


def test_the_statistics_of_a_window() -> None:
    found = window(
        "all",
        tally("FINISHED", 3, durations=[2.0, 4.0]),
        tally("FINISHED", 1, durations=[6.0], template_id="report"),
        tally("FAILED", 2),
        tally("FAILED", 3, has_id=False),
        tally("CANCELLED", 1, durations=[99.0]),
        tally("RUNNING", 4),
        tally("LOST", 1),
        tally("PAUSED", 1),
    )
    assert found["jobs"] == 16
    assert found["by_status"] == {
        "CREATED": 0,
        "RUNNING": 4,
        "SUSPENDED": 0,
        "FINISHED": 4,
        "FAILED": 5,
        "CANCELLED": 1,
        "LOST": 1,
    }
    assert found["other"] == 1
    assert found["durations"] == {"count": 3, "average": 4.0, "min": 2.0, "max": 6.0, "p50": 4.0, "p95": 6.0}
    assert found["failure_rate_percent"] == 31.25  # 5 of 16
    assert found["flink_failure_rate_percent"] == pytest.approx(100 / 3)  # 2 of 2 + 4
    assert (found["failed_in_flink"], found["never_submitted"], found["lost"]) == (2, 3, 1)


def test_jobs_that_a_stop_has_ended_are_counted_apart() -> None:
    found = window("24h", tally("FINISHED", 5, stopped=2), tally("FINISHED", 3, template_id="etl", stopped=1))
    assert (found["by_status"]["FINISHED"], found["stopped"]) == (8, 3)


def test_without_jobs_there_is_no_rate_and_no_duration() -> None:
    found = window("24h")
    assert (found["jobs"], found["failure_rate_percent"], found["flink_failure_rate_percent"]) == (
        0,
        None,
        None,
    )
    assert found["durations"] == NOTHING
    assert found["templates"] == []
    assert [bucket["jobs"] for bucket in found["over_time"]] == [0] * 24


def test_a_duration_that_is_no_number_counts_nowhere() -> None:
    found = window("all", tally("FINISHED", 3, durations=[1.0, float("nan"), float("inf")]))
    assert found["durations"] == {"count": 1, "average": 1.0, "min": 1.0, "max": 1.0, "p50": 1.0, "p95": 1.0}


AGES = [
    # age, unit, in 24h, 7d, 30d, all
    (0, "hours", (1, 1, 1, 1)),
    (23, "hours", (1, 1, 1, 1)),
    (1, "days", (0, 1, 1, 1)),
    (6, "days", (0, 1, 1, 1)),
    (7, "days", (0, 0, 1, 1)),
    (29, "days", (0, 0, 1, 1)),
    (30, "days", (0, 0, 0, 1)),
    (None, "hours", (0, 0, 0, 1)),
]


@pytest.mark.parametrize(("age", "unit", "expected"), AGES)
def test_a_job_belongs_to_the_windows_that_reach_back_to_it(
    age: int | None, unit: str, expected: tuple[int, ...]
) -> None:
    one = [tally("FINISHED", age=age, unit=unit)]
    found = statistics.windows(Counted(one, one, ()), NOW)
    assert tuple(found[name]["jobs"] for name in ("24h", "7d", "30d", "all")) == expected


def test_a_window_over_time_begins_with_its_oldest_bucket() -> None:
    buckets = window("24h", tally("FINISHED", 2, age=0), tally("FAILED", 1, age=0), tally("LOST", 5, age=23))[
        "over_time"
    ]
    assert len(buckets) == 24
    assert (buckets[0]["from"], buckets[0]["to"]) == (NOW - timedelta(hours=24), NOW - timedelta(hours=23))
    assert (buckets[-1]["from"], buckets[-1]["to"]) == (NOW - timedelta(hours=1), NOW)
    assert (buckets[0]["jobs"], buckets[0]["by_status"]["LOST"]) == (5, 5)
    assert (
        buckets[-1]["jobs"],
        buckets[-1]["by_status"]["FINISHED"],
        buckets[-1]["by_status"]["FAILED"],
    ) == (3, 2, 1)
    assert sum(bucket["jobs"] for bucket in buckets) == 8


def test_days_hold_the_hours_of_the_last_day() -> None:
    tallies = [tally("FINISHED", age=5), tally("FINISHED", age=23), tally("FINISHED", age=1, unit="days")]
    assert [bucket["jobs"] for bucket in window("7d", *tallies)["over_time"]] == [0, 0, 0, 0, 0, 1, 2]
    assert "over_time" not in window("all", *tallies)


def test_a_window_holds_whole_days_and_the_rest_of_the_one_in_which_it_begins() -> None:
    begin, day = NOW - timedelta(days=7), NOW - timedelta(days=7, hours=12)
    three_at_noon = [*[0] * 12, 3, 2, *[0] * 11]
    first = Sums(
        [Row("FAILED", "etl", True, 5)], [(day, "FAILED", three_at_noon)], [0] * 15, None, day, day + DAY
    )
    second = Sums(
        [Row("FAILED", "etl", True, 7)],
        [(day + DAY, "FAILED", [*[0] * 12, 4, 3, *[0] * 11])],
        [0] * 15,
        None,
        day + DAY,
        day + 2 * DAY,
    )
    found = statistics.windows(Counted((), (), [first, second], {begin: [tally("FAILED", 2)]}), NOW)
    assert [found[name]["jobs"] for name in ("24h", "7d", "30d", "all")] == [0, 9, 12, 12]
    assert [step["jobs"] for step in found["7d"]["over_time"]] == [6, 3, 0, 0, 0, 0, 0]
    assert found["7d"]["approximate"] == []
    without_edge = statistics.windows(Counted((), (), [first, second]), NOW)["7d"]
    assert (without_edge["jobs"], without_edge["approximate"]) == (12, ["from"])


def test_percentiles_are_exact_unless_a_day_has_durations() -> None:
    day = datetime(2025, 10, 30, tzinfo=UTC)
    live = [tally("FINISHED", 3, durations=[1.0, 2.0, 3.0])]
    failed = Sums([Row("FAILED", "etl", True, 1)], [], [0] * 15, None, day, day + DAY)
    found = statistics.windows(Counted(live, live, [failed]), NOW)["all"]
    assert (found["durations"]["p50"], found["approximate"]) == (2.0, [])
    took = Durations.of([4.0, 5.0])
    finished = Sums([Row("FINISHED", "etl", True, 2, took)], [], [0] * 15, took, day, day + DAY)
    found = statistics.windows(Counted(live, live, [failed, finished]), NOW)["all"]
    assert found["durations"]["p95"] == pytest.approx(5.0, rel=0.01)
    assert (found["durations"]["count"], found["durations"]["average"]) == (5, 3.0)
    assert found["approximate"] == ["p50", "p95"]


def test_templates_come_by_their_number_of_jobs_and_only_the_first_twenty() -> None:
    tallies = [tally("FINISHED", number, template_id=f"t{number:02}") for number in range(1, 25)]
    tallies.append(tally("FAILED", 30, template_id=None, has_id=False))
    templates = window("all", *tallies)["templates"]
    assert [entry["template_id"] for entry in templates] == [
        None,
        *(f"t{number:02}" for number in range(24, 5, -1)),
    ]
    assert (templates[0]["jobs"], templates[0]["never_submitted"], templates[0]["failure_rate_percent"]) == (
        30,
        30,
        100.0,
    )
    assert "templates" not in templates[0]


def test_a_bar_of_the_histogram_ends_with_its_own_duration() -> None:
    found = window("all", tally("FINISHED", 6, durations=[0.0, 1.0, 1.001, 5.0, 86_400.0, 86_400.5]))
    bars = {bar["le"]: bar["count"] for bar in found["duration_histogram"]}
    assert (bars[1], bars[5], bars[15], bars[86_400], bars[None]) == (2, 2, 0, 1, 1)
    assert sum(bars.values()) == 6


# --- sync and cleanup -------------------------------------------------------------------------------


def run(minutes_ago: float, **fields: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"complete": True, "errors": [], "clusters": {"default": up()}}
    return {"run_id": "r", "started_at": NOW - timedelta(minutes=minutes_ago), **(known | fields)}


def up() -> dict[str, Any]:
    return {"reachable": True, "jobs": 3, "error": None}


def down(error: str = "refused") -> dict[str, Any]:
    return {"reachable": False, "jobs": None, "error": error}


STALENESS = [(None, None, True), (0, 0.0, False), (9, 540.0, False), (9.1, 546.0, True), (-1, 0.0, False)]


@pytest.mark.parametrize(("minutes_ago", "age", "is_stale"), STALENESS)
def test_a_sync_is_stale_after_three_periods(
    minutes_ago: float | None, age: float | None, is_stale: bool
) -> None:
    at = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    state = statistics.sync_state([], at, NOW, 180)
    assert (state["last_complete_at"], state["age_seconds"], state["stale"]) == (at, age, is_stale)
    assert (state["period_seconds"], state["last_pass"], state["clusters"]) == (180, None, {})


OUTAGES = [
    ([up()], None),
    ([down()], 1),
    ([down(), down(), up(), down()], 2),
    ([down(), None, down(), up()], 3),
    ([up(), down()], None),
]


@pytest.mark.parametrize(("seen", "since"), OUTAGES)
def test_an_outage_began_with_the_first_pass_in_a_row(
    seen: list[dict[str, Any] | None], since: int | None
) -> None:
    """Passes are a minute apart; one from before the cluster was configured says nothing of it."""
    runs = [
        run(number + 1, clusters={} if one is None else {"default": one}) for number, one in enumerate(seen)
    ]
    state = statistics.sync_state(runs, NOW, NOW, 180)["clusters"]["default"]
    assert state["reachable"] is (since is None)
    assert state["since"] == (None if since is None else NOW - timedelta(minutes=since))
    assert state["error"] == (None if since is None else "refused")


def test_the_age_of_the_last_cleanup() -> None:
    assert statistics.cleanup_state(None, NOW) == {"last_at": None, "age_seconds": None, "last_run": None}
    state = statistics.cleanup_state({"started_at": NOW - timedelta(hours=1), "deleted": 4}, NOW)
    assert (state["last_at"], state["age_seconds"]) == (NOW - timedelta(hours=1), 3600.0)
    assert state["last_run"]["deleted"] == 4


# --- problems ---------------------------------------------------------------------------------------

FINE = statistics.sync_state([run(1)], NOW - timedelta(minutes=1), NOW, 180)

PROBLEMS = [
    # status, code on the record, problem, its code
    ("CREATED", "IMAGE_PULL", "STAYS_CREATED", "IMAGE_PULL"),
    ("CREATED", "UNSCHEDULABLE", "STAYS_CREATED", "UNSCHEDULABLE"),
    ("CREATED", "CONFIG", "STAYS_CREATED", "CONFIG"),
    ("CREATED", "QUOTA", "STAYS_CREATED", "QUOTA"),
    ("CREATED", "MOUNT", "STAYS_CREATED", "MOUNT"),
    ("CREATED", "OOM", "STAYS_CREATED", "OOM"),
    ("CREATED", "EVICTED", "STAYS_CREATED", "EVICTED"),
    ("CREATED", "POD_START", "STAYS_CREATED", "POD_START"),
    ("CREATED", "K8S_JOB_SUSPENDED", "STAYS_CREATED", "K8S_JOB_SUSPENDED"),
    ("CREATED", "K8S_JOB_UNKNOWN", "STAYS_CREATED", "K8S_JOB_UNKNOWN"),
    ("CREATED", None, "STAYS_CREATED", "NO_REASON"),
    ("FAILED", "K8S_REFUSED", "STAYS_CREATED", "K8S_REFUSED"),
    ("FAILED", "K8S_JOB_MISSING", "STAYS_CREATED", "K8S_JOB_MISSING"),
    ("FAILED", "IMAGE_UNSUITABLE", "NO_FLINK_JOB_ID", "IMAGE_UNSUITABLE"),
    ("FAILED", "SUBMIT_FAILED", "NO_FLINK_JOB_ID", "SUBMIT_FAILED"),
    ("FAILED", "NO_JOB_SUBMITTED", "NO_FLINK_JOB_ID", "NO_JOB_SUBMITTED"),
    ("FAILED", "LOG_UNAVAILABLE", "NO_FLINK_JOB_ID", "LOG_UNAVAILABLE"),
    ("CREATED", "ID_UNCONFIRMED", "NO_FLINK_JOB_ID", "ID_UNCONFIRMED"),
]


@pytest.mark.parametrize(("status", "code", "problem", "expected"), PROBLEMS)
def test_a_reason_is_a_case_of_one_problem(
    status: str, code: str | None, problem: str, expected: str
) -> None:
    [entry] = problems.find_problems([Cause(status, code, 7, ["a", "b"])], FINE, NOW)
    day, held_up = NOW - timedelta(hours=24), NOW - timedelta(minutes=5)
    since = {"from": day} if status == "FAILED" else {}
    until = {"to": held_up} if code is None else {}
    assert entry == {
        "problem": problem,
        "code": expected,
        "count": 7,
        "job_ids": ["a", "b"],
        "data": {},
        "of_script": code in ("SUBMIT_FAILED", "NO_JOB_SUBMITTED"),
        "filter": {"status": status, "reason": expected, **since, **until},
    }


@pytest.mark.parametrize(
    ("status", "code"), [("FAILED", "JOB_FAILED"), ("FAILED", None), ("FAILED", "A_NEW_CODE")]
)
def test_a_job_that_failed_in_flink_is_none_of_the_three(status: str, code: str | None) -> None:
    assert problems.find_problems([Cause(status, code, 1, ["a"])], FINE, NOW) == []


def test_the_most_frequent_cause_comes_first_and_each_status_by_itself() -> None:
    causes = [
        Cause("CREATED", "QUOTA", 1, ["a"]),
        Cause("FAILED", "SUBMIT_FAILED", 5, ["b"]),
        Cause("FAILED", "QUOTA", 2, ["c"]),
    ]
    found = problems.find_problems(causes, FINE, NOW)
    assert [(entry["code"], entry["count"], entry["job_ids"]) for entry in found] == [
        ("SUBMIT_FAILED", 5, ["b"]),
        ("QUOTA", 2, ["c"]),
        ("QUOTA", 1, ["a"]),
    ]


LAGS = [
    # the runs, newest first; minutes since the last complete one; the codes
    ([], None, ["NEVER_SYNCED"]),
    ([run(1)], 1, []),
    ([run(10)], 10, ["SYNC_STALE"]),
    ([run(1, complete=False), run(20)], 20, ["SYNC_INCOMPLETE"]),
    ([run(1, complete=False)], None, ["SYNC_INCOMPLETE"]),
    ([run(10, complete=False)], None, ["SYNC_STALE"]),
    ([run(1, clusters={"default": down(), "batch": up()})], 1, ["CLUSTER_UNREACHABLE"]),
    (
        [run(10, clusters={"default": down(), "batch": down()})],
        10,
        ["SYNC_STALE", "CLUSTER_UNREACHABLE", "CLUSTER_UNREACHABLE"],
    ),
    (
        [
            run(
                1,
                clusters={"default": down()},
                errors=[{"job_id": None, "code": "FLINK_UNAVAILABLE", "message": "m"}],
            )
        ],
        1,
        ["CLUSTER_UNREACHABLE"],
    ),
    (
        [run(1, errors=[{"job_id": None, "code": "FLINK_UNAVAILABLE", "message": "m"}])],
        1,
        ["FLINK_UNAVAILABLE"],
    ),
    ([run(1, errors=[{"job_id": "a", "code": "UNREADABLE_RECORD", "message": "m"}])], 1, []),
]


@pytest.mark.parametrize(("runs", "minutes", "codes"), LAGS)
def test_what_makes_a_status_lag(runs: list[dict[str, Any]], minutes: int | None, codes: list[str]) -> None:
    complete_at = None if minutes is None else NOW - timedelta(minutes=minutes)
    found = problems.find_problems([], statistics.sync_state(runs, complete_at, NOW, 180), NOW)
    assert [entry["code"] for entry in found] == codes
    assert {entry["problem"] for entry in found} <= {"STATUS_LAGS"}


def test_an_error_of_many_records_is_one_problem_with_examples() -> None:
    errors: list[dict[str, Any]] = [
        {"job_id": f"etl_{n}", "code": "LOG_UNREACHABLE", "message": f"m{n}"} for n in range(8)
    ]
    errors.append({"job_id": None, "code": "KUBERNETES_UNAVAILABLE", "message": "gone"})
    [logs, kubernetes] = problems.find_problems(
        [], statistics.sync_state([run(1, errors=errors)], NOW, NOW, 180), NOW
    )
    assert (logs["code"], logs["count"]) == ("LOG_UNREACHABLE", 8)
    assert logs["job_ids"] == [f"etl_{n}" for n in range(5)]
    assert logs["data"] == {"error": "m0"}
    assert (kubernetes["count"], kubernetes["job_ids"], kubernetes["data"]) == (1, [], {"error": "gone"})


def test_a_lag_says_what_a_person_needs() -> None:
    runs = [run(10, clusters={"default": down("Connection refused")})]
    sync = statistics.sync_state(runs, NOW - timedelta(minutes=10), NOW, 180)
    [stale, cluster] = problems.find_problems([], sync, NOW)
    at = NOW - timedelta(minutes=10)
    assert stale["data"] == {
        "last_complete_at": at,
        "age_seconds": 600.0,
        "period_seconds": 180,
        "last_pass_at": at,
    }
    assert cluster["data"] == {"cluster": "default", "error": "Connection refused", "since": at}
    assert (stale["count"], cluster["count"]) == (1, 1)
