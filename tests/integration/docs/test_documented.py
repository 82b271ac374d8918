"""What the code has is documented, and what is documented exists: settings, codes, addresses, links."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

import flinkjobs
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.settings import functions as settings_functions
from tests.integration.docs import api_page

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGE: Final = ROOT / "shared" / "flinkjobs"
ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"
READMES: Final = sorted(ROOT.glob("README*.md"))
PAGES: Final = sorted({*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/**/*.md")})
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE: Final = re.compile(r"`((?!build/)[\w.-]+(?:/[\w.-]+)+\.(?:py|js|css|json|yaml|toml|tf|svg|md))`")
CONSTANT: Final = re.compile(r'^([A-Z0-9_]+): Final = "([A-Z0-9_]+)"$', re.MULTILINE)
FIRST_CELL: Final = re.compile(r"^\| `([A-Za-z0-9_]+)` \|", re.MULTILINE)


def settings_tables() -> Iterator[tuple[Path, set[str]]]:
    for readme in READMES:
        [part] = [part for part in readme.read_text().split("\n## ") if "| `MONGODB_URI` |" in part]
        yield readme, set(FIRST_CELL.findall(part))


def settings_of_the_code() -> set[str]:
    """The settings' attributes carry the variables' names; `_clusters` reads what describes one cluster."""
    read_by_clusters = re.findall(
        r'read\.value\("([A-Z_]+)"', inspect.getsource(settings_functions._clusters)
    )
    assert "FLINK_REST_URL" in read_by_clusters
    return {field.name.upper() for field in dataclasses.fields(settings_functions.Settings)} | set(
        read_by_clusters
    )


def codes_of(heading: str) -> dict[str, str]:
    """The rows below a heading of codes.md: code and second column."""
    [part] = [
        part for part in (ROOT / "docs" / "codes.md").read_text().split("\n## ") if part.startswith(heading)
    ]
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \|", part, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def errors_of_the_code() -> dict[str, int]:
    """Every error's code, and the HTTP status it becomes."""
    for module in pkgutil.walk_packages(flinkjobs.__path__, "flinkjobs."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    found: dict[str, int] = {}
    left: list[type[FlinkjobsError]] = [FlinkjobsError]
    while left:
        error = left.pop()
        found[error.code] = error.http_status
        left.extend(error.__subclasses__())
    return found


def codes_of_reports() -> set[str]:
    """The codes that a pass or a run puts into its report, read off the source: NAME: Final = "NAME"."""
    found: set[str] = set()
    for room in ("domain", "observers", "sync", "cleanup"):
        for path in sorted((PACKAGE / room).glob("*.py")):
            found |= {name for name, value in CONSTANT.findall(path.read_text()) if name == value}
    return found


def test_every_readme_names_every_setting_and_no_other() -> None:
    expected = settings_of_the_code()
    assert len(expected) > 20
    for readme, named in settings_tables():
        assert named == expected, readme.name


def test_every_error_is_explained_with_its_status_and_no_other() -> None:
    explained = codes_of("In an answer")
    statuses = {code: int(text) for code, text in explained.items() if text.isdigit()}
    in_reports = {code for code, text in explained.items() if not text.isdigit()}
    assert statuses == errors_of_the_code()
    assert in_reports == codes_of_reports() - set(statuses)


def test_the_page_of_the_http_interface_is_the_description() -> None:
    document = yaml.safe_load(api_page.SOURCE.read_text())
    assert api_page.PAGE.read_text() == api_page.render(document), (
        "run: python -m tests.integration.docs.api_page"
    )


def test_the_description_names_every_code_that_it_has() -> None:
    known = set(errors_of_the_code())
    named = set(re.findall(r"code: {const: ([A-Z0-9_]+)}", api_page.SOURCE.read_text()))
    assert len(named) > 3
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"


def test_no_page_is_forgotten() -> None:
    """Every page of docs/ is reachable from the README."""
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page.suffix == ".md" and page.exists() and page not in seen:
            seen.add(page)
            left.extend(
                (page.parent / target.partition("#")[0]).resolve()
                for target in LINK.findall(page.read_text())
            )
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= {page.name for page in seen}


def test_the_picture_of_the_house_is_the_contract_of_the_layers() -> None:
    """The rooms stand in the picture by layer, as import-linter holds them apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [layers] = [
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["id"] == "layers"
    ]
    expected = [set(layer.split(" | ")) for layer in layers]
    shown: dict[int, set[str]] = {}
    for number, room in re.findall(r"^(\d)  (\w+) ", ARCHITECTURE.read_text(), re.MULTILINE):
        shown.setdefault(int(number), set()).add(room)
    assert list(shown) == list(range(len(expected), 0, -1))
    assert list(shown.values()) == expected


def test_the_contracts_are_explained_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = [contract["id"] for contract in project["tool"]["importlinter"]["contracts"]]
    [table] = re.findall(r"\| contract \| says \|\n\|---.*?\n\n", ARCHITECTURE.read_text(), re.DOTALL)
    assert FIRST_CELL.findall(table) == contracts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """A path in backticks is one of the checkout, of the package, or of the page's own folder."""
    named = NAMED_FILE.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    roots = (ROOT, PACKAGE, page.parent)
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []
