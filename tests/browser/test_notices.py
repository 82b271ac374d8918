"""What the page says about faults of the system or its own data; and in which language."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.records import because, record, sync_run
from tests.browser.test_details import panel
from tests.browser.test_list import row, rows

if TYPE_CHECKING:
    from tests.browser.conftest import Lab


def notice(page: Page, title: str) -> Locator:
    return page.locator("#notices .strip").filter(has=page.get_by_role("heading", name=title, exact=True))


def notices(page: Page) -> Locator:
    return page.locator("#notices .strip")


def test_each_notice_counts_what_the_list_behind_its_link_shows(lab: Lab) -> None:
    def stands(number: int, code: str | None, status: str = "CREATED", **age: float) -> dict[str, Any]:
        reason = because(code, "m", lab.now) if code else None
        return record(f"stands_{number}", lab.now - timedelta(**age), status, reason=reason)

    lab.database.flink_jobs.insert_many(
        [
            *(stands(number, "QUOTA", days=number) for number in range(7)),
            *(stands(60 + number, None, minutes=number) for number in (10, 4, 7)),  # one of them is fresh
            *(stands(number, "K8S_REFUSED", "FAILED", hours=number) for number in (20, 22, 26)),
            stands(30, "LOG_UNAVAILABLE", "FAILED", hours=1),
            *(stands(number, "SUBMIT_FAILED", "FAILED", hours=1) for number in (40, 41)),
        ]
    )
    page = lab.open()
    expect(notices(page).locator("h2")).to_have_text(
        ["Jobs stay CREATED", "Jobs could not be submitted", "The Flink Job ID of a job cannot be found"]
    )
    links = notices(page).locator(".count-link")
    expect(links).to_have_text(["7 jobs", "2 jobs", "1 job", "2 jobs", "1 job"])
    for index, text in enumerate(links.all_inner_texts()):
        links.nth(index).click()
        count = int(text.partition(" ")[0])
        expect(rows(page)).to_have_count(count)
        expect(page.locator(".shown:visible")).to_contain_text(f"of {text}")
        page.go_back()
        expect(rows(page)).to_have_count(27)


def test_a_notice_stays_folded_until_its_cause_changes(lab: Lab) -> None:
    page = lab.open()
    title = notices(page).locator("summary")
    expect(notices(page)).to_contain_text("the image cannot be pulled")
    title.click()
    expect(notices(page).locator("ul")).to_be_hidden()
    page.reload()
    expect(title).to_have_text("A job stays CREATED")
    expect(notices(page).locator("ul")).to_be_hidden()
    lab.database.flink_jobs.update_many(
        {"reason.code": "IMAGE_PULL"}, {"$set": {"reason.code": "UNSCHEDULABLE"}}
    )
    page.reload()
    expect(notices(page).locator("ul")).to_be_visible()
    title.focus()
    page.keyboard.press("Enter")
    expect(notices(page).locator("ul")).to_be_hidden()


def test_jobs_that_stay_created_are_named_with_what_to_check(lab: Lab) -> None:
    page = lab.open()
    created = notice(page, "A job stays CREATED")
    expect(created).to_contain_text("1 job: the image cannot be pulled")
    expect(created).to_contain_text("kubectl describe")
    created.get_by_role("button", name="clicks_hourly_1795300000009").click()
    expect(panel(page).locator(".part-reason")).to_contain_text("IMAGE_PULL")
    page.keyboard.press("Escape")
    expect(notices(page)).to_have_count(1)  # what a script did wrong is no problem of the system
    expect(notice(page, "The status lags")).to_have_count(0)


def test_a_sync_that_stopped_is_named_and_the_scheduler_is_to_be_checked(lab: Lab) -> None:
    lab.database.sync_runs.delete_many({})
    lab.database.sync_runs.insert_one(sync_run(lab.now - timedelta(minutes=10)))
    page = lab.open()
    lag = notice(page, "The status lags")
    expect(lag).to_contain_text("The last complete sync pass was 10 min ago; one is due every 3 min.")
    expect(lag).to_contain_text("is the scheduler running")
    page.get_by_role("tab", name="Statistics").click()
    expect(page.locator('.tile[data-level="bad"]')).to_contain_text("10 min ago")


def test_nine_minutes_are_no_lag_yet(lab: Lab) -> None:
    lab.database.sync_runs.delete_many({})
    lab.database.sync_runs.insert_one(sync_run(lab.now - timedelta(minutes=8, seconds=30)))
    page = lab.open()
    expect(notice(page, "A job stays CREATED")).to_be_visible()
    expect(notice(page, "The status lags")).to_have_count(0)


def test_a_cluster_that_cannot_be_reached_is_named_with_the_error(lab: Lab) -> None:
    lab.database.sync_runs.insert_one(sync_run(lab.now + timedelta(seconds=1), reachable=False))
    page = lab.open()
    lag = notice(page, "The status lags")
    expect(lag).to_contain_text("The Flink cluster default has not been reachable since")
    expect(lag).to_contain_text("Connection refused")
    expect(lag).to_contain_text("ask Flink's REST API")


def test_a_sync_that_never_ran_is_said_so(lab: Lab) -> None:
    lab.database.sync_runs.delete_many({})
    page = lab.open()
    expect(notice(page, "The status lags")).to_contain_text("No sync pass has been recorded yet")


# --- unreachable is not empty -------------------------------------------------------------------------


def test_when_the_server_is_away_the_page_says_so_and_keeps_what_it_has(lab: Lab) -> None:
    page = lab.open(may_fail_to_load=True)
    expect(rows(page)).to_have_count(11)
    page.context.set_offline(True)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer.")
    expect(alert).to_contain_text("The data shown are from")
    expect(rows(page)).to_have_count(11)
    expect(page.locator("#fresh-text")).to_contain_text("not updated for")
    expect(page.locator("#view-jobs")).to_have_attribute("data-stale", "")
    page.context.set_offline(False)
    alert.get_by_role("button", name="Try again now").click()
    expect(alert).to_have_count(0)
    expect(page.locator("#fresh-text")).to_contain_text("updated")


@pytest.mark.parametrize(
    ("status", "content_type", "body", "said"),
    [
        (502, "text/html", "<html>Bad Gateway</html>", "The server answered 502."),
        (
            200,
            "text/html",
            "<html>Please log in</html>",
            "The answer (200) is not from the jobs function",
        ),
        (
            503,
            "application/problem+json",
            '{"status": 503, "detail": "MongoDB did not answer", "code": "STORE_UNAVAILABLE"}',
            "The server answered 503. MongoDB did not answer",
        ),
    ],
)
def test_an_answer_that_is_none_is_never_an_empty_list(
    lab: Lab, status: int, content_type: str, body: str, said: str
) -> None:
    page = lab.open(may_fail_to_load=True)
    page.context.route(
        "**/api/**", lambda route: route.fulfill(status=status, content_type=content_type, body=body)
    )
    page.reload()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(said)
    expect(alert).to_contain_text("This does not mean that there are no jobs")
    expect(page.locator(".empty").first).to_contain_text("could not be loaded")
    page.get_by_role("tab", name="Statistics").click()
    expect(page.locator("#view-statistics .empty").first).to_contain_text("could not be loaded")


@pytest.mark.parametrize(
    "answer", [{"status": 401}, {"status": 403}, {"status": 302}, {"status": 200}], ids=str
)
def test_a_login_that_has_expired_is_said_and_the_page_is_to_be_loaded_again(
    lab: Lab, answer: dict[str, int]
) -> None:
    """A proxy in front answers in the function's place: with a refusal, a login page, or the way to one."""
    page = lab.open(may_fail_to_load=True)
    expect(rows(page)).to_have_count(11)
    login = {"headers": {"Location": "https://login.example/", "Content-Type": "text/html"}, "body": "<html>"}
    page.context.route("**/api/**", lambda route: route.fulfill(**answer, **login))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("login")
    expect(alert).not_to_contain_text("does not answer")
    expect(rows(page)).to_have_count(11)
    page.context.unroute("**/api/**")
    page.evaluate("window.loadedOnce = true")
    alert.get_by_role("button", name="Load the page again").click()
    expect(rows(page)).to_have_count(11)
    expect(alert).to_have_count(0)
    assert page.evaluate("window.loadedOnce") is None


