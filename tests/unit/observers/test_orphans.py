"""Pods whose Kubernetes Job is gone: what they say still counts, and they stay while their Job is there."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest

from flinkjobs.adapters.mongo.documents import read_record
from flinkjobs.cleanup.context import Cleanup
from flinkjobs.cleanup.retention import RetentionPolicy
from flinkjobs.cleanup.service import run
from flinkjobs.domain.errors import KubernetesUnavailableError, StoreUnavailableError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind, KubernetesJob, Pod
from flinkjobs.domain.observations import JobPhase, Missing
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy, Update
from flinkjobs.ports.kubernetes import Deletion, KubernetesCleanupClient
from flinkjobs.ports.lease import Lease, LeaseStore
from flinkjobs.ports.notify_store import NotifyStore
from flinkjobs.ports.store import Applied, JobStore, Settled, SubmitterLog
from flinkjobs.sync.context import Sync
from flinkjobs.sync.service import ReconcileResult, reconcile_records
from tests.support.flink_in_memory import FlinkInMemory, shows
from tests.support.kubernetes_in_memory import ClusterDouble, Log
from tests.support.kubernetes_objects import NOON, container, ended, pod

A = "a" * 32
LINE = f"Job has been submitted with JobID {A}\n"
JOB = "flink-py-etl-0a1b2c3d"
HOUR = timedelta(hours=1)
LONG_AGO = NOON - 200 * HOUR


class Alone(ClusterDouble):
    """A cluster without Jobs in which pods are left."""

    def __init__(self, pods: list[Pod], logs: Mapping[str, Log]) -> None:
        super().__init__(logs, tails=logs)
        self.left = pods

    def job(self, name: str) -> Missing:
        assert name == JOB
        return Missing()

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        assert selector.startswith("app=flink-python-job,job-id in (")
        return iter(())

    def pods(self, selector: str) -> Iterator[Pod]:
        assert selector.startswith("app=flink-python-job,job-id") or selector in (
            f"job-name={JOB}",
            f"job-name in ({JOB})",
        )
        return iter(self.left)


@dataclass(slots=True)
class Records:
    """Records that an observation reads, and what cleanup asks of them; gone when a second log is to be kept.

    Attributes:
        is_contested: another writer changes each record right before it is to be written.
    """

    records: list[JobRecord]
    settled_ids: Collection[str] = ()
    is_contested: bool = False
    tried: list[str] = field(default_factory=list)

    def owners(self, flink_job_ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        return dict.fromkeys(flink_job_ids, frozenset())

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease:
        assert ttl_seconds > 0
        return Lease(name=name, holder=holder, fence=1, cursor=None)

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        return lease.fence == 1 and ttl_seconds > 0

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        return lease.fence == 1 and cursor is None

    def cursor_of_lease(self, name: str) -> None:
        assert name == "cleanup"

    def apply(self, updates: Sequence[Update], *, now: datetime, run_id: str, by: Writer) -> Applied:
        assert (len(updates), now, bool(run_id)) == (int(self.is_contested), NOON, True)
        assert by is Writer.CLEANUP
        return Applied(job_ids=frozenset(), conflicts=frozenset(update.after.job_id for update in updates))

    def specs_without_log(self, job_ids: Collection[str]) -> dict[str, list[object]]:
        return {job_id: [None] for job_id in job_ids}

    def save_submitter_log(self, job_id: str, k8s_job_name: str, log: SubmitterLog) -> bool:
        assert (k8s_job_name, bool(log.text)) == (JOB, True)
        self.tried.append(job_id)
        if len(self.tried) == 1:
            return False  # the record was removed
        raise StoreUnavailableError("MongoDB did not answer")

    def save_cleanup_run(self, report: Mapping[str, object]) -> None:
        assert report["deleted"] == 0

    def records_to_follow(self, *, lost_since: datetime, job_ids: Collection[str]) -> Iterator[JobRecord]:
        assert lost_since < NOON
        return iter([record for record in self.records if record.job_id in job_ids])

    def settled(self, job_ids: Collection[str]) -> dict[str, list[Settled]]:
        return {
            record.job_id: [
                Settled(record.job_id, record.status, record.job_id in self.settled_ids, record.k8s_job_name)
            ]
            for record in self.records
            if record.job_id in job_ids
        }


def record(job_id: str = "etl_1", **fields: object) -> JobRecord:
    read = read_record(
        {"job_id": job_id, "status": "CREATED", "submitted_at": LONG_AGO, "k8s_job_name": JOB} | fields
    )
    assert isinstance(read, JobRecord)
    return read


def sync_with(cluster: ClusterDouble, records: Records) -> Sync:
    policy = Policy(lost_after=timedelta(minutes=10), grace=timedelta(minutes=10))
    return Sync(
        store=cast("JobStore", records),
        notify_store=cast("NotifyStore", records),
        leases=cast("LeaseStore", records),
        kubernetes=lambda: cluster,
        flinks={"default": FlinkInMemory("default", shows(a="RUNNING"), lambda _: Missing())},
        policy=policy,
        budget_seconds=60,
        clock=lambda: NOON,
    )


def look(cluster: ClusterDouble, *, of: JobRecord | None = None) -> ReconcileResult:
    sync = sync_with(cluster, Records([of or record()]))
    return reconcile_records(sync, ["etl_1"], run_id="r", write=False)


def succeeded(message: str = "") -> Pod:
    return pod("Succeeded", container(ended(message=message)))


@pytest.mark.parametrize(
    ("left", "logs"),
    [
        (succeeded(f"flinkjobs/1\n{LINE}end 1\n"), {}),
        (succeeded(), {"pod-1": LINE}),
        (pod("Failed", container(ended(1))), {"pod-1": LINE}),
        (pod("Running", container(None)), {"pod-1": LINE}),
    ],
    ids=["message", "log", "failed", "running"],
)
def test_the_id_in_the_output_of_a_pod_is_found_although_its_job_is_gone(
    left: Pod, logs: dict[str, Log]
) -> None:
    [after] = look(Alone([left], logs)).records
    assert after.flink_job_ids == (A,)
    assert after.submitter_done is left.is_over, "one that runs may print another one"


def test_a_record_is_not_given_up_while_a_pod_of_it_cannot_be_read() -> None:
    found = look(Alone([succeeded()], {"pod-1": KubernetesUnavailableError("GET log: 500")}))
    assert [(error["job_id"], error["code"]) for error in found.errors] == [("etl_1", "LOG_UNREACHABLE")]
    assert found.records == [record()]


def test_an_id_that_is_known_does_not_keep_the_others_from_being_read() -> None:
    known = record(flink_job_id="b" * 32, submitter_done=False)
    [after] = look(Alone([succeeded()], {"pod-1": LINE}), of=known).records
    assert after.flink_job_ids == ("b" * 32, A)


def test_a_pod_of_another_job_proves_nothing() -> None:
    other = pod("Succeeded", container(ended(message=LINE)), job_name="another")
    found = look(Alone([other], {}))
    [after] = found.records
    assert (after.status, after.flink_jobs) == (Status.CREATED, ()), "Flink cannot be asked for its name"
    assert found.errors == []


# --- cleanup ----------------------------------------------------------------------------------------


class TargetsDouble(Alone):
    """A cluster that lists these objects, for cleanup."""

    def __init__(self, objects: list[CleanupTarget], logs: Mapping[str, Log] | None = None) -> None:
        super().__init__([succeeded()] if logs else [], logs or {})
        self.objects = objects

    def time(self) -> datetime:
        return NOON

    def cleanup_targets(self, kind: Kind, selector: str) -> Iterator[CleanupTarget]:
        assert selector == "app=flink-python-job"
        return iter([each for each in self.objects if each.kind is kind])

    def delete(self, target: CleanupTarget) -> Deletion:
        raise AssertionError(target)


def target(kind: Kind, name: str, job_id: str, *, job_uid: str = "") -> CleanupTarget:
    return CleanupTarget(
        kind=kind,
        name=name,
        uid=f"{kind} {name}",
        resource_version="1",
        job_id=job_id,
        job_name=JOB,
        job_uid=job_uid,
        phase=JobPhase.COMPLETE,
        over_since=LONG_AGO,
    )


def cleanup_with(cluster: TargetsDouble, records: Records, *, max_deletions: int) -> Cleanup:
    policy = RetentionPolicy(retention=24 * HOUR, unsettled=168 * HOUR)
    return Cleanup(
        sync_with(cluster, records),
        cast("KubernetesCleanupClient", cluster),
        policy,
        max_deletions,
        1000.0,
        60.0,
    )


def test_what_belongs_to_a_listed_job_takes_no_place_in_the_plan() -> None:
    """Else the oldest of them, if there are many, would hold up everything younger for ever."""
    active = CleanupTarget(Kind.JOB, JOB, "job", "1", job_id="etl_1", job_name=JOB)
    bound = [target(Kind.POD, f"pod-{number}", "etl_1", job_uid="job") for number in range(4)]
    script = target(Kind.CONFIG_MAP, JOB, "etl_1")
    of_an_earlier_one = target(Kind.POD, "pod-of-another", "etl_1", job_uid="earlier")
    records = Records([record()], settled_ids=["etl_1"])
    cluster = TargetsDouble([active, *bound, script, of_an_earlier_one])
    report = run(cleanup_with(cluster, records, max_deletions=1), dry_run=True)
    assert report["orphans"]["kept"] == {"active": 5}
    assert report["orphans"]["names"] == ["pod-of-another"]


class Unbounded(TargetsDouble):
    """Needs the time that an answer may take before anything is asked."""

    def __init__(self, objects: list[CleanupTarget]) -> None:
        super().__init__(objects)
        self.moments: list[float] = []

    def until(self, moment: float) -> TargetsDouble:  # type: ignore[override] # it is not the same one any more
        self.moments.append(moment)
        return TargetsDouble(self.objects)

    def time(self) -> datetime:
        raise AssertionError("asked without a limit")

    def cleanup_targets(self, kind: Kind, selector: str) -> Iterator[CleanupTarget]:
        raise AssertionError((kind, selector))


def test_nothing_that_is_asked_outlasts_the_run_for_long() -> None:
    """The function has 150 seconds, of which the run takes 120: an answer may take ten more."""
    cluster, records = Unbounded([target(Kind.JOB, JOB, "etl_1")]), Records([record()], ["etl_1"])
    began = time.monotonic()
    assert run(cleanup_with(cluster, records, max_deletions=1), dry_run=True)["names"] == [JOB]
    [moment] = cluster.moments
    assert began <= moment - 60 - 10 <= time.monotonic()


def test_what_a_lost_race_kept_from_being_written_is_looked_at_again() -> None:
    """However old the Job is: the log may hold more ids than its end."""
    cluster = TargetsDouble([target(Kind.JOB, JOB, "etl_1")], {"pod-1": LINE})
    records = Records([record()], is_contested=True)
    report = run(cleanup_with(cluster, records, max_deletions=10))
    assert (report["kept"], report["logs_saved"], report["complete"]) == ({"changed": 1}, 0, False)
    assert records.tried == []


def test_what_is_kept_for_want_of_the_store_is_counted_once() -> None:
    cluster = TargetsDouble(
        [target(Kind.JOB, JOB, f"etl_{number}") for number in range(3)], {"pod-1": "nothing to see"}
    )
    records = Records([record(f"etl_{number}", status="LOST") for number in range(3)])
    report = run(cleanup_with(cluster, records, max_deletions=10))
    assert (report["scanned"], report["kept"], report["deleted"]) == (3, {"changed": 1, "error": 2}, 0)
    assert [error["code"] for error in report["errors"]] == ["STORE_UNAVAILABLE"]
    assert records.tried == ["etl_0", "etl_1"], "who is gone is not asked again"
