"""A real Chromium, and the jobs function over a real MongoDB with one record of each kind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pymongo import MongoClient
from pymongo.database import Database

from doubles.kubernetes.process import KubernetesDouble
from local.functions import ROOT, FunctionServer
from local.mongodb import MongoServer
from tests.browser.records import cast, cleanup_run, sync_run
from tests.browser.watch import Watch

Document = dict[str, Any]

DATABASE = "browser"
NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there; the read side names it in links and never asks it."""
HISTORY = "http://127.0.0.1:19"
"""Likewise, for the History Server."""
SCREENSHOTS = ROOT / "build" / "screenshots"
WALL = {"width": 1600, "height": 1000}
PHONE = {"width": 390, "height": 844}
TIME_ZONE = "Asia/Shanghai"
WAIT_MS = 15_000
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's own Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "no Chromium here: install Debian's package chromium"
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_at(chromium: Browser) -> Iterator[OpenPage]:
    """Opens pages in contexts of their own, all of which must have been good when the test is over.

    The function takes the origin, the address below it, and what a context of Playwright takes; and
    `may_fail_to_load`, see `Watch`.
    """
    watches: list[Watch] = []
    with contextlib.ExitStack() as contexts:

        def open_(origin: str, path: str = "", *, may_fail_to_load: bool = False, **options: Any) -> Page:
            settings = {"viewport": WALL, "locale": "en-US", "timezone_id": TIME_ZONE, **options}
            context = contexts.enter_context(chromium.new_context(**settings))
            contexts.callback(context.unroute_all, behavior="ignoreErrors")  # a request may be on its way
            context.set_default_timeout(WAIT_MS)
            watch = Watch(origin, may_fail_to_load)
            watch.over(context)
            watches.append(watch)
            page = context.new_page()
            page.goto(f"{origin}/{path}")
            page.locator("html[data-ready]").wait_for(state="attached")
            return page

        yield open_
        faults = [fault for watch in watches for fault in watch.faults]
        assert faults == []


@dataclass(frozen=True, slots=True)
class Lab:
    """The jobs function and the database that it reads.

    Attributes:
        now: when the records were written.
        open: opens the page; see `open_at`, without the origin.
    """

    url: str
    database: Database[Document]
    now: datetime
    open: OpenPage


@pytest.fixture(scope="session")
def settings(mongo_server: MongoServer, kubernetes_double: KubernetesDouble) -> Mapping[str, str]:
    """Of the functions, which know a Kubernetes without Jobs, and no other function."""
    return {
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": DATABASE,
        "FLINK_REST_URL": NOWHERE,
        "FLINK_HISTORY_URL": HISTORY,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
    }


@pytest.fixture(scope="session")
def jobs_function(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """The read side."""
    with FunctionServer("jobs", settings) as running:
        yield running


@pytest.fixture
def lab(jobs_function: FunctionServer, mongo_client: MongoClient[Document], open_at: OpenPage) -> Lab:
    """One record of each kind, a pass of a moment ago, a cleanup of this morning."""
    database = mongo_client[DATABASE]
    for name in ("flink_jobs", "sync_runs", "cleanup_runs", "unmanaged_jobs"):
        database[name].delete_many({})
    now = datetime.now(UTC)
    database.flink_jobs.insert_many(cast(now))
    database.sync_runs.insert_one(sync_run(now))
    database.cleanup_runs.insert_one(cleanup_run(now - timedelta(hours=6)))

    def open_(path: str = "", **options: Any) -> Page:
        return open_at(jobs_function.url, path, **options)

    return Lab(jobs_function.url, database, now, open_)


WEBHOOK = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
PAGE = "whsec_cGFnZXBhZ2VwYWdlcGFnZXBhZ2VwYWdlcGFnZXBhZ2U="


@contextlib.contextmanager
def acting(settings: Mapping[str, str], **own: str) -> Iterator[FunctionServer]:
    """The read side with settings of its own, and the submit function to which it passes requests on."""
    secrets = {"FLINK_IMAGE": "flink:1.20", "WEBHOOK_SECRETS": WEBHOOK, "PAGE_ACTION_SECRET": PAGE}
    with FunctionServer("submit", {**settings, **secrets}) as submit:
        passing_on = {"SUBMIT_URL": submit.url, "PAGE_ACTION_SECRET": PAGE}
        with FunctionServer("jobs", {**settings, **passing_on, **own}) as jobs:
            yield jobs


@pytest.fixture(scope="session")
def acting_jobs(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """The page with actions, for everyone."""
    with acting(settings) as jobs:
        yield jobs


@pytest.fixture
def act_lab(lab: Lab, acting_jobs: FunctionServer, open_at: OpenPage) -> Lab:
    """The lab, with the page that has actions."""
    return replace(lab, url=acting_jobs.url, open=partial(open_at, acting_jobs.url))
