"""Reads Kubernetes events, for causes that no field of a Job or pod shows.

The API server has no index of the object that an event is about: a request for one object's events scans all
events of the namespace. A pass lists them once, and only if a record needs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.kubernetes_objects import Event
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, ObservationError, Unreachable
from flinkjobs.domain.pod_diagnosis import RELEVANT_EVENTS
from flinkjobs.ports.kubernetes import KubernetesClient


def events_of(kubernetes: KubernetesClient, name: str) -> Sequence[Event] | Unreachable:
    """The events about the object of this name; costs one request."""
    try:
        return kubernetes.events(name)
    except FlinkjobsError as error:
        return Unreachable(str(error))


class NamespaceEvents:
    """Events of a namespace that can name a cause, listed at first use. Thread-safe."""

    def __init__(self, kubernetes: Callable[[], KubernetesClient]) -> None:
        """Args: connects to Kubernetes, or returns the connection; it may raise."""
        self._kubernetes = kubernetes
        self._lock = Lock()
        self._listed: Mapping[str, Sequence[Event]] | Unreachable | None = None

    def of(self, name: str) -> Sequence[Event] | Unreachable:
        """The events about the objects of this name, in the order listed."""
        with self._lock:
            if self._listed is None:
                self._listed = self._list()
        return self._listed if isinstance(self._listed, Unreachable) else self._listed.get(name, ())

    def errors(self) -> tuple[ObservationError, ...]:
        """The error of the list, if it was requested and failed."""
        listed = self._listed
        if not isinstance(listed, Unreachable):
            return ()
        return (ObservationError(None, KUBERNETES_UNAVAILABLE, listed.error),)

    def _list(self) -> Mapping[str, Sequence[Event]] | Unreachable:
        by_name: dict[str, list[Event]] = defaultdict(list)
        try:
            for event in self._kubernetes().all_events():
                if event.about_kind in ("Job", "Pod") and event.reason in RELEVANT_EVENTS:
                    by_name[event.about_name].append(event)
        except FlinkjobsError as error:
            return Unreachable(str(error))
        return by_name
