"""Logs as one JSON line per event, in the fields that Cloud Logging reads, on standard output.

Line format: https://cloud.google.com/logging/docs/structured-logging
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

LOGGER: Final = logging.getLogger("flinkjobs")

_SEVERITY: Final = {"WARNING": "WARNING", "ERROR": "ERROR", "INFO": "INFO", "DEBUG": "DEBUG"}


def _said(value: object) -> str:
    """Of a value that JSON has no form for: a time in ISO 8601, anything else in its own words."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=_said)
"""Made once: a pass may log a thousand lines."""


def fields_of(record: logging.LogRecord) -> Sequence[Mapping[str, Any]]:
    """The fields of each event that a log record stands for: as a rule of one."""
    each: Sequence[Mapping[str, Any]] = getattr(record, "each", ({},))
    return each


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "severity": _SEVERITY.get(record.levelname, "CRITICAL"),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "message": record.getMessage(),
        }
        if record.name != LOGGER.name:
            line["logger"] = record.name
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        text = "\n".join([_ENCODER.encode({**line, **fields}) for fields in fields_of(record)])
        return text.encode(errors="backslashreplace").decode()  # half a surrogate pair becomes its escape


def configure(level: str) -> None:
    """Sends this package's events to standard output. A second call only changes the level.

    What libraries warn of becomes such a line too, where no other handler is configured: urllib3, say,
    warns of a connection that it opens again.
    """
    for logger in (LOGGER, logging.getLogger()):
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stdout)
            handler.setFormatter(_JsonLines())
            logger.addHandler(handler)
    LOGGER.propagate = False
    LOGGER.setLevel(level)


def info(event: str, **fields: object) -> None:
    """Logs an event. `event` is a dotted name, everything else is a field."""
    LOGGER.info(event, extra={"each": (fields,)})


def info_each(event: str, each: Sequence[Mapping[str, Any]]) -> None:
    """Logs the same event of many objects: a line each, all written at once.

    A thousand jobs may move in one pass; to format and to flush each by itself takes ten times as long.
    """
    if each:
        LOGGER.info(event, extra={"each": each})


def warning(event: str, **fields: object) -> None:
    """Logs a warning: a person may have to act."""
    LOGGER.warning(event, extra={"each": (fields,)})


def error(event: str, *, exception: BaseException | None = None, **fields: object) -> None:
    """Logs an error: a person has to act. Includes the stack of an unexpected exception."""
    LOGGER.error(event, exc_info=exception, extra={"each": (fields,)})
