"""Which events go to which channel now, in which order, and what becomes of a channel. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from flinkjobs.domain.cluster_moves import SYNC
from flinkjobs.domain.events import (
    SYNC_SUBJECT,
    Event,
    EventFilter,
    EventType,
    cluster_event_id,
    job_event_id,
    job_event_type,
    sync_event_id,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import MOVES_KEPT, Move, Writer
from flinkjobs.jobs.views import record_view
from flinkjobs.ports.channels import Failed, Gone
from flinkjobs.ports.notify_store import ChannelState, Pending, Progress, Sent

SET_ASIDE_AFTER: Final = timedelta(hours=24)
"""How long an event waits for a channel that fails; then the channel goes without it."""

REMOVED_AFTER: Final = timedelta(hours=1)
"""How long the settings must not name a channel before it counts as removed.

During a rollout, some of the functions that run know a channel and others do not.
"""

FIRST_DELAY_SECONDS: Final = 60.0
"""Seconds until a channel that failed is tried again; doubled with each further failure."""

MAX_DELAY_SECONDS: Final = 1_800.0
"""Maximum number of seconds until a channel that failed is tried again."""


class Subject:
    """A pending document in one delivery: what each channel still has to be sent of it, and what to note.

    Attributes:
        pending: the document.
        events: of all its moves.
        held: the channels for which it stays pending whatever else is sent.
    """

    def __init__(self, pending: Pending) -> None:
        """Args: see the attributes."""
        self.pending = pending
        self.events = events_of(pending)
        self.held: set[str] = set()
        self._last = max((seq for seq, _ in self.events), default=-1)
        self._open: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._sent: list[Sent] = []

    def expect(self, channel: str, due: Due) -> None:
        """What is to be sent to a channel that may be served now."""
        if due.events:
            self._open[channel] = due.events[-1][0]
        if due.passed is not None and due.passed > self.pending.delivered.get(channel, -1):
            self._done[channel] = due.passed

    def advance(self, channel: str, seq: int) -> None:
        """The channel is done with the events up to this one."""
        self._done[channel] = seq
        if seq >= self._open[channel]:
            del self._open[channel]
            self._done[channel] = self._last

    def note_sent(self, channel: str, seq: int, event: Event, at: datetime) -> None:
        """The channel has taken an event."""
        self._sent.append(Sent(channel, seq, event.type.value, at))
        self.advance(channel, seq)

    def hold(self, channel: str) -> None:
        """The channel gets nothing more in this delivery; what is left, if anything, waits for it."""
        if self._open.pop(channel, None) is not None:
            self.held.add(channel)

    def is_open(self, channel: str) -> bool:
        """Whether events are still to be sent to the channel in this delivery."""
        return channel in self._open

    def progress(self) -> Progress | None:
        """What is to be noted since it was asked for last; None where there is nothing."""
        done, self._done = self._done, {}
        sent, self._sent = self._sent, []
        waiting_for = None if self._open else frozenset(self.held)
        if not done and waiting_for in (None, self.pending.waiting_for or None):
            return None
        return Progress(self.pending, done, waiting_for, tuple(sent))


class Due(msgspec.Struct, frozen=True):
    """What one channel is still to be sent of one pending document.

    Attributes:
        events: each with the `seq` of its move, in their order.
        passed: the `seq` before the first of them up to which nothing is to be sent any more; None: no move.
        set_aside: number of events among those that are not sent though the filter admits them.
    """

    events: Sequence[tuple[int, Event]]
    passed: int | None
    set_aside: int


def events_of(pending: Pending) -> Sequence[tuple[int, Event | None]]:
    """The events of all moves that are kept, each with its `seq`, in their order.

    None stands for the event of a move that cannot be read. Each event of a job shows the job as it is now.
    """
    job = None if pending.record is None else record_view(pending.record, pending.details)
    events = []
    for move in pending.moves:
        seq, at = move.get("seq"), move.get("at")
        if isinstance(seq, int) and isinstance(at, datetime):
            events.append((seq, _event(pending, seq, at, move, job)))
    return events


def _event(
    pending: Pending, seq: int, at: datetime, move: Mapping[str, Any], job: Mapping[str, Any] | None
) -> Event | None:
    try:
        if job is not None:
            id_, type_ = job_event_id(pending.name, seq), job_event_type(_move(seq, at, move))
            return Event(id_, type_, at, pending.name, job.get("cluster"), move, job)
        if pending.name == SYNC:
            return Event(sync_event_id(seq), EventType.SYNC_RESUMED, at, SYNC_SUBJECT, None, move)
        type_ = EventType(f"flinkjobs.cluster.{move['status']}")
        return Event(cluster_event_id(pending.name, seq), type_, at, pending.name, pending.name, move)
    except (KeyError, ValueError):  # of a newer version of flinkjobs
        return None


def _move(seq: int, at: datetime, move: Mapping[str, Any]) -> Move:
    was = move.get("was")
    return Move(
        seq=seq,
        at=at,
        was=None if was is None else Status(was),
        status=Status(move["status"]),
        flink_state=None,
        reason_code=None,
        by=Writer.SYNC,
        stuck=move.get("stuck"),
        unhealthy=move.get("unhealthy"),
    )


def due_events(subject: Subject, channel: ChannelState, admitted: EventFilter, now: datetime) -> Due:
    """What a channel is still to be sent.

    Set aside is every event of a channel that is gone; what has waited long enough for one that fails; a move
    that cannot be read; and one event where the history has lost moves before they were sent.
    """
    done = subject.pending.delivered.get(channel.name, -1)
    kept: list[tuple[int, Event]] = []
    set_aside = 0
    for seq, event in subject.events:
        if seq <= done or (event and (event.time < channel.since or not admitted.admits(event))):
            continue
        if event is None or _is_set_aside(event, channel, now):
            set_aside += 1
        else:
            kept.append((seq, event))
    passed = [seq for seq, _ in subject.events if not kept or seq < kept[0][0]]
    if _has_lost_moves(subject, done, channel):
        set_aside += 1
        passed.append(subject.events[0][0] - 1)
    return Due(kept, max(passed, default=None), set_aside)


def _is_set_aside(event: Event, channel: ChannelState, now: datetime) -> bool:
    if channel.gone_at is not None:
        return True
    return channel.failing_since is not None and is_too_old(event, channel.failing_since, now)


def is_too_old(event: Event, failing_since: datetime, now: datetime) -> bool:
    """Whether an event has waited long enough for a channel that has failed since then."""
    return now - max(event.time, failing_since) >= SET_ASIDE_AFTER


def _has_lost_moves(subject: Subject, done: int, channel: ChannelState) -> bool:
    """Whether moves left the history, which keeps the newest ones, before they were sent.

    How many they were is not known.
    """
    if len(subject.pending.moves) < MOVES_KEPT or not subject.events:
        return False
    seq, event = subject.events[0]
    return seq - 1 > done and event is not None and max(channel.since, subject.pending.since) < event.time


class Item(msgspec.Struct, frozen=True, eq=False):
    """One event to be sent.

    Attributes:
        subject: of the event, as delivery keeps it.
        seq: of its move.
    """

    subject: Subject
    seq: int
    event: Event


Send: TypeAlias = tuple[Item, ...]
"""One request: one event, or those of a digest."""


def lanes(due: Sequence[Sequence[Item]], digest_above: int | None) -> list[deque[Send]]:
    """The requests to one channel. Those of one lane follow each other; lanes are independent.

    Without digests, each job has a lane. With them there is one: more events of one type than `digest_above`
    are one request, and the events of a job stay in their order.

    Args:
        due: by job or cluster, its events in their order.
        digest_above: see `flinkjobs.ports.channels.Channel`.
    """
    if digest_above is None:
        return [deque((item,) for item in items) for items in due]
    rests = [deque(items) for items in due]
    sends: list[Send] = []
    while rests := [rest for rest in rests if rest]:
        wanted = _next_type(rests)
        taken: list[Item] = []
        for rest in rests:
            while rest and rest[0].event.type is wanted:
                taken.append(rest.popleft())
        sends += [tuple(taken)] if len(taken) > digest_above else [(item,) for item in taken]
    return [deque(sends)]


def _next_type(rests: Sequence[deque[Item]]) -> EventType:
    """The type to be sent next: one of which all events can be sent now, if there is any."""
    heads = [rest[0].event for rest in rests]
    behind: set[EventType] = set()
    for head, rest in zip(heads, rests, strict=True):
        types = [item.event.type for item in rest]
        behind.update(itertools.dropwhile(head.type.__eq__, types))
    free = [event for event in heads if event.type not in behind]
    return min(free or heads, key=attrgetter("time")).type


def after_delivery(
    before: ChannelState,
    *,
    delivered: int,
    set_aside: int,
    failure: Failed | Gone | None,
    is_stopped: bool,
    now: datetime,
    jitter: float,
) -> ChannelState:
    """A channel after one delivery.

    Args:
        before: as it was.
        delivered: number of events that it has taken.
        set_aside: number of events that it goes without from now on.
        failure: the last one.
        is_stopped: it failed too often in this delivery, or took nothing and failed.
        now: the time at the end of the delivery.
        jitter: between 0 and 1.
    """
    after = replace(before, set_aside=before.set_aside + set_aside)
    if delivered:
        after = replace(after, last_success_at=now, failing_since=None, attempts=0, next_attempt_at=None)
    if failure is None:
        return after
    after = replace(after, last_error=failure.error)
    if isinstance(failure, Gone):
        return replace(after, gone_at=now, failing_since=after.failing_since or now, next_attempt_at=None)
    if not is_stopped:
        return after
    attempts = after.attempts + 1
    delay = min(FIRST_DELAY_SECONDS * 2 ** min(attempts - 1, 10), MAX_DELAY_SECONDS) * (0.5 + jitter / 2)
    asked = min(failure.retry_after_seconds or 0.0, MAX_DELAY_SECONDS)
    return replace(
        after,
        failing_since=after.failing_since or now,
        attempts=attempts,
        next_attempt_at=now + timedelta(seconds=max(delay, asked)),
    )


def is_waiting(channel: ChannelState, now: datetime) -> bool:
    """Whether nothing is sent to a channel now: it failed lately, or only another version names it."""
    return channel.removed_at is not None or (
        channel.next_attempt_at is not None and channel.next_attempt_at > now
    )


def as_configured(
    known: Mapping[str, ChannelState], names: Collection[str], now: datetime
) -> dict[str, ChannelState]:
    """The channels that count: those that the settings name, and those that they named lately.

    A new one, and one that was removed and is back, begins now.
    """
    current: dict[str, ChannelState] = {}
    for name in names:
        channel = known.get(name)
        if channel is None or _is_removed(channel, now):
            current[name] = ChannelState(name, since=now, set_aside=channel.set_aside if channel else 0)
        else:
            current[name] = replace(channel, removed_at=None)
    for name, channel in known.items():
        if name not in current and not _is_removed(channel, now):
            current[name] = replace(channel, removed_at=channel.removed_at or now)
    return current


def _is_removed(channel: ChannelState, now: datetime) -> bool:
    return channel.removed_at is not None and now - channel.removed_at >= REMOVED_AFTER
