"""How an object goes: grace periods, finalizers and what becomes of its dependents.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from datetime import timedelta

from doubles.kubernetes.objects import JOBS, PODS, Obj, Resource, clone, key_of, pod_finished, stamp
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
