"""The files of a release, and the version wherever it is written."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from deploy import release
from deploy.lock import FUNCTIONS
from flinkjobs import __version__

ROOT = Path(__file__).parents[3]
VERSION = re.escape(__version__)
WRITTEN = {
    "CHANGELOG.md": rf"^## {VERSION} - ",
    "deploy/README.md": rf"--tag REGISTRY/flinkjobs:{VERSION} build\n.*push REGISTRY/flinkjobs:{VERSION}$",
    "deploy/kubernetes/kustomization.yaml": rf"^    newTag: {VERSION}$",
    "docs/reference/openapi.yaml": rf"^  version: {VERSION}$",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("release") / "files"
    assert release.main(["--tag", f"v{__version__}", "--output", str(output)]) == 0
    return output


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        return set(opened.namelist())


def test_release_has_bundles_wheel_image_recipe_and_notes(made: Path) -> None:
    zips = {f"flinkjobs-{name}-{__version__}.zip" for name in (*FUNCTIONS, "image")}
    assert {path.name for path in made.iterdir()} == zips | {
        f"flinkjobs-{__version__}-py3-none-any.whl",
        "notes.md",
    }
    assert "### Added" in (made / "notes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bundle_holds_the_function_and_the_package(name: str, made: Path) -> None:
    archive = made / f"flinkjobs-{name}-{__version__}.zip"
    assert {"main.py", "requirements.txt", "flinkjobs/web/ui/index.html"} <= names(archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("main.py") == (ROOT / "functions" / name / "main.py").read_bytes()


def test_image_recipe_holds_what_the_dockerfile_copies(made: Path) -> None:
    files = names(made / f"flinkjobs-image-{__version__}.zip")
    assert "Dockerfile" in files
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    wanted = set(re.findall(r"--requirement ([^\s;]+)", dockerfile))
    assert len(wanted) == len(FUNCTIONS)
    assert wanted <= files


def test_wheel_holds_the_page_and_the_type_marker(made: Path) -> None:
    wheel = names(made / f"flinkjobs-{__version__}-py3-none-any.whl")
    assert {"flinkjobs/py.typed", "flinkjobs/web/ui/index.html", "flinkjobs/cli/app.py"} <= wheel


def test_release_with_another_tag_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["--tag", "v0.0.1", "--output", str(tmp_path / "files")]) == 1
    assert capsys.readouterr().err == (
        f"deploy.release: the tag is v0.0.1, and the version in flinkjobs/__init__.py is {__version__}\n"
    )
    assert not (tmp_path / "files").exists()


CHANGELOG = (
    "# Changelog\n\n## 1.10.0 - 2026-01-02\n\nNew.\n\n## 1.1.0\n\nOld.\n\n### Added\n\n- a\n\n## 1.0.0\n"
)


@pytest.mark.parametrize(
    ("version", "expected"), [("1.10.0", "New.\n"), ("1.1.0", "Old.\n\n### Added\n\n- a\n")]
)
def test_notes_are_the_section_of_the_version(version: str, expected: str) -> None:
    assert release.notes(CHANGELOG, version) == expected


@pytest.mark.parametrize("version", ["1.0.0", "1.1"])
def test_notes_of_an_empty_or_absent_section_are_refused(version: str) -> None:
    with pytest.raises(release.ReleaseError, match=f"nothing about version {version}"):
        release.notes(CHANGELOG, version)


@pytest.mark.parametrize("file", WRITTEN)
def test_version_is_the_same_wherever_it_is_written(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(WRITTEN[file], text, re.MULTILINE), f"{file} does not say {__version__}"
