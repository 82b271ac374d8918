"""Kubernetes objects as small values: only the fields that a decision needs, read from raw JSON.

A field that a server omits has its default here, and an unused field is not read: lists of tens
of thousands of objects stay small, and an unknown field of a newer API server does no harm.

API reference: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from flinkjobs.domain.naming import SUBMIT_CONTAINER
from flinkjobs.domain.observations import JobPhase


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True):
    """A container that has ended.

    Attributes:
        message: what it wrote to its termination message path, or with `FallbackToLogsOnError` the
            tail of a failed container's log.
    """

    exit_code: int
    reason: str
    message: str


class Container(msgspec.Struct, frozen=True):
    """Status of one container; `state` is None while it runs.

    Attributes:
        is_sidecar: an init container that keeps running with the others (`restartPolicy: Always`).
    """

    name: str
    state: Waiting | Terminated | None
    is_init: bool = False
    is_sidecar: bool = False


class Condition(msgspec.Struct, frozen=True):
    """Reason and message of an object's condition."""

    reason: str
    message: str


class Pod(msgspec.Struct, frozen=True):
    """One pod of a submitter's Job.

    Attributes:
        phase: Pending, Running, Succeeded, Failed or Unknown.
        reason: e.g. Evicted; "" when there is none.
        unschedulable: message of the condition `PodScheduled=False`; None when it is scheduled.
        is_scheduled: the condition `PodScheduled` is "True".
        disruption: the condition `DisruptionTarget`, where it is "True": the cluster ends the pod.
        started_at: when its node took it up, before any image was pulled.
        ended_at: when its last container ended; None while one may run.
    """

    name: str
    uid: str
    job_name: str
    created_at: datetime | None
    phase: str
    reason: str = ""
    message: str = ""
    unschedulable: str | None = None
    is_scheduled: bool = False
    disruption: Condition | None = None
    containers: tuple[Container, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def submit(self) -> Container | None:
        """The container that runs `flink run`: by its name, else the only one."""
        own = [container for container in self.containers if not container.is_init]
        named = [container for container in own if container.name == SUBMIT_CONTAINER]
        return named[0] if named else own[0] if len(own) == 1 else None

    @property
    def idle_sidecars(self) -> tuple[str, ...]:
        """The containers that keep a pod running although its submit container has ended."""
        if self.submit is None or not isinstance(self.submit.state, Terminated):
            return ()
        others = (each for each in self.containers if not each.is_init and each is not self.submit)
        return tuple(each.name for each in others if each.state is None)

    @property
    def is_over(self) -> bool:
        """Whether no container of this pod will run again."""
        return self.phase in ("Succeeded", "Failed")


class KubernetesJob(msgspec.Struct, frozen=True):
    """One Job.

    Attributes:
        job_id: exact job id from the annotation; "" when the Job carries none.
        ended: `reason: message` of the failing condition; None unless FAILED.
        finished_at: `lastTransitionTime` of the terminal condition: `completionTime` exists on
            success only.
        deleting: a deletion is under way.
        is_single_attempt: Kubernetes creates no further pod after one has failed.
        ended_pods: number of pods that have ended, those included that were deleted since.
        queue: of Kueue, which then suspends and resumes the Job; "" where there is none.
    """

    name: str
    uid: str
    job_id: str
    phase: JobPhase
    created_at: datetime | None
    ended: str | None = None
    finished_at: datetime | None = None
    deleting: bool = False
    is_single_attempt: bool = False
    ended_pods: int = 0
    queue: str = ""


class Kind(StrEnum):
    """Kinds of Kubernetes objects that a submission creates."""

    JOB = "Job"
    POD = "Pod"
    CONFIG_MAP = "ConfigMap"


class CleanupTarget(msgspec.Struct, frozen=True):
    """An object of a submission, for cleanup: its job id, and the time of its end.

    Attributes:
        resource_version: changes with every change of the object.
        job_id: exact job id from the annotation; "" when the object carries none.
        job_name: of the Job that it is, or belongs to.
        job_uid: of that Job; "" where the object does not say.
        has_owner: another object is responsible for it, and takes it along when it goes.
        phase: ACTIVE while a pod may still run; of a ConfigMap always COMPLETE.
        over_since: of a ConfigMap, when it was created.
        deleting: a deletion is under way.
        unreadable: why the object cannot be read; "" when it can.
        namespace: None is that of the client that listed it.
    """

    kind: Kind
    name: str
    uid: str
    resource_version: str
    job_id: str = ""
    job_name: str = ""
    job_uid: str = ""
    has_owner: bool = False
    phase: JobPhase = JobPhase.ACTIVE
    over_since: datetime | None = None
    deleting: bool = False
    unreadable: str = ""
    namespace: str | None = None


class Event(msgspec.Struct, frozen=True):
    """One event about a Job or a pod.

    Attributes:
        last_seen: time of the last occurrence; None if the event has no time.
        about_uid: uid of the object, because names can be reused; "" if the event has none.
    """

    about_kind: str
    about_name: str
    reason: str
    message: str
    last_seen: datetime | None
    about_uid: str = ""


def by_age(pods: Iterable[Pod]) -> list[Pod]:
    """The pods of a Job in the order of their creation."""
    return sorted(pods, key=lambda pod: (pod.created_at is None, pod.created_at, pod.name))
