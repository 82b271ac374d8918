"""Protocol for a channel: where events are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from flinkjobs.domain.events import Event, EventFilter


class Delivered(msgspec.Struct, frozen=True):
    """The receiver has taken the events."""


class Failed(msgspec.Struct, frozen=True):
    """The receiver has not taken the events, or it is not known: send them again.

    Attributes:
        error: what happened, one line without any secret of the channel.
        retry_after_seconds: how long the receiver asks to wait; None where it does not say.
    """

    error: str
    retry_after_seconds: float | None = None


class Gone(msgspec.Struct, frozen=True):
    """The receiver wants no events any more: HTTP 410.

    Attributes:
        error: as in `Failed`.
    """

    error: str


SendResult: TypeAlias = Delivered | Failed | Gone


class Channel(Protocol):
    """One configured receiver of events. Safe for use by several threads."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    @property
    def filter(self) -> EventFilter:
        """Which events it receives."""

    @property
    def digest_above(self) -> int | None:
        """More events of one type than this are sent as one digest; None: each event is sent by itself."""

    def send(self, events: Sequence[Event]) -> SendResult:
        """Sends one event, or several of one type as a digest where `digest_above` is set. Raises nothing.

        A call ends within a time that the channel bounds: ten seconds to connect, ten to answer.
        """
