"""A real sign-in before the page: a viewer looks, an operator acts, and is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from local.functions import FunctionServer
from tests.browser.conftest import TIME_ZONE, WAIT_MS, Lab, acting
from tests.browser.test_details import panel
from tests.support.sign_in import HEADER, sign_in_before

VIEWER, OPERATOR = "vera@example.com", "olga@ops.example.com"
SECONDS = 60.0
OURS = {"X-Flinkjobs": "1"}
RUNNING = "orders_enrich_1795300000007"

SignIn = Callable[[str], Page]


@pytest.fixture(scope="module")
def jobs(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    with acting(settings, TRUSTED_USER_HEADER=HEADER, OPERATORS="*@ops.example.com") as running:
        yield running


@pytest.fixture(scope="module")
def address(jobs: FunctionServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where people open the page: that of the proxy."""
    directory: Path = tmp_path_factory.mktemp("sign-in")
    with sign_in_before(jobs.url, directory) as found:
        yield found


@pytest.fixture
def job_id(lab: Lab) -> str:
    """Of a job that runs, and that li.wei has submitted."""
    assert lab.database.flink_jobs.count_documents({"job_id": RUNNING, "submitted_by": "li.wei"}) == 1
    return RUNNING


@pytest.fixture
def sign_in(chromium: Browser, address: str) -> Iterator[SignIn]:
    """Opens the page as no one, is sent to the provider, and comes back as this user."""
    contexts = []

    def as_user(user: str) -> Page:
        context = chromium.new_context(
            viewport={"width": 1600, "height": 1000}, locale="en-US", timezone_id=TIME_ZONE
        )
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()
        page.get_by_placeholder("sub").fill(user)
        page.get_by_role("button", name="Authorize", exact=True).click()
        page.locator("html[data-ready]").wait_for(state="attached")
        assert page.url.startswith(address)
        return page

    yield as_user
    for context in contexts:
        context.close()


def shown(jobs: FunctionServer, job_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{jobs.url}/api/jobs/{job_id}", timeout=SECONDS, trust_env=False)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_a_viewer_looks_and_an_operator_acts(
    jobs: FunctionServer, address: str, job_id: str, sign_in: SignIn
) -> None:
    page = sign_in(VIEWER)
    page.goto(f"{address}/?job={job_id}")
    cancel = panel(page).get_by_role("button", name="Cancel")
    expect(cancel).to_be_disabled()
    expect(panel(page)).to_contain_text(f"not act on them. {VIEWER} is not one of the operators.")
    # The browser has the viewer's session, and forges the rest: the proxy's word stands.
    forged = page.evaluate(
        """async ([path, header, operator]) => (await fetch(path, {method: "POST", body: "{}", headers: {
             "Content-Type": "application/json", "X-Flinkjobs": "1", [header]: operator}})).status""",
        [f"/api/jobs/{job_id}/cancel", HEADER, OPERATOR],
    )
    assert (forged, shown(jobs, job_id)["actions"]) == (403, [])

    page = sign_in(OPERATOR)
    page.goto(f"{address}/?job={job_id}")
    panel(page).get_by_role("button", name="Cancel").click()
    asked = page.locator("#question")
    expect(asked).to_contain_text(OPERATOR)
    asked.get_by_role("button", name="Cancel").last.click()
    event = panel(page).locator("[data-event=action_requested]")
    expect(event).to_contain_text(f"by {OPERATOR} (signed in)")
    expect(panel(page).locator("[data-event=submitted]")).to_contain_text("by li.wei")
    expect(panel(page).locator("[data-event=submitted]")).not_to_contain_text("signed in")
    [action] = shown(jobs, job_id)["actions"]
    assert (action["requested_by"], action["verified"]) == (OPERATOR, True)


def test_without_a_session_nothing_of_jobs_is_reached(address: str, job_id: str) -> None:
    """A header of the browser is no sign-in."""
    for method, path in (("GET", "/"), ("GET", "/api/jobs"), ("POST", f"/api/jobs/{job_id}/cancel")):
        answer = httpx.request(
            method, f"{address}{path}", headers={**OURS, HEADER: OPERATOR}, trust_env=False
        )
        assert (answer.status_code, answer.headers["location"]) == (302, f"{address}/oauth2/start")
    asked = httpx.get(f"{address}/oauth2/auth", trust_env=False)
    assert asked.status_code == 404, "only nginx itself may ask"


def test_around_the_proxy_without_the_header_the_page_is_read_only(jobs: FunctionServer, job_id: str) -> None:
    answer = httpx.post(
        f"{jobs.url}/api/jobs/{job_id}/cancel", headers=OURS, json={}, timeout=SECONDS, trust_env=False
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert shown(jobs, job_id)["acting"] == {"allowed": False, "user": None}
