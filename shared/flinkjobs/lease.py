"""Leases: one holder at a time, kept in the store and renewed by a heartbeat.

A holder that dies is taken over when its lease runs out. Each taking gives a higher fencing value; a holder
that was only slow finds its lease gone when it asks, and writes no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

from flinkjobs import log
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.ports.lease import Lease, LeaseStore

TTL_SECONDS: Final = 20.0
"""Seconds that a lease holds without a heartbeat; then another holder may take it."""

HEARTBEAT_SECONDS: Final = 5.0

RETRY_SECONDS: Final = 0.5
"""Seconds between two attempts to take a lease that another holds."""


class ActiveLease:
    """A lease with its heartbeat."""

    def __init__(self, store: LeaseStore, lease: Lease) -> None:
        """Args:
        store: where the lease is kept.
        lease: as it was taken.
        """
        self.lease = lease
        self.cursor = lease.cursor
        self._store = store
        self._stopped = Event()
        self._lost = Event()
        self._thread = Thread(target=self._beat, name=f"lease {lease.name}", daemon=True)

    def is_ours(self) -> bool:
        """Renews the lease in the store; call it right before a write."""
        if not self._lost.is_set() and not self._store.renew_lease(self.lease, ttl_seconds=TTL_SECONDS):
            self._lose()
        return not self._lost.is_set()

    @property
    def is_lost(self) -> bool:
        """Whether the store has said, to a heartbeat or a question, that it is not ours any more."""
        return self._lost.is_set()

    def _lose(self) -> None:
        self._lost.set()
        log.warning("lease.lost", name=self.lease.name, holder=self.lease.holder, fence=self.lease.fence)

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_SECONDS) and not self._lost.is_set():
            try:
                self.is_ours()
            except FlinkjobsError as error:
                log.warning("lease.not_renewed", name=self.lease.name, code=error.code, detail=str(error))

    def start(self) -> None:
        """Begins the heartbeat."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the heartbeat and gives the lease back, with `cursor` for the next holder.

        A lease that cannot be given back runs out by itself.
        """
        self._stopped.set()
        self._thread.join()
        if not self._lost.is_set():
            try:
                self._store.release_lease(self.lease, cursor=self.cursor)
            except FlinkjobsError as error:
                log.warning("lease.not_released", name=self.lease.name, code=error.code, detail=str(error))


@contextmanager
def hold_lease(
    store: LeaseStore,
    name: str,
    *,
    holder: str,
    wait_seconds: float = 0.0,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Iterator[ActiveLease | None]:
    """Holds the lease of this name during the block; yields None when another holds it.

    Args:
        store: where the lease is kept.
        name: of the lease.
        holder: unique per taking.
        wait_seconds: how long to wait for a lease that another holds.
        is_stopping: ends the waiting.
    """
    until = time.monotonic() + wait_seconds
    lease = store.take_lease(name, holder=holder, ttl_seconds=TTL_SECONDS)
    while lease is None and time.monotonic() < until and not is_stopping():
        time.sleep(RETRY_SECONDS)
        lease = store.take_lease(name, holder=holder, ttl_seconds=TTL_SECONDS)
    if lease is None:
        yield None
        return
    keeping = ActiveLease(store, lease)
    keeping.start()
    try:
        yield keeping
    finally:
        keeping.stop()
