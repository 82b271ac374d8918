"""A world of finished Jobs for cleanup: what is really so, and a Kubernetes API that shows it.

Every deletion that the API is asked for is checked against the truth before it is carried out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Any, Self

from flinkjobs.domain.errors import (
    KubernetesConflictError,
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
)
from flinkjobs.domain.kubernetes_objects import (
    CleanupTarget,
    Container,
    Event,
    Kind,
    KubernetesJob,
    Pod,
    Terminated,
)
from flinkjobs.domain.observations import JobPhase, Missing
from flinkjobs.ports.kubernetes import Deletion

Document = dict[str, Any]
RETENTION, HARD_LIMIT = timedelta(hours=24), timedelta(hours=168)
OVER = (JobPhase.COMPLETE, JobPhase.FAILED)


class Known(StrEnum):
    """What the records know of a Job."""

    FINAL = "final"
    """How it ended."""
    FOLLOWED = "followed"
    """Every id."""
    ID_IN_LOG = "id in log"
    """Nothing yet: the log holds an id."""
    FAILURE_IN_LOG = "failure in log"
    """Nothing yet: the log says that nothing was submitted."""
    LOG_GONE = "log gone"
    """Nothing, and the log does not exist any more; no Flink can be asked by name."""
    LOG_BROKEN = "log broken"
    """Nothing yet: the log holds an id, but cannot be read for now."""
    LOG_UNREADABLE = "log unreadable"
    """As `LOG_BROKEN`, for ever."""
    NAMELESS = "nameless"
    """Nothing: the record does not even say which Job is its own."""
    GARBLED = "garbled"
    """The record's status is an unknown word."""
    OTHER_JOB = "other Job"
    """The record follows a Job of another name."""
    NOTHING = "nothing"
    """No record exists."""


WITHOUT_RECORD = (Known.NOTHING, Known.OTHER_JOB)
HOPELESS = (Known.LOG_GONE, Known.NAMELESS, Known.GARBLED)


@dataclass(slots=True)
class TrueObject:
    """A Job with its pod, or an object that a Job has left behind.

    Attributes:
        has_job: the Job is there that it belongs to, which only shows when that is asked for.
        is_refused: the API refuses every request to delete it.
    """

    name: str
    known: Known
    phase: JobPhase
    over_since: datetime
    kind: Kind = Kind.JOB
    is_ours: bool = True
    deleting: bool = False
    has_job: bool = False
    is_refused: bool = False
    uid: str = ""
    version: int = 1

    @property
    def flink_job_id(self) -> str:
        return f"{abs(hash(self.name)) % 16**32:032x}"

    @property
    def log(self) -> str:
        ids = f"Job has been submitted with JobID {self.flink_job_id}\n"
        with_id = (Known.ID_IN_LOG, Known.LOG_BROKEN, Known.LOG_UNREADABLE)
        return ids if self.known in with_id else f"the log of {self.name}\n"

    def document(self, now: datetime) -> Document | None:
        """The record, as it is at first."""
        if self.known is Known.NOTHING:
            return None
        record: Document = {
            "job_id": self.name,
            "status": "CREATED",
            "submitted_at": now - timedelta(hours=300),
            "k8s_job_name": self.name,
            "revision": 0,
        }
        match self.known:
            case Known.FINAL:
                record["status"] = "FINISHED"
            case Known.FOLLOWED:
                record |= {"status": "RUNNING", "flink_job_id": "f" * 32, "submitter_done": True}
            case Known.NAMELESS:
                record["k8s_job_name"] = None
            case Known.GARBLED:
                record["status"] = "SLEEPING"
            case Known.OTHER_JOB:
                record |= {"k8s_job_name": "another", "status": "FINISHED"}
        return record

    def is_bound_to_stay(self, now: datetime) -> bool:
        """Whether no rule lets it go, whatever its record has learned."""
        age = now - self.over_since
        if not self.is_ours or self.deleting or self.phase not in OVER or self.has_job or age <= RETENTION:
            return True
        if self.is_refused or self.known is Known.LOG_UNREADABLE:
            return True
        if self.known in WITHOUT_RECORD or self.known in HOPELESS:
            return age <= HARD_LIMIT
        return False


