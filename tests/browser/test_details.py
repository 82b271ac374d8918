"""The side panel: one job's whole story, and how one gets there and back."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NOWHERE
from tests.browser.records import FLINK_IDS, SCRIPT_NAME, TRACE, because, in_flink
from tests.browser.test_list import row

if TYPE_CHECKING:
    from tests.browser.conftest import Lab


def panel(page: Page) -> Locator:
    return page.get_by_role("dialog")


def events(page: Page) -> list[str]:
    """What the timeline holds, in its order."""
    told: list[str] = (
        panel(page).locator(".story li").evaluate_all("items => items.map((item) => item.dataset.event)")
    )
    return told


def test_a_failed_job_tells_why_what_it_means_and_what_to_do(lab: Lab) -> None:
    page = lab.open("?job=fails_at_run_time_1795300000004")
    shown = panel(page)
    expect(shown.get_by_role("heading", level=2)).to_have_text("Amounts per shop")
    expect(shown.locator(".verdict")).to_have_text("Failed after 9.000 s.")
    expect(shown.locator(".verdict-more")).to_have_text("ValueError: amount -3 is negative")
    expect(shown.locator(".said")).to_have_text(TRACE)
    expect(shown.locator(".part-reason")).to_contain_text("JOB_FAILED")
    expect(shown.locator(".part-reason")).to_contain_text("Flink ran the job and it failed")
    expect(shown.locator(".part-reason")).to_contain_text("What to do")
    assert events(page) == ["submitted", "id_found", "started", "ended"]
    expect(shown.locator(".raw-state")).to_have_text("FAILED")
    link = shown.get_by_role("link", name="Open in Flink")
    expect(link).to_have_attribute("href", f"{NOWHERE}/#/job/completed/{FLINK_IDS['broken']}/overview")
    expect(shown.locator(".part-kubernetes")).to_contain_text("does not exist any more")
    expect(shown.locator(".commands code").last).to_contain_text(
        "kubectl logs -n lemo-dev job/flink-py-fails-at-run-time-"
    )
    expect(shown.locator(".part-log")).to_contain_text("No log is left")


def test_a_waiting_job_tells_what_holds_it_up_and_goes_on_by_itself(lab: Lab) -> None:
    page = lab.open("?job=clicks_hourly_1795300000009")
    shown = panel(page)
    expect(shown.locator(".verdict")).to_have_text(
        re.compile(r"Waiting for 0:2\d:\d\d to be handed to Flink\.")
    )
    expect(shown.locator(".part-reason")).to_contain_text("Check the image's name and tag")
    assert events(page) == ["submitted", "waiting", "now"]
    found = in_flink("f" * 32, lab.now - timedelta(seconds=5)) | {"status": "RUNNING", "reason": None}
    lab.database.flink_jobs.update_one({"job_id": "clicks_hourly_1795300000009"}, {"$set": found})
    expect(shown.locator(".verdict")).to_have_text(re.compile(r"Running for 0:00:\d\d\."))
    expect(shown.locator(".part-reason")).to_be_hidden()
    assert events(page) == ["submitted", "id_found", "started", "now"]


def test_several_flink_jobs_are_all_shown(lab: Lab) -> None:
    page = lab.open(f"?job={FLINK_IDS['second']}")  # any of its ids leads there
    expect(panel(page).get_by_role("heading", level=2)).to_have_text("two_inserts_1795300000002")
    expect(panel(page).locator(".cards li")).to_have_count(2)
    expect(panel(page).locator(".verdict")).to_have_text("Finished after 1 h 00 min.")


def test_a_lost_job_is_not_guessed_at(lab: Lab) -> None:
    page = lab.open("?job=recommender_train_1795300000003")
    expect(panel(page).locator(".verdict")).to_have_text(
        "Flink has forgotten the job. Nothing says how it ended."
    )
    assert events(page) == ["submitted", "id_found", "started", "ended"]


def test_a_record_of_the_old_platform_has_its_story_too(lab: Lab) -> None:
    page = lab.open("?job=old_platform_1795300000000")
    expect(panel(page).locator(".verdict")).to_have_text("Finished after 20 min 00 s.")
    expect(panel(page).locator(".part-kubernetes")).to_contain_text("names no Kubernetes Job")
    expect(panel(page).locator(".part-spec")).to_contain_text("holds no submission")


def test_what_was_submitted_is_text_and_its_secrets_are_not_there(lab: Lab) -> None:
    page = lab.open("?job=xss_1795300000008")
    expect(panel(page).get_by_role("heading", level=2)).to_have_text(SCRIPT_NAME)
    shown = json.loads(panel(page).locator("pre.json").inner_text())
    assert shown["script"]["inline"] == "<script>alert(2)</script>"
    assert "hunter2" not in page.content()


def test_the_log_that_cleanup_kept_is_shown(lab: Lab) -> None:
    page = lab.open("?job=daily_report_1795300000005")
    log = panel(page).locator(".part-log")
    expect(log.locator("pre")).to_contain_text(f"Job has been submitted with JobID {FLINK_IDS['report']}")
    expect(log).to_contain_text("kept on the record when the Job was deleted · only its end")


def test_the_panel_has_an_address_and_gives_the_focus_back(lab: Lab) -> None:
    page = lab.open()
    details = row(page, "orders_enrich_1795300000007").get_by_role("button", name="Details")
    details.click()
    expect(panel(page)).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]job=orders_enrich_1795300000007"))
    for _ in range(60):  # the focus stays inside, however far one goes
        page.keyboard.press("Tab")
        assert page.evaluate(
            "!document.activeElement || document.activeElement === document.body"
            " || Boolean(document.activeElement.closest('dialog'))"
        )
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(details).to_be_focused()
    expect(page).not_to_have_url(re.compile("job="))
    page.go_forward()
    expect(panel(page)).to_be_visible()
    page.go_back()
    expect(panel(page)).to_be_hidden()
    page.locator("table.jobs .name", has_text="Amounts per shop").click()
    expect(panel(page)).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(panel(page)).to_be_hidden()


def test_an_id_that_nobody_has_is_said_to_be_none(lab: Lab) -> None:
    page = lab.open("?job=no_such_job_1", may_fail_to_load=True)
    expect(panel(page).get_by_role("alert")).to_have_text("No job has this id: no_such_job_1")
    page.keyboard.press("Escape")
    expect(row(page, "orders_enrich_1795300000007").get_by_role("button")).to_be_visible()


def test_copying_puts_the_text_on_the_clipboard_and_says_so(lab: Lab) -> None:
    page = lab.open("?job=orders_enrich_1795300000007", permissions=["clipboard-read", "clipboard-write"])
    copy = panel(page).get_by_role("button", name="Copy: Flink Job ID").first
    copy.click()
    expect(copy).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == FLINK_IDS["orders"]
    commands = panel(page).locator(".commands li")
    commands.first.get_by_role("button").click()
    expect(commands.first.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == commands.first.locator("code").inner_text()


def test_only_web_addresses_become_links(lab: Lab) -> None:
    """The function checks its settings; the page does not rely on it."""
    page = lab.open()
    tried = page.evaluate(
        "async (texts) => { const {safeUrl} = await import('./assets/dom.js'); return texts.map(safeUrl); }",
        [
            "javascript:alert(1)",
            "data:text/html,x",
            "//host/x",
            "",
            "https://flink.example/#/job/1",
            "http://f:8081/",
        ],
    )
    assert tried == [None, None, None, None, "https://flink.example/#/job/1", "http://f:8081/"]


def test_a_message_of_many_lines_stays_whole(lab: Lab) -> None:
    message = "\n".join(f"line {number}" for number in range(200))
    lab.database.flink_jobs.update_one(
        {"job_id": "raises_before_submitting_1795300000006"},
        {"$set": {"reason": because("SUBMIT_FAILED", message, lab.now)}},
    )
    page = lab.open("?job=raises_before_submitting_1795300000006")
    expect(panel(page).locator(".said")).to_have_text(message, use_inner_text=True)
    expect(panel(page).locator(".verdict-more")).to_have_text("line 199")
