"""What a whole pass notes of the clusters and of sync itself, for all jobs together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flinkjobs.domain.cluster_moves import SYNC, ClusterRecord, after_pass, resumed
from flinkjobs.observers.flink_snapshot import Snapshots
from flinkjobs.sync.context import Sync


def note_clusters(
    sync: Sync,
    snapshots: Snapshots,
    clusters: Mapping[str, Mapping[str, Any]],
    started_at: datetime,
    *,
    is_complete: bool,
) -> None:
    """Writes what has changed of each cluster; nothing in a pass in which all is as before.

    Args:
        sync: as of the pass.
        snapshots: of the pass.
        clusters: as in its report.
        started_at: when it began.
        is_complete: whether it looked at all records.

    Raises:
        StoreUnavailableError: the clusters could not be read or written.
    """
    store = sync.notify_store
    known = store.clusters()
    missing = snapshots.missing()
    for name, cluster in clusters.items():
        before = known.get(name, ClusterRecord(name))
        after, moves = after_pass(
            before,
            is_answered=cluster["reachable"],
            missing=missing.get(name, 0),
            is_complete=is_complete,
            now=started_at,
        )
        if after != before:
            store.save_cluster(before, after, moves)
    before = known.get(SYNC, ClusterRecord(SYNC))
    after, moves = resumed(before, last_pass_at=store.last_pass_at(), now=started_at, period=sync.period)
    if after != before:
        store.save_cluster(before, after, moves)
