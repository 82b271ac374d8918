"""The MongoDB of the local stack: the real server from its wheel, or the one that MONGODB_URI names."""

import contextlib
import importlib.util
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from doubles.processes import Process, ProcessError, Scratch, free_port

WHEEL = "fiftyone"
"""The package whose ``db/bin`` holds mongod; never imported, because importing it configures a database."""
REPLICA_SET = "local"
START_SECONDS = 60.0
PROBE_MILLISECONDS = 1000
ALREADY_INITIALIZED = 23
"""MongoDB's error code for a second replSetInitiate."""
INSTEAD = "set MONGODB_URI to use a MongoDB of your own"


class MongoError(RuntimeError):
    """No MongoDB here. The first line says what is missing and what to do instead."""


class MongoServer:
    """A mongod of its own on 127.0.0.1, its data in a directory that goes with it; a context manager.

    It runs under a tether, so it ends with this process, however that ends.
    """

    def __init__(
        self, *, scratch: Scratch | None = None, replica_set: bool = False, auth: bool = False
    ) -> None:
        """Args:
        scratch: where the data goes; a directory of its own when left out.
        replica_set: a replica set of one member instead of a standalone server: has an oplog, sessions with
            transactions, and elections.
        auth: asks for credentials; the first client may create the first user. Standalone only.
        """
        self.port = free_port()
        self._replica_set = replica_set
        self._auth = auth
        self._scratch = scratch
        self._own = contextlib.ExitStack()
        self._process: Process | None = None

    @property
    def uri(self) -> str:
        """Connection string, without a database."""
        query = f"?replicaSet={REPLICA_SET}" if self._replica_set else ""
        return f"mongodb://127.0.0.1:{self.port}/{query}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, on the same port with the same data as before; return when it answers.

        Raises:
            MongoError: the platform has no mongod, or it does not start here.
        """
        if self._process is not None:
            return
        mongod = find_mongod()
        if self._scratch is None:
            self._scratch = self._own.enter_context(Scratch("flinkjobs-mongodb"))
        directory = self._scratch.path / f"mongodb-{self.port}"
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [mongod, "--quiet", "--dbpath", data, "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        if self._replica_set:
            command += ["--replSet", REPLICA_SET, "--oplogSize", "64"]
        if self._auth:
            command += ["--auth"]
        try:
            self._process = Process(
                command,
                name="MongoDB",
                cwd=directory,
                remove=[self._scratch.path],
                log=directory / "mongod.log",
            )
            self._process.wait_ready(self._answers, timeout_seconds=START_SECONDS)
        except ProcessError as error:
            self.stop()
            raise MongoError(f"{explain(str(error))}; {INSTEAD}\n{error}") from error

    def stop(self) -> None:
        """Stop the server in order; its data stays for another `start`."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would; its data stays for another `start`.

        As with any MongoDB, a write of the last 100 ms may be lost although it was acknowledged, unless it
        was made with ``j=True`` or, on a replica set, ``w="majority"``.
        """
        if self._process is not None:
            self._process.kill()
            self._process = None

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers, until `resume`."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        if self._process is not None:
            self._process.resume()

    def close(self) -> None:
        """Stop the server and let its data go. Harmless when repeated."""
        self.stop()
        self._own.close()

    def _answers(self) -> bool:
        """Whether the server answers, and, as a replica set, accepts writes."""
        try:  # a client would wait half a second before it tried again
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        client: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://127.0.0.1:{self.port}/",
            directConnection=True,
            serverSelectionTimeoutMS=PROBE_MILLISECONDS,
            connectTimeoutMS=PROBE_MILLISECONDS,
            socketTimeoutMS=10 * PROBE_MILLISECONDS,
        )
        with client, contextlib.suppress(PyMongoError):
            hello = client.admin.command("hello")
            if self._replica_set and not hello.get("setName"):
                self._initiate(client)
                return False
            return bool(hello["isWritablePrimary"])
        return False

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
        try:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:  # it reports itself only a moment later
                raise


@contextlib.contextmanager
def mongodb(environment: Mapping[str, str], *, scratch: Scratch | None = None) -> Iterator[str]:
    """The URI of the MongoDB to use: MONGODB_URI of the environment, else that of a server of our own.

    Raises:
        MongoError: MONGODB_URI is not set and no server can be started here.
    """
    if uri := environment.get("MONGODB_URI"):
        yield uri
        return
    with MongoServer(scratch=scratch) as server:
        yield server.uri


def find_mongod() -> Path:
    """The server's program in its wheel.

    Raises:
        MongoError: the wheel is not installed; there is one for Linux on x86-64 only.
    """
    specification = importlib.util.find_spec(WHEEL)
    for location in (specification and specification.submodule_search_locations) or ():
        mongod = Path(location) / "db" / "bin" / "mongod"
        if mongod.is_file():
            if not os.access(mongod, os.X_OK):  # some installers drop the mode bits
                mongod.chmod(0o755)
            return mongod
    raise MongoError(f"there is no MongoDB server for this platform among the packages; {INSTEAD}")


def explain(output: str) -> str:
    """One line for what a mongod that did not start has printed."""
    if library := re.search(r"error while loading shared libraries: (\S+?):", output):
        return f"MongoDB needs the library {library[1]}, which this machine lacks (OpenSSL 3 and libcurl 4)"
    if "Exec format error" in output:
        return "the packaged MongoDB server is not for this machine's processor"
    if "Illegal instruction" in output or "exit code 132" in output:
        return "the packaged MongoDB server needs a processor with AVX"
    return "MongoDB did not start"
