"""The Job controller and the garbage collector over a store, with a clock of the test's own."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doubles.kubernetes.controllers import GarbageCollector
from doubles.kubernetes.deletion import delete
from doubles.kubernetes.events import EventRecorder
from doubles.kubernetes.faults import FaultBook, PodFault
from doubles.kubernetes.job_controller import Backoff, JobController
from doubles.kubernetes.objects import CONFIG_MAPS, EVENTS, JOB_TRACKING_FINALIZER, JOBS, PODS, Obj, key_of
from doubles.kubernetes.selectors import Selector, parse_selector
from doubles.kubernetes.store import Store
from doubles.kubernetes.validation import apply_defaults, label_pods_of_job

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = ("n", "j")


class World:
    """A store, its controllers, and a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = START
        source = random.Random(1)  # noqa: S311 names only
        self.store = Store(lambda: self.now)
        self.faults = FaultBook(source)
        events = EventRecorder(self.store)
        self.jobs = JobController(
            self.store, events, self.faults, backoff=Backoff(base_seconds=10, max_seconds=40), source=source
        )
        self.collector = GarbageCollector(self.store)

    def submit(self, name: str = "j", *, restart: str = "Never", **spec: Any) -> Obj:
        template = {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]},
        }
        job: Obj = {
            "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"},
            "spec": {"backoffLimit": 0, **spec, "template": template},
        }
        apply_defaults(JOBS, job)
        label_pods_of_job(job)
        return self.store.create(JOBS, job)

    def sync(self) -> float | None:
        return self.jobs.sync(KEY)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def job(self) -> Obj:
        found = self.store.get(JOBS, KEY)
        assert found is not None
        return found

    @property
    def status(self) -> Obj:
        status: Obj = self.job["status"]
        return status

    @property
    def pods(self) -> list[Obj]:
        return list(self.store.select(PODS, "n", Selector()))

    def end_pod(self, pod: Obj, phase: str) -> None:
        self.store.modify(PODS, key_of(pod), lambda copy: copy["status"].update(phase=phase))

    def end_all(self, phase: str) -> None:
        for pod in self.pods:
            if pod["status"]["phase"] == "Pending":
                self.end_pod(pod, phase)

    def conditions(self) -> list[tuple[str, str, str]]:
        return [(one["type"], one["status"], one["reason"]) for one in self.status.get("conditions", ())]

    def events(self) -> list[tuple[str, str]]:
        found = self.store.select(EVENTS, "n", Selector())
        return [(one["reason"], one["message"]) for one in found]


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_that_succeeds(world: World) -> None:
    world.submit()
    world.sync()
    [pod] = world.pods
    assert world.status == {
        "startTime": "2026-03-01T12:00:00Z",
        "uncountedTerminatedPods": {},
        "active": 1,
        "ready": 0,
        "terminating": 0,
    }
    assert pod["metadata"]["labels"] == {
        "app": "a",
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": "uid-j",
        "batch.kubernetes.io/controller-uid": "uid-j",
    }
    assert pod["metadata"]["finalizers"] == [JOB_TRACKING_FINALIZER]
    world.pass_time(7)
    world.end_pod(pod, "Succeeded")
    world.sync()
    assert world.conditions() == [
        ("SuccessCriteriaMet", "True", "CompletionsReached"),
        ("Complete", "True", "CompletionsReached"),
    ]
    assert world.status["succeeded"] == 1
    assert "active" not in world.status
    assert world.status["completionTime"] == "2026-03-01T12:00:07Z"
    assert [one["lastTransitionTime"] for one in world.status["conditions"]] == ["2026-03-01T12:00:07Z"] * 2
    assert "finalizers" not in world.pods[0]["metadata"]
    assert world.events() == [
        ("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}"),
        ("Completed", "Job completed"),
    ]


def test_a_job_that_fails_has_no_completion_time(world: World) -> None:
    world.submit()
    world.sync()
    world.end_all("Failed")
    world.sync()
    assert world.conditions() == [
        ("FailureTarget", "True", "BackoffLimitExceeded"),
        ("Failed", "True", "BackoffLimitExceeded"),
    ]
    assert [one["message"] for one in world.status["conditions"]] == [
        "Job has reached the specified backoff limit"
    ] * 2
    assert world.status["failed"] == 1
    assert "completionTime" not in world.status
    assert world.events()[-1] == ("BackoffLimitExceeded", "Job has reached the specified backoff limit")


