"""Protocol for the actions that records hold. Errors as in `flinkjobs.ports.store`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from flinkjobs.domain.actions import Action
from flinkjobs.domain.records import JobRecord, UnreadableRecord


class ActionStore(Protocol):
    """The actions in the collection `flink_jobs`; of the rest of a record, `move` alone writes `ended_by`."""

    def look_up(self, any_id: str) -> JobRecord | None:
        """The record with this `job_id`, `k8s_job_name` or Flink Job ID; of several, the newest."""

    def request(self, record: JobRecord, action: Action) -> JobRecord:
        """Adds an action, unless the record is over, or has one of this kind that is open, or of this key.

        Returns:
            The record as it is then; the action is among its own if it was added.
        """

    def with_open_action(
        self, job_ids: Collection[str] | None = None
    ) -> Iterator[JobRecord | UnreadableRecord]:
        """Streams the records with an open action, in any status, those that wait longest first.

        Args:
            job_ids: only these.
        """

    def move(self, record: JobRecord, before: Action, after: Action) -> bool:
        """Writes an action on condition that no other pass has moved it, see `may_follow`; whether it did.

        With the success of a cancel or stop goes `ended_by`; where the record is not over, a pass that has
        read it before the success cannot end it.
        """

    def close(self, record: JobRecord) -> None:
        """Takes the record from those with an open action, if it has none."""
