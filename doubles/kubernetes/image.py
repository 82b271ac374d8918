"""The container's view of the world, mapped to this machine: paths, environment, arguments.

There is no container runtime: a path of the image, of a volume or of the termination message lies somewhere
else here. A value is mapped when it *is* such a path or begins with it and a slash; text that merely mentions
one (a shell script's, say) stays as it is, byte for byte.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.kubernetes.objects import Obj

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_INDEXED_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_IMAGE_NAME = re.compile(
    r"([a-zA-Z0-9.-]+(:\d+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True)
class Image:
    """What the double knows of the image every container uses."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    """Where a path of the image lies on this machine."""
    environment: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    """The images that can be pulled; any when empty."""

    def available(self, name: str) -> bool:
        """Whether a container of this image can be started."""
        return not self.names or name in self.names


def image_name_is_valid(name: str) -> bool:
    """Whether the kubelet can parse the image's name at all."""
    return _IMAGE_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class PathMap:
    """From the container's paths to local ones. The longest path that fits wins."""

    directories: Mapping[str, Path]
    """A mount point or a path of the image."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Mapped only as a whole."""

    def apply(self, value: str) -> str:
        """The value as the local process must see it."""
        if value in self.files:
            return str(self.files[value])
        best = ""
        for path in self.directories:
            if len(path) > len(best) and (value == path or value.startswith(path.rstrip("/") + "/")):
                best = path
        return str(self.directories[best]) + value[len(best.rstrip("/")) :] if best else value


class MissingReferenceError(Exception):
    """A container's environment refers to an object or a key that does not exist."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` as Kubernetes does in commands, arguments and values.

    `$$` stands for one `$`, so `$$(NAME)` is `$(NAME)` literally; an unknown name stays as it is.
    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def container_environment(pod: Obj, container: Obj, config_maps: Mapping[str, Obj]) -> dict[str, str]:
    """The variables the container declares, in its own view of the world.

    Args:
        pod: what the downward API reads.
        container: the container's spec.
        config_maps: those of the pod's namespace, by name.

    Raises:
        MissingReferenceError: with the kubelet's message.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        variables |= _from_source(source, config_maps)
    for entry in container.get("env", ()):
        if "valueFrom" in entry:
            value = _value_from(entry["valueFrom"], pod, config_maps)
            if value is not None:
                variables[entry["name"]] = value
        else:
            variables[entry["name"]] = expand(entry.get("value", ""), variables)
    return variables


def local_environment(
    image: Image, declared: Mapping[str, str], paths: PathMap, home: Path
) -> dict[str, str]:
    """The environment of the local process: the image's, the container's, and a home of its own."""
    variables = {"PATH": DEFAULT_PATH, "HOME": str(home), "TMPDIR": str(home)}
    variables |= {name: paths.apply(value) for name, value in image.environment.items()}
    variables |= {name: paths.apply(value) for name, value in declared.items()}
    return variables


def arguments(container: Obj, declared: Mapping[str, str], paths: PathMap) -> list[str]:
    """The argument vector of the local process; empty when the container names no command at all."""
    words: Iterable[str] = [*container.get("command", ()), *container.get("args", ())]
    return [paths.apply(expand(word, declared)) for word in words]


def _from_source(source: Obj, config_maps: Mapping[str, Obj]) -> dict[str, str]:
    if "configMapRef" not in source:
        name = source.get("secretRef", {}).get("name", "")
        if source.get("secretRef", {}).get("optional"):
            return {}
        raise MissingReferenceError(f'secret "{name}" not found')
    reference = source["configMapRef"]
    config_map = config_maps.get(reference["name"])
    if config_map is None:
        if reference.get("optional"):
            return {}
        raise MissingReferenceError(f'configmap "{reference["name"]}" not found')
    return {source.get("prefix", "") + key: value for key, value in config_map.get("data", {}).items()}


def _value_from(source: Obj, pod: Obj, config_maps: Mapping[str, Obj]) -> str | None:
    if "fieldRef" in source:
        return pod_field(pod, source["fieldRef"]["fieldPath"])
    if "configMapKeyRef" in source:
        return _config_value(source["configMapKeyRef"], pod, config_maps)
    reference = source.get("secretKeyRef", {})
    if reference.get("optional"):
        return None
    if reference:
        raise MissingReferenceError(f'secret "{reference["name"]}" not found')
    raise MissingReferenceError("this double resolves fieldRef and configMapKeyRef only")


def _config_value(reference: Obj, pod: Obj, config_maps: Mapping[str, Obj]) -> str | None:
    config_map = config_maps.get(reference["name"])
    if config_map is not None and reference["key"] in config_map.get("data", {}):
        value: str = config_map["data"][reference["key"]]
        return value
    if reference.get("optional"):
        return None
    if config_map is None:
        raise MissingReferenceError(f'configmap "{reference["name"]}" not found')
    namespace = pod["metadata"]["namespace"]
    raise MissingReferenceError(
        f"couldn't find key {reference['key']} in ConfigMap {namespace}/{reference['name']}"
    )


def pod_field(pod: Obj, path: str) -> str:
    """The value of a downward API field.

    Raises:
        MissingReferenceError: the path is none that the API offers.
    """
    if indexed := _INDEXED_FIELD.fullmatch(path):
        value: str = pod["metadata"].get(indexed[1], {}).get(indexed[2], "")
        return value
    known = {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
    }
    if path not in known:
        raise MissingReferenceError(f"unsupported fieldPath: {path}")
    found: Any = pod
    for part in path.split("."):
        found = found.get(part, "") if isinstance(found, dict) else ""
    return str(found)
