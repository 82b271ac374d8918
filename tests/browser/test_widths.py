"""The list with no, few and many jobs of every kind, at every width, in both languages and themes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, SCREENSHOTS
from tests.browser.records import cast, many
from tests.browser.test_list import rows
from tests.browser.test_visual import FITS, LANGUAGES, THEMES, violations

if TYPE_CHECKING:
    from tests.browser.conftest import Lab

WIDTHS = {390: 844, 1024: 768, 1440: 900, 1920: 1080}
JOBS = (0, 4, 3_000)
IDS_CUT_OFF = """() => [...document.querySelectorAll("table.jobs .id")]
    .filter(id => id.scrollWidth > id.clientWidth + 1 || getComputedStyle(id).textOverflow === "ellipsis"
        || id.getBoundingClientRect().right > document.documentElement.clientWidth)
    .map(id => id.textContent)"""
CELLS_CUT_OFF = """() => [...document.querySelectorAll("table.jobs :is(td, th)")]
    .filter(cell => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth + 1)
    .map(cell => cell.className + ": " + cell.textContent)"""
OVERLAPPING = """() => [...document.querySelectorAll("table.jobs td.col-job")].filter(cell => {
    const own = cell.getBoundingClientRect();
    const inside = [...cell.querySelectorAll(".id, .copy")];
    return inside.some(each => each.getBoundingClientRect().right > own.right + 1);
}).map(cell => cell.textContent)"""


@pytest.fixture(params=JOBS, ids=lambda count: f"{count} jobs")
def stocked(request: pytest.FixtureRequest, lab: Lab) -> tuple[Lab, int]:
    """The lab with this number of jobs; from eleven on, one of each kind is among them."""
    count = request.param
    kinds = cast(lab.now)
    lab.database.flink_jobs.delete_many({})
    made: list[dict[str, Any]] = kinds[-count:] if count < len(kinds) and count else []
    if count >= len(kinds):
        made = [*many(count - len(kinds), now=lab.now, span=timedelta(days=29)), *kinds]
    if made:
        lab.database.flink_jobs.insert_many(made)
    return lab, count


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_cut_off_and_nothing_scrolls_sideways(stocked: tuple[Lab, int], language: str) -> None:
    lab, count = stocked
    page = lab.open(locale=LANGUAGES[language])
    expect(rows(page)).to_have_count(min(count, 50))
    expect(page.locator("#fresh[data-level=good]")).to_be_visible()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            expect(page.locator(".empty:visible" if count == 0 else "table.jobs:visible")).to_be_visible()
            page.wait_for_function(FITS)
            for cut_off in (IDS_CUT_OFF, CELLS_CUT_OFF, OVERLAPPING):
                assert page.evaluate(cut_off) == [], (theme, width)
            page.screenshot(path=SCREENSHOTS / f"jobs-{count}-{width}-{language}-{theme}.png")
        assert violations(page) == [], theme


def test_the_banners_leave_the_list_in_sight_on_a_phone(lab: Lab) -> None:
    lab.database.sync_runs.delete_many({})
    page = lab.open(viewport=PHONE, is_mobile=True, has_touch=True)
    expect(page.locator("#notices .strip")).to_have_count(2)
    expect(page.get_by_role("searchbox")).to_be_in_viewport()
    expect(rows(page).first.locator(".name")).to_be_in_viewport()


def test_the_filters_of_a_link_stay_folded_on_a_phone(lab: Lab) -> None:
    page = lab.open("?template_id=orders*&submitted_by=li*", viewport=PHONE, is_mobile=True, has_touch=True)
    expect(page.get_by_text("More filters: 2 set")).to_be_in_viewport()
    expect(page.locator("#template_id")).to_be_hidden()
    expect(rows(page).first.locator(".name")).to_be_in_viewport()
    page.get_by_text("More filters: 2 set").tap()
    expect(page.locator("#template_id")).to_have_value("orders*")


def test_the_whole_flink_job_id_is_copied_from_the_list_at_every_width(lab: Lab) -> None:
    page = lab.open(permissions=["clipboard-read", "clipboard-write"])
    row = rows(page).filter(has_text="orders_enrich_1795300000007")
    shown = row.locator(".id-flink")
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        expect(shown).to_have_text(re.compile(r"^[0-9a-f]{32}$"))
        page.evaluate("navigator.clipboard.writeText('')")
        row.get_by_role("button", name="Copy: Flink Job ID").click()
        page.wait_for_function("navigator.clipboard.readText().then(text => text.length === 32)")
        assert page.evaluate("navigator.clipboard.readText()") == shown.inner_text()
