"""The page's files: what is served, what it says in both languages, and that it holds nothing unsafe."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from flinkjobs.domain.errors import NotFoundError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.reasons import ProblemKind
from flinkjobs.domain.records import IdSource
from flinkjobs.jobs.problems import LAG_CODES, PROBLEM_OF
from flinkjobs.web import ui

FOLDER = Path(ui.__file__).parent
LIBRARY = "chart.umd.min.js"
OURS = sorted(ui.names() - {LIBRARY})
SCRIPTS = [name for name in OURS if name.endswith(".js")]
ENGLISH, CHINESE = ui.words("en"), ui.words("zh")

PREFIXES = (
    *("col", "details", "error", "fact", "statistics", "flink", "fresh", "k8s", "lag", "language", "list"),
    *("log", "notice", "page", "range", "reason", "status", "timeline", "tab", "theme", "problem", "unit"),
    *("unmanaged", "verdict", "window", "columns", "part", "sort", "times", "health", "state", "action"),
    "who",
)
"""What every key begins with."""


def source(name: str) -> str:
    return ui.file(name).content.decode()


# --- what is served -----------------------------------------------------------------------------------


def test_every_file_has_its_type_and_a_name_for_its_content() -> None:
    index = ui.file(ui.INDEX)
    assert index.content.startswith(b"<!doctype html>")
    assert index.content_type == "text/html; charset=utf-8"
    assert ui.file("main.js").content_type == "text/javascript; charset=utf-8"
    assert ui.file("style.css").content_type == "text/css; charset=utf-8"
    assert ui.file("messages.zh.json").content_type == "application/json"
    assert ui.file("icon.svg").content_type == "image/svg+xml"
    assert len({ui.file(name).etag for name in ui.names()}) == len(ui.names())


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../web.py", "__init__.py", "THIRD_PARTY.md", "chart.LICENSE.md", "main.js/", "a\0.js"],
)
def test_nothing_else_is_served(name: str) -> None:
    with pytest.raises(NotFoundError, match="the page has no file"):
        ui.file(name)


def test_all_that_a_file_refers_to_is_served() -> None:
    """Scripts, styles, pictures and words; by addresses relative to the page or to the script."""
    imports = {
        name for script in SCRIPTS for name in re.findall(r'(?:from|import\() ?"\./([^"]+)"', source(script))
    }
    assets = set(re.findall(r'(?:href|src)="assets/([^"]+)"', source(ui.INDEX)))
    assert imports | assets | {"messages.en.json", "messages.zh.json", ui.INDEX} == ui.names()


def test_the_policy_allows_no_script_but_the_pages_own() -> None:
    policy = dict(part.split(" ", 1) for part in ui.HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("name", OURS)
def test_no_file_builds_markup_from_text_or_loads_from_elsewhere(name: str) -> None:
    unsafe = (
        r"\b(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
        r"|<script(?! type=\"module\" src=\"assets/)|<style|\sstyle=|\son\w+=\"|javascript:"
        r"|(?<!xmlns=\")https?://"
    )
    assert re.findall(unsafe, source(name)) == []


def test_the_library_is_the_file_that_its_notice_names() -> None:
    notice = (FOLDER / "THIRD_PARTY.md").read_text(encoding="utf-8")
    row = next(line for line in notice.splitlines() if line.startswith(f"| `{LIBRARY}`"))
    content = ui.file(LIBRARY).content
    version = re.search(rb"Chart\.js v(\S+)", content)
    assert version is not None
    assert f"| {version[1].decode()} | MIT" in row
    assert hashlib.sha256(content).hexdigest() in row
    assert "Chart.js Contributors" in (FOLDER / "chart.LICENSE.md").read_text(encoding="utf-8")


# --- words --------------------------------------------------------------------------------------------


def test_both_languages_say_the_same_things_with_the_same_gaps() -> None:
    def gaps(words: str) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", words))

    assert [key for key in ENGLISH if not key.endswith(".one")] == list(CHINESE)
    assert {
        key for key in ENGLISH if key.endswith(".one") and key.removesuffix(".one") not in ENGLISH
    } == set()
    assert {key for key in CHINESE if gaps(ENGLISH[key]) != gaps(CHINESE[key])} == set()
    assert {key for key, words in {**ENGLISH, **CHINESE}.items() if not words.strip()} == set()


def test_every_word_that_the_system_writes_is_explained() -> None:
    lags = {*LAG_CODES, "NEVER_SYNCED", "SYNC_STALE", "SYNC_INCOMPLETE", "CLUSTER_UNREACHABLE"}
    needed = {
        *(f"status.{status}" for status in Status),
        *(f"status.{status}.means" for status in Status),
        *(f"reason.{code}.title" for code in PROBLEM_OF),
        *(f"problem.{kind}.{part}" for kind in ProblemKind for part in ("title", "check")),
        *(f"lag.{code}" for code in lags),
        *(f"lag.{code}.check" for code in lags),
        *(f"k8s.phase.{phase}" for phase in JobPhase),
        *(f"flink.source.{where}" for where in IdSource),
    }
    assert needed - ENGLISH.keys() == set()


def test_every_key_that_a_script_names_exists_and_every_key_is_named() -> None:
    """A key is written whole, or its beginning is, where its end is a status, a code, an event."""
    text = "\n".join(source(name) for name in [*SCRIPTS, ui.INDEX])
    named = set(re.findall(rf'["`]((?:{"|".join(PREFIXES)})\.[A-Za-z0-9_.$]+)', text))
    whole = {key for key in named if "$" not in key}
    beginnings = {key.partition("$")[0] for key in named if "$" in key}
    missing = {key for key in whole - ENGLISH.keys() if not key.endswith(".js")}
    assert missing == set()
    unused = {
        key
        for key in ENGLISH
        if key not in whole and not any(key.startswith(beginning) for beginning in beginnings)
    }
    assert {key for key in unused if key.removesuffix(".one") not in whole} == set()
