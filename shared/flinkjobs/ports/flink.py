"""Protocols for the Flink REST API and the History Server."""

from __future__ import annotations

from typing import Protocol

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

    def history(self) -> Overview:
        """Every job the History Server knows, by id, in one request."""

    def history_failure(self, job_id: str) -> str | None:
        """The root exception of a failed job, from the History Server."""


class FlinkProbe(Flink, Protocol):
    """Further questions to a Flink cluster, asked by doctor."""

    def cluster_overview(self) -> tuple[str, int, int, int]:
        """(version, task managers, slots, free slots)."""
