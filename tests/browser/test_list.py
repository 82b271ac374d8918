"""The tab *Job instances*: what the table says, filters, pages, and refreshing that disturbs no reader."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect

from local.functions import FunctionServer
from tests.browser.conftest import PHONE
from tests.browser.records import (
    FLINK_IDS,
    SCRIPT_NAME,
    because,
    in_flink,
    many,
    old_platform,
    record,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.browser.conftest import Lab, OpenPage

TO = "\N{EN DASH}"
CHANGE_MS = 2_000
"""From the write to the page."""
NEWEST_FIRST = [
    ("user_features_1795300000010", "CREATED"),
    ("clicks_hourly_1795300000009", "CREATED"),
    ("xss_1795300000008", "SUSPENDED"),
    ("orders_enrich_1795300000007", "RUNNING"),
    ("raises_before_submitting_1795300000006", "FAILED"),
    ("daily_report_1795300000005", "FINISHED"),
    ("fails_at_run_time_1795300000004", "FAILED"),
    ("recommender_train_1795300000003", "LOST"),
    ("two_inserts_1795300000002", "FINISHED"),
    ("sessions_archive_1795300000001", "CANCELLED"),
    ("old_platform_1795300000000", "FINISHED"),
]


def rows(page: Page) -> Locator:
    return page.locator("table.jobs tbody tr")


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f'table.jobs tbody tr[data-key="{job_id}"]')


def shown(page: Page) -> list[str]:
    """The job ids of the table, once it stands."""
    rows(page).first.wait_for()
    ids: list[str] = rows(page).evaluate_all("rows => rows.map((row) => row.dataset.key)")
    return ids


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def details_of(row_: Locator) -> Locator:
    """The button that opens a row's job."""
    return row_.get_by_role("button", name=re.compile("^(Details of|.*的详情|详情)"))


def chip(page: Page, status: str) -> Locator:
    return page.locator(f'.chips button[data-status="{status}"]')


def test_every_kind_of_record_is_listed_newest_first(lab: Lab) -> None:
    page = lab.open()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))
    seen = rows(page).evaluate_all(
        "rows => rows.map((row) => [row.dataset.key, row.querySelector('.chip').textContent])"
    )
    assert [tuple(each) for each in seen] == NEWEST_FIRST
    expect(page.get_by_role("heading", level=1)).to_have_text("Flink job management")
    expect(page.get_by_role("tab", selected=True)).to_have_text("Job instances")


def test_row_shows_name_ids_template_times_duration_and_reason(lab: Lab) -> None:
    page = lab.open()
    failed = row(page, "fails_at_run_time_1795300000004")
    expect(failed.locator(".name")).to_have_text("Amounts per shop")
    expect(failed.locator(".id-job")).to_have_text("fails_at_run_time_1795300000004")
    expect(failed.locator(".id-flink")).to_have_text(FLINK_IDS["broken"])
    expect(failed.locator(".col-template")).to_have_text("fails_at_run_time")
    expect(failed.locator(".elapsed")).to_have_text("9.0 s")
    expect(failed.locator(".code")).to_have_text("JOB_FAILED")
    expect(failed.locator(".message")).to_have_text("ValueError: amount -3 is negative")
    submitted = (lab.now - timedelta(hours=3)).astimezone(UTC)
    expect(failed.locator("time")).to_have_attribute(
        "title", re.compile(f"{submitted:%Y-%m-%d %H:%M:%S}.*UTC")
    )
    there = submitted + timedelta(hours=8)  # in Shanghai, where this browser is
    expect(failed.locator("time .clock")).to_have_text(f"{there:%H:%M:%S}")
    expect(row(page, "two_inserts_1795300000002").locator(".id-more")).to_have_text("and 1 more")


def test_a_record_of_the_old_platform_stands_among_the_new_ones(lab: Lab) -> None:
    page = lab.open()
    old = row(page, "old_platform_1795300000000")
    expect(old.locator(".elapsed")).to_have_text("20 min 00 s")
    expect(old.locator(".id-flink")).to_have_text(FLINK_IDS["old"])
    submitted = (lab.now - timedelta(hours=22)).replace(microsecond=0)
    expect(old.locator("time")).to_have_attribute("datetime", f"{submitted:%Y-%m-%dT%H:%M:%S}.000Z")


