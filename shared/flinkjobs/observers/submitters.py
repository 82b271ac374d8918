"""Observes the submitters of records: their Kubernetes Jobs, pods and output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from flinkjobs import log
from flinkjobs.domain.batches import chunks
from flinkjobs.domain.errors import FlinkjobsError, KubernetesUnreadableError
from flinkjobs.domain.flink_states import TERMINAL_STATES, Status
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod
from flinkjobs.domain.naming import JOB_NAME_LABEL, selector_of_all
from flinkjobs.domain.observations import (
    KUBERNETES_UNAVAILABLE,
    LOG_UNREACHABLE,
    Missing,
    ObservationError,
    SubmitterObservation,
    Unreachable,
)
from flinkjobs.domain.records import FlinkJobRef, JobRecord
from flinkjobs.observers.deadline import Deadline
from flinkjobs.observers.events import NamespaceEvents
from flinkjobs.observers.flink_snapshot import Snapshots
from flinkjobs.observers.submitter_output import observe_orphans, observe_submitter
from flinkjobs.ports.kubernetes import KubernetesClient

JOB_IDS_PER_SELECTOR: Final = 80
"""Job ids in one label selector: the URL stays below the 8 KiB that every proxy lets through."""


class SubmitterObservations(msgspec.Struct, frozen=True):
    """Observations of the submitters of several records.

    Attributes:
        by_job_id: the observation of each record that was examined in time.
        passed_over: job ids that were not examined: the time budget was exhausted.
        errors: objects that could not be read.
        is_answered: Kubernetes has answered at least one request.
    """

    by_job_id: Mapping[str, SubmitterObservation] = msgspec.field(default_factory=dict)
    passed_over: frozenset[str] = frozenset()
    errors: tuple[ObservationError, ...] = ()
    is_answered: bool = False


def always(_record: JobRecord) -> bool:
    """Of a pass that observes every submitter."""
    return True


class _Listed(msgspec.Struct, frozen=True):
    """The Jobs by name, and the pods by their Job's name."""

    jobs: Mapping[str, KubernetesJob]
    pods: Mapping[str, Sequence[Pod]]


_NOTHING_LISTED: Final = _Listed({}, {})


def find_job_and_pods(
    kubernetes: KubernetesClient, job_id: str, job_name: str
) -> tuple[KubernetesJob | Missing, Sequence[Pod]]:
    """The Kubernetes Job of a record and all its pods, with or without our labels.

    Pods may be left of a Job that does not exist any more: it was deleted with `--cascade=orphan`, or the
    garbage collector has not come to them yet. A Job of this name that belongs to another record counts as
    missing, and its pods are not this record's.

    Raises:
        KubernetesUnavailableError, KubernetesRefusedError: it cannot be read.
    """
    return _find(kubernetes, job_id, job_name, _NOTHING_LISTED)


def _find(
    kubernetes: KubernetesClient, job_id: str, job_name: str, listed: _Listed
) -> tuple[KubernetesJob | Missing, Sequence[Pod]]:
    """As `find_job_and_pods`; requests only what was not listed. Pods are listed after their Job."""
    job = listed.jobs.get(job_name) or kubernetes.job(job_name)
    if not isinstance(job, Missing) and job.job_id not in ("", job_id):
        return Missing(), ()
    if job_name in listed.pods and (isinstance(job, Missing) or job_name in listed.jobs):
        return job, listed.pods[job_name]
    if job_name in listed.jobs and not isinstance(job, Missing) and job.job_id:
        return job, ()  # submit has labelled its pods as well: there are none
    # Kubernetes' own label: the platform before this one gave its pods no label of the job id.
    pods = kubernetes.pods(f"{JOB_NAME_LABEL}={job_name}")
    return job, [pod for pod in pods if pod.job_name == job_name]


