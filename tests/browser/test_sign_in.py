"""A real sign-in before the page of the local stack: a viewer looks, an operator acts, and is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from local.stack import Stack
from tests.browser.conftest import TIME_ZONE, WAIT_MS
from tests.browser.test_details import panel
from tests.support.sign_in import HEADER, sign_in_before

VIEWER, OPERATOR = "vera@example.com", "olga@ops.example.com"
SECONDS = 60.0
OURS = {"X-Flinkjobs": "1"}

SignIn = Callable[[str], Page]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(
        environ={}, settings={"TRUSTED_USER_HEADER": HEADER, "OPERATORS": "*@ops.example.com"}
    ) as running:
        yield running


@pytest.fixture(scope="module")
def address(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where people open the page: that of the proxy."""
    directory: Path = tmp_path_factory.mktemp("sign-in")
    with sign_in_before(stack.functions["jobs"].url, directory) as found:
        yield found


@pytest.fixture
def job_id(stack: Stack) -> str:
    body = {"template_id": "etl", "script": {"inline": "import time; time.sleep(600)"}, "submitted_by": "ann"}
    answer = httpx.post(stack.functions["submit"].url, json=body, timeout=SECONDS, trust_env=False)
    return str(answer.raise_for_status().json()["job_id"])


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


def shown(stack: Stack, job_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{stack.functions['jobs'].url}/api/jobs/{job_id}", timeout=SECONDS, trust_env=False)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def test_a_viewer_looks_and_an_operator_acts(
    stack: Stack, address: str, job_id: str, sign_in: SignIn
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
    assert (forged, shown(stack, job_id)["actions"]) == (403, [])

    page = sign_in(OPERATOR)
    page.goto(f"{address}/?job={job_id}")
    panel(page).get_by_role("button", name="Cancel").click()
    asked = page.locator("#question")
    expect(asked).to_contain_text(OPERATOR)
    asked.get_by_role("button", name="Cancel").last.click()
    event = panel(page).locator("[data-event=action_requested]")
    expect(event).to_contain_text(f"by {OPERATOR} (signed in)")
    expect(panel(page).locator("[data-event=submitted]")).to_contain_text("by ann")
    expect(panel(page).locator("[data-event=submitted]")).not_to_contain_text("signed in")
    [action] = shown(stack, job_id)["actions"]
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


def test_around_the_proxy_without_the_header_the_page_is_read_only(stack: Stack, job_id: str) -> None:
    jobs = stack.functions["jobs"].url
    answer = httpx.post(
        f"{jobs}/api/jobs/{job_id}/cancel", headers=OURS, json={}, timeout=SECONDS, trust_env=False
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert shown(stack, job_id)["acting"] == {"allowed": False, "user": None}