def test_a_record_that_cannot_be_read_says_so_and_hides_no_other(lab: Lab) -> None:
    lab.database.flink_jobs.insert_one(unreadable(lab.now - timedelta(minutes=1)))
    page = lab.open()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST) + 1)
    bad = row(page, "unreadable_1795300000011")
    expect(bad.locator(".chip")).to_have_text("UNREADABLE")
    expect(bad.locator(".message")).to_contain_text("This record cannot be read")


def test_a_record_that_is_repaired_and_one_that_breaks_are_shown_without_a_reload(lab: Lab) -> None:
    broken = "unreadable_1795300000011"
    lab.database.flink_jobs.insert_one(unreadable(lab.now - timedelta(minutes=1)))
    page = lab.open()
    expect(row(page, broken).locator(".chip")).to_have_text("UNREADABLE")
    lab.database.flink_jobs.update_one({"job_id": broken}, {"$set": {"flink_jobs": [], "status": "LOST"}})
    expect(row(page, broken).locator(".chip")).to_have_text("LOST")
    expect(row(page, broken).locator("time")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    lab.database.flink_jobs.update_one({"job_id": broken}, {"$set": {"submitted_at": None}})
    expect(row(page, broken).locator(".chip")).to_have_text("UNREADABLE")
    expect(row(page, broken).locator("time")).to_have_count(0)


def test_two_records_of_one_job_id_are_two_rows_however_often_they_are_refreshed(lab: Lab) -> None:
    """Two that the old platform wrote, before the index forbade it."""
    twice = old_platform(lab.now - timedelta(minutes=2)) | {"job_id": "twice_1"}
    lab.database.flink_jobs.insert_many([twice, twice | {"_id": "second", "status": "FAILED"}])
    page = lab.open()
    expect(row(page, "twice_1")).to_have_count(2)
    lab.database.flink_jobs.insert_one(record("just_now_1795300000099", datetime.now(UTC)))
    expect(row(page, "just_now_1795300000099")).to_be_attached()
    expect(row(page, "twice_1")).to_have_count(2)
    seen = row(page, "twice_1").locator(".chip").all_inner_texts()
    assert sorted(seen) == ["FAILED", "FINISHED"]
    lab.database.flink_jobs.delete_one({"_id": "second"})
    expect(row(page, "twice_1")).to_have_count(1)


@pytest.mark.parametrize(
    ("zone", "said"),
    [("Asia/Shanghai", r"UTC\+8"), ("America/St_Johns", "UTC-[23]:30"), ("UTC", "UTC")],
)
def test_the_readers_distance_from_utc_is_said_once(lab: Lab, zone: str, said: str) -> None:
    page = lab.open(timezone_id=zone)
    shown(page)
    chosen = page.get_by_role("combobox", name="Times").locator("option:checked")
    expect(chosen).to_have_text(re.compile(f"^date and time, {said}$"))
    assert len(re.findall(r"\bUTC", page.locator("main").inner_text())) == 1


def test_times_are_shown_as_how_long_ago_when_the_reader_wishes_so(lab: Lab) -> None:
    page = lab.open()
    submitted = row(page, "orders_enrich_1795300000007").locator(".col-submitted")
    page.get_by_role("combobox", name="Times").select_option("relative")
    expect(submitted).to_have_text("30 min ago")
    expect(submitted.locator("time")).to_have_attribute("title", re.compile("UTC"))
    expect(page.get_by_role("combobox", name="Times")).to_be_focused()
    page.reload()
    expect(submitted).to_have_text("30 min ago")


def test_columns_are_chosen_and_remembered(lab: Lab) -> None:
    page = lab.open()
    shown(page)
    headings = page.locator("table.jobs th:visible")
    default = ["Status", "Job", "Template", "Submitted ↓", "Duration", "Reason", "Details"]
    assert [text.strip() for text in headings.all_inner_texts()] == [
        text.removesuffix(" ↓") for text in default
    ]
    page.locator("#columns").click()
    for name in ("Owner", "Health", "Ended"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.get_by_role("checkbox", name="Template", exact=True).uncheck()
    expect(row(page, "orders_enrich_1795300000007").locator(".col-owner")).to_have_text("li.wei")
    page.keyboard.press("Escape")
    page.reload()
    expect(row(page, "orders_enrich_1795300000007").locator(".col-owner")).to_have_text("li.wei")
    expect(row(page, "orders_enrich_1795300000007").locator(".col-health")).to_have_text("healthy")
    expect(headings).to_have_text(
        ["Status", "Job", "Owner", "Health", "Submitted", "Ended", "Duration", "Reason", "Details"]
    )
    page.locator("#columns").click()
    page.get_by_role("button", name="Choose by width").click()
    expect(page.locator("table.jobs th.col-owner")).to_have_count(0)


def test_all_columns_together_make_cards_where_they_do_not_fit(lab: Lab) -> None:
    page = lab.open()
    shown(page)
    page.locator("#columns").click()
    for box in page.locator(".column-choice input").all():
        box.check()
    for width, layout in ((1920, "table"), (1024, "cards"), (390, "cards")):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator(".sheet")).to_have_attribute("data-layout", layout)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_name_that_is_markup_is_shown_as_text(lab: Lab) -> None:
    page = lab.open()
    expect(row(page, "xss_1795300000008").locator(".name")).to_have_text(SCRIPT_NAME)
    assert page.locator("img[src=x]").count() == 0


def test_the_time_of_a_running_job_ticks_by_the_servers_clock(lab: Lab) -> None:
    page = lab.open()
    elapsed = row(page, "orders_enrich_1795300000007").locator(".elapsed")
    expect(elapsed).to_have_text(re.compile(r"0:29:\d\d"))
    before = elapsed.inner_text()
    expect(elapsed).not_to_have_text(before)
    expect(elapsed).to_have_text(re.compile(r"0:(29|30):\d\d"))
    expect(row(page, "user_features_1795300000010").locator(".elapsed")).to_have_text(
        re.compile(r"waiting 0:0\d:\d\d")
    )


def test_new_records_and_new_statuses_come_without_a_reload_and_without_disturbing_the_reader(
    lab: Lab,
) -> None:
    lab.database.flink_jobs.insert_many(list(many(40, now=lab.now, span=timedelta(days=3))))
    page = lab.open()
    shown(page)
    page.evaluate("window.loadedOnce = true")
    kept = row(page, "two_inserts_1795300000002")
    details_of(kept).focus()
    page.evaluate("scrollTo(0, 500)")
    kept.locator(".name").evaluate("(name) => getSelection().selectAllChildren(name)")
    place = kept.bounding_box()
    lab.database.flink_jobs.insert_one(record("just_now_1795300000099", datetime.now(UTC)))
    end = lab.now - timedelta(minutes=2)
    lab.database.flink_jobs.update_one(
        {"job_id": "orders_enrich_1795300000007"},
        {
            "$set": in_flink(FLINK_IDS["orders"], lab.now - timedelta(minutes=29), end, state="FINISHED")
            | {"status": "FINISHED"}
        },
    )
    expect(row(page, "just_now_1795300000099")).to_be_attached()
    expect(row(page, "orders_enrich_1795300000007").locator(".chip")).to_have_text("FINISHED")
    expect(row(page, "orders_enrich_1795300000007").locator(".elapsed")).to_have_text("27 min 00 s")
    expect(details_of(kept)).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "two_inserts_1795300000002"
    now = kept.bounding_box()
    assert place is not None
    assert now is not None
    assert abs(now["y"] - place["y"]) <= 1, "the row has moved below the reader's eyes"
    assert page.evaluate("window.loadedOnce") is True


def test_a_hidden_page_asks_nothing_until_it_is_seen_again(lab: Lab) -> None:
    page = lab.open("?tab=statistics")
    page.locator(".tile").first.wait_for()
    page.clock.install()
    page.goto(lab.url)
    shown(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.clock.run_for(120_000)
    assert asked == []
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    expect(page.locator("#fresh-text")).to_have_text("updated 0 s ago")
    assert any("/api/jobs" in url for url in asked)


# --- filters ----------------------------------------------------------------------------------------


def test_status_chips_count_and_filter(lab: Lab) -> None:
    page = lab.open()
    expect(chip(page, "FAILED").locator(".count")).to_have_text("2")
    chip(page, "FAILED").click()
    expect(rows(page)).to_have_count(2)
    chip(page, "LOST").click()
    expect(rows(page)).to_have_count(3)
    expect(chip(page, "LOST")).to_have_attribute("aria-pressed", "true")
    expect(chip(page, "RUNNING").locator(".count")).to_have_text("1")  # what the others would show
    assert query(page)["status"] == ["FAILED,LOST"]
    page.get_by_role("button", name=re.compile("^All")).click()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))


