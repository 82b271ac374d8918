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
        """Sends one request; the JSON object of its answer, which is recognised by a member.

        Raises FunctionUnavailableError (NoFunctionError where another service answered), NotFoundError,
        UnauthorizedError or FunctionRefusedError.
        """

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
