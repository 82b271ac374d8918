"""Sources use the words of an engineer: none of the words and phrases in `BANNED`."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "bench",
    "deploy",
    "docs",
    "doubles",
    "examples",
    "functions",
    "local",
    "shared",
    "terraform",
    "tests",
)
SUFFIXES = (".py", ".js", ".md", ".tf", ".yaml", ".sh")
SKIPPED = ("tests/browser/", "tests/data/", "tests/integration/test_plain_words.py")
"""Beginnings of paths that are not searched: recordings, the tests of the page, and this list."""

BANNED = (
    *("tell", "tells", "told", "telling", "nobody", "somebody", "whoever", "something"),
    *("so many", "so long", "in vain", "at rest", "spare", "spares", "spared", "hollow", "a look"),
    *("makes true", "costs only itself", "is no record", "of which there is none", "whose turn", "meanwhile"),
)
WORDS = "|".join(BANNED).replace(" ", r"[\s#]+")
PATTERN = re.compile(rf"(?<![a-z])(?:{WORDS})(?![a-z])", re.IGNORECASE)
"""Whole words, also as a part of a name (`_told`, `NOBODY`), and phrases over the end of a line."""

ALLOWED: dict[tuple[str, str], str] = {}
"""Where a banned word may stand, and why."""


def found() -> Iterator[tuple[str, int, str]]:
    """Path, line and word of each use."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in SUFFIXES and not name.startswith(SKIPPED):
                text = path.read_text(encoding="utf-8")
                for use in PATTERN.finditer(text):
                    word = re.sub(r"[\s#]+", " ", use[0]).lower()
                    yield name, text.count("\n", 0, use.start()) + 1, word


def test_sources_have_no_banned_word() -> None:
    """A use that is right is added to ALLOWED with its reason; one that is gone is removed there."""
    uses = list(found())
    banned = [f"{path}:{line}: {word}" for path, line, word in uses if (path, word) not in ALLOWED]
    assert not banned, "\n".join(banned)
    assert {(path, word) for path, _, word in uses} == set(ALLOWED)
