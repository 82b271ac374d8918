"""The read side over HTTP: the page, the records as JSON, the statistics, and what it refuses."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from doubles.kubernetes.faults import Outcome, RequestFault
from doubles.kubernetes.tls_listener import make_certificate, server_context
from doubles.processes import free_port
from flinkjobs.web import ui
from local.functions import FunctionServer
from tests.integration.functions.conftest import World, call, problem
from tests.support.flink_rest_server import Job
from tests.support.records import Document
from tests.support.scripted_server import Answer, Asked, ScriptedServer

A, B = "a" * 32, "b" * 32
EVIL = "<img src=x onerror=alert(1)>"
SECRET = "s3cr3t-p4ssw0rd"
START = datetime(2026, 11, 22, 8, 23, 44, 614_000, tzinfo=UTC)
END_OF_TIME = datetime(2999, 1, 1, tzinfo=UTC)
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


def get(jobs: FunctionServer, path: str, **request: Any) -> Document:
    answer = call(jobs, "GET", path, **request)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body: Document = answer.json()
    return body


def iso(time: datetime) -> str:
    """A time as every answer writes it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ref(id_: str, state: str, **fields: Any) -> Document:
    known: Document = {
        "id": id_,
        "source": "LOG",
        "confirmed": True,
        "state": state,
        "start_time": START,
        "end_time": None,
        "failure": None,
        "missing_since": None,
    }
    return known | fields


# --- the page ---------------------------------------------------------------------------------------


