"""A Kubernetes API server whose objects, logs and events are those of a case."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from doubles.kubernetes.objects import CONFIG_MAPS, EVENTS, JOBS, PODS
from doubles.kubernetes.selectors import parse_selector
from tests.support.scripted_server import Answer, Asked, ScriptedServer

NAMESPACE: Final = "lemo-dev"
_PATH: Final = re.compile(
    rf"/(?:apis/batch|api)/v1/namespaces/{NAMESPACE}/(?P<kind>\w+)(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)
_RESOURCES: Final = {resource.plural: resource for resource in (JOBS, PODS, CONFIG_MAPS, EVENTS)}
_NEW_FIELD: Final = "podReplacementPolicy"
"""A field of Jobs since Kubernetes 1.28."""


class ScriptedKubernetes(ScriptedServer):
    """Objects as they are given, in any state; a context manager.

    Attributes:
        objects: by kind in the plural.
        logs: `{pod, container, status, body}`.
        empty_lists_are_null: lists of nothing have `items: null`.
        unavailable: kinds whose lists are answered with a 500.
        refusal: the answer to a Job with a field that this server does not know.
    """

    def __init__(self) -> None:
        """Listens at once."""
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.logs: list[dict[str, Any]] = []
        self.empty_lists_are_null = False
        self.unavailable: frozenset[str] = frozenset()
        self.refusal: str | None = None
        self.reset()
        super().__init__(self._answer)

    def reset(self) -> None:
        """No objects."""
        self.objects = {kind: [] for kind in _RESOURCES}
        self.logs = []
        self.empty_lists_are_null = False
        self.unavailable = frozenset()
        self.refusal = None

    def show(self, answers: Mapping[str, Any]) -> None:
        """Takes the objects, logs and events of an input."""
        self.objects |= {kind: answers[kind] for kind in ("jobs", "pods", "events")}
        for job in self.objects["jobs"]:  # the inputs leave out what our submitter writes on every Job
            job["spec"].setdefault("backoffLimit", 0)
        self.logs = answers["logs"]

    def names(self, kind: str) -> set[str]:
        """The names of all objects of a kind."""
        return {item["metadata"]["name"] for item in self.objects[kind]}

    def write_kubeconfig(self, path: Path) -> Path:
        """Access to this server."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cases", "cluster": {"server": self.url}}],
            "users": [{"name": "cases", "user": {"token": "cases"}}],
            "contexts": [{"name": "cases", "context": {"cluster": "cases", "user": "cases"}}],
            "current-context": "cases",
        }
        path.write_text(json.dumps(config))
        return path

    def _answer(self, asked: Asked) -> Answer:
        url = urlsplit(asked.path)
        query = dict(parse_qsl(url.query))
        path = _PATH.fullmatch(url.path)
        if path is None or path["kind"] not in _RESOURCES:
            return _status(404, "NotFound", "the server could not find the requested resource")
        kind, name = path["kind"], path["name"]
        if asked.method == "POST":
            return self._create(kind, asked.body.decode())
        if name is None:
            return self._list(kind, query)
        if path["log"]:
            return self._log(name, query.get("container"))
        found = next((item for item in self.objects[kind] if item["metadata"]["name"] == name), None)
        if found is None:
            return _status(404, "NotFound", f'{kind} "{name}" not found')
        if asked.method == "DELETE":
            self.objects[kind].remove(found)
        return _json(200, found)

    def _list(self, kind: str, query: Mapping[str, str]) -> Answer:
        if kind in self.unavailable:
            return _status(500, "InternalError", f"the list of {kind} is not available")
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        selector = parse_selector(_RESOURCES[kind], labels, fields)
        items = [item for item in self.objects[kind] if selector.matches(item)]
        is_null = self.empty_lists_are_null and not items
        return _json(200, {"kind": "List", "metadata": {}, "items": None if is_null else items})

    def _log(self, pod: str, container: str | None) -> Answer:
        for log in self.logs:
            if (log["pod"], log["container"]) == (pod, container):
                kind = "text/plain" if log["status"] == 200 else "application/json"
                return Answer(log["status"], log["body"].encode(), {"Content-Type": kind})
        return _status(404, "NotFound", f'pods "{pod}" not found')

    def _create(self, kind: str, body: str) -> Answer:
        if self.refusal is not None and _NEW_FIELD in body:
            return Answer(400, self.refusal.encode())
        created = json.loads(body)
        created["metadata"] |= {"uid": f"uid-{created['metadata']['name']}", "resourceVersion": "1"}
        self.objects[kind].append(created)
        return _json(201, created)


def _json(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode())


def _status(code: int, reason: str, message: str) -> Answer:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": message}
    return _json(code, body)
