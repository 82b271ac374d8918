"""Parsers of environment variables: each returns the checked value or raises ValueError."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.operators import check_operator
from flinkjobs.domain.text import cut

T = TypeVar("T")

_HOST_PORT: Final = re.compile(r"[A-Za-z0-9.\-\[\]:]+:\d{1,5}")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def set_values(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set; one that holds only spaces counts as not set."""
    return {name: value.strip() for name, value in environ.items() if value.strip()}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads and checks one variable at a time.

    Attributes:
        env: see `set_values`.
    """

    env: Mapping[str, str]

    def value(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value, or the default where the variable is not set.

        Raises:
            SettingsError: the value is wrong; the message names the variable.
        """
        if name not in self.env:
            return default
        try:
            return parse(self.env[name])
        except ValueError as error:
            raise SettingsError(f"{name} {error}") from None


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {cut(text, 40)!r}")
        return int(text)

    return parse


def boolean(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError(f"must be true or false, not {cut(text, 40)!r}")
    return text == "true"


def hours(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", text):
        raise ValueError(f"must be a number of hours, not {cut(text, 40)!r}")
    return float(text)


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {cut(text, 40)!r}")
        return text

    return parse


def matching(pattern: str, rule: str, *, shown: int = 80) -> Callable[[str], str]:
    """Parses a text of one form.

    Args:
        pattern: of the whole text.
        rule: what the message says that the text must be.
        shown: maximum number of characters of a wrong text in the message.
    """

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{rule}, not {cut(text, shown)!r}")
        return text

    return parse


database: Final = matching(r"[^/\\. \"$*<>:|?\0]{1,63}", "must be a MongoDB database name")
namespace: Final = matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "must be a Kubernetes namespace")
object_name: Final = matching(
    r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", "must be the name of a Kubernetes object"
)
gke_cluster: Final = matching(
    r"projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+",
    "must be projects/…/locations/…/clusters/…",
    shown=120,
)
header_name: Final = matching(
    r"[A-Za-z0-9-]{1,100}", "must be the name of a header, of letters, digits and -"
)
"""Without underscores, which servers take for hyphens."""


def mongodb_uri(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return text


def object_names(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        object_name(name)
    return names


def hosts(text: str) -> frozenset[str]:
    hosts = text.replace(",", " ").lower().split()
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"must hold host names, not {cut(host, 80)!r}")
    return frozenset(hosts)


def webhook_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(text.split())
    for secret in secrets:
        text = secret.removeprefix("whsec_").rstrip("=")  # the padding may be left out
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:  # noqa: PLR2004 - Standard Webhooks
            raise ValueError("must hold secrets of whsec_ and 24 to 64 bytes in base64, separated by spaces")
    return secrets


def bearer_token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be a bearer token: printable ASCII without spaces")
    return text


def http_url(text: str) -> str:
    if not re.search(r"[\s\x00-\x1f\x7f]", text):
        try:
            parts = urlsplit(text)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets without an IPv6 address, a port that is none
            has_host = False
        if has_host and parts.scheme in ("http", "https") and not parts.query and not parts.fragment:
            return text.rstrip("/")
    raise ValueError(f"must be an http or https URL, not {cut(_without_password(text), 120)!r}")


def page_url(text: str) -> str:
    """A URL that people open: it is shown, so it holds no user and no password."""
    url = http_url(text)
    if "@" in urlsplit(url).netloc:
        raise ValueError("must hold no user and no password")
    return url


def web_origins(text: str) -> frozenset[str]:
    """Origins as a browser sends them: scheme and host, without a path."""
    origins = text.replace(",", " ").split()
    for origin in origins:
        if urlsplit(page_url(origin)).path or origin.endswith("/"):
            raise ValueError(f"must hold origins like https://app.example, not {cut(origin, 120)!r}")
    return frozenset(origins)


def operators(text: str) -> tuple[str, ...]:
    return tuple(check_operator(entry) for entry in text.replace(",", " ").split())


def inline_or_file(text: str) -> str:
    """The value itself, or the content of the file that `@path` names."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ValueError(f"names the file {cut(text[1:], 120)!r}, which cannot be read: {cause}") from None


def _without_password(url: str) -> str:
    return re.sub(r"//.*@", "//…@", url)


def jobmanager(text: str) -> str:
    """`host:port`, or a URL with a port and without credentials: a Job's command shows it."""
    is_url = text.startswith(("http://", "https://"))
    parts = urlsplit(http_url(text)) if is_url else None
    if parts is None and not _HOST_PORT.fullmatch(text):
        raise ValueError(f"must be host:port or a URL with a port, not {cut(_without_password(text), 120)!r}")
    if parts is not None and (parts.port is None or parts.username is not None):
        what = "a port" if parts.port is None else "no credentials"
        raise ValueError(f"must have {what}: {cut(_without_password(text), 120)!r}")
    return text.rstrip("/") if is_url else text


def json_or_yaml(text: str) -> dict[str, Any]:
    """An object, inline or, where the text is `@PATH`, of a file. A date of YAML is a text, as in JSON.

    A message never quotes the content, which may hold secrets.
    """
    text = inline_or_file(text)
    try:
        given: dict[str, Any] = msgspec.yaml.decode(text, type=dict[str, Any])
        given = msgspec.json.decode(msgspec.json.encode(given), type=dict[str, Any])
    except msgspec.ValidationError:
        raise ValueError("must be an object, in JSON or YAML, or @PATH of a file with one") from None
    except (msgspec.DecodeError, RecursionError, TypeError) as error:
        mark = getattr(error.__context__, "problem_mark", None)
        where = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"is neither JSON nor YAML{where}") from None
    return given


def address_of(rest_url: str) -> str:
    parts = urlsplit(rest_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
