"""The ladder to a Flink Job ID: termination message, log, every pod, the job of the record's name."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from flinkjobs.domain.errors import KubernetesRefusedError, KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import Event, KubernetesJob, Pod, Waiting
from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import (
    FlinkJob,
    FoundId,
    JobPhase,
    LogState,
    Missing,
    Submitter,
    Unreachable,
)
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.domain.records import IdSource
from flinkjobs.observers.events import events_of
from flinkjobs.observers.flink_snapshot import find_by_name
from flinkjobs.observers.submitter_output import observe_submitter, read_output
from flinkjobs.ports.kubernetes import KubernetesClient
from tests.support.kubernetes_in_memory import ClusterDouble, Log
from tests.support.kubernetes_objects import NOON, container, ended, job, pod
from tests.support.recordings import VERSIONS, cli_log

A, B, C = "a" * 32, "b" * 32, "c" * 32
UNAVAILABLE = KubernetesUnavailableError("timed out")
FORBIDDEN = KubernetesRefusedError("forbidden", reason="Forbidden", status=403)
TWO_MEBIBYTES = 2 * 1024 * 1024
"""Where the adapter cuts a log."""


FIXED = fixed_flink_job_id("etl_1")


def marked(*ids: str) -> str:
    """A termination message as our submitter writes it."""
    return f"flinkjobs/1\n{line(*ids)}end {len(ids)}\n"


def line(*ids: str) -> str:
    return "".join(f"Job has been submitted with JobID {id_}\n" for id_ in ids)


def found(source: IdSource, *ids: str) -> tuple[FoundId, ...]:
    return tuple(FoundId(id=id_, source=source) for id_ in ids)


def observe(
    pods: list[Pod],
    cluster: KubernetesClient,
    *,
    of: KubernetesJob | None = None,
    is_followed: bool = False,
    after: timedelta = timedelta(0),
) -> Submitter:
    return observe_submitter(
        of or job(JobPhase.COMPLETE),
        pods,
        cluster,
        events=partial(events_of, cluster),
        is_followed=is_followed,
        now=NOON + after,
    )


def succeeded(**fields: Any) -> Pod:
    return pod("Succeeded", container(ended(message=fields.pop("message", ""))), **fields)


def failed(**fields: Any) -> Pod:
    return pod("Failed", container(ended(31, message=fields.pop("message", ""))), **fields)


# --- one pod ----------------------------------------------------------------------------------------


def test_the_termination_message_comes_first_and_costs_no_request() -> None:
    cluster = ClusterDouble()
    output = read_output(succeeded(message=marked(A, B)), cluster)
    assert output.ids == found(IdSource.TERMINATION_MESSAGE, A, B)
    assert output.state is LogState.READ
    assert cluster.asked == []


def test_without_an_id_in_the_message_the_log_is_read() -> None:
    cluster = ClusterDouble({"pod-1": f"noise\n{line(A)}"})
    output = read_output(succeeded(message="Completed"), cluster)
    assert (output.ids, output.state) == (found(IdSource.LOG, A), LogState.READ)
    assert cluster.asked == ["log pod-1 submit"]


@pytest.mark.parametrize(
    "message",
    [line(A), "flinkjobs/1\n" + line(A), line(A) + "end 2\n"],
    ids=["no mark", "no end", "no begin"],
)
def test_a_message_that_is_not_whole_is_not_trusted_to_hold_every_id(message: str) -> None:
    """Kubernetes keeps 4096 bytes of a termination message, and 12 KiB for all containers of a pod."""
    cluster = ClusterDouble({"pod-1": line(A, B)})
    output = read_output(succeeded(message=message), cluster)
    assert cluster.asked == ["log pod-1 submit"]
    assert [entry.id for entry in output.ids] == [A, B]


def test_a_whole_message_without_an_id_proves_that_nothing_was_submitted() -> None:
    cluster = ClusterDouble()
    output = read_output(succeeded(message="flinkjobs/1\nend 0\n"), cluster)
    assert (output.ids, output.proves_nothing_submitted, cluster.asked) == ((), True, [])


@pytest.mark.parametrize(
    "text", ["", "failed to open log file\n", "metrics - records out: 499\n"], ids=["empty", "kubelet", "cut"]
)
def test_a_log_without_an_id_or_an_error_proves_nothing(text: str) -> None:
    """It may be Kubernetes' own words, or the end of a log that was rotated."""
    assert not read_output(succeeded(), ClusterDouble({"pod-1": text})).proves_nothing_submitted


