"""Finds the Flink jobs that belong to no record, from what a pass has read anyway."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from flinkjobs.domain.fingerprint import cluster_and_id
from flinkjobs.domain.observations import OverviewEntry, time_of
from flinkjobs.domain.unmanaged import UnmanagedJob, is_unmanaged, namesakes, unmanaged_job
from flinkjobs.observers.flink_snapshot import Snapshots
from flinkjobs.ports.store import JobStore
from flinkjobs.sync.report import BatchResult


def save_unmanaged_jobs(
    store: JobStore, snapshots: Snapshots, result: BatchResult, *, seen_at: datetime
) -> Mapping[str, int]:
    """Keeps the unmanaged jobs of every cluster that answered; returns how many each has.

    No Flink cluster is asked again. The store is asked for the owners of the jobs that no record of this
    pass has; a list that has not changed is not written.

    Args:
        store: the records.
        snapshots: of the pass.
        result: of a pass over all records that is complete.
        seen_at: when the pass began.

    Raises:
        StoreUnavailableError: the owners could not be read, or the lists not written.
    """
    counts = {}
    candidates = _without_record(store, result)
    for cluster, shown in snapshots.overviews().items():
        if shown is None:
            continue
        since = result.awaited_since.get(cluster)
        ids = {
            flink_job_id
            for flink_job_id in candidates.get(cluster, ())
            if is_unmanaged(time_of(shown[flink_job_id].start_ms), since)
        }
        store.save_unmanaged(cluster, _described(store, ids, shown), seen_at=seen_at)
        counts[cluster] = len(ids)
    return counts


def _without_record(store: JobStore, result: BatchResult) -> Mapping[str, Collection[str]]:
    """The ids of the running jobs that no record has, by cluster."""
    places = [cluster_and_id(fingerprint) for fingerprint in result.unmatched]
    unknown = [place for place in places if place[1] not in result.flink_job_ids]
    owned = store.owners({flink_job_id for _, flink_job_id in unknown}) if unknown else {}
    found: dict[str, set[str]] = defaultdict(set)
    for cluster, flink_job_id in unknown:
        if flink_job_id not in owned:
            found[cluster].add(flink_job_id)
    return found


def _described(
    store: JobStore, ids: Collection[str], shown: Mapping[str, OverviewEntry]
) -> Sequence[UnmanagedJob]:
    """These jobs, the newest first, each with the records that are its twins."""
    others = namesakes(ids, shown)
    owners = store.owners({other for those in others.values() for other in those}) if others else {}
    twins = {
        name: {job_id for other in those for job_id in owners.get(other, ())}
        for name, those in others.items()
    }
    newest_first = sorted(ids, key=lambda flink_job_id: (-shown[flink_job_id].start_ms, flink_job_id))
    return [unmanaged_job(id_, shown[id_], twins.get(shown[id_].name or "", ())) for id_ in newest_first]
