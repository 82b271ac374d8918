"""Kubernetes objects from JSON to values: of each object, only the fields that are needed.

A server omits a field that is empty, and writes null for a time that is not set. All functions raise
`msgspec.DecodeError` for an object that cannot be read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from flinkjobs.domain.kubernetes_objects import (
    CleanupTarget,
    Condition,
    Container,
    Event,
    Kind,
    KubernetesJob,
    Pod,
    Terminated,
    Waiting,
)
from flinkjobs.domain.naming import JOB_ID_ANNOTATION, QUEUE_LABEL
from flinkjobs.domain.observations import JobPhase

Body: TypeAlias = bytes | msgspec.Raw
"""One object: an answer, or an item of a list."""


class _Wire(msgspec.Struct, rename="camel"):
    """Named as in https://kubernetes.io/docs/reference/kubernetes-api/."""


class Identity(_Wire):
    """Identity of an object: name, uid, labels and owner."""

    name: str
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Any] = []

    @property
    def job_id(self) -> str:
        """The exact job id; "" where there is none."""
        return self.annotations.get(JOB_ID_ANNOTATION, "")

    def label(self, name: str) -> str:
        """A label of the Job controller, with the prefix of Kubernetes 1.27 or without."""
        return self.labels.get(f"batch.kubernetes.io/{name}") or self.labels.get(name, "")


class _Metadata(Identity):
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class _Condition(_Wire):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class _ContainerState(_Wire):
    exit_code: int = -1
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class _ContainerStatus(_Wire):
    name: str = ""
    state: dict[str, _ContainerState] = {}


class _ContainerSpec(_Wire):
    name: str = ""
    restart_policy: str = ""


class _Spec(_Wire):
    suspend: bool = False
    backoff_limit: int | None = None
    init_containers: list[_ContainerSpec] = []


class _Status(_Wire):
    phase: str = "Unknown"
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] = []
    init_container_statuses: list[_ContainerStatus] = []
    container_statuses: list[_ContainerStatus] = []
    start_time: datetime | None = None
    failed: int = 0
    succeeded: int = 0


class _Object(_Wire):
    """A Job, a Pod or a ConfigMap; each has some of these fields."""

    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Series(_Wire):
    last_observed_time: datetime | None = None


class _Event(_Wire):
    metadata: _Metadata
    involved_object: dict[str, str] = {}
    reason: str = ""
    message: str = ""
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: _Series = msgspec.field(default_factory=_Series)


class _Identified(_Wire):
    metadata: Identity


class _Page(_Wire):
    items: list[msgspec.Raw] | None
    metadata: dict[str, Any] = {}


parse_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
"""Reads any object whole."""

_PAGE: Final = msgspec.json.Decoder(_Page)
_IDENTIFIED: Final = msgspec.json.Decoder(_Identified)
_OBJECT: Final = msgspec.json.Decoder(_Object)
_EVENT: Final = msgspec.json.Decoder(_Event)


def parse_page(body: bytes) -> tuple[list[msgspec.Raw], str]:
    """Reads a page of a list: its items, and the token of the next page; "" when this was the last.

    A list of nothing may have null in the place of its items: https://github.com/kubernetes/kubernetes/issues/39822
    """
    page = _PAGE.decode(body)
    return page.items or [], page.metadata.get("continue", "")


def parse_identity(body: Body) -> Identity:
    """Reads which object it is."""
    return _IDENTIFIED.decode(body).metadata


def parse_job(body: Body) -> KubernetesJob:
    """Reads a batch/v1 Job."""
    return _job(_OBJECT.decode(body))


def _job(job: _Object) -> KubernetesJob:
    """A Job is over when a condition `Complete` or `Failed` is "True", wherever in the list that stands.

    `SuccessCriteriaMet` and `FailureTarget` come first and are not the end.
    """
    phase, ended, finished_at = JobPhase.ACTIVE, None, None
    if job.spec.suspend:
        phase = JobPhase.SUSPENDED
    for condition in job.status.conditions:
        if condition.status != "True" or condition.type not in ("Complete", "Failed"):
            continue
        finished_at = condition.last_transition_time
        if condition.type == "Complete":
            phase = JobPhase.COMPLETE
        else:
            phase = JobPhase.FAILED
            ended = f"{condition.reason or 'Failed'}: {condition.message}".rstrip(": ")
    return KubernetesJob(
        name=job.metadata.name,
        uid=job.metadata.uid,
        job_id=job.metadata.job_id,
        phase=phase,
        created_at=job.metadata.creation_timestamp,
        ended=ended,
        finished_at=finished_at,
        deleting=job.metadata.deletion_timestamp is not None,
        is_single_attempt=job.spec.backoff_limit == 0,
        ended_pods=job.status.failed + job.status.succeeded,
        queue=job.metadata.labels.get(QUEUE_LABEL, ""),
    )


