"""The list of jobs as it is printed: golden transcripts at several widths, and without a terminal."""

from __future__ import annotations

import io
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from flinkjobs.cli.app import command
from flinkjobs.cli.examples import EXAMPLES
from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.cli.formatting import age
from flinkjobs.cli.jobs import _show_page
from flinkjobs.cli.output import Format, Output
from flinkjobs.cli.times import point_in_time

DATA: Final = Path(__file__).resolve().parents[2] / "data" / "cli"
NOON: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "width"),
    [("table", 80), ("table", 100), ("table", 200), ("table", None), ("wide", None), ("name", 100)],
)
def test_a_list_is_printed_as_in_its_transcript(form: str, width: int | None) -> None:
    out, printed = Output(Format(form)), io.StringIO()
    out.console = Console(
        file=printed, width=width or 10_000, force_terminal=width is not None, color_system=None
    )
    _show_page(out, json.loads((DATA / "page.json").read_text(encoding="utf-8")))
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    golden = DATA / f"jobs-{form}-{width or 'no-terminal'}.txt"
    assert lines == golden.read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= (width or 10_000)


@pytest.mark.parametrize(
    ("submitted_at", "expected"),
    [
        ("2026-11-01T11:59:18+00:00", "42 s"),
        ("2026-11-01T12:00:30+00:00", "0 s"),
        ("2026-11-01T11:54:59+00:00", "5 min"),
        ("2026-11-01T08:30:00+00:00", "3 h"),
        ("2026-10-20T11:00:00+00:00", "12 d"),
        ("2026-10-20T11:00:00", None),
        ("no time", None),
        (None, None),
    ],
)
def test_an_age_is_in_its_largest_unit(submitted_at: str | None, expected: str | None) -> None:
    assert age(submitted_at, NOON) == expected


@pytest.mark.parametrize(("given", "seconds"), [("30s", 30), ("15m", 900), ("2h", 7_200), ("7d", 604_800)])
def test_a_time_is_given_as_how_long_ago(given: str, seconds: int) -> None:
    before = datetime.now(UTC)
    read = datetime.fromisoformat(point_in_time("--since", given))
    assert before.timestamp() - seconds <= read.timestamp() <= datetime.now(UTC).timestamp() - seconds


def test_a_time_is_given_in_iso_8601() -> None:
    assert point_in_time("--since", "2026-11-01T09:30:00Z") == "2026-11-01T09:30:00Z"
    with pytest.raises(MisuseError, match="--until must be a time in ISO 8601, or how long ago"):
        point_in_time("--until", "yesterday")


def commands(part: Any, words: str = "") -> dict[str, Any]:
    """Every command by its words."""
    if not hasattr(part, "commands"):
        return {words: part}
    found: dict[str, Any] = {}
    for name, child in part.commands.items():
        found |= commands(child, f"{words} {name}".strip())
    return found


def test_every_command_has_examples_that_it_understands() -> None:
    known = commands(command())
    assert known.keys() == EXAMPLES.keys()
    for words, lines in EXAMPLES.items():
        assert lines
        for line in lines:
            program, *arguments = shlex.split(line.partition(" | ")[0])
            assert program == "flinkjobs"
            given = arguments[len(words.split()) :]
            known[words].make_context(words, given, resilient_parsing=False).close()


def test_a_help_text_names_plain_options_and_shows_its_examples() -> None:
    jobs = commands(command())["jobs"]
    with jobs.make_context("flinkjobs jobs", []) as context:
        text = jobs.get_help(context)
    assert "<bool>" not in text
    assert "--status STATUS" in text
    assert "  flinkjobs jobs --status RUNNING --since 2h\n" in text
