"""Reads the targets of a cleanup from Kubernetes, and their records from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from flinkjobs.cleanup.context import RECORDS_PER_LOOKUP, Cleanup
from flinkjobs.cleanup.progress import ErrorEntry, error_entry
from flinkjobs.cleanup.retention import record_of, with_end
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain.batches import chunks
from flinkjobs.domain.errors import (
    FlinkjobsError,
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.domain.naming import SELECTOR
from flinkjobs.domain.observations import JobPhase
from flinkjobs.ports.kubernetes import KubernetesCleanupClient
from flinkjobs.ports.store import JobStore, Settled


@dataclass(frozen=True, slots=True)
class Listing:
    """The targets of a run.

    Attributes:
        targets: each with its record, or None where it has none.
        errors: why orphans could not be listed.
    """

    targets: Sequence[tuple[CleanupTarget, Settled | None]]
    errors: Sequence[ErrorEntry]


def list_targets(cleanup: Cleanup) -> Listing:
    """Lists every Job with our label, and the orphans; only the Jobs where the orphans cannot be listed.

    A namespace whose Jobs cannot be listed is left out, unless it is the only one that could be.

    Raises:
        KubernetesUnavailableError, KubernetesRefusedError: no namespace could be listed.
    """
    targets: list[CleanupTarget] = []
    errors: list[ErrorEntry] = []
    failed: list[FlinkjobsError] = []
    for namespace in cleanup.namespaces:
        cluster = cleanup.cluster.in_namespace(namespace)
        own: list[CleanupTarget] = []
        try:
            own.extend(cluster.cleanup_targets(Kind.JOB, SELECTOR))
        except KubernetesThrottledError:
            raise
        except (KubernetesRefusedError, KubernetesUnavailableError) as error:
            failed.append(error)
            continue
        try:
            for orphan in _orphans(cluster, {job.name: job.uid for job in own}):
                own.append(orphan)  # noqa: PERF402 - an error keeps the orphans listed before it
        except KubernetesThrottledError:
            raise
        except (KubernetesRefusedError, KubernetesUnavailableError) as error:
            errors.append(error_entry(None, error))
        targets += [structs.replace(target, namespace=namespace) for target in own]
    if len(failed) == len(cleanup.namespaces):
        raise failed[0]
    errors = [error_entry(None, error) for error in failed] + errors
    with_records = [
        pair for chunk in chunks(targets, RECORDS_PER_LOOKUP) for pair in _with_records(cleanup.store, chunk)
    ]
    return Listing(with_records, errors)


def _orphans(cluster: KubernetesCleanupClient, uid_of_job: Mapping[str, str]) -> Iterator[CleanupTarget]:
    """Lists our pods and ConfigMaps that no Job owns; ACTIVE while the Job that they belong to exists."""

    def has_job(orphan: CleanupTarget) -> bool:
        uid = uid_of_job.get(orphan.job_name)
        return uid is not None and orphan.job_uid in ("", uid)

    active_job_ids = set()
    for pod in cluster.cleanup_targets(Kind.POD, SELECTOR):
        if pod.job_id and not pod.has_owner:
            if pod.phase is JobPhase.ACTIVE:
                active_job_ids.add(pod.job_id)
            yield structs.replace(pod, phase=JobPhase.ACTIVE) if has_job(pod) else pod
    for script in cluster.cleanup_targets(Kind.CONFIG_MAP, SELECTOR):
        if script.job_id and not script.has_owner:
            is_in_use = script.job_id in active_job_ids or has_job(script)
            yield structs.replace(script, phase=JobPhase.ACTIVE) if is_in_use else script


def _with_records(
    store: JobStore, targets: Sequence[CleanupTarget]
) -> list[tuple[CleanupTarget, Settled | None]]:
    job_ids = {target.job_id for target in targets if target.job_id}
    known = store.settled(job_ids) if job_ids else {}
    pairs = [(target, record_of(target, known.get(target.job_id, ()))) for target in targets]
    return [(with_end(target, record), record) for target, record in pairs]


def read_records_again(
    store: JobStore, candidates: Sequence[Candidate]
) -> tuple[list[tuple[Candidate, Settled | None]], list[Candidate]]:
    """Reads the records of candidates as they are now.

    Returns:
        The candidates with their records, and apart from them those whose record came or went since the
        listing.
    """
    stored = store.settled({candidate.target.job_id for candidate in candidates})
    current, changed = [], []
    for candidate in candidates:
        records = [
            next((each for each in candidate.expected if each.document_id == record.document_id), record)
            for record in stored.get(candidate.target.job_id, ())
        ]
        record = record_of(candidate.target, records)
        if candidate.has_record == (record is not None):
            current.append((candidate, record))
        else:
            changed.append(candidate)
    return current, changed
