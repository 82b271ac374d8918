"""A Kubernetes double as a test arranges it and looks at it, past the adapter: plain HTTP as an admin."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from doubles.kubernetes.control import ControlClient
from doubles.kubernetes.faults import Outcome
from doubles.kubernetes.process import KubernetesDouble
from tests.support.waiting import until

SECONDS = 15.0


class KubernetesWorld:
    """One running double; a context manager."""

    def __init__(self, double: KubernetesDouble) -> None:
        self.double = double
        namespace = double.namespace
        self.paths = {
            "jobs": f"/apis/batch/v1/namespaces/{namespace}/jobs",
            "pods": f"/api/v1/namespaces/{namespace}/pods",
            "configmaps": f"/api/v1/namespaces/{namespace}/configmaps",
        }
        self._client = httpx.Client(
            base_url=double.url, headers={"Authorization": f"Bearer {double.token}"}, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.clear()
        self._client.close()

    @property
    def control(self) -> ControlClient:
        """Faults and counters."""
        return self.double.control

    def reset(self) -> None:
        """No objects, no faults, pods that end at once and well, nothing counted."""
        self.control.clear()
        self.control.set_outcome(Outcome())
        for kind in ("jobs", "pods", "configmaps"):
            query = {"propagationPolicy": "Background", "gracePeriodSeconds": "0"}
            self._client.delete(self.paths[kind], params=query).raise_for_status()
        until(self.is_empty, timeout_seconds=SECONDS, what="an empty namespace")
        self.control.reset_requests()

    def create(self, kind: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Creates an object."""
        created: dict[str, Any] = self._client.post(self.paths[kind], json=manifest).raise_for_status().json()
        return created

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, or None."""
        answer = self._client.get(f"{self.paths[kind]}/{name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        """Changes an object by a merge patch."""
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"{self.paths[kind]}/{name}"
        self._client.patch(path, json=change, headers=headers).raise_for_status()

    def remove(self, kind: str, name: str, *, policy: str = "Background") -> None:
        """Deletes an object at once; its dependents become of it what the policy says."""
        query = {"propagationPolicy": policy, "gracePeriodSeconds": "0"}
        self._client.delete(f"{self.paths[kind]}/{name}", params=query).raise_for_status()
        until(lambda: self.get(kind, name) is None, timeout_seconds=SECONDS, what=f"no {kind} {name}")

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        listed: list[dict[str, Any]] = self._client.get(self.paths[kind]).raise_for_status().json()["items"]
        return listed

    def names(self, kind: str) -> set[str]:
        """The names of all objects of a kind."""
        return {item["metadata"]["name"] for item in self.items(kind)}

    def is_empty(self) -> bool:
        """Whether there is nothing of ours."""
        return not any(self.names(kind) for kind in self.paths)

    def pod_of(self, job_name: str) -> dict[str, Any] | None:
        """A Job's only pod, or None."""
        pods = [pod for pod in self.items("pods") if pod["metadata"]["labels"].get("job-name") == job_name]
        return pods[0] if pods else None

    def event_reasons(self, name: str) -> list[str]:
        """The reasons of the events about the object of this name."""
        query = {"fieldSelector": f"involvedObject.name={name}"}
        path = self.paths["pods"].replace("/pods", "/events")
        items = self._client.get(path, params=query).raise_for_status().json()["items"]
        return [item["reason"] for item in items]

    def wait_finished(self, job_name: str) -> dict[str, Any]:
        """The Job once it is Complete or Failed."""

        def finished() -> dict[str, Any] | None:
            job = self.get("jobs", job_name) or {}
            conditions = job.get("status", {}).get("conditions", [])
            ended = [entry for entry in conditions if entry["type"] in ("Complete", "Failed")]
            return job if ended else None

        return until(finished, timeout_seconds=SECONDS, what=f"{job_name} finished")

    def wait_pod(self, job_name: str) -> dict[str, Any]:
        """The Job's pod once it has a container status."""

        def with_status() -> dict[str, Any] | None:
            pod = self.pod_of(job_name)
            return pod if pod and pod.get("status", {}).get("containerStatuses") else None

        return until(with_status, timeout_seconds=SECONDS, what=f"a pod of {job_name}")

    def wait_running(self, job_name: str) -> dict[str, Any]:
        """The Job's pod once all its containers run."""

        def running() -> dict[str, Any] | None:
            pod = self.wait_pod(job_name)
            states = [status["state"] for status in pod["status"]["containerStatuses"]]
            return pod if all("running" in state for state in states) else None

        return until(running, timeout_seconds=SECONDS, what=f"a running pod of {job_name}")

    def requests(self) -> dict[str, int]:
        """Requests to the API since the last reset."""
        return self.control.requests()

    def kubeconfig(self, path: Path, *, token: str | None = None, server: str | None = None) -> Path:
        """Writes a kubeconfig like the double's own, with another token or another server."""
        config = yaml.safe_load(self.double.kubeconfig.read_text())
        if token is not None:
            config["users"][0]["user"] = {"token": token}
        if server is not None:
            config["clusters"][0]["cluster"] = {"server": server}
        path.write_text(yaml.safe_dump(config))
        return path
