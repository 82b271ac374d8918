"""The whole stack on one machine: MongoDB, Flink, Kubernetes, the functions and their schedules.

Everything is real but Kubernetes and Cloud Scheduler, which have doubles here. What the user names in the
environment is used instead of ours: MONGODB_URI, FLINK_REST_URL, KUBECONFIG. What else must be set then is
checked before anything starts.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from doubles.kubernetes.control import ControlClient
from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Scratch
from doubles.scheduler.dispatcher import DeadlineClock
from doubles.scheduler.process import SchedulerDouble
from flinkjobs.adapters.cloud_scheduler import CloudSchedules
from flinkjobs.domain.schedule import Schedule
from local.flink import FlinkAddress, FlinkCluster, ask, flink, installed_version, local_image
from local.functions import FunctionServer
from local.mongodb import mongodb
from local.receiver import EventReceiver
from local.user_settings import SettingsMissingError, missing_settings

NAMESPACE = "lemo-dev"
DATABASE = "lemo_recommender"
PROJECT, LOCATION = "local", "local"
SYNC_CRON, CLEANUP_CRON = "*/3 * * * *", "0 2 * * *"
FOLLOW_CRON = "* * * * *"
"""Of sync where `SYNC_FOLLOW_SECONDS` is set."""
ATTEMPT_DEADLINE_SECONDS = 165.0
PARENT_POLL_SECONDS = 0.5

FUNCTIONS = ("submit", "sync", "cleanup", "jobs")
SYNC_PERIOD_SECONDS = 180
PASSED_ON = (
    *("MONGODB_DATABASE", "FLINK_BIN", "FLINK_CLUSTERS", "SUBMIT_TIMEOUT_SECONDS", "SYNC_BUDGET_SECONDS"),
    *("LOST_AFTER_SECONDS", "CLEANUP_RETENTION_HOURS", "CLEANUP_UNHARVESTED_HOURS", "CLEANUP_MAX_DELETIONS"),
    *("CLEANUP_DELETIONS_PER_SECOND", "FLINK_UI_URL", "LOG_LEVEL", "SYNC_FOLLOW_SECONDS"),
    *("RECORD_RETENTION_DAYS", "LOG_URL_TEMPLATE"),
)
"""Settings of the user's that the functions get as they are."""


@dataclass(frozen=True, slots=True)
class KubernetesAddress:
    """Where Kubernetes is.

    Attributes:
        kubeconfig: path of a kubeconfig file that leads there.
        url: of the double; None for a cluster of the user's.
        token: the double's; None for a cluster of the user's.
    """

    kubeconfig: Path
    namespace: str
    url: str | None = None
    token: str | None = None

    def control(self) -> ControlClient:
        """A client of the double's control endpoint; there is none for a cluster of the user's."""
        assert self.url is not None  # noqa: S101 a caller's mistake
        assert self.token is not None  # noqa: S101 as above
        return ControlClient(self.url, self.token)


