"""A Flink session cluster of our own.

The scripts are Flink's own (``jobmanager.sh``, ``taskmanager.sh``, ``historyserver.sh``), taken from the
apache-flink package. Each server runs under a tether. Everything they write stays in one directory.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from doubles.processes import Process, ProcessError, Scratch, free_port, stop_all
from local.flink.image import FlinkError, FlinkImage, names_other_client

SERVERS = ("jobmanager", "taskmanager")
SLOTS = 8
START_SECONDS = 120.0
REQUEST_SECONDS = 5.0
GRACE_SECONDS = 5.0
SHOWN_CAUSES = 5
FOREIGN_VARIABLES = ("FLINK_", "JAVA_", "JDK_", "JVM_", "_JAVA_", "HADOOP_", "YARN_", "HBASE_", "PYTHON")
"""Variables of the user with these beginnings would change what Flink's scripts do."""


@dataclass(frozen=True, slots=True)
class FlinkAddress:
    """Where a Flink is, for those who ask it and for those who submit to it."""

    rest_url: str
    """Base URL of the REST API, without a slash at the end."""
    jobmanager: str
    """``host:port`` for ``flink run -m``."""
    history_url: str | None
    """Base URL of the History Server; None when there is none."""
    image_paths: dict[str, Path]
    """Path in the submitter's image to local path; empty when no Flink is installed here."""
    image_env: dict[str, str]
    """Environment which a process standing for a submitter's container needs; empty as above."""