@pytest.mark.parametrize("version", VERSIONS)
def test_arguments_that_flink_refuses_prove_that_nothing_was_submitted(version: str) -> None:
    log = cli_log(version, "layouts/missing_jar.shipped")
    refused = pod("Failed", container(ended(1)))
    assert read_output(refused, ClusterDouble({"pod-1": log})).proves_nothing_submitted


def test_a_submitter_whose_container_ended_before_a_sidecar_has_ended() -> None:
    single = replace(job(JobPhase.ACTIVE), is_single_attempt=True)
    failing = pod("Running", container(ended(1)))
    cluster = ClusterDouble({"pod-1": cli_log("1.20", "raise_before_submit.attached")})
    seen = observe([failing], cluster, of=single)
    assert (seen.phase, seen.log, seen.proves_nothing_submitted) == (JobPhase.FAILED, LogState.READ, True)


@pytest.mark.parametrize(("ended_pods", "expected"), [(1, True), (2, False)])
def test_a_submitter_one_of_whose_pods_was_deleted_proves_nothing(ended_pods: int, expected: bool) -> None:
    """The Job of the old platform retries: the first pod may have submitted a job."""
    cluster = ClusterDouble({"pod-1": cli_log("1.20", "raise_before_submit.attached")})
    failed = job(JobPhase.FAILED, ended_pods=ended_pods)
    seen = observe([pod("Failed", container(ended(1)))], cluster, of=failed)
    assert seen.proves_nothing_submitted is expected
    whole = observe([pod("Succeeded", container(ended(message=marked(A))))], cluster, of=failed)
    assert whole.is_whole is expected


def test_a_submitter_that_kubernetes_will_run_again_has_not_ended() -> None:
    failing = pod("Running", container(ended(1)))
    cluster = ClusterDouble({"pod-1": ""})
    seen = observe([failing], cluster, of=job(JobPhase.ACTIVE))
    assert seen.phase is JobPhase.ACTIVE


def test_a_message_that_may_be_cut_is_better_than_none() -> None:
    message = line(*(f"{number:032x}" for number in range(61)))
    cluster = ClusterDouble({"pod-1": Missing()})
    output = read_output(failed(message=message), cluster)
    assert len(output.ids) == 61
    assert output.ids[0].source is IdSource.TERMINATION_MESSAGE


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_failed_pod_is_read_like_any_other(phase: str) -> None:
    """A script that raises after submitting makes the CLI fail, and its job runs."""
    cluster = ClusterDouble({"pod-1": cli_log("2.3", "submit_then_raise.attached")})
    output = read_output(pod(phase, container(ended(31))), cluster)
    assert output.ids == found(IdSource.LOG, "8cf847b1e19eb3d6cc7279b24c037f16")
    assert output.error_lines == "ValueError: raised after the submission"


def test_a_submission_that_failed_has_its_cause() -> None:
    cluster = ClusterDouble({"pod-1": cli_log("1.20", "raise_before_submit.attached")})
    output = read_output(failed(), cluster)
    assert (output.ids, output.error_lines) == ((), "ValueError: raised before the submission")


def test_a_pod_that_runs_is_read_as_far_as_it_got() -> None:
    """An attached submitter prints its id at once and ends with its job, maybe never."""
    cluster = ClusterDouble({"pod-1": line(A)})
    output = read_output(pod("Running", container(None)), cluster)
    assert (output.ids, output.state) == (found(IdSource.LOG, A), LogState.RUNNING)


def test_a_running_pod_whose_id_is_known_is_left_alone() -> None:
    cluster = ClusterDouble()
    assert read_output(pod("Running", container(None)), cluster, skip_running=True).state is LogState.RUNNING
    assert cluster.asked == []


def test_a_pod_that_is_over_is_read_even_when_an_id_is_known() -> None:
    """A script may have submitted a second job since."""
    cluster = ClusterDouble({"pod-1": line(A, B)})
    assert read_output(succeeded(), cluster, skip_running=True).ids == found(IdSource.LOG, A, B)


@pytest.mark.parametrize(
    "waiting",
    [pod("Pending", container(Waiting("ContainerCreating", ""))), pod("Pending")],
    ids=["its container waits", "it has no container yet"],
)
def test_a_pod_that_has_not_begun_is_not_asked(waiting: Pod) -> None:
    cluster = ClusterDouble()
    output = read_output(waiting, cluster)
    assert (output.ids, output.state, cluster.asked) == ((), LogState.RUNNING, [])


