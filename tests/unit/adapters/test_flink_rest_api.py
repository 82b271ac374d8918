"""What an answer of the Flink REST API means, and what is no answer of Flink's."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from flinkjobs.adapters.flink import rest_api
from flinkjobs.domain.errors import FlinkUnavailableError
from flinkjobs.domain.observations import FlinkJob, Missing
from tests.support.recordings import VERSIONS, rest, rest_json, rest_names

ID = "0123456789abcdef0123456789abcdef"
UNKNOWN = "fffffffffffffffffffffffffffffffe"
ENTRY = b'{"jid":"%s","name":"n","state":"RUNNING","start-time":1000,"end-time":-1}' % ID.encode()


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


# --- paths ------------------------------------------------------------------------------------------


def test_a_path_holds_the_id() -> None:
    assert rest_api.job_path(ID) == f"/jobs/{ID}"
    assert rest_api.exceptions_path(ID) == f"/jobs/{ID}/exceptions"


@pytest.mark.parametrize(
    "text",
    ["", ID[:31], f"{ID}0", ID.upper(), f"{ID}\n", "../" * 10 + "ab", "overview", "%2e" * 10 + "ab"],
)
def test_nothing_but_an_id_gets_into_a_path(text: str) -> None:
    with pytest.raises(ValueError, match="no Flink Job ID"):
        rest_api.exceptions_path(text)


# --- overview ---------------------------------------------------------------------------------------

MANY_STATES = {
    "1.20": {"FINISHED": 3, "FAILED": 4, "RUNNING": 2, "RESTARTING": 1, "CANCELED": 1},
    "2.3": {"FINISHED": 3, "FAILED": 4, "RUNNING": 2, "RESTARTING": 1, "CANCELED": 1},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_one_overview_holds_every_job_the_ended_ones_too(version: str) -> None:
    jobs = rest_api.parse_overview(*rest(version, "jobs_overview--many-states"))
    assert not jobs.unreadable
    assert Counter(job.state for job in jobs.values()) == MANY_STATES[version]
    assert {id_: job.id for id_, job in jobs.items()} == {id_: id_ for id_ in jobs}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "1.20",
            FlinkJob(
                id="9dff743a8a88cfcf69cab23c17efd1b7",
                name="to-be-cancelled",
                state="CANCELED",
                start_time=at(1795335824614),
                end_time=at(1795335841979),
            ),
        ),
        (
            "1.20",
            FlinkJob(
                id="8e4829c21b4ac6bdb4e11c59e4ed9aa1",
                name="restarting",
                state="RESTARTING",
                start_time=at(1795335841097),
            ),
        ),
        (
            "2.3",
            FlinkJob(
                id="af044503ee394f65bfbff2bb618ac57a",
                name="ds-finish",
                state="FINISHED",
                start_time=at(1795335611686),
                end_time=at(1795335618360),
            ),
        ),
    ],
)
def test_times_are_flinks_to_the_millisecond(version: str, expected: FlinkJob) -> None:
    jobs = rest_api.parse_overview(*rest(version, "jobs_overview--many-states"))
    assert jobs[expected.id] == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_only_globally_terminal_jobs_have_an_end(version: str) -> None:
    seen = 0
    for name in rest_names(version, "*jobs_overview*"):
        status, body = rest(version, name)
        if status == 200:
            for job in rest_api.parse_overview(status, body).values():
                seen += 1
                assert (job.end_time is not None) == (job.state in {"FINISHED", "FAILED", "CANCELED"}), name
    assert seen > 50


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("recording", "state"),
    [
        ("jobs_overview--initializing", "INITIALIZING"),
        ("adaptive--jobs_overview--created", "CREATED"),
        ("jobs_overview--failing", "FAILING"),
        ("jobs_overview--cancelling", "CANCELLING"),
        ("ha--jobs_overview--after-takeover-initializing", "INITIALIZING"),
        ("jobs_overview--running-waiting-for-slots", "RUNNING"),
    ],
)
def test_flinks_word_is_kept_raw(version: str, recording: str, state: str) -> None:
    jobs = rest_api.parse_overview(*rest(version, recording))
    assert state in {job.state for job in jobs.values()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_keeps_its_id_over_a_failover_and_loses_its_start(version: str) -> None:
    before = rest_api.parse_overview(*rest(version, "ha--jobs_overview--before-leader-killed"))
    after = rest_api.parse_overview(*rest(version, "ha--jobs_overview--after-takeover-running"))
    (id_,) = before
    earlier, later = before[id_].start_time, after[id_].start_time
    assert earlier is not None
    assert later is not None
    assert earlier < later


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("recording", ["jobs_overview--empty", "jobs_overview--after-jobmanager-restart"])
def test_an_empty_cluster_is_an_answer(version: str, recording: str) -> None:
    jobs = rest_api.parse_overview(*rest(version, recording))
    assert (dict(jobs), list(jobs.unreadable)) == ({}, [])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_history_servers_overview_reads_the_same(version: str) -> None:
    jobs = rest_api.parse_overview(*rest(version, "historyserver--jobs_overview"))
    listed = [entry["jid"] for entry in rest_json(version, "historyserver--jobs_overview")["jobs"]]
    assert (sorted(jobs), list(jobs.unreadable)) == (sorted(listed), [])
    assert all(job.end_time for job in jobs.values())


NO_ANSWER = [
    pytest.param(200, b"", id="empty body"),
    pytest.param(200, b"{}", id="empty object"),
    pytest.param(200, b"[]", id="an array"),
    pytest.param(200, b"null", id="null"),
    pytest.param(200, b"<html><body>Sign in</body></html>", id="a proxy's page"),
    pytest.param(200, b'{"jobs":[{"jid":"0123', id="half an answer"),
    pytest.param(200, b'{"jobs":null}', id="no list"),
    pytest.param(200, b'{"jobs":{}}', id="no list but an object"),
    pytest.param(200, b'{"jobs":[]}{"jobs":[]}', id="two documents"),
    pytest.param(200, b"\xff\xfe\x00", id="no text"),
    pytest.param(200, b'{"jobs":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="nested too deeply"),
    pytest.param(500, b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="500, nested too deeply"),
    pytest.param(204, b"", id="204"),
    pytest.param(302, b"", id="a redirect"),
    pytest.param(401, b"Unauthorized", id="401"),
    pytest.param(502, b"Bad Gateway", id="502"),
    pytest.param(503, b'{"jobs":[]}', id="503 with a body that looks right"),
]


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_what_is_not_flinks_is_no_overview(status: int, body: bytes) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_overview(status, body)


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_what_is_not_flinks_is_no_job_and_does_not_make_one_missing(status: int, body: bytes) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_job(status, body, ID)


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_what_is_not_flinks_says_nothing_of_exceptions(status: int, body: bytes) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_exceptions(status, body)


@pytest.mark.parametrize(("status", "body"), [row for row in NO_ANSWER if row.id != "an array"])
@pytest.mark.parametrize(
    "parse",
    [
        rest_api.parse_restarts,
        rest_api.parse_checkpoint_settings,
        lambda status, body: rest_api.parse_checkpoints(status, body, at(1)),
    ],
    ids=["restarts", "checkpoint settings", "checkpoints"],
)
def test_what_is_not_flinks_says_nothing_of_health(
    parse: Callable[[int, bytes], object], status: int, body: bytes
) -> None:
    with pytest.raises(FlinkUnavailableError):
        parse(status, body)


def test_restarts_that_flink_does_not_name_yet_are_not_zero() -> None:
    assert rest_api.parse_restarts(200, b"[]") is None
    assert rest_api.parse_restarts(200, b'[{"id":"numRestarts","value":"7"}]') == 7


@pytest.mark.parametrize(("status", "body"), NO_ANSWER)
def test_what_is_not_flinks_says_nothing_of_the_cluster(status: int, body: bytes) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_cluster_overview(status, body)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("recording", "message"),
    [
        ("ha--jobs_overview--standby-500", "RecipientUnreachableException"),
        ("ha--jobs_overview--standby-503", "ongoing leader election"),
        ("ha--jobs_overview--503-during-start", "ongoing leader election"),
    ],
)
def test_a_cluster_without_a_leader_is_unavailable_and_says_why(
    version: str, recording: str, message: str
) -> None:
    with pytest.raises(FlinkUnavailableError, match=message):
        rest_api.parse_overview(*rest(version, recording))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b'{"jid":1}', id="id is a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"jid":"a","name":5,"state":"RUNNING","start-time":1,"end-time":-1}', id="no name"),
        pytest.param(b'{"jid":"a","name":"n","start-time":1,"end-time":-1}', id="no state"),
        pytest.param(b'{"jid":"a","name":"n","state":"RUNNING","start-time":true,"end-time":-1}', id="bool"),
        pytest.param(b'{"jid":"a","name":"n","state":"RUNNING","start-time":"1","end-time":-1}', id="text"),
        pytest.param(
            b'{"jid":"a","name":"n","state":"RUNNING","start-time":9223372036854775807,"end-time":-1}',
            id="a time beyond the calendar",
        ),
        pytest.param(
            b'{"jid":"a","name":"\xff","state":"RUNNING","start-time":1,"end-time":-1}', id="not UTF-8"
        ),
    ],
)
def test_an_unreadable_entry_costs_itself_only(bad: bytes) -> None:
    body = b'{"jobs":[' + bad + b"," + ENTRY + b"]}"
    jobs = rest_api.parse_overview(200, body)
    assert (list(jobs), len(jobs.unreadable)) == ([ID], 1)


@pytest.mark.parametrize("odd", [b"", b",null"])
@pytest.mark.parametrize(
    ("less", "more"), list(pairwise(["MEDITATING", "INITIALIZING", "SUSPENDED", "RESTARTING", "FAILED"]))
)
def test_of_duplicate_entries_the_most_advanced_state_counts(less: str, more: str, odd: bytes) -> None:
    one, other = (ENTRY.replace(b"RUNNING", state.encode()) for state in (less, more))
    for two in ([one, other], [other, one]):
        jobs = rest_api.parse_overview(200, b'{"jobs":[' + b",".join(two) + odd + b"]}")
        assert [job.state for job in jobs.values()] == [more]
        assert jobs.duplicates == 1


def test_a_job_whose_name_is_null_is_read_without_a_name() -> None:
    entry = ENTRY.replace(b'"n"', b"null")
    assert rest_api.parse_overview(200, b'{"jobs":[' + entry + b"]}")[ID].name == ""
    assert rest_api.parse_job(200, entry, ID) == FlinkJob(ID, "", "RUNNING", at(1000))


def test_a_page_is_named_by_its_title() -> None:
    page = b"<!doctype html><html><head><style>" + b"p{}" * 300 + b"</style><title>Sign in</title></head>"
    with pytest.raises(FlinkUnavailableError, match=r"not Flink's: the page 'Sign in'$"):
        rest_api.parse_overview(200, page)


def test_of_an_unreadable_entry_the_name_is_kept_where_it_can_be_read() -> None:
    without_state = b'{"jid":"a","name":"etl_1","start-time":1,"end-time":-1}'
    body = b'{"jobs":[' + without_state + b',null,{"name":5},' + ENTRY + b"]}"
    assert rest_api.parse_overview(200, body).unreadable == ["etl_1", None, None]


def test_fields_of_a_newer_flink_are_ignored() -> None:
    body = b'{"new":{"a":[1]},"jobs":[' + ENTRY.replace(b"{", b'{"pending-operators":0,"x":{},', 1) + b"]}"
    assert list(rest_api.parse_overview(200, body)) == [ID]


@pytest.mark.parametrize("wire", [b"-1", b"0"])
def test_a_start_that_is_not_there_is_none(wire: bytes) -> None:
    body = b'{"jobs":[' + ENTRY.replace(b"1000", wire) + b"]}"
    assert rest_api.parse_overview(200, body)[ID].start_time is None


# --- one job ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_job_is_read_as_it_stands(version: str) -> None:
    names = [name for name in rest_names(version, "*job--*") if rest(version, name)[0] == 200]
    assert len(names) > 15
    for name in names:
        status, body = rest(version, name)
        wire = rest_json(version, name)
        job = rest_api.parse_job(status, body, wire["jid"])
        assert job == FlinkJob(
            id=wire["jid"],
            name=wire["name"],
            state=wire["state"],
            start_time=at(wire["start-time"]),
            end_time=None if wire["end-time"] == -1 else at(wire["end-time"]),
        ), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("recording", ["job--unknown", "historyserver--job--unknown"])
def test_flinks_own_404_means_missing(version: str, recording: str) -> None:
    assert rest_api.parse_job(*rest(version, recording), UNKNOWN) == Missing()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "recording",
    [
        "wrong-path",
        "wrong-path--under-jobs",
        "job--malformed-id",
        "job--malformed-id-31-digits",
        "job_status--unknown",
    ],
)
def test_a_wrong_path_or_id_does_not_make_a_job_missing(version: str, recording: str) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_job(*rest(version, recording), UNKNOWN)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_404_about_another_id_does_not_make_a_job_missing(version: str) -> None:
    """Flink cuts 33 digits to 32 and answers about those."""
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_job(*rest(version, "job--malformed-id-33-digits"), UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>404 Not Found</html>",
        b"",
        b'{"errors":[]}',
        b'{"errors":"Job %s not found"}' % ID.encode(),
        b'{"message":"Job %s not found"}' % ID.encode(),
        b'{"errors":["Not found: /jobs/%s"]}' % ID.encode(),
        b'{"errors":["default backend - 404"]}',
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"errors":["a"]}',
    ],
    ids=["page", "empty", "no error", "text", "gateway", "no route", "ingress", "nested too deeply"],
)
def test_a_proxys_404_does_not_make_a_job_missing(body: bytes) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_job(404, body, ID)


def test_an_answer_about_another_job_is_not_believed() -> None:
    with pytest.raises(FlinkUnavailableError, match=UNKNOWN):
        rest_api.parse_job(200, ENTRY, UNKNOWN)


def test_foreign_text_in_an_error_is_one_line_and_cut() -> None:
    with pytest.raises(FlinkUnavailableError) as caught:
        rest_api.parse_overview(502, b"<html>\r\n" + b"x" * 100_000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


# --- exceptions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("job_exceptions--failed", "java.lang.ArithmeticException: / by zero"),
        ("historyserver--job_exceptions--failed", "java.lang.ArithmeticException: / by zero"),
        ("job_exceptions--failed-after-restarts", "java.lang.ArithmeticException: / by zero"),
        ("job_exceptions--running-with-many-failures", "java.lang.ArithmeticException: / by zero"),
        ("job_exceptions--failed-datastream-python--whole-trace", "ValueError: bad value in map function: 3"),
        (
            "job_exceptions--failed-not-enough-slots--whole-trace",
            (
                "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: "
                "Could not acquire the minimum required resources."
            ),
        ),
    ],
)
def test_the_root_exception_is_the_same_in_both_versions(version: str, recording: str, expected: str) -> None:
    assert rest_api.parse_exceptions(*rest(version, recording)) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_python_function_raised_is_named(version: str) -> None:
    cause = rest_api.parse_exceptions(*rest(version, "job_exceptions--failed-python-udf--whole-trace"))
    assert cause is not None
    assert cause.startswith("RuntimeError: the UDF does not like ")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lost_task_manager_is_named(version: str) -> None:
    cause = rest_api.parse_exceptions(*rest(version, "job_exceptions--failed-taskmanager-lost--whole-trace"))
    assert cause is not None
    assert cause.endswith("is no longer reachable.")


def test_while_failing_only_1_20_names_an_exception() -> None:
    cause = {v: rest_api.parse_exceptions(*rest(v, "job_exceptions--failing")) for v in VERSIONS}
    assert cause == {"1.20": "java.lang.ArithmeticException: / by zero", "2.3": None}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", ["running", "finished", "canceled", "initializing"])
def test_a_job_without_an_exception_has_none(version: str, state: str) -> None:
    assert rest_api.parse_exceptions(*rest(version, f"job_exceptions--{state}")) is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["job_exceptions--unknown", "historyserver--job_exceptions--unknown"])
def test_exceptions_of_an_unknown_job_are_no_answer(version: str, name: str) -> None:
    with pytest.raises(FlinkUnavailableError):
        rest_api.parse_exceptions(*rest(version, name))


def test_the_newest_entry_of_the_history_is_given() -> None:
    body = b'{"exceptionHistory":{"entries":[{"stacktrace":"a.NewError: 2"},{"stacktrace":"a.OldError: 1"}]}}'
    assert rest_api.parse_exceptions(200, body) == "a.NewError: 2"


# --- the cluster ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "recording", "expected"),
    [
        ("2.3", "overview--busy", ("2.3.0", 1, 8, 5)),
        ("2.3", "overview--failing", ("2.3.0", 2, 16, 0)),
        ("2.3", "overview--two-taskmanagers", ("2.3.0", 2, 16, 16)),
        ("1.20", "adaptive--overview--created", ("1.20.5", 0, 0, 0)),
    ],
)
def test_the_cluster_names_its_version_task_managers_and_slots(
    version: str, recording: str, expected: tuple[str, int, int, int]
) -> None:
    assert rest_api.parse_cluster_overview(*rest(version, recording)) == expected
