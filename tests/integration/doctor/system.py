"""A whole system for doctor to check: healthy at first, and then as a problem leaves it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from pymongo.database import Database

from doubles.kubernetes.faults import Outcome
from doubles.kubernetes.process import KubernetesDouble
from doubles.scheduler.process import SchedulerDouble
from flinkjobs.adapters.cloud_scheduler import CloudSchedules
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.cleanup import service as cleanup
from flinkjobs.cleanup.context import Cleanup
from flinkjobs.domain.schedule import Schedule
from flinkjobs.entrypoints.cleanup import CleanupFunction
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.entrypoints.sync import SyncFunction
from flinkjobs.settings.functions import read_settings
from flinkjobs.sync import service as sync
from flinkjobs.sync.context import Sync
from flinkjobs.web.messages import Request
from local.mongodb import MongoServer
from tests.support.flink_rest_server import FOLDER, FlinkServer
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.scripted_server import Answer, Asked, ScriptedServer

Document = dict[str, Any]

NAMES = ("flinkjobs-sync", "flinkjobs-cleanup")
CRONS = ("*/3 * * * *", "0 2 * * *")
USER = "flinkjobs"
AN_HOUR = timedelta(hours=1)


def printed(name: str) -> str:
    """What a real Flink CLI printed, as it was recorded."""
    return (FOLDER / "1.20" / "cli" / f"{name}.log").read_text(encoding="utf-8")


def ready(_: Asked) -> Answer:
    """What a function answers to everything."""
    return Answer(body=b'{"status": "ready"}')


class Functions:
    """The functions, each built once for the same settings, as in production; a context manager."""

    def __init__(self) -> None:
        self._submits: dict[Key, SubmitFunction] = {}
        self._syncs: dict[Key, Sync] = {}
        self._cleanups: dict[Key, Cleanup] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def submit(self, environ: Mapping[str, str]) -> SubmitFunction:
        """The function that accepts jobs."""
        key = _key(environ)
        if key not in self._submits:
            self._submits[key] = SubmitFunction(read_settings(environ))
            self._close_at_last(self._submits[key]._submit)
        return self._submits[key]

    def sync(self, environ: Mapping[str, str]) -> Sync:
        """What a pass works with."""
        key = _key(environ)
        if key not in self._syncs:
            self._syncs[key] = SyncFunction(read_settings(environ))._sync
            self._close_at_last(self._syncs[key])
        return self._syncs[key]

    def cleanup(self, environ: Mapping[str, str]) -> Cleanup:
        """What a cleanup works with."""
        key = _key(environ)
        if key not in self._cleanups:
            self._cleanups[key] = CleanupFunction(read_settings(environ))._cleanup
            self._close_at_last(self._cleanups[key].sync)
        return self._cleanups[key]

    def _close_at_last(self, built: Any) -> None:
        """Its connections, whatever stands before them."""
        flinks = getattr(built, "flinks", {}).values()
        kubernetes = getattr(built, "kubernetes", None) or built.cluster
        if isinstance(built, Sync):
            kubernetes = kubernetes()
        for close in (
            built.store.close,
            kubernetes.close,
            *(flink._connection.close for flink in flinks),
        ):
            self._opened.callback(close)


Key: TypeAlias = tuple[tuple[str, str], ...]


def _key(environ: Mapping[str, str]) -> Key:
    """The settings that the functions read; each test has schedules of its own."""
    return tuple(sorted((name, value) for name, value in environ.items() if name != "SCHEDULER_PARENT"))


@dataclass(slots=True)
class System:
    """The parts, and what a test does to them.

    Attributes:
        flink: plays an idle cluster.
        function: what both schedules call, and the command asks whether it is ready.
        functions: those that run here.
        environ: the settings of the functions and of doctor.
        scratch: an empty directory.
    """

    mongo: MongoServer
    database: Database[Document]
    kubernetes: KubernetesWorld
    flink: FlinkServer
    history: FlinkServer
    scheduler: SchedulerDouble
    function: ScriptedServer
    functions: Functions
    scratch: Path
    project: str = field(default_factory=lambda: f"project-{uuid.uuid4().hex[:8]}")
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def double(self) -> KubernetesDouble:
        return self.kubernetes.double

    def recover(self) -> None:
        """Makes everything healthy: nothing submitted, both schedules run, one pass and one cleanup run."""
        self.environ = {
            "MONGODB_URI": self.mongo.uri,
            "MONGODB_DATABASE": self.database.name,
            "FLINK_REST_URL": self.flink.url,
            "FLINK_HISTORY_URL": self.history.url,
            "FLINK_IMAGE": "registry.example/flink:1.20",
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(self.double.kubeconfig),
            "SCHEDULER_PARENT": f"projects/{self.project}/locations/here",
            "SCHEDULER_ENDPOINT": self.scheduler.url,
            "SYNC_URL": self.function.url,
            "CLEANUP_URL": self.function.url,
        }
        for name in self.database.list_collection_names():
            self.database[name].delete_many({})
        ensure_indexes(self.database)
        self.kubernetes.reset()
        for server in (self.flink, self.history):
            server.reset()
        self.function.answer = ready
        self.flink.play("1.20", "overview--idle")
        with self.schedules() as schedules:
            for name, cron in zip(NAMES, CRONS, strict=True):
                schedules.apply(Schedule(name=name, cron=cron, uri=f"{self.function.url}/"))
            self.ring()
        self.sync()
        self.cleanup()

    @contextmanager
    def schedules(self) -> Iterator[CloudSchedules]:
        """What the scheduler keeps."""
        with CloudSchedules(project=self.project, location="here", endpoint=self.scheduler.url) as schedules:
            yield schedules

    def ring(self, *names: str) -> None:
        """Sends a request of each schedule, and waits for the answer."""
        with self.schedules() as schedules:
            for name in names or NAMES:
                job = f"projects/{self.project}/locations/here/jobs/{name}"
                done = len([attempt for attempt in self.scheduler.attempts(job) if attempt["status"]])
                schedules.run(name)
                self.scheduler.wait_for(finished=done + 1, job=job)

    # --- the functions, as they are deployed --------------------------------------------------------

    def submit(self, template_id: str = "etl", **request: Any) -> str:
        """Submits a job an hour ago; returns its job id."""
        body = {"template_id": template_id, "script": {"path": "/opt/job.py"}, **request}
        headers = {"content-type": "application/json"}
        function = self.functions.submit(self.environ)
        answer = function.post(Request(headers=headers, query={}, body=json.dumps(body).encode()))
        job_id = str(answer.body["job_id"])
        an_hour_ago = datetime.now(UTC) - AN_HOUR
        self.database["flink_jobs"].update_one({"job_id": job_id}, {"$set": {"submitted_at": an_hour_ago}})
        return job_id

    def submit_and_end(self, outcome: Outcome, template_id: str = "etl") -> str:
        """Submits a job whose pod ends so, and lets a pass see it."""
        self.kubernetes.control.set_outcome(outcome)
        job_id = self.submit(template_id)
        self.kubernetes.wait_finished(self.record(job_id)["k8s_job_name"])
        self.sync()
        return job_id

    def sync(self) -> Document:
        """Runs one pass; returns its report."""
        return sync.run_pass(self.functions.sync(self.environ))

    def cleanup(self) -> None:
        """Runs one cleanup."""
        cleanup.run(self.functions.cleanup(self.environ))

    # --- the records --------------------------------------------------------------------------------

    def record(self, job_id: str) -> Document:
        """One document."""
        found = self.database["flink_jobs"].find_one({"job_id": job_id})
        assert found is not None
        return found

    def k8s_job_of(self, job_id: str) -> str:
        """The name of its Kubernetes Job."""
        return str(self.record(job_id)["k8s_job_name"])


def env_file(path: Path, environ: Mapping[str, str]) -> Path:
    """The settings as a file that the command takes whole."""
    path.write_text("".join(f"{name}='{value}'\n" for name, value in environ.items()), encoding="utf-8")
    return path
