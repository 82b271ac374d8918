"""The deployed function, under its framework and with its own time limits, while peers are away."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from doubles.kubernetes.faults import RequestFault
from doubles.kubernetes.process import KubernetesDouble
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.integration.faults import records
from tests.integration.faults.conftest import DATABASE, Open
from tests.support.flink_rest_server import VERSIONS
from tests.support.scripted_server import html
from tests.support.waiting import until

SECONDS = 15.0


def post(server: FunctionServer) -> httpx.Response:
    """One pass."""
    return httpx.post(f"{server.url}/", json={}, timeout=60, trust_env=False)


def logged(server: FunctionServer, event: str, **fields: Any) -> bool:
    """Whether the function has logged this event with these fields."""
    lines = [json.loads(line) for line in server.process.output if line.startswith("{")]
    return any({**fields, "message": event}.items() <= line.items() for line in lines)


def test_the_deployed_function_waits_for_its_peers_and_goes_on(
    open_stage: Open, fragile_mongo: MongoServer, submitters: KubernetesDouble, tmp_path: Path
) -> None:
    stage = open_stage(fragile_mongo, version=VERSIONS[0], scratch=tmp_path)
    before = stage.documents()
    settings = {
        "MONGODB_URI": fragile_mongo.uri,
        "MONGODB_DATABASE": DATABASE,
        "FLINK_REST_URL": stage.flink.url,
        "K8S_AUTH": "kubeconfig",
        "KUBECONFIG": str(submitters.kubeconfig),
    }
    with FunctionServer("sync", settings) as server:
        stage.flink.answers[""] = html(502)
        with stage.kubernetes.control.fault(RequestFault(effect="status", status=503)):
            away = post(server)
        stage.flink.answers.clear()
        assert (away.status_code, away.json()["code"]) == (503, "NOTHING_REACHABLE")
        assert away.headers["content-type"] == "application/problem+json"
        assert int(away.headers["retry-after"]) > 0
        assert stage.documents() == before

        fragile_mongo.stop()
        without_store = post(server)
        fragile_mongo.start()
        assert (without_store.status_code, without_store.json()["code"]) == (503, "STORE_UNAVAILABLE")
        assert stage.documents() == before

        good = post(server)
        assert (good.status_code, good.json()["complete"]) == (200, True)
        after = stage.documents()
        assert [after[kind]["status"] for kind in records.KINDS] == [
            "CREATED",
            "RUNNING",
            "FAILED",
            "FAILED",
            "FINISHED",
            "RUNNING",
            "FINISHED",
            "FAILED",
            "LOST",
            "RUNNING",
            "FINISHED",
        ]
        assert {kind: after[kind] for kind in records.FINAL} == {kind: before[kind] for kind in records.FINAL}
        for event, fields in (
            ("request.refused", {"status": 503, "code": "NOTHING_REACHABLE"}),
            ("request.refused", {"status": 503, "code": "STORE_UNAVAILABLE"}),
            ("sync.pass", {"run_id": good.json()["run_id"], "complete": True}),
        ):
            until(
                partial(logged, server, event, **fields),
                timeout_seconds=SECONDS,
                what=event,
            )
