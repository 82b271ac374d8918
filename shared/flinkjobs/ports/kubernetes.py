"""Protocols for the Kubernetes API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from flinkjobs.domain.kubernetes_objects import CleanupTarget, Event, Kind, KubernetesJob, Pod
from flinkjobs.domain.observations import Missing
from flinkjobs.domain.permissions import AccessReview, Permission


class Deletion(StrEnum):
    """Result of a request to delete."""

    DONE = "DONE"
    """Confirmed by the API server."""
    GONE = "GONE"
    """There was nothing to delete any more."""
    BEGUN = "BEGUN"
    """Accepted; a finalizer still holds the object."""


class KubernetesClient(Protocol):
    """The Kubernetes API, in one namespace."""

    def until(self, moment: float) -> KubernetesClient:
        """The same client with a deadline by `time.monotonic`, at which running requests are cancelled.

        It fails as if the server had not answered.
        """

    def in_namespace(self, namespace: str | None) -> KubernetesClient:
        """The same, in another namespace; None is its own."""

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        """Creates a Job. Raises KubernetesConflictError when its name is taken."""

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        """Creates a ConfigMap."""

    def job(self, name: str) -> KubernetesJob | Missing:
        """One Job."""

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        """Streams the Jobs that match a label selector, in pages."""

    def pods(self, selector: str) -> Iterator[Pod]:
        """Streams the pods that match a label selector, in pages."""

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        """A container's log: its first part, or with `tail` its last.

        Returns `Missing` when the log does not exist (any more), and "" while the container waits.
        """

    def events(self, name: str) -> tuple[Event, ...]:
        """Returns the events about the object of this name; as expensive as `all_events`."""

    def all_events(self) -> Iterator[Event]:
        """Streams the events of the namespace, in pages."""

    def delete_job(self, name: str, uid: str) -> bool:
        """Deletes a Job and its pods. Returns False when it was gone already.

        Raises KubernetesConflictError when the name belongs to another Job by now.
        """

    def ping(self) -> None:
        """Checks that the API server answers and accepts our credentials."""


TAIL_LINES: Final = 2_000
"""How many lines `KubernetesClient.pod_log` returns at most of a log's end."""


class KubernetesCleanupClient(KubernetesClient, Protocol):
    """Further requests to the Kubernetes API, sent by cleanup."""

    def until(self, moment: float) -> KubernetesCleanupClient:
        """As `KubernetesClient.until`."""

    def in_namespace(self, namespace: str | None) -> KubernetesCleanupClient:
        """As `KubernetesClient.in_namespace`."""

    def time(self) -> datetime:
        """The time by the API server's clock, aware UTC, in whole seconds."""

    def cleanup_targets(self, kind: Kind, selector: str) -> Iterator[CleanupTarget]:
        """Streams the objects of one kind that match a label selector, in pages."""

    def delete(self, target: CleanupTarget) -> Deletion:
        """Deletes an object, with the pods of a Job, on condition that it has not changed since the list.

        Raises KubernetesConflictError when it is not, or when its name belongs to another one by now.
        """


class ClusterProbe(KubernetesClient, Protocol):
    """Further requests to the Kubernetes API, sent by doctor."""

    def in_namespace(self, namespace: str | None) -> ClusterProbe:
        """As `KubernetesClient.in_namespace`."""

    @property
    def address(self) -> str:
        """URL of the API server."""

    def version(self) -> str:
        """Of the API server."""

    def running_pods(self, selector: str) -> Iterator[Pod]:
        """Streams the pods that match a label selector and are in phase Running, in pages."""

    def who_we_are(self) -> str:
        """Our user by the API server. KubernetesNotFoundError before Kubernetes 1.28."""

    def review(self, permission: Permission) -> AccessReview:
        """Whether we have this permission in the namespace."""
