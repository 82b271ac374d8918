"""Protocols for leases."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """A lease that was taken.

    Attributes:
        name: what it is for.
        holder: who has it, unique per taking.
        fence: higher than that of every taking before.
        cursor: what the last holder left for the next: where to go on.
    """

    name: str
    holder: str
    fence: int
    cursor: str | None


class LeaseStore(Protocol):
    """Store of leases. All times are by the store's clock."""

    def take_lease(self, name: str, *, holder: str, ttl_seconds: float) -> Lease | None:
        """Takes a lease that is free or has run out; None while another holds it."""

    def renew_lease(self, lease: Lease, *, ttl_seconds: float) -> bool:
        """Prolongs a lease; False when it is not ours any more."""

    def release_lease(self, lease: Lease, *, cursor: str | None) -> bool:
        """Gives a lease back with a note for the next holder; False when it is not ours any more."""

    def cursor_of_lease(self, name: str) -> str | None:
        """The note of the last holder, without taking the lease."""
