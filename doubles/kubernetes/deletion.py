"""How an object goes: grace periods, finalizers and what becomes of its dependents.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from doubles.kubernetes.errors import ApiError, failed_precondition
from doubles.kubernetes.objects import (
    JOBS,
    PODS,
    Obj,
    Resource,
    clone,
    condition,
    key_of,
    pod_finished,
    stamp,
    true_condition,
)
from doubles.kubernetes.requests import integer, parse_json
from doubles.kubernetes.store import Store, ready_to_go

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
"""The finalizers by which a deletion's policy waits for the garbage collector."""


def default_policy(resource: Resource) -> str:
    """What happens to dependents when the request does not say: batch/v1 leaves them as orphans."""
    return "Orphan" if resource is JOBS else "Background"


def delete(
    store: Store,
    resource: Resource,
    obj: Obj,
    *,
    policy: str | None = None,
    grace_seconds: int | None = None,
) -> Obj | None:
    """Begin the deletion of an object; repeated, it can only shorten the grace period.

    Args:
        store: where it is.
        resource: its kind.
        obj: its present state.
        policy: `Background`, `Foreground` or `Orphan`; the kind's default when None.
        grace_seconds: for pods only; the pod's own period when None.

    Returns:
        The object while a finalizer or a grace period holds it, None when it is gone.
    """
    key = key_of(obj)
    grace = _grace(resource, obj, grace_seconds)
    new: Obj = clone(obj)
    metadata = new["metadata"]
    finalizers = metadata.setdefault("finalizers", [])
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(policy or default_policy(resource))
    if wanted and wanted not in finalizers:
        finalizers.append(wanted)
    if not finalizers:
        del metadata["finalizers"]
    if "deletionTimestamp" in metadata:
        grace = min(grace, metadata.get("deletionGracePeriodSeconds", 0))
    else:
        metadata["deletionTimestamp"] = stamp(store.now() + timedelta(seconds=grace))
        if resource is JOBS:
            metadata["generation"] = metadata.get("generation", 1) + 1
    metadata["deletionGracePeriodSeconds"] = grace
    if ready_to_go(new):
        store.remove(resource, key)
        return None
    return store.replace(resource, new)


def _grace(resource: Resource, obj: Obj, requested: int | None) -> int:
    if resource is not PODS or pod_finished(obj) or not obj["spec"].get("nodeName"):
        return 0
    own: int = obj["spec"].get("terminationGracePeriodSeconds", 30)
    return own if requested is None else requested


def remove_finalizer(metadata: Obj, finalizer: str) -> None:
    """Drop one finalizer of an object's metadata in place."""
    left = [name for name in metadata.get("finalizers", ()) if name != finalizer]
    if left:
        metadata["finalizers"] = left
    else:
        metadata.pop("finalizers", None)


def check_preconditions(resource: Resource, obj: Obj, options: Obj) -> None:
    """Raises 409 unless the object is the one that the options name."""
    metadata, wanted = obj["metadata"], options.get("preconditions") or {}
    if wanted.get("uid") not in (None, metadata["uid"]):
        raise failed_precondition(
            resource,
            metadata["name"],
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record "
            f"({metadata['uid']}). The object might have been deleted and then recreated",
        )
    if wanted.get("resourceVersion") not in (None, metadata["resourceVersion"]):
        raise failed_precondition(
            resource,
            metadata["name"],
            f"the ResourceVersion in the precondition ({wanted['resourceVersion']}) does not match the "
            f"ResourceVersion in record ({metadata['resourceVersion']}). "
            "The object might have been modified",
        )


def delete_options(body: bytes, query: Mapping[str, str]) -> Obj:
    """The options of a DELETE: of its body, else of its query."""
    options = parse_json(body) if body.strip() else {}
    if policy := query.get("propagationPolicy"):
        options.setdefault("propagationPolicy", policy)
    if (grace := integer(query, "gracePeriodSeconds")) is not None:
        options.setdefault("gracePeriodSeconds", grace)
    return checked_options(options)


def checked_options(options: Obj) -> Obj:
    """Delete options with a policy that exists."""
    if "orphanDependents" in options and "propagationPolicy" not in options:
        options["propagationPolicy"] = "Orphan" if options["orphanDependents"] else "Background"
    policy = options.get("propagationPolicy")
    if policy not in (None, "Background", "Foreground", "Orphan"):
        message = (
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{policy}": '
            'supported values: "Foreground", "Background", "Orphan", "nil"'
        )
        raise ApiError(422, "Invalid", message)
    return options


def mark_evicted(pod: Obj, now: datetime) -> None:
    """The condition that the API adds to a pod before it deletes it for an eviction."""
    conditions = pod["status"].setdefault("conditions", [])
    if true_condition(conditions, "DisruptionTarget"):
        return
    added = condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting", now)
    conditions.append({**added, "lastProbeTime": None})
