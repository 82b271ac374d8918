"""Undoing the layout of a log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain.log_layout import BANNER, plain_lines


def logged(line: str) -> list[str]:
    """The lines that were logged, of one line of a log."""
    lines = plain_lines([line])
    return lines[: lines.index(BANNER)]


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param(
            "2026-11-01 12:00:00,123 ERROR org.apache.flink.client.cli.CliFrontend      [] - ", id="Flink"
        ),
        pytest.param("12:00:00.123 [main] INFO  o.a.f.client.cli.CliFrontend - ", id="logback"),
        pytest.param(
            "2026-11-01 12:00:00,123 [main] WARN  org.apache.flink.X:123 - ", id="with a line number"
        ),
        pytest.param("[2026-11-01 12:00:00,123] ERROR ", id="Kafka"),
        pytest.param("26/11/01 12:00:00 WARN NativeCodeLoader: ", id="Hadoop"),
        pytest.param("2026-11-01T12:00:00.123Z ERROR 1 --- [main] c.a.B : ", id="Spring"),
        pytest.param("2026-11-01T12:00:00.123+08:00 INFO c.a.B - ", id="ISO 8601 with an offset"),
        pytest.param("01 Nov 2026 12:00:00,123 DEBUG [pool-1 thread-2] c.a.B - ", id="log4j's DATE"),
        pytest.param("2026-11-01 12:00:00,123 ", id="time alone"),
        pytest.param("ERROR ", id="level alone"),
        pytest.param("INFO  ", id="padded level"),
        pytest.param("[ERROR] ", id="level in brackets"),
        pytest.param("INFO  [main] 2026-11-01T12:00:00,123 CliFrontend - ", id="level first"),
        pytest.param("[WARN ] [2026-11-01 12:00:00,123] [main] c.a.B: ", id="level first, all in brackets"),
        pytest.param("ERROR - 2026-11-01 12:00:00,123 - root - ", id="Python's, level first"),
        pytest.param("ERROR:root:", id="Python's default"),
        pytest.param("2026-11-01 12:00:00,123 - root - ERROR - ", id="Python's usual"),
    ],
)
@pytest.mark.parametrize(
    "text", ["KeyError: 'day'", "java.io.IOException: a - b: c", "Traceback (most recent"]
)
def test_plain_lines_take_the_prefix_from_a_logged_line(prefix: str, text: str) -> None:
    assert logged(prefix + text) == [text]


def test_plain_lines_keep_the_indentation_of_a_logged_line() -> None:
    line = "2026-11-01 12:00:00,123 INFO  org.apache.flink.X [] -     else: x = 1"
    assert logged(line) == ["    else: x = 1"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param({"message": "text"}, ["text"], id="message"),
        pytest.param({"msg": "text", "level": "error"}, ["text"], id="msg"),
        pytest.param({"log": "INFO  c.a.B - text\n", "stream": "stdout"}, ["text", ""], id="a layout within"),
        pytest.param({"message": "", "thrown": None}, [""], id="empty message"),
        pytest.param(
            {"message": "text", "thrown": {"message": "b", "extendedStackTrace": "x.Y: b\n\tat c\n"}},
            ["text", "x.Y: b", "\tat c", ""],
            id="JsonTemplateLayout",
        ),
        pytest.param(
            {
                "message": "text",
                "thrown": {
                    "name": "x.Y",
                    "message": "b",
                    "extendedStackTrace": [{"class": "c"}],
                    "cause": {"name": "x.Z", "message": "d"},
                },
            },
            ["text", "x.Y: b", "Caused by: x.Z: d"],
            id="JsonLayout",
        ),
        pytest.param(
            {"message": "text", "error.type": "x.Y", "error.stack_trace": "x.Y: b\r\n\tat c"},
            ["text", "x.Y: b", "\tat c"],
            id="ECS",
        ),
        pytest.param(
            {"message": "text", "exception": {"exception_class": "x.Y", "stacktrace": "x.Y: b"}},
            ["text", "x.Y: b"],
            id="logstash",
        ),
        pytest.param(
            {"event": "text", "exception": "Traceback (most recent call last):\nKeyError: 1"},
            ["text", "Traceback (most recent call last):", "KeyError: 1"],
            id="structlog",
        ),
    ],
)
def test_plain_lines_take_message_and_exception_from_a_json_event(
    event: dict[str, object], expected: list[str]
) -> None:
    assert logged(json.dumps(event)) == expected


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{'day': 1}", id="Python's dict"),
        pytest.param('{"rows": 3}', id="JSON without a message"),
        pytest.param('{"message": {"rows": 3}}', id="a message that is no text"),
        pytest.param('["message"]', id="array"),
        pytest.param('{"message": "cut', id="cut"),
        pytest.param('{"message":' * 5000, id="too deep"),
        pytest.param("| +I |  1 |", id="table"),
        pytest.param("    | {2}", id="Python source with an operator in front"),
        pytest.param("Information: 3 rows", id="a word that begins like a level"),
    ],
)
def test_plain_lines_leave_a_line_without_a_layout_as_it_is(line: str) -> None:
    assert plain_lines([line]) == [BANNER, line]


def test_plain_lines_of_an_exception_group_are_a_traceback() -> None:
    tree = """\
  + Exception Group Traceback (most recent call last):
  |   File "/opt/a.py", line 3, in <module>
  |     raise ExceptionGroup("problems", problems)
  | ExceptionGroup: problems (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/opt/a.py", line 2, in <module>
    | ValueError: bad day
    +---------------- 2 ----------------
    | ExceptionGroup: nested (1 sub-exception)
    +-+---------------- 1 ----------------
      | KeyError: 'x'
      +------------------------------------
after"""
    assert plain_lines(tree.splitlines()) == [
        BANNER,
        "Exception Group Traceback (most recent call last):",
        '  File "/opt/a.py", line 3, in <module>',
        '    raise ExceptionGroup("problems", problems)',
        "ExceptionGroup: problems (2 sub-exceptions)",
        "  ValueError: bad day",
        "  ExceptionGroup: nested (1 sub-exception)",
        "  KeyError: 'x'",
        "after",
    ]


@given(st.lists(st.text()))
def test_plain_lines_of_any_text_are_lines(lines: list[str]) -> None:
    assert BANNER in plain_lines(lines)
