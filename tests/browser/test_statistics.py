"""The tab *Statistics*: tiles, plots that are also tables, windows of time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.records import many, record
from tests.browser.test_list import query, row, rows

if TYPE_CHECKING:
    from tests.browser.conftest import Lab


NONE = "\N{EN DASH}"


def tile(page: Page, title: str) -> Locator:
    return page.locator(".tile").filter(has=page.get_by_role("heading", name=title, exact=True))


def plot(page: Page, title: str) -> Locator:
    return page.locator(".plot").filter(has=page.get_by_role("heading", name=title, exact=True))


def table(section: Locator) -> dict[str, list[str]]:
    """The cells of a table by their row's heading."""
    cells: list[list[str]] = section.locator("tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    return {first: rest for first, *rest in cells}


def colours(canvas: Locator) -> int:
    """How many different colours a canvas shows; an empty one has a single one."""
    count: int = canvas.evaluate(
        "(canvas) => { const drawn = canvas.getContext('2d');"
        "const {data} = drawn.getImageData(0, 0, canvas.width, canvas.height);"
        "return new Set(new Uint32Array(data.buffer)).size; }"
    )
    return count


def test_tiles_show_the_statistics_of_the_last_day(lab: Lab) -> None:
    page = lab.open("?tab=statistics")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Statistics")
    expect(tile(page, "Jobs").locator(".value")).to_have_text("11")
    expect(tile(page, "Jobs").locator(".hint")).to_have_text("4 are not over yet")
    expect(tile(page, "Failure rate").locator(".value")).to_have_text("18.2 %")  # 2 of 11
    expect(tile(page, "Flink failure rate").locator(".value")).to_have_text("25.0 %")  # 1 of 3 + 1
    expect(tile(page, "Never submitted").locator(".value")).to_have_text("1")
    expect(tile(page, "Lost").locator(".value")).to_have_text("1")
    expect(tile(page, "Average duration").locator(".value")).to_have_text("26 min 45 s")  # 13.909, 1200, 3600
    expect(tile(page, "Median duration").locator(".value")).to_have_text("20 min 00 s")
    expect(tile(page, "Last complete sync").locator(".value")).to_have_text(re.compile(r"\d+ s ago"))
    expect(tile(page, "Last cleanup").locator(".value")).to_have_text("6 h ago")


def test_each_plot_is_drawn_and_is_a_table_too(lab: Lab) -> None:
    page = lab.open("?tab=statistics")
    distribution = plot(page, "Distribution over status")
    expect(distribution.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("FINISHED 3, FAILED 2")
    )
    for title in (
        "Distribution over status",
        "Outcomes by time of submission",
        "Durations of FINISHED jobs",
    ):
        page.wait_for_function(
            "(canvas) => canvas.width > 300", arg=plot(page, title).locator("canvas").element_handle()
        )
        assert colours(plot(page, title).locator("canvas")) > 5
        plot(page, title).get_by_text("As a table").click()
    assert table(distribution)["FAILED"] == ["2", "18.2 %"]
    over_time = table(plot(page, "Outcomes by time of submission"))
    assert len(over_time) == 24
    assert sum(int(cells[1]) for cells in over_time.values()) == 2, "the column FAILED"
    durations = table(plot(page, "Durations of FINISHED jobs"))
    assert {name: cells for name, cells in durations.items() if cells != ["0"]} == {
        "up to 15 s": ["1"],
        "up to 30 min": ["1"],
        "up to 1 h": ["1"],
    }


def test_a_window_of_time_is_chosen_and_stands_in_the_address(lab: Lab) -> None:
    lab.database.flink_jobs.insert_one(
        record("weeks_ago_1794000000000", lab.now - timedelta(days=20), "FAILED")
    )
    page = lab.open("?tab=statistics")
    expect(tile(page, "Jobs").locator(".value")).to_have_text("11")
    page.get_by_role("button", name="30 days").click()
    expect(tile(page, "Jobs").locator(".value")).to_have_text("12")
    expect(page).to_have_url(re.compile("window=30d"))
    expect(page.get_by_role("button", name="30 days")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="All", exact=True).click()
    expect(plot(page, "Outcomes by time of submission")).to_contain_text("Choose 24 hours")
    page.go_back()
    page.go_back()
    expect(tile(page, "Jobs").locator(".value")).to_have_text("11")


def test_templates_are_compared(lab: Lab) -> None:
    lab.database.flink_jobs.delete_many({})
    lab.database.flink_jobs.insert_many(list(many(400, now=lab.now, span=timedelta(days=6))))
    page = lab.open("?tab=statistics&window=7d")
    rows = page.locator(".templates tbody tr")
    expect(rows).to_have_count(6)
    counts = [int(text) for text in rows.locator("td:nth-child(2)").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 400


def test_a_template_leads_to_its_jobs_of_the_same_time_and_to_those_that_failed(lab: Lab) -> None:
    lab.database.flink_jobs.insert_one(record("daily_report_1794000000000", lab.now - timedelta(days=20)))
    page = lab.open("?tab=statistics&window=7d&q=nightly")
    templates = page.locator(".templates tbody")
    failed = templates.get_by_role("link", name="fails_at_run_time, FAILED: 1")
    expect(failed).to_have_count(1)
    failed.click()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Job instances")
    expect(rows(page)).to_have_count(1)
    assert query(page) == {
        "status": ["FAILED"],
        "template_id": ["fails_at_run_time"],
        "range": ["custom"],
        "from": query(page)["from"],
        "window": ["7d"],
    }
    page.go_back()
    templates.get_by_role("link", name="daily_report", exact=True).click()
    expect(rows(page)).to_have_count(1)
    expect(row(page, "daily_report_1795300000005")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="All", exact=True).click()
    templates.get_by_role("link", name="daily_report", exact=True).click()
    expect(rows(page)).to_have_count(2)


def test_a_single_job_is_spoken_of_in_the_singular(lab: Lab) -> None:
    lab.database.flink_jobs.delete_many({"job_id": {"$ne": "daily_report_1795300000005"}})
    page = lab.open("?tab=statistics")
    expect(tile(page, "Average duration").locator(".hint")).to_have_text("of 1 FINISHED job")
    expect(tile(page, "Median duration").locator(".hint")).to_have_text("the only FINISHED job")
    expect(tile(page, "Jobs").locator(".hint")).to_have_text("all of them are over")
    expect(page.locator(".templates h3")).to_have_text("Per template the only one")


def test_without_any_job_the_statistics_are_empty_and_not_wrong(lab: Lab) -> None:
    lab.database.flink_jobs.delete_many({})
    page = lab.open("?tab=statistics")
    expect(tile(page, "Jobs").locator(".value")).to_have_text("0")
    expect(tile(page, "Failure rate").locator(".value")).to_have_text(NONE)
    expect(tile(page, "Average duration").locator(".value")).to_have_text(NONE)
    expect(plot(page, "Distribution over status")).to_contain_text("No jobs in this window.")
    expect(page.locator("#view-statistics .empty .command").first).to_contain_text("flinkjobs submit")


def test_the_bars_begin_at_whole_hours(lab: Lab) -> None:
    page = lab.open("?tab=statistics", timezone_id="UTC")
    over_time = plot(page, "Outcomes by time of submission")
    over_time.get_by_text("As a table").click()
    periods = table(over_time)
    assert len(periods) == 24
    for period in periods:
        assert re.fullmatch(r"\S+ \d\d:00 → \S+ \d\d:00", period)
    expect(page.locator(".statistics-head .since")).to_have_text(
        re.compile(r"^Jobs submitted since \S+ \d\d:00 \(UTC\)$")
    )


@pytest.mark.parametrize("width", [390, 768, 1024, 1440, 1920])
def test_no_column_of_the_templates_is_cut_off(lab: Lab, width: int) -> None:
    page = lab.open("?tab=statistics&window=all", viewport={"width": width, "height": 900})
    cells = page.locator(".templates tbody :is(th, td)")
    expect(cells.first).to_be_visible()
    rights = cells.evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().right)")
    assert max(rights) <= width
    assert page.locator(".templates .scroll").evaluate("box => box.scrollWidth <= box.clientWidth")
