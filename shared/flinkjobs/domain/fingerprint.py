"""Fingerprints of records: they identify unchanged records without reading them whole.

A fingerprint is `cluster|Flink Job ID|state|start`, with Flink's raw state and its start time in milliseconds
since 1970, as Flink showed them when the record was last written. A record has one while it waits only for
its Flink job: its submitter is done, and its one job is confirmed, open and not missing, without a reason. As
long as the overview of its cluster shows the same, `decide` would keep the record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from flinkjobs.domain.flink_states import OPEN, STATUS_OF, TERMINAL_STATES, Status
from flinkjobs.domain.observations import FlinkJob, FlinkObservation, OverviewEntry
from flinkjobs.domain.records import JobRecord

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Changes(msgspec.Struct, frozen=True):
    """Records with a fingerprint, compared with what their clusters show.

    Attributes:
        unchanged: how many.
        changed: the fingerprints of the others, by the status of their records.
        unmatched: the fingerprints of the Flink jobs that go on and are no unchanged record's.
    """

    unchanged: int
    changed: Mapping[Status, Sequence[str]]
    unmatched: frozenset[str] = frozenset()


def fingerprint(cluster: str, flink_job_id: str, state: str, start_ms: int) -> str:
    """The string that compares a record with an overview."""
    return f"{cluster}|{flink_job_id}|{state}|{start_ms}"


def cluster_and_id(fingerprint: str) -> tuple[str, str]:
    """The cluster and the Flink Job ID of a fingerprint; a cluster's name may hold any character."""
    cluster, flink_job_id, _, _ = fingerprint.rsplit("|", 3)
    return cluster, flink_job_id


def fingerprint_of(record: JobRecord, flink: Mapping[str, FlinkObservation]) -> str | None:
    """The fingerprint to be stored with a record; None while it waits for more than its Flink job.

    Args:
        record: as it is after `decide`.
        flink: what was observed, by Flink Job ID; a job that was not observed leaves the fingerprint.
    """
    if not _is_at_rest(record):
        return None
    [ref] = record.flink_jobs
    job = flink.get(ref.id)
    if not isinstance(job, FlinkJob):
        return record.fingerprint
    start_ms = (job.start_time - _EPOCH) // _MILLISECOND if job.start_time else 0
    return fingerprint(record.cluster, ref.id, job.state, start_ms)


def _is_at_rest(record: JobRecord) -> bool:
    if record.status not in OPEN or not record.submitter_done or record.reason or len(record.flink_jobs) != 1:
        return False
    [ref] = record.flink_jobs
    return (
        ref.confirmed
        and ref.state in STATUS_OF
        and ref.state not in TERMINAL_STATES
        and ref.state == record.flink_state
        and ref.missing_since is None
    )


def detect_changes(
    stored: Mapping[Status, Collection[str]],
    overviews: Mapping[str, Mapping[str, OverviewEntry] | None],
) -> Changes:
    """Finds the records with a fingerprint that must be read whole.

    Args:
        stored: the fingerprints of the records, by their status.
        overviews: by cluster, then by Flink Job ID; None for a cluster that could not be asked, of which
            every record counts as unchanged, as of a cluster that the settings do not describe.
    """
    shown = _shown(overviews)
    changed = {
        status: [
            each
            for each in fingerprints
            if each not in shown[status] and overviews.get(cluster_and_id(each)[0]) is not None
        ]
        for status, fingerprints in stored.items()
    }
    unmatched = [shown[status].difference(stored.get(status, ())) for status in OPEN]
    return Changes(
        unchanged=sum(map(len, stored.values())) - sum(map(len, changed.values())),
        changed=changed,
        unmatched=frozenset().union(*unmatched),
    )


def _shown(overviews: Mapping[str, Mapping[str, OverviewEntry] | None]) -> Mapping[Status, set[str]]:
    """The fingerprints of all jobs, by each status with which they leave a record unchanged.

    The status is compared too: a version of sync that knows no fingerprint may have written the record since.
    """
    shown: dict[Status, set[str]] = {status: set() for status in OPEN}
    by_state = {state: shown[status] for state, status in STATUS_OF.items() if status in OPEN}
    for cluster, entries in overviews.items():
        for flink_job_id, entry in (entries or {}).items():
            if (unchanged := by_state.get(entry.state)) is not None:
                unchanged.add(fingerprint(cluster, flink_job_id, entry.state, max(entry.start_ms, 0)))
    return shown