class FlinkCluster:
    """A JobManager and a TaskManager on 127.0.0.1, on request a History Server too; a context manager.

    Jobs are not restarted after a failure unless they say so. Each server can be stopped and started again on
    its own, on the same ports.
    """

    def __init__(
        self,
        *,
        scratch: Scratch | None = None,
        history_server: bool = False,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        """Choose ports; nothing runs yet.

        Args:
            scratch: where everything is written; a directory of its own when left out.
            history_server: run one, asking for new archives every second.
            settings: more of Flink's configuration, over ours.
        """
        self._given_scratch = scratch
        self._own = contextlib.ExitStack()
        self._more_settings = dict(settings or {})
        self._rest_port = free_port()
        self.rpc_port = free_port()
        """The JobManager's port for its TaskManagers."""
        self._blob_port = free_port()
        self._history_port = free_port() if history_server else None
        self.servers: dict[str, Process] = {}
        """Those that were started, by the names of their scripts."""
        self._image: FlinkImage | None = None
        self._variables: dict[str, str] = {}
        self._client_configuration = Path()

    @property
    def rest_url(self) -> str:
        """Base URL of the REST API."""
        return f"http://{self.jobmanager}"

    @property
    def jobmanager(self) -> str:
        """``host:port`` for ``flink run -m``."""
        return f"127.0.0.1:{self._rest_port}"

    @property
    def history_url(self) -> str | None:
        """Base URL of the History Server; None without one."""
        return None if self._history_port is None else f"http://127.0.0.1:{self._history_port}"

    @property
    def image(self) -> FlinkImage:
        """What submits to this cluster; exists inside of the ``with`` block."""
        assert self._image is not None  # noqa: S101 a caller's mistake
        return self._image

    def image_paths(self) -> dict[str, Path]:
        """Path in the submitter's image to local path."""
        return self.image.paths()

    def image_env(self) -> dict[str, str]:
        """Environment for a process that stands for the submitter's container."""
        return self.image.env(self._client_configuration)

    def address(self) -> FlinkAddress:
        """All of the above as one value."""
        return FlinkAddress(
            rest_url=self.rest_url,
            jobmanager=self.jobmanager,
            history_url=self.history_url,
            image_paths=self.image_paths(),
            image_env=self.image_env(),
        )

    def __enter__(self) -> Self:
        try:
            self._configure()
            for name in SERVERS:
                self.start(name)
            if self._history_port is not None:
                self.start("historyserver")
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and let its files go. Harmless when repeated."""
        stop_all(self.servers.values())
        self.servers.clear()
        self._own.close()

    def start(self, name: str) -> None:
        """Start a server if it is not running, by its script's name; `wait_ready` waits until it answers."""
        running = self.servers.get(name)
        if running is None or running.exit_code is not None:
            self.servers[name] = Process(
                [self.image.home / "bin" / f"{name}.sh", "start-foreground"],
                name=f"Flink's {name}",
                env=self._variables,
                cwd=self.image.directory,
                remove=[self._scratch.path],
                grace_seconds=GRACE_SECONDS,
                log=self.image.logs / f"{name}.out",
            )

    def stop(self, name: str) -> None:
        """Stop a server in order: without high availability, a JobManager forgets every job."""
        if server := self.servers.pop(name, None):
            server.stop()

    def kill(self, name: str) -> None:
        """End a server as a crash would."""
        if server := self.servers.pop(name, None):
            server.kill()

    def restart_jobmanager(self) -> None:
        """Stop and start the JobManager; return when it has a TaskManager with every slot free.

        The TaskManager is started anew too: it would notice only after the heartbeat's timeout.
        """
        stop_all([self.servers.pop(name) for name in SERVERS if name in self.servers])
        for name in SERVERS:
            self.start(name)
        self.wait_ready()

    def restart_ended(self) -> list[tuple[str, int]]:
        """Start the servers anew that have ended by themselves; return the name and exit code of each."""
        ended = [
            (name, exit_code)
            for name, server in self.servers.items()
            if (exit_code := server.exit_code) is not None
        ]
        for name, _ in ended:
            self.start(name)
        return ended

    def wait_ready(self, *, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until every slot is free and, with a History Server, until that answers.

        Raises:
            FlinkError: a server has ended, or the time ran out; with its last lines and its causes.
        """
        for name, server in self.servers.items():
            self._wait_for(name, server, timeout_seconds)

    def _wait_for(self, name: str, server: Process, timeout_seconds: float) -> None:
        ready = self._history_ready if name == "historyserver" else self._cluster_ready
        try:
            server.wait_ready(ready, timeout_seconds=timeout_seconds)
        except ProcessError as error:
            causes = "".join(f"\n    {line}" for line in self._causes(name))
            raise FlinkError(f"Flink did not start here; {error}{causes}") from error

    def _causes(self, server: str) -> list[str]:
        """The first causes in a server's log: its last lines may be a dump of threads."""
        lines = (self.image.logs / f"{server}.out").read_text(errors="replace").splitlines()
        return list(dict.fromkeys(line for line in lines if line.startswith("Caused by: ")))[:SHOWN_CAUSES]

    def _configure(self) -> None:
        self._scratch = self._given_scratch or self._own.enter_context(Scratch("flinkjobs-flink"))
        directory = self._scratch.path / f"flink-{self._rest_port}"
        self._image = FlinkImage(directory)
        archive = directory / "archive"
        archive.mkdir()
        rest: dict[str, str | int] = {"rest.address": "127.0.0.1", "rest.port": self._rest_port}
        server: dict[str, str | int] = {
            **rest,
            "rest.bind-address": "127.0.0.1",
            "rest.bind-port": self._rest_port,
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": self.rpc_port,
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1024m",
            "blob.server.port": self._blob_port,
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": SLOTS,
            # PyFlink jobs leave classes behind: with the default metaspace a TaskManager dies after some 25.
            "taskmanager.memory.jvm-metaspace.size": "1024m",
            "taskmanager.memory.process.size": "2048m",
            "taskmanager.memory.managed.fraction": "0.25",
            "restart-strategy.type": "none",
            # A TaskManager looks for a new JobManager after this timeout (by default 50 s), every second.
            "heartbeat.interval": 3000,
            "heartbeat.timeout": 20000,
            "cluster.registration.max-timeout": 1000,
            "cluster.registration.error-delay": 500,
            "web.tmpdir": str(self._image.temporary),
            **self._more_settings,
        }
        if self._history_port is not None:
            server |= {
                "jobmanager.archive.fs.dir": archive.as_uri(),
                "historyserver.archive.fs.dir": archive.as_uri(),
                "historyserver.archive.fs.refresh-interval": 1000,
                "historyserver.web.address": "127.0.0.1",
                "historyserver.web.port": self._history_port,
                "historyserver.web.tmpdir": str(self._image.temporary / "history"),
                "env.java.opts.historyserver": "-Xmx256m",
            }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
        self._variables = kept | self._image.variables(self._image.configure("conf", server))
        self._client_configuration = self._image.configure("client-conf", rest)

    def _cluster_ready(self) -> bool:
        overview = ask(f"{self.rest_url}/overview")
        return bool(overview and overview["taskmanagers"] >= 1 and overview["slots-available"] == SLOTS)

    def _history_ready(self) -> bool:
        return ask(f"{self.history_url}/config") is not None


@contextlib.contextmanager
def flink(environment: Mapping[str, str], *, scratch: Scratch | None = None) -> Iterator[FlinkAddress]:
    """The Flink to use: that of FLINK_REST_URL in the environment, else a cluster of our own.

    With a Flink of the user's, FLINK_JOBMANAGER and FLINK_HISTORY_URL count as well, and the locally
    installed Flink, if there is one, serves as the submitter's image. Another
    `flink`, named by FLINK_BIN, runs the `python` of the user's PATH.

    Raises:
        FlinkError: FLINK_REST_URL is not set and no cluster can be started here.
    """
    rest_url = environment.get("FLINK_REST_URL", "").rstrip("/")
    if not rest_url:
        with FlinkCluster(scratch=scratch) as cluster:
            yield cluster.address()
        return
    parts = urlsplit(rest_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with contextlib.ExitStack() as stack:
        scratch = scratch or stack.enter_context(Scratch("flinkjobs-flink"))
        paths: dict[str, Path] = {}
        env: dict[str, str] = {}
        with contextlib.suppress(FlinkError):
            image = FlinkImage(scratch.path / "flink-client")
            rest: dict[str, str | int] = {"rest.address": parts.hostname or "", "rest.port": port}
            other_python = "python" if names_other_client(environment) else None
            configuration = image.configure("client-conf", rest, other_python=other_python)
            paths, env = image.paths(), image.env(configuration)
            if other_python:
                env["PATH"] = environment.get("PATH", os.defpath)
        yield FlinkAddress(
            rest_url=rest_url,
            jobmanager=environment.get("FLINK_JOBMANAGER") or f"{parts.hostname}:{port}",
            history_url=environment.get("FLINK_HISTORY_URL") or None,
            image_paths=paths,
            image_env=env,
        )


def ask(url: str, *, timeout_seconds: float = REQUEST_SECONDS) -> dict[str, Any] | None:
    """A JSON object from Flink; None while it does not answer with one."""
    try:
        answer = httpx.get(url, timeout=timeout_seconds, trust_env=False)
        content = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return content if isinstance(content, dict) else None
