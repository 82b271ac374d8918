"""The buttons that act on jobs: the question that comes first, what is sent, and how far it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import PHONE, SCREENSHOTS
from tests.browser.records import FLINK_IDS
from tests.browser.test_details import panel
from tests.browser.test_list import chip, row
from tests.browser.test_visual import LANGUAGES, THEMES, violations

if TYPE_CHECKING:
    from tests.browser.conftest import Lab
    from tests.support.records import Document

RUNNING = "orders_enrich_1795300000007"
WAITING = "clicks_hourly_1795300000009"
DIRECTORY = "s3://bucket/savepoints"
PATH = f"{DIRECTORY}/savepoint-5f1d0c-880234837956"


def question(page: Page) -> Locator:
    return page.locator("#question")


def actions(lab: Lab, job_id: str = RUNNING) -> list[Document]:
    found = lab.database.flink_jobs.find_one({"job_id": job_id}) or {}
    return list(found.get("actions", []))


def move(lab: Lab, job_id: str = RUNNING, **fields: Any) -> None:
    """Writes the newest action on, as sync does."""
    last = len(actions(lab, job_id)) - 1
    changed = {f"actions.{last}.{name}": value for name, value in fields.items()}
    lab.database.flink_jobs.update_one({"job_id": job_id}, {"$set": changed})


def tab_to(page: Page, wanted: Locator, *, presses: int = 30) -> None:
    """Presses Tab until the element has the focus."""
    for _ in range(presses):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


WORDS: list[dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "page_actions.yaml").read_text(encoding="utf-8")
)
EXPECTED: dict[str, Document] = {
    "savepoint": {"savepoint_directory": DIRECTORY, "drain": False},
    "stop": {"savepoint_directory": DIRECTORY, "drain": True},
    "cancel": {"savepoint_directory": None, "drain": False},
}


def rows_of(*kinds: str) -> pytest.MarkDecorator:
    """One test for each language and each of these kinds."""
    chosen = [row for row in WORDS if row["kind"] in kinds]
    return pytest.mark.parametrize(
        "words", chosen, ids=[f"{row['language']}-{row['kind']}" for row in chosen]
    )


@rows_of("savepoint", "stop", "cancel")
def test_an_action_by_keyboard_from_the_question_to_its_end(act_lab: Lab, words: dict[str, str]) -> None:
    language, kind = words["language"], words["kind"]
    page = act_lab.open(f"?job={RUNNING}", locale=LANGUAGES[language])
    button = panel(page).get_by_role("button", name=words["button"])
    expect(button).to_be_visible()
    tab_to(page, button)
    page.keyboard.press("Enter")
    asked = question(page)
    expect(asked.get_by_role("heading")).to_have_text(words["title"])
    expect(asked.get_by_role("heading")).to_be_focused()
    expect(asked).to_contain_text(words["lost"])
    page.keyboard.press("Enter")  # a key that is held down confirms nothing
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('#question') !== null"
        )
    page.screenshot(path=SCREENSHOTS / f"act-{kind}-{language}.png")
    assert kind != "stop" or violations(page) == []
    page.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    expect(button).to_be_focused()
    assert actions(act_lab) == []

    page.keyboard.press("Enter")
    if kind != "cancel":
        tab_to(page, asked.locator("#act-directory"))
        page.keyboard.type(DIRECTORY)
    if kind == "stop":
        tab_to(page, asked.locator("#act-drain"))
        page.keyboard.press("Space")
    tab_to(page, asked.get_by_role("button", name=words["confirm"]))
    page.keyboard.press("Enter")
    expect(asked).to_be_hidden()
    expect(panel(page).get_by_role("heading", level=2)).to_be_focused()
    steps = panel(page).locator(".part-acts .steps")
    expect(steps.locator("[aria-current]")).to_have_attribute("data-step", "requested")
    expect(button).to_be_disabled()
    [action] = actions(act_lab)
    assert {name: action[name] for name in ("kind", *EXPECTED[kind])} == {"kind": kind, **EXPECTED[kind]}

    now = datetime.now(UTC)
    move(act_lab, state="sent", sent_at=now)
    expect(steps.locator("[aria-current]")).to_have_attribute("data-step", "sent")
    move(act_lab, state="done", ended_at=now, savepoint_path=None if kind == "cancel" else PATH)
    expect(steps.locator("[aria-current]")).to_have_attribute("data-step", "done")
    expect(button).to_be_enabled()
    if kind != "cancel":
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        copy = panel(page).locator(".part-acts .copy")
        tab_to(page, copy)
        page.keyboard.press("Enter")
        expect(copy).to_have_attribute("data-copied", "")
        assert page.evaluate("navigator.clipboard.readText()") == PATH
    page.screenshot(path=SCREENSHOTS / f"acted-{kind}-{language}.png")
    assert kind != "stop" or violations(page) == []


OVER = "daily_report_1795300000005"


def with_state(lab: Lab, page: Page, job_id: str, state: Document | None) -> None:
    """Opens the panel of a job whose newest state is this one."""

    def known(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        body = route.fetch(headers=headers).json()
        body["job"]["latest_state"] = state and {**state, "path": PATH, "at": "2026-11-22T10:00:00.000Z"}
        route.fulfill(json=body)

    page.context.route(f"**/api/jobs/{job_id}", known)
    page.goto(f"{lab.url}/?job={job_id}")


@rows_of("run-again")
def test_a_job_that_is_over_runs_again_by_keyboard(act_lab: Lab, words: dict[str, str]) -> None:
    page = act_lab.open("", locale=LANGUAGES[words["language"]])
    asked: list[object] = []

    def accepted(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(status=202, json={"job_id": RUNNING, "run_of": OVER, "attempt": 2})

    page.context.route(f"**/api/jobs/{OVER}/run-again", accepted)
    with_state(act_lab, page, OVER, {"kind": "savepoint", "deleted": None})
    button = panel(page).get_by_role("button", name=words["button"])
    tab_to(page, button)
    page.keyboard.press("Enter")
    expect(question(page).get_by_role("heading")).to_have_text(words["title"])
    expect(question(page)).to_contain_text(words["lost"])
    expect(question(page).locator("#act-from-latest")).to_be_checked()
    tab_to(page, question(page).locator("#act-from-latest"))
    page.keyboard.press("ArrowDown")
    tab_to(page, question(page).locator("#act-path"))
    page.keyboard.type(PATH)
    tab_to(page, question(page).locator("#act-parallelism"))
    page.keyboard.type("4")
    tab_to(page, question(page).locator("#act-args"))
    page.keyboard.type("--day\n2026-11-23")
    page.screenshot(path=SCREENSHOTS / f"act-again-{words['language']}.png")
    assert violations(page) == []
    tab_to(page, question(page).get_by_role("button", name=words["confirm"]))
    page.keyboard.press("Enter")
    expect(question(page)).to_be_hidden()
    expect(panel(page).get_by_role("heading", level=2)).to_have_text(RUNNING)  # the new record
    assert asked == [{"from": PATH, "parallelism": 4, "args": ["--day", "2026-11-23"]}]


@pytest.mark.parametrize(
    ("state", "can_resume"),
    [
        ({"kind": "checkpoint", "deleted": None}, True),
        ({"kind": "checkpoint", "deleted": "at_end"}, False),
        (None, False),
    ],
    ids=["kept", "deleted", "none"],
)
def test_a_job_without_a_state_runs_again_from_the_beginning(
    act_lab: Lab, state: Document | None, can_resume: bool
) -> None:
    page = act_lab.open()
    with_state(act_lab, page, OVER, state)
    panel(page).get_by_role("button", name="Run again…").click()
    chosen = question(page).locator("input[name=from]:checked")
    expect(chosen).to_have_value("latest" if can_resume else "nothing")
    expect(question(page).locator("#act-from-latest")).to_be_enabled(enabled=can_resume)
    expect(question(page).locator("#act-path")).to_be_hidden()


LOST = [
    ({"kind": "savepoint", "deleted": None}, "What came after its savepoint of"),
    ({"kind": "checkpoint", "deleted": None}, "What came after its checkpoint of"),
    ({"kind": "checkpoint", "deleted": "on_cancel"}, "Flink deletes its checkpoint of"),
]


@pytest.mark.parametrize(("state", "words"), LOST)
def test_the_question_says_what_a_cancel_loses(act_lab: Lab, state: Document, words: str) -> None:
    page = act_lab.open()
    with_state(act_lab, page, RUNNING, state)
    panel(page).get_by_role("button", name="Cancel job…").click()
    expect(question(page).locator(".act-lost")).to_contain_text(words)


def test_a_failure_shows_its_cause_and_what_to_do(act_lab: Lab) -> None:
    page = act_lab.open(f"?job={RUNNING}")
    panel(page).get_by_role("button", name="Stop…").click()
    question(page).get_by_role("button", name="Stop").click()
    expect(question(page)).to_be_hidden()
    cause = "java.io.IOException: Failed to create savepoint directory"
    now = datetime.now(UTC)
    move(act_lab, state="failed", sent_at=now, ended_at=now, code="SAVEPOINT_FAILED", message=cause)
    shown = panel(page).locator(".part-acts")
    expect(shown.locator("[data-step=failed]")).to_have_attribute("aria-current", "step")
    expect(shown).to_contain_text(f"SAVEPOINT_FAILED {cause}")
    expect(shown).to_contain_text("Correct what the cause names, and ask again.")
    expect(panel(page).get_by_role("button", name="Stop…")).to_be_enabled()
    page.screenshot(path=SCREENSHOTS / "act-failed.png")


def test_a_job_that_waits_can_only_be_cancelled_and_one_that_is_over_only_run_again(act_lab: Lab) -> None:
    page = act_lab.open(f"?job={WAITING}")
    shown = panel(page).locator(".panel-head .acts button:visible")
    expect(shown).to_have_text(["Cancel job…"])
    shown.click()
    expect(question(page).locator(".act-lost")).to_contain_text("Flink has not run it yet")
    page.keyboard.press("Escape")
    page.goto(f"{act_lab.url}/?job=daily_report_1795300000005")
    expect(shown).to_have_text(["Run again…"])
    page.goto(f"{act_lab.url}/?job=recommender_train_1795300000003")
    expect(panel(page).locator(".verdict")).to_contain_text("Its outcome is unknown")
    expect(shown).to_have_count(0)


def test_without_submit_there_are_no_buttons(lab: Lab) -> None:
    page = lab.open(f"?job={RUNNING}")
    expect(panel(page).locator(".verdict")).to_contain_text("Running")
    expect(panel(page).locator(".acts")).to_be_hidden()
    expect(page.locator(".selection")).to_be_hidden()


def test_what_submit_refuses_is_said_in_the_question_and_the_next_try_is_the_same_request(
    act_lab: Lab,
) -> None:
    keys: list[str | None] = []
    page = act_lab.open(f"?job={RUNNING}", may_fail_to_load=True)

    def first(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) == 1:
            route.abort()
        else:
            route.fallback()

    page.context.route(f"**/api/jobs/{RUNNING}/cancel", first)
    panel(page).get_by_role("button", name="Cancel job…").click()
    confirm = question(page).get_by_role("button", name="Cancel job")
    confirm.click()
    alert = question(page).get_by_role("alert")
    expect(alert).to_contain_text(f"{RUNNING}: not requested. The server does not answer.")
    act_lab.database.flink_jobs.update_one({"job_id": RUNNING}, {"$set": {"status": "FINISHED"}})
    confirm.click()
    expect(alert).to_contain_text("The server answered 409.")
    expect(alert).to_contain_text("is over: it ended as FINISHED")
    assert len(keys) == 2
    assert keys[0] == keys[1] is not None
    assert violations(page) == []


def test_a_reader_who_may_not_act_sees_why(act_lab: Lab) -> None:
    page = act_lab.open()

    def read_only(route: Route) -> None:
        headers = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        real = route.fetch(headers=headers)
        route.fulfill(response=real, json={**real.json(), "acting": {"allowed": False, "user": "eve@a.b"}})

    page.context.route(f"**/api/jobs/{RUNNING}", read_only)
    page.goto(f"{act_lab.url}/?job={RUNNING}")
    acts = panel(page).locator(".acts")
    expect(acts).to_contain_text("You can look at jobs here, but not act on them.")
    for button in acts.get_by_role("button").all():
        expect(button).to_be_disabled()


def test_several_jobs_are_selected_and_cancelled_together(act_lab: Lab) -> None:
    page = act_lab.open()
    for job_id in (WAITING, RUNNING, "daily_report_1795300000005"):
        row(page, job_id).get_by_role("checkbox").press("Space")
    bar = page.locator(".selection")
    expect(bar.get_by_role("button", name="Sync now")).to_be_hidden()
    bar.get_by_role("button", name="Cancel job…").press("Enter")
    expect(question(page).get_by_role("heading")).to_have_text("Cancel 2 jobs?")
    expect(question(page).locator(".act-jobs li")).to_have_count(2)
    page.screenshot(path=SCREENSHOTS / "act-several.png")
    question(page).get_by_role("button", name="Cancel job").press("Enter")
    expect(bar.locator(".sync-result")).to_have_text("Requested for 2 jobs; sync sends it.")
    assert [len(actions(act_lab, job_id)) for job_id in (WAITING, RUNNING)] == [1, 1]
    assert violations(page) == []
    chip(page, "FAILED").click()
    expect(bar.locator(".acts")).to_be_hidden()


OVER_AS_WELL = "raises_before_submitting_1795300000006"


@pytest.mark.parametrize("language", LANGUAGES)
def test_several_jobs_run_again_and_the_one_that_is_refused_stays_in_the_question(
    act_lab: Lab, language: str
) -> None:
    page = act_lab.open(locale=LANGUAGES[language], may_fail_to_load=True)
    for job_id in (OVER, OVER_AS_WELL, RUNNING):
        row(page, job_id).get_by_role("checkbox").press("Space")
    bar = page.locator(".selection")
    bar.locator(".act-run-again").press("Enter")
    asked = question(page)
    expect(asked.get_by_role("heading")).to_contain_text("2")
    for job_id in (OVER, OVER_AS_WELL):
        expect(asked.locator(".act-jobs")).to_contain_text(job_id)
    expect(asked.locator("#act-from-latest")).to_be_disabled()  # no state of either is known
    expect(asked.locator("#act-args")).to_have_count(0)
    assert violations(page) == []
    page.screenshot(path=SCREENSHOTS / f"act-again-several-{language}.png")
    act_lab.database.flink_jobs.update_one({"job_id": OVER_AS_WELL}, {"$set": {"status": "RUNNING"}})
    asked.locator("button[type=submit]").press("Enter")
    expect(asked.get_by_role("alert")).to_contain_text(OVER_AS_WELL)
    expect(asked.get_by_role("alert")).not_to_contain_text(OVER)
    act_lab.database.flink_jobs.update_one({"job_id": OVER_AS_WELL}, {"$set": {"status": "FAILED"}})
    asked.locator("button[type=submit]").press("Enter")
    expect(bar.locator(".sync-result")).to_contain_text("2")
    runs = act_lab.database.flink_jobs.find({"run_of": {"$exists": True}})
    assert sorted(run["run_of"] for run in runs) == [OVER, OVER_AS_WELL]


def test_the_question_fits_a_phone(act_lab: Lab) -> None:
    page = act_lab.open(f"?job={FLINK_IDS['orders']}", viewport=PHONE, has_touch=True, is_mobile=True)
    panel(page).get_by_role("button", name="Stop…").tap()
    expect(question(page)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert question(page).evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    page.screenshot(path=SCREENSHOTS / "act-phone.png")
    assert violations(page) == []


# --- every control, every width ----------------------------------------------------------------------

WATCH_FOCUS = """
window.reached = new Set();
document.addEventListener("focusin", (event) => window.reached.add(event.target));
"""
NOT_REACHED = """
(root) => [...document.querySelectorAll(root)]
  .flatMap((each) => [...each.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")])
  .filter((each) => !each.disabled && each.tabIndex >= 0)
  .filter((each) => each.checkVisibility({ visibilityProperty: true }))
  .filter((each) => !window.reached.has(each))
  .map((each) => each.outerHTML.slice(0, 120))
"""
"""The controls below an element that have never had the focus."""


def tab_around(page: Page) -> None:
    """Presses Tab until the focus comes to where it has been."""
    before = -1
    while (reached := page.evaluate("window.reached.size")) != before:
        before = reached
        for _ in range(20):
            page.keyboard.press("Tab")


def test_every_control_of_list_and_details_is_reached_by_tab(act_lab: Lab) -> None:
    page = act_lab.open()
    row(page, RUNNING).get_by_role("checkbox").press("Space")
    expect(page.locator(".selection .acts")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.evaluate(WATCH_FOCUS)
    tab_around(page)
    assert page.evaluate(NOT_REACHED, "header.top, #notices, #main") == []
    row(page, RUNNING).locator(".details").press("Enter")
    for part in ("Story", "Flink", "Kubernetes", "Log", "Spec"):
        tab = panel(page).get_by_role("tab", name=part)
        expect(tab).to_have_attribute("aria-selected", "true")
        tab_around(page)
        assert page.evaluate(NOT_REACHED, "#details") == [], part
        tab_to(page, tab, presses=60)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


def test_axe_finds_nothing_at_any_width_in_either_theme(act_lab: Lab) -> None:
    """In the list with a selection, and in the details with an action; cards and table in both themes."""
    page = act_lab.open(reduced_motion="reduce")
    row(page, WAITING).get_by_role("checkbox").press("Space")
    panels = act_lab.open(f"?job={RUNNING}", reduced_motion="reduce")
    panel(panels).get_by_role("button", name="Cancel job…").click()
    question(panels).get_by_role("button", name="Cancel job").click()
    expect(panel(panels).locator(".part-acts .steps")).to_be_visible()
    for width, themes in ((390, THEMES), (1024, THEMES[:1]), (1440, THEMES), (1920, THEMES[:1])):
        for theme in themes:
            for each in (page, panels):
                each.emulate_media(color_scheme=theme, reduced_motion="reduce")
                each.set_viewport_size({"width": width, "height": 900})
                assert violations(each) == [], (width, theme, each.url)
                assert each.evaluate("document.documentElement.scrollWidth") <= width
