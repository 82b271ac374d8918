"""One record as people see it: its timeline in order, links and commands, and no secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flinkjobs.domain import redaction
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.job_query import Place, Row
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.observations import JobPhase
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason
from flinkjobs.jobs import timeline, views

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
A, B = "a" * 32, "b" * 32
JOB = KubernetesJob(name="flink-py-etl-1", uid="u", job_id="etl_1", phase=JobPhase.COMPLETE, created_at=NOON)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def pod(name: str, *, created: float, started: float | None = None) -> Pod:
    return Pod(
        name=name,
        uid=name,
        job_name=JOB.name,
        created_at=at(created),
        phase="Succeeded",
        started_at=None if started is None else at(started),
    )


def ref(id_: str, **fields: Any) -> FlinkJobRef:
    return FlinkJobRef(id=id_, source=IdSource.LOG, confirmed=True, **fields)


def record(status: Status, **fields: Any) -> JobRecord:
    return JobRecord(job_id="etl_1", status=status, submitted_at=NOON, k8s_job_name=JOB.name, **fields)


def events_of(one: JobRecord, *pods: Pod, job: KubernetesJob | None = JOB) -> list[tuple[str, float | None]]:
    """The events in their order, each with its seconds after noon."""
    events = timeline.timeline(one, {"template_id": "etl", "submitted_by": "ann"}, job, pods)
    return [
        (event["event"], None if event["at"] is None else (event["at"] - NOON).total_seconds())
        for event in events
    ]


STORIES: list[tuple[str, JobRecord, tuple[Pod, ...], list[tuple[str, float | None]]]] = [
    ("new", record(Status.CREATED), (), [("submitted", 0)]),
    (
        "waits",
        record(Status.CREATED, reason=Reason(ReasonCode.IMAGE_PULL, "m", at(30))),
        (pod("p", created=1),),
        [("submitted", 0), ("pod", 1), ("waiting", 30)],
    ),
    (
        "runs",
        record(Status.RUNNING, flink_jobs=(ref(A, state="RUNNING", start_time=at(9)),)),
        (pod("p", created=1, started=2),),
        [("submitted", 0), ("pod", 2), ("id_found", None), ("started", 9)],
    ),
    (
        "finished",
        record(
            Status.FINISHED,
            flink_jobs=(ref(A, state="FINISHED", start_time=at(9), end_time=at(20)),),
            end_time=at(20),
            duration=11.0,
        ),
        (),
        [("submitted", 0), ("id_found", None), ("started", 9), ("ended", 20)],
    ),
    (
        "two Flink jobs, the second of which began before the first ended",
        record(
            Status.FAILED,
            flink_jobs=(
                ref(A, state="FINISHED", start_time=at(9), end_time=at(40)),
                ref(B, state="FAILED", start_time=at(12), end_time=at(20)),
            ),
            end_time=at(40),
        ),
        (),
        [
            *(("submitted", 0), ("id_found", None), ("started", 9), ("id_found", None), ("started", 12)),
            *(("flink_ended", 20), ("flink_ended", 40), ("ended", 40)),
        ],
    ),
    (
        "missing",
        record(Status.RUNNING, flink_jobs=(ref(A, state="RUNNING", start_time=at(9), missing_since=at(50)),)),
        (),
        [("submitted", 0), ("id_found", None), ("started", 9), ("missing", 50)],
    ),
    (
        "lost",
        record(
            Status.LOST,
            flink_jobs=(ref(A, state="RUNNING", start_time=at(9), missing_since=at(50)),),
            reason=Reason(ReasonCode.OUTCOME_UNKNOWN, "m", at(700)),
        ),
        (),
        [("submitted", 0), ("id_found", None), ("started", 9), ("missing", 50), ("ended", 700)],
    ),
    (
        "never submitted",
        record(Status.FAILED, reason=Reason(ReasonCode.SUBMIT_FAILED, "m", at(70))),
        (pod("p", created=1), pod("q", created=5)),
        [("submitted", 0), ("pod", 1), ("pod", 5), ("ended", 70)],
    ),
    (
        "an old record without any time of its end",
        record(Status.FINISHED, flink_jobs=(ref(A),)),
        (),
        [("submitted", 0), ("id_found", None), ("ended", None)],
    ),
]


@pytest.mark.parametrize(
    ("one", "pods", "expected"), [entry[1:] for entry in STORIES], ids=[entry[0] for entry in STORIES]
)
def test_a_timeline_is_in_order(
    one: JobRecord, pods: tuple[Pod, ...], expected: list[tuple[str, float | None]]
) -> None:
    assert events_of(one, *pods) == expected


def test_a_pod_that_starts_within_the_second_of_its_submission_comes_after_it() -> None:
    """Kubernetes has times in whole seconds."""
    one = record(Status.RUNNING, flink_jobs=(ref(A, state="RUNNING", start_time=at(9)),))
    assert events_of(one, pod("p", created=-0.7)) == [
        *(("submitted", 0), ("pod", -0.7), ("id_found", None), ("started", 9)),
    ]


def test_flinks_clock_behind_ours_does_not_put_the_end_before_the_beginning() -> None:
    one = record(
        Status.FINISHED,
        flink_jobs=(ref(A, state="FINISHED", start_time=at(-30), end_time=at(-20)),),
        end_time=at(-20),
    )
    assert [event for event, _ in events_of(one)] == ["submitted", "id_found", "started", "ended"]


def test_the_facts_of_an_event() -> None:
    one = record(Status.FAILED, reason=Reason(ReasonCode.SUBMIT_FAILED, "KeyError", at(70)), duration=None)
    first, last = timeline.timeline(one, {"template_id": "etl", "submitted_by": "ann"}, None, ())
    assert first["data"] == {
        "template_id": "etl",
        "by": "ann",
        "verified": False,
        "k8s_job_name": JOB.name,
        "cluster": "default",
    }
    assert last["data"] == {
        "status": "FAILED",
        "code": "SUBMIT_FAILED",
        "message": "KeyError",
        "duration": None,
        "noticed": True,
    }


@pytest.mark.parametrize(
    ("one", "noticed"),
    [
        (record(Status.FAILED, reason=Reason(ReasonCode.SUBMIT_FAILED, "m", at(70))), True),
        (record(Status.LOST, reason=Reason(ReasonCode.OUTCOME_UNKNOWN, "m", at(70))), True),
        (record(Status.FAILED, reason=Reason(ReasonCode.K8S_REFUSED, "m", at(1))), False),
        (record(Status.FAILED, reason=Reason(ReasonCode.JOB_FAILED, "m", at(70)), end_time=at(60)), False),
        (record(Status.FINISHED), False),
    ],
    ids=["submission failed", "lost", "refused", "failed in Flink", "an old record"],
)
def test_the_time_of_an_end_that_only_a_pass_noticed_is_marked(one: JobRecord, noticed: bool) -> None:
    """Flink has the end of its jobs, and submit itself sees that Kubernetes refuses one."""
    assert timeline.timeline(one, {}, None, ())[-1]["data"]["noticed"] is noticed


def moved(seconds: float, was: str | None, status: str, **fields: Any) -> dict[str, Any]:
    """An entry of a document's history."""
    known = {"seq": 0, "flink_state": None, "reason_code": None, "by": "sync"} | fields
    return {"at": at(seconds), "was": was, "status": status} | known


