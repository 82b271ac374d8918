"""Random histories with receivers: every move is delivered, in order, and nothing else is."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from flinkjobs.domain.events import EventFilter
from flinkjobs.notify.delivery import Delivery
from flinkjobs.sync.context import Sync
from tests.integration.property.machine import StatusMachine, decoded
from tests.integration.property.peers import Scene
from tests.integration.property.receivers import MOODS, Fuse, MortalStore, Receiver
from tests.integration.property.simulated_world import Happening

DAY: Final = timedelta(hours=24)
TYPES: Final = {
    "CREATED": "flinkjobs.job.created",
    "RUNNING": "flinkjobs.job.running",
    "SUSPENDED": "flinkjobs.job.suspended",
    "FINISHED": "flinkjobs.job.finished",
    "FAILED": "flinkjobs.job.failed",
    "CANCELLED": "flinkjobs.job.cancelled",
    "LOST": "flinkjobs.job.lost",
}
FILTERS: Final[Mapping[str, tuple[EventFilter, int | None]]] = {
    "all": (EventFilter(), None),
    "archived": (EventFilter(events=("flinkjobs.job.*",), clusters=("archived",)), None),
    "ends": (EventFilter(events=("*.finished", "*.failed", "*.cancelled", "*.lost", "*.recovered")), None),
    "chat": (EventFilter(events=("flinkjobs.job.*",)), 1),
    "late": (EventFilter(), 3),
}
"""Filter and digest of each channel. `late` is configured in the middle of a history."""


def type_of(move: Mapping[str, Any]) -> str:
    """The type of a job's event, as the documentation says."""
    if "stuck" in move:
        return "flinkjobs.job.stuck" if move["stuck"] else "flinkjobs.job.recovered"
    if move["was"] == "LOST" and move["status"] in ("CREATED", "RUNNING", "SUSPENDED"):
        return "flinkjobs.job.recovered"
    return TYPES[move["status"]]


