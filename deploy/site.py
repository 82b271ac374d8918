"""Builds the site of the documentation: `python -m deploy.site`, which `make docs` runs.

MkDocs builds one folder. Every page and file that README.md links to, directly or through other pages, is
copied to `build/docs-source`, at the place that it has in the repository, so that links work in both. A
warning fails the build: a link that leads nowhere, a page that the navigation in `mkdocs.yml` lacks.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "build" / "docs-source"
STYLE: Final = ROOT / "docs" / "site.css"
LINK: Final = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
BLOCK: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FENCE_WORDS: Final = re.compile(r"\A(```\w+) .+$", re.MULTILINE)
INDENT: Final = re.compile(r"^ {3}(?=\S)", re.MULTILINE)


def linked(page: Path) -> list[Path]:
    """The files that a page links to, without other sites."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [(page.parent / target).resolve() for target in LINK.findall(text)]


def reachable(start: Path) -> set[Path]:
    """Every existing file that is reachable by links. MkDocs reports those that lead nowhere."""
    found: set[Path] = set()
    left = [start]
    while left:
        path = left.pop()
        if path not in found and path.is_file():
            found.add(path)
            left += linked(path) if path.suffix == ".md" else []
    return found


def for_mkdocs(page: str) -> str:
    """A page as MkDocs reads it; GitHub's Markdown allows more.

    A code block names its language alone: further words are for tests. What belongs to an item of a list is
    indented by four spaces.
    """
    parts = BLOCK.split(page)  # every second one is a code block
    parts[::2] = [INDENT.sub("    ", text) for text in parts[::2]]
    parts[1::2] = [FENCE_WORDS.sub(r"\1", block) for block in parts[1::2]]
    return "".join(parts)


def stage() -> None:
    """Copies what the site consists of to `build/docs-source`."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for path in {*reachable(ROOT / "README.md"), STYLE}:
        target = SOURCE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(for_mkdocs(path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, target)


def main() -> int:
    """See the module; returns the exit code of MkDocs."""
    stage()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