def test_a_search_finds_by_name_and_by_each_id(lab: Lab) -> None:
    page = lab.open()
    search = page.get_by_role("searchbox", name="Search")
    for text, found in {
        "每日报表": "daily_report_1795300000005",
        "amounts PER": "fails_at_run_time_1795300000004",
        "orders_enrich_17953": "orders_enrich_1795300000007",
        FLINK_IDS["second"]: "two_inserts_1795300000002",
        FLINK_IDS["old"][:12]: "old_platform_1795300000000",
        SCRIPT_NAME: "xss_1795300000008",
        "zhang": "daily_report_1795300000005",
    }.items():
        search.fill(text)
        expect(rows(page)).to_have_count(1)
        expect(row(page, found)).to_be_visible()
        expect(page).to_have_url(re.compile("[?&]q="))
    search.fill("nothing is called like this")
    expect(page.get_by_text("No job matches these filters.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").last.click()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))


def test_filters_are_combined_and_stand_in_the_address(lab: Lab) -> None:
    page = lab.open()
    for name, text, count in (
        ("Owner", "li", 2),  # no suggestion: a beginning
        ("Cluster", "default", 2),
        ("Reason", "job_failed", 1),
        ("Template", "fails", 1),
    ):
        field = page.get_by_role("combobox", name=name)
        field.fill(text)
        field.press("Enter")
        expect(rows(page)).to_have_count(count)
    expect(page.get_by_text("More filters: 4 set")).to_be_visible()
    assert query(page) == {
        "submitted_by": ["li*"],
        "cluster": ["default"],
        "reason": ["JOB_FAILED"],
        "template_id": ["fails*"],
    }
    other = lab.open(urlsplit(page.url)._replace(scheme="", netloc="", path="").geturl())
    expect(rows(other)).to_have_count(1)
    chip(page, "RUNNING").click()
    expect(rows(page)).to_have_count(0)
    page.get_by_role("button", name="Clear filters").first.click()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))