CREATED, RUNS = moved(0, None, "CREATED", by="submit"), moved(10, "CREATED", "RUNNING")
RAN = (ref(A, state="RUNNING", start_time=at(9)),)
BEGINNING: list[tuple[str, float | None]] = [("submitted", 0), ("id_found", None), ("started", 9)]
UNKNOWN = Reason(ReasonCode.OUTCOME_UNKNOWN, "m", at(50))
HISTORIES: dict[str, tuple[JobRecord, Any, list[tuple[str, float | None]]]] = {
    "nothing but what other events show": (
        record(Status.RUNNING, flink_jobs=RAN),
        [CREATED, RUNS],
        BEGINNING,
    ),
    "a suspension": (
        record(Status.RUNNING, flink_jobs=RAN),
        [CREATED, RUNS, moved(20, "RUNNING", "SUSPENDED"), moved(30, "SUSPENDED", "RUNNING")],
        [*BEGINNING, ("moved", 20), ("moved", 30)],
    ),
    "lost and back": (
        record(Status.RUNNING, flink_jobs=RAN),
        [CREATED, RUNS, moved(700, "RUNNING", "LOST"), moved(800, "LOST", "RUNNING")],
        [*BEGINNING, ("moved", 700), ("moved", 800)],
    ),
    "stuck and no longer": (
        record(Status.CREATED),
        [
            CREATED,
            moved(400, "CREATED", "CREATED", stuck=True),
            moved(600, "CREATED", "CREATED", stuck=False),
        ],
        [("submitted", 0), ("stuck", 400), ("recovered", 600)],
    ),
    "the time of an end is that of its move, not of its first suspicion": (
        record(Status.LOST, reason=UNKNOWN),
        [CREATED, moved(180, "CREATED", "LOST")],
        [("submitted", 0), ("ended", 180)],
    ),
    "Flink's own end is better than the time of its move": (
        record(Status.CANCELLED, flink_jobs=RAN, end_time=at(40)),
        [CREATED, RUNS, moved(45, "RUNNING", "CANCELLED")],
        [*BEGINNING, ("ended", 40)],
    ),
    "an end that a function without a history has written": (
        record(Status.LOST, reason=UNKNOWN),
        [CREATED, moved(20, "CREATED", "SUSPENDED")],
        [("submitted", 0), ("moved", 20), ("ended", 50)],
    ),
    "entries that cannot be read": (
        record(Status.CREATED),
        ["junk", None, {}, {"at": "noon", "status": "RUNNING"}, {"at": at(1), "status": 7}],
        [("submitted", 0)],
    ),
    "a history that is no list": (record(Status.CREATED), 7, [("submitted", 0)]),
}


