"""A replica set of three real MongoDB servers whose primary can be killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.mongodb import PROBE_MILLISECONDS, REPLICA_SET, MongoServer
from tests.support.waiting import until

MEMBERS: Final = 3
ELECTION_MS: Final = 2_000
"""Milliseconds without a primary after which the others elect one; 10,000 by default."""
FROZEN_SECONDS: Final = 0.8 * ELECTION_MS / 1_000
"""How long a primary goes on alone: less than after which it steps down."""
SECONDS: Final = 60.0


class _Member(MongoServer):
    """One server of a replica set that is initiated elsewhere."""

    def __init__(self) -> None:
        super().__init__(replica_set=True)

    def hello(self) -> dict[str, Any]:
        """What the server says of itself; empty where it does not answer."""
        client: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://127.0.0.1:{self.port}/",
            directConnection=True,
            serverSelectionTimeoutMS=PROBE_MILLISECONDS,
        )
        with client, contextlib.suppress(PyMongoError):
            return client.admin.command("hello")
        return {}

    def _answers(self) -> bool:
        return bool(self.hello())


class ReplicaSet:
    """Three servers with elections within two seconds; a context manager."""

    def __init__(self) -> None:
        self.members = [_Member() for _ in range(MEMBERS)]

    @property
    def uri(self) -> str:
        """Connection string, without a database."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"

    def __enter__(self) -> Self:
        try:
            for member in self.members:
                member.start()
            self._initiate()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the servers; their data goes."""
        for member in self.members:
            member.kill()
            member.close()

    def _initiate(self) -> None:
        settings = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": ELECTION_MS // 4}
        members = [
            {"_id": number, "host": f"127.0.0.1:{member.port}"} for number, member in enumerate(self.members)
        ]
        config = {"_id": REPLICA_SET, "members": members, "settings": settings}
        address = f"mongodb://127.0.0.1:{self.members[0].port}/"
        with MongoClient[dict[str, Any]](address, directConnection=True) as client:
            client.admin.command("replSetInitiate", config)
        self.primary()
        until(self._is_whole, timeout_seconds=SECONDS, what="two secondaries")

    def _is_whole(self) -> bool:
        return sum(bool(member.hello().get("secondary")) for member in self.members) == MEMBERS - 1

    def primary(self, *, other_than: _Member | None = None) -> _Member:
        """The server that accepts writes, once there is one."""

        def look() -> _Member | None:
            others = [member for member in self.members if member is not other_than]
            return next((member for member in others if member.hello().get("isWritablePrimary")), None)

        return until(look, timeout_seconds=SECONDS, what="a primary")

    @contextlib.contextmanager
    def secondaries_behind(self) -> Iterator[None]:
        """The secondaries answer, and take over nothing that is written within the block."""
        primary = self.primary()
        with contextlib.ExitStack() as stack:
            for member in self.members:
                if member is not primary:
                    address = f"mongodb://127.0.0.1:{member.port}/"
                    client = MongoClient[dict[str, Any]](address, directConnection=True)
                    stack.enter_context(client).admin.command("fsync", lock=True)
                    stack.callback(client.admin.command, "fsyncUnlock")
            yield

    def kill_primary(self, *, at: Callable[[], object] = lambda: None) -> None:
        """Ends the primary as a crash would (SIGKILL), waits for another one, and starts it again.

        For a moment before, the other members are frozen; then they start anew, without what the primary has
        sent to their sockets. So a write that waits for no other member is lost.

        Args:
            at: called right before its end.
        """
        killed = self.primary()
        others = [member for member in self.members if member is not killed]
        for member in others:
            member.pause()
        time.sleep(FROZEN_SECONDS)  # there is no condition: no caller may get an answer
        at()
        killed.kill()
        for member in others:
            member.kill()
            member.start()
        self.primary(other_than=killed)
        killed.start()
        until(self._is_whole, timeout_seconds=SECONDS, what="two secondaries")