def test_finished_pods_are_listed_before_they_are_counted(world: World) -> None:
    world.submit()
    world.sync()
    uid = world.pods[0]["metadata"]["uid"]
    seen: list[Obj] = []
    world.store.subscribe(
        lambda change: seen.append(change.obj["status"]) if change.resource is JOBS else None
    )
    world.end_all("Succeeded")
    world.sync()
    assert [one["uncountedTerminatedPods"] for one in seen] == [{"succeeded": [uid]}, {}]
    assert [one.get("succeeded") for one in seen] == [None, 1]


def test_failed_pods_are_replaced_after_a_growing_delay(world: World) -> None:
    world.submit(backoffLimit=2)
    world.sync()
    world.end_all("Failed")
    assert world.sync() == 10
    assert len(world.pods) == 1
    world.pass_time(10)
    world.sync()
    assert len(world.pods) == 2
    world.end_all("Failed")
    assert world.sync() == 20
    world.pass_time(20)
    world.sync()
    assert len(world.pods) == 3
    world.end_all("Succeeded")
    world.sync()
    assert (world.status["failed"], world.status["succeeded"]) == (2, 1)
    assert world.conditions()[-1][0] == "Complete"


def test_more_failures_than_the_limit_end_the_job(world: World) -> None:
    world.submit(backoffLimit=1)
    for _ in range(2):
        world.sync()
        world.end_all("Failed")
        world.sync()
        world.pass_time(40)
    assert world.sync() is None
    assert (len(world.pods), world.conditions()[-1][0]) == (2, "Failed")


@pytest.mark.parametrize(
    ("limit", "restarts", "over"), [(0, 0, False), (0, 1, True), (3, 2, False), (3, 3, True)]
)
def test_restarts_in_place_count_against_the_limit(
    world: World, limit: int, restarts: int, *, over: bool
) -> None:
    world.submit(restart="OnFailure", backoffLimit=limit)
    world.sync()
    statuses = [{"name": "c", "restartCount": restarts}]
    world.store.modify(
        PODS,
        key_of(world.pods[0]),
        lambda pod: pod["status"].update(phase="Running", containerStatuses=statuses),
    )
    world.sync()
    assert (("FailureTarget", "True", "BackoffLimitExceeded") in world.conditions()) is over


def test_parallelism_and_completions(world: World) -> None:
    world.submit(parallelism=3, completions=4)
    world.sync()
    assert len(world.pods) == 3
    world.end_all("Succeeded")
    world.sync()
    assert len(world.pods) == 4
    world.end_all("Succeeded")
    world.sync()
    assert (world.status["succeeded"], world.conditions()[-1][0]) == (4, "Complete")


def test_without_completions_one_success_ends_the_work(world: World) -> None:
    world.submit(parallelism=2)
    world.sync()
    first, second = world.pods
    world.end_pod(first, "Succeeded")
    world.sync()
    assert world.conditions() == [], "the other pod is still at work, and is not replaced"
    world.end_pod(second, "Succeeded")
    world.sync()
    assert world.conditions()[-1][0] == "Complete"
    assert len(world.pods) == 2


def run_pod(pod: Obj) -> None:
    pod["status"]["phase"] = "Running"
    pod["spec"]["nodeName"] = "local-node"


def test_the_deadline_deletes_the_pod_before_the_job_fails(world: World) -> None:
    world.submit(activeDeadlineSeconds=60, podReplacementPolicy="Failed")
    assert world.sync() == 60
    world.store.modify(PODS, key_of(world.pods[0]), run_pod)
    world.pass_time(59)
    assert world.sync() == 1
    world.pass_time(1)
    world.sync()
    assert world.conditions() == [("FailureTarget", "True", "DeadlineExceeded")]
    assert world.pods[0]["metadata"]["deletionTimestamp"] == "2026-03-01T12:01:30Z"
    assert world.status["terminating"] == 1

    def stop(pod: Obj) -> None:
        pod["status"]["phase"] = "Failed"
        pod["metadata"]["deletionGracePeriodSeconds"] = 0

    world.store.modify(PODS, key_of(world.pods[0]), stop)
    world.sync()
    assert world.pods == []
    assert world.conditions()[-1] == ("Failed", "True", "DeadlineExceeded")
    assert world.status["conditions"][-1]["message"] == "Job was active longer than specified deadline"
    assert world.status["failed"] == 1
    assert [reason for reason, _ in world.events()] == [
        "SuccessfulCreate",
        "SuccessfulDelete",
        "DeadlineExceeded",
    ]


