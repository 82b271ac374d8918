"""Another server at a function's address: every command says so, in one line, and claims nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from flinkjobs import log
from flinkjobs.cli import app
from tests.integration.cli.conftest import COMMAND, Ran, Run, one_line, own_environment
from tests.integration.doctor.system import env_file
from tests.support.scripted_server import Answer, ScriptedServer, html
from tests.support.terminal import CTRL_C, Terminal

JSON: Final = MappingProxyType({"Content-Type": "application/json"})
PROBLEM_JSON: Final = MappingProxyType({"Content-Type": "application/problem+json", "Retry-After": "5"})

STRANGERS: Final[Mapping[str, tuple[Answer, str]]] = {
    "login redirect": (
        Answer(status=302, body=b"", headers={"Location": "https://login.example/?return=/x"}),
        "answered 302 and sends on to https://login.example: it is none of these functions, or a login",
    ),
    "login page": (
        html(200),
        "answered 200 with text/html instead of JSON: it is none of these functions, or",
    ),
    "empty": (Answer(body=b"", headers={}), "answered 200 with nothing instead of JSON: it is none of these"),
    "list": (Answer(body=b"[]", headers=JSON), "answered no JSON object: it is none of these functions"),
    "another service": (Answer(body=b'{"ok": true}', headers=JSON), "answered JSON without '"),
    "proxy": (html(502), "answered 502: Bad Gateway"),
}
"""What answers, and what is said of it."""

COMMANDS: Final = (
    ("submit", "--path", "/opt/etl.py"),
    ("jobs",),
    ("show", "etl_1"),
    ("logs", "etl_1"),
    ("sync",),
    ("sync", "etl_1"),
    ("sync", "a" * 32),
    ("cleanup",),
    ("cleanup", "--dry-run"),
    ("metrics",),
)
"""Every command that calls a function once and is done; `sync` looks another id up at the jobs function."""


INSIDE: Final = MappingProxyType({"MONGODB_DATABASE": "lemo_recommender"})
"""A setting of the functions: without any, doctor expects that sync and cleanup may be closed to it."""


@pytest.fixture(scope="module")
def stranger() -> Iterator[ScriptedServer]:
    """Stands where the functions should."""
    with ScriptedServer(lambda _: html(200)) as server:
        yield server


@pytest.fixture
def urls(stranger: ScriptedServer) -> Mapping[str, str]:
    return {f"{name}_URL": stranger.url for name in ("SUBMIT", "SYNC", "CLEANUP", "JOBS")}


@pytest.fixture
def here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command in this process, with the error output of `main`: a process each takes long."""
    logger = log.LOGGER
    before = list(logger.handlers), logger.propagate, logger.level

    def run(*arguments: str, environ: Mapping[str, str]) -> Ran:
        settings = env_file(tmp_path / "settings.env", environ)
        code = app._run(["--env-file", str(settings), *arguments])
        return Ran(code, *capfd.readouterr())

    yield run
    logger.handlers, logger.propagate, logger.level = before


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("answer", "expected"), STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_is_no_function(
    here: Run,
    urls: Mapping[str, str],
    stranger: ScriptedServer,
    answer: Answer,
    expected: str,
    command: tuple[str, ...],
) -> None:
    stranger.answer = lambda _: answer
    plain, as_json = here(*command, environ=urls), here(*command, "--json", environ=urls)
    assert (plain.code, plain.out) == (5, "")
    assert (as_json.code, as_json.out) == (5, "")
    *notes, line = plain.err.splitlines()
    assert line.startswith(f"flinkjobs: {stranger.url} {expected}")
    assert "; check its URL in the settings" in line
    error = json.loads(as_json.err.splitlines()[-1])["error"]
    assert (error["code"], error["exit_code"]) == ("FUNCTION_UNAVAILABLE", 5)
    assert error["message"].startswith(f"{stranger.url} {expected}")
    if command[0] == "submit":
        assert "Repeating the command is safe with --idempotency-key " in notes[-1]
    else:
        assert notes == []


@pytest.mark.parametrize("command", [("wait", "etl_1"), ("jobs", "--watch")], ids=" ".join)
def test_no_command_waits_for_a_stranger(
    here: Run, urls: Mapping[str, str], stranger: ScriptedServer, command: tuple[str, ...]
) -> None:
    stranger.answer = lambda _: html(200)
    ran = here(*command, environ=urls)
    assert (ran.code, ran.out) == (5, "")
    assert f"{stranger.url} answered 200 with text/html" in one_line(ran.err)


def test_the_live_table_shows_the_whole_cause_on_a_narrow_terminal(
    urls: Mapping[str, str], stranger: ScriptedServer, tmp_path: Path
) -> None:
    problem = {
        "title": "Service Unavailable",
        "status": 503,
        "code": "STORE_UNAVAILABLE",
        "detail": "MongoDB: no answer within 4 s",
    }
    page = b'{"jobs": [], "counts": {}, "next_cursor": null, "now": "2026-11-02T12:00:00.000Z"}'
    stranger.answer = lambda _: Answer(body=page, headers=JSON)
    command = [*COMMAND, "jobs", "--watch", "--interval", "0.3"]
    with Terminal(command, env={**own_environment(tmp_path), **urls}, cwd=tmp_path, columns=80) as terminal:
        terminal.wait_for("Ctrl-C ends this.")
        stranger.answer = lambda _: Answer(503, json.dumps(problem).encode(), PROBLEM_JSON)
        terminal.wait_for("within 4 s")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130


