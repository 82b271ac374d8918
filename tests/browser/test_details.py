"""The side panel: one job's timeline, and how one gets there and back."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from doubles.kubernetes.faults import PodFault, RequestFault
from flinkjobs.entrypoints.jobs import SYNC_TIMEOUT_SECONDS
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.submission import PathScript, Submission, Target
from tests.browser.conftest import HISTORY, NOWHERE
from tests.browser.records import FLINK_IDS, SCRIPT_NAME, TRACE, because, in_flink, old_platform, record
from tests.browser.test_list import row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Lab
    from tests.support.kubernetes_world import KubernetesWorld


RUNNING = "orders_enrich_1795300000007"


def panel(page: Page) -> Locator:
    return page.get_by_role("dialog")


def choose(page: Page, part: str) -> None:
    """Shows a tab of the panel."""
    panel(page).get_by_role("tab", name=part, exact=True).click()


def events(page: Page) -> list[str]:
    """What the timeline holds, in its order."""
    found: list[str] = (
        panel(page).locator(".timeline li").evaluate_all("items => items.map((item) => item.dataset.event)")
    )
    return found


def test_failed_job_shows_cause_meaning_and_remedy(lab: Lab) -> None:
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
    choose(page, "Flink")
    link = shown.get_by_role("link", name="Open in Flink")
    expect(link).to_have_attribute("href", f"{NOWHERE}/#/job/completed/{FLINK_IDS['broken']}/overview")
    history = shown.get_by_role("link", name="Open in History Server")
    expect(history).to_have_attribute("href", f"{HISTORY}/#/job/completed/{FLINK_IDS['broken']}/overview")
    expect(shown.locator(".part-kubernetes")).to_contain_text("does not exist any more")
    expect(shown.locator(".commands code").last).to_contain_text(
        "kubectl logs -n lemo-dev job/flink-py-fails-at-run-time-"
    )
    expect(shown.locator(".part-log")).to_contain_text("No log is available")


def test_waiting_job_shows_its_cause_and_is_refreshed(lab: Lab) -> None:
    page = lab.open("?job=clicks_hourly_1795300000009")
    shown = panel(page)
    expect(shown.locator(".verdict")).to_have_text(
        re.compile(r"Waiting for 0:2\d:\d\d; not yet seen in Flink\.")
    )
    expect(shown.locator(".part-reason")).to_contain_text("Check the image's name and tag")
    assert events(page) == ["submitted", "waiting", "now"]
    found = in_flink("f" * 32, lab.now - timedelta(seconds=5)) | {"status": "RUNNING", "reason": None}
    lab.database.flink_jobs.update_one({"job_id": "clicks_hourly_1795300000009"}, {"$set": found})
    expect(shown.locator(".verdict")).to_have_text(re.compile(r"Running for 0:00:\d\d\."))
    expect(shown.locator(".part-reason")).to_be_hidden()
    assert events(page) == ["submitted", "id_found", "started", "now"]


def test_a_pod_that_has_not_started_is_not_said_to_have(lab: Lab, kubernetes_world: KubernetesWorld) -> None:
    target = Target(
        namespace="lemo-dev",
        image="flink:1.20",
        flink_bin="/opt/flink/bin/flink",
        jobmanager="flink:8081",
        timeout_seconds=600,
    )
    submission = Submission(template_id="etl", script=PathScript("/opt/a.py"))
    kubernetes_world.control.add(PodFault(effect="image-pull"))
    name = kubernetes_world.create("jobs", job_manifest(submission, "etl_1", target))["metadata"]["name"]
    kubernetes_world.wait_pod(name)
    lab.database.flink_jobs.insert_one(record("etl_1", lab.now, k8s_job_name=name))
    page = lab.open("?job=etl_1")
    found = panel(page).locator('.timeline [data-event="pod"]')
    expect(found.locator(".what")).to_have_text("Submitter's pod waits to start")
    expect(found.locator(".facts")).to_contain_text("Pending")
    expect(panel(page).locator(".commands")).to_contain_text("kubectl describe job,pods -n lemo-dev -l app=")


FAILED_BUT_WHEN = [
    ({"flink_job_id": FLINK_IDS["gone"]}, "Failed in Flink; the duration is unknown."),
    ({"reason": "SUBMIT_FAILED"}, "Failed before Flink ran it."),
    ({"reason": "NO_JOB_SUBMITTED"}, "Failed before Flink ran it."),
    ({"reason": "K8S_REFUSED"}, "Failed before Flink ran it."),
    ({"reason": "LOG_UNAVAILABLE"}, "Failed; it is unknown whether Flink ran it."),
    ({"reason": "K8S_JOB_MISSING"}, "Failed before Flink ran it."),
    ({}, "Failed; it is unknown whether Flink ran it."),
]


@pytest.mark.parametrize(
    ("fields", "verdict"), FAILED_BUT_WHEN, ids=[str(fields) for fields, _ in FAILED_BUT_WHEN]
)
def test_that_flink_never_ran_a_job_is_said_only_where_it_is_known(
    lab: Lab, fields: dict[str, str], verdict: str
) -> None:
    """An old record may have failed without a duration; of a job whose log is gone it is not known."""
    failed = old_platform(lab.now) | {
        "status": "FAILED",
        "flink_job_id": None,
        "end_time": None,
        "duration": None,
    }
    code = fields.get("reason")
    known = {"reason": because(code, "m", lab.now)} if code else fields
    lab.database.flink_jobs.insert_one(failed | {"job_id": "failed_1"} | known)
    page = lab.open("?job=failed_1")
    expect(panel(page).locator(".verdict")).to_have_text(verdict)
    none = {
        "Failed before Flink ran it.": "No Flink job was submitted.",
        "Failed; it is unknown whether Flink ran it.": "Flink may still have run the job",
    }
    expect(panel(page).locator(".part-flink")).to_contain_text(none.get(verdict, FLINK_IDS["gone"]))


def test_end_time_of_sync_is_marked_as_noticed(lab: Lab) -> None:
    page = lab.open("?job=raises_before_submitting_1795300000006")
    ended = panel(page).locator('.timeline [data-event="ended"] .when')
    expect(ended).to_contain_text("when sync noticed it")
    page.goto(f"{lab.url}/?job=fails_at_run_time_1795300000004")
    expect(ended).to_contain_text("+9.0 s")
    expect(ended).not_to_contain_text("noticed")


def test_a_log_is_said_to_be_gone_only_where_that_is_known(
    lab: Lab, kubernetes_world: KubernetesWorld
) -> None:
    page = lab.open("?job=orders_enrich_1795300000007")
    log = panel(page).locator(".part-log")
    expect(log).to_contain_text("No log is available: the pod no longer exists")
    with kubernetes_world.control.fault(RequestFault(effect="status", status=503)):
        expect(log).to_contain_text("it is unknown whether there is a log")
        expect(panel(page).locator(".part-kubernetes")).to_contain_text("Kubernetes could not be asked")
    expect(log).to_contain_text("No log is available: the pod no longer exists")
    page.goto(f"{lab.url}/?job=user_features_1795300000010")
    expect(log).to_contain_text("There is no log yet.")


def test_a_script_that_was_sent_along_is_shown_as_it_was_written(lab: Lab) -> None:
    script = 'print("first")\nprint("<b>second</b>")\n'
    lab.database.flink_jobs.insert_one(record("inline_1", lab.now, spec={"script": {"inline": script}}))
    page = lab.open("?job=inline_1")
    expect(panel(page).locator("pre.script")).to_have_text(script, use_inner_text=False)
    assert panel(page).locator("pre.script").evaluate("pre => pre.textContent") == script


def test_the_tab_of_the_browser_is_named_after_the_job(lab: Lab) -> None:
    page = lab.open("?job=fails_at_run_time_1795300000004")
    expect(page).to_have_title("Amounts per shop · Flink job management")
    page.keyboard.press("Escape")
    expect(page).to_have_title("Flink job management")


NOTED = """
window.waits = [];
window.timeout = AbortSignal.timeout;
AbortSignal.timeout = (ms) => { window.waits.push(ms); return timeout.call(AbortSignal, ms); };
"""
"""Notes how long the page is willing to wait."""


def with_sync_now(page: Page, job_id: str, answer: Callable[[Route], None]) -> Locator:
    """Opens a job's panel as if a sync address were configured; the button, which sync answers so."""

    def configured(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        real = route.fetch(headers=headers)
        route.fulfill(response=real, json={**real.json(), "sync_now": True})

    page.add_init_script(NOTED)
    page.context.route(f"**/api/jobs/{job_id}", configured)
    page.context.route(f"**/api/jobs/{job_id}/sync", answer)
    page.goto(f"{page.url.partition('?')[0]}?job={job_id}")
    return panel(page).get_by_role("button", name="Sync now")


def test_sync_now_names_a_cluster_that_did_not_answer(lab: Lab) -> None:
    error = "cluster default: GET /jobs/overview: ReadTimeout: timed out"
    report = {"errors": [], "clusters": {"default": {"reachable": False, "jobs": None, "error": error}}}
    page = lab.open()
    with_sync_now(page, RUNNING, lambda route: route.fulfill(json=report)).click()
    expect(panel(page).locator(".sync-result")).to_have_text(
        "Synchronised, but the Flink cluster default did not answer."
    )


def test_sync_now_waits_for_twenty_seconds_at_most(lab: Lab) -> None:
    """The function gives up a little earlier, and says why."""
    page = lab.open()
    button = with_sync_now(page, RUNNING, lambda _route: None)
    page.evaluate(
        "AbortSignal.timeout = (ms) => {"
        " waits.push(ms); return timeout.call(AbortSignal, ms === 20_000 ? 300 : ms); }"
    )
    button.click()
    result = panel(page).locator(".sync-result")
    expect(result).to_have_text(re.compile("^Sync did not answer within 20 seconds; its pass may go on"))
    expect(button).to_have_text("Sync now")
    assert 20_000 in page.evaluate("waits")
    assert SYNC_TIMEOUT_SECONDS < 20


def test_sync_now_can_be_cancelled(lab: Lab) -> None:
    page = lab.open()
    with_sync_now(page, RUNNING, lambda _route: None).click()
    panel(page).get_by_role("button", name="Stop waiting").click()
    expect(panel(page).locator(".sync-result")).to_have_text(
        "You stopped waiting; the pass may go on, and this page shows what it finds."
    )
    expect(panel(page).get_by_role("button", name="Sync now")).to_be_enabled()


def test_a_sync_that_gives_no_report_is_not_said_to_have_done_nothing(lab: Lab) -> None:
    page = lab.open(may_fail_to_load=True)
    button = with_sync_now(
        page, "orders_enrich_1795300000007", lambda route: route.fulfill(status=504, body="")
    )
    button.click()
    expect(panel(page).locator(".sync-result")).to_have_text(
        "Sync did not answer; the status may still change. The server answered 504."
    )
    expect(button).to_be_enabled()


def test_several_flink_jobs_are_all_shown(lab: Lab) -> None:
    page = lab.open(f"?job={FLINK_IDS['second']}")  # any of its ids leads there
    expect(panel(page).get_by_role("heading", level=2)).to_have_text("two_inserts_1795300000002")
    expect(panel(page).locator(".cards li")).to_have_count(2)
    expect(panel(page).locator(".verdict")).to_have_text("Finished after 1 h 00 min.")


@pytest.mark.parametrize(
    ("locale", "title", "means"),
    [
        ("en-US", "the submission is incomplete", "The script failed after it had submitted a job"),
        ("zh-CN", "提交不完整", "脚本在提交作业之后出错"),
    ],
)
def test_a_finished_job_whose_submission_is_incomplete_says_so_in_list_and_details(
    lab: Lab, locale: str, title: str, means: str
) -> None:
    incomplete = because("SUBMIT_INCOMPLETE", "the submitter failed: KeyError: 'day'", lab.now)
    job_id = "daily_report_1795300000005"
    lab.database.flink_jobs.update_one({"job_id": job_id}, {"$set": {"reason": incomplete}})
    page = lab.open(f"?job={job_id}", locale=locale)
    expect(panel(page).locator(".verdict-more")).to_have_text(title)
    expect(panel(page).locator(".part-reason")).to_contain_text(means)
    expect(panel(page).locator(".said")).to_have_text(incomplete["message"])
    expect(row(page, job_id).locator(".code")).to_have_text("SUBMIT_INCOMPLETE")
    expect(row(page, job_id).locator(".message")).to_have_text(f"{title} · {incomplete['message']}")


@pytest.mark.parametrize(
    ("locale", "badge", "filter_name", "remedy"),
    [
        ("en-US", "unhealthy", "Needs attention", "Correct what the exception names"),
        ("zh-CN", "不健康", "需要关注", "根据异常修正后停止作业"),
    ],
)
def test_a_job_that_is_unhealthy_has_a_badge_a_filter_and_a_remedy(
    lab: Lab, locale: str, badge: str, filter_name: str, remedy: str
) -> None:
    job_id = "orders_enrich_1795300000007"
    health = because("RESTARTING", "java.lang.ArithmeticException: / by zero", lab.now)
    health |= {"state": "unhealthy", "restarts": 12, "tasks": {"total": 2, "running": 2}}
    lab.database.flink_jobs.update_one({"job_id": job_id}, {"$set": {"health": health}})
    page = lab.open("", locale=locale)
    expect(page.locator("table.jobs .badge")).to_have_text([badge])
    page.get_by_role("button", name=filter_name).click()
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    expect(row(page, job_id).locator(".code")).to_have_text("RESTARTING")
    assert page.url.endswith("?health=unhealthy")
    row(page, job_id).locator(".details").click()
    expect(panel(page).locator(".part-health")).to_contain_text(remedy)
    expect(panel(page).locator(".part-health .said")).to_have_text(health["message"])
    expect(panel(page).locator(".panel-head .badge")).to_have_text(badge)


@pytest.mark.parametrize(
    ("locale", "moved"),
    [
        ("en-US", ["Status changed", "RUNNING → LOST · the outcome is unknown"]),
        ("zh-CN", ["状态变更", "运行中 → 失联 · 最终状态未知"]),
    ],
)
def test_a_status_that_changed_in_between_is_in_the_timeline(lab: Lab, locale: str, moved: list[str]) -> None:
    came_back = record("back_1", lab.now - timedelta(hours=2), "RUNNING") | in_flink(
        FLINK_IDS["gone"], lab.now - timedelta(hours=2)
    )
    known = {"flink_state": "RUNNING", "by": "sync"}
    history = [
        {
            **known,
            "seq": 3,
            "at": lab.now - timedelta(hours=1),
            "was": "RUNNING",
            "status": "LOST",
            "reason_code": "OUTCOME_UNKNOWN",
        },
        {
            **known,
            "seq": 4,
            "at": lab.now - timedelta(minutes=9),
            "was": "LOST",
            "status": "RUNNING",
            "reason_code": None,
        },
    ]
    lab.database.flink_jobs.insert_one(came_back | {"history": history})
    page = lab.open("?job=back_1", locale=locale)
    shown = panel(page).locator('.timeline [data-event="moved"]')
    expect(shown).to_have_count(2)
    expect(shown.first.locator(".what, .facts")).to_have_text(moved)
    assert events(page) == ["submitted", "id_found", "started", "moved", "moved", "now"]


def test_a_lost_job_is_not_guessed_at(lab: Lab) -> None:
    page = lab.open("?job=recommender_train_1795300000003")
    expect(panel(page).locator(".verdict")).to_have_text(
        "Flink does not know the job. Its outcome is unknown."
    )
    assert events(page) == ["submitted", "id_found", "started", "ended"]
    expect(panel(page).locator(".raw-state")).to_have_text("not known to Flink")
    choose(page, "Flink")
    expect(panel(page).get_by_role("link", name="Open in Flink")).to_have_count(0)
    expect(panel(page).get_by_role("link", name="Open in History Server")).to_have_count(1)
    assert panel(page).get_by_text("Flink does not know the job any more", exact=True).count() == 1


def test_the_tabs_of_the_panel_stand_in_the_address_and_follow_the_arrows(lab: Lab) -> None:
    page = lab.open(f"?job={RUNNING}&part=log")
    expect(panel(page).locator(".part-log")).to_be_visible()
    expect(panel(page).locator(".verdict")).to_be_hidden()
    panel(page).get_by_role("tab", name="Log").press("ArrowRight")
    expect(panel(page).get_by_role("tab", name="Spec")).to_be_focused()
    expect(panel(page).locator("pre.json")).to_be_visible()
    expect(page).to_have_url(re.compile("part=spec"))
    page.keyboard.press("ArrowRight")
    expect(panel(page).locator(".verdict")).to_be_visible()


def test_each_label_of_a_job_leads_to_the_jobs_that_have_it(lab: Lab) -> None:
    page = lab.open("?job=orders_enrich_1795300000007&status=RUNNING")
    expect(panel(page).locator(".label")).to_have_text(["team=search", "example.com/stage=test"])
    panel(page).get_by_role("link", name="team=search").click()
    expect(panel(page)).to_be_hidden()
    expect(page.locator("table.jobs tbody tr")).to_have_count(2)
    assert page.url.endswith("?label=team=search")


def test_what_was_sent_to_which_channel_is_shown_with_its_time(lab: Lab) -> None:
    page = lab.open("?job=daily_report_1795300000005")
    items = panel(page).locator(".part-sent li")
    expect(items).to_have_text(
        [re.compile(r"^ops · CREATED · .*\d"), re.compile(r"^feishu · FINISHED · .*\d")]
    )
    page = lab.open("?job=orders_enrich_1795300000007")
    expect(panel(page).locator(".verdict")).to_be_visible()
    expect(panel(page).locator(".part-sent")).to_be_hidden()


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


def test_unknown_id_is_reported_as_unknown(lab: Lab) -> None:
    page = lab.open("?job=no_such_job_1", may_fail_to_load=True)
    expect(panel(page).get_by_role("alert")).to_contain_text("No job has this id: no_such_job_1")
    panel(page).get_by_role("button", name="Search for it in the list").click()
    expect(panel(page)).to_be_hidden()
    expect(page.get_by_role("searchbox")).to_have_value("no_such_job_1")
    expect(page.get_by_text("No job matches these filters.")).to_be_visible()


def test_copying_puts_the_text_on_the_clipboard_and_says_so(lab: Lab) -> None:
    page = lab.open("?job=orders_enrich_1795300000007", permissions=["clipboard-read", "clipboard-write"])
    choose(page, "Flink")
    copy = panel(page).get_by_role("button", name="Copy: Flink Job ID").first
    copy.click()
    expect(copy).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == FLINK_IDS["orders"]
    choose(page, "Kubernetes")
    commands = panel(page).locator(".commands li")
    commands.first.get_by_role("button").click()
    expect(commands.first.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == commands.first.locator("code").inner_text()
    for name, copied in (
        ("Copy as curl", f"curl -s '{lab.url}/api/jobs/orders_enrich_1795300000007'"),
        ("Copy as command", "flinkjobs show orders_enrich_1795300000007"),
    ):
        panel(page).get_by_role("button", name=name).click()
        page.wait_for_function(
            "text => navigator.clipboard.readText().then(read => read === text)", arg=copied
        )


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
    assert panel(page).locator(".said").evaluate("pre => pre.textContent") == message
    expect(panel(page).locator(".said")).to_be_hidden()  # its last line is above
    panel(page).get_by_text("The whole message").click()
    expect(panel(page).locator(".said")).to_be_visible()
    expect(panel(page).locator(".verdict-more")).to_have_text("line 199")