@pytest.mark.parametrize(("policy", "pods"), [("Failed", 1), ("TerminatingOrFailed", 2)])
def test_a_terminating_pod_is_replaced_by_policy(world: World, policy: str, pods: int) -> None:
    world.submit(backoffLimit=5, podReplacementPolicy=policy)
    world.sync()
    world.store.modify(PODS, key_of(world.pods[0]), run_pod)
    delete(world.store, PODS, world.pods[0])
    world.sync()
    world.pass_time(40)
    world.sync()
    assert len(world.pods) == pods


def test_suspension_removes_pods_and_resumption_begins_anew(world: World) -> None:
    world.submit(suspend=True)
    world.sync()
    assert world.pods == []
    assert "startTime" not in world.status
    assert world.conditions() == [("Suspended", "True", "JobSuspended")]
    world.pass_time(100)
    world.store.modify(JOBS, KEY, lambda job: job["spec"].update(suspend=False))
    world.sync()
    assert world.conditions() == [("Suspended", "False", "JobResumed")]
    assert world.status["startTime"] == "2026-03-01T12:01:40Z"
    assert len(world.pods) == 1
    world.store.modify(JOBS, KEY, lambda job: job["spec"].update(suspend=True))
    world.sync()
    assert world.pods[0]["metadata"]["deletionTimestamp"]


def test_a_finished_job_lives_as_long_as_it_was_given(world: World) -> None:
    world.submit(ttlSecondsAfterFinished=30)
    world.sync()
    world.end_all("Succeeded")
    world.sync()
    assert world.sync() == 30
    world.pass_time(30)
    world.sync()
    assert world.job["metadata"]["finalizers"] == ["foregroundDeletion"]
    world.collector.sync(JOBS, KEY)
    assert world.store.get(JOBS, KEY) is None
    assert world.pods == []


def test_pod_names_fit_into_63_characters(world: World) -> None:
    world.submit("x" * 63)
    world.jobs.sync(("n", "x" * 63))
    name = world.pods[0]["metadata"]["name"]
    assert name[:58] == "x" * 57 + "-"
    assert len(name) == 63


def test_a_quota_allows_no_pod_until_it_is_lifted(world: World) -> None:
    number = world.faults.add(PodFault(effect="quota", job="j"))
    world.submit()
    assert world.sync() is not None
    assert world.pods == []
    [(reason, message)] = world.events()
    assert reason == "FailedCreate"
    assert "exceeded quota" in message
    world.faults.remove(number)
    world.sync()
    assert world.pods == [], "the next try is a second later"
    world.pass_time(1)
    world.sync()
    assert len(world.pods) == 1


def test_pod_refused_is_tried_again_ever_later(world: World) -> None:
    number = world.faults.add(PodFault(effect="quota", times=1))
    world.submit()
    delays = []
    for _ in range(9):
        delays.append(world.sync() or 0.0)
        assert world.sync() == delays[-1], "another sync in between is no try"
        world.pass_time(delays[-1])
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(world.events()) == 9
    world.faults.remove(number)
    world.sync()
    assert len(world.pods) == 1


def test_events_with_many_messages_are_combined(world: World) -> None:
    world.faults.add(PodFault(effect="quota"))
    world.submit()
    for _ in range(12):
        world.pass_time(world.sync() or 0.0)
    events = list(world.store.select(EVENTS, "n", Selector()))
    assert len(events) == 10
    assert [event["count"] for event in events] == [1] * 9 + [3]
    assert len({event["message"] for event in events}) == 10
    combined = events[-1]
    assert combined["message"].startswith('(combined from similar events): Error creating: pods "j-')
    assert combined["lastTimestamp"] > combined["firstTimestamp"]


def test_events_with_many_messages_are_counted_afresh_after_a_while(world: World) -> None:
    job = world.submit()
    recorder = EventRecorder(world.store)
    for number in range(18):
        if number == 9:
            world.pass_time(601)
        recorder.warning(JOBS, job, "FailedCreate", f"no {number}")
    assert [message for _, message in world.events()] == [f"no {number}" for number in range(18)]