def test_the_list_by_the_end_has_what_ended_last_first(lab: Lab) -> None:
    page = lab.open()
    shown(page)
    page.get_by_role("combobox", name="Order").select_option("end_time")
    expect(rows(page).first).to_have_attribute("data-key", "daily_report_1795300000005")
    assert query(page) == {"sort": ["end_time"]}
    page.get_by_role("combobox", name="Order").select_option("")
    expect(rows(page).first).to_have_attribute("data-key", NEWEST_FIRST[0][0])


def test_a_page_says_its_position_and_has_the_size_that_was_chosen(lab: Lab) -> None:
    lab.database.flink_jobs.insert_many(list(many(120, now=lab.now, span=timedelta(days=3))))
    page = lab.open()
    position = page.locator(".shown:visible")
    expect(position).to_have_text(f"1{TO}50 of 131 jobs")
    page.get_by_role("button", name="Older").click()
    expect(position).to_have_text(f"51{TO}100 of 131 jobs")
    lab.database.flink_jobs.insert_one(record("just_now_1795300000099", datetime.now(UTC)))
    expect(position).to_have_text(f"52{TO}101 of 132 jobs")
    page.get_by_role("combobox", name="Jobs per page").select_option("200")
    expect(position).to_have_text(f"1{TO}132 of 132 jobs")
    assert query(page) == {"limit": ["200"]}
    chip(page, "SUSPENDED").click()
    expect(position).to_have_text("1 of 1 job")


