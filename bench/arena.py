"""All that the functions talk to: a real MongoDB, a quick Flink, the Kubernetes double; and the peers."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from pymongo import MongoClient, WriteConcern

from bench.flink_double import FlinkDouble
from bench.measure import Measurements, Probe, commands
from bench.receiver import Receiver
from bench.worlds import World, cluster_name, finished_jobs
from doubles.kubernetes.process import KubernetesDouble
from flinkjobs.adapters.mongo.health_store import COLLECTION as HEALTH_MARKS
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from local.functions import FunctionServer
from local.mongodb import MongoServer

DATABASE = "bench"
CLUSTERS = 8
PEERS = Path(__file__).parent / "peers"
BACKLOG = 4
"""Connections that fill the queue of a server that accepts none."""
DOCUMENTS_PER_INSERT = 5_000
LAST_MS = 2**42
"""Up to this start every job is known not to checkpoint, as after the first passes that saw it."""


class Arena:
    """All peers, running; a context manager. One world at a time stands in it."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            self.mongodb = starting.enter_context(MongoServer())
            self._client: MongoClient[dict[str, Any]] = starting.enter_context(MongoClient(self.mongodb.uri))
            self.flink = starting.enter_context(FlinkDouble(CLUSTERS))
            self.kubernetes = starting.enter_context(KubernetesDouble(run=False))
            self.dead_url = starting.enter_context(dead_host())
            self.receiver = starting.enter_context(Receiver())
            self._stack = starting.pop_all()
        self.database = self._client.get_database(DATABASE, write_concern=WriteConcern(w=1, j=False))
        self._jobs_lying_around = 0
        self.world = World(records=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def settings(self, world: World) -> dict[str, str]:
        """The environment of every peer in this world."""
        urls = self.flink.urls[: world.clusters]
        if world.is_one_dead:
            urls[-1] = self.dead_url
        others = {cluster_name(number): {"rest_url": urls[number]} for number in range(1, len(urls))}
        return {
            "MONGODB_URI": self.mongodb.uri,
            "MONGODB_DATABASE": DATABASE,
            "FLINK_REST_URL": urls[0],
            "FLINK_CLUSTERS": json.dumps(others) if others else "",
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(self.kubernetes.kubeconfig),
        }

    def _channels(self, names: Sequence[str]) -> dict[str, str]:
        secret = "whsec_" + base64.b64encode(bytes(32)).decode()
        webhooks = [
            {"name": name, "type": "webhook", "url": self.receiver.url, "secret": secret} for name in names
        ]
        return {"NOTIFY_CHANNELS": json.dumps(webhooks)} if webhooks else {}

    def build(self, world: World) -> None:
        """Makes this world stand: records, what Flink knows, what lies around in Kubernetes."""
        self.world = world
        for name in ("flink_jobs", "before", "leases", "sync_runs", "clusters", "channels", HEALTH_MARKS):
            self.database.drop_collection(name)
        ensure_indexes(self.database)
        documents = world.documents()
        while part := list(islice(documents, DOCUMENTS_PER_INSERT)):
            self.database["flink_jobs"].insert_many(part, ordered=False)
        known = {"start_ms": LAST_MS, "flink_job_id": ""}
        names = (cluster_name(number) for number in range(world.clusters))
        self.database[HEALTH_MARKS].insert_many([{"_id": f"cluster {name}", **known} for name in names])
        for number, overview in enumerate(world.overviews()):
            self.flink.know(number, overview)
        if world.finished_jobs > self._jobs_lying_around:
            self.kubernetes.control.add_finished_jobs(finished_jobs(world.finished_jobs))
            self._jobs_lying_around = world.finished_jobs
        self._keep(world)

    def _keep(self, world: World) -> None:
        """Sets aside the documents that a pass will write, to put them back afterwards."""
        changing = [
            document["job_id"]
            for number, document in enumerate(world.documents())
            if document["status"] == "CREATED"
            or (document["status"] == "RUNNING" and world.is_changed(number))
        ]
        found = self.database["flink_jobs"].find({"job_id": {"$in": changing}})
        while part := list(islice(found, DOCUMENTS_PER_INSERT)):
            self.database["before"].insert_many(part, ordered=False)
        self.database["before"].create_index("job_id")

    def put_back(self, *, everything: bool = False) -> None:
        """The records as they were before a pass; `everything` for a peer that writes unchanged ones too."""
        if everything:
            self.build(self.world)
            return
        self.database["before"].aggregate([{"$merge": {"into": "flink_jobs", "whenMatched": "replace"}}])

    @contextlib.contextmanager
    def peer(
        self,
        name: str,
        world: World,
        *,
        path: str = "/",
        channels: Sequence[str] = (),
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Peer]:
        """The function of a peer, or one that is deployed, running.

        Args:
            name: of the peer, or of the function.
            world: as it stands.
            path: what is called of it.
            channels: names of webhooks that it has; their receiver takes everything at once.
            settings: more of its environment.
        """
        source = PEERS / f"{name}.py"
        environment = self.settings(world) | self._channels(channels) | dict(settings)
        with FunctionServer(name, environment, source=source if source.exists() else None) as server:
            peer = Peer(self, Probe(server, path))
            try:
                yield peer
            finally:
                peer.close()


class Peer:
    """One way of doing the work, as a running function."""

    def __init__(self, arena: Arena, probe: Probe) -> None:
        """Args: see `Arena.peer`."""
        self._arena = arena
        self._probe = probe

    def run(self) -> Measurements:
        """One call in the world as it stands, and what it cost."""
        arena = self._arena
        asked = sum(arena.flink.asked())
        arena.kubernetes.control.reset_requests()
        sent = commands(arena.database)
        measurements = self._probe.call()
        sent = commands(arena.database) - sent
        written = {"$expr": {"$gt": ["$updated_at", "$submitted_at"]}}
        return replace(
            measurements,
            flink_requests=sum(arena.flink.asked()) - asked,
            kubernetes_requests=sum(arena.kubernetes.control.requests().values()),
            mongodb_commands=sent,
            documents_written=arena.database["flink_jobs"].count_documents(written),
        )

    def close(self) -> None:
        """Closes the connection to the function."""
        self._probe.close()


@contextlib.contextmanager
def dead_host() -> Iterator[str]:
    """URL of a server that lets every connection wait: its queue is full and it accepts none."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        for _ in range(BACKLOG):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"http://{address[0]}:{address[1]}"
