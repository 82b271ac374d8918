"""Protocol for reading records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.health_values import HealthState, Mark
from flinkjobs.domain.job_sums import Sums
from flinkjobs.domain.unmanaged import UnmanagedJob, UnmanagedJobs
from flinkjobs.ports.notify_store import ChannelState

if TYPE_CHECKING:  # of the read side and of the command: a pass needs neither
    from flinkjobs.domain.job_query import Filter, Form, Place, Row, ScanEnd


class Tally(msgspec.Struct, frozen=True):
    """Number of records with these values, counted by the store.

    Attributes:
        status: as the document holds it, whatever that is.
        template_id: None where the document holds none that is a text.
        age: how long ago they were submitted, in whole hours below a day, in whole days from there on;
            None where the document does not say.
        unit: what `age` counts.
        has_id: a Flink job of theirs is known.
        count: how many they are.
        durations: in seconds, of those that hold a number there.
        stopped: how many of them a stop has ended.
    """

    status: str | None
    template_id: str | None
    age: int | None
    unit: Literal["hours", "days"]
    has_id: bool
    count: int
    durations: Sequence[float]
    stopped: int = 0


class Counted(msgspec.Struct, frozen=True):
    """All records, counted.

    Attributes:
        tallies: records of days that were not summed; their age is that at which their window begins.
        steps: the same records by status and age alone.
        days: the sums of the other days.
        edges: by the begin of a window, the records of the rest of its day, where this is among `days`.
    """

    tallies: Sequence[Tally]
    steps: Sequence[Tally]
    days: Sequence[Sums]
    edges: Mapping[datetime, Sequence[Tally]] = {}


class Cause(msgspec.Struct, frozen=True):
    """Records that wait, or have ended, for the same reason.

    Attributes:
        code: of the reason; None where the document holds no reason.
        job_ids: of the newest ones.
    """

    status: str
    code: str | None
    count: int
    job_ids: Sequence[str]


class TemplateHealth(msgspec.Struct, frozen=True):
    """The jobs of one template that moved lately or checkpoint.

    Attributes:
        restarts: of all of them, within the window.
        oldest: when the newest checkpoint completed of the job whose is the oldest; None without any.
    """

    template_id: str | None
    restarts: int
    oldest: datetime | None


class Backlog(msgspec.Struct, frozen=True):
    """The channels, and what they still have to be sent.

    Attributes:
        pending: number of jobs and clusters with events that are not sent to every channel.
        oldest_at: time of the oldest of these events; None without any.
        waiting: how many of them wait for a channel that has failed, by its name.
        channels: every channel that sync has been given.
    """

    pending: int
    oldest_at: datetime | None
    waiting: Mapping[str, int]
    channels: Sequence[ChannelState]


class ReadStore(Protocol):
    """Read-only access to the collections. Writes nothing, not even an index."""

    def search(self, text: str) -> Sequence[Any] | None:
        """What identifies the records that a text finds; None where these are very many."""

    def rows(
        self,
        form: Form,
        wanted: Filter,
        *,
        after: Place | None,
        limit: int,
        ids: Collection[Any] | None = None,
        with_history: bool = False,
    ) -> Sequence[Row | ScanEnd]:
        """The next records of one stream, newest first, and `ScanEnd` where the search has stopped.

        Args:
            form: the stream.
            wanted: the filter.
            after: where it goes on; None at its beginning.
            limit: maximum number of records.
            ids: what `search` finds for the text of the filter; likewise below.
            with_history: put `history` into `details`.
        """

    def count_before(
        self,
        form: Form,
        wanted: Filter,
        last: Place | None,
        *,
        limit: int,
        ids: Collection[Any] | None = None,
    ) -> int:
        """How many records of one stream there are up to and with `last`, or in all; `limit` at most, or
        where there are too many to be counted.
        """

    def counts(
        self, wanted: Filter, *, ids: Collection[Any] | None = None
    ) -> tuple[Mapping[str | None, int], Collection[str]]:
        """How many records there are of each status, which `wanted.statuses` does not restrict; and of which
        statuses there are, or may be, more.
        """

    def look_up(self, any_id: str) -> Row | None:
        """The record with this `job_id`, `k8s_job_name` or Flink Job ID, looked for in this order.

        Of several that share an id, the newest.
        """

    def tallies(self, now: datetime, begins: Sequence[datetime]) -> Counted:
        """All records, counted.

        Args:
            now: what their ages refer to.
            begins: when the windows begin, the latest first. What they hold of the day in which they begin is
                counted record by record, unless the records of this day may be deleted.
        """

    def causes(self, *, created_before: datetime, failed_since: datetime, examples: int) -> Sequence[Cause]:
        """Of the records that are CREATED since `created_before` or with a reason, and of those that were
        submitted since `failed_since` and FAILED: how many have which reason, and the newest of each. Of
        those that are unhealthy, the same by the code of their health.
        """

    def marks_of(self, flink_job_ids: Collection[str]) -> Sequence[Mark]:
        """What the latest passes remember of these Flink jobs."""

    def health_counts(self, unreachable: Collection[str]) -> Mapping[tuple[Status, HealthState], int]:
        """How many open records have which health written, and of how many it is unknown, by status.

        Args:
            unreachable: names of the clusters that did not answer last.
        """

    def health_by_template(self) -> Sequence[TemplateHealth]:
        """Restarts and checkpoints, by template."""

    def unmanaged(self) -> Sequence[UnmanagedJobs]:
        """The Flink jobs that belong to no record, by cluster, as the latest passes saw them."""

    def twins(self, job_id: str) -> Sequence[UnmanagedJob]:
        """The unmanaged jobs that have the name of a running job of this record."""

    def last_runs(self, *, limit: int) -> Sequence[Mapping[str, Any]]:
        """The latest passes over all records, newest first; the last errors of each only."""

    def last_complete_run(self) -> datetime | None:
        """When the latest complete pass over all records began."""

    def last_cleanup(self) -> Mapping[str, Any] | None:
        """The latest cleanup run, dry runs excluded."""

    def backlog(self) -> Backlog:
        """The channels, and what they still have to be sent."""

    def ping(self) -> None:
        """Checks that the store answers; raises within three seconds where it does not."""
