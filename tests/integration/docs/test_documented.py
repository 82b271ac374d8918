"""What the code has is documented, and what is documented exists: settings, codes, addresses, links."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
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
READMES: Final = sorted(ROOT.glob("README*.md"))
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/**/*.md")])
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
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
    for module in pkgutil.iter_modules(flinkjobs.__path__, "flinkjobs."):
        importlib.import_module(module.name)
    found: dict[str, int] = {}
    left: list[type[FlinkjobsError]] = [FlinkjobsError]
    while left:
        error = left.pop()
        found[error.code] = error.http_status
        left.extend(error.__subclasses__())
    return found


def codes_of_reports() -> set[str]:
    """The codes that a flow puts into a report by itself, read off its source: NAME = "NAME"."""
    found: set[str] = set()
    for path in (PACKAGE / "sync.py", PACKAGE / "cleanup.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(node.value, ast.Constant)
                and node.value.value == node.target.id
            ):
                found.add(node.target.id)
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
        if target.startswith(("http://", "https://", "mailto:", "#")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve()
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


def test_the_picture_of_the_house_names_every_module() -> None:
    house = (ROOT / "docs" / "architecture.md").read_text().split("## The house")[1].split("## One record")[0]
    named = set(re.findall(r"[a-z_]+", house))
    modules = {module.name for module in pkgutil.iter_modules(flinkjobs.__path__)}
    assert modules <= named, modules - named
