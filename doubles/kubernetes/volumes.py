"""A pod's volumes as local directories."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from doubles.kubernetes.objects import Obj

READ_ONLY = 0o555
"""Mask of the permissions a ConfigMap's files keep: the kubelet mounts them read-only."""


class MountError(Exception):
    """A volume cannot be mounted yet; the message is the kubelet's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a ConfigMap volume."""

    path: str
    content: bytes
    mode: int


def mount(pod: Obj, directory: Path, config_maps: Mapping[str, Obj]) -> dict[str, Path]:
    """Make every volume of the pod a directory below this one; returns them by name.

    Raises:
        MountError: for the first volume that cannot be mounted; to be tried again.
    """
    volumes: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", ()):
        place = directory / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            _write(place, config_map_entries(volume, config_maps))
        elif "emptyDir" not in volume:
            raise MountError(
                f'MountVolume.SetUp failed for volume "{volume["name"]}" : this double mounts configMap and '
                "emptyDir volumes only"
            )
        volumes[volume["name"]] = place
    return volumes


def mount_points(container: Obj, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """Where each path that the container mounts lies here."""
    points = {}
    for one in container.get("volumeMounts", ()):
        place = volumes[one["name"]]
        points[one["mountPath"]] = place / one["subPath"] if one.get("subPath") else place
    return points


def config_map_entries(volume: Obj, config_maps: Mapping[str, Obj]) -> list[Entry]:
    """The files of a ConfigMap volume.

    Raises:
        MountError: the ConfigMap, or a key that is asked for by name, does not exist (yet).
    """
    source = volume["configMap"]
    failed = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
    config_map = config_maps.get(source["name"])
    if config_map is None:
        if source.get("optional"):
            return []
        raise MountError(f'{failed}configmap "{source["name"]}" not found')
    contents = {key: text.encode() for key, text in config_map.get("data", {}).items()}
    contents |= {key: base64.b64decode(text) for key, text in config_map.get("binaryData", {}).items()}
    mode = source.get("defaultMode", 0o644)
    if "items" not in source:
        return [Entry(key, content, mode) for key, content in contents.items()]
    entries = []
    for item in source["items"]:
        if ".." in Path(item["path"]).parts or Path(item["path"]).is_absolute():
            raise MountError(f"{failed}invalid path {item['path']}: must stay inside the volume")
        if item["key"] in contents:
            entries.append(Entry(item["path"], contents[item["key"]], item.get("mode", mode)))
        elif not source.get("optional"):
            raise MountError(f"{failed}references non-existent config key: {item['key']}")
    return entries


def _write(directory: Path, entries: list[Entry]) -> None:
    for entry in entries:
        path = directory / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(entry.content)
        path.chmod(entry.mode & READ_ONLY)
