"""The Flink adapter over real HTTP: recordings of both versions, and servers that misbehave."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from doubles.processes import Scratch, free_port
from flinkjobs import __version__
from flinkjobs.adapters.flink.client import CACHED_SECONDS, HttpFlink
from flinkjobs.adapters.flink.connection import FlinkConnection
from flinkjobs.domain.errors import (
    FlinkCredentialError,
    FlinkNotReachedError,
    FlinkUnavailableError,
    FlinkUntrustedError,
)
from flinkjobs.domain.observations import FlinkJob, Missing
from flinkjobs.settings.flink_access import FlinkAccess
from flinkjobs.settings.functions import FlinkCluster
from tests.support.flink_rest_server import VERSIONS, FlinkServer, Job, recording, recordings
from tests.support.late_network import LateNetwork
from tests.support.scripted_server import Answer, ScriptedServer, html
from tests.support.tls_server import Page, TlsServer

ID = "0123456789abcdef0123456789abcdef"
OTHER = "00000000000000000000000000000001"
TIMEOUT_SECONDS = 0.2
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def _server() -> Iterator[FlinkServer]:
    with FlinkServer() as running:
        yield running


@pytest.fixture
def server(_server: FlinkServer) -> FlinkServer:
    _server.reset()
    return _server


Connect = Callable[[FlinkCluster], FlinkConnection]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects to a cluster, with little patience."""
    with ExitStack() as opened:
        yield lambda cluster: opened.enter_context(
            FlinkConnection(
                cluster, read_timeout_seconds=TIMEOUT_SECONDS, connect_timeout_seconds=TIMEOUT_SECONDS
            )
        )


def cluster_at(url: str, *, history_url: str | None = None) -> FlinkCluster:
    return FlinkCluster(name="batch", rest_url=url, history_url=history_url, jobmanager="jobmanager:8081")


def flink_at(url: str, connect: Connect, *, history_url: str | None = None) -> HttpFlink:
    cluster = cluster_at(url, history_url=history_url)
    return HttpFlink(cluster, connect(cluster))


@pytest.fixture
def flink(server: FlinkServer, connect: Connect) -> HttpFlink:
    """A cluster without a History Server."""
    return flink_at(server.url, connect)


@pytest.fixture
def history(server: FlinkServer, connect: Connect) -> HttpFlink:
    """A cluster that is away; its History Server answers."""
    return flink_at(f"http://127.0.0.1:{free_port()}", connect, history_url=server.url)


def at(milliseconds: int) -> datetime | None:
    return EPOCH + timedelta(milliseconds=milliseconds) if milliseconds != -1 else None


def job_of(recorded: dict[str, Any]) -> FlinkJob:
    """What a recorded body says of one job, read field by field."""
    return FlinkJob(
        id=recorded["jid"],
        name=recorded["name"],
        state=recorded["state"],
        start_time=at(recorded["start-time"]),
        end_time=at(recorded["end-time"]),
    )


# --- every recording, by its situation --------------------------------------------------------------

OVERVIEWS = {
    "adaptive--jobs_overview--created": {"CREATED": 1},
    "ha--jobs_overview--after-takeover-initializing": {"INITIALIZING": 1},
    "ha--jobs_overview--after-takeover-running": {"RUNNING": 1},
    "ha--jobs_overview--before-leader-killed": {"RUNNING": 1},
    "jobs_overview--after-jobmanager-restart": {},
    "jobs_overview--empty": {},
    "jobs_overview--cancelling": {"CANCELLING": 1},
    "jobs_overview--failing": {"FAILING": 1},
    "jobs_overview--initializing": {"INITIALIZING": 1},
    "jobs_overview--many-states": {"RUNNING": 2, "RESTARTING": 1},
    "jobs_overview--running-waiting-for-slots": {"RUNNING": 1},
}
"""How many jobs of each state that is not over the situation has."""
OVER = {"FINISHED", "FAILED", "CANCELED"}
BUSY = ("503", "500")


