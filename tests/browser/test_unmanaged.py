"""The tab of the Flink jobs without a record, and the note on a record that has a twin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NOWHERE, PHONE
from tests.browser.records import unmanaged
from tests.browser.test_details import choose, panel

if TYPE_CHECKING:
    from tests.browser.conftest import Lab

BY_HAND, NAMELESS = "1" * 32, "2" * 32
EVIL = "<img src=x onerror=alert(1)>"


def cards(page: Page) -> Locator:
    return page.locator("#view-unmanaged .cards > li")


@pytest.fixture
def by_hand(lab: Lab) -> Lab:
    """Two jobs without a record; one has the name of a record's running job."""
    running = lab.database.flink_jobs.find_one({"status": "RUNNING", "submitter_done": True})
    assert running is not None
    began = lab.now - timedelta(hours=2)
    jobs: list[dict[str, Any]] = [
        {"flink_job_id": BY_HAND, "name": EVIL, "state": "RUNNING", "start_time": began},
        {"flink_job_id": NAMELESS, "name": "", "state": "RESTARTING", "start_time": None},
    ]
    jobs[0]["twin_of"], jobs[1]["twin_of"] = [running["job_id"]], []
    lab.database.unmanaged_jobs.insert_one(unmanaged("default", lab.now, jobs))
    return lab


def test_the_jobs_without_a_record_are_shown_with_the_command_that_adopts_them(by_hand: Lab) -> None:
    page = by_hand.open()
    page.get_by_role("tab", name="Without a record").click()
    expect(page).to_have_url(f"{by_hand.url}/?tab=unmanaged")
    expect(cards(page)).to_have_count(2)
    first, second = cards(page).all()
    expect(first).to_contain_text(EVIL)
    expect(first).to_contain_text(BY_HAND)
    expect(second).to_contain_text("(no name)")
    expect(second).to_contain_text("RESTARTING")
    expect(page.locator(".unmanaged-clusters")).to_contain_text("Flink cluster default: 2 without a record")
    link = first.get_by_role("link", name="Open in Flink")
    expect(link).to_have_attribute("href", f"{NOWHERE}/#/job/running/{BY_HAND}/overview")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first.get_by_role("button", name="Copy: Copy the command that adopts it").click()
    expect(first).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"flinkjobs adopt {BY_HAND} --template-id "


def test_a_twin_leads_to_its_record_and_the_record_names_it(by_hand: Lab) -> None:
    page = by_hand.open("?tab=unmanaged")
    first = cards(page).first
    expect(first).to_contain_text("Of the same name as the job of a record:")
    first.locator(".warn-text button").click()
    choose(page, "Flink")
    note = panel(page).locator(".twin")
    expect(note).to_contain_text("A job of the same name runs in Flink without a record:")
    expect(note.get_by_role("link")).to_contain_text(BY_HAND)
    expect(panel(page).locator(".chip-place")).to_contain_text("RUNNING")


def test_none_and_not_known_are_said_apart(lab: Lab) -> None:
    page = lab.open("?tab=unmanaged")
    expect(page.locator("#view-unmanaged .empty")).to_contain_text(
        "No sync pass has looked for such jobs yet."
    )
    lab.database.unmanaged_jobs.insert_one(unmanaged("default", lab.now, []))
    page.reload()
    expect(page.locator("#view-unmanaged .empty")).to_have_text(
        "Every running Flink job belongs to a record."
    )


def test_of_very_many_the_newest_are_shown(lab: Lab) -> None:
    many = [
        {
            "flink_job_id": f"{number:032x}",
            "name": "by hand",
            "state": "RUNNING",
            "start_time": lab.now,
            "twin_of": [],
        }
        for number in range(5_000)
    ]
    lab.database.unmanaged_jobs.insert_one(unmanaged("default", lab.now, many))
    page = lab.open("?tab=unmanaged", viewport=PHONE)
    expect(cards(page)).to_have_count(200)
    expect(page.locator("#view-unmanaged .shown")).to_contain_text("The newest 200 of 5,000.")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_it_is_asked_for_only_while_it_is_shown(by_hand: Lab) -> None:
    asked: list[str] = []
    page = by_hand.open()
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("tab", name="Statistics").click()
    expect(page.locator("#view-statistics .tiles")).to_be_visible()
    assert not any("flink-jobs" in url for url in asked)
    page.keyboard.press("ArrowRight")
    expect(cards(page)).to_have_count(2)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Job instances")).to_be_focused()


def test_an_adopted_job_says_so(lab: Lab) -> None:
    began = lab.now - timedelta(hours=3)
    record = lab.database.flink_jobs.find_one({"status": "RUNNING", "submitter_done": True})
    assert record is not None
    move = {"seq": 0, "at": lab.now, "was": None, "status": "RUNNING", "by": "submit"}
    changed = {
        "flink_jobs.0.source": "ADOPTED",
        "k8s_job_name": None,
        "spec": None,
        "submitted_by": "ann",
        "submitted_at": began,
        "start_time": began,
        "history": [{**move, "flink_state": "RUNNING", "reason_code": None}],
    }
    lab.database.flink_jobs.update_one({"_id": record["_id"]}, {"$set": changed})
    page = lab.open(f"?job={record['job_id']}", locale="zh-CN")
    timeline = panel(page).locator(".timeline")
    expect(timeline.locator("li").nth(0)).to_contain_text("开始在 Flink 中运行")
    expect(timeline.locator("li").nth(1)).to_contain_text("已纳管")
    expect(timeline.locator("li").nth(1)).to_contain_text("ann")
    expect(panel(page).locator(".part-flink")).to_contain_text("此前没有记录")
    expect(panel(page).locator(".part-log")).to_contain_text("记录中没有 Kubernetes Job")
