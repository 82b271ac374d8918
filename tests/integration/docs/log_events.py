"""The log events of the code, read off its source: every call of `log.info`, `log.warning`, `log.error`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[3] / "shared" / "flinkjobs"
LEVELS: Final = {"info": "INFO", "info_each": "INFO", "warning": "WARNING", "error": "ERROR"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        levels: the levels that it is logged at.
        fields: the names of its fields; `report` stands for the fields of a report, `stack` for an exception.
    """

    levels: frozenset[str]
    fields: frozenset[str]


def events() -> dict[str, Event]:
    """Every event, by its name. One that is logged in several places has the same levels and fields there."""
    found: dict[str, Event] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, event in _events_of(ast.parse(path.read_text(encoding="utf-8"))):
            if found.setdefault(name, event) != event:
                raise ValueError(f"{path}: {name} is logged in two forms")
    return found


def _events_of(module: ast.Module) -> Iterator[tuple[str, Event]]:
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    seen: set[ast.Call] = set()
    for function in reversed(functions):  # an inner function is read before the one around it
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and node not in seen and (levels := _levels(node.func, function)):
                seen.add(node)
                yield ast.literal_eval(node.args[0]), Event(levels, frozenset(_fields(node)))


def _levels(called: ast.expr, function: ast.FunctionDef) -> frozenset[str]:
    """The levels of `log.info` and the like, and of a local name to which such functions are assigned."""
    if isinstance(called, ast.Name):
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == called.id for target in node.targets)
        ]
        return frozenset(
            level
            for value in assigned
            if isinstance(value, ast.IfExp)
            for chosen in (value.body, value.orelse)
            for level in _levels(chosen, function)
        )
    match called:
        case ast.Attribute(value=ast.Name(id="log"), attr=attribute) if attribute in LEVELS:
            return frozenset({LEVELS[attribute]})
    return frozenset()


def _fields(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        yield {None: "report", "exception": "stack"}.get(keyword.arg, keyword.arg or "")
    for argument in call.args[1:]:  # `info_each`: a dictionary for each line
        for node in ast.walk(argument):
            if isinstance(node, ast.Dict):
                yield from (ast.literal_eval(key) for key in node.keys if key is not None)