@pytest.mark.parametrize(("one", "history", "expected"), HISTORIES.values(), ids=HISTORIES.keys())
def test_timeline_of_a_history_shows_the_moves_that_no_other_event_shows(
    one: JobRecord, history: Any, expected: list[tuple[str, float | None]]
) -> None:
    events = timeline.timeline(one, {"history": history}, None, ())
    assert expected == [
        (event["event"], event["at"] and (event["at"] - NOON).total_seconds()) for event in events
    ]


def test_timeline_of_a_move_holds_its_facts() -> None:
    history = [CREATED, moved(20, "RUNNING", "LOST", flink_state="RUNNING", reason_code="OUTCOME_UNKNOWN")]
    [_, event] = timeline.timeline(record(Status.RUNNING), {"history": history}, None, ())
    data = {"was": "RUNNING", "status": "LOST", "flink_state": "RUNNING", "code": "OUTCOME_UNKNOWN"}
    assert event == {"at": at(20), "event": "moved", "data": data | {"by": "sync"}}


def test_timeline_of_an_end_without_a_reason_is_noticed_at_its_move() -> None:
    history = [CREATED, RUNS, moved(45, "RUNNING", "CANCELLED")]
    last = timeline.timeline(record(Status.CANCELLED), {"history": history}, None, ())[-1]
    assert (last["at"], last["data"]["noticed"]) == (at(45), True)


LINKS = [
    ("RUNNING", "http://flink:8081/#/job/running/" + A + "/overview"),
    ("FAILING", "http://flink:8081/#/job/running/" + A + "/overview"),
    (None, "http://flink:8081/#/job/running/" + A + "/overview"),
    ("FINISHED", "http://flink:8081/#/job/completed/" + A + "/overview"),
    ("CANCELED", "http://flink:8081/#/job/completed/" + A + "/overview"),
]


