"""Protocols for the Flink REST API and the History Server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from flinkjobs.domain.actions import Refused, Reply, Result
from flinkjobs.domain.health_values import Checkpoints, CheckpointSettings
from flinkjobs.domain.observations import FlinkJob, Missing, Overview


class Flink(Protocol):
    """One Flink cluster, with its History Server where it has one."""

    @property
    def name(self) -> str:
        """Name of the cluster in the settings."""

    @property
    def has_history(self) -> bool:
        """Whether a History Server is configured."""

    def until(self, moment: float) -> Flink:
        """As `KubernetesClient.until`."""

    def overview(self) -> Overview:
        """Every job the cluster knows, by id, in one request."""

    def job(self, job_id: str) -> FlinkJob | Missing:
        """One job, asked for directly."""

    def failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, as its error lines."""

    def exceptions(self, job_id: str) -> tuple[str | None, Sequence[datetime]]:
        """The root exception as its error lines, and when each listed exception occurred."""

    def restarts(self, job_id: str) -> int | None:
        """How often a job has restarted since its start; None where Flink has no number yet."""

    def checkpoint_settings(self, job_id: str) -> CheckpointSettings | None:
        """How a job checkpoints; None where it does not."""

    def checkpoints(self, job_id: str, now: datetime) -> Checkpoints:
        """The checkpoints of a job that is known to the cluster, as observed now."""

    def history(self) -> Overview:
        """Every job the History Server knows, by id, in one request."""

    def history_failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, from the History Server."""

    def cancel(self, job_id: str) -> Reply | Refused:
        """Asks for a job to be cancelled. Harmless when repeated.

        Raises FlinkNotReachedError, FlinkCredentialError or FlinkUntrustedError where it cannot have arrived.
        """

    def stop(self, job_id: str, trigger_id: str, *, directory: str | None, drain: bool) -> Reply | Refused:
        """Asks for a job to be stopped with a savepoint. Errors as of `cancel`."""

    def savepoint(self, job_id: str, trigger_id: str, *, directory: str | None) -> Reply | Refused:
        """Asks for a savepoint of a job that goes on. Errors as of `cancel`."""

    def savepoint_result(self, job_id: str, trigger_id: str) -> Result:
        """What became of a stop or savepoint; Flink keeps the result for five minutes."""

    def newer_savepoint(self, job_id: str, since: datetime) -> str | None:
        """Path of the newest savepoint of a job, if it was triggered after this moment of Flink's clock.

        From the cluster, else from the History Server.
        """


class FlinkProbe(Flink, Protocol):
    """Further questions to a Flink cluster, asked by doctor."""

    def cluster_overview(self) -> tuple[str, int, int, int]:
        """(version, task managers, slots, free slots)."""
