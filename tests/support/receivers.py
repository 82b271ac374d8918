"""Receivers of events in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.ports.channels import Delivered, SendResult

TAKEN: SendResult = Delivered()


def takes_all(_: Sequence[Event]) -> SendResult:
    return TAKEN


@dataclass
class MemoryChannel:
    """`flinkjobs.ports.channels.Channel` that keeps what it is sent.

    Attributes:
        answer: to each request.
        sent: the events of each request, in the order in which they came.
    """

    name: str = "ops"
    filter: EventFilter = field(default_factory=EventFilter)
    digest_above: int | None = None
    answer: Callable[[Sequence[Event]], SendResult] = takes_all
    sent: list[Sequence[Event]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def send(self, events: Sequence[Event]) -> SendResult:
        with self.lock:
            self.sent.append(events)
        return self.answer(events)

    @property
    def ids(self) -> list[str]:
        """The ids of all events that came."""
        return [event.id for events in self.sent for event in events]

    @property
    def types(self) -> list[str]:
        """The types of all events that came, without their common beginning."""
        return [event.type.value.removeprefix("flinkjobs.") for events in self.sent for event in events]