def test_template_and_time_of_submission_filter(lab: Lab) -> None:
    page = lab.open()
    page.get_by_role("combobox", name="Template").fill("daily_report")
    page.get_by_role("combobox", name="Template").press("Enter")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("combobox", name="Template").fill("")
    page.get_by_role("combobox", name="Template").press("Enter")
    page.get_by_role("combobox", name="Time of submission").select_option("1h")
    expect(rows(page)).to_have_count(5)
    assert query(page) == {"range": ["1h"]}
    page.get_by_role("combobox", name="Time of submission").select_option("custom")
    local = lab.now + timedelta(hours=8)
    page.get_by_label("from", exact=True).fill(f"{local - timedelta(hours=2.5):%Y-%m-%dT%H:%M:%S}")
    page.get_by_label("to", exact=True).fill(f"{local - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}")
    expect(rows(page)).to_have_count(1)
    expect(row(page, "daily_report_1795300000005")).to_be_visible()


def test_labels_filter_and_stay_in_the_address(lab: Lab) -> None:
    page = lab.open()
    labels = page.get_by_role("combobox", name="Labels")
    labels.fill("team=search")
    labels.press("Enter")
    expect(rows(page)).to_have_count(2)
    assert page.url.endswith("?label=team=search")
    labels.fill("team=search, example.com/stage=test")
    labels.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(row(page, "orders_enrich_1795300000007")).to_be_visible()
    other = lab.open(urlsplit(page.url)._replace(scheme="", netloc="", path="").geturl())
    expect(rows(other)).to_have_count(1)
    expect(other.get_by_role("combobox", name="Labels")).to_have_value("team=search,example.com/stage=test")
    labels.fill("team")
    labels.press("Enter")
    assert labels.evaluate("input => input.matches(':invalid')")
    expect(rows(page)).to_have_count(1)  # an invalid label sends no request
    page.get_by_role("button", name="Clear filters").click()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))


def test_link_shows_another_user_the_same_and_back_returns(lab: Lab) -> None:
    page = lab.open()
    chip(page, "FAILED").click()
    expect(rows(page)).to_have_count(2)
    page.get_by_role("searchbox").fill("amounts")
    expect(rows(page)).to_have_count(1)
    other = lab.open(urlsplit(page.url)._replace(scheme="", netloc="", path="").geturl())
    expect(rows(other)).to_have_count(1)
    expect(other.get_by_role("searchbox")).to_have_value("amounts")
    expect(chip(other, "FAILED")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(rows(page)).to_have_count(2)
    page.go_back()
    expect(rows(page)).to_have_count(len(NEWEST_FIRST))
    page.go_forward()
    expect(rows(page)).to_have_count(2)


def test_older_and_newer_pages_while_jobs_arrive(lab: Lab) -> None:
    lab.database.flink_jobs.insert_many(list(many(120, now=lab.now, span=timedelta(days=3))))
    page = lab.open("?range=7d")
    newest = shown(page)
    assert len(newest) == 50
    expect(page.get_by_role("button", name="Newer")).to_be_disabled()
    page.get_by_role("button", name="Older").click()
    expect(row(page, newest[0])).to_have_count(0)
    second = shown(page)
    lab.database.flink_jobs.insert_one(record("just_now_1795300000099", datetime.now(UTC)))
    linked = lab.open(urlsplit(page.url)._replace(scheme="", netloc="", path="").geturl())
    assert shown(linked) == second
    page.get_by_role("button", name="Older").click()
    expect(rows(page)).to_have_count(31)
    third = shown(page)
    assert len({*newest, *second, *third}) == 131
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.get_by_role("button", name="Newer").click()
    expect(row(page, second[0])).to_be_visible()
    assert shown(page) == second
    page.get_by_role("button", name="Newest").click()
    expect(row(page, "just_now_1795300000099")).to_be_visible()
    linked.get_by_role("button", name="Newer").click()  # it does not know the way back: the newest page
    expect(row(linked, "just_now_1795300000099")).to_be_visible()


def test_the_list_is_cards_on_a_phone_and_nothing_is_cut_off(lab: Lab) -> None:
    lab.database.flink_jobs.insert_one(
        record("x" * 60 + "_1", lab.now, "FAILED", reason=because("SUBMIT_FAILED", "y" * 400, lab.now))
    )
    page = lab.open(viewport=PHONE, has_touch=True, is_mobile=True)
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.locator("table.jobs thead")).to_be_hidden()
    details_of(row(page, "orders_enrich_1795300000007")).tap()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_by_keyboard_alone(lab: Lab) -> None:
    page = lab.open()
    shown(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Job instances")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Statistics")).to_be_focused()
    expect(page.locator(".tile").first).to_be_visible()
    page.keyboard.press("ArrowLeft")
    button = details_of(row(page, "orders_enrich_1795300000007"))
    button.focus()
    outline = button.evaluate(
        "(button) => { button.focus({focusVisible: true}); return getComputedStyle(button).outlineStyle; }"
    )
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()


