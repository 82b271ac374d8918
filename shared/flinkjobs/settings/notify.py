"""The setting `NOTIFY_CHANNELS`: where events are sent. Read only where it is set.

A JSON list of channels, as in `[{"name": "ops", "type": "chat", "url": "slack://…"}]`. Every fault is named
at once; a value that may be a secret is never part of what is named.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from flinkjobs.domain.events import EventFilter, EventType
from flinkjobs.domain.labels import check_free_key, check_value
from flinkjobs.domain.text import cut
from flinkjobs.settings.parsing import webhook_secrets

MAX_CHANNELS: Final = 50
"""Maximum number of channels: each has its mark on every record."""


class ChannelType(StrEnum):
    """What receives the events."""

    WEBHOOK = "webhook"
    """A program: each event is a signed HTTP request."""
    CHAT = "chat"
    """People: each event is a text, by any service that Apprise knows."""


class Language(StrEnum):
    """Of the texts that people read."""

    EN = "en"
    ZH = "zh"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One channel, checked.

    Attributes:
        url: of the receiver, or an Apprise URL; a secret as a whole.
        secrets: of a webhook, newest first: each signs every request, so that one can replace the other.
        language: of a chat.
        allow_private: whether a webhook may be at an address that is not public.
    """

    name: str
    type: ChannelType
    filter: EventFilter
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    language: Language = Language.EN
    allow_private: bool = False


def read_channels(text: str, clusters: Collection[str]) -> tuple[ChannelSettings, ...]:
    """The channels.

    Args:
        text: the setting.
        clusters: names of the configured clusters; where there are none, those of a filter are not checked.

    Raises:
        ValueError: every fault, in one line, without any secret.
    """
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"must be a JSON list of channels: {cut(str(error), 120)}") from None
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_CHANNELS:
        raise ValueError(f"must be a JSON list of 1 to {MAX_CHANNELS} channels")
    faults: list[str] = []
    channels: list[ChannelSettings] = []
    for number, described in enumerate(given, 1):
        known, wrong = _checked(described, clusters)
        name = known.get("name", number)
        faults += [f"channel {name}: {fault}" for fault in wrong]
        if name in {channel.name for channel in channels}:
            faults.append(f"channel {name}: another channel has this name")
        elif not wrong:
            channels.append(_channel(known))
    if faults:
        raise ValueError("has faults: " + "; ".join(faults))
    return tuple(channels)


def _channel(known: Mapping[str, Any]) -> ChannelSettings:
    parts = {name: known[name] for name in EventFilter.__struct_fields__ if name in known}
    others = {name: value for name, value in known.items() if name not in parts}
    return ChannelSettings(filter=EventFilter(**parts), **others)


def _checked(described: Any, clusters: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The attributes of `ChannelSettings` and `EventFilter` that could be read, and what is wrong."""
    if not isinstance(described, dict):
        return {}, ["must be an object"]
    checks: dict[str, Callable[[Any], Any]] = {"name": _name, "type": _type, **_FILTERS}
    kind = described.get("type")
    if isinstance(kind, str) and kind in _OWN:
        checks |= _OWN[ChannelType(kind)]
    known: dict[str, Any] = {}
    faults = [
        f"{name} is missing" for name in ("name", "type", "url", "secret") if _lacks(described, name, checks)
    ]
    for name, value in described.items():
        if name not in checks:
            if "url" in checks:  # without a type, nothing is known of the others
                faults.append(f"{cut(name, 40)!r} is no field of a channel of type {kind}")
            continue
        try:
            known["secrets" if name == "secret" else name] = checks[name](value)
        except ValueError as error:
            faults.append(f"{name} {error}")
    if kind == ChannelType.WEBHOOK and "url" in known and (fault := _address_fault(known)):
        faults.append(fault)
    faults += [
        f"clusters {glob!r} matches none of {', '.join(sorted(clusters))}"
        for glob in known.get("clusters", ())
        if clusters and not any(fnmatchcase(name, glob) for name in clusters)
    ]
    return known, faults


def _lacks(described: Mapping[str, Any], name: str, checks: Mapping[str, object]) -> bool:
    return name in checks and name not in described


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", value):
        raise ValueError("must be 1 to 40 letters, digits, '-' and '_'")
    return value


def _type(value: Any) -> ChannelType:
    if value not in list(ChannelType):
        raise ValueError(f"must be one of {', '.join(ChannelType)}")
    return ChannelType(value)


def _language(value: Any) -> Language:
    if value not in list(Language):
        raise ValueError(f"must be one of {', '.join(Language)}")
    return Language(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - a fault of a value, as all others
    return value


def _globs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError("must be a list of one or more texts; without it, everything passes")
    return tuple(value)


def _events(value: Any) -> tuple[str, ...]:
    globs = _globs(value)
    for glob in globs:
        if not any(fnmatchcase(kind, glob) for kind in EventType):
            raise ValueError(f"{cut(glob, 60)!r} matches no type of event, such as {EventType.JOB_FAILED}")
    return globs


def _labels(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not value or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("must be an object of one or more labels with their values, which are texts")
    for label, text in value.items():
        try:
            check_free_key(label)
            check_value(text)
        except ValueError as error:
            raise ValueError(f"{cut(label, 80)!r} {error}") from None
    return MappingProxyType(value)


def _secrets(value: Any) -> tuple[str, ...]:
    secrets = webhook_secrets(value) if isinstance(value, str) else ()
    if not secrets:
        raise ValueError("must be whsec_ and 24 to 64 bytes in base64")
    return secrets


def _webhook_url(value: Any) -> str:
    parts = _split(value)
    if parts is None or parts.scheme not in ("http", "https") or parts.fragment:
        raise ValueError("must be an https URL")
    if parts.scheme == "http" and not is_this_machine(parts.hostname or ""):
        raise ValueError("must be https: http is for a receiver on this machine, by localhost or 127.0.0.1")
    return str(value)


def _chat_url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(
        r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\x00-\x1f\x7f]+", value
    ):
        raise ValueError("must be an Apprise URL, such as slack://… or mailtos://…")
    return value


def _split(value: Any) -> SplitResult | None:
    """The parts of a URL that names a host; None for anything else."""
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f\x7f]", value):
        return None
    try:
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, a port that is none
        return None
    return parts if has_host else None


def is_this_machine(host: str) -> bool:
    """Whether a URL's host is `localhost` or a loopback address."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _address_fault(known: Mapping[str, Any]) -> str | None:
    """An address that is not public and not allowed. A host's name is checked when it is connected."""
    host = urlsplit(known["url"]).hostname or ""
    address = _address(host)
    if address is None or address.is_global or address.is_loopback or known.get("allow_private"):
        return None
    return f"url has the address {address}, which is not public: set allow_private if it is meant"


_FILTERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {"events": _events, "templates": _globs, "clusters": _globs, "submitted_by": _globs, "labels": _labels}
)
_OWN: Final[Mapping[ChannelType, Mapping[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        ChannelType.WEBHOOK: {"url": _webhook_url, "secret": _secrets, "allow_private": _boolean},
        ChannelType.CHAT: {"url": _chat_url, "language": _language},
    }
)
"""The fields of each type, without those that all have: how each is read. `url` and `secret` are required."""
