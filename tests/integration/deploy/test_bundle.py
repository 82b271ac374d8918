"""The bundles: the same bytes each time, what a function imports, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy import bundle
from deploy.bundle import BundleError, Needs
from deploy.lock import FUNCTIONS

ROOT = Path(__file__).parents[3]


def tree(folder: Path) -> dict[str, tuple[int, float, str]]:
    """Mode, time and content of everything below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): (
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime,
            "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
    }


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_two_builds_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle.main(["--output", str(tmp_path / "first")]) == 0
    said = capsys.readouterr().out
    before = os.umask(0o077)
    try:
        assert bundle.main(["--output", str(tmp_path / "second")]) == 0
        assert bundle.main(["--output", str(tmp_path / "second")]) == 0  # over the last one
    finally:
        os.umask(before)
    assert capsys.readouterr().out == said * 2
    first = tree(tmp_path / "first")
    assert {path: seen for path, seen in first.items() if path not in FUNCTIONS} == {
        path: seen for path, seen in tree(tmp_path / "second").items() if path not in FUNCTIONS
    }
    assert {mode for mode, _, digest in first.values() if digest} == {0o644}
    assert {mode for mode, _, digest in first.values() if not digest} == {0o755}
    assert {time for _, time, _ in first.values()} == {315_532_800}
    lines = re.findall(r"^(\w+) +(\d+) files +(\d+\.\d) KiB  sha256 ([0-9a-f]{64})$", said, re.MULTILINE)
    assert [name for name, *_ in lines] == ["submit", "sync", "cleanup", "jobs"]
    assert len({digest for *_, digest in lines}) == 4


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_hash_is_that_of_every_path_and_content(name: str, tmp_path: Path) -> None:
    made = bundle.stage(name, tmp_path)
    paths = sorted(files(made.folder))
    text = "".join(
        f"{path}\0{hashlib.sha256((made.folder / path).read_bytes()).hexdigest()}\n" for path in paths
    )
    assert made.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert list(made.files) == paths
    assert made.size == sum((made.folder / path).stat().st_size for path in paths)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_staged_are_copies(name: str, tmp_path: Path) -> None:
    made = bundle.stage(name, tmp_path)
    for path in made.files:
        source = ROOT / ("shared" if path.startswith("flinkjobs/") else f"functions/{name}") / path
        assert (made.folder / path).read_bytes() == source.read_bytes()


