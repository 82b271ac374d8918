"""Observes the Flink jobs of records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from flinkjobs.domain.flink_states import TERMINAL_STATES
from flinkjobs.domain.observations import (
    FLINK_UNAVAILABLE,
    FlinkJob,
    FlinkObservation,
    NamedJobs,
    NoKubernetesJob,
    ObservationError,
    Submitter,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.records import JobRecord
from flinkjobs.observers.deadline import Deadline
from flinkjobs.observers.flink_snapshot import Snapshots


class FlinkObservations(msgspec.Struct, frozen=True):
    """Observations of the Flink jobs of several records.

    Attributes:
        by_job_id: by the record's job id, then by Flink Job ID.
        passed_over: job ids for which the time did not suffice.
        errors: one per cluster and error.
    """

    by_job_id: Mapping[str, Mapping[str, FlinkObservation]]
    passed_over: frozenset[str]
    errors: tuple[ObservationError, ...]


@dataclass(frozen=True, slots=True)
class FlinkObserver:
    """Observes the Flink jobs of records. Changes nothing.

    Attributes:
        snapshots: of every cluster.
        threads: for requests that can be made in parallel.
        deadline: what Kubernetes took the time to say is still asked for in its grace, else the next pass
            would come no further.
    """

    snapshots: Snapshots
    threads: ThreadPoolExecutor
    deadline: Deadline

    def observe(
        self,
        records: Collection[JobRecord],
        submitters: Mapping[str, SubmitterObservation],
        named: Mapping[str, NamedJobs],
    ) -> FlinkObservations:
        """Observes every id that the records have or that their submitters printed.

        Only an id for which the snapshot is not enough costs a request: one it lacks, and one that has just
        failed, for its root exception.
        """
        seen: dict[str, dict[str, FlinkObservation]] = {record.job_id: {} for record in records}
        asked: list[tuple[JobRecord, str]] = []
        for record in records:
            for flink_job_id in _open_ids(record, submitters.get(record.job_id), named.get(record.job_id)):
                job = self.snapshots.get(record.cluster, flink_job_id)
                if isinstance(job, Unreachable) or (isinstance(job, FlinkJob) and job.state != "FAILED"):
                    seen[record.job_id][flink_job_id] = job
                else:
                    asked.append((record, flink_job_id))
        answers = self.threads.map(
            lambda pair: None if self.deadline.is_past_grace() else self.snapshots.ask(*pair), asked
        )
        passed_over, errors = set(), []
        for (record, flink_job_id), answer in zip(asked, answers, strict=True):
            if answer is None:
                passed_over.add(record.job_id)
                continue
            seen[record.job_id][flink_job_id] = answer
            if isinstance(answer, Unreachable):
                errors.append(ObservationError(None, FLINK_UNAVAILABLE, answer.error, record.cluster))
        return FlinkObservations(seen, frozenset(passed_over), tuple(errors))


def _open_ids(
    record: JobRecord, submitter: SubmitterObservation | None, named: NamedJobs | None
) -> Iterable[str]:
    """The ids that are not known to be over, then those that were found in this pass."""
    known = {ref.id: ref.state for ref in record.flink_jobs}
    yield from (flink_job_id for flink_job_id, state in known.items() if state not in TERMINAL_STATES)
    if isinstance(submitter, Submitter | NoKubernetesJob):
        yield from (found.id for found in submitter.ids if found.id not in known)
    if isinstance(named, tuple):
        yield from (job.id for job in named if job.id not in known)
