"""The page over the whole real stack: the demo's four jobs, from their submission to their true end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from local.demo import EXAMPLES
from local.stack import Stack
from tests.browser.conftest import OpenPage
from tests.browser.test_details import choose, events, panel
from tests.browser.test_list import details_of, row, rows
from tests.browser.test_statistics import tile
from tests.e2e.console import flink_job
from tests.support.waiting import until

REQUEST_SECONDS = 60.0
OUTCOME_SECONDS = 120.0
PASS_MS = 12_000
"""The page asks every five seconds."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Without schedules: the test runs each pass, so it knows what the page has to show."""
    with Stack(environ={}) as running:
        yield running


def sync(stack: Stack) -> dict[str, Any]:
    answer = httpx.post(stack.functions["sync"].url, timeout=REQUEST_SECONDS, trust_env=False)
    report: dict[str, Any] = answer.raise_for_status().json()
    return report


def submit(stack: Stack, request: dict[str, Any]) -> str:
    answer = httpx.post(stack.functions["submit"].url, json=request, timeout=REQUEST_SECONDS, trust_env=False)
    return str(answer.raise_for_status().json()["job_id"])


def record(stack: Stack, job_id: str) -> dict[str, Any]:
    """One job as the read side shows it."""
    address = f"{stack.functions['jobs'].url}/api/jobs/{job_id}"
    shown: dict[str, Any] = (
        httpx.get(address, timeout=REQUEST_SECONDS, trust_env=False).raise_for_status().json()
    )
    return shown


def status_of(page: Page, job_id: str) -> Locator:
    """The chip of the status; a job that starts has another one, of its health."""
    return row(page, job_id).locator(".chip[data-status]")


def details(page: Page, job_id: str) -> Locator:
    """Opens a job's panel."""
    details_of(row(page, job_id)).click()
    shown = panel(page)
    expect(shown.locator(".part-facts")).to_contain_text(job_id)
    return shown


def test_the_four_jobs_of_the_demo_are_shown_truly_from_submission_to_end(
    stack: Stack, open_at: OpenPage
) -> None:
    page = open_at(stack.functions["jobs"].url)
    expect(page.get_by_text("No job has been submitted yet.")).to_be_visible()
    expect(page.locator("#notices")).to_contain_text("No sync pass has been recorded yet")
    page.evaluate("window.loadedOnce = true")

    job_ids = {example.request["template_id"]: submit(stack, dict(example.request)) for example in EXAMPLES}
    expect(rows(page)).to_have_count(len(EXAMPLES), timeout=PASS_MS)
    for job_id in job_ids.values():
        expect(status_of(page, job_id)).to_have_text("CREATED")

    def all_over() -> bool:
        sync(stack)
        shown = [
            record(stack, job_ids[example.request["template_id"]])["job"]["status"] for example in EXAMPLES
        ]
        return shown == [example.outcome for example in EXAMPLES]

    until(all_over, timeout_seconds=OUTCOME_SECONDS, what="the true ends")
    for example in EXAMPLES:
        expect(status_of(page, job_ids[example.request["template_id"]])).to_have_text(
            example.outcome, timeout=PASS_MS
        )
    assert page.evaluate("window.loadedOnce") is True, "it was reloaded"

    finished = record(stack, job_ids["word_count"])["job"]
    seen_by_flink = flink_job(stack, finished["flink_job_id"])
    shown = details(page, job_ids["word_count"])
    expect(shown.locator(".verdict")).to_have_text(
        f"Finished after {seen_by_flink['duration'] / 1000:.3f} s."
    )
    expect(shown.locator(".raw-state")).to_have_text("FINISHED")
    expect(shown.locator(".part-log pre")).to_contain_text(
        f"Job has been submitted with JobID {finished['flink_job_id']}"
    )
    stories = {"word_count": events(page)}
    expect(shown.locator(".part-kubernetes")).to_contain_text("Succeeded")
    expect(shown.locator(".part-spec pre")).to_contain_text("/opt/flink/examples/datastream/word_count.py")
    choose(page, "Flink")
    link = shown.get_by_role("link", name="Open in Flink")
    expect(link).to_have_attribute("href", re.compile("^" + re.escape(stack.flink.rest_url)))
    page.keyboard.press("Escape")

    shown = details(page, job_ids["fails_at_run_time"])
    expect(shown.locator(".said")).to_have_text("ValueError: amount -3 is negative")
    expect(shown.locator(".part-reason")).to_contain_text("JOB_FAILED")
    page.keyboard.press("Escape")

    shown = details(page, job_ids["raises_before_submitting"])
    expect(shown.locator(".verdict")).to_have_text("Failed before Flink ran it.")
    expect(shown.locator(".said")).to_have_text("KeyError: '2025-11-02'")
    expect(shown.locator(".part-flink")).to_contain_text("No Flink job was submitted.")
    expect(shown.locator(".part-log pre")).to_contain_text("Traceback (most recent call last)")
    stories["raises_before_submitting"] = events(page)
    page.keyboard.press("Escape")

    sync_one_job_now(stack, page, job_ids["streaming_sql"])
    assert refused(stack, job_ids["word_count"]) == (409, "JOB_OVER")

    page.get_by_role("tab", name="Statistics").click()
    expect(tile(page, "Jobs").locator(".value")).to_have_text("4", timeout=2 * PASS_MS)
    expect(tile(page, "Failure rate").locator(".value")).to_have_text("50.0 %")
    assert stories == {
        "word_count": ["submitted", "pod", "id_found", "started", "ended"],
        "raises_before_submitting": ["submitted", "pod", "ended"],
    }


def refused(stack: Stack, job_id: str) -> tuple[int, str]:
    """What submit says to an action of the page: it knows the page's secret."""
    address = f"{stack.functions['jobs'].url}/api/jobs/{job_id}/cancel"
    answer = httpx.post(
        address, headers={"X-Flinkjobs": "1"}, json={}, timeout=REQUEST_SECONDS, trust_env=False
    )
    return answer.status_code, answer.json()["code"]


def sync_one_job_now(stack: Stack, page: Page, job_id: str) -> None:
    """The running job is cancelled in Flink; the page learns it by its button, at once."""
    shown = details(page, job_id)
    expect(shown.locator(".verdict")).to_have_text(re.compile(r"Running for 0:\d\d:\d\d\."))
    button = shown.get_by_role("button", name="Sync now")
    button.click()
    expect(shown.locator(".sync-result")).to_have_text("Synchronised: nothing has changed.")
    flink_job_id = record(stack, job_id)["job"]["flink_job_id"]
    httpx.patch(
        f"{stack.flink.rest_url}/jobs/{flink_job_id}",
        params={"mode": "cancel"},
        timeout=REQUEST_SECONDS,
        trust_env=False,
    ).raise_for_status()
    until(
        lambda: flink_job(stack, flink_job_id)["state"] == "CANCELED",
        timeout_seconds=OUTCOME_SECONDS,
        what="the cancellation in Flink",
    )
    button.click()
    expect(shown.locator(".sync-result")).to_have_text("Synchronised: the status is now CANCELLED.")
    expect(shown.locator(".verdict")).to_contain_text("Cancelled after")
    page.keyboard.press("Escape")
    expect(status_of(page, job_id)).to_have_text("CANCELLED", timeout=PASS_MS)
