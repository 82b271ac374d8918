"""What happens to a running stack: passes of sync, parts that stop answering, servers of Flink that end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.flink import FlinkCluster, ask

ANSWER_SECONDS = 5.0
"""Seconds after which a part that is silent does not answer."""


class Watch:
    """Observes the parts of a running stack, and restarts those of our own Flink; a context manager."""

    def __init__(
        self,
        *,
        mongodb_uri: str,
        database: str,
        rest_url: str,
        cluster: FlinkCluster | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Asks nothing yet.

        Args:
            mongodb_uri: of the server with the records.
            database: that sync writes its passes to.
            rest_url: of Flink.
            cluster: that Flink, where it is ours: a server of it that ends is started again.
            answer_seconds: how long a part may take to answer.
        """
        milliseconds = round(answer_seconds * 1000)
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            mongodb_uri,
            tz_aware=True,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
        )
        self._passes = self._client[database].sync_runs
        self._rest_url = rest_url
        self._cluster = cluster
        self._answer_seconds = answer_seconds
        self._silent: set[str] = set()
        self._last_pass = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def news(self) -> Iterator[str]:
        """Yields one line for everything that has happened since the last call."""
        if self._cluster:
            for name, exit_code in self._cluster.restart_ended():
                yield f"Flink's {name} ended with exit code {exit_code}, and was started again"
        flink = ask(f"{self._rest_url}/overview", timeout_seconds=self._answer_seconds)
        yield from self._of_part("Flink", answers=flink is not None)
        try:
            last = self._passes.find_one(sort=[("started_at", -1)])
        except PyMongoError:
            yield from self._of_part("MongoDB", answers=False)
            return
        yield from self._of_part("MongoDB", answers=True)
        if last and last["run_id"] != self._last_pass:
            self._last_pass = last["run_id"]
            yield describe_pass(last)

    def _of_part(self, part: str, *, answers: bool) -> Iterator[str]:
        """Yields that a part has stopped answering, or answers again."""
        if answers and part in self._silent:
            self._silent.remove(part)
            yield f"{part} answers again"
        elif not answers and part not in self._silent:
            self._silent.add(part)
            yield f"{part} does not answer; everything else keeps running"


def describe_pass(run: dict[str, Any]) -> str:
    """What one pass of sync did, in one line."""
    changed = ", ".join(f"{count} {status}" for status, count in run["changed"].items()) or "nothing"
    errors = f", {len(run['errors'])} errors" if run["errors"] else ""
    return f"sync scanned {run['scanned']}, wrote {changed}{errors}"
