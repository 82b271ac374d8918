"""How the end-to-end tests talk to the stack: as a frontend, a scheduler and kubectl would."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import httpx

from local.functions import FunctionServer
from local.stack import Stack
from tests.integration.cli.conftest import COMMAND, Ran

Document = dict[str, Any]

REQUEST_SECONDS = 60.0
COMMAND_SECONDS = 200.0
JOBS = "/apis/batch/v1/namespaces/lemo-dev/jobs"
PODS = "/api/v1/namespaces/lemo-dev/pods"


def submit(stack: Stack, **request: Any) -> Document:
    """Submits a job; returns the answer."""
    return submit_to(stack.functions["submit"], **request)


def submit_to(function: FunctionServer, **request: Any) -> Document:
    """Submits a job to this function; returns the answer."""
    answer = httpx.post(f"{function.url}/", json=request, timeout=REQUEST_SECONDS, trust_env=False)
    assert answer.status_code == 202, answer.text
    accepted: Document = answer.json()
    return accepted


def sync(stack: Stack, job_ids: Collection[str] | None = None) -> Document:
    """Runs one pass; returns its report."""
    return sync_by(stack.functions["sync"], job_ids)


def sync_by(function: FunctionServer, job_ids: Collection[str] | None = None) -> Document:
    """Runs one pass of this function; returns its report."""
    body = {} if job_ids is None else {"job_ids": list(job_ids)}
    answer = httpx.post(f"{function.url}/", json=body, timeout=REQUEST_SECONDS, trust_env=False)
    assert answer.status_code == 200, answer.text
    report: Document = answer.json()
    return report


def kubernetes(stack: Stack, path: str, **query: str) -> httpx.Response:
    """Asks the Kubernetes API as kubectl would."""
    headers = {"Authorization": f"Bearer {stack.kubernetes.token}"}
    url = f"{stack.kubernetes.url}{path}"
    return httpx.get(url, params=query, headers=headers, timeout=REQUEST_SECONDS, trust_env=False)


def pods_of(stack: Stack, k8s_job_name: str) -> list[Document]:
    """The pods of a Kubernetes Job."""
    selector = f"app=flink-python-job,batch.kubernetes.io/job-name={k8s_job_name}"
    items: list[Document] = kubernetes(stack, PODS, labelSelector=selector).json()["items"]
    return items


def ended(stack: Stack, k8s_job_name: str) -> str | None:
    """The terminal condition of a Kubernetes Job; None while it runs."""
    job = kubernetes(stack, f"{JOBS}/{k8s_job_name}").json()
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def run_command(*arguments: str | Path, environ: Mapping[str, str], directory: Path) -> Ran:
    """Runs the command `flinkjobs` to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environ,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def flink_job(stack: Stack, flink_job_id: str) -> Document:
    """What Flink itself says of a job, by its overview: `/jobs/{id}` shows a state up to seconds late."""
    [job] = [job for job in overview(stack.flink.rest_url) if job["jid"] == flink_job_id]
    return job


def overview(rest_url: str) -> list[Document]:
    """All jobs that a cluster knows."""
    answer = httpx.get(f"{rest_url}/jobs/overview", timeout=REQUEST_SECONDS, trust_env=False)
    jobs: list[Document] = answer.raise_for_status().json()["jobs"]
    return jobs
