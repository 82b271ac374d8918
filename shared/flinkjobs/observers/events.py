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
    """Events that can name a cause, of each namespace listed at first use. Thread-safe."""

    def __init__(self, kubernetes: Callable[[], KubernetesClient]) -> None:
        """Args: connects to Kubernetes, or returns the connection; it may raise."""
        self._kubernetes = kubernetes
        self._lock = Lock()
        self._listed: dict[str | None, Mapping[str, Sequence[Event]] | Unreachable] = {}

    def of(self, name: str, *, namespace: str | None = None) -> Sequence[Event] | Unreachable:
        """The events about the objects of this name, in the order listed."""
        with self._lock:
            if namespace not in self._listed:
                self._listed[namespace] = self._list(namespace)
            listed = self._listed[namespace]
        return listed if isinstance(listed, Unreachable) else listed.get(name, ())

    def errors(self) -> tuple[ObservationError, ...]:
        """The errors of the lists that were requested and failed."""
        return tuple(
            ObservationError(None, KUBERNETES_UNAVAILABLE, listed.error)
            for listed in self._listed.values()
            if isinstance(listed, Unreachable)
        )

    def _list(self, namespace: str | None) -> Mapping[str, Sequence[Event]] | Unreachable:
        by_name: dict[str, list[Event]] = defaultdict(list)
        try:
            for event in self._kubernetes().in_namespace(namespace).all_events():
                if event.about_kind in ("Job", "Pod") and event.reason in RELEVANT_EVENTS:
                    by_name[event.about_name].append(event)
        except FlinkjobsError as error:
            return Unreachable(str(error))
        return by_name
