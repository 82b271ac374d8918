"""What the command prints of text that others wrote, and its words for times and events."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs import log
from flinkjobs.cli import indexes, maintenance, schedules
from flinkjobs.cli.app import _log_to_standard_error
from flinkjobs.cli.formatting import clock, event, moment, problem, reason, remedy, seconds
from flinkjobs.cli.output import Format, Output, clean, clean_lines


@given(st.text())
def test_one_printable_line_comes_out_of_any_text(text: str) -> None:
    line = clean(text)
    assert len(line.splitlines()) <= 1
    assert not [char for char in line if ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202e\u2066"]
    line.encode()


@pytest.mark.parametrize(
    ("raw", "printed"),
    [
        ("a\x1b[31mb\x1b[0m", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\rb", "a\nb"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x9b31mred\u202ever", "31mredver"),
        ("a\u061cb", "ab"),
        ("half \ud800 a pair", "half ? a pair"),
        ("汉字 ü", "汉字 ü"),
    ],
)
def test_control_characters_are_taken_out(raw: str, printed: str) -> None:
    assert clean_lines(raw) == printed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (13.909, "13.9 s"),
        (59.949, "59.9 s"),
        (59.96, "1 min 0 s"),
        (252.4, "4 min 12 s"),
        (3_599.6, "1 h 0 min"),
        (7_380, "2 h 3 min"),
        (86_399.9, "1 d 0 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations_are_shown_in_two_units(value: float | None, expected: str) -> None:
    assert seconds(value) == expected


def test_times_are_shown_to_the_second() -> None:
    assert moment("2026-11-23T05:24:14.678Z") == "2026-11-23 05:24:14"
    assert clock("2026-11-23T05:24:14.678Z") == "05:24:14"
    assert (moment(None), moment("yester\x1bday")) == ("-", "yesterday")


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "submitted",
            {"template_id": "etl", "by": "ann", "k8s_job_name": "j", "cluster": "default"},
            "submitted by ann as Kubernetes Job j",
        ),
        ("pod", {"pod": "p", "phase": "Failed"}, "pod p is Failed"),
        (
            "id_found",
            {"flink_job_id": "a", "source": "LOG", "confirmed": True},
            "Flink Job ID a found (LOG, confirmed by Flink)",
        ),
        ("started", {"flink_job_id": "a"}, "started in Flink as a"),
        ("waiting", {"code": "QUOTA", "message": "x\ny"}, "held up by QUOTA: x y"),
        ("moved", {"was": "RUNNING", "status": "SUSPENDED", "code": None}, "moved from RUNNING to SUSPENDED"),
        (
            "moved",
            {"was": "RUNNING", "status": "LOST", "code": "OUTCOME_UNKNOWN"},
            "moved from RUNNING to LOST, OUTCOME_UNKNOWN",
        ),
        ("missing", {"flink_job_id": "a"}, "Flink does not know a any more"),
        ("flink_ended", {"flink_job_id": "a", "state": "FAILED"}, "a ended FAILED"),
        (
            "ended",
            {"status": "FAILED", "code": "JOB_FAILED", "message": "boom", "duration": 3.0},
            "ended FAILED after 3.0 s, JOB_FAILED: boom",
        ),
        (
            "ended",
            {"status": "LOST", "code": None, "message": None, "duration": None, "noticed": True},
            "ended LOST, as sync noticed",
        ),
        ("ended", {"status": "FINISHED", "code": None, "message": None, "duration": None}, "ended FINISHED"),
        ("unheard_of", {"x": 1}, "unheard_of {'x': 1}"),
        ("pod", {}, "pod {}"),
    ],
)
def test_events_are_shown_in_words(name: str, data: dict[str, object], expected: str) -> None:
    assert event({"at": None, "event": name, "data": data}) == expected


def test_reasons_and_problems_are_one_line() -> None:
    assert reason(None) is None
    assert reason({"code": "OOM", "message": "a\nb", "since": None}) == "OOM: a b"
    found = {
        "problem": "STAYS_CREATED",
        "code": "IMAGE_PULL",
        "count": 7,
        "job_ids": ["a_1", "b_2"],
        "data": {},
    }
    assert problem(found) == "7 jobs staying CREATED (IMAGE_PULL): a_1, b_2, …"
    one = {"problem": "NO_FLINK_JOB_ID", "code": "SUBMIT_FAILED", "count": 1, "job_ids": ["a_1"], "data": {}}
    assert problem(one) == "1 job without a Flink Job ID (SUBMIT_FAILED): a_1"


def test_a_problem_of_the_system_is_not_counted_in_jobs() -> None:
    lag: dict[str, object] = {"problem": "STATUS_LAGS", "count": 1, "job_ids": []}
    never = lag | {"code": "NEVER_SYNCED", "data": {"period_seconds": 180}}
    assert problem(never) == "Statuses may be old (NEVER_SYNCED)"
    away = lag | {
        "code": "CLUSTER_UNREACHABLE",
        "data": {"cluster": "batch", "error": "GET /jobs/overview: refused", "since": None},
    }
    assert problem(away) == "Statuses may be old (CLUSTER_UNREACHABLE: batch GET /jobs/overview: refused)"
    newer = lag | {"problem": "CLOCK_IS_WRONG", "code": "X", "data": {}}
    assert problem(newer) == "CLOCK_IS_WRONG (X)"


def _pass(count: int) -> dict[str, Any]:
    return {
        "skipped": False,
        "complete": True,
        "scanned": count,
        "duration_seconds": 0.2,
        "changed": {},
        "unchanged": 0,
        "resolved": count,
        "unresolved": 0,
        "conflicts": count,
        "errors": [],
        "clusters": {},
    }


def _cleanup(count: int) -> dict[str, Any]:
    return {
        "skipped": False,
        "complete": True,
        "dry_run": False,
        "scanned": count,
        "deleted": count,
        "names": [f"j-{number}" for number in range(count)],
        "kept": {},
        "errors": [],
    }


def _conversion(count: int) -> dict[str, Any]:
    unreadable = [{"job_id": "a_1", "field": "end_time", "text": "soon"}] * count
    return {
        "dry_run": False,
        "created": [],
        "records": count,
        "converted": count,
        "conflicts": count,
        "unreadable_count": count,
        "unreadable": unreadable,
    }


@pytest.mark.parametrize(
    ("show", "lines"),
    [
        (
            lambda out, count: maintenance._show_pass(out, _pass(count), None),
            [
                (
                    "Looked at {1 record|2 records} in 0.2 s: nothing changed, 0 unchanged, "
                    "{1 Flink Job ID|2 Flink Job IDs} found, 0 still without one."
                ),
                "{1 record|2 records} written by another pass at the same time, and left alone.",
            ],
        ),
        (
            lambda out, count: maintenance._show_cleanup(out, _cleanup(count)),
            ["{1 of 1 Kubernetes Job|2 of 2 Kubernetes Jobs} deleted."],
        ),
        (
            lambda out, count: indexes._show(out, _conversion(count)),
            [
                "{1 of 1 record|2 of 2 records} with dates as text converted.",
                "{1 record|2 records} changed by another writer; run it again.",
                "{1 value|2 values} left as found, being no date:",
            ],
        ),
    ],
    ids=["sync", "cleanup", "indexes"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_counts_are_shown_in_singular_and_plural(
    show: Callable[[Output, int], None], lines: list[str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    show(Output(Format.TABLE), count)
    printed = capsys.readouterr().out.splitlines()
    for line in lines:
        assert re.sub(r"{(.*?)\|(.*?)}", lambda found: found[count], line) in printed


def test_schedules_fit_a_narrow_terminal() -> None:
    time = "11-27 16:00:00"
    rows = [("sync", "ENABLED", "*/3 * * * *", "Etc/UTC", time, "OK", time, "flinkjobs-sync")]
    heads = {
        width: [column.header for column in schedules._table(rows, width=width).columns]
        for width in (None, 120, 90, 80)
    }
    assert heads[None] == heads[120] == list(schedules.COLUMNS)
    assert heads[90] == [name for name in schedules.COLUMNS if name != "Name"]
    assert heads[80] == [name for name in schedules.COLUMNS if name not in ("Name", "Time zone")]


def test_a_remedy_names_the_job() -> None:
    text = remedy("NO_JOB_SUBMITTED", "etl 1")
    assert text is not None
    assert "`flinkjobs logs 'etl 1'`" in text
    assert remedy("A_NEWER_CODE", "etl_1") is None


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """As it was before, after the test."""
    handlers, propagate, level = log.LOGGER.handlers, log.LOGGER.propagate, log.LOGGER.level
    yield log.LOGGER
    log.LOGGER.handlers, log.LOGGER.propagate = handlers, propagate
    log.LOGGER.setLevel(level)


@pytest.mark.usefixtures("logger")
def test_events_of_the_functions_are_lines_apart_from_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("boom")
    _log_to_standard_error("WARNING")
    log.info("sync.pass", scanned=3)
    log.warning("indexes.not_ensured", code="X", detail="a\nb")
    log.error("job.not_decided", exception=error, job_id="a_1")
    assert capsys.readouterr().err.splitlines() == [
        "flinkjobs: warning: indexes.not_ensured code=X detail=a b",
        "flinkjobs: error: job.not_decided job_id=a_1 exception=ValueError('boom')",
    ]
    _log_to_standard_error("INFO")
    log.info_each("job.moved", [{"job_id": "a_1"}, {"job_id": "a_2"}])
    assert capsys.readouterr().err.splitlines() == [
        "flinkjobs: info: job.moved job_id=a_1",
        "flinkjobs: info: job.moved job_id=a_2",
    ]
    _log_to_standard_error("DEBUG")
    log.error("job.not_decided", exception=error)
    assert "ValueError: boom" in capsys.readouterr().err.splitlines()