def test_the_container_is_named_because_of_sidecars() -> None:
    cluster = ClusterDouble({"pod-1": line(A)})
    read_output(pod("Running", container(None, name="sidecar"), container(None)), cluster)
    assert cluster.asked == ["log pod-1 submit"]


def test_an_evicted_pod_without_container_statuses_is_asked_for_its_log() -> None:
    cluster = ClusterDouble({"pod-1": Missing()})
    output = read_output(pod("Failed", reason="Evicted"), cluster)
    assert (output.state, cluster.asked) == (LogState.GONE, ["log pod-1 submit"])


@pytest.mark.parametrize(
    ("answer", "state"),
    [(Missing(), LogState.GONE), (UNAVAILABLE, LogState.UNREACHABLE), (FORBIDDEN, LogState.UNREACHABLE)],
    ids=["gone", "unavailable", "forbidden"],
)
def test_a_log_that_cannot_be_read_is_no_empty_log(answer: Log, state: LogState) -> None:
    output = read_output(succeeded(), ClusterDouble({"pod-1": answer}))
    assert (output.ids, output.error_lines, output.state) == ((), "", state)


def test_a_failed_containers_message_stands_in_for_a_log_that_is_gone() -> None:
    """`FallbackToLogsOnError` fills it with the log's end."""
    cluster = ClusterDouble({"pod-1": Missing()})
    output = read_output(failed(message="ValueError: no such table"), cluster)
    assert (output.error_lines, output.state) == ("ValueError: no such table", LogState.GONE)
    assert output.proves_nothing_submitted


@pytest.mark.parametrize(
    "message",
    [("x" * 40 + "\n") * 50 + "ValueError: last words", "\n" * 79 + "ValueError: last words"],
    ids=["2048 bytes", "80 lines"],
)
def test_an_end_as_long_as_kubernetes_keeps_it_is_not_the_whole_log(message: str) -> None:
    """An id may have stood before it."""
    output = read_output(failed(message=message), ClusterDouble({"pod-1": Missing()}))
    assert output.error_lines.endswith("last words")
    assert output.state is LogState.GONE
    assert not output.proves_nothing_submitted


def test_a_message_that_is_the_end_of_the_log_is_not_trusted_to_hold_every_id() -> None:
    """A container that could not write its message has the log's end there: the first id may lack."""
    cluster = ClusterDouble({"pod-1": f"{line(A)}many rows\n{line(B)}ValueError: no"})
    output = read_output(failed(message=f"many rows\n{line(B)}ValueError: no"), cluster)
    assert output.ids == found(IdSource.LOG, A, B)


def test_the_message_of_a_container_that_ended_well_stands_in_for_a_log_that_is_gone() -> None:
    message = line(*(f"{number:032x}" for number in range(61)))
    output = read_output(succeeded(message=message), ClusterDouble({"pod-1": Missing()}))
    assert len(output.ids) == 61


