"""The situations of `tests/data/cases`: the rows of its table, and inputs whose times are the present's."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "data" / "cases"
TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load((FOLDER / "expected.yaml").read_text("utf-8"))

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=Z|\+00:00)")
_MILLISECONDS = re.compile(r"(?<![\w.])1\d{12}(?![\w.])")


def rows(section: str) -> list[Any]:
    """The rows of a section as parameters of a test."""
    return [pytest.param(row, id=row["case"]) for row in TABLE[section]]


def text(case: str, name: str) -> str:
    """A file of a case."""
    return (FOLDER / case / name).read_text("utf-8")


def load_input(case: str, name: str, shift: timedelta) -> dict[str, Any]:
    """What the peers answer; every time in it, in an embedded answer as well, is moved by whole seconds."""

    def moved(found: re.Match[str]) -> str:
        return (datetime.fromisoformat(found[0]) + shift).isoformat()

    def moved_milliseconds(found: re.Match[str]) -> str:
        return str(int(found[0]) + int(shift.total_seconds()) * 1000)

    raw = _MILLISECONDS.sub(moved_milliseconds, _TIME.sub(moved, text(case, name)))
    loaded: dict[str, Any] = json.loads(raw)
    return loaded


def until_now(case: str) -> timedelta:
    """Whole seconds from the `now` of a case's first input to the present."""
    then = datetime.fromisoformat(json.loads(text(case, "input.json"))["now"])
    return timedelta(seconds=int((datetime.now(UTC) - then).total_seconds()))


def with_dates(value: Any) -> Any:
    """The same value with BSON dates in place of ISO strings with the offset `+00:00`."""
    if isinstance(value, dict):
        return {name: with_dates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_dates(inner) for inner in value]
    if isinstance(value, str) and _TIME.match(value) and value.endswith("+00:00"):
        return datetime.fromisoformat(value)
    return value


def older(value: Any, elapsed: timedelta) -> Any:
    """The same value with every date moved back."""
    if isinstance(value, dict):
        return {name: older(inner, elapsed) for name, inner in value.items()}
    if isinstance(value, list):
        return [older(inner, elapsed) for inner in value]
    return value - elapsed if isinstance(value, datetime) else value
