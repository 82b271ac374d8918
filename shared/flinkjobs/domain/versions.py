"""Versions: the oldest of each peer that flinkjobs works with, and the line of a Flink."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MINIMUM_VERSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Flink": "1.17",
        "Kubernetes": "1.28",  # the Job's field `podReplacementPolicy`
        "MongoDB": "4.4",  # that of the driver
    }
)

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")

_FLINK_OF_IMAGE: Final = re.compile(r"flink(?:-python)?[-_:]?v?(\d{1,2}\.\d{1,2})(?!\d)")
"""A version directly after the word: `pyflink:1.20`, `etl:7-flink1.20`. The tag of an image with another
name, such as `flink-etl:2.1`, may count the releases of that image."""


def is_too_old(peer: str, version: str) -> bool:
    """Whether a version is below the minimum of its peer; False for a text that is no version.

    Args:
        peer: a key of `MINIMUM_VERSIONS`.
        version: as the peer writes it, e.g. `v1.27.3-gke.100`.
    """
    found = _VERSION.match(version)
    return found is not None and _numbers(found[0]) < _numbers(MINIMUM_VERSIONS[peer])


def flink_line(version: str) -> str | None:
    """Major and minor version, e.g. `1.20`; None for a text that is no version.

    Flink's client sends the JobManager serialized Java objects, so both must be of one line.
    """
    found = _VERSION.match(version)
    return f"{found[1]}.{found[2]}" if found else None


def flink_line_of_image(image: str) -> str | None:
    """The line of the Flink that the name or the tag of an image shows; None if neither shows one."""
    found = _FLINK_OF_IMAGE.search(image.partition("@")[0].rpartition("/")[2])
    return found[1] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("v").split(".")))
