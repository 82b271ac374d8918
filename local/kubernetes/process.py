"""Starting the double as a process of its own, and ending it with everything it runs."""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local.kubernetes.control import ControlClient, parse_ready_line

PROJECT = Path(__file__).parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 20.0
GRACE_SECONDS = 10.0
"""How long the double may take to stop its pods before it is killed."""


class KubernetesDouble:
    """A running double.

    Use it as a context manager; inside, `url`, `token`, `namespace`, `kubeconfig` and `control` are ready. It
    ends with its owner, however the owner ends, and leaves no file behind.
    """

    def __init__(  # noqa: PLR0913 as many as the command line has, each by name
        self,
        *,
        token: str = "local",  # noqa: S107 a token of this machine's own loopback server
        namespace: str = "lemo-dev",
        port: int = 0,
        image_paths: Mapping[str, Path] | None = None,
        image_environment: Mapping[str, str] | None = None,
        images: Sequence[str] = (),
        max_running: int = 4,
        run: bool = True,
        backoff_seconds: float = 0.5,
    ) -> None:
        """Args: as the command line's options of the same names; `run=False` is `--no-run`."""
        self.token = token
        self.namespace = namespace
        self.url = ""
        self.state_dir = Path()
        self._options = ["--token", token, "--namespace", namespace, "--port", str(port)]
        for path, directory in (image_paths or {}).items():
            self._options += ["--image-path", f"{path}={directory}"]
        for name, value in (image_environment or {}).items():
            self._options += ["--image-env", f"{name}={value}"]
        for image in images:
            self._options += ["--image", image]
        self._options += ["--max-running", str(max_running), "--backoff-seconds", str(backoff_seconds)]
        if not run:
            self._options.append("--no-run")
        self._process: subprocess.Popen[str] | None = None
        self._control: ControlClient | None = None
        self._output: list[str] = []
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def control(self) -> ControlClient:
        """The control endpoint's client."""
        if self._control is None:
            raise RuntimeError("the double has not been started")
        return self._control

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig file that leads to the double over TLS; exists while it runs."""
        return self.state_dir / "kubeconfig"

    @property
    def output(self) -> str:
        """What the double has printed so far, errors included."""
        return "".join(self._output)

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            RuntimeError: it ended instead, or was not ready in time; with what it printed.
        """
        self.state_dir = Path(tempfile.mkdtemp(prefix="kubernetes-double-"))
        state = str(self.state_dir)
        command = [
            sys.executable,
            "-m",
            "local.tether",
            "--remove",
            state,
            "--grace",
            str(GRACE_SECONDS),
            "--",
        ]
        command += [sys.executable, "-m", "local.kubernetes", *self._options]
        command += ["--state-dir", state, "--kubeconfig", str(self.kubeconfig)]
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS) or not self.url:
            self.stop()
            raise RuntimeError(f"the Kubernetes double did not start: {self.output}")
        self._control = ControlClient(self.url, self.token)

    def stop(self) -> None:
        """End the process, its pods and its files; does nothing when it has ended already."""
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        for line in process.stdout:
            self._output.append(line)
            if address := parse_ready_line(line.rstrip("\n")):
                self.url = address
                self._ready.set()
        self._ready.set()
