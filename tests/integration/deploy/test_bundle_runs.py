"""Every staged bundle in a clean environment of its own: installed, checked, started elsewhere, and called.

They are started as the containers of `deploy/kubernetes/` are, and triggered as its CronJobs do. One job goes
through all four: submitted, synchronised, shown, cleaned up, with a real MongoDB and the Kubernetes double.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import standardwebhooks

from deploy import bundle
from deploy.bundle import Bundle
from deploy.lock import FUNCTIONS, UV
from doubles.kubernetes.faults import Outcome
from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Process, Scratch, free_port, stop_all
from local.mongodb import MongoServer
from tests.integration.deploy import manifests
from tests.support.flink_rest_server import FlinkServer, Job
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.waiting import until
from tests.terraform.module import read_module

FLINK_JOB_ID = "fee40d868f8485130cc716bcec2801e0"
START_SECONDS = 60.0
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Installed:
    """A staged bundle and the environment that holds its requirements and nothing else."""

    bundle: Bundle
    environment: Path


def uv(*arguments: str | Path) -> str:
    done = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"uv {arguments[0]}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def install(staged: Bundle, environment: Path) -> Installed:
    uv("venv", "--quiet", "--python", sys.executable, environment)
    into = ("--python", str(environment), "--require-hashes", "--requirement")
    uv("pip", "install", "--quiet", *into, staged.folder / "requirements.txt")
    return Installed(staged, environment)


@pytest.fixture(scope="module")
def installed() -> Iterator[Mapping[str, Installed]]:
    with Scratch("flinkjobs-bundles") as scratch, ThreadPoolExecutor(2) as pool:
        # Not by the pool: parsing in two threads may raise SystemError before CPython 3.11.8, see
        # https://github.com/python/cpython/issues/106905
        bundles = [bundle.stage(name, scratch.path / "functions") for name in FUNCTIONS]
        environments = [scratch.path / "environments" / name for name in FUNCTIONS]
        yield dict(zip(FUNCTIONS, pool.map(install, bundles, environments), strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_requirements_of_a_bundle_agree_with_each_other(
    name: str, installed: Mapping[str, Installed]
) -> None:
    assert "compatible" in uv("pip", "check", "--python", installed[name].environment)


@dataclass(frozen=True, slots=True)
class Running:
    """All four functions, and the world that they work in."""

    urls: Mapping[str, str]
    processes: Mapping[str, Process]
    logs: Mapping[str, Path]
    flink: FlinkServer

    def call(self, name: str, method: str = "POST", path: str = "/", **request: Any) -> httpx.Response:
        return httpx.request(method, self.urls[name] + path, trust_env=False, timeout=60, **request)

    def is_healthy(self, name: str) -> bool:
        try:
            return self.call(name, "GET", "/health").is_success
        except httpx.HTTPError:
            return False

    def log(self, name: str) -> str:
        """All that a function has printed so far; an answer may be here before what was printed first."""
        mark = f"/nowhere/{uuid4()}"
        assert self.call(name, "GET", mark).status_code == 404

        def look() -> str | None:
            text = self.logs[name].read_text(encoding="utf-8")
            return text if f'"{mark}"' in text else None

        return until(look, timeout_seconds=SECONDS, what=f"the log of {name}")


def command(name: str, installed: Installed, url: str) -> list[str]:
    """The command of a function's container, in the place of the image's paths ours, and our address."""
    host, port = url.removeprefix("http://").split(":")
    ours = {
        "/functions/.venv/": f"{installed.environment}/",
        f"/functions/{name}/": f"{installed.bundle.folder}/",
        "--host=0.0.0.0": f"--host={host}",
        "--port=8080": f"--port={port}",
    }
    words: list[str] = manifests.container(name)["command"]
    for theirs, replacement in ours.items():
        assert sum(theirs in word for word in words) == 1, theirs
        words = [word.replace(theirs, replacement) for word in words]
    return words


@pytest.fixture(scope="module")
def running(
    installed: Mapping[str, Installed], mongo_server: MongoServer, kubernetes_double: KubernetesDouble
) -> Iterator[Running]:
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in FUNCTIONS}
    with ExitStack() as parts:
        scratch = parts.enter_context(Scratch("flinkjobs-elsewhere"))
        flink = parts.enter_context(FlinkServer())
        here = {
            "MONGODB_URI": mongo_server.uri,
            "MONGODB_DATABASE": "bundles",
            "FLINK_REST_URL": flink.url,
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(kubernetes_double.kubeconfig),
            "CLEANUP_RETENTION_HOURS": "0",
            "PATH": os.environ["PATH"],
            "HOME": str(scratch.path),
            "PYTHONPYCACHEPREFIX": str(scratch.path / "bytecode"),
        }
        processes: dict[str, Process] = {}
        parts.callback(lambda: stop_all(processes.values()))
        logs = {name: scratch.path / f"{name}.log" for name in FUNCTIONS}
        for name in FUNCTIONS:
            processes[name] = Process(
                command(name, installed[name], urls[name]),
                name=f"function {name}",
                env=manifests.environment(name)
                | here
                | ({"SYNC_URL": urls["sync"]} if name == "jobs" else {}),
                cwd=scratch.path,
                log=logs[name],
                remove=[scratch.path],
            )
        world = Running(urls, processes, logs, flink)
        for name in FUNCTIONS:
            processes[name].wait_ready(partial(world.is_healthy, name), timeout_seconds=START_SECONDS)
        yield world


def run_trigger(name: str, installed: Installed, url: str) -> subprocess.CompletedProcess[str]:
    """What a CronJob's container does, with our Python and our address."""
    described = manifests.trigger(name)
    words = [*described["command"], *described["args"]]
    ours = {"python3": str(installed.environment / "bin" / "python"), f"http://flinkjobs-{name}/": f"{url}/"}
    assert ours.keys() <= set(words)
    return subprocess.run(
        [ours.get(word, word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={},
    )


def signed(body: bytes) -> dict[str, str]:
    now = datetime.now(UTC)
    secret = manifests.environment("submit")["WEBHOOK_SECRETS"]
    return {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign("msg_1", now, body.decode()),
    }


@pytest.fixture(scope="module")
def journey(
    running: Running, installed: Mapping[str, Installed], kubernetes_double: KubernetesDouble
) -> Mapping[str, Any]:
    """What was answered to each step of one job through all functions."""
    seen: dict[str, Any] = {}
    said = f"Job has been submitted with JobID {FLINK_JOB_ID}\n"
    with KubernetesWorld(kubernetes_double) as kubernetes:
        kubernetes.reset()
        kubernetes.control.set_outcome(Outcome(log=said, message=said))
        seen["ready"] = {name: running.call(name, "GET", "/ready").status_code for name in FUNCTIONS}
        body = json.dumps({"template_id": "etl", "script": {"inline": "print(1)"}}).encode()
        seen["unsigned"] = running.call("submit", content=body)
        seen["submit"] = running.call("submit", content=body, headers=signed(body))
        assert seen["submit"].status_code == 202, seen["submit"].text
        began = int(datetime.now(UTC).timestamp() * 1000)  # an id counts only if its job began later
        running.flink.jobs.append(Job(FLINK_JOB_ID, "FINISHED", start=began, end=began + 1000))
        kubernetes.wait_finished(seen["submit"].json()["k8s_job_name"])
        seen["sync"] = run_trigger("sync", installed["sync"], running.urls["sync"])
        path = f"/api/jobs/{FLINK_JOB_ID}"
        seen["jobs"] = running.call("jobs", "GET", path)
        seen["sync now"] = running.call("jobs", "POST", f"{path}/sync", headers={"X-Flinkjobs": "1"})
        for path in ("/", "/api/jobs", "/api/metrics", "/metrics"):
            seen[path] = running.call("jobs", "GET", path)
        kubernetes.control.set_clock_offset(60)  # the Job has been over for a minute
        seen["cleanup"] = run_trigger("cleanup", installed["cleanup"], running.urls["cleanup"])
        kubernetes.control.set_clock_offset(0)
        seen["left"] = kubernetes.names("jobs")
    return seen


def test_every_bundle_is_ready(journey: Mapping[str, Any]) -> None:
    assert journey["ready"] == dict.fromkeys(FUNCTIONS, 200)


def test_a_job_is_submitted_when_it_is_signed(journey: Mapping[str, Any]) -> None:
    assert journey["unsigned"].status_code == 401
    assert journey["submit"].json()["status"] == "CREATED"


def test_a_pass_is_triggered_as_the_cron_job_does(journey: Mapping[str, Any]) -> None:
    done = journey["sync"]
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["resolved"], report["changed"]) == (1, {"FINISHED": 1})


def test_the_job_is_shown(journey: Mapping[str, Any]) -> None:
    shown = journey["jobs"]
    assert shown.status_code == 200, shown.text
    assert shown.json()["job"]["job_id"] == journey["submit"].json()["job_id"]
    assert journey["sync now"].status_code == 200, journey["sync now"].text
    for path in ("/", "/api/jobs", "/api/metrics", "/metrics"):
        assert journey[path].status_code == 200, journey[path].text


def test_a_cleanup_is_triggered_as_the_cron_job_does(journey: Mapping[str, Any]) -> None:
    done = journey["cleanup"]
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["names"] == [journey["submit"].json()["k8s_job_name"]]
    assert journey["left"] == set()


@pytest.mark.parametrize("name", ["sync", "cleanup"])
def test_a_trigger_fails_where_its_function_does(
    name: str, running: Running, installed: Mapping[str, Installed]
) -> None:
    """The CronJob's Job is then a failed one, with the reason in its pod's log."""
    refused = run_trigger(name, installed[name], running.urls["submit"])
    assert refused.returncode == 1
    assert re.match(r"http://127\.0\.0\.1:\d+/ answered 401: \{.*UNAUTHORIZED", refused.stderr)
    unanswered = run_trigger(name, installed[name], f"http://127.0.0.1:{free_port()}")
    assert unanswered.returncode == 1
    assert "did not answer: <urlopen error [Errno 111] Connection refused>" in unanswered.stderr


# --- what the alerts of terraform/monitoring.tf count -----------------------------------------------------

SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def counted(metric: str, lines: list[dict[str, Any]], **instead: str) -> int:
    """How many log lines the filter of a metric takes, as far as it speaks of their fields.

    Cloud Logging makes `jsonPayload` of a line that is a JSON object, and takes `severity` out of it:
    https://cloud.google.com/logging/docs/structured-logging

    Args:
        metric: its name in the module.
        lines: of the functions that the filter names.
        instead: words to look for in the place of others of the filter.
    """
    text: str = read_module().locals["metrics"][metric]["filter"].replace('\\"', '"')
    for word, other in instead.items():
        assert f'"{word}"' in text
        text = text.replace(f'"{word}"', f'"{other}"')
    fields = re.findall(r'jsonPayload\.(\w+)=(\(.*?\)|"[^"]*"|true|false)', text)
    wanted = {
        name: [json.loads(word) for word in re.findall(r'"[^"]*"|true|false', of)] for name, of in fields
    }
    assert wanted["message"]
    least = SEVERITIES.index("ERROR") if "severity>=ERROR" in text else 0
    return sum(
        SEVERITIES.index(line["severity"]) >= least
        and all(
            any(line.get(name) is word or line.get(name) == word for word in of)
            for name, of in wanted.items()
        )
        for line in lines
    )


def logged(running: Running, name: str) -> list[dict[str, Any]]:
    """The JSON lines of a function's log."""
    return [json.loads(line) for line in running.log(name).splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("journey")
def test_the_alerts_count_what_the_functions_print(running: Running) -> None:
    lines = {name: logged(running, name) for name in FUNCTIONS}
    assert counted("submissions", lines["submit"]) == 1
    assert counted("complete_passes", lines["sync"]) == 1  # the page's button looked at one record only
    assert counted("cleanups", lines["cleanup"]) == 1
    assert counted("failed_runs", lines["sync"] + lines["cleanup"]) == 0
    assert counted("lost_jobs", lines["sync"]) == 0
    assert counted("lost_jobs", lines["sync"], LOST="FINISHED") == 1


def test_the_alerts_count_a_run_that_fails(
    running: Running, installed: Mapping[str, Installed], kubernetes_double: KubernetesDouble
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Scratch("flinkjobs-without-mongodb") as scratch:
        log = scratch.path / "cleanup.log"
        no_server = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=200"
        here = {
            "MONGODB_URI": no_server,
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(kubernetes_double.kubeconfig),
            "PATH": os.environ["PATH"],
            "HOME": str(scratch.path),
            "PYTHONPYCACHEPREFIX": str(scratch.path / "bytecode"),
        }
        process = Process(
            command("cleanup", installed["cleanup"], url),
            name="function cleanup without MongoDB",
            env=manifests.environment("cleanup") | here,
            cwd=scratch.path,
            log=log,
            remove=[scratch.path],
        )
        try:
            world = replace(running, urls={"cleanup": url}, logs={"cleanup": log})
            process.wait_ready(partial(world.is_healthy, "cleanup"), timeout_seconds=START_SECONDS)
            assert world.call("cleanup").status_code == 503
            lines = logged(world, "cleanup")
            assert counted("failed_runs", lines) == 1
            assert counted("cleanups", lines) == 0
        finally:
            stop_all([process])


@pytest.mark.usefixtures("journey")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_running_bundle_writes_nothing_into_its_folder(
    name: str, running: Running, installed: Mapping[str, Installed]
) -> None:
    """It may be read-only, as it is when it is deployed."""
    assert running.processes[name].exit_code is None
    folder = installed[name].bundle.folder
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == set(installed[name].bundle.files)
