"""Protocol for a deployed function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class RemoteFunction(Protocol):
    """A deployed function, called over HTTP."""

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: str | None,
        expected_member: str,
    ) -> dict[str, Any]:
        """Sends one request; returns the JSON object of its answer.

        Args:
            method: of the request, as are `query` and `headers`.
            path: after the base URL.
            query: parameters by name.
            headers: by name.
            body: JSON; None where there is none.
            expected_member: a member that the answer must have: another function, or a proxy in between, may
                answer JSON too.

        Raises:
            FunctionUnavailableError: no answer, or the same request may succeed later.
            NoFunctionError: what answered is no function, or another one.
            NotFoundError: there is nothing of this name.
            UnauthorizedError: it demands another identity, or a signature.
            FunctionRefusedError: it refused, with its faults.
        """

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
