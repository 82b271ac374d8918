"""The oldest version of each peer that flinkjobs works with."""

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


def is_too_old(peer: str, version: str) -> bool:
    """Whether a version is below the minimum of its peer; False for a text that is no version.

    Args:
        peer: a key of `MINIMUM_VERSIONS`.
        version: as the peer writes it, e.g. `v1.27.3-gke.100`.
    """
    found = _VERSION.match(version)
    return found is not None and _numbers(found[0]) < _numbers(MINIMUM_VERSIONS[peer])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("v").split(".")))