class Stack:
    """The running stack; a context manager. Leaving it stops all that it started."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        speed: float = 1.0,
        history_server: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing runs yet.

        Args:
            environ: the user's environment; this process's when left out.
            settings: of the functions, over the user's and ours.
            speed: how many times faster than the wall clock the schedules run.
            history_server: run Flink's History Server too.
            say: called with one line when a part is ready.
        """
        self._environ = os.environ if environ is None else environ
        self._settings = dict(settings or {})
        self._speed = speed
        self._history_server = history_server
        self._say = say
        self._parts = contextlib.ExitStack()
        self._page_action_secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        self.own_flink: FlinkCluster | None = None
        """None where the user's Flink is used."""
        self.functions: dict[str, FunctionServer] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _start(self) -> None:
        self._check_settings()
        parts = self._parts
        self.scratch = parts.enter_context(Scratch("flinkjobs"))
        self.flink = self._flink()
        self._say(f"Flink          {self.flink.rest_url}")
        self.mongodb_uri = parts.enter_context(mongodb(self._environ, scratch=self.scratch))
        self._say("MongoDB        answers")
        self.kubernetes = parts.enter_context(self._kubernetes(self.flink))
        self._say(f"Kubernetes     {self.kubernetes.url or self.kubernetes.kubeconfig}")
        self.receiver = parts.enter_context(EventReceiver())
        self._say(f"Receiver       {self.receiver.url}, of events")
        for name in FUNCTIONS:
            self.functions[name] = parts.enter_context(
                FunctionServer(name, self._settings_of(name), scratch=self.scratch)
            )
            self._say(f"{name:<15}{self.functions[name].url}")
        self.scheduler = parts.enter_context(SchedulerDouble(speed=self._speed, deadlines=DeadlineClock.WALL))
        self._say(f"Scheduler      {self.scheduler.url}")
        self.schedules = parts.enter_context(
            CloudSchedules(project=PROJECT, location=LOCATION, endpoint=self.scheduler.url)
        )

    def _check_settings(self) -> None:
        rest_url = self._environ.get("FLINK_REST_URL", "").rstrip("/")
        overview = (ask(f"{rest_url}/overview") if rest_url else None) or {}
        missing = missing_settings(
            {**self._environ, **self._settings},
            local_version=installed_version(),
            remote_version=overview.get("flink-version"),
        )
        if lines := list(missing):
            raise SettingsMissingError("\n".join(["These settings are missing:", *lines]))

    def _flink(self) -> FlinkAddress:
        if self._environ.get("FLINK_REST_URL"):
            return self._parts.enter_context(flink(self._environ, scratch=self.scratch))
        cluster = FlinkCluster(scratch=self.scratch, history_server=self._history_server)
        self.own_flink = self._parts.enter_context(cluster)
        return cluster.address()

    @property
    def flink_cluster(self) -> FlinkCluster:
        """Our own Flink; there is none where the user's is used."""
        assert self.own_flink is not None  # noqa: S101 a caller's mistake
        return self.own_flink

    @property
    def function_settings(self) -> dict[str, str]:
        """What every function of this stack is configured with."""
        passed_on = {name: self._environ[name] for name in PASSED_ON if name in self._environ}
        ours = {
            "MONGODB_URI": self.mongodb_uri,
            "MONGODB_DATABASE": DATABASE,
            "FLINK_REST_URL": self.flink.rest_url,
            "FLINK_JOBMANAGER": self.flink.jobmanager,
            "FLINK_IMAGE": self._environ.get("FLINK_IMAGE", local_image()),
            "K8S_NAMESPACE": self.kubernetes.namespace,
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(self.kubernetes.kubeconfig),
        }
        if self.flink.history_url:
            ours["FLINK_HISTORY_URL"] = self.flink.history_url
        return {**ours, **passed_on, **self._settings}

    def _settings_of(self, name: str) -> dict[str, str]:
        if name == "sync":
            channels = self._environ.get("NOTIFY_CHANNELS", self.receiver.channels)
            return {"NOTIFY_CHANNELS": channels, **self.function_settings}
        page = {"PAGE_ACTION_SECRET": self._page_action_secret}
        if name == "submit":
            return {**page, **self.function_settings}
        if name != "jobs":
            return self.function_settings
        period = max(round(SYNC_PERIOD_SECONDS / self._speed), 1)
        addresses = {"SYNC_URL": self.functions["sync"].url, "SUBMIT_URL": self.functions["submit"].url}
        return {**addresses, "SYNC_PERIOD_SECONDS": str(period), **page, **self.function_settings}

    @property
    def command_settings(self) -> dict[str, str]:
        """What leads the command `flinkjobs` to this stack: its functions, and its schedules once made."""
        return {
            **{f"{name.upper()}_URL": server.url for name, server in self.functions.items()},
            "SCHEDULER_PARENT": f"projects/{PROJECT}/locations/{LOCATION}",
            "SCHEDULER_ENDPOINT": self.scheduler.url,
            "SYNC_SCHEDULE": "sync",
            "CLEANUP_SCHEDULE": "cleanup",
        }

    def create_schedules(self) -> tuple[Schedule, Schedule]:
        """Creates the schedules of sync and cleanup, as a deployment does."""
        sync = Schedule(
            name="sync",
            cron=FOLLOW_CRON if "SYNC_FOLLOW_SECONDS" in self.function_settings else SYNC_CRON,
            uri=f"{self.functions['sync'].url}/",
            attempt_deadline_seconds=ATTEMPT_DEADLINE_SECONDS,
            description="synchronises the records with Flink",
        )
        cleanup = Schedule(
            name="cleanup",
            cron=CLEANUP_CRON,
            uri=f"{self.functions['cleanup'].url}/",
            attempt_deadline_seconds=ATTEMPT_DEADLINE_SECONDS,
            description="deletes finished Kubernetes Jobs",
        )
        for schedule in (sync, cleanup):
            self.schedules.apply(schedule)
        return sync, cleanup

    @contextlib.contextmanager
    def _kubernetes(self, address: FlinkAddress) -> Iterator[KubernetesAddress]:
        namespace = self._environ.get("K8S_NAMESPACE", NAMESPACE)
        if given := self._environ.get("KUBECONFIG"):
            yield KubernetesAddress(kubeconfig=Path(given), namespace=namespace)
            return
        double = KubernetesDouble(
            token=secrets.token_hex(16),
            namespace=namespace,
            image_paths=address.image_paths,
            image_environment=address.image_env,
        )
        with double:
            yield KubernetesAddress(
                kubeconfig=double.kubeconfig, namespace=namespace, url=double.url, token=double.token
            )


class Interrupted(BaseException):
    """The user or the system asked this program to end.

    Attributes:
        exit_code: 128 + the signal's number, as shells say it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raises `Interrupted` once, on Ctrl-C, SIGTERM, SIGHUP or the end of the calling `make`.

    Further signals are ignored: stopping the stack has a time limit.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    if "MAKELEVEL" in os.environ:
        threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent(parent: int) -> None:
    """A killed `make` passes nothing on, and would leave its recipe running unseen."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
