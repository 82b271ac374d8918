"""Which records a pass has to look at closely, beside what their clusters show.

Of most records nothing is new: the store passes over those that `Scan.skip` takes, without decoding them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from flinkjobs.domain.flink_states import STATUS_OF, TERMINAL_STATES
from flinkjobs.domain.observations import OverviewEntry
from flinkjobs.domain.records import AtRest, JobRecord, Skipped, Status, UnreadableRecord
from flinkjobs.domain.transition import is_as_shown
from flinkjobs.observers.flink_snapshot import Snapshots

PATIENCE_SECONDS: Final = 1.0
"""So long a pass waits for the overviews; then it begins with the records of the clusters that are there."""


class Scan:
    """The records of one pass, told apart.

    Attributes:
        unchanged: how many were passed over, because nothing is new.
        asking: those for which somebody has to be asked: Kubernetes, or Flink about one job.
        unreadable: documents that are no records.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        """Args:
        snapshots: what the clusters show.
        """
        self.unchanged = 0
        self.asking: list[JobRecord] = []
        self.unreadable: list[UnreadableRecord] = []
        self._snapshots = snapshots
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._shown: dict[str, Mapping[str, OverviewEntry] | None] = {}
        self._moved: list[JobRecord] = []
        self._waiting: dict[str, list[JobRecord]] = defaultdict(list)

    def skip(self, rest: AtRest) -> bool:
        """Whether nothing is new of a record at rest. That is not known before its cluster has answered."""
        if rest.cluster not in self._shown and not self._is_there(rest.cluster):
            return False
        shown = self._shown[rest.cluster]
        if shown is None:  # the cluster could not be asked: it says nothing new
            return STATUS_OF.get(rest.state) == rest.status
        entry = shown.get(rest.flink_job_id)
        return entry is not None and is_as_shown(rest, entry)

    def moved(
        self, found: Iterable[JobRecord | UnreadableRecord | Skipped], *, size: int
    ) -> Iterator[list[JobRecord]]:
        """The records of which the snapshots say something new, and all there is to know; in portions.

        Records whose cluster has not answered yet come after the others.
        """
        for one in found:
            if isinstance(one, Skipped):
                self.unchanged += one.count
            elif isinstance(one, UnreadableRecord):
                self.unreadable.append(one)
            else:
                self._place(one)
                if len(self._moved) >= size:
                    yield self._taken()
        for cluster, records in self._waiting.items():
            self._shown[cluster] = self._snapshots.entries(cluster)
            for record in records:
                self._place(record)
                if len(self._moved) >= size:
                    yield self._taken()
        if self._moved:
            yield self._taken()

    def _is_there(self, cluster: str) -> bool:
        """Whether a cluster has answered, or cannot be asked; waited for as long as the patience lasts."""
        patience = max(0.0, self._patient_until - time.monotonic())
        if not self._snapshots.is_there(cluster, within_seconds=patience):
            return False
        self._shown[cluster] = self._snapshots.entries(cluster)
        return True

    def _place(self, record: JobRecord) -> None:
        if record.cluster not in self._shown and not self._is_there(record.cluster):
            self._waiting[record.cluster].append(record)
        elif _needs_nobody(record, self._shown[record.cluster]):
            self._moved.append(record)
        else:
            self.asking.append(record)

    def _taken(self) -> list[JobRecord]:
        taken, self._moved = self._moved, []
        return taken


def _needs_nobody(record: JobRecord, shown: Mapping[str, OverviewEntry] | None) -> bool:
    """Whether the snapshot alone says what there is to know.

    It does not where the submitter may say more, and where a job is missing, or has failed: then Flink is
    asked about it.
    """
    if shown is None or not record.submitter_done or not record.flink_jobs or record.status is Status.LOST:
        return False
    for ref in record.flink_jobs:
        if ref.state not in TERMINAL_STATES:
            entry = shown.get(ref.id)
            if entry is None or entry.state == "FAILED":
                return False
    return True