def named(pattern: str, *without: str) -> list[tuple[str, str]]:
    return [pair for pair in recordings(pattern) if not any(word in pair[1] for word in without)]


@pytest.mark.parametrize(
    ("version", "name"), named("jobs_overview--*", "503", "v1-prefix") + named("*-*--jobs_overview--*", *BUSY)
)
def test_an_overview_gives_every_job_of_its_situation(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    server.play(version, name)
    jobs = flink.overview()
    assert jobs == {entry["jid"]: job_of(entry) for entry in recording(version, name)["body"]["jobs"]}
    assert Counter(job.state for job in jobs.values() if job.state not in OVER) == OVERVIEWS[name]
    assert all((job.end_time is not None) == (job.state in OVER) for job in jobs.values())
    assert server.paths == ["/jobs/overview"]


@pytest.mark.parametrize(
    ("version", "name"), recordings("*jobs_overview--503*") + recordings("ha--jobs_overview--standby-*")
)
def test_a_cluster_that_is_electing_a_leader_is_unavailable_not_empty(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    server.play(version, name)
    status = 500 if "500" in name else 503
    with pytest.raises(FlinkUnavailableError, match=f"Flink answered {status}: "):
        flink.overview()


@pytest.mark.parametrize(
    ("version", "name"), named("overview--*") + recordings("adaptive--overview--created")
)
def test_the_slots_of_a_cluster(version: str, name: str, server: FlinkServer, flink: HttpFlink) -> None:
    path = server.play(version, name)
    overview = recording(version, name)["body"]
    slots = (overview["taskmanagers"], overview["slots-total"], overview["slots-available"])
    assert flink.cluster_overview() == (overview["flink-version"], *slots)
    assert server.paths == [path]


JOB_STATES = {
    "canceled": "CANCELED",
    "cancelling": "CANCELLING",
    "created": "CREATED",
    "failed": "FAILED",
    "failing": "FAILING",
    "finished": "FINISHED",
    "initializing": "INITIALIZING",
    "restarting": "RESTARTING",
    "running": "RUNNING",
}
"""By the first word of the situation."""


@pytest.mark.parametrize(
    ("version", "name"), named("job--*", "unknown", "malformed", "upper-case") + named("adaptive--job--*")
)
def test_a_job_is_in_the_state_of_its_situation(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    job = flink.job(path.removeprefix("/jobs/"))
    assert isinstance(job, FlinkJob)
    assert job == job_of(recording(version, name)["body"])
    assert job.state == JOB_STATES[name.rpartition("job--")[2].partition("-")[0]]


@pytest.mark.parametrize(("version", "name"), recordings("job--unknown"))
def test_flinks_own_404_is_missing(version: str, name: str, server: FlinkServer, flink: HttpFlink) -> None:
    path = server.play(version, name)
    assert flink.job(path.removeprefix("/jobs/")) == Missing()


@pytest.mark.parametrize(
    ("version", "name"), recordings("job--malformed-id*") + recordings("job--upper-case-id")
)
def test_a_text_that_is_no_id_is_never_sent(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    with pytest.raises(ValueError, match="no Flink Job ID"):
        flink.job(path.removeprefix("/jobs/"))
    assert server.asked == []


@pytest.mark.parametrize(("version", "name"), recordings("wrong-path*"))
def test_the_404_of_a_wrong_path_is_unavailable(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    server.answers[f"/jobs/{ID}"] = server.answers[path]
    with pytest.raises(FlinkUnavailableError, match="404: Unable to load requested file"):
        flink.job(ID)


DIVISION = "java.lang.ArithmeticException: / by zero"
NO_SLOTS = "NoResourceAvailableException: Could not acquire the minimum required resources."
FAILURES = {
    "failed--whole-trace": DIVISION,
    "failed-after-restarts": DIVISION,
    "failed-datastream-python--whole-trace": "ValueError: bad value in map function: 3",
    "failed-not-enough-slots--whole-trace": NO_SLOTS,
    "failed-python-udf--whole-trace": "RuntimeError: the UDF does not like ",
    "failed-python-worker-died--whole-trace": "Process died with exit code 0",
    "failed-taskmanager-lost--whole-trace": "is no longer reachable.",
    "restarting": DIVISION,
    "running-with-earlier-failures": DIVISION,
    "running-with-many-failures": DIVISION,
}
"""A part of the cause that is shown, by situation. Of the others Flink names no exception."""
FAILING = {"1.20": DIVISION, "2.3": None}
"""While a job is FAILING, 1.20 names the exception and 2.3 does not yet."""
WITH_WHOLE_TRACE = ("failed", "failed-datastream-python", "failed-not-enough-slots", "failed-python-udf")
CUT = {
    f"job_exceptions--{situation}"
    for situation in (
        *WITH_WHOLE_TRACE,
        *("failed-python-worker-died", "failed-taskmanager-lost", "failed-not-enough-slots-after-5-minutes"),
    )
}
"""Recordings whose stack trace was cut before its last cause."""


@pytest.mark.parametrize(
    ("version", "name"),
    [
        *(pair for pair in named("job_exceptions--*", "unknown", "malformed") if pair[1] not in CUT),
        *recordings("adaptive--job_exceptions--*"),
    ],
)
def test_the_root_exception_of_a_situation(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    id_ = path.split("/")[2]
    server.answers[f"/jobs/{id_}/exceptions"] = server.answers[path]
    cause = flink.until(time.monotonic() + CACHED_SECONDS).failure(id_)
    situation = name.rpartition("exceptions--")[2]
    expected = FAILING[version] if situation == "failing" else FAILURES.get(situation)
    if expected is None:
        assert cause is None
    else:
        assert cause is not None
        assert expected in cause


def test_a_cause_that_flinks_cache_does_not_show_yet_is_asked_for_again(connect: Connect) -> None:
    """Who looked at the job up to three seconds before it failed gets that answer once more."""
    nothing = {"root-exception": None, "exceptionHistory": {"entries": [], "truncated": False}}
    left = [nothing, nothing | {"root-exception": f"java.lang.RuntimeException\nCaused by: {DIVISION}\n"}]
    with ScriptedServer(lambda _asked: json_answer(left.pop(0))) as server:
        cause = flink_at(server.url, connect).failure(ID)
    assert cause is not None
    assert DIVISION in cause
    assert not left


@pytest.mark.parametrize(("version", "name"), recordings("job_exceptions--unknown"))
def test_the_exceptions_of_a_job_that_is_gone_are_unavailable(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    with pytest.raises(FlinkUnavailableError, match="not found"):
        flink.failure(path.split("/")[2])


# --- the History Server -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_history_holds_the_jobs_that_are_over(
    version: str, server: FlinkServer, history: HttpFlink
) -> None:
    server.play(version, "historyserver--jobs_overview")
    jobs = history.history()
    assert Counter(job.state for job in jobs.values()) == {"FINISHED": 4, "FAILED": 2, "CANCELED": 1}
    assert all(job.end_time is not None for job in jobs.values())
    assert server.paths == ["/jobs/overview"]


@pytest.mark.parametrize(
    ("situation", "expected"), [("failed", DIVISION), ("canceled", None), ("finished", None)]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_history_has_the_root_exception(
    version: str, situation: str, expected: str | None, server: FlinkServer, history: HttpFlink
) -> None:
    path = server.play(version, f"historyserver--job_exceptions--{situation}")
    assert history.history_failure(path.split("/")[2]) == expected


@pytest.mark.parametrize(
    ("version", "name"), [pair for pair in recordings("historyserver--job--*") if "malformed" not in pair[1]]
)
def test_a_history_server_as_the_cluster_gives_the_same_jobs(
    version: str, name: str, server: FlinkServer, flink: HttpFlink
) -> None:
    path = server.play(version, name)
    expected = Missing() if "unknown" in name else job_of(recording(version, name)["body"])
    assert flink.job(path.removeprefix("/jobs/")) == expected


def test_without_a_history_server_its_questions_are_refused(flink: HttpFlink, server: FlinkServer) -> None:
    assert not flink.has_history
    with pytest.raises(FlinkUnavailableError, match="cluster batch has no History Server"):
        flink.history()
    assert server.asked == []


# --- peers that are no Flink, or not well -----------------------------------------------------------


def ask_everything(flink: HttpFlink) -> list[str]:
    """The message of every question's error."""
    messages = []
    for ask in (flink.overview, lambda: flink.job(ID), lambda: flink.failure(ID)):
        with pytest.raises(FlinkUnavailableError) as caught:
            ask()
        messages.append(str(caught.value))
    return messages


def json_answer(body: object, status: int = 200) -> Answer:
    return Answer(status=status, body=json.dumps(body).encode())


BAD_ANSWERS = {
    "an empty object": (json_answer({}), "not Flink's: {}"),
    "an empty body": (Answer(body=b""), "not Flink's: \\(empty\\)"),
    "a list": (json_answer([]), "not Flink's: \\[\\]"),
    "null": (json_answer(None), "not Flink's: null"),
    "a proxy's page with 200": (html(200), "not Flink's: <html>"),
    "a proxy's 404": (html(404), "answered 404: <html>"),
    "a proxy's 502": (html(502), "answered 502: <html>"),
    "no content": (Answer(status=204, body=b""), "answered 204"),
    "a redirect": (Answer(status=302, headers={"Location": "/login"}), "answered 302"),
    "a redirect elsewhere": (
        Answer(status=307, headers={"Location": "https://u:p@sso.example/start?token=s3cret"}),
        "answered 307, a redirect to sso.example: a sign-in may stand before Flink$",
    ),
    "401": (
        json_answer({"errors": ["who are you?"]}, 401),
        "answered 401, no credential, or one it refuses: who are you\\?",
    ),
    "no UTF-8": (Answer(body=b'{"jobs": [], "x": "\xff"'), "not Flink's"),
    "half a JSON": (Answer(body=b'{"jobs": [{"jid": "'), "not Flink's"),
    "no gzip": (
        Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
        "GET /jobs/[^ ]+: DecodingError",
    ),
}


@pytest.mark.parametrize(("answer", "expected"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_that_is_not_flinks_is_unavailable(
    answer: Answer, expected: str, server: FlinkServer, flink: HttpFlink
) -> None:
    server.answers[""] = answer
    for message in ask_everything(flink):
        assert re.search(expected, message)
    assert len(server.asked) == 3


def test_an_answer_that_ends_in_the_middle_is_unavailable(server: FlinkServer, flink: HttpFlink) -> None:
    whole = json.dumps({"jobs": []}).encode()
    server.answers[""] = Answer(body=whole + b" " * 100, cut_after=len(whole))
    for message in ask_everything(flink):
        assert message.startswith("cluster batch: GET /jobs/")
        assert "RemoteProtocolError: peer closed connection" in message


def test_a_connection_that_is_refused_is_unavailable(connect: Connect) -> None:
    nowhere = flink_at(f"http://127.0.0.1:{free_port()}", connect)
    for message in ask_everything(nowhere):
        assert "ConnectError: [Errno 111] Connection refused" in message


def test_a_host_that_does_not_exist_is_unavailable(connect: Connect) -> None:
    for message in ask_everything(flink_at("http://flink.invalid:8081", connect)):
        assert "ConnectError" in message


def test_a_request_that_cannot_have_arrived_is_distinguished(
    connect: Connect, server: FlinkServer, flink: HttpFlink
) -> None:
    """Only such a one may be sent again."""
    nowhere = flink_at(f"http://127.0.0.1:{free_port()}", connect)
    with pytest.raises(FlinkNotReachedError, match="Connection refused"):
        nowhere.stop(ID, ID, directory=None, drain=False)
    with pytest.raises(FlinkNotReachedError, match="no time left"):
        flink.until(time.monotonic() - 1).savepoint(ID, ID, directory=None)
    for lost in (Answer(is_reset=True), Answer(delay_seconds=60), html(502)):
        server.answers[f"/jobs/{ID}/stop"] = lost
        with pytest.raises(FlinkUnavailableError) as caught:
            flink.stop(ID, ID, directory=None, drain=False)
        assert not isinstance(caught.value, FlinkNotReachedError)


def test_silence_is_unavailable_after_the_timeout(server: FlinkServer, flink: HttpFlink) -> None:
    server.answers[""] = Answer(delay_seconds=60)
    for message in ask_everything(flink):
        assert "ReadTimeout: timed out" in message


def test_an_answer_that_trickles_in_is_given_up(server: FlinkServer, connect: Connect) -> None:
    """Each byte comes in time, the whole never would."""
    server.answers[""] = Answer(body=b'{"jobs": []}' + b" " * 10_000, drip_seconds=0.01)
    cluster = FlinkCluster(name="batch", rest_url=server.url, history_url=None, jobmanager="x:1")
    impatient = HttpFlink(cluster, connect(cluster), answer_timeout_seconds=0.1)
    for message in ask_everything(impatient):
        assert "ReadTimeout: the answer did not end in time" in message


def test_an_answer_is_given_up_when_time_is_up(server: FlinkServer, flink: HttpFlink) -> None:
    server.answers[""] = Answer(body=b'{"jobs": []}' + b" " * 10_000, drip_seconds=0.01)
    for message in ask_everything(flink.until(time.monotonic() + 0.2)):
        assert "the answer did not end in time" in message or "there was no time left to ask" in message


def test_a_silence_is_given_up_when_time_is_up(server: FlinkServer, flink: HttpFlink) -> None:
    server.answers[""] = Answer(delay_seconds=600)
    with pytest.raises(FlinkUnavailableError, match=r"GET /jobs/overview: (ReadTimeout|there was no time)"):
        flink.until(time.monotonic() + 0.2).overview()


def test_without_time_nothing_is_asked(server: FlinkServer, flink: HttpFlink) -> None:
    for message in ask_everything(flink.until(time.monotonic())):
        assert "there was no time left to ask" in message
    assert server.asked == []
    assert flink.overview() == {}, "the others have all the time they need"


def test_an_unreadable_job_costs_only_itself(server: FlinkServer, flink: HttpFlink) -> None:
    good = Job(id=ID, state="RUNNING").entry()
    server.answers["/jobs/overview"] = json_answer({"jobs": [{"jid": OTHER}, good, "x"]})
    assert flink.overview() == {ID: job_of(good)}


def test_duplicate_entries_are_logged_once_per_pass(
    server: FlinkServer, flink: HttpFlink, caplog: pytest.LogCaptureFixture
) -> None:
    server.jobs += [Job(id=ID, state="SUSPENDED"), Job(id=ID, state="RUNNING")]
    for _ in range(2):
        of_a_pass = flink.until(time.monotonic() + 60)
        of_a_pass.overview()
        of_a_pass.overview()
    assert [record.getMessage() for record in caplog.records] == ["flink.duplicate_jobs"] * 2


def test_an_unknown_state_is_passed_on_as_it_is(server: FlinkServer, flink: HttpFlink) -> None:
    server.jobs.append(Job(id=ID, state="MEDITATING"))
    assert flink.overview()[ID].state == "MEDITATING"
    job = flink.job(ID)
    assert isinstance(job, FlinkJob)
    assert job.state == "MEDITATING"


def test_a_job_under_another_jobs_path_is_not_believed(server: FlinkServer, flink: HttpFlink) -> None:
    server.answers[f"/jobs/{ID}"] = json_answer(Job(id=OTHER, state="FAILED").entry())
    with pytest.raises(FlinkUnavailableError, match=f"asked for job {ID}, the answer is about '{OTHER}'"):
        flink.job(ID)


# --- requests ---------------------------------------------------------------------------------------


def test_each_question_is_one_request(server: FlinkServer, flink: HttpFlink) -> None:
    server.jobs.append(Job(id=ID, state="FAILED", root_exception=DIVISION))
    assert list(flink.overview()) == [ID]
    assert isinstance(flink.job(ID), FlinkJob)
    assert flink.failure(ID) == DIVISION
    assert flink.job(OTHER) == Missing()
    expected = ["/jobs/overview", f"/jobs/{ID}", f"/jobs/{ID}/exceptions", f"/jobs/{OTHER}"]
    assert server.paths == expected
    assert {asked.method for asked in server.asked} == {"GET"}
    assert {asked.headers["accept"] for asked in server.asked} == {"application/json"}
    assert {asked.headers["user-agent"] for asked in server.asked} == {f"flinkjobs/{__version__}"}


def test_questions_share_a_connection(server: FlinkServer, flink: HttpFlink) -> None:
    before = server.connections
    for _ in range(5):
        flink.overview()
    assert server.connections - before == 1


def test_an_error_answer_keeps_the_connection(server: FlinkServer, flink: HttpFlink) -> None:
    before = server.connections
    server.answers["/jobs/overview"] = html(503)
    with pytest.raises(FlinkUnavailableError):
        flink.overview()
    assert flink.job(ID) == Missing()
    assert server.connections - before == 1


def test_threads_share_one_client(server: FlinkServer, flink: HttpFlink) -> None:
    server.jobs.append(Job(id=ID, state="RUNNING"))
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.extend(flink.overview())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [ID] * 8


def test_a_cluster_that_comes_back_is_asked_again(connect: Connect) -> None:
    with FlinkServer(Job(id=ID, state="RUNNING")) as server:
        flink = flink_at(server.url, connect)
        assert list(flink.overview()) == [ID]
        server.answers[""] = Answer(cut_after=0)
        with pytest.raises(FlinkUnavailableError):
            flink.overview()
        server.answers.clear()
        assert list(flink.overview()) == [ID]
    with pytest.raises(FlinkUnavailableError, match=r"refused|closed|disconnected"):
        flink.overview()


# --- TLS --------------------------------------------------------------------------------------------

PLAIN = cluster_at("http://flink:8081")


@pytest.fixture
def encrypted() -> Iterator[TlsServer]:
    """A cluster, or a History Server, behind TLS; its certificate is not trusted yet."""
    pages = {"/jobs/overview": Page(b'{"jobs":[]}')}
    with Scratch("flinkjobs-tls") as scratch, TlsServer("localhost", pages, scratch.path) as server:
        yield server


@pytest.mark.parametrize("role", ["cluster", "History Server"])
def test_a_cluster_behind_tls_is_asked_if_its_certificate_is_trusted(
    encrypted: TlsServer, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{encrypted.port}"
    its = cluster_at(PLAIN.rest_url, history_url=url) if role == "History Server" else cluster_at(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.certificate))
    with FlinkConnection(its) as connection:
        flink = HttpFlink(its, connection)
        assert (flink.history() if role == "History Server" else flink.overview()) == {}


def test_a_certificate_of_an_unknown_authority_is_refused(encrypted: TlsServer) -> None:
    its = cluster_at(f"https://localhost:{encrypted.port}")
    with FlinkConnection(its) as connection, pytest.raises(FlinkUntrustedError, match="is not trusted: name"):
        HttpFlink(its, connection).overview()


def test_a_client_for_clusters_without_tls_trusts_no_certificate_at_all(
    encrypted: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not loaded any authority: had it disabled checks instead, a mistake would go unnoticed."""
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.certificate))
    its = cluster_at(f"https://localhost:{encrypted.port}")
    with (
        FlinkConnection(PLAIN) as connection,
        pytest.raises(FlinkUnavailableError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        HttpFlink(its, connection).overview()
    assert encrypted.asked == []


def test_the_network_of_a_new_instance_may_come_later_than_the_timeouts_allow(
    server: FlinkServer, connect: Connect
) -> None:
    server.jobs.append(Job(ID, "RUNNING"))
    with LateNetwork(4 * TIMEOUT_SECONDS) as network:
        url = f"http://127.0.0.1:{network.way_to(int(server.url.rpartition(':')[2]))}"
        with pytest.raises(FlinkUnavailableError, match="ReadTimeout"):
            flink_at(url, connect).overview()
        cold = HttpFlink(cluster_at(url), connect(cluster_at(url)), cold_until=time.monotonic() + 60)
        assert set(cold.overview()) == {ID}


def test_a_network_that_does_not_come_is_given_up_with_the_pass(
    server: FlinkServer, connect: Connect
) -> None:
    with LateNetwork(60) as network:
        url = f"http://127.0.0.1:{network.way_to(int(server.url.rpartition(':')[2]))}"
        cold = HttpFlink(cluster_at(url), connect(cluster_at(url)), cold_until=time.monotonic() + 60)
        with pytest.raises(FlinkUnavailableError, match="ReadTimeout"):
            cold.until(time.monotonic() + TIMEOUT_SECONDS).overview()
        assert not network.is_open


# --- identity ---------------------------------------------------------------------------------------


def guarded(url: str, **access: str) -> FlinkCluster:
    return FlinkCluster("batch", url, None, "jobmanager:8081", access=FlinkAccess(**access))


def test_a_bearer_token_is_read_from_its_file_for_every_request(server: FlinkServer, tmp_path: Path) -> None:
    cluster = guarded(server.url, token_file=str(tmp_path / "token"))
    with FlinkConnection(cluster) as connection:
        flink = HttpFlink(cluster, connection)
        for content, problem in ((None, "No such file"), ("", "holds no token"), ("t\nwo", "holds no token")):
            if content is not None:
                (tmp_path / "token").write_text(content)
            with pytest.raises(FlinkCredentialError, match=f"cluster batch: token_file .*{problem}"):
                flink.overview()
        assert server.asked == []
        for token in ("first", "second"):
            (tmp_path / "token").write_text(f"{token}\n")
            flink.overview()
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]


def test_a_google_identity_token_is_fetched_for_the_audience_and_kept(
    server: FlinkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    expires = int(time.time()) + 3600
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, {"exp": expires})] + [b"signature"]
    token = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode()
    headers = {"Content-Type": "application/json"}
    issued = Answer(body=json.dumps({"id_token": token}).encode(), headers=headers)
    with ScriptedServer(lambda _asked: issued) as issuer:
        account = {
            "type": "service_account",
            "client_email": "sync@project.example",
            "private_key": key.decode(),
            "private_key_id": "1",
            "token_uri": f"{issuer.url}/token",
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        cluster = guarded(server.url, google_audience="the-audience")
        with FlinkConnection(cluster) as connection:
            for _ in range(2):
                HttpFlink(cluster, connection).overview()
        [request] = issuer.asked
    claims = parse_qs(request.body.decode())["assertion"][0].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "==="))["target_audience"] == "the-audience"
    assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {token}"] * 2


def test_a_google_identity_that_is_not_there_is_named(
    server: FlinkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    cluster = guarded(server.url, google_audience="the-audience")
    with (
        FlinkConnection(cluster) as connection,
        pytest.raises(FlinkCredentialError, match="google_audience: no identity token of Google's"),
    ):
        HttpFlink(cluster, connection).overview()
    assert server.asked == []


def test_a_file_of_tls_that_was_replaced_is_read_again(encrypted: TlsServer, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    cluster = guarded(f"https://localhost:{encrypted.port}", ca_file=str(authority))
    with FlinkConnection(cluster) as connection:
        flink = HttpFlink(cluster, connection)
        with pytest.raises(FlinkUntrustedError, match=r"ca_file \S+ cannot be used: No such file"):
            flink.overview()
        authority.write_text("no certificate")
        with pytest.raises(FlinkUntrustedError, match=r"ca_file \S+ cannot be used"):
            flink.overview()
        authority.write_bytes(encrypted.certificate.read_bytes())
        assert flink.overview() == {}
