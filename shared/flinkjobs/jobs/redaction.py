"""Hides secrets in a submission before it is displayed. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from flinkjobs.domain.secret_names import SECRET_NAME
from flinkjobs.domain.text import cut

MAX_SPEC_TEXT: Final = 16_384
"""Maximum number of characters displayed of one value; an inline script may be longer."""

HIDDEN: Final = "******"
"""Placeholder of a secret, the same as in Flink's web UI."""

_OPTION: Final = re.compile(r"-{1,2}(?P<name>[\w.-]+)(?P<value>=.*)?", re.DOTALL)
_ASSIGNMENT: Final = re.compile(r"(?P<name>[\w.-]+)(?P<value>=.*)", re.DOTALL)
"""A value by its name without dashes, as it stands behind `-D`."""
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_PARAMETER: Final = re.compile(r"(?<=[?&;])(?P<name>[\w.-]+)=[^&;#\s]*")
"""One parameter of a URL: that of a signed one opens what it points at."""


def without_secrets(spec: Any) -> Any:
    """A spec without the values whose names mark them as secrets."""
    if isinstance(spec, Mapping):
        return {
            str(name): HIDDEN if _is_secret(str(name), value) else without_secrets(value)
            for name, value in spec.items()
        }
    if isinstance(spec, list | tuple):
        return _arguments(spec)
    if isinstance(spec, str):
        shown = _USER_INFO.sub(f"{HIDDEN}@", spec)
        return cut(_PARAMETER.sub(_parameter, shown), MAX_SPEC_TEXT)
    if (
        isinstance(spec, bool | int | datetime)
        or spec is None
        or (isinstance(spec, float) and math.isfinite(spec))
    ):
        return spec
    return str(spec)


def _parameter(found: re.Match[str]) -> str:
    return f"{found['name']}={HIDDEN}" if SECRET_NAME.search(found["name"]) else found[0]


def _is_secret(name: str, value: Any) -> bool:
    return SECRET_NAME.search(name) is not None and not isinstance(value, Mapping | list | tuple)


def _arguments(values: Sequence[Any]) -> list[Any]:
    """Arguments of a command: `--password x`, `--password=x` and `password=x` hold a secret too."""
    shown: list[Any] = []
    is_value_of_secret = False
    for value in values:
        option = _named(value)
        is_secret = option is not None and SECRET_NAME.search(option["name"]) is not None
        if is_value_of_secret and not str(value).startswith("--"):
            shown.append(HIDDEN)
        elif is_secret and option is not None and option["value"]:
            shown.append(value[: option.start("value") + 1] + HIDDEN)
        else:
            shown.append(without_secrets(value))
        is_value_of_secret = is_secret and option is not None and not option["value"]
    return shown


def _named(value: Any) -> re.Match[str] | None:
    """An option, with its value or without, or a value with its name."""
    if not isinstance(value, str):
        return None
    return _OPTION.fullmatch(value) or _ASSIGNMENT.fullmatch(value)