OWN = {
    "submit": {"submit", "request", "fetch", "signature"},
    "sync": {"sync", "decide", "harvest", "snapshots"},
    "cleanup": {"cleanup", "retention", "sync", "decide", "harvest", "snapshots"},
    "jobs": {"page/__init__", "page/index", "exposition"},
}
"""Modules and files by which each function is known. Cleanup looks at what is unsettled as a pass does."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_carries_its_own_and_not_what_is_for_others(name: str, tmp_path: Path) -> None:
    """Which files these are exactly is compared with what is imported by the running functions."""
    staged = files(bundle.stage(name, tmp_path).folder)
    stems = {path.removeprefix("flinkjobs/").rpartition(".")[0] for path in staged}
    assert OWN[name] <= stems
    assert {"main.py", "requirements.txt", "flinkjobs/__init__.py", "flinkjobs/bootstrap.py"} <= staged
    assert [path for path in staged if "/cli/" in path or "__pycache__" in path] == []
    assert not stems & {"adapters/scheduler", "doctor", "examine"}
    others = set().union(*OWN.values()) - OWN[name]
    assert not stems & others


def test_what_lies_in_the_place_of_a_bundle_is_not_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "submit" / "thesis.tex"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert bundle.main(["--output", str(tmp_path)]) == 1
    assert "exists and is no bundle" in capsys.readouterr().err
    assert mine.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["submit"]


def test_a_file_that_is_no_longer_needed_goes(tmp_path: Path) -> None:
    stale = bundle.stage("cleanup", tmp_path).folder / "flinkjobs" / "stale.py"
    stale.touch()
    bundle.stage("cleanup", tmp_path)
    assert not stale.exists()


def needs(tmp_path: Path, main: str, **modules: str) -> set[str]:
    """What a program comes to import of a package of these modules; `__` in a name stands for a dot."""
    sources: Mapping[str, str] = {"main.py": main, "flinkjobs/__init__.py": ""} | {
        f"flinkjobs/{name.replace('__', '/')}.py": source for name, source in modules.items()
    }
    for path, source in sources.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        if file.parent.name == "sub":
            (file.parent / "__init__.py").touch()
    found = Needs(tmp_path / "main.py", tmp_path).modules
    return {name.removeprefix("flinkjobs").removeprefix(".") for name in found} - {""}


LATE = "class A:\n  def f(self):\n    from flinkjobs import a\n\ndef b():\n  from flinkjobs.b import x\n"


@pytest.mark.parametrize(
    ("main", "modules", "expected"),
    [
        ("import os, httpx", {"a": ""}, set()),
        ("import flinkjobs.a", {"a": "import flinkjobs.b", "b": "", "c": ""}, {"a", "b"}),
        ("from flinkjobs import a", {"a": "from flinkjobs.b import x", "b": "x = 1"}, {"a", "b"}),
        ("from flinkjobs.sub import x", {"sub__x": "", "sub__y": ""}, {"sub", "sub.x"}),
        ("from flinkjobs import late\nlate.A()", {"late": LATE, "a": "", "b": ""}, {"late", "a"}),
        ("from flinkjobs import late as l\nl.b()", {"late": LATE, "a": "", "b": ""}, {"late", "b"}),
        ("from flinkjobs.late import A as X\nX()", {"late": LATE, "a": "", "b": ""}, {"late", "a"}),
        ("from flinkjobs import late\nprint(late)", {"late": LATE, "a": "", "b": ""}, {"late", "a", "b"}),
        ("from flinkjobs import late", {"late": LATE, "a": "", "b": ""}, {"late"}),
        ("from flinkjobs import late", {"late": LATE + "A()", "a": "", "b": ""}, {"late", "a"}),
        (
            "from flinkjobs.late import f\nf()",
            {"late": "def f():\n  return g()\n\ndef g():\n  import flinkjobs.a", "a": ""},
            {"late", "a"},
        ),
        (
            "from flinkjobs.late import f\nf()",
            {"late": "from flinkjobs import a\ndef f(): return a.g()", "a": "def g():\n  import flinkjobs.b"}
            | {"b": ""},
            {"late", "a", "b"},
        ),
        (
            "from flinkjobs import a",
            {"a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import flinkjobs.b\n", "b": ""},
            {"a"},
        ),
        (
            "from flinkjobs import a",
            {"a": "if TYPE_CHECKING:\n  import flinkjobs.b\nelse:\n  import flinkjobs.c", "b": "", "c": ""},
            {"a", "c"},
        ),
        (
            "from flinkjobs import a",
            {"a": "try:\n  import flinkjobs.b\nexcept ImportError:\n  pass", "b": ""},
            {"a", "b"},
        ),
        (
            "from flinkjobs import a\na.f()",
            {
                "a": "from flinkjobs import b\ndef f():\n  import flinkjobs.c",
                "b": "from flinkjobs import a\na.f()",
            }
            | {"c": ""},
            {"a", "b", "c"},
        ),
        ("def f():\n  import flinkjobs.a", {"a": ""}, {"a"}),
        (
            "from flinkjobs import a",
            {"a": "@d\ndef f(): pass\ndef d(x):\n  import flinkjobs.b", "b": ""},
            {"a", "b"},
        ),
    ],
)
def test_imports_are_followed(main: str, modules: dict[str, str], expected: set[str], tmp_path: Path) -> None:
    assert needs(tmp_path, main, **modules) == expected


def test_a_relative_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a relative import cannot be followed"):
        needs(tmp_path, "from flinkjobs import a", a="from . import b", b="")
