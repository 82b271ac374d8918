"""Starting the double as a process of its own, and ending it with everything it runs."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from doubles.kubernetes.control import ControlClient
from doubles.processes import Process, Scratch

PROJECT = Path(__file__).parents[2]
START_SECONDS = 30.0
READY_LINE = re.compile(r"^kubernetes double on (http://\S+) namespace ")
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
        also_namespaces: Sequence[str] = (),
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
        self._options = [f"--token={token}", "--namespace", namespace, "--port", str(port)]
        for path, directory in (image_paths or {}).items():
            self._options += ["--image-path", f"{path}={directory}"]
        for name, value in (image_environment or {}).items():
            self._options += ["--image-env", f"{name}={value}"]
        for name in also_namespaces:
            self._options += ["--also-namespace", name]
        for image in images:
            self._options += ["--image", image]
        self._options += ["--max-running", str(max_running), "--backoff-seconds", str(backoff_seconds)]
        if not run:
            self._options.append("--no-run")
        self._scratch: Scratch | None = None
        self._process: Process | None = None
        self._control: ControlClient | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
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
        """The last lines that the double has printed, errors included; all of them once it is stopped."""
        return "\n".join(self._process.output) if self._process else ""

    def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            ProcessError: it ended instead, or was not ready in time; with what it printed.
        """
        self._scratch = Scratch("kubernetes-double")
        self.state_dir = self._scratch.path
        places = ["--state-dir", str(self.state_dir), "--kubeconfig", str(self.kubeconfig)]
        try:
            self._process = Process(
                [sys.executable, "-m", "doubles.kubernetes", *self._options, *places],
                name="the Kubernetes double",
                cwd=PROJECT,
                remove=[self.state_dir],
                grace_seconds=GRACE_SECONDS,
            )
            match = self._process.wait_ready(READY_LINE, timeout_seconds=START_SECONDS)
        except BaseException:
            self.stop()
            raise
        assert match is not None  # noqa: S101 a pattern was waited for
        self.url = match[1]
        self._control = ControlClient(self.url, self.token)

    def stop(self) -> None:
        """End the process, its pods and its files; does nothing when it has ended already."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.stop()
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None
