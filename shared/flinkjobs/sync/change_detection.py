"""Finds the open records that a pass reads whole: those whose Flink job changed."""

from __future__ import annotations

from collections.abc import Mapping

from flinkjobs.domain.fingerprint import Changes, detect_changes
from flinkjobs.domain.flink_states import OPEN, TERMINAL_STATES, Status
from flinkjobs.domain.observations import OverviewEntry
from flinkjobs.domain.records import JobRecord
from flinkjobs.observers.flink_snapshot import Snapshots
from flinkjobs.ports.store import JobStore


def changes_since_last_write(store: JobStore, snapshots: Snapshots) -> Changes:
    """Compares the stored fingerprints with the snapshots.

    The fingerprints are read while the clusters answer.

    Raises:
        StoreUnavailableError: the fingerprints could not be read.
    """
    stored = {status: list(store.fingerprints(status)) for status in sorted(OPEN)}
    return detect_changes(stored, snapshots.overviews())


def is_decided_by_snapshot(record: JobRecord, shown: Mapping[str, OverviewEntry] | None) -> bool:
    """Whether the snapshot of its cluster suffices to decide a record.

    It does not where the submitter may say more, and where a job is missing or has failed: then Kubernetes,
    or Flink, is asked about that record.
    """
    if shown is None or not record.submitter_done or not record.flink_jobs or record.status is Status.LOST:
        return False
    entries = [shown.get(ref.id) for ref in record.flink_jobs if ref.state not in TERMINAL_STATES]
    return all(entry is not None and entry.state != "FAILED" for entry in entries)
