"""Kubernetes objects as small values: only the fields that a decision needs, read from raw JSON.

A field that a server omits has its default here, and a field nobody needs is not read: lists of tens
of thousands of objects stay small, and an unknown field of a newer API server disturbs nobody.

API reference: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from flinkjobs.model import JobPhase

APP_LABEL: Final = "app"
APP: Final = "flink-python-job"
"""Value of `APP_LABEL` on every Job, pod and ConfigMap of ours."""
SELECTOR: Final = f"{APP_LABEL}={APP}"
"""Selects everything of ours."""
JOB_ID_LABEL: Final = "job-id"
"""Label with the job id made safe for a label; on the Job and on its pods."""
JOB_NAME_LABEL: Final = "job-name"
"""Label with the Job's name that every Kubernetes version gives to the pods of any Job:
https://kubernetes.io/docs/reference/labels-annotations-taints/#job-name"""
JOB_ID_ANNOTATION: Final = "flinkjobs/job-id"
"""Annotation with the exact job id; on the Job and on its pods."""
SUBMIT_CONTAINER: Final = "submit"
"""Name of the container that runs `flink run`."""

JsonObject = Mapping[str, Any]


class Waiting(msgspec.Struct, frozen=True):
    """A container that does not run yet."""

    reason: str
    message: str


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
    """Status of one container; `state` is None while it runs."""

    name: str
    state: Waiting | Terminated | None
    is_init: bool = False


class Pod(msgspec.Struct, frozen=True):
    """One pod of a submitter's Job.

    Attributes:
        phase: Pending, Running, Succeeded, Failed or Unknown.
        reason: e.g. Evicted; "" when there is none.
        unschedulable: message of the condition `PodScheduled=False`; None when it is scheduled.
        started_at: when its node took it up, before any image was pulled.
    """

    name: str
    uid: str
    job_name: str
    created_at: datetime | None
    phase: str
    reason: str = ""
    message: str = ""
    unschedulable: str | None = None
    containers: tuple[Container, ...] = ()
    started_at: datetime | None = None

    @property
    def submit(self) -> Container | None:
        """The container that runs `flink run`: by its name, else the only one."""
        own = [container for container in self.containers if not container.is_init]
        named = [container for container in own if container.name == SUBMIT_CONTAINER]
        return named[0] if named else own[0] if len(own) == 1 else None

    @property
    def is_over(self) -> bool:
        """Whether nothing of this pod will run any more."""
        return self.phase in ("Succeeded", "Failed")


class KubernetesJob(msgspec.Struct, frozen=True):
    """One Job.

    Attributes:
        job_id: exact job id from the annotation; "" when the Job carries none.
        ended: `reason: message` of the failing condition; None unless FAILED.
        finished_at: `lastTransitionTime` of the terminal condition: `completionTime` exists on
            success only.
        deleting: a deletion is under way.
    """

    name: str
    uid: str
    job_id: str
    phase: JobPhase
    created_at: datetime | None
    ended: str | None = None
    finished_at: datetime | None = None
    deleting: bool = False


class Kind(StrEnum):
    """The kinds of object that belong to a submission."""

    JOB = "Job"
    POD = "Pod"
    CONFIG_MAP = "ConfigMap"


class Leftover(msgspec.Struct, frozen=True):
    """An object of a submission as cleanup sees it: whose it is, and since when it is over.

    Attributes:
        resource_version: changes with every change of the object.
        job_id: exact job id from the annotation; "" when the object carries none.
        job_name: of the Job that it is, or belongs to.
        job_uid: of that Job; "" where the object does not tell.
        has_owner: another object is responsible for it, and takes it along when it goes.
        phase: ACTIVE while a pod may still run; of a ConfigMap always COMPLETE.
        over_since: of a ConfigMap, when it was created.
        deleting: a deletion is under way.
        unreadable: why the object cannot be read; "" when it can.
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


class Event(msgspec.Struct, frozen=True):
    """One event about a Job or a pod."""

    about_kind: str
    about_name: str
    reason: str
    message: str
    last_seen: datetime | None


class Permission(msgspec.Struct, frozen=True):
    """One thing that a Role has to allow.

    Attributes:
        group: API group; "" is the core.
        resource: plural, with its subresource: `jobs`, `pods/log`.
        needed_by: the functions that need it.
    """

    verb: str
    group: str
    resource: str
    needed_by: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


class AccessReview(msgspec.Struct, frozen=True):
    """What the API server says of one permission of ours."""

    permission: Permission
    allowed: bool


PERMISSIONS: Final = (
    Permission("create", "batch", "jobs", "submit"),
    Permission("get", "batch", "jobs", "submit, sync, cleanup, jobs"),
    Permission("list", "batch", "jobs", "submit, sync, cleanup"),
    Permission("delete", "batch", "jobs", "submit, sync, cleanup"),
    Permission("create", "", "configmaps", "submit"),
    Permission("list", "", "configmaps", "cleanup"),
    Permission("delete", "", "configmaps", "cleanup"),
    Permission("list", "", "pods", "sync, cleanup, jobs"),
    Permission("delete", "", "pods", "cleanup"),
    Permission("get", "", "pods/log", "sync, cleanup, jobs"),
    Permission("list", "", "events", "sync"),
)
"""All that is asked of Kubernetes, in the one namespace. `deploy/kubernetes/rbac.yaml` grants just this."""


def by_age(pods: Iterable[Pod]) -> list[Pod]:
    """The pods of a Job in the order of their creation."""
    return sorted(pods, key=lambda pod: (pod.created_at is None, pod.created_at, pod.name))


def parse_time(text: str | None) -> datetime | None:
    """Reads an RFC 3339 time. None stays None."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def parse_job(raw: JsonObject) -> KubernetesJob:
    """Reads a batch/v1 Job.

    It is over when a condition `Complete` or `Failed` is "True", wherever in the list that stands:
    `SuccessCriteriaMet` and `FailureTarget` come first and are not the end.
    """
    meta, status = raw["metadata"], raw.get("status") or {}
    phase, ended, finished_at = JobPhase.ACTIVE, None, None
    if (raw.get("spec") or {}).get("suspend"):
        phase = JobPhase.SUSPENDED
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True" or condition.get("type") not in ("Complete", "Failed"):
            continue
        finished_at = parse_time(condition.get("lastTransitionTime"))
        if condition["type"] == "Complete":
            phase = JobPhase.COMPLETE
        else:
            phase = JobPhase.FAILED
            ended = f"{condition.get('reason') or 'Failed'}: {condition.get('message') or ''}".rstrip(": ")
    return KubernetesJob(
        name=meta["name"],
        uid=meta.get("uid") or "",
        job_id=(meta.get("annotations") or {}).get(JOB_ID_ANNOTATION) or "",
        phase=phase,
        created_at=parse_time(meta.get("creationTimestamp")),
        ended=ended,
        finished_at=finished_at,
        deleting=bool(meta.get("deletionTimestamp")),
    )