@dataclass(frozen=True, slots=True)
class SubmitterObserver:
    """Observes the submitters of records. Changes nothing.

    Attributes:
        kubernetes: connects to Kubernetes, or returns the connection; its error is an observation too.
        events: of the namespaces.
        snapshots: show whether a Flink job of a record goes on.
        threads: for requests that can be made in parallel.
        deadline: records that are not begun by then are passed over.
        is_due: whether a record is observed now, as long as no Flink job of it is known to have ended.
    """

    kubernetes: Callable[[], KubernetesClient]
    events: NamespaceEvents
    snapshots: Snapshots
    threads: ThreadPoolExecutor
    deadline: Deadline
    is_due: Callable[[JobRecord], bool] = always

    def observe(self, records: Iterable[JobRecord], now: datetime) -> SubmitterObservations:
        """Observes every record whose submitter may still print an id.

        Args:
            records: no two with the same job id.
            now: the time of the pass, aware UTC.
        """
        wanted = [
            record
            for record in records
            if not record.submitter_done
            and record.k8s_job_name
            and record.status is not Status.LOST
            # Of a job that has ended, only the end of its submitter is awaited.
            and (self.is_due(record) or (record.flink_jobs and not self._is_followed(record)))
        ]
        by_namespace: dict[str | None, list[JobRecord]] = defaultdict(list)
        for record in wanted:
            by_namespace[record.k8s_namespace].append(record)
        batches = [
            self._observe_batch(batch, namespace, now)
            for namespace, own in by_namespace.items()
            for batch in chunks(own, JOB_IDS_PER_SELECTOR)
        ]
        return SubmitterObservations(
            by_job_id={job_id: seen for batch in batches for job_id, seen in batch.by_job_id.items()},
            passed_over=frozenset().union(*(batch.passed_over for batch in batches)),
            errors=tuple(error for batch in batches for error in batch.errors),
            is_answered=any(batch.is_answered for batch in batches),
        )

    def _observe_batch(
        self, records: Sequence[JobRecord], namespace: str | None, now: datetime
    ) -> SubmitterObservations:
        """One list of Jobs and one of pods for all these records, then each record by itself.

        The records are of one namespace, so that an error of it costs no record of another.
        """
        job_ids = [record.job_id for record in records]
        if self.deadline.is_over():
            return SubmitterObservations(passed_over=frozenset(job_ids))
        try:
            kubernetes = self.kubernetes().in_namespace(namespace).until(self.deadline.requests_until)
            listed = _jobs_and_pods(kubernetes, job_ids)
        except KubernetesUnreadableError:
            listed = _NOTHING_LISTED  # one object cannot be read: it must not cost the other records
        except FlinkjobsError as error:
            unreachable = Unreachable(str(error))
            return SubmitterObservations(
                by_job_id=dict.fromkeys(job_ids, unreachable),
                errors=(ObservationError(None, KUBERNETES_UNAVAILABLE, str(error)),),
            )
        asked = self.threads.map(
            lambda record: (
                None if self.deadline.is_over() else self._observe_one(kubernetes, record, listed, now)
            ),
            records,
        )
        answers = dict(zip(job_ids, asked, strict=True))
        seen = {job_id: answer for job_id, answer in answers.items() if answer is not None}
        return SubmitterObservations(
            by_job_id=seen,
            passed_over=frozenset(answers.keys() - seen.keys()),
            errors=tuple(_errors(seen)),
            is_answered=True,
        )

    def _observe_one(
        self, kubernetes: KubernetesClient, record: JobRecord, listed: _Listed, now: datetime
    ) -> SubmitterObservation:
        is_followed = self._is_followed(record)
        try:
            job, pods = _find(kubernetes, record.job_id, record.k8s_job_name or "", listed)
            if isinstance(job, Missing):
                return observe_orphans(pods, kubernetes, is_followed=is_followed)
            events = partial(self.events.of, namespace=record.k8s_namespace)
            return observe_submitter(job, pods, kubernetes, events=events, is_followed=is_followed, now=now)
        except FlinkjobsError as error:
            return Unreachable(str(error))
        except Exception as error:  # noqa: BLE001 - one object that cannot be handled costs one record
            log.error("job.not_observed", exception=error, job_id=record.job_id)
            return Unreachable(f"{type(error).__name__}: {error}")

    def _is_followed(self, record: JobRecord) -> bool:
        return any(self._goes_on(record.cluster, ref) for ref in record.flink_jobs)

    def _goes_on(self, cluster: str, ref: FlinkJobRef) -> bool:
        """Whether a job of a record is known to go on: by the snapshot, or by the record without one."""
        if not ref.confirmed or ref.state in TERMINAL_STATES:
            return False
        job = self.snapshots.get(cluster, ref.id)
        return isinstance(job, Unreachable) or (job is not None and job.state not in TERMINAL_STATES)


def _jobs_and_pods(kubernetes: KubernetesClient, job_ids: Collection[str]) -> _Listed:
    selector = selector_of_all(job_ids)
    jobs = {job.name: job for job in kubernetes.jobs(selector)}
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in kubernetes.pods(selector):
        pods[pod.job_name].append(pod)
    return _Listed(jobs, pods)


def _errors(seen: Mapping[str, SubmitterObservation]) -> Iterable[ObservationError]:
    for job_id, found in seen.items():
        if isinstance(found, Unreachable):
            yield ObservationError(job_id, KUBERNETES_UNAVAILABLE, found.error)
        elif found.unread:
            yield ObservationError(job_id, LOG_UNREACHABLE, found.unread)