@pytest.mark.parametrize(("state", "expected"), LINKS)
def test_a_flink_job_is_linked_where_flinks_own_page_shows_it(state: str | None, expected: str) -> None:
    assert views.flink_job_view(ref(A, state=state), "http://flink:8081", None)["ui_url"] == expected
    assert views.flink_job_view(ref(A, state=state), None, None)["ui_url"] is None


@pytest.mark.parametrize(
    ("one", "is_linked"),
    [
        (ref(A, state="RUNNING"), False),
        (ref(A), False),
        (ref(A, state="FINISHED"), True),
        (ref(A, state="CANCELED"), True),
        (ref(A, state="RUNNING", missing_since=at(50)), True),
    ],
    ids=["runs", "unconfirmed", "finished", "cancelled", "missing"],
)
def test_what_flink_may_have_forgotten_is_linked_to_the_history_server(
    one: FlinkJobRef, is_linked: bool
) -> None:
    link = views.flink_job_view(one, "http://flink:8081", "http://history:8082")["history_url"]
    assert link == (f"http://history:8082/#/job/completed/{A}/overview" if is_linked else None)
    assert views.flink_job_view(one, "http://flink:8081", None)["history_url"] is None


def test_commands_can_be_pasted_whatever_the_id_is() -> None:
    assert views.kubectl_lines("lemo-dev", "etl_1", "flink-py-etl-1") == [
        "kubectl get job,pods -n lemo-dev -l app=flink-python-job,job-id=etl_1",
        "kubectl describe job,pods -n lemo-dev -l app=flink-python-job,job-id=etl_1",
        "kubectl logs -n lemo-dev job/flink-py-etl-1 --all-containers",
    ]
    lines = views.kubectl_lines("ns", "a; rm -rf /", "flink-py-a")
    assert not [line for line in lines if "rm -rf /" in line]


@pytest.mark.parametrize(
    "name", ["$(reboot)", "--kubeconfig=x", "a\x03\nreboot\n", "a b", "A", "", "a" * 254]
)
def test_there_are_no_commands_for_a_name_that_no_job_can_have(name: str) -> None:
    assert views.kubectl_lines("ns", "etl_1", name) == []


# --- secrets ----------------------------------------------------------------------------------------

SECRET_NAMES = [
    # hidden by Flink's own pages
    *("password", "db.password", "SECRET", "s3.secret-key", "fs.azure.account.key.x.blob.core.windows.net"),
    *("my.apikey", "auth-params", "gs.service-key", "token", "rest.basic-auth", "security.jaas.config"),
    *("http-headers", "metrics.reporter.x.APIKEY"),
    # and every other kind of key
    *("s3.access-key", "accessKey", "api_key", "key", "encryption.key", "credentials"),
]
PLAIN_NAMES = [
    *("state.backend", "taskmanager.memory.process.size", "parallelism.default", "keyed-state.x", "monkey"),
    *("security.kerberos.login.keytab", "keyspace", "pipeline.name"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_is_not_shown(name: str) -> None:
    spec = {"flink_conf": {name: "x"}, "args": [f"--{name}", "x", f"-{name}=x=x", "plain"]}
    assert redaction.without_secrets(spec) == {
        "flink_conf": {name: "******"},
        "args": [f"--{name}", "******", f"-{name}=******", "plain"],
    }


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_what_is_no_secret_is_shown(name: str) -> None:
    spec = {"flink_conf": {name: "x"}, "args": [f"--{name}", "x", f"--{name}=x"]}
    assert redaction.without_secrets(spec) == spec


def test_values_of_every_kind_are_shown() -> None:
    spec = {
        "script": {"url": "https://ann:pw@scripts.example/a.py?x=1"},
        "parallelism": 4,
        "attached": False,
        "savepoint_path": None,
        "nested": [{"token": 5, "a": 1.5}, ["--password", "--other"], NOON],
        "tokens": {"a": 1},
        "odd": float("nan"),
        "other": object,
        "inline": "x" * 20_000,
    }
    shown = redaction.without_secrets(spec)
    assert shown["script"] == {"url": "https://******@scripts.example/a.py?x=1"}
    assert (shown["parallelism"], shown["attached"], shown["savepoint_path"]) == (4, False, None)
    assert shown["nested"] == [{"token": "******", "a": 1.5}, ["--password", "--other"], NOON]
    assert (shown["tokens"], shown["odd"], shown["other"]) == ({"a": 1}, "nan", "<class 'object'>")
    assert (len(shown["inline"]), shown["inline"][-1]) == (16_384, "…")
    assert redaction.without_secrets(None) is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--password", "-abc", "x"], ["--password", "******", "x"]),
        (["-D", "s3.secret-key=abc"], ["-D", "s3.secret-key=******"]),
        (["password=abc", "mode=fast"], ["password=******", "mode=fast"]),
        (["--pwd", "abc"], ["--pwd", "******"]),
        ("mongodb://ann:p@ss@db.example/x", "mongodb://******@db.example/x"),
        ("jdbc:mysql://db/x?user=ann&password=abc", "jdbc:mysql://db/x?user=ann&password=******"),
        ("https://h/a.py?X-Amz-Signature=ab&v=2#c", "https://h/a.py?X-Amz-Signature=******&v=2#c"),
        ("https://h/a.py?se=1&sig=ab%2F", "https://h/a.py?se=1&sig=******"),
    ],
)
def test_a_secret_within_a_value_is_not_shown(given: Any, shown: Any) -> None:
    assert redaction.without_secrets(given) == shown


