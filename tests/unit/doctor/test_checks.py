"""What doctor makes of what was gathered: the order of causes, each check's words, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from flinkjobs.doctor.checks import CHECKS, judge
from flinkjobs.doctor.codes import ATTEMPTS, REMEDIES, Code
from flinkjobs.doctor.facts import (
    ChannelFacts,
    Facts,
    FlinkFacts,
    NotAsked,
    Notifications,
    Problem,
    Problems,
    Records,
    Refused,
    Run,
    Runs,
    StoreFacts,
    Waiting,
)
from flinkjobs.doctor.findings import (
    EVIDENCE_LENGTH,
    Finding,
    Verdict,
    address_of,
    first_failing,
    is_healthy,
    masked,
)
from flinkjobs.doctor.record_checks import cause_of
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import Health, HealthState
from flinkjobs.domain.observations import FoundId, JobPhase, LogState, NoKubernetesJob, Submitter, Unreachable
from flinkjobs.domain.permissions import PERMISSIONS, AccessReview, Function
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import FlinkJobRef, IdSource, JobRecord, Reason, UnreadableRecord
from flinkjobs.domain.schedule import Schedule, ScheduleState, State
from flinkjobs.settings.functions import read_settings
from flinkjobs.settings.schedules import OwnSchedule

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LOOPING = Health(HealthState.UNHEALTHY, NOW, ReasonCode.RESTARTING, "/ by zero")
ENVIRON = {
    "MONGODB_URI": "mongodb://app:secret@db.example:27017/?authSource=admin",
    "FLINK_REST_URL": "http://flink.example:8081",
    "FLINK_IMAGE": "flink:1.20",
}
SYNC = OwnSchedule(
    function="sync",
    name="flinkjobs-sync",
    cron="*/3 * * * *",
    url="http://sync.example",
    attempt_deadline_seconds=165,
)
CLEANUP = OwnSchedule(
    function="cleanup", name="flinkjobs-cleanup", cron="0 2 * * *", url=None, attempt_deadline_seconds=165
)
FLINK_IN_SETTINGS = "Flink default at http://flink.example:8081, pods submit to flink.example:8081"
STOPPED = "pod p, container submit: flink run did not end in time and was stopped (exit code 124)"
FLINK_ID = "fee40d868f8485130cc716bcec2801e0"
REFUSED_CONNECTION = (
    "org.apache.flink.shaded.netty4.io.netty.channel.AbstractChannel$AnnotatedConnectException: "
    "Connection refused: localhost/127.0.0.1:1"
)

OTHER_LINES = [
    (
        "java.io.InvalidClassException: org.apache.flink.runtime.jobgraph.JobGraph; local class incompatible",
        "InvalidClassException: org.apache.flink.",
    ),
    (  # from 1.20 to 2.3
        (
            "org.apache.flink.runtime.operators.util.CorruptConfigurationException: Could not read the user "
            "code wrapper: org.apache.flink.api.java.io.CollectionInputFormat"
        ),
        "CorruptConfigurationException: Could not read the user code wrapper",
    ),
    (  # from 2.3 to 1.20
        (
            "org.apache.flink.runtime.rest.util.RestClientException: "
            "[org.apache.flink.runtime.rest.handler.RestHandlerException: "
            "The jobGraphFileName field must not be omitted or be null."
        ),
        "RestClientException: [RestHandlerException: The jobGraphFileName field must not",
    ),
]
"""What the clients of one line of Flink print about the JobManager of another, and how doctor shows it."""

CLOSED_CONNECTION = "org.apache.flink.runtime.rest.ConnectionClosedException: Channel became inactive."


def schedule(own: OwnSchedule = SYNC, **changed: object) -> ScheduleState:
    """A schedule as it should be, that rang two minutes ago; but for what is given."""
    kept = Schedule(name=own.name, cron=own.cron, uri=f"{own.url or 'http://x.example'}/")
    state = ScheduleState(
        schedule=kept,
        state=State.ENABLED,
        last_attempt_time=NOW - 2 * MINUTE,
        last_status_code=0,
        last_status_message="",
        next_time=NOW + MINUTE,
    )
    of_schedule = {name: value for name, value in changed.items() if name in ("cron", "uri")}
    of_state = {name: value for name, value in changed.items() if name not in ("cron", "uri")}
    return replace(state, schedule=replace(kept, **of_schedule), **of_state)  # type: ignore[arg-type]


def record(code: ReasonCode | None = None, message: str = "why", **fields: object) -> JobRecord:
    """A record of an hour ago without an id, with this reason."""
    made = JobRecord(
        job_id="etl_1", status=Status.CREATED, submitted_at=NOW - HOUR, k8s_job_name="flink-py-etl-1"
    )
    reason = Reason(code=code, message=message, since=NOW - HOUR) if code else None
    return msgspec.structs.replace(made, reason=reason, **fields)


OPS = ChannelFacts(
    name="ops",
    state="OK",
    last_success_at=NOW - 3 * MINUTE,
    failing_since=None,
    last_error=None,
    waiting=0,
    set_aside=0,
)


def healthy() -> Facts:
    """All is well."""
    return Facts(
        now=NOW,
        settings=read_settings(ENVIRON),
        store=StoreFacts(address="db.example:27017", version="6.0.5", user="app@admin"),
        write=None,
        indexes=(),
        kubernetes=("https://k8s.example", "v1.36.0"),
        identity="system:serviceaccount:lemo-dev:flinkjobs",
        access=tuple(AccessReview(permission, allowed=True) for permission in PERMISSIONS),
        flink={"default": FlinkFacts(version="1.20.5", taskmanagers=2, slots=8, free_slots=3)},
        history={"default": 17},
        functions={"sync": None},
        own=(SYNC, CLEANUP),
        schedules={"sync": schedule(), "cleanup": schedule(CLEANUP, last_attempt_time=NOW - 10 * HOUR)},
        sync=Runs(Run(NOW - 2 * MINUTE, complete=True), Run(NOW - 2 * MINUTE, complete=True)),
        cleanup=Runs(Run(NOW - 10 * HOUR, complete=True), None),
        records=Records(),
        channels=("ops",),
        notifications=Notifications(None, (OPS,)),
    )


def test_a_healthy_system_fails_nowhere() -> None:
    findings = judge(healthy())
    assert is_healthy(findings)
    assert first_failing(findings) is None
    assert [(finding.check, finding.verdict, finding.evidence) for finding in findings] == [
        (
            "settings",
            "ok",
            f"database lemo_recommender, namespace lemo-dev, image flink:1.20; {FLINK_IN_SETTINGS}",
        ),
        ("mongodb", "ok", "MongoDB 6.0.5 at db.example:27017, as app@admin"),
        ("mongodb.write", "ok", "a write was acknowledged"),
        ("mongodb.indexes", "ok", "all are there"),
        ("kubernetes", "ok", "Kubernetes v1.36.0 at https://k8s.example"),
        ("kubernetes.identity", "ok", "we are system:serviceaccount:lemo-dev:flinkjobs"),
        ("kubernetes.role", "ok", f"allowed: {', '.join(map(str, PERMISSIONS))}"),
        (
            "flink.default",
            "ok",
            "Flink 1.20.5 at http://flink.example:8081; 3 of 8 slots free, 2 TaskManagers",
        ),
        ("history.default", "ok", "the History Server knows 17 jobs"),
        ("function.sync", "ok", "it says that it is ready"),
        ("schedule.sync", "ok", "enabled, '*/3 * * * *' in Etc/UTC; last attempt 2 min ago, it went well"),
        ("schedule.cleanup", "ok", "enabled, '0 2 * * *' in Etc/UTC; last attempt 10 h ago, it went well"),
        ("sync.pass", "ok", "the last complete pass began 2 min ago"),
        ("sync.errors", "ok", "the last pass, 2 min ago, met none"),
        ("cleanup.run", "ok", "the last cleanup began 10 h ago"),
        ("notify.settings", "ok", "1 channel: ops"),
        ("notify.ops", "ok", "it took its last event 3 min ago"),
        ("records.created", "ok", "no job is CREATED for longer than 5 min"),
        ("records.no-id", "ok", "no submission of the last 24 h ended without one"),
        ("records.lost", "ok", "no job was LOST in the last 24 h"),
        ("records.health", "ok", "no open job is unhealthy"),
    ]
    assert not any(finding.next_step or finding.code for finding in findings)


Change = Callable[[Facts], Facts]


def change(**fields: object) -> Change:
    return lambda facts: replace(facts, **fields)  # type: ignore[arg-type]


def sync_is(state: ScheduleState | Unreachable | Refused | None) -> Change:
    return lambda facts: replace(facts, schedules={**facts.schedules, "sync": state})


def last_pass(**fields: object) -> Change:
    run = replace(Run(NOW - MINUTE, complete=True), **fields)  # type: ignore[arg-type]
    return change(sync=Runs(run, Run(NOW - MINUTE, complete=True)))


def waits(*records: JobRecord, submitter: object = None) -> Change:
    waiting = tuple(Waiting(each, submitter) for each in records)  # type: ignore[arg-type]
    return change(records=Records(waiting=waiting))


def lacks(verb: str, resource: str) -> Change:
    reviews = tuple(
        AccessReview(each, allowed=(each.verb, each.resource) != (verb, resource)) for each in PERMISSIONS
    )
    return change(access=reviews)


FAILS: list[tuple[str, Change, str, str, str]] = [
    (
        "a setting is wrong",
        change(settings=Refused("K8S_NAMESPACE must be a …")),
        "settings",
        "SETTINGS",
        "K8S_N",
    ),
    (
        "no Flink cluster is set",
        change(settings=read_settings({"MONGODB_URI": "mongodb://x"}), flink={}, history={}),
        "settings",
        "SETTING_MISSING",
        "sync needs FLINK_REST_URL",
    ),
    ("MongoDB is away", change(store=Unreachable("no server")), "mongodb", "STORE_UNAVAILABLE", "no server"),
    (
        "a wrong password",
        change(store=Refused("Authentication failed")),
        "mongodb",
        "STORE_REFUSED",
        "Authen",
    ),
    (
        "an old MongoDB",
        change(store=StoreFacts(address="db.example:27017", version="4.2.25", user=None)),
        "mongodb",
        "VERSION_TOO_OLD",
        "MongoDB 4.2.25 at db.example:27017; the minimum is 4.4",
    ),
    (
        "a secondary",
        change(write=Unreachable("not primary")),
        "mongodb.write",
        "STORE_NOT_WRITABLE",
        "not prim",
    ),
    ("a reader", change(write=Refused("not authorized")), "mongodb.write", "STORE_NOT_WRITABLE", "not auth"),
    (
        "missing indexes",
        change(indexes=("status_1", "job_id_1")),
        "mongodb.indexes",
        "INDEX_MISSING",
        "flink_jobs lacks status_1, job_id_1",
    ),
    (
        "no API server",
        change(kubernetes=Unreachable("refused")),
        "kubernetes",
        "KUBERNETES_UNAVAILABLE",
        "refu",
    ),
    (
        "a wrong token",
        change(kubernetes=Refused("GET /version: 401 Unauthorized", "Unauthorized")),
        "kubernetes",
        "KUBERNETES_UNAUTHORIZED",
        "401",
    ),
    (
        "no credentials",
        change(kubernetes=Refused("K8S_AUTH …")),
        "kubernetes",
        "KUBERNETES_REFUSED",
        "K8S_AUTH",
    ),
    (
        "an old API server",
        change(kubernetes=("https://k8s.example", "v1.27.3")),
        "kubernetes",
        "VERSION_TOO_OLD",
        "Kubernetes v1.27.3 at https://k8s.example; the minimum is 1.28",
    ),
    (
        "anonymous",
        change(identity="system:anonymous"),
        "kubernetes.identity",
        "KUBERNETES_ANONYMOUS",
        "takes us for system:anonymous",
    ),
    (
        "anonymous, and refused for it",
        change(identity=Refused('forbidden: User "system:anonymous" cannot create …', "Forbidden")),
        "kubernetes.identity",
        "KUBERNETES_ANONYMOUS",
        "cannot create",
    ),
    (
        "a verb is missing",
        lacks("get", "pods/log"),
        "kubernetes.role",
        "PERMISSION_MISSING",
        "not allowed: get pods/log (for ",
    ),
    (
        "a verb is missing in one of two namespaces",
        change(
            access=tuple(
                AccessReview(each, allowed=namespace == "a" or each.verb != "create", namespace=namespace)
                for namespace in ("a", "b")
                for each in PERMISSIONS
            )
        ),
        "kubernetes.role",
        "PERMISSION_MISSING",
        "not allowed: create jobs in b (for submit), create configmaps in b (for submit)",
    ),
    (
        "the authority of Flink's certificate is unknown",
        change(flink={"default": Refused("cluster default: GET /overview: x", "FLINK_CERTIFICATE")}),
        "flink.default",
        "FLINK_CERTIFICATE",
        "http://flink.example:8081: GET /overview: x",
    ),
    (
        "the JobManager is down",
        change(flink={"default": Unreachable("cluster default: ConnectError")}),
        "flink.default",
        "FLINK_UNAVAILABLE",
        "http://flink.example:8081: ConnectError",
    ),
    (
        "an old Flink",
        change(flink={"default": FlinkFacts("1.16.3", 0, 0, 0)}),
        "flink.default",
        "VERSION_TOO_OLD",
        "Flink 1.16.3 at http://flink.example:8081; the minimum is 1.17",
    ),
    (
        "no TaskManager",
        change(flink={"default": FlinkFacts("1.20.5", 0, 0, 0)}),
        "flink.default",
        "FLINK_NO_TASKMANAGER",
        "no job can run",
    ),
    (
        "the History Server wants a token",
        change(history={"default": Refused("answered 401", "FLINK_CREDENTIAL")}),
        "history.default",
        "FLINK_CREDENTIAL",
        "answered 401",
    ),
    (
        "the History Server is down",
        change(history={"default": Unreachable("ConnectError")}),
        "history.default",
        "HISTORY_UNAVAILABLE",
        "ConnectError",
    ),
    (
        "a function that is not ready",
        change(functions={"sync": Unreachable("503 STORE_UNAVAILABLE")}),
        "function.sync",
        "FUNCTION_UNAVAILABLE",
        "503 STORE_UNAVAILABLE",
    ),
    (
        "a function that refuses us",
        change(functions={"sync": Refused("403")}),
        "function.sync",
        "FUNCTION_REFUSED",
        "403",
    ),
    ("no scheduler", sync_is(Unreachable("503")), "schedule.sync", "SCHEDULER_UNAVAILABLE", "503"),
    ("a refusing scheduler", sync_is(Refused("403")), "schedule.sync", "SCHEDULER_REFUSED", "403"),
    (
        "no schedule",
        sync_is(None),
        "schedule.sync",
        "SCHEDULE_MISSING",
        "there is no schedule flinkjobs-sync",
    ),
    (
        "a paused schedule",
        sync_is(schedule(state=State.PAUSED, last_status_code=5)),
        "schedule.sync",
        "SCHEDULE_PAUSED",
        "flinkjobs-sync is PAUSED; last attempt 2 min ago",
    ),
    (
        "another address",
        sync_is(schedule(uri="http://old.example/")),
        "schedule.sync",
        "SCHEDULE_CHANGED",
        "calls http://old.example/, and should call http://sync.example",
    ),
    (
        "too rarely",
        sync_is(schedule(cron="*/30 * * * *")),
        "schedule.sync",
        "SCHEDULE_CHANGED",
        "runs at '*/30 * * * *', less often than configured ('*/3 * * * *')",
    ),
    (
        "silent",
        sync_is(schedule(last_attempt_time=NOW - HOUR)),
        "schedule.sync",
        "SCHEDULE_SILENT",
        "flinkjobs-sync is enabled (*/3 * * * *), but last attempt 60 min ago",
    ),
    (
        "refused by the function",
        sync_is(schedule(last_status_code=7, last_status_message="403 Forbidden")),
        "schedule.sync",
        "SCHEDULE_FAILING",
        "it called http://sync.example/ and failed with PERMISSION_DENIED (403 Forbidden)",
    ),
    (
        "an unknown code",
        sync_is(schedule(last_status_code=99)),
        "schedule.sync",
        "SCHEDULE_FAILING",
        "failed with code 99",
    ),
    ("never synchronised", change(sync=Runs(None, None)), "sync.pass", "SYNC_NEVER", "no pass"),
    (
        "never synchronised, and the first run is overdue",
        lambda facts: replace(
            sync_is(schedule(last_attempt_time=None, last_status_code=None, next_time=NOW - MINUTE))(facts),
            sync=Runs(None, None),
        ),
        "sync.pass",
        "SYNC_NEVER",
        "no pass in the last two weeks",
    ),
    (
        "never through",
        change(sync=Runs(Run(NOW - MINUTE, complete=False), None)),
        "sync.pass",
        "SYNC_NEVER",
        "the last began 60 s ago",
    ),
    (
        "an old pass",
        change(sync=Runs(Run(NOW - HOUR, complete=True), Run(NOW - HOUR, complete=True))),
        "sync.pass",
        "SYNC_OLD",
        "the last complete pass began 60 min ago, and should have begun within 9 min",
    ),
    (
        "passes that are cut short",
        change(sync=Runs(Run(NOW - MINUTE, complete=False), Run(NOW - HOUR, complete=True))),
        "sync.pass",
        "SYNC_OLD",
        "(one that was cut short 60 s ago)",
    ),
    (
        "a pass that did not reach a cluster",
        last_pass(unreachable=(("batch", "cluster batch: ConnectTimeout"),)),
        "sync.errors",
        "SYNC_PEER_UNREACHABLE",
        "Flink cluster batch: ConnectTimeout",
    ),
    (
        "a pass that did not reach Kubernetes",
        last_pass(errors=((None, "KUBERNETES_UNAVAILABLE", "403"),)),
        "sync.errors",
        "SYNC_PEER_UNREACHABLE",
        "KUBERNETES_UNAVAILABLE: 403",
    ),
    (
        "a cluster that has forgotten its jobs",
        last_pass(errors=((None, "JOBS_MISSING", "cluster default does not know 3 of the jobs"),)),
        "sync.errors",
        "JOBS_MISSING",
        "cluster default does not know 3 of the jobs",
    ),
    (
        "an old cleanup",
        change(cleanup=Runs(Run(NOW - 50 * HOUR, complete=True), None)),
        "cleanup.run",
        "CLEANUP_OLD",
        "began 2 d ago, and should have begun within 26 h",
    ),
    (
        "an image that cannot be pulled",
        waits(record(ReasonCode.IMAGE_PULL, "pod p: ErrImagePull: x")),
        "records.created",
        "IMAGE_PULL",
        "1 job CREATED for longer than 5 min: etl_1, 60 min old: pod p: ErrImagePull: x",
    ),
    (
        "a quota, which no pass has found yet",
        waits(record(), submitter=Submitter(JobPhase.ACTIVE, problem=(ReasonCode.QUOTA, "exceeded quota"))),
        "records.created",
        "QUOTA",
        "etl_1, 60 min old: exceeded quota",
    ),
    (
        "a pod that reaches no JobManager",
        change(
            records=Records(
                without_id=(record(ReasonCode.SUBMIT_FAILED, f"TableException: x\n{REFUSED_CONNECTION}"),)
            )
        ),
        "records.no-id",
        "JOBMANAGER_UNREACHABLE",
        "etl_1: AnnotatedConnectException: Connection refused: localhost/127.0.0.1:1",
    ),
    (
        "a pod that is sent to a port of the JobManager at which its REST API is not",
        change(
            records=Records(
                without_id=(record(ReasonCode.SUBMIT_FAILED, f"TableException: x\n{CLOSED_CONNECTION}"),)
            )
        ),
        "records.no-id",
        "JOBMANAGER_UNREACHABLE",
        "etl_1: ConnectionClosedException: Channel became inactive.",
    ),
    *(
        (
            f"a JobManager of another line: {line}",
            change(
                records=Records(without_id=(record(ReasonCode.SUBMIT_FAILED, f"TableException: x\n{line}"),))
            ),
            "records.no-id",
            "FLINK_LINES_DIFFER",
            f"etl_1: {shown}",
        )
        for line, shown in OTHER_LINES
    ),
    (
        "an image without Flink",
        change(
            records=Records(
                without_id=(
                    record(
                        ReasonCode.SUBMIT_FAILED,
                        "timeout: failed to run command '/opt/flink/bin/flink': No such file or directory",
                    ),
                )
            )
        ),
        "records.no-id",
        "IMAGE_UNSUITABLE",
        "failed to run command '/opt/flink/bin/flink'",
    ),
    (
        "an image without Python",
        change(
            records=Records(
                without_id=(
                    record(
                        ReasonCode.SUBMIT_FAILED,
                        'java.io.IOException: Cannot run program "python": error=2, No such file',
                    ),
                )
            )
        ),
        "records.no-id",
        "IMAGE_UNSUITABLE",
        'IOException: Cannot run program "python"',
    ),
    (
        "a submitter that was stopped",
        change(records=Records(without_id=(record(ReasonCode.SUBMIT_FAILED, STOPPED),))),
        "records.no-id",
        "SUBMIT_TIMED_OUT",
        "did not end in time",
    ),
    (
        "an id that Flink does not know",
        change(records=Records(unconfirmed=(record(ReasonCode.ID_UNCONFIRMED),))),
        "records.no-id",
        "ID_UNCONFIRMED",
        "etl_1",
    ),
    (
        "a LOST job",
        change(records=Records(lost=(record(ReasonCode.OUTCOME_UNKNOWN, "forgotten", status=Status.LOST),))),
        "records.lost",
        "OUTCOME_UNKNOWN",
        "1 job LOST in the last 24 h: etl_1: forgotten",
    ),
]
"""What is wrong, and the check, code and words of the one finding that fails for it."""


@pytest.mark.parametrize(("what", "changed", "check", "code", "words"), FAILS, ids=[row[0] for row in FAILS])
def test_what_fails(what: str, changed: Change, check: str, code: str, words: str) -> None:
    findings = judge(changed(healthy()))
    failing = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    assert [(finding.check, finding.code) for finding in failing] == [(check, code)], what
    assert words in failing[0].evidence
    assert failing[0].next_step
    assert first_failing(findings) == failing[0]
    assert not is_healthy(findings)


@pytest.mark.parametrize(
    ("records", "code", "evidence"),
    [
        (
            Records(unhealthy=(record(status=Status.RUNNING, health=LOOPING),)),
            "RESTARTING",
            "1 job unhealthy: etl_1: / by zero",
        ),
        (
            Problems((), (), 0, (Problem("WAITING_FOR_SLOTS", 2, ("etl_1",)),)),
            "WAITING_FOR_SLOTS",
            "2 jobs unhealthy: etl_1; `flinkjobs show ID` shows more",
        ),
    ],
)
def test_unhealthy_jobs_are_a_warning(records: Records | Problems, code: str, evidence: str) -> None:
    findings = judge(replace(healthy(), records=records))
    [finding] = [finding for finding in findings if finding.check == "records.health"]
    assert (finding.verdict, finding.code, finding.evidence) == (Verdict.WARN, code, evidence)
    assert is_healthy(findings)


def test_without_a_schedule_the_settings_say_how_often_a_pass_is_due() -> None:
    facts = last_pass()(replace(healthy(), own=(), schedules={}))
    old = replace(facts, sync=Runs(None, Run(NOW - 20 * MINUTE, complete=True)))
    rarely = replace(old, settings=read_settings({**ENVIRON, "SYNC_PERIOD_SECONDS": "600"}))
    assert [first_failing(judge(each)) is None for each in (facts, old, rarely)] == [True, False, True]


def test_one_function_is_judged_by_the_settings_that_it_needs() -> None:
    bare = replace(healthy(), settings=read_settings({"MONGODB_URI": "mongodb://x"}), flink={}, history={})
    findings = {
        function: next(iter(judge(replace(bare, function=function))))
        for function in (Function.SUBMIT, Function.SYNC, Function.CLEANUP, Function.JOBS)
    }
    assert {function: (finding.verdict, finding.evidence) for function, finding in findings.items()} == {
        "submit": ("fail", "submit needs FLINK_REST_URL, which is not set"),
        "sync": ("fail", "sync needs FLINK_REST_URL, which is not set"),
        "cleanup": ("ok", "database lemo_recommender, namespace lemo-dev"),
        "jobs": ("ok", "database lemo_recommender, namespace lemo-dev"),
    }


def test_submit_without_an_image_fails_as_submit() -> None:
    settings = read_settings({name: ENVIRON[name] for name in ("MONGODB_URI", "FLINK_REST_URL")})
    [finding] = [
        each
        for each in judge(replace(healthy(), settings=settings, function=Function.SUBMIT))
        if each.verdict is not Verdict.OK
    ]
    assert (finding.verdict, finding.code) == ("fail", "SETTING_MISSING")
    assert finding.evidence == "submit needs FLINK_IMAGE, which is not set"


def test_jobs_may_have_a_user_of_mongodb_that_only_reads() -> None:
    facts = replace(healthy(), function=Function.JOBS, write=Refused("not authorized"))
    [finding] = [each for each in judge(facts) if each.verdict is not Verdict.OK]
    assert (finding.check, finding.verdict) == ("mongodb.write", "skipped")
    assert finding.evidence == "not checked: jobs only reads; a write fails: not authorized"


@pytest.mark.parametrize(
    ("image", "version", "is_named"),
    [
        ("flink:1.20", "2.3.0", True),
        ("flink:2.3", "1.20.5", True),
        ("flink:1.2", "1.20.5", True),
        ("flink:1.20.1-scala_2.12", "1.20.5", False),
        ("flink:latest", "2.3.0", False),
        ("flink:1.20", "<unknown>", False),
    ],
)
def test_the_flink_of_the_image_is_compared_where_both_show_their_line(
    image: str, version: str, is_named: bool
) -> None:
    facts = replace(
        healthy(),
        settings=read_settings({**ENVIRON, "FLINK_IMAGE": image}),
        flink={"default": FlinkFacts(version=version, taskmanagers=2, slots=8, free_slots=3)},
    )
    assert ("FLINK_LINES_DIFFER" in [finding.code for finding in judge(facts)]) is is_named


def test_a_pass_that_a_peer_cuts_short_fails_for_the_peer_and_not_for_its_age() -> None:
    cut = Run(NOW - MINUTE, complete=False, errors=((None, "KUBERNETES_UNAVAILABLE", "GET events: 403"),))
    for complete in (None, Run(NOW - HOUR, complete=True)):
        findings = judge(replace(healthy(), sync=Runs(cut, complete)))
        verdicts = [(each.check, each.verdict) for each in findings if each.verdict is not Verdict.OK]
        assert verdicts == [("sync.pass", "skipped"), ("sync.errors", "fail")]
    stopped = replace(cut, started_at=NOW - HOUR)
    findings = judge(replace(healthy(), sync=Runs(stopped, Run(NOW - 2 * HOUR, complete=True))))
    first = first_failing(findings)
    assert first is not None
    assert first.code == "SYNC_OLD"


def test_a_warning_is_no_failure_unless_it_is_asked_to_be() -> None:
    findings = [Finding("x", Verdict.WARN, "y")]
    assert is_healthy(findings)
    assert not is_healthy(findings, strict=True)
    assert is_healthy([Finding("x", Verdict.OK, "y"), Finding("z", Verdict.SKIPPED, "y")], strict=True)


WARNS: list[tuple[Change, str, str]] = [
    (
        change(records=Records(without_id=(record(ReasonCode.SUBMIT_FAILED, "KeyError: 'x'"),))),
        "records.no-id",
        "SUBMIT_FAILED",
    ),
    (
        change(records=Records(without_id=(record(ReasonCode.NO_JOB_SUBMITTED, "nothing"),))),
        "records.no-id",
        "NO_JOB_SUBMITTED",
    ),
    (
        change(settings=read_settings({name: ENVIRON[name] for name in ("MONGODB_URI", "FLINK_REST_URL")})),
        "settings",
        "SETTING_MISSING",
    ),
    (change(sidecars={"istio-proxy": ["flink-py-etl-1"]}), "kubernetes.sidecars", "SIDECAR_RUNS"),
    (change(flink={"default": FlinkFacts("1.20.5", 1, 4, 0)}), "flink.default", "FLINK_NO_FREE_SLOT"),
    (sync_is(schedule(cron="*/1 * * * *")), "schedule.sync", "SCHEDULE_CHANGED"),
    (last_pass(errors=(("etl_1", "LOG_UNREACHABLE", "500"),)), "sync.errors", "SYNC_ERRORS"),
    (
        lambda facts: replace(  # deployed a moment ago
            sync_is(schedule(last_attempt_time=None, last_status_code=None))(facts), sync=Runs(None, None)
        ),
        "sync.pass",
        "SYNC_NEVER",
    ),
    (change(cleanup=Runs(None, None)), "cleanup.run", "CLEANUP_NEVER"),
    (
        change(cleanup=Runs(Run(NOW - HOUR, complete=False, errors=(("j", "K", "x"),)), None)),
        "cleanup.run",
        "CLEANUP_ERRORS",
    ),
    (
        change(records=Records(unreadable=(UnreadableRecord("etl_1", "ValueError"),))),
        "records.unreadable",
        "UNREADABLE_RECORD",
    ),
]


@pytest.mark.parametrize(("changed", "check", "code"), WARNS, ids=[row[2] for row in WARNS])
def test_what_only_warns(changed: Change, check: str, code: str) -> None:
    findings = judge(changed(healthy()))
    [warning] = [finding for finding in findings if finding.verdict is not Verdict.OK]
    assert (warning.verdict, warning.check, warning.code) == ("warn", check, code)
    assert is_healthy(findings)


UNKNOWN: list[tuple[Change, str]] = [
    (change(indexes=Unreachable("x")), "mongodb.indexes"),
    (change(indexes=Refused("x")), "mongodb.indexes"),
    (change(identity=Unreachable("x")), "kubernetes.identity"),
    (change(access=Unreachable("x")), "kubernetes.role"),
    (change(access=Refused("x", "Forbidden")), "kubernetes.role"),
    (change(sync=Unreachable("x")), "sync.pass"),
    (change(cleanup=Refused("x")), "cleanup.run"),
    (change(records=Unreachable("x")), "records.created"),
]


@pytest.mark.parametrize(("changed", "check"), UNKNOWN)
def test_what_could_not_be_found_out_is_neither_well_nor_wrong(changed: Change, check: str) -> None:
    findings = judge(changed(healthy()))
    [unknown] = [finding for finding in findings if finding.verdict is not Verdict.OK]
    assert (unknown.verdict, unknown.check, unknown.evidence) == ("unknown", check, "x")
    assert unknown.next_step
    assert first_failing(findings) == unknown
    assert not is_healthy(findings)


def test_what_follows_from_a_failure_is_not_checked() -> None:
    away = NotAsked("MongoDB does not answer as it should")
    facts = replace(
        healthy(),
        store=Unreachable("no server"),
        **dict.fromkeys(("write", "indexes", "sync", "cleanup", "records"), away),  # type: ignore[arg-type]
    )
    judged = {finding.check: (finding.verdict, finding.evidence) for finding in judge(facts)}
    assert judged["mongodb"] == ("fail", "no server")
    for check in ("mongodb.write", "mongodb.indexes", "sync.pass", "cleanup.run", "records.created"):
        assert judged[check] == ("skipped", "not checked: MongoDB does not answer as it should")
    assert "records.lost" not in judged


def test_wrong_settings_leave_nothing_else_to_be_checked() -> None:
    findings = judge(Facts(now=NOW, settings=Refused("MONGODB_URI is required and not set")))
    assert [finding.verdict for finding in findings] == ["fail", *["skipped"] * (len(findings) - 1)]
    assert {finding.evidence for finding in findings[1:]} == {"not checked: the settings are wrong"}


@pytest.mark.parametrize(
    ("changed", "check", "because"),
    [
        (change(own=(), schedules={}), "schedule", "SCHEDULER_PARENT is not set"),
        (change(history={}), "history", "FLINK_HISTORY_URL is not set"),
        (change(identity=Refused("404", "NotFound")), "kubernetes.identity", "Kubernetes 1.28"),
    ],
)
def test_what_is_not_there_to_be_checked_is_no_failure(changed: Change, check: str, because: str) -> None:
    findings = judge(changed(healthy()))
    [skipped] = [finding for finding in findings if finding.verdict is not Verdict.OK]
    assert (skipped.verdict, skipped.check) == ("skipped", check)
    assert skipped.evidence.startswith("not checked: ")
    assert because in skipped.evidence
    assert is_healthy(findings)


@pytest.mark.parametrize("later", range(1, len(FAILS)))
def test_of_two_failures_the_cause_comes_first(later: int) -> None:
    """The rows of FAILS stand in the order of causes: each fails before the next one."""
    (_, first, check, _, _), (_, second, _, _, _) = FAILS[later - 1], FAILS[later]
    both = first(second(healthy()))
    found = first_failing(judge(both))
    assert found is not None
    assert found.check == check


def test_records_are_grouped_by_cause_the_most_frequent_first() -> None:
    pulls = [record(ReasonCode.IMAGE_PULL, "no image", job_id=f"pull_{number}") for number in range(5)]
    findings = judge(waits(record(ReasonCode.QUOTA, "full", job_id="quota"), *pulls)(healthy()))
    failing = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    assert [finding.code for finding in failing] == ["IMAGE_PULL", "QUOTA"]
    assert failing[0].evidence == (
        "5 jobs CREATED for longer than 5 min: pull_0, 60 min old: no image; pull_1, 60 min old: no image; "
        "pull_2, 60 min old: no image; and 2 more"
    )


REF = FlinkJobRef(id=FLINK_ID, source=IdSource.LOG)
CAUSES = [
    (record(ReasonCode.OOM, "killed"), None, "OOM", "killed"),
    (
        record(flink_jobs=(REF,), flink_state="INITIALIZING"),
        None,
        "WAITING_IN_FLINK",
        "in state INITIALIZING",
    ),
    (record(flink_jobs=(REF,)), None, "WAITING_IN_FLINK", "in state not known yet"),
    (record(k8s_job_name=None), None, "K8S_JOB_UNKNOWN", "names no Kubernetes Job"),
    (record(), NoKubernetesJob(), "K8S_JOB_MISSING", "flink-py-etl-1 does not exist"),
    (record(), Unreachable("503"), "CAUSE_UNKNOWN", "503"),
    (record(), None, "CAUSE_UNKNOWN", "was not read"),
    (
        record(),
        Submitter(JobPhase.COMPLETE, ids=(FoundId(FLINK_ID, IdSource.LOG),)),
        "NOT_SYNCHRONISED",
        f"has printed the Flink Job ID {FLINK_ID}",
    ),
    (record(), Submitter(JobPhase.FAILED, error_lines="KeyError: 1"), "SUBMIT_FAILED", "KeyError: 1"),
    (
        record(),
        Submitter(JobPhase.FAILED, error_lines="last", problem=(ReasonCode.OOM, "OOMKilled")),
        "SUBMIT_FAILED",
        "OOMKilled; last",
    ),
    (record(), Submitter(JobPhase.FAILED, ended="DeadlineExceeded"), "SUBMIT_FAILED", "DeadlineExceeded"),
    (record(), Submitter(JobPhase.FAILED), "SUBMIT_FAILED", "silently"),
    (record(), Submitter(JobPhase.ACTIVE, problem=(ReasonCode.MOUNT, "no volume")), "MOUNT", "no volume"),
    (
        record(),
        Submitter(JobPhase.ACTIVE, events_unread=Unreachable("403 Forbidden")),
        "CAUSE_UNKNOWN",
        "events that may name the cause could not be read: 403 Forbidden",
    ),
    (
        record(),
        Submitter(JobPhase.COMPLETE, log=LogState.UNREACHABLE, unread="500"),
        "CAUSE_UNKNOWN",
        "could not be read: 500",
    ),
    (record(), Submitter(JobPhase.COMPLETE, log=LogState.GONE), "LOG_UNAVAILABLE", "its log is gone"),
    (record(), Submitter(JobPhase.COMPLETE), "NO_JOB_SUBMITTED", "printed no Flink Job ID"),
    (record(), Submitter(JobPhase.ACTIVE, log=LogState.RUNNING), "STILL_SUBMITTING", "has printed nothing"),
    (record(), Submitter(JobPhase.ACTIVE, error_lines="loading"), "STILL_SUBMITTING", "still at it: loading"),
]


@pytest.mark.parametrize(("created", "submitter", "code", "words"), CAUSES)
def test_the_cause_of_a_record_that_waits(
    created: JobRecord, submitter: Submitter | NoKubernetesJob | Unreachable | None, code: str, words: str
) -> None:
    found, message = cause_of(Waiting(created, submitter))
    assert found == code
    assert words in message


def test_every_code_and_every_reason_has_its_remedy() -> None:
    assert set(REMEDIES) == {*(code.value for code in Code), *(code.value for code in ReasonCode)}
    assert all(text.endswith(".") for text in REMEDIES.values())
    assert all(remedy.endswith(".") for _, remedy in ATTEMPTS.values())


def test_every_check_has_a_finding_on_a_healthy_system_but_those_that_only_name_objects() -> None:
    silent = [check.__name__ for check in CHECKS if not list(check(healthy()))]
    assert silent == ["_jobmanagers", "_sidecars", "check_sign_in", "_unreadable"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://app:secret@db.example/x", "mongodb://***@db.example/x"),
        ("mongodb://app:se@cret@db.example/x", "mongodb://***@db.example/x"),
        ("two http://a:b@c/ and https://d:e@f/", "two http://***@c/ and https://***@f/"),
        ("http://flink.example:8081/jobs by a@b.example", "http://flink.example:8081/jobs by a@b.example"),
        ("WEBHOOK_SECRETS whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw wrong", "WEBHOOK_SECRETS whsec_*** wrong"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_evidence_is_masked_and_cut() -> None:
    long = "GET http://user:secret@host/: " + "x" * 2 * EVIDENCE_LENGTH
    [finding] = [
        each for each in judge(change(store=Unreachable(long))(healthy())) if each.check == "mongodb"
    ]
    assert finding.evidence.startswith("GET http://***@host/: xxx")
    assert len(finding.evidence) == EVIDENCE_LENGTH


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mongodb://127.0.0.1:27017", "127.0.0.1:27017"),
        ("mongodb://app:secret@a.example:1,b.example:2/db?authSource=admin", "a.example:1,b.example:2"),
        ("mongodb+srv://app:pa%2Fss@c.example", "c.example"),
        ("mongodb://app:pa/ss@d.example/", "d.example"),
        ("mongodb://e.example/?authMechanismProperties=AWS_SESSION_TOKEN:secret", "e.example"),
    ],
)
def test_of_a_connection_string_only_the_hosts_are_shown(uri: str, address: str) -> None:
    assert address_of(uri) == address


def test_a_finding_is_plain_data() -> None:
    finding = Finding("mongodb", Verdict.OK, "x")
    assert (finding.next_step, finding.code) == ("", "")


def test_what_flink_run_lacks_of_the_rest_url_is_a_warning_where_submit_is_judged() -> None:
    behind = read_settings({**ENVIRON, "FLINK_REST_URL": "https://gateway.example/flink"})
    facts = replace(healthy(), settings=behind)
    [found] = [each for each in judge(facts) if each.code == "JOBMANAGER_DERIVED"]
    evidence = "Flink default: pods submit to gateway.example:443, without https and the path /flink of its"
    assert (found.verdict, found.evidence) == ("warn", f"{evidence} REST URL")
    of_sync = replace(facts, function=Function.SYNC)
    assert "JOBMANAGER_DERIVED" not in {each.code for each in judge(of_sync)}
