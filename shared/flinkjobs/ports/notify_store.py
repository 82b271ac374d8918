"""Protocol for the store of what channels still have to be sent.

A record, or a document of `clusters`, is *pending* from the write of a move until it was sent to every
channel, or set aside. As in `flinkjobs.ports.store`, an error is never an empty answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from flinkjobs.domain.cluster_moves import ClusterMove, ClusterRecord
from flinkjobs.domain.records import DocumentId, JobRecord, UnreadableRecord


class Pending(msgspec.Struct, frozen=True):
    """A job, a cluster, or sync itself, with moves that a channel may still have to be sent.

    Attributes:
        document_id: by which the store finds it again.
        name: the job id, the name of the cluster, or `SYNC` of `flinkjobs.domain.cluster_moves`.
        version: as it was read: the record's `revision`, the cluster's `seq`.
        since: the time of the first of these moves.
        moves: its history as it is stored, oldest first.
        delivered: `seq` of the last move that each channel was sent or has no need of, by channel.
        waiting_for: the channels for which alone it is still pending, where delivery has left it so.
        record: of a job; None of a cluster.
        details: of a job, the fields of the document that are only displayed.
    """

    document_id: DocumentId
    name: str
    version: int | None
    since: datetime
    moves: Sequence[Mapping[str, Any]]
    delivered: Mapping[str, int]
    waiting_for: frozenset[str] = frozenset()
    record: JobRecord | UnreadableRecord | None = None
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Sent(msgspec.Struct, frozen=True):
    """An event that a channel has taken.

    Attributes:
        seq: of its move.
        type: of the event.
        at: when the channel had taken it.
    """

    channel: str
    seq: int
    type: str
    at: datetime


class Progress(msgspec.Struct, frozen=True):
    """What delivery has done with one pending document.

    Attributes:
        delivered: by channel, the `seq` up to which it is done.
        waiting_for: the channels for which it stays pending; empty: it is pending no more. None: other
            channels are still being served.
        sent: the events that channels have taken since the last progress.
    """

    pending: Pending
    delivered: Mapping[str, int]
    waiting_for: frozenset[str] | None = None
    sent: Sequence[Sent] = ()


class ChannelState(msgspec.Struct, frozen=True):
    """One channel as the store keeps it.

    Attributes:
        since: moves before it are not sent.
        last_success_at: when it last took an event.
        failing_since: set from a failure until the next success.
        attempts: passes in a row that it has failed.
        next_attempt_at: until then nothing is sent to it.
        last_error: of the last failure, one line.
        set_aside: number of events that it will not be sent.
        delivered: number of events that it has taken; a repeated one counts again.
        failed: number of events that were sent and that it has not taken; each attempt counts.
        gone_at: when its receiver answered that it wants no events any more.
        removed_at: since when the settings do not name it.
    """

    name: str
    since: datetime
    last_success_at: datetime | None = None
    failing_since: datetime | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    set_aside: int = 0
    delivered: int = 0
    failed: int = 0
    gone_at: datetime | None = None
    removed_at: datetime | None = None


class NotifyStore(Protocol):
    """The collections `clusters` and `channels`, and the marks of delivery on both kinds of records."""

    def last_pass_at(self) -> datetime | None:
        """When the latest whole pass that was saved began."""

    def clusters(self) -> Mapping[str, ClusterRecord]:
        """The clusters that have a document, by name, and sync itself."""

    def save_cluster(self, before: ClusterRecord, after: ClusterRecord, moves: Sequence[ClusterMove]) -> None:
        """Writes what changed with its moves, unless another pass has added a move since it was read."""

    def channels(self) -> Mapping[str, ChannelState]:
        """Every channel that was ever named, by name."""

    def save_channel(self, before: ChannelState | None, after: ChannelState) -> None:
        """Writes what changed; adds to the counts. Without `before`, only if there is none of this name."""

    def pending(self, *, waiting_for: Collection[str], limit: int) -> Sequence[Pending]:
        """What is pending and waits for no particular channel, or for one of these; oldest first."""

    def waiting(self, channel: str, *, limit: int) -> Sequence[Pending]:
        """What waits for this channel, oldest first."""

    def count_waiting(self, channel: str) -> int:
        """How many documents wait for this channel."""

    def note(self, progress: Sequence[Progress]) -> None:
        """Notes what was delivered; it stays whatever else is written to a document.

        A document stops being pending, or waits for the channels, only if it still is as it was read.
        """

    def retry(self, channel: str | None) -> Sequence[str]:
        """Ends the waiting time of a channel, or of all, and counts what was set aside from 0 again.

        A channel that is gone gets what happens from the next pass on.

        Returns:
            The names of the channels that are known and were changed.
        """

    def forget(self, *, before: datetime, limit: int, now: datetime) -> None:
        """Where no channel is configured: what moved last before `before` is pending no more.

        Every channel counts as removed at `now`, unless it is already.
        """