def parse_pod(raw: JsonObject) -> Pod:
    """Reads a v1 Pod."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels = meta.get("labels") or {}
    unschedulable = None
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            unschedulable = f"{condition.get('reason') or ''}: {condition.get('message') or ''}".strip(": ")
    statuses = [(entry, True) for entry in status.get("initContainerStatuses") or ()]
    statuses += [(entry, False) for entry in status.get("containerStatuses") or ()]
    return Pod(
        name=meta["name"],
        uid=meta.get("uid") or "",
        job_name=labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or "",
        created_at=parse_time(meta.get("creationTimestamp")),
        phase=status.get("phase") or "Unknown",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        unschedulable=unschedulable,
        containers=tuple(_container(entry, is_init=is_init) for entry, is_init in statuses),
        started_at=parse_time(status.get("startTime")),
    )


def _container(raw: JsonObject, *, is_init: bool) -> Container:
    state = raw.get("state") or {}
    parsed: Waiting | Terminated | None = None
    if (terminated := state.get("terminated")) is not None:
        parsed = Terminated(
            exit_code=terminated.get("exitCode", -1),
            reason=terminated.get("reason") or "",
            message=terminated.get("message") or "",
        )
    elif state.get("running") is None:
        waiting = state.get("waiting") or {}
        parsed = Waiting(reason=waiting.get("reason") or "", message=waiting.get("message") or "")
    return Container(name=raw.get("name") or "", state=parsed, is_init=is_init)


def parse_event(raw: JsonObject) -> Event:
    """Reads a v1 Event."""
    about = raw.get("involvedObject") or {}
    return Event(
        about_kind=about.get("kind") or "",
        about_name=about.get("name") or "",
        reason=raw.get("reason") or "",
        message=raw.get("message") or "",
        last_seen=parse_time(raw.get("lastTimestamp") or raw.get("eventTime")),
    )


def parse_leftover(kind: Kind, raw: JsonObject) -> Leftover:
    """Reads an object for cleanup; one that cannot be read says why, and costs only itself.

    The items of a list name no kind: https://kubernetes.io/docs/reference/using-api/api-concepts/#collections
    """
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    known: dict[str, Any] = {
        "kind": kind,
        "name": meta["name"],
        "uid": meta.get("uid") or "",
        "resource_version": meta.get("resourceVersion") or "",
    }
    try:
        known |= {
            "job_id": (meta.get("annotations") or {}).get(JOB_ID_ANNOTATION) or "",
            "job_name": _job_name(kind, meta["name"], labels),
            "job_uid": labels.get("batch.kubernetes.io/controller-uid") or labels.get("controller-uid") or "",
            "has_owner": bool(meta.get("ownerReferences")),
            "deleting": bool(meta.get("deletionTimestamp")),
        }
        if kind is Kind.JOB:
            job = parse_job(raw)
            return Leftover(**known, phase=job.phase, over_since=job.finished_at)
        if kind is Kind.POD:
            phase, over_since = _end_of_pod(raw.get("status") or {})
            return Leftover(**known, phase=phase, over_since=over_since)
        created_at = parse_time(meta.get("creationTimestamp"))
        return Leftover(**known, phase=JobPhase.COMPLETE, over_since=created_at)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Leftover(**known, unreadable=f"{type(error).__name__}: {error}")


def _job_name(kind: Kind, name: str, labels: Mapping[str, str]) -> str:
    """A copied Job may bear the label of the one that it is a copy of."""
    if kind is Kind.JOB:
        return name
    return labels.get("batch.kubernetes.io/job-name") or labels.get("job-name") or name


def _end_of_pod(status: JsonObject) -> tuple[JobPhase, datetime | None]:
    """Whether a pod is over, and its last sign of life: an evicted one has no container that ended."""
    phase = {"Succeeded": JobPhase.COMPLETE, "Failed": JobPhase.FAILED}.get(status.get("phase") or "")
    if phase is None:
        return JobPhase.ACTIVE, None
    containers = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    ends = [((each.get("state") or {}).get("terminated") or {}).get("finishedAt") for each in containers]
    ends += [condition.get("lastTransitionTime") for condition in status.get("conditions") or ()]
    return phase, max(filter(None, map(parse_time, ends)), default=None)