@pytest.mark.parametrize("filler", ["x", "作", "\ufffd"], ids=["ASCII", "Chinese", "bad bytes"])
def test_of_a_log_that_was_cut_the_end_is_read_too(filler: str) -> None:
    """The limit counts bytes: a log of Chinese text is cut at a third of as many characters."""
    size = len(filler.encode())
    head = (line(A) + filler * (TWO_MEBIBYTES // size)).encode()[:TWO_MEBIBYTES].decode(errors="replace")
    cluster = ClusterDouble({"pod-1": head}, tails={"pod-1": f"…rest of a line\n{line(A, B)}"})
    output = read_output(succeeded(), cluster)
    assert output.ids == found(IdSource.LOG, A, B)
    assert cluster.asked == ["log pod-1 submit", "tail pod-1 submit"]


def test_a_line_that_the_cut_goes_through_does_not_join_the_end() -> None:
    half = "Job has been submitted with JobID " + A[:16]
    head = "x" * (TWO_MEBIBYTES - len(half) - 1) + "\n" + half
    cluster = ClusterDouble({"pod-1": head}, tails={"pod-1": A[:16] + "\n"})
    assert read_output(succeeded(), cluster).ids == ()


def test_a_log_that_was_not_cut_is_asked_for_once() -> None:
    cluster = ClusterDouble({"pod-1": "x" * (TWO_MEBIBYTES - 1)})
    read_output(succeeded(), cluster)
    assert cluster.asked == ["log pod-1 submit"]


def test_a_log_whose_end_cannot_be_read_was_not_read() -> None:
    cluster = ClusterDouble({"pod-1": "x" * TWO_MEBIBYTES}, tails={"pod-1": UNAVAILABLE})
    assert read_output(succeeded(), cluster).state is LogState.UNREACHABLE


def test_a_log_whose_end_is_gone_keeps_its_start() -> None:
    cluster = ClusterDouble({"pod-1": line(A) + "x" * TWO_MEBIBYTES}, tails={"pod-1": Missing()})
    assert read_output(succeeded(), cluster).ids == found(IdSource.LOG, A)


# --- all pods of a Job ------------------------------------------------------------------------------


def test_every_pod_is_read_in_the_order_of_creation_without_repeats() -> None:
    pods = [
        failed(name="third", created_at=NOON + timedelta(seconds=2)),
        failed(name="unknown-age", created_at=None),
        failed(name="second", created_at=NOON + timedelta(seconds=1), message=line(B, A)),
        failed(name="first", created_at=NOON),
    ]
    cluster = ClusterDouble(
        {"first": line(A), "second": line(B, A), "third": line(C), "unknown-age": line(A)}
    )
    seen = observe(pods, cluster, of=job(JobPhase.FAILED))
    assert [entry.id for entry in seen.ids] == [A, B, C]
    assert cluster.asked == [f"log {name} submit" for name in ("first", "second", "third", "unknown-age")]


def test_pods_of_the_same_age_are_read_by_name() -> None:
    pods = [failed(name=name, created_at=None) for name in ("b", "a")]
    cluster = ClusterDouble({"a": line(A), "b": line(B)})
    assert [entry.id for entry in observe(pods, cluster).ids] == [A, B]


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        (["read", "read"], LogState.READ),
        (["read", Missing()], LogState.GONE),
        ([Missing(), UNAVAILABLE], LogState.UNREACHABLE),
        (["read", UNAVAILABLE], LogState.UNREACHABLE),
    ],
    ids=["all read", "one gone", "gone and unreachable", "one unreachable"],
)
def test_what_is_missing_of_the_output_counts_more_than_what_was_read(
    logs: list[Log], expected: LogState
) -> None:
    pods = [succeeded(name=str(number)) for number in range(len(logs))]
    cluster = ClusterDouble({str(number): log for number, log in enumerate(logs)})
    assert observe(pods, cluster).log is expected


def test_a_pod_that_still_runs_may_print_more() -> None:
    pods = [failed(name="1"), pod("Running", container(None), name="2")]
    cluster = ClusterDouble({"1": Missing(), "2": ""})
    assert observe(pods, cluster, of=job()).log is LogState.RUNNING


@pytest.mark.parametrize("phase", [JobPhase.COMPLETE, JobPhase.FAILED])
def test_the_output_of_a_job_that_is_over_and_has_no_pod_is_gone(phase: JobPhase) -> None:
    assert observe([], ClusterDouble(), of=job(phase)).log is LogState.GONE


def test_the_outcome_of_the_job_is_passed_on() -> None:
    failed_job = job(JobPhase.FAILED, ended="DeadlineExceeded: Job was active longer than specified deadline")
    seen = observe([failed(message=line(A))], ClusterDouble({"pod-1": line(A)}), of=failed_job)
    assert (seen.phase, seen.ended) == (JobPhase.FAILED, failed_job.ended)


@pytest.mark.parametrize(("pods", "each"), [(1, 1500), (2, 749), (3, 499)])
def test_error_lines_of_several_pods_keep_the_beginning_of_each(pods: int, each: int) -> None:
    """The first line of a pod's error lines is its cause. Together they are at most 1500 characters."""
    logs = {
        str(number): f"Traceback (most recent call last):\nValueError: pod {number}{'x' * 2000}\n"
        for number in range(pods)
    }
    seen = observe([failed(name=name) for name in logs], ClusterDouble(logs), of=job(JobPhase.FAILED))
    blocks = seen.error_lines.split("\n")
    assert [block[:17] for block in blocks] == [f"ValueError: pod {n}" for n in range(pods)]
    assert [len(block) for block in blocks] == [each] * pods


