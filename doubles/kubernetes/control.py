"""The double's control endpoint, from a program: faults, counters, the clock, users, finished Jobs.

    with KubernetesDouble() as double:
        double.control.add(RequestFault(effect="status", status=503, resource="jobs", verb="list", times=2))

Nothing here belongs to the Kubernetes API.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import httpx
import msgspec

from doubles.kubernetes.authorization import Rule
from doubles.kubernetes.faults import Fault, FinishedJobs, Outcome, PodFault, RequestFault

TIMEOUT_SECONDS = 60.0
"""Tens of thousands of Jobs may be created by one call."""


class ActiveFault(msgspec.Struct, frozen=True):
    """A fault that is switched on."""

    id: int
    hits: int
    """How many requests or pods it has hit."""
    fault: RequestFault | PodFault


class ControlClient:
    """A synchronous client of one double."""

    def __init__(self, base_url: str, token: str) -> None:
        """Args: the double's address and the admin's token."""
        self._client = httpx.Client(
            base_url=f"{base_url}/_control/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def add(self, fault: Fault) -> int:
        """Switch a fault on; returns its number."""
        return msgspec.json.decode(self._call("POST", "faults", fault), type=dict[str, int])["id"]

    def remove(self, number: int) -> None:
        """Switch one fault off."""
        self._call("DELETE", f"faults/{number}")

    def clear(self) -> None:
        """Switch all faults off."""
        self._call("DELETE", "faults")

    def faults(self) -> list[ActiveFault]:
        """The faults that are on, in the order they came."""
        return msgspec.json.decode(self._call("GET", "faults"), type=list[ActiveFault])

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[int]:
        """A fault that is on inside the `with` block."""
        number = self.add(fault)
        try:
            yield number
        finally:
            self.remove(number)

    def requests(self) -> dict[str, int]:
        """Requests since the last reset, as in `{"list jobs": 2, "get pods/log": 1}`."""
        return msgspec.json.decode(self._call("GET", "requests"), type=dict[str, int])

    def reset_requests(self) -> None:
        """Count from zero again."""
        self._call("DELETE", "requests")

    def set_clock_offset(self, seconds: float) -> None:
        """Put the `Date` header ahead of the true time (behind it, when negative)."""
        self._call("PUT", "clock", {"offset_seconds": seconds})

    def set_outcome(self, outcome: Outcome) -> None:
        """How pods end from now on where nothing is run."""
        self._call("PUT", "outcome", outcome)

    def add_finished_jobs(self, wanted: FinishedJobs) -> int:
        """Fill the store; returns how many Jobs were created."""
        return msgspec.json.decode(self._call("POST", "finished-jobs", wanted), type=dict[str, int])[
            "created"
        ]

    def grant(self, user: str, token: str, rules: Sequence[Rule], *, namespaces: Sequence[str] = ()) -> None:
        """Let a user in who may do only what the rules allow, in these namespaces or the double's own."""
        self._call("PUT", f"users/{user}", {"token": token, "rules": rules, "namespaces": namespaces})

    def revoke(self, user: str) -> None:
        """Forget a user and its token."""
        self._call("DELETE", f"users/{user}")

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        response = self._client.request(method, path, content=content)
        if response.is_error:
            raise ControlError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.content


class ControlError(Exception):
    """The double refused a control request."""
