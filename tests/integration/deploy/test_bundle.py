"""The bundles: the same bytes each time, the whole package, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import pytest

from deploy import bundle
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


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bundle_holds_the_whole_package_and_its_data_files(name: str, tmp_path: Path) -> None:
    staged = set(bundle.stage(name, tmp_path).files)
    package = {f"flinkjobs/{path}" for path in files(ROOT / "shared" / "flinkjobs")}
    assert staged - {"main.py", "requirements.txt"} == {path for path in package if "__pycache__" not in path}
    assert {"flinkjobs/web/server.py", "flinkjobs/web/ui/index.html"} <= staged


def test_a_folder_that_is_not_a_bundle_is_not_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "submit" / "thesis.tex"
    mine.parent.mkdir()
    mine.write_text("years of work")
    assert bundle.main(["--output", str(tmp_path)]) == 1
    assert "exists and is not a bundle" in capsys.readouterr().err
    assert mine.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["submit"]


def test_a_file_that_left_the_package_leaves_the_bundle(tmp_path: Path) -> None:
    stale = bundle.stage("cleanup", tmp_path).folder / "flinkjobs" / "stale.py"
    stale.touch()
    bundle.stage("cleanup", tmp_path)
    assert not stale.exists()