def test_a_page_recovers_by_itself_when_the_server_is_back(lab: Lab) -> None:
    page = lab.open(may_fail_to_load=True)
    expect(rows(page)).to_have_count(11)
    page.context.set_offline(True)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer.")
    page.context.set_offline(False)
    expect(alert).to_have_count(0)
    expect(page.locator("#view-jobs[data-stale]")).to_have_count(0)


def test_refused_filter_shows_the_message_of_the_server(lab: Lab) -> None:
    page = lab.open("?cursor=nonsense", may_fail_to_load=True)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server refused these filters.")
    expect(alert).to_contain_text("cursor")


def test_a_page_that_could_not_load_its_words_says_so(lab: Lab) -> None:
    page = lab.open(may_fail_to_load=True)
    page.context.route("**/messages.en.json", lambda route: route.abort())
    page.reload()
    expect(page.get_by_text("The page could not be loaded completely: load it again.")).to_be_visible()


# --- languages and themes -----------------------------------------------------------------------------


def test_the_browsers_language_is_spoken_until_the_reader_chooses_another(lab: Lab) -> None:
    page = lab.open(locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("heading", level=1)).to_have_text("Flink 作业管理")
    expect(page.get_by_role("tab", selected=True)).to_have_text("作业实例")
    assert page.title() == "Flink 作业管理"
    expect(row(page, "orders_enrich_1795300000007").locator(".chip")).to_have_text("运行中")
    row(page, "clicks_hourly_1795300000009").get_by_role("button").click()
    expect(panel(page).locator(".part-reason")).to_contain_text("检查镜像名称和标签")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^English")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Flink job management")
    expect(row(page, "orders_enrich_1795300000007").locator(".chip")).to_have_text("RUNNING")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.get_by_role("tab", name="Statistics")).to_be_visible()
    page.get_by_role("tab", name="Statistics").click()
    page.get_by_role("button", name=re.compile("^中文")).click()
    expect(page.get_by_role("tab", selected=True)).to_have_text("统计")
    expect(page.locator(".tile h3").first).to_have_text("作业数")
    expect(page.locator("canvas").first).to_have_attribute("aria-label", re.compile("图表"))


def test_the_first_language_that_the_page_speaks_counts(lab: Lab) -> None:
    page = lab.open(locale="fr-FR")
    expect(page.get_by_role("heading", level=1)).to_have_text("Flink job management")


def test_the_theme_follows_the_system_until_the_reader_chooses(lab: Lab) -> None:
    page = lab.open(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    theme = page.locator("#theme")
    expect(theme).to_have_attribute("aria-label", "Theme: system")
    theme.click()
    expect(theme).to_have_attribute("aria-label", "Theme: light")
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(theme).to_have_attribute("aria-label", "Theme: light")
    assert page.evaluate(background) == light
    theme.click()
    assert page.evaluate(background) == dark