class NotifyMachine(StatusMachine):
    """The world of the status machine, with channels."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse: Fuse | None = None
        self.has_died = False
        self.is_whole = False
        self.began = self.world.now
        self.receivers = {
            name: Receiver(name, admitted, digest, lambda: self.world.now, self._hand_over)
            for name, (admitted, digest) in FILTERS.items()
        }
        self.configured = ["all", "archived", "ends", "chat"]
        self._delivery(MortalStore(self.bench, lambda: None)).begin()

    # --- rules

    @rule(name=st.sampled_from(tuple(FILTERS)), mood=st.sampled_from(("up", "up", "up", *MOODS)))
    def a_receiver_changes(self, name: str, mood: str) -> None:
        self.receivers[name].mood = mood

    @precondition(lambda self: "late" not in self.configured)
    @rule()
    def a_channel_is_added(self) -> None:
        with self._step():
            self.configured.append("late")
            self.world.advance(timedelta(seconds=1))  # what was written before it is of the past
            self.world.version += 1

    @rule(name=st.sampled_from(tuple(FILTERS)))
    def the_channel_is_tried_again(self, name: str) -> None:
        """As a person says who has repaired the receiver."""
        self._try_again(name)

    @rule(
        messages=st.integers(0, 40),
        happenings=st.integers(0, 2),
        mood=st.sampled_from(("up", "mixed")),
    )
    def a_delivery_is_killed(self, messages: int, happenings: int, mood: str) -> None:
        """At one of the messages after the writes of a pass: to the store, or to a receiver."""
        with self._step():
            for number in range(happenings):
                self.world.happen(Happening("flink moves", number))
            for receiver in self.receivers.values():
                receiver.mood = mood if receiver.mood == "up" else receiver.mood
            self.fuse = Fuse(messages, self._note_death)
            self._pass()
            self.fuse = None

    @rule(messages=st.integers(0, 20))
    def sync_now_during_a_delivery(self, messages: int) -> None:
        """Another pass over a few records comes in between the messages of a delivery."""
        with self._step():
            self.fuse = Fuse(messages, self._sync_some_now, is_deadly=False)
            self._pass()
            self.fuse = None

    # --- parts of a step

    def _note_death(self) -> None:
        self.has_died = True
        [*_, (_, scene)] = self.under_way
        scene.is_dead = True

    def _sync_some_now(self) -> None:
        self.fuse = None
        self._look()
        self._pass(job_ids=self._some((0, 1, 2)))

    def _try_again(self, name: str) -> None:
        cleared = dict.fromkeys(("next_attempt_at", "gone_at", "failing_since"))
        self.bench.channels.update_one({"_id": name}, {"$set": {**cleared, "attempts": 0}})

    def _burn(self) -> None:
        if self.fuse is not None:
            self.fuse.burn()

    def _hand_over(self) -> None:
        """Of the messages to receivers, only a death can come in between: they are sent by threads."""
        if self.fuse is not None and self.fuse.is_deadly:
            self.fuse.burn()

    def _delivery(self, store: MortalStore) -> Delivery:
        channels = [self.receivers[name] for name in self.configured]
        return Delivery(store, channels, clock=lambda: self.world.now, chance=random.Random(7))  # noqa: S311

    def _setting(self, scene: Scene, budget_seconds: float) -> Sync:
        store = MortalStore(self.bench, self._burn)
        setting = super()._setting(scene, budget_seconds)
        return replace(setting, notify_store=store, delivery=self._delivery(store) if self.is_whole else None)

    def _pass(self, **given: Any) -> Scene:
        before = self.is_whole
        self.is_whole = given.get("job_ids") is None
        try:
            return super()._pass(**given)
        finally:
            self.is_whole = before

    def _check_quiet(self, version: int, before: Mapping[str, bytes], writes: int) -> None:
        """What a quiet pass writes is checked by the status machine, which has no channels."""

    # --- the end

    def teardown(self) -> None:
        """Receivers and world calm down: then everything is delivered."""
        for name, receiver in self.receivers.items():
            receiver.mood = "up"
            self._try_again(name)
        super().teardown()
        for _ in range(3):
            self.world.advance(timedelta(hours=1))
            self.world.version += 1
            self._pass()
        self.bench.tally["events"] += sum(len(each.received) for each in self.receivers.values())
        moves = self._moves()
        for name in self.configured:
            self._check_channel(self.receivers[name], moves)
        left = self.bench.jobs.count_documents({"pending_since": {"$exists": True}})
        assert left == 0, f"{left} records are pending, though everything is delivered"

    def _moves(self) -> dict[str, dict[str, Any]]:
        """Every move that was written, by the id of its event, with `type` and `cluster`."""
        moves = {}
        for job_id, raw in self.seen.items():
            document = decoded(raw)
            for move in document.get("history", []):
                shown = {"type": type_of(move), "cluster": document.get("cluster", "default")}
                moves[f"{job_id}/{move['seq']}"] = move | shown
        for document in self.bench.clusters.find():
            name = document["_id"]
            prefix, kind = ("sync", "sync") if name == "_sync" else (f"cluster/{name}", "cluster")
            for move in document.get("history", []):
                shown = {"type": f"flinkjobs.{kind}.{move['status']}", "cluster": name}
                moves[f"{prefix}/{move['seq']}"] = move | shown
        return moves

    def _check_channel(self, receiver: Receiver, moves: Mapping[str, Mapping[str, Any]]) -> None:
        state = self.bench.channels.find_one({"_id": receiver.name}) or {}
        admitted = FILTERS[receiver.name][0]
        wanted = {
            id_
            for id_, move in moves.items()
            if move["at"] >= state["since"]
            and (not admitted.events or any(fnmatchcase(move["type"], glob) for glob in admitted.events))
            and (not admitted.clusters or move["cluster"] in admitted.clusters)
        }
        arrived = [each.event.id for each in receiver.received]
        answered = [each.event.id for each in receiver.received if each.is_answered]
        assert set(arrived) <= wanted, f"{receiver.name} got {set(arrived) - wanted}, which it should not"
        for each in receiver.received:
            assert each.event.type.value == moves[each.event.id]["type"]
            assert each.event.move["at"] == moves[each.event.id]["at"]
        missed = wanted - set(arrived)
        if not receiver.has_been_gone and self.world.now - self.began < DAY:
            assert not missed, f"{receiver.name} never got {missed}"
        if not self.has_died:
            assert len(answered) == len(set(answered)), f"{receiver.name} got an event again: {answered}"
            assert len(missed) <= state["set_aside"]
        self._check_order(receiver.name, arrived)

    def _check_order(self, name: str, arrived: list[str]) -> None:
        """The first arrivals of each job's events are in the order of its moves."""
        seqs: defaultdict[str, list[int]] = defaultdict(list)
        for id_ in dict.fromkeys(arrived):
            subject, _, seq = id_.rpartition("/")
            seqs[subject].append(int(seq))
        for subject, found in seqs.items():
            assert found == sorted(found), f"{name} got the events of {subject} in the order {found}"
