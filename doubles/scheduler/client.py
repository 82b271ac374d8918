"""Talks to the control endpoint of a running double; its API is for Google's client."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import httpx

REQUEST_SECONDS = 10.0


class ControlClient:
    """One double, by its URL. Attempts come as ``attempts.Attempt.as_json`` gives them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)

    def close(self) -> None:
        """Closes the connections; does nothing the second time."""
        self._client.close()

    def attempts(self, job: str = "", *, after: int = 0) -> list[dict[str, Any]]:
        """Returns what was sent with a number above `after`: of one job (full name or id) or of all."""
        return self._attempts({"job": job, "after": after}, REQUEST_SECONDS)

    def wait_for(
        self,
        *,
        started: int = 0,
        finished: int = 0,
        job: str = "",
        after: int = 0,
        timeout_seconds: float = 30.0,
    ) -> list[dict[str, Any]]:
        """Returns the attempts as soon as this many of them have started and finished.

        Raises:
            TimeoutError: they did not within `timeout_seconds`.
        """
        query: dict[str, str | float] = {
            "job": job,
            "after": after,
            "started": started,
            "finished": finished,
            "timeout_seconds": timeout_seconds,
        }
        return self._attempts(query, timeout_seconds + REQUEST_SECONDS)

    def duplicate(
        self, *, attempts: int = 1, copies: int = 2, delay_seconds: float = 0.0, job: str = ""
    ) -> None:
        """Sends each of the next attempts `copies` times, at once or so much scheduler time apart."""
        self._post(
            "/_control/duplicates",
            {"job": job, "attempts": attempts, "copies": copies, "delay_seconds": delay_seconds},
        )

    def now(self) -> datetime:
        """Returns scheduler time."""
        return _time(self._client.get("/_control/clock").raise_for_status().json())

    def forward(self, seconds: float) -> datetime:
        """Moves scheduler time forward; returns it."""
        return self._post("/_control/clock/forward", {"seconds": seconds})

    def forward_to_next(self) -> datetime:
        """Moves scheduler time to the next moment anything is due; returns it."""
        return self._post("/_control/clock/next", {})

    def _attempts(self, query: Mapping[str, str | float], timeout_seconds: float) -> list[dict[str, Any]]:
        answer = self._client.get("/_control/attempts", params=query, timeout=timeout_seconds)
        if answer.status_code == httpx.codes.GATEWAY_TIMEOUT:
            raise TimeoutError(f"waited for {dict(query)}, came {answer.text}")
        return cast("list[dict[str, Any]]", answer.raise_for_status().json()["attempts"])

    def _post(self, path: str, body: dict[str, object]) -> datetime:
        return _time(self._client.post(path, json=body).raise_for_status().json())


def _time(clock: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(clock["now"])
