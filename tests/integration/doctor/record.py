"""Records what doctor says of a real system, for docs/how-to/operations.md and the README's picture.

    python -m pytest tests/integration/doctor/test_operations.py --record-docs

writes them anew; without `--record-docs` the same tests hold what is written to what doctor says.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

from rich.console import Console
from typer.testing import Result

from flinkjobs.cli import doctor as command
from flinkjobs.cli.output import Format, Output
from flinkjobs.doctor.findings import Finding, Verdict
from tests.support.picture import svg

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = DOCS / "how-to" / "operations.md"
PICTURE = DOCS / "flinkjobs-doctor.svg"
COLUMNS = 112
BLOCK = re.compile(r"(?<=<!-- doctor: )(\w+)( -->\n\n```text\n)(.*?)(?=```\n)", re.DOTALL)
"""A transcript: the name of the problem, what stands between, and the text."""


def draw(result: Result) -> Console:
    """What the command shows on a terminal, for the findings that it has printed as JSON."""
    out = Output(Format.TABLE)
    out.console = Console(
        record=True, force_terminal=True, width=COLUMNS, file=io.StringIO(), highlight=False, markup=False
    )
    findings = [
        Finding(**{**entry, "verdict": Verdict(entry["verdict"])})
        for entry in json.loads(result.stdout)["findings"]
    ]
    out.console.print("$ flinkjobs doctor", style="bold")
    command.show(out, findings)
    return out.console


def text_of(console: Console) -> str:
    """The lines as they stand in the page."""
    return "".join(f"{line.rstrip()}\n" for line in console.export_text(clear=False).splitlines())


def svg_of(console: Console) -> str:
    """The picture."""
    coloured = console.export_text(clear=False, styles=True)
    return svg(coloured.rstrip("\n"), title="flinkjobs doctor", columns=COLUMNS)


def steady(text: str) -> str:
    """A transcript without what differs from run to run, and without its line breaks."""
    words = "".join(text.split())
    words = re.sub(r"flink-py-etl-[0-9a-f]{8}(-\w{5})?", "JOB", words)
    words = re.sub(r'ImagePullBackOff:Back-offpullingimage"[^"]*":', "", words)  # every other time
    return re.sub(r"\d+", "N", words)
