"""The delivery of one pass: sends what is pending to every channel, eight requests at a time.

    pending documents → their events, by channel → requests, those of one job one after another
                      → after each answer: `delivered`; when all channels are done: no longer pending

What is noted never runs ahead of what a receiver has taken. So a delivery that is killed loses nothing: the
next one repeats what was sent and not noted, with the same ids. A channel that fails holds up itself alone.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from flinkjobs import log
from flinkjobs.domain.batches import chunks
from flinkjobs.domain.events import Event
from flinkjobs.lease import ActiveLease
from flinkjobs.notify.plan import (
    Item,
    Send,
    Subject,
    after_delivery,
    as_configured,
    due_events,
    is_too_old,
    is_waiting,
    lanes,
)
from flinkjobs.observers.deadline import Deadline
from flinkjobs.ports.channels import Channel, Delivered, Failed, Gone, SendResult
from flinkjobs.ports.notify_store import ChannelState, NotifyStore

SENDS_AT_ONCE: Final = 8
"""Maximum number of concurrent requests to all channels together."""

MAX_PENDING: Final = 10_000
"""Maximum number of pending records that one delivery reads."""

MAX_WAITING: Final = 1_000
"""Maximum number of records that are read of those that wait for one channel that has failed."""

MAX_FAILURES: Final = 3
"""Number of failures, more than successes, after which a channel gets nothing more in this delivery."""

SEND_SECONDS: Final = 20.0
"""Seconds that a request to a channel may take; with less time left, one that has failed is not tried."""

DOCUMENTS_PER_WRITE: Final = 1_000
"""Maximum number of documents whose progress is written together."""


class Delivery:
    """Delivers to the channels of the settings."""

    def __init__(
        self,
        store: NotifyStore,
        channels: Sequence[Channel],
        *,
        clock: Callable[[], datetime],
        chance: random.Random | None = None,
    ) -> None:
        """Args:
        store: what is pending.
        channels: at least one, of different names.
        clock: the time now, aware UTC.
        chance: of the delays and of the order between jobs.
        """
        self._store = store
        self._channels = {channel.name: channel for channel in channels}
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - no secret depends on it

    def begin(self) -> None:
        """Makes the channels known before a pass writes moves: a new channel gets those from now on."""
        known = self._store.channels()
        for name, state in as_configured(known, self._channels, self._clock()).items():
            if state != known.get(name):
                self._store.save_channel(known.get(name), state)

    def run(self, deadline: Deadline, lease: ActiveLease) -> dict[str, dict[str, int]]:
        """Sends until everything is sent, the channels fail, the time is up or the lease is gone.

        Returns:
            Per channel, how many events were `delivered`, `failed` and `set_aside`, and how many jobs and
            clusters are `waiting`.

        Raises:
            StoreUnavailableError: what is pending could not be read or noted.
        """
        now = self._clock()
        known = self._store.channels()
        current = as_configured(known, self._channels, now)
        is_short = deadline.is_within(SEND_SECONDS)
        held = {
            name: state
            for name, state in current.items()
            if is_waiting(state, now) or (is_short and state.failing_since is not None)
        }
        runs = [
            ChannelRun(channel, current[name], now)
            for name, channel in self._channels.items()
            if name not in held
        ]
        subjects = self._read(runs, known.keys() - current.keys())
        for subject in subjects:
            for run in runs:
                run.take(subject)
            for name, state in held.items():
                if self._is_admitted(subject, name, state, now):
                    subject.held.add(name)
        self._note(subjects)
        self._send(runs, deadline, lease)
        for run in runs:
            self._note(run.close())
        return {name: self._finish(name, runs, subjects) for name in self._channels}

    def _read(self, runs: Sequence[ChannelRun], removed: Collection[str]) -> list[Subject]:
        """What is pending for the channels that may be served now.

        Of what waits for a channel that has failed only a part is read: the channel may fail again.
        """
        served = {run.name for run in runs if not run.is_failing} | set(removed)
        found = [*self._store.pending(waiting_for=served, limit=MAX_PENDING)]
        for run in runs:
            if run.is_failing:
                found += self._store.waiting(run.name, limit=MAX_WAITING)
        unique = {(each.record is None, each.document_id.value): each for each in found}
        return [Subject(pending) for pending in unique.values()]

    def _is_admitted(self, subject: Subject, name: str, state: ChannelState, now: datetime) -> bool:
        """Whether events of a subject are to wait for a channel; for one that is not known here, they are."""
        channel = self._channels.get(name)
        return channel is None or bool(due_events(subject, state, channel.filter, now).events)

    def _note(self, subjects: Iterable[Subject]) -> None:
        progress = [each for subject in subjects if (each := subject.progress()) is not None]
        for chunk in chunks(progress, DOCUMENTS_PER_WRITE):
            self._store.note(chunk)

    def _send(self, runs: Sequence[ChannelRun], deadline: Deadline, lease: ActiveLease) -> None:
        busy = [run for run in runs if run.begin(self._chance)]
        if not busy or not lease.is_ours():
            return
        each_at_once = max(1, SENDS_AT_ONCE // len(busy))
        running: dict[Future[SendResult], tuple[ChannelRun, deque[Send], Send]] = {}
        with ThreadPoolExecutor(SENDS_AT_ONCE, thread_name_prefix="notify") as threads:
            while True:
                if not deadline.is_over() and not lease.is_lost:
                    for run in busy:
                        for lane, send in run.next_sends(each_at_once):
                            events = [item.event for item in send]
                            running[threads.submit(_send_one, run.channel, events)] = run, lane, send
                if not running:
                    return
                answered: list[Send] = []
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    run, lane, send = running.pop(future)
                    run.note(future.result(), lane, send, self._clock())
                    answered.append(send)
                self._note({item.subject for send in answered for item in send})

    def _finish(self, name: str, runs: Sequence[ChannelRun], subjects: Sequence[Subject]) -> dict[str, int]:
        """Writes what became of a channel, and counts."""
        unsent = [each for each in subjects if each.is_open(name) and name not in each.pending.waiting_for]
        run = next((run for run in runs if run.name == name), None)
        if run is None:
            counts = {"delivered": 0, "failed": 0, "set_aside": 0}
        else:
            counts = {"delivered": run.delivered, "failed": run.failed, "set_aside": run.set_aside}
            after = after_delivery(
                run.state,
                delivered=run.delivered,
                set_aside=run.set_aside,
                failure=run.failure,
                is_stopped=run.is_stopped or not run.delivered,
                now=self._clock(),
                jitter=self._chance.random(),
            )
            counted = after.delivered + run.delivered, after.failed + run.failed
            after = replace(after, delivered=counted[0], failed=counted[1])
            if after != run.state:
                self._store.save_channel(run.state, after)
        may_wait = run is None or run.failure is not None or run.is_failing
        return counts | {"waiting": len(unsent) + (self._store.count_waiting(name) if may_wait else 0)}


def _send_one(channel: Channel, events: Sequence[Event]) -> SendResult:
    try:
        return channel.send(events)
    except Exception as error:  # noqa: BLE001 - the fault of one channel must not stop the others
        log.error("notify.channel_broken", exception=error, channel=channel.name)
        return Failed(f"internal error: {type(error).__name__}")


class ChannelRun:
    """One channel in one delivery.

    Attributes:
        channel: where to send.
        state: as it was when the delivery began.
        delivered: number of events that it has taken.
        failed: number of events that were sent and that it has not taken.
        set_aside: number of events that it will not be sent.
        failure: the last one.
        is_stopped: it gets nothing more in this delivery.
    """

    def __init__(self, channel: Channel, state: ChannelState, now: datetime) -> None:
        """Args: see the attributes; `now` is when the delivery began."""
        self.channel, self.state = channel, state
        self.delivered = self.failed = self.set_aside = 0
        self.failure: Failed | Gone | None = None
        self.is_stopped = False
        self._now = now
        self._due: list[tuple[Subject, list[Item]]] = []
        self._lanes: deque[deque[Send]] = deque()
        self._running = 0
        self._failures = 0

    @property
    def name(self) -> str:
        """Of the channel."""
        return self.channel.name

    @property
    def is_failing(self) -> bool:
        """Whether it has failed lately, and may again."""
        return self.state.failing_since is not None and self.state.gone_at is None

    def take(self, subject: Subject) -> None:
        """Takes up what is to be sent of one subject."""
        due = due_events(subject, self.state, self.channel.filter, self._now)
        self.set_aside += due.set_aside
        subject.expect(self.name, due)
        if due.events:
            self._due.append((subject, [Item(subject, seq, event) for seq, event in due.events]))

    def begin(self, chance: random.Random) -> bool:
        """Puts the requests in order; whether there are any.

        What has waited for this channel comes last, in any order between the jobs: one whose event the
        receiver never takes must not hold up the others.
        """
        fresh = [items for subject, items in self._due if self.name not in subject.pending.waiting_for]
        tried = [items for subject, items in self._due if self.name in subject.pending.waiting_for]
        chance.shuffle(tried)
        self._lanes = deque(lanes([*fresh, *tried], self.channel.digest_above))
        return bool(self._due)

    def next_sends(self, at_once: int) -> Iterator[tuple[deque[Send], Send]]:
        """The requests to begin now, each with its lane, which waits for the answer."""
        while self._running < at_once and self._lanes and not self.is_stopped:
            lane = self._lanes.popleft()
            send = tuple(item for item in lane.popleft() if item.subject.is_open(self.name)) if lane else ()
            if send:
                self._running += 1
                yield lane, send
            elif lane:
                self._lanes.appendleft(lane)

    def note(self, result: SendResult, lane: deque[Send], send: Send, now: datetime) -> None:
        """Notes the answer to one request."""
        self._running -= 1
        self._lanes.appendleft(lane)
        if isinstance(result, Delivered):
            self.delivered += len(send)
            self._failures = max(self._failures - 1, 0)
            for item in send:
                item.subject.note_sent(self.name, item.seq, item.event, now)
            return
        self.failed += len(send)
        self.failure = result
        self._failures += 1
        self.is_stopped = self.is_stopped or isinstance(result, Gone) or self._failures >= MAX_FAILURES
        log.warning(
            "notify.failed",
            channel=self.name,
            event_id=send[0].event.id,
            events=len(send),
            error=result.error,
        )
        for item in send:
            if isinstance(result, Gone) or is_too_old(item.event, item.event.time, now):
                self.set_aside += 1
                item.subject.advance(self.name, item.seq)
            else:
                item.subject.hold(self.name)

    def close(self) -> list[Subject]:
        """Ends the delivery; what is left for a channel that failed too often waits for it.

        Returns:
            The subjects whose progress is to be noted.
        """
        subjects = [subject for subject, _ in self._due] if self.is_stopped else []
        for subject in subjects:
            subject.hold(self.name)
        return subjects