def test_error_lines_that_several_pods_have_in_common_come_once() -> None:
    logs = dict.fromkeys(("1", "2"), "Traceback (most recent call last):\nKeyError: 'day'\n")
    seen = observe([failed(name=name) for name in logs], ClusterDouble(logs), of=job(JobPhase.FAILED))
    assert seen.error_lines == "KeyError: 'day'"


# --- why it does not start --------------------------------------------------------------------------

QUOTA = Event("Job", "flink-py-etl-0a1b2c3d", "FailedCreate", "exceeded quota: pods=10", NOON)
MOUNT = Event("Pod", "pod-1", "FailedMount", 'configmap "x" not found', NOON)
CREATING = pod("Pending", container(Waiting("ContainerCreating", "")))
LATER = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("pods", "name", "event", "code"),
    [([], "flink-py-etl-0a1b2c3d", QUOTA, ReasonCode.QUOTA), ([CREATING], "pod-1", MOUNT, ReasonCode.MOUNT)],
    ids=["no pod: the Job's events", "a pod: its events"],
)
def test_a_job_that_starts_nothing_has_its_events_asked_for(
    pods: list[Pod], name: str, event: Event, code: ReasonCode
) -> None:
    cluster = ClusterDouble(events={name: (event,)})
    seen = observe(pods, cluster, of=job(), after=LATER)
    assert seen.problem is not None
    assert seen.problem[0] is code
    assert cluster.asked == [f"events {name}"]


@pytest.mark.parametrize(
    ("of", "pods", "after"),
    [
        (job(), [], timedelta(seconds=59)),
        (job(created_at=None), [], LATER),
        (job(JobPhase.COMPLETE), [], LATER),
        (job(), [pod("Running", container(None))], LATER),
        (job(), [pod("Pending", container(Waiting("ErrImagePull", "")))], LATER),
    ],
    ids=["it is new", "its age is unknown", "it is over", "its pod runs", "the pod says enough"],
)
def test_events_are_not_asked_for_without_need(of: KubernetesJob, pods: list[Pod], after: timedelta) -> None:
    cluster = ClusterDouble({"pod-1": ""})
    observe(pods, cluster, of=of, after=after)
    assert not [question for question in cluster.asked if question.startswith("events")]


@pytest.mark.parametrize("error", [UNAVAILABLE, FORBIDDEN], ids=["unavailable", "forbidden"])
def test_events_that_cannot_be_read_are_unreachable(error: Exception) -> None:
    cluster = ClusterDouble(events={"flink-py-etl-0a1b2c3d": error})
    seen = observe([], cluster, of=job(), after=LATER)
    assert (seen.problem, seen.events_unread) == (None, Unreachable(str(error)))


# --- the job of the record's name -------------------------------------------------------------------


def flink_job(id_: str, name: str, start_time: datetime | None) -> FlinkJob:
    return FlinkJob(id=id_, name=name, state="RUNNING", start_time=start_time)


LATER_JOB = flink_job(A, "etl_1", NOON + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        pytest.param([LATER_JOB], [LATER_JOB], id="the only one"),
        pytest.param([LATER_JOB, flink_job(B, "etl_12", NOON)], [LATER_JOB], id="among others"),
        pytest.param(
            [LATER_JOB, flink_job(B, "etl_1", NOON)], [flink_job(B, "etl_1", NOON), LATER_JOB], id="two"
        ),
        pytest.param([flink_job(A, "etl_1", NOON - timedelta(seconds=61))], [], id="older than the record"),
        pytest.param(
            [flink_job(A, "etl_1", NOON - timedelta(seconds=60))],
            [flink_job(A, "etl_1", NOON - timedelta(seconds=60))],
            id="Flink's clock is a minute behind",
        ),
        pytest.param([flink_job(A, "etl_1", None)], [flink_job(A, "etl_1", None)], id="without a start"),
        pytest.param([flink_job(FIXED, "own", NOON)], [flink_job(FIXED, "own", NOON)], id="the fixed id"),
        pytest.param([flink_job(A, "ETL_1", NOON)], [], id="another name"),
        pytest.param([], [], id="none"),
    ],
)
def test_the_jobs_of_that_name_that_began_after_the_submission(
    jobs: list[FlinkJob], expected: list[FlinkJob]
) -> None:
    assert find_by_name("etl_1", NOON, {entry.id: entry for entry in jobs}) == tuple(expected)
