"""A picture of what a command has drawn on its terminal, as SVG: for the pages, from a real run."""

from __future__ import annotations

import io
import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's own, but for the fonts that it would have a browser fetch from elsewhere."""


def svg(frame: str, *, title: str, columns: int) -> str:
    """Draws a frame with its colours in a window of that width; its height follows from its lines.

    Args:
        frame: lines with escape codes for colours, and no others.
        title: of the window.
        columns: of the terminal that it was drawn on.
    """
    console = Console(record=True, file=io.StringIO(), width=columns, force_terminal=True)
    for line in frame.rstrip().splitlines():
        console.print(Text.from_ansi(line), soft_wrap=True)
    return console.export_svg(title=title, code_format=FORMAT, unique_id="flinkjobs")