def test_what_has_not_changed_is_not_sent_again_and_a_change_is_shown_within_two_seconds(lab: Lab) -> None:
    page = lab.open()
    shown(page)
    with page.expect_response(lambda answer: "/api/jobs" in answer.url and answer.status == 304):
        pass
    lab.database.flink_jobs.update_one(
        {"job_id": "orders_enrich_1795300000007"}, {"$set": {"status": "SUSPENDED"}}
    )
    chip_of_row = row(page, "orders_enrich_1795300000007").locator(".chip")
    expect(chip_of_row).to_have_text("SUSPENDED", timeout=CHANGE_MS)
    packed = page.request.get(f"{lab.url}/api/jobs", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"


def test_several_jobs_are_selected_and_synchronised_together(lab: Lab) -> None:
    asked: list[object] = []

    def configured(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        real = route.fetch(headers=headers)
        route.fulfill(response=real, json={**real.json(), "sync_now": True})

    def synced(route: Route) -> None:
        asked.append(route.request.post_data_json)
        clusters = {"default": {"reachable": True, "jobs": 3, "error": None}}
        route.fulfill(json={"errors": [], "clusters": clusters, "changed": {"FINISHED": 1}})

    page = lab.open()
    page.context.route("**/api/jobs?*", configured)
    page.context.route("**/api/jobs", configured)
    page.context.route("**/api/sync", synced)
    page.reload()
    chosen = ["clicks_hourly_1795300000009", "orders_enrich_1795300000007"]
    for job_id in chosen:
        row(page, job_id).get_by_role("checkbox").press("Space")
    expect(page.get_by_text("2 jobs selected")).to_be_visible()
    page.get_by_role("button", name="Sync now").press("Enter")
    expect(page.locator(".selection .sync-result")).to_have_text("Synchronised: 1 job has changed.")
    assert asked == [{"job_ids": chosen}]
    page.get_by_role("checkbox", name="Select all").check()
    expect(page.get_by_text("11 jobs selected")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    chip(page, "FAILED").click()
    expect(page.get_by_text("jobs selected")).to_be_hidden()


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "read from a secondary of MongoDB: the latest changes may be missing"),
        ("zh-CN", "读自 MongoDB 从节点"),
    ],
)
def test_that_a_secondary_may_have_answered_stands_above_the_list(
    settings: Mapping[str, str], lab: Lab, open_at: OpenPage, locale: str, words: str
) -> None:
    expect(lab.open(locale=locale).locator(".shown:visible")).not_to_contain_text(words)
    uri = f"{settings['MONGODB_URI']}?readPreference=secondaryPreferred"
    with FunctionServer("jobs", {**settings, "MONGODB_URI": uri}) as running:
        expect(open_at(running.url, locale=locale).locator(".shown:visible")).to_contain_text(words)