def test_the_page_is_served_with_what_keeps_it_safe(jobs: FunctionServer) -> None:
    answer = call(jobs, "GET", "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (Path(ui.__file__).parent / "index.html").read_bytes()
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert SECURITY.items() <= dict(answer.headers).items()


def test_every_file_of_the_page_is_there_and_is_asked_for_once(jobs: FunctionServer) -> None:
    with httpx.Client(base_url=f"{jobs.url}/assets", trust_env=False) as browser:
        for name in sorted(ui.names()):
            answer = browser.get(name)
            assert answer.status_code == 200
            assert answer.content == (Path(ui.__file__).parent / name).read_bytes()
            assert answer.headers["cache-control"] == "no-cache"
            for known in (answer.headers["etag"], f'"x", {answer.headers["etag"].removeprefix("W/")}'):
                again = browser.get(name, headers={"If-None-Match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == answer.headers["etag"]
            assert browser.get(name, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["__init__.py", "nothing.js", "..%2Fweb.py", "%2e%2e/jobs.py", "index.html%00", "a/b.js", "", "."],
)
def test_nothing_else_is_served(jobs: FunctionServer, name: str) -> None:
    answer = call(jobs, "GET", f"/assets/{name}")
    assert answer.status_code == 404
    assert problem(answer)["code"] == "NOT_FOUND"


PATHS = ["/", "/assets/index.html", "/api/jobs", "/api/jobs/etl_1", "/api/metrics", "/metrics"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(jobs: FunctionServer, method: str, path: str) -> None:
    answer = call(jobs, method, path, content=b"x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert problem(answer)["code"] == "METHOD_NOT_ALLOWED"


def test_a_refusal_carries_the_same_headers(jobs: FunctionServer) -> None:
    for path in ("/nowhere", "/api/jobs/nothing", "/api/jobs?limit=0"):
        answer = call(jobs, "GET", path)
        assert SECURITY.items() <= dict(answer.headers).items()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_the_probes_answer(jobs: FunctionServer) -> None:
    assert get(jobs, "/health") == {"status": "ok"}
    assert get(jobs, "/ready") == {"status": "ready"}


# --- the list ---------------------------------------------------------------------------------------


def test_the_list_of_nothing(jobs: FunctionServer, world: World) -> None:
    assert world.kubernetes.is_empty()
    body = get(jobs, "/api/jobs")
    assert (body["jobs"], body["next_cursor"]) == ([], None)
    assert set(body["counts"].values()) == {0}
    assert datetime.fromisoformat(body["now"]).tzinfo == UTC


def test_a_record_in_the_list(jobs: FunctionServer, world: World) -> None:
    since = START + timedelta(seconds=9)
    world.add_record(
        "etl_1",
        job_name=EVIL,
        submitted_by="ann",
        cluster="batch",
        submitted_at=START,
        start_time=START,
        updated_at=since,
        status="FAILED",
        flink_state="FAILED",
        flink_job_id=A,
        flink_job_ids=[A, B],
        flink_jobs=[ref(A, "FAILED"), ref(B, "FINISHED")],
        end_time=since,
        duration=9.25,
        reason={"code": "JOB_FAILED", "message": EVIL, "since": since},
        idempotency_key=SECRET,
        labels={"example.com/team": "search"},
    )
    body = get(jobs, "/api/jobs?q=ETL&status=FAILED,LOST&limit=1")
    assert body["jobs"] == [
        {
            "job_id": "etl_1",
            "template_id": "etl",
            "job_name": EVIL,
            "cluster": "batch",
            "submitted_by": "ann",
            "submitted_by_verified": False,
            "k8s_job_name": None,
            "flink_job_id": A,
            "flink_job_ids": [A, B],
            "status": "FAILED",
            "flink_state": "FAILED",
            "submitted_at": iso(START),
            "start_time": iso(START),
            "end_time": iso(since),
            "updated_at": iso(since),
            "duration": 9.25,
            "reason": {"code": "JOB_FAILED", "message": EVIL, "since": iso(since)},
            "labels": {"example.com/team": "search"},
            "health": None,
            "latest_state": None,
            "ended_by": None,
            "run_of": None,
            "attempt": None,
        }
    ]
    assert body["counts"]["FAILED"] == 1


def test_pages_follow_each_other_over_http(jobs: FunctionServer, world: World) -> None:
    for number in range(5):
        at = START + timedelta(minutes=number)
        old = at.replace(tzinfo=None).isoformat()
        world.add_record(f"etl_{number}", submitted_at=old if number % 2 else at)
    listed, cursor = [], None
    for _ in range(3):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = get(jobs, "/api/jobs", params=query)
        listed += [job["job_id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
    assert (listed, cursor) == (["etl_4", "etl_3", "etl_2", "etl_1", "etl_0"], None)


FAULTS = [
    ("limit=0", ["limit"]),
    ("limit=201", ["limit"]),
    ("limit=1e2", ["limit"]),
    ("limit=%D9%A1", ["limit"]),
    ("limit=-1", ["limit"]),
    ("limit=5&limit=5", ["limit"]),
    ("status=running", ["status"]),
    ("status=RUNNING,", ["status"]),
    ("status=RUNNING&status=FAILED", ["status"]),
    ("template_id=" + "x" * 201, ["template_id"]),
    ("q=a%00b", ["q"]),
    ("q=%0A", ["q"]),
    ("q=" + "x" * 201, ["q"]),
    ("from=yesterday", ["from"]),
    ("from=2025-11-01T12:00:00+08:00", ["from"]),  # a plus that was not encoded is a blank
    ("from=0001-01-01T00:00:00%2B08:00", ["from"]),
    ("from=2025-11-02&to=2025-11-01", ["from"]),
    ("to=99999-01-01", ["to"]),
    ("cursor=x", ["cursor"]),
    ("cursor=" + "A" * 5_000, ["cursor"]),
    ("$where=1", ["$where"]),
    ("=1", ['""']),
    ("status[$ne]=FAILED", ["status[$ne]"]),
    ("page=2&limit=a&status=b", ["page", "status", "limit"]),
]


@pytest.mark.parametrize(("query", "names"), FAULTS, ids=[query[:40] for query, _ in FAULTS])
def test_a_faulty_parameter_is_refused_by_its_name(
    jobs: FunctionServer, query: str, names: list[str]
) -> None:
    answer = call(jobs, "GET", f"/api/jobs?{query}")
    assert answer.status_code == 400
    body = problem(answer)
    assert body["code"] == "BAD_REQUEST"
    assert [fault["pointer"] for fault in body["errors"]] == [f"query:{name}" for name in names]


@pytest.mark.parametrize("path", ["/api/jobs/etl_1", "/api/metrics", "/metrics"])
def test_what_has_no_parameters_takes_none(jobs: FunctionServer, path: str) -> None:
    for query, pointer in (("pretty=1", "query:pretty"), ("=1", 'query:""')):
        answer = call(jobs, "GET", f"{path}?{query}")
        assert answer.status_code == 400
        assert [fault["pointer"] for fault in problem(answer)["errors"]] == [pointer]


def test_a_cursor_that_was_altered_is_refused(jobs: FunctionServer, world: World) -> None:
    for number in range(3):
        world.add_record(f"etl_{number}")
    cursor = get(jobs, "/api/jobs?limit=1")["next_cursor"]
    for place in (0, 10, 20, len(cursor) // 2, len(cursor) - 3):
        other = "A" if cursor[place] != "A" else "B"
        answer = call(
            jobs, "GET", "/api/jobs", params={"cursor": cursor[:place] + other + cursor[place + 1 :]}
        )
        assert answer.status_code == 400
        assert [fault["pointer"] for fault in problem(answer)["errors"]] == ["query:cursor"]


# --- one record -------------------------------------------------------------------------------------


def test_one_record_is_shown_with_its_whole_timeline(jobs: FunctionServer, world: World) -> None:
    end = START + timedelta(seconds=17)
    world.kubernetes.control.set_outcome(Outcome(log=f"\x1b[1mnoise\x1b[0m {EVIL}\n"))
    name = world.create_job("etl_1")
    world.kubernetes.wait_finished(name)
    pod = world.kubernetes.wait_pod(name)
    world.add_record(
        "etl_1",
        submitted_at=START - timedelta(days=900),
        submitted_by="ann",
        k8s_job_name=name,
        status="FINISHED",
        flink_job_id=A,
        flink_job_ids=[A],
        flink_jobs=[ref(A, "FINISHED", start_time=START + timedelta(days=900), end_time=end)],
        end_time=END_OF_TIME,
        duration=17.0,
        spec={
            "args": ["--date", "2025-11-01", "--db-password", SECRET, f"--token={SECRET}"],
            "flink_conf": {"s3.secret-key": SECRET, "state.backend": "rocksdb"},
            "script": {"url": f"https://ann:{SECRET}@scripts.example/a.py"},
        },
    )
    body = get(jobs, f"/api/jobs/{name}")
    assert body["job"]["job_id"] == "etl_1"
    assert body["spec"] == {
        "args": ["--date", "2025-11-01", "--db-password", "******", "--token=******"],
        "flink_conf": {"s3.secret-key": "******", "state.backend": "rocksdb"},
        "script": {"url": "https://******@scripts.example/a.py"},
    }
    [flink_job] = body["flink_jobs"]
    assert flink_job["ui_url"] == f"https://flink.example/ui/#/job/completed/{A}/overview"
    assert flink_job["history_url"] is None
    assert [event["event"] for event in body["timeline"]] == [
        "submitted",
        "pod",
        "id_found",
        "started",
        "ended",
    ]
    assert body["timeline"][0]["data"]["by"] == "ann"
    assert body["timeline"][1]["data"] == {"pod": pod["metadata"]["name"], "phase": "Succeeded"}
    assert body["timeline"][2] == {
        "at": None,
        "event": "id_found",
        "data": {"flink_job_id": A, "source": "LOG", "confirmed": True},
    }
    kubernetes = body["kubernetes"]
    assert (kubernetes["namespace"], kubernetes["job_name"]) == ("lemo-dev", name)
    assert (kubernetes["found"], kubernetes["error"], kubernetes["phase"]) == (True, None, "COMPLETE")
    [shown] = kubernetes["pods"]
    assert (shown["name"], shown["phase"]) == (pod["metadata"]["name"], "Succeeded")
    assert datetime.fromisoformat(shown["started_at"]) == datetime.fromisoformat(pod["status"]["startTime"])
    assert "kubectl get job,pods -n lemo-dev -l app=flink-python-job,job-id=etl_1" in kubernetes["kubectl"]
    assert body["log_tail"] == {
        "text": f"noise {EVIL}\n",
        "truncated": False,
        "pod": pod["metadata"]["name"],
        "source": "pod",
        "error": None,
    }
    assert body["sync_now"] is True
    assert SECRET not in json.dumps(body)


def test_the_moves_of_a_record_are_in_its_story(jobs: FunctionServer, world: World) -> None:
    at = START + timedelta(seconds=9)
    move = {"seq": 3, "at": at, "was": "RUNNING", "status": "SUSPENDED", "flink_state": "SUSPENDED"}
    world.add_record(
        "etl_1", submitted_at=START, history=[move | {"reason_code": None, "by": "sync"}], status="SUSPENDED"
    )
    [_, moved] = get(jobs, "/api/jobs/etl_1")["timeline"]
    assert datetime.fromisoformat(moved["at"]) == at
    data = {"was": "RUNNING", "status": "SUSPENDED", "flink_state": "SUSPENDED", "code": None, "by": "sync"}
    assert (moved["event"], moved["data"]) == ("moved", data)


def test_what_a_cluster_may_have_forgotten_is_linked_to_its_history_server(
    jobs: FunctionServer, world: World
) -> None:
    over = {"flink_job_id": A, "flink_job_ids": [A], "flink_jobs": [ref(A, "FINISHED")], "status": "FINISHED"}
    world.add_record("etl_1", cluster="batch", **over)
    [flink_job] = get(jobs, "/api/jobs/etl_1")["flink_jobs"]
    path = f"/#/job/completed/{A}/overview"
    assert (flink_job["ui_url"], flink_job["history_url"]) == (
        world.batch.url + path,
        world.history.url + path,
    )


def test_of_a_long_log_the_last_lines_are_shown(jobs: FunctionServer, world: World) -> None:
    lines = [f"{number:05} täglich" for number in range(2_500)]
    world.kubernetes.control.set_outcome(Outcome(log="\n".join(lines)))
    name = world.create_job("etl_1")
    world.kubernetes.wait_finished(name)
    world.add_record("etl_1", k8s_job_name=name)
    tail = get(jobs, "/api/jobs/etl_1")["log_tail"]
    assert tail["truncated"] is True
    assert tail["text"].endswith("\n02499 täglich")
    assert 15_000 < len(tail["text"].encode()) <= 16_384
    assert set(tail["text"].splitlines()) <= set(lines)


def test_a_job_that_is_gone_is_not_found_and_its_kept_log_is_shown(
    jobs: FunctionServer, world: World
) -> None:
    kept = {"text": "the last words", "truncated": False, "pod": "p-1", "saved_at": START}
    world.add_record("etl_1", k8s_job_name="flink-py-etl-gone", submitter_log=kept)
    body = get(jobs, "/api/jobs/etl_1")
    assert (body["kubernetes"]["found"], body["kubernetes"]["error"]) == (False, None)
    assert (body["log_tail"]["text"], body["log_tail"]["source"]) == ("the last words", "record")


def test_a_compressed_log_is_shown_and_one_that_is_broken_is_none(jobs: FunctionServer, world: World) -> None:
    spec = {"args": ["--token=abcdefgh"]}
    kept = {
        "zlib": zlib.compress("für abcdefgh".encode()),
        "truncated": True,
        "pod": "p-1",
        "saved_at": START,
    }
    world.add_record("etl_1", k8s_job_name="flink-py-etl-gone", submitter_log=kept, spec=spec)
    expected = {"text": "für ******", "truncated": True, "pod": "p-1", "source": "record", "error": None}
    assert get(jobs, "/api/jobs/etl_1")["log_tail"] == expected
    world.add_record("etl_2", k8s_job_name="flink-py-etl-2", submitter_log=kept | {"zlib": b"broken"})
    assert get(jobs, "/api/jobs/etl_2")["log_tail"] is None


def test_details_link_to_the_log_store(settings: Mapping[str, str], world: World) -> None:
    template = "https://logs.example/?job={job_id}&pod={pod}&to={end}"
    over = {"status": "FINISHED", "end_time": START, "k8s_job_name": "flink-py-etl-gone"}
    kept = {"zlib": zlib.compress(b"x"), "truncated": False, "pod": "p-1", "saved_at": START}
    world.add_record("etl_1", submitter_log=kept, **over)
    world.add_record("etl_2", **over)
    to = f"{START + timedelta(minutes=1):%Y-%m-%dT%H%%3A%M%%3A%SZ}"
    with FunctionServer("jobs", {**settings, "LOG_URL_TEMPLATE": template}) as server:
        found = get(server, "/api/jobs/etl_1")["log_url"]
        assert found == f"https://logs.example/?job=etl_1&pod=p-1&to={to}"
        assert get(server, "/api/jobs/etl_2")["log_url"] is None


def test_the_job_of_another_record_is_not_this_ones(jobs: FunctionServer, world: World) -> None:
    name = world.create_job("etl_2")
    world.add_record("etl_1", k8s_job_name=name)
    assert get(jobs, "/api/jobs/etl_1")["kubernetes"]["found"] is False


def test_that_kubernetes_does_not_answer_is_said_and_is_not_not_found(
    jobs: FunctionServer, world: World
) -> None:
    kept = {"text": "kept", "truncated": False, "pod": None}
    world.add_record("etl_1", k8s_job_name="flink-py-etl-1", submitter_log=kept)
    with world.kubernetes.control.fault(RequestFault(effect="status", status=503)):
        body = get(jobs, "/api/jobs/etl_1")
    assert body["kubernetes"]["found"] is None
    assert "503" in body["kubernetes"]["error"]
    assert body["kubernetes"]["kubectl"]
    assert body["log_tail"]["text"] == "kept"


def test_a_pod_whose_log_cannot_be_read_says_so(jobs: FunctionServer, world: World) -> None:
    world.kubernetes.control.set_outcome(Outcome(log="x\n"))
    name = world.create_job("etl_1")
    world.kubernetes.wait_finished(name)
    world.add_record("etl_1", k8s_job_name=name)
    with world.kubernetes.control.fault(RequestFault(effect="status", status=500, path=".*/log")):
        body = get(jobs, "/api/jobs/etl_1")
    assert body["kubernetes"]["found"] is True
    assert body["log_tail"]["text"] == ""
    assert "500" in body["log_tail"]["error"]


@pytest.mark.parametrize("any_id", ["nothing", "%00", "%F0%9F%8E%89", "a%2Fb", "x" * 4_000, "$ne"])
def test_an_id_that_no_record_has_is_not_found(jobs: FunctionServer, any_id: str) -> None:
    answer = call(jobs, "GET", f"/api/jobs/{any_id}")
    assert answer.status_code == 404
    assert problem(answer)["code"] in ("JOB_NOT_FOUND", "NOT_FOUND")


# --- sync now ---------------------------------------------------------------------------------------

OURS = {"X-Flinkjobs": "1"}


def test_a_record_can_be_synchronised_now(jobs: FunctionServer, world: World) -> None:
    world.flink.jobs = [Job(A, "FINISHED", end=1_795_335_841_979)]
    for number, id_ in ((1, A), (2, B)):
        world.add_record(
            f"etl_{number}",
            status="RUNNING",
            flink_job_id=id_,
            flink_job_ids=[id_],
            flink_jobs=[ref(id_, "RUNNING")],
            submitter_done=True,
        )
    answer = call(jobs, "POST", f"/api/jobs/{A}/sync", headers=OURS)
    assert answer.status_code == 200
    assert (answer.json()["scanned"], answer.json()["changed"]) == (1, {"FINISHED": 1})
    assert get(jobs, "/api/jobs/etl_1")["job"]["status"] == "FINISHED"
    assert get(jobs, "/api/jobs/etl_2")["job"]["status"] == "RUNNING"
    assert get(jobs, "/api/metrics")["sync"]["last_complete_at"] is None


def test_several_records_are_synchronised_in_one_pass(jobs: FunctionServer, world: World) -> None:
    world.flink.jobs = [Job(A, "FINISHED", end=1_795_335_841_979)]
    for number, id_ in ((1, A), (2, B), (3, "c" * 32)):
        world.add_record(
            f"etl_{number}",
            status="RUNNING",
            flink_job_id=id_,
            flink_job_ids=[id_],
            flink_jobs=[ref(id_, "RUNNING")],
            submitter_done=True,
        )
    answer = call(jobs, "POST", "/api/sync", headers=OURS, json={"job_ids": ["etl_1", "etl_2"]})
    assert (answer.status_code, answer.json()["scanned"]) == (200, 2)
    assert answer.json()["changed"]["FINISHED"] == 1


@pytest.mark.parametrize("body", [{}, {"job_ids": []}, {"job_ids": ["x"] * 201}, {"job_ids": [1]}], ids=str)
def test_one_to_two_hundred_records_are_synchronised(jobs: FunctionServer, body: dict[str, Any]) -> None:
    answer = call(jobs, "POST", "/api/sync", headers=OURS, json=body)
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in problem(answer)["errors"]] == ["/job_ids"]


def test_a_page_of_an_origin_that_is_named_may_read_and_synchronise(
    settings: Mapping[str, str], world: World
) -> None:
    world.add_record("etl_1")
    origin = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site", **OURS}
    with FunctionServer("jobs", {**settings, "CORS_ORIGINS": "https://app.example"}) as server:
        asked = call(server, "OPTIONS", "/api/sync", headers=origin)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, origin["Origin"])
        listed = call(server, "GET", "/api/jobs", headers=origin)
        assert listed.headers["access-control-allow-origin"] == origin["Origin"]
        synced = call(server, "POST", "/api/jobs/etl_1/sync", headers=origin)
        assert problem(synced)["code"] == "SYNC_UNAVAILABLE"  # it is allowed, and there is no SYNC_URL
        other = call(server, "GET", "/api/jobs", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_what_the_caller_holds_is_not_sent_again(jobs: FunctionServer, world: World) -> None:
    world.add_record("etl_1")
    for path in ("/api/jobs", "/api/jobs/etl_1", "/api/flink-jobs?unmanaged=true"):
        etag = call(jobs, "GET", path).headers["etag"]
        same = call(jobs, "GET", path, headers={"If-None-Match": etag})
        assert (same.status_code, same.content) == (304, b"")
        assert call(jobs, "HEAD", path).headers["etag"] == etag
    held = call(jobs, "GET", "/api/jobs").headers["etag"]
    world.jobs.update_one({"job_id": "etl_1"}, {"$set": {"status": "LOST"}})
    assert call(jobs, "GET", "/api/jobs", headers={"If-None-Match": held}).status_code == 200


FOREIGN: list[Mapping[str, str]] = [
    {},
    {"X-Flinkjobs": "yes"},
    {**OURS, "Sec-Fetch-Site": "cross-site"},
    {**OURS, "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_sites_page_cannot_trigger_it(
    jobs: FunctionServer, world: World, headers: Mapping[str, str]
) -> None:
    world.add_record("etl_1")
    answer = call(jobs, "POST", "/api/jobs/etl_1/sync", headers=headers)
    assert answer.status_code == 403
    assert problem(answer)["code"] == "FORBIDDEN"
    assert world.database["sync_runs"].count_documents({}) == 0


def test_an_unknown_record_cannot_be_synchronised(jobs: FunctionServer) -> None:
    answer = call(jobs, "POST", "/api/jobs/nothing/sync", headers=OURS)
    assert (answer.status_code, problem(answer)["code"]) == (404, "JOB_NOT_FOUND")


@pytest.mark.parametrize(
    ("request_", "pointer"), [({"json": {"all": True}}, "/all"), ({"params": {"a": "b"}}, "query:a")]
)
def test_what_is_not_known_there_is_refused(
    jobs: FunctionServer, request_: dict[str, Any], pointer: str
) -> None:
    answer = call(jobs, "POST", "/api/jobs/etl_1/sync", headers=OURS, **request_)
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in problem(answer)["errors"]] == [pointer]


# --- alone ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(settings: Mapping[str, str]) -> Iterator[FunctionServer]:
    """With MongoDB only: no kubeconfig, no Flink cluster, and nothing at the address of sync."""
    known = {name: settings[name] for name in ("MONGODB_URI", "MONGODB_DATABASE")}
    sync = f"http://127.0.0.1:{free_port()}"
    with FunctionServer("jobs", {**known, "SYNC_URL": sync, "KUBECONFIG": "/nowhere"}) as running:
        yield running


def test_without_kubernetes_and_flink_the_records_are_shown(alone: FunctionServer, world: World) -> None:
    world.add_record("etl_1", k8s_job_name="flink-py-etl-1", flink_job_id=A, flink_jobs=[ref(A, "RUNNING")])
    body = get(alone, "/api/jobs/etl_1")
    assert body["flink_jobs"][0]["ui_url"] is None
    assert body["kubernetes"]["found"] is None
    assert body["kubernetes"]["error"].startswith("K8S_AUTH")
    assert get(alone, "/ready") == {"status": "ready"}


def test_a_sync_function_that_is_away_is_unavailable(alone: FunctionServer, world: World) -> None:
    world.add_record("etl_1")
    answer = call(alone, "POST", "/api/jobs/etl_1/sync", headers=OURS)
    assert (answer.status_code, problem(answer)["code"]) == (503, "SYNC_UNAVAILABLE")


def test_without_the_address_of_sync_no_pass_can_be_requested(
    settings: Mapping[str, str], world: World
) -> None:
    """And while MongoDB is away, the page is there and says so."""
    world.add_record("etl_1")
    with FunctionServer("jobs", settings) as server:
        assert get(server, "/api/jobs/etl_1")["sync_now"] is False
        answer = call(server, "POST", "/api/jobs/etl_1/sync", headers=OURS)
        assert (answer.status_code, problem(answer)["code"]) == (503, "SYNC_UNAVAILABLE")
    dead = {**settings, "MONGODB_URI": f"mongodb://ann:{SECRET}@127.0.0.1:{free_port()}/"}
    with FunctionServer("jobs", dead) as server:
        assert call(server, "GET", "/").status_code == 200
        answer = call(server, "GET", "/api/jobs")
        assert (answer.status_code, problem(answer)["code"]) == (503, "STORE_UNAVAILABLE")
        assert answer.headers["retry-after"] == "10"
    assert [line for line in server.process.output if "STORE_UNAVAILABLE" in line]
    assert not [line for line in server.process.output if SECRET in line]


PAYLOAD = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
TOKEN = f"e30.{PAYLOAD}.c2lnbmVk"


def metadata(asked: Asked) -> Answer:
    """What Google's metadata server answers to a function."""
    body = TOKEN if "identity" in asked.path else '{"email": "a@b.example", "scopes": []}'
    kind = "text/html" if "identity" in asked.path else "application/json"
    return Answer(body=body.encode(), headers={"Metadata-Flavor": "Google", "Content-Type": kind})


def test_a_remote_sync_function_is_called_with_googles_identity_where_there_is_one(
    settings: Mapping[str, str], world: World, tmp_path: Path
) -> None:
    """The token is for that function alone."""
    world.add_record("etl_1")
    certificate = make_certificate(datetime.now(UTC))
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.certificate)
    with (
        ScriptedServer(
            lambda _: Answer(body=b'{"clusters": {}}'), tls=server_context(certificate, tmp_path)
        ) as sync,
        ScriptedServer(metadata) as google,
    ):
        known = {**settings, "SYNC_URL": sync.url, "SSL_CERT_FILE": str(authority)}
        on_google = {"GCE_METADATA_HOST": google.address, "GCE_METADATA_IP": google.address}
        for place in (on_google, {"NO_GCE_CHECK": "true"}):
            with FunctionServer("jobs", {**known, **place}) as server:
                answer = call(server, "POST", "/api/jobs/etl_1/sync", headers=OURS)
                assert (answer.status_code, answer.json()) == (200, {"clusters": {}})
        with_token, without = sync.asked
        assert with_token.headers["authorization"] == f"Bearer {TOKEN}"
        assert "authorization" not in without.headers
        assert (with_token.method, json.loads(with_token.body)) == ("POST", {"job_ids": ["etl_1"]})
        [identity] = [asked.path for asked in google.asked if "identity" in asked.path]
        assert f"audience={quote(sync.url, safe='')}" in identity


# --- statistics -------------------------------------------------------------------------------------


def test_the_statistics_as_json_and_for_prometheus_are_the_same(jobs: FunctionServer, world: World) -> None:
    now = datetime.now(UTC)
    seconds = [2.5, 4.0, 10.0]
    for number, duration in enumerate(seconds):
        world.add_record(f"a_{number}", status="FINISHED", duration=duration, flink_job_id=A)
    world.add_record("b_1", status="FAILED", flink_job_id=A)
    world.add_record("b_2", status="FAILED", reason={"code": "SUBMIT_FAILED", "message": "m", "since": now})
    world.add_record("c_1", status="RUNNING", submitted_at="2025-11-01T12:00:00")
    world.database["sync_runs"].insert_one(
        {
            "started_at": now - timedelta(seconds=60),
            "complete": True,
            "errors": [],
            "clusters": {'a"b\\c': {"reachable": False, "error": EVIL, "jobs": None}},
        }
    )
    body = get(jobs, "/api/metrics")
    day, ever = body["windows"]["24h"], body["windows"]["all"]
    assert (day["jobs"], ever["jobs"], ever["by_status"]["FINISHED"]) == (5, 6, 3)
    assert day["durations"] == {"count": 3, "average": 5.5, "min": 2.5, "max": 10.0, "p50": 4.0, "p95": 10.0}
    assert (day["failure_rate_percent"], day["flink_failure_rate_percent"]) == (40.0, 25.0)
    assert 60 <= body["sync"]["age_seconds"] < 180
    assert [entry["code"] for entry in body["problems"]] == ["CLUSTER_UNREACHABLE", "SUBMIT_FAILED"]

    answer = call(jobs, "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[(name, *sorted(labels.items()))]

    for status, count in ever["by_status"].items():
        assert value("flinkjobs_jobs", status=status) == count
    for name, window in body["windows"].items():
        for status, count in window["by_status"].items():
            assert value("flinkjobs_jobs_submitted", window=name, status=status) == count
        assert value("flinkjobs_job_duration_seconds", window=name, quantile="0.95") == 10.0
        assert value("flinkjobs_job_duration_seconds_count", window=name) == 3
        assert value("flinkjobs_job_duration_seconds_sum", window=name) == 16.5
        assert value("flinkjobs_job_duration_average_seconds", window=name) == 5.5
        assert value("flinkjobs_flink_failure_ratio", window=name) == 0.25
        assert value("flinkjobs_jobs_never_submitted", window=name) == 1
    assert value("flinkjobs_failure_ratio", window="24h") == 0.4
    assert value("flinkjobs_failure_ratio", window="all") == pytest.approx(1 / 3)
    assert value("flinkjobs_last_complete_sync_age_seconds") >= body["sync"]["age_seconds"]
    assert value("flinkjobs_sync_stale") == 0
    assert value("flinkjobs_cluster_reachable", cluster='a"b\\c') == 0
    assert value("flinkjobs_problems", problem="NO_FLINK_JOB_ID", code="SUBMIT_FAILED") == 1
    assert families["flinkjobs_job_duration_seconds"].type == "summary"
    assert families["flinkjobs_last_cleanup_age_seconds"].samples == []


def test_an_unknown_value_has_no_sample(jobs: FunctionServer, world: World) -> None:
    assert world.jobs.count_documents({}) == 0
    body = get(jobs, "/api/metrics")
    assert body["windows"]["all"]["durations"]["average"] is None
    assert [entry["code"] for entry in body["problems"]] == ["NEVER_SYNCED"]
    families = {
        family.name: family.samples
        for family in text_string_to_metric_families(call(jobs, "GET", "/metrics").text)
    }
    for name in (
        "flinkjobs_job_duration_average_seconds",
        "flinkjobs_failure_ratio",
        "flinkjobs_last_complete_sync_age_seconds",
        "flinkjobs_cluster_reachable",
    ):
        assert families[name] == []
    assert [sample.value for sample in families["flinkjobs_sync_stale"]] == [1]
    assert "NaN" not in call(jobs, "GET", "/metrics").text
