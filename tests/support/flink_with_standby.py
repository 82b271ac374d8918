"""A highly available Flink: two JobManagers, a TaskManager and a ZooKeeper, all from Flink's own package."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from doubles.processes import Process, Scratch, free_port
from local.flink import FlinkCluster, FlinkImage
from local.flink.cluster import ask

START_SECONDS: Final = 120.0
TICK_MILLISECONDS: Final = 2000
SESSION_MILLISECONDS: Final = 10_000
"""How long ZooKeeper waits for a leader that has gone; 60 s by default."""


class FlinkWithStandby:
    """The cluster whose JobManager leads at first, and a second JobManager; a context manager.

    Attributes:
        cluster: the first JobManager and the TaskManager.
        standby_url: base URL of the second JobManager's REST API.
    """

    def __init__(self, settings: Mapping[str, str | int] | None = None) -> None:
        """Nothing runs yet; `settings` are more of Flink's configuration."""
        self._settings = settings or {}
        self._parts = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def _start(self) -> None:
        self._scratch = self._parts.enter_context(Scratch("flinkjobs-flink"))
        quorum = self._start_zookeeper()
        settings: dict[str, str | int] = {
            "high-availability.type": "zookeeper",
            "high-availability.zookeeper.quorum": quorum,
            "high-availability.zookeeper.client.session-timeout": SESSION_MILLISECONDS,
            "high-availability.storageDir": (self._scratch.path / "high-availability").as_uri(),
            **self._settings,
        }
        # It leads, because it is alone until it is ready.
        self.cluster = self._parts.enter_context(FlinkCluster(scratch=self._scratch, settings=settings))
        port = free_port()
        self.standby_url = f"http://127.0.0.1:{port}"
        options = (f"rest.port={port}", f"rest.bind-port={port}", f"blob.server.port={free_port()}")
        image = self.cluster.image
        standby = self._run(
            image,
            image.directory / "conf",
            "jobmanager.sh",
            "start-foreground",
            *(part for option in options for part in ("-D", option)),
        )
        standby.wait_ready(
            lambda: ask(f"{self.standby_url}/overview") is not None, timeout_seconds=START_SECONDS
        )

    def _start_zookeeper(self) -> str:
        """Returns its `host:port`."""
        image = FlinkImage(self._scratch.path / "zookeeper")
        configuration = image.configure("conf", {})
        port = free_port()
        (configuration / "zoo.cfg").write_text(
            f"tickTime={TICK_MILLISECONDS}\n"
            f"dataDir={image.directory / 'data'}\n"
            f"clientPort={port}\n"
            "clientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\n"
            "server.1=127.0.0.1\n"
        )
        zookeeper = self._run(image, configuration, "zookeeper.sh", "start-foreground", "1")
        zookeeper.wait_ready(lambda: _is_serving(port), timeout_seconds=START_SECONDS)
        return f"127.0.0.1:{port}"

    def _run(self, image: FlinkImage, configuration: Path, script: str, *arguments: str) -> Process:
        return self._parts.enter_context(
            Process(
                [image.home / "bin" / script, *arguments],
                name=script,
                env=image.env(configuration),
                cwd=image.directory,
                remove=[self._scratch.path],
                log=image.logs / f"{script}.out",
            )
        )


def _is_serving(port: int) -> bool:
    """Whether a ZooKeeper answers: https://zookeeper.apache.org/doc/current/zookeeperAdmin.html#sc_4lw"""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"srvr")
            return b"Mode: " in connection.makefile("rb").read()
    except OSError:
        return False