def test_a_submission_is_not_sent_to_a_stranger_again(
    here: Run, urls: Mapping[str, str], stranger: ScriptedServer
) -> None:
    stranger.answer = lambda _: html(200)
    before = len(stranger.asked)
    here("submit", "--path", "/opt/etl.py", environ=urls)
    assert len(stranger.asked) == before + 1


@pytest.mark.parametrize(("answer", "expected"), STRANGERS.values(), ids=STRANGERS)
def test_doctor_takes_no_stranger_for_a_ready_function(
    here: Run, urls: Mapping[str, str], stranger: ScriptedServer, answer: Answer, expected: str
) -> None:
    stranger.answer = lambda _: answer
    ran = here("doctor", "--json", environ={**urls, **INSIDE})
    found = {finding["check"]: finding for finding in ran.json["findings"]}
    assert ran.code == 1
    for name in ("submit", "sync", "cleanup", "jobs"):
        finding = found[f"function.{name}"]
        assert (finding["verdict"], finding["code"]) == ("fail", "FUNCTION_UNAVAILABLE")
        assert finding["evidence"].startswith(f"{stranger.url} {expected}")


def test_doctor_takes_another_health_page_for_no_ready_function(
    here: Run, urls: Mapping[str, str], stranger: ScriptedServer
) -> None:
    stranger.answer = lambda _: Answer(body=b'{"status": "UP"}', headers=JSON)
    ran = here("doctor", "--json", environ={**urls, **INSIDE})
    found = {finding["check"]: finding for finding in ran.json["findings"]}
    assert found["function.sync"]["evidence"] == (
        f"{stranger.url} answers its /ready as none of these functions does"
    )


def test_a_cleanup_in_the_place_of_sync_is_an_error(
    here: Run, urls: Mapping[str, str], stranger: ScriptedServer
) -> None:
    report = {"skipped": False, "dry_run": False, "scanned": 0, "deleted": 0, "names": [], "errors": []}
    stranger.answer = lambda _: Answer(body=json.dumps(report).encode(), headers=JSON)
    ran = here("sync", environ=urls)
    assert (ran.code, ran.out) == (5, "")
    assert "answered JSON without 'clusters': it is another function" in ran.err


def test_a_stranger_in_the_place_of_jobs_has_not_synchronised(here: Run, stranger: ScriptedServer) -> None:
    """`wait` asks through the jobs function where it has no other way."""
    job = {"job_id": "etl_1", "status": "RUNNING", "flink_job_id": None, "reason": None}
    shown = {"job": job, "timeline": [], "now": "2026-11-01T12:00:00Z"}
    stranger.answer = lambda asked: Answer(
        body=json.dumps(shown).encode() if asked.method == "GET" else b'{"ok": 1}', headers=JSON
    )
    ran = here("wait", "etl_1", "--timeout", "0", environ={"JOBS_URL": stranger.url})
    assert ran.code == 6
    assert f"no synchronisation: {stranger.url} answered JSON without 'clusters'" in ran.err


@pytest.mark.parametrize("closed", [html(404), html(403)], ids=["internal ingress", "not invited"])
def test_where_sync_is_closed_the_page_s_way_is_taken(
    here: Run, stranger: ScriptedServer, closed: Answer
) -> None:
    """As Terraform deploys it: only submit and jobs can be called from outside."""
    job = {"job_id": "etl_1", "status": "RUNNING", "flink_job_id": None, "reason": None}
    shown = {"job": job, "timeline": [], "now": "2026-11-01T12:00:00Z"}
    report: dict[str, object] = {"clusters": {}, "errors": []}
    stranger.answer = lambda asked: Answer(
        body=json.dumps(shown if asked.method == "GET" else report).encode(), headers=JSON
    )
    with ScriptedServer(lambda _: closed) as sync:
        urls = {"JOBS_URL": stranger.url, "SYNC_URL": sync.url}
        ran = here("wait", "etl_1", "--timeout", "0", environ=urls)
    assert ran.code == 6
    assert "no synchronisation" not in ran.err
    assert stranger.asked[-2].path == "/api/jobs/etl_1/sync"


@pytest.mark.parametrize(
    ("closed", "code"), [(html(404), 5), (html(403), 3)], ids=["internal ingress", "not invited"]
)
def test_a_pass_over_one_job_takes_it_too_and_one_over_more_says_that_sync_is_closed(
    here: Run, stranger: ScriptedServer, closed: Answer, code: int
) -> None:
    report = {
        "skipped": False,
        "complete": True,
        "duration_seconds": 0.1,
        "scanned": 1,
        "changed": {"FINISHED": 1},
        "unchanged": 0,
        "resolved": 0,
        "unresolved": 0,
        "conflicts": 0,
        "clusters": {},
        "errors": [],
    }
    stranger.answer = lambda _: Answer(body=json.dumps(report).encode(), headers=JSON)
    with ScriptedServer(lambda _: closed) as sync:
        urls = {"JOBS_URL": stranger.url, "SYNC_URL": sync.url}
        one = here("sync", "etl_1", environ=urls)
        alone = here("sync", "etl_1", environ={"JOBS_URL": stranger.url})
        two = here("sync", "etl_1", "etl_2", environ=urls)
    assert [ran.code for ran in (one, alone)] == [0, 0]
    assert one.out == alone.out
    assert one.out.startswith("Looked at 1 record in 0.1 s: 1 became FINISHED, ")
    assert [asked.path for asked in stranger.asked[-2:]] == ["/api/jobs/etl_1/sync"] * 2
    assert two.code == code
