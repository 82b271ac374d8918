"""The tables of `docs/explanation/reliability.md` as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "reliability.md"
MOVES = "moves"
UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells by the column's heading, without back quotes."""

    cells: Mapping[str, str]

    @property
    def id(self) -> str:
        """What stands in the first column."""
        return next(iter(self.cells.values()))


def read(text: str, first_heading: str) -> list[Row]:
    """The rows of every table whose first heading is this one, in their order."""
    rows: list[Row] = []
    headings: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            headings = None
            continue
        cells = [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if headings is None:
            headings = cells
        elif headings[0] == first_heading and not set(line) <= set("|-: "):
            rows.append(Row(dict(zip(headings, cells, strict=True))))
    return rows
