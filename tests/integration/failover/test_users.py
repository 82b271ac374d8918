"""The users of MongoDB with the least rights, as the documentation makes them: enough, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.mongo.documents import plain
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.domain.health_values import Mark
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.conftest import ROOT
from tests.integration.failover.storm import DATABASE, storm
from tests.support.records import Document

PAGES = ("run-in-production.md", "run-in-production.zh-CN.md")
UNAUTHORIZED = 13


def documented(page: str) -> Document:
    """The role that a page of the documentation creates."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    [call] = re.findall(r"db\.createRole\((\{.*?\})\)\n```", text, re.DOTALL)
    role: Document = json.loads(re.sub(r"(\w+): ", r'"\1": ', call).replace("lemo_recommender", DATABASE))
    return role


@dataclass
class Users:
    """A server that asks who calls, and connection strings by the name of the user."""

    server: MongoServer

    def uri(self, name: str, source: str = DATABASE) -> str:
        return f"{self.server.uri.replace('://', f'://{name}:{name}@')}?authSource={source}"

    def database(self, name: str, stack: ExitStack) -> Database[Document]:
        client: MongoClient[Document] = MongoClient(self.uri(name))
        return stack.enter_context(client)[DATABASE]


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    """As documented: indexes by an administrator, `worker`, `cleaner`, and `reader` for the page."""
    role = documented(PAGES[0])
    everything = [{**each, "actions": ["find"]} for each in role["privileges"]]
    jobs = {"db": DATABASE, "collection": "flink_jobs"}
    with MongoServer(auth=True) as server:
        with MongoClient[Document](server.uri) as first:
            first.admin.command("createUser", "root", pwd="root", roles=["root"])
        made = Users(server)
        with MongoClient[Document](made.uri("root", "admin")) as root:
            database = root[DATABASE]
            ensure_indexes(database)
            database.command("createRole", role["role"], privileges=role["privileges"], roles=role["roles"])
            remove = [{"resource": jobs, "actions": ["remove"]}]
            database.command("createRole", "remove", privileges=remove, roles=[])
            database.command("createRole", "read_only", privileges=everything, roles=[])
            database.command("createUser", "worker", pwd="worker", roles=[role["role"]])
            database.command("createUser", "cleaner", pwd="cleaner", roles=[role["role"], "remove"])
            database.command("createUser", "reader", pwd="reader", roles=["read_only"])
        yield made


def test_every_page_has_the_same_role() -> None:
    assert documented(PAGES[0]) == documented(PAGES[1])


@pytest.mark.timeout(300)
def test_with_its_documented_rights_each_function_does_all_its_work(
    users: Users, kubernetes_double: KubernetesDouble
) -> None:
    worker = {"MONGODB_URI": users.uri("worker")}
    cleaner = {"MONGODB_URI": users.uri("cleaner"), "RECORD_RETENTION_DAYS": "7"}
    own = {"submit": worker, "sync": worker, "cleanup": cleaner}
    long_ago = datetime.now(UTC) - timedelta(days=40)
    old = {"job_id": "old", "status": "FINISHED", "submitted_at": long_ago, "end_time": long_ago}
    with storm(users.uri("root", "admin"), kubernetes_double, own=own) as work, ExitStack() as stack:
        work.client[DATABASE]["flink_jobs"].insert_one(old)
        marks = work.client[DATABASE]["health_marks"]
        marks.insert_one({"_id": "f" * 32, **plain(Mark("f" * 32, "default"))})
        with work.raging():
            work.progress()
        work.calm_down()
        work.check()  # the expired record is gone as well
        assert marks.find_one("f" * 32) is None, "sync deletes the mark of a job that is over"
        stats = work.client[DATABASE]["job_stats"]
        assert stats.count_documents({"retired_at": {"$ne": None}}) == 1
        reads = {"MONGODB_URI": users.uri("reader"), "MONGODB_DATABASE": DATABASE, "K8S_AUTH": "incluster"}
        page = stack.enter_context(FunctionServer("jobs", {**reads, "FLINK_REST_URL": work.flink.url}))
        [job_id, *_] = [job_id for job_id, _ in work.acknowledged.values()]
        for path in (
            "jobs",
            "jobs?q=etl&sort=end_time",
            f"jobs/{job_id}",
            "metrics",
            "flink-jobs?unmanaged=true",
            "audit",
        ):
            answer = httpx.get(f"{page.url}/api/{path}", timeout=30, trust_env=False)
            assert answer.status_code == 200, answer.text
        for function in (*work.functions.values(), page):
            refused = [line for line in function.process.output if "not authorized" in line]
            assert all("indexes.not_ensured" in line for line in refused), refused


REFUSED: dict[str, Callable[[Database[Any]], object]] = {
    "delete a record": lambda database: database["flink_jobs"].delete_many({}),
    "make an index": lambda database: database["flink_jobs"].create_index("x"),
    "drop a collection": lambda database: database["sync_runs"].drop(),
    "change a template": lambda database: database["job_templates"].insert_one({}),
    "delete a lease": lambda database: database["leases"].delete_many({}),
    "delete sums": lambda database: database["job_stats"].delete_many({}),
    "change a report": lambda database: database["cleanup_runs"].update_many({}, {"$set": {"a": 1}}),
    "read other collections": lambda database: database["users"].find_one(),
    "read other databases": lambda database: database.client["other"]["flink_jobs"].find_one(),
    "list users": lambda database: database.client.admin.command("usersInfo", 1),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_documented_role_allows_no_more(users: Users, what: str) -> None:
    with ExitStack() as stack, pytest.raises(OperationFailure) as caught:
        REFUSED[what](users.database("worker", stack))
    assert caught.value.code == UNAUTHORIZED


def test_the_user_of_the_page_writes_nothing(users: Users) -> None:
    with ExitStack() as stack:
        database = users.database("reader", stack)
        for each in documented(PAGES[0])["privileges"]:
            with pytest.raises(OperationFailure) as caught:
                database[each["resource"]["collection"]].insert_one({})
            assert caught.value.code == UNAUTHORIZED
