"""Sources use the words of an engineer: none of the words and phrases in `BANNED`."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOT_FILES = ("*.md", "*.yml", "*.toml", "Makefile", ".editorconfig", ".pre-commit-config.yaml")
FOLDERS = (
    ".github",
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
SUFFIXES = (".py", ".js", ".html", ".css", ".md", ".tf", ".yaml", ".yml", ".sh")
SKIPPED = ("tests/data/", "tests/integration/test_plain_words.py")
"""Beginnings of paths that are not searched: recordings, and this list."""

BANNED = (
    *("tell", "tells", "told", "telling", "nobody", "somebody", "whoever", "something"),
    *("so many", "so long", "in vain", "at rest", "spare", "spares", "spared", "hollow", "a look"),
    *("makes true", "costs only itself", "is no record", "of which there is none", "meanwhile"),
    *("beside", "besides", "turn", "turns", "trouble", "troubles", "figures"),
)
WORDS = "|".join(BANNED).replace(" ", r"[\s#]+")
PATTERN = re.compile(rf"(?<![a-z])(?:{WORDS})(?![a-z])", re.IGNORECASE)
"""Whole words, also as a part of a name (`_told`, `NOBODY`), and phrases over the end of a line."""

ALLOWED: dict[tuple[str, str], str] = {
    ("CHANGELOG.md", word): "the former name of what was renamed"
    for word in ("figures", "trouble", "troubles")
}
"""Where a banned word may stand, and why."""


def sources() -> Iterator[Path]:
    """The files that people write: those of the root, and those of FOLDERS with one of SUFFIXES."""
    yield from sorted(path for pattern in ROOT_FILES for path in ROOT.glob(pattern))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in SUFFIXES and not name.startswith(SKIPPED):
                yield path


def found() -> Iterator[tuple[str, int, str]]:
    """Path, line and word of each use."""
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
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
