"""How the pod template of the settings is merged under our pod, and how a record stores it. Pure.

A template has the shape of a Kubernetes pod: `metadata` with labels and annotations, and a `spec`. Its
container `submit` is the one that runs flink; every other container is a sidecar or an init container.
`pod_template_rules` says what a template may hold.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

Location = tuple[str | int, ...]
"""A place in a template, as the parts of its JSON pointer."""

MERGED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "containers": "name",
        "env": "name",
        "imagePullSecrets": "name",
        "initContainers": "name",
        "volumeMounts": "mountPath",
        "volumes": "name",
    }
)
"""The lists of a pod that are merged entry by entry, and the member that identifies an entry: the merge keys
of Kubernetes itself. Maps are merged key by key; any other value of ours replaces the template's."""

SECURITY_FLOOR: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""The security context of every container, as the *restricted* Pod Security Standard asks for it:
https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""


def merged_pod(template: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our pod with the template under it: `metadata` and `spec`, each container on the security floor."""
    pod = merged({name: template.get(name) or {} for name in ("metadata", "spec")}, ours)
    return merged(pod, floor_of(pod))


def merged(template: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """One map over the other; see `MERGED_BY`. Entries of the template come first, in its order."""
    both = [name for name in template if name in ours]
    return {**template, **ours, **{name: _merged_value(name, template[name], ours[name]) for name in both}}


def _merged_value(name: str, theirs: Any, own: Any) -> Any:
    if isinstance(theirs, Mapping) and isinstance(own, Mapping):
        return merged(theirs, own)
    if (key := MERGED_BY.get(name)) is None:
        return own
    left = {entry[key]: entry for entry in own}
    entries = [merged(entry, left.pop(entry[key], {})) for entry in theirs or ()]
    return [*entries, *left.values()]


def floor_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What each container of a pod is to have, as a pod."""
    spec = pod.get("spec") or {}
    floor = {"securityContext": SECURITY_FLOOR}
    return {
        "spec": {
            name: [{"name": container["name"], **floor} for container in spec[name]]
            for name in ("initContainers", "containers")
            if name in spec
        }
    }


def conflicts(template: Mapping[str, Any], ours: Mapping[str, Any], at: Location = ()) -> Iterator[Location]:
    """Where the template has another value than ours, which would win."""
    for name in [name for name in template if name in ours]:
        theirs, own, here = template[name], ours[name], (*at, name)
        if isinstance(theirs, Mapping) and isinstance(own, Mapping):
            yield from conflicts(theirs, own, here)
        elif (key := MERGED_BY.get(name)) is not None:
            by_key = {entry[key]: entry for entry in own}
            for index, entry in enumerate(theirs or ()):
                yield from conflicts(entry, by_key.get(entry[key], {}), (*here, index))
        elif theirs is not None and theirs != own:
            yield here


def template_text(template: Mapping[str, Any]) -> str:
    """The template as its record stores it, the same for the same content."""
    return json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def template_hash(text: str) -> str:
    """SHA-256 of a template's stored form, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
