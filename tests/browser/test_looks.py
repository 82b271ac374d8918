"""How the page looks, in both languages and themes: stored as pictures, and checked for accessibility."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, SCREENSHOTS
from tests.browser.records import SCRIPT_NAME, many
from tests.browser.test_details import panel
from tests.browser.test_list import rows

if TYPE_CHECKING:
    from tests.browser.conftest import Lab

PICTURE = {"width": 1440, "height": 860}
"""Of this size are the pictures of docs/screenshots, which are some of these, with fewer colours."""
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
VIEWS = {
    "list": "",
    "details": "?job=fails_at_run_time_1795300000004",
    "figures": "?tab=figures&window=30d",
}


def stands(page: Page, view: str) -> None:
    """Waits until a view shows its data."""
    if view == "list":
        expect(rows(page)).to_have_count(50)
    elif view == "details":
        expect(panel(page).locator(".part-spec pre")).to_be_visible()
    else:
        expect(page.locator(".templates tbody tr").first).to_be_visible()
        expect(page.locator(".plot canvas")).to_have_count(3)
    expect(page.locator("#notices .strip").first).to_be_visible()


def violations(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe finds, of any impact: the rule, and where it is broken."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]


@pytest.fixture
def month(lab: Lab) -> Lab:
    """The lab, and a month of jobs."""
    lab.database.flink_jobs.insert_many(list(many(900, now=lab.now, span=timedelta(days=29))))
    harmless = {
        "job_id": "sessions_1795300000008",
        "template_id": "sessions",
        "job_name": "Clicks per session",
    }
    lab.database.flink_jobs.update_one({"job_name": SCRIPT_NAME}, {"$set": harmless})
    return lab


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_pictured(month: Lab, view: str, language: str, theme: str) -> None:
    page = month.open(
        VIEWS[view],
        locale=LANGUAGES[language],
        color_scheme=theme,
        reduced_motion="reduce",
        viewport=PICTURE,
    )
    stands(page, view)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{view}-{language}-{theme}.png")
    page.screenshot(path=SCREENSHOTS / f"{view}-{language}-{theme}-whole.png", full_page=True)
    assert violations(page) == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_a_phone(month: Lab, view: str) -> None:
    page = month.open(VIEWS[view], viewport=PHONE, is_mobile=True, has_touch=True, reduced_motion="reduce")
    stands(page, view)
    page.screenshot(path=SCREENSHOTS / f"{view}-phone.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert violations(page) == []


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_a_reader_who_wishes_so(lab: Lab, wish: str, moves: bool) -> None:
    page = lab.open("?job=fails_at_run_time_1795300000004", reduced_motion=wish)
    expect(panel(page).locator(".part-spec pre")).to_be_visible()
    seconds = panel(page).evaluate("panel => parseFloat(getComputedStyle(panel).animationDuration)")
    assert (seconds > 0.01) is moves
