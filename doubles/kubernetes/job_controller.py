"""The Job controller: creates, counts and stops the pods of a Job, and ends it.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from doubles.kubernetes.deletion import delete, remove_finalizer
from doubles.kubernetes.events import EventRecorder
from doubles.kubernetes.faults import FaultBook, PodEffect
from doubles.kubernetes.objects import (
    JOB_TRACKING_FINALIZER,
    JOBS,
    PODS,
    Key,
    Obj,
    clone,
    condition,
    controller_of,
    job_finished,
    key_of,
    owned_by,
    parse_stamp,
    pod_finished,
    random_suffix,
    stamp,
    true_condition,
)
from doubles.kubernetes.store import Store
from doubles.kubernetes.validation import containers_of

POD_NAME_PREFIX_LENGTH = 57
"""A pod's name is its Job's, cut here, a dash and five characters: 63 at most."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before a failed thing is tried again: doubles with every failure up to a maximum."""

    base_seconds: float = 0.5
    """Kubernetes waits 10 s."""
    max_seconds: float = 10.0
    """Kubernetes: 10 minutes for a Job's pods, 5 for a container."""

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` failures in a row."""
        return min(self.base_seconds * 2.0 ** max(failures - 1, 0), self.max_seconds)


REFUSED_BACKOFF = Backoff(base_seconds=1.0, max_seconds=60.0)
"""Delay before a pod that the API server refused is created again."""


class JobController:
    """Creates and counts the pods of Jobs, and ends Jobs."""

    def __init__(
        self,
        store: Store,
        events: EventRecorder,
        faults: FaultBook,
        *,
        backoff: Backoff,
        source: random.Random,
    ) -> None:
        """Args: what it works on, and how long it waits before it replaces a failed pod."""
        self._store = store
        self._events = events
        self._faults = faults
        self._backoff = backoff
        self._source = source
        self._last_failure: dict[str, datetime] = {}
        self._refused: dict[
            str, tuple[int, datetime]
        ] = {}  # per Job: refusals in a row, time of the next try
        self._extra_pods: dict[str, set[str]] = {}  # per Job: pods a fault added, which decide nothing

    def forget(self, uid: str) -> None:
        """The Job of this uid is gone."""
        self._last_failure.pop(uid, None)
        self._refused.pop(uid, None)
        self._extra_pods.pop(uid, None)

    def sync(self, key: Key) -> float | None:
        """Bring one Job up to date; returns after how many seconds it wants to be looked at again."""
        job = self._store.get(JOBS, key)
        if job is None:
            return None
        if job_finished(job):
            return self._expire(job)
        status: Obj = clone(job.get("status", {}))
        suspended = job["spec"].get("suspend", False)
        if not suspended and "startTime" not in status:
            status["startTime"] = stamp(self._store.now())
        job = self._count_finished(job, status)
        self._aim(job, status)
        wait = self._act(job, status, suspended=suspended)
        self._summarise(job, status)
        self._write(job, status)
        return wait

    # --- counting -----------------------------------------------------------------------------------------

    def _pods(self, job: Obj) -> list[Obj]:
        return [
            pod
            for resource, pod in self._store.dependents(job["metadata"]["uid"])
            if resource is PODS and (controller_of(pod) or {}).get("uid") == job["metadata"]["uid"]
        ]

    def _count_finished(self, job: Obj, status: Obj) -> Obj:
        """Move finished pods into the counters in two writes, so that none is counted twice or forgotten."""
        finished = [pod for pod in self._pods(job) if is_tracked(pod) and _counts_as_finished(pod, job)]
        succeeded = [pod for pod in finished if pod["status"].get("phase") == "Succeeded"]
        failed = [pod for pod in finished if pod["status"].get("phase") != "Succeeded"]
        status.setdefault("uncountedTerminatedPods", {})
        if not finished:
            return job
        for name, pods in (("succeeded", succeeded), ("failed", failed)):
            if pods:
                status["uncountedTerminatedPods"][name] = [pod["metadata"]["uid"] for pod in pods]
        job = self._write(job, status) or job
        for pod in finished:
            self._store.modify(
                PODS, key_of(pod), lambda copy: remove_finalizer(copy["metadata"], JOB_TRACKING_FINALIZER)
            )
        if failed:
            self._last_failure[job["metadata"]["uid"]] = self._store.now()
        for name, pods in (("succeeded", succeeded), ("failed", failed)):
            if pods:
                status[name] = status.get(name, 0) + len(pods)
        status["uncountedTerminatedPods"] = {}
        return job

    def _summarise(self, job: Obj, status: Obj) -> None:
        pods = self._pods(job)
        active = [pod for pod in pods if _active(pod)]
        ready = [
            pod for pod in active if true_condition(pod.get("status", {}).get("conditions", ()), "Ready")
        ]
        if active:
            status["active"] = len(active)
        else:
            status.pop("active", None)
        status["ready"] = len(ready)
        status["terminating"] = len([pod for pod in pods if _terminating(pod)])

    # --- deciding -----------------------------------------------------------------------------------------

    def _aim(self, job: Obj, status: Obj) -> None:
        """Note, once, that the Job is going to succeed or to fail; its pods are still to be stopped."""
        conditions = status.get("conditions", [])
        if true_condition(conditions, "FailureTarget") or true_condition(conditions, "SuccessCriteriaMet"):
            return
        if self._past_backoff_limit(job, status):
            self._add_condition(
                status,
                "FailureTarget",
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        elif (left := self._seconds_to_deadline(job, status)) is not None and left <= 0:
            self._add_condition(
                status, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
            )
        elif self._reached_completions(job, status):
            self._add_condition(
                status,
                "SuccessCriteriaMet",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            )

    def _past_backoff_limit(self, job: Obj, status: Obj) -> bool:
        limit: int = job["spec"]["backoffLimit"]
        if self._deciding(job, status, "failed") > limit:
            return True
        if job["spec"]["template"]["spec"]["restartPolicy"] != "OnFailure":
            return False
        restarts = sum(
            container.get("restartCount", 0)
            for pod in self._pods(job)
            if not pod_finished(pod)
            for group in ("initContainerStatuses", "containerStatuses")
            for container in pod.get("status", {}).get(group, ())
        )
        return bool(restarts > 0 if limit == 0 else restarts >= limit)

    def _reached_completions(self, job: Obj, status: Obj) -> bool:
        completions = job["spec"].get("completions")
        succeeded = self._deciding(job, status, "succeeded")
        if completions is None:
            return succeeded > 0 and not any(map(_active, self._pods(job)))
        return bool(succeeded >= completions)

    def _deciding(self, job: Obj, status: Obj, counter: str) -> int:
        """A counter without the pods that a fault added."""
        phase = {"succeeded": "Succeeded", "failed": "Failed"}[counter]
        extra = self._extra_pods.get(job["metadata"]["uid"], set())
        counted = [
            pod
            for pod in self._pods(job)
            if pod["metadata"]["uid"] in extra
            and not is_tracked(pod)
            and pod.get("status", {}).get("phase") == phase
        ]
        total: int = status.get(counter, 0)
        return total - len(counted)

    def _seconds_to_deadline(self, job: Obj, status: Obj) -> float | None:
        limit = job["spec"].get("activeDeadlineSeconds")
        if limit is None or "startTime" not in status or job["spec"].get("suspend"):
            return None
        age = (self._store.now() - parse_stamp(status["startTime"])).total_seconds()
        return float(limit - age)

    # --- acting -------------------------------------------------------------------------------------------

    def _act(self, job: Obj, status: Obj, *, suspended: bool) -> float | None:
        conditions = status.get("conditions", [])
        for aim, kind in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
            if target := true_condition(conditions, aim):
                self._finish(job, status, target, kind)
                return None
        if job["metadata"].get("deletionTimestamp"):
            return None
        self._note_suspension(job, status, suspended=suspended)
        if suspended:
            for pod in filter(_active, self._pods(job)):
                self._delete_pod(job, pod)
            return None
        waits = [self._manage(job, status), self._seconds_to_deadline(job, status)]
        return min((wait for wait in waits if wait is not None), default=None)

    def _finish(self, job: Obj, status: Obj, target: Obj, kind: str) -> None:
        extra = self._extra_pods.get(job["metadata"]["uid"], set())
        for pod in self._pods(job):
            if _active(pod) and pod["metadata"]["uid"] not in extra:
                self._delete_pod(job, pod)
        if any(not pod_finished(pod) for pod in self._pods(job)) or any(map(is_tracked, self._pods(job))):
            return
        self._add_condition(status, kind, target["reason"], target["message"])
        if kind == "Complete":
            status["completionTime"] = stamp(self._store.now())
            self._events.normal(JOBS, job, "Completed", "Job completed")
        else:
            self._events.warning(JOBS, job, target["reason"], target["message"])

    def _note_suspension(self, job: Obj, status: Obj, *, suspended: bool) -> None:
        noted = true_condition(status.get("conditions", ()), "Suspended") is not None
        if suspended == noted:
            return
        status["conditions"] = [one for one in status.get("conditions", ()) if one["type"] != "Suspended"]
        if suspended:
            self._add_condition(status, "Suspended", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
            self._events.normal(JOBS, job, "Suspended", "Job suspended")
        else:
            self._add_condition(status, "Suspended", "JobResumed", "Job resumed", holds="False")
            status["startTime"] = stamp(self._store.now())
            self._events.normal(JOBS, job, "Resumed", "Job resumed")

    def _manage(self, job: Obj, status: Obj) -> float | None:
        """Bring the number of running pods to what is wanted."""
        spec, uid = job["spec"], job["metadata"]["uid"]
        extra = self._extra_pods.get(uid, set())
        pods = [pod for pod in self._pods(job) if pod["metadata"]["uid"] not in extra]
        active = [pod for pod in pods if _active(pod)]
        succeeded = self._deciding(job, status, "succeeded")
        wanted = spec["parallelism"]
        if spec.get("completions") is not None:
            wanted = min(wanted, spec["completions"] - succeeded)
        elif succeeded:
            wanted = len(active)
        for pod in active[max(wanted, 0) :]:
            self._delete_pod(job, pod)
        occupied = len(active)
        if spec.get("podReplacementPolicy") == "Failed":
            occupied += len([pod for pod in pods if _terminating(pod)])
        missing = wanted - occupied
        if missing <= 0:
            return None
        if uid in self._last_failure and (failures := status.get("failed", 0)):
            age = (self._store.now() - self._last_failure[uid]).total_seconds()
            if (left := self._backoff.delay(failures) - age) > 0:
                return left
        return self._create_pods(job, missing)

    def _create_pods(self, job: Obj, number: int) -> float | None:
        metadata, now = job["metadata"], self._store.now()
        labels = job["spec"]["template"].get("metadata", {}).get("labels", {})
        refusals, next_try = self._refused.get(metadata["uid"], (0, now))
        if now < next_try:
            return (next_try - now).total_seconds()
        if self._fault(job, "quota", labels):
            name = self._pod_name(job)
            message = (
                f'Error creating: pods "{name}" is forbidden: exceeded quota: pods, requested: pods=1, '
                "used: pods=0, limited: pods=0"
            )
            self._events.warning(JOBS, job, "FailedCreate", message)
            delay = REFUSED_BACKOFF.delay(refusals + 1)
            self._refused[metadata["uid"]] = refusals + 1, now + timedelta(seconds=delay)
            return delay
        self._refused.pop(metadata["uid"], None)
        if metadata["uid"] not in self._extra_pods and self._fault(job, "run-twice", labels):
            self._extra_pods[metadata["uid"]] = {self._create_pod(job)["metadata"]["uid"]}
        for _ in range(number):
            self._create_pod(job)
        return None

    def _fault(self, job: Obj, effect: PodEffect, labels: dict[str, str]) -> bool:
        uid, name = job["metadata"]["uid"], job["metadata"]["name"]
        return self._faults.for_pod((effect,), uid=uid, name=name, labels=labels) is not None

    def _pod_name(self, job: Obj) -> str:
        return f"{job['metadata']['name'][:POD_NAME_PREFIX_LENGTH]}-{random_suffix(self._source)}"

    def _create_pod(self, job: Obj) -> Obj:
        template: Obj = clone(job["spec"]["template"])
        metadata = job["metadata"]
        name = self._pod_name(job)
        while self._store.get(PODS, (metadata["namespace"], name)):
            name = self._pod_name(job)
        pod_metadata = {
            "name": name,
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": template.get("metadata", {}).get("labels", {}),
            "ownerReferences": owned_by(job),
            "finalizers": [JOB_TRACKING_FINALIZER],
        }
        if annotations := template.get("metadata", {}).get("annotations"):
            pod_metadata["annotations"] = annotations
        pod = self._store.create(
            PODS,
            {"metadata": pod_metadata, "spec": template["spec"], "status": new_pod_status(template["spec"])},
        )
        self._events.normal(JOBS, job, "SuccessfulCreate", f"Created pod: {name}")
        return pod

    def _delete_pod(self, job: Obj, pod: Obj) -> None:
        delete(self._store, PODS, pod)
        self._events.normal(JOBS, job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    def _expire(self, job: Obj) -> float | None:
        """Delete a finished Job whose time to live is over."""
        limit = job["spec"].get("ttlSecondsAfterFinished")
        end = job_finished(job)
        if limit is None or end is None or job["metadata"].get("deletionTimestamp"):
            return None
        age = (self._store.now() - parse_stamp(end["lastTransitionTime"])).total_seconds()
        if age < limit:
            return float(limit - age)
        delete(self._store, JOBS, job, policy="Foreground")
        return None

    # --- writing ------------------------------------------------------------------------------------------

    def _add_condition(
        self, status: Obj, kind: str, reason: str, message: str, *, holds: str = "True"
    ) -> None:
        added = condition(kind, reason, message, self._store.now(), holds=holds)
        status["conditions"] = [*status.get("conditions", ()), added]

    def _write(self, job: Obj, status: Obj) -> Obj | None:
        def change(copy: Obj) -> None:
            copy["status"] = clone(status)

        return self._store.modify(JOBS, key_of(job), change)


def new_pod_status(spec: Obj) -> Obj:
    """The status of a pod that no kubelet has observed yet."""
    return {"phase": "Pending", "qosClass": quality_of_service(spec)}


def quality_of_service(spec: Obj) -> str:
    """The pod's class by its resources: Guaranteed, Burstable or BestEffort."""
    resources = [container.get("resources", {}) for container in containers_of(spec)]
    if not any(one.get("limits") or one.get("requests") for one in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(one.get("limits", {}))
        and one.get("requests", one["limits"]) == one["limits"]
        for one in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def finished_status(*, failed: bool, started: datetime, ended: datetime) -> Obj:
    """The status of a Job with one pod that ended: what `JobController` leaves behind."""
    if failed:
        kinds = ("FailureTarget", "Failed")
        reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    else:
        kinds = ("SuccessCriteriaMet", "Complete")
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
    status: Obj = {
        "startTime": stamp(started),
        "uncountedTerminatedPods": {},
        "ready": 0,
        "terminating": 0,
        "failed" if failed else "succeeded": 1,
        "conditions": [condition(kind, reason, message, ended) for kind in kinds],
    }
    if not failed:
        status["completionTime"] = stamp(ended)
    return status


def is_tracked(pod: Obj) -> bool:
    """Whether the Job controller still has to count the pod."""
    return JOB_TRACKING_FINALIZER in pod["metadata"].get("finalizers", ())


def _active(pod: Obj) -> bool:
    return not pod_finished(pod) and not pod["metadata"].get("deletionTimestamp")


def _terminating(pod: Obj) -> bool:
    return not pod_finished(pod) and bool(pod["metadata"].get("deletionTimestamp"))


def _counts_as_finished(pod: Obj, job: Obj) -> bool:
    if pod_finished(pod):
        return True
    return _terminating(pod) and job["spec"].get("podReplacementPolicy") == "TerminatingOrFailed"