def test_a_row_with_fields_of_strange_types_is_shown() -> None:
    details = {"template_id": 7, "job_name": ["a"], "submitted_by": None, "updated_at": NOON}
    shown = views.job_view(Row(Place(0, "1"), NOON, record(Status.RUNNING), details))
    assert (shown["template_id"], shown["job_name"], shown["submitted_by"]) == ("7", "['a']", None)
    assert shown["updated_at"] == NOON
    assert "unreadable" not in shown


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({}, {}),
        ({"labels": None}, {}),
        ({"labels": {"example.com/team": "search"}}, {"example.com/team": "search"}),
        ({"labels": {"n": 1}}, {"n": "1"}),
    ],
)
def test_labels_of_a_row(details: dict[str, Any], expected: dict[str, str]) -> None:
    """A record of an older version has none."""
    assert views.job_view(Row(Place(0, "1"), NOON, record(Status.RUNNING), details))["labels"] == expected


def test_a_row_whose_labels_are_no_object_is_unreadable() -> None:
    shown = views.job_view(Row(Place(0, "1"), NOON, record(Status.RUNNING), {"labels": ["a"]}))
    assert shown["unreadable"] == "TypeError: labels is no object but ['a']"


LOGS = [
    ({"args": ["--password", "hunter22", "--least", "2"]}, "with hunter22 and 2", "with ****** and 2"),
    ({"flink_conf": {"s3.secret-key": "AKIA/x+y=="}}, "key=AKIA/x+y==;", "key=******;"),
    ({"flink_conf": {"password": "on"}}, "on Monday, money: on", "****** Monday, money: ******"),
    ({"script": {"url": "https://u:p%40ssw0rd@host/a?token=abcdefgh"}}, "p@ssw0rd abcdefgh", "****** ******"),
    ({"script": {"url": "https://host/?n=1&token="}}, "n=1&token=", "n=1&token="),
    ({"args": ["--password=long-secret", "--password=long-secret-2"]}, "long-secret-2", "******"),
    ({"flink_conf": {"password": "a.c$(x)[1]"}}, "abc$(x)[1] a.c$(x)[1]", "abc$(x)[1] ******"),
    ({"args": ["--token", " "]}, "a b", "a b"),
    (None, "as it is", "as it is"),
]


@pytest.mark.parametrize(("spec", "log", "shown"), LOGS)
def test_what_a_specification_hides_is_hidden_in_a_log(spec: Any, log: str, shown: str) -> None:
    assert redaction.without(redaction.secrets_of(spec), log) == shown
