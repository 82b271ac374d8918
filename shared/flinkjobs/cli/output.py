"""Output of the command: results on standard output, everything else on standard error.

With `--json`, standard output holds JSON and nothing else. Text that came from outside (scripts, Flink,
Kubernetes) never reaches the terminal as it is: control characters are taken out, and it is no markup.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

import yaml
from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from flinkjobs.domain.submitter_log import without_escapes
from flinkjobs.web.messages import to_json


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    WIDE = "wide"
    """With more columns, and nothing left out to fit the terminal."""
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    """The job ids alone, one on a line, for another command to read."""


Cell: TypeAlias = str | Text | int | float | None

PLAIN_COLUMNS: Final = 10_000
"""Columns of output that goes to no terminal: nothing is cut."""

NOTHING: Final = "-"

STATUS_STYLES: Final[Mapping[str, str]] = {
    "CREATED": "cyan",
    "RUNNING": "bold blue",
    "FINISHED": "bold green",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "SUSPENDED": "yellow",
    "LOST": "magenta",
}

_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and line feed, and those that change the direction of the text."""


def clean(text: object) -> str:
    """Foreign text as one printable line."""
    return " ".join(clean_lines(str(text)).split())


def clean_lines(text: str) -> str:
    """Foreign text of several lines, printable."""
    lines = without_escapes(text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("", lines).encode(errors="replace").decode()


def status_text(status: str | None) -> Text:
    """A status in its colour."""
    return Text(clean(status or "UNREADABLE"), style=STATUS_STYLES.get(status or "", "red"))


def table(columns: Iterable[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """A table of foreign text. `Text` cells are taken as they are; None becomes a dash."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row))
    return drawn


def _cell(value: str | float | None) -> str:
    return NOTHING if value is None else clean(value)


class ReaderGone(BaseException):
    """Standard output was closed. The libraries below would exit with 1 for a BrokenPipeError."""


class Output:
    """The two streams of one command.

    Attributes:
        form: how the result is wanted.
        is_json: it is wanted as JSON, or the same values as YAML; an error then is JSON as well.
        is_live: both streams are terminals, and a display that changes may be drawn.
    """

    def __init__(self, form: Format) -> None:
        self.form = form
        self.is_json = form in (Format.JSON, Format.YAML)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # whatever the locale can hold
        self.console = _console(sys.stdout)
        self.errors = _console(sys.stderr)
        self.is_live = not self.is_json and self.console.is_terminal and self.errors.is_terminal

    def json(self, value: Mapping[str, Any]) -> None:
        """Prints the result, one JSON value, or a YAML document of it."""
        plain = json.loads(to_json(value))
        if self.form is Format.YAML:
            self._write(yaml.safe_dump(plain, allow_unicode=True, sort_keys=False))
        else:
            self._write(_escaped(json.dumps(plain, ensure_ascii=False, indent=2)) + "\n")

    def json_line(self, value: Mapping[str, Any]) -> None:
        """Prints one of several results: on a line of its own (JSON Lines), or as a YAML document."""
        if self.form is Format.YAML:
            self._write("---\n")
            self.json(value)
            return
        self._write(_escaped(to_json(value)) + "\n")

    def show(self, renderable: RenderableType) -> None:
        """Prints a table or a text of our own making: plain, where it goes to no terminal."""
        if self.console.is_terminal:
            self.console.print(renderable, soft_wrap=isinstance(renderable, (str, Text)))
            return
        if isinstance(renderable, Table):
            renderable.box = None
            renderable.padding = (0, 2, 0, 0)
        with self.console.capture() as capture:
            self.console.print(renderable, soft_wrap=isinstance(renderable, (str, Text)))
        self._write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

    def line(self, text: str, *, style: str = "", indent: int = 0) -> None:
        """Prints one line; foreign text in it is made printable."""
        self.show(Text(" " * indent + clean(text), style=style))

    def text(self, text: str) -> None:
        """Prints foreign text of several lines."""
        printable = clean_lines(text)
        self._write(printable if not printable or printable.endswith("\n") else f"{printable}\n")

    def note(self, text: str, *, style: str = "dim") -> None:
        """Prints a message that is not a result, on standard error."""
        self.errors.print(Text(clean(text), style=style), soft_wrap=True)

    def error(self, text: str, hint: str = "", *, code: str, exit_code: int) -> None:
        """Prints one line on standard error: the error and what to do.

        Args:
            text: what happened.
            hint: what to do; "" where the text says it.
            code: of the error, stable.
            exit_code: with which the command ends.
        """
        if self.is_json:
            details = {"code": code, "message": clean(text), "hint": clean(hint), "exit_code": int(exit_code)}
            self.errors.file.write(_escaped(to_json({"error": details})) + "\n")
            return
        said = f"{text}; {hint}" if hint else text
        line = Text("flinkjobs: ", style="bold red").append(clean(said), style="not bold default")
        self.errors.print(line, soft_wrap=True)

    def progress(self, what: str) -> Progress:
        """A bar with this text, drawn on a live terminal alone, within a `with` block."""
        parts = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*parts, console=self.console, transient=True, disable=not self.is_live)

    def _write(self, text: str) -> None:
        try:
            self.console.file.write(text)
            self.console.file.flush()
        except BrokenPipeError:
            raise ReaderGone from None


def _console(stream: Any) -> Console:
    is_terminal = stream.isatty()
    return Console(
        file=stream, width=None if is_terminal else PLAIN_COLUMNS, highlight=False, markup=False, emoji=False
    )


def _escaped(text: str) -> str:
    """JSON text whose unprintable characters are JSON's own escapes."""
    return re.sub(
        r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]",
        lambda found: f"\\u{ord(found[0]):04x}",
        text,
    )