def parse_pod(body: Body) -> Pod:
    """Reads a v1 Pod."""
    pod = _OBJECT.decode(body)
    unschedulable, is_scheduled, disruption = None, False, None
    for condition in pod.status.conditions:
        match condition.type, condition.status:
            case "PodScheduled", "False":
                unschedulable = f"{condition.reason}: {condition.message}".strip(": ")
            case "PodScheduled", "True":
                is_scheduled = True
            case "DisruptionTarget", "True":
                disruption = Condition(condition.reason, condition.message)
    # The status of a native sidecar looks like that of any init container.
    sidecars = {each.name for each in pod.spec.init_containers if each.restart_policy == "Always"}
    return Pod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        job_name=pod.metadata.label("job-name"),
        created_at=pod.metadata.creation_timestamp,
        phase=pod.status.phase,
        reason=pod.status.reason,
        message=pod.status.message,
        unschedulable=unschedulable,
        is_scheduled=is_scheduled,
        disruption=disruption,
        containers=(
            *(
                _container(each, is_init=True, is_sidecar=each.name in sidecars)
                for each in pod.status.init_container_statuses
            ),
            *(_container(each) for each in pod.status.container_statuses),
        ),
        started_at=pod.status.start_time,
        ended_at=max(_ends(pod.status), default=None)
        if pod.status.phase in ("Succeeded", "Failed")
        else None,
    )


def _ends(status: _Status) -> list[datetime]:
    """When the containers of a pod ended, as far as it is known."""
    states = [each.state for each in (*status.init_container_statuses, *status.container_statuses)]
    ends = [state["terminated"].finished_at for state in states if "terminated" in state]
    return [at for at in ends if at is not None]


def _container(status: _ContainerStatus, *, is_init: bool = False, is_sidecar: bool = False) -> Container:
    state: Waiting | Terminated | None = None
    if (ended := status.state.get("terminated")) is not None:
        state = Terminated(exit_code=ended.exit_code, reason=ended.reason, message=ended.message)
    elif "running" not in status.state:
        waiting = status.state.get("waiting", _ContainerState())
        state = Waiting(reason=waiting.reason, message=waiting.message)
    return Container(name=status.name, state=state, is_init=is_init, is_sidecar=is_sidecar)


def parse_event(body: Body) -> Event:
    """Reads a v1 Event. Which of its times are set depends on its recorder; the newest counts."""
    event = _EVENT.decode(body)
    times = (
        event.series.last_observed_time,
        event.last_timestamp,
        event.event_time,
        event.first_timestamp,
        event.metadata.creation_timestamp,
    )
    return Event(
        about_kind=event.involved_object.get("kind", ""),
        about_name=event.involved_object.get("name", ""),
        reason=event.reason,
        message=event.message,
        last_seen=max(filter(None, times), default=None),
        about_uid=event.involved_object.get("uid", ""),
    )


def parse_cleanup_target(kind: Kind, body: Body) -> CleanupTarget:
    """Reads an object for cleanup; if only its identity can be read, the target holds the error.

    The items of a list name no kind: https://kubernetes.io/docs/reference/using-api/api-concepts/#collections
    """
    phase, over_since, deleting, unreadable = JobPhase.ACTIVE, None, False, ""
    try:
        read = _OBJECT.decode(body)
    except msgspec.ValidationError as error:
        identity, unreadable = parse_identity(body), str(error)
    else:
        identity, deleting = read.metadata, read.metadata.deletion_timestamp is not None
        phase, over_since = _end(kind, read)
    return CleanupTarget(
        kind=kind,
        name=identity.name,
        uid=identity.uid,
        resource_version=identity.resource_version,
        job_id=identity.job_id,
        # A copied Job may bear the label of the one that it is a copy of.
        job_name=(identity.label("job-name") if kind is not Kind.JOB else "") or identity.name,
        job_uid=identity.label("controller-uid"),
        has_owner=bool(identity.owner_references),
        phase=phase,
        over_since=over_since,
        deleting=deleting,
        unreadable=unreadable,
    )


def _end(kind: Kind, read: _Object) -> tuple[JobPhase, datetime | None]:
    """Whether an object is over, and since when.

    Of a pod, its last sign of life counts: an evicted one has no container that ended.
    """
    if kind is Kind.JOB:
        job = _job(read)
        return job.phase, job.finished_at
    if kind is Kind.CONFIG_MAP:
        return JobPhase.COMPLETE, read.metadata.creation_timestamp
    status = read.status
    phase = {"Succeeded": JobPhase.COMPLETE, "Failed": JobPhase.FAILED}.get(status.phase)
    if phase is None:
        return JobPhase.ACTIVE, None
    moves = [at for condition in status.conditions if (at := condition.last_transition_time) is not None]
    return phase, max([*_ends(status), *moves], default=None)
