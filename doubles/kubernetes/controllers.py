"""The controllers of the cluster: owners and their dependents, and the loop that calls each in its time.

Each is a function of the store's present state, called again whenever an object it depends on has changed;
`Controllers` is the only part that knows about time passing. Source:
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable

from doubles.kubernetes.deletion import FOREGROUND, ORPHAN, delete, remove_finalizer
from doubles.kubernetes.events import EventRecorder
from doubles.kubernetes.job_controller import JobController, is_tracked
from doubles.kubernetes.objects import (
    JOB_TRACKING_FINALIZER,
    JOBS,
    PODS,
    Key,
    Obj,
    Resource,
    controller_of,
    key_of,
)
from doubles.kubernetes.store import Change, Store

SYNCS_PER_YIELD = 50
"""Number of objects that are brought up to date before the loop yields to other tasks."""
EXPIRY_PERIOD_SECONDS = 60.0


class GarbageCollector:
    """Deletes what has lost all its owners, and carries out what a deleted owner's finalizers ask for."""

    def __init__(self, store: Store) -> None:
        """Args: the store to keep clean."""
        self._store = store

    def sync(self, resource: Resource, key: Key) -> None:
        """Look at one object."""
        obj = self._store.get(resource, key)
        if obj is None:
            return
        finalizers = obj["metadata"].get("finalizers", ())
        if ORPHAN in finalizers:
            self._orphan_dependents(obj)
            self._store.modify(resource, key, lambda copy: remove_finalizer(copy["metadata"], ORPHAN))
        elif FOREGROUND in finalizers:
            self._delete_dependents(resource, key, obj)
        elif owners := obj["metadata"].get("ownerReferences"):
            self._check_owners(resource, obj, owners)

    def _orphan_dependents(self, owner: Obj) -> None:
        uid = owner["metadata"]["uid"]
        for resource, dependent in self._store.dependents(uid):

            def disown(copy: Obj) -> None:
                left = [one for one in copy["metadata"]["ownerReferences"] if one["uid"] != uid]
                copy["metadata"]["ownerReferences"] = left
                if not left:
                    del copy["metadata"]["ownerReferences"]

            self._store.modify(resource, key_of(dependent), disown)

    def _delete_dependents(self, resource: Resource, key: Key, owner: Obj) -> None:
        uid = owner["metadata"]["uid"]
        for kind, dependent in self._store.dependents(uid):
            if not dependent["metadata"].get("deletionTimestamp"):
                delete(self._store, kind, dependent, policy="Background")
        blocking = [
            dependent
            for _, dependent in self._store.dependents(uid)
            for reference in dependent["metadata"]["ownerReferences"]
            if reference["uid"] == uid and reference.get("blockOwnerDeletion")
        ]
        if not blocking:
            self._store.modify(resource, key, lambda copy: remove_finalizer(copy["metadata"], FOREGROUND))

    def _check_owners(self, resource: Resource, obj: Obj, owners: list[Obj]) -> None:
        if not any(self._store.find(owner["uid"]) for owner in owners):
            delete(self._store, resource, obj, policy="Background")


class Controllers:
    """Calls the controllers when an object changed or when a time has come."""

    def __init__(
        self, store: Store, jobs: JobController, collector: GarbageCollector, events: EventRecorder
    ) -> None:
        """Args: the store to watch and the controllers to call."""
        self._store = store
        self._jobs = jobs
        self._collector = collector
        self._events = events
        self._dirty_jobs: dict[Key, None] = {}
        self._dirty_objects: dict[tuple[Resource, Key], None] = {}
        self._later: list[tuple[float, Key]] = []
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        unsubscribe = self._store.subscribe(self._notice)
        next_expiry = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                if loop.time() >= next_expiry:
                    self._events.expire()
                    next_expiry = loop.time() + EXPIRY_PERIOD_SECONDS
                self._take_due(loop.time())
                self._work(loop.time)
                if not self._dirty_jobs and not self._dirty_objects:
                    await self._sleep(min([next_expiry, *(due for due, _ in self._later[:1])]) - loop.time())
                else:
                    await asyncio.sleep(0)
        finally:
            unsubscribe()

    def _notice(self, change: Change) -> None:
        resource, obj = change.resource, change.obj
        key = key_of(obj)
        metadata = obj["metadata"]
        if resource is JOBS:
            self._dirty_jobs[key] = None
        owner = controller_of(obj)
        if owner and owner["kind"] == "Job":
            self._dirty_jobs[metadata["namespace"], owner["name"]] = None
        if metadata.get("finalizers") or metadata.get("ownerReferences"):
            self._dirty_objects[resource, key] = None
        if change.type == "DELETED":
            if resource is JOBS:
                self._jobs.forget(metadata["uid"])
            for kind, dependent in self._store.dependents(metadata["uid"]):
                self._dirty_objects[kind, key_of(dependent)] = None
            for reference in metadata.get("ownerReferences", ()):
                if found := self._store.find(reference["uid"]):
                    self._dirty_objects[found[0], key_of(found[1])] = None
        self._wake.set()

    def _take_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            self._dirty_jobs[heapq.heappop(self._later)[1]] = None

    def _work(self, now: Callable[[], float]) -> None:
        for _ in range(SYNCS_PER_YIELD):
            if self._dirty_objects:
                place = next(iter(self._dirty_objects))
                del self._dirty_objects[place]
                self._release_stray_pod(*place)
                self._collector.sync(*place)
            if self._dirty_jobs:
                key = next(iter(self._dirty_jobs))
                del self._dirty_jobs[key]
                wait = self._jobs.sync(key)
                if wait is not None:
                    heapq.heappush(self._later, (now() + max(wait, 0.0), key))

    def _release_stray_pod(self, resource: Resource, key: Key) -> None:
        """Frees a pod without a Job, which no controller counts: nothing may hold it."""
        pod = self._store.get(resource, key)
        if resource is not PODS or pod is None or not is_tracked(pod):
            return
        owner = controller_of(pod)
        if owner is None or self._store.find(owner["uid"]) is None:
            self._store.modify(
                PODS, key, lambda copy: remove_finalizer(copy["metadata"], JOB_TRACKING_FINALIZER)
            )

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        if not self._dirty_jobs and not self._dirty_objects:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(seconds, 0.0))
