"""Dependencies of a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from flinkjobs.domain.health_values import Limits
from flinkjobs.domain.records import JobRecord
from flinkjobs.domain.transition import Policy
from flinkjobs.lease import ActiveLease
from flinkjobs.observers.deadline import Deadline, never
from flinkjobs.observers.events import NamespaceEvents
from flinkjobs.observers.flink_jobs import FlinkObserver
from flinkjobs.observers.flink_snapshot import Snapshots, take_snapshots
from flinkjobs.observers.submitters import SubmitterObserver, always
from flinkjobs.ports.action_store import ActionStore
from flinkjobs.ports.flink import Flink
from flinkjobs.ports.health_store import HealthStore
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.ports.lease import LeaseStore
from flinkjobs.ports.notify_store import NotifyStore
from flinkjobs.ports.store import JobStore

if TYPE_CHECKING:  # imported by the composition root, where a channel is configured
    from flinkjobs.notify.delivery import Delivery

THREADS: Final = 8
"""Maximum number of concurrent requests, to all peers together."""


@dataclass(frozen=True, slots=True)
class Sync:
    """Dependencies of every pass.

    Attributes:
        store: the records.
        notify_store: what is said of clusters, and what channels still have to be sent.
        leases: keep passes apart.
        kubernetes: connects to Kubernetes, or returns the connection; it may raise.
        flinks: every Flink cluster, by its name in the settings.
        policy: see `Policy`.
        budget_seconds: after this long a pass begins with no further record.
        clock: the time now, aware UTC.
        period: the time between two passes.
        delivery: to the channels; None where the settings name none.
        is_stopping: whether the process has been asked to stop: no pass begins with a further record then.
        health_store: what is remembered of the health of jobs; None: health is not judged.
        health: thresholds of health.
        action_store: the actions of the records; None: none are taken.
    """

    store: JobStore
    notify_store: NotifyStore
    leases: LeaseStore
    kubernetes: Callable[[], KubernetesClient]
    flinks: Mapping[str, Flink]
    policy: Policy
    budget_seconds: float
    clock: Callable[[], datetime]
    period: timedelta = timedelta(seconds=180)
    delivery: Delivery | None = None
    is_stopping: Callable[[], bool] = never
    health_store: HealthStore | None = None
    health: Limits = field(default_factory=Limits)
    action_store: ActionStore | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass.

    Attributes:
        sync: see `Sync`.
        run_id: names the pass on what it writes.
        deadline: nothing new begins after it.
        lease: None where the pass needs none.
        threads: for requests and writes that can be made in parallel.
        snapshots: one of each Flink cluster.
        events: of the Kubernetes namespaces.
        is_due: whether the submitter of a record is observed in this pass.
    """

    sync: Sync
    run_id: str
    deadline: Deadline
    lease: ActiveLease | None
    threads: ThreadPoolExecutor
    snapshots: Snapshots
    events: NamespaceEvents
    is_due: Callable[[JobRecord], bool] = always

    @property
    def submitters(self) -> SubmitterObserver:
        """Observes Kubernetes for this pass."""
        return SubmitterObserver(
            self.sync.kubernetes, self.events, self.snapshots, self.threads, self.deadline, self.is_due
        )

    @property
    def flink_jobs(self) -> FlinkObserver:
        """Observes Flink for this pass."""
        return FlinkObserver(self.snapshots, self.threads, self.deadline)


@contextmanager
def begin_pass(
    sync: Sync,
    run_id: str,
    deadline: Deadline,
    lease: ActiveLease | None,
    is_due: Callable[[JobRecord], bool] = always,
) -> Iterator[Pass]:
    """Begins a pass and its snapshots; when the block ends, all its requests have ended."""
    flinks = {name: flink.until(deadline.requests_until) for name, flink in sync.flinks.items()}
    events = NamespaceEvents(lambda: sync.kubernetes().until(deadline.requests_until))
    with ThreadPoolExecutor(max_workers=THREADS) as threads, take_snapshots(flinks) as snapshots:
        yield Pass(sync, run_id, deadline, lease, threads, snapshots, events, is_due)
