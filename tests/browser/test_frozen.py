"""MongoDB hangs while the page is open and `jobs --watch` runs: both say so, and recover by themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect
from pymongo import MongoClient

from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.browser.conftest import NOWHERE, Document, OpenPage
from tests.browser.records import cast, sync_run
from tests.browser.test_list import rows

SAID_WITHIN_MS = 5_000
RECOVERY_MS = 30_000


@pytest.fixture
def mongod() -> Iterator[MongoServer]:
    """A server of its own, since it is stopped."""
    with MongoServer() as running:
        yield running


@pytest.fixture
def served(mongod: MongoServer, kubernetes_double: KubernetesDouble) -> Iterator[FunctionServer]:
    """The jobs function over a few records of that server."""
    now = datetime.now(UTC)
    client: MongoClient[Document] = MongoClient(mongod.uri)
    with client:
        client.frozen.flink_jobs.insert_many(cast(now))
        client.frozen.sync_runs.insert_one(sync_run(now))
    settings = {
        "MONGODB_URI": mongod.uri,
        "MONGODB_DATABASE": "frozen",
        "FLINK_REST_URL": NOWHERE,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(kubernetes_double.kubeconfig),
    }
    with FunctionServer("jobs", settings) as running:
        yield running


def test_a_mongodb_that_hangs_is_said_within_five_seconds_and_both_recover(
    mongod: MongoServer, served: FunctionServer, open_at: OpenPage
) -> None:
    page = open_at(served.url, may_fail_to_load=True)
    expect(rows(page)).to_have_count(11)
    command = [sys.executable, "-m", "flinkjobs.cli", "jobs", "--watch"]
    environ = {**os.environ, "JOBS_URL": served.url, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        try:
            watch.stdout.readline()  # it has begun
            mongod.pause()
            stopped = datetime.now(UTC)
            alert = page.get_by_role("alert")  # of a busy server the page itself says that it did not answer
            expect(alert).to_contain_text("did not answer", timeout=SAID_WITHIN_MS)
            said = watch.stderr.readline()
            assert "MongoDB did not answer" in said
            assert (datetime.now(UTC) - stopped).total_seconds() < SAID_WITHIN_MS / 1000
            expect(alert).to_contain_text("MongoDB did not answer.", timeout=RECOVERY_MS)
            expect(rows(page)).to_have_count(11)
            mongod.resume()
            expect(alert).to_have_count(0, timeout=RECOVERY_MS)
            assert "it answers again" in watch.stderr.readline()
        finally:
            mongod.resume()
            watch.terminate()
