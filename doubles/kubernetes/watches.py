"""Watching: the changes of a kind as they happen, from now on or from a version in the past."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from doubles.kubernetes.errors import ApiError
from doubles.kubernetes.objects import Obj, Resource, key_of, with_kind
from doubles.kubernetes.selectors import Selector
from doubles.kubernetes.store import Change, Store

Render = Callable[[Obj], Obj]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a watcher wants to hear about."""

    resource: Resource
    namespace: str | None
    selector: Selector

    def type_of(self, change: Change) -> str:
        """ADDED, MODIFIED or DELETED as the watcher sees it; empty for what does not concern it.

        An object that begins or ceases to match the selector is added or deleted for the watcher.
        """
        if change.resource is not self.resource or self.namespace not in (None, key_of(change.obj)[0]):
            return ""
        before = change.previous is not None and self.selector.matches(change.previous)
        after = change.type != "DELETED" and self.selector.matches(change.obj)
        if before:
            return "MODIFIED" if after else "DELETED"
        return "ADDED" if after else ""


class Watches:
    """The watches that are open."""

    def __init__(self, store: Store) -> None:
        """Args: the store that is watched."""
        self._store = store
        self._queues: set[asyncio.Queue[Change | None]] = set()

    def end(self) -> None:
        """Close every watch."""
        for queue in self._queues:
            queue.put_nowait(None)

    async def events(
        self, scope: Scope, render: Render, *, version: str, initial: bool, seconds: float
    ) -> AsyncIterator[bytes]:
        """The lines of a watch's answer.

        Args:
            scope: the objects watched.
            render: from a stored object to what the client wants to see.
            version: the resource version to start after; empty or `0` for the present objects first.
            initial: send the present objects and mark their end with a bookmark.
            seconds: how long the watch lasts.
        """
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        unsubscribe = self._store.subscribe(queue.put_nowait)
        self._queues.add(queue)
        try:
            yield b""  # the headers go out even if nothing happens for a long time
            if initial or version in ("", "0"):
                async for line in self._present(scope, render, queue, marked=initial):
                    yield line
            else:
                try:
                    missed = self._missed(version, queue)
                except ApiError as error:
                    yield _line("ERROR", error.status())
                    return
                for change in missed:
                    if kind := scope.type_of(change):
                        yield _line(kind, render(change.obj))
            async for change in _until(queue, seconds):
                if kind := scope.type_of(change):
                    yield _line(kind, render(change.obj))
        finally:
            self._queues.discard(queue)
            unsubscribe()

    async def _present(
        self, scope: Scope, render: Render, queue: asyncio.Queue[Change | None], *, marked: bool
    ) -> AsyncIterator[bytes]:
        _forget(queue)
        version = str(self._store.version)
        for obj in list(self._store.select(scope.resource, scope.namespace, scope.selector)):
            yield _line("ADDED", render(obj))
        if marked:
            metadata = {"resourceVersion": version, "annotations": {"k8s.io/initial-events-end": "true"}}
            yield _line("BOOKMARK", with_kind(scope.resource, {"metadata": metadata}))

    def _missed(self, version: str, queue: asyncio.Queue[Change | None]) -> list[Change]:
        """The changes since the version; those that also wait in the queue are taken out of it."""
        past = self._store.changes_after(int(version))
        _forget(queue)
        return past


def _forget(queue: asyncio.Queue[Change | None]) -> None:
    while not queue.empty():
        queue.get_nowait()


async def _until(queue: asyncio.Queue[Change | None], seconds: float) -> AsyncIterator[Change]:
    """The queue's changes until the time is over or the watch is closed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        try:
            change = await asyncio.wait_for(queue.get(), left)
        except TimeoutError:
            return
        if change is None:
            return
        yield change


def _line(kind: str, obj: Obj) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"
