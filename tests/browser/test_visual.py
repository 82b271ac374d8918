"""How the page looks, in both languages and themes: stored as pictures, and checked for accessibility."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, SCREENSHOTS
from tests.browser.records import SCRIPT_NAME, because, many, unmanaged
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
    "statistics": "?tab=statistics&window=30d",
    "unmanaged": "?tab=unmanaged",
}


def stands(page: Page, view: str) -> None:
    """Waits until a view shows its data."""
    if view == "list":
        expect(rows(page)).to_have_count(50)
    elif view == "details":
        expect(panel(page).locator(".part-timeline li").first).to_be_visible()
    elif view == "unmanaged":
        expect(page.locator("#view-unmanaged .cards > li")).to_have_count(2)
    else:
        expect(page.locator(".templates tbody tr").first).to_be_visible()
        expect(page.locator(".plot canvas")).to_have_count(3)
    expect(page.locator("#notices .strip").first).to_be_visible()


THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


def violations(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe finds, of any impact: the rule, and where it is broken."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["target"] for node in each["nodes"]]) for each in found]


@pytest.fixture
def month(act_lab: Lab) -> Lab:
    """The lab with actions, a month of jobs, and one of them unhealthy."""
    lab = act_lab
    health = because("RESTARTING", "java.lang.ArithmeticException: / by zero", lab.now)
    health |= {"state": "unhealthy", "restarts": 12, "tasks": {"total": 2, "running": 2}}
    restarting = {"job_id": "orders_enrich_1795300000007"}
    lab.database.flink_jobs.update_one(restarting, {"$set": {"health": health}})
    lab.database.flink_jobs.insert_many(list(many(900, now=lab.now, span=timedelta(days=29))))
    harmless = {
        "job_id": "sessions_1795300000008",
        "template_id": "sessions",
        "job_name": "Clicks per session",
    }
    lab.database.flink_jobs.update_one({"job_name": SCRIPT_NAME}, {"$set": harmless})
    by_hand = {"state": "RUNNING", "start_time": lab.now - timedelta(hours=2)}
    jobs = [
        {"flink_job_id": digit * 32, "name": "insert-into_sessions", "twin_of": twins, **by_hand}
        for digit, twins in (("1", ["sessions_1795300000008"]), ("2", []))
    ]
    lab.database.unmanaged_jobs.insert_one(unmanaged("default", lab.now, jobs))
    return lab


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_pictured(month: Lab, view: str, language: str) -> None:
    page = month.open(VIEWS[view], locale=LANGUAGES[language], viewport=PICTURE)
    stands(page, view)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.screenshot(path=SCREENSHOTS / f"{view}-{language}-{theme}.png")
        page.screenshot(path=SCREENSHOTS / f"{view}-{language}-{theme}-whole.png", full_page=True)
        assert violations(page) == [], theme


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_a_phone(month: Lab, view: str) -> None:
    page = month.open(VIEWS[view], viewport=PHONE, is_mobile=True, has_touch=True, reduced_motion="reduce")
    stands(page, view)
    page.screenshot(path=SCREENSHOTS / f"{view}-phone.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert violations(page) == []


FITS = "() => document.documentElement.scrollWidth <= innerWidth"
CUT_OFF = """() => [...document.querySelectorAll("table.jobs td:is(.col-status, .col-actions)")]
    .filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"""
"""Statuses and buttons that their cell is too narrow for."""
WIDTHS = (320, 390, 600, 767, 768, 900, 1023, 1024, 1151, 1152, 1279, 1280, 1440, 2560)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_named_and_nothing_is_cut_off_at_any_width(month: Lab, language: str) -> None:
    page = month.open(locale=LANGUAGES[language], reduced_motion="reduce")
    stands(page, "list")
    name = page.locator("table.jobs .name", has_text="Clicks per session")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        expect(name).to_be_visible()
        assert name.evaluate("name => name.scrollWidth <= name.clientWidth"), width
        assert page.evaluate(CUT_OFF) == [], width
        page.wait_for_function(FITS)
        page.locator("#tab-statistics").click()
        expect(page.locator(".plot canvas").first).to_be_visible()
        page.wait_for_function(FITS)  # a plot that was hidden takes its new size when it is seen
        page.locator("#tab-jobs").click()


@pytest.mark.parametrize("view", ["list", "statistics"])
def test_what_was_last_known_stays_legible_while_the_server_is_away(month: Lab, view: str) -> None:
    page = month.open(VIEWS[view], may_fail_to_load=True)
    stands(page, view)
    page.context.set_offline(True)
    page.evaluate(
        "document.dispatchEvent(new Event('visibilitychange'))"
    )  # who returns to the page sees it at once
    expect(page.get_by_role("alert")).to_be_visible()
    shown = page.locator("#view-statistics .tiles" if view == "statistics" else "#view-jobs .sheet")
    expect(shown).to_have_css("filter", "grayscale(1)")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert violations(page) == [], theme


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_a_reader_who_wishes_so(lab: Lab, wish: str, moves: bool) -> None:
    page = lab.open("?job=fails_at_run_time_1795300000004", reduced_motion=wish)
    expect(panel(page).locator(".part-timeline li").first).to_be_visible()
    seconds = panel(page).evaluate("panel => parseFloat(getComputedStyle(panel).animationDuration)")
    assert (seconds > 0.01) is moves
