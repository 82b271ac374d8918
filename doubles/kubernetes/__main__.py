"""Run the double: `python -m doubles.kubernetes --port PORT --token TOKEN`."""

import argparse
import asyncio
import contextlib
import gc
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from doubles.kubernetes.api import Api
from doubles.kubernetes.authorization import ADMIN, RoleAuthorizer
from doubles.kubernetes.container_log import LogBook
from doubles.kubernetes.controllers import Controllers, GarbageCollector
from doubles.kubernetes.events import EventRecorder
from doubles.kubernetes.faults import FaultBook
from doubles.kubernetes.image import Image
from doubles.kubernetes.job_controller import Backoff, JobController
from doubles.kubernetes.kubelet import Kubelet, Node
from doubles.kubernetes.objects import NAMESPACES, utc_now
from doubles.kubernetes.server import Server
from doubles.kubernetes.store import Store
from doubles.kubernetes.tls_listener import (
    HOST,
    Listener,
    PortTakenError,
    kubeconfig,
    make_certificate,
    server_context,
)
from doubles.kubernetes.watches import Watches

SHUTDOWN_SECONDS = 0.5
GARBAGE_THRESHOLD = 200_000
"""Objects of the API refer to each other in one direction only: looking for cycles among them is wasted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return 0; 1 when the port is taken."""
    options = _parser().parse_args(arguments)
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        asyncio.run(serve(options))
    except PortTakenError as error:
        print(f"python -m doubles.kubernetes: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(options: argparse.Namespace) -> None:
    """Build the cluster, say when it is ready, take it down at a signal."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    owned = options.state_dir is None
    directory = Path(tempfile.mkdtemp(prefix="kubernetes-double-")) if owned else options.state_dir
    pods = directory / "pods"
    try:
        pods.mkdir(parents=True, exist_ok=True)
        await _serve_in(options, directory, stopping)
    finally:
        shutil.rmtree(directory if owned else pods, ignore_errors=True)


async def _serve_in(options: argparse.Namespace, directory: Path, stopping: asyncio.Event) -> None:
    source = random.Random()  # noqa: S311 names and chances, no secrets
    store, faults, logs = Store(utc_now), FaultBook(source), LogBook(directory / "pods")
    for name in dict.fromkeys(("default", "kube-system", options.namespace, *options.also_namespace)):
        labels = {"kubernetes.io/metadata.name": name}
        namespace = {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"phase": "Active"}}
        store.create(NAMESPACES, namespace)
    events = EventRecorder(store)
    backoff = Backoff(base_seconds=options.backoff_seconds)
    node = Node(
        image=Image(dict(options.image_path), dict(options.image_env), frozenset(options.image)),
        state_dir=directory / "pods",
        max_running=options.max_running,
        run=not options.no_run,
        backoff=backoff,
    )
    kubelet = Kubelet(store, events, faults, logs, node, source)
    jobs = JobController(store, events, faults, backoff=backoff, source=source)
    controllers = asyncio.create_task(Controllers(store, jobs, GarbageCollector(store), events).run())
    authorizer = RoleAuthorizer()
    watches = Watches(store)
    api = Api(store, logs, authorizer, {options.token: ADMIN}, source, watches)
    server = Server(api, faults, node, authorizer, options.namespace, source)
    runner = web.AppRunner(
        server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("the HTTP server was not set up")
    certificate = make_certificate(utc_now())
    listener = Listener(runner.server, server_context(certificate, directory), options.port)
    accepting = asyncio.create_task(listener.run())
    try:
        if options.kubeconfig:
            options.kubeconfig.touch(mode=0o600)
            text = kubeconfig(listener.port, options.token, options.namespace, certificate)
            options.kubeconfig.write_text(text)
        print(f"kubernetes double on http://{HOST}:{listener.port} namespace {options.namespace}", flush=True)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({stopped, controllers, accepting}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
    finally:
        if options.kubeconfig:
            options.kubeconfig.unlink(missing_ok=True)
        accepting.cancel()
        watches.end()
        await kubelet.stop()
        await runner.cleanup()
        controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(controllers, accepting)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m doubles.kubernetes",
        description="A Kubernetes API whose pods run as processes of this machine.",
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one (default)")
    parser.add_argument("--token", required=True, help="the admin's bearer token")
    parser.add_argument(
        "--namespace", default="lemo-dev", help="exists in addition to default and kube-system"
    )
    parser.add_argument(
        "--also-namespace", metavar="NAME", action="append", default=[], help="exists too; repeatable"
    )
    parser.add_argument(
        "--image-path",
        metavar="PATH=DIR",
        type=_path_pair,
        action="append",
        default=[],
        help="where a path of the image lies on this machine; may be repeated",
    )
    parser.add_argument(
        "--image-env",
        metavar="NAME=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="a variable of the image's environment; may be repeated",
    )
    parser.add_argument(
        "--image",
        metavar="NAME",
        action="append",
        default=[],
        help="an image that can be pulled (default: any)",
    )
    parser.add_argument(
        "--max-running", metavar="N", type=int, default=4, help="pods that run at once (default: 4)"
    )
    parser.add_argument(
        "--backoff-seconds",
        metavar="S",
        type=float,
        default=0.5,
        help="delay before a failed pod is replaced, doubled each time up to 10 s (default: 0.5)",
    )
    parser.add_argument("--no-run", action="store_true", help="run nothing: pods end at once, successfully")
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        type=Path,
        help="write a kubeconfig for this server, for kubectl; removed at the end",
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        type=Path,
        help="where pods have their files (default: a fresh directory)",
    )
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _path_pair(text: str) -> tuple[str, Path]:
    path, directory = _pair(text)
    if not path.startswith("/"):
        raise argparse.ArgumentTypeError(f"{path!r} is no absolute path")
    return path.rstrip("/"), Path(directory).absolute()


if __name__ == "__main__":
    sys.exit(main())
