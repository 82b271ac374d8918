"""The objects of the cluster in memory: versions, pages, watches, owners.

Nothing here waits or does I/O. A stored object is never changed in place: every write stores a new
dictionary, so a reference to an object read earlier keeps that very version. Callers must not change what
they read; `modify` gives them a copy to change.

Each write moves one counter, the resource version, as etcd's revision does. The last writes are
kept: a watch can start in the past, and a continued list shows the state its first page showed.
"""

import base64
import binascii
import json
import uuid
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from doubles.kubernetes.errors import already_exists, bad_request, conflict, expired, not_found
from doubles.kubernetes.objects import RESOURCES, Key, Obj, Resource, clone, key_of, stamp
from doubles.kubernetes.selectors import Selector

HISTORY_LENGTH = 100_000


@dataclass(frozen=True, slots=True)
class Change:
    """One write."""

    version: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: Resource
    obj: Obj
    """The new state; of a deletion the last one, with the deletion's own version."""
    previous: Obj | None


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list request."""

    items: list[Obj]
    version: int
    next_token: str | None
    remaining: int | None
    """How many follow; unknown (None) on the last page and with a selector, as in Kubernetes."""


class Store:
    """Every object, by kind and key."""

    def __init__(self, now: Callable[[], datetime], *, history_length: int = HISTORY_LENGTH) -> None:
        """Args: the clock that stamps creation and deletion times; how many writes are remembered."""
        self.now = now
        self.version = 1
        self._objects: dict[Resource, dict[Key, Obj]] = {resource: {} for resource in RESOURCES}
        self._keys: dict[Resource, list[Key]] = {resource: [] for resource in RESOURCES}
        self._by_uid: dict[str, tuple[Resource, Key]] = {}
        self._dependents: dict[str, set[tuple[Resource, Key]]] = defaultdict(set)
        self._history: deque[Change] = deque(maxlen=history_length)
        self._listeners: list[Callable[[Change], None]] = []

    # --- reading ------------------------------------------------------------------------------------------

    def get(self, resource: Resource, key: Key) -> Obj | None:
        """The object, or None."""
        return self._objects[resource].get(key)

    def find(self, uid: str) -> tuple[Resource, Obj] | None:
        """The object with this uid, of whatever kind."""
        place = self._by_uid.get(uid)
        return (place[0], self._objects[place[0]][place[1]]) if place else None

    def dependents(self, uid: str) -> list[tuple[Resource, Obj]]:
        """The objects that name this uid as an owner, oldest key first."""
        places = sorted(self._dependents.get(uid, ()), key=lambda place: place[1])
        return [(resource, self._objects[resource][key]) for resource, key in places]

    def select(self, resource: Resource, namespace: str | None, selector: Selector) -> Iterator[Obj]:
        """Every matching object in the order of their keys; of all namespaces when None."""
        objects = self._objects[resource]
        if selector.name is not None and namespace is not None:
            only = objects.get((namespace, selector.name))
            if only is not None and selector.matches(only):
                yield only
            return
        for key in self._range(resource, namespace, None):
            if selector.matches(objects[key]):
                yield objects[key]

    def page(
        self, resource: Resource, namespace: str | None, selector: Selector, *, limit: int, token: str | None
    ) -> Page:
        """One page of a list; `limit` 0 means all.

        Raises:
            ApiError: 400 for a token that is none, 410 for one whose state is no longer kept.
        """
        version, after = decode_token(token) if token else (self.version, None)
        past = self._differences_since(resource, version)
        objects = self._objects[resource]
        keys = self._range(resource, namespace, after)
        if past:
            gone = (
                key
                for key, before in past.items()
                if before is not None and key not in objects and _inside(key, namespace, after)
            )
            keys = sorted([*keys, *gone])
        items: list[Obj] = []
        for position, key in enumerate(keys):
            obj = past[key] if key in past else objects[key]
            if obj is None or not selector.matches(obj):
                continue
            if limit and len(items) == limit:
                remaining = None if selector else len(keys) - position
                return Page(items, version, encode_token(version, key_of(items[-1])), remaining)
            items.append(obj)
        return Page(items, version, None, None)

    def changes_after(self, version: int) -> list[Change]:
        """The writes after this version, oldest first.

        Raises:
            ApiError: 410 when some of them are no longer kept.
        """
        self._require_kept(version, f"too old resource version: {version} ({self._oldest_version()})")
        found = []
        for change in reversed(self._history):
            if change.version <= version:
                break
            found.append(change)
        return found[::-1]

    # --- writing ------------------------------------------------------------------------------------------

    def create(self, resource: Resource, obj: Obj) -> Obj:
        """Store a new object; gives it a uid, a version and a creation time.

        Raises:
            ApiError: 409 AlreadyExists.
        """
        key = key_of(obj)
        if key in self._objects[resource]:
            raise already_exists(resource, key[1])
        metadata = {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(self.now()), **obj["metadata"]}
        obj = self._versioned({**obj, "metadata": metadata})
        self._objects[resource][key] = obj
        insort(self._keys[resource], key)
        self._index(resource, obj)
        self._publish("ADDED", resource, obj, None)
        return obj

    def replace(self, resource: Resource, obj: Obj) -> Obj | None:
        """Store a new state of an existing object; a state equal to the old one writes nothing.

        Returns None when the object is gone by this: it was being deleted and has just lost the last
        finalizer that held it.

        Raises:
            ApiError: 404 when it does not exist, 409 when it carries a version that is not the present one.
        """
        key = key_of(obj)
        old = self._objects[resource].get(key)
        if old is None:
            raise not_found(resource, key[1])
        given = obj["metadata"].get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            why = (
                "the object has been modified; please apply your changes to the latest version and try again"
            )
            raise conflict(resource, key[1], why)
        if ready_to_go(obj):
            self.remove(resource, key, last=obj)
            return None
        if obj == old:
            return old
        obj = self._versioned(obj)
        self._unindex(resource, old)
        self._objects[resource][key] = obj
        self._index(resource, obj)
        self._publish("MODIFIED", resource, obj, old)
        return obj

    def modify(self, resource: Resource, key: Key, change: Callable[[Obj], None]) -> Obj | None:
        """Apply a function to a copy of the object and store it; None when it is absent or gone by this."""
        old = self.get(resource, key)
        if old is None:
            return None
        new: Obj = clone(old)
        change(new)
        return self.replace(resource, new)

    def remove(self, resource: Resource, key: Key, *, last: Obj | None = None) -> None:
        """Take an object out, whatever holds it; `last` is the state that watchers receive."""
        old = self._objects[resource].pop(key, None)
        if old is None:
            return
        keys = self._keys[resource]
        del keys[bisect_left(keys, key)]
        self._unindex(resource, old)
        self._publish("DELETED", resource, self._versioned(last or old), old)

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call the listener at every write, inside the write; returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- inside -------------------------------------------------------------------------------------------

    def _versioned(self, obj: Obj) -> Obj:
        self.version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}

    def _publish(self, kind: str, resource: Resource, obj: Obj, previous: Obj | None) -> None:
        change = Change(self.version, kind, resource, obj, previous)
        self._history.append(change)
        for listener in tuple(self._listeners):
            listener(change)

    def _index(self, resource: Resource, obj: Obj) -> None:
        place = resource, key_of(obj)
        self._by_uid[obj["metadata"]["uid"]] = place
        for owner in obj["metadata"].get("ownerReferences", ()):
            self._dependents[owner["uid"]].add(place)

    def _unindex(self, resource: Resource, obj: Obj) -> None:
        place = resource, key_of(obj)
        self._by_uid.pop(obj["metadata"]["uid"], None)
        for owner in obj["metadata"].get("ownerReferences", ()):
            owned = self._dependents[owner["uid"]]
            owned.discard(place)
            if not owned:
                del self._dependents[owner["uid"]]

    def _range(self, resource: Resource, namespace: str | None, after: Key | None) -> list[Key]:
        keys = self._keys[resource]
        start = bisect_left(keys, (namespace, "")) if namespace is not None else 0
        end = bisect_left(keys, (namespace + "\0", "")) if namespace is not None else len(keys)
        if after is not None:
            start = max(start, bisect_right(keys, after))
        return keys[start:end]

    def _differences_since(self, resource: Resource, version: int) -> dict[Key, Obj | None]:
        """What each object changed since the version was then; None for those that did not exist."""
        if version == self.version:
            return {}
        self._require_kept(
            version,
            "The provided continue parameter is too old to display a consistent list result. You can start a "
            "new list without the continue parameter, or use the continue token in this response to retrieve "
            "the remainder of the results. Continuing with the provided token results in an inconsistent "
            "list - objects that were created, modified, or deleted between the time the first chunk was "
            "returned and now may show up in the list.",
        )
        past: dict[Key, Obj | None] = {}
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.resource is resource:
                past[key_of(change.obj)] = change.previous
        return past

    def _oldest_version(self) -> int:
        return self._history[0].version if self._history else self.version

    def _require_kept(self, version: int, message: str) -> None:
        if version < self._oldest_version() - 1:
            raise expired(message)


def ready_to_go(obj: Obj) -> bool:
    """Whether a deletion has begun and nothing holds the object any more: no finalizer, no grace period."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def encode_token(version: int, after: Key) -> str:
    """A continue token: opaque to clients."""
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(after)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, Key]:
    """The version and the last key of the page before.

    Raises:
        ApiError: 400.
    """
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        fields = json.loads(text)
        namespace, name = fields["start"]
        return int(fields["rv"]), (str(namespace), str(name))
    except (ValueError, TypeError, KeyError, binascii.Error):
        raise bad_request("continue key is not valid: unable to decode") from None


def _inside(key: Key, namespace: str | None, after: Key | None) -> bool:
    return (namespace is None or key[0] == namespace) and (after is None or key > after)
