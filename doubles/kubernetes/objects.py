"""Kubernetes objects as plain data: the kinds the double knows, copies, times, names.

An object is the dictionary its JSON would decode to, without `apiVersion` and `kind`: the store keeps those
once per kind, and a list answers without them.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name; the namespace is empty for a cluster-wide kind."""

JOB_TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end in: no vowels and no look-alikes, as in apimachinery's `rand.String`."""


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind the API serves. Compared by identity: each exists once."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    short_names: tuple[str, ...]
    verbs: tuple[str, ...]
    model: str
    """Name of the class in the official Python client that lists the kind's fields."""
    namespaced: bool = True

    @property
    def qualified(self) -> str:
        """As error messages write it: `pods`, `jobs.batch`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """As validation errors write it: `ConfigMap`, `Job.batch`."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def api_version(self) -> str:
        """The wire's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
JOBS = Resource("batch", "v1", "jobs", "job", "Job", (), _ALL, "V1Job")
PODS = Resource("", "v1", "pods", "pod", "Pod", ("po",), _ALL, "V1Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "configmap", "ConfigMap", ("cm",), _ALL, "V1ConfigMap")
EVENTS = Resource("", "v1", "events", "event", "Event", ("ev",), _ALL, "CoreV1Event")
NAMESPACES = Resource(
    "", "v1", "namespaces", "namespace", "Namespace", ("ns",), ("get", "list", "watch"), "V1Namespace", False
)
EVICTIONS = Resource("policy", "v1", "evictions", "eviction", "Eviction", (), ("create",), "V1Eviction")
"""The body of a request to a pod's `eviction`; never stored."""
RESOURCES = (JOBS, PODS, CONFIG_MAPS, EVENTS, NAMESPACES)
BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}


def with_kind(resource: Resource, obj: Obj) -> Obj:
    """The object as a single answer carries it: with its kind and API version in front."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}


def clone(value: Any) -> Any:
    """A copy that shares no dictionary or list with the original."""
    if isinstance(value, dict):
        return {name: clone(member) for name, member in value.items()}
    if isinstance(value, list):
        return [clone(member) for member in value]
    return value


def key_of(obj: Obj) -> Key:
    """Where the store keeps the object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def utc_now() -> datetime:
    """The present time, aware, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """The API's time format, whole seconds, of a UTC time."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def precise_stamp(moment: datetime) -> str:
    """The API's time format with microseconds, of a UTC time."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_stamp(text: str) -> datetime:
    """The reverse of `stamp`; fractions of a second and offsets are understood too."""
    return datetime.fromisoformat(text)


def random_suffix(source: random.Random) -> str:
    """Five characters for a generated name."""
    return "".join(source.choice(NAME_ALPHABET) for _ in range(5))


def pod_finished(pod: Obj) -> bool:
    """Whether every container of the pod has ended for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def job_condition(job: Obj, kind: str) -> Obj | None:
    """The Job's condition of this type if it holds (`status: "True"`)."""
    return true_condition(job.get("status", {}).get("conditions", ()), kind)


def true_condition(conditions: Iterable[Obj], kind: str) -> Obj | None:
    """The first condition of this type that holds."""
    for condition in conditions:
        if condition["type"] == kind and condition["status"] == "True":
            return condition
    return None


def job_finished(job: Obj) -> Obj | None:
    """The condition that ended the Job, or None while it is not over."""
    return job_condition(job, "Complete") or job_condition(job, "Failed")


def condition(kind: str, reason: str, message: str, moment: datetime, *, holds: str = "True") -> Obj:
    """A condition of a Job, probed and changed at this moment."""
    at = stamp(moment)
    return {
        "type": kind,
        "status": holds,
        "lastProbeTime": at,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }


def owned_by(job: Obj) -> list[Obj]:
    """The owner references of a Job's pod."""
    metadata = job["metadata"]
    return [
        {
            "apiVersion": JOBS.api_version,
            "kind": JOBS.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference of the object's controller."""
    for owner in obj["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            result: Obj = owner
            return result
    return None
