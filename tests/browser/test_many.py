"""A hundred thousand jobs: the page stays as usable as with ten."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pymongo import MongoClient

from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.browser.conftest import NOWHERE, OpenPage
from tests.browser.records import many, sync_run
from tests.browser.test_list import TO, chip, details_of, row, rows, shown
from tests.browser.test_statistics import tile

RECORDS = 100_000
BATCH = 10_000


@pytest.fixture(scope="module")
def crowded(
    mongo_server: MongoServer, mongo_client: MongoClient[dict[str, Any]], kubernetes_double: KubernetesDouble
) -> Iterator[FunctionServer]:
    """The jobs function over a hundred thousand records of the last sixty days."""
    database = mongo_client["browser_many"]
    now = datetime.now(UTC)
    settings = {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": database.name,
        "FLINK_REST_URL": NOWHERE,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
    }
    written = many(RECORDS, now=now, span=timedelta(days=60))
    while batch := list(itertools.islice(written, BATCH)):
        database.flink_jobs.insert_many(batch, ordered=False)
    ensure_indexes(database)
    database.sync_runs.insert_one(sync_run(now))
    with FunctionServer("jobs", settings) as running:
        yield running
    mongo_client.drop_database(database.name)


def test_the_page_stays_usable_with_a_hundred_thousand_jobs(
    crowded: FunctionServer, open_at: OpenPage
) -> None:
    page: Page = open_at(crowded.url)
    newest = shown(page)
    assert len(newest) == 50
    expect(page.locator(".shown:visible")).to_have_text(re.compile(rf"^1{TO}50 of \d\d,\d{{3}}\+ jobs$"))
    chip(page, "LOST").click()
    expect(page.locator('table.jobs tbody tr:not([data-status="LOST"])')).to_have_count(0)
    expect(rows(page)).to_have_count(50)
    page.get_by_role("button", name="Older").click()
    expect(row(page, newest[0])).to_have_count(0)
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("searchbox").fill(newest[-1])
    expect(rows(page)).to_have_count(1)
    details_of(rows(page)).click()
    expect(page.get_by_role("dialog").locator(".verdict")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Statistics").click()
    page.get_by_role("button", name="All", exact=True).click()
    expect(tile(page, "Jobs").locator(".value")).to_have_text("100,000")
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