def test_a_pod_can_be_run_twice_and_the_first_one_decides(world: World) -> None:
    world.faults.add(PodFault(effect="run-twice", times=1))
    world.submit()
    world.sync()
    extra, own = sorted(world.pods, key=lambda pod: int(pod["metadata"]["resourceVersion"]))
    world.end_pod(own, "Succeeded")
    world.sync()
    assert world.conditions() == [("SuccessCriteriaMet", "True", "CompletionsReached")]
    assert "deletionTimestamp" not in world.pods[0]["metadata"]
    world.end_pod(extra, "Failed")
    world.sync()
    assert world.conditions()[-1][0] == "Complete"
    assert (world.status["succeeded"], world.status["failed"]) == (1, 1)


def owned(world: World, owner: Obj, name: str) -> None:
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": owner["metadata"]["uid"]}
    metadata = {"name": name, "namespace": "n", "ownerReferences": [reference]}
    world.store.create(CONFIG_MAPS, {"metadata": metadata})


@pytest.mark.parametrize(
    ("policy", "job_stays_for_a_moment", "dependent_stays"),
    [("Background", False, False), ("Foreground", True, False), ("Orphan", True, True), (None, True, True)],
)
def test_deletion_policies(
    world: World, policy: str | None, *, job_stays_for_a_moment: bool, dependent_stays: bool
) -> None:
    owner = world.submit()
    owned(world, owner, "m")
    left = delete(world.store, JOBS, owner, policy=policy)
    assert (left is not None) is job_stays_for_a_moment
    for _ in range(2):
        world.collector.sync(JOBS, KEY)
        world.collector.sync(CONFIG_MAPS, ("n", "m"))
    assert world.store.get(JOBS, KEY) is None
    dependent = world.store.get(CONFIG_MAPS, ("n", "m"))
    assert (dependent is not None) is dependent_stays
    if dependent is not None:
        assert "ownerReferences" not in dependent["metadata"]


def test_an_object_whose_owner_never_existed_is_collected(world: World) -> None:
    owned(world, {"metadata": {"uid": "gone"}}, "m")
    world.collector.sync(CONFIG_MAPS, ("n", "m"))
    assert world.store.get(CONFIG_MAPS, ("n", "m")) is None


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10.0), (2, 20.0), (3, 40.0), (4, 40.0), (50, 40.0)])
def test_backoff_doubles_up_to_its_maximum(failures: int, seconds: float) -> None:
    assert Backoff(base_seconds=10, max_seconds=40).delay(failures) == seconds


def test_repeated_events_are_counted_and_expire(world: World) -> None:
    job = world.submit()
    recorder = EventRecorder(world.store)
    report: Callable[[], None] = lambda: recorder.warning(JOBS, job, "FailedCreate", "no")  # noqa: E731
    report()
    world.pass_time(5)
    report()
    [event] = world.store.select(EVENTS, "n", Selector())
    assert (event["count"], event["firstTimestamp"][-3:], event["lastTimestamp"][-3:]) == (2, "00Z", "05Z")
    assert (event["type"], event["source"]["component"]) == ("Warning", "job-controller")
    world.pass_time(3601)
    recorder.expire()
    assert list(world.store.select(EVENTS, "n", Selector())) == []


def test_scheduler_event_has_an_event_time_and_no_count(world: World) -> None:
    world.submit()
    world.sync()
    recorder = EventRecorder(world.store)
    recorder.warning(PODS, world.pods[0], "FailedScheduling", "0/1 nodes are available")
    [event] = world.store.select(EVENTS, "n", parse_selector(EVENTS, "", "source=default-scheduler"))
    assert event["eventTime"] == "2026-03-01T12:00:00.000000Z"
    assert (event["firstTimestamp"], event["lastTimestamp"], event["source"]) == (None, None, {})
    assert not {"count", "series"} & set(event)
    world.pass_time(5)
    recorder.warning(PODS, world.pods[0], "FailedScheduling", "0/1 nodes are available")
    [event] = world.store.select(EVENTS, "n", parse_selector(EVENTS, "", "source=default-scheduler"))
    assert event["eventTime"] == "2026-03-01T12:00:00.000000Z"
    assert event["series"] == {"count": 2, "lastObservedTime": "2026-03-01T12:00:05.000000Z"}
    assert "count" not in event


def test_events_of_an_object_are_listed_oldest_first(world: World) -> None:
    """In the order of their names, which end in the time: a repeated event keeps its place."""
    job = world.submit()
    recorder = EventRecorder(world.store)
    for reason in ("Zeta", "Alpha", "Alpha again", "Zeta"):
        recorder.normal(JOBS, job, reason, "text")
        world.pass_time(1)
    assert [reason for reason, _ in world.events()] == ["Zeta", "Alpha", "Alpha again"]
