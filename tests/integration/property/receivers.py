"""Receivers of events, and deliveries that die, for random histories."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any, ClassVar, Final

from flinkjobs.adapters.mongo.notify_store import MongoNotifyStore
from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.ports.channels import Delivered, Failed, Gone, SendResult
from tests.integration.property.bench import Bench
from tests.integration.property.peers import Died

MOODS: Final = {
    "up": ("200",),
    "mixed": ("200", "200", "200", "500", "time-out", "reset"),
    "down": ("500", "time-out", "refused"),
    "gone": ("410",),
}
"""What a receiver may answer; which one follows from the event and from how often it was sent."""

TAKEN: Final = ("200", "time-out")
"""The answers before which the receiver has taken the event, whatever the sender knows."""


@dataclass(slots=True)
class Received:
    """One event as it arrived.

    Attributes:
        at: by the clock of the world.
        is_answered: the sender knows that it was taken.
    """

    event: Event
    at: datetime
    is_answered: bool


@dataclass
class Receiver:
    """`flinkjobs.ports.channels.Channel` whose answers are drawn."""

    name: str
    filter: EventFilter
    digest_above: int | None
    clock: Callable[[], datetime]
    hand_over: Callable[[], None]
    mood: str = "up"
    has_been_gone: bool = False
    received: list[Received] = field(default_factory=list)
    sent: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    lock: Lock = field(default_factory=Lock)
    answered: ClassVar[SendResult] = Delivered()

    def send(self, events: Sequence[Event]) -> SendResult:
        self.hand_over()
        with self.lock:
            first = events[0].id
            self.sent[first] += 1
            answers = MOODS[self.mood]
            drawn = hashlib.md5(f"{self.name} {first} {self.sent[first]}".encode(), usedforsecurity=False)
            answer = answers[drawn.digest()[0] % len(answers)]
            if answer in TAKEN:
                self.received += [Received(event, self.clock(), answer == "200") for event in events]
            if answer == "410":
                self.has_been_gone = True
                return Gone("410")
            return self.answered if answer == "200" else Failed(answer)


class MortalStore(MongoNotifyStore):
    """The real store, as a process sees it that is killed before or after its n-th message."""

    def __init__(self, bench: Bench, die: Callable[[], None]) -> None:
        super().__init__(bench.client[bench.database])
        self._die = die

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found
        die = super().__getattribute__("_die")

        def call(*args: Any, **kwargs: Any) -> Any:
            die()
            answer = found(*args, **kwargs)
            die()
            return answer

        return call


@dataclass(slots=True)
class Fuse:
    """Kills the process at a message, or lets another thing happen there once.

    Attributes:
        left: messages until then.
        deed: what happens; at a death, what else is to be known.
        is_dead: the process was killed: it sends nothing more.
    """

    left: int
    deed: Callable[[], None]
    is_deadly: bool = True
    is_dead: bool = False
    lock: Lock = field(default_factory=Lock)

    def burn(self) -> None:
        """One more message begins or has ended."""
        with self.lock:
            self.left -= 1
            if self.is_dead or self.left != -1:
                happens = self.is_dead
            else:
                self.is_dead = happens = self.is_deadly
                self.deed()
        if happens:
            raise Died
