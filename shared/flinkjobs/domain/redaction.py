"""Hides secrets in a submission before it is displayed. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

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
_PARAMETER: Final = re.compile(r"(?<=[?&;])(?P<name>[\w.-]+)=(?P<value>[^&;#\s]*)")
"""One parameter of a URL: that of a signed one opens what it points at."""


WHOLE_WORDS_BELOW: Final = 8
"""A secret of fewer characters is hidden in a text only where it stands as a whole word."""

_Hide: TypeAlias = Callable[[str], str]
"""Takes a secret, and returns what is displayed in its place."""


def without_secrets(spec: Any) -> Any:
    """A spec without the values whose names mark them as secrets."""
    return _displayed(spec, lambda _secret: HIDDEN)


def secrets_of(spec: Any) -> frozenset[str]:
    """The values that `without_secrets` hides, also as they are without percent-encoding."""
    found: set[str] = set()

    def hide(secret: str) -> str:
        found.update((secret, unquote(secret)))
        return HIDDEN

    _displayed(spec, hide)
    return frozenset(secret for secret in found if secret.strip())


def without(secrets: frozenset[str], text: str) -> str:
    """A text without these secrets."""
    if not secrets:
        return text
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.sub("|".join(map(_pattern, longest_first)), HIDDEN, text)


def _pattern(secret: str) -> str:
    literal = re.escape(secret)
    return literal if len(secret) >= WHOLE_WORDS_BELOW else rf"(?<!\w){literal}(?!\w)"


def _displayed(spec: Any, hide: _Hide) -> Any:
    if isinstance(spec, Mapping):
        return {
            str(name): hide(str(value)) if _is_secret(str(name), value) else _displayed(value, hide)
            for name, value in spec.items()
        }
    if isinstance(spec, list | tuple):
        return _arguments(spec, hide)
    if isinstance(spec, str):
        shown = _USER_INFO.sub(lambda found: _user_info(found[0][:-1], hide), spec)
        return cut(_PARAMETER.sub(lambda found: _parameter(found, hide), shown), MAX_SPEC_TEXT)
    if (
        isinstance(spec, bool | int | datetime)
        or spec is None
        or (isinstance(spec, float) and math.isfinite(spec))
    ):
        return spec
    return str(spec)


def _user_info(given: str, hide: _Hide) -> str:
    """User and password of a URL, which are hidden together; a password may also stand alone in a text."""
    _, colon, password = given.partition(":")
    if colon:
        hide(password)
    return f"{hide(given)}@"


def _parameter(found: re.Match[str], hide: _Hide) -> str:
    name = found["name"]
    return f"{name}={hide(found['value'])}" if SECRET_NAME.search(name) else found[0]


def _is_secret(name: str, value: Any) -> bool:
    return SECRET_NAME.search(name) is not None and not isinstance(value, Mapping | list | tuple)


def _arguments(values: Sequence[Any], hide: _Hide) -> list[Any]:
    """Arguments of a command: `--password x`, `--password=x` and `password=x` hold a secret too."""
    shown: list[Any] = []
    is_value_of_secret = False
    for value in values:
        option = _named(value)
        is_secret = option is not None and SECRET_NAME.search(option["name"]) is not None
        if is_value_of_secret and not str(value).startswith("--"):
            shown.append(hide(str(value)))
        elif is_secret and option is not None and option["value"]:
            start = option.start("value") + 1
            shown.append(value[:start] + hide(value[start:]))
        else:
            shown.append(_displayed(value, hide))
        is_value_of_secret = is_secret and option is not None and not option["value"]
    return shown


def _named(value: Any) -> re.Match[str] | None:
    """An option, with its value or without, or a value with its name."""
    if not isinstance(value, str):
        return None
    return _OPTION.fullmatch(value) or _ASSIGNMENT.fullmatch(value)
