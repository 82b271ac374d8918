"""What the tests of the Kubernetes double share: a small HTTP client and the objects they create."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from doubles.kubernetes.process import KubernetesDouble

Obj = dict[str, Any]
T = TypeVar("T")
IMAGE = "flink:1.20"


def until(what: str, check: Callable[[], T | None], seconds: float = 20.0) -> T:
    """The first true value of the check."""
    end = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return value


def job_manifest(name: str, *command: str, container: Obj | None = None, **spec: Any) -> Obj:
    """A Job with one container; further fields of the Job's spec by name, `pod` for those of its pod."""
    pod = spec.pop("pod", {})
    labels = spec.pop("labels", {})
    main = {"name": "submit", "image": IMAGE, "command": list(command or ("true",)), **(container or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app": "flink-python-job", **labels}},
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            **spec,
            "template": {
                "metadata": {"labels": {"app": "flink-python-job", **labels}},
                "spec": {"restartPolicy": "Never", "containers": [main], **pod},
            },
        },
    }


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def true_conditions(obj: Obj) -> list[str]:
    return [one["type"] for one in obj["status"].get("conditions", ()) if one["status"] == "True"]


class Cluster:
    """The API of a running double, without a client library in between."""

    def __init__(self, double: KubernetesDouble) -> None:
        self.double = double
        self.control = double.control
        self.http = httpx.Client(
            base_url=double.url,
            headers={"Authorization": f"Bearer {double.token}"},
            timeout=30,
            trust_env=False,
        )
        core = f"/api/v1/namespaces/{double.namespace}"
        self.jobs = f"/apis/batch/v1/namespaces/{double.namespace}/jobs"
        self.pods, self.maps, self.events = f"{core}/pods", f"{core}/configmaps", f"{core}/events"

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **query: str | int) -> Obj:
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        result: Obj = response.json()
        return result

    def create(self, path: str, manifest: Obj) -> Obj:
        response = self.http.post(path, json=manifest)
        assert response.status_code == 201, response.text
        result: Obj = response.json()
        return result

    def submit(self, name: str, *command: str, **spec: Any) -> Obj:
        return self.create(self.jobs, job_manifest(name, *command, **spec))

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.http.request("DELETE", path, json=options)

    def evict(self, pod: str, **delete_options: Any) -> httpx.Response:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        return self.http.post(
            f"{self.pods}/{pod}/eviction", json={**eviction, "deleteOptions": delete_options}
        )

    def job(self, name: str) -> Obj:
        return self.get(f"{self.jobs}/{name}")

    def pods_of(self, name: str) -> list[Obj]:
        items: list[Obj] = self.get(self.pods, labelSelector=f"job-name={name}")["items"]
        return items

    def pod_of(self, name: str) -> Obj:
        return until(f"{name} has a pod", lambda: self.pods_of(name))[0]

    def finished(self, name: str) -> Obj:
        """The Job once it is over."""

        def look() -> Obj | None:
            job = self.job(name)
            return job if {"Complete", "Failed"} & set(true_conditions(job)) else None

        return until(f"{name} is over", look)

    def waiting(self, name: str, reason: str) -> Obj:
        """The container's waiting state once it has this reason."""

        def look() -> Obj | None:
            for pod in self.pods_of(name):
                for one in pod["status"].get("containerStatuses", ()):
                    state: Obj = one["state"].get("waiting", {})
                    if state.get("reason") == reason:
                        return state
            return None

        return until(f"{name} waits with {reason}", look)

    def running(self, name: str) -> Obj:
        """The pod once its container runs."""

        def look() -> Obj | None:
            found = [pod for pod in self.pods_of(name) if pod["status"]["phase"] == "Running"]
            return found[0] if found else None

        return until(f"{name} runs", look)

    def terminated(self, name: str) -> Obj:
        """How the container of a Job's only pod ended."""
        self.finished(name)
        [pod] = self.pods_of(name)
        state: Obj = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        return state

    def log(self, pod: str, **query: str | int) -> httpx.Response:
        return self.http.get(f"{self.pods}/{pod}/log", params=query)

    def log_of(self, name: str) -> bytes:
        """The log of a Job's only pod, when it is over."""
        self.finished(name)
        [pod] = self.pods_of(name)
        response = self.log(pod["metadata"]["name"])
        assert response.status_code == 200, response.text
        return response.content

    def reasons(self, kind: str, name: str) -> list[str]:
        """The reasons of the events of one object, oldest first."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        items = self.get(self.events, fieldSelector=selector)["items"]
        return [one["reason"] for one in items]

    def message(self, name: str, reason: str) -> str:
        """The message of the first event with this reason."""

        def look() -> str | None:
            selector = f"involvedObject.name={name},reason={reason}"
            items = self.get(self.events, fieldSelector=selector)["items"]
            return items[0]["message"] if items else None

        return until(f"{name} has an event {reason}", look)
