"""Actions in a pass: sends what was requested, and follows what was sent.

    records with an open action, in any status → each action: planned → written → asked → answered → written

Nothing is asked unless its move was written, on condition that no other pass has moved the action. The status
of a record is never changed here: it follows from what Flink and Kubernetes say.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from flinkjobs import log
from flinkjobs.domain.actions import (
    Action,
    ActionKind,
    Answer,
    Ask,
    Refused,
    Reply,
    SavepointFailed,
    Target,
    UnknownTrigger,
    answered,
    is_followed,
    planned,
)
from flinkjobs.domain.errors import (
    FlinkCredentialError,
    FlinkNotReachedError,
    FlinkUnavailableError,
    FlinkUntrustedError,
    KubernetesConflictError,
    PermanentError,
    TemporaryError,
)
from flinkjobs.domain.kubernetes_objects import KubernetesJob, Pod, Waiting
from flinkjobs.domain.naming import selector_of
from flinkjobs.domain.observations import (
    FLINK_UNAVAILABLE,
    KUBERNETES_UNAVAILABLE,
    Missing,
    ObservationError,
)
from flinkjobs.domain.records import JobRecord, UnreadableRecord, whole_milliseconds
from flinkjobs.ports.action_store import ActionStore
from flinkjobs.ports.flink import Flink
from flinkjobs.ports.kubernetes import KubernetesClient
from flinkjobs.sync.context import Pass
from flinkjobs.sync.report import UNREADABLE_RECORD, BatchResult


def act(current: Pass, job_ids: Collection[str] | None = None) -> BatchResult:
    """Takes every open action as far as it goes now.

    Args:
        current: a pass that has brought the records up to date.
        job_ids: only the actions of these records.

    Returns:
        The errors; an error of one record or peer costs the actions that depend on it.

    Raises:
        StoreUnavailableError: the actions could not be read or written; the next pass goes on.
    """
    store = current.sync.action_store
    if store is None:
        return BatchResult()
    errors: list[ObservationError] = []
    for number, record in enumerate(store.with_open_action(job_ids)):
        if number and current.deadline.is_over():
            return BatchResult(is_complete=False, errors=tuple(errors))
        if current.lease is not None and not current.lease.is_ours():
            return BatchResult(is_complete=False, errors=tuple(errors))
        if isinstance(record, UnreadableRecord):
            errors.append(ObservationError(record.job_id, UNREADABLE_RECORD, record.error))
        else:
            errors += _Acting(current, store, record).run()
    return BatchResult(errors=tuple(errors))


@dataclass(slots=True)
class _Acting:
    """The actions of one record in one pass."""

    current: Pass
    store: ActionStore
    record: JobRecord
    errors: list[ObservationError] = field(default_factory=list)

    def run(self) -> list[ObservationError]:
        """Stops and savepoints come first: a cancel would take their results away."""
        actions = sorted(self.record.actions, key=lambda action: action.kind is ActionKind.CANCEL)
        taken = [self._advance(action) for action in actions]
        if not any(is_followed(action, self._now()) for action in taken):
            self.store.close(self.record)
        return self.errors

    def _advance(self, action: Action) -> Action:
        """The action as it is then, as far as this pass knows."""
        record = self.record
        jobs = [(ref.id, ref.state) for ref in record.flink_jobs]
        target = Target(record.status, jobs, record.actions)
        after, ask = planned(action, target, self._now())
        if after != action and not self._write(action, after):
            return action  # another pass has it
        answer = self._answer(after, ask, target)
        if answer is None:
            return after
        result = answered(after, answer, target, self._now())
        if result != after:
            self._write(after, result)
        return result

    def _now(self) -> datetime:
        return whole_milliseconds(self.current.sync.clock())

    def _write(self, before: Action, after: Action) -> bool:
        is_written = self.store.move(self.record, before, after)
        if is_written and after.state is not before.state:
            log.info(
                "action.moved",
                job_id=self.record.job_id,
                action_id=after.id,
                kind=after.kind.value,
                state=after.state.value,
                was=before.state.value,
                code=after.code,
                detail=after.message,
            )
        return is_written

    def _answer(self, action: Action, ask: Ask, target: Target) -> Answer | None:
        """What was answered; None where nothing is to be asked, or no answer came."""
        if ask is Ask.NOTHING:
            return None
        if ask is Ask.DELETE_SUBMITTER:
            return self._delete_submitter(action)
        cluster = self.record.cluster
        if cluster not in self.current.sync.flinks:
            self._note(f"the settings describe no Flink cluster {cluster!r}")
            return Reply.NOT_SENT
        flink = self.current.snapshots.flink(cluster)
        try:
            return self._ask(flink, action, ask, target)
        except (FlinkNotReachedError, FlinkCredentialError, FlinkUntrustedError) as error:
            self._note(str(error))
            return None if ask is Ask.RESULT else Reply.NOT_SENT
        except FlinkUnavailableError as error:
            self._note(str(error))
            return None if ask is Ask.RESULT else Reply.NO_ANSWER

    def _note(self, message: str) -> None:
        self.errors.append(ObservationError(None, FLINK_UNAVAILABLE, message, self.record.cluster))

    def _ask(self, flink: Flink, action: Action, ask: Ask, target: Target) -> Answer:
        if ask is Ask.CANCEL:
            return _cancel(flink, target)
        job_id, trigger_id = action.flink_job_id or "", action.trigger_id or ""
        directory = action.savepoint_directory
        if ask is Ask.TRIGGER and action.kind is ActionKind.STOP:
            return flink.stop(job_id, trigger_id, directory=directory, drain=action.drain)
        if ask is Ask.TRIGGER:
            return flink.savepoint(job_id, trigger_id, directory=directory)
        result = flink.savepoint_result(job_id, trigger_id)
        if isinstance(result, SavepointFailed | UnknownTrigger) and action.sent_at is not None:
            return replace(result, newer=flink.newer_savepoint(job_id, action.sent_at))
        return result

    # --- a job without an id ------------------------------------------------------------------------

    def _delete_submitter(self, action: Action) -> Answer | None:
        """Deletes the Kubernetes Job if its submit container never started; else the id will come.

        The action names the Job before it is deleted, and counts as sent once it is gone.
        """
        record = self.record
        if record.k8s_job_name is None:
            return None
        try:
            kubernetes = self.current.sync.kubernetes().in_namespace(record.k8s_namespace)
            kubernetes = kubernetes.until(self.current.deadline.requests_until)
            job = kubernetes.job(record.k8s_job_name)
            if _may_have_started(kubernetes, record, job):
                self._write(action, replace(action, k8s_job_uid=None))
                return None
            if isinstance(job, Missing):
                return Reply.ACCEPTED if action.k8s_job_uid is not None else None
            named = replace(action, k8s_job_uid=job.uid)
            if not self._write(action, named):
                return None
            kubernetes.delete_job(job.name, job.uid)
            log.warning("job.k8s_job_deleted", job_id=record.job_id, k8s_job_name=job.name)
            if _may_have_started(kubernetes, record, Missing()):  # in between
                self._write(named, replace(named, k8s_job_uid=None))
        except KubernetesConflictError:
            return None  # another Job has this name by now: the next pass looks again
        except (TemporaryError, PermanentError) as error:
            self.errors.append(ObservationError(record.job_id, KUBERNETES_UNAVAILABLE, str(error)))
        return None


def _cancel(flink: Flink, target: Target) -> Reply | Refused:
    """Cancels every job of the record that is not over; refused only if each was."""
    replies: list[Reply | Refused] = []
    for id_ in target.open_jobs:
        try:
            replies.append(flink.cancel(id_))
        except FlinkUnavailableError:
            if Reply.ACCEPTED not in replies:
                raise
            break  # the next pass asks again for those that are not over
    if not replies:  # the submitter may submit another one
        return Reply.NOT_SENT
    return next((reply for reply in replies if reply is Reply.ACCEPTED), replies[0])


def _may_have_started(kubernetes: KubernetesClient, record: JobRecord, job: KubernetesJob | Missing) -> bool:
    """Whether a submit container runs or has run: also where its status is not known."""
    if isinstance(job, KubernetesJob) and (job.job_id != record.job_id or job.ended_pods):
        return True
    pods = kubernetes.pods(selector_of(record.job_id))
    return any(_has_started(pod) for pod in pods if pod.job_name == record.k8s_job_name)


def _has_started(pod: Pod) -> bool:
    if pod.is_over or pod.phase == "Unknown":
        return True
    return pod.submit is not None and not isinstance(pod.submit.state, Waiting)
