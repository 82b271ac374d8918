"""Server-side tables: the columns `kubectl get` prints, as the API server computes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from doubles.kubernetes.objects import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    NAMESPACES,
    PODS,
    Obj,
    Resource,
    job_condition,
    parse_stamp,
)

Cells = list[str | int]
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_STEPS = (
    (2 * _MINUTE, 1, "s", 0, ""),
    (10 * _MINUTE, _MINUTE, "m", 1, "s"),
    (3 * _HOUR, _MINUTE, "m", 0, ""),
    (8 * _HOUR, _HOUR, "h", _MINUTE, "m"),
    (2 * _DAY, _HOUR, "h", 0, ""),
    (8 * _DAY, _DAY, "d", _HOUR, "h"),
    (2 * _YEAR, _DAY, "d", 0, ""),
    (8 * _YEAR, _YEAR, "y", _DAY, "d"),
)
"""Seconds below which a duration is written in this unit, with its letter, and a smaller one."""

_INTEGERS = frozenset({"Count", "Data"})
"""The columns that hold numbers."""


@dataclass(frozen=True, slots=True)
class _Layout:
    row: Callable[[Obj, datetime], Cells]
    columns: Sequence[str]
    wide: frozenset[str] = frozenset()
    """Those of a priority above 0, which `-o wide` alone shows."""


def table(
    resource: Resource, objects: Sequence[Obj], *, now: datetime, metadata: Obj, full: bool = False
) -> Obj:
    """The Table object of a list, of one object, or of one watch event.

    Args:
        resource: the objects' kind.
        objects: one row each.
        now: what ages are counted to.
        metadata: the list's own metadata.
        full: put whole objects next to the cells (`includeObject=Object`) instead of their metadata.
    """
    layout = _LAYOUTS[resource]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {
                "name": name,
                "type": "integer" if name in _INTEGERS else "string",
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": int(name in layout.wide),
            }
            for name in layout.columns
        ],
        "rows": [
            {"cells": layout.row(obj, now), "object": _row_object(resource, obj, full=full)}
            for obj in objects
        ],
    }


def _row_object(resource: Resource, obj: Obj, *, full: bool) -> Obj:
    if full:
        return {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def human_duration(span: timedelta) -> str:
    """A duration as kubectl writes it: `45s`, `3m10s`, `2h`, `5d3h`.

    Source: `HumanDuration` in k8s.io/apimachinery/pkg/util/duration.
    """
    seconds = int(span.total_seconds())
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    for limit, unit, letter, small_unit, small_letter in _STEPS:
        if seconds < limit:
            large, rest = divmod(seconds, unit)
            small = rest // small_unit if small_unit else 0
            return f"{large}{letter}{small}{small_letter}" if small else f"{large}{letter}"
    return f"{seconds // _YEAR}y"


def _age(obj: Obj, now: datetime) -> str:
    return human_duration(now - parse_stamp(obj["metadata"]["creationTimestamp"]))


def _job_row(job: Obj, now: datetime) -> Cells:
    spec, status = job["spec"], job.get("status", {})
    succeeded = status.get("succeeded", 0)
    completions = spec.get("completions")
    if completions is not None:
        done = f"{succeeded}/{completions}"
    else:
        parallelism = spec.get("parallelism", 1)
        done = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if start := status.get("startTime"):
        end = status.get("completionTime")
        duration = human_duration((parse_stamp(end) if end else now) - parse_stamp(start))
    containers = spec["template"]["spec"]["containers"]
    selector = spec.get("selector", {}).get("matchLabels", {})
    return [
        job["metadata"]["name"],
        _job_state(job),
        done,
        duration,
        _age(job, now),
        ",".join(container["name"] for container in containers),
        ",".join(container["image"] for container in containers),
        ",".join(f"{key}={value}" for key, value in selector.items()),
    ]


def _job_state(job: Obj) -> str:
    if job_condition(job, "Complete"):
        return "Complete"
    if job_condition(job, "Failed"):
        return "Failed"
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if job_condition(job, kind):
            return kind
    return "Running"


def _pod_row(pod: Obj, now: datetime) -> Cells:
    status = pod.get("status", {})
    containers = status.get("containerStatuses", [])
    ready = sum(1 for one in containers if one["ready"])
    restarts = sum(one["restartCount"] for one in containers)
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(pod['spec']['containers'])}",
        _pod_state(pod),
        str(restarts),
        _age(pod, now),
        status.get("podIP", "<none>"),
        pod["spec"].get("nodeName", "<none>"),
        "<none>",
        "<none>",
    ]


def _pod_state(pod: Obj) -> str:
    status = pod.get("status", {})
    word = str(status.get("reason") or status.get("phase", "Unknown"))
    init = status.get("initContainerStatuses", [])
    for number, one in enumerate(init):
        state = one["state"]
        if "running" in state or state.get("terminated", {}).get("exitCode") == 0:
            continue
        reason = _reason(state)
        return f"Init:{number}/{len(init)}" if reason == "PodInitializing" else f"Init:{reason}"
    if not status.get("reason"):
        for one in reversed(status.get("containerStatuses", [])):
            if reason := _reason(one["state"]):
                word = reason
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return word


def _reason(state: Obj) -> str:
    for kind in ("waiting", "terminated"):
        if kind in state:
            return str(state[kind].get("reason", ""))
    return ""


def _event_row(event: Obj, now: datetime) -> Cells:
    def since(moment: str | None) -> str:
        return human_duration(now - parse_stamp(moment)) if moment else "<unknown>"

    involved, series = event.get("involvedObject", {}), event.get("series", {})
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return [
        since(last),
        event.get("type", ""),
        event.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        event.get("source", {}).get("component") or event.get("reportingComponent", ""),
        event.get("message", "").strip(),
        since(first),
        series.get("count") or event.get("count") or 1,
        event["metadata"]["name"],
    ]


def _config_map_row(config_map: Obj, now: datetime) -> Cells:
    entries = len(config_map.get("data", {})) + len(config_map.get("binaryData", {}))
    return [config_map["metadata"]["name"], entries, _age(config_map, now)]


def _namespace_row(namespace: Obj, now: datetime) -> Cells:
    return [namespace["metadata"]["name"], namespace["status"]["phase"], _age(namespace, now)]


_LAYOUTS: dict[Resource, _Layout] = {
    JOBS: _Layout(
        _job_row,
        ("Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"),
        wide=frozenset({"Containers", "Images", "Selector"}),
    ),
    PODS: _Layout(
        _pod_row,
        ("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"),
        wide=frozenset({"IP", "Node", "Nominated Node", "Readiness Gates"}),
    ),
    EVENTS: _Layout(
        _event_row,
        (
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "Subobject",
            "Source",
            "Message",
            "First Seen",
            "Count",
            "Name",
        ),
        wide=frozenset({"Subobject", "Source", "First Seen", "Count", "Name"}),
    ),
    CONFIG_MAPS: _Layout(_config_map_row, ("Name", "Data", "Age")),
    NAMESPACES: _Layout(_namespace_row, ("Name", "Status", "Age")),
}
