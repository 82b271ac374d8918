"""Writes the tables of docs/reference/cli.md: `python -m tests.integration.docs.cli_page`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flinkjobs.cli.app import command
from flinkjobs.cli.exit_codes import Exit

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"
NOT_LISTED: Final = frozenset({"help", "install_completion", "show_completion"})
"""Parameters that every command line has; the page describes them in its text."""


def render(page: str) -> str:
    """The page with its generated parts as they should be."""
    for name, lines in (("exit codes", exit_codes()), ("commands", commands())):
        begin, end = (
            f"<!-- {name}: written by tests/integration/docs/cli_page.py -->",
            f"<!-- end of {name} -->",
        )
        part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not part.search(page):
            raise ValueError(f"the page has no part for its {name}")
        text = "\n".join([begin, *lines, end])
        page = part.sub(lambda _found, text=text: text, page)  # type: ignore[misc] # bound now
    return page


def exit_codes() -> Iterator[str]:
    """A row per exit code."""
    yield "| code | name | meaning |"
    yield "|---|---|---|"
    for code in Exit:
        yield f"| {code.value} | {code.name} | {code.meaning} |"


def commands() -> Iterator[str]:
    """A section per command."""
    yield from _section("flinkjobs", command())


def _section(path: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    given = [param for param in command.params if not param.hidden and param.name not in NOT_LISTED]
    arguments = [param for param in given if param.param_type_name == "argument"]
    options = [param for param in given if param.param_type_name == "option"]
    words = "".join(f" {_argument(param)}" for param in arguments)
    yield ""
    yield f"### `{path}{words}`" if not children else f"### `{path}`"
    yield ""
    yield " ".join(command.help.split())
    if given:
        yield ""
        yield "| option | meaning |"
        yield "|---|---|"
        for param in (*arguments, *options):
            yield f"| `{_spelling(param)}` | {_meaning(param)} |"
    for name, child in children.items():
        yield from _section(f"{path} {name}", child)


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return name if param.required else f"[{name}]"


def _spelling(param: Any) -> str:
    if param.param_type_name == "argument":
        return _argument(param)
    if param.is_flag:
        return str(param.opts[0])
    return f"{', '.join(param.opts)} {param.metavar or param.name.upper()}"


def _meaning(param: Any) -> str:
    meaning = " ".join(param.help.split())
    if param.default is not None and not param.is_bool_flag and not callable(param.default):
        meaning += f" Default: {param.default}." if param.default != [] else ""
    if param.envvar:
        meaning += f" Also `{param.envvar}`."
    return meaning.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
