"""Events: what happened to an object, for people to read. Repetitions are counted in one event."""

from collections import deque
from datetime import datetime

from doubles.kubernetes.objects import EVENTS, Key, Obj, Resource, key_of, precise_stamp, stamp
from doubles.kubernetes.store import Store

TIME_TO_LIVE_SECONDS = 3600.0
"""How long the API server keeps an event."""
COMBINED = "(combined from similar events): "
MAX_ALIKE = 10
"""Number of different messages of an object and a reason from which on they share one event."""
ALIKE_SECONDS = 600.0
"""Seconds without such a message after which they are counted afresh.

The client's recorder combines events: https://pkg.go.dev/k8s.io/client-go/tools/record#EventAggregator
"""
SCHEDULER = "default-scheduler"
"""Records through events.k8s.io/v1: its events have an `eventTime`, and a `series` once repeated."""


class EventRecorder:
    """Writes events into the store and takes old ones out."""

    def __init__(self, store: Store) -> None:
        """Args: where the events go."""
        self._store = store
        self._last_number = 0  # nanoseconds: names end in it, so that a list is in the order of time
        self._known: dict[tuple[str, str, str, str], Key] = {}
        self._alike: dict[tuple[str, str, str], tuple[set[str], float]] = {}
        self._by_age: deque[tuple[float, tuple[str, str, str, str], Key]] = deque()

    def normal(self, resource: Resource, obj: Obj, reason: str, message: str, *, container: str = "") -> None:
        """Records a normal event."""
        self._record(resource, obj, "Normal", reason, message, container)

    def warning(
        self, resource: Resource, obj: Obj, reason: str, message: str, *, container: str = ""
    ) -> None:
        """Records a warning."""
        self._record(resource, obj, "Warning", reason, message, container)

    def expire(self) -> None:
        """Remove the events whose time is over."""
        now = self._store.now().timestamp()
        self._alike = {
            group: value for group, value in self._alike.items() if now - value[1] <= ALIKE_SECONDS
        }
        horizon = now - TIME_TO_LIVE_SECONDS
        while self._by_age and self._by_age[0][0] < horizon:
            _, identity, key = self._by_age.popleft()
            self._known.pop(identity, None)
            self._store.remove(EVENTS, key)

    def _record(
        self, resource: Resource, obj: Obj, kind: str, reason: str, message: str, container: str
    ) -> None:
        now = self._store.now()
        uid, component = obj["metadata"]["uid"], _component(resource, reason)
        identity = uid, reason, message, container
        if component != SCHEDULER and self._has_many_alike((uid, kind, reason), message):
            identity = uid, reason, COMBINED, ""
            message = COMBINED + message
        known = self._known.get(identity)
        if known and self._store.modify(EVENTS, known, lambda event: _repeat(event, message, now)):
            return
        involved = {
            "kind": resource.kind,
            "namespace": obj["metadata"]["namespace"],
            "name": obj["metadata"]["name"],
            "uid": obj["metadata"]["uid"],
            "apiVersion": resource.api_version,
            "resourceVersion": obj["metadata"]["resourceVersion"],
        }
        if container:
            involved["fieldPath"] = container
        self._last_number = max(self._last_number + 1, int(now.timestamp() * 1e9))
        event: Obj = {
            "metadata": {
                "name": f"{obj['metadata']['name']}.{self._last_number:x}",
                "namespace": obj["metadata"]["namespace"],
            },
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "reportingComponent": component,
        }
        if component == SCHEDULER:
            event |= {
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "eventTime": precise_stamp(now),
                "action": "Binding" if reason == "Scheduled" else "Scheduling",
                "reportingInstance": f"{SCHEDULER}-local",
            }
        else:
            host = obj["spec"].get("nodeName", "") if component == "kubelet" else ""
            event |= {
                "source": {"component": component} | ({"host": host} if host else {}),
                "firstTimestamp": stamp(now),
                "lastTimestamp": stamp(now),
                "count": 1,
                "eventTime": None,
                "reportingInstance": host,
            }
        key = key_of(self._store.create(EVENTS, event))
        self._known[identity] = key
        self._by_age.append((now.timestamp(), identity, key))

    def _has_many_alike(self, group: tuple[str, str, str], message: str) -> bool:
        now = self._store.now().timestamp()
        messages, last = self._alike.get(group, (set(), now))
        if now - last > ALIKE_SECONDS:
            messages = set()
        messages.add(message)
        self._alike[group] = messages, now
        many = len(messages) >= MAX_ALIKE
        if many:
            messages.pop()
        return many


def _repeat(event: Obj, message: str, now: datetime) -> None:
    event["message"] = message
    if event["reportingComponent"] == SCHEDULER:
        count = event.get("series", {"count": 1})["count"] + 1
        event["series"] = {"count": count, "lastObservedTime": precise_stamp(now)}
    else:
        event["count"] += 1
        event["lastTimestamp"] = stamp(now)


def _component(resource: Resource, reason: str) -> str:
    if resource.kind == "Job":
        return "job-controller"
    return SCHEDULER if reason in ("Scheduled", "FailedScheduling") else "kubelet"
