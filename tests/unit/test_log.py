"""Logs: one JSON object per line, whatever the fields hold."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flinkjobs import log


@pytest.fixture(autouse=True)
def _untouched_logger() -> Iterator[None]:
    """Takes the logger's handlers away for one test, so that `configure` meets the captured output."""
    handlers, level, propagate = log.LOGGER.handlers[:], log.LOGGER.level, log.LOGGER.propagate
    log.LOGGER.handlers[:] = []
    yield
    log.LOGGER.handlers[:] = handlers
    log.LOGGER.propagate = propagate
    log.LOGGER.setLevel(level)


def fail() -> None:
    raise ZeroDivisionError("made\nfor the test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.split("\n")[:-1]]


def test_an_event_is_one_line_with_the_fields_that_cloud_logging_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("INFO")
    before = datetime.now(UTC).replace(microsecond=0)
    log.info("job.moved", job_id="etl_1", count=3)
    (line,) = lines(capsys)
    time = datetime.fromisoformat(line.pop("time"))
    assert line == {"severity": "INFO", "message": "job.moved", "job_id": "etl_1", "count": 3}
    assert before <= time <= datetime.now(UTC)


def test_what_happened_to_many_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    log.info_each("job.moved", [{"job_id": "etl_1"}, {"job_id": "two\nlines"}])
    log.info_each("job.moved", [])
    one, other = lines(capsys)
    assert one.pop("time") == other.pop("time")
    assert one == {"severity": "INFO", "message": "job.moved", "job_id": "etl_1"}
    assert other == {"severity": "INFO", "message": "job.moved", "job_id": "two\nlines"}


@pytest.mark.parametrize(
    "value",
    [
        "two\nlines",
        "CR\r\nLF",
        "日报 😀",
        'quotes " and \\ backslash',
        "\x1b[31mred\x00",
        "\u2028",
        {"deep": ["a\nb", None, 1.5, True]},
    ],
    ids=ascii,
)
def test_whatever_a_field_holds_it_stays_one_line_and_comes_back_as_it_was(
    value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("INFO")
    log.info("event", value=value)
    (line,) = lines(capsys)
    assert line["value"] == value


def test_half_a_surrogate_pair_does_not_lose_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    log.info("event", value="\ud83d!")
    (line,) = lines(capsys)
    assert line["value"] == "\ud83d!"


def test_a_time_is_written_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    moment = datetime(2025, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
    log.info("event", moment=moment, odd=object)
    (line,) = lines(capsys)
    assert line["moment"] == "2025-11-01T12:00:00.123456+00:00"
    assert line["odd"] == "<class 'object'>"


def test_an_unexpected_exception_comes_with_its_stack_on_the_same_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("INFO")
    try:
        fail()
    except ZeroDivisionError as error:
        log.error("request.crashed", exception=error, path="/")
    (line,) = lines(capsys)
    assert (line["severity"], line["path"]) == ("ERROR", "/")
    assert line["stack"].startswith("Traceback (most recent call last):\n")
    assert line["stack"].endswith("ZeroDivisionError: made\nfor the test")


@pytest.mark.parametrize(
    ("level", "severities"),
    [
        ("DEBUG", ["INFO", "WARNING", "ERROR"]),
        ("INFO", ["INFO", "WARNING", "ERROR"]),
        ("WARNING", ["WARNING", "ERROR"]),
        ("ERROR", ["ERROR"]),
    ],
)
def test_the_level_is_a_threshold(
    level: str, severities: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(level)
    log.info("event")
    log.warning("event")
    log.error("event")
    assert [line["severity"] for line in lines(capsys)] == severities


def test_configuring_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("ERROR")
    log.configure("INFO")
    log.info("event")
    assert len(lines(capsys)) == 1


def test_lines_do_not_reach_the_root_logger_too(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    log.configure("INFO")
    with caplog.at_level(logging.INFO):
        log.info("event")
    assert caplog.records == []
    assert len(lines(capsys)) == 1


def test_a_level_that_cloud_logging_does_not_know_is_critical(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    log.LOGGER.critical("event")
    assert [line["severity"] for line in lines(capsys)] == ["CRITICAL"]