@dataclass(slots=True)
class CleanupWorld:
    """`flinkjobs.ports.kubernetes.KubernetesCleanupClient` on true objects.

    Attributes:
        records: looks a record up, past the adapter.
        breaks_after: number of Jobs after which their list breaks off.
        deletions: what becomes of the next ones: done, lost (carried out without an answer), 500, 403, 429.
        recreated: Jobs that another client deletes and creates again, one before each deletion.
        wrongs: what was wrong with a deletion.
    """

    now: datetime
    objects: dict[tuple[Kind, str], TrueObject]
    records: Callable[[str], Document | None]
    is_log_broken: bool = True
    breaks_after: int | None = None
    deletions: list[str] = field(default_factory=list)
    recreated: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    deleted: int = 0
    _lock: Lock = field(default_factory=Lock)

    def time(self) -> datetime:
        return self.now

    def cleanup_targets(self, kind: Kind, selector: str) -> Iterator[CleanupTarget]:
        assert selector == "app=flink-python-job"
        shown = [each for each in self.objects.values() if each.kind is kind]
        for number, each in enumerate(shown):
            if kind is Kind.JOB and number == self.breaks_after:
                raise KubernetesUnavailableError("GET jobs: the connection broke")
            yield self._shown(each)

    def _shown(self, each: TrueObject) -> CleanupTarget:
        return CleanupTarget(
            kind=each.kind,
            name=each.name,
            uid=each.uid,
            resource_version=str(each.version),
            job_id=each.name if each.is_ours else "",
            job_name=each.name,
            job_uid=each.uid if each.kind is Kind.POD else "",
            phase=each.phase,
            over_since=each.over_since if each.phase in OVER else None,
            deleting=each.deleting,
        )

    def delete(self, target: CleanupTarget) -> Deletion:
        with self._lock:
            if self.recreated:
                self._recreate(self.recreated.pop())
            fate = self.deletions.pop() if self.deletions else "done"
            if fate == "500":
                raise KubernetesUnavailableError("DELETE: 500")
            if fate == "403":
                raise KubernetesRefusedError("DELETE: 403", reason="Forbidden", status=403)
            if fate == "429":
                raise KubernetesThrottledError("DELETE: 429", retry_after_seconds=0.01)
            there = self.objects.get((target.kind, target.name))
            if there is None:
                return Deletion.GONE
            if (there.uid, str(there.version)) != (target.uid, target.resource_version):
                raise KubernetesConflictError("DELETE: 409", reason="Conflict", status=409)
            if there.is_refused:
                raise KubernetesRefusedError("DELETE: 403: denied the request", reason="x", status=403)
            self._check(there)
            del self.objects[target.kind, target.name]
            self.deleted += 1
            if fate == "lost":
                raise KubernetesUnavailableError("DELETE: the connection broke")
            return Deletion.DONE

    def _recreate(self, name: str) -> None:
        """Deletes a Job and creates it again, over at once, as long ago as the first."""
        if (there := self.objects.get((Kind.JOB, name))) is not None:
            there.uid = f"{there.uid}, again"

    def _check(self, going: TrueObject) -> None:
        """Whether this object may go now."""
        age = self.now - going.over_since
        if going.is_bound_to_stay(self.now):
            self.wrongs.append(f"{going} went after {age}")
        record = self.records(going.name) or {}
        kept_log = record.get("submitter_log")
        kept_text = kept_log and zlib.decompress(kept_log["zlib"]).decode()
        if going.kind is not Kind.JOB:
            return
        if going.known in (Known.ID_IN_LOG, Known.LOG_BROKEN):
            if (record.get("flink_job_id"), record.get("submitter_done")) != (going.flink_job_id, True):
                self.wrongs.append(f"{going} went with its id: {record}")
        elif going.known is Known.FAILURE_IN_LOG and record.get("status") != "FAILED":
            self.wrongs.append(f"{going} went with its failure: {record}")
        if going.known not in (*WITHOUT_RECORD, Known.LOG_GONE) and kept_text != going.log:
            self.wrongs.append(f"{going} went with its log: {record}")

    # --- what an observation asks -----------------------------------------------------------------------

    def _selected(self, selector: str) -> list[TrueObject]:
        labels = r"(?:job-name|app=flink-python-job,job-id)(?:=| in \()"
        named = re.fullmatch(rf"{labels}([^)]*)\)?", selector)
        assert named is not None, selector
        return [
            self.objects[Kind.JOB, name] for name in named[1].split(",") if (Kind.JOB, name) in self.objects
        ]

    def until(self, moment: float) -> Self:
        """Nothing of it takes any time."""
        assert moment > 0
        return self

    def in_namespace(self, namespace: str | None) -> Self:
        """It has one namespace."""
        assert namespace is None or namespace
        return self

    def job(self, name: str) -> KubernetesJob | Missing:
        there = self.objects.get((Kind.JOB, name))
        if there is not None:
            return self._job(there)
        behind = [each for (_, one), each in self.objects.items() if one == name and each.has_job]
        return self._job(behind[0]) if behind else Missing()

    def _job(self, each: TrueObject) -> KubernetesJob:
        return KubernetesJob(each.name, each.uid, each.name, each.phase, each.over_since)

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        yield from [self._job(each) for each in self._selected(selector)]

    def pods(self, selector: str) -> Iterator[Pod]:
        for each in self._selected(selector):
            state = Terminated(exit_code=0, reason="Completed", message="")
            containers = (Container("submit", state),)
            phase = "Succeeded" if each.phase in OVER else "Running"
            yield Pod(f"{each.name}-pod", "u", each.name, each.over_since, phase, containers=containers)

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        assert container == "submit"
        assert tail in (True, False)
        each = self.objects[Kind.JOB, pod.removesuffix("-pod")]
        if each.known is Known.LOG_GONE:
            return Missing()
        if each.known is Known.LOG_UNREADABLE or (each.known is Known.LOG_BROKEN and self.is_log_broken):
            raise KubernetesUnavailableError("GET log: 500")
        return each.log

    def events(self, name: str) -> tuple[Event, ...]:
        raise AssertionError(name)

    def all_events(self) -> Iterator[Event]:
        raise AssertionError

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        raise AssertionError(manifest)

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        raise AssertionError(manifest)

    def delete_job(self, name: str, uid: str) -> bool:
        raise AssertionError((name, uid))

    def ping(self) -> None:
        raise AssertionError
