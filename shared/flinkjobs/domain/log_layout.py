"""Undoes the layout of a log: log4j's prefixes, JSON events and Python's trees of exception groups.

The text that a program printed and the text that its logger wrote arrive in one log, line by line. Flink's
client does both with the output of a script: it prints each line and logs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

BANNER: Final = "-" * 80
"""Separates what was logged from what was printed; Flink's client writes such lines too."""

_CLOCK: Final = (
    r"\[?(?:\d{2,4}[-/.]\d\d[-/.]\d\d[T ]|\d\d \w{3} \d{4} )?"
    r"\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?\]?"
)
_IN_BRACKETS: Final = r"(?:\[[^\]]*\]\s*)*"  # thread, diagnostic context
_LEVEL: Final = r"\[?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|SEVERE|CRITICAL)\b ?\]?"
_NO_LOGGER: Final = r"(?!usage:|[\w.$]*(?:Error|Exception|Throwable|Exit|Interrupt): )"
_LOGGER: Final = (
    rf"(?::[\w.]+:|:?\s{{0,2}}(?:\d+ --- )?{_IN_BRACKETS}{_NO_LOGGER}[\w.$/-]+(?::\d+)?\s*{_IN_BRACKETS}"
    r"(?:-|\||:)(?: |$)| ?[-:|]? ?)"
)
_TIME_FIRST: Final = rf"{_CLOCK}\s{{1,2}}{_IN_BRACKETS}(?:(?:- )?(?:[\w.]+ - )?{_LEVEL}{_LOGGER})?"
_LEVEL_FIRST: Final = rf"{_LEVEL}\s{{0,2}}(?:[-|:] ?)?{_IN_BRACKETS}{_CLOCK}\s{{1,2}}(?:[-|] )?{_LOGGER}"
_PREFIX: Final = re.compile(rf"^(?:{_TIME_FIRST}|{_LEVEL_FIRST}|{_LEVEL}{_LOGGER})")
"""Time, thread, level and logger, in the usual orders of log4j, logback, Spring and Python's logging."""

_LINE_END: Final = re.compile(r"\r?\n")
_JSON_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_MESSAGE_KEYS: Final = ("message", "msg", "short_message", "event", "log")
_TRACE_KEYS: Final = (
    "extendedStackTrace", "stackTrace", "stack_trace", "stacktrace", "stack", "traceback", "exc_info",
)  # fmt: skip
_THROWN_KEYS: Final = ("thrown", "throwable", "exception", "error", *_TRACE_KEYS)
_TYPE_KEYS: Final = ("name", "class", "type", "exception_class", "exceptionType")
_THROWN_MESSAGE_KEYS: Final = ("message", "localizedMessage", "exception_message")

_GROUP_HEADER: Final = "+ Exception Group Traceback (most recent call last):"
_TREE: Final = re.compile(r"( +)[|+][ -](.*)")
_TREE_MARGIN: Final = "  "


def plain_lines(lines: Iterable[str]) -> list[str]:
    """The texts without their layout: first what was logged, then a banner, then what was printed.

    The two are kept apart, so that a logged line does not interrupt a traceback that was printed, and a
    printed line that is logged as well does not stand twice in one text. A line without a layout counts as
    printed.
    """
    logged: list[str] = []
    printed: list[str] = []
    for line in lines:
        texts = _event_lines(line)
        if texts is not None:
            logged += [_PREFIX.sub("", text) for text in texts]
        elif prefix := _PREFIX.match(line):
            logged.append(line[prefix.end() :])
        else:
            printed.append(line)
    return [*_without_trees(logged), BANNER, *_without_trees(printed)]


def _event_lines(line: str) -> list[str] | None:
    """The message and the exception of a JSON event; None where the line is no such event."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        event = _nested(_JSON_OBJECT.decode(line))
    except (msgspec.DecodeError, RecursionError):
        return None
    message = next((event[key] for key in _MESSAGE_KEYS if isinstance(event.get(key), str)), None)
    thrown = [text for key in _THROWN_KEYS if (text := _thrown(event.get(key)))]
    if message is None and not thrown:
        return None
    return [part for text in (message or "", *thrown) for part in _LINE_END.split(text)]


def _nested(event: dict[str, Any]) -> dict[str, Any]:
    """The event with `{"error.type": …}` written as `{"error": {"type": …}}`."""
    nested: dict[str, Any] = {}
    for name, value in event.items():
        parent, is_dotted, child = name.partition(".")
        if not is_dotted:
            nested[name] = value
        elif isinstance(siblings := nested.setdefault(parent, {}), dict):
            siblings[child] = value
    return nested


def _thrown(value: Any) -> str:
    """The stack trace of an exception in an event, or its type, message and causes."""
    causes: list[str] = []
    while isinstance(value, dict):
        if trace := _first(value, _TRACE_KEYS):
            return "\nCaused by: ".join([*causes, trace])
        named = (_first(value, _TYPE_KEYS), _first(value, _THROWN_MESSAGE_KEYS))
        causes.append(": ".join(part for part in named if part))
        value = value.get("cause")
    return "\nCaused by: ".join(causes) or (value if isinstance(value, str) else "")


def _first(event: dict[str, Any], keys: Iterable[str]) -> str:
    return next((value for key in keys if isinstance(value := event.get(key), str) and value), "")


def _without_trees(lines: Iterable[str]) -> Iterator[str]:
    """Yields an exception group as a plain traceback; the exceptions in the group follow it, indented."""
    is_group = False
    for line in lines:
        node = _TREE.match(line)
        is_group = node is not None and (is_group or _GROUP_HEADER in line)
        if node is None or not is_group:
            yield line
        elif not node[2].startswith(("-", "+")):
            if node[1] == _TREE_MARGIN:
                yield node[2]
            elif not node[2].startswith(" ") and "Traceback (most recent call last):" not in node[2]:
                yield f"  {node[2]}"
